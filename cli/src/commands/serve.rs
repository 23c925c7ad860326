//! `terrace serve`: runs the HTTP server.

mod pickers;
mod sites;

use super::pipelines::{DeploymentServer, ScheduledRuns};
use crate::args::ServeArguments;
use crate::configuration::{ConnectionsConfiguration, LimitsConfiguration};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::files::{OtherAccess, access_of_others, make_private};
use crate::logging::{self, ServerLog};
use crate::memory;
use crate::report::report;
use crate::settings::{EnvironmentRef, Settings};
use crate::signals::Signals;
use crate::telemetry::Telemetry;
use crate::wiring::{self, EnvironmentContext, library, server_store};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use terrace_engine::address::DEFAULT_ENVIRONMENT;
use terrace_engine::diagnostic::has_errors;
use terrace_engine::engine::Engine;
use terrace_engine::environment;
use terrace_pipelines::paths::RECORDS;
use terrace_pipelines::run::Runner;
use terrace_pipelines::schedule::scheduler::Scheduler;
use terrace_pipelines::schedule::store::Schedules;
use terrace_provider::Settings as InstanceSettings;
use terrace_provider::wrap::silence::{Reporter, SilenceLimit};
use terrace_provider_pipelines::settings::{project_databases, runner};
use terrace_server::auth::Auth;
use terrace_server::environments::Environments;
use terrace_server::pipelines::PipelineLimits;
use terrace_server::processing::ProcessingSettings;
use terrace_server::tls::Certificate;
use terrace_server::{ConnectionLimits, Server, ServerSettings};
use terrace_state::{SystemClock, in_memory};

/// Serves until shutdown.
///
/// # Errors
/// When an environment cannot be set up, the state cannot be opened, or the address is not available.
pub(super) async fn run(context: &Context<'_>, arguments: &ServeArguments, signals: &Signals) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let configured = settings.server(context.ui)?;
    let telemetry = Telemetry::start(context.variables)?;
    let audit = logging::audit(&configured.audit.log, &settings.project_folder)?;
    let log = logging::serve(context, &configured.log, telemetry.layers().into_iter().chain(audit).collect())?;
    telemetry.warn();
    let bind = arguments.bind.or(configured.bind).unwrap_or(BIND);
    check_address(bind, configured.auth.is_some())?;
    if let Some(auth) = &configured.auth {
        warn_of_plain_tokens(bind, auth, settings.configuration.server.tls.is_some());
    }
    let connections = connections(&configured.connections)?;
    let environments = environments(context, &settings)?;
    let pickers = pickers::checked(context, &settings, &environments)?;
    let store = server_store(&settings).await?;
    let certificate = certificate(&settings)?;
    let listener = TcpListener::bind(bind).map_err(|error| {
        Failure::new(format!("cannot listen on {bind}: {error}")).hint("choose another address with `--bind`")
    })?;
    let address = listener.local_addr().unwrap_or(bind);
    let operations = configured.operations.map(|bind| operations(context, bind, certificate.is_some())).transpose()?;
    let instance = pipelines(context, &settings)?;
    let databases = super::pipelines::guarded(context, &instance).await?;
    // Pages with the content of databases are for this machine only.
    let pages = address.ip().is_loopback().then(|| super::pipelines::pages(databases.clone()));
    let schedules = settings.configuration.server.schedules;
    let runner = runner_of(&instance, schedules)?;
    let pipelines = runner.clone().map(|runner| super::pipelines::served(runner, databases, &instance.environment));
    let deployer = DeploymentServer::prepare(context, &instance, settings.configuration.server.deployments.as_ref())?;
    let workers = usize::from(arguments.workers.or(configured.workers).unwrap_or(WORKERS));
    let most_waiting = arguments.queue.or(configured.queue).unwrap_or(QUEUE);
    let body_limit = configured.body_limit.unwrap_or(BODY_LIMIT);
    let memory = configured.limits.memory.map_or_else(|| memory::available(context.variables), Ok)?;
    let usage_log = Arc::clone(&store);
    let server = Server {
        environments,
        store,
        empty_store: in_memory(Arc::new(SystemClock))?,
        pipelines,
        pages,
        hooks: deployer.as_ref().and_then(DeploymentServer::hooks),
        operations,
        recorder: telemetry.recorder(),
        settings: ServerSettings {
            prefixes: configured.prefixes.clone(),
            workers,
            most_waiting: most_waiting as usize,
            // Keeps the last fifth of the queue for other callers.
            most_waiting_of_caller: configured.queue_per_caller.unwrap_or((most_waiting - most_waiting / 5).max(1)),
            parallelism: usize::from(arguments.parallelism.or(configured.parallelism).unwrap_or(PARALLELISM)),
            // Callers have the token of their request and can poll its progress.
            lock_timeout: context.global.lock_timeout.unwrap_or(DEFAULT_LOCK_TIMEOUT),
            drain: arguments.drain.or(configured.drain).unwrap_or(DRAIN),
            retention: configured.retention.unwrap_or(RETENTION),
            audit_retention: configured.audit.retention,
            connections: connections.clone(),
            body_limit,
            processing: processing_settings(&configured.limits, memory, workers, body_limit),
            timeout: configured.timeout.unwrap_or(TIMEOUT),
            state_timeout: configured.state_timeout.unwrap_or(STATE_TIMEOUT),
            certificate: certificate.clone(),
            webhook: configured.webhook.clone(),
            drift_every: configured.drift_every,
            pickers,
            pipeline_limits: configured.pipeline_limits.or(PIPELINE_LIMITS),
            organisations: configured.organisations.clone(),
            auth: configured.auth.clone().unwrap_or_default(),
            actor: settings.actor.clone(),
        },
    };
    let sites = sites::open(context, &settings, &instance, arguments, certificate.as_ref(), &connections)?;
    let drain = server.settings.drain;
    let stop = signals.cancel.child_token();
    let scheduler = runner.clone().filter(|_| schedules != Some(false));
    let written = project_databases(&instance, wiring::guard_program())?;
    let run_log = Arc::new(ScheduledRuns { store: Arc::clone(&usage_log) });
    let scheduler = scheduler.map(|runner| Scheduler::new(runner, written, schedules == Some(true), Some(run_log)));
    signals.begin_changes();
    let hangup = signals.on_hangup();
    let scheme = if certificate.is_some() { "https" } else { "http" };
    context.ui.print_message(&format!("serving on {scheme}://{address}, state {}", settings.state));
    let serving_sites = sites::serve(sites, signals.cancel.clone());
    let serving = server.serve(listener, signals.cancel.clone());
    let reloading = async {
        loop {
            hangup.notified().await;
            reload(context, &log);
            certificate.as_ref().inspect(|certificate| certificate.reload.notify_one());
        }
    };
    let deploying = async {
        match deployer {
            Some(deployer) => deployer.run(context, usage_log, signals.cancel.clone()).await,
            None => std::future::pending().await,
        }
    };
    let scheduling = scheduler.map(|scheduler| tokio::spawn(scheduler.run(stop.clone(), drain)));
    let served = tokio::select! {
        served = serving => served,
        failed = serving_sites => Err(failed),
        () = reloading => Ok(()),
        () = super::pipelines::supervise(runner) => Ok(()),
        () = deploying => Ok(()),
    };
    stop.cancel();
    if let Some(scheduling) = scheduling
        && let Err(error) = scheduling.await
    {
        tracing::error!(%error, "the scheduler of pipelines stopped");
    }
    telemetry.end().await;
    served.map_err(|error| Failure::new(error.to_string()))?;
    Ok(Exit::Done)
}

/// The instance of pipelines with the settings of scheduled runs: of the environment in flag or variable, else of
/// `local`, else of the first. All environments share records, databases and schedules.
fn pipelines(context: &Context<'_>, settings: &Settings) -> Result<InstanceSettings, Failure> {
    let names = settings.configuration.environment_names();
    let default_name = names.iter().find(|name| **name == DEFAULT_ENVIRONMENT).or(names.first());
    let environment = settings.environment(default_name.map(|name| EnvironmentRef::word(name)), context.ui)?;
    wiring::instance(settings, &environment, "pipelines", context.ui)
}

/// The runner of scheduled runs. A project without pipelines need not have its prerequisites.
fn runner_of(instance: &InstanceSettings, schedules: Option<bool>) -> Result<Option<Runner>, Failure> {
    let is_needed = || match schedules {
        Some(is_wanted) => is_wanted,
        None => Schedules::new(&instance.project_folder.join(RECORDS)).has_any(),
    };
    match runner(instance) {
        Ok(runner) => Ok(Some(runner)),
        Err(error) if !is_needed() => {
            tracing::warn!(%error, "the API of this server cannot run pipelines");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Reloads the settings that can change while the server runs: log levels and the certificate.
pub(super) fn reload(context: &Context<'_>, log: &ServerLog) {
    let settings = context.settings(None);
    let read = settings.and_then(|settings| log.reload(context, &settings.server(context.ui)?.log));
    match read {
        Ok(()) => tracing::info!("reloaded log levels and the certificate"),
        Err(failure) => {
            context.ui.fail(&failure);
            tracing::warn!("the configuration cannot be reloaded: the previous settings stay in force");
        }
    }
}

/// The configured certificate. Reads it once to report errors at start.
pub(super) fn certificate(settings: &Settings) -> Result<Option<Certificate>, Failure> {
    let Some((chain, key)) = &settings.configuration.server.tls else { return Ok(None) };
    let place = |path: &Path| settings.project_folder.join(path);
    let certificate = Certificate { chain: place(chain), key: place(key), reload: Arc::default() };
    if access_of_others(&certificate.key) == OtherAccess::Write {
        let shown = certificate.key.display();
        return Err(Failure::new(format!("the key `{shown}` can be changed by other users of this machine"))
            .hint(make_private(&certificate.key)));
    }
    certificate.read().map_err(|error| {
        Failure::new(error.to_string())
            .hint("name two PEM files in `server.tls`: `cert` with the chain, `key` with its key")
    })?;
    Ok(Some(certificate))
}

/// Default address: reachable from this machine only.
const BIND: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8091));
/// Default number of requests worked on at once.
const WORKERS: u16 = 16;
/// Default number of provider calls at once in one request.
const PARALLELISM: u16 = 10;
/// Default limit of queued requests.
const QUEUE: u32 = 10_000;
/// Default limits of pipelines for each caller: runs are files, which a caller must not create without end.
const PIPELINE_LIMITS: PipelineLimits = PipelineLimits {
    concurrent_runs: Some(1_000),
    run_seconds_per_day: None,
    rows_per_day: None,
    stored_bytes: None,
    database_hours_per_day: None,
};
/// Default grace period for running operations at shutdown.
const DRAIN: Duration = Duration::from_secs(20);
/// Default wait of a request for leases: a command of a user may take hours.
const DEFAULT_LOCK_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
/// Default time limit of a call.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Time without an answer of the state after which the server is unhealthy.
const STATE_TIMEOUT: Duration = Duration::from_secs(600);
/// Default retention of ended requests.
const RETENTION: Duration = Duration::from_secs(90 * 24 * 3600);
/// Default limit of a body, in bytes: ten times the longest known descriptor.
const BODY_LIMIT: usize = 10_000_000;

/// Callers of the server can change everything: other machines may call only with configured authentication.
fn check_address(address: SocketAddr, has_auth: bool) -> Result<(), Failure> {
    if address.ip().is_loopback() || has_auth {
        return Ok(());
    }
    Err(Failure::new(format!(
        "`{address}` is reachable from other machines, and terrace.yaml configures no authentication"
    ))
    .hint(
        "set `server: {auth: {mode: token, tokens: …}}`, or `mode: none` behind a proxy that authenticates \
               callers, or bind to 127.0.0.1",
    ))
}

/// Limits of connections. They must leave file descriptors for the work.
fn connections(configured: &ConnectionsConfiguration) -> Result<ConnectionLimits, Failure> {
    let defaults = ConnectionLimits::default();
    let limits = configured.limits(defaults.clone());
    let files = ConnectionLimits::descriptors();
    if limits.max >= files {
        return Err(Failure::new(format!(
            "`server.connections.max` is {}, and this process may open only {files} files at once",
            limits.max
        ))
        .hint(format!("write at most {}, or raise the limit with `ulimit -n`", defaults.max)));
    }
    Ok(limits)
}

/// Opens the address of health, metrics and API descriptions.
fn operations(context: &Context<'_>, bind: SocketAddr, is_encrypted: bool) -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind(bind).map_err(|error| {
        Failure::new(format!("cannot listen on {bind}: {error}"))
            .hint("choose another address in `server.operations.bind`")
    })?;
    let address = listener.local_addr().unwrap_or(bind);
    let scheme = if is_encrypted { "https" } else { "http" };
    context.ui.print_message(&format!("health and metrics on {scheme}://{address}"));
    Ok(listener)
}

/// Warns if callers send their tokens without encryption.
pub(super) fn warn_of_plain_tokens(address: SocketAddr, auth: &Auth, is_encrypted: bool) {
    if auth.has_tokens() && !is_encrypted && !address.ip().is_loopback() {
        tracing::warn!(
            %address,
            "tokens are sent without encryption: configure `server.tls`, or have a proxy on this machine encrypt calls"
        );
    }
}

/// Time limit for checking a descriptor in one call.
const DEFAULT_CHECK_TIMEOUT: Duration = Duration::from_secs(30);

/// Memory for a large descriptor, in bytes. More memory lets the server work on several at once.
const LARGE_DESCRIPTOR_MEMORY: u64 = 384 << 20;

/// Number of calls that check small descriptors at once.
const SMALL_CALLS: u64 = 4;

/// Limit of resources in a small descriptor, independent of memory.
const MAX_SMALL_RESOURCES: usize = 2_000;

/// Hint on raising the limits.
const RAISE_HINT: &str = "raise `server.limits` of the server, or give it more memory";

/// Limits of checking and planning for a server with this much memory, in bytes.
fn processing_settings(
    configured: &LimitsConfiguration,
    memory: u64,
    workers: usize,
    body_limit: usize,
) -> ProcessingSettings {
    let left = memory::available_for_checks(memory);
    // A body is in memory about four times: received, parsed, sealed, and as the text of a descriptor.
    let bodies_at_once = count_of(left / 4, 4 * u64::try_from(body_limit).unwrap_or(u64::MAX)).clamp(1, 64);
    // Each worker may check a small descriptor, and some calls too.
    let at_once = u64::try_from(workers).unwrap_or(u64::MAX).saturating_add(SMALL_CALLS);
    let small = memory::server_limits(left / 5 / at_once, RAISE_HINT).resources.min(MAX_SMALL_RESOURCES);
    let bytes = left / 10 * 6;
    let large_at_once =
        configured.large.unwrap_or_else(|| count_of(bytes, LARGE_DESCRIPTOR_MEMORY).clamp(1, workers.max(1)));
    let share = bytes / u64::try_from(large_at_once).unwrap_or(u64::MAX).max(1);
    let mut limits = memory::server_limits(share.min(LARGE_DESCRIPTOR_MEMORY), RAISE_HINT);
    limits.values = configured.values.unwrap_or(limits.values);
    limits.resources = configured.resources.unwrap_or(limits.resources);
    let time = configured.judging.unwrap_or(DEFAULT_CHECK_TIMEOUT);
    tracing::debug!(
        megabytes = memory / 1_000_000,
        resources = limits.resources,
        values = limits.values,
        large_at_once,
        bodies_at_once,
        "limits of judging and planning"
    );
    ProcessingSettings { limits, small_resources: small, large_at_once, bodies_at_once, time }
}

fn count_of(bytes: u64, of_one: u64) -> usize {
    usize::try_from(bytes / of_one.max(1)).unwrap_or(usize::MAX)
}

/// The environment with waits for rate limits and the like in the server's log.
fn with_waits_in_log(environment: environment::Environment) -> environment::Environment {
    let reporter: Reporter = Arc::new(|line| tracing::warn!("{line}"));
    let silence_limit = SilenceLimit { reporter: Some(reporter), ..environment.silence_limit };
    environment::Environment { silence_limit, ..environment }
}

/// The engine's inputs for each configured environment.
fn environments(context: &Context<'_>, settings: &Settings) -> Result<Environments, Failure> {
    // The descriptor of a call selects the environment; the environment of the start has no effect.
    let settings = &Settings { environment: None, ..settings.clone() };
    let mut all = BTreeMap::new();
    for name in settings.configuration.environment_names() {
        let environment = settings.environment(Some(EnvironmentRef::word(name)), context.ui)?;
        let env_context = EnvironmentContext::new(settings, environment, false, context.ui)?;
        let mut sources = terrace_server::environments::sources();
        let (library, diagnostics) =
            library(&env_context.engine.registry, env_context.configuration(), &settings.project_folder, &mut sources)?;
        report(context.ui, &sources, &diagnostics);
        if has_errors(&diagnostics) {
            return Err(Failure::reported(Exit::Error));
        }
        let environment = with_waits_in_log(env_context.engine.environment);
        let env_context = terrace_server::environments::EnvironmentContext {
            engine: Engine { environment, ..env_context.engine },
            templates: env_context.templates,
            library,
            sources,
            is_data_loss_allowed: env_context.is_data_loss_allowed,
            is_validated_remotely: env_context.is_validated_remotely,
        };
        all.insert(name.to_owned(), env_context);
    }
    let queue = Arc::new(EnvironmentContext::seal(settings, None, false, context.ui)?);
    Ok(Environments::new(all, queue, settings.configuration.server.takes_stacks))
}
