//! The plan: one inert value that says all that apply will do, and from what it was computed.
//!
//! Apply reads nothing else but the rows it names: not the descriptor, not blueprints, not variables. A saved plan is
//! this value in a file ([`file`]), a rendered plan is this value in words ([`crate::render`]).

pub mod access;
pub(crate) mod adoption;
mod check_adopt_conflict;
mod check_duplicate_identity;
mod check_lookup_of_removed;
mod check_rename_circles;
mod check_renamed_stack;
pub(crate) mod checks;
mod components;
pub mod compute;
pub mod console;
pub mod contract;
mod counts;
pub(crate) mod cross_stack_outputs;
mod deferral;
mod deposed;
mod destroy_unmanaged;
pub mod external_grants;
pub mod file;
pub mod ids;
pub(crate) mod ignored;
mod import;
pub(crate) mod in_doubt;
pub(crate) mod inconsistent;
pub(crate) mod key;
mod lookup;
mod lookup_dependencies;
mod mode;
mod moved;
mod needed;
mod newly_sensitive;
mod note;
mod object_identity;
mod options;
mod orphans;
mod output_reads;
mod outputs;
mod owner;
mod place;
mod read_set;
pub(crate) mod refresh;
mod refresh_cache;
mod refresh_only;
pub mod removed_data;
mod replacement;
pub(crate) mod resource;
pub mod rollback;
mod run;
pub(crate) mod scope;
pub(crate) mod shared;
pub(crate) mod steps;
mod storable;
mod target_validation;
mod targeting;
mod triggers;
pub mod typecheck;
mod upgrade;
pub(crate) mod walk;

pub use counts::Counts;
pub use deferral::{DeferralReason, DeferredChange};
pub(crate) use deposed::deposed_key;

use crate::access::Access;
use crate::action::{Action, Reason};
use crate::address::{Address, StackId};
use crate::descriptor::{CheckTime, Lifecycle};
use crate::expression::{Captured, Template};
use crate::source::Place;
use crate::store::{Generation, Ids, Ownership, Read, RowStatus, StackRead};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use terrace_provider::schema::Timeouts;
use terrace_provider::{Attributes, Path, Private, Value};
use uuid::Uuid;

pub use cross_stack_outputs::{OtherOutputs, StackNeed};
pub use destroy_unmanaged::NOT_LOOKED_FOR;
pub use lookup::{Lookup, ReadReason};
pub use mode::Mode;
pub use note::Note;
pub use output_reads::OutputRead;
pub(crate) use output_reads::{outputs_in_words, owner_in_words};
pub use owner::{OwnerAction, OwnerChange, SharedName};
pub use removed_data::DataLossNote;
pub use shared::SharedDeclaration;

/// The ordered changes of one or more stacks, and what they were computed from.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Names the plan; a plan is applied once.
    pub id: Uuid,
    /// When it was made.
    pub timestamp: Timestamp,
    /// By which terrace.
    pub terrace_version: String,
    /// The store that its rows are in; nil when there was none yet.
    pub state: Uuid,
    /// Where that store was, for people.
    pub state_url: String,
    /// The environment.
    pub environment: String,
    /// What the plan's header says of the environment: `embedded environment: …`.
    pub environment_note: Option<String>,
    /// What it was asked for.
    pub mode: Mode,
    /// It carries out all that is described; false with `-c` or when parts were deferred.
    pub is_complete: bool,
    /// Planning met an error: it can be shown, not applied.
    pub is_errored: bool,
    /// What it was computed from.
    pub origin: Origin,
    /// The stacks.
    pub stacks: Vec<StackPlan>,
    /// Every row that is changed or gives a value, with its generation.
    pub reads: Vec<Read>,
    /// What planning had to say.
    pub notes: Vec<Note>,
}

/// What a plan was computed from. Digests are SHA-256 in hexadecimal.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Origin {
    /// Digest of each descriptor file by name.
    pub descriptors: BTreeMap<String, String>,
    /// Digest of each blueprint by name.
    pub blueprints: BTreeMap<String, String>,
    /// Provider and version of each instance that has a part in it: `sqlite 0.1.0`.
    pub providers: BTreeMap<String, String>,
    /// Digest of the settings of each of these instances, without secrets.
    pub settings: BTreeMap<String, String>,
}

/// The plan of one stack.
#[derive(Debug, Clone)]
pub struct StackPlan {
    /// The stack.
    pub stack: StackId,
    /// Its components in the order of the descriptor, then those that are only recorded.
    pub components: Vec<ComponentPlan>,
    /// The changes, by component order, then address. Shared resources come first.
    pub changes: Vec<Change>,
    /// The outputs.
    pub outputs: Vec<OutputChange>,
    /// What is left for another apply.
    pub deferred: Vec<DeferredChange>,
    /// Its own checks, which warn.
    pub checks: Vec<PlannedCheck>,
    /// The lookups, those that were answered while planning included.
    pub lookups: Vec<Lookup>,
    /// What its components read of other stacks.
    pub needs: Vec<StackNeed>,
    /// What they read of stacks that are not in the plan, as recorded.
    pub others: Vec<OtherOutputs>,
    /// The recorded outputs that the plan stands on.
    pub output_reads: Vec<OutputRead>,
    /// Shared rows that get or lose an owner, or that an owner declares anew.
    pub owners: Vec<OwnerChange>,
    /// Who owned the shared objects that its changes are about when the plan was made.
    pub owned: Vec<Ownership>,
}

/// A component within a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct ComponentPlan {
    /// Its key.
    pub key: String,
    /// Its URN, by which others may read its outputs.
    pub id: Option<String>,
    /// What it and its data product are called where they come from.
    pub ids: Option<Ids>,
    /// The components it depends on.
    pub depends_on: Vec<String>,
    /// The components it depended on, as recorded.
    pub depended_on: Vec<String>,
    /// The components of other stacks whose outputs it reads, or whose objects it looks at.
    pub reads: Vec<StackRead>,
    /// The components of other stacks that it read, as recorded.
    pub recorded_reads: Vec<StackRead>,
    /// The shared resources that it declares.
    pub shared: Vec<SharedName>,
    /// The blueprint it was compiled with.
    pub blueprint: Option<String>,
    /// Where the descriptor describes it.
    pub place: Option<Place>,
    /// What the plan does about it.
    pub part: Part,
    /// Parts of it, or all of it, are left for another apply.
    pub is_deferred: bool,
    /// Its outputs as recorded, when the plan leaves it alone: others read them.
    pub recorded_outputs: Attributes,
    /// Who has access to it; `None` where nobody ever said.
    pub access: Option<Access>,
    /// Who had, as recorded.
    pub recorded_access: Option<Access>,
    /// The resources, by type and name, that exist for who has access.
    pub grants: Vec<(String, String)>,
}

/// What a plan does about a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// It is planned.
    Planned,
    /// It is left alone.
    Untouched,
    /// It goes.
    Removed,
}

/// What is done to one resource.
#[derive(Debug, Clone)]
pub struct Change {
    /// The resource.
    pub address: Address,
    /// The deposed object of it, when the change is about that.
    pub deposed: Option<String>,
    /// The address that it had until now.
    pub moved_from: Option<Address>,
    /// What its provider knows the object by, when it is taken over because an import says so.
    pub import_id: Option<String>,
    /// What is done.
    pub action: Action,
    /// Why.
    pub reason: Option<Reason>,
    /// Why, in the words of its provider.
    pub because: Vec<String>,
    /// Where it is declared.
    pub place: Option<Place>,
    /// The provider instance.
    pub provider: String,
    /// The version of the row that the change was computed from; 0 when there is none.
    pub generation: Generation,
    /// The object as recorded and refreshed; `None` when there is none, or when it is gone.
    pub prior: Option<Box<Prior>>,
    /// The object to be.
    pub after: Option<After>,
    /// The differences that need a new object.
    pub replace_paths: Vec<Path>,
    /// What `replaceTriggeredBy` names and what changes, when that is the reason.
    pub triggered_by: Vec<String>,
    /// What may differ from what is configured.
    pub ignored: Vec<Path>,
    /// The attributes that differ from what was recorded, outside any change of ours.
    pub drift: Vec<Path>,
    /// The resources that it comes after.
    pub depends_on: Vec<Address>,
    /// How it behaves, recorded with its row.
    pub lifecycle: Lifecycle,
    /// How long its calls may take.
    pub timeouts: Timeouts,
    /// The data that would be lost.
    pub data_loss: Option<DataLossNote>,
    /// Its checks, with what is known of them.
    pub checks: Vec<PlannedCheck>,
    /// Something keeps the change from being carried out: its recorded step is in doubt, or that of another one.
    pub in_doubt: Option<String>,
    /// The step in doubt is that of another resource, which this one waits for.
    pub is_held_back: bool,
}

/// A check, as far as it could be decided while planning.
#[derive(Debug, Clone)]
pub struct PlannedCheck {
    /// When it is decided, at the latest.
    pub when: CheckTime,
    /// What to say when it is not met.
    pub error: String,
    /// Where it stands.
    pub place: Option<Place>,
    /// What is known.
    pub status: CheckStatus,
    /// Why it could not be decided, when that failed it.
    pub problem: Option<String>,
    /// How to decide it when what it waits for is known.
    pub deferred: Option<Deferred>,
}

/// What is known of a check, from good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckStatus {
    /// It is met.
    Pass,
    /// It waits for what is known after apply.
    Unknown,
    /// It is not met.
    Fail,
    /// It cannot be decided, which fails it.
    Error,
}

/// An object before a change.
#[derive(Debug, Clone, PartialEq)]
pub struct Prior {
    /// What is known of it.
    pub status: RowStatus,
    /// The attributes that name it.
    pub identity: Attributes,
    /// All attributes, refreshed.
    pub attributes: Attributes,
    /// The attributes as recorded, where refreshing found others.
    pub recorded: Option<Attributes>,
    /// The provider's bytes.
    pub private: Private,
    /// The resources that it was made after.
    pub dependencies: Vec<Address>,
    /// Change detectors of write-only attributes.
    pub write_only: BTreeMap<String, String>,
    /// Digests of planned values that the system returned differently.
    pub inconsistent: BTreeMap<String, String>,
    /// How it behaves, as recorded.
    pub lifecycle: Lifecycle,
}

/// An object after a change.
#[derive(Debug, Clone)]
pub struct After {
    /// The planned attributes; what is not known yet is unknown.
    pub attributes: Attributes,
    /// The provider's bytes.
    pub private: Private,
    /// The configuration, to be evaluated again when what it waits for is known.
    pub deferred: Option<Deferred>,
    /// Change detectors of write-only attributes.
    pub write_only: BTreeMap<String, String>,
    /// The attributes that stay what they are and are sensitive from now on.
    pub newly_sensitive: Vec<Path>,
}

/// A configuration that waits for values of other resources.
#[derive(Debug, Clone)]
pub struct Deferred {
    /// The component in whose scope it is evaluated: that of a shared resource is the one that declares it.
    pub component: String,
    /// The configuration, or the value.
    pub template: Arc<Template>,
    /// The values it reads that do not wait.
    pub captured: Arc<Captured>,
}

/// What becomes of an output.
#[derive(Debug, Clone)]
pub struct OutputChange {
    /// The component; empty for the stack's own.
    pub component: String,
    /// The name.
    pub name: String,
    /// As recorded.
    pub before: Option<Value>,
    /// As planned; unknown when it waits. `None` when the output goes.
    pub after: Option<Value>,
    /// How to evaluate it when what it waits for is known.
    pub deferred: Option<Deferred>,
    /// It is recorded in the clear, and is sensitive from now on.
    pub is_newly_sensitive: bool,
    /// Who sees it.
    pub is_public: bool,
    /// A label for people.
    pub label: Option<String>,
}

impl Change {
    /// The stack whose row this is: that of the plan, or the pseudo-stack of shared resources.
    #[must_use]
    pub fn stack(&self, stack: &StackId) -> StackId {
        row_stack(stack, &self.address)
    }

    /// The checks that wait, of those to be decided then.
    pub(crate) fn waiting_checks(&self, when: CheckTime) -> impl Iterator<Item = (&PlannedCheck, &Deferred)> {
        let checks = self.checks.iter().filter(move |check| check.when == when);
        checks.filter_map(|check| Some((check, check.deferred.as_ref()?)))
    }

    /// True for anything but a no-op. Output-only and owner changes are counted elsewhere.
    #[must_use]
    pub fn is_change(&self) -> bool {
        self.action != Action::NoOp || self.in_doubt.is_some() || self.moved_from.is_some()
    }

    /// True when refreshing found something that has to be written, whatever the action.
    #[must_use]
    pub fn has_refreshed(&self) -> bool {
        self.prior.as_ref().is_some_and(|prior| prior.recorded.is_some())
    }

    /// True when the object stays as it is and how it behaves does not: protection and retention hold without a
    /// descriptor, so they are recorded.
    #[must_use]
    pub fn has_other_lifecycle(&self) -> bool {
        self.is_kept() && self.prior.as_ref().is_some_and(|prior| prior.lifecycle != self.lifecycle)
    }

    /// True when the object stays as it is and is recorded in the clear where it is sensitive from now on.
    #[must_use]
    pub fn is_newly_sensitive(&self) -> bool {
        self.is_kept() && self.after.as_ref().is_some_and(|after| !after.newly_sensitive.is_empty())
    }

    /// True when the object stays as it is and comes after other resources than is recorded.
    #[must_use]
    pub fn has_other_dependencies(&self) -> bool {
        self.is_kept() && self.prior.as_ref().is_some_and(|prior| prior.dependencies != self.depends_on)
    }

    /// True when the row has to be written though nothing is done: refreshed, with another lifecycle or more that is
    /// sensitive, or made after other resources than recorded. Were those not written, rows of different times could
    /// depend on each other in a loop.
    #[must_use]
    pub fn is_recorded_anew(&self) -> bool {
        let is_other = self.has_other_lifecycle() || self.has_other_dependencies();
        self.has_refreshed() || is_other || self.is_newly_sensitive()
    }

    fn is_kept(&self) -> bool {
        self.action == Action::NoOp && self.in_doubt.is_none() && self.after.is_some()
    }
}

impl OutputChange {
    /// True when the recorded output becomes another one, or is not to be recorded in the clear any more.
    #[must_use]
    pub fn is_change(&self) -> bool {
        if self.is_newly_sensitive {
            return true;
        }
        match (&self.before, &self.after) {
            // What cannot be opened and stays as it is.
            (before, after) if self.deferred.is_none() && before == after => false,
            (Some(before), Some(after)) => !before.is_same_as(after),
            (None, None) => false,
            _ => true,
        }
    }
}

impl Plan {
    /// True when applying it would do or record anything.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        Self::is_any_changed(self.mode, &self.stacks)
    }

    pub(crate) fn is_any_changed(mode: Mode, stacks: &[StackPlan]) -> bool {
        let mut changes = stacks.iter().flat_map(|stack| &stack.changes);
        let is_recorded = mode == Mode::RefreshOnly && changes.any(Change::has_refreshed);
        is_recorded || stacks.iter().any(StackPlan::has_changes)
    }

    /// What is left for another apply, with its stack.
    pub fn deferred(&self) -> impl Iterator<Item = (&StackPlan, &DeferredChange)> {
        self.stacks.iter().flat_map(|stack| stack.deferred.iter().map(move |deferred| (stack, deferred)))
    }

    /// All changes with their stacks.
    pub fn changes(&self) -> impl Iterator<Item = (&StackPlan, &Change)> {
        self.stacks.iter().flat_map(|stack| stack.changes.iter().map(move |change| (stack, change)))
    }

    /// The changes that would lose data nobody consented to lose.
    pub fn refused_data_loss(&self) -> impl Iterator<Item = (&StackPlan, &Change, &DataLossNote)> {
        self.changes().filter_map(|(stack, change)| {
            let loss = change.data_loss.as_ref().filter(|loss| !loss.is_allowed && loss.amount.is_some())?;
            Some((stack, change, loss))
        })
    }
}

/// The stack that the row of an address belongs to.
#[must_use]
pub fn row_stack(stack: &StackId, address: &Address) -> StackId {
    if address.is_shared() { StackId::shared(&stack.environment) } else { stack.clone() }
}
