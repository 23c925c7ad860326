//! Names of sources, tables and roles may be any text: each is created, found and removed.

use crate::harness::{Instance, PERMISSION, ROLE, SOURCE, TABLE, permission, role, source, stand_in};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::json;
use terrace_provider::Found;
use terrace_provider::names::scripts::check_scripts;
use terrace_test_hasura::Mapper;

/// Names of one to 255 characters with quotes, dots, `%`, `/`, spaces and letters of any script.
fn names(count: usize) -> Vec<String> {
    let mut runner = TestRunner::deterministic();
    let odd = "[a-zA-Z0-9 _.%/\"'`$#?&=+\\\\éßжλ中𝛼-]{1,24}";
    let mut names: Vec<String> = (0..count)
        .map(|_| odd.new_tree(&mut runner).unwrap().current())
        .filter(|name| !name.trim().is_empty())
        .collect();
    names.extend([1, 63, 64, 128, 255].map(|length| "n".repeat(length)));
    names.sort();
    names.dedup();
    names
}

#[tokio::test]
async fn every_table_name_is_kept_unchanged() {
    let stand_in = stand_in(Mapper::Extended);
    let instance = Instance::of(&stand_in).await;
    let names = names(256);
    assert!(names.len() > 200, "{}", names.len());
    instance.create(SOURCE, &source("s")).await.unwrap();
    for (number, name) in names.iter().enumerate() {
        stand_in.add_table("SALES", "ORDERS_1", name, &["ID"], &[]);
        let config = json!({"source": "s", "table": [name], "customName": format!("t{number}")});
        let made = instance.create(TABLE, &config).await.unwrap_or_else(|error| panic!("{name:?}: {error}"));
        let imported = instance.session.import(instance.ty(TABLE), made.text("id").unwrap()).await.unwrap();
        assert_eq!(imported.unwrap().identity, made.identity, "{name:?}");
        let found = instance.find(TABLE, &config, None, true).await.unwrap();
        assert!(matches!(found, Found::Own(_)), "{name:?}: {found:?}");
        instance.delete(TABLE, &made).await.unwrap();
    }
    assert_eq!(stand_in.inventory().len(), 1);
}

#[tokio::test]
async fn every_source_and_role_name_is_kept_unchanged() {
    let stand_in = stand_in(Mapper::Extended);
    let instance = Instance::of(&stand_in).await;
    let mut roles = 0;
    // The paths `.` and `..` are other paths, so they cannot be role names.
    for name in names(256) {
        let made = instance.create(SOURCE, &source(&name)).await.unwrap_or_else(|error| panic!("{name:?}: {error}"));
        let tracked = instance.create(TABLE, &json!({"source": name, "table": ["ORDERS"]})).await.unwrap();
        let permitted = instance.create(PERMISSION, &permission(&name, "ORDERS", &name)).await.unwrap();
        let imported = instance.session.import(instance.ty(PERMISSION), permitted.text("id").unwrap()).await.unwrap();
        assert_eq!(imported.unwrap().identity, permitted.identity, "{name:?}");
        let mut config = role("r");
        config["roleId"] = name.as_str().into();
        let given = instance.create(ROLE, &config).await;
        if check_scripts(&name).is_err() {
            assert!(given.is_err(), "{name:?} mixes scripts");
        } else {
            let given = given.unwrap_or_else(|error| panic!("{name:?}: {error}"));
            instance.assert_settled(ROLE, &given, &config).await;
            instance.delete(ROLE, &given).await.unwrap();
            roles += 1;
        }
        for (ty, row) in [(PERMISSION, &permitted), (TABLE, &tracked), (SOURCE, &made)] {
            instance.delete(ty, row).await.unwrap();
        }
    }
    assert!(roles > 20, "{roles} of the names are names of roles");
    assert!(stand_in.inventory().is_empty());
}
