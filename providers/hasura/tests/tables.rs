use crate::harness::{Instance, PERMISSION, SOURCE, TABLE, path_of, permission, postgres, source, stand_in, table};
use serde_json::{Value as Json, json};
use terrace_provider::{ErrorKind, Severity, Value};
use terrace_test_hasura::{Fault, Mapper, StandIn};

async fn prepared() -> (StandIn, Instance) {
    let stand_in = stand_in(Mapper::Old);
    let instance = Instance::of(&stand_in).await;
    instance.create(SOURCE, &source("s")).await.unwrap();
    (stand_in, instance)
}

fn with(mut config: Json, name: &str, value: Json) -> Json {
    config[name] = value;
    config
}

fn line(stand_in: &StandIn, what: &str) -> String {
    stand_in.inventory().into_iter().find(|line| line.starts_with(what)).unwrap_or_default()
}

#[tokio::test]
async fn table_is_changed_in_place_and_unmanaged_keys_stay() {
    let (stand_in, instance) = prepared().await;
    let config = with(table("s", "ORDERS", "a_"), "columnConfig", json!({"ID": {"custom_name": "id"}}));
    let made = instance.create(TABLE, &config).await.unwrap();
    instance.assert_settled(TABLE, &made, &config).await;
    // Another client sets an unmanaged key.
    let foreign = json!({"custom_name": "a_name", "comment": "Access to the ORDERS table",
        "custom_root_fields": {"select": "a_select", "select_aggregate": "a_aggregate", "select_by_pk": "theirs"},
        "column_config": {"ID": {"custom_name": "id"}, "PRICE": {"comment": "theirs, too"}}});
    stand_in.metadata(&json!({"type": "snowflake_set_table_customization", "args": {"source": "s", "table": ["ORDERS"], "configuration": foreign}}));
    instance.assert_settled(TABLE, &made, &config).await;
    let _ = stand_in.take_calls();
    let other =
        json!({"source": "s", "table": ["ORDERS"], "customName": "b_name", "rootFields": {"select": "b_select"}});
    let changed = instance.update(TABLE, &made, &other).await.unwrap();
    assert_eq!(
        stand_in.take_writes(),
        ["bulk[snowflake_set_table_customization, snowflake_set_apollo_federation_config]"]
    );
    instance.assert_settled(TABLE, &changed, &other).await;
    let expected = r#"table s.ORDERS {"custom_name":"b_name","custom_root_fields":{"select":"b_select","select_by_pk":"theirs"},"column_config":{"PRICE":{"comment":"theirs, too"}}} null"#;
    assert_eq!(line(&stand_in, "table"), expected);
}

#[tokio::test]
async fn drift_covers_all_managed_parts_of_a_table() {
    let (stand_in, instance) = prepared().await;
    let config = with(table("s", "ORDERS", "a_"), "columnConfig", json!({"ID": {"custom_name": "id"}}));
    let made = instance.create(TABLE, &config).await.unwrap();
    let now = || {
        json!({"custom_name": "a_name", "comment": "Access to the ORDERS table",
        "custom_root_fields": {"select": "a_select", "select_aggregate": "a_aggregate"}, "column_config": {"ID": {"custom_name": "id"}}})
    };
    let mut cases = vec![];
    for (at, attribute) in [
        ("/custom_name", "customName"),
        ("/comment", "comment"),
        ("/custom_root_fields/select", "rootFields"),
        ("/custom_root_fields/select_aggregate", "rootFields"),
        ("/column_config/ID/custom_name", "columnConfig"),
    ] {
        let mut changed = now();
        *changed.pointer_mut(at).unwrap() = "theirs".into();
        cases.push((json!({"type": "snowflake_set_table_customization", "args": {"source": "s", "table": ["ORDERS"], "configuration": changed}}), attribute));
    }
    cases.push((
        json!({"type": "snowflake_set_apollo_federation_config", "args": {"source": "s", "table": ["ORDERS"]}}),
        "apolloFederation",
    ));
    for (request, attribute) in cases {
        stand_in.metadata(&request);
        let read = instance.read(TABLE, &made).await.unwrap().unwrap();
        let changes = instance.changes(TABLE, &read, &config).await;
        assert!(changes.contains(&attribute.to_owned()), "{attribute}: {changes:?}");
        let repaired = instance.update(TABLE, &read, &config).await.unwrap();
        instance.assert_settled(TABLE, &repaired, &config).await;
    }
}

/// Removed parts are drift like changed ones.
#[tokio::test]
async fn removal_of_managed_parts_is_drift() {
    let (stand_in, instance) = prepared().await;
    let config = table("s", "ORDERS", "a_");
    let made = instance.create(TABLE, &config).await.unwrap();
    let bare = json!({"custom_root_fields": {"select": "a_select", "select_aggregate": "a_aggregate"}});
    stand_in.metadata(&json!({"type": "snowflake_set_table_customization", "args": {"source": "s", "table": ["ORDERS"], "configuration": bare}}));
    let read = instance.session.read(instance.ty(TABLE), &made).await.unwrap().unwrap();
    assert_eq!((&read.attributes["customName"], &read.attributes["comment"]), (&Value::Null, &Value::Null));
    let few = with(permission("s", "ORDERS", "r"), "limit", 10.into());
    let made = instance.create(PERMISSION, &few).await.unwrap();
    let of = |what: &str, more: Json| {
        let mut args = json!({"source": "s", "table": ["ORDERS"], "role": "r"});
        args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        stand_in.metadata(&json!({"type": format!("snowflake_{what}_select_permission"), "args": args}));
    };
    of("drop", json!({}));
    of("create", json!({"permission": {"columns": "*", "filter": {}}}));
    let read = instance.session.read(instance.ty(PERMISSION), &made).await.unwrap().unwrap();
    assert_eq!(read.attributes["limit"], Value::Null);
}

#[tokio::test]
async fn invalid_names_are_refused_first() {
    let (stand_in, instance) = prepared().await;
    let _ = stand_in.take_calls();
    let fields = |fields: Json| with(table("s", "ORDERS", "a_"), "rootFields", fields);
    let cases = [
        (fields(json!({"select": "1st"})), "rootFields.select"),
        (fields(json!({"select": "a", "selectByPk": "a"})), "rootFields.selectByPk"),
        (fields(json!({"select": "__a"})), "rootFields.select"),
        (with(table("s", "ORDERS", "a_"), "customName", "grün".into()), "customName"),
        (with(table("s", "ORDERS", "a_"), "table", json!([])), "table"),
        (with(table("s", "ORDERS", "a_"), "table", json!(["A", ""])), "table[1]"),
        (with(table("s", "ORDERS", "a_"), "columnConfig", json!([1])), "columnConfig"),
    ];
    for (config, path) in cases {
        let error = instance.plan(TABLE, None, &config).await.unwrap_err();
        assert_eq!(path_of(&error), path, "{error}");
    }
    for (name, value, path) in [
        ("columns", json!(["*", "ID"]), "columns"),
        ("limit", json!(0), "limit"),
        ("role", json!("admin"), "role"),
        ("filter", json!("x"), "filter"),
    ] {
        let config = with(permission("s", "ORDERS", "r"), name, value);
        assert_eq!(path_of(&instance.plan(PERMISSION, None, &config).await.unwrap_err()), path);
    }
    assert!(stand_in.take_calls().is_empty());
}

#[tokio::test]
async fn plan_checks_the_server() {
    let (stand_in, instance) = prepared().await;
    instance.create(SOURCE, &postgres("p")).await.unwrap();
    instance.create(TABLE, &table("s", "ITEMS", "taken_")).await.unwrap();
    let _ = stand_in.take_calls();
    let first_finding = |path: &'static str, config: Json| {
        let instance = &instance;
        async move {
            let findings = instance.findings(TABLE, &config).await;
            assert_eq!(findings.len(), 1, "{findings:?}");
            assert_eq!(findings[0].path.as_ref().map(ToString::to_string).as_deref(), Some(path), "{findings:?}");
            (findings[0].severity, findings[0].message.clone())
        }
    };
    let fields = |source: &str, fields: Json| json!({"source": source, "table": ["ORDERS"], "rootFields": fields});
    let (severity, message) = first_finding("rootFields.select", table("s", "ORDERS", "taken_")).await;
    assert_eq!(severity, Severity::Error);
    assert_eq!(message, "Hasura already has a root field `taken_select`; the table `ITEMS` of the source `s` has it");
    let (severity, message) =
        first_finding("rootFields.selectStream", fields("s", json!({"selectStream": "rows"}))).await;
    assert_eq!(
        (severity, message.as_str()),
        (Severity::Error, "the source `s` of the kind `snowflake` cannot stream rows")
    );
    let (severity, message) = first_finding("rootFields.selectByPk", fields("s", json!({"selectByPk": "row"}))).await;
    assert_eq!(severity, Severity::Error);
    assert_eq!(message, "`ORDERS` has no primary key, so `row` would return nothing");
    // A source of the same apply is checked before the table is.
    for error in [
        instance.create(TABLE, &fields("s", json!({"selectByPk": "row"}))).await.unwrap_err(),
        instance.create(TABLE, &fields("s", json!({"selectStream": "rows"}))).await.unwrap_err(),
    ] {
        assert!(path_of(&error).starts_with("rootFields."), "{error}");
    }
    assert!(stand_in.take_writes().is_empty());
    let of_view = json!({"source": "p", "table": ["public", "it's \\ all"], "rootFields": {"selectByPk": "row"}});
    let (severity, message) = first_finding("rootFields.selectByPk", of_view.clone()).await;
    assert_eq!(severity, Severity::Error);
    assert_eq!(message, r"`public.it's \ all` has no primary key, so `row` would return nothing");
    assert!(path_of(&instance.create(TABLE, &of_view).await.unwrap_err()).starts_with("rootFields."));
    let (severity, message) = first_finding("source", fields("gone", json!({"select": "rows"}))).await;
    assert_eq!((severity, message.as_str()), (Severity::Note, "not checked: the source `gone` does not exist yet"));
    let of_postgres = json!({"source": "p", "table": ["public", "orders"], "rootFields": {"selectStream": "rows", "selectByPk": "row"}});
    assert_eq!(instance.findings(TABLE, &of_postgres).await, []);
    let made = instance.create(TABLE, &of_postgres).await.unwrap();
    instance.assert_settled(TABLE, &made, &of_postgres).await;
    assert!(
        stand_in
            .inventory()
            .join("\n")
            .contains(r#"table p.orders {"custom_root_fields":{"select_by_pk":"row","select_stream":"rows"}}"#)
    );
}

/// If the check is refused or fails, the plan notes that it was skipped, and continues.
#[tokio::test]
async fn failed_check_of_a_key_does_not_prevent_tracking() {
    let (stand_in, instance) = prepared().await;
    instance.create(SOURCE, &postgres("p")).await.unwrap();
    let config = json!({"source": "p", "table": ["public", "orders"], "rootFields": {"selectByPk": "row"}});
    for _ in 0..2 {
        stand_in.faults().by_text.push(("run_sql".to_owned(), Fault::Denied));
    }
    let findings = instance.findings(TABLE, &config).await;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].severity, Severity::Warning, "{findings:?}");
    assert!(findings[0].message.starts_with("not checked: "), "{findings:?}");
    let made = instance.create(TABLE, &config).await.unwrap();
    assert!(stand_in.faults().by_text.is_empty());
    instance.assert_settled(TABLE, &made, &config).await;
}

#[tokio::test]
async fn missing_source_or_table_lists_existing_ones() {
    let (stand_in, instance) = prepared().await;
    let error = instance.create(TABLE, &table("sx", "ORDERS", "a_")).await.unwrap_err();
    assert_eq!(path_of(&error), "source");
    assert_eq!((error.message.as_str(), error.problems[0].as_str()), ("Hasura has no source `sx`", "it has `s`"));
    let error = instance.create(PERMISSION, &permission("s", "ORDERS", "r")).await.unwrap_err();
    assert_eq!((path_of(&error).as_str(), error.problems[0].as_str()), ("table", "it has none"));
    // Only Hasura knows the database of the source.
    let error = instance.create(TABLE, &table("s", "GONE", "a_")).await.unwrap_err();
    assert_eq!(path_of(&error), "table");
    assert!(error.message.contains("no such table/view exists in source"), "{error}");
    instance.create(TABLE, &table("s", "ORDERS", "a_")).await.unwrap();
    let columns = with(permission("s", "ORDERS", "r"), "columns", json!(["ID", "WRONG"]));
    let error = instance.create(PERMISSION, &columns).await.unwrap_err();
    assert!(error.message.contains("\"WRONG\" does not exist"), "{error}");
    assert_eq!(stand_in.inventory().len(), 2);
}

#[tokio::test]
async fn permission_is_changed_without_a_gap() {
    let (stand_in, instance) = prepared().await;
    instance.create(TABLE, &table("s", "ORDERS", "a_")).await.unwrap();
    let config = permission("s", "ORDERS", "r");
    let made = instance.create(PERMISSION, &config).await.unwrap();
    instance.assert_settled(PERMISSION, &made, &config).await;
    let _ = stand_in.take_calls();
    let other = with(with(config.clone(), "columns", json!(["NAME", "ID"])), "allowAggregations", true.into());
    let changed = instance.update(PERMISSION, &made, &other).await.unwrap();
    assert_eq!(stand_in.take_writes(), ["bulk[snowflake_drop_select_permission, snowflake_create_select_permission]"]);
    instance.assert_settled(PERMISSION, &changed, &other).await;
    assert_eq!(
        line(&stand_in, "select"),
        r#"select s.ORDERS r {"columns":["ID","NAME"],"filter":{},"allow_aggregations":true,"computed_fields":[]}"#
    );
}

#[tokio::test]
async fn dependent_object_keeps_its_table() {
    let (stand_in, instance) = prepared().await;
    let made = instance.create(TABLE, &table("s", "ORDERS", "a_")).await.unwrap();
    stand_in.add_dependant("s", &json!(["ORDERS"]), "relationship ITEMS.order in source \"s\"");
    let error = instance.delete(TABLE, &made).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Failed);
    assert!(error.message.contains("relationship ITEMS.order"), "{error}");
}

#[tokio::test]
async fn one_export_answers_a_whole_plan() {
    let stand_in = stand_in(Mapper::Extended);
    let instance = Instance::with(
        terrace_provider_hasura::HasuraProvider::with_variables(std::collections::BTreeMap::new()),
        &crate::harness::settings(&stand_in),
    )
    .await;
    let source = instance.create(SOURCE, &source("s")).await.unwrap();
    let table = instance.create(TABLE, &table("s", "ORDERS", "a_")).await.unwrap();
    let permission = instance.create(PERMISSION, &permission("s", "ORDERS", "r")).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(3100)).await;
    let _ = stand_in.take_calls();
    let rows = [(SOURCE, source), (TABLE, table), (PERMISSION, permission)];
    let reads = rows.iter().map(|(ty, row)| async {
        let priors = vec![row.clone(); 20];
        let answers = instance.session.read_many(instance.ty(ty), &priors).await;
        assert!(answers.iter().all(|answer| answer.as_ref().unwrap().is_some()));
    });
    futures_util::future::join_all(reads).await;
    let lines: Vec<String> = stand_in.take_calls().into_iter().map(|it| it.line).collect();
    assert_eq!(lines, ["export_metadata"]);
}
