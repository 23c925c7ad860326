//! The provider's schema: settings, resource types, lookups, blueprints, and principals.

use crate::blueprints::BLUEPRINTS;
use crate::resources::{acl, lookup, streams, subject, topic};
use terrace_provider::http::allow_plain_http;
use terrace_provider::{Attribute, AttributeType, Object, Principal, ProviderSchema};

/// The schema, which needs no connection.
#[must_use]
pub fn provider() -> ProviderSchema {
    ProviderSchema {
        name: "kafka",
        is_remote: true,
        version: env!("CARGO_PKG_VERSION"),
        doc: "Topics, access and schemas of Apache Kafka and Confluent clusters.",
        settings: settings(),
        resources: vec![
            topic::resource_type(),
            acl::resource_type(),
            subject::resource_type(),
            streams::resource_type(),
        ],
        lookups: lookup::lookups(),
        blueprints: BLUEPRINTS.to_vec(),
        identity: Some(identity),
        ..ProviderSchema::default()
    }
}

fn settings() -> Object {
    let text = |name, doc| Attribute::new(name, AttributeType::String, doc);
    let registry = Object(vec![
        text("url", "URL of the registry.").required(),
        text("username", "User for HTTP Basic authentication."),
        text("password", "The password.").sensitive(),
    ]);
    Object(vec![
        text("bootstrapServers", "Bootstrap brokers: `host:port`, separated by commas.").required(),
        text("securityProtocol", "`PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`.").default_value("PLAINTEXT"),
        text("saslMechanism", "`PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`, with SASL."),
        text("username", "SASL user. In Confluent Cloud: the API key."),
        text("password", "The password.").sensitive(),
        text(
            "caFile",
            "Certificates of the authorities to trust instead of the machine's, as PEM; also for the registry.",
        ),
        text("certFile", "Client certificate with its chain, as PEM."),
        text("keyFile", "Key of the client certificate, as PEM."),
        text(
            "flavor",
            "`apache` or `confluent`: whether topics have `confluent.…` configuration. Left out: terrace asks the brokers.",
        ),
        allow_plain_http(),
        Attribute::new("schemaRegistry", AttributeType::Object(registry), "The schema registry of `kafka_subject`."),
        Attribute::new("timeout", AttributeType::Float, "Timeout of a request in seconds.").default_value(30_i64),
    ])
}

/// Converts a user into a principal by its unchanged name: brokers accept any name. Kafka has no groups.
fn identity(reference: &str) -> Result<Principal, String> {
    match reference.strip_prefix("user:") {
        Some(name) if !name.is_empty() => Ok(Principal { kind: "user", name: format!("User:{name}") }),
        _ => Err(format!("`{reference}` is not a user, and Kafka has no groups")),
    }
}

#[cfg(test)]
mod tests {
    use super::identity;

    #[test]
    fn users_keep_their_name_and_groups_have_none() {
        assert_eq!(identity("user:jane.roe_example.com").unwrap().name, "User:jane.roe_example.com");
        assert!(identity("group:dev").is_err() && identity("dev").is_err() && identity("user:").is_err());
    }
}
