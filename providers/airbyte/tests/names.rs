use crate::harness::{Instance, connected, destination, file_source};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::json;
use std::time::Duration;
use terrace_provider::{ErrorKind, Found};
use terrace_test_airbyte::{StandIn, WORKSPACE};

const SOURCE: &str = "airbyte_source";
const DESTINATION: &str = "airbyte_destination";
const CONNECTION: &str = "airbyte_connection";

#[tokio::test]
async fn ambiguous_name_is_an_error_with_both_ids() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    let config = file_source("twice");
    let body = json!({"name": "twice", "workspaceId": WORKSPACE, "configuration": {
        "sourceType": "file", "dataset_name": "a", "format": "csv", "url": "u", "provider": {"storage": "HTTPS"}}});
    let ids = [stand_in.make(true, &body), stand_in.make(true, &body)];
    for error in [
        instance.create(SOURCE, config.clone()).await.unwrap_err(),
        instance.find(SOURCE, &config, None).await.unwrap_err(),
        instance.find(SOURCE, &config, Some(Duration::from_secs(60))).await.unwrap_err(),
    ] {
        assert!(ids.iter().all(|id| error.message.contains(id.as_str())), "{error}");
        assert!(error.solutions[0].contains("rename or delete one of them"), "{error:?}");
    }
    assert_eq!(stand_in.inventory().len(), 2);
}

#[tokio::test]
async fn existing_object_is_refused_with_its_import_id() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    let created = instance.create(SOURCE, file_source("places")).await.unwrap();
    let error = instance.create(SOURCE, file_source("places")).await.unwrap_err();
    let ErrorKind::AlreadyExists { import_id: Some(id) } = &error.kind else { panic!("{error:?}") };
    assert_eq!(Some(id.as_str()), created.text("id"));
    let imported = instance.session.import(instance.ty(SOURCE), id).await.unwrap().unwrap();
    assert_eq!(imported.identity, created.identity);
    assert_eq!(
        imported.attributes["configuration"].to_json()["provider"],
        json!({"storage": "HTTPS", "user_agent": false})
    );
    for wrong in ["", "x", "a/b/c", "/x", &format!("{WORKSPACE}/")] {
        let error = instance.session.import(instance.ty(SOURCE), wrong).await.unwrap_err();
        assert!(error.solutions[0].contains("<workspaceId>/<sourceId>"), "{error:?}");
    }
    let (_, own) = id.split_once('/').unwrap();
    let elsewhere = instance.session.import(instance.ty(SOURCE), &format!("elsewhere/{own}")).await.unwrap();
    assert_eq!(elsewhere, None);
}

#[tokio::test]
async fn new_name_renames_in_place_unless_it_exists() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    let created = instance.create(SOURCE, file_source("places")).await.unwrap();
    let renamed = instance.update(SOURCE, &created, file_source("towns")).await.unwrap();
    assert_eq!(renamed.text("sourceId"), created.text("sourceId"));
    assert_eq!(renamed.identity["name"], "towns".into());
    instance.assert_settled(SOURCE, &renamed, &file_source("towns")).await;
    instance.create(SOURCE, file_source("taken")).await.unwrap();
    let error = instance.update(SOURCE, &renamed, file_source("taken")).await.unwrap_err();
    assert!(error.message.contains("another source has the name `taken`"), "{error}");
    assert_eq!(stand_in.inventory(), ["source taken", "source towns"]);
}

#[tokio::test]
async fn recreated_object_is_reported_and_not_deleted() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    let created = instance.create(DESTINATION, destination("lake")).await.unwrap();
    stand_in.remove(created.text("destinationId").unwrap());
    assert!(instance.read(DESTINATION, &created).await.unwrap().is_none());
    let again = instance.create(DESTINATION, destination("lake")).await.unwrap();
    let read = instance.read(DESTINATION, &created).await.unwrap().unwrap();
    assert_eq!(read.text("destinationId"), again.text("destinationId"));
    // No configured attribute differs, but the plan must not be empty.
    let plan = instance.plan(DESTINATION, Some(&read), &destination("lake")).await.unwrap();
    assert!(plan.planned["createdAt"].is_unknown());
    // Deleting the old row does not delete the new object.
    instance.delete(DESTINATION, &read).await.unwrap();
    assert_eq!(stand_in.inventory(), ["destination lake"]);
    let recorded = instance.update(DESTINATION, &read, destination("lake")).await.unwrap();
    instance.assert_settled(DESTINATION, &recorded, &destination("lake")).await;
    instance.delete(DESTINATION, &recorded).await.unwrap();
    assert_eq!(stand_in.inventory(), [] as [&str; 0]);
}

#[tokio::test]
async fn recreated_object_gets_configuration_and_secrets() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    let ours = destination("lake");
    let created = instance.create(DESTINATION, ours.clone()).await.unwrap();
    stand_in.remove(created.text("destinationId").unwrap());
    let mut theirs = ours.clone();
    theirs["secretConfiguration"]["credentials"]["password"] = json!("somebodyElses");
    instance.create(DESTINATION, theirs).await.unwrap();
    let read = instance.read(DESTINATION, &created).await.unwrap().unwrap();
    let recorded = instance.update(DESTINATION, &read, ours.clone()).await.unwrap();
    let now = stand_in.configuration(recorded.text("destinationId").unwrap());
    assert_eq!(now["credentials"]["password"], "hunter2hunter2");
    instance.assert_settled(DESTINATION, &recorded, &ours).await;
}

#[tokio::test]
async fn object_older_than_a_lost_call_is_not_ours() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    let config = file_source("places");
    let found = instance.find(SOURCE, &config, Some(Duration::from_secs(1))).await.unwrap();
    assert_eq!(found, Found::Absent);
    instance.create(SOURCE, config.clone()).await.unwrap();
    let found = instance.find(SOURCE, &config, Some(Duration::from_secs(30))).await.unwrap();
    assert!(matches!(found, Found::Own(_)), "{found:?}");
    stand_in.age("places", 3600);
    let found = instance.find(SOURCE, &config, Some(Duration::from_secs(30))).await.unwrap();
    assert!(matches!(found, Found::Foreign(_)), "{found:?}");
}

#[tokio::test]
async fn object_used_by_an_external_connection_is_not_deleted() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    let source = instance.create(SOURCE, file_source("places")).await.unwrap();
    let (_, sink) = connected(&stand_in);
    let foreign =
        stand_in.connect(&json!({"name": "theirs", "sourceId": source.text("sourceId"), "destinationId": sink}));
    let error = instance.delete(SOURCE, &source).await.unwrap_err();
    assert!(error.message.contains("`theirs`") && error.message.contains(&foreign), "{error}");
    assert_eq!(stand_in.connection(&foreign)["status"], "active");
    stand_in.remove(&foreign);
    instance.delete(SOURCE, &source).await.unwrap();
    instance.delete(SOURCE, &source).await.unwrap();
}

/// Special characters in names round-trip: create, find, rename and delete.
#[tokio::test]
async fn names_with_special_characters_round_trip() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    let mut runner = TestRunner::deterministic();
    let pattern = "[a-zA-Z0-9 _.%/\"'`$#?&=+\\\\éßжλ中𝛼-]{1,24}";
    let mut names: Vec<String> = (0..256)
        .map(|_| pattern.new_tree(&mut runner).unwrap().current())
        .filter(|name| !name.trim().is_empty())
        .collect();
    names.extend(["..", "%2e", "x'; --", "a\nb", " lead", "🙂"].map(str::to_owned));
    names.extend([1, 63, 64, 128, 255].map(|length| "n".repeat(length)));
    names.sort();
    names.dedup();
    assert!(names.len() > 240, "{}", names.len());
    for name in names {
        let created = instance.create(SOURCE, file_source(&name)).await.unwrap();
        let read = instance.read(SOURCE, &created).await.unwrap().unwrap();
        assert_eq!(read.identity["name"], name.as_str().into());
        let found = instance.find(SOURCE, &file_source(&name), None).await.unwrap();
        assert!(matches!(found, Found::Foreign(_)), "{name}");
        let renamed = instance.update(SOURCE, &created, file_source(&format!("{name}2"))).await.unwrap();
        instance.delete(SOURCE, &renamed).await.unwrap();
    }
    for name in ["", "  "] {
        let error = instance.plan(SOURCE, None, &file_source(name)).await.unwrap_err();
        assert!(error.message.contains("`name` is empty"), "{error}");
    }
    let connection = json!({"workspaceId": WORKSPACE, "name": "", "sourceId": "s", "destinationId": "d"});
    assert!(instance.plan(CONNECTION, None, &connection).await.is_err());
    assert_eq!(stand_in.inventory(), [] as [&str; 0]);
}
