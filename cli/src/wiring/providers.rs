//! The providers of this build, and the instances of them that an environment has.

use crate::configuration::{Environment, Instance};
use crate::failure::Failure;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path as FilePath;
use std::sync::Arc;
use terrace_engine::diagnostic::{Diagnostic, did_you_mean};
use terrace_engine::plan::typecheck;
use terrace_engine::source::Span;
use terrace_engine::yaml::Node;
use terrace_provider::{Attributes, Path, Provider, ProviderSchema, Settings};
use terrace_provider_local::LocalProvider;
use terrace_provider_sqlite::SqliteProvider;

/// The providers of a build.
#[derive(Clone)]
pub struct Providers(Vec<Arc<dyn Provider>>);

impl Providers {
    /// Those that terrace itself brings.
    #[must_use]
    pub fn built_in() -> Self {
        Self(vec![Arc::new(LocalProvider::new()), Arc::new(SqliteProvider::new())])
    }

    /// These and one more.
    #[must_use]
    pub fn with(mut self, provider: impl Provider + 'static) -> Self {
        self.0.push(Arc::new(provider));
        self
    }

    /// All of them, those that terrace brings first.
    pub(crate) fn all(&self) -> &[Arc<dyn Provider>] {
        &self.0
    }

    /// What each of them declares.
    pub(crate) fn schemas(&self) -> impl Iterator<Item = &ProviderSchema> + Clone {
        self.0.iter().map(|provider| provider.schema())
    }

    /// Names are how configurations, descriptors and rows speak of providers and types, so each has one meaning.
    ///
    /// # Errors
    /// When two providers have one name, or two of them one resource type.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let mut providers = BTreeSet::new();
        let mut types: BTreeMap<&str, &str> = BTreeMap::new();
        for schema in self.schemas() {
            if !providers.insert(schema.name) {
                return Err(Failure::new(format!("this build has two providers `{}`", schema.name))
                    .hint("give one of them another name where the build puts its providers together"));
            }
            for ty in &schema.resources {
                if let Some(other) = types.insert(ty.name, schema.name) {
                    let message = format!(
                        "the resource type `{}` is declared by the providers `{other}` and `{}`",
                        ty.name, schema.name
                    );
                    return Err(Failure::new(message).hint("begin the names of a provider's types with its own name"));
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Providers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.schemas().map(|schema| schema.name)).finish()
    }
}

/// The instances of an environment by provider: the configured ones, and those that need no settings.
pub(super) fn instances(
    providers: &Providers,
    environment: &Environment,
    project_folder: &FilePath,
) -> (Vec<(String, Settings)>, Vec<Diagnostic>) {
    let (mut instances, mut diagnostics) = (Vec::new(), Vec::new());
    let settings = |instance: &str, values| Settings {
        instance: instance.to_owned(),
        environment: environment.name.clone(),
        project_folder: project_folder.to_owned(),
        values,
    };
    for configured in &environment.providers {
        let found = providers.schemas().find(|it| it.name == configured.provider);
        let Some(schema) = found else {
            diagnostics.push(unknown_provider(configured, providers));
            continue;
        };
        check(configured, schema, &mut diagnostics);
        let values = with_defaults(schema, configured.settings.clone());
        instances.push((configured.provider.clone(), settings(&configured.name, values)));
    }
    for schema in providers.schemas() {
        let is_configured = instances.iter().any(|(_, settings)| settings.instance == schema.name);
        let needs_settings = schema.settings.0.iter().any(|attribute| attribute.required);
        if !is_configured && !needs_settings {
            let values = with_defaults(schema, Attributes::new());
            instances.push((schema.name.to_owned(), settings(schema.name, values)));
        }
    }
    (instances, diagnostics)
}

fn unknown_provider(configured: &Instance, providers: &Providers) -> Diagnostic {
    let known = || providers.schemas().map(|schema| schema.name);
    let hint = did_you_mean(&configured.provider, known())
        .unwrap_or_else(|| format!("this build has: {}", known().collect::<Vec<_>>().join(", ")));
    Diagnostic::error("unknown_provider", format!("there is no provider `{}`", configured.provider))
        .at(configured.span)
        .hint(hint)
}

fn check(configured: &Instance, schema: &ProviderSchema, diagnostics: &mut Vec<Diagnostic>) {
    let place = |path: &Path| place_of(&configured.node, path).unwrap_or(configured.span);
    let what = format!("providers.{}", configured.name);
    typecheck::check(&what, &schema.settings, &configured.settings, &place, diagnostics);
}

fn place_of(node: &Node, path: &Path) -> Option<Span> {
    if path.0.is_empty() {
        return None;
    }
    node.find_entry(path).map(|entry| entry.key_span).or_else(|| node.find(path).map(|node| node.span))
}

fn with_defaults(schema: &ProviderSchema, mut values: Attributes) -> Attributes {
    for attribute in &schema.settings.0 {
        if let Some(default) = &attribute.default
            && !values.contains_key(attribute.name)
        {
            values.insert(attribute.name.to_owned(), default.clone());
        }
        if attribute.sensitive
            && let Some(value) = values.get_mut(attribute.name)
        {
            *value = terrace_provider::Value::sensitive(std::mem::take(value));
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::Configuration;
    use crate::variables::Variables;

    fn instances_of(text: &str) -> (Vec<String>, Vec<Diagnostic>) {
        let variables = Variables::default();
        let (configuration, diagnostics) = Configuration::parse("terrace.yaml", text, FilePath::new("/p"), &variables);
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        let (environment, diagnostics) = configuration.environment("local", &variables);
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        let (instances, diagnostics) = instances(&Providers::built_in(), &environment.unwrap(), FilePath::new("/p"));
        let name = |(provider, settings): (String, Settings)| format!("{}: {provider}", settings.instance);
        (instances.into_iter().map(name).collect(), diagnostics)
    }

    #[test]
    fn providers_without_required_settings_are_always_there() {
        assert_eq!(instances_of("").0, ["local: local", "sqlite: sqlite"]);
        let text = "environments: {local: {providers: {sqlite: {}, lake: {type: sqlite}}}}";
        assert_eq!(instances_of(text).0, ["sqlite: sqlite", "lake: sqlite", "local: local"]);
    }

    #[test]
    fn a_name_that_two_providers_have_is_refused() {
        assert_eq!(Providers::built_in().check(), Ok(()));
        let failure = Providers::built_in().with(LocalProvider::new()).check().unwrap_err();
        assert_eq!(failure.message.as_deref(), Some("this build has two providers `local`"));
    }

    #[test]
    fn wrong_settings_are_told_at_their_place() {
        let (_, told) = instances_of("environments: {local: {providers: {sqlite: {foldr: x}, snoflake: {}}}}");
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told.iter().all(|diagnostic| !diagnostic.labels.is_empty() && diagnostic.hint.is_some()));
    }
}
