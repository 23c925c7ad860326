//! Objects of a metastore: access through other workspaces, recreated objects, and spelling of attributes.

use crate::conformance::{METASTORE, grant, prepared};
use crate::harness::{Instance, attributes, settings};
use serde_json::{Value as Json, json};
use std::time::Duration;
use terrace_provider::wrap::Limits;
use terrace_provider::{DataAmount, ErrorKind, Found, Recorded};
use terrace_test_databricks::StandIn;

const CATALOG: &str = "databricks_catalog";
const SCHEMA: &str = "databricks_schema";
const GRANT: &str = "databricks_grant";
const OTHER: &str = "0bb0bb00-0000-4000-8000-00000000b0b0";

fn schema(url: &str, more: Json) -> Json {
    let mut config = json!({"workspaceUrl": url, "metastoreId": METASTORE, "catalog": "main", "name": "sales"});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config
}

fn no_retries() -> Limits {
    Limits { retries: 0, ..Limits::default() }
}

fn is_of_metastore(kind: &ErrorKind) -> bool {
    *kind == ErrorKind::InvalidInput { path: Some("metastoreId".parse().unwrap()) }
}

#[tokio::test]
async fn object_is_reached_through_any_workspace_of_the_metastore() {
    let (stand_in, _) = prepared();
    let other = stand_in.start_second_listener();
    let both = Instance::with(&stand_in, json!({"hosts": [other]}), no_retries()).await;
    for (ty, config) in [
        (SCHEMA, schema(stand_in.url(), json!({"comment": "x"}))),
        (CATALOG, json!({"workspaceUrl": stand_in.url(), "metastoreId": METASTORE, "name": "shop"})),
        (GRANT, grant(&stand_in, "dev", json!(["SELECT"]))),
    ] {
        let created = both.create(ty, config.clone()).await.unwrap();
        let mut by_other = config.clone();
        by_other["workspaceUrl"] = other.as_str().into();
        assert_eq!(both.unsettled(ty, &created, &by_other).await.unwrap(), [""; 0], "{ty}");
        // An instance that may use only the other workspace uses that one.
        let alone = settings(&stand_in, json!({"host": other}));
        let alone = Instance::open(alone, no_retries()).await;
        let read = alone.read(ty, &created).await.unwrap().unwrap();
        let changed = alone.update(ty, &read, by_other.clone()).await.unwrap();
        assert_eq!(changed.text("workspaceUrl"), Some(other.as_str()), "{ty}");
        alone.assert_settled(ty, &changed, &by_other).await;
    }
}

/// Another metastore may have objects with the same names: they are never read, changed, deleted or treated as ours.
#[tokio::test]
async fn objects_of_another_metastore_are_refused() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let config = schema(stand_in.url(), json!({"comment": "x"}));
    let created = instance.create(SCHEMA, config.clone()).await.unwrap();
    let granted = instance.create(GRANT, grant(&stand_in, "dev", json!(["SELECT"]))).await.unwrap();
    let before = stand_in.inventory();
    stand_in.assign_metastore(OTHER);
    let instance = Instance::of(&stand_in).await;
    let kinds = [
        instance.read(SCHEMA, &created).await.map(drop).unwrap_err().kind,
        instance
            .update(SCHEMA, &created, schema(stand_in.url(), json!({"comment": "y"})))
            .await
            .map(drop)
            .unwrap_err()
            .kind,
        instance.delete(SCHEMA, &created).await.unwrap_err().kind,
        instance.delete(GRANT, &granted).await.unwrap_err().kind,
        instance.find(SCHEMA, config, Some(Duration::from_secs(5))).await.map(drop).unwrap_err().kind,
        instance.session.import(instance.ty(SCHEMA), &format!("{METASTORE}/main/sales")).await.unwrap_err().kind,
    ];
    assert!(kinds.iter().all(is_of_metastore), "{kinds:?}");
    assert_eq!(stand_in.inventory(), before);
    let access = instance.ty(GRANT).access_of(&granted.attributes).unwrap();
    assert_eq!(instance.session.grantees(instance.ty(GRANT), std::slice::from_ref(&access)).await.unwrap().len(), 0);
    stand_in.assign_metastore(METASTORE);
    let instance = Instance::of(&stand_in).await;
    assert_eq!(instance.session.grantees(instance.ty(GRANT), &[access]).await.unwrap().len(), 1);
}

/// A workspace without a metastore proves nothing about its objects: they must not be created again.
#[tokio::test]
async fn missing_metastore_does_not_mean_missing_objects() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let created = instance.create(SCHEMA, schema(stand_in.url(), json!({}))).await.unwrap();
    stand_in.detach_metastore();
    for instance in [instance, Instance::of(&stand_in).await] {
        let error = instance.read(SCHEMA, &created).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Failed, "{error}");
        assert!(error.vendor_code.unwrap_or_default().starts_with("METASTORE_DOES_NOT_EXIST"));
    }
}

async fn recreate(stand_in: &StandIn, instance: &Instance, created: &Recorded) -> Recorded {
    let name = created.text("fullName").unwrap();
    let (path, body) = match name.split_once('.') {
        Some((catalog, name)) => ("schemas", json!({"catalog_name": catalog, "name": name})),
        None => ("catalogs", json!({"name": name})),
    };
    stand_in.call("DELETE", &format!("/api/2.1/unity-catalog/{path}/{name}?force=true"), Json::Null);
    // Catalogs are distinguished by their creation time.
    tokio::time::sleep(Duration::from_millis(5)).await;
    stand_in.call_as("terrace@example.com", "POST", &format!("/api/2.1/unity-catalog/{path}"), body);
    let ty = if path == "schemas" { SCHEMA } else { CATALOG };
    instance.read(ty, created).await.unwrap().unwrap()
}

#[tokio::test]
async fn recreated_catalog_or_schema_is_another_object() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let catalog = json!({"workspaceUrl": stand_in.url(), "metastoreId": METASTORE, "name": "shop"});
    for (ty, config, version) in
        [(SCHEMA, schema(stand_in.url(), json!({})), "schemaId"), (CATALOG, catalog, "createdAt")]
    {
        let created = instance.create(ty, config.clone()).await.unwrap();
        assert!(instance.ty(ty).attributes.get(version).unwrap().stable, "a changed value must be drift");
        instance.assert_settled(ty, &created, &config).await;
        let read = recreate(&stand_in, &instance, &created).await;
        assert_ne!(read.attributes[version], created.attributes[version]);
        let plan = instance.plan(ty, Some(&read), &config).await.unwrap();
        assert!(plan.planned[version].has_unknown() && plan.replace_paths.is_empty(), "the plan must have an update");
        let _ = stand_in.take_calls();
        let recorded = instance.update(ty, &read, config.clone()).await.unwrap();
        assert_eq!(stand_in.take_writes(), [""; 0], "the update must not send a change");
        assert_eq!(recorded.attributes[version], read.attributes[version]);
        instance.assert_settled(ty, &recorded, &config).await;
        // Deleting the old row does not delete the new object with its contents.
        instance.delete(ty, &created).await.unwrap();
        assert_eq!(stand_in.take_writes(), [""; 0]);
        instance.delete(ty, &recorded).await.unwrap();
        assert!(instance.read(ty, &recorded).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn schema_attributes_keep_their_configured_spelling() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let more = json!({"comment": "", "storageRoot": "abfss://c@s.dfs.core.windows.net/sales/", "owner": "Jane.Roe@Example.com"});
    let config = schema(stand_in.url(), more);
    let created = instance.create(SCHEMA, config.clone()).await.unwrap();
    instance.assert_settled(SCHEMA, &created, &config).await;
    let path = "/api/2.1/unity-catalog/schemas/main.sales";
    assert_eq!(stand_in.call("GET", path, Json::Null)["owner"], "jane.roe@example.com");
    stand_in.call("PATCH", path, json!({"comment": "theirs", "owner": "john.doe@example.com"}));
    let read = instance.read(SCHEMA, &created).await.unwrap().unwrap();
    assert_eq!((read.text("comment"), read.text("owner")), (Some("theirs"), Some("john.doe@example.com")));
    let repaired = instance.update(SCHEMA, &read, config.clone()).await.unwrap();
    instance.assert_settled(SCHEMA, &repaired, &config).await;
    // Another storage folder needs a replacement.
    let moved = schema(stand_in.url(), json!({"storageRoot": "abfss://c@s.dfs.core.windows.net/other"}));
    let plan = instance.plan(SCHEMA, Some(&repaired), &moved).await.unwrap();
    assert_eq!(plan.replace_paths, ["storageRoot".parse().unwrap()]);
}

/// The schema appears between the read and the create: it can be imported by the reported id.
#[tokio::test]
async fn object_created_meanwhile_is_reported_with_import_id() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let config = schema(stand_in.url(), json!({"name": "Sales"}));
    stand_in.add_concurrent_call(
        "POST",
        "/api/2.1/unity-catalog/schemas",
        json!({"catalog_name": "main", "name": "sales"}),
    );
    let error = instance.create(SCHEMA, config.clone()).await.unwrap_err();
    let id = format!("{METASTORE}/main/sales");
    assert_eq!(error.kind, ErrorKind::AlreadyExists { import_id: Some(id.clone()) }, "{error}");
    for id in [id.as_str(), "-/main/sales", "-/MAIN/Sales"] {
        let imported = instance.session.import(instance.ty(SCHEMA), id).await.unwrap().unwrap();
        assert_eq!(imported.attributes["id"], format!("{METASTORE}/main/sales").as_str().into(), "{id}");
    }
    let Found::Foreign(found) = instance.find(SCHEMA, config, None).await.unwrap() else { panic!("the schema exists") };
    assert_eq!(found.attributes["id"], id.as_str().into());
    for wrong in ["main/sales", "x/y/z/w", ""] {
        let error = instance.session.import(instance.ty(SCHEMA), wrong).await.unwrap_err();
        assert_eq!(
            error.solutions,
            ["write <metastoreId>/<catalog>/<name>, each part percent-encoded if it contains `/` or `%`"]
        );
    }
}

#[tokio::test]
async fn contents_of_the_default_schema_are_counted() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let config = json!({"workspaceUrl": stand_in.url(), "metastoreId": METASTORE, "name": "shop"});
    let created = instance.create(CATALOG, config).await.unwrap();
    let counted = || async { instance.session.count_data(instance.ty(CATALOG), &created).await.unwrap() };
    assert_eq!(counted().await, DataAmount::Empty);
    stand_in.add_table("shop.default.orders", &[("id", "int")]);
    assert_eq!(counted().await, DataAmount::Some { count: 1, text: "1 table in `default`".to_owned() });
    stand_in.add_to_schema("volumes", "shop.default.files");
    stand_in.call("POST", "/api/2.1/unity-catalog/schemas", json!({"catalog_name": "shop", "name": "sales"}));
    let text = "1 schema, 1 table, 1 volume in `default`".to_owned();
    assert_eq!(counted().await, DataAmount::Some { count: 3, text });
}

#[tokio::test]
async fn contents_of_a_schema_are_counted_over_all_pages() {
    let (stand_in, _) = prepared();
    for number in 0..5 {
        stand_in.add_table(&format!("main.many.t{number}"), &[("id", "int")]);
    }
    let instance = Instance::of(&stand_in).await;
    let config = schema(stand_in.url(), json!({"name": "many"}));
    let Found::Foreign(found) = instance.find(SCHEMA, config, None).await.unwrap() else { panic!("the schema exists") };
    let row = crate::harness::recorded(&attributes(json!({})), found);
    stand_in.faults().page = Some(2);
    let counted = instance.session.count_data(instance.ty(SCHEMA), &row).await.unwrap();
    assert_eq!(counted, DataAmount::of(5, "table", "tables"));
    for (kind, name) in [("volumes", "v"), ("functions", "f"), ("models", "m"), ("models", "n")] {
        stand_in.add_to_schema(kind, &format!("main.many.{name}"));
    }
    let counted = instance.session.count_data(instance.ty(SCHEMA), &row).await.unwrap();
    let text = "5 tables, 1 volume, 1 function, 2 models".to_owned();
    assert_eq!(counted, DataAmount::Some { count: 9, text });
    stand_in.faults().is_endless = true;
    let error = instance.session.count_data(instance.ty(SCHEMA), &row).await.unwrap_err();
    assert!(error.message.contains("pages repeat"), "{error}");
}
