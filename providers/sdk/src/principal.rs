//! Principals of grants, and their references in descriptors.

/// A user or a group that gets access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// `user` or `group`.
    pub kind: &'static str,
    /// The technology's name for it.
    pub name: String,
}

impl Principal {
    /// Reads a reference for a technology that identifies users by e-mail address. A reference has no `@`: the last `_`
    /// stands for it, so `user:jane.roe_example.com` is the user `jane.roe@example.com`. `group:dev` and `dev` are both
    /// the group `dev`. `None` for another kind, or if the name is empty.
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
    fn reference_names_a_user_by_address_or_a_group() {
        let read = |reference| Principal::by_address(reference).map(|it| (it.kind, it.name));
        let user = |name: &str| Some(("user", name.to_owned()));
        let group = |name: &str| Some(("group", name.to_owned()));
        assert_eq!(read("user:John.Doe_agilelab.it"), user("John.Doe@agilelab.it"));
        assert_eq!(read("user:a_b_dom.it"), user("a_b@dom.it"));
        assert_eq!(read("user:joe"), user("joe"));
        assert_eq!(read("user:_x"), user("_x"));
        assert_eq!(read("group:data_team x"), group("data_team x"));
        assert_eq!(read("network-data"), group("network-data"));
        for invalid in ["", "user:", "group: ", "urn:x:y", "service:a"] {
            assert_eq!(read(invalid), None, "{invalid}");
        }
    }
}
