//! The server: its routes, its workers, and how it ends.

use crate::auth::Auth;
use crate::operate::{self, LastReadiness};
use crate::queue::{self, AtWork};
use crate::worlds::Worlds;
use crate::{api, drifting, metrics, witboost};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use metrics_exporter_prometheus::{BuildError, PrometheusHandle};
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;
use terrace_engine::store::{ServerStore, StateStore};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

/// Where coordinators look for the API besides `/`.
const BASE: &str = "/datamesh.specificprovisioner";

/// How a server works.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Further prefixes under which the API is: `/snowflake-outputport-provisioner`.
    pub prefixes: Vec<String>,
    /// How many requests are worked on at once.
    pub workers: usize,
    /// How many may wait.
    pub most_waiting: usize,
    /// How many provider calls one request makes at once.
    pub parallelism: usize,
    /// How long a request waits for the lease of its component.
    pub patience: Duration,
    /// How long what runs is waited for when the server ends.
    pub drain: Duration,
    /// How long requests that ended are kept.
    pub retention: Duration,
    /// The longest body, in bytes.
    pub body_limit: usize,
    /// How often drift is looked for; never when nothing is said.
    pub drift_every: Option<Duration>,
    /// Who is let in.
    pub auth: Auth,
    /// Who works, for people: `terrace@host (pid 4711)`.
    pub actor: String,
}

/// A server, not yet running.
pub struct Server {
    /// The environments.
    pub worlds: Worlds,
    /// Where requests wait, and what is recorded.
    pub store: Arc<dyn ServerStore>,
    /// A store without anything in it: what is only validated is planned on that.
    pub nothing: Arc<dyn StateStore>,
    /// How it works.
    pub settings: ServerSettings,
}

/// The server cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Connections cannot be taken.
    #[error("connections cannot be taken: {0}")]
    Listen(#[from] std::io::Error),
    /// Figures cannot be collected: something else in the process does.
    #[error("figures cannot be collected: {0}")]
    Metrics(#[from] BuildError),
}

/// What calls and workers share.
pub(crate) struct Shared {
    pub(crate) worlds: Worlds,
    pub(crate) store: Arc<dyn ServerStore>,
    pub(crate) nothing: Arc<dyn StateStore>,
    pub(crate) settings: ServerSettings,
    pub(crate) metrics: PrometheusHandle,
    pub(crate) readiness: LastReadiness,
    pub(crate) at_work: AtWork,
    /// Wakes a worker.
    pub(crate) wake: Notify,
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
        let Self { worlds, store, nothing, settings } = self;
        let (drain, workers) = (settings.drain, settings.workers);
        let metrics = metrics::collect()?;
        let shared = Arc::new(Shared {
            worlds,
            store,
            nothing,
            settings,
            metrics,
            readiness: LastReadiness::default(),
            at_work: AtWork::default(),
            wake: Notify::new(),
            stop: stop.clone(),
        });
        let routes = routes(&shared);
        // Planning keeps a processor busy: it has threads of its own, so that calls are answered meanwhile.
        let runtime = tokio::runtime::Handle::current();
        let abandon = CancellationToken::new();
        let start = |_| {
            let (runtime, shared, abandon) = (runtime.clone(), Arc::clone(&shared), abandon.clone());
            tokio::task::spawn_blocking(move || runtime.block_on(abandon.run_until_cancelled(queue::work(shared))))
        };
        let mut working: Vec<_> = (0..workers).map(start).collect();
        let every = shared.settings.drift_every;
        let scanning = every.map(|every| tokio::spawn(drifting::schedule(Arc::clone(&shared), every)));
        let pruning = tokio::spawn(prune(Arc::clone(&shared)));
        let listening = tokio::spawn(queue::listen(Arc::clone(&shared)));
        let ended = stop.clone();
        let serving = axum::serve(listener, routes.with_state(Arc::clone(&shared)))
            .with_graceful_shutdown(async move { ended.cancelled().await });
        let mut serving = std::pin::pin!(serving.into_future());
        // Without being told to it ends only when it cannot go on.
        let served = tokio::select! {
            served = &mut serving => Some(served),
            () = stop.cancelled() => None,
        };
        pruning.abort();
        listening.abort();
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
            served
        };
        match tokio::time::timeout(drain, all).await {
            Ok(served) => Ok(served?),
            Err(_) => {
                tracing::warn!("not all that runs was done in time: the next start takes it up");
                // It ends before what it runs in does.
                abandon.cancel();
                let left = working.into_iter().filter(|worker| !worker.is_finished());
                futures_util::future::join_all(left).await;
                Ok(())
            }
        }
    }
}

/// How often what is older than the retention is removed.
const PRUNE: Duration = Duration::from_secs(3600);

/// Removes what is older than the retention, again and again.
async fn prune(shared: Arc<Shared>) {
    let mut interval = tokio::time::interval(PRUNE);
    loop {
        interval.tick().await;
        if let Err(error) = shared.store.prune(shared.settings.retention).await {
            tracing::warn!(%error, "what is old cannot be removed now");
        }
    }
}

/// The API at `/`, at its base path and under each prefix.
fn routes(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    let settings = &shared.settings;
    let mut routes = Router::new()
        .merge(operate::router())
        .merge(api::router(shared))
        .merge(witboost::router(shared))
        .nest(BASE, witboost::router(shared));
    for prefix in &settings.prefixes {
        routes = routes.nest(prefix, witboost::router(shared));
    }
    routes
        .layer(from_fn(metrics::count))
        .layer(CatchPanicLayer::new())
        .layer(DefaultBodyLimit::max(settings.body_limit))
}
