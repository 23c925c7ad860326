//! Drift scans: requests like any other, also on a schedule, and the findings of the newest scans.

use crate::answer::{Refusal, errors};
use crate::auth::Caller;
use crate::drift_findings::DriftFindings;
use crate::metrics;
use crate::outcome::Outcome;
use crate::request::{DRIFT, Request};
use crate::shared::Shared;
use jiff::Timestamp;
use serde_json::Value as Json;
use std::sync::Arc;
use std::time::Duration;
use terrace_engine::address::{SHARED, StackId};
use terrace_engine::drift::detect;
use terrace_engine::plan::options::Options;
use terrace_engine::render::drift::json;
use terrace_engine::store::{OperationFilter, OperationRow, SCANS, Selection, StateStore, StoreError};
use uuid::Uuid;

/// The newest scan of a stack.
pub(crate) struct Scan {
    pub(crate) stack: StackId,
    pub(crate) operation: OperationRow,
    /// `None` before the scan ended, or if it failed.
    pub(crate) findings: Option<DriftFindings>,
}

impl Shared {
    /// Queues a scan of a stack, the first of those that one call with an idempotency key asks for.
    pub(crate) async fn queue_scan(
        &self,
        caller: &Caller,
        stack: &StackId,
        other_stacks: &[StackId],
    ) -> Result<Uuid, Refusal> {
        let queue = StackId::new(SCANS, stack.environment.as_str());
        let other_stacks = other_stacks.iter().map(ToString::to_string).collect();
        let request_body = Request::Drift { stack: stack.to_string(), other_stacks };
        self.enqueue_unordered(caller, &request_body, vec![queue, stack.clone()]).await
    }

    /// The stacks that can be scanned: those of configured environments.
    pub(crate) async fn scannable_stacks(&self) -> Result<Vec<StackId>, StoreError> {
        let mut stacks = self.store.stacks().await?;
        stacks.retain(|stack| stack.name != SHARED && self.environments.get(&stack.environment).is_some());
        Ok(stacks)
    }

    /// The newest scan of a stack, if any.
    pub(crate) async fn newest_scan(&self, stack: &StackId) -> Result<Option<Scan>, StoreError> {
        let filter =
            OperationFilter { kind: Some(DRIFT.to_owned()), stack: Some(stack.clone()), ..OperationFilter::newest(1) };
        let Some(operation) = self.store.operations(&filter).await?.into_iter().next() else { return Ok(None) };
        let request = self.store.request(operation.id).await?;
        let findings = request.as_ref().and_then(Outcome::of).and_then(|outcome| outcome.drift);
        Ok(Some(Scan { stack: stack.clone(), operation, findings }))
    }
}

/// Scans a stack for drift.
///
/// # Errors
/// When its rows cannot be read, or its environment is not configured.
pub(crate) async fn scan_stack(shared: &Shared, store: &dyn StateStore, stack: &str) -> Result<DriftFindings, Refusal> {
    let unknown = || Refusal::of_problems(vec![format!("the stack `{stack}` cannot be scanned here")]);
    let stack: StackId = stack.parse().map_err(|_| unknown())?;
    let env = shared.environments.get(&stack.environment).ok_or_else(unknown)?;
    let options = Options::default();
    let planner = env.engine.planner(store, &env.sources, &options, (Timestamp::now(), Uuid::now_v7()));
    let (items, diagnostics) =
        detect(&planner, &stack, &Selection::All).await.map_err(|error| Refusal::Internal(error.to_string()))?;
    metrics::drifted(&stack.to_string(), items.len());
    let drifted = json(&items).get("drifted").and_then(Json::as_array).cloned().unwrap_or_default();
    Ok(DriftFindings { drifted, unread: errors(&diagnostics, &env.sources) })
}

/// Scans all stacks regularly. If several servers have a schedule, one of them makes each scan.
pub(crate) async fn schedule(shared: Arc<Shared>, every: Duration) {
    loop {
        if let Err(error) = scan_due(&shared, every).await {
            tracing::warn!(?error, "cannot scan for drift now");
        }
        // Often enough to notice that another server which made the scans is gone.
        tokio::select! {
            () = tokio::time::sleep(every.min(Duration::from_secs(60))) => {}
            () = shared.stop.cancelled() => return,
        }
    }
}

async fn scan_due(shared: &Shared, every: Duration) -> Result<(), Refusal> {
    let due = shared.store.now().await?.checked_sub(every).unwrap_or(Timestamp::MIN);
    for stack in shared.scannable_stacks().await? {
        let newest = shared.newest_scan(&stack).await?;
        if newest.is_none_or(|scan| scan.operation.started_at <= due) {
            shared.queue_scan(&Caller::schedule(), &stack, &[]).await?;
        }
    }
    Ok(())
}
