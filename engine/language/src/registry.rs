//! The providers of this build, and the instances that an environment configures.

mod ended_calls;
mod offline;
mod settings;

pub use ended_calls::EndedCalls;

use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::environment::Environment;
use crate::source::{Place, Span};
use offline::OfflineProvider;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use terrace_provider::names::listed;
use terrace_provider::wrap::{Guarded, Limits, guarded};
use terrace_provider::{
    Attributes, ErrorKind, Lookup, Path, Provider, ProviderError, ProviderSchema, ResourceType, Session, Settings, Step,
};
use tokio::sync::OnceCell;

/// The code of errors about a `provider` that names no instance of the type's provider.
pub const UNKNOWN_INSTANCE: &str = "unknown_instance";
/// The code of errors about providers that cannot be reached.
const CANNOT_CONNECT: &str = "cannot_connect";
/// The code of errors about a setting that cannot work: that of [`ErrorKind::InvalidInput`].
const INVALID_SETTING: &str = "invalid_input";
/// The codes of errors about instances without a session.
pub const NO_SESSION: [&str; 2] = [CANNOT_CONNECT, INVALID_SETTING];

/// The providers of this build and the instances of an environment.
pub struct Registry {
    providers: Vec<Arc<dyn Provider>>,
    instances: BTreeMap<String, Instance>,
    ended_calls: Arc<EndedCalls>,
    places: BTreeMap<String, InstancePlaces>,
}

/// The places of a configured instance.
#[derive(Debug, Clone)]
pub struct InstancePlaces {
    /// Its name.
    pub name: Place,
    /// Its settings, by name.
    pub settings: BTreeMap<String, Place>,
}

/// A configured instance, connected on first use.
struct Instance {
    provider: Arc<dyn Provider>,
    settings: Settings,
    limits: Limits,
    session: OnceCell<Arc<Guarded>>,
}

impl Registry {
    /// Builds a registry from providers and from settings of instances by provider name. Skips instances of unknown
    /// providers: the configuration check has reported them.
    #[must_use]
    pub fn new(providers: Vec<Arc<dyn Provider>>, instances: Vec<(String, Settings)>) -> Self {
        let find = |name: &str| providers.iter().find(|provider| provider.schema().name == name).cloned();
        let instances = instances
            .into_iter()
            .filter_map(|(provider, settings)| {
                let instance = Instance {
                    provider: find(&provider)?,
                    settings,
                    limits: Limits::default(),
                    session: OnceCell::new(),
                };
                Some((instance.settings.instance.clone(), instance))
            })
            .collect();
        Self { providers, instances, ended_calls: Arc::default(), places: BTreeMap::new() }
    }

    /// Returns the registry with the ended calls of another registry of this process.
    #[must_use]
    pub fn with_ended_calls(mut self, ended_calls: Arc<EndedCalls>) -> Self {
        self.ended_calls = ended_calls;
        self
    }

    /// Returns the registry with limits for the named instances; the others have default limits.
    #[must_use]
    pub fn with_limits(mut self, limits: BTreeMap<String, Limits>) -> Self {
        for (name, limits) in limits {
            if let Some(instance) = self.instances.get_mut(&name) {
                instance.limits = limits;
            }
        }
        self
    }

    /// Returns the registry with the places of the instances in the configuration.
    #[must_use]
    pub fn with_places(mut self, places: BTreeMap<String, InstancePlaces>) -> Self {
        self.places = places;
        self
    }

    /// Returns the same providers and instances without connections: plans come from schemas alone, and no objects
    /// exist. A provider without an instance gets one with its own name, because nothing connects to it.
    #[must_use]
    pub fn offline(&self) -> Self {
        self.without_objects(false)
    }

    /// Returns an offline registry that runs lookups on configured instances, connecting on the first lookup.
    #[must_use]
    pub fn lookups_only(&self) -> Self {
        self.without_objects(true)
    }

    fn without_objects(&self, runs_lookups: bool) -> Self {
        let instance = |provider: &Arc<dyn Provider>, runs_lookups, settings, limits| {
            let provider = Arc::new(OfflineProvider { provider: Arc::clone(provider), runs_lookups });
            Instance { provider, settings, limits, session: OnceCell::new() }
        };
        let configured = self.instances.iter().map(|(name, configured_instance)| {
            (
                name.clone(),
                instance(
                    &configured_instance.provider,
                    runs_lookups,
                    configured_instance.settings.clone(),
                    configured_instance.limits.clone(),
                ),
            )
        });
        let mut instances: BTreeMap<String, Instance> = configured.collect();
        for provider in &self.providers {
            let name = provider.schema().name;
            if !instances.contains_key(name) {
                let settings = Settings {
                    instance: name.to_owned(),
                    environment: String::new(),
                    project_folder: PathBuf::new(),
                    sandbox: Default::default(),
                    sources: Default::default(),
                    values: Attributes::default(),
                };
                instances.insert(name.to_owned(), instance(provider, false, settings, Limits::default()));
            }
        }
        Self { providers: self.providers.clone(), instances, ended_calls: Arc::default(), places: self.places.clone() }
    }

    /// The schemas of all providers of this build.
    pub fn schemas(&self) -> impl Iterator<Item = &ProviderSchema> {
        self.providers.iter().map(|provider| provider.schema())
    }

    /// The resource type of that name, and its provider.
    #[must_use]
    pub fn resource_type(&self, name: &str) -> Option<(&ProviderSchema, &ResourceType)> {
        self.find_declared(name, |schema| schema.resource(name))
    }

    /// The lookup of that name, and its provider.
    #[must_use]
    pub fn lookup(&self, name: &str) -> Option<(&ProviderSchema, &Lookup)> {
        self.find_declared(name, |schema| schema.lookup(name))
    }

    /// Searches the provider whose name is the prefix of a type first, then all others. It is called several times for
    /// each resource, so a search through all types would be too slow with many providers.
    fn find_declared<'a, T>(
        &'a self,
        name: &str,
        declared: impl Fn(&'a ProviderSchema) -> Option<&'a T>,
    ) -> Option<(&'a ProviderSchema, &'a T)> {
        let find = |schema: &'a ProviderSchema| Some((schema, declared(schema)?));
        let is_prefix =
            |schema: &&ProviderSchema| name.strip_prefix(schema.name).is_some_and(|rest| rest.starts_with('_'));
        self.schemas().filter(is_prefix).find_map(find).or_else(|| self.schemas().find_map(find))
    }

    /// The error for an unknown lookup.
    #[must_use]
    pub fn unknown_lookup(&self, name: &str) -> Diagnostic {
        let known: Vec<&str> = self.schemas().flat_map(|schema| &schema.lookups).map(|lookup| lookup.name).collect();
        let hint = did_you_mean(name, known.iter().copied()).unwrap_or_else(|| match known.len() {
            0 => "the providers of this terrace have no lookups".to_owned(),
            _ => format!("there are: {}", listed(&known)),
        });
        Diagnostic::error("unknown_lookup", format!("there is no lookup `{name}`")).hint(hint)
    }

    /// The error for an unknown resource type.
    #[must_use]
    pub fn unknown_type(&self, name: &str) -> Diagnostic {
        let known = self.schemas().flat_map(|schema| &schema.resources).map(|ty| ty.name);
        let hint = did_you_mean(name, known).unwrap_or_else(|| {
            let providers: Vec<_> = self.schemas().map(|schema| schema.name).collect();
            format!("run `terrace providers schema NAME` to see the types of a provider: {}", listed(&providers))
        });
        Diagnostic::error("unknown_type", format!("there is no resource type `{name}`")).hint(hint)
    }

    /// The provider of a configured instance.
    #[must_use]
    pub fn instance(&self, name: &str) -> Option<&ProviderSchema> {
        self.instances.get(name).map(|instance| instance.provider.schema())
    }

    /// The names of the configured instances.
    pub fn instance_names(&self) -> impl Iterator<Item = &str> {
        self.instances.keys().map(String::as_str)
    }

    /// A hint with the instances of a provider, and how to configure the missing one.
    #[must_use]
    pub fn instances_of(&self, provider: &str, missing: &str, environment: &Environment) -> String {
        let names = self.names_of(provider);
        let there_are = match names.as_slice() {
            [] => "there is none".to_owned(),
            names => format!("there are: {}", listed(names)),
        };
        // The key of an instance begins with its provider.
        let is_key = missing == provider || missing.starts_with(&format!("{provider}."));
        let key = if is_key { missing.to_owned() } else { format!("{provider}.{missing}") };
        if self.instance(&key).is_some_and(|schema| schema.name == provider) {
            return format!("did you mean `{key}`?");
        }
        // `kafka.us` is not a slip of `kafka.eu`.
        if let Some(close) = did_you_mean(missing, names.iter().copied()).filter(|_| !is_key) {
            return close;
        }
        let name = if is_key { String::new() } else { format!(", and name it `{key}` here") };
        // A configured environment has only the overlay that its configuration names.
        let overlay = if environment.is_embedded() { ", beside `overlay: embedded`" } else { "" };
        format!(
            "in the environment `{}` {there_are}; to configure another, add the key `{key}` with its settings under \
             `providers:` of that environment in terrace.yaml{overlay}{name}",
            environment.name
        )
    }

    /// The error for a resource whose `provider` names an instance of another provider, or another provider itself.
    #[must_use]
    pub fn instance_of_other(&self, ty: &str, provider: &str, name: &str) -> Option<Diagnostic> {
        // `kafka.eu` would be an instance of kafka, even if the environment does not have it.
        let of_name = name.split_once('.').map_or(name, |(provider, _)| provider);
        let other = self.instance(name).or_else(|| self.schemas().find(|schema| schema.name == of_name))?.name;
        if other == provider {
            return None;
        }
        let what = if other == name { "another provider" } else { "an instance of another provider" };
        let message = format!("`{ty}` is a type of the provider `{provider}`, and `{name}` is {what}");
        let names = self.names_of(provider);
        let others = if names.is_empty() { String::new() } else { format!(": {}", listed(&names)) };
        let hint = format!("remove `provider: {name}`, or name an instance of `{provider}`{others}");
        Some(Diagnostic::error(UNKNOWN_INSTANCE, message).hint(hint))
    }

    /// The names of a provider's instances.
    fn names_of(&self, provider: &str) -> Vec<&str> {
        let is_of = |name: &&str| self.instance(name).is_some_and(|schema| schema.name == provider);
        self.instance_names().filter(is_of).collect()
    }

    /// The place of an instance's settings, if the configuration has it.
    #[must_use]
    pub fn place_of(&self, instance: &str) -> Option<&Place> {
        Some(&self.places.get(instance)?.name)
    }

    /// The place of the setting that an error of connecting names, else that of the instance.
    #[must_use]
    pub fn place_of_error(&self, instance: &str, error: &ProviderError) -> Option<&Place> {
        let places = self.places.get(instance)?;
        let setting = match &error.kind {
            ErrorKind::InvalidInput { path: Some(Path(steps)) } => steps.first(),
            _ => None,
        };
        let Some(Step::Key(name)) = setting else { return Some(&places.name) };
        Some(places.settings.get(name).unwrap_or(&places.name))
    }

    /// Calls of this process that ended while their steps may still be open.
    #[must_use]
    pub fn ended_calls(&self) -> &EndedCalls {
        &self.ended_calls
    }

    /// The limits of an instance.
    #[must_use]
    pub fn limits(&self, instance: &str) -> Option<&Limits> {
        self.instances.get(instance).map(|instance| &instance.limits)
    }

    /// The error about an instance without a session: its settings are wrong, or its system does not answer. `at` is the place that
    /// needs the session.
    #[must_use]
    pub fn no_session(&self, instance: &str, error: &ProviderError, at: Option<Span>) -> Diagnostic {
        let is_setting = matches!(error.kind, ErrorKind::InvalidInput { .. });
        let code = if is_setting { INVALID_SETTING } else { CANNOT_CONNECT };
        let message = match error.kind.is_about_settings() {
            true => format!("the settings of `{instance}` cannot be used: {error}"),
            false => format!("`{instance}` cannot be reached: {error}"),
        };
        let mut diagnostic = Diagnostic::error(code, message).maybe_hint(error.hint());
        diagnostic = at.into_iter().fold(diagnostic, Diagnostic::at);
        diagnostic = self.place_of_error(instance, error).cloned().into_iter().fold(diagnostic, Diagnostic::at_place);
        if is_setting {
            // The setting is to be corrected.
            diagnostic.labels.reverse();
        }
        diagnostic
    }

    /// The connected session of an instance.
    ///
    /// # Errors
    /// When the instance is not configured or cannot be connected.
    pub async fn session(&self, instance: &str) -> Result<Arc<dyn Session>, ProviderError> {
        Ok(self.connected(instance).await?)
    }

    /// The connected session of an instance, once its limits admit that many calls of a type. The calls themselves do
    /// not wait again; they run one after the other in a slot that the session keeps. Calls `waits` once with a message
    /// if it must wait.
    ///
    /// # Errors
    /// When the instance is not configured or cannot be connected.
    pub async fn admitted(
        &self,
        instance: &str,
        ty: &str,
        calls: usize,
        waits: impl FnOnce(String) + Send,
    ) -> Result<Arc<Guarded>, ProviderError> {
        Ok(self.connected(instance).await?.admitted(ty, calls, waits).await)
    }

    async fn connected(&self, instance: &str) -> Result<Arc<Guarded>, ProviderError> {
        let Some(entry) = self.instances.get(instance) else {
            return Err(ProviderError::new(
                terrace_provider::ErrorKind::NotFound,
                format!("provider instance `{instance}` is not configured"),
            )
            .solution(format!("configured are: {}", listed(&self.instance_names().collect::<Vec<_>>()))));
        };
        let connect = || guarded(&*entry.provider, &entry.settings, entry.limits.clone());
        entry.session.get_or_try_init(connect).await.cloned()
    }
}
