//! Files and variables of terrace itself, which descriptors must not access through providers.

use super::blueprints::DEFAULT_FOLDER;
use crate::configuration::{AuditDestination, KeySource};
use crate::settings::Settings;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use terrace_engine::plan::file::BEGINNING;
use terrace_pipelines::paths::RECORDS;
use terrace_provider::Sandbox;
use terrace_provider::sandbox::{Marker, ProtectedFiles};
use terrace_state::{SQLITE_MARK, StoreUrl, export};

const STATE: &str = "a file of the state";
const CONFIGURATION: &str = "the configuration of terrace";
const KEY: &str = "a file that the configuration of terrace names";
const LOG: &str = "a log file of terrace";
const OWN: &str = "a file of terrace itself";
const RECORD: &str = "a record of pipelines";
const PLAN: &str = "a saved plan";
const EXPORT: &str = "an exported state";
const DESCRIPTOR: &str = "a descriptor";
const BLUEPRINT: &str = "a folder of blueprints";

/// The folder of the state and of embedded environments, in the project folder.
const FOLDER: &str = ".terrace";
/// The file of the project folder that names repositories to deploy.
const DEPLOYMENTS: &str = ".dppctl.yaml";
/// The default tables of pipelines: data of the project, not a record of terrace.
const TABLES: &str = "database.db";

/// Variables that name files with secrets, besides those of the providers: the role mapper's key, and the credentials of
/// Google Cloud, which steps of pipelines may see.
const SECRET_FILES: [&str; 2] = ["GOOGLE_APPLICATION_CREDENTIALS", "ROLE_MAPPER_TLS_KEY"];

/// The limits of all instances.
pub(super) fn sandbox(settings: &Settings) -> Sandbox {
    Sandbox { files: files(settings) }
}

/// The files of terrace itself.
fn files(settings: &Settings) -> ProtectedFiles {
    let records = settings.project_folder.join(RECORDS);
    let mut files = ProtectedFiles::default()
        .entries(&settings.project_folder.join(FOLDER), OWN)
        .tree(&records, RECORD)
        .except(&records.join(TABLES))
        .marker(Marker { offset: 0, bytes: BEGINNING.as_bytes() }, PLAN)
        .marker(Marker { offset: 0, bytes: export::BEGINNING.as_bytes() }, EXPORT)
        .marker(Marker { offset: SQLITE_MARK.0, bytes: SQLITE_MARK.1 }, STATE);
    if let StoreUrl::Sqlite(state) = &settings.state {
        files = files.family(state, STATE);
    }
    let configuration = &settings.configuration;
    // Includes a missing file: the next command would read it.
    let default = settings.project_folder.join(crate::configuration::FILE_NAME);
    // It decides which repositories are built, and which host gets the token of a forge.
    let deployments = settings.project_folder.join(DEPLOYMENTS);
    for file in configuration.file.iter().chain([&default, &deployments]) {
        files = files.file(file, CONFIGURATION);
    }
    for file in named(settings) {
        files = files.file(&file, KEY);
    }
    let of_providers = settings.providers.schemas().flat_map(|schema| schema.secret_files);
    for file in SECRET_FILES.iter().chain(of_providers).filter_map(|name| settings.variables.get(name)) {
        files = files.file(&settings.project_folder.join(file), KEY);
    }
    for file in logs(settings) {
        files = files.family(&file, LOG);
    }
    // A folder of pipeline specs also holds the files that its pipelines write.
    for file in settings.descriptor_files.iter().filter(|file| !file.is_dir()) {
        files = files.file(file, DESCRIPTOR);
    }
    for folder in blueprint_folders(settings) {
        files = files.tree(&folder, BLUEPRINT);
    }
    files
}

/// The folders of blueprints of all environments.
pub(crate) fn blueprint_folders(settings: &Settings) -> impl Iterator<Item = PathBuf> {
    let configuration = &settings.configuration;
    // The check of an environment reports its errors.
    let named = configuration.environment_names().into_iter().filter_map(|name| {
        let folders = configuration.environment(name, &settings.variables).0?.blueprints?;
        Some(folders.into_iter().map(|folder| folder.value).collect::<Vec<_>>())
    });
    named.flatten().chain([DEFAULT_FOLDER.to_owned()]).map(|folder| settings.project_folder.join(folder))
}

/// The files that the configuration names.
fn named(settings: &Settings) -> impl Iterator<Item = PathBuf> {
    let chain = settings.configuration.server.tls.iter().map(|(chain, _)| settings.project_folder.join(chain));
    settings.configuration.named_files.iter().cloned().chain(keys(settings)).chain(chain)
}

/// The files of keys: those of the state, of environments, and of the server's certificate.
fn keys(settings: &Settings) -> impl Iterator<Item = PathBuf> {
    let configuration = &settings.configuration;
    // The check of an environment reports its errors.
    let own = configuration.environment_names().into_iter();
    let own = own.filter_map(|name| configuration.environment(name, &settings.variables).0?.encryption);
    let all = std::iter::once(configuration.encryption.clone()).chain(own);
    let files = all.flat_map(|encryption| encryption.current.into_iter().chain(encryption.previous)).filter_map(
        |key| match key.value {
            KeySource::File(path) => Some(path),
            KeySource::Key(_) | KeySource::Command(..) => None,
        },
    );
    files.chain(configuration.server.tls.iter().map(|(_, key)| settings.project_folder.join(key)))
}

/// The distinct files of keys.
pub(crate) fn key_files(settings: &Settings) -> BTreeSet<PathBuf> {
    keys(settings).collect()
}

/// The log files of terrace: configured ones, and the file behind standard error.
fn logs(settings: &Settings) -> impl Iterator<Item = PathBuf> {
    let errors = std::fs::read_link("/proc/self/fd/2").ok().filter(|file| Path::is_file(file));
    log_files(settings).chain(errors)
}

/// The configured log files: the log, and the audit log of the server.
pub(crate) fn log_files(settings: &Settings) -> impl Iterator<Item = PathBuf> {
    let log = settings.variables.get("TERRACE_LOG_FILE").map(PathBuf::from);
    let audit = match &settings.configuration.server.audit.log {
        AuditDestination::File(path) => Some(settings.project_folder.join(path)),
        AuditDestination::Off | AuditDestination::StandardError => None,
    };
    log.into_iter().chain(audit)
}

#[cfg(test)]
mod tests {
    use crate::wiring::Providers;
    use terrace_provider::sandbox::variables::is_credential;

    #[test]
    fn every_variable_of_a_secret_is_a_credential() {
        let providers = Providers::built_in();
        let settings = providers.schemas().flat_map(|schema| &schema.settings.0);
        let names = settings.filter(|setting| setting.sensitive).filter_map(|setting| setting.variable);
        let names = names.chain(providers.schemas().flat_map(|schema| schema.secret_files.iter().copied()));
        let missing: Vec<&str> = names.filter(|name| !is_credential(name)).collect();
        assert_eq!(missing, [] as [&str; 0]);
    }
}
