//! Export of a store to a document, and import.

use crate::{demo, put, row};
use serde_json::{Value, json};
use std::sync::Arc;
use terrace_state::export::{self, ImportError, export, import};
use terrace_state::{SystemClock, in_memory};
use terrace_store::access::Access;
use terrace_store::address::{Address, StackId};
use terrace_store::{
    ComponentRow, Ids, OwnerRow, OwnersOf, Ownership, Record, Row, Sealed, Selection, StateStore, StoreError, Write,
};
use uuid::Uuid;

async fn filled() -> Arc<dyn StateStore> {
    let store = in_memory(Arc::new(SystemClock)).unwrap();
    let operation = Uuid::now_v7();
    let write = |write| Record::Write { operation, write };
    let component = ComponentRow {
        key: "api".into(),
        depends_on: vec!["db".into()],
        outputs: Sealed::from_stored("{}"),
        blueprint: None,
        reads: Vec::new(),
        access: Some(Access::new(vec!["user:ada".to_owned()], serde_json::from_str(r#"{"days":30}"#).unwrap())),
        ids: Some(Ids {
            product: "urn:dmb:dp:a:b:0".to_owned(),
            component: "urn:dmb:cmp:a:b:0:api".to_owned(),
            names: Default::default(),
        }),
    };
    let ownership =
        Ownership { address: Address::shared("local_directory", "x"), stack: demo(), component: "api".into() };
    let owner = OwnerRow { ownership, declaration: Sealed::from_stored("{}") };
    let records = [
        put(Row { dependencies: vec!["local_value.b".parse().unwrap()], ..row("api/local_value.a[\"k\"]") }),
        put(row("local_value.b")),
        put(Row { deposed: Some("old".to_owned()), ..row("local_value.b") }),
        put(Row { stack: StackId::new("another", "local"), ..row("local_value.c") }),
        write(Write::Component { stack: demo(), component }),
        write(Write::PutOwner(owner)),
    ];
    store.commit(&[], records.into()).await.unwrap();
    store
}

#[tokio::test]
async fn export_is_imported_completely() {
    let original = filled().await;
    let document = export(&*original, None, true).await.unwrap();
    let copy = in_memory(Arc::new(SystemClock)).unwrap();
    let operation = Uuid::now_v7();
    copy.commit(&[], import(&document.to_string(), operation).unwrap()).await.unwrap();
    for stack in original.stacks().await.unwrap() {
        let comparable = |row: Row| Row { generation: 0, operation, updated_at: jiff::Timestamp::UNIX_EPOCH, ..row };
        let before = original.rows(&stack, &Selection::All).await.unwrap();
        let after = copy.rows(&stack, &Selection::All).await.unwrap();
        assert!(before.into_iter().map(comparable).eq(after.into_iter().map(comparable)));
        assert_eq!(original.components(&stack).await.unwrap(), copy.components(&stack).await.unwrap());
    }
    let of = OwnersOf::Stack(demo());
    assert_eq!(original.owners("local", &of).await.unwrap(), copy.owners("local", &of).await.unwrap());
    assert_eq!(copy.stacks().await.unwrap().len(), 2);
}

#[tokio::test]
async fn import_overwrites_nothing() {
    let store = filled().await;
    let document = export(&*store, Some(&demo()), false).await.unwrap();
    let result = store.commit(&[], import(&document.to_string(), Uuid::now_v7()).unwrap()).await;
    assert!(matches!(result, Err(StoreError::Stale(_))), "{result:?}");
}

#[tokio::test]
async fn history_is_exported_on_request() {
    let store = filled().await;
    let with = export(&*store, Some(&demo()), true).await.unwrap();
    let without = export(&*store, Some(&demo()), false).await.unwrap();
    let history = |document: &Value| document.pointer("/stacks/0/history").and_then(Value::as_array).map(Vec::len);
    assert_eq!((history(&with), history(&without)), (Some(2), None));
    assert_eq!(without.pointer("/stacks/0/resources/0/private"), Some(&json!("AP8=")));
}

#[test]
fn invalid_documents_are_refused() {
    let refused = |document: Value| import(&document.to_string(), Uuid::nil()).map(|_| ()).unwrap_err();
    assert!(refused(json!([1])).to_string().starts_with("this is not an exported state"));
    assert!(refused(json!({"version": 4})).to_string().contains("missing field `formatVersion`"));
    let newer = refused(json!({"formatVersion": 2, "stacks": {}}));
    assert!(matches!(newer, ImportError::NewerFormat { found: 2 }), "{newer}");
    let misspelt = json!({"formatVersion": 1, "stateId": Uuid::nil(), "stacks": [], "stack": 1});
    assert!(refused(misspelt).to_string().contains("unknown field `stack`"));
}

fn component(depends_on: &[&str], outputs: &str) -> ComponentRow {
    ComponentRow {
        key: "api".into(),
        depends_on: depends_on.iter().map(|key| (*key).into()).collect(),
        outputs: Sealed::from_stored(outputs),
        blueprint: None,
        reads: Vec::new(),
        access: None,
        ids: None,
    }
}

#[test]
fn component_is_merged_without_loss() {
    let recorded = component(&["db", "web"], r#"{"b":1,"both":[2.0]}"#);
    let imported = component(&["web", "queue"], r#"{"both":[2.0],"a":{"x":null}}"#);
    let merged = export::merged(&recorded, &ComponentRow { blueprint: Some("v1".to_owned()), ..imported.clone() });
    let expected = component(&["db", "web", "queue"], r#"{"b":1,"both":[2.0],"a":{"x":null}}"#);
    assert_eq!(merged, Ok(ComponentRow { blueprint: Some("v1".to_owned()), ..expected }));
    let other = component(&[], r#"{"b":2,"both":[3],"c":1}"#);
    assert_eq!(export::merged(&recorded, &other), Err(vec!["b".to_owned(), "both".to_owned()]));
    assert_eq!(export::merged(&recorded, &component(&[], "damaged")), Err(Vec::new()));
}
