//! Approved plans. The server plans again when it applies a plan, and again after the applying process died; the new
//! plan has to match the approved one.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use terrace_engine::action::Action;
use terrace_engine::plan::Plan;

/// The digest of a plan and its changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Approved {
    pub(crate) digest: String,
    /// The word of each action, by stack and address.
    #[serde(default)]
    changes: BTreeMap<String, String>,
}

impl Approved {
    pub(crate) fn new(digest: String, plan: &Plan) -> Self {
        Self { digest, changes: changes(plan).map(|(of, action)| (of, action.word().to_owned())).collect() }
    }

    /// Whether a plan is the rest of this one. It may change no other objects. It may delete or replace only where the
    /// approved plan did, or where a partly created object has to be recreated.
    pub(crate) fn is_remainder(&self, plan: &Plan) -> bool {
        let removes = |word: &str| REMOVALS.iter().any(|action| action.word() == word);
        changes(plan).all(|(of, action)| {
            self.changes.get(&of).is_some_and(|approved| {
                !removes(action.word()) || removes(approved) || approved == Action::Create.word()
            })
        })
    }

    /// The message for a plan that has changed. It names the first difference, if an action differs.
    pub(crate) fn stale_message(&self, plan: &Plan) -> String {
        let now: BTreeMap<String, &str> = changes(plan).map(|(of, action)| (of, action.word())).collect();
        let has_changed =
            |(of, word): &(&String, &&str)| self.changes.get(*of).is_none_or(|approved| approved != **word);
        let changed = now.iter().find(has_changed).map(|(of, _)| of);
        let changed = changed.or_else(|| self.changes.keys().find(|of| !now.contains_key(*of)));
        // A plan that an older server stored has no changes here.
        let subject =
            changed.filter(|_| !self.changes.is_empty()).map(|of| format!(" about `{of}`")).unwrap_or_default();
        format!("the plan is stale: its actions{subject} have changed; plan again")
    }
}

const REMOVALS: [Action; 3] = [Action::Delete, Action::Replace, Action::ReplaceCreateFirst];

fn changes(plan: &Plan) -> impl Iterator<Item = (String, Action)> {
    let planned = plan.changes().filter(|(_, change)| !matches!(change.action, Action::NoOp | Action::Read));
    planned.map(|(of, change)| (format!("{}:{}", change.stack(&of.stack), change.address), change.action))
}
