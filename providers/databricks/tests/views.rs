//! Reads and updates of views.

use crate::conformance::{prepared, view};
use crate::harness::Instance;
use serde_json::{Value as Json, json};
use terrace_provider::{ErrorKind, Severity};

const VIEW: &str = "databricks_view";

#[tokio::test]
async fn update_keeps_the_grants_of_a_view() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let created = instance.create(VIEW, view(&stand_in, json!([{"name": "id"}]))).await.unwrap();
    let path = "/api/2.1/unity-catalog/permissions/table/main.out.orders_view";
    stand_in.call("PATCH", path, json!({"changes": [{"principal": "dev", "add": ["SELECT"]}]}));
    let config = view(&stand_in, json!([{"name": "Name", "comment": "it's \\ `new`"}, {"name": "price"}]));
    let changed = instance.update(VIEW, &created, config.clone()).await.unwrap();
    instance.assert_settled(VIEW, &changed, &config).await;
    let grants = stand_in.call("GET", path, Json::Null);
    assert_eq!(grants["privilege_assignments"][0]["principal"], "dev");
    let statements: Vec<String> =
        stand_in.take_calls().iter().filter_map(|it| it.body["statement"].as_str().map(str::to_owned)).collect();
    assert!(!statements.iter().any(|it| it.contains("REPLACE")), "{statements:?}");
    assert_eq!(created.attributes["tableId"], changed.attributes["tableId"]);
}

#[tokio::test]
async fn only_managed_comments_are_repaired() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let config = view(&stand_in, json!([{"name": "id", "comment": "ours"}, {"name": "Name"}]));
    let created = instance.create(VIEW, config.clone()).await.unwrap();
    stand_in.sql("COMMENT ON COLUMN main.out.orders_view.name IS 'theirs'");
    let read = instance.read(VIEW, &created).await.unwrap().unwrap();
    instance.assert_settled(VIEW, &read, &config).await;
    stand_in.sql("COMMENT ON COLUMN main.out.orders_view.id IS 'tampered'");
    stand_in.sql("COMMENT ON TABLE main.out.orders_view IS NULL");
    let read = instance.read(VIEW, &created).await.unwrap().unwrap();
    assert!(!read.attributes["columns"].is_same_as(&created.attributes["columns"]));
    assert!(!read.attributes.contains_key("comment"));
    let repaired = instance.update(VIEW, &read, config.clone()).await.unwrap();
    instance.assert_settled(VIEW, &repaired, &config).await;
    let table = stand_in.call("GET", "/api/2.1/unity-catalog/tables/main.out.orders_view", Json::Null);
    assert_eq!(table["columns"][1]["comment"], "theirs");
}

/// A new query removes all comments: unmanaged ones are restored, except comments inherited from the old source.
#[tokio::test]
async fn unmanaged_comments_survive_a_new_query() {
    let (stand_in, _) = prepared();
    stand_in.add_table("main.raw.more", &[("id", "int"), ("Name", "string"), ("price", "decimal(10,2)")]);
    stand_in.sql("COMMENT ON COLUMN main.raw.orders.price IS 'of the source'");
    stand_in.sql("COMMENT ON COLUMN main.raw.more.price IS 'of another source'");
    let instance = Instance::of(&stand_in).await;
    let mut config = view(&stand_in, json!([{"name": "id", "comment": "ours"}, {"name": "Name"}, {"name": "price"}]));
    config["comment"] = Json::Null;
    let created = instance.create(VIEW, config.clone()).await.unwrap();
    stand_in.sql("COMMENT ON COLUMN main.out.orders_view.name IS 'their \\'own\\' words'");
    stand_in.sql("COMMENT ON TABLE main.out.orders_view IS 'theirs, too'");
    let shown = |at: usize| {
        let table = stand_in.call("GET", "/api/2.1/unity-catalog/tables/main.out.orders_view", Json::Null);
        (table["comment"].clone(), table["columns"][at]["comment"].clone())
    };
    // First another source, then all of its columns in their order, then fewer columns.
    config["source"]["name"] = "more".into();
    let moved = instance.update(VIEW, &created, config.clone()).await.unwrap();
    instance.assert_settled(VIEW, &moved, &config).await;
    assert_eq!(shown(0), (json!("theirs, too"), json!("ours")));
    assert_eq!(shown(1).1, json!("their 'own' words"));
    assert_eq!(shown(2).1, json!("of another source"));
    config["columns"] = json!([]);
    let opened = instance.update(VIEW, &moved, config.clone()).await.unwrap();
    instance.assert_settled(VIEW, &opened, &config).await;
    assert_eq!(shown(1), (json!("theirs, too"), json!("their 'own' words")));
    assert_eq!(shown(0).1, Json::Null, "a comment that was managed is removed");
    config["columns"] = json!([{"name": "Name"}]);
    config["comment"] = "ours now".into();
    let fewer = instance.update(VIEW, &opened, config.clone()).await.unwrap();
    instance.assert_settled(VIEW, &fewer, &config).await;
    assert_eq!(shown(0), (json!("ours now"), json!("their 'own' words")));
}

/// A closed statement has run, but its result has expired.
#[tokio::test]
async fn closed_statement_counts_as_successful() {
    let (stand_in, _) = prepared();
    for polls in [0, 2] {
        stand_in.faults().closes_statements = true;
        stand_in.faults().statement_polls = polls;
        let instance = Instance::of(&stand_in).await;
        let mut config = view(&stand_in, json!([{"name": "id"}]));
        config["name"] = format!("closed_{polls}").into();
        let created = instance.create(VIEW, config.clone()).await.unwrap();
        instance.assert_settled(VIEW, &created, &config).await;
    }
}

#[tokio::test]
async fn view_without_columns_selects_all_columns() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let config = view(&stand_in, json!([]));
    let created = instance.create(VIEW, config.clone()).await.unwrap();
    instance.assert_settled(VIEW, &created, &config).await;
    let table = stand_in.call("GET", "/api/2.1/unity-catalog/tables/main.out.orders_view", Json::Null);
    assert_eq!(table["columns"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn validation_finds_missing_columns_and_warehouses() {
    let (stand_in, _) = prepared();
    stand_in.add_warehouse("sleepy", "STOPPED");
    let instance = Instance::of(&stand_in).await;
    let warehouses = stand_in.call("GET", "/api/2.0/sql/warehouses", Json::Null);
    let mut config = view(&stand_in, json!([{"name": "id"}, {"name": "nothing"}]));
    config["warehouse"] = warehouses["warehouses"][1]["id"].clone();
    let planned = instance.plan(VIEW, None, &config).await.unwrap().planned;
    let findings = instance.session.validate_remote(instance.ty(VIEW), &planned).unwrap().await;
    let messages: Vec<_> = findings.iter().map(|it| (it.severity, it.message.as_str())).collect();
    assert_eq!(
        messages,
        [
            (Severity::Note, "the SQL warehouse `sleepy` is stopped"),
            (Severity::Error, "`main.raw.orders` has no column `nothing`"),
        ]
    );
    assert_eq!(findings[1].path, Some("columns[1].name".parse().unwrap()));
    assert_eq!(
        findings[1].hint.as_deref(),
        Some("it has `id` INT, `Name` STRING, `price` DECIMAL(10,2); the view needs `id`, `nothing`")
    );
    // The first statement starts the warehouse, and waits for it.
    config["columns"] = json!([{"name": "id"}]);
    instance.create(VIEW, config.clone()).await.unwrap();
    config["name"] = "another".into();
    config["warehouse"] = "nowhere".into();
    let planned = instance.plan(VIEW, None, &config).await.unwrap().planned;
    let findings = instance.session.validate_remote(instance.ty(VIEW), &planned).unwrap().await;
    assert_eq!(findings[0].severity, Severity::Error);
    let error = instance.create(VIEW, config).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput { path: Some("warehouse".parse().unwrap()) }, "{error}");
}

#[tokio::test]
async fn failed_statement_is_reported_with_its_code() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let mut config = view(&stand_in, json!([{"name": "id"}]));
    config["source"]["name"] = "nowhere".into();
    let error = instance.create(VIEW, config).await.unwrap_err();
    assert_eq!(error.vendor_code.as_deref(), Some("TABLE_OR_VIEW_NOT_FOUND"));
    assert!(matches!(error.kind, ErrorKind::InvalidInput { .. }), "{error}");
    assert!(!stand_in.inventory().iter().any(|it| it.contains("orders_view")));
}

#[tokio::test]
async fn column_of_another_type_is_refused_by_validation_and_create() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let mut config = view(&stand_in, json!([{"name": "price", "typeName": "DECIMAL", "precision": 10, "scale": 2}]));
    let created = instance.create(VIEW, config.clone()).await.unwrap();
    instance.assert_settled(VIEW, &created, &config).await;
    config["columns"] = json!([{"name": "price"}, {"name": "id", "typeName": "DATE"}]);
    let planned = instance.plan(VIEW, Some(&created), &config).await.unwrap().planned;
    let findings = instance.session.validate_remote(instance.ty(VIEW), &planned).unwrap().await;
    let wrong = "the column `id` has the type INT instead of DATE in `main.raw.orders`";
    assert_eq!(findings[0].message, wrong);
    stand_in.reset_count();
    let _ = stand_in.take_calls();
    let error = instance.update(VIEW, &created, config.clone()).await.unwrap_err();
    let path = Some("columns[1].typeName".parse().unwrap());
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::InvalidInput { path }, wrong));
    config["name"] = "other".into();
    instance.create(VIEW, config).await.unwrap_err();
    assert_eq!(stand_in.take_writes(), [] as [&str; 0]);
}

#[tokio::test]
async fn recreated_view_is_another_object() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let config = view(&stand_in, json!([{"name": "id"}]));
    let created = instance.create(VIEW, config.clone()).await.unwrap();
    stand_in
        .sql("CREATE OR REPLACE VIEW main.out.orders_view COMMENT 'it\\'s shown' AS SELECT id FROM main.raw.orders");
    let read = instance.read(VIEW, &created).await.unwrap().unwrap();
    assert_ne!(read.attributes["tableId"], created.attributes["tableId"]);
    let plan = instance.plan(VIEW, Some(&read), &config).await.unwrap();
    assert!(plan.planned["tableId"].has_unknown(), "the plan must have an update");
    assert!(plan.replace_paths.is_empty());
    // Deleting the old row does not delete the new view.
    instance.delete(VIEW, &read).await.unwrap();
    let recorded = instance.update(VIEW, &read, config.clone()).await.unwrap();
    assert_eq!(recorded.attributes["tableId"], read.attributes["tableId"]);
    instance.assert_settled(VIEW, &recorded, &config).await;
    instance.delete(VIEW, &recorded).await.unwrap();
    assert!(instance.read(VIEW, &recorded).await.unwrap().is_none());
}
