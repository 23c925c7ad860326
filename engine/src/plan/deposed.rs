//! Objects that go, and those that are still there though another took their place.

use super::Change;
use crate::action::Action;
use terrace_provider::Value;
use uuid::Uuid;

/// The key under which an operation keeps an object that another took the place of: the end of its id, which is random.
#[must_use]
pub(crate) fn deposed_key(operation: Uuid) -> String {
    let [.., a, b, c, d] = operation.into_bytes();
    format!("{:08x}", u32::from_be_bytes([a, b, c, d]))
}

impl Change {
    /// The deposed key of the object that the removing step removes: its own, or the one under which the operation that
    /// replaces create-first keeps the old object.
    pub(crate) fn removed_key(&self, operation: Uuid) -> Option<String> {
        match self.action {
            Action::ReplaceCreateFirst => Some(deposed_key(operation)),
            _ => self.deposed.clone(),
        }
    }

    /// True when the object goes for good: it is deleted, forgotten or retained.
    pub(crate) fn is_given_up(&self) -> bool {
        // What is held back and has nothing to be made was to go.
        let is_held_back = self.in_doubt.is_some() && (self.after.is_none() || self.deposed.is_some());
        is_held_back || !self.action.leaves_object()
    }

    /// True when the object that is made has the name of this deposed one, which has to go before.
    pub(crate) fn takes_name_of(&self, deposed: &Self) -> bool {
        let is_made = self.deposed.is_none() && (self.action == Action::Create || self.action.is_replace());
        let (Some(after), Some(prior)) = (self.after.as_ref().filter(|_| is_made), &deposed.prior) else {
            return false;
        };
        let is_same = |(name, value): (&String, &Value)| {
            after.attributes.get(name).is_some_and(|planned| planned.is_same_as(value))
        };
        deposed.deposed.is_some()
            && deposed.address == self.address
            && !prior.identity.is_empty()
            && prior.identity.iter().all(is_same)
    }
}
