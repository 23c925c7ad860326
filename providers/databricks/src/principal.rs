//! Equality of principals. User names and application ids ignore case, and the API returns them in lower case:
//! <https://kb.databricks.com/administration/failed-to-add-user-error-due-to-email-or-username-already-existing-with-a-different-case>.
//! Group names are case-sensitive.

/// The normal form of a principal's name; the kind is derived from the name.
pub(crate) fn normalized(name: &str) -> String {
    if is_case_insensitive(name) { name.to_lowercase() } else { name.to_owned() }
}

/// The normal form for a known kind: `user`, `group` or `servicePrincipal`.
pub(crate) fn normalized_as(kind: &str, name: &str) -> String {
    if kind == "group" { name.to_owned() } else { name.to_lowercase() }
}

/// Returns true if both names mean the same principal.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    normalized(one) == normalized(other)
}

/// Returns true for a user name or application id, whose case is irrelevant.
pub(crate) fn is_case_insensitive(name: &str) -> bool {
    name.contains('@') || is_application(name)
}

/// Returns true for an application id: `11111111-2222-4333-8444-555555555555`.
fn is_application(name: &str) -> bool {
    let lengths = name.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && name.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_group_names_are_case_sensitive() {
        assert!(is_same("Jane.Roe@example.com", "jane.roe@EXAMPLE.com"));
        assert!(is_same("AAAAAAAA-2222-4333-8444-555555555555", "aaaaaaaa-2222-4333-8444-555555555555"));
        assert!(!is_same("Dev", "dev"));
        assert!(!is_same("AAAAAAAA-team", "aaaaaaaa-team"));
        assert_eq!(normalized_as("user", "Jane"), "jane");
        assert_eq!(normalized_as("group", "Jane@x"), "Jane@x");
    }
}
