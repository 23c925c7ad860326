//! The server: its routes, its workers, and its shutdown.

use crate::audit::Audit;
use crate::auth::Admission;
use crate::environments::Environments;
use crate::last_answer::LastAnswer;
use crate::listen::listen;
use crate::metrics::ExtraRecorder;
use crate::operation_locks::OperationLocks;
use crate::outage_log::Outage;
use crate::pickers::cache::Cache;
use crate::pipelines::ServedPipelines;
use crate::priority::lower_priority;
use crate::processing::ProcessingLimits;
use crate::push_hooks::PushHooks;
use crate::queue;
use crate::readiness::LastReadiness;
use crate::retry_counter::RetryCounter;
use crate::serve_error::ServeError;
use crate::settings::ServerSettings;
use crate::shared::Shared;
use crate::streams::Streams;
use crate::tables::Pages;
use crate::{drift_scan, metrics, routes, run_ends};
use axum_server::Handle;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use terrace_engine::recover::{RECOVER, end_interrupted};
use terrace_engine::store::{Claimant, OperationRow, ServerStore, StateStore};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

/// A server that is not running yet.
pub struct Server {
    /// The environments.
    pub environments: Environments,
    /// The store with the queue and the state.
    pub store: Arc<dyn ServerStore>,
    /// An empty store, on which validation plans.
    pub empty_store: Arc<dyn StateStore>,
    /// The pipelines of the project; `None` if they cannot run here.
    pub pipelines: Option<ServedPipelines>,
    /// Pages that show the tables of databases; `None` if other machines can call the server.
    pub pages: Option<Pages>,
    /// Webhooks of forges; `None` without them.
    pub hooks: Option<PushHooks>,
    /// The listener of `/health`, `/ready`, `/metrics` and `/docs`; `None` serves them beside the APIs.
    pub operations: Option<TcpListener>,
    /// A recorder that receives the metrics in addition to `/metrics`.
    pub recorder: Option<ExtraRecorder>,
    /// Its settings.
    pub settings: ServerSettings,
}

impl Server {
    /// Serves calls and runs requests until `stop` is set. Then it waits for running requests, up to the grace period.
    /// Other servers or the next start continue unfinished requests.
    ///
    /// # Errors
    /// When the server cannot accept connections.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) -> Result<(), ServeError> {
        let Self { environments, store, empty_store, pipelines, pages, hooks, operations, recorder, settings } = self;
        let (drain, workers) = (settings.drain, settings.workers);
        environments.pin_to(store.as_ref()).await?;
        let has_exporter = recorder.is_some();
        let metrics = metrics::collect(settings.drift_every, recorder)?;
        let shared = Arc::new(Shared {
            streams: Arc::new(Streams::new(settings.connections.max_streams)),
            environments,
            audit: Audit::start(Arc::<dyn ServerStore>::clone(&store)),
            changing_calls: TaskTracker::new(),
            calls: Arc::clone(&store).for_calls(),
            store,
            empty_store,
            admission: Admission::new(settings.auth.clone()).map_err(ServeError::Client)?,
            claimant: Claimant { id: Uuid::now_v7(), name: settings.actor.clone() },
            suspect: tokio::sync::Mutex::default(),
            processing: ProcessingLimits::new(settings.processing.clone()),
            pipelines,
            settings,
            metrics,
            readiness: LastReadiness::default(),
            last_answer: LastAnswer::default(),
            operation_locks: OperationLocks::default(),
            wake: Notify::new(),
            failed_attempts: RetryCounter::default(),
            lists: Arc::<Cache>::default(),
            recovery_checks: RetryCounter::default(),
            claiming: Outage::default(),
            polling: tokio::sync::Mutex::default(),
            stop: stop.clone(),
        });
        let mut side_routes = None;
        if let Some(listener) = operations {
            let is_for_this_machine = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
            let routes = routes::operations(&shared, is_for_this_machine).with_state(Arc::clone(&shared));
            let routes = routes::with_slashes(routes, &shared.settings);
            side_routes = Some((listener, routes));
        }
        let routes = routes::routes(&shared, (pages, hooks), side_routes.is_none());
        // Planning keeps a processor busy. It has its own threads, so that the server can answer calls meanwhile.
        let runtime = tokio::runtime::Handle::current();
        let abandon = CancellationToken::new();
        let start = |_| {
            let (runtime, shared, abandon) = (runtime.clone(), Arc::clone(&shared), abandon.clone());
            tokio::task::spawn_blocking(move || {
                lower_priority();
                runtime.block_on(abandon.run_until_cancelled(queue::run_worker(shared)))
            })
        };
        let mut working: Vec<_> = (0..workers).map(start).collect();
        let every = shared.settings.drift_every;
        let scanning = every.map(|every| tokio::spawn(drift_scan::schedule(Arc::clone(&shared), every)));
        let pruning = tokio::spawn(prune(Arc::clone(&shared)));
        let ending = tokio::spawn(end_recoveries(Arc::clone(&shared)));
        let logging = tokio::spawn(run_ends::log_all(Arc::clone(&shared)));
        let counting = has_exporter.then(|| tokio::spawn(record_gauges(Arc::clone(&shared))));
        let listening = tokio::spawn(queue::listen(Arc::clone(&shared)));
        let handle = Handle::new();
        let (certificate, limits) = (shared.settings.certificate.clone(), shared.settings.connections.clone());
        let routes = routes::with_slashes(routes.with_state(Arc::clone(&shared)), &shared.settings);
        let mut serving = std::pin::pin!(listen(listener, certificate, &limits, &handle, routes));
        let (side_limits, certificate) = (limits.for_side_listener(), shared.settings.certificate.clone());
        // This listener serves until the end, also during the grace period.
        let mut operating = tokio::spawn(async move {
            let Some((listener, routes)) = side_routes else { return std::future::pending().await };
            listen(listener, certificate, &side_limits, &Handle::new(), routes).await
        });
        // Without `stop` it ends only on an error.
        let served = tokio::select! {
            served = &mut serving => Some(served),
            ended = &mut operating => Some(ended.unwrap_or_else(|error| Err(std::io::Error::other(error).into()))),
            () = stop.cancelled() => {
                handle.graceful_shutdown(None);
                None
            }
        };
        pruning.abort();
        ending.abort();
        logging.abort();
        listening.abort();
        counting.inspect(|counting| counting.abort());
        scanning.inspect(|scanning| scanning.abort());
        let all = async {
            // Slow callers get the same grace period as running requests.
            let served = match served {
                Some(served) => served,
                None => serving.await,
            };
            for worker in &mut working {
                if let Err(error) = worker.await {
                    tracing::error!(%error, "a worker panicked");
                }
            }
            // A change whose caller is gone has no connection.
            shared.changing_calls.close();
            shared.changing_calls.wait().await;
            served
        };
        let drained = tokio::time::timeout(drain, all).await;
        operating.abort();
        let served = match drained {
            Ok(served) => served,
            Err(_) => {
                tracing::warn!("requests were still running after the grace period: the next start continues them");
                // The workers must end before their runtime does.
                abandon.cancel();
                let left = working.into_iter().filter(|worker| !worker.is_finished());
                futures_util::future::join_all(left).await;
                Ok(())
            }
        };
        release_claims(&shared).await;
        shared.audit.end().await;
        served
    }
}

/// Timeout of the store at shutdown.
const RELEASE: Duration = Duration::from_secs(5);

/// Releases the remaining claims at shutdown, so that they do not count as deaths of the server.
async fn release_claims(shared: &Shared) {
    let released = tokio::time::timeout(RELEASE, shared.store.release_claims(&shared.claimant)).await;
    let problem = match released {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("the store did not answer within {RELEASE:?}"),
    };
    tracing::warn!(error = problem, "cannot release the claims of this server: they will expire");
}

/// Interval of pruning.
const PRUNE: Duration = Duration::from_secs(3600);

/// Interval of [`record_gauges`].
const COUNT: Duration = Duration::from_secs(30);

/// Counts leases and the queue for recorders that export on their own; `/metrics` counts on each call.
async fn record_gauges(shared: Arc<Shared>) {
    let mut interval = tokio::time::interval(COUNT);
    loop {
        interval.tick().await;
        metrics::record_gauges(shared.store.as_ref()).await;
    }
}

/// Interval of [`end_recoveries`].
const END: Duration = Duration::from_secs(30);

/// Prunes the store every hour.
async fn prune(shared: Arc<Shared>) {
    let mut interval = tokio::time::interval(PRUNE);
    loop {
        interval.tick().await;
        if let Err(error) = shared.store.prune(shared.settings.retention).await {
            tracing::warn!(%error, "cannot prune the store now");
        }
        if let Some(keep) = shared.settings.audit_retention
            && let Err(error) = shared.store.prune_audit(keep).await
        {
            tracing::warn!(%error, "cannot prune the audit log now");
        }
    }
}

/// Ends the recoveries of killed servers. Workers resume requests, but no worker resumes a recovery.
async fn end_recoveries(shared: Arc<Shared>) {
    let mut interval = tokio::time::interval(END);
    let failing = Outage::default();
    loop {
        interval.tick().await;
        let is_recovery = |operation: &OperationRow| operation.kind == RECOVER;
        match end_interrupted(shared.store.as_ref(), is_recovery).await {
            Ok(_) => drop(failing.ends()),
            Err(error) if failing.begins() => {
                tracing::warn!(%error, "cannot end interrupted recoveries now");
            }
            Err(_) => {}
        }
    }
}
