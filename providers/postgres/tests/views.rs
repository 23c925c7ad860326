use crate::harness::{Harness, place};
use terrace_provider::{ErrorKind, Found, Path, Value};

const SOURCE: &str = r#"{"database": "$db", "schema": "s", "name": "v", "source": {"schema": "s", "name": "t"}, "columns": ["Long Name", "a"], "comment": "for you"}"#;

fn definition(text: &str) -> String {
    let text = serde_json::Value::from(text);
    format!(r#"{{"database": "$db", "schema": "s", "name": "v", "definition": {text}}}"#)
}

async fn with_table() -> Harness {
    let harness = Harness::new().await;
    harness.execute("CREATE TABLE s.t (a int, \"Long Name\" text, c date); INSERT INTO s.t VALUES (1, 'one')").await;
    harness
}

#[tokio::test(flavor = "multi_thread")]
async fn view_of_a_source_reads_back_as_planned() {
    let harness = with_table().await;
    let view = harness.create_settled("postgres_view", SOURCE).await;
    assert_eq!(harness.query("SELECT * FROM s.v").await, ["one"]);
    assert_eq!(view.attributes.get("fullName"), Some(&"s.v".into()));
    assert!(matches!(harness.find("postgres_view", SOURCE, Some("step-1")).await, Found::Own(_)));
    assert!(matches!(harness.find("postgres_view", SOURCE, Some("step-9")).await, Found::Foreign(_)));
    assert_eq!(harness.import("postgres_view", "$db/s/v").await.unwrap().attributes, view.attributes);
    let view = harness.update_settled("postgres_view", &view, &SOURCE.replace("for you", "for me")).await;
    let all = SOURCE.replace(r#"["Long Name", "a"]"#, "[]");
    let view = harness.update_settled("postgres_view", &view, &all).await;
    // Columns that are added later are not in it, which is not a difference.
    harness.execute("ALTER TABLE s.t ADD COLUMN d int").await;
    harness.assert_settled("postgres_view", &view, &all).await;
    assert!(matches!(harness.find("postgres_view", SOURCE, Some("step-1")).await, Found::Own(_)), "the mark stays");
    harness.delete("postgres_view", &view).await.unwrap();
    assert_eq!(harness.read("postgres_view", &view).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn definition_keeps_its_spelling() {
    let harness = with_table().await;
    for text in [
        "select a, \"Long Name\" -- both\n  from t where a > 0 ;\n",
        "WITH x AS (SELECT a FROM t) SELECT * FROM x",
        "SELECT \"a\" FROM \"s\".\"t\"",
        "SELECT * FROM s.t -- all",
        "VALUES (1, 'it''s'), (2, $$;$$)",
        "SELECT count(*) FILTER (WHERE a IN (1, 2)) AS n, c::timestamptz FROM t GROUP BY c",
    ] {
        for ty in ["postgres_view", "postgres_materialized_view"] {
            let view = harness.create_settled(ty, &definition(text)).await;
            harness.delete(ty, &view).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_definition_is_drift_and_is_repaired_with_all_properties() {
    let harness = with_table().await;
    let view = harness.create_settled("postgres_view", SOURCE).await;
    harness
        .execute("CREATE ROLE \"$db_r\"; GRANT SELECT ON s.v TO \"$db_r\"; CREATE VIEW s.w AS SELECT a FROM s.v")
        .await;
    harness.execute("CREATE OR REPLACE VIEW s.v AS SELECT \"Long Name\", a FROM s.t WHERE a > 1").await;
    let read = harness.read("postgres_view", &view).await.unwrap();
    let found = read.attributes.get("definition").and_then(Value::as_str).unwrap().replace("t.a", "a");
    assert!(found.contains("WHERE (a > 1)"), "{found}");
    assert_eq!(read.attributes.get("source"), None);
    let view = harness.update_settled("postgres_view", &read, SOURCE).await;
    // Another order of columns requires a new view.
    let turned = SOURCE.replace(r#"["Long Name", "a"]"#, r#"["a", "c"]"#);
    let view = harness.update_settled("postgres_view", &view, &turned).await;
    assert_eq!(harness.query("SELECT has_table_privilege('$db_r', 's.v', 'SELECT')").await, ["t"]);
    assert_eq!(harness.query("SELECT a FROM s.w").await, ["1"]);
    assert!(matches!(harness.find("postgres_view", SOURCE, Some("step-1")).await, Found::Own(_)), "the mark stays");
    let other = definition("SELECT max(a) AS a FROM t");
    harness.update_settled("postgres_view", &view, &other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dependent_view_stops_a_change_that_breaks_it() {
    let harness = with_table().await;
    let view = harness.create_settled("postgres_view", SOURCE).await;
    harness.execute("CREATE VIEW s.w AS SELECT a FROM s.v").await;
    let error = harness.update("postgres_view", &view, &SOURCE.replace(", \"a\"", "")).await.unwrap_err();
    assert!(error.message.contains("`s.w` cannot be recreated"), "{error:?}");
    harness.assert_settled("postgres_view", &view, SOURCE).await;
    assert_eq!(harness.query("SELECT a FROM s.w").await, ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn view_of_a_missing_source_lists_existing_ones() {
    let harness = with_table().await;
    let error = harness.create("postgres_view", &SOURCE.replace("Long Name", "LongName")).await.unwrap_err();
    assert_eq!(error.message, "`t` has no column `LongName`");
    assert_eq!(error.problems, ["its columns are `a`, `Long Name`, `c`"]);
    assert_eq!(error.solutions, ["did you mean `Long Name`?"]);
    assert_eq!(place(&error), "columns[0]");
    let error =
        harness.create("postgres_view", &SOURCE.replace(r#""name": "t""#, r#""name": "tt""#)).await.unwrap_err();
    assert_eq!(error.message, "there is no table or view `tt` in the schema `s`");
    assert_eq!(place(&error), "source.name");
    let error = harness.create("postgres_view", &definition("SELECT * FROM missing")).await.unwrap_err();
    assert_eq!(place(&error), "definition", "{error:?}");
    assert!(error.message.contains("\"missing\" does not exist"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_view_is_refused_in_the_plan() {
    let harness = Harness::new().await;
    let named = |rest: &str| format!(r#"{{"database": "$db", "schema": "s", "name": "v"{rest}}}"#);
    let source = r#", "source": {"schema": "s", "name": "t"}"#;
    for (config, at) in [
        (named(""), "definition"),
        (named(&format!(r#"{source}, "definition": "SELECT 1""#)), "definition"),
        (named(r#", "columns": ["a"], "definition": "SELECT 1""#), "columns"),
        (named(&format!(r#"{source}, "columns": ["a", "a"]"#)), "columns[1]"),
        (definition("DELETE FROM t"), "definition"),
        (definition("SELECT 1; DROP TABLE t"), "definition"),
        (definition("SELECT 1) UNION (SELECT 2"), "definition"),
    ] {
        assert_eq!(place(&harness.plan("postgres_view", None, &config).await.unwrap_err()), at, "{config}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn materialized_view_changes_with_its_indexes_and_its_fill() {
    let harness = with_table().await;
    let config = |rest: &str| {
        format!(
            r#"{{"database": "$db", "schema": "s", "name": "m", "source": {{"schema": "s", "name": "t"}}, {rest}}}"#
        )
    };
    let made = harness
        .create_settled("postgres_materialized_view", &config(r#""columns": ["a", "c"], "withData": false"#))
        .await;
    assert_eq!(harness.query("SELECT relispopulated FROM pg_class WHERE relname = 'm'").await, ["f"]);
    let filled = harness.update_settled("postgres_materialized_view", &made, &config(r#""columns": ["a", "c"]"#)).await;
    assert_eq!(harness.query("SELECT a FROM s.m").await, ["1"]);
    let index = r#"{"database": "$db", "schema": "s", "name": "i", "table": "m", "columns": ["a"], "unique": true}"#;
    let index_made = harness.create_settled("postgres_index", index).await;
    harness.update_settled("postgres_materialized_view", &filled, &config(r#""columns": ["Long Name", "a"]"#)).await;
    harness.assert_settled("postgres_index", &index_made, index).await;
    let other = config(r#""columns": ["a"]"#).replace("\"m\"", "\"n\"");
    let plan = harness.plan("postgres_materialized_view", Some(&made), &other).await.unwrap();
    assert_eq!(plan.replace_paths, [Path::attribute("name")]);
    let error = harness.create("postgres_view", &config(r#""columns": ["a"]"#)).await.unwrap_err();
    assert!(!matches!(error.kind, ErrorKind::AlreadyExists { .. }), "a view is not a materialized view: {error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn options_of_a_view_survive_its_changes() {
    let harness = with_table().await;
    let mut view = harness.create_settled("postgres_view", &definition("SELECT a FROM t WHERE a > 0")).await;
    harness.execute("ALTER VIEW s.v SET (security_barrier = true, security_invoker = on, check_option = local)").await;
    let options = harness.query("SELECT reloptions FROM pg_class WHERE oid = 's.v'::regclass").await;
    assert!(options[0].contains("security_barrier"), "{options:?}");
    // In place with another condition and with one column more; then recreated with one less.
    for text in ["SELECT a FROM t WHERE a > 1", "SELECT a, c FROM t WHERE a > 1", "SELECT c FROM t"] {
        view = harness.update_settled("postgres_view", &view, &definition(text)).await;
        assert_eq!(
            harness.query("SELECT reloptions FROM pg_class WHERE oid = 's.v'::regclass").await,
            options,
            "{text}"
        );
    }
    // A view that cannot have them is refused.
    let error = harness.update("postgres_view", &view, &definition("SELECT max(c) AS c FROM t")).await.unwrap_err();
    assert_eq!(error.vendor_code.as_deref(), Some("0A000"), "{error:?}");
    assert_eq!(harness.query("SELECT reloptions FROM pg_class WHERE oid = 's.v'::regclass").await, options);
}
