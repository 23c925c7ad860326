//! The operator as a whole: election, then the controllers, until it loses the Lease or is stopped.

use crate::api_server::{ApiServer, is_unanswered};
use crate::definitions::{self, Comparison};
use crate::health::{self, Health};
use crate::kind::Kind;
use crate::leader::Candidate;
use crate::objects::Objects;
use crate::other_operators::OtherOperators;
use crate::pipeline_run::PipelineRun;
use crate::reconcile::{self, Context};
use crate::run_board::{Board, Watch};
use crate::run_reconcile::{self, RunContext};
use crate::server::{Server, ServerSettings};
use crate::stack::Watched;
use crate::watch_outage::WatchOutage;
use futures_util::{Stream, StreamExt, future, stream};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::ListParams;
use kube::config::KubeconfigError;
use kube::core::DynamicResourceScope;
use kube::runtime::controller::{Config, Error, ReconcileRequest, applier, trigger_self};
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::{Controller, WatchStreamExt, reflector, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use terrace_provider::error::with_causes;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The name of the Lease. An operator of a single namespace adds its name.
const LEASE: &str = "terrace-operator";
/// Objects of a kind that are reconciled at once.
const CONCURRENCY: u16 = 4;
/// How long running reconciliations may go on after a stop. Kubernetes kills a pod 30 seconds after its stop.
const GRACE: Duration = Duration::from_secs(10);
/// The limit of a request at the start.
const CHECK_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest time until the cluster publishes changed definitions.
const PUBLICATION: Duration = Duration::from_secs(10);
/// Longer than a watch without events, which the API server ends after five minutes.
const READ_TIMEOUT: Duration = Duration::from_secs(330);

/// An operator that does not run yet.
#[derive(Debug, Clone)]
pub struct Operator {
    /// The way to the server.
    pub server: ServerSettings,
    /// The only namespace whose objects it reads; `None` for all namespaces.
    pub namespace: Option<String>,
    /// The namespace of its Lease; `None` for that of its service account or its context.
    pub lease_namespace: Option<String>,
    /// The address of probes and metrics; `None` for none.
    pub bind: Option<SocketAddr>,
    /// The name of this process, for people; the operator makes it unique.
    pub name: String,
}

/// Why an operator cannot run.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// No cluster is configured.
    #[error("no cluster: {0}")]
    NoCluster(String),
    /// A setting of the server is invalid.
    #[error("{0}")]
    Server(String),
    /// The API server refuses to list the custom resources.
    #[error("the custom resources cannot be listed: {0}")]
    NoStacks(String),
    /// The definitions in the cluster lack fields.
    #[error("the definitions in the cluster are of another version: they lack {0}")]
    OtherDefinitions(String),
    /// Probes and metrics cannot be served.
    #[error("probes and metrics cannot be served: {0}")]
    NoListener(String),
    /// The API server forbids to read or write the Lease.
    #[error("the lease cannot be read or written: {0}")]
    NoLease(String),
    /// Another operator, in this namespace, works for the whole cluster.
    #[error("the operator of the namespace `{0}` works for the whole cluster, and its lease is older")]
    OtherOperator(String),
}

impl Operator {
    /// Works until `stop`: waits for the Lease, and reconciles objects while it has it.
    ///
    /// # Errors
    /// When no cluster is configured, settings are invalid, or the cluster refuses the custom resources or the Lease at
    /// the start. Later failures are retried. At any time when an older operator of the whole cluster works, too.
    pub async fn run(self, stop: CancellationToken) -> Result<(), OperatorError> {
        let server = Server::new(&self.server).map_err(OperatorError::Server)?;
        let no_cluster = |error: &dyn std::error::Error| OperatorError::NoCluster(with_causes(error));
        let mut config = configuration().await.map_err(OperatorError::NoCluster)?;
        config.read_timeout = Some(READ_TIMEOUT);
        let health = Health::new();
        if let Some(address) = self.bind {
            let listener = TcpListener::bind(address).await;
            let listener = listener.map_err(|error| OperatorError::NoListener(format!("{address}: {error}")))?;
            let metrics = health::collect().map_err(OperatorError::NoListener)?;
            tokio::spawn(health::serve(listener, health.clone(), metrics, stop.clone()));
        }
        let lease_namespace = self.lease_namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let api_server = ApiServer::of(&config);
        let client = Client::try_from(config).map_err(|error| no_cluster(&error))?;
        tokio::select! {
            checked = self.check(&client, &api_server) => checked?,
            () = stop.cancelled() => return Ok(()),
        }
        let leases: Api<Lease> = Api::namespaced(client.clone(), &lease_namespace);
        let lease = self.namespace.as_ref().map_or_else(|| LEASE.to_owned(), |name| format!("{LEASE}-{name}"));
        let candidate = Candidate::new(leases, lease, self.name.clone(), health.clone(), api_server.clone());
        while let Some(since) = candidate.acquire(&stop).await.map_err(OperatorError::NoLease)? {
            let work = self.work(&client, &api_server, &lease_namespace, &server, &health, &stop);
            // Another operator may lead in a moment: requests in flight have keys and name versions of objects.
            let end = lead(work, candidate.keep(since), &stop).await;
            health.leads(None);
            if end != End::Lost {
                candidate.release().await;
            }
            if let End::Other(namespace) = end {
                return Err(OperatorError::OtherOperator(namespace));
            }
            if stop.is_cancelled() {
                break;
            }
        }
        Ok(())
    }

    /// Works until `stop`, unless an older operator of the whole cluster works: returns its namespace.
    async fn work(
        &self,
        client: &Client,
        api_server: &ApiServer,
        lease_namespace: &str,
        server: &Server,
        health: &Health,
        stop: &CancellationToken,
    ) -> Option<String> {
        let control = async || {
            tracing::info!(identity = self.name, "this operator leads");
            self.control(client.clone(), api_server, server.clone(), health, stop.clone()).await;
        };
        // With `watchNamespace` it has no rights in other namespaces.
        if self.namespace.is_some() {
            control().await;
            return None;
        }
        let mut others = OtherOperators::new(client.clone(), LEASE.to_owned(), lease_namespace.to_owned());
        tokio::select! {
            older = others.find_older() => if older.is_some() { return older },
            () = stop.cancelled() => return None,
        }
        tokio::select! {
            () = control() => None,
            older = others.wait_for_older() => Some(older),
        }
    }

    fn objects<K: Resource<Scope = DynamicResourceScope>>(&self, client: &Client, kind: &K::DynamicType) -> Api<K> {
        match &self.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, kind),
            None => Api::all_with(client.clone(), kind),
        }
    }

    /// Fails early if the definitions or the rights are missing. An unreachable API server may come back.
    async fn check(&self, client: &Client, server: &ApiServer) -> Result<(), OperatorError> {
        for kind in Kind::ALL {
            check_list(&self.objects::<Watched>(client, &kind), server).await?;
        }
        check_list(&self.objects::<PipelineRun>(client, &()), server).await?;
        check_definitions(client, server).await
    }

    /// Reconciles objects until `stop`, then ends running reconciliations.
    async fn control(
        &self,
        client: Client,
        api_server: &ApiServer,
        server: Server,
        health: &Health,
        stop: CancellationToken,
    ) {
        let config = Config::default().concurrency(CONCURRENCY);
        let controllers = Kind::ALL.map(|kind| {
            let objects = self.objects::<Watched>(&client, &kind);
            (kind, Controller::new_with(objects, watcher::Config::default(), kind).with_config(config.clone()))
        });
        let (runs, writer) = reflector::store();
        let described = controllers.iter().map(|(kind, controller)| (*kind, controller.store())).collect();
        let objects = Objects { described, runs: runs.clone() };
        health.leads(Some(objects.clone()));
        // The cluster refuses a longer name.
        let instance = Some(self.name.chars().take(100).collect());
        let reporter = Reporter { controller: "terrace-operator".to_owned(), instance };
        let events = Recorder::new(client.clone(), reporter);
        let board = Arc::new(Board::new(server.clone(), objects.clone()));
        let stopped = || {
            let stop = stop.clone();
            async move { stop.cancelled().await }
        };
        let of_stacks = controllers.map(|(kind, controller)| {
            let (client, server, events) = (client.clone(), server.clone(), events.clone());
            let context = Arc::new(Context { kind, client, server, events, objects: objects.clone() });
            let controller = controller.graceful_shutdown_on(stopped());
            let watch = WatchOutage::new(kind.plural(), api_server.clone(), READ_TIMEOUT);
            follow(watch, controller.run(reconcile::reconcile, reconcile::retry, context))
        });
        // The board triggers single objects, which `Controller` has no stable method for.
        let watched = watcher(self.objects::<PipelineRun>(&client, &()), watcher::Config::default());
        let changed = trigger_self(reflector::reflector(writer, watched).applied_objects(), ()).default_backoff();
        let due = stream::unfold((Arc::clone(&board), Watch::new()), |(board, mut watch)| async {
            let due = board.until_due(&mut watch).await;
            Some((stream::iter(due).map(|run| Ok(ReconcileRequest::from(run))), (board, watch)))
        });
        let queue = stream::select(changed, due.flatten()).take_until(stopped());
        let context = Arc::new(RunContext { client, server, events, board });
        let reconcile = |run, context| Box::pin(run_reconcile::reconcile(run, context));
        let reconciled = applier(reconcile, run_reconcile::retry, context, runs, queue, config);
        let of_runs = follow(WatchOutage::new("pipelineruns", api_server.clone(), READ_TIMEOUT), reconciled);
        tokio::join!(future::join_all(of_stacks), of_runs);
    }
}

/// The configuration of the client, from KUBECONFIG or the service account of the pod.
async fn configuration() -> Result<kube::Config, String> {
    let config = kube::Config::infer().await.map_err(|error| {
        let of_kubeconfig = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref());
        match of_kubeconfig {
            // They quote lines, which may hold tokens.
            Some(
                KubeconfigError::Parse(_) | KubeconfigError::ParseClusterUrl(_) | KubeconfigError::ParseProxyUrl(_),
            ) => "the kubeconfig is not valid".to_owned(),
            _ => with_causes(&error),
        }
    })?;
    // The library panics at an address without a scheme.
    match config.cluster_url.scheme_str() {
        Some("http" | "https") => Ok(config),
        _ => Err("the `server` of the kubeconfig's cluster does not begin with `https://`".to_owned()),
    }
}

/// The answer to a request of the start. `Err(None)` is an outage, which `server` logs.
async fn in_time<T>(
    request: impl Future<Output = kube::Result<T>>,
    server: &ApiServer,
) -> Result<T, Option<kube::Error>> {
    let silence = match tokio::time::timeout(CHECK_TIMEOUT, request).await {
        Ok(Err(error)) if is_unanswered(&error) => with_causes(&error),
        Ok(answer) => return answer.map_err(Some),
        Err(_) => "no answer".to_owned(),
    };
    server.unanswered(&silence);
    Err(None)
}

/// Fails if the cluster refuses a list of these objects.
async fn check_list<K: Clone + DeserializeOwned + Debug>(
    objects: &Api<K>,
    server: &ApiServer,
) -> Result<(), OperatorError> {
    match in_time(objects.list(&ListParams::default().limit(1)), server).await {
        Err(Some(kube::Error::Api(answer))) if matches!(answer.code, 401 | 403 | 404) => {
            Err(OperatorError::NoStacks(answer.message.clone()))
        }
        Err(Some(error)) => {
            tracing::warn!(error = with_causes(&error), "the custom resources cannot be listed now");
            Ok(())
        }
        Ok(_) | Err(None) => Ok(()),
    }
}

/// Fails if the definitions in the cluster lack fields of this operator. The cluster publishes changed definitions after some seconds.
async fn check_definitions(client: &Client, server: &ApiServer) -> Result<(), OperatorError> {
    let begun = Instant::now();
    loop {
        // Rights of a cluster may forbid the call, and an outage may end: the operator works without the comparison.
        let Comparison { missing, unknown } = match in_time(definitions::compare(client), server).await {
            Ok(comparison) => comparison,
            Err(None) => return Ok(()),
            Err(Some(error)) => {
                let error = with_causes(&error);
                tracing::info!(error, "the definitions in the cluster cannot be compared with those of this operator");
                return Ok(());
            }
        };
        if missing.is_empty() {
            if !unknown.is_empty() {
                let fields = unknown.join(", ");
                tracing::warn!(fields, "the definitions in the cluster are newer: this operator ignores some fields");
            }
            return Ok(());
        }
        if begun.elapsed() >= PUBLICATION {
            return Err(OperatorError::OtherDefinitions(missing.join(", ")));
        }
        tokio::time::sleep(PUBLICATION / 10).await;
    }
}

/// Counts the reconciliations of a controller, and logs outages of its watch.
async fn follow<T, E>(mut watch: WatchOutage, reconciled: impl Stream<Item = Result<T, Error<E, watcher::Error>>>)
where
    E: std::error::Error + 'static,
{
    let mut reconciled = std::pin::pin!(reconciled);
    while let Some(result) = reconciled.next().await {
        match result {
            Ok(_) => {
                health::reconciled(true);
                watch.reconciled();
            }
            // `retry` logs it.
            Err(Error::ReconcilerFailed(..)) => health::reconciled(false),
            // The object went away meanwhile.
            Err(Error::ObjectNotFound(_)) => {}
            Err(Error::QueueError(error)) => {
                watch.failed(&error);
            }
            Err(error) => tracing::warn!(error = with_causes(&error), "a controller of the custom resources failed"),
        }
    }
}

/// Why an operator does not lead any more.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// A stop.
    Stopped,
    /// The Lease was lost, so it must not be released.
    Lost,
    /// An older operator, in this namespace, works for the whole cluster.
    Other(String),
}

/// Works until the work ends, the Lease is lost, or [`GRACE`] is over after `stop`. Drops what still runs.
async fn lead(
    work: impl Future<Output = Option<String>>,
    keep: impl Future<Output = ()>,
    stop: &CancellationToken,
) -> End {
    let give_up = async {
        stop.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        older = work => older.map_or(End::Stopped, End::Other),
        () = keep => End::Lost,
        () = give_up => {
            tracing::info!("some reconciliations did not end in time: the next leader continues them");
            End::Stopped
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn stop_waits_for_reconciliations_no_longer_than_the_grace() {
        let stop = CancellationToken::new();
        stop.cancel();
        let since = Instant::now();
        let led = tokio::time::timeout(GRACE * 2, lead(pending(), pending(), &stop)).await;
        assert_eq!(led, Ok(End::Stopped), "the lease stays");
        assert_eq!(since.elapsed().as_secs(), GRACE.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn lost_lease_ends_the_work() {
        assert_eq!(lead(pending(), async {}, &CancellationToken::new()).await, End::Lost);
    }
}
