//! The README's table of rights, against a broker with an authorizer. Each error names a missing right and the command
//! that grants it, and the named rights suffice.

use crate::harness::{ACL, Brokers, Instance, TOPIC, attributes, call, recorded, skipped, unique, variable};
use crate::stand_in::BrokerState;
use kafka_protocol::messages::ApiKey;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use terrace_provider::{Planned, ProviderError, Recorded};

/// Serializes tests that change the rights of `limited` on the cluster: real brokers are shared.
static CLUSTER: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Parses a `kafka-acls` command into entries.
fn entries(line: &str) -> Vec<Json> {
    let line = line.split('`').nth(1).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    let after = |name: &str| {
        let at = words.iter().position(|word| *word == name)?;
        Some(words[at + 1].trim_matches('\'').to_owned())
    };
    assert_eq!(after("--allow-principal").as_deref(), Some("User:limited"), "{line}");
    let (kind, name) = match (after("--topic"), words.contains(&"--cluster")) {
        (Some(topic), false) => ("TOPIC", topic),
        (None, true) => ("CLUSTER", "kafka-cluster".to_owned()),
        other => panic!("{line}: {other:?}"),
    };
    let pattern = after("--resource-pattern-type").unwrap_or_else(|| "literal".to_owned()).to_uppercase();
    let operations = words.iter().zip(words.iter().skip(1)).filter(|(word, _)| **word == "--operation");
    operations
        .map(|(_, operation)| {
            let mut snake = String::new();
            for letter in operation.chars() {
                if letter.is_uppercase() && !snake.is_empty() {
                    snake.push('_');
                }
                snake.push(letter.to_ascii_uppercase());
            }
            json!({"resourceType": kind, "resourceName": name, "patternType": pattern, "principal": "User:limited", "operation": snake})
        })
        .collect()
}

/// Repeats an attempt without rights, granting the rights that its errors name. Returns these rights.
async fn needs<T>(admin: &Instance, action: &str, attempt: impl AsyncFn() -> Result<T, ProviderError>) -> Vec<String> {
    let (mut given, mut rights): (Vec<Recorded>, Vec<String>) = (Vec::new(), Vec::new());
    while let Err(error) = attempt().await {
        assert_eq!(error.kind.code(), "permission_denied", "{action}: {error}");
        assert!(rights.len() < 8, "{action}: the named rights do not suffice: {error}");
        for entry in entries(&error.solutions[0]) {
            let operation =
                format!("{} {}", entry["resourceType"].as_str().unwrap(), entry["operation"].as_str().unwrap());
            if !rights.contains(&operation) {
                rights.push(operation);
                given.push(admin.create(ACL, entry).await);
            }
        }
    }
    for entry in given {
        admin.delete(ACL, &entry).await;
    }
    rights.sort();
    rights
}

#[tokio::test]
async fn errors_name_all_rights_that_suffice() {
    let Some(bootstrap) = variable("TERRACE_TEST_KAFKA_SASL") else {
        return skipped("rights", "Apache Kafka is not running: start it with `tests/real/kafka`");
    };
    let _guard = CLUSTER.lock().await;
    let admin = Brokers::start().await.instance().await;
    let limited = Instance::of(json!({
        "bootstrapServers": bootstrap, "securityProtocol": "SASL_PLAINTEXT", "saslMechanism": "PLAIN",
        "username": "limited", "password": "limited-secret",
    }))
    .await;
    let name = unique("rights");
    let config = json!({"name": name, "partitions": 1, "config": {"retention.ms": "5"}});
    let topic = admin.create(TOPIC, config.clone()).await;
    let ty = limited.ty(TOPIC);

    let read = needs(&admin, "read", async || limited.session.read(&ty, &topic).await).await;
    assert_eq!(read, ["TOPIC DESCRIBE", "TOPIC DESCRIBE_CONFIGS"]);
    let count = needs(&admin, "count", async || limited.session.count_data(&ty, &topic).await).await;
    assert_eq!(count, ["TOPIC DESCRIBE", "TOPIC DESCRIBE_CONFIGS"]);

    let update = async |config: Json| {
        let plan = limited.plan(TOPIC, Some(&topic), &attributes(config)).await.unwrap();
        let planned = Planned { attributes: plan.planned, private: plan.private };
        limited.session.update(&ty, &call(&Arc::default()), &topic, &planned).await
    };
    let change = needs(&admin, "change", async || {
        update(json!({"name": name, "partitions": 2, "config": {"retention.ms": "6"}})).await
    })
    .await;
    let own = ["TOPIC ALTER", "TOPIC ALTER_CONFIGS", "TOPIC DESCRIBE_CONFIGS"];
    assert_eq!(change, own);

    let made = unique("rights");
    let create = async || {
        limited.try_create(TOPIC, &call(&Arc::default()), &attributes(json!({"name": made, "partitions": 1}))).await
    };
    let created = needs(&admin, "create", create).await;
    assert_eq!(created, ["TOPIC CREATE", "TOPIC DESCRIBE", "TOPIC DESCRIBE_CONFIGS"]);
    let made = admin.session.import(&ty, &made).await.unwrap().unwrap();
    let made = recorded(&attributes(json!({})), made);
    let delete = async || limited.session.delete(&ty, &call(&Arc::default()), &made).await;
    assert_eq!(needs(&admin, "delete", delete).await, ["TOPIC DELETE"]);

    let entry = attributes(
        json!({"resourceType": "TOPIC", "resourceName": name, "principal": "User:ada", "operation": "READ"}),
    );
    let read = async || limited.session.import(&limited.ty(ACL), "TOPIC/a/LITERAL/User:ada/*/READ/ALLOW").await;
    assert_eq!(needs(&admin, "read access", read).await, ["CLUSTER DESCRIBE"]);
    let give = async || limited.try_create(ACL, &call(&Arc::default()), &entry).await;
    assert_eq!(needs(&admin, "grant access", give).await, ["CLUSTER ALTER", "CLUSTER DESCRIBE"]);
    let id = format!("TOPIC/{name}/LITERAL/User:ada/*/READ/ALLOW");
    let entry = recorded(&entry, admin.session.import(&limited.ty(ACL), &id).await.unwrap().unwrap());
    let take = async || limited.session.delete(&limited.ty(ACL), &call(&Arc::default()), &entry).await;
    assert_eq!(needs(&admin, "revoke access", take).await, ["CLUSTER ALTER"]);

    admin.delete(TOPIC, &topic).await;
}

fn login(bootstrap: &str, user: &str) -> Json {
    json!({
        "bootstrapServers": bootstrap, "securityProtocol": "SASL_PLAINTEXT", "saslMechanism": "PLAIN",
        "username": user, "password": format!("{user}-secret"),
    })
}

/// Returns brokers with one instance of an administrator, and one of a user with limited rights.
async fn brokers() -> (Brokers, Instance, Instance) {
    let (brokers, bootstrap) = match variable("TERRACE_TEST_KAFKA_SASL") {
        Some(bootstrap) => (Brokers::start().await, bootstrap),
        None => {
            let (password, limited) = (Some("admin-secret"), Some("limited-secret"));
            let brokers = Brokers::with_stand_in(BrokerState { password, limited, ..BrokerState::default() }).await;
            let address = brokers.state().address.clone();
            (brokers, address)
        }
    };
    let (admin, limited) =
        (Instance::of(login(&bootstrap, "admin")).await, Instance::of(login(&bootstrap, "limited")).await);
    (brokers, admin, limited)
}

/// Waits until the reported missing rights are as expected: brokers need a moment to apply new entries.
async fn missing(limited: &Instance, expected: &[(&str, &str)]) {
    let line =
        |operation: &str| format!("kafka-acls --add --allow-principal User:limited --operation {operation} --cluster");
    let expected: Vec<(String, String)> =
        expected.iter().map(|(operation, right)| ((*operation).to_owned(), line(right))).collect();
    let mut reported = Vec::new();
    for _ in 0..100 {
        let rights = limited.session.missing_rights().await.unwrap().unwrap();
        reported = rights.into_iter().map(|right| (right.operation, right.statement)).collect();
        if reported == expected {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(reported, expected);
}

const DESCRIBE: (&str, &str) = ("look up access or its own rights", "Describe");
const CREATE: (&str, &str) = ("create topics of any name", "Create");
const ALTER: (&str, &str) = ("grant access", "Alter");

#[tokio::test]
async fn missing_cluster_rights_are_reported() {
    let _guard = CLUSTER.lock().await;
    let (_brokers, admin, limited) = brokers().await;
    missing(&admin, &[]).await;
    for (given, expected) in [
        // Without the right to describe the cluster, brokers report no other right, even if it is granted.
        (vec![], vec![DESCRIBE]),
        (vec!["CREATE"], vec![DESCRIBE]),
        (vec!["DESCRIBE"], vec![CREATE, ALTER]),
        (vec!["DESCRIBE", "ALTER"], vec![CREATE]),
        (vec!["DESCRIBE", "CREATE"], vec![ALTER]),
        // The right to alter includes the right to describe.
        (vec!["ALTER", "CREATE"], vec![]),
        (vec!["ALL"], vec![]),
    ] {
        let mut entries = Vec::new();
        for operation in given {
            let entry = json!({"resourceType": "CLUSTER", "resourceName": "kafka-cluster", "principal": "User:limited", "operation": operation});
            entries.push(admin.create(ACL, entry).await);
        }
        missing(&limited, &expected).await;
        for entry in entries {
            admin.delete(ACL, &entry).await;
        }
    }
}

/// Runs the reported commands until no right is missing.
#[tokio::test]
async fn reported_commands_grant_the_cluster_rights() {
    let _guard = CLUSTER.lock().await;
    let (_brokers, admin, limited) = brokers().await;
    missing(&limited, &[DESCRIBE]).await;
    let (mut given, mut operations) = (Vec::new(), Vec::new());
    for round in [vec![DESCRIBE], vec![CREATE, ALTER], vec![]] {
        missing(&limited, &round).await;
        for right in limited.session.missing_rights().await.unwrap().unwrap() {
            for entry in entries(&format!("`{}`", right.statement)) {
                given.push(admin.create(ACL, entry).await);
            }
            operations.push(right.operation);
        }
    }
    assert_eq!(operations.len(), 3, "{operations:?}");
    for entry in given {
        admin.delete(ACL, &entry).await;
    }
}

#[tokio::test]
async fn unreported_rights_are_unknown_instead_of_missing() {
    for state in [
        BrokerState { is_silent: true, ..BrokerState::default() },
        BrokerState { unknown: Some(ApiKey::DescribeCluster), ..BrokerState::default() },
    ] {
        let brokers = Brokers::with_stand_in(state).await;
        assert_eq!(brokers.instance().await.session.missing_rights().await.unwrap(), None);
    }
    // A broker without an authorizer allows everything.
    let brokers = Brokers::with_stand_in(BrokerState::default()).await;
    assert_eq!(brokers.instance().await.session.missing_rights().await.unwrap(), Some(Vec::new()));
    let unreachable = Instance::of(json!({"bootstrapServers": "127.0.0.1:1"})).await;
    unreachable.session.missing_rights().await.unwrap_err();
}
