//! Who is granted something, and how descriptors refer to them.

/// Who is granted something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// `user` or `group`.
    pub kind: &'static str,
    /// The technology's name for it.
    pub name: String,
}

impl Principal {
    /// Reads a reference for a technology that calls users by their address: `user:jane.roe_example.com` is the user
    /// `jane.roe@example.com` (a reference has no `@`; the last `_` stands for it), `group:dev` and a bare `dev` are
    /// the group `dev`. `None` for another kind, and where the name is empty.
    #[must_use]
    pub fn by_address(reference: &str) -> Option<Self> {
        let (kind, name) = match reference.split_once(':') {
            Some(("user", name)) => ("user", name),
            Some(("group", name)) => ("group", name),
            Some(_) => return None,
            None => ("group", reference),
        };
        if name.trim().is_empty() {
            return None;
        }
        let name = match (kind, name.rsplit_once('_')) {
            ("user", Some((before, after))) if !before.is_empty() && !after.is_empty() => format!("{before}@{after}"),
            _ => name.to_owned(),
        };
        Some(Self { kind, name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_users_by_their_address_and_groups() {
        let read = |reference| Principal::by_address(reference).map(|it| (it.kind, it.name));
        let user = |name: &str| Some(("user", name.to_owned()));
        let group = |name: &str| Some(("group", name.to_owned()));
        assert_eq!(read("user:John.Doe_agilelab.it"), user("John.Doe@agilelab.it"));
        assert_eq!(read("user:a_b_dom.it"), user("a_b@dom.it"));
        assert_eq!(read("user:joe"), user("joe"));
        assert_eq!(read("user:_x"), user("_x"));
        assert_eq!(read("group:data_team x"), group("data_team x"));
        assert_eq!(read("network-data"), group("network-data"));
        for nobody in ["", "user:", "group: ", "urn:x:y", "service:a"] {
            assert_eq!(read(nobody), None, "{nobody}");
        }
    }
}
