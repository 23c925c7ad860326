//! The custom resource `PipelineRun`: one run of a pipeline on the server.

use crate::run_phase::RunPhase;
use crate::run_values::RunValues;
use crate::stack::{Condition, GROUP, VERSION};
use jiff::Timestamp;
use kube::Resource;
use kube::core::{DynamicResourceScope, ObjectMeta};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The finalizer of an object whose run may have to be stopped.
pub const STOP: &str = "terrace.dev/stop";

/// A run of a pipeline.
#[derive(Debug, Clone, Deserialize)]
pub struct PipelineRun {
    /// Name, namespace, finalizers.
    pub metadata: ObjectMeta,
    /// The wish of the user.
    #[serde(default)]
    pub spec: RunSpec,
    /// The record of the operator.
    #[serde(default)]
    pub status: Option<RunStatus>,
}

impl Resource for PipelineRun {
    type DynamicType = ();
    type Scope = DynamicResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "PipelineRun".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        GROUP.into()
    }

    fn version((): &()) -> Cow<'_, str> {
        VERSION.into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "pipelineruns".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl PipelineRun {
    /// Whether `suspend` holds back a run that the server does not have. A start that was begun goes on: the server may
    /// have the run.
    pub(crate) fn is_suspended(&self) -> bool {
        self.spec.suspend && !self.status.as_ref().is_some_and(|status| status.starting)
    }
}

/// The wish of the user. Only `suspend`, `cancel` and `ttlSecondsAfterFinished` can change.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunSpec {
    /// The id of the pipeline in the server's project. Exactly one of this and `pipeline_ref` is set.
    pub pipeline_id: Option<String>,
    /// The name of a `Pipeline` of the namespace.
    pub pipeline_ref: Option<String>,
    /// The worker pool; that of the server if absent.
    pub pool: Option<String>,
    /// Run only if an input changed since the last run.
    pub dirty: bool,
    /// Run even if dependencies have not been run.
    pub force: bool,
    /// Reuse results that steps cached; true if absent.
    pub use_cache: Option<bool>,
    /// The time limit of the run, in seconds.
    pub timeout_seconds: Option<u64>,
    /// Retries after failures of the infrastructure; the setting of the server if absent.
    pub retries: Option<u32>,
    /// Values of parameters of the spec, by name.
    pub params: BTreeMap<String, String>,
    /// Do not start the run while this is true.
    pub suspend: bool,
    /// Stop the run, or do not start it.
    pub cancel: bool,
    /// Seconds after which an ended run's object is deleted; never if absent.
    pub ttl_seconds_after_finished: Option<u32>,
}

/// The record of the operator. All fields are written each time, so that a merge patch removes old values.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunStatus {
    /// The generation that this record is about.
    pub observed_generation: Option<i64>,
    /// The progress.
    pub phase: RunPhase,
    /// Why it is in this phase, as one word.
    pub reason: Option<String>,
    /// The same for people.
    pub message: Option<String>,
    /// The id of the pipeline, fixed before the start.
    pub pipeline: Option<String>,
    /// The values in place of those of its spec, fixed before the first start: the server refuses another start under the same key.
    pub values: Option<RunValues>,
    /// Whether the start may have been sent. Recorded first, so that a restart sends it under the same key.
    pub starting: bool,
    /// The id of the run on the server; absent before the server accepted it.
    pub run_id: Option<String>,
    /// Whether the server was asked to stop the run.
    pub stopping: bool,
    /// The worker that runs it, or ran it last.
    pub worker: Option<String>,
    /// The name of the database that its steps write into.
    pub db: Option<String>,
    /// The rows after the last step.
    pub rows: Option<i64>,
    /// The statistics that its steps report; absent before its end, and if they are large or deeply nested.
    pub stats: Option<Map<String, Json>>,
    /// The start of its last attempt.
    pub started_at: Option<Timestamp>,
    /// Its end.
    pub finished_at: Option<Timestamp>,
    /// `Accepted`, `Succeeded`.
    pub conditions: Vec<Condition>,
}
