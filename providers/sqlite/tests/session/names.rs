use crate::harness::{Harness, without_nulls};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;
use terrace_provider::Found;

/// Names with special characters of SQL, patterns and paths, of 1 to 255 characters.
fn names() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("\"".to_owned()),
        Just("'".to_owned()),
        Just("`".to_owned()),
        Just("[]".to_owned()),
        Just("; --".to_owned()),
        Just("/*".to_owned()),
        Just("*/".to_owned()),
        Just("\n".to_owned()),
        "[a-zA-Z0-9._%/\\\\ ()-]{1,8}",
        "\\PC{1,4}",
    ];
    let short = prop::collection::vec(part, 1..8).prop_map(|parts| parts.concat());
    let long = prop_oneof![Just(63_usize), Just(64), Just(128), Just(255)]
        .prop_map(|length| "né".chars().cycle().take(length).collect());
    prop_oneof![9 => short, 1 => long]
        .prop_filter("SQLite's own names", |name: &String| !name.to_ascii_lowercase().starts_with("sqlite_"))
}

#[test]
fn any_name_works_in_create_find_rename_and_drop() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let harness = runtime.block_on(Harness::new());
    let mut runner = TestRunner::new(Config { cases: 256, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&(names(), names(), names(), names()), |(table, first, second, comment)| {
        runtime.block_on(check_lifecycle(&harness, &table, &first, &second, &comment));
        Ok(())
    });
    outcome.unwrap();
}

async fn check_lifecycle(harness: &Harness, table: &str, first: &str, second: &str, comment: &str) {
    let config = |column: &str, previous: Option<&str>| {
        let column = json!({"name": column, "type": "TEXT", "comment": comment, "previousName": previous});
        json!({"path": "d.db", "name": table, "columns": [column], "comment": comment, "primaryKey": [column["name"]]})
            .to_string()
    };
    let made = config(first, None);
    let created = harness.create("sqlite_table", &made).await.unwrap();
    harness.assert_settled("sqlite_table", &created, &made).await;
    assert_eq!(harness.find("sqlite_table", &made, Some("step-1")).await, Found::Own(created.clone()));
    let id = created.attributes["id"].as_str().unwrap();
    assert_eq!(harness.import("sqlite_table", id).await.as_ref(), Some(&created));

    let view = json!({"path": "d.db", "name": format!("{table} view"), "source": {"name": table}, "columns": [first], "comment": comment}).to_string();
    let created_view = harness.create("sqlite_view", &view).await.unwrap();
    harness.assert_settled("sqlite_view", &created_view, &view).await;
    let index =
        json!({"path": "d.db", "name": format!("{table} index"), "table": table, "columns": [first]}).to_string();
    let created_index = harness.create("sqlite_index", &index).await.unwrap();
    harness.assert_settled("sqlite_index", &created_index, &index).await;

    let mut current = created;
    if !first.eq_ignore_ascii_case(second) {
        let renamed = config(second, Some(first));
        current = harness.update("sqlite_table", &current, &renamed).await.unwrap();
        harness.assert_settled("sqlite_table", &current, &renamed).await;
    }
    harness.delete("sqlite_index", &created_index).await.unwrap();
    harness.delete("sqlite_view", &created_view).await.unwrap();
    harness.delete("sqlite_table", &current).await.unwrap();
    assert_eq!(harness.query("d.db", "SELECT * FROM sqlite_schema"), [""; 0]);
}

#[tokio::test]
async fn other_spelling_of_a_name_plans_nothing() {
    let harness = Harness::new().await;
    let columns = r#""columns": [{"name": "a", "type": "TEXT"}]"#;
    let table = |name: &str| format!(r#"{{"path": "x.db", "name": "{name}", {columns}}}"#);
    let view = |name: &str| format!(r#"{{"path": "x.db", "name": "{name}", "statement": "SELECT a FROM orders"}}"#);
    let index = |name: &str| format!(r#"{{"path": "x.db", "name": "{name}", "table": "orders", "columns": ["a"]}}"#);
    let database = r#"{"path": "x.db"}"#.to_owned();
    for (ty, config, respelled) in [
        ("sqlite_database", database.clone(), database.replace("x.db", "./y/../x.db")),
        ("sqlite_table", table("orders"), table("Orders").replace("x.db", "./x.db")),
        ("sqlite_view", view("vw"), view("VW")),
        ("sqlite_index", index("ix"), index("IX")),
    ] {
        let made = harness.create(ty, &config).await.unwrap();
        let plan = harness.plan(ty, Some(&made), &respelled).await.unwrap();
        assert_eq!(plan.replace_paths, [], "{ty}");
        assert_eq!(without_nulls(plan.planned), without_nulls(made.attributes), "{ty}");
    }
}

#[tokio::test]
async fn previous_name_is_compared_without_case() {
    let harness = Harness::new().await;
    let table = |name: &str, more: &str| {
        format!(r#"{{"path": "x.db", "name": "{name}", {more} "columns": [{{"name": "a", "type": "TEXT"}}]}}"#)
    };
    let made = harness.create("sqlite_table", &table("orders", "")).await.unwrap();
    harness.execute("x.db", "INSERT INTO orders VALUES ('kept')");
    let renamed = table("sales", r#""previousName": "ORDERS","#);
    harness.update("sqlite_table", &made, &renamed).await.unwrap();
    assert_eq!(harness.query("x.db", "SELECT count(*) FROM sales"), ["Integer(1)"]);
}
