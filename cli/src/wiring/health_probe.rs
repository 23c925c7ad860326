//! Health probes: a read without side effects that shows whether the server of a provider instance answers.

use super::World;
use crate::variables::Variables;
use terrace_provider::{Attribute, ProviderSchema, ResourceType};

/// Providers whose sessions open without asking anybody, with an object that is looked for, and the variables that say where
/// to ask besides those of the settings.
const PROBES: [(&str, &str, &str, &[&str]); 6] = [
    ("airbyte", "airbyte_source", "terrace-doctor/00000000-0000-4000-8000-000000000000", &["AIRBYTE_BASE_URL"]),
    // A folder of whichever workspace the instance has; Azure is asked where it has none of its own.
    ("databricks", "databricks_directory", "-/%2Fterrace-doctor", &["ARM_CLIENT_ID"]),
    ("hasura", "hasura_source", "terrace-doctor", &["HASURA_URL"]),
    ("kafka", "kafka_topic", "terrace-doctor", &[]),
    ("postgres", "postgres_database", "terrace_doctor", &[]),
    ("snowflake", "snowflake_database", "TERRACE_DOCTOR", &["SNOWFLAKE_ACCOUNT", "SNOWFLAKE_HOST"]),
];

/// A question that shows whether an instance answers: whether there is an object of that id, which need not be.
#[derive(Debug)]
pub(crate) struct HealthProbe {
    /// Its type.
    pub(crate) ty: ResourceType,
    /// Its id.
    pub(crate) id: &'static str,
    /// The variables that configure an instance of the provider's own name.
    variables: Vec<&'static str>,
}

impl HealthProbe {
    /// The one for an instance of that provider; nothing where it shows by opening it.
    pub(crate) fn of(schema: &ProviderSchema) -> Option<Self> {
        let (_, ty, id, more) = PROBES.into_iter().find(|(provider, ..)| *provider == schema.name)?;
        let of_settings = schema.settings.0.iter().filter_map(|attribute: &Attribute| attribute.variable);
        Some(Self {
            ty: schema.resource(ty)?.clone(),
            id,
            variables: of_settings.chain(more.iter().copied()).collect(),
        })
    }

    /// Whether anybody says where an instance is: one that needs no settings is there without.
    pub(crate) fn is_configured(&self, world: &World, variables: &Variables, instance: &str) -> bool {
        let is_written = world.configuration().providers.iter().any(|it| it.name == instance);
        is_written || self.variables.iter().any(|name| variables.get(name).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wiring::Providers;

    #[test]
    fn what_is_asked_for_is_of_a_type_that_there_is() {
        let providers = Providers::built_in();
        let asked = providers.schemas().filter_map(|schema| Some((schema.name, HealthProbe::of(schema)?)));
        let names: Vec<&str> = asked.map(|(name, _)| name).collect();
        assert_eq!(names, PROBES.map(|(name, ..)| name));
    }
}
