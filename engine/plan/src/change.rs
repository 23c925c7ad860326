//! The change of a resource, in parts: its effect, its reasons, the inputs of its computation, and the settings of its steps.

use super::{After, DataLossNote, Deferred, PlannedCheck, row_stack};
use terrace_language::action::{Action, Reason};
use terrace_language::address::{Address, StackId};
use terrace_language::descriptor::{CheckTime, Lifecycle};
use terrace_language::source::Place;
use terrace_provider::Path;
use terrace_provider::schema::Timeouts;
use terrace_store::Generation;
use terrace_store::record::Prior;

/// The change of a resource.
#[derive(Debug, Clone)]
pub struct Change {
    /// The resource.
    pub address: Address,
    /// The key of the deposed object, if the change is about one.
    pub deposed: Option<String>,
    /// The resource's former address, if it moved.
    pub moved_from: Option<Address>,
    /// The id in the import that adopts the object.
    pub import_id: Option<String>,
    /// The action.
    pub action: Action,
    /// The object after the change.
    pub after: Option<After>,
    /// The data that the change would destroy.
    pub data_loss: Option<DataLossNote>,
    /// The step in doubt that blocks the change.
    pub in_doubt: Option<InDoubt>,
    /// Its reasons.
    pub why: Why,
    /// The inputs of its computation.
    pub basis: Basis,
    /// The settings of its steps.
    pub how: How,
}

/// The reasons of a change.
#[derive(Debug, Clone, Default)]
pub struct Why {
    /// The planner's reason.
    pub reason: Option<Reason>,
    /// The provider's reasons, in its words.
    pub because: Vec<String>,
    /// The changed resources that `replaceTriggeredBy` names, if they are the reason.
    pub triggered_by: Vec<String>,
    /// The differences that need a replacement.
    pub replace_paths: Vec<Path>,
    /// The attributes that drifted: their remote values differ from the recorded ones.
    pub drift: Vec<Path>,
}

/// The inputs from which a change was computed.
#[derive(Debug, Clone, Default)]
pub struct Basis {
    /// The resource's declaration in the descriptor.
    pub place: Option<Place>,
    /// The generation of the row; 0 without a row.
    pub generation: Generation,
    /// The object as recorded and refreshed; `None` if it does not exist or is gone.
    pub prior: Option<Box<Prior>>,
    /// The attributes that may differ from the configuration.
    pub ignored: Vec<Path>,
}

/// The settings of a change's steps.
#[derive(Debug, Clone, Default)]
pub struct How {
    /// The provider instance.
    pub provider: String,
    /// The resources that it is applied after.
    pub depends_on: Vec<Address>,
    /// Its lifecycle settings, recorded with its row.
    pub lifecycle: Lifecycle,
    /// The time limits of its calls.
    pub timeouts: Timeouts,
    /// Its checks, as far as they are decided.
    pub checks: Vec<PlannedCheck>,
}

/// A step in doubt that blocks a change, with the text for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InDoubt {
    /// The last step of the resource itself.
    Own(String),
    /// The last step of another resource, which this one waits for.
    Held(String),
}

impl InDoubt {
    /// The text for people.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Own(text) | Self::Held(text) => text,
        }
    }
}

impl Change {
    /// The stack that holds the row: the plan's stack, or the pseudo-stack of shared resources.
    #[must_use]
    pub fn stack(&self, stack: &StackId) -> StackId {
        row_stack(stack, &self.address)
    }

    /// The undecided checks of a phase.
    pub fn waiting_checks(&self, when: CheckTime) -> impl Iterator<Item = (&PlannedCheck, &Deferred)> {
        let checks = self.how.checks.iter().filter(move |check| check.when == when);
        checks.filter_map(|check| Some((check, check.deferred.as_ref()?)))
    }

    /// True for any action but a no-op. Output changes and owner changes are counted separately.
    #[must_use]
    pub fn is_change(&self) -> bool {
        self.action != Action::NoOp || self.in_doubt.is_some() || self.moved_from.is_some()
    }

    /// True if the refresh found values to write to the state, for any action.
    #[must_use]
    pub fn has_refreshed(&self) -> bool {
        self.basis.prior.as_ref().is_some_and(|prior| prior.recorded.is_some())
    }

    /// True if the object stays and its lifecycle settings change. The row holds them, because protection and retention apply without a
    /// descriptor too.
    #[must_use]
    pub fn changes_lifecycle(&self) -> bool {
        self.is_kept() && self.basis.prior.as_ref().is_some_and(|prior| prior.lifecycle != self.how.lifecycle)
    }

    /// True if the object stays and a value recorded in plain text becomes sensitive.
    #[must_use]
    pub fn is_newly_sensitive(&self) -> bool {
        self.is_kept() && self.after.as_ref().is_some_and(|after| !after.newly_sensitive.is_empty())
    }

    /// True if the object stays and its recorded dependencies change.
    #[must_use]
    pub fn changes_dependencies(&self) -> bool {
        self.is_kept() && self.basis.prior.as_ref().is_some_and(|prior| prior.dependencies != self.how.depends_on)
    }

    /// True if the row has to be written although the object stays: the refresh, the lifecycle, the sensitivity or the dependencies differ.
    /// Without that write, rows of different times could depend on each other in a cycle.
    #[must_use]
    pub fn is_rewritten(&self) -> bool {
        let differs = self.changes_lifecycle() || self.changes_dependencies();
        self.has_refreshed() || differs || self.is_newly_sensitive()
    }

    fn is_kept(&self) -> bool {
        self.action == Action::NoOp && self.in_doubt.is_none() && self.after.is_some()
    }
}
