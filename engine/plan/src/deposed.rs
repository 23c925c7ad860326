//! Deposed objects: those that a replacement removed from their address and that still exist.

use super::Change;
use terrace_language::action::Action;
use terrace_provider::Value;
use uuid::Uuid;

/// The key of an object that an operation deposes: the last bytes of the operation's id, which are random.
#[must_use]
pub fn deposed_key(operation: Uuid) -> String {
    let [.., a, b, c, d] = operation.into_bytes();
    format!("{:08x}", u32::from_be_bytes([a, b, c, d]))
}

impl Change {
    /// The deposed key of the object that the removing step removes: the object's own key, or the key that a create-before-destroy
    /// replacement gives the old object.
    pub fn removed_key(&self, operation: Uuid) -> Option<String> {
        match self.action {
            Action::ReplaceCreateFirst => Some(deposed_key(operation)),
            _ => self.deposed.clone(),
        }
    }

    /// True if the object leaves the state: it is deleted, forgotten or retained.
    pub(crate) fn leaves_state(&self) -> bool {
        // A held-back change without a new object was a removal.
        let is_held_back = self.in_doubt.is_some() && (self.after.is_none() || self.deposed.is_some());
        is_held_back || !self.action.leaves_object()
    }

    /// True if the new object has the name of this deposed one, which has to be removed first.
    pub(crate) fn takes_name_of(&self, deposed: &Self) -> bool {
        let creates_object = self.deposed.is_none() && (self.action == Action::Create || self.action.is_replace());
        let (Some(after), Some(prior)) = (self.after.as_ref().filter(|_| creates_object), &deposed.basis.prior) else {
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
