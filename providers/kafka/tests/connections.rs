use crate::harness::{Brokers, Instance, TOPIC, attributes, call, settings, skipped, unique, variable};
use crate::stand_in::BrokerState;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use terrace_provider::{Found, Private, Provider, ProviderError};
use terrace_provider_kafka::KafkaProvider;
use tokio::io::AsyncWriteExt;

fn with(mut values: Json, more: Json) -> Json {
    values.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    values
}

async fn refused(values: Json) -> ProviderError {
    let instance = Instance::of(values).await;
    instance.try_create(TOPIC, &call(&Arc::default()), &attributes(json!({"name": unique("x")}))).await.unwrap_err()
}

#[tokio::test]
async fn failed_authentication_names_the_reason() {
    let brokers = Brokers::with_stand_in(BrokerState { password: Some("hunter2"), ..BrokerState::default() }).await;
    let login = |mechanism: &str, password: &str| {
        with(
            brokers.values(),
            json!({
                "securityProtocol": "SASL_PLAINTEXT", "saslMechanism": mechanism, "username": "admin", "password": password,
            }),
        )
    };
    let error = refused(login("PLAIN", "wrong-password")).await;
    assert_eq!(error.kind.code(), "permission_denied");
    assert!(error.message.contains("rejected the user `admin` (Authentication failed"), "{error}");
    assert!(!error.message.contains("wrong-password") && error.solutions[0].contains("`password`"), "{error:?}");
    let error = refused(login("SCRAM-SHA-256", "hunter2")).await;
    assert!(error.message.contains("does not support the mechanism SCRAM-SHA-256, but PLAIN"), "{error}");
    // The broker closes a connection without authentication.
    let error = refused(brokers.values()).await;
    assert_eq!(error.kind.code(), "transient");
    assert!(
        error.message.contains("closed the connection") && error.solutions[0].contains("securityProtocol"),
        "{error}"
    );
    assert!(brokers.state().topics.is_empty());
}

#[tokio::test]
async fn errors_without_a_broker_name_the_cause() {
    let unreachable = refused(json!({"bootstrapServers": "no-such-host.invalid:9092"})).await;
    assert_eq!(unreachable.kind.code(), "transient");
    assert!(unreachable.message.contains("`no-such-host.invalid:9092` cannot be reached"), "{unreachable}");
    // No request was sent, so the outcome is known.
    let instance = Instance::of(json!({"bootstrapServers": "127.0.0.1:1"})).await;
    let (lost, config) = (call(&Arc::default()), attributes(json!({"name": "x"})));
    instance.try_create(TOPIC, &lost, &config).await.unwrap_err();
    assert_eq!(instance.find(TOPIC, &lost, Private::default(), &config).await, Found::Absent);
    for (bytes, expected) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "it speaks HTTP"),
        (&[0x15, 3, 3, 0, 2, 2, 70][..], "it speaks TLS"),
        (&[0xff; 8][..], "a message of 4294967295 bytes"),
        (&[0, 0, 0, 6, 0, 0, 0, 9, 0, 0][..], "it answers request 9 instead of"),
        // Four billion items announced in eleven bytes: the decoder allocates nothing for them.
        (&[0, 0, 0, 11, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 15][..], "items, but only"),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                // Once per connection attempt.
                stream.write_all(bytes).await.unwrap();
                stream.write_all(bytes).await.unwrap();
                tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.unwrap();
            }
        });
        let error = refused(json!({"bootstrapServers": address, "timeout": 5})).await;
        assert!(error.message.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn unreachable_broker_is_skipped() {
    let brokers = Brokers::with_stand_in(BrokerState::default()).await;
    let own = brokers.values()["bootstrapServers"].as_str().unwrap().to_owned();
    let values = with(brokers.values(), json!({"bootstrapServers": format!("127.0.0.1:1, {own}")}));
    Instance::of(values).await.create(TOPIC, json!({"name": "t"})).await;
    assert!(brokers.state().topics.contains_key("t"));
}

/// Probes an instance of these settings.
async fn probed(values: Json) -> Result<(), ProviderError> {
    let (instance, schema) = (Instance::of(values).await, KafkaProvider::new().schema().clone());
    let probe = instance.session.probe(&schema).unwrap();
    probe.await
}

#[tokio::test]
async fn probe_needs_one_broker_and_names_each_failure() {
    let brokers = Brokers::with_stand_in(BrokerState { password: Some("hunter2"), ..BrokerState::default() }).await;
    let own = brokers.state().address.clone();
    let login = |servers: &str, password: &str| {
        json!({
            "bootstrapServers": servers, "securityProtocol": "SASL_PLAINTEXT", "saslMechanism": "PLAIN",
            "username": "admin", "password": password,
        })
    };
    probed(login(&format!("127.0.0.1:1,{own}"), "hunter2")).await.unwrap();
    let error = probed(login(&format!("127.0.0.1:1,{own}"), "wrong-password")).await.unwrap_err();
    assert_eq!(error.kind.code(), "permission_denied");
    assert!(error.message.starts_with("cannot connect to a bootstrap broker: "), "{error}");
    assert!(error.message.contains("rejected the user `admin`"), "{error}");
    assert!(error.message.contains("; `127.0.0.1:1` cannot be reached: "), "{error}");
    assert!(!error.message.contains("wrong-password") && error.solutions[0].contains("`password`"), "{error:?}");
    let error = probed(login("127.0.0.1:1,127.0.0.1:2", "hunter2")).await.unwrap_err();
    assert!(error.message.contains("`127.0.0.1:1`") && error.message.contains("`127.0.0.1:2`"), "{error}");
    assert!(error.solutions[0].contains("check `bootstrapServers`"), "{error:?}");
    assert!(brokers.state().topics.is_empty(), "the probe changed something");
}

/// The clock of the test jumps to the deadline, which is earlier than the timeout of the instance.
#[tokio::test(start_paused = true)]
async fn probe_stops_waiting_for_a_silent_broker() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let error = probed(json!({"bootstrapServers": address, "timeout": 3600})).await.unwrap_err();
    assert!(error.message.ends_with(&format!("`{address}` does not answer within 10s")), "{error}");
}

#[tokio::test]
async fn invalid_settings_are_refused() {
    let valid = json!({"bootstrapServers": "localhost:9092"});
    for (more, expected) in [
        (json!({"bootstrapServers": " "}), "`bootstrapServers` is empty"),
        (json!({"bootstrapServers": "localhost"}), "`localhost` is not a broker address"),
        (json!({"securityProtocol": "TLS"}), "`TLS` is not a security protocol"),
        (json!({"securityProtocol": "SASL_SSL"}), "`saslMechanism` is missing"),
        (
            json!({"securityProtocol": "SASL_SSL", "saslMechanism": "GSSAPI"}),
            "`GSSAPI` is not a supported SASL mechanism",
        ),
        (json!({"securityProtocol": "SASL_SSL", "saslMechanism": "PLAIN", "username": "a"}), "`password` is missing"),
        (
            json!({"securityProtocol": "SSL", "caFile": "no-such-file.pem"}),
            "`caFile` `no-such-file.pem` cannot be used",
        ),
        (json!({"securityProtocol": "SSL", "caFile": "Cargo.toml"}), "the file has no certificate"),
        (json!({"securityProtocol": "SSL", "certFile": "a.pem"}), "without `keyFile`"),
        (json!({"timeout": 0}), "out of range"),
        (json!({"flavor": "red"}), "`red` is not a flavor"),
        (json!({"schemaRegistry": {"url": "registry"}}), "the URL of the schema registry is invalid"),
        (json!({"schemaRegistry": {"url": "http://me:hunter2@registry"}}), "contains a user"),
        (
            json!({"schemaRegistry": {"url": "http://registry", "username": "a"}}),
            "only one of `username` and `password`",
        ),
    ] {
        let Err(error) = KafkaProvider::new().connect(&settings(with(valid.clone(), more.clone()))).await else {
            panic!("{more} is accepted");
        };
        assert!(error.message.contains(expected) && !error.message.contains("hunter2"), "{more}: {error}");
    }
}

/// Connects to a real broker by every mechanism, with and without TLS.
#[tokio::test]
async fn real_broker_accepts_every_mechanism_and_tls() {
    let Some(folder) = variable("TERRACE_TEST_KAFKA_FOLDER") else {
        return skipped("SCRAM and TLS", "Apache Kafka is not running: start it with `tests/real/kafka`");
    };
    let address = |name: &str| variable(&format!("TERRACE_TEST_KAFKA_{name}")).unwrap();
    let ca = format!("{folder}/ca.pem");
    let mut variants = Vec::new();
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let login = json!({"saslMechanism": mechanism, "username": "admin", "password": "admin-secret"});
        let plain = json!({"bootstrapServers": address("SASL"), "securityProtocol": "SASL_PLAINTEXT"});
        let encrypted = json!({"bootstrapServers": address("SASLTLS"), "securityProtocol": "SASL_SSL", "caFile": ca});
        variants.extend([with(plain, login.clone()), with(encrypted, login)]);
    }
    let (cert, key) = (format!("{folder}/client.pem"), format!("{folder}/client.key"));
    let tls = json!({"bootstrapServers": address("TLS"), "securityProtocol": "SSL", "caFile": ca});
    variants.push(with(tls.clone(), json!({"certFile": cert, "keyFile": key})));
    for values in variants.clone() {
        let instance = Instance::of(values).await;
        let created = instance.create(TOPIC, json!({"name": unique("way"), "partitions": 1})).await;
        instance.delete(TOPIC, &created).await;
    }
    for values in variants.iter().take(6) {
        let error = refused(with(values.clone(), json!({"password": "wrong-password"}))).await;
        assert_eq!(error.kind.code(), "permission_denied", "{error}");
        assert!(
            error.message.contains("rejected the user `admin`") && !error.message.contains("wrong-password"),
            "{error}"
        );
    }
    // A client without a certificate, and a server with an untrusted one.
    let error = refused(with(tls, json!({"timeout": 5}))).await;
    assert!(["permission_denied", "transient"].contains(&error.kind.code()), "{error}");
    let error = refused(json!({"bootstrapServers": address("TLS"), "securityProtocol": "SSL", "timeout": 5})).await;
    assert!(error.kind.code() == "permission_denied" && error.message.contains("the TLS handshake with"), "{error}");
    // TLS to a listener without TLS, and plain bytes to a TLS listener.
    let error = refused(json!({"bootstrapServers": address("SASL"), "securityProtocol": "SSL", "timeout": 5})).await;
    assert!(["permission_denied", "transient"].contains(&error.kind.code()), "{error}");
    let error = refused(json!({"bootstrapServers": address("TLS"), "timeout": 5})).await;
    assert!(error.solutions[0].contains("securityProtocol"), "{error:?}");
    // An authenticated user without any right.
    let limited = json!({
        "bootstrapServers": address("SASL"), "securityProtocol": "SASL_PLAINTEXT", "saslMechanism": "PLAIN",
        "username": "limited", "password": "limited-secret",
    });
    let error = refused(limited).await;
    assert_eq!(error.kind.code(), "permission_denied", "{error}");
    assert!(error.solutions[0].contains("--allow-principal User:limited --operation Describe"), "{error:?}");
}
