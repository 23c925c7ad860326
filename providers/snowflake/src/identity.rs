//! `identity(ref, "snowflake")`: users are called by their address in capitals, groups are roles.

use terrace_provider::Principal;

/// Maps a principal: `user:jane.roe_example.com` to the user `JANE.ROE@EXAMPLE.COM` (the last `_` was an `@`), `group:dev`
/// and a bare `dev` to the role `DEV`.
///
/// # Errors
/// When it is neither, or nameless.
pub(crate) fn identity(principal: &str) -> Result<Principal, String> {
    let unmapped = || {
        format!(
            "`{principal}` is no user and no group that Snowflake could know: write `user:…` or `group:…`, or map it in `identities.table`"
        )
    };
    let named = |name: &str| if name.trim().is_empty() { Err(unmapped()) } else { Ok(name.to_uppercase()) };
    match principal.split_once(':') {
        Some(("user", name)) => {
            let name = match name.rsplit_once('_') {
                Some((before, after)) if !before.is_empty() && !after.is_empty() => format!("{before}@{after}"),
                _ => name.to_owned(),
            };
            Ok(Principal { kind: "user", name: named(&name)? })
        }
        Some(("group", name)) => Ok(Principal { kind: "group", name: named(name)? }),
        Some(_) => Err(unmapped()),
        None => Ok(Principal { kind: "group", name: named(principal)? }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principals_are_users_and_roles() {
        let shown = |principal| identity(principal).map(|it| format!("{} {}", it.kind, it.name));
        assert_eq!(shown("user:jane.roe_example.com").as_deref(), Ok("user JANE.ROE@EXAMPLE.COM"));
        assert_eq!(shown("user:a_b_dom.it").as_deref(), Ok("user A_B@DOM.IT"));
        assert_eq!(shown("user:joe").as_deref(), Ok("user JOE"));
        assert_eq!(shown("group:dev team").as_deref(), Ok("group DEV TEAM"));
        assert_eq!(shown("network-data").as_deref(), Ok("group NETWORK-DATA"));
        for principal in ["", "user:", "group: ", "urn:x:y", "service:a"] {
            assert!(shown(principal).is_err(), "{principal}");
        }
    }
}
