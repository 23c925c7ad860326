//! The providers of this build, and their instances in an environment.

use super::guard_program;
use crate::configuration::{Environment, Instance, LIMITS, RESERVED_SETTINGS};
use crate::failure::Failure;
use crate::variables::Variables;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path as FilePath;
use std::sync::Arc;
use terrace_engine::diagnostic::{Diagnostic, did_you_mean};
use terrace_engine::source::Sources;
use terrace_engine::typecheck;
use terrace_provider::names::listed;
use terrace_provider::plan::with_defaults;
use terrace_provider::wrap::Limits;
use terrace_provider::{
    Attribute, AttributeType, Attributes, Path, Provider, ProviderSchema, Sandbox, Settings, Step, Value,
};
use terrace_provider_airbyte::AirbyteProvider;
use terrace_provider_databricks::DatabricksProvider;
use terrace_provider_hasura::HasuraProvider;
use terrace_provider_kafka::KafkaProvider;
use terrace_provider_kubernetes::KubernetesProvider;
use terrace_provider_local::LocalProvider;
use terrace_provider_pipelines::PipelinesProvider;
use terrace_provider_postgres::PostgresProvider;
use terrace_provider_snowflake::SnowflakeProvider;
use terrace_provider_sqlite::SqliteProvider;
use terrace_provider_witboost::WitboostProvider;

/// The technologies of the embedded environment.
pub(super) const EMBEDDED_TECHNOLOGIES: &str = "SQLite and files";

/// The providers of a build.
#[derive(Clone)]
pub struct Providers(Vec<Arc<dyn Provider>>);

impl Providers {
    /// The providers of terrace.
    #[must_use]
    pub fn built_in() -> Self {
        Self(vec![
            Arc::new(AirbyteProvider::new()),
            Arc::new(DatabricksProvider::new()),
            Arc::new(HasuraProvider::new()),
            Arc::new(KafkaProvider::new()),
            Arc::new(KubernetesProvider::new()),
            Arc::new(LocalProvider::new()),
            Arc::new(match guard_program() {
                Some(guard) => PipelinesProvider::new().with_guard(guard),
                None => PipelinesProvider::new(),
            }),
            Arc::new(PostgresProvider::new()),
            Arc::new(SnowflakeProvider::new()),
            Arc::new(SqliteProvider::new()),
            Arc::new(WitboostProvider::new()),
        ])
    }

    /// Adds a provider.
    #[must_use]
    pub fn with(mut self, provider: impl Provider + 'static) -> Self {
        self.0.push(Arc::new(provider));
        self
    }

    /// All providers, those of terrace first.
    pub(crate) fn all(&self) -> &[Arc<dyn Provider>] {
        &self.0
    }

    /// The schemas of all providers.
    pub(crate) fn schemas(&self) -> impl Iterator<Item = &ProviderSchema> + Clone {
        self.0.iter().map(|provider| provider.schema())
    }

    /// Checks that names of providers and types are unique: configurations, descriptors and rows refer to them by name.
    ///
    /// # Errors
    /// When two providers have the same name or resource type, or when a provider has a setting with a reserved name.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let mut providers = BTreeSet::new();
        let mut types: BTreeMap<&str, &str> = BTreeMap::new();
        for schema in self.schemas() {
            if !providers.insert(schema.name) {
                return Err(Failure::new(format!("this build has two providers `{}`", schema.name))
                    .hint("rename one of them in the build's list of providers"));
            }
            if let Some(name) = RESERVED_SETTINGS.into_iter().find(|name| schema.settings.get(name).is_some()) {
                return Err(Failure::new(format!("the provider `{}` has a setting `{name}`", schema.name))
                    .hint(format!("rename it: terrace reserves `{name}` of an instance")));
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

/// The instances of an environment.
pub(super) struct Instances {
    /// Settings of instances, by provider.
    pub(super) settings: Vec<(String, Settings)>,
    /// Limits of calls, by instance.
    pub(super) limits: BTreeMap<String, Limits>,
}

/// The instances of an environment: configured ones, and those without required settings.
pub(super) fn instances(
    providers: &Providers,
    (environment, texts): (&Environment, &Sources),
    project_folder: &FilePath,
    sandbox: &Sandbox,
    variables: &Variables,
) -> (Instances, Vec<Diagnostic>) {
    let (mut instances, mut limits, mut diagnostics) = (Vec::new(), BTreeMap::new(), Vec::new());
    let settings = |instance: &str, values, sources| Settings {
        instance: instance.to_owned(),
        environment: environment.name.clone(),
        project_folder: project_folder.to_owned(),
        sandbox: sandbox.clone(),
        values,
        sources,
    };
    for configured in &environment.providers {
        let found = providers.schemas().find(|it| it.name == configured.provider);
        let Some(schema) = found else {
            diagnostics.push(unknown_provider(configured, providers));
            continue;
        };
        check(configured, schema, &mut diagnostics);
        check_limits(configured, schema, &mut diagnostics);
        limits.insert(configured.name.clone(), configured.limits.clone());
        let (mut values, mut sources) = (configured.settings.clone(), places(configured, texts));
        if configured.name == schema.name {
            diagnostics.extend(with_variables(schema, &mut values, &mut sources, variables));
        }
        let values = with_defaults(&schema.settings, &values);
        instances.push((configured.provider.clone(), settings(&configured.name, values, sources)));
    }
    for schema in providers.schemas() {
        let is_configured = instances.iter().any(|(_, settings)| settings.instance == schema.name);
        let needs_settings = schema.settings.0.iter().any(|attribute| attribute.required);
        if !is_configured && !needs_settings {
            let (mut values, mut sources) = (Attributes::default(), BTreeMap::new());
            diagnostics.extend(with_variables(schema, &mut values, &mut sources, variables));
            let values = with_defaults(&schema.settings, &values);
            instances.push((schema.name.to_owned(), settings(schema.name, values, sources)));
        }
    }
    (Instances { settings: instances, limits }, diagnostics)
}

/// The places of the settings of an instance, in words.
fn places(configured: &Instance, texts: &Sources) -> BTreeMap<String, String> {
    let places = configured.places(texts).into_iter().flat_map(|places| places.settings);
    places.map(|(name, place)| (name.clone(), format!("`{name}` at {place}"))).collect()
}

/// Checks that limits are for types of the provider.
fn check_limits(configured: &Instance, schema: &ProviderSchema, diagnostics: &mut Vec<Diagnostic>) {
    let resources = schema.resources.iter().map(|ty| ty.name);
    let known: BTreeSet<&str> = resources.chain(schema.lookups.iter().map(|lookup| lookup.name)).collect();
    for name in configured.limits.types.keys().filter(|name| !known.contains(name.as_str())) {
        let path = Path([LIMITS, "types", name].map(|key| Step::Key(key.to_owned())).to_vec());
        let hint = did_you_mean(name, known.iter().copied())
            .unwrap_or_else(|| format!("its types are: {}", listed(&known.iter().copied().collect::<Vec<_>>())));
        let message = format!("the provider `{}` has no type `{name}`", schema.name);
        diagnostics.push(Diagnostic::error("unknown_type", message).at(configured.span_of(&path)).hint(hint));
    }
}

fn unknown_provider(configured: &Instance, providers: &Providers) -> Diagnostic {
    let known = || providers.schemas().map(|schema| schema.name);
    let hint = did_you_mean(&configured.provider, known())
        .unwrap_or_else(|| format!("this build has: {}", listed(&known().collect::<Vec<_>>())));
    Diagnostic::error("unknown_provider", format!("there is no provider `{}`", configured.provider))
        .at(configured.span)
        .hint(hint)
}

fn check(configured: &Instance, schema: &ProviderSchema, diagnostics: &mut Vec<Diagnostic>) {
    let place = |path: &Path| configured.span_of(path);
    let what = format!("providers.{}", configured.name);
    typecheck::check(&what, &schema.settings, &configured.settings, &place, diagnostics);
}

/// Reads missing settings from well-known variables, such as `PGHOST`.
fn with_variables(
    schema: &ProviderSchema,
    values: &mut Attributes,
    sources: &mut BTreeMap<String, String>,
    variables: &Variables,
) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    let is_open = |attribute: &&Attribute| !values.contains_key(attribute.name);
    let open: Vec<&Attribute> = schema.settings.0.iter().filter(is_open).collect();
    for attribute in open {
        let Some((name, text)) = attribute.variable.and_then(|name| Some((name, variables.get(name)?))) else {
            continue;
        };
        let value = match attribute.ty {
            AttributeType::Int => text.trim().parse().ok().map(Value::Int),
            _ => Some(Value::from(text)),
        };
        match value {
            Some(value) => {
                values.insert(attribute.name.to_owned(), value);
                sources.insert(attribute.name.to_owned(), format!("the variable {name}"));
            }
            None => diagnostics.push(
                Diagnostic::error(
                    "wrong_variable",
                    format!("the variable `{name}` is not a {}", attribute.ty.describe()),
                )
                .hint(format!("correct it: it sets `{}` of `providers.{}`", attribute.name, schema.name)),
            ),
        }
    }
    diagnostics
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
        let (instances, diagnostics) = instances(
            &Providers::built_in(),
            (&environment.unwrap(), &configuration.sources),
            FilePath::new("/p"),
            &Sandbox::default(),
            &variables,
        );
        let name = |(provider, settings): (String, Settings)| format!("{}: {provider}", settings.instance);
        (instances.settings.into_iter().map(name).collect(), diagnostics)
    }

    #[test]
    fn providers_without_required_settings_always_exist() {
        let always = [
            "airbyte: airbyte",
            "databricks: databricks",
            "hasura: hasura",
            "kubernetes: kubernetes",
            "local: local",
            "pipelines: pipelines",
            "postgres: postgres",
            "snowflake: snowflake",
            "sqlite: sqlite",
            "witboost: witboost",
        ];
        assert_eq!(instances_of("").0, always);
        let text = "environments: {local: {providers: {sqlite: {}, lake: {type: sqlite}}}}";
        let all = [
            "sqlite: sqlite",
            "lake: sqlite",
            "airbyte: airbyte",
            "databricks: databricks",
            "hasura: hasura",
            "kubernetes: kubernetes",
            "local: local",
            "pipelines: pipelines",
            "postgres: postgres",
            "snowflake: snowflake",
            "witboost: witboost",
        ];
        assert_eq!(instances_of(text).0, all);
    }

    #[test]
    fn well_known_variables_replace_missing_settings() {
        let variables: Variables = [("PGHOST", "db"), ("PGPORT", "6000")].into_iter().collect();
        let schema = PostgresProvider::new().schema().clone();
        let mut values: Attributes = [("host".to_owned(), "other".into())].into_iter().collect();
        let mut sources = BTreeMap::new();
        assert_eq!(with_variables(&schema, &mut values, &mut sources, &variables), []);
        assert_eq!(values.get("host"), Some(&"other".into()));
        assert_eq!(values.get("port"), Some(&Value::Int(6000)));
        assert_eq!(sources, BTreeMap::from([("port".to_owned(), "the variable PGPORT".to_owned())]));
        let wrong: Variables = [("PGPORT", "many")].into_iter().collect();
        let reported = with_variables(&schema, &mut Attributes::default(), &mut sources, &wrong);
        assert_eq!(reported.first().map(|it| it.message.as_str()), Some("the variable `PGPORT` is not a whole number"));
    }

    #[test]
    fn secrets_in_settings_are_sensitive_at_every_depth() {
        let text = "environments: {local: {providers: {kafka: {bootstrapServers: 'b:1', password: hunter2,
                    schemaRegistry: {url: 'http://r', username: ada, password: hunter3}}}}}";
        let variables = Variables::default();
        let (configuration, _) = Configuration::parse("terrace.yaml", text, FilePath::new("/p"), &variables);
        let environment = configuration.environment("local", &variables).0.unwrap();
        let found = instances(
            &Providers::built_in(),
            (&environment, &configuration.sources),
            FilePath::new("/p"),
            &Sandbox::default(),
            &variables,
        );
        assert_eq!(found.1, []);
        let (_, settings) = found.0.settings.iter().find(|(provider, _)| provider == "kafka").unwrap();
        let registry = settings.values["schemaRegistry"].as_map().unwrap();
        assert!(matches!(settings.values["password"], Value::Sensitive(_)));
        assert!(matches!(registry["password"], Value::Sensitive(_)), "{registry:?}");
        assert_eq!(registry["username"], "ada".into());
        assert_eq!(settings.sources["password"], "`password` at terrace.yaml:1:69");
        assert!(!format!("{settings:?}").contains("hunter"));
    }

    #[test]
    fn duplicate_provider_name_is_refused() {
        assert_eq!(Providers::built_in().check(), Ok(()));
        let failure = Providers::built_in().with(LocalProvider::new()).check().unwrap_err();
        assert_eq!(failure.message.as_deref(), Some("this build has two providers `local`"));
    }

    #[test]
    fn limits_of_unknown_types_are_refused() {
        let of = |types: &str| {
            instances_of(&format!("environments: {{local: {{providers: {{local: {{limits: {{types: {types}}}}}}}}}}}"))
                .1
        };
        assert_eq!(of("{local_command: {concurrency: 1}, local_file: {retries: 0}}"), []);
        let reported = of("{local_comand: {concurrency: 1}, snowflake_table: {retries: 1}}");
        let reported: Vec<_> =
            reported.iter().map(|it| (it.message.as_str(), it.hint.as_deref(), it.labels.len())).collect();
        assert_eq!(
            reported,
            [
                ("the provider `local` has no type `local_comand`", Some("did you mean `local_command`?"), 1),
                (
                    "the provider `local` has no type `snowflake_table`",
                    Some("its types are: `local_command`, `local_directory`, `local_file`, `local_value`"),
                    1
                ),
            ]
        );
    }

    #[test]
    fn invalid_settings_are_reported_with_their_place() {
        let (_, reported) = instances_of("environments: {local: {providers: {sqlite: {foldr: x}, snoflake: {}}}}");
        assert_eq!(reported.len(), 2, "{reported:?}");
        assert!(reported.iter().all(|diagnostic| !diagnostic.labels.is_empty() && diagnostic.hint.is_some()));
    }
}
