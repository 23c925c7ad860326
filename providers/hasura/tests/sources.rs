use crate::harness::{Instance, SOURCE, attributes, path_of, postgres, provider, settings, source, stand_in, table};
use crate::harness::{TABLE, recorded};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::time::Duration;
use terrace_provider::{ErrorKind, Found, Value};
use terrace_provider_hasura::HasuraProvider;
use terrace_test_hasura::Mapper;

const PASSWORD: &str = "top secret";

fn with(mut config: Json, name: &str, value: Json) -> Json {
    config[name] = value;
    config
}

/// Everything in a row that is visible, as JSON.
fn shown(recorded: &terrace_provider::Recorded) -> String {
    Value::Map(recorded.attributes.clone()).to_json_text() + &String::from_utf8_lossy(&recorded.private.0)
}

#[tokio::test]
async fn connection_becomes_the_string_of_existing_services() {
    let stand_in = stand_in(Mapper::Old);
    stand_in.set_password(PASSWORD);
    let instance = Instance::of(&stand_in).await;
    let made = instance.create(SOURCE, &source("sales_orders_1")).await.unwrap();
    let line = stand_in.inventory().join("\n");
    let url = "jdbc:snowflake://a1.snowflakecomputing.com/?user=HASURA&password=top%20secret&role=READER&warehouse=WH&db=SALES&schema=ORDERS_1";
    assert!(line.contains(&format!("{{\"fully_qualify_all_names\":false,\"jdbc_url\":\"{url}\"}}")), "{line}");
    instance.assert_settled(SOURCE, &made, &source("sales_orders_1")).await;
    assert!(!shown(&made).contains("top"), "{made:?}");
    assert_eq!(made.text("endpoint"), Some(format!("{}/v1/graphql", stand_in.url()).as_str()));
}

#[tokio::test]
async fn changed_password_is_detected_but_never_shown() {
    let stand_in = stand_in(Mapper::Old);
    let instance = Instance::of(&stand_in).await;
    let made = instance.create(SOURCE, &source("s")).await.unwrap();
    // The configured password differs now.
    let other = with(source("s"), "password", "new word".into());
    assert_eq!(instance.changes(SOURCE, &made, &other).await, ["isAsConfigured"]);
    let made = instance.update(SOURCE, &made, &other).await.unwrap();
    assert!(stand_in.inventory().join("\n").contains("password=new%20word"));
    instance.assert_settled(SOURCE, &made, &other).await;
    // Another client writes a different one.
    let url = "jdbc:snowflake://a1.snowflakecomputing.com/?user=HASURA&password=theirs&role=READER&warehouse=WH&db=SALES&schema=ORDERS_1";
    stand_in.metadata(
        &json!({"type": "snowflake_update_source", "args": {"name": "s", "configuration": {"jdbc_url": url}}}),
    );
    let read = instance.read(SOURCE, &made).await.unwrap().unwrap();
    assert_eq!(instance.changes(SOURCE, &read, &other).await, ["isAsConfigured"]);
    assert!(!shown(&read).contains("theirs"));
    let repaired = instance.update(SOURCE, &read, &other).await.unwrap();
    instance.assert_settled(SOURCE, &repaired, &other).await;
}

#[tokio::test]
async fn unmanaged_settings_of_a_source_stay() {
    let stand_in = stand_in(Mapper::Old);
    let instance = Instance::of(&stand_in).await;
    let made = instance.create(SOURCE, &postgres("p")).await.unwrap();
    // Keys that Hasura adds are not a difference.
    assert!(stand_in.inventory().join("\n").contains("\"isolation_level\":\"read-committed\""));
    instance.assert_settled(SOURCE, &made, &postgres("p")).await;
    let foreign = json!({"connection_info": {"database_url": "postgres://u:hidden%20word@db:5432/shop",
        "pool_settings": {"max_connections": 5, "retries": 9}}, "extensions_schema": "ext"});
    stand_in.metadata(&json!({"type": "pg_update_source", "args": {"name": "p", "configuration": foreign}}));
    instance.assert_settled(SOURCE, &made, &postgres("p")).await;
    let wider =
        with(postgres("p"), "configuration", json!({"connection_info": {"pool_settings": {"idle_timeout": 3}}}));
    let changed = instance.update(SOURCE, &made, &wider).await.unwrap();
    instance.assert_settled(SOURCE, &changed, &wider).await;
    let line = stand_in.inventory().join("\n");
    assert!(line.contains("\"retries\":9") && line.contains("\"extensions_schema\":\"ext\""), "{line}");
    assert!(line.contains("\"idle_timeout\":3") && !line.contains("max_connections"), "{line}");
}

#[tokio::test]
async fn variables_supply_missing_parts_of_a_connection() {
    let stand_in = stand_in(Mapper::Old);
    let variables = [
        ("HASURA_URL", stand_in.url()),
        ("HASURA_ADMIN_SECRET", "secret"),
        ("ROLE_MAPPER_URL", stand_in.mapper_url()),
        ("SNOWFLAKE_HOST", "a1.snowflakecomputing.com"),
        ("SNOWFLAKE_USER", "HASURA"),
        ("SNOWFLAKE_PASSWORD", PASSWORD),
        ("SNOWFLAKE_ROLE", "READER"),
        ("SNOWFLAKE_WAREHOUSE", "WH"),
    ];
    let of = |variables: &[(&str, &str)]| {
        let variables: BTreeMap<String, String> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        HasuraProvider::with_variables(variables).with_export_max_age(Duration::ZERO)
    };
    let mut empty_settings = settings(&stand_in);
    empty_settings.instance = "hasura".to_owned();
    empty_settings.values.clear();
    let instance = Instance::with(of(&variables), &empty_settings).await;
    let config = json!({"name": "s", "kind": "snowflake", "connection": {"database": "SALES", "schema": "ORDERS_1"}});
    let made = instance.create(SOURCE, &config).await.unwrap();
    assert!(
        stand_in.inventory()[0]
            .contains("user=HASURA&password=top%20secret&role=READER&warehouse=WH&db=SALES&schema=ORDERS_1")
    );
    instance.assert_settled(SOURCE, &made, &config).await;
    // Another user in the variables is another connection.
    let mut other_variables = variables;
    other_variables[4] = ("SNOWFLAKE_USER", "OTHER");
    let other = Instance::with(of(&other_variables), &empty_settings).await;
    let read = other.read(SOURCE, &made).await.unwrap().unwrap();
    assert_eq!(other.changes(SOURCE, &read, &config).await, ["connection", "isAsConfigured"]);
    let changed = other.update(SOURCE, &read, &config).await.unwrap();
    other.assert_settled(SOURCE, &changed, &config).await;
    // Without variables a part is missing, which is reported before a request is sent.
    let without = Instance::with(provider(), &settings(&stand_in)).await;
    let _ = stand_in.take_calls();
    let findings = without.findings(SOURCE, &config).await;
    assert_eq!(findings[0].message, "Hasura needs the host to connect to Snowflake");
    let error = without
        .create(
            SOURCE,
            &json!({"name": "t", "kind": "snowflake", "connection": {"host": "h", "user": "u", "database": "D"}}),
        )
        .await
        .unwrap_err();
    assert_eq!(path_of(&error), "password");
    assert!(stand_in.take_calls().is_empty());
}

#[tokio::test]
async fn source_with_foreign_tables_stays() {
    let stand_in = stand_in(Mapper::Old);
    let instance = Instance::of(&stand_in).await;
    let made = instance.create(SOURCE, &source("s")).await.unwrap();
    let tracked = instance.create(TABLE, &table("s", "ORDERS", "a_")).await.unwrap();
    let _ = stand_in.take_calls();
    let error = instance.delete(SOURCE, &made).await.unwrap_err();
    assert!(error.problems[0].contains("`ORDERS`"), "{error:?}");
    assert!(stand_in.take_writes().is_empty());
    instance.delete(TABLE, &tracked).await.unwrap();
    instance.delete(SOURCE, &made).await.unwrap();
    assert!(stand_in.inventory().is_empty());
}

#[tokio::test]
async fn refused_database_is_reported_and_undone() {
    let stand_in = stand_in(Mapper::Old);
    stand_in.set_password("another");
    let instance = Instance::of(&stand_in).await;
    let error = instance.create(SOURCE, &source("s")).await.unwrap_err();
    assert_eq!(path_of(&error), "connection");
    assert!(error.message.contains("incorrect username or password"), "{error}");
    assert_eq!(error.vendor_code.as_deref(), Some("invalid-configuration, HTTP 400"));
    assert!(!format!("{error:?}").contains(PASSWORD));
    assert!(stand_in.inventory().is_empty());
}

#[tokio::test]
async fn contradictions_are_refused_at_their_attribute() {
    let stand_in = stand_in(Mapper::Old);
    let instance = Instance::of(&stand_in).await;
    let both = with(source("s"), "configuration", json!({"jdbc_url": "x"}));
    let twice = with(
        postgres("p"),
        "secretConfiguration",
        json!({"connection_info": {"pool_settings": {"max_connections": 1}}}),
    );
    let cases = [
        (both, "connection"),
        (json!({"name": "s", "kind": "snowflake"}), "(invalid_input)"),
        (json!({"name": "s", "kind": "Snow-flake", "configuration": {}}), "kind"),
        (with(source("s"), "kind", "postgres".into()), "connection"),
        (with(source("s"), "name", "  ".into()), "name"),
        (twice, "secretConfiguration.connection_info.pool_settings.max_connections"),
        (with(source("s"), "connection", json!({"host": "h/?user=x", "database": "D"})), "connection.host"),
    ];
    for (config, path) in cases {
        let error = instance.plan(SOURCE, None, &config).await.unwrap_err();
        assert_eq!(path_of(&error), path, "{error}");
        assert!(path == "(invalid_input)" || !error.solutions.is_empty() || path.starts_with("secret"), "{error}");
    }
    assert!(stand_in.take_calls().is_empty());
}

/// An intent has no secrets; the created source is recognised by all other values.
#[tokio::test]
async fn lost_source_is_found_without_its_password() {
    let stand_in = stand_in(Mapper::Old);
    let instance = Instance::of(&stand_in).await;
    instance.create(SOURCE, &source("s")).await.unwrap();
    let mut intent = source("s");
    intent.as_object_mut().unwrap().remove("password");
    let found = instance.find(SOURCE, &intent, None, true).await.unwrap();
    assert!(matches!(found, Found::Own(_)), "{found:?}");
    intent["connection"]["user"] = "SOMEBODY".into();
    let found = instance.find(SOURCE, &intent, None, true).await.unwrap();
    assert!(matches!(found, Found::Foreign(_)), "{found:?}");
}

/// A literal password replaces a reference to a variable: the change is visible, the password is not.
#[tokio::test]
async fn foreign_literal_password_is_never_shown() {
    let stand_in = stand_in(Mapper::Old);
    stand_in.set_variable("SHOP_URL", "postgres://u:p@db:5432/shop");
    let instance = Instance::of(&stand_in).await;
    let config = json!({"name": "p", "kind": "postgres", "configuration": {"connection_info": {"database_url": {"from_env": "SHOP_URL"}}}});
    let made = instance.create(SOURCE, &config).await.unwrap();
    instance.assert_settled(SOURCE, &made, &config).await;
    stand_in.metadata(&json!({"type": "pg_add_source", "args": {"name": "p", "replace_configuration": true,
        "configuration": {"connection_info": {"database_url": "postgres://u:hunter2@db:5432/shop"}}}}));
    let read = instance.read(SOURCE, &made).await.unwrap().unwrap();
    assert!(!shown(&read).contains("hunter2"), "{}", shown(&read));
    assert!(instance.changes(SOURCE, &read, &config).await.contains(&"configuration".to_owned()));
}

#[tokio::test]
async fn import_shows_no_secrets() {
    let stand_in = stand_in(Mapper::Old);
    let instance = Instance::of(&stand_in).await;
    instance.create(SOURCE, &source("s")).await.unwrap();
    instance.create(SOURCE, &postgres("p")).await.unwrap();
    for (id, config) in [("s", source("s")), ("p", postgres("p"))] {
        let imported = instance.session.import(instance.ty(SOURCE), id).await.unwrap().unwrap();
        let imported = recorded(&attributes(json!({})), imported);
        let text = shown(&imported);
        assert!(!text.contains("top") && !text.contains("hidden"), "{text}");
        let changes = instance.changes(SOURCE, &imported, &config).await;
        // A configuration in Hasura's format includes the keys that Hasura added.
        assert!(changes.is_empty() || changes == ["configuration"] && id == "p", "{id}: {changes:?}");
    }
    let error = instance.session.import(instance.ty(SOURCE), "a/b").await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::InvalidInput { .. }), "{error}");
    assert_eq!(instance.session.import(instance.ty(SOURCE), "gone").await.unwrap(), None);
}
