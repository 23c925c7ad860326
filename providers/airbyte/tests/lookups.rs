use crate::harness::{Instance, attributes, connected, destination, file_source, settings};
use futures_util::future::join_all;
use serde_json::{Value as Json, json};
use terrace_provider::wrap::Limits;
use terrace_provider::{ErrorKind, Finding, Provider, Severity, Value};
use terrace_provider_airbyte::AirbyteProvider;
use terrace_test_airbyte::{DEFINITION_FILE, DEFINITION_SNOWFLAKE, Fault, StandIn, WORKSPACE};

async fn findings(instance: &Instance, ty: &str, config: &Json) -> Vec<Finding> {
    let planned = instance.plan(ty, None, config).await.unwrap().planned;
    match instance.session.validate_remote(instance.ty(ty), &planned) {
        Some(dry_run) => dry_run.await,
        None => Vec::new(),
    }
}

#[tokio::test]
async fn validation_checks_streams_with_one_discovery() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    let (source, sink) = connected(&stand_in);
    let config = |streams: Json| json!({"workspaceId": WORKSPACE, "name": "a to b", "sourceId": source, "destinationId": sink, "streams": streams});
    let good = config(json!([{"name": "orders", "syncMode": "incremental_append", "selectedFields": ["id", "total"]}]));
    let bad = config(
        json!([{"name": "order"}, {"name": "orders", "syncMode": "full_refresh_update"}, {"name": "customers", "selectedFields": ["id", "mail"]}]),
    );
    let findings_of_good = join_all((0..5).map(|_| findings(&instance, "airbyte_connection", &good))).await;
    assert!(findings_of_good.iter().all(Vec::is_empty), "{findings_of_good:?}");
    let found = findings(&instance, "airbyte_connection", &bad).await;
    let shown: Vec<String> = found.iter().map(|it| format!("{} {}", it.path.as_ref().unwrap(), it.message)).collect();
    assert_eq!(
        shown,
        [
            "streams[0].name the source has no stream `order`; did you mean `orders`?",
            "streams[1].syncMode the stream `orders` does not support the mode `full_refresh_update`",
            "streams[2].selectedFields[1] the stream `customers` has no field `mail`",
        ]
    );
    assert!(found.iter().all(|it| it.severity == Severity::Error && it.hint.is_some()));
    instance.session.lookup("airbyte_streams", &attributes(json!({"sourceId": source}))).await.unwrap();
    let discoveries = stand_in.take_calls().iter().filter(|it| it.path.ends_with("/streams")).count();
    assert_eq!(discoveries, 1);
    // A missing source is only a warning.
    let mut gone = good.clone();
    gone["sourceId"] = "00000000-0000-4000-8000-ffffffffffff".into();
    let found = findings(&instance, "airbyte_connection", &gone).await;
    assert!(found.iter().any(|it| it.severity == Severity::Warning && it.message.contains("not found")), "{found:?}");
    assert!(found.iter().all(|it| it.severity == Severity::Warning), "{found:?}");
}

/// A failed discovery is not cached.
#[tokio::test]
async fn streams_of_a_missing_source_are_requested_again() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    let created = instance.create("airbyte_source", file_source("places")).await.unwrap();
    let arguments = attributes(json!({"sourceId": created.text("sourceId").unwrap()}));
    stand_in.faults().by_call.push(("GET", "/streams", Fault::Status(404)));
    instance.session.lookup("airbyte_streams", &arguments).await.unwrap_err();
    let answer = instance.session.lookup("airbyte_streams", &arguments).await.unwrap();
    assert_eq!(answer["streams"].as_list().map(<[Value]>::len), Some(1));
}

#[tokio::test]
async fn at_most_two_discoveries_run_at_once() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    let sources: Vec<String> = (0..6)
        .map(|number| {
            stand_in.make(
                true,
                &json!({"name": format!("s{number}"), "workspaceId": WORKSPACE, "configuration": {
                "sourceType": "postgres", "host": "h", "port": 5432, "database": "d", "username": "u"}}),
            )
        })
        .collect();
    stand_in.faults().takes = Some(std::time::Duration::from_millis(50));
    stand_in.reset_count();
    let look_up = async |source: &String| {
        instance.session.lookup("airbyte_streams", &attributes(json!({"sourceId": source}))).await.unwrap()
    };
    join_all(sources.iter().chain(&sources).map(look_up)).await;
    assert_eq!((stand_in.count(), stand_in.max_concurrent()), (6, 2));
    // A cached answer needs no request.
    stand_in.faults().takes = None;
    look_up(&sources[0]).await;
    assert_eq!(stand_in.count(), 6);
}

#[tokio::test]
async fn defaults_need_no_request() {
    let stand_in = StandIn::start();
    let mut of = settings(&stand_in, json!({}));
    of.instance = "airbyte".to_owned();
    let variables =
        [("SNOWFLAKE_USER", "LOADER"), ("SNOWFLAKE_PASSWORD", "hunter2"), ("AIRBYTE_SOURCE_ID", DEFINITION_FILE)];
    let variables = variables.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
    let session = AirbyteProvider::with_variables(variables).connect(&of).await.unwrap();
    let answer = session.lookup("airbyte_defaults", &attributes(json!({}))).await.unwrap();
    assert_eq!(
        (answer["user"].clone(), answer["sourceDefinitionId"].clone()),
        ("LOADER".into(), DEFINITION_FILE.into())
    );
    assert!(answer["host"].is_null() && answer["destinationDefinitionId"].is_null());
    assert_eq!(stand_in.take_calls().len(), 0);
}

#[tokio::test]
async fn lookups_return_workspaces_connectors_and_streams() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    let (source, _) = connected(&stand_in);
    let look_up = async |name: &str, arguments: Json| instance.session.lookup(name, &attributes(arguments)).await;
    let workspace = look_up("airbyte_workspace", json!({})).await.unwrap();
    assert_eq!(workspace["name"], "Data products".into());
    assert_eq!(workspace["url"], format!("{}/workspaces/{WORKSPACE}", stand_in.url()).into());
    assert_eq!(
        look_up("airbyte_workspace", json!({"name": "Data products"})).await.unwrap()["workspaceId"],
        WORKSPACE.into()
    );
    for wrong in [json!({"name": "none"}), json!({"workspaceId": "none"})] {
        let error = look_up("airbyte_workspace", wrong.clone()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound, "{wrong}: {error}");
    }
    let definition =
        look_up("airbyte_definition", json!({"kind": "source", "name": "file", "specification": false})).await.unwrap();
    assert_eq!(
        (&definition["definitionId"], &definition["specification"]),
        (&DEFINITION_FILE.into(), &terrace_provider::Value::Null)
    );
    let by_name = look_up("airbyte_definition", json!({"kind": "destination", "name": "snowflake"})).await.unwrap();
    assert_eq!(by_name["definitionId"], DEFINITION_SNOWFLAKE.into());
    let error = look_up("airbyte_definition", json!({"kind": "source", "name": "file", "specification": true}))
        .await
        .unwrap_err();
    assert!(error.solutions[0].contains("api: {config: true}"), "{error:?}");
    let error = look_up("airbyte_definition", json!({"kind": "source", "name": "flie"})).await.unwrap_err();
    assert!(error.problems[0].contains("Postgres"), "{error:?}");
    let streams = look_up("airbyte_streams", json!({"sourceId": source})).await.unwrap()["streams"].to_json();
    assert_eq!(streams[1]["name"], "orders");
    assert_eq!(streams[1]["primaryKey"], json!([["id"]]));
}

#[tokio::test]
async fn validation_uses_the_config_api_if_enabled() {
    let stand_in = StandIn::start();
    let with = json!({"api": {"config": true}});
    let instance = Instance::with(&stand_in, with, Limits { retries: 0, ..Limits::default() }).await;
    assert_eq!(findings(&instance, "airbyte_source", &file_source("a")).await, []);
    assert_eq!(findings(&instance, "airbyte_destination", &destination("a")).await, []);
    let mut wrong = destination("a");
    wrong["configuration"] =
        json!({"host": "h", "role": "R", "warehouse": "W", "databse": "D", "schema": "S", "username": "U"});
    let found = findings(&instance, "airbyte_destination", &wrong).await;
    let shown: Vec<String> = found.iter().map(|it| format!("{}: {}", it.path.as_ref().unwrap(), it.message)).collect();
    assert_eq!(
        shown,
        [
            "configuration: the connector needs `database`",
            "configuration.databse: the connector has no key `databse`; did you mean `database`?"
        ]
    );
    let mut unreachable = file_source("a");
    unreachable["configuration"]["url"] = "https://host.invalid/a.csv".into();
    let found = findings(&instance, "airbyte_source", &unreachable).await;
    assert!(found[0].message.contains("State code: 08001"), "{found:?}");
    let schema = attributes(json!({"kind": "source", "name": "file", "specification": true}));
    let definition = instance.session.lookup("airbyte_definition", &schema).await.unwrap();
    assert!(definition["specification"].to_json()["required"].is_array());
    assert!(stand_in.take_writes().is_empty());
    // If the Config API is disabled, no request is sent.
    let plain = Instance::of(&stand_in).await;
    let _ = stand_in.take_calls();
    assert_eq!(findings(&plain, "airbyte_source", &unreachable).await, []);
    assert_eq!(stand_in.take_calls().len(), 0);
}

#[tokio::test]
async fn invalid_settings_are_refused_with_a_hint() {
    let stand_in = StandIn::start();
    for (more, expected) in [
        (json!({"url": "ftp://x"}), "is not the URL of an Airbyte server"),
        (json!({"url": "https://me:hunter2@x"}), "it contains a user"),
        (json!({"clientId": "x"}), "exclude each other"),
        (json!({"token": null, "clientId": "x"}), "needs `clientSecret`"),
        (json!({"token": null, "username": "x"}), "needs `password`"),
        (json!({"timeout": 0}), "out of range"),
    ] {
        let error = AirbyteProvider::new().connect(&settings(&stand_in, more.clone())).await.err().unwrap();
        assert!(error.message.contains(expected) && !error.message.contains("hunter2"), "{more}: {error}");
    }
    let nowhere = AirbyteProvider::new().connect(&settings(&stand_in, json!({"url": null}))).await.unwrap();
    let error = nowhere.lookup("airbyte_workspace", &attributes(json!({}))).await.unwrap_err();
    assert!(error.solutions[0].contains("`url`"), "{error:?}");
}
