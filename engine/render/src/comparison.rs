//! Comparison of two plans of the same stacks: the changes of a branch, apart from those that were pending before.

use super::markdown::escape::code;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use terrace_language::address::ComponentKey;
use terrace_language::text::{counted, narrowed, visible};
use terrace_plan::{Change, Plan};

/// Maximum number of rows in Markdown: a comment has a limit.
const MOST_ROWS: usize = 40;
/// Maximum width of a cell in Markdown, in characters.
const WIDEST: usize = 120;

/// The effect of a branch on a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Only the plan of the branch has the change.
    Added,
    /// Both plans change the resource, in different ways.
    Changed,
    /// Only the plan of the base has the change.
    Dropped,
    /// Both plans have the same change.
    Pending,
}

impl Status {
    /// The word in all forms.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Dropped => "dropped",
            Self::Pending => "pending",
        }
    }
}

/// A change in either plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComparedChange {
    /// The stack.
    pub stack: String,
    /// The component.
    pub component: ComponentKey,
    /// The address, with the key of a deposed object.
    pub address: String,
    /// The action: that of the branch, or of the base if the branch drops the change.
    pub action: &'static str,
    /// The effect of the branch.
    pub status: Status,
}

/// The changes of two plans, by stack, component and address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// The name of the base, as the user wrote it; empty for a commit without a name.
    pub reference: String,
    /// The commit of the base.
    pub commit: String,
    /// The changes.
    pub changes: Vec<ComparedChange>,
    /// True if the plan has several stacks: then components need the names of their stacks.
    has_several_stacks: bool,
}

impl Comparison {
    /// Compares the plan of a branch with that of its base. A base without the descriptor has no plan.
    #[must_use]
    pub fn new(reference: &str, commit: &str, base: Option<&Plan>, branch: &Plan) -> Self {
        let has_several_stacks = branch.stacks.len() > 1;
        let (base, branch) = (base.map(changes).unwrap_or_default(), changes(branch));
        let keys: std::collections::BTreeSet<&Key> = base.keys().chain(branch.keys()).collect();
        let compared = keys.into_iter().filter_map(|key| {
            let (status, change) = match (base.get(key), branch.get(key)) {
                (Some(base), Some(branch)) if is_same(base, branch) => (Status::Pending, branch),
                (Some(_), Some(branch)) => (Status::Changed, branch),
                (None, Some(branch)) => (Status::Added, branch),
                (Some(base), None) => (Status::Dropped, base),
                (None, None) => return None,
            };
            let (stack, component, address) = key.clone();
            Some(ComparedChange { stack, component, address, action: change.action.word(), status })
        });
        Self {
            reference: reference.to_owned(),
            commit: commit.to_owned(),
            changes: compared.collect(),
            has_several_stacks,
        }
    }

    fn count(&self, status: Status) -> usize {
        self.changes.iter().filter(|change| change.status == status).count()
    }

    /// The component, or the stack for its own resources. With several stacks, the component has the name of its stack.
    fn group_name(&self, change: &ComparedChange) -> String {
        let is_alone = !self.has_several_stacks && self.changes.iter().all(|other| other.stack == change.stack);
        match (change.component.is_stack(), is_alone) {
            (true, _) => change.stack.clone(),
            (false, true) => change.component.to_string(),
            (false, false) => format!("{}:{}", change.stack, change.component),
        }
    }

    /// A sentence with the counts.
    fn summary(&self) -> String {
        let parts = [
            (Status::Added, "added by this branch"),
            (Status::Changed, "changed by this branch"),
            (Status::Dropped, "dropped by this branch"),
            (Status::Pending, "pending already"),
        ];
        let counts = parts.iter().map(|(status, words)| (self.count(*status), words)).filter(|(count, _)| *count > 0);
        let counts: Vec<String> = counts.map(|(count, words)| format!("{count} {words}")).collect();
        match counts.is_empty() {
            true => "no changes".to_owned(),
            false => counts.join(", "),
        }
    }

    fn short_commit(&self) -> &str {
        const DIGITS: usize = 10;
        self.commit.get(..DIGITS).unwrap_or(&self.commit)
    }

    /// The comparison for a terminal, whose width is unlimited without a number of columns.
    #[must_use]
    pub fn human(&self, width: Option<usize>) -> String {
        let reference = visible(&self.reference);
        let summary = format!("Compared with `{reference}` ({}): {}", self.short_commit(), self.summary());
        let mut text = format!("{}\n", narrowed(&summary, width.unwrap_or_default(), 2));
        let mut last = None;
        for change in &self.changes {
            let group = (&change.stack, &change.component);
            if last != Some(group) {
                text.push_str(&format!("\n  {}\n", visible(&self.group_name(change))));
                last = Some(group);
            }
            let address = visible(&change.address);
            text.push_str(&format!("    {:<8} {:<8} {address}\n", change.status.word(), change.action));
        }
        text
    }

    /// The comparison for a comment: a table of at most 40 changes, those of the branch first.
    #[must_use]
    pub fn markdown(&self) -> String {
        let commit = code(self.short_commit(), WIDEST);
        let base = match self.reference.is_empty() {
            true => format!("the commit {commit}"),
            false => format!("{} ({commit})", code(&self.reference, WIDEST)),
        };
        let mut text = format!("### Compared with {base}\n\n{}\n", self.summary());
        if self.changes.is_empty() {
            return text;
        }
        text.push_str("\n| component | change | address | |\n|---|---|---|---|\n");
        let mut rows: Vec<&ComparedChange> = self.changes.iter().collect();
        rows.sort_by_key(|change| change.status);
        for change in rows.iter().take(MOST_ROWS) {
            let (component, address) = (code(&self.group_name(change), WIDEST), code(&change.address, WIDEST));
            text.push_str(&format!("| {component} | {} | {address} | {} |\n", change.action, change.status.word()));
        }
        if rows.len() > MOST_ROWS {
            text.push_str(&format!("\n… and {}\n", counted(rows.len() - MOST_ROWS, "more changes")));
        }
        text
    }

    /// The comparison for programs.
    #[must_use]
    pub fn json(&self) -> Json {
        let change = |change: &ComparedChange| {
            json!({
                "stack": change.stack,
                "component": change.component,
                "address": change.address,
                "action": change.action,
                "status": change.status.word(),
            })
        };
        let changes: Vec<Json> = self.changes.iter().map(change).collect();
        json!({"ref": self.reference, "commit": self.commit, "changes": changes})
    }
}

/// Stack, component and address.
type Key = (String, ComponentKey, String);

fn changes(plan: &Plan) -> BTreeMap<Key, &Change> {
    let changes = plan.changes().filter(|(_, change)| change.is_change());
    changes
        .map(|(stack, change)| {
            let deposed = change.deposed.as_ref().map(|key| format!(" (deposed {key})")).unwrap_or_default();
            let address = format!("{}{deposed}", change.address);
            ((change.stack(&stack.stack).to_string(), change.address.component.clone(), address), change)
        })
        .collect()
}

/// True if two changes do the same to the same object.
fn is_same(one: &Change, other: &Change) -> bool {
    let after =
        |change: &Change| change.after.as_ref().map(|after| (after.attributes.clone(), after.write_only.clone()));
    one.action == other.action && one.moved_from == other.moved_from && after(one) == after(other)
}
