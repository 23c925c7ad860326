//! The declaration of the provider: one setting, four resource types, one lookup.

use crate::blueprints;
use crate::resources::{command, directory, file, value};
use terrace_provider::{Attribute, AttributeType, Object, ProviderSchema};

/// The setting with the names of variables for commands.
pub(crate) const VARIABLES: &str = "variables";

fn settings() -> Vec<Attribute> {
    vec![Attribute::new(
        VARIABLES,
        AttributeType::list(AttributeType::String),
        "Environment variables that commands receive in addition to the [usual ones](#variables).",
    )]
}

/// The schema of the provider; it needs no connection.
#[must_use]
pub fn provider() -> ProviderSchema {
    ProviderSchema {
        name: "local",
        version: env!("CARGO_PKG_VERSION"),
        doc: "Values, files, directories and commands of this machine.",
        settings: Object(settings()),
        resources: vec![
            value::resource_type(),
            file::resource_type(),
            directory::resource_type(),
            command::resource_type(),
        ],
        lookups: vec![file::lookup()],
        blueprints: blueprints::BLUEPRINTS.to_vec(),
        ..ProviderSchema::default()
    }
}
