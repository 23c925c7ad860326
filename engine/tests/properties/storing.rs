//! Storage of secrets in a test history: sealed, in the clear, or in the clear for some steps only.

use super::stack::SECRET;
use crate::support::Story;
use crate::support::story::KEY;
use proptest::prelude::*;
use std::sync::Arc;
use terrace_engine::plan::{Plan, file};
use terrace_engine::seal::Seal;

/// The error of a step with a new secret, where new secrets are refused.
pub(super) const UNSTORABLE: &str = "a sensitive value cannot be stored without a state key";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Storing {
    /// With a state key.
    Sealed,
    /// Without a key, with consent.
    InClear,
    /// Without a key, and with consent for some steps only.
    InClearAtTimes,
}

pub(super) fn storing() -> impl Strategy<Value = Storing> {
    prop_oneof![6 => Just(Storing::Sealed), 1 => Just(Storing::InClear), 1 => Just(Storing::InClearAtTimes)]
}

impl Storing {
    /// Starts the next run, which has opened no values yet.
    pub(super) fn begin(self, story: &mut Story, allows_plaintext: bool) {
        story.seal = Arc::new(match self {
            Self::Sealed => Seal::with_key(KEY, &[]).unwrap(),
            Self::InClear => Seal::without_key(true),
            Self::InClearAtTimes => Seal::without_key(allows_plaintext),
        });
    }

    /// Checks that sealed values appear nowhere in the clear.
    pub(super) async fn check(self, story: &Story) {
        if self == Self::Sealed {
            let recorded = recorded(story).await;
            // A provider makes the second one from the first.
            for secret in [SECRET, "renewed"] {
                let before = recorded.split_once(secret).map(|(before, _)| before);
                assert_eq!(
                    before.map(|before| &before[before.len().saturating_sub(300)..]),
                    None,
                    "the text before the secret"
                );
            }
        }
    }
}

/// True when new secrets are refused.
pub(super) fn is_refusing(story: &Story) -> bool {
    !story.seal.can_store_new()
}

/// Checks that a plan's file has no secret in the clear.
pub(super) fn check_file(plan: &Plan, seal: &Seal) {
    if seal.has_key() {
        let text = file::write(plan, seal).unwrap();
        assert!(!text.contains(SECRET), "{text}");
    }
}

/// The full content of a store, with history and open steps.
pub(super) async fn recorded(story: &Story) -> String {
    let mut text = format!("{:?}", story.store.snapshot(None, true).await.unwrap());
    for stack in story.store.stacks().await.unwrap() {
        let open = story.store.open_intents(&stack, &terrace_engine::store::Selection::All).await.unwrap();
        text.push_str(&format!("{open:?}"));
    }
    text
}
