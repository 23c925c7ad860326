use crate::harness::{Instance, connected};
use serde_json::{Value as Json, json};
use terrace_provider::DataAmount;
use terrace_test_airbyte::{StandIn, WORKSPACE};

const CONNECTION: &str = "airbyte_connection";

fn config(ids: &(String, String), more: Json) -> Json {
    let mut config = json!({"workspaceId": WORKSPACE, "name": "a to b", "sourceId": ids.0, "destinationId": ids.1});
    for (name, value) in more.as_object().unwrap() {
        config[name] = value.clone();
    }
    config
}

#[tokio::test]
async fn without_streams_all_of_the_source_are_synced_as_a_whole_by_hand() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    let ids = connected(&stand_in);
    let made = instance.create(CONNECTION, config(&ids, json!({}))).await.unwrap();
    let there = stand_in.connection(made.text("connectionId").unwrap());
    let modes: Vec<&Json> =
        there["configurations"]["streams"].as_array().unwrap().iter().map(|it| &it["syncMode"]).collect();
    assert_eq!(modes, ["full_refresh_overwrite", "full_refresh_overwrite"]);
    assert_eq!(there["schedule"]["scheduleType"], "manual");
    instance.assert_settled(CONNECTION, &made, &config(&ids, json!({}))).await;
}

/// A write that does not say the streams would set all of the source's anew.
#[tokio::test]
async fn a_change_of_something_else_leaves_the_streams_as_they_are() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    let ids = connected(&stand_in);
    let made = instance.create(CONNECTION, config(&ids, json!({}))).await.unwrap();
    let id = made.text("connectionId").unwrap().to_owned();
    let theirs = json!({"streams": [{"name": "orders", "syncMode": "incremental_append", "selectedFields": [{"fieldPath": ["id"]}], "mappers": [{"type": "hashing"}]}]});
    stand_in.patch(&id, &json!({"configurations": theirs}));
    let before = stand_in.connection(&id);
    let read = instance.read(CONNECTION, &made).await.unwrap().unwrap();
    let wanted = config(&ids, json!({"prefix": "raw_", "schedule": {"type": "cron", "cron": "0 0 3 * * ?"}}));
    let changed = instance.update(CONNECTION, &read, wanted.clone()).await.unwrap();
    let after = stand_in.connection(&id);
    assert_eq!(after["configurations"], before["configurations"]);
    assert_eq!((&after["prefix"], &after["schedule"]["cronExpression"]), (&json!("raw_"), &json!("0 0 3 * * ? UTC")));
    assert_eq!(changed.text("connectionId"), Some(id.as_str()));
    instance.assert_settled(CONNECTION, &changed, &wanted).await;
}

#[tokio::test]
async fn every_part_of_a_connection_is_changed_in_place_and_its_drift_is_seen() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    let ids = connected(&stand_in);
    let full = json!({
        "streams": [{"name": "orders", "syncMode": "incremental_append", "cursorField": ["updated_at"]}],
        "schedule": {"type": "cron", "cron": "0 0 3 * * ?"}, "status": "active", "prefix": "raw_",
        "namespaceDefinition": "custom_format", "namespaceFormat": "${SOURCE_NAMESPACE}_x", "nonBreakingChanges": "ignore",
    });
    let wanted = config(&ids, full);
    let made = instance.create(CONNECTION, wanted.clone()).await.unwrap();
    let id = made.text("connectionId").unwrap().to_owned();
    instance.assert_settled(CONNECTION, &made, &wanted).await;
    let orders =
        json!({"streams": [{"name": "orders", "syncMode": "incremental_append", "cursorField": ["updated_at"]}]});
    let with = |more: Json| {
        let mut body = json!({"configurations": orders});
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    };
    for (attribute, tampered) in [
        ("streams", json!({"configurations": {"streams": [{"name": "orders"}]}})),
        ("streams", json!({})),
        ("schedule", with(json!({"schedule": {"scheduleType": "manual"}}))),
        ("schedule", with(json!({"schedule": {"scheduleType": "cron", "cronExpression": "0 0 4 * * ?"}}))),
        ("status", with(json!({"status": "inactive"}))),
        ("prefix", with(json!({"prefix": ""}))),
        ("prefix", with(json!({"prefix": "x_"}))),
        ("namespaceDefinition", with(json!({"namespaceDefinition": "source"}))),
        ("namespaceFormat", with(json!({"namespaceFormat": "y"}))),
        ("nonBreakingChanges", with(json!({"nonBreakingSchemaUpdatesBehavior": "propagate_fully"}))),
        ("name", with(json!({"name": "theirs"}))),
    ] {
        stand_in.patch(&id, &tampered);
        let read = instance.read(CONNECTION, &made).await.unwrap().unwrap();
        assert_ne!(read.attributes.get(attribute), made.attributes.get(attribute), "{attribute}: {tampered}");
        let mended = instance.update(CONNECTION, &read, wanted.clone()).await.unwrap();
        assert_eq!(mended.text("connectionId"), Some(id.as_str()));
        instance.assert_settled(CONNECTION, &mended, &wanted).await;
    }
}

#[tokio::test]
async fn what_is_said_of_a_stream_is_sent_and_taken_back() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    let ids = connected(&stand_in);
    let orders = |more: Json| {
        let mut stream = json!({"name": "orders", "syncMode": "full_refresh_overwrite"});
        for (name, value) in more.as_object().unwrap() {
            stream[name] = value.clone();
        }
        config(&ids, json!({"streams": [stream]}))
    };
    let all = orders(json!({}));
    let made = instance.create(CONNECTION, all.clone()).await.unwrap();
    let id = made.text("connectionId").unwrap().to_owned();
    let selected = || stand_in.connection(&id)["configurations"]["streams"][0]["selectedFields"].clone();
    let few = orders(json!({"selectedFields": ["id"]}));
    let narrowed = instance.update(CONNECTION, &made, few.clone()).await.unwrap();
    assert_eq!(selected(), json!([{"fieldPath": ["id"]}]));
    instance.assert_settled(CONNECTION, &narrowed, &few).await;
    // Somebody selects all: that is drift.
    stand_in.patch(
        &id,
        &json!({"configurations": {"streams": [{"name": "orders", "syncMode": "full_refresh_overwrite"}]}}),
    );
    let read = instance.read(CONNECTION, &narrowed).await.unwrap().unwrap();
    assert_ne!(read.attributes["streams"], narrowed.attributes["streams"]);
    let mended = instance.update(CONNECTION, &read, few.clone()).await.unwrap();
    assert_eq!(selected(), json!([{"fieldPath": ["id"]}]));
    // Left out again, all are.
    let widened = instance.update(CONNECTION, &mended, all.clone()).await.unwrap();
    assert!(selected().as_array().is_none_or(Vec::is_empty), "{}", selected());
    instance.assert_settled(CONNECTION, &widened, &all).await;
}

#[tokio::test]
async fn what_connects_other_things_is_another_one_and_loses_its_state() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    let ids = connected(&stand_in);
    let made = instance.create(CONNECTION, config(&ids, json!({}))).await.unwrap();
    for changed in [json!({"sourceId": "other"}), json!({"destinationId": "other"})] {
        let plan = instance.plan(CONNECTION, Some(&made), &config(&ids, changed)).await.unwrap();
        assert_eq!(plan.replace_paths.len(), 1);
        assert!(plan.data_loss.unwrap().reasons[0].contains("sync state"));
    }
    let count = async || instance.session.count_data(instance.ty(CONNECTION), &made).await.unwrap();
    assert_eq!(count().await, DataAmount::Empty);
    stand_in.sync(made.text("connectionId").unwrap());
    assert!(matches!(count().await, DataAmount::Some { .. }));
}

#[tokio::test]
async fn what_cannot_be_is_refused_at_its_place_before_anybody_is_asked() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    let ids = connected(&stand_in);
    for (more, at) in [
        (json!({"schedule": {"type": "cron", "cron": "* * * * *"}}), "schedule.cron"),
        (json!({"schedule": {"type": "hourly"}}), "schedule.type"),
        (json!({"status": "paused"}), "status"),
        (json!({"namespaceDefinition": "elsewhere"}), "namespaceDefinition"),
        (json!({"namespaceDefinition": "custom_format"}), "namespaceFormat"),
        (json!({"nonBreakingChanges": "maybe"}), "nonBreakingChanges"),
        (json!({"streams": [{"name": "a"}, {"name": "a"}]}), "streams[1].name"),
    ] {
        let error = instance.plan(CONNECTION, None, &config(&ids, more)).await.unwrap_err();
        let terrace_provider::ErrorKind::InvalidInput { path: Some(path) } = &error.kind else { panic!("{error:?}") };
        assert_eq!((path.to_string().as_str(), error.solutions.len()), (at, 1), "{error}");
    }
    assert_eq!(stand_in.count(), 0);
}
