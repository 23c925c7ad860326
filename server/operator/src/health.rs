//! Probes and metrics of the operator over HTTP: `/livez`, `/readyz` and `/metrics`.

use crate::kind::Kind;
use crate::objects::Objects;
use crate::run_phase::RunPhase;
use crate::stack::{Phase, Watched};
use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics::{counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const LEADS: &str = "terrace_operator_leads";
const RUNS: &str = "terrace_operator_pipelineruns";
const RECONCILIATIONS: &str = "terrace_operator_reconciliations_total";

/// Without an attempt to read the Lease for this long, the process hangs: attempts are 2 seconds apart, and each ends
/// within 5.
const HANGS: Duration = Duration::from_secs(60);
/// Without an answer of the API server for this long, the operator cannot work.
const SILENT: Duration = Duration::from_secs(30);

/// The health of the operator, shared by its parts.
#[derive(Clone)]
pub(crate) struct Health(Arc<Mutex<State>>);

struct State {
    /// The last attempt to read or write the Lease.
    attempted: Instant,
    /// The last successful attempt.
    answered: Option<Instant>,
    /// The objects of a leader.
    objects: Option<Objects>,
}

impl Health {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State { attempted: Instant::now(), answered: None, objects: None })))
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// After an attempt to read or write the Lease.
    pub(crate) fn attempted(&self, is_answered: bool) {
        let now = Instant::now();
        self.change(|state| {
            state.attempted = now;
            if is_answered {
                state.answered = Some(now);
            }
        });
    }

    /// After the begin of leading with the objects of the controllers, or after its end.
    pub(crate) fn leads(&self, objects: Option<Objects>) {
        self.change(|state| state.objects = objects);
    }

    /// Whether the process works; if not, the cluster restarts it.
    fn is_live(&self) -> bool {
        self.change(|state| state.attempted.elapsed() < HANGS)
    }

    /// Whether the API server answers. An operator that does not lead is ready, too.
    fn is_ready(&self) -> bool {
        self.change(|state| state.answered.is_some_and(|answered| answered.elapsed() < SILENT))
    }

    /// Sets the gauges to the present values.
    fn measure(&self) {
        let objects = self.change(|state| state.objects.clone());
        gauge!(LEADS).set(if objects.is_some() { 1.0 } else { 0.0 });
        // A former leader reports no objects: the new leader does.
        let described = objects.as_ref().map(Objects::described).unwrap_or_default();
        let runs = objects.map(|objects| objects.runs.state()).unwrap_or_default();
        for kind in Kind::ALL {
            let count = |is_counted: &dyn Fn(&Watched) -> bool| {
                let of_kind = described.iter().filter(|(other, _)| *other == kind);
                u32::try_from(of_kind.filter(|(_, object)| is_counted(object)).count()).unwrap_or(u32::MAX)
            };
            for phase in Phase::KNOWN {
                gauge!(by_phase(kind), "phase" => format!("{phase:?}")).set(count(&|object| object.phase == phase));
            }
            gauge!(drifted(kind)).set(count(&|object| object.is_drifted));
        }
        for phase in RunPhase::KNOWN {
            let has_phase = |phase_of: Option<RunPhase>| phase_of.unwrap_or_default() == phase;
            let count = runs.iter().filter(|run| has_phase(run.status.as_ref().map(|status| status.phase))).count();
            gauge!(RUNS, "phase" => format!("{phase:?}")).set(u32::try_from(count).unwrap_or(u32::MAX));
        }
    }
}

/// The gauge of the objects of a kind.
fn by_phase(kind: Kind) -> String {
    format!("terrace_operator_{}", kind.plural())
}

/// The gauge of the objects of a kind with drift.
fn drifted(kind: Kind) -> String {
    format!("{}_drifted", by_phase(kind))
}

/// Counts a reconciliation.
pub(crate) fn reconciled(is_recorded: bool) {
    counter!(RECONCILIATIONS, "result" => if is_recorded { "recorded" } else { "failed" }).increment(1);
}

/// Collects the metrics of the process from this call on.
///
/// # Errors
/// When another part of the process collects them already.
pub(crate) fn collect() -> Result<PrometheusHandle, String> {
    let handle = PrometheusBuilder::new().install_recorder().map_err(|error| error.to_string())?;
    describe_gauge!(LEADS, "1 while this operator leads.");
    for kind in Kind::ALL {
        let name = kind.name();
        describe_gauge!(by_phase(kind), format!("Objects `{name}` of the leader, by phase."));
        describe_gauge!(drifted(kind), format!("Objects `{name}` of the leader whose last scan found drift."));
    }
    describe_gauge!(RUNS, "Objects `PipelineRun` of the leader, by phase.");
    describe_counter!(RECONCILIATIONS, "Reconciliations, by result: `recorded`, or `failed` because of the cluster.");
    Ok(handle)
}

/// The routes.
fn routes(health: Health, metrics: PrometheusHandle) -> Router {
    fn probe(is_good: bool, why: &'static str) -> Response {
        if is_good { "ok\n".into_response() } else { (StatusCode::SERVICE_UNAVAILABLE, why).into_response() }
    }
    let (live, ready, measured) = (health.clone(), health.clone(), health);
    Router::new()
        .route("/livez", get(async move || probe(live.is_live(), "the operator hangs\n")))
        .route("/readyz", get(async move || probe(ready.is_ready(), "the API server does not answer\n")))
        .route(
            "/metrics",
            get(async move || {
                measured.measure();
                ([("content-type", "text/plain; version=0.0.4")], metrics.render())
            }),
        )
}

/// Serves probes and metrics until `stop`.
pub(crate) async fn serve(listener: TcpListener, health: Health, metrics: PrometheusHandle, stop: CancellationToken) {
    let upkeep = metrics.clone();
    let served = axum::serve(listener, routes(health, metrics))
        .with_graceful_shutdown(async move { stop.cancelled_owned().await })
        .into_future();
    let mut served = std::pin::pin!(served);
    // Old values of histograms would stay in memory.
    let mut tick = tokio::time::interval(Duration::from_secs(60));
    loop {
        tokio::select! {
            result = &mut served => {
                if let Err(error) = result {
                    tracing::warn!(%error, "probes and metrics are served no more");
                }
                return;
            }
            _ = tick.tick() => upkeep.run_upkeep(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn operator_is_ready_while_the_api_server_answers() {
        let health = Health::new();
        assert!(health.is_live() && !health.is_ready());
        health.attempted(true);
        tokio::time::advance(SILENT - Duration::from_millis(1)).await;
        assert!(health.is_ready());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!health.is_ready());
        health.attempted(false);
        assert!(!health.is_ready(), "only an answer counts");
        health.attempted(true);
        assert!(health.is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn operator_without_attempts_is_not_live() {
        let health = Health::new();
        tokio::time::advance(HANGS - Duration::from_secs(1)).await;
        health.attempted(false);
        tokio::time::advance(HANGS - Duration::from_secs(1)).await;
        assert!(health.is_live(), "failed attempts are those of an outage");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!health.is_live());
    }
}
