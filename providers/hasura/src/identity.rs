//! Principals of Hasura: the role mapper stores references unchanged and compares them with the token of a request.

use terrace_provider::Principal;

/// Keeps a reference (`user:ada_example.com`, `group:dev`). A bare name is a group.
pub(crate) fn identity(reference: &str) -> Result<Principal, String> {
    match reference.split_once(':') {
        Some(("user", name)) if !name.is_empty() => Ok(Principal { kind: "user", name: reference.to_owned() }),
        Some(("group", name)) if !name.is_empty() => Ok(Principal { kind: "group", name: reference.to_owned() }),
        None if !reference.is_empty() => Ok(Principal { kind: "group", name: format!("group:{reference}") }),
        _ => Err(format!("`{reference}` is neither `user:…` nor `group:…`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_stay_unchanged() {
        let name = |reference: &str| identity(reference).map(|it| (it.kind, it.name));
        assert_eq!(name("user:Ada_Example.com"), Ok(("user", "user:Ada_Example.com".to_owned())));
        assert_eq!(name("group:a b"), Ok(("group", "group:a b".to_owned())));
        assert_eq!(name("dev"), Ok(("group", "group:dev".to_owned())));
        assert!(name("user:").is_err() && name("robot:x").is_err() && name("").is_err());
    }
}
