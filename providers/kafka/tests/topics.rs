use crate::harness::{Brokers, TOPIC, attributes, unique};
use crate::stand_in::Side;
use kafka_protocol::messages::ApiKey;
use serde_json::json;
use terrace_provider::{DataAmount, Recorded, Value};

fn config_of(recorded: &Recorded) -> serde_json::Value {
    recorded.attributes["config"].to_json()
}

#[tokio::test]
async fn a_topic_comes_changes_and_goes() {
    let brokers = Brokers::start().await;
    let (instance, name) = (brokers.instance().await, unique("changes"));
    let topic =
        |partitions: i64, config: serde_json::Value| json!({"name": name, "partitions": partitions, "config": config});
    let made = instance.create(TOPIC, topic(2, json!({"retention.ms": 5000, "cleanup.policy": "compact"}))).await;
    assert_eq!(made.attributes["replicationFactor"], Value::Int(1));
    assert!(made.text("topicId").is_some_and(|id| id.len() == 22) && made.text("clusterId").is_some());
    assert_eq!(instance.read(TOPIC, &made).await.unwrap().attributes, made.attributes);
    let ty = instance.ty(TOPIC);
    assert_eq!(instance.session.count_data(&ty, &made).await.unwrap(), DataAmount::Empty);
    // One key changes, one is given back, one comes; and there are more partitions.
    let wanted = topic(3, json!({"retention.ms": 6000, "preallocate": true}));
    let changed = instance.update(TOPIC, &made, wanted).await.unwrap();
    assert_eq!(changed.text("topicId"), made.text("topicId"), "it is the same topic");
    assert_eq!(changed.attributes["partitions"], Value::Int(3));
    let imported = instance.session.import(&ty, &name).await.unwrap().unwrap();
    assert_eq!(imported.attributes["config"].to_json(), json!({"preallocate": "true", "retention.ms": "6000"}));
    instance.delete(TOPIC, &changed).await;
    assert_eq!(instance.read(TOPIC, &changed).await.map(|it| it.attributes), None);
    // The name is free at once.
    instance.delete(TOPIC, &instance.create(TOPIC, topic(1, json!({}))).await).await;
}

#[tokio::test]
async fn only_given_keys_are_managed() {
    let brokers = Brokers::start().await;
    let (instance, name) = (brokers.instance().await, unique("given"));
    let made = instance.create(TOPIC, json!({"name": name, "config": {"retention.ms": "5000"}})).await;
    // Somebody sets another one, and somebody else the one that is managed.
    let by_hand = brokers.instance().await;
    let more = json!({"name": name, "config": {"retention.ms": "5000", "cleanup.policy": "compact"}});
    by_hand.update(TOPIC, &made, more).await.unwrap();
    assert_eq!(config_of(&instance.read(TOPIC, &made).await.unwrap()), json!({"retention.ms": "5000"}));
    by_hand.update(TOPIC, &made, json!({"name": name, "config": {"retention.ms": "7"}})).await.unwrap();
    let drifted = instance.read(TOPIC, &made).await.unwrap();
    assert_eq!(config_of(&drifted), json!({"retention.ms": "7"}));
    let mended =
        instance.update(TOPIC, &drifted, json!({"name": name, "config": {"retention.ms": "5000"}})).await.unwrap();
    assert_eq!(config_of(&mended), json!({"retention.ms": "5000"}));
    // A key that is given back by hand is seen, although the broker's own value could be the same.
    by_hand.update(TOPIC, &mended, json!({"name": name, "config": {}})).await.unwrap();
    assert_eq!(config_of(&instance.read(TOPIC, &mended).await.unwrap()), json!({}));
    let imported = instance.session.import(&instance.ty(TOPIC), &name).await.unwrap().unwrap();
    assert_eq!(imported.attributes["config"].to_json(), json!({"cleanup.policy": "compact"}), "what others set stays");
    instance.delete(TOPIC, &made).await;
}

#[tokio::test]
async fn a_topic_that_was_made_anew_is_told() {
    let brokers = Brokers::start().await;
    let (instance, name) = (brokers.instance().await, unique("anew"));
    let config = json!({"name": name, "partitions": 1});
    let made = instance.create(TOPIC, config.clone()).await;
    let by_hand = brokers.instance().await;
    by_hand.delete(TOPIC, &made).await;
    by_hand.create(TOPIC, config.clone()).await;
    let read = instance.read(TOPIC, &made).await.unwrap();
    assert_ne!(read.text("topicId"), made.text("topicId"));
    let plan = instance.plan(TOPIC, Some(&read), &attributes(config.clone())).await.unwrap();
    assert!(plan.planned["topicId"].is_unknown(), "it is no topic of which nothing is to be said: {plan:?}");
    let taken = instance.update(TOPIC, &read, config.clone()).await.unwrap();
    let plan = instance.plan(TOPIC, Some(&taken), &attributes(config)).await.unwrap();
    assert_eq!(plan.planned, taken.attributes, "and that is said once");
    // What is recorded as the old one does not take the new one along.
    instance.delete(TOPIC, &made).await;
    assert!(instance.read(TOPIC, &taken).await.is_some());
    instance.delete(TOPIC, &taken).await;
}

#[tokio::test]
async fn fewer_partitions_are_another_topic() {
    let brokers = Brokers::start().await;
    let (instance, name) = (brokers.instance().await, unique("fewer"));
    let made = instance.create(TOPIC, json!({"name": name, "partitions": 3, "replicationFactor": 1})).await;
    for (wanted, path) in [
        (json!({"name": name, "partitions": 2, "replicationFactor": 1}), "partitions"),
        (json!({"name": name, "partitions": 3, "replicationFactor": 2}), "replicationFactor"),
        (json!({"name": format!("{name}-x"), "partitions": 3, "replicationFactor": 1}), "name"),
    ] {
        let plan = instance.plan(TOPIC, Some(&made), &attributes(wanted)).await.unwrap();
        assert_eq!(plan.replace_paths.iter().map(ToString::to_string).collect::<Vec<_>>(), [path]);
        assert!(plan.planned["topicId"].is_unknown());
    }
    instance.delete(TOPIC, &made).await;
}

#[tokio::test]
async fn keys_of_other_brokers_are_left_out() {
    let brokers = Brokers::start().await;
    let (instance, name) = (brokers.instance().await, unique("others"));
    let config = json!({"name": name, "partitions": 1, "config": {
        "retention.ms": "5000", "confluent.tier.enable": "false", "message.downconversion.enable": "true",
        "flush.ms": "9223372036854776000",
    }});
    let told = instance.findings(TOPIC, config.clone()).await;
    let told: Vec<_> = told.iter().map(|finding| finding.message.as_str()).collect();
    let expected =
        "these brokers do not know `confluent.tier.enable`, `message.downconversion.enable`, which is left out";
    assert_eq!(told, [expected]);
    let made = instance.create(TOPIC, config.clone()).await;
    let read = instance.read(TOPIC, &made).await.unwrap();
    let plan = instance.plan(TOPIC, Some(&read), &attributes(config)).await.unwrap();
    assert_eq!(plan.planned, read.attributes);
    let imported = instance.session.import(&instance.ty(TOPIC), &name).await.unwrap().unwrap();
    let there = json!({"flush.ms": "9223372036854775807", "retention.ms": "5000"});
    assert_eq!(imported.attributes["config"].to_json(), there);
    instance.delete(TOPIC, &made).await;
}

/// An instance for brokers of these tests, whose flavor is said.
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
        let brokers = Brokers::standing_in(Side { is_confluent: true, ..Side::default() }).await;
        let instance = of_flavor(&brokers, flavor).await;
        let config = |validation: &str| json!({"name": "t", "config": {"confluent.value.schema.validation": validation, "confluent.tier.enable": "false"}});
        assert_eq!(instance.findings(TOPIC, config("true")).await, [], "{flavor:?}");
        let made = instance.create(TOPIC, config("true")).await;
        let own = |brokers: &Brokers| brokers.side().topics["t"].config.clone();
        let expected = [("confluent.tier.enable", "false"), ("confluent.value.schema.validation", "true")];
        assert_eq!(own(&brokers), expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into(), "{flavor:?}");
        let read = instance.read(TOPIC, &made).await.unwrap();
        let plan = instance.plan(TOPIC, Some(&read), &attributes(config("true"))).await.unwrap();
        assert_eq!(plan.planned, read.attributes, "{flavor:?}: the second plan is not empty");
        let by_hand = ("confluent.value.schema.validation".to_owned(), "false".to_owned());
        brokers.side().topics.get_mut("t").unwrap().config.extend([by_hand]);
        let drifted = instance.read(TOPIC, &made).await.unwrap();
        assert_eq!(config_of(&drifted)["confluent.value.schema.validation"], "false", "{flavor:?}");
        instance.update(TOPIC, &drifted, config("true")).await.unwrap();
        assert_eq!(own(&brokers)["confluent.value.schema.validation"], "true", "{flavor:?}");
        let wrong = instance.findings(TOPIC, json!({"name": "u", "config": {"confluent.tier.enabel": "true"}})).await;
        assert_eq!(wrong[0].hint.as_deref(), Some("did you mean `confluent.tier.enable`?"), "{flavor:?}");
    }
}

/// Whoever may not know which keys there are goes by what the instance says that its brokers are.
#[tokio::test]
async fn keys_of_confluent_are_sent_unseen_to_brokers_that_are_said_to_be_its() {
    for (flavor, expected) in [(Some("confluent"), Some("false")), (None, None)] {
        let side = Side { is_confluent: true, hides_keys: true, ..Side::default() };
        let brokers = Brokers::standing_in(side).await;
        let instance = of_flavor(&brokers, flavor).await;
        instance.create(TOPIC, json!({"name": "t", "config": {"confluent.tier.enable": "false"}})).await;
        let own = brokers.side().topics["t"].config.get("confluent.tier.enable").cloned();
        assert_eq!(own.as_deref(), expected, "{flavor:?}");
    }
}

#[tokio::test]
async fn nothing_of_confluent_is_sent_to_brokers_that_are_said_to_be_apaches() {
    let brokers = Brokers::standing_in(Side { is_confluent: true, ..Side::default() }).await;
    let instance = of_flavor(&brokers, Some("apache")).await;
    let config = |value: &str| json!({"name": "t", "config": {"confluent.tier.enable": value}});
    let told = instance.findings(TOPIC, config("false")).await;
    assert!(told[0].message.contains("which is left out"), "{told:?}");
    let made = instance.create(TOPIC, config("false")).await;
    assert!(brokers.side().topics["t"].config.is_empty());
    let read = instance.read(TOPIC, &made).await.unwrap();
    let plan = instance.plan(TOPIC, Some(&read), &attributes(config("false"))).await.unwrap();
    assert_eq!(plan.planned, read.attributes, "the second plan is not empty");
    let told = instance.findings(TOPIC, config("true")).await;
    assert_eq!(told[0].path.as_ref().unwrap().to_string(), r#"config["confluent.tier.enable"]"#, "{told:?}");
    // Nor do Apache's brokers learn it by being called Confluent's.
    let brokers = Brokers::standing_in(Side::default()).await;
    let told = of_flavor(&brokers, Some("confluent")).await.findings(TOPIC, config("true")).await;
    assert!(told[0].message.contains("have no configuration"), "{told:?}");
}

#[tokio::test]
async fn a_thousand_topics_are_read_by_a_few_questions() {
    let brokers = Brokers::standing_in(Side::default()).await;
    let instance = brokers.instance().await;
    let mut priors = Vec::new();
    for at in 0..1000 {
        priors.push(instance.create(TOPIC, json!({"name": format!("t{at}"), "config": {"retention.ms": "1"}})).await);
    }
    brokers.side().log.clear();
    let answers = instance.session.read_many(&instance.ty(TOPIC), &priors).await;
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(Option::is_some)));
    assert_eq!(brokers.side().asked(), [ApiKey::Metadata, ApiKey::DescribeConfigs, ApiKey::DescribeConfigs]);
}

#[tokio::test]
async fn records_are_counted() {
    let brokers = Brokers::standing_in(Side::default()).await;
    let instance = brokers.instance().await;
    let made = instance.create(TOPIC, json!({"name": "t", "partitions": 2})).await;
    brokers.side().topics.get_mut("t").unwrap().records = 12;
    let counted = instance.session.count_data(&instance.ty(TOPIC), &made).await.unwrap();
    assert_eq!(counted, DataAmount::of(12, "record", "records"));
}

#[tokio::test]
async fn a_topic_can_be_looked_up() {
    let brokers = Brokers::start().await;
    let (instance, name) = (brokers.instance().await, unique("looked-up"));
    let made = instance.create(TOPIC, json!({"name": name, "partitions": 2, "config": {"retention.ms": "5"}})).await;
    let answer = instance.session.lookup(TOPIC, &attributes(json!({"name": name}))).await.unwrap();
    assert_eq!(answer["partitions"], Value::Int(2));
    assert_eq!(answer["topicId"].as_str(), made.text("topicId"));
    assert_eq!(answer["config"].to_json(), json!({"retention.ms": "5"}));
    instance.delete(TOPIC, &made).await;
    let error = instance.session.lookup(TOPIC, &attributes(json!({"name": name}))).await.unwrap_err();
    assert_eq!((error.kind.code(), error.message), ("not_found", format!("there is no topic `{name}`")));
}

/// Partitions that move are on more brokers than they are to be on, for a while: that is no other topic.
#[tokio::test]
async fn a_running_reassignment_is_no_other_replication_factor() {
    let brokers = Brokers::standing_in(Side::default()).await;
    let instance = brokers.instance().await;
    let config = json!({"name": "t", "partitions": 2, "replicationFactor": 1});
    let made = instance.create(TOPIC, config.clone()).await;
    brokers.side().topics.get_mut("t").unwrap().adding = 1;
    let read = instance.read(TOPIC, &made).await.unwrap();
    assert_eq!(read.attributes["replicationFactor"], Value::Int(1));
    let plan = instance.plan(TOPIC, Some(&read), &attributes(config)).await.unwrap();
    assert!(plan.replace_paths.is_empty(), "{:?}", plan.replace_paths);
    // Who may not know it sees what there is.
    brokers.side().denied = vec![ApiKey::ListPartitionReassignments];
    let read = instance.read(TOPIC, &made).await.unwrap();
    assert_eq!(read.attributes["replicationFactor"], Value::Int(2));
}

/// A request that the broker still works on once nobody waits any more could take effect when nobody looks any more.
#[tokio::test]
async fn brokers_work_on_a_request_no_longer_than_it_is_looked_for() {
    let brokers = Brokers::standing_in(Side::default()).await;
    let mut values = brokers.values();
    values["timeout"] = json!(600);
    let instance = crate::harness::Instance::of(values).await;
    instance.create(TOPIC, json!({"name": "t"})).await;
    let settle = i32::try_from(instance.ty(TOPIC).settle.as_millis()).unwrap();
    let patience = brokers.side().patience.clone();
    assert!(!patience.is_empty() && patience.iter().all(|wait| *wait <= settle), "{patience:?}");
}
