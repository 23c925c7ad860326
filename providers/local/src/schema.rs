//! What the provider declares: no settings, four resource types, one lookup.

use crate::blueprints;
use crate::resources::{command, directory, file, value};
use terrace_provider::{Object, ProviderSchema};

/// Everything that is known of this provider without connecting to it.
#[must_use]
pub fn provider() -> ProviderSchema {
    ProviderSchema {
        name: "local",
        version: env!("CARGO_PKG_VERSION"),
        doc: "Values, files, directories and commands of this machine.",
        settings: Object::default(),
        resources: vec![
            value::resource_type(),
            file::resource_type(),
            directory::resource_type(),
            command::resource_type(),
        ],
        lookups: vec![file::lookup()],
        blueprints: blueprints::BLUEPRINTS.to_vec(),
        sql_type: None,
        sql_reads: None,
        identity: None,
    }
}
