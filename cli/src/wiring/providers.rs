//! The providers of this build, and the instances of them that an environment has.

use crate::configuration::{Environment, Instance};
use std::path::Path as FilePath;
use std::sync::Arc;
use terrace_engine::diagnostic::{Diagnostic, did_you_mean};
use terrace_engine::plan::typecheck;
use terrace_engine::source::Span;
use terrace_engine::yaml::Node;
use terrace_provider::{Attributes, Path, Provider, ProviderSchema, Settings};
use terrace_provider_local::LocalProvider;
use terrace_provider_sqlite::SqliteProvider;

/// All providers of this build.
pub(crate) fn all() -> Vec<Arc<dyn Provider>> {
    vec![Arc::new(LocalProvider::new()), Arc::new(SqliteProvider::new())]
}

/// The instances of an environment by provider: the configured ones, and those that need no settings.
pub(super) fn instances(
    providers: &[Arc<dyn Provider>],
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
        let found = providers.iter().map(|provider| provider.schema()).find(|it| it.name == configured.provider);
        let Some(schema) = found else {
            diagnostics.push(unknown_provider(configured, providers));
            continue;
        };
        check(configured, schema, &mut diagnostics);
        let values = with_defaults(schema, configured.settings.clone());
        instances.push((configured.provider.clone(), settings(&configured.name, values)));
    }
    for schema in providers.iter().map(|provider| provider.schema()) {
        let is_configured = instances.iter().any(|(_, settings)| settings.instance == schema.name);
        let needs_settings = schema.settings.0.iter().any(|attribute| attribute.required);
        if !is_configured && !needs_settings {
            let values = with_defaults(schema, Attributes::new());
            instances.push((schema.name.to_owned(), settings(schema.name, values)));
        }
    }
    (instances, diagnostics)
}

fn unknown_provider(configured: &Instance, providers: &[Arc<dyn Provider>]) -> Diagnostic {
    let known = || providers.iter().map(|provider| provider.schema().name);
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
        let (instances, diagnostics) = instances(&all(), &environment.unwrap(), FilePath::new("/p"));
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
    fn wrong_settings_are_told_at_their_place() {
        let (_, told) = instances_of("environments: {local: {providers: {sqlite: {foldr: x}, snoflake: {}}}}");
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told.iter().all(|diagnostic| !diagnostic.labels.is_empty() && diagnostic.hint.is_some()));
    }
}
