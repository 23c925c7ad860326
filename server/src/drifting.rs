//! Drift scans: requests like any other, also on a schedule, and the findings of the newest scans.

use crate::answer::{Refusal, errors};
use crate::auth::Caller;
use crate::metrics;
use crate::outcome::Outcome;
use crate::queue::Request;
use crate::serve::Shared;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::sync::Arc;
use std::time::Duration;
use terrace_engine::address::{SHARED, StackId};
use terrace_engine::drift::detect;
use terrace_engine::plan::compute::{Options, Planner};
use terrace_engine::render::drift::json;
use terrace_engine::store::{OperationFilter, OperationRow, SCANS, Selection, StateStore, StoreError};
use uuid::Uuid;

/// The kind of these operations.
pub(crate) const KIND: &str = "drift";
/// The findings of a scan.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Found {
    /// The resources that differ from the state.
    pub(crate) drifted: Vec<Json>,
    /// Errors of reading: there may be more drift.
    pub(crate) unread: Vec<String>,
}

/// The newest scan of a stack.
pub(crate) struct Scan {
    pub(crate) stack: StackId,
    pub(crate) operation: OperationRow,
    /// `None` before the scan ended, or if it failed.
    pub(crate) found: Option<Found>,
}

impl Shared {
    /// Queues a scan of a stack, the first of those that one call with an idempotency key asks for.
    pub(crate) async fn scan(&self, caller: &Caller, stack: &StackId, beside: &[StackId]) -> Result<Uuid, Refusal> {
        let queue = StackId::new(SCANS, stack.environment.as_str());
        let beside = beside.iter().map(ToString::to_string).collect();
        let request_body = Request::Drift { stack: stack.to_string(), beside };
        self.ask_beside(caller, &request_body, vec![queue, stack.clone()]).await
    }

    /// The stacks that can be scanned: those of configured environments.
    pub(crate) async fn scanned(&self) -> Result<Vec<StackId>, StoreError> {
        let mut stacks = self.store.stacks().await?;
        stacks.retain(|stack| stack.name != SHARED && self.worlds.get(&stack.environment).is_some());
        Ok(stacks)
    }

    /// The newest scan of a stack, if any.
    pub(crate) async fn newest_scan(&self, stack: &StackId) -> Result<Option<Scan>, StoreError> {
        let which =
            OperationFilter { kind: Some(KIND.to_owned()), stack: Some(stack.clone()), ..OperationFilter::newest(1) };
        let Some(operation) = self.store.operations(&which).await?.into_iter().next() else { return Ok(None) };
        let request = self.store.request(operation.id).await?;
        let found = request.as_ref().and_then(Outcome::of).and_then(|outcome| outcome.drift);
        Ok(Some(Scan { stack: stack.clone(), operation, found }))
    }
}

/// Scans a stack for drift.
///
/// # Errors
/// When its rows cannot be read, or its environment is not configured.
pub(crate) async fn look(shared: &Shared, store: &dyn StateStore, stack: &str) -> Result<Found, Refusal> {
    let unknown = || Refusal::problems_of(vec![format!("the stack `{stack}` cannot be scanned here")]);
    let stack: StackId = stack.parse().map_err(|_| unknown())?;
    let world = shared.worlds.get(&stack.environment).ok_or_else(unknown)?;
    let options = Options::default();
    let planner = Planner {
        store,
        registry: &world.registry,
        functions: &world.functions,
        seal: &world.seal,
        sources: &world.sources,
        environment: &world.environment,
        options: &options,
        now: Timestamp::now(),
        id: Uuid::now_v7(),
        version: world.version,
    };
    let (items, diagnostics) =
        detect(&planner, &stack, &Selection::All).await.map_err(|error| Refusal::Broken(error.to_string()))?;
    metrics::drifted(&stack.to_string(), items.len());
    let drifted = json(&items).get("drifted").and_then(Json::as_array).cloned().unwrap_or_default();
    Ok(Found { drifted, unread: errors(&diagnostics, &world.sources) })
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
    for stack in shared.scanned().await? {
        let newest = shared.newest_scan(&stack).await?;
        if newest.is_none_or(|scan| scan.operation.started_at <= due) {
            shared.scan(&Caller::schedule(), &stack, &[]).await?;
        }
    }
    Ok(())
}
