use crate::harness::{ACL, Brokers, Reports, TOPIC, attributes, call, recorded, unique};
use crate::stand_in::BrokerState;
use kafka_protocol::messages::ApiKey;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use terrace_provider::{Attempt, ErrorKind, Found, Private};

fn reader(topic: &str, principal: &str) -> Json {
    json!({"resourceType": "TOPIC", "resourceName": topic, "principal": principal, "operation": "READ"})
}

#[tokio::test]
async fn preexisting_entry_survives_delete() {
    let brokers = Brokers::start().await;
    let (instance, topic) = (brokers.instance().await, unique("shared"));
    let by_hand = brokers.instance().await.create(ACL, reader(&topic, "User:ada")).await;
    let config = attributes(reader(&topic, "User:ada"));
    let error = instance.try_create(ACL, &call(&Arc::default()), &config).await.unwrap_err();
    let id = format!("TOPIC/{topic}/LITERAL/User:ada/*/READ/ALLOW");
    assert_eq!(error.kind, ErrorKind::AlreadyExists { import_id: Some(id) });
    // An adoption knows only the configured attributes.
    let attempt = Attempt {
        address: "demo@local:kafka.a".to_owned(),
        identity: config.clone(),
        planned: config.clone(),
        private: Private::default(),
        prior: None,
        lost_call: None,
    };
    let Found::Foreign(found) = instance.session.find(&instance.ty(ACL), &attempt).await.unwrap() else { panic!() };
    let adopted = recorded(&config, found);
    let read = instance.read(ACL, &adopted).await.unwrap();
    assert_eq!(read.private, adopted.private, "a read keeps the private bytes");
    let reports = Arc::new(Reports::default());
    instance.session.delete(&instance.ty(ACL), &call(&reports), &read).await.unwrap();
    assert_eq!(reports.messages(), ["the entry existed before terrace: it is kept"]);
    assert!(instance.read(ACL, &adopted).await.is_some());
    instance.delete(ACL, &by_hand).await;
    assert!(instance.read(ACL, &adopted).await.is_none());
}

#[tokio::test]
async fn entries_with_special_characters_round_trip() {
    let brokers = Brokers::start().await;
    let instance = brokers.instance().await;
    let group = unique("g");
    for name in ["plain", "with space", "quote\"'`", "per%cent/slash", "ünï", "a*"] {
        let name = format!("{group}{name}");
        let created = instance
            .create(ACL, json!({
                "resourceType": "GROUP", "resourceName": name, "patternType": "PREFIXED", "principal": "User:CN=ada,O=x",
                "host": "10.0.0.1", "operation": "READ", "permission": "DENY",
            }))
            .await;
        let imported = instance.session.import(&instance.ty(ACL), created.text("id").unwrap()).await.unwrap().unwrap();
        assert_eq!(imported.identity, created.identity);
        instance.delete(ACL, &created).await;
        assert!(instance.read(ACL, &created).await.is_none(), "{name}");
    }
}

#[tokio::test]
async fn one_request_reads_many_entries() {
    let brokers = Brokers::with_stand_in(BrokerState::default()).await;
    let instance = brokers.instance().await;
    let mut priors = Vec::new();
    for at in 0..200 {
        priors.push(instance.create(ACL, reader("t", &format!("User:u{at}"))).await);
    }
    brokers.state().log.clear();
    let answers = instance.session.read_many(&instance.ty(ACL), &priors).await;
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(Option::is_some)));
    assert_eq!(brokers.state().requests(), [ApiKey::DescribeAcls]);
}

#[tokio::test]
async fn few_entries_are_read_by_resource() {
    let brokers = Brokers::with_stand_in(BrokerState::default()).await;
    let instance = brokers.instance().await;
    let mine = instance.create(ACL, reader("t0", "User:ada")).await;
    for at in 0..100 {
        instance.create(ACL, reader(&format!("t{at}"), "User:eve")).await;
    }
    let deleted = instance.create(ACL, reader("gone", "User:ada")).await;
    instance.delete(ACL, &deleted).await;
    brokers.state().returned_entries = 0;
    let few = [mine, deleted];
    let answers = instance.session.read_many(&instance.ty(ACL), &few).await;
    assert!(matches!(answers.as_slice(), [Ok(Some(_)), Ok(None)]), "{answers:?}");
    assert_eq!(brokers.state().returned_entries, 2, "only the entries of the same topics");
}

/// The error names the missing right and the command that grants it.
#[tokio::test]
async fn permission_error_names_the_granting_command() {
    let password = Some("hunter2");
    let denied = [ApiKey::CreateTopics, ApiKey::DeleteTopics, ApiKey::CreateAcls].to_vec();
    let brokers = Brokers::with_stand_in(BrokerState { password, denied, ..BrokerState::default() }).await;
    let mut values = brokers.values();
    let login = json!({"securityProtocol": "SASL_PLAINTEXT", "saslMechanism": "PLAIN", "username": "admin", "password": "hunter2"});
    values.as_object_mut().unwrap().extend(login.as_object().unwrap().clone());
    let instance = crate::harness::Instance::of(values).await;
    let needs = |right: &str| {
        [format!("ask a cluster administrator to run `kafka-acls --add --allow-principal User:admin {right}`")]
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
    brokers.state().denied = vec![ApiKey::DeleteTopics];
    let created = instance.create(TOPIC, json!({"name": "t"})).await;
    let deleted = instance.session.delete(&instance.ty(TOPIC), &call(&Arc::default()), &created).await;
    assert_eq!(deleted.unwrap_err().solutions, needs("--operation Delete --topic 't'"));
}

#[tokio::test]
async fn grantees_are_principals_with_the_same_access() {
    let brokers = Brokers::start().await;
    let (instance, topic) = (brokers.instance().await, unique("read"));
    let with = |more: Json| {
        let mut entry = reader(&topic, "User:ada");
        entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        entry
    };
    let mut created = Vec::new();
    for entry in [
        with(json!({})),
        with(json!({"principal": "User:bob", "host": "10.0.0.1"})),
        with(json!({"principal": "User:writer", "operation": "WRITE"})),
        with(json!({"principal": "User:kept-out", "permission": "DENY"})),
        with(json!({"principal": "User:wide", "patternType": "PREFIXED"})),
        with(json!({"principal": "User:other", "resourceName": unique("other")})),
    ] {
        created.push(instance.create(ACL, entry).await);
    }
    let ty = instance.ty(ACL);
    let access = ty.access_of(&created[0].attributes).unwrap();
    let grantees = instance.session.grantees(&ty, std::slice::from_ref(&access)).await.unwrap();
    let words: Vec<String> = grantees.iter().map(|it| format!("{} {}", it.principal, it.privilege)).collect();
    assert_eq!(words, ["User:ada READ", "User:bob from 10.0.0.1 READ"]);
    // The returned grant identifies the entry to delete.
    let adopted = recorded(&attributes(json!({})), grantees.into_iter().next().unwrap().grant);
    assert_eq!(adopted.identity, created[0].identity);
    instance.delete(ACL, &adopted).await;
    assert!(instance.read(ACL, &created[0]).await.is_none());
    for entry in &created[1..] {
        instance.delete(ACL, entry).await;
    }
}
