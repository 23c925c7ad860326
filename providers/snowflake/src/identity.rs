//! `identity(ref, "snowflake")`: users are called by their address in capitals, groups are roles.

use terrace_provider::Principal;

/// Maps a principal: `user:jane.roe_example.com` to the user `JANE.ROE@EXAMPLE.COM`, `group:dev` and a bare `dev` to the
/// role `DEV`.
///
/// # Errors
/// When it is neither, or nameless.
pub(crate) fn identity(principal: &str) -> Result<Principal, String> {
    let known = Principal::by_address(principal).ok_or_else(|| {
        format!(
            "`{principal}` is no user and no group that Snowflake could know: write `user:…` or `group:…`, or map it in `identities.table`"
        )
    })?;
    Ok(Principal { name: known.name.to_uppercase(), ..known })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_capitals() {
        let shown = |principal| identity(principal).map(|it| format!("{} {}", it.kind, it.name));
        assert_eq!(shown("user:jane.roe_example.com").as_deref(), Ok("user JANE.ROE@EXAMPLE.COM"));
        assert_eq!(shown("dev team").as_deref(), Ok("group DEV TEAM"));
        assert!(shown("service:a").is_err());
    }
}
