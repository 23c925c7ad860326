use crate::harness::{ACL, Brokers, Reports, TOPIC, attributes, call, recorded, unique};
use crate::stand_in::Side;
use kafka_protocol::messages::ApiKey;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use terrace_provider::{Attempt, ErrorKind, Found, Private};

fn reader(topic: &str, principal: &str) -> Json {
    json!({"resourceType": "TOPIC", "resourceName": topic, "principal": principal, "operation": "READ"})
}

#[tokio::test]
async fn an_entry_that_was_there_before_stays() {
    let brokers = Brokers::start().await;
    let (instance, topic) = (brokers.instance().await, unique("shared"));
    let by_hand = brokers.instance().await.create(ACL, reader(&topic, "User:ada")).await;
    let config = attributes(reader(&topic, "User:ada"));
    let error = instance.try_create(ACL, &call(&Arc::default()), &config).await.unwrap_err();
    let id = format!("TOPIC/{topic}/LITERAL/User:ada/*/READ/ALLOW");
    assert_eq!(error.kind, ErrorKind::AlreadyExists { import_id: Some(id) });
    // As it is looked for when it is to be taken over: with what was configured only.
    let attempt = Attempt {
        address: "demo@local:kafka.a".to_owned(),
        identity: config.clone(),
        planned: config.clone(),
        private: Private::default(),
        prior: None,
        lost_call: None,
    };
    let Found::Strangers(found) = instance.session.find(&instance.ty(ACL), &attempt).await.unwrap() else { panic!() };
    let taken = recorded(&config, found);
    let read = instance.read(ACL, &taken).await.unwrap();
    assert_eq!(read.private, taken.private, "reading forgets nothing");
    let reports = Arc::new(Reports::default());
    instance.session.delete(&instance.ty(ACL), &call(&reports), &read).await.unwrap();
    assert_eq!(*reports.told.lock().unwrap(), ["it was there before terrace, and stays"]);
    assert!(instance.read(ACL, &taken).await.is_some());
    instance.delete(ACL, &by_hand).await;
    assert!(instance.read(ACL, &taken).await.is_none());
}

#[tokio::test]
async fn entries_of_strange_names_come_and_go() {
    let brokers = Brokers::start().await;
    let instance = brokers.instance().await;
    let group = unique("g");
    for name in ["plain", "with space", "quote\"'`", "per%cent/slash", "ünï", "a*"] {
        let name = format!("{group}{name}");
        let made = instance
            .create(ACL, json!({
                "resourceType": "GROUP", "resourceName": name, "patternType": "PREFIXED", "principal": "User:CN=ada,O=x",
                "host": "10.0.0.1", "operation": "READ", "permission": "DENY",
            }))
            .await;
        let imported = instance.session.import(&instance.ty(ACL), made.text("id").unwrap()).await.unwrap().unwrap();
        assert_eq!(imported.identity, made.identity);
        instance.delete(ACL, &made).await;
        assert!(instance.read(ACL, &made).await.is_none(), "{name}");
    }
}

#[tokio::test]
async fn many_entries_are_read_by_one_question() {
    let brokers = Brokers::standing_in(Side::default()).await;
    let instance = brokers.instance().await;
    let mut priors = Vec::new();
    for at in 0..200 {
        priors.push(instance.create(ACL, reader("t", &format!("User:u{at}"))).await);
    }
    brokers.side().log.clear();
    let answers = instance.session.read_many(&instance.ty(ACL), &priors).await;
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(Option::is_some)));
    assert_eq!(brokers.side().asked(), [ApiKey::DescribeAcls]);
}

#[tokio::test]
async fn a_few_entries_are_read_without_all_others() {
    let brokers = Brokers::standing_in(Side::default()).await;
    let instance = brokers.instance().await;
    let mine = instance.create(ACL, reader("t0", "User:ada")).await;
    for at in 0..100 {
        instance.create(ACL, reader(&format!("t{at}"), "User:eve")).await;
    }
    let gone = instance.create(ACL, reader("gone", "User:ada")).await;
    instance.delete(ACL, &gone).await;
    brokers.side().told_entries = 0;
    let few = [mine, gone];
    let answers = instance.session.read_many(&instance.ty(ACL), &few).await;
    assert!(matches!(answers.as_slice(), [Ok(Some(_)), Ok(None)]), "{answers:?}");
    assert_eq!(brokers.side().told_entries, 2, "no more than those about the same topics");
}

/// The right that is missing, and the line that gives it.
#[tokio::test]
async fn who_may_not_is_told_what_to_ask_for() {
    let password = Some("hunter2");
    let denied = [ApiKey::CreateTopics, ApiKey::DeleteTopics, ApiKey::CreateAcls].to_vec();
    let brokers = Brokers::standing_in(Side { password, denied, ..Side::default() }).await;
    let mut values = brokers.values();
    let login = json!({"securityProtocol": "SASL_PLAINTEXT", "saslMechanism": "PLAIN", "username": "admin", "password": "hunter2"});
    values.as_object_mut().unwrap().extend(login.as_object().unwrap().clone());
    let instance = crate::harness::Instance::of(values).await;
    let needs = |right: &str| {
        [format!("whoever runs the cluster can allow it: `kafka-acls --add --allow-principal User:admin {right}`")]
    };
    let topic = attributes(json!({"name": "t"}));
    let error = instance.try_create(TOPIC, &call(&Arc::default()), &topic).await.unwrap_err();
    assert_eq!(
        (error.kind.clone(), error.solutions.clone()),
        (ErrorKind::PermissionDenied, needs("--operation Create --topic 't'").to_vec())
    );
    assert_eq!(error.vendor_code.as_deref(), Some("29 TOPIC_AUTHORIZATION_FAILED"));
    let entry = attributes(reader("t", "User:ada"));
    let error = instance.try_create(ACL, &call(&Arc::default()), &entry).await.unwrap_err();
    assert_eq!(error.solutions, needs("--operation Alter --cluster"));
    brokers.side().denied = vec![ApiKey::DeleteTopics];
    let made = instance.create(TOPIC, json!({"name": "t"})).await;
    let deleted = instance.session.delete(&instance.ty(TOPIC), &call(&Arc::default()), &made).await;
    assert_eq!(deleted.unwrap_err().solutions, needs("--operation Delete --topic 't'"));
}

#[tokio::test]
async fn everybody_who_has_the_very_same_access_is_told() {
    let brokers = Brokers::start().await;
    let (instance, topic) = (brokers.instance().await, unique("read"));
    let with = |more: Json| {
        let mut entry = reader(&topic, "User:ada");
        entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        entry
    };
    let mut made = Vec::new();
    for entry in [
        with(json!({})),
        with(json!({"principal": "User:bob", "host": "10.0.0.1"})),
        with(json!({"principal": "User:writer", "operation": "WRITE"})),
        with(json!({"principal": "User:kept-out", "permission": "DENY"})),
        with(json!({"principal": "User:wide", "patternType": "PREFIXED"})),
        with(json!({"principal": "User:other", "resourceName": unique("other")})),
    ] {
        made.push(instance.create(ACL, entry).await);
    }
    let ty = instance.ty(ACL);
    let access = ty.access_of(&made[0].attributes).unwrap();
    let told = instance.session.grantees(&ty, std::slice::from_ref(&access)).await.unwrap();
    let words: Vec<String> = told.iter().map(|it| format!("{} {}", it.principal, it.privilege)).collect();
    assert_eq!(words, ["User:ada READ", "User:bob from 10.0.0.1 READ"]);
    // What is told is what keeps them out.
    let taken = recorded(&attributes(json!({})), told.into_iter().next().unwrap().grant);
    assert_eq!(taken.identity, made[0].identity);
    instance.delete(ACL, &taken).await;
    assert!(instance.read(ACL, &made[0]).await.is_none());
    for entry in &made[1..] {
        instance.delete(ACL, entry).await;
    }
}
