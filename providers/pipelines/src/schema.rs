//! Settings and resource types of the provider.

use crate::resource::{database, pipeline, run, schedule, static_site, volume_sync, worker_pool};
use terrace_provider::{Attribute, AttributeType, Object, ProviderSchema};

/// Schema of the provider; needs no connection.
#[must_use]
pub fn provider() -> ProviderSchema {
    ProviderSchema {
        name: "pipelines",
        version: env!("CARGO_PKG_VERSION"),
        doc: "Data pipelines of frictionless datapackage-pipelines, run on this machine or in Kubernetes.",
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
        ..ProviderSchema::default()
    }
}

fn settings() -> Vec<Attribute> {
    let mut settings = vec![
        Attribute::new(
            "executor",
            AttributeType::String,
            "Where pipelines run: `local`, on this machine, or `kubernetes`, as Jobs of a cluster.",
        )
        .default_value("local"),
        Attribute::new(
            "python",
            AttributeType::String,
            "Python interpreter for environments; without it, the first suitable one.",
        ),
        Attribute::new(
            "cacheDir",
            AttributeType::String,
            "Environments are stored below it, in `terrace/pipelines`; without it, in `.cache` of the home folder.",
        )
        .variable("XDG_CACHE_HOME"),
        Attribute::new(
            crate::settings::VARIABLES,
            AttributeType::list(AttributeType::String),
            "Names of variables with [credentials](#variables) that all steps see.",
        ),
        Attribute::new(
            "maxParallel",
            AttributeType::Int,
            "Number of pipelines that `terrace pipelines run` runs at once.",
        )
        .default_value(2_i64),
        Attribute::new(
            "retries",
            AttributeType::Int,
            "Number of retries after an infrastructure failure: package index, processes, memory.",
        )
        .default_value(2_i64),
        Attribute::new(
            "retryOn",
            AttributeType::String,
            "Failures to retry: `infrastructure`, or `all` to include failed steps.",
        )
        .default_value("infrastructure"),
        Attribute::new(
            "database",
            AttributeType::String,
            "`name` of the `pipelines_database` that pipelines of `terrace pipelines run` and of workers write into (`DPP_DB_ENGINE`).",
        ),
        Attribute::new(
            "postgresBin",
            AttributeType::String,
            "Folder of PostgreSQL's programs (`initdb`, `postgres`, `pg_dump`); without it, those in PATH, then the newest.",
        ),
        Attribute::new("sitesUrl", AttributeType::String, "Address at which `terrace serve` shows sites.")
            .default_value(terrace_pipelines::site::DEFAULT_URL),
    ];
    settings.extend(crate::cluster_settings::attributes());
    settings.extend(crate::storage_settings::attributes());
    settings
}
