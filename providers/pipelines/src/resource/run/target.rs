//! Target of a run's tables: a database of the project by name, or an external database by address. Only the
//! environment of the steps contains the address.

use super::super::database::provider_error;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use terrace_pipelines::database::cluster;
use terrace_pipelines::database::{Engine, ProjectDatabases, Record};
use terrace_pipelines::fingerprint::ENGINE;
use terrace_pipelines::queue::cluster::Cluster;
use terrace_pipelines::run::{Runner, Target};
use terrace_provider::{Attributes, Path, ProviderError, Value};
use tokio_util::sync::CancellationToken;

/// Default folder of a run.
const DEFAULT_FOLDER: &str = ".";

/// Lifetime of the cached cluster.
const CACHE_LIFETIME: Duration = Duration::from_secs(1);

/// Cache of the active cluster, which all runs of a plan look up.
#[derive(Debug, Default)]
pub(super) struct Clusters(Mutex<Option<(Instant, Option<Cluster>)>>);

impl Clusters {
    fn active(&self, runner: &Runner) -> Result<Option<Cluster>, ProviderError> {
        let mut read = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, active)) = read.as_ref().filter(|(at, _)| at.elapsed() < CACHE_LIFETIME) {
            return Ok(active.clone());
        }
        let active = cluster::active_cluster(runner.store.folder()).map_err(|error| {
            let mapped = ProviderError::invalid(None, error.to_string());
            error.hint().into_iter().fold(mapped, ProviderError::solution)
        })?;
        *read = Some((Instant::now(), active.clone()));
        Ok(active)
    }
}

/// Returns the runner for a plan: identity and kind of the database decide whether the pipeline must run, and which
/// packages it needs. `uses_database` returns whether the pipeline writes tables.
///
/// # Errors
/// When both `database` and `engineUrl` are set.
pub(super) async fn plan_into(
    runner: &Runner,
    databases: &ProjectDatabases,
    clusters: &Clusters,
    config: &Attributes,
    uses_database: impl AsyncFnOnce() -> bool,
) -> Result<Runner, ProviderError> {
    let given = |name: &str| config.get(name).filter(|value| !value.is_null());
    let mut runner = runner.clone();
    match (given("database"), given("engineUrl")) {
        // The target is the same as for `terrace pipelines run`.
        (None, None) => {
            let folder = runner.recorded_folder(given("folder").and_then(Value::as_str).unwrap_or(DEFAULT_FOLDER));
            // A pipeline without tables needs no answer of the cluster.
            if let Some(name) = clusters.active(&runner)?.and_then(|cluster| cluster.database_of(&folder))
                && (!databases.may_be_in_cluster(&name) || uses_database().await)
            {
                write_into(&mut runner, databases.get(&name).await.map_err(provider_error)?);
            }
        }
        (Some(_), Some(_)) => {
            return Err(ProviderError::invalid(
                Some(Path::attribute("engineUrl")),
                "`database` and `engineUrl` are both set: expected one of them",
            ));
        }
        (None, Some(url)) => match url.as_str() {
            Some(url) => {
                runner.variables.insert(ENGINE.to_owned(), url.to_owned());
            }
            None => runner.target = Target::Unknown,
        },
        (Some(name), None) => {
            let record = match name.as_str() {
                Some(name) => databases.get(name).await.map_err(provider_error)?,
                None => None,
            };
            write_into(&mut runner, record);
        }
    }
    Ok(runner)
}

/// Lets the steps of a runner write into a database by plan: its identity and its kind.
pub(in crate::resource) fn write_into(runner: &mut Runner, record: Option<Record>) {
    let engine = record.as_ref().map(|record| (ENGINE.to_owned(), driver(record.engine).to_owned()));
    runner.variables.extend(engine);
    runner.target = record.map_or(Target::Unknown, |record| Target::Database(record.id));
}

/// Scheme of the address, which is all that packages depend on.
const fn driver(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => "postgresql+psycopg2://",
        Engine::Sqlite => "sqlite://",
    }
}

/// Returns the runner for a run, whose steps see the address. It starts a stopped database and recreates an expired
/// one. A pipeline that uses no database does not start the one of the cluster.
///
/// # Errors
/// When the database does not exist, or does not start.
pub(super) async fn run_into(
    runner: &Runner,
    databases: &ProjectDatabases,
    (planned, uses_database): (&Attributes, bool),
    cancel: &CancellationToken,
) -> Result<Runner, ProviderError> {
    let mut runner = runner.clone();
    let text = |name: &str| planned.get(name).and_then(Value::as_str);
    if let Some(url) = text("engineUrl") {
        runner.variables.insert(ENGINE.to_owned(), url.to_owned());
    } else if let Some(name) = text("database") {
        let (record, access) = databases.ensure(name, cancel).await.map_err(provider_error)?;
        runner.write_into(&record, &access);
    } else if uses_database {
        let folder = runner.recorded_folder(text("folder").unwrap_or(DEFAULT_FOLDER));
        runner = databases.runner_for_active_cluster(&runner, &folder, cancel).await.map_err(provider_error)?;
    }
    Ok(runner)
}
