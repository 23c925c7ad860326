//! What the provider declares: how adapters are reached, and two resource types.

use crate::resources::{access, component};
use terrace_provider::http::allow_plain_http;
use terrace_provider::{Attribute, AttributeType, EmbeddedFile, Number, Object, ProviderSchema, Value};

/// Everything that is known of this provider without connecting to it.
#[must_use]
pub fn provider() -> ProviderSchema {
    ProviderSchema {
        name: "witboost",
        is_remote: true,
        version: env!("CARGO_PKG_VERSION"),
        doc: "Components that a specific provisioner of Witboost makes.",
        settings: settings(),
        resources: vec![component::resource_type(), access::resource_type()],
        blueprints: vec![EmbeddedFile {
            path: "witboost-component.yaml",
            text: include_str!("../blueprints/witboost-component.yaml"),
        }],
        ..ProviderSchema::default()
    }
}

fn settings() -> Object {
    let text = || AttributeType::String;
    Object(vec![
        Attribute::new("endpoint", text(), "Default URL of the adapter."),
        Attribute::new(
            "templates",
            AttributeType::map(text()),
            "The URL of the adapter by template id, with or without version.",
        ),
        Attribute::new("token", text(), "Sent as `Authorization: Bearer …`.").sensitive(),
        Attribute::new("headers", AttributeType::map(text()), "Further headers of each request.").sensitive(),
        allow_plain_http(),
        Attribute::new("caFile", text(), "Certificates of the authorities to trust instead of the machine's, as PEM."),
        Attribute::new(
            "timeout",
            AttributeType::Float,
            "Seconds per read request. A provision or unprovision has the time of its step.",
        )
        .default_value(60_i64),
        Attribute::new("pollInterval", AttributeType::Float, "Seconds before the first status request.")
            .default_value(number("0.5")),
        Attribute::new("pollMost", AttributeType::Float, "Maximum seconds between two status requests.")
            .default_value(15_i64),
    ])
}

fn number(text: &str) -> Value {
    Number::parse(text).map_or(Value::Null, Value::Number)
}
