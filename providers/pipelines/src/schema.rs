//! What the provider declares: its settings and resource types.

use crate::resource::{database, pipeline, run, schedule, static_site, volume_sync, worker_pool};
use terrace_provider::{Attribute, AttributeType, Object, ProviderSchema};

/// Everything that is known of this provider without connecting to it.
#[must_use]
pub fn provider() -> ProviderSchema {
    ProviderSchema {
        name: "pipelines",
        is_remote: false,
        version: env!("CARGO_PKG_VERSION"),
        doc: "Data pipelines of frictionless datapackage-pipelines, run on this machine.",
        settings: Object(settings()),
        resources: vec![
            pipeline::resource_type(),
            run::resource_type(),
            worker_pool::resource_type(),
            database::resource_type(),
            static_site::resource_type(),
            volume_sync::resource_type(),
            schedule::resource_type(),
        ],
        lookups: Vec::new(),
        blueprints: Vec::new(),
        sql_type: None,
        sql_reads: None,
        identity: None,
    }
}

fn settings() -> Vec<Attribute> {
    let mut settings = vec![
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
        Attribute::new(
            crate::settings::VARIABLES,
            AttributeType::list(AttributeType::String),
            "The names of variables with [credentials](#variables) that all steps see.",
        ),
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
        Attribute::new(
            "database",
            AttributeType::String,
            "The database that `terrace run` has pipelines write into (`DPP_DB_ENGINE`): the `name` of a `pipelines_database`.",
        ),
        Attribute::new(
            "postgresBin",
            AttributeType::String,
            "The folder of PostgreSQL's programs (`initdb`, `postgres`, `pg_dump`); without it the PATH's, then the newest.",
        ),
        Attribute::new(
            "sitesUrl",
            AttributeType::String,
            "Where `terrace serve` shows sites to whoever reads their `url`.",
        )
        .default_value(crate::site::DEFAULT_URL),
    ];
    settings.extend(crate::storage::access::settings());
    settings
}
