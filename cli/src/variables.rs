//! The environment of the process, read once.

use secrecy::SecretString;
use std::collections::BTreeMap;

/// A token without white space around it, such as the line break at the end of a file; `None` if no header can carry it.
pub(crate) fn token(text: &str) -> Option<SecretString> {
    let text = text.trim();
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())).then(|| text.into())
}

/// Environment variables by name.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    values: BTreeMap<String, String>,
    is_isolated: bool,
}

impl Variables {
    /// No variables. A configuration that reads a variable or a file gets a placeholder instead, so that nothing of this
    /// machine reaches an untrusted request.
    #[must_use]
    pub fn isolated() -> Self {
        Self { values: BTreeMap::new(), is_isolated: true }
    }

    /// True for [`Variables::isolated`].
    #[must_use]
    pub const fn is_isolated(&self) -> bool {
        self.is_isolated
    }

    /// Variables of this process. Leaves out those that are not UTF-8: terrace has no such settings.
    #[must_use]
    pub fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self { values: std::env::vars_os().filter_map(text).collect(), is_isolated: false }
    }

    /// The value of a variable; an empty one counts as absent.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// Variables with a prefix, by the rest of their names.
    pub fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.values.iter().filter_map(move |(name, value)| {
            let rest = name.strip_prefix(prefix).filter(|rest| !rest.is_empty())?;
            Some((rest, value.as_str()))
        })
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Variables {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Self {
        let values = pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { values, is_isolated: false }
    }
}
