//! The server: its routes, its workers, and how it ends.

use crate::audit::Audit;
use crate::auth::{Admission, Auth};
use crate::environments::Environments;
use crate::judging::{Judging, JudgingSettings};
use crate::last_answer::LastAnswer;
use crate::listen::{ConnectionLimits, listen};
use crate::metrics::{FiguresError, MoreFigures};
use crate::operate::LastReadiness;
use crate::operation_locks::OperationLocks;
use crate::outage_log::Outage;
use crate::queue;
use crate::retry_counter::RetryCounter;
use crate::streams::Streams;
use crate::tables::Pages;
use crate::tls::{Certificate, CertificateError};
use crate::webhook::Webhook;
use crate::{drifting, metrics, routes};
use axum_server::Handle;
use metrics_exporter_prometheus::PrometheusHandle;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use terrace_engine::recover::{RECOVER, end_cut_off};
use terrace_engine::store::{Claimant, OperationRow, ServerStore, StateStore, StoreError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

/// How a server works.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Further prefixes under which the API is: `/snowflake-outputport-provisioner`.
    pub prefixes: Vec<String>,
    /// How many requests are worked on at once.
    pub workers: usize,
    /// How many may wait.
    pub most_waiting: usize,
    /// Waiting requests that a caller may have whose token sets no limit.
    pub most_waiting_of_caller: u32,
    /// How many provider calls one request makes at once.
    pub parallelism: usize,
    /// How long a request waits for the lease of its component.
    pub patience: Duration,
    /// How long what runs is waited for when the server ends.
    pub drain: Duration,
    /// How long requests that ended are kept.
    pub retention: Duration,
    /// How long entries of the audit log are kept; `None` keeps all.
    pub audit_retention: Option<Duration>,
    /// How long one call may take; what it began in the store goes on.
    pub timeout: Duration,
    /// How long the store may be silent before `/live` and `/ready` fail.
    pub state_timeout: Duration,
    /// The certificate that calls are taken with; without one they are not encrypted.
    pub certificate: Option<Certificate>,
    /// Limits of connections.
    pub connections: ConnectionLimits,
    /// The longest body, in bytes.
    pub body_limit: usize,
    /// What judging may take.
    pub judging: JudgingSettings,
    /// How often drift is looked for; never when nothing is said.
    pub drift_every: Option<Duration>,
    /// Who is told of drift.
    pub webhook: Option<Webhook>,
    /// Who is let in.
    pub auth: Auth,
    /// Who works, for people: `terrace@host (pid 4711)`.
    pub actor: String,
}

/// A server, not yet running.
pub struct Server {
    /// The environments.
    pub worlds: Environments,
    /// Where requests wait, and what is recorded.
    pub store: Arc<dyn ServerStore>,
    /// A store without anything in it: what is only validated is planned on that.
    pub nothing: Arc<dyn StateStore>,
    /// Pages to look at the tables of databases; none where others than this machine can call.
    pub pages: Option<Pages>,
    /// Where `/health`, `/ready`, `/metrics` and `/docs` are; beside the APIs without it.
    pub operations: Option<TcpListener>,
    /// Who gets the figures besides `/metrics`.
    pub figures: Option<MoreFigures>,
    /// How it works.
    pub settings: ServerSettings,
}

/// The server cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Connections cannot be taken.
    #[error("connections cannot be taken: {0}")]
    Listen(#[from] std::io::Error),
    /// The certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The state cannot be asked which one it is.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing can be fetched by HTTP.
    #[error("nothing can be fetched by HTTP: {0}")]
    Client(String),
    /// Figures cannot be collected: something else in the process does.
    #[error("figures cannot be collected: {0}")]
    Metrics(#[from] FiguresError),
}

/// What calls and workers share.
pub(crate) struct Shared {
    pub(crate) worlds: Environments,
    pub(crate) store: Arc<dyn ServerStore>,
    /// The same store, for callers that wait for an answer.
    pub(crate) calls: Arc<dyn ServerStore>,
    pub(crate) nothing: Arc<dyn StateStore>,
    pub(crate) settings: ServerSettings,
    pub(crate) admission: Admission,
    pub(crate) audit: Arc<Audit>,
    /// Calls for a change that are being answered.
    pub(crate) answering: TaskTracker,
    pub(crate) metrics: PrometheusHandle,
    pub(crate) readiness: LastReadiness,
    /// When the store answered last.
    pub(crate) last_answer: LastAnswer,
    pub(crate) at_work: OperationLocks,
    pub(crate) streams: Arc<Streams>,
    /// Wakes a worker.
    pub(crate) wake: Notify,
    /// Requests that could not be read or worked on.
    pub(crate) unworkable: RetryCounter,
    /// Requests that wait for what was cut off and may still take effect.
    pub(crate) looked: RetryCounter,
    /// How long descriptors take to judge.
    /// What judging may take, and who does.
    pub(crate) judging: Judging,
    /// No worker can claim a request.
    pub(crate) claiming: Outage,
    /// Held by the worker that looks for requests while there are none.
    pub(crate) looking: tokio::sync::Mutex<()>,
    /// This process, as it claims requests.
    pub(crate) claimant: Claimant,
    /// Held by the worker of a request that several servers died of.
    pub(crate) suspect: tokio::sync::Mutex<()>,
    /// Nothing new is begun.
    pub(crate) stop: CancellationToken,
}

impl Server {
    /// Answers calls and works on requests until `stop` is set; what runs then is waited for as long as the settings say.
    /// What is not done by then is taken up by whoever starts next.
    ///
    /// # Errors
    /// When connections cannot be taken.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) -> Result<(), ServeError> {
        let Self { worlds, store, nothing, pages, operations, figures, settings } = self;
        let (drain, workers) = (settings.drain, settings.workers);
        worlds.pin_to(store.as_ref()).await?;
        let is_told_elsewhere = figures.is_some();
        let metrics = metrics::collect(settings.drift_every, figures)?;
        let shared = Arc::new(Shared {
            streams: Arc::new(Streams::new(settings.connections.max_streams)),
            worlds,
            audit: Audit::start(Arc::<dyn ServerStore>::clone(&store)),
            answering: TaskTracker::new(),
            calls: Arc::clone(&store).for_calls(),
            store,
            nothing,
            admission: Admission::new(settings.auth.clone()).map_err(ServeError::Client)?,
            claimant: Claimant { id: Uuid::now_v7(), name: settings.actor.clone() },
            suspect: tokio::sync::Mutex::default(),
            judging: Judging::new(settings.judging.clone()),
            settings,
            metrics,
            readiness: LastReadiness::default(),
            last_answer: LastAnswer::default(),
            at_work: OperationLocks::default(),
            wake: Notify::new(),
            unworkable: RetryCounter::default(),
            looked: RetryCounter::default(),
            claiming: Outage::default(),
            looking: tokio::sync::Mutex::default(),
            stop: stop.clone(),
        });
        let mut beside = None;
        if let Some(listener) = operations {
            let is_for_this_machine = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
            let routes = routes::operations(&shared, is_for_this_machine).with_state(Arc::clone(&shared));
            let routes = routes::with_slashes(routes, &shared.settings);
            beside = Some((listener, routes));
        }
        let routes = routes::routes(&shared, pages, beside.is_none());
        // Planning keeps a processor busy: it has threads of its own, so that calls are answered meanwhile.
        let runtime = tokio::runtime::Handle::current();
        let abandon = CancellationToken::new();
        let start = |_| {
            let (runtime, shared, abandon) = (runtime.clone(), Arc::clone(&shared), abandon.clone());
            tokio::task::spawn_blocking(move || {
                let_calls_go_first();
                runtime.block_on(abandon.run_until_cancelled(queue::work(shared)))
            })
        };
        let mut working: Vec<_> = (0..workers).map(start).collect();
        let every = shared.settings.drift_every;
        let scanning = every.map(|every| tokio::spawn(drifting::schedule(Arc::clone(&shared), every)));
        let pruning = tokio::spawn(prune(Arc::clone(&shared)));
        let ending = tokio::spawn(end_recoveries(Arc::clone(&shared)));
        let counting = is_told_elsewhere.then(|| tokio::spawn(count_held(Arc::clone(&shared))));
        let listening = tokio::spawn(queue::listen(Arc::clone(&shared)));
        let handle = Handle::new();
        let (certificate, limits) = (shared.settings.certificate.clone(), shared.settings.connections.clone());
        let routes = routes::with_slashes(routes.with_state(Arc::clone(&shared)), &shared.settings);
        let mut serving = std::pin::pin!(listen(listener, certificate, &limits, &handle, routes));
        let (side_limits, certificate) = (limits.for_side_listener(), shared.settings.certificate.clone());
        // It answers until the end, also while what runs is waited for.
        let mut operating = tokio::spawn(async move {
            let Some((listener, routes)) = beside else { return std::future::pending().await };
            listen(listener, certificate, &side_limits, &Handle::new(), routes).await
        });
        // Without being told to it ends only when it cannot go on.
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
        listening.abort();
        counting.inspect(|counting| counting.abort());
        scanning.inspect(|scanning| scanning.abort());
        let all = async {
            // Callers that take their time to ask, or to read, are waited for as long as what runs.
            let served = match served {
                Some(served) => served,
                None => serving.await,
            };
            for worker in &mut working {
                if let Err(error) = worker.await {
                    tracing::error!(%error, "a worker broke off");
                }
            }
            // A change of a caller that is gone has no connection any more.
            shared.answering.close();
            shared.answering.wait().await;
            served
        };
        let drained = tokio::time::timeout(drain, all).await;
        operating.abort();
        let served = match drained {
            Ok(served) => served,
            Err(_) => {
                tracing::warn!("not all that runs was done in time: the next start takes it up");
                // It ends before what it runs in does.
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

/// How long the store is waited for at the end.
const RELEASE: Duration = Duration::from_secs(5);

/// Gives back the claims that are left when a server shuts down, so that they do not count as deaths of it.
async fn release_claims(shared: &Shared) {
    let released = tokio::time::timeout(RELEASE, shared.store.release_claims(&shared.claimant)).await;
    let problem = match released {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("the store did not answer within {RELEASE:?}"),
    };
    tracing::warn!(error = problem, "the claims of this server are not released: they expire");
}

/// Gives a worker's thread less of a processor than those that answer calls, where both want it: nobody waits for a plan as
/// they wait for an answer. On Linux that is a matter of single threads, elsewhere of whole processes.
pub(crate) fn let_calls_go_first() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(5) {
        tracing::debug!(%error, "workers have as much of the processors as calls");
    }
}

/// How often what is older than the retention is removed.
const PRUNE: Duration = Duration::from_secs(3600);

/// Interval of [`count_held`].
const COUNT: Duration = Duration::from_secs(30);

/// Counts leases and the queue for recorders that export by themselves; `/metrics` counts on each call.
async fn count_held(shared: Arc<Shared>) {
    let mut interval = tokio::time::interval(COUNT);
    loop {
        interval.tick().await;
        metrics::count_held(shared.store.as_ref()).await;
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
            tracing::warn!(%error, "what is old cannot be removed now");
        }
        if let Some(keep) = shared.settings.audit_retention
            && let Err(error) = shared.store.prune_audit(keep).await
        {
            tracing::warn!(%error, "old entries of the audit log cannot be removed now");
        }
    }
}

/// Ends the recoveries of killed servers. Workers go on with requests, but no worker goes on with a recovery.
async fn end_recoveries(shared: Arc<Shared>) {
    let mut interval = tokio::time::interval(END);
    let failing = Outage::default();
    loop {
        interval.tick().await;
        let is_recovery = |operation: &OperationRow| operation.kind == RECOVER;
        match end_cut_off(shared.store.as_ref(), is_recovery).await {
            Ok(_) => drop(failing.ends()),
            Err(error) if failing.begins() => {
                tracing::warn!(%error, "recoveries that were cut off cannot be ended now");
            }
            Err(_) => {}
        }
    }
}
