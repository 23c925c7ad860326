//! Schema of the provider. terrace checks configurations against it, plans from it and prints it, so `session` has
//! little left to do.

use std::time::Duration;
use terrace_provider::{Attribute, AttributeType, EmbeddedFile, Object, ProviderSchema, ResourceType, normal};

/// The schema of the provider.
#[must_use]
pub fn provider() -> ProviderSchema {
    ProviderSchema {
        name: "kv",
        version: env!("CARGO_PKG_VERSION"),
        doc: "Entries of a key-value store in a folder.",
        settings: Object(vec![
            Attribute::new("folder", AttributeType::String, "The store's folder, relative to the project folder.")
                .default_value("kv"),
        ]),
        resources: vec![entry()],
        blueprints: vec![
            EmbeddedFile { path: "flags.yaml", text: include_str!("../blueprints/flags.yaml") },
            EmbeddedFile { path: "specific/flags.json", text: include_str!("../blueprints/specific/flags.json") },
        ],
        ..ProviderSchema::default()
    }
}

fn entry() -> ResourceType {
    let attributes = Object(vec![
        // The key identifies the entry: a changed key deletes one entry and creates another.
        Attribute::new("key", AttributeType::String, "The key: letters, digits, `.`, `_` and `-`.")
            .required()
            .replaces(),
        Attribute::new("value", AttributeType::String, "The value.").required(),
        Attribute::new("labels", AttributeType::map(AttributeType::String), "Further properties of the entry.")
            .normal(normal::non_empty),
        // The provider sets these. An id survives updates, a revision does not.
        Attribute::new("id", AttributeType::String, "The key, for `terrace import`.").stable(),
        Attribute::new("revision", AttributeType::Int, "Counts the writes.").computed().volatile("counts writes"),
    ]);
    ResourceType {
        // An interrupted call has no later effect: it ends with its process.
        settle: Duration::ZERO,
        ..ResourceType::new("kv_entry", "An entry of the store.", &["key"], attributes)
    }
}
