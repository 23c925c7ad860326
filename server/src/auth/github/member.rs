//! Members of a role at GitHub: a person, an organisation or a team. GitHub ignores the case of these names.

/// A holder of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Member {
    /// A person, by login.
    Person(String),
    /// The members of an organisation, by login.
    Organisation(String),
    /// The members of a team.
    Team {
        /// The login of its organisation.
        organisation: String,
        /// Its name in addresses.
        slug: String,
    },
}

/// An account with its organisations and teams.
#[derive(Debug, Clone, Default)]
pub(super) struct Account {
    pub(super) login: String,
    pub(super) organisations: Vec<String>,
    /// Organisations and slugs.
    pub(super) teams: Vec<(String, String)>,
}

impl Member {
    /// Reads `@login`, `organisation` or `organisation/team-slug`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(login) = text.strip_prefix('@') {
            return is_name(login).then(|| Self::Person(login.to_owned()));
        }
        match text.split_once('/') {
            Some((organisation, slug)) => (is_name(organisation) && is_name(slug))
                .then(|| Self::Team { organisation: organisation.to_owned(), slug: slug.to_owned() }),
            None => is_name(text).then(|| Self::Organisation(text.to_owned())),
        }
    }

    /// The organisation that the member is, or belongs to.
    pub(super) fn organisation(&self) -> Option<&str> {
        match self {
            Self::Person(_) => None,
            Self::Organisation(organisation) | Self::Team { organisation, .. } => Some(organisation),
        }
    }

    /// Whether an account is the member, or belongs to it.
    pub(super) fn includes(&self, account: &Account) -> bool {
        match self {
            Self::Person(login) => login.eq_ignore_ascii_case(&account.login),
            Self::Organisation(login) => account.is_in(login),
            Self::Team { organisation, slug } => account
                .teams
                .iter()
                .any(|(owner, team)| owner.eq_ignore_ascii_case(organisation) && team.eq_ignore_ascii_case(slug)),
        }
    }
}

impl Account {
    /// Whether it belongs to an organisation.
    pub(super) fn is_in(&self, organisation: &str) -> bool {
        self.organisations.iter().any(|login| login.eq_ignore_ascii_case(organisation))
    }
}

/// The characters of logins and slugs. GitHub makes slugs of names with other characters.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_members_have_three_forms() {
        let team = Member::Team { organisation: "acme".to_owned(), slug: "data-engineers".to_owned() };
        assert_eq!(Member::parse("@ada"), Some(Member::Person("ada".to_owned())));
        assert_eq!(Member::parse("acme"), Some(Member::Organisation("acme".to_owned())));
        assert_eq!(Member::parse("acme/data-engineers"), Some(team));
        for wrong in
            ["", "@", "/", "acme/", "/data-engineers", "@acme/team", "acme/a/b", "a b", "acme/Data Engineers", "*"]
        {
            assert_eq!(Member::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn case_of_names_does_not_matter() {
        let account = Account {
            login: "Ada".to_owned(),
            organisations: vec!["Acme".to_owned()],
            teams: vec![("Acme".to_owned(), "data-engineers".to_owned())],
        };
        for (text, is_member) in [
            ("@ADA", true),
            ("@acme", false),
            ("acme", true),
            ("ada", false),
            ("ACME/Data-Engineers", true),
            ("other/data-engineers", false),
            ("acme/data", false),
        ] {
            assert_eq!(Member::parse(text).unwrap().includes(&account), is_member, "{text}");
        }
    }
}
