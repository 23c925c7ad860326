use crate::harness::{ACL, Brokers, STREAMS, TOPIC, attributes, unique};
use serde_json::{Value as Json, json};
use terrace_provider::{ErrorKind, Severity};

#[tokio::test]
async fn plan_refuses_invalid_attributes_with_their_path() {
    let brokers = Brokers::start().await;
    let instance = brokers.instance().await;
    let long = "x".repeat(250);
    let quoted = r#"a"; DROP TABLE x; --"#;
    for (ty, config, path) in [
        (TOPIC, json!({"name": "a b"}), "name"),
        (TOPIC, json!({"name": ".."}), "name"),
        (TOPIC, json!({"name": long}), "name"),
        (TOPIC, json!({"name": quoted}), "name"),
        (TOPIC, json!({"name": "a", "partitions": 0}), "partitions"),
        (TOPIC, json!({"name": "a", "replicationFactor": -1}), "replicationFactor"),
        (TOPIC, json!({"name": "a", "config": {"retention.ms": [1]}}), r#"config["retention.ms"]"#),
        (ACL, acl("TOPC", "User:ada", "READ"), "resourceType"),
        (ACL, acl("TOPIC", "ada", "READ"), "principal"),
        (ACL, acl("TOPIC", "User:ada", "read"), "operation"),
        (ACL, acl("CLUSTER", "User:ada", "CREATE"), "resourceName"),
        (STREAMS, json!({"applicationId": "a b"}), "applicationId"),
    ] {
        let error = instance.plan(ty, None, &attributes(config.clone())).await.unwrap_err();
        let ErrorKind::InvalidInput { path: Some(at) } = &error.kind else { panic!("{config}: {error}") };
        assert_eq!(at.to_string(), path, "{config}");
        assert!(!error.solutions.is_empty(), "{config}: {error}");
    }
    for number in [0, 40_000] {
        let config = attributes(json!({"name": "a", "replicationFactor": number}));
        let error = instance.plan(TOPIC, None, &config).await.unwrap_err();
        assert_eq!(error.solutions, ["write a number from 1 to 32767"]);
    }
}

fn acl(resource: &str, principal: &str, operation: &str) -> Json {
    json!({"resourceType": resource, "resourceName": "orders", "principal": principal, "operation": operation})
}

#[tokio::test]
async fn validation_reports_errors_of_the_brokers() {
    let brokers = Brokers::start().await;
    let (instance, name) = (brokers.instance().await, unique("refused"));
    let wrong = |more: Json| {
        let mut config = json!({"name": name, "partitions": 1});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config
    };
    let cases = [
        (json!({"replicationFactor": 99}), "replicationFactor", "38 INVALID_REPLICATION_FACTOR"),
        (
            json!({"config": {"retention.msx": "1"}}),
            r#"config["retention.msx"]"#,
            "do not support the configuration key",
        ),
        (
            json!({"config": {"confluent.tier.enable": "true"}}),
            r#"config["confluent.tier.enable"]"#,
            "do not support the configuration key",
        ),
        // Removed by Apache Kafka 4.0; `false` is not the default behavior of its brokers.
        (
            json!({"config": {"message.downconversion.enable": "false"}}),
            r#"config["message.downconversion.enable"]"#,
            "do not support the configuration key",
        ),
        (json!({"config": {"retention.ms": "soon"}}), r#"config["retention.ms"]"#, "40 INVALID_CONFIG"),
    ];
    for (more, path, expected) in cases.clone() {
        let findings = instance.findings(TOPIC, wrong(more.clone())).await;
        let errors: Vec<_> = findings.iter().filter(|it| it.severity == Severity::Error).collect();
        let [error] = errors.as_slice() else { panic!("{more}: {findings:?}") };
        assert_eq!(error.path.as_ref().unwrap().to_string(), path, "{error:?}");
        assert!(error.message.contains(expected), "{error:?}");
    }
    let findings = instance.findings(TOPIC, wrong(json!({"config": {"retention.msx": "1"}}))).await;
    assert_eq!(findings[0].hint.as_deref(), Some("did you mean `retention.ms`?"));
    assert!(instance.session.import(&instance.ty(TOPIC), &name).await.unwrap().is_none(), "no topic was created");
    // The same errors for an existing topic.
    let created = instance.create(TOPIC, json!({"name": name, "partitions": 1})).await;
    for (more, path, _) in cases {
        let findings = instance.findings(TOPIC, wrong(more.clone())).await;
        let errors: Vec<_> = findings.iter().filter(|it| it.severity == Severity::Error).collect();
        let [error] = errors.as_slice() else { panic!("{more}: {findings:?}") };
        assert_eq!(error.path.as_ref().unwrap().to_string(), path, "{error:?}");
    }
    let read = instance.read(TOPIC, &created).await.unwrap();
    assert_eq!(read.attributes, created.attributes, "nothing was changed");
    instance.delete(TOPIC, &created).await;
}

#[tokio::test]
async fn plan_of_another_configuration_keeps_partitions_and_replicas_known() {
    let brokers = Brokers::start().await;
    let (instance, name) = (brokers.instance().await, unique("kept"));
    let of = |retention: &str| json!({"name": name, "config": {"retention.ms": retention}});
    let created = instance.create(TOPIC, of("1000")).await;
    let plan = instance.plan(TOPIC, Some(&created), &attributes(of("2000"))).await.unwrap();
    for known in ["partitions", "replicationFactor", "topicId"] {
        assert_eq!(plan.planned.get(known), created.attributes.get(known), "{known}");
    }
    let now = instance.update(TOPIC, &created, of("2000")).await.unwrap();
    assert_eq!(now.attributes.get("partitions"), created.attributes.get("partitions"));
    instance.delete(TOPIC, &now).await;
}
