//! What the provider declares. terrace checks configurations against it, plans from it and shows it to people, so that
//! `session` has little left to do.

use std::time::Duration;
use terrace_provider::{Attribute, AttributeType, EmbeddedFile, Object, ProviderSchema, ResourceType};

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
        // Another key is another entry: a change of it deletes the one and creates the other.
        Attribute::new("key", AttributeType::String, "The key: letters, digits, `.`, `_` and `-`.")
            .required()
            .replaces(),
        Attribute::new("value", AttributeType::String, "The value.").required(),
        Attribute::new("labels", AttributeType::map(AttributeType::String), "What else is to be known of it."),
        // Only the provider gives these. An id survives updates, a revision does not.
        Attribute::new("id", AttributeType::String, "The key, for `terrace import`.").stable(),
        Attribute::new("revision", AttributeType::Int, "Counts the writes.").computed().volatile("counts writes"),
    ]);
    ResourceType {
        // A call that was cut off has no effect later: nobody works on it any more.
        settle: Duration::ZERO,
        ..ResourceType::new("kv_entry", "An entry of the store.", &["key"], attributes)
    }
}
