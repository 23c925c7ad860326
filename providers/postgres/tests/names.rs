//! Names of all sorts: valid ones come back unchanged, invalid ones are refused in the plan.

use crate::harness::{Harness, place};
use terrace_provider::{Attributes, Value};

/// 256 names: the same for every run.
fn names() -> Vec<String> {
    let pieces = [
        "a", "B", " ", "\"", "'", "`", ".", "%", "_", "\\", "$1", "--", "/*", ";", "ä", "名", "🦀", "\n", "\t", "{}",
        "$$", "E'", "select", "::", "(", "[",
    ];
    let mut found: Vec<String> = pieces.iter().map(|piece| (*piece).to_owned()).collect();
    found.extend([1, 62, 63, 64, 128, 255].map(|length| "x".repeat(length)));
    found.extend([21, 22].map(|length| "名".repeat(length)));
    found.extend(
        ["pg_x", "public", "a\0b", "", "\"a\"", "a.b.c", "Robert'); DROP TABLE students;--"].map(str::to_owned),
    );
    let mut seed = 17_usize;
    while found.len() < 256 {
        let mut name = String::new();
        for _ in 0..=seed % 7 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            name.push_str(pieces[(seed >> 33) % pieces.len()]);
        }
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found
}

fn of(harness: &Harness, name: &str, column: &str, previous: Option<&str>) -> Attributes {
    let mut config = harness.attributes(r#"{"database": "$db", "schema": "s"}"#);
    config.insert("name".to_owned(), name.into());
    let mut entries = vec![
        ("name".to_owned(), column.into()),
        ("type".to_owned(), "int".into()),
        ("comment".to_owned(), name.into()),
    ];
    entries.extend(previous.map(|previous| ("previousName".to_owned(), previous.into())));
    config.insert("columns".to_owned(), vec![entries.into_iter().collect::<Value>()].into());
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn every_name_round_trips_or_is_refused_in_the_plan() {
    let harness = Harness::new().await;
    let names = names();
    assert_eq!(names.len(), 256);
    let mut refused = 0;
    for name in &names {
        let is_possible = !name.is_empty() && name.len() <= 63 && !name.contains('\0');
        let config = of(&harness, name, name, None);
        if !is_possible {
            refused += 1;
            let error = harness.plan_of("postgres_table", None, &config).await.unwrap_err();
            assert_eq!(place(&error), "name");
            let error = harness.plan_of("postgres_table", None, &of(&harness, "t", name, None)).await.unwrap_err();
            assert_eq!(place(&error), "columns[0].name");
            assert!(
                !error.message.contains('\0') && (name.len() < 64 || error.message.contains("at most 63")),
                "{error}"
            );
            continue;
        }
        let call = harness.call(name);
        let made = harness
            .create_by("postgres_table", &config, &call)
            .await
            .unwrap_or_else(|error| panic!("{name:?}: {error:?}"));
        let id = made.attributes.get("id").and_then(Value::as_str).unwrap().to_owned();
        let imported =
            harness.import("postgres_table", &id).await.unwrap_or_else(|| panic!("{name:?} is not found as {id}"));
        assert_eq!(imported.attributes.get("name"), Some(&name.as_str().into()));
        // Renamed, and then dropped.
        let renamed = of(&harness, name, "another name", Some(name));
        let plan = harness.plan_of("postgres_table", Some(&made), &renamed).await.unwrap();
        assert_eq!(plan.data_loss, None);
        let planned = terrace_provider::Planned { attributes: plan.planned, private: plan.private };
        let ty = harness.ty("postgres_table");
        let now = harness
            .session
            .update(ty, &call, &crate::harness::recorded(&made), &planned)
            .await
            .unwrap_or_else(|error| panic!("{name:?}: {error:?}"));
        assert_eq!(now.attributes.get("columns"), planned.attributes.get("columns"));
        harness.delete("postgres_table", &now).await.unwrap();
        assert_eq!(harness.read("postgres_table", &now).await, None);
    }
    assert!((5..30).contains(&refused), "{refused}");
    assert_eq!(harness.query("SELECT count(*) FROM pg_class WHERE relnamespace = 's'::regnamespace").await, ["0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_texts_stay_texts() {
    let harness = Harness::new().await;
    harness.execute("CREATE TABLE s.victim ()").await;
    let injection = "'; DROP TABLE s.victim; --";
    let quoted = "\\\"; DROP TABLE s.victim; --";
    for text in [injection, quoted, "$$; DROP TABLE s.victim; $$", "\\'; DROP TABLE s.victim; --"] {
        let text = serde_json::Value::from(text);
        let everywhere = [
            (
                "postgres_table",
                format!(
                    r#"{{"database": "$db", "schema": "s", "name": {text}, "comment": {text}, "columns": [{{"name": {text}, "type": "int", "comment": {text}}}], "primaryKey": {{"name": {text}, "columns": [{text}]}}}}"#
                ),
            ),
            ("postgres_schema", format!(r#"{{"database": "$db", "name": {text}, "comment": {text}}}"#)),
            ("postgres_role", format!(r#"{{"name": {text}, "comment": {text}, "password": {text}}}"#)),
            ("postgres_database", format!(r#"{{"name": {text}, "comment": {text}}}"#)),
            ("postgres_membership", format!(r#"{{"role": {text}, "member": {text}}}"#)),
            ("postgres_view", format!(r#"{{"database": "$db", "schema": "s", "name": "v", "definition": {text}}}"#)),
            (
                "postgres_table",
                format!(
                    r#"{{"database": "$db", "schema": "s", "name": "a", "columns": [{{"name": "a", "type": {text}}}]}}"#
                ),
            ),
            (
                "postgres_table",
                format!(
                    r#"{{"database": "$db", "schema": "s", "name": "b", "columns": [{{"name": "a", "type": "text", "default": {text}}}]}}"#
                ),
            ),
            (
                "postgres_table",
                format!(
                    r#"{{"database": "$db", "schema": "s", "name": "c", "columns": [{{"name": "a", "type": "text", "generated": {text}}}]}}"#
                ),
            ),
            (
                "postgres_table",
                format!(
                    r#"{{"database": "$db", "schema": "s", "name": "d", "columns": [{{"name": "a", "type": "text"}}], "checks": [{{"expression": {text}}}]}}"#
                ),
            ),
            (
                "postgres_index",
                format!(
                    r#"{{"database": "$db", "schema": "s", "name": {text}, "table": "victim", "columns": [{text}], "where": {text}, "method": {text}}}"#
                ),
            ),
        ];
        for (ty, config) in everywhere {
            if let Ok(made) = harness.create(ty, &config).await {
                harness.delete(ty, &made).await.unwrap();
            }
            assert_eq!(
                harness.query("SELECT count(*) FROM pg_class WHERE relname = 'victim'").await,
                ["1"],
                "{ty} {config}"
            );
        }
    }
}
