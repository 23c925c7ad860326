//! Health probes: a read without side effects that shows whether the server of a provider instance answers.

use super::EnvironmentContext;
use crate::variables::Variables;
use terrace_provider::{Attribute, ProviderSchema, ResourceType};

/// Providers whose sessions open without a call, with an object to look for, and variables with the server's address
/// besides those of the settings.
const PROBES: [(&str, &str, &str, &[&str]); 7] = [
    ("airbyte", "airbyte_source", "terrace-doctor/00000000-0000-4000-8000-000000000000", &["AIRBYTE_BASE_URL"]),
    // A folder of any workspace of the instance. An instance without a workspace calls Azure.
    ("databricks", "databricks_directory", "-/%2Fterrace-doctor", &["ARM_CLIENT_ID"]),
    ("hasura", "hasura_source", "terrace-doctor", &["HASURA_URL"]),
    ("kafka", "kafka_topic", "terrace-doctor", &[]),
    ("kubernetes", "kubernetes_object", "v1/Namespace//terrace-doctor", &[]),
    ("postgres", "postgres_database", "terrace_doctor", &[]),
    ("snowflake", "snowflake_database", "TERRACE_DOCTOR", &["SNOWFLAKE_ACCOUNT", "SNOWFLAKE_HOST"]),
];

/// A read that shows whether an instance answers: a look for an object that need not exist.
#[derive(Debug)]
pub(crate) struct HealthProbe {
    /// Type of the object.
    pub(crate) ty: ResourceType,
    /// Id of the object.
    pub(crate) id: &'static str,
    /// Variables that configure the instance with the provider's name.
    variables: Vec<&'static str>,
}

impl HealthProbe {
    /// The probe of a provider; `None` if opening a session is enough.
    pub(crate) fn of(schema: &ProviderSchema) -> Option<Self> {
        let (_, ty, id, more) = PROBES.into_iter().find(|(provider, ..)| *provider == schema.name)?;
        let of_settings = schema.settings.0.iter().filter_map(|attribute: &Attribute| attribute.variable);
        Some(Self {
            ty: schema.resource(ty)?.clone(),
            id,
            variables: of_settings.chain(more.iter().copied()).collect(),
        })
    }

    /// True if the instance has an address. Instances without required settings exist without one.
    pub(crate) fn is_configured(
        &self,
        env_context: &EnvironmentContext,
        variables: &Variables,
        instance: &str,
    ) -> bool {
        let is_written = env_context.configuration().providers.iter().any(|it| it.name == instance);
        is_written || self.variables.iter().any(|name| variables.get(name).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wiring::Providers;

    #[test]
    fn probed_types_exist() {
        let providers = Providers::built_in();
        let probes = providers.schemas().filter_map(|schema| Some((schema.name, HealthProbe::of(schema)?)));
        let names: Vec<&str> = probes.map(|(name, _)| name).collect();
        assert_eq!(names, PROBES.map(|(name, ..)| name));
    }
}
