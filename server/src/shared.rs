//! The state that calls and workers share.

use crate::audit::Audit;
use crate::auth::{Action, Admission, Caller};
use crate::environments::Environments;
use crate::last_answer::LastAnswer;
use crate::operation_locks::OperationLocks;
use crate::outage_log::Outage;
use crate::pickers::cache::Cache;
use crate::pipelines::{PipelinesCaller, ServedPipelines};
use crate::processing::ProcessingLimits;
use crate::readiness::LastReadiness;
use crate::retry_counter::RetryCounter;
use crate::settings::ServerSettings;
use crate::streams::Streams;
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::Arc;
use terrace_engine::address::StackId;
use terrace_engine::store::{Claimant, ServerStore, StateStore};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The state that calls and workers share.
pub(crate) struct Shared {
    pub(crate) environments: Environments,
    pub(crate) store: Arc<dyn ServerStore>,
    /// The same store, for callers that wait for an answer.
    pub(crate) calls: Arc<dyn ServerStore>,
    pub(crate) empty_store: Arc<dyn StateStore>,
    pub(crate) settings: ServerSettings,
    pub(crate) admission: Admission,
    /// The pipelines of the project; `None` if they cannot run here.
    pub(crate) pipelines: Option<ServedPipelines>,
    pub(crate) audit: Arc<Audit>,
    /// Changing calls that are being answered.
    pub(crate) changing_calls: TaskTracker,
    pub(crate) metrics: PrometheusHandle,
    pub(crate) readiness: LastReadiness,
    /// The time of the store's last answer.
    pub(crate) last_answer: LastAnswer,
    pub(crate) operation_locks: OperationLocks,
    pub(crate) streams: Arc<Streams>,
    /// Wakes a worker.
    pub(crate) wake: Notify,
    /// Requests that could not be read or run.
    pub(crate) failed_attempts: RetryCounter,
    /// Requests that wait for interrupted calls which may still take effect.
    pub(crate) recovery_checks: RetryCounter,
    /// The lists of pickers.
    pub(crate) lists: Arc<Cache>,
    /// The limits of descriptors and their permits.
    pub(crate) processing: ProcessingLimits,
    /// Whether workers fail to claim requests.
    pub(crate) claiming: Outage,
    /// Held by the idle worker that polls the store.
    pub(crate) polling: tokio::sync::Mutex<()>,
    /// The identity of this process in claims.
    pub(crate) claimant: Claimant,
    /// Held by the worker of a request that several servers died of.
    pub(crate) suspect: tokio::sync::Mutex<()>,
    /// Set when no new work may start.
    pub(crate) stop: CancellationToken,
}

impl Shared {
    /// The caller of a change with its limits of pipelines, for an action on a stack.
    pub(crate) fn pipelines_caller(&self, caller: &Caller, action: Action, stack: &StackId) -> PipelinesCaller {
        let organisation = caller.organisation().map(str::to_owned);
        let limits = organisation.as_ref().and_then(|name| self.settings.organisations.get(name));
        PipelinesCaller {
            name: caller.name().map(str::to_owned),
            limits: caller.pipeline_limits(action, stack).or(self.settings.pipeline_limits),
            organisation_limits: limits.copied().unwrap_or_default(),
            organisation,
            key: caller.key(),
        }
    }
}
