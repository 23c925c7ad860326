//! The bytes that travel with a row: the server's words for what was configured, and what was there before us.

use crate::mark::{Begun, CallName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use terrace_provider::Private;

/// What is remembered of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Memory {
    /// What was configured, and what the server made of it.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    words: BTreeSet<(String, String)>,
    /// Privileges that were there before our grant: they are not revoked with it.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) preexisting: BTreeSet<String>,
    /// The password that the role has goes: in a plan only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) forgets_password: bool,
    /// The call that is about to take effect, in the journal only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) begun: Option<Begun>,
}

impl Memory {
    /// Reads it; nothing is known where the bytes are of something else.
    pub(crate) fn read(private: &Private) -> Self {
        serde_json::from_slice(&private.0).unwrap_or_default()
    }

    /// As bytes; none where nothing is remembered.
    pub(crate) fn to_private(&self) -> Private {
        if *self == Self::default() {
            return Private::default();
        }
        Private(serde_json::to_vec(self).unwrap_or_default())
    }

    /// The same without what is to be done or under way: what a row keeps.
    pub(crate) fn settled(self) -> Self {
        Self { begun: None, forgets_password: false, ..self }
    }

    /// The same with the call that is about to take effect: what the journal keeps.
    pub(crate) fn beginning(&self, begun: Begun) -> Self {
        Self { begun: Some(begun), ..self.clone() }
    }

    /// True for what was journalled of a call.
    pub(crate) fn is_of(&self, call: &CallName) -> bool {
        self.begun.as_ref().is_some_and(|begun| begun.call == *call)
    }

    /// Remembers what the server made of a configured text, where that is another one.
    pub(crate) fn learn(&mut self, configured: &str, server: &str) {
        if configured != server {
            self.words.insert((configured.to_owned(), server.to_owned()));
        }
    }

    /// True when the server's text is what it made of the configured one.
    pub(crate) fn knows(&self, configured: &str, server: &str) -> bool {
        configured == server || self.words.contains(&(configured.to_owned(), server.to_owned()))
    }

    /// True when the server's words for a configured text are known, whatever they are.
    pub(crate) fn has(&self, configured: &str) -> bool {
        self.words.iter().any(|(known, _)| known == configured)
    }
}
