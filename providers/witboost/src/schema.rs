//! The provider's schema: settings and resource types.

use crate::resources::{access, component};
use terrace_provider::http::allow_plain_http;
use terrace_provider::{Attribute, AttributeType, EmbeddedFile, Number, Object, ProviderSchema, Value};

/// The schema, which needs no connection.
#[must_use]
pub fn provider() -> ProviderSchema {
    ProviderSchema {
        name: "witboost",
        is_remote: true,
        version: env!("CARGO_PKG_VERSION"),
        doc: "Components of specific provisioners of Witboost.",
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
            "URLs of adapters by template id, with or without version.",
        ),
        Attribute::new("token", text(), "Sent as `Authorization: Bearer …`.").sensitive(),
        Attribute::new("headers", AttributeType::map(text()), "Further headers of each request.").sensitive(),
        allow_plain_http(),
        Attribute::new(
            "caFile",
            text(),
            "PEM file with the certificate authorities to trust instead of the machine's.",
        ),
        Attribute::new(
            "timeout",
            AttributeType::Float,
            "Timeout of a read request in seconds. Provision and unprovision use the timeout of their step.",
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
