use crate::harness::{Instance, attributes, destination, file_source};
use serde_json::{Value as Json, json};
use terrace_provider::{Planned, ProposedChange, Recorded, Value};
use terrace_test_airbyte::{DEFINITION_FILE, StandIn, WORKSPACE};

const SOURCE: &str = "airbyte_source";
const DESTINATION: &str = "airbyte_destination";

/// Plans and updates as the engine does after secrets changed.
async fn update_with_secrets(instance: &Instance, prior: &Recorded, config: Json) -> Recorded {
    let config = attributes(config);
    let changed = ["secretConfiguration".to_owned()];
    let change = ProposedChange {
        address: "a",
        prior: Some(prior),
        config: &config,
        must_replace: false,
        changed_write_only: &changed,
    };
    let plan = instance.session.plan(instance.ty(DESTINATION), &change).await.unwrap();
    let planned = Planned { attributes: plan.planned, private: plan.private };
    let observed = instance.session.update(instance.ty(DESTINATION), &instance.call(), prior, &planned).await.unwrap();
    crate::harness::recorded(&planned.attributes, observed)
}

#[tokio::test]
async fn secrets_are_only_sent() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    let created = instance.create(DESTINATION, destination("lake")).await.unwrap();
    let id = created.text("destinationId").unwrap();
    assert_eq!(
        stand_in.configuration(id)["credentials"],
        json!({"auth_type": "Username and Password", "password": "hunter2hunter2"})
    );
    let read = instance.session.read(instance.ty(DESTINATION), &created).await.unwrap().unwrap();
    assert!(!format!("{read:?}").contains("hunter2"), "{read:?}");
    assert!(!read.attributes.contains_key("secretConfiguration"));
    assert!(!String::from_utf8_lossy(&read.private.0).contains("hunter2"));
    instance.assert_settled(DESTINATION, &created, &destination("lake")).await;
    // A changed secret is sent alone.
    let mut other = destination("lake");
    other["secretConfiguration"]["credentials"]["password"] = "another".into();
    let _ = stand_in.take_calls();
    let updated = update_with_secrets(&instance, &created, other).await;
    assert_eq!(stand_in.take_writes(), [format!("PATCH /destinations/{id}")]);
    assert_eq!(stand_in.configuration(id)["credentials"]["password"], "another");
    // Unchanged secrets are not sent.
    let mut moved = destination("lake");
    moved["name"] = "sea".into();
    let _ = instance.update(DESTINATION, &updated, moved).await.unwrap();
    let requests = stand_in.take_calls();
    let patch = requests.iter().find(|it| it.method == "PATCH").unwrap();
    assert_eq!(patch.body, r#"{"name":"sea"}"#);
}

#[tokio::test]
async fn added_keys_are_merged_and_removed_keys_are_deleted() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    let mut config = destination("lake");
    config["configuration"]["jdbc_url_params"] = "a=b".into();
    let created = instance.create(DESTINATION, config.clone()).await.unwrap();
    let id = created.text("destinationId").unwrap().to_owned();
    // An unmanaged key is set outside terrace.
    stand_in.patch(&id, &json!({"configuration": {"raw_data_schema": "THEIRS"}}));
    config["configuration"]["schema"] = "T".into();
    let changed = instance.update(DESTINATION, &created, config.clone()).await.unwrap();
    config["configuration"].as_object_mut().unwrap().remove("jdbc_url_params");
    let _ = stand_in.take_calls();
    let less = instance.update(DESTINATION, &changed, config.clone()).await.unwrap();
    assert_eq!(stand_in.take_writes(), [format!("PUT /destinations/{id}")]);
    let now = stand_in.configuration(&id);
    assert_eq!(now.get("jdbc_url_params"), None);
    assert_eq!((&now["schema"], &now["raw_data_schema"]), (&json!("T"), &json!("THEIRS")));
    assert_eq!(now["credentials"]["password"], "hunter2hunter2");
    instance.assert_settled(DESTINATION, &less, &config).await;
    // A replacement would lose an unknown secret: nothing is sent.
    config["configuration"]["retention_period_days"] = 3.into();
    let more = instance.update(DESTINATION, &less, config.clone()).await.unwrap();
    assert_eq!(stand_in.configuration(&id)["retention_period_days"], 3);
    config["configuration"].as_object_mut().unwrap().remove("retention_period_days");
    config["secretConfiguration"] = Json::Null;
    let _ = stand_in.take_calls();
    let error = instance.update(DESTINATION, &more, config).await.unwrap_err();
    assert!(error.message.contains("`credentials.password` is unknown"), "{error}");
    assert_eq!(stand_in.take_writes(), [] as [&str; 0]);
}

/// After a change of the sign-in method, the old secrets are deleted.
#[tokio::test]
async fn removed_secret_is_deleted() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    let mut config = destination("lake");
    let created = instance.create(DESTINATION, config.clone()).await.unwrap();
    let id = created.text("destinationId").unwrap().to_owned();
    config["configuration"]["credentials"] = json!({"auth_type": "Key Pair Authentication"});
    config["secretConfiguration"] = json!({"credentials": {"private_key": "key"}});
    let changed = update_with_secrets(&instance, &created, config.clone()).await;
    let credentials = json!({"auth_type": "Key Pair Authentication", "private_key": "key"});
    assert_eq!(stand_in.configuration(&id)["credentials"], credentials);
    instance.assert_settled(DESTINATION, &changed, &config).await;
    // All secrets are removed: the other keys are kept.
    config["secretConfiguration"] = Json::Null;
    let bare = update_with_secrets(&instance, &changed, config.clone()).await;
    assert_eq!(stand_in.configuration(&id)["credentials"], json!({"auth_type": "Key Pair Authentication"}));
    instance.assert_settled(DESTINATION, &bare, &config).await;
}

/// An imported configuration may contain secrets that Airbyte does not mask: terrace masks them.
#[tokio::test]
async fn probable_secrets_of_imported_source_are_sensitive() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    let mut config = file_source("places");
    config["configuration"]["reader_options"] = "{}".into();
    config["configuration"]["url"] = "https://me:hunter2@example.com/a.csv".into();
    let created = instance.create("airbyte_source", config).await.unwrap();
    let ty = instance.resource_type("airbyte_source").unwrap();
    let found = instance.session.import(ty, created.text("id").unwrap()).await.unwrap().unwrap();
    assert!(!format!("{found:?}").contains("hunter2"), "{found:?}");
    let shown = found.attributes["configuration"].to_json();
    assert_eq!(shown["dataset_name"], "places");
}

#[tokio::test]
async fn only_configured_keys_are_drift() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    let created = instance.create(SOURCE, file_source("places")).await.unwrap();
    let id = created.text("sourceId").unwrap();
    stand_in.patch(id, &json!({"configuration": {"reader_options": "{}"}}));
    instance.assert_settled(SOURCE, &created, &file_source("places")).await;
    for (path, value) in
        [("url", json!("elsewhere")), ("format", json!("json")), ("provider", json!({"storage": "S3"}))]
    {
        stand_in.patch(id, &json!({"configuration": {path: value}}));
        let read = instance.read(SOURCE, &created).await.unwrap().unwrap();
        assert_ne!(read.attributes["configuration"], created.attributes["configuration"], "{path}");
        let repaired = instance.update(SOURCE, &read, file_source("places")).await.unwrap();
        instance.assert_settled(SOURCE, &repaired, &file_source("places")).await;
    }
    stand_in.patch(id, &json!({"name": "theirs"}));
    let read = instance.read(SOURCE, &created).await.unwrap().unwrap();
    assert_eq!(read.attributes["name"], "theirs".into());
}

#[tokio::test]
async fn connector_is_set_once_and_a_change_replaces() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    let with = |connector: Json, definition: Json| {
        let mut config = file_source("places");
        config["connector"] = connector;
        config["definitionId"] = definition;
        config
    };
    for (config, expected) in [
        (with(Json::Null, Json::Null), "needs a `connector`"),
        (with("file".into(), DEFINITION_FILE.into()), "exclude each other"),
    ] {
        let error = instance.plan(SOURCE, None, &config).await.unwrap_err();
        assert!(error.message.contains(expected), "{error}");
    }
    let created = instance.create(SOURCE, with("file".into(), Json::Null)).await.unwrap();
    assert_eq!(created.text("definitionId"), Some(DEFINITION_FILE));
    // The same connector by its definition id.
    let by_definition = with(Json::Null, DEFINITION_FILE.into());
    instance.assert_settled(SOURCE, &created, &by_definition).await;
    let plan = instance.plan(SOURCE, Some(&created), &with("postgres".into(), Json::Null)).await.unwrap();
    assert_eq!(plan.replace_paths.len(), 1);
    let error = instance
        .create(SOURCE, {
            let mut it = with("flie".into(), Json::Null);
            it["name"] = "x".into();
            it
        })
        .await
        .unwrap_err();
    assert!(error.message.contains("flie"), "{error}");
}

#[tokio::test]
async fn refusal_of_the_connector_has_the_path_of_the_configuration() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    let mut config = file_source("places");
    config["configuration"] = json!({"dataset_name": "a", "format": "csv", "provider": {"storage": "HTTPS"}});
    let error = instance.create(SOURCE, config).await.unwrap_err();
    assert_eq!(error.vendor_code.as_deref(), Some("unprocessable-entity, HTTP 422"));
    assert!(error.message.contains("$.url: is missing but it is required"), "{error}");
    let terrace_provider::ErrorKind::InvalidInput { path: Some(path) } = &error.kind else { panic!("{error:?}") };
    assert_eq!(path.to_string(), "configuration");
    let mut gone = file_source("places");
    gone["workspaceId"] = json!(format!("2{}", &WORKSPACE[1..]));
    let error = instance.create(SOURCE, gone).await.unwrap_err();
    assert!(error.message.contains("workspace"), "{error}");
    assert_eq!(Value::from(json!(stand_in.inventory())), Value::List(Vec::new()));
}
