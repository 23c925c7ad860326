//! Who is who. Names of users and application ids of service principals are the same in any case, and the API writes them in
//! lower case: <https://kb.databricks.com/administration/failed-to-add-user-error-due-to-email-or-username-already-existing-with-a-different-case>.
//! Names of groups are not.

/// The one form that somebody is told apart by, whose kind only the name tells.
pub(crate) fn told_apart(name: &str) -> String {
    if knows_no_case(name) { name.to_lowercase() } else { name.to_owned() }
}

/// The same, where the kind is known: `user`, `group` or `servicePrincipal`.
pub(crate) fn told_apart_as(kind: &str, name: &str) -> String {
    if kind == "group" { name.to_owned() } else { name.to_lowercase() }
}

/// Whether two names are of one.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    told_apart(one) == told_apart(other)
}

/// Whether a name is no group's: of those the API tells others of another case apart.
pub(crate) fn knows_no_case(name: &str) -> bool {
    name.contains('@') || is_application(name)
}

/// Whether a name is an application id: `11111111-2222-4333-8444-555555555555`.
fn is_application(name: &str) -> bool {
    let lengths = name.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && name.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_service_principals_are_the_same_in_any_case_and_groups_are_not() {
        assert!(is_same("Jane.Roe@example.com", "jane.roe@EXAMPLE.com"));
        assert!(is_same("AAAAAAAA-2222-4333-8444-555555555555", "aaaaaaaa-2222-4333-8444-555555555555"));
        assert!(!is_same("Dev", "dev"));
        assert!(!is_same("AAAAAAAA-team", "aaaaaaaa-team"));
        assert_eq!(told_apart_as("user", "Jane"), "jane");
        assert_eq!(told_apart_as("group", "Jane@x"), "Jane@x");
    }
}
