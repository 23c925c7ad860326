//! Builds runners and other parts from the settings of an instance.

use crate::cluster_settings;
use crate::resource::storage_error::StorageProblem;
use crate::storage_settings;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use terrace_pipelines::database::{Databases, GuardProgram, ProjectDatabases};
use terrace_pipelines::environment::Environments;
use terrace_pipelines::execution_options::{ExecutionOption, ExecutionOptions, ExecutorKind};
use terrace_pipelines::executor::Executor;
use terrace_pipelines::executor::local::LocalExecutor;
use terrace_pipelines::paths::RECORDS;
use terrace_pipelines::process_environment::variables;
use terrace_pipelines::run::attempts::{Retries, RetryOn};
use terrace_pipelines::run::{Runner, Store, Target};
use terrace_pipelines::site::{DEFAULT_URL, SiteStore};
use terrace_pipelines::storage::Storage;
use terrace_pipelines::storage::outputs::Copier;
use terrace_provider::{Attributes, ErrorKind, ProviderError, Settings, Value};

pub use crate::cluster_settings::{check_access, database_image, image_repository};

/// Folder of environments in the cache folder.
const ENVIRONMENTS: &str = "terrace/pipelines";
/// The setting that names the credentials that steps see.
pub(crate) const VARIABLES: &str = "variables";
/// Highest value of `retries`.
const MOST_RETRIES: u32 = 100;

/// The databases of a project.
#[must_use]
pub fn databases(settings: &Settings, guard: Option<GuardProgram>) -> Databases {
    let project = settings.project_folder.canonicalize().unwrap_or_else(|_| settings.project_folder.clone());
    let programs = settings.values.get("postgresBin").and_then(Value::as_str).map(|folder| project.join(folder));
    Databases::new(project.join(RECORDS).join("databases"), programs, guard)
}

/// The databases of a project: those on this machine, and those in the cluster if the settings have an image for them.
///
/// # Errors
/// When a setting cannot work.
pub fn project_databases(settings: &Settings, guard: Option<GuardProgram>) -> Result<ProjectDatabases, ProviderError> {
    let cluster = cluster_settings::database_image(settings).map(|_| cluster_settings::databases(settings));
    Ok(ProjectDatabases { here: databases(settings, guard), cluster: cluster.transpose()? })
}

/// Returns true if pipelines run in a cluster by default, and databases too.
#[must_use]
pub fn runs_in_cluster(settings: &Settings) -> bool {
    let options = cluster_settings::options_in(&settings.values);
    options.executor() == Some(ExecutorKind::Kubernetes)
}

/// Name of the database for `terrace pipelines run`.
#[must_use]
pub fn default_database(settings: &Settings) -> Option<String> {
    settings.values.get("database").and_then(Value::as_str).map(str::to_owned)
}

/// Builds the storage, without network calls.
///
/// # Errors
/// When a setting cannot work.
pub fn storage(settings: &Settings) -> Result<Storage, ProviderError> {
    let access = storage_settings::access(settings).map_err(StorageProblem::while_reading)?;
    Ok(Storage::new(access, project(settings), records(settings)))
}

/// Builds the copier of outputs of runs, without network calls.
///
/// # Errors
/// When a setting cannot work.
pub fn copier(settings: &Settings) -> Result<Copier, ProviderError> {
    Ok(Copier { storage: storage(settings)?, cluster: cluster_settings::copies(settings).ok() })
}

/// Default destination of `terrace pipelines run`, and whether it is public.
#[must_use]
pub fn default_destination(settings: &Settings) -> Option<(String, bool)> {
    let destination =
        settings.values.get("sync").and_then(Value::as_str).filter(|destination| !destination.is_empty())?;
    Some((destination.to_owned(), matches!(settings.values.get("syncPublic"), Some(Value::Bool(true)))))
}

/// The sites of a project.
#[must_use]
pub fn site_store(settings: &Settings) -> SiteStore {
    let url = settings.values.get("sitesUrl").and_then(Value::as_str).unwrap_or(DEFAULT_URL);
    SiteStore::new(project(settings), url).with_protected(settings.sandbox.files.clone())
}

/// The project folder.
pub(crate) fn project(settings: &Settings) -> PathBuf {
    settings.project_folder.canonicalize().unwrap_or_else(|_| settings.project_folder.clone())
}

/// Image of pods with its digest: that of the settings, or that of the project's `Dockerfile`.
#[must_use]
pub fn image(settings: &Settings) -> Option<String> {
    cluster_settings::options_or_none(settings).get(ExecutionOption::Image).map(str::to_owned)
}

/// Folder of the records of a project.
#[must_use]
pub fn records(settings: &Settings) -> PathBuf {
    project(settings).join(RECORDS)
}

/// Builds a runner, without processes and network calls.
///
/// # Errors
/// When a setting cannot work.
pub fn runner(settings: &Settings) -> Result<Runner, ProviderError> {
    runner_with(settings, cluster_settings::execution(settings)?)
}

/// Builds a runner that reads and stops existing runs, whose records name their places. A setting that cannot work concerns later
/// runs: the runner lacks it, and its error is returned beside the runner. With an `unclear_place`, which
/// is a reason, it has no cluster.
///
/// # Errors
/// When an error is not about the value of a setting.
pub fn runner_of_existing_runs(
    settings: &Settings,
    unclear_place: Option<String>,
) -> Result<(Runner, Vec<ProviderError>), ProviderError> {
    let (mut settings, mut wrong, mut no_cluster) = (settings.clone(), Vec::new(), unclear_place);
    loop {
        let options = cluster_settings::options_of_existing_runs(&settings);
        let error = match options.and_then(|options| runner_with(&settings, options)) {
            Ok(runner) => {
                // The defaults lead to another cluster.
                let runner = match no_cluster {
                    Some(message) => Runner { executor: Arc::new(LocalExecutor), cluster: Err(message), ..runner },
                    None => runner,
                };
                return Ok((runner, wrong));
            }
            Err(error) => error,
        };
        let name = match &error.kind {
            ErrorKind::InvalidInput { path: Some(path) } => path.to_string(),
            _ => return Err(error),
        };
        if settings.values.shift_remove(&name).is_none() {
            return Err(error);
        }
        if cluster_settings::names_a_place(&name) {
            no_cluster.get_or_insert_with(|| error.message.clone());
        }
        wrong.push(error);
    }
}

/// Builds a runner with options of pipelines that set none.
fn runner_with(settings: &Settings, execution: ExecutionOptions) -> Result<Runner, ProviderError> {
    // A worker reads all settings at its start.
    cluster_settings::check_database_image(settings)?;
    let text = |name: &str| settings.values.get(name).and_then(Value::as_str).map(str::to_owned);
    let at = |name: &str| Some(terrace_provider::Path::attribute(name));
    let cluster = cluster_settings::executor(settings, execution.clone());
    let executor: Arc<dyn Executor> = match execution.executor() {
        Some(ExecutorKind::Kubernetes) => cluster.clone()?,
        _ => Arc::new(LocalExecutor),
    };
    let max = match settings.values.get("maxParallel") {
        Some(Value::Int(max)) if *max > 0 => usize::try_from(*max).unwrap_or(usize::MAX),
        Some(Value::Int(max)) => {
            return Err(ProviderError::invalid(
                at("maxParallel"),
                format!("`maxParallel` is {max}: expected 1 or more"),
            ));
        }
        _ => 1,
    };
    let caches = match text("cacheDir") {
        Some(folder) => settings.project_folder.join(folder),
        None => home()?.join(".cache"),
    };
    Ok(Runner {
        store: Store::new(records(settings)),
        environments: Environments::new(caches.join(ENVIRONMENTS)),
        python: text("python"),
        executor,
        cluster: cluster.map_err(|error| error.message),
        execution,
        image_problem: cluster_settings::folder_image(settings)?.and_then(Result::err),
        image_has_code: matches!(settings.values.get(cluster_settings::IMAGE_HAS_CODE), Some(Value::Bool(true))),
        variables: variables(),
        visible_credentials: visible_credentials(settings),
        target: Target::default(),
        database: None,
        project: project(settings),
        max_parallel: max,
        retries: retries(settings)?,
    })
}

/// Settings of an instance as JSON for workers that start later, without sensitive values.
#[must_use]
pub fn to_stored(settings: &Settings) -> String {
    let values = settings.values.iter().filter(|(_, value)| !value.has_sensitive() && !value.is_null());
    let mut values: Attributes = values.map(|(name, value)| (name.clone(), value.clone())).collect();
    // A worker runs with the image of its start: another image replaces the worker.
    values.extend(image(settings).map(|image| ("image".to_owned(), image.into())));
    Value::Map(values).to_json_text()
}

/// The names of settings that are not those that [`to_stored`] wrote. The kubeconfig of the shell (`KUBECONFIG`) does not count:
/// several shells have different paths to one cluster.
///
/// # Errors
/// When the text is not a JSON object.
pub fn changed_names(stored: &str, present: &str) -> Result<BTreeSet<String>, ProviderError> {
    let parse = |text| from_stored(Path::new(""), text).map(|settings| settings.values);
    let (stored, present) = (parse(stored)?, parse(present)?);
    let of_shell = variables().remove("KUBECONFIG");
    let kubeconfig =
        present.get("kubeconfig").and_then(Value::as_str).filter(|file| Some(*file) != of_shell.as_deref());
    let counts = |name: &str| name != "kubeconfig" || kubeconfig.is_some();
    let names = stored.keys().chain(present.keys()).filter(|name| stored.get(*name) != present.get(*name));
    Ok(names.filter(|name| counts(name)).cloned().collect())
}

/// The names of settings as a text.
#[must_use]
pub fn in_words(names: &BTreeSet<String>) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// Parses the settings that [`to_stored`] wrote, for the project with this folder of records.
///
/// # Errors
/// When the text is not a JSON object.
pub fn from_stored(records: &Path, text: &str) -> Result<Settings, ProviderError> {
    let project = records.ancestors().nth(2).unwrap_or(records);
    match Value::from_json_text(text) {
        Some(Value::Map(values)) => Ok(Settings {
            instance: "pipelines".to_owned(),
            environment: String::new(),
            project_folder: project.to_owned(),
            sandbox: Default::default(),
            sources: Default::default(),
            values,
        }),
        _ => Err(ProviderError::invalid(None, "the stored settings of a worker pool are damaged")
            .solution("destroy the pool and create it again")),
    }
}

fn retries(settings: &Settings) -> Result<Retries, ProviderError> {
    let at = |name: &str| Some(terrace_provider::Path::attribute(name));
    let mut retries = Retries::default();
    if let Some(Value::Int(max)) = settings.values.get("retries") {
        let max = u32::try_from(*max).ok().filter(|max| *max <= MOST_RETRIES);
        retries.max = max.ok_or_else(|| {
            ProviderError::invalid(at("retries"), format!("`retries`: expected a number from 0 to {MOST_RETRIES}"))
        })?;
    }
    if let Some(word) = settings.values.get("retryOn").and_then(Value::as_str) {
        let known = RetryOn::WORDS.iter().find(|(known, _)| *known == word);
        let Some((_, on)) = known else {
            let message = format!("`retryOn` is `{word}`: expected `infrastructure` or `all`");
            return Err(ProviderError::invalid(at("retryOn"), message));
        };
        retries.on = *on;
    }
    Ok(retries)
}

fn home() -> Result<PathBuf, ProviderError> {
    let home = std::env::home_dir().filter(|home| home != Path::new(""));
    home.ok_or_else(|| {
        ProviderError::invalid(None, "found no home folder for Python environments")
            .solution("set `cacheDir` of the provider `pipelines`, or the variable XDG_CACHE_HOME")
    })
}

/// Names of the credentials that all steps see.
fn visible_credentials(settings: &Settings) -> Vec<String> {
    let names = settings.values.get(VARIABLES).and_then(Value::as_list).into_iter().flatten();
    names.filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use terrace_provider::{Attributes, Sandbox};

    fn settings(folder: &Path, values: &[(&str, Value)]) -> Settings {
        let values = [("cacheDir", "caches".into())].into_iter().chain(values.iter().cloned());
        Settings {
            instance: "pipelines".to_owned(),
            environment: "local".to_owned(),
            project_folder: folder.to_owned(),
            sandbox: Sandbox::default(),
            sources: Default::default(),
            values: values.map(|(name, value)| (name.to_owned(), value)).collect::<Attributes>(),
        }
    }

    #[test]
    fn setting_names_the_visible_credentials() {
        let folder = tempfile::tempdir().unwrap();
        let values = [("variables", Value::List(vec!["PGPASSWORD".into()]))];
        assert_eq!(runner(&settings(folder.path(), &values)).unwrap().visible_credentials, ["PGPASSWORD"]);
    }

    #[test]
    fn existing_runs_need_no_right_settings() {
        let folder = tempfile::tempdir().unwrap();
        for (name, wrong, is_elsewhere, has_cluster) in [
            ("memory", "2 GB".into(), true, true),
            ("image", "r/x:1".into(), true, true),
            ("imageRepository", "R".into(), true, true),
            ("databaseImage", "postgres:17".into(), true, true),
            ("retries", Value::Int(-1), true, true),
            ("executor", "kubernets".into(), false, true),
            ("namespace", "Shop".into(), false, false),
        ] {
            let values = [("executor", "kubernetes".into()), (name, wrong)];
            let (runner, errors) = runner_of_existing_runs(&settings(folder.path(), &values), None).unwrap();
            assert_eq!(errors.len(), 1, "{errors:?}");
            assert!(errors[0].message.contains(&format!("`{name}`")) || name == "namespace", "{errors:?}");
            assert_eq!(runner.executor.environments().is_some(), is_elsewhere, "{name}");
            assert_eq!(runner.cluster.is_ok(), has_cluster, "{name}");
        }
    }
}
