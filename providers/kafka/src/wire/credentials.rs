//! SASL credentials.

use super::scram::Hash;
use std::fmt;
use terrace_provider::Sensitive;

/// A SASL mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mechanism {
    /// Sends the password itself.
    Plain,
    /// Sends a proof of the password (RFC 5802), with SHA-256 or SHA-512.
    Scram(Hash),
}

impl Mechanism {
    /// All mechanisms by their names in settings.
    pub(crate) const ALL: [(&'static str, Self); 3] = [
        ("PLAIN", Self::Plain),
        ("SCRAM-SHA-256", Self::Scram(Hash::Sha256)),
        ("SCRAM-SHA-512", Self::Scram(Hash::Sha512)),
    ];

    pub(super) fn name(self) -> &'static str {
        Self::ALL.into_iter().find_map(|(name, mechanism)| (mechanism == self).then_some(name)).unwrap_or_default()
    }
}

/// User name and password.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) mechanism: Mechanism,
    pub(crate) username: String,
    /// A string.
    pub(crate) password: Sensitive,
}

impl Credentials {
    pub(super) fn password(&self) -> &str {
        self.password.expose().as_str().unwrap_or_default()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {}", self.username, self.mechanism.name())
    }
}
