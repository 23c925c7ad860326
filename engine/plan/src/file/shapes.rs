//! The JSON types of a plan file.

use super::super::{
    CheckStatus, DataLossNote, DeferredChange, Mode, Note, Origin, OutputRead, OwnerAction, Part, ReadReason,
    SharedName, StackNeed,
};
use super::Json;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use terrace_language::access::Access;
use terrace_language::action::{Action, Reason};
use terrace_language::address::{Address, ComponentKey, StackId};
use terrace_language::descriptor::{CheckTime, Lifecycle};
use terrace_language::source::Place;
use terrace_provider::Path;
use terrace_provider::schema::Timeouts;
use terrace_store::{Generation, Ids, Read, RowStatus, StackRead};
use uuid::Uuid;

/// Holds the elements of long lists as raw JSON, to be parsed one by one. As parsed values, 10,000 changes would double the memory
/// of a plan.
pub(super) type Text = Box<RawValue>;

#[derive(Serialize, Deserialize)]
pub(super) struct PlanJson<'a> {
    pub(super) id: Uuid,
    pub(super) timestamp: Timestamp,
    pub(super) terrace_version: String,
    pub(super) state: Uuid,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) state_url: String,
    pub(super) environment: String,
    pub(super) environment_note: Option<String>,
    pub(super) mode: Mode,
    pub(super) is_complete: bool,
    pub(super) is_errored: bool,
    pub(super) origin: Origin,
    pub(super) templates: Vec<TemplateJson>,
    pub(super) stacks: Vec<StackJson>,
    pub(super) reads: Cow<'a, [Read]>,
    pub(super) notes: Vec<Note>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct TemplateJson {
    /// The component in whose scope it is evaluated.
    pub(super) component: ComponentKey,
    pub(super) template: Text,
}

#[derive(Serialize, Deserialize)]
pub(super) struct StackJson {
    pub(super) stack: StackId,
    pub(super) components: Vec<ComponentJson>,
    pub(super) changes: Vec<Text>,
    pub(super) outputs: Vec<OutputJson>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) deferred: Vec<DeferredChange>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) checks: Vec<CheckJson>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) lookups: Vec<LookupJson>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) needs: Vec<StackNeed>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) others: Vec<RecordedOutputsJson>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) output_reads: Vec<OutputRead>,
    pub(super) owners: Vec<OwnerJson>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) owned: Vec<OwnedJson>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ComponentJson {
    pub(super) key: ComponentKey,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ids: Option<Ids>,
    pub(super) depends_on: Vec<ComponentKey>,
    pub(super) depended_on: Vec<ComponentKey>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) reads: Vec<StackRead>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) recorded_reads: Vec<StackRead>,
    pub(super) shared: Vec<SharedName>,
    pub(super) blueprint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) place: Option<Place>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) access: Option<Access>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) recorded_access: Option<Access>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) grants: Vec<(String, String)>,
    pub(super) part: Part,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_deferred: bool,
    pub(super) recorded_outputs: Json,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ChangeJson {
    pub(super) address: Address,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) deposed: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) moved_from: Option<Address>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) import_id: Option<String>,
    pub(super) action: Action,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<Reason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) place: Option<Place>,
    pub(super) provider: String,
    pub(super) generation: Generation,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) prior: Option<PriorJson>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<AfterJson>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) replace_paths: Vec<Path>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) triggered_by: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) ignored: Vec<Path>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) checks: Vec<CheckJson>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) drift: Vec<Path>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) depends_on: Vec<Address>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) lifecycle: Lifecycle,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) timeouts: Timeouts,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) because: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) data_loss: Option<DataLossNote>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) in_doubt: Option<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) is_held_back: bool,
}

#[derive(Serialize, Deserialize)]
pub(super) struct PriorJson {
    pub(super) status: RowStatus,
    pub(super) identity: Json,
    pub(super) attributes: Json,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) recorded: Option<Json>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) private: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) dependencies: Vec<Address>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) write_only: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) inconsistent: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) lifecycle: Lifecycle,
}

#[derive(Serialize, Deserialize)]
pub(super) struct AfterJson {
    pub(super) attributes: Json,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) private: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) deferred: Option<DeferredJson>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) write_only: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) newly_sensitive: Vec<Path>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct DeferredJson {
    pub(super) template: usize,
    /// Absent if nothing was captured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) captured: Option<Json>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct CheckJson {
    pub(super) when: CheckTime,
    pub(super) error: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) place: Option<Place>,
    pub(super) status: CheckStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) problem: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) deferred: Option<DeferredJson>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct OutputJson {
    pub(super) component: ComponentKey,
    pub(super) name: String,
    pub(super) before: Option<Json>,
    pub(super) after: Option<Json>,
    pub(super) deferred: Option<DeferredJson>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) is_newly_sensitive: bool,
    pub(super) is_public: bool,
    pub(super) label: Option<String>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct LookupJson {
    pub(super) address: Address,
    pub(super) provider: String,
    pub(super) arguments: Json,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) deferred: Option<DeferredJson>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) depends_on: Vec<Address>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) reads: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) needed_by: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<ReadReason>,
    pub(super) result: Json,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) place: Option<Place>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct RecordedOutputsJson {
    pub(super) stack: StackId,
    pub(super) component: ComponentKey,
    pub(super) outputs: Json,
}

#[derive(Serialize, Deserialize)]
pub(super) struct OwnerJson {
    pub(super) address: Address,
    pub(super) stack: StackId,
    pub(super) component: ComponentKey,
    pub(super) action: OwnerAction,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) declaration: Option<DeclarationJson>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct DeclarationJson {
    pub(super) provider: String,
    pub(super) config: Json,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) deferred: Option<DeferredJson>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) write_only: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) lifecycle: Lifecycle,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) place: Option<Place>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct OwnedJson {
    pub(super) address: Address,
    pub(super) stack: StackId,
    pub(super) component: ComponentKey,
}

/// Leaves out default values: most of 10,000 changes have the same.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
