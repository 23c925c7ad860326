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
async fn connection_without_streams_syncs_all_manually() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    let ids = connected(&stand_in);
    let created = instance.create(CONNECTION, config(&ids, json!({}))).await.unwrap();
    let connection = stand_in.connection(created.text("connectionId").unwrap());
    let modes: Vec<&Json> =
        connection["configurations"]["streams"].as_array().unwrap().iter().map(|it| &it["syncMode"]).collect();
    assert_eq!(modes, ["full_refresh_overwrite", "full_refresh_overwrite"]);
    assert_eq!(connection["schedule"]["scheduleType"], "manual");
    instance.assert_settled(CONNECTION, &created, &config(&ids, json!({}))).await;
}

/// A write without streams would select all streams of the source.
#[tokio::test]
async fn update_of_another_attribute_keeps_the_streams() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    let ids = connected(&stand_in);
    let created = instance.create(CONNECTION, config(&ids, json!({}))).await.unwrap();
    let id = created.text("connectionId").unwrap().to_owned();
    let theirs = json!({"streams": [{"name": "orders", "syncMode": "incremental_append", "selectedFields": [{"fieldPath": ["id"]}], "mappers": [{"type": "hashing"}]}]});
    stand_in.patch(&id, &json!({"configurations": theirs}));
    let before = stand_in.connection(&id);
    let read = instance.read(CONNECTION, &created).await.unwrap().unwrap();
    let config_with_all = config(&ids, json!({"prefix": "raw_", "schedule": {"type": "cron", "cron": "0 0 3 * * ?"}}));
    let changed = instance.update(CONNECTION, &read, config_with_all.clone()).await.unwrap();
    let after = stand_in.connection(&id);
    assert_eq!(after["configurations"], before["configurations"]);
    assert_eq!((&after["prefix"], &after["schedule"]["cronExpression"]), (&json!("raw_"), &json!("0 0 3 * * ? UTC")));
    assert_eq!(changed.text("connectionId"), Some(id.as_str()));
    instance.assert_settled(CONNECTION, &changed, &config_with_all).await;
}

#[tokio::test]
async fn every_attribute_is_updated_in_place_and_has_drift() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    let ids = connected(&stand_in);
    let full = json!({
        "streams": [{"name": "orders", "syncMode": "incremental_append", "cursorField": ["updated_at"]}],
        "schedule": {"type": "cron", "cron": "0 0 3 * * ?"}, "status": "active", "prefix": "raw_",
        "namespaceDefinition": "custom_format", "namespaceFormat": "${SOURCE_NAMESPACE}_x", "nonBreakingChanges": "ignore",
    });
    let config_with_all = config(&ids, full);
    let created = instance.create(CONNECTION, config_with_all.clone()).await.unwrap();
    let id = created.text("connectionId").unwrap().to_owned();
    instance.assert_settled(CONNECTION, &created, &config_with_all).await;
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
        let read = instance.read(CONNECTION, &created).await.unwrap().unwrap();
        assert_ne!(read.attributes.get(attribute), created.attributes.get(attribute), "{attribute}: {tampered}");
        let repaired = instance.update(CONNECTION, &read, config_with_all.clone()).await.unwrap();
        assert_eq!(repaired.text("connectionId"), Some(id.as_str()));
        instance.assert_settled(CONNECTION, &repaired, &config_with_all).await;
    }
}

#[tokio::test]
async fn selected_fields_are_sent_and_removed() {
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
    let created = instance.create(CONNECTION, all.clone()).await.unwrap();
    let id = created.text("connectionId").unwrap().to_owned();
    let selected = || stand_in.connection(&id)["configurations"]["streams"][0]["selectedFields"].clone();
    let few = orders(json!({"selectedFields": ["id"]}));
    let narrowed = instance.update(CONNECTION, &created, few.clone()).await.unwrap();
    assert_eq!(selected(), json!([{"fieldPath": ["id"]}]));
    instance.assert_settled(CONNECTION, &narrowed, &few).await;
    // All fields are selected outside terrace: that is drift.
    stand_in.patch(
        &id,
        &json!({"configurations": {"streams": [{"name": "orders", "syncMode": "full_refresh_overwrite"}]}}),
    );
    let read = instance.read(CONNECTION, &narrowed).await.unwrap().unwrap();
    assert_ne!(read.attributes["streams"], narrowed.attributes["streams"]);
    let repaired = instance.update(CONNECTION, &read, few.clone()).await.unwrap();
    assert_eq!(selected(), json!([{"fieldPath": ["id"]}]));
    // Without a selection, all fields are selected.
    let widened = instance.update(CONNECTION, &repaired, all.clone()).await.unwrap();
    assert!(selected().as_array().is_none_or(Vec::is_empty), "{}", selected());
    instance.assert_settled(CONNECTION, &widened, &all).await;
}

#[tokio::test]
async fn change_of_source_or_destination_loses_sync_state() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    let ids = connected(&stand_in);
    let created = instance.create(CONNECTION, config(&ids, json!({}))).await.unwrap();
    for changed in [json!({"sourceId": "other"}), json!({"destinationId": "other"})] {
        let plan = instance.plan(CONNECTION, Some(&created), &config(&ids, changed)).await.unwrap();
        assert_eq!(plan.replace_paths.len(), 1);
        assert!(plan.data_loss.unwrap().reasons[0].contains("sync state"));
    }
    let count = async || instance.session.count_data(instance.ty(CONNECTION), &created).await.unwrap();
    assert_eq!(count().await, DataAmount::Empty);
    stand_in.sync(created.text("connectionId").unwrap());
    assert!(matches!(count().await, DataAmount::Some { .. }));
}

#[tokio::test]
async fn plan_refuses_invalid_attributes_without_a_request() {
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
