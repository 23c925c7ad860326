//! `identity(ref, "snowflake")`: users have their e-mail address in capitals, groups are roles.

use terrace_provider::Principal;

/// The principal of a reference: the user `JANE.ROE@EXAMPLE.COM` for `user:jane.roe_example.com`, the role `DEV` for
/// `group:dev` and `dev`.
///
/// # Errors
/// When it is neither, or has no name.
pub(crate) fn identity(principal: &str) -> Result<Principal, String> {
    let known = Principal::by_address(principal).ok_or_else(|| {
        format!(
            "`{principal}` is neither a user nor a group: write `user:…` or `group:…`, or map it in `identities.table`"
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
