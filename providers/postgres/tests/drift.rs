use crate::harness::Harness;

/// A type, its configuration, a manual change, and the attribute that is null then.
const GONE: [(&str, &str, &str, &str); 9] = [
    (
        "postgres_database",
        r#"{"name": "$db drift", "comment": "c"}"#,
        "COMMENT ON DATABASE \"$db drift\" IS NULL",
        "comment",
    ),
    (
        "postgres_schema",
        r#"{"database": "$db", "name": "d", "comment": "c"}"#,
        "COMMENT ON SCHEMA d IS NULL",
        "comment",
    ),
    ("postgres_role", r#"{"name": "$db_drift", "comment": "c"}"#, "COMMENT ON ROLE \"$db_drift\" IS NULL", "comment"),
    (
        "postgres_view",
        r#"{"database": "$db", "schema": "s", "name": "v", "definition": "SELECT 1 AS a", "comment": "c"}"#,
        "COMMENT ON VIEW s.v IS NULL",
        "comment",
    ),
    (
        "postgres_view",
        r#"{"database": "$db", "schema": "s", "name": "w", "source": {"schema": "s", "name": "t"}, "columns": ["a"]}"#,
        "CREATE OR REPLACE VIEW s.w AS SELECT max(a) AS a FROM s.t",
        "source",
    ),
    (
        "postgres_materialized_view",
        r#"{"database": "$db", "schema": "s", "name": "m", "definition": "SELECT 1 AS a", "comment": "c"}"#,
        "COMMENT ON MATERIALIZED VIEW s.m IS NULL",
        "comment",
    ),
    (
        "postgres_index",
        r#"{"database": "$db", "schema": "s", "name": "i", "table": "t", "columns": ["a"], "where": "a > 0"}"#,
        "DROP INDEX s.i; CREATE INDEX i ON s.t (a)",
        "where",
    ),
    (
        "postgres_table",
        r#"{"database": "$db", "schema": "s", "name": "k", "columns": [{"name": "a", "type": "int", "nullable": false}], "primaryKey": {"columns": ["a"]}}"#,
        "ALTER TABLE s.k DROP CONSTRAINT k_pkey",
        "primaryKey",
    ),
    (
        "postgres_table",
        r#"{"database": "$db", "schema": "s", "name": "p", "columns": [{"name": "a", "type": "int"}], "partitionBy": {"strategy": "list", "columns": ["a"]}}"#,
        "DROP TABLE s.p; CREATE TABLE s.p (a int)",
        "partitionBy",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn removed_managed_attribute_is_recorded_as_null() {
    let harness = Harness::new().await;
    harness.execute("CREATE TABLE s.t (a int)").await;
    for (ty, config, sql, attribute) in GONE {
        let made = harness.create_settled(ty, config).await;
        assert!(made.attributes.contains_key(attribute), "{made:?}");
        harness.execute(sql).await;
        let read = harness.read(ty, &made).await.unwrap();
        assert_eq!(read.attributes.get(attribute), None, "{sql}");
        let plan = harness.plan(ty, Some(&read), config).await.unwrap();
        assert!(plan.planned.contains_key(attribute), "{sql}");
        harness.delete(ty, &read).await.unwrap();
    }
}
