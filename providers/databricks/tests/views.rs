//! What is seen of views, and what they keep when they change.

use crate::conformance::{METASTORE, prepared, view};
use crate::harness::Instance;
use serde_json::{Value as Json, json};
use terrace_provider::{ErrorKind, Severity};

const VIEW: &str = "databricks_view";

#[tokio::test]
async fn who_may_read_a_view_still_may_when_it_changes() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let made = instance.create(VIEW, view(&stand_in, json!([{"name": "id"}]))).await.unwrap();
    let path = "/api/2.1/unity-catalog/permissions/table/main.out.orders_view";
    stand_in.call("PATCH", path, json!({"changes": [{"principal": "dev", "add": ["SELECT"]}]}));
    let config = view(&stand_in, json!([{"name": "Name", "comment": "it's \\ `new`"}, {"name": "price"}]));
    let changed = instance.update(VIEW, &made, config.clone()).await.unwrap();
    instance.assert_settled(VIEW, &changed, &config).await;
    let grants = stand_in.call("GET", path, Json::Null);
    assert_eq!(grants["privilege_assignments"][0]["principal"], "dev");
    let statements: Vec<String> =
        stand_in.take_seen().iter().filter_map(|it| it.body["statement"].as_str().map(str::to_owned)).collect();
    assert!(!statements.iter().any(|it| it.contains("REPLACE")), "{statements:?}");
    assert_eq!(made.attributes["tableId"], changed.attributes["tableId"]);
}

#[tokio::test]
async fn comments_that_nobody_manages_are_left_alone_and_managed_ones_are_mended() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let config = view(&stand_in, json!([{"name": "id", "comment": "ours"}, {"name": "Name"}]));
    let made = instance.create(VIEW, config.clone()).await.unwrap();
    stand_in.sql("COMMENT ON COLUMN main.out.orders_view.name IS 'theirs'");
    let read = instance.read(VIEW, &made).await.unwrap().unwrap();
    instance.assert_settled(VIEW, &read, &config).await;
    stand_in.sql("COMMENT ON COLUMN main.out.orders_view.id IS 'tampered'");
    stand_in.sql("COMMENT ON TABLE main.out.orders_view IS NULL");
    let read = instance.read(VIEW, &made).await.unwrap().unwrap();
    assert!(!read.attributes["columns"].is_same_as(&made.attributes["columns"]));
    assert!(!read.attributes.contains_key("comment"));
    let mended = instance.update(VIEW, &read, config.clone()).await.unwrap();
    instance.assert_settled(VIEW, &mended, &config).await;
    let table = stand_in.call("GET", "/api/2.1/unity-catalog/tables/main.out.orders_view", Json::Null);
    assert_eq!(table["columns"][1]["comment"], "theirs");
}

#[tokio::test]
async fn a_view_without_columns_shows_all_of_its_source() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let config = view(&stand_in, json!([]));
    let made = instance.create(VIEW, config.clone()).await.unwrap();
    instance.assert_settled(VIEW, &made, &config).await;
    let table = stand_in.call("GET", "/api/2.1/unity-catalog/tables/main.out.orders_view", Json::Null);
    assert_eq!(table["columns"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_view_is_told_beforehand_what_it_lacks() {
    let (stand_in, _) = prepared();
    stand_in.add_warehouse("sleepy", "STOPPED");
    let instance = Instance::of(&stand_in).await;
    let warehouses = stand_in.call("GET", "/api/2.0/sql/warehouses", Json::Null);
    let mut config = view(&stand_in, json!([{"name": "id"}, {"name": "nothing"}]));
    config["warehouse"] = warehouses["warehouses"][1]["id"].clone();
    let planned = instance.plan(VIEW, None, &config).await.unwrap().planned;
    let findings = instance.session.validate_remote(instance.ty(VIEW), &planned).unwrap().await;
    let told: Vec<_> = findings.iter().map(|it| (it.severity, it.message.as_str())).collect();
    assert_eq!(
        told,
        [
            (Severity::Note, "the SQL warehouse `sleepy` is stopped"),
            (Severity::Error, "`main.raw.orders` has no column `nothing`"),
        ]
    );
    // It is started by the first statement, and waited for.
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
async fn statements_that_fail_are_told_with_their_code() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let error = instance.create(VIEW, view(&stand_in, json!([{"name": "nothing"}]))).await.unwrap_err();
    assert_eq!(error.vendor_code.as_deref(), Some("UNRESOLVED_COLUMN.WITH_SUGGESTION"));
    assert!(matches!(error.kind, ErrorKind::InvalidInput { .. }), "{error}");
    assert!(!stand_in.inventory().iter().any(|it| it.contains("orders_view")));
}

/// Every name that Unity Catalog takes comes back as it was; what it does not take is refused before anybody is asked.
#[tokio::test]
async fn names_come_back_as_they_were_or_are_refused() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let long = "x".repeat(255);
    for name in ["v`1", "it's", "größe", "a-b", "100%", "a_b", "select", "\"q\"", "a;b", "\\", long.as_str(), "日本"]
    {
        let mut config = view(&stand_in, json!([{"name": "id"}]));
        config["name"] = name.into();
        let made = instance.create(VIEW, config.clone()).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        instance.assert_settled(VIEW, &made, &config).await;
        instance.delete(VIEW, &made).await.unwrap();
        assert!(instance.read(VIEW, &made).await.unwrap().is_none(), "{name}");
        let config = json!({"workspaceUrl": stand_in.url(), "metastoreId": METASTORE, "catalog": "main", "name": name});
        let made = instance
            .create("databricks_schema", config.clone())
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        instance.assert_settled("databricks_schema", &made, &config).await;
    }
    stand_in.reset_count();
    for name in ["", "a.b", "a b", "a/b", "a\u{7}", &"x".repeat(256)] {
        let mut config = view(&stand_in, json!([{"name": "id"}]));
        config["name"] = name.into();
        let error = instance.plan(VIEW, None, &config).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput { path: Some("name".parse().unwrap()) }, "{name:?}");
    }
    assert_eq!(stand_in.count(), 0);
}
