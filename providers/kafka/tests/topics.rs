use crate::harness::{Brokers, TOPIC, attributes, unique};
use crate::stand_in::BrokerState;
use kafka_protocol::messages::ApiKey;
use serde_json::json;
use terrace_provider::{DataAmount, Recorded, Value};

fn config_of(recorded: &Recorded) -> serde_json::Value {
    recorded.attributes["config"].to_json()
}

#[tokio::test]
async fn topic_is_created_changed_and_deleted() {
    let brokers = Brokers::start().await;
    let (instance, name) = (brokers.instance().await, unique("changes"));
    let topic =
        |partitions: i64, config: serde_json::Value| json!({"name": name, "partitions": partitions, "config": config});
    let created = instance.create(TOPIC, topic(2, json!({"retention.ms": 5000, "cleanup.policy": "compact"}))).await;
    assert_eq!(created.attributes["replicationFactor"], Value::Int(1));
    assert!(created.text("topicId").is_some_and(|id| id.len() == 22) && created.text("clusterId").is_some());
    assert_eq!(instance.read(TOPIC, &created).await.unwrap().attributes, created.attributes);
    let ty = instance.ty(TOPIC);
    assert_eq!(instance.session.count_data(&ty, &created).await.unwrap(), DataAmount::Empty);
    // One key changes, one is reset, one is added; the number of partitions grows.
    let config = topic(3, json!({"retention.ms": 6000, "preallocate": true}));
    let changed = instance.update(TOPIC, &created, config).await.unwrap();
    assert_eq!(changed.text("topicId"), created.text("topicId"), "it is the same topic");
    assert_eq!(changed.attributes["partitions"], Value::Int(3));
    let imported = instance.session.import(&ty, &name).await.unwrap().unwrap();
    assert_eq!(imported.attributes["config"].to_json(), json!({"preallocate": "true", "retention.ms": "6000"}));
    instance.delete(TOPIC, &changed).await;
    assert_eq!(instance.read(TOPIC, &changed).await.map(|it| it.attributes), None);
    // The name can be reused at once.
    instance.delete(TOPIC, &instance.create(TOPIC, topic(1, json!({}))).await).await;
}

#[tokio::test]
async fn only_configured_keys_are_managed() {
    let brokers = Brokers::start().await;
    let (instance, name) = (brokers.instance().await, unique("given"));
    let created = instance.create(TOPIC, json!({"name": name, "config": {"retention.ms": "5000"}})).await;
    // One user sets an unmanaged key, another user changes the managed key.
    let by_hand = brokers.instance().await;
    let more = json!({"name": name, "config": {"retention.ms": "5000", "cleanup.policy": "compact"}});
    by_hand.update(TOPIC, &created, more).await.unwrap();
    assert_eq!(config_of(&instance.read(TOPIC, &created).await.unwrap()), json!({"retention.ms": "5000"}));
    by_hand.update(TOPIC, &created, json!({"name": name, "config": {"retention.ms": "7"}})).await.unwrap();
    let drifted = instance.read(TOPIC, &created).await.unwrap();
    assert_eq!(config_of(&drifted), json!({"retention.ms": "7"}));
    let repaired =
        instance.update(TOPIC, &drifted, json!({"name": name, "config": {"retention.ms": "5000"}})).await.unwrap();
    assert_eq!(config_of(&repaired), json!({"retention.ms": "5000"}));
    // A key that is reset outside terrace is drift, even if the broker's default is the same.
    by_hand.update(TOPIC, &repaired, json!({"name": name, "config": {}})).await.unwrap();
    assert_eq!(config_of(&instance.read(TOPIC, &repaired).await.unwrap()), json!({}));
    let imported = instance.session.import(&instance.ty(TOPIC), &name).await.unwrap().unwrap();
    assert_eq!(
        imported.attributes["config"].to_json(),
        json!({"cleanup.policy": "compact"}),
        "unmanaged keys are kept"
    );
    instance.delete(TOPIC, &created).await;
}

#[tokio::test]
async fn recreated_topic_gets_an_update() {
    let brokers = Brokers::start().await;
    let (instance, name) = (brokers.instance().await, unique("anew"));
    let config = json!({"name": name, "partitions": 1});
    let created = instance.create(TOPIC, config.clone()).await;
    let by_hand = brokers.instance().await;
    by_hand.delete(TOPIC, &created).await;
    by_hand.create(TOPIC, config.clone()).await;
    let read = instance.read(TOPIC, &created).await.unwrap();
    assert_ne!(read.text("topicId"), created.text("topicId"));
    let plan = instance.plan(TOPIC, Some(&read), &attributes(config.clone())).await.unwrap();
    assert!(plan.planned["topicId"].is_unknown(), "the plan must show an update: {plan:?}");
    let updated = instance.update(TOPIC, &read, config.clone()).await.unwrap();
    let plan = instance.plan(TOPIC, Some(&updated), &attributes(config)).await.unwrap();
    assert_eq!(plan.planned, updated.attributes, "the next plan must be empty");
    // Deleting the old row does not delete the new topic.
    instance.delete(TOPIC, &created).await;
    assert!(instance.read(TOPIC, &updated).await.is_some());
    instance.delete(TOPIC, &updated).await;
}

#[tokio::test]
async fn fewer_partitions_need_a_replacement() {
    let brokers = Brokers::start().await;
    let (instance, name) = (brokers.instance().await, unique("fewer"));
    let created = instance.create(TOPIC, json!({"name": name, "partitions": 3, "replicationFactor": 1})).await;
    for (config, path) in [
        (json!({"name": name, "partitions": 2, "replicationFactor": 1}), "partitions"),
        (json!({"name": name, "partitions": 3, "replicationFactor": 2}), "replicationFactor"),
        (json!({"name": format!("{name}-x"), "partitions": 3, "replicationFactor": 1}), "name"),
    ] {
        let plan = instance.plan(TOPIC, Some(&created), &attributes(config)).await.unwrap();
        assert_eq!(plan.replace_paths.iter().map(ToString::to_string).collect::<Vec<_>>(), [path]);
        assert!(plan.planned["topicId"].is_unknown());
    }
    instance.delete(TOPIC, &created).await;
}

#[tokio::test]
async fn unsupported_default_keys_are_left_out() {
    let brokers = Brokers::start().await;
    let (instance, name) = (brokers.instance().await, unique("others"));
    let config = json!({"name": name, "partitions": 1, "config": {
        "retention.ms": "5000", "confluent.tier.enable": "false", "message.downconversion.enable": "true",
        "flush.ms": "9223372036854776000",
    }});
    let findings = instance.findings(TOPIC, config.clone()).await;
    let messages: Vec<_> = findings.iter().map(|finding| finding.message.as_str()).collect();
    let expected = "these brokers do not support `confluent.tier.enable`, `message.downconversion.enable`: left out";
    assert_eq!(messages, [expected]);
    let created = instance.create(TOPIC, config.clone()).await;
    let read = instance.read(TOPIC, &created).await.unwrap();
    let plan = instance.plan(TOPIC, Some(&read), &attributes(config)).await.unwrap();
    assert_eq!(plan.planned, read.attributes);
    let imported = instance.session.import(&instance.ty(TOPIC), &name).await.unwrap().unwrap();
    let expected = json!({"flush.ms": "9223372036854775807", "retention.ms": "5000"});
    assert_eq!(imported.attributes["config"].to_json(), expected);
    instance.delete(TOPIC, &created).await;
}

/// Opens an instance of the stand-in broker with a configured flavor.
async fn of_flavor(brokers: &Brokers, flavor: Option<&str>) -> crate::harness::Instance {
    let mut values = brokers.values();
    if let Some(flavor) = flavor {
        values["flavor"] = json!(flavor);
    }
    crate::harness::Instance::of(values).await
}

#[tokio::test]
async fn keys_of_confluent_are_managed_on_its_brokers() {
    for flavor in [None, Some("confluent")] {
        let brokers = Brokers::with_stand_in(BrokerState { is_confluent: true, ..BrokerState::default() }).await;
        let instance = of_flavor(&brokers, flavor).await;
        let config = |validation: &str| json!({"name": "t", "config": {"confluent.value.schema.validation": validation, "confluent.tier.enable": "false"}});
        assert_eq!(instance.findings(TOPIC, config("true")).await, [], "{flavor:?}");
        let created = instance.create(TOPIC, config("true")).await;
        let own = |brokers: &Brokers| brokers.state().topics["t"].config.clone();
        let expected = [("confluent.tier.enable", "false"), ("confluent.value.schema.validation", "true")];
        assert_eq!(own(&brokers), expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into(), "{flavor:?}");
        let read = instance.read(TOPIC, &created).await.unwrap();
        let plan = instance.plan(TOPIC, Some(&read), &attributes(config("true"))).await.unwrap();
        assert_eq!(plan.planned, read.attributes, "{flavor:?}: the second plan is not empty");
        let by_hand = ("confluent.value.schema.validation".to_owned(), "false".to_owned());
        brokers.state().topics.get_mut("t").unwrap().config.extend([by_hand]);
        let drifted = instance.read(TOPIC, &created).await.unwrap();
        assert_eq!(config_of(&drifted)["confluent.value.schema.validation"], "false", "{flavor:?}");
        instance.update(TOPIC, &drifted, config("true")).await.unwrap();
        assert_eq!(own(&brokers)["confluent.value.schema.validation"], "true", "{flavor:?}");
        let wrong = instance.findings(TOPIC, json!({"name": "u", "config": {"confluent.tier.enabel": "true"}})).await;
        assert_eq!(wrong[0].hint.as_deref(), Some("did you mean `confluent.tier.enable`?"), "{flavor:?}");
    }
}

/// Without the right to list keys, the configured flavor decides.
#[tokio::test]
async fn confluent_flavor_sends_keys_without_listing_them() {
    for (flavor, expected) in [(Some("confluent"), Some("false")), (None, None)] {
        let state = BrokerState { is_confluent: true, hides_keys: true, ..BrokerState::default() };
        let brokers = Brokers::with_stand_in(state).await;
        let instance = of_flavor(&brokers, flavor).await;
        instance.create(TOPIC, json!({"name": "t", "config": {"confluent.tier.enable": "false"}})).await;
        let own = brokers.state().topics["t"].config.get("confluent.tier.enable").cloned();
        assert_eq!(own.as_deref(), expected, "{flavor:?}");
    }
}

#[tokio::test]
async fn apache_flavor_sends_no_confluent_keys() {
    let brokers = Brokers::with_stand_in(BrokerState { is_confluent: true, ..BrokerState::default() }).await;
    let instance = of_flavor(&brokers, Some("apache")).await;
    let config = |value: &str| json!({"name": "t", "config": {"confluent.tier.enable": value}});
    let findings = instance.findings(TOPIC, config("false")).await;
    assert!(findings[0].message.contains("left out"), "{findings:?}");
    let created = instance.create(TOPIC, config("false")).await;
    assert!(brokers.state().topics["t"].config.is_empty());
    let read = instance.read(TOPIC, &created).await.unwrap();
    let plan = instance.plan(TOPIC, Some(&read), &attributes(config("false"))).await.unwrap();
    assert_eq!(plan.planned, read.attributes, "the second plan is not empty");
    let findings = instance.findings(TOPIC, config("true")).await;
    assert_eq!(findings[0].path.as_ref().unwrap().to_string(), r#"config["confluent.tier.enable"]"#, "{findings:?}");
    // The flavor `confluent` does not make an Apache broker support the keys.
    let brokers = Brokers::with_stand_in(BrokerState::default()).await;
    let findings = of_flavor(&brokers, Some("confluent")).await.findings(TOPIC, config("true")).await;
    assert!(findings[0].message.contains("do not support the configuration key"), "{findings:?}");
}

#[tokio::test]
async fn few_requests_read_a_thousand_topics() {
    let brokers = Brokers::with_stand_in(BrokerState::default()).await;
    let instance = brokers.instance().await;
    let mut priors = Vec::new();
    for at in 0..1000 {
        priors.push(instance.create(TOPIC, json!({"name": format!("t{at}"), "config": {"retention.ms": "1"}})).await);
    }
    brokers.state().log.clear();
    let answers = instance.session.read_many(&instance.ty(TOPIC), &priors).await;
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(Option::is_some)));
    assert_eq!(brokers.state().requests(), [ApiKey::Metadata, ApiKey::DescribeConfigs, ApiKey::DescribeConfigs]);
}

#[tokio::test]
async fn records_are_counted() {
    let brokers = Brokers::with_stand_in(BrokerState::default()).await;
    let instance = brokers.instance().await;
    let created = instance.create(TOPIC, json!({"name": "t", "partitions": 2})).await;
    brokers.state().topics.get_mut("t").unwrap().records = 12;
    let counted = instance.session.count_data(&instance.ty(TOPIC), &created).await.unwrap();
    assert_eq!(counted, DataAmount::of(12, "record", "records"));
}

#[tokio::test]
async fn lookup_returns_an_existing_topic() {
    let brokers = Brokers::start().await;
    let (instance, name) = (brokers.instance().await, unique("looked-up"));
    let created = instance.create(TOPIC, json!({"name": name, "partitions": 2, "config": {"retention.ms": "5"}})).await;
    let answer = instance.session.lookup(TOPIC, &attributes(json!({"name": name}))).await.unwrap();
    assert_eq!(answer["partitions"], Value::Int(2));
    assert_eq!(answer["topicId"].as_str(), created.text("topicId"));
    assert_eq!(answer["config"].to_json(), json!({"retention.ms": "5"}));
    instance.delete(TOPIC, &created).await;
    let error = instance.session.lookup(TOPIC, &attributes(json!({"name": name}))).await.unwrap_err();
    assert_eq!((error.kind.code(), error.message), ("not_found", format!("topic `{name}` not found")));
}

#[tokio::test]
async fn lookup_lists_topics() {
    let brokers = Brokers::start().await;
    let (instance, name) = (brokers.instance().await, unique("listed"));
    let created = instance.create(TOPIC, json!({"name": name})).await;
    let answer = instance.session.lookup("kafka_topics", &attributes(json!({}))).await.unwrap();
    let topics = answer["topics"].to_json();
    let topics: Vec<&str> = topics.as_array().unwrap().iter().map(|topic| topic["name"].as_str().unwrap()).collect();
    assert!(topics.contains(&name.as_str()) && topics.is_sorted(), "{topics:?}");
    // The topics of the broker itself.
    assert!(!topics.iter().any(|topic| topic.starts_with("__")), "{topics:?}");
    instance.delete(TOPIC, &created).await;
}

/// Partitions that move have more replicas for a while; that is not another replication factor.
#[tokio::test]
async fn running_reassignment_does_not_change_replication_factor() {
    let brokers = Brokers::with_stand_in(BrokerState::default()).await;
    let instance = brokers.instance().await;
    let config = json!({"name": "t", "partitions": 2, "replicationFactor": 1});
    let created = instance.create(TOPIC, config.clone()).await;
    brokers.state().topics.get_mut("t").unwrap().adding = 1;
    let read = instance.read(TOPIC, &created).await.unwrap();
    assert_eq!(read.attributes["replicationFactor"], Value::Int(1));
    let plan = instance.plan(TOPIC, Some(&read), &attributes(config)).await.unwrap();
    assert!(plan.replace_paths.is_empty(), "{:?}", plan.replace_paths);
    // Without the right to list reassignments, the added replicas count too.
    brokers.state().denied = vec![ApiKey::ListPartitionReassignments];
    let read = instance.read(TOPIC, &created).await.unwrap();
    assert_eq!(read.attributes["replicationFactor"], Value::Int(2));
}

/// A request that runs longer than the settle time could take effect after the provider stopped looking for it.
#[tokio::test]
async fn request_timeout_stays_within_the_settle_time() {
    let brokers = Brokers::with_stand_in(BrokerState::default()).await;
    let mut values = brokers.values();
    values["timeout"] = json!(600);
    let instance = crate::harness::Instance::of(values).await;
    instance.create(TOPIC, json!({"name": "t"})).await;
    let settle = i32::try_from(instance.ty(TOPIC).settle.as_millis()).unwrap();
    let timeouts = brokers.state().timeouts.clone();
    assert!(!timeouts.is_empty() && timeouts.iter().all(|wait| *wait <= settle), "{timeouts:?}");
}
