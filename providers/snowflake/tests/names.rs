//! Names: valid ones come back unchanged, invalid ones are refused with their limit.

use crate::harness::Instance;
use serde_json::{Value as Json, json};
use terrace_test_snowflake::StandIn;

/// 256 names: special characters in every position, and lengths at every limit.
fn names() -> Vec<String> {
    let signs = [
        "\"", "'", "`", ".", "%", "_", "\\", " ", "-", ";", "--", "/*", "$$", "\n", "\t", "ö", "名", "🌍", "A", "a",
        "1", "$", "(", "\"\"", "%s",
    ];
    let mut names: Vec<String> = Vec::new();
    for sign in signs {
        for name in [
            sign.to_owned(),
            format!("A{sign}"),
            format!("{sign}A"),
            format!("A{sign}B"),
            format!("a{sign}{sign}b"),
            format!("{sign}{sign}{sign}"),
        ] {
            names.push(name);
        }
    }
    for length in [1, 2, 63, 64, 127, 128, 254, 255] {
        for sign in ["X", "x", "ß", "\"", "'", "%", "名"] {
            names.push(sign.repeat(length));
        }
    }
    for word in ["SELECT", "select", "TABLE", "NULL", "ORDER", "CURRENT_ROLE", "A OR 1=1", "x'); DROP TABLE y; --"] {
        names.push(word.to_owned());
    }
    for number in 0.. {
        names.sort();
        names.dedup();
        if names.len() >= 256 {
            break;
        }
        names.push(format!("name {number}.{number}"));
    }
    names.truncate(256);
    names
}

fn table(name: &str, column: &str) -> Json {
    json!({"database": "D", "schema": "S", "name": name, "columns": [{"name": column, "type": "INT", "comment": column}], "comment": name})
}

#[tokio::test]
async fn every_name_is_created_found_renamed_and_dropped() {
    let stand_in = StandIn::start();
    for sql in ["CREATE DATABASE D", "CREATE SCHEMA D.S"] {
        stand_in.sql_as("TERRACE_ROLE", sql).unwrap();
    }
    let before = stand_in.inventory();
    let instance = Instance::of(&stand_in).await;
    let names = names();
    assert_eq!(names.len(), 256);
    for name in &names {
        let config = table(name, name);
        let made = instance
            .create("snowflake_table", config.clone())
            .await
            .unwrap_or_else(|error| panic!("{name:?}: {error}"));
        instance.assert_settled("snowflake_table", &made, &config).await;
        let id = made.text("id").unwrap();
        let found = instance.session.import(instance.ty("snowflake_table"), id).await.unwrap().expect("it is there");
        assert_eq!(found.identity, made.identity, "{name:?}");
        let other = if name == "RENAMED" { "RENAMED 2" } else { "RENAMED" };
        let mut renamed = table(name, other);
        renamed["columns"][0]["previousName"] = name.as_str().into();
        let changed = instance
            .update("snowflake_table", &made, renamed.clone())
            .await
            .unwrap_or_else(|error| panic!("{name:?}: {error}"));
        instance.assert_settled("snowflake_table", &changed, &renamed).await;
        instance.delete("snowflake_table", &changed).await.unwrap();
    }
    assert_eq!(stand_in.inventory(), before, "only the created objects are gone");
}

#[tokio::test]
async fn invalid_names_are_refused_in_the_plan() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    for (name, expected) in
        [("x".repeat(256), "at most 255"), (String::new(), "at least one"), ("a\0b".to_owned(), "NUL")]
    {
        for config in [table(&name, "C"), table("T", &name)] {
            let error = instance.plan("snowflake_table", None, &config).await.unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
        let error = instance.plan("snowflake_role", None, &json!({"name": name})).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    assert!(stand_in.take_calls().is_empty(), "nothing was asked");
}

/// SQL in every text of every type stays text.
#[tokio::test]
async fn statements_in_texts_never_run() {
    let stand_in = StandIn::start();
    stand_in.add_user("EVIL\" ; DROP");
    let instance = Instance::of(&stand_in).await;
    let injection = "x'\"; DROP DATABASE KEPT; --\\";
    stand_in.sql_as("TERRACE_ROLE", "CREATE DATABASE KEPT").unwrap();
    let schema = json!({"database": injection, "name": injection, "comment": injection});
    let object = format!("\"{0}\".\"{0}\".\"{0}\"", injection.replace('"', "\"\""));
    for (ty, config) in [
        ("snowflake_database", json!({"name": injection, "comment": injection})),
        ("snowflake_schema", schema),
        ("snowflake_table", {
            let mut config = table(injection, injection);
            config["database"] = injection.into();
            config["schema"] = injection.into();
            config["primaryKey"] = json!([injection]);
            config
        }),
        (
            "snowflake_view",
            json!({
                "database": injection, "schema": injection, "name": format!("{injection} view"), "comment": injection,
                "source": {"database": injection, "schema": injection, "name": injection}, "columns": [{"name": injection, "comment": injection}],
            }),
        ),
        ("snowflake_role", json!({"name": injection, "comment": injection})),
        ("snowflake_role_grant", json!({"role": injection, "granteeType": "user", "grantee": "EVIL\" ; DROP"})),
        (
            "snowflake_grant",
            json!({"role": injection, "objectType": "table", "object": object, "privileges": ["SELECT"]}),
        ),
        (
            "snowflake_tag",
            json!({"database": injection, "schema": injection, "name": injection, "allowedValues": [injection], "comment": injection}),
        ),
        (
            "snowflake_tag_assignment",
            json!({"objectType": "table", "object": object, "column": injection, "tag": object, "value": injection}),
        ),
    ] {
        let made = instance.create(ty, config.clone()).await.unwrap_or_else(|error| panic!("{ty}: {error:?}"));
        instance.assert_settled(ty, &made, &config).await;
    }
    let inventory = stand_in.inventory();
    assert!(inventory.contains(&"database KEPT".to_owned()), "{inventory:?}");
    let error = instance
        .plan("snowflake_grant", None, &json!({"role": "R", "objectType": "table", "object": "A.B.C", "privileges": ["SELECT ON TABLE X TO ROLE Y; --"]}))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("is not a privilege that can be granted here"), "{error}");
    let statement = |sql: &str| json!({"database": "D", "schema": "S", "name": "V", "statement": sql});
    for sql in ["SELECT 1; DROP DATABASE KEPT", "DROP DATABASE KEPT", "SELECT (1"] {
        assert!(instance.plan("snowflake_view", None, &statement(sql)).await.is_err(), "{sql}");
    }
}
