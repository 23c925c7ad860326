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
    pub(crate) fn leaves(&self, plan: &Plan) -> bool {
        let takes_away = |word: &str| TAKING_AWAY.iter().any(|action| action.word() == word);
        changes(plan).all(|(of, action)| {
            self.changes.get(&of).is_some_and(|approved| {
                !takes_away(action.word()) || takes_away(approved) || approved == Action::Create.word()
            })
        })
    }

    /// The message for a plan that has changed. It names the first difference, if an action differs.
    pub(crate) fn outdated(&self, plan: &Plan) -> String {
        let now: BTreeMap<String, &str> = changes(plan).map(|(of, action)| (of, action.word())).collect();
        let is_other = |(of, word): &(&String, &&str)| self.changes.get(*of).is_none_or(|approved| approved != **word);
        let other = now.iter().find(is_other).map(|(of, _)| of);
        let other = other.or_else(|| self.changes.keys().find(|of| !now.contains_key(*of)));
        // A plan that an older server stored has no changes here.
        let about = other.filter(|_| !self.changes.is_empty()).map(|of| format!(" about `{of}`")).unwrap_or_default();
        format!("the plan is stale: its actions{about} have changed; plan again")
    }
}

const TAKING_AWAY: [Action; 3] = [Action::Delete, Action::Replace, Action::ReplaceCreateFirst];

fn changes(plan: &Plan) -> impl Iterator<Item = (String, Action)> {
    let planned = plan.changes().filter(|(_, change)| !matches!(change.action, Action::NoOp | Action::Read));
    planned.map(|(of, change)| (format!("{}:{}", change.stack(&of.stack), change.address), change.action))
}
