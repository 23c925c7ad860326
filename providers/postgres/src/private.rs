//! Private bytes of a row: the server's text for configured values, and earlier privileges.

use crate::mark::{Begun, CallName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use terrace_provider::Private;

/// Recorded facts about an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Memory {
    /// Configured texts with the server's text for each.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    words: BTreeSet<(String, String)>,
    /// Privileges that the role had before the grant: terrace does not revoke them with it.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) preexisting: BTreeSet<String>,
    /// True if the role's password is to be removed; only in a plan.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) forgets_password: bool,
    /// The call that is about to take effect; only in the journal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) begun: Option<Begun>,
}

impl Memory {
    /// Reads private bytes; empty if they are not valid.
    pub(crate) fn read(private: &Private) -> Self {
        serde_json::from_slice(&private.0).unwrap_or_default()
    }

    /// The private bytes; empty if nothing is recorded.
    pub(crate) fn to_private(&self) -> Private {
        if *self == Self::default() {
            return Private::default();
        }
        Private(serde_json::to_vec(self).unwrap_or_default())
    }

    /// The part for a row, without pending actions and calls.
    pub(crate) fn settled(self) -> Self {
        Self { begun: None, forgets_password: false, ..self }
    }

    /// The part for the journal, with the call that is about to take effect.
    pub(crate) fn journal_entry(&self, begun: Begun) -> Self {
        Self { begun: Some(begun), ..self.clone() }
    }

    /// True for the journal entry of this call.
    pub(crate) fn is_of(&self, call: &CallName) -> bool {
        self.begun.as_ref().is_some_and(|begun| begun.call == *call)
    }

    /// Records the server's text for a configured text, if they differ.
    pub(crate) fn learn(&mut self, configured: &str, server: &str) {
        if configured != server {
            self.words.insert((configured.to_owned(), server.to_owned()));
        }
    }

    /// True if the server's text belongs to the configured text.
    pub(crate) fn knows(&self, configured: &str, server: &str) -> bool {
        configured == server || self.words.contains(&(configured.to_owned(), server.to_owned()))
    }

    /// True if the server's text for a configured text is known.
    pub(crate) fn has(&self, configured: &str) -> bool {
        self.words.iter().any(|(known, _)| known == configured)
    }
}
