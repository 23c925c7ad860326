//! Views: reads, and properties that survive changes.

use crate::harness::Instance;
use serde_json::{Value as Json, json};
use terrace_provider::wrap::Limits;
use terrace_provider::{ErrorKind, Recorded};
use terrace_test_snowflake::StandIn;

const VIEW: &str = "snowflake_view";

fn prepared() -> StandIn {
    let stand_in = StandIn::start();
    for sql in [
        "CREATE DATABASE D",
        "CREATE SCHEMA D.S",
        "CREATE TABLE D.S.T (A INT, B INT)",
        "CREATE TAG D.S.PII",
        "CREATE ROLE R",
    ] {
        stand_in.sql_as("TERRACE_ROLE", sql).unwrap();
    }
    stand_in
}

fn view(columns: Json) -> Json {
    json!({"database": "D", "schema": "S", "name": "V", "source": {"database": "D", "schema": "S", "name": "T"}, "columns": columns})
}

fn statement(sql: &str) -> Json {
    json!({"database": "D", "schema": "S", "name": "V", "statement": sql})
}

/// The visible properties of the view.
fn about(stand_in: &StandIn) -> Vec<String> {
    stand_in.inventory().into_iter().filter(|line| line.contains("D.S.V")).collect()
}

async fn drifted(instance: &Instance, made: &Recorded) -> Vec<String> {
    let read = instance.read(VIEW, made).await.unwrap().unwrap();
    let names = ["source", "columns", "statement", "comment", "secure"];
    let of = |recorded: &Recorded, name: &str| recorded.attributes.get(name).cloned().unwrap_or_default();
    names.into_iter().filter(|name| !of(made, name).is_same_as(&of(&read, name))).map(str::to_owned).collect()
}

#[tokio::test]
async fn names_without_a_schema_are_those_of_the_view() {
    let stand_in = prepared();
    let instance = Instance::of(&stand_in).await;
    for sql in ["SELECT A FROM T", "SELECT A FROM S.T", "select A, B from t", "SELECT A FROM D.S.T"] {
        let made = instance.create(VIEW, statement(sql)).await.unwrap();
        assert_eq!(made.attributes["statement"], sql.into());
        instance.assert_settled(VIEW, &made, &statement(sql)).await;
        instance.delete(VIEW, &made).await.unwrap();
    }
    // A table of the same name in another schema is another source.
    stand_in.sql_as("TERRACE_ROLE", "CREATE SCHEMA D.O").unwrap();
    stand_in.sql_as("TERRACE_ROLE", "CREATE TABLE D.O.T (A INT)").unwrap();
    let made = instance.create(VIEW, statement("SELECT A FROM T")).await.unwrap();
    stand_in.sql_as("TERRACE_ROLE", "CREATE OR REPLACE VIEW D.S.V AS SELECT A FROM D.O.T").unwrap();
    assert_eq!(drifted(&instance, &made).await, ["source", "columns", "statement"]);
}

#[tokio::test]
async fn renamed_columns_are_drift() {
    let stand_in = prepared();
    let instance = Instance::of(&stand_in).await;
    for config in [view(json!([{"name": "A"}, {"name": "B"}])), statement("SELECT A, B FROM D.S.T")] {
        for names in ["(X, B)", "(B, A)"] {
            let made = instance.create(VIEW, config.clone()).await.unwrap();
            assert_eq!(drifted(&instance, &made).await, [""; 0], "{names}");
            let sql = format!("CREATE OR REPLACE VIEW D.S.V {names} AS SELECT A, B FROM D.S.T");
            stand_in.sql_as("TERRACE_ROLE", &sql).unwrap();
            let drift = drifted(&instance, &made).await;
            assert!(drift.contains(&"statement".to_owned()), "{names}: {drift:?}");
            let read = instance.read(VIEW, &made).await.unwrap().unwrap();
            let repaired = instance.update(VIEW, &read, config.clone()).await.unwrap();
            instance.assert_settled(VIEW, &repaired, &config).await;
            instance.delete(VIEW, &repaired).await.unwrap();
        }
    }
}

#[tokio::test]
async fn changed_comment_keeps_the_view_and_its_policies() {
    let stand_in = prepared();
    let instance = Instance::of(&stand_in).await;
    let made = instance.create(VIEW, view(json!([{"name": "A", "comment": "one"}, {"name": "B"}]))).await.unwrap();
    stand_in.add_policy("ROWS", ["D", "S", "V"]);
    stand_in.sql("COMMENT ON COLUMN D.S.V.B IS 'nobody asked'");
    let before = about(&stand_in);
    let _ = stand_in.take_calls();
    let config = view(json!([{"name": "A", "comment": "it's another"}, {"name": "B"}]));
    let changed = instance.update(VIEW, &made, config.clone()).await.unwrap();
    assert_eq!(stand_in.take_writes(), ["COMMENT ON COLUMN \"D\".\"S\".\"V\".\"A\" IS 'it\\'s another'"]);
    instance.assert_settled(VIEW, &changed, &config).await;
    let config = view(json!([{"name": "A"}, {"name": "B"}]));
    instance.update(VIEW, &changed, config).await.unwrap();
    assert_eq!(stand_in.take_writes(), ["COMMENT ON COLUMN \"D\".\"S\".\"V\".\"A\" IS ''"]);
    assert_eq!(about(&stand_in), before);
}

#[tokio::test]
async fn view_with_policies_is_not_recreated() {
    let stand_in = prepared();
    let instance = Instance::of(&stand_in).await;
    for (config, other, place) in [
        (view(json!([{"name": "A"}, {"name": "B"}])), view(json!([{"name": "A"}])), "columns"),
        (statement("SELECT A, B FROM D.S.T"), statement("SELECT B FROM D.S.T"), "statement"),
    ] {
        let made = instance.create(VIEW, config).await.unwrap();
        stand_in.add_policy("ROWS", ["D", "S", "V"]);
        let before = stand_in.inventory();
        let error = instance.update(VIEW, &made, other).await.unwrap_err();
        let ErrorKind::InvalidInput { path: Some(path) } = &error.kind else { panic!("{error:?}") };
        assert_eq!(path.to_string(), place);
        assert!(error.to_string().contains("ROWS"), "{error}");
        assert_eq!(stand_in.inventory(), before);
        instance.delete(VIEW, &made).await.unwrap();
    }
}

#[tokio::test]
async fn view_is_not_recreated_without_a_warehouse() {
    let stand_in = prepared();
    let limits = Limits { retries: 0, ..Limits::default() };
    let instance = Instance::with(&stand_in, json!({"warehouse": null}), limits).await;
    let made = instance.create(VIEW, view(json!([{"name": "A"}, {"name": "B"}]))).await.unwrap();
    stand_in.sql("ALTER VIEW D.S.V SET TAG D.S.PII = 'all'");
    let before = stand_in.inventory();
    let config = view(json!([{"name": "A"}]));
    let planned = instance.plan(VIEW, Some(&made), &config).await;
    // A plan that was made with a warehouse.
    let planned_elsewhere = Instance::of(&stand_in).await.plan(VIEW, Some(&made), &config).await.unwrap();
    let of_plan = terrace_provider::Planned { attributes: planned_elsewhere.planned, private: made.private.clone() };
    let applied = instance.session.update(instance.ty(VIEW), &instance.call(), &made, &of_plan).await;
    for error in [planned.map(drop).unwrap_err(), applied.map(drop).unwrap_err()] {
        assert_eq!(error.kind.code(), "invalid_input", "{error:?}");
        assert!(error.solutions[0].contains("`warehouse`"), "{error:?}");
    }
    assert_eq!(stand_in.inventory(), before);
    // A change without a new view needs no warehouse.
    let config = view(json!([{"name": "A", "comment": "one"}, {"name": "B"}]));
    instance.update(VIEW, &made, config).await.unwrap();
    assert_eq!(stand_in.inventory(), before);
}

/// The view never lacks its tags: a role that cannot set them cannot replace the view.
#[tokio::test]
async fn statement_that_recreates_a_view_sets_its_tags() {
    let stand_in = prepared();
    let instance = Instance::of(&stand_in).await;
    for sql in ["CREATE DATABASE O", "CREATE SCHEMA O.S", "CREATE TAG O.S.FOREIGN_TAG"] {
        stand_in.sql(sql);
    }
    for (config, other) in [
        (view(json!([{"name": "A"}, {"name": "B"}])), view(json!([{"name": "B"}]))),
        (view(json!([{"name": "A"}, {"name": "B"}])), view(json!([]))),
        (statement("SELECT A, B FROM D.S.T"), statement("SELECT B FROM D.S.T WHERE A > 0")),
    ] {
        let made = instance.create(VIEW, config).await.unwrap();
        for sql in [
            "ALTER VIEW D.S.V SET TAG D.S.PII = 'it''s all'",
            "ALTER VIEW D.S.V MODIFY COLUMN B SET TAG D.S.PII = 'b'",
            "GRANT SELECT ON VIEW D.S.V TO ROLE R",
        ] {
            stand_in.sql(sql);
        }
        let before = about(&stand_in);
        let _ = stand_in.take_calls();
        let changed = instance.update(VIEW, &made, other.clone()).await.unwrap();
        assert_eq!(stand_in.take_writes().len(), 1);
        assert_eq!(about(&stand_in), before);
        instance.assert_settled(VIEW, &changed, &other).await;
        stand_in.sql("ALTER VIEW D.S.V SET TAG O.S.FOREIGN_TAG = 'x'");
        let before = stand_in.inventory();
        let error = instance.update(VIEW, &changed, view(json!([{"name": "A"}]))).await.unwrap_err();
        assert!(error.to_string().contains("FOREIGN_TAG"), "{error:?}");
        assert_eq!(stand_in.inventory(), before);
        assert_eq!(drifted(&instance, &changed).await, [""; 0]);
        instance.delete(VIEW, &changed).await.unwrap();
    }
}

/// A recreated view keeps unmanaged comments.
#[tokio::test]
async fn unmanaged_comments_survive_a_new_definition() {
    let stand_in = prepared();
    let instance = Instance::of(&stand_in).await;
    let made = instance.create(VIEW, view(json!([{"name": "A", "comment": "one"}, {"name": "B"}]))).await.unwrap();
    stand_in.sql("COMMENT ON COLUMN D.S.V.B IS 'nobody asked'");
    stand_in.sql("COMMENT ON VIEW D.S.V IS 'nobody asked'");
    let made = instance.read(VIEW, &made).await.unwrap().unwrap();
    instance.update(VIEW, &made, view(json!([]))).await.unwrap();
    let described = stand_in.sql("DESCRIBE VIEW D.S.V");
    assert_eq!((described[0][9].as_deref(), described[1][9].as_deref()), (None, Some("nobody asked")));
    assert_eq!(stand_in.sql("SHOW VIEWS LIKE 'V' IN SCHEMA D.S")[0][6].as_deref(), Some("nobody asked"));
}
