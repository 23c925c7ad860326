//! The README's table of rights, against a broker that decides on access: each right that is missing is named with the line
//! that gives it, and what is named is enough.

use crate::harness::{ACL, Brokers, Instance, TOPIC, attributes, call, recorded, skipped, unique, variable};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use terrace_provider::{Planned, ProviderError, Recorded};

/// The words of a line of `kafka-acls` as entries.
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

/// Does something as somebody who may nothing, giving what the errors ask for; answers with what that was.
async fn needs<T>(admin: &Instance, what: &str, attempt: impl AsyncFn() -> Result<T, ProviderError>) -> Vec<String> {
    let (mut given, mut told): (Vec<Recorded>, Vec<String>) = (Vec::new(), Vec::new());
    while let Err(error) = attempt().await {
        assert_eq!(error.kind.code(), "permission_denied", "{what}: {error}");
        assert!(told.len() < 8, "{what}: what is asked for does not help: {error}");
        for entry in entries(&error.solutions[0]) {
            let operation =
                format!("{} {}", entry["resourceType"].as_str().unwrap(), entry["operation"].as_str().unwrap());
            if !told.contains(&operation) {
                told.push(operation);
                given.push(admin.create(ACL, entry).await);
            }
        }
    }
    for entry in given {
        admin.delete(ACL, &entry).await;
    }
    told.sort();
    told
}

#[tokio::test]
async fn every_right_that_is_missing_is_named_and_what_is_named_is_enough() {
    let Some(bootstrap) = variable("TERRACE_TEST_KAFKA_SASL") else {
        return skipped("rights", "there is no Apache Kafka: `tests/real/kafka` starts one");
    };
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
    let look = async || limited.session.import(&limited.ty(ACL), "TOPIC/a/LITERAL/User:ada/*/READ/ALLOW").await;
    assert_eq!(needs(&admin, "look at access", look).await, ["CLUSTER DESCRIBE"]);
    let give = async || limited.try_create(ACL, &call(&Arc::default()), &entry).await;
    assert_eq!(needs(&admin, "give access", give).await, ["CLUSTER ALTER", "CLUSTER DESCRIBE"]);
    let id = format!("TOPIC/{name}/LITERAL/User:ada/*/READ/ALLOW");
    let entry = recorded(&entry, admin.session.import(&limited.ty(ACL), &id).await.unwrap().unwrap());
    let take = async || limited.session.delete(&limited.ty(ACL), &call(&Arc::default()), &entry).await;
    assert_eq!(needs(&admin, "take access", take).await, ["CLUSTER ALTER"]);

    admin.delete(TOPIC, &topic).await;
}
