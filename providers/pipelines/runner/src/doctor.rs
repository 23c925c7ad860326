//! Checks the prerequisites of runs: Python, a package installer, a writable folder for environments, a database; for
//! runs elsewhere, their place. It changes nothing, and makes no network calls except to the place of the runs.

use crate::check_result::CheckResult;
use crate::cluster_check::{open, refused};
use crate::database::cluster::active_cluster;
use crate::environment::{find_interpreter, uv_version};
use crate::run::Runner;
use crate::spec::is_spec_name;
use crate::spec::processor::Api;
use reqwest::Url;
use rustix::fs::{Access, access};
use std::fs;
use std::path::Path;
use terrace_provider::names::listed;
use terrace_provider::{ProviderError, Settings};

/// Returns true if a project folder looks as if it has pipelines: records of runs, or specs in it or in a direct
/// subfolder.
#[must_use]
pub fn has_pipelines(project: &Path) -> bool {
    let is_spec = |path: &Path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_spec_name);
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let has_spec = |folder: &Path| entries(folder).any(|path| is_spec(&path) && path.is_file());
    project.join(".terrace/pipelines").is_dir()
        || has_spec(project)
        || entries(project).any(|path| path.is_dir() && has_spec(&path))
}

/// Checks that the settings lead to a cluster. Opens files, and sends nothing.
///
/// # Errors
/// When they do not.
pub async fn check_access(settings: &Settings, namespace: &str) -> Result<(), ProviderError> {
    open(settings, namespace)?.origin().await.map(drop).map_err(refused)
}

/// Checks that the settings lead to a cluster that answers and accepts the caller.
///
/// # Errors
/// When they do not.
pub async fn probe_cluster(settings: &Settings, namespace: &str) -> Result<(), ProviderError> {
    match open(settings, namespace)?.read_namespace().await.map_err(refused) {
        // The cluster accepts the caller, who may not read this namespace.
        Err(error) if error.vendor_code.as_deref() == Some("Forbidden") => Ok(()),
        answer => answer.map(drop),
    }
}

/// Checks the prerequisites for runs of this project, without their database.
pub async fn check(runner: &Runner) -> Vec<CheckResult> {
    if let Some(results) = runner.executor.diagnose().await {
        return results;
    }
    let mut results = Vec::new();
    for api in [Api::Two, Api::One] {
        results.push(interpreter(runner, api).await);
    }
    results.push(CheckResult::passed(match uv_version().await {
        Some(version) => format!("packages are installed by {version}"),
        None => "packages are installed by pip: install `uv` for faster installs".to_owned(),
    }));
    results.push(environment_folder(runner));
    results
}

async fn interpreter(runner: &Runner, api: Api) -> CheckResult {
    match find_interpreter(api, runner.python.as_deref()).await {
        Ok(interpreter) => CheckResult::passed(format!(
            "datapackage-pipelines {api} runs on Python {}, `{}`",
            interpreter.version,
            interpreter.program.display()
        )),
        Err(tried) => {
            let tried: Vec<String> = tried.iter().map(ToString::to_string).collect();
            let remedy = "`apt-get install python3.11 python3.11-venv`, or name one with `providers.pipelines.python`";
            CheckResult {
                message: format!("found no Python for datapackage-pipelines {api}: {}", tried.join("; ")),
                remedy: Some(remedy.to_owned()),
            }
        }
    }
}

/// Checks that environments can be stored, and counts them.
fn environment_folder(runner: &Runner) -> CheckResult {
    let folder = runner.environments.folder();
    // A missing folder is created in its nearest existing ancestor.
    let near = folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    if access(near, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        return CheckResult {
            message: format!(
                "environments cannot be stored in `{}`: `{}` is not writable",
                folder.display(),
                near.display()
            ),
            remedy: Some(
                "make it writable for this user, or set `providers.pipelines.cacheDir` to another folder".to_owned(),
            ),
        };
    }
    let count = runner.environments.count();
    CheckResult::passed(format!("environments are stored in `{}`: {count} so far", folder.display()))
}

/// Reports the database of runs that choose none: that of the settings, of the active cluster, or of the variable.
#[must_use]
pub fn check_database(runner: &Runner, of_settings: Option<&str>) -> CheckResult {
    if let Some(name) = of_settings {
        return CheckResult::passed(format!("tables go to the database `{name}` of the settings"));
    }
    match active_cluster(runner.store.folder()) {
        Ok(Some(cluster)) if cluster.databases > 0 => {
            let (kind, names) = (&cluster.kind, cluster.database_names());
            CheckResult::passed(match names.as_slice() {
                [only] => format!("tables go to the database `{only}` of the cluster `{kind}`"),
                names => format!("tables of a folder go to one database of the cluster `{kind}`: {}", listed(names)),
            })
        }
        Ok(_) => engine(runner),
        Err(error) => {
            let remedy = error.hint().unwrap_or_else(|| "make it a file that this user can read and write".to_owned());
            CheckResult::failed(error.to_string(), remedy)
        }
    }
}

/// Reports the database of the variable, without user and password.
fn engine(runner: &Runner) -> CheckResult {
    const NAME: &str = "DPP_DB_ENGINE";
    let Some(address) = runner.variables.get(NAME).filter(|address| !address.is_empty()) else {
        return CheckResult::passed(match runner.executor.environments() {
            None => format!("{NAME} is not set: tables go to SQLite, in `.terrace/pipelines/database.db`"),
            Some(_) => format!("{NAME} is not set: pipelines with tables need a database of the cluster"),
        });
    };
    let Ok(url) = Url::parse(address) else {
        return CheckResult {
            message: format!("{NAME} is not an address of a database"),
            remedy: Some("write `postgresql://USER:PASSWORD@HOST:5432/DATABASE`, or `sqlite:////PATH`".to_owned()),
        };
    };
    let scheme = url.scheme().split('+').next().unwrap_or_default().to_owned();
    let host_parameter = url.query_pairs().find(|(name, _)| name == "host").map(|(_, host)| host.into_owned());
    let host = url.host_str().filter(|host| !host.is_empty()).map(str::to_owned).or(host_parameter);
    CheckResult::passed(match host {
        Some(host) => format!("{NAME} points to {scheme} on `{host}`"),
        None => format!("{NAME} points to {scheme} on this machine"),
    })
}
