//! `identity(ref, "databricks")`: users are called by their address as it is written, groups by their display name.

use terrace_provider::Principal;

/// Maps a principal: `user:jane.roe_example.com` to the user `jane.roe@example.com` (the last `_` was an `@`), `group:dev` and a
/// bare `dev` to the group `dev`.
///
/// # Errors
/// When it is neither, or nameless.
pub(crate) fn identity(principal: &str) -> Result<Principal, String> {
    let unmapped = || {
        format!(
            "`{principal}` is no user and no group that Databricks could know: write `user:…` or `group:…`, or map it in `identities.table`"
        )
    };
    let named = |name: &str| if name.trim().is_empty() { Err(unmapped()) } else { Ok(name.to_owned()) };
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
    fn principals_are_users_and_groups_in_the_case_in_which_they_are_written() {
        let shown = |principal| identity(principal).map(|it| format!("{} {}", it.kind, it.name));
        assert_eq!(shown("user:John.Doe_agilelab.it").as_deref(), Ok("user John.Doe@agilelab.it"));
        assert_eq!(shown("user:a_b_dom.it").as_deref(), Ok("user a_b@dom.it"));
        assert_eq!(shown("user:joe").as_deref(), Ok("user joe"));
        assert_eq!(shown("group:Dev").as_deref(), Ok("group Dev"));
        assert_eq!(shown("dev").as_deref(), Ok("group dev"));
        assert!(shown("group:").is_err() && shown("role:x").is_err() && shown("").is_err());
    }
}
