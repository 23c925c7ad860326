//! The plan: one inert value that holds all that apply will do, and its sources.
//!
//! Apply reads the plan and the rows that it names, nothing else: no descriptor, no blueprint, no variable. [`file`] saves a plan,
//! the crate `terrace-render` prints it.
#![forbid(unsafe_code)]
// Tests may slice strings anywhere: a bad index only fails the test.
#![cfg_attr(not(test), warn(clippy::string_slice, clippy::unreachable))]

pub mod access;
pub(crate) mod adoption;
mod change;
mod check_adopt_conflict;
mod check_configured;
mod check_duplicate_identity;
mod check_lookup_of_removed;
mod check_rename_circles;
mod check_renamed_stack;
pub mod checks;
mod components;
pub mod compute;
pub mod console;
pub mod contract;
mod counts;
pub mod cross_stack_outputs;
pub mod data_loss;
pub mod deadline;
mod declared_import;
mod deferral;
mod deferred;
mod deposed;
mod destroy_unmanaged;
pub(crate) mod draft;
pub mod drift;
pub mod external_grants;
pub mod failure;
pub mod file;
pub mod finding;
pub mod ids;
pub mod ignored;
pub mod import;
pub(crate) mod in_doubt;
pub mod inconsistent;
pub(crate) mod key;
pub(crate) mod loaded;
mod lookup;
mod lookup_dependencies;
pub mod managed;
mod mode;
mod moved;
mod needed;
mod needs;
mod newly_sensitive;
mod note;
mod object_identity;
pub mod options;
mod orphans;
mod outdated_row;
mod output_reads;
mod outputs;
mod owner;
mod place;
pub mod planner;
mod read_set;
pub mod recorded_names;
pub(crate) mod refresh;
mod refresh_cache;
mod refresh_only;
pub mod rekey;
mod remote_check;
pub mod removed_data;
mod replacement;
pub mod resource;
pub(crate) mod resource_input;
pub mod reverse;
pub mod rollback;
pub mod row_moves;
mod run;
pub mod shared;
pub mod single_lookup;
pub mod steps;
mod storable;
mod target_validation;
mod targeting;
mod triggers;
pub mod upgrade;
pub mod walk;

pub use change::{Basis, Change, How, InDoubt, Why};
pub use counts::Counts;
pub use data_loss::DataLossNote;
pub use deferral::{DeferralReason, DeferredChange};
pub use deferred::Deferred;
pub use deposed::deposed_key;
pub use lookup::{Lookup, ReadReason};
pub use mode::Mode;
pub use needs::{OutputRead, RecordedOutputs, StackNeed};
pub use note::Note;
pub use owner::{OwnerAction, OwnerChange, SharedName};
pub use resource::NOT_SEARCHED;
pub use shared::SharedDeclaration;

use jiff::Timestamp;
use std::collections::BTreeMap;
use terrace_language::access::Access;
use terrace_language::address::{Address, ComponentKey, StackId};
use terrace_language::descriptor::CheckTime;
use terrace_language::diagnostic::Diagnostic;
use terrace_language::source::{Place, Sources};
use terrace_provider::{Attributes, Path, Private, Value};
use terrace_store::{Ids, Ownership, Read, StackRead};
use uuid::Uuid;

/// The ordered changes of one or more stacks, and their sources.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Identifies the plan; a plan is applied once.
    pub id: Uuid,
    /// Creation time.
    pub timestamp: Timestamp,
    /// The terrace version that created it.
    pub terrace_version: String,
    /// The store of its rows; nil if the store did not exist yet.
    pub state: Uuid,
    /// The URL of that store, for people.
    pub state_url: String,
    /// The environment.
    pub environment: String,
    /// The environment line of the plan's header: `embedded environment: …`.
    pub environment_note: Option<String>,
    /// The kind of plan that the caller requested.
    pub mode: Mode,
    /// True if the plan covers the whole descriptor; false with `-c` or after a deferral.
    pub is_complete: bool,
    /// Planning found errors: the plan can be shown, not applied.
    pub is_errored: bool,
    /// The sources of the plan.
    pub origin: Origin,
    /// The stacks.
    pub stacks: Vec<StackPlan>,
    /// Every row that the plan changes or reads a value from, with its generation.
    pub reads: Vec<Read>,
    /// The diagnostics of planning.
    pub notes: Vec<Note>,
}

/// The sources of a plan. Digests are SHA-256 in hexadecimal.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Origin {
    /// Digest of each descriptor file by name.
    pub descriptors: BTreeMap<String, String>,
    /// Digest of each blueprint by name.
    pub blueprints: BTreeMap<String, String>,
    /// Provider and version of each instance that the plan uses: `sqlite 0.1.0`.
    pub providers: BTreeMap<String, String>,
    /// Digest of the settings of each of these instances, without secrets.
    pub settings: BTreeMap<String, String>,
}

/// The plan of a stack.
#[derive(Debug, Clone)]
pub struct StackPlan {
    /// The stack.
    pub stack: StackId,
    /// Its components in the order of the descriptor, then those that exist only in the state.
    pub components: Vec<ComponentPlan>,
    /// The changes, by component order, then address. Shared resources come first.
    pub changes: Vec<Change>,
    /// The outputs.
    pub outputs: Vec<OutputChange>,
    /// Changes that are deferred to a later apply.
    pub deferred: Vec<DeferredChange>,
    /// The stack's own checks, which only warn.
    pub checks: Vec<PlannedCheck>,
    /// The lookups, including those that were answered while planning.
    pub lookups: Vec<Lookup>,
    /// The outputs and objects of other stacks that its components read.
    pub needs: Vec<StackNeed>,
    /// The recorded outputs that they read of stacks outside the plan.
    pub recorded_outputs: Vec<RecordedOutputs>,
    /// The recorded outputs that the plan depends on.
    pub output_reads: Vec<OutputRead>,
    /// Shared rows that get or lose an owner, or whose owner changes its declaration.
    pub owners: Vec<OwnerChange>,
    /// The owners, at planning time, of the shared objects that the plan changes.
    pub owned: Vec<Ownership>,
}

impl StackPlan {
    /// True for a data product: its components have URNs, and its descriptor cannot declare moves.
    pub(crate) fn is_data_product(&self) -> bool {
        self.components.iter().any(|component| component.id.is_some())
    }
}

/// A component within a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct ComponentPlan {
    /// Its key.
    pub key: ComponentKey,
    /// Its URN, by which other components may read its outputs.
    pub id: Option<String>,
    /// The identifiers of the component and of its data product at their source.
    pub ids: Option<Ids>,
    /// The components that it depends on.
    pub depends_on: Vec<ComponentKey>,
    /// The components that it depended on, from the state.
    pub depended_on: Vec<ComponentKey>,
    /// The components of other stacks whose outputs it reads or whose objects it looks up.
    pub reads: Vec<StackRead>,
    /// The components of other stacks that it read, from the state.
    pub recorded_reads: Vec<StackRead>,
    /// The shared resources that it declares.
    pub shared: Vec<SharedName>,
    /// The blueprint that it was compiled with.
    pub blueprint: Option<String>,
    /// Its location in the descriptor.
    pub place: Option<Place>,
    /// Its part in the plan.
    pub part: Part,
    /// Some or all of its changes are deferred to a later apply.
    pub is_deferred: bool,
    /// Its recorded outputs if the plan does not touch it, for the components that read them.
    pub recorded_outputs: Attributes,
    /// Its access list; `None` if no access list was ever requested.
    pub access: Option<Access>,
    /// The recorded access list.
    pub recorded_access: Option<Access>,
    /// The type and name of each resource that exists because of the access list.
    pub grants: Vec<(String, String)>,
}

/// The plan's effect on a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The plan covers it.
    Planned,
    /// The plan does not touch it.
    Untouched,
    /// The plan removes it.
    Removed,
}

/// A check, decided as far as possible while planning.
#[derive(Debug, Clone)]
pub struct PlannedCheck {
    /// The latest time at which it is decided.
    pub when: CheckTime,
    /// The error text of a failed check.
    pub error: String,
    /// Its location in the descriptor.
    pub place: Option<Place>,
    /// The result so far.
    pub status: CheckStatus,
    /// Why it could not be decided, if that failed it.
    pub problem: Option<String>,
    /// The condition to evaluate once its unknown values are known.
    pub deferred: Option<Deferred>,
}

/// The result of a check, from good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckStatus {
    /// The condition is true.
    Pass,
    /// The condition depends on values that are known after apply.
    Unknown,
    /// The condition is false.
    Fail,
    /// The condition cannot be evaluated, which fails the check.
    Error,
}

/// An object after a change.
#[derive(Debug, Clone)]
pub struct After {
    /// The planned attributes; values known after apply are unknown.
    pub attributes: Attributes,
    /// The provider's private data.
    pub private: Private,
    /// The configuration, to be evaluated again once its unknown values are known.
    pub deferred: Option<Deferred>,
    /// Fingerprints that detect changes of write-only attributes.
    pub write_only: BTreeMap<String, String>,
    /// The attributes whose values stay and become sensitive.
    pub newly_sensitive: Vec<Path>,
}

/// The change of an output.
#[derive(Debug, Clone)]
pub struct OutputChange {
    /// The component.
    pub component: ComponentKey,
    /// The name.
    pub name: String,
    /// The recorded value.
    pub before: Option<Value>,
    /// The planned value; unknown if it depends on unknown values. `None` if the output is removed.
    pub after: Option<Value>,
    /// The expression to evaluate once its unknown values are known.
    pub deferred: Option<Deferred>,
    /// The value is recorded in plain text and becomes sensitive.
    pub is_newly_sensitive: bool,
    /// True for a public output.
    pub is_public: bool,
    /// A label for people.
    pub label: Option<String>,
}

impl OutputChange {
    /// True if the recorded output changes, or becomes sensitive and is recorded in plain text.
    #[must_use]
    pub fn is_change(&self) -> bool {
        if self.is_newly_sensitive {
            return true;
        }
        match (&self.before, &self.after) {
            // An output that cannot be decrypted stays as it is.
            (before, after) if self.deferred.is_none() && before == after => false,
            (Some(before), Some(after)) => !before.is_same_as(after),
            (None, None) => false,
            _ => true,
        }
    }
}

impl Plan {
    /// True if applying the plan would change an object or the state.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        Self::is_any_changed(self.mode, &self.stacks)
    }

    pub(crate) fn is_any_changed(mode: Mode, stacks: &[StackPlan]) -> bool {
        let mut changes = stacks.iter().flat_map(|stack| &stack.changes);
        let is_recorded = mode == Mode::RefreshOnly && changes.any(Change::has_refreshed);
        is_recorded || stacks.iter().any(StackPlan::has_changes)
    }

    /// The deferred changes, with their stacks.
    pub fn deferred(&self) -> impl Iterator<Item = (&StackPlan, &DeferredChange)> {
        self.stacks.iter().flat_map(|stack| stack.deferred.iter().map(move |deferred| (stack, deferred)))
    }

    /// All changes with their stacks.
    pub fn changes(&self) -> impl Iterator<Item = (&StackPlan, &Change)> {
        self.stacks.iter().flat_map(|stack| stack.changes.iter().map(move |change| (stack, change)))
    }

    /// The changes that would destroy data without the user's consent.
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

impl Plan {
    /// Inserts the warnings and notes of the compiler before the planner's, because readers of the plan did not see them. Errors
    /// are left out.
    pub fn note_before(&mut self, diagnostics: &[Diagnostic], sources: &Sources) {
        let diagnostics = diagnostics.iter().filter(|diagnostic| !diagnostic.is_error());
        self.notes.splice(0..0, diagnostics.map(|diagnostic| Note::of(diagnostic, sources)));
    }
}
