//! What the provider declares: its settings and resource types.

use crate::resource::{pipeline, run, schedule};
use terrace_provider::{Attribute, AttributeType, Object, ProviderSchema};

/// Everything that is known of this provider without connecting to it.
#[must_use]
pub fn provider() -> ProviderSchema {
    ProviderSchema {
        name: "pipelines",
        version: env!("CARGO_PKG_VERSION"),
        doc: "Data pipelines of frictionless datapackage-pipelines, run on this machine.",
        settings: Object(vec![
            Attribute::new("executor", AttributeType::String, "Where pipelines run: `local`, on this machine.")
                .default_value("local"),
            Attribute::new(
                "python",
                AttributeType::String,
                "The interpreter that environments are made with; without it the first that fits.",
            ),
            Attribute::new(
                "cacheDir",
                AttributeType::String,
                "Environments are kept below it, in `terrace/pipelines`; without it in `.cache` of the home folder.",
            )
            .variable("XDG_CACHE_HOME"),
            Attribute::new("maxParallel", AttributeType::Int, "So many pipelines of `terrace run` run at once.")
                .default_value(2_i64),
            Attribute::new(
                "retries",
                AttributeType::Int,
                "So often a run is tried again whose infrastructure failed: the package index, processes, memory.",
            )
            .default_value(2_i64),
            Attribute::new(
                "retryOn",
                AttributeType::String,
                "What is tried again: `infrastructure`, or `all` for steps that fail, too.",
            )
            .default_value("infrastructure"),
        ]),
        resources: vec![pipeline::resource_type(), run::resource_type(), schedule::resource_type()],
        lookups: Vec::new(),
        blueprints: Vec::new(),
        sql_type: None,
        identity: None,
    }
}
