//! Roles of principals in descriptors: `identity(ref, "postgres")`.

use terrace_provider::Principal;

/// The role of a principal: `jane.roe@example.com` for `user:jane.roe_example.com`, and `readers` for `group:readers`
/// and `readers`.
///
/// # Errors
/// For an invalid reference.
pub(crate) fn principal(reference: &str) -> Result<Principal, String> {
    let (kind, name) = match reference.split_once(':') {
        Some(("user", name)) => ("user", name),
        Some(("group", name)) => ("group", name),
        Some((kind, _)) => return Err(format!("`{reference}` is neither a `user:` nor a `group:` but a `{kind}:`")),
        None => ("group", reference),
    };
    if name.is_empty() {
        return Err(format!("`{reference}` has no name"));
    }
    // References cannot contain the `@` of an address: the last `_` stands for it.
    let name = match (kind, name.rsplit_once('_')) {
        ("user", Some((local, domain))) if !local.is_empty() && domain.contains('.') => format!("{local}@{domain}"),
        _ => name.to_owned(),
    };
    Ok(Principal { kind, name })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(reference: &str) -> Result<(&'static str, String), String> {
        principal(reference).map(|it| (it.kind, it.name))
    }

    #[test]
    fn principals_are_roles() {
        assert_eq!(of("user:jane.roe_example.com"), Ok(("user", "jane.roe@example.com".to_owned())));
        assert_eq!(of("user:jane_roe_example.com"), Ok(("user", "jane_roe@example.com".to_owned())));
        assert_eq!(of("user:jane_roe"), Ok(("user", "jane_roe".to_owned())));
        assert_eq!(of("group:data_readers"), Ok(("group", "data_readers".to_owned())));
        assert_eq!(of("readers"), Ok(("group", "readers".to_owned())));
        for wrong in ["", "user:", "robot:x"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
