//! Which providers there are, and which instances of them an environment configures.

mod offline;
mod settings;

use crate::apply::EndedCalls;
use crate::diagnostic::{Diagnostic, did_you_mean};
use offline::Offline;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use terrace_provider::wrap::{Guarded, Limits, guarded};
use terrace_provider::{Attributes, Lookup, Provider, ProviderError, ProviderSchema, ResourceType, Session, Settings};
use tokio::sync::OnceCell;

/// The providers of this build and the instances of one environment.
pub struct Registry {
    providers: Vec<Arc<dyn Provider>>,
    instances: BTreeMap<String, Instance>,
    ended_calls: Arc<EndedCalls>,
}

/// One configured instance; connected when it is first needed.
struct Instance {
    provider: Arc<dyn Provider>,
    settings: Settings,
    limits: Limits,
    session: OnceCell<Arc<Guarded>>,
}

impl Registry {
    /// A registry of these providers and of the instances that the settings name; `provider_of` says which provider
    /// each instance is one of. Instances of unknown providers are left out: the configuration was checked before.
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
        Self { providers, instances, ended_calls: Arc::default() }
    }

    /// The same with the ledger of another registry of this process.
    #[must_use]
    pub fn with_ended_calls(mut self, ended_calls: Arc<EndedCalls>) -> Self {
        self.ended_calls = ended_calls;
        self
    }

    /// The same with these limits for the instances that are named; the others have the default ones.
    #[must_use]
    pub fn with_limits(mut self, limits: BTreeMap<String, Limits>) -> Self {
        for (name, limits) in limits {
            if let Some(instance) = self.instances.get_mut(&name) {
                instance.limits = limits;
            }
        }
        self
    }

    /// The same providers and instances without anything behind them: plans come from schemas alone, and nothing exists.
    /// A provider without a configured instance gets one of its own name, for nobody connects to it.
    #[must_use]
    pub fn offline(&self) -> Self {
        self.without_objects(false)
    }

    /// The same, but lookups are asked where an instance is configured. It is connected to when the first one is.
    #[must_use]
    pub fn lookups_only(&self) -> Self {
        self.without_objects(true)
    }

    fn without_objects(&self, answers_lookups: bool) -> Self {
        let instance = |provider: &Arc<dyn Provider>, answers_lookups, settings, limits| {
            let provider = Arc::new(Offline { provider: Arc::clone(provider), answers_lookups });
            Instance { provider, settings, limits, session: OnceCell::new() }
        };
        let configured = self.instances.iter().map(|(name, it)| {
            (name.clone(), instance(&it.provider, answers_lookups, it.settings.clone(), it.limits.clone()))
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
                    values: Attributes::default(),
                };
                instances.insert(name.to_owned(), instance(provider, false, settings, Limits::default()));
            }
        }
        Self { providers: self.providers.clone(), instances, ended_calls: Arc::default() }
    }

    /// What all providers of this build declare.
    pub fn schemas(&self) -> impl Iterator<Item = &ProviderSchema> {
        self.providers.iter().map(|provider| provider.schema())
    }

    /// The resource type of that name, and the provider that has it.
    #[must_use]
    pub fn resource_type(&self, name: &str) -> Option<(&ProviderSchema, &ResourceType)> {
        self.of_that_name(name, |schema| schema.resource(name))
    }

    /// The lookup of that name, and the provider that has it.
    #[must_use]
    pub fn lookup(&self, name: &str) -> Option<(&ProviderSchema, &Lookup)> {
        self.of_that_name(name, |schema| schema.lookup(name))
    }

    /// What the provider whose name a type begins with declares by it, or else what any other does. It is asked several
    /// times for each resource: looking through the types of all would cost more with every provider.
    fn of_that_name<'a, T>(
        &'a self,
        name: &str,
        declared: impl Fn(&'a ProviderSchema) -> Option<&'a T>,
    ) -> Option<(&'a ProviderSchema, &'a T)> {
        let of = |schema: &'a ProviderSchema| Some((schema, declared(schema)?));
        let begins = |schema: &&ProviderSchema| name.strip_prefix(schema.name).is_some_and(|it| it.starts_with('_'));
        self.schemas().filter(begins).find_map(of).or_else(|| self.schemas().find_map(of))
    }

    /// An error for a lookup that no provider has.
    #[must_use]
    pub fn unknown_lookup(&self, name: &str) -> Diagnostic {
        let known: Vec<&str> = self.schemas().flat_map(|schema| &schema.lookups).map(|lookup| lookup.name).collect();
        let hint = did_you_mean(name, known.iter().copied()).unwrap_or_else(|| match known.len() {
            0 => "the providers of this terrace have no lookups".to_owned(),
            _ => format!("there are: {}", known.join(", ")),
        });
        Diagnostic::error("unknown_lookup", format!("there is no lookup `{name}`")).hint(hint)
    }

    /// An error for a type that no provider has.
    #[must_use]
    pub fn unknown_type(&self, name: &str) -> Diagnostic {
        let known = self.schemas().flat_map(|schema| &schema.resources).map(|ty| ty.name);
        let hint = did_you_mean(name, known).unwrap_or_else(|| {
            let providers: Vec<_> = self.schemas().map(|schema| schema.name).collect();
            format!("`terrace providers schema NAME` shows the types of one: {}", providers.join(", "))
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

    /// Which instances of a provider there are, and how there come to be more.
    #[must_use]
    pub fn instances_of(&self, provider: &str, environment: &str) -> String {
        let is_of = |name: &&str| self.instance(name).is_some_and(|schema| schema.name == provider);
        let names: Vec<String> = self.instance_names().filter(is_of).map(|name| format!("`{name}`")).collect();
        let there_are = match names.as_slice() {
            [] => "there is none".to_owned(),
            names => format!("there are: {}", names.join(", ")),
        };
        format!(
            "in the environment `{environment}` {there_are}; a key under its `providers:` in terrace.yaml configures another, \
             such as `{provider}.other: {{}}`"
        )
    }

    /// Calls of this process that have ended although their steps may still be open.
    #[must_use]
    pub fn ended_calls(&self) -> &EndedCalls {
        &self.ended_calls
    }

    /// How much an instance may be asked.
    #[must_use]
    pub fn limits(&self, instance: &str) -> Option<&Limits> {
        self.instances.get(instance).map(|instance| &instance.limits)
    }

    /// The connected session of an instance.
    ///
    /// # Errors
    /// When the instance is not configured or cannot be connected.
    pub async fn session(&self, instance: &str) -> Result<Arc<dyn Session>, ProviderError> {
        Ok(self.connected(instance).await?)
    }

    /// The connected session of an instance, once its limits allow so many calls of a type: the next ones do not wait for
    /// them, and go one after the other in a slot that it keeps. `waits` is told once, in words, when there is a token to
    /// wait for.
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
            .solution(format!("configured are: {}", self.instance_names().collect::<Vec<_>>().join(", "))));
        };
        let connect = || guarded(&*entry.provider, &entry.settings, entry.limits.clone());
        entry.session.get_or_try_init(connect).await.cloned()
    }
}
