//! The custom resources that the operator plans and applies. Their definitions are in `deploy/helm/operator/crds`.

use crate::kind::Kind;
use crate::run_phase::RunPhase;
use crate::run_values::{Resources, RunValues};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Resource;
use kube::core::{DynamicResourceScope, ObjectMeta};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The group of the custom resources.
pub const GROUP: &str = "terrace.dev";
/// Their version.
pub const VERSION: &str = "v1alpha1";
/// The annotation with the digest of an approved plan.
pub const APPROVE: &str = "terrace.dev/approve";
/// The annotation that requests a new plan by any new value.
pub const PLAN: &str = "terrace.dev/plan";
/// The finalizer of the operator.
pub const FINALIZER: &str = "terrace.dev/destroy";

/// A descriptor in the cluster: an object `Stack`, or an object of another [`Kind`] as a stack.
#[derive(Debug, Clone, Deserialize)]
pub struct Stack {
    /// The kind of the object.
    #[serde(skip)]
    pub kind: Kind,
    /// Name, namespace, annotations, finalizers.
    pub metadata: ObjectMeta,
    /// The wish of the user.
    pub spec: StackSpec,
    /// The record of the operator.
    #[serde(default)]
    pub status: Option<StackStatus>,
}

/// An object as the cluster sends it, of any kind.
#[derive(Debug, Clone, Deserialize)]
pub struct Received {
    /// Name, namespace, annotations, finalizers.
    pub metadata: ObjectMeta,
    /// The wish of the user, in the form of its kind.
    #[serde(default)]
    pub spec: Json,
    /// The record of the operator.
    #[serde(default)]
    pub status: Option<StackStatus>,
}

macro_rules! resource {
    ($type:ty) => {
        impl Resource for $type {
            type DynamicType = Kind;
            type Scope = DynamicResourceScope;

            fn kind(kind: &Kind) -> Cow<'_, str> {
                kind.name().into()
            }

            fn group(_: &Kind) -> Cow<'_, str> {
                GROUP.into()
            }

            fn version(_: &Kind) -> Cow<'_, str> {
                VERSION.into()
            }

            fn plural(kind: &Kind) -> Cow<'_, str> {
                kind.plural().into()
            }

            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

resource!(Stack);
resource!(Received);
resource!(Watched);

/// The part of an object that the operator watches.
///
/// The client parses a page of objects at once, so an object that cannot be parsed would hide all others. This type
/// skips all other fields at any depth; the operator reads the rest of each object by itself.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "WatchedFields")]
pub struct Watched {
    /// Name, namespace, uid, version and creation.
    pub metadata: ObjectMeta,
    /// The id of the pipeline, of an object `Pipeline`.
    pub pipeline_id: Option<String>,
    /// The values of its runs in place of those of the spec, of an object `Pipeline`.
    pub values: RunValues,
    /// The name of the stack in the state.
    pub stack: Option<String>,
    /// A summary of its conditions.
    pub phase: Phase,
    /// Whether the last scan found drift.
    pub is_drifted: bool,
}

#[derive(Deserialize)]
struct WatchedFields {
    metadata: WatchedMetadata,
    #[serde(default)]
    spec: WatchedSpec,
    #[serde(default)]
    status: Option<WatchedStatus>,
}

/// The metadata without `managedFields`, which is nested as deeply as the descriptor.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WatchedMetadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    creation_timestamp: Option<Time>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WatchedSpec {
    pipeline_id: Option<String>,
    env: BTreeMap<String, String>,
    image: Option<String>,
    resources: Option<Resources>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WatchedStatus {
    stack: Option<String>,
    phase: Phase,
    drift: Option<WatchedDrift>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WatchedDrift {
    count: i64,
}

impl From<WatchedFields> for Watched {
    fn from(fields: WatchedFields) -> Self {
        let WatchedMetadata { name, namespace, uid, resource_version, creation_timestamp } = fields.metadata;
        let metadata =
            ObjectMeta { name, namespace, uid, resource_version, creation_timestamp, ..ObjectMeta::default() };
        let WatchedStatus { stack, phase, drift } = fields.status.unwrap_or_default();
        let WatchedSpec { pipeline_id, env, image, resources } = fields.spec;
        let values = RunValues { params: env, image, resources };
        Self { metadata, pipeline_id, values, stack, phase, is_drifted: drift.is_some_and(|drift| drift.count > 0) }
    }
}

/// The wish of the user.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StackSpec {
    /// The environment of the server.
    pub environment: String,
    /// The descriptor as an object. Exactly one of this and `text` is set.
    #[serde(default)]
    pub descriptor: Option<Json>,
    /// The descriptor as YAML or JSON text, which keeps the digits of large numbers.
    #[serde(default)]
    pub text: Option<String>,
    /// Values of variables of a plain stack.
    #[serde(default)]
    pub variables: Map<String, Json>,
    /// The addresses of resources whose data may be lost.
    #[serde(default)]
    pub allow_data_loss: Vec<String>,
    /// Who approves plans.
    #[serde(default)]
    pub approval: ApprovalMode,
    /// The fate of the remote objects when the `Stack` is deleted.
    #[serde(default)]
    pub deletion: Deletion,
    /// Whether a removal also removes data.
    #[serde(default)]
    pub remove_data: bool,
}

/// Who approves plans.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum ApprovalMode {
    /// A user, by the annotation with the digest.
    #[default]
    Manual,
    /// The operator, for each plan that deletes and replaces nothing. Other plans wait for a user.
    Automatic,
}

/// The fate of the remote objects when the `Stack` is deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum Deletion {
    /// Destroy them, after the approval of that plan.
    #[default]
    Destroy,
    /// Leave the objects and the state as they are.
    Orphan,
}

/// The record of the operator. All fields are written each time, so that a merge patch removes old values.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StackStatus {
    /// The newest generation that the newest plan is for.
    pub observed_generation: Option<i64>,
    /// A summary of the conditions.
    pub phase: Phase,
    /// The name of the stack in the state: `demo@local`. Set by the first plan.
    pub stack: Option<String>,
    /// The number of plans so far.
    pub plans: i64,
    /// The newest plan.
    pub plan: Option<PlanRecord>,
    /// The newest operation that applies a plan.
    pub operation: Option<OperationRecord>,
    /// The newest drift scan since the last operation.
    pub drift: Option<DriftRecord>,
    /// The hash of the spec in the newest plan of a pipeline.
    pub spec_hash: Option<String>,
    /// The newest run, of a pipeline.
    pub last_run: Option<LastRun>,
    /// The pause after a failure.
    pub retry: Option<Retry>,
    /// `Planned`, `Approved`, `Applied`, `Drifted`, `Ready`.
    pub conditions: Vec<Condition>,
}

/// A summary of the conditions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum Phase {
    /// The server plans.
    #[default]
    Planning,
    /// The plan failed, or the server refuses to apply it.
    PlanFailed,
    /// The plan waits for its approval.
    AwaitingApproval,
    /// The server applies the plan.
    Applying,
    /// The last operation failed.
    ApplyFailed,
    /// The objects are as described.
    Ready,
    /// A word of another version of the operator.
    #[serde(other)]
    Unknown,
}

impl Phase {
    /// The words of this version.
    pub const KNOWN: [Self; 6] =
        [Self::Planning, Self::PlanFailed, Self::AwaitingApproval, Self::Applying, Self::ApplyFailed, Self::Ready];
}

/// A plan.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PlanRecord {
    /// The id of the plan on the server; absent if the server refused to plan.
    pub id: Option<String>,
    /// The digest of all inputs of the plan.
    pub inputs: String,
    /// Whether it removes the stack.
    pub destroy: bool,
    /// Its progress.
    pub state: PlanState,
    /// The digest to approve.
    pub digest: Option<String>,
    /// The counts of actions in words.
    pub summary: Option<String>,
    /// The counts of actions.
    pub counts: Option<Counts>,
    /// The plan for people, cut at the limit of the status.
    pub text: Option<String>,
    /// Why it failed, or cannot be applied.
    pub problem: Option<String>,
}

/// The progress of a plan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum PlanState {
    /// The server makes it.
    #[default]
    Running,
    /// It can be applied.
    Made,
    /// It has no changes.
    Empty,
    /// It cannot be applied until its inputs change: it would lose data without consent, or concerns another stack.
    Refused,
    /// The server made no plan, or a plan with errors. The operator plans again after a pause.
    Failed,
    /// A word of another version of the operator: this one plans again.
    #[serde(other)]
    Unknown,
}

/// Counts of actions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Counts {
    /// Created, including replaced.
    pub add: i64,
    /// Updated.
    pub change: i64,
    /// Deleted, including replaced.
    pub destroy: i64,
}

/// An operation that applies a plan.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OperationRecord {
    /// The plan.
    pub plan: String,
    /// The approved digest.
    pub digest: String,
    /// Whether it removes the stack.
    pub destroy: bool,
    /// Its progress.
    pub state: OperationState,
    /// Its id on the server; absent before the server accepted it.
    pub id: Option<String>,
    /// Its outcome in a sentence.
    pub summary: Option<String>,
    /// Its end.
    pub ended_at: Option<Timestamp>,
    /// The number of failed operations in a row, this one included.
    pub failures: i64,
}

/// The progress of an operation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum OperationState {
    /// The operator is about to send it. Recorded first, so that a restart sends it under the same key.
    #[default]
    Starting,
    /// The server has it.
    Running,
    /// It ended successfully.
    Completed,
    /// It ended otherwise.
    Failed,
    /// A word of another version of the operator: this one reads the operation from the server.
    #[serde(other)]
    Unknown,
}

/// The findings of a drift scan.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DriftRecord {
    /// The operation of the scan.
    pub operation: String,
    /// Its start.
    pub at: Option<Timestamp>,
    /// The number of resources with drift.
    pub count: i64,
    /// The first of their addresses.
    pub resources: Vec<String>,
    /// The first error of reading: there may be more drift.
    pub problem: Option<String>,
}

/// The newest run of a pipeline.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LastRun {
    /// Its id on the server.
    pub run_id: String,
    /// Its progress.
    pub phase: RunPhase,
    /// Why it is in this phase, as one word.
    pub reason: String,
    /// The rows after the last step; absent before its end, so that a run in progress changes the status rarely.
    pub rows: Option<i64>,
    /// The start of its last attempt.
    pub started_at: Option<Timestamp>,
    /// Its end.
    pub finished_at: Option<Timestamp>,
}

/// A pause after failures.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Retry {
    /// The inputs that failed: other ones need no pause.
    pub inputs: String,
    /// The number of failures.
    pub failures: i64,
    /// The end of the pause.
    pub after: Option<Timestamp>,
    /// The last failure.
    pub message: String,
}

/// A condition in Kubernetes' form.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// Its name.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// The cause as one word.
    pub reason: String,
    /// The cause for people.
    pub message: String,
    /// The last change of `status`.
    pub last_transition_time: Option<Timestamp>,
    /// The generation that it is about.
    pub observed_generation: Option<i64>,
}
