//! Connects providers, store, functions and blueprints for one environment: the only module that knows all of them.

mod adapter_settings;
mod audited;
pub(crate) mod blueprints;
mod guard;
pub(crate) mod key;
mod providers;
mod sandbox;

pub(crate) use blueprints::library;
pub(crate) use guard::{forbid_dumps, guard_program};
pub use providers::Providers;
pub(crate) use sandbox::{blueprint_folders, key_files, log_files};

use crate::configuration::{Encryption, Environment};
use crate::failure::{Exit, Failure};
use crate::files;
use crate::memory;
use crate::report::report;
use crate::settings::{DEFAULT_STATE, Settings};
use crate::ui::Ui;
use crate::version::VERSION;
use audited::Audited;
use sandbox::sandbox;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use terrace_engine::blueprint::matching::Templates;
use terrace_engine::diagnostic::{Diagnostic, Severity, has_errors};
use terrace_engine::engine::Engine;
use terrace_engine::environment;
use terrace_engine::expression::Functions;
use terrace_engine::registry::Registry;
use terrace_engine::seal::Seal;
use terrace_engine::store::ServerStore;
use terrace_engine::text::shell_word;
use terrace_provider::wrap::silence::{Reporter, SilenceLimit};
use terrace_provider::{ErrorKind, ProviderError, ProviderSchema, Value};
use terrace_state::roles::{self, RoleStore};
use terrace_state::{Access, StoreUrl, find_saved_copy, open};

/// Inputs of the engine for one environment.
#[derive(Clone)]
pub(crate) struct EnvironmentContext {
    pub(crate) engine: Engine,
    pub(crate) templates: Templates,
    /// Changes may destroy data without consent for each of them.
    pub(crate) is_data_loss_allowed: bool,
    /// `/v1/validate` calls remote systems.
    pub(crate) is_validated_remotely: bool,
    configuration: Environment,
}

impl EnvironmentContext {
    /// Sets up the environment. Connects to nothing and opens nothing yet.
    ///
    /// # Errors
    /// When the configuration does not fit the providers, which is reported, or a state key is invalid.
    pub(crate) fn new(
        settings: &Settings,
        configuration: Environment,
        is_plaintext_allowed: bool,
        ui: &Ui,
    ) -> Result<Self, Failure> {
        let providers = &settings.providers;
        let (instances, mut diagnostics) = providers::instances(
            providers,
            (&configuration, &settings.configuration.sources),
            &settings.project_folder,
            &sandbox(settings),
            &settings.variables,
        );
        let environment_settings = match configuration.has_adapter_settings {
            false => configuration.settings.clone(),
            true => adapter_settings::with_defaults(providers, &configuration.settings, &configuration.name)
                .unwrap_or_else(|error| {
                    diagnostics.push(error.at(configuration.span));
                    Value::Null
                }),
        };
        report(ui, &settings.configuration.sources, &diagnostics);
        if has_errors(&diagnostics) {
            return Err(Failure::reported(Exit::Error));
        }
        let sources = &settings.configuration.sources;
        let places = configuration.providers.iter().filter_map(|it| Some((it.name.clone(), it.places(sources)?)));
        let places = places.collect();
        let registry = Registry::new(providers.all().to_vec(), instances.settings)
            .with_limits(instances.limits)
            .with_places(places);
        let diagnostics = blueprints::check(&registry, &configuration, &settings.project_folder)?;
        report(ui, &settings.configuration.sources, &diagnostics);
        if has_errors(&diagnostics) {
            return Err(Failure::reported(Exit::Error));
        }
        let limits = memory::command_limits(memory::available(&settings.variables)?);
        let functions = functions(registry.schemas(), settings).bounded(limits);
        let note = configuration.is_embedded().then(|| {
            format!("embedded environment: {} under .terrace/{}", providers::EMBEDDED_TECHNOLOGIES, configuration.name)
        });
        let environment = environment::Environment {
            name: configuration.name.clone(),
            note,
            settings: environment_settings,
            silence_limit: SilenceLimit { reporter: Some(reporter(ui)), ..configuration.silence_limit.clone() },
        };
        Ok(Self {
            engine: Engine {
                functions: Arc::new(functions),
                registry: Arc::new(registry),
                seal: Arc::new(key::seal(settings, configuration.encryption.as_ref(), is_plaintext_allowed, ui)?),
                environment,
                version: VERSION,
            },
            templates: configuration.templates.clone(),
            is_data_loss_allowed: configuration.is_data_loss_allowed,
            is_validated_remotely: configuration.is_validated_remotely,
            configuration,
        })
    }

    /// The environment of flag or variable, else the default one.
    ///
    /// # Errors
    /// As [`EnvironmentContext::new`], and when the environment is not configured.
    pub(crate) fn of_settings(settings: &Settings, ui: &Ui) -> Result<Self, Failure> {
        Self::new(settings, settings.environment(None, ui)?, false, ui)
    }

    /// The key of an environment. Without an environment, or for an unconfigured environment, the key of the project.
    ///
    /// # Errors
    /// When the state key is not available, which is reported.
    pub(crate) fn seal(
        settings: &Settings,
        environment: Option<&str>,
        is_plaintext_allowed: bool,
        ui: &Ui,
    ) -> Result<Seal, Failure> {
        let own = environment.map(|name| own_keys(settings, name, ui)).transpose()?.flatten();
        key::seal(settings, own.as_ref(), is_plaintext_allowed, ui)
    }

    /// The same context with another seal.
    pub(crate) fn with_seal(self, seal: Seal) -> Self {
        Self { engine: Engine { seal: Arc::new(seal), ..self.engine }, ..self }
    }

    /// The environment as configured.
    pub(crate) fn configuration(&self) -> &Environment {
        &self.configuration
    }
}

/// Prints waits of a plan for provider instances.
fn reporter(ui: &Ui) -> Reporter {
    let ui = ui.clone();
    Arc::new(move |line| ui.print_note(line))
}

/// The state keys of an environment; `None` if it uses those of the project.
fn own_keys(settings: &Settings, environment: &str, ui: &Ui) -> Result<Option<Encryption>, Failure> {
    if !settings.configuration.environment_names().contains(&environment) {
        return Ok(None);
    }
    let (environment, diagnostics) = settings.configuration.environment(environment, &settings.variables);
    report(ui, &settings.configuration.sources, &diagnostics);
    if has_errors(&diagnostics) {
        Err(Failure::reported(Exit::Error))
    } else {
        Ok(environment.and_then(|it| it.encryption))
    }
}

/// The settings of the instance with the name of its provider.
///
/// # Errors
/// When the configuration does not fit the providers, which is reported.
pub(crate) fn instance(
    settings: &Settings,
    configuration: &Environment,
    provider: &str,
    ui: &Ui,
) -> Result<terrace_provider::Settings, Failure> {
    let (found, diagnostics) = find_instance(settings, configuration, provider);
    report(ui, &settings.configuration.sources, &diagnostics);
    if has_errors(&diagnostics) {
        return Err(Failure::reported(Exit::Error));
    }
    found
}

/// As [`instance`], for commands that need few settings: reports errors as warnings. The instance keeps unknown settings, which may
/// be misspelt, and the command may need them.
///
/// # Errors
/// When the instance does not exist.
pub(crate) fn tolerated_instance(
    settings: &Settings,
    configuration: &Environment,
    provider: &str,
    ui: &Ui,
) -> Result<terrace_provider::Settings, Failure> {
    let (found, diagnostics) = find_instance(settings, configuration, provider);
    warn(settings, diagnostics, ui);
    let configured = configuration.providers.iter().find(|it| it.name == provider);
    found.map(|mut found| {
        for (name, value) in configured.iter().flat_map(|it| &it.settings).filter(|(_, it)| !it.is_null()) {
            found.values.entry(name.clone()).or_insert_with(|| value.clone());
        }
        found
    })
}

fn find_instance(
    settings: &Settings,
    configuration: &Environment,
    provider: &str,
) -> (Result<terrace_provider::Settings, Failure>, Vec<Diagnostic>) {
    let (instances, diagnostics) = providers::instances(
        &settings.providers,
        (configuration, &settings.configuration.sources),
        &settings.project_folder,
        &sandbox(settings),
        &settings.variables,
    );
    let found = instances.settings.into_iter().map(|(_, settings)| settings).find(|it| it.instance == provider);
    let missing = || Failure::new(format!("the environment `{}` has no instance `{provider}`", configuration.name));
    (found.ok_or_else(missing), diagnostics)
}

/// Reports errors as warnings, for commands that go on.
fn warn(settings: &Settings, mut errors: Vec<Diagnostic>, ui: &Ui) {
    errors.iter_mut().for_each(|error| error.severity = Severity::Warning);
    report(ui, &settings.configuration.sources, &errors);
}

/// Reports that a setting of an instance cannot work, at its place in the configuration.
pub(crate) fn report_wrong_setting(
    settings: &Settings,
    configuration: &Environment,
    instance: &str,
    error: &ProviderError,
    ui: &Ui,
) -> Failure {
    report(ui, &settings.configuration.sources, &[wrong_setting(configuration, instance, error)]);
    Failure::reported(Exit::Error)
}

/// Reports settings that cannot work, and that the command does not need, as warnings.
pub(crate) fn warn_of_wrong_settings(
    settings: &Settings,
    configuration: &Environment,
    instance: &str,
    errors: &[ProviderError],
    ui: &Ui,
) {
    let wrong = |error| wrong_setting(configuration, instance, error);
    warn(settings, errors.iter().map(wrong).collect(), ui);
}

fn wrong_setting(configuration: &Environment, instance: &str, error: &ProviderError) -> Diagnostic {
    let path = match &error.kind {
        ErrorKind::InvalidInput { path } => path.clone().unwrap_or_default(),
        _ => terrace_provider::Path::default(),
    };
    let diagnostic = Diagnostic::error(error.kind.code(), error.with_problems()).maybe_hint(error.hint());
    // An instance without settings is not in the configuration.
    match configuration.providers.iter().find(|it| it.name == instance) {
        Some(configured) => diagnostic.at(configured.span_of(&path)),
        None => diagnostic,
    }
}

/// Opens the store.
///
/// # Errors
/// When it cannot be opened.
pub(crate) async fn store(settings: &Settings, access: Access) -> Result<Arc<dyn ServerStore>, Failure> {
    if missing_folder(&settings.state).is_some() && access == Access::ReadOnly {
        return opened(&settings.state, access).await;
    }
    if access == Access::ReadWrite {
        refuse_next_to_saved_copy(&settings.state)?;
    }
    ensure_folder(&settings.state)?;
    let store = opened(&settings.state, access).await?;
    Ok(if access == Access::ReadWrite { Arc::new(Audited::new(store, &settings.actor)) } else { store })
}

/// Opens the state. A failure names a missing permission of its file or folder.
async fn opened(state: &StoreUrl, access: Access) -> Result<Arc<dyn ServerStore>, Failure> {
    open(state, access).await.map_err(|error| {
        let hint = match state {
            StoreUrl::Sqlite(path) => files::permission_hint(path, access == Access::ReadWrite),
            StoreUrl::SqliteMemory | StoreUrl::Postgres(_) => None,
        };
        hint.into_iter().fold(Failure::from(error), Failure::hint)
    })
}

/// Refuses to start with an empty state next to the copy of a lost one: applies would create everything twice.
fn refuse_next_to_saved_copy(state: &StoreUrl) -> Result<(), Failure> {
    let StoreUrl::Sqlite(path) = state else { return Ok(()) };
    let Some(saved) = find_saved_copy(path).filter(|_| is_missing(state)) else { return Ok(()) };
    let (path, saved) = (shell_word(&path.to_string_lossy()), shell_word(&saved.to_string_lossy()));
    Err(Failure::refused(format!("the state {path} was lost, and {saved} is a copy of it"))
        .hint(format!("restore the copy: `mv {saved} {path}`, then `terrace recover`"))
        .hint("or move the copy elsewhere, to start with an empty state"))
}

/// Opens the store for a server; creates it if necessary.
///
/// # Errors
/// When it cannot be opened.
pub(crate) async fn server_store(settings: &Settings) -> Result<Arc<dyn ServerStore>, Failure> {
    refuse_next_to_saved_copy(&settings.state)?;
    ensure_folder(&settings.state)?;
    opened(&settings.state, Access::ReadWrite).await
}

/// Opens the store of the role mapper next to the state; creates it if necessary.
///
/// # Errors
/// When it cannot be opened.
pub(crate) async fn role_store(settings: &Settings) -> Result<Arc<dyn RoleStore>, Failure> {
    refuse_next_to_saved_copy(&settings.state)?;
    ensure_folder(&settings.state)?;
    Ok(roles::open(&settings.state).await?)
}

/// Creates the folder of the default state. The folder of another state must exist.
///
/// # Errors
/// When it cannot be created, or does not exist.
pub(crate) fn ensure_folder(state: &StoreUrl) -> Result<(), Failure> {
    let Some(folder) = missing_folder(state) else { return check_folder(state) };
    std::fs::create_dir_all(folder)
        .map_err(|error| Failure::new(format!("the folder `{}` cannot be created: {error}", folder.display())))
}

/// The missing folder of the default state. The first change creates it. The folder of any other state must exist.
fn missing_folder(state: &StoreUrl) -> Option<&Path> {
    let StoreUrl::Sqlite(path) = state else { return None };
    path.parent().filter(|folder| path.ends_with(DEFAULT_STATE) && !folder.exists())
}

/// Opens the store for changes of existing rows. A missing state is opened as an empty read-only one: a command that is
/// refused or has nothing to do must not create a state.
///
/// # Errors
/// When it cannot be opened.
pub(crate) async fn store_for_changes(settings: &Settings) -> Result<Arc<dyn ServerStore>, Failure> {
    store(settings, if is_missing(&settings.state) { Access::ReadOnly } else { Access::ReadWrite }).await
}

/// True if opening the state for writing would create it.
pub(crate) fn is_missing(state: &StoreUrl) -> bool {
    matches!(state, StoreUrl::Sqlite(path) if !path.exists())
}

/// Refuses to create a folder for a state: with a typing error in the path, this would start a second, empty state.
fn check_folder(state: &StoreUrl) -> Result<(), Failure> {
    let StoreUrl::Sqlite(path) = state else { return Ok(()) };
    let Some(folder) = path.parent().filter(|folder| !folder.exists()) else { return Ok(()) };
    let (shown, word) = (folder.display(), shell_word(&folder.display().to_string()));
    Err(Failure::new(format!("the state `{state}` cannot be opened: there is no folder `{shown}`"))
        .hint(format!("create it with `mkdir -p {word}`, or name another state")))
}

fn functions<'a>(schemas: impl Iterator<Item = &'a ProviderSchema>, settings: &Settings) -> Functions {
    let (mut sql_types, mut sql_readers, mut identities) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for schema in schemas {
        sql_types.extend(schema.sql_type.map(|sql_type| (schema.name.to_owned(), sql_type)));
        sql_readers.extend(schema.sql_reads.map(|read| (schema.name.to_owned(), read)));
        identities.extend(schema.identity.map(|identity| (schema.name.to_owned(), identity)));
    }
    Functions::new(sql_types, sql_readers, identities, settings.configuration.identities.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_in_a_missing_folder_gets_a_hint() {
        let folder = tempfile::tempdir().unwrap();
        let state = |path: &str| StoreUrl::Sqlite(folder.path().join(path));
        assert_eq!(check_folder(&state("state.db")), Ok(()));
        let failure = check_folder(&state("deep/er/state.db")).unwrap_err();
        assert!(failure.hints[0].contains(&format!("mkdir -p {}", folder.path().join("deep/er").display())));
        // The store reports other errors of the folder.
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert_eq!(check_folder(&state("file/state.db")), Ok(()));
    }
}
