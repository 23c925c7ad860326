//! The conformance suite, for every type.

use crate::harness::Harness;
use serde_json::json;
use std::sync::Arc;
use terrace_provider::conformance::{Fixture, Suite};
use terrace_provider::{Attributes, Recorded};

/// A change of the database outside terrace.
fn run_sql(
    harness: &Arc<Harness>,
    sql: &'static str,
) -> impl Fn(Recorded) -> futures_util::future::BoxFuture<'static, ()> + use<> {
    let harness = Arc::clone(harness);
    move |_| {
        let harness = Arc::clone(&harness);
        Box::pin(async move { harness.execute(sql).await })
    }
}

/// A table with another spelling for every attribute.
const SPELLED: &str = r#""columns": [
    {"name": "a", "type": "int", "nullable": false, "comment": "one"}, {"name": "b", "type": "varchar(20)", "default": "'x'"},
    {"name": "c", "type": "decimal(10,2)", "default": "0"}, {"name": "d", "type": "timestamptz", "default": "now()"},
    {"name": "e", "type": "bool", "default": "TRUE"}, {"name": "f", "type": "int", "generated": "a * 2"},
    {"name": "g", "type": "serial"}],
    "primaryKey": {"columns": ["a"]}, "unique": [{"columns": ["b", "c"]}, {"name": "of_d", "columns": ["d"]}],
    "foreignKeys": [{"columns": ["f"], "references": {"table": "spelled", "columns": ["a"]}}],
    "checks": [{"expression": "a > 0"}, {"name": "below", "expression": "a < 9 AND b <> 'A'"}], "comment": "one""#;

const PARTITIONED: &str = r#""columns": [{"name": "a", "type": "int"}], "partitionBy": {"strategy": "range", "columns": ["a"]},
    "partitions": [{"name": "low", "bounds": "FROM (1) TO (10)"}, {"name": "other", "bounds": "DEFAULT"}]"#;

fn spelled_table(config: Attributes) -> Fixture {
    let key = |columns: &[&str]| json!({"columns": columns});
    Fixture::new("postgres_table", "of every attribute", config)
        .spelled("/columns/0/type", ["int", "integer", "INT4", " int4 ", "pg_catalog.int4"])
        .spelled("/columns/1/type", ["varchar(20)", "character varying ( 20 )", "VARCHAR(20)"])
        .spelled("/columns/2/type", ["decimal(10,2)", "numeric(10, 2)", "dec(10,2)"])
        .spelled("/columns/3/type", ["timestamptz", "timestamp with time zone", "TIMESTAMP WITH TIME ZONE"])
        .spelled("/columns/6/type", ["serial", "SERIAL4"])
        .spelled("/columns/4/default", ["TRUE", "true", " True"])
        .spelled("/columns/3/default", ["now()", "NOW ( )"])
        .spelled("/columns/1/default", ["'x'", "'x'::character varying", "'x'::varchar(20)", "('x')"])
        .spelled("/columns/2/default", ["0", "0::numeric", "(0)"])
        .spelled(
            "/columns/1/default",
            [json!("NULL"), json!("null::text"), json!("CAST(NULL AS varchar)"), json!(null)],
        )
        .spelled("/columns/5/generated", ["a * 2", "A*2", "\"a\" * 2"])
        .spelled("/columns/0/comment", [json!(""), json!(null)])
        .spelled("/comment", [json!(""), json!(null)])
        .spelled("/checks/1/expression", ["a < 9 AND b <> 'A'", "A<9 and \"b\" <> 'A'", "((a < 9 AND b <> 'A'))"])
        .spelled(
            "/checks",
            [
                json!([{"expression": "a > 0"}, {"expression": "a < 9"}]),
                json!([{"expression": "a < 9"}, {"expression": "a > 0"}]),
            ],
        )
        .spelled(
            "/unique",
            [
                json!([]),
                json!([key(&["a"])]),
                json!([key(&["a"]), key(&["a"])]),
                json!([{"name": "x", "columns": ["a"]}]),
            ],
        )
        .spelled(
            "/unique",
            [
                json!([key(&["c", "b"])]),
                json!([key(&["c", "b"]), key(&["c", "b"])]),
                json!([key(&["a"]), key(&["c", "b"])]),
            ],
        )
        .spelled("/unique", [json!([key(&["b"]), key(&["c"])]), json!([key(&["c"]), key(&["b"])])])
        .spelled("/foreignKeys/0/references/schema", [json!(null), json!("s")])
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_passes_the_conformance_suite() {
    let harness = Arc::new(Harness::new().await);
    harness
        .execute("CREATE TABLE s.base (a int, b text, c int); CREATE SCHEMA \"Z z\"; CREATE TABLE \"Z z\".base (a int, b text, c int); CREATE ROLE \"$db_reader\"; CREATE ROLE \"$db_team\"")
        .await;
    let of = |json: &str| harness.attributes(json);
    let named =
        |name: &str, rest: &str| of(&format!(r#"{{"database": "$db", "schema": "s", "name": "{name}", {rest}}}"#));
    // These contain no word of any attribute.
    let indexed = |rest: &str| of(&format!(r#"{{"database": "$db", "schema": "Z z", "name": "I i", {rest}}}"#));
    let columns = |more: &str| format!(r#""columns": [{{"name": "a", "type": "int4", "default": "1"}}{more}]"#);
    let source = |columns: &str| format!(r#""source": {{"schema": "s", "name": "base"}}, "columns": [{columns}]"#);
    let grant = |role: &str, rest: &str| {
        of(&format!(r#"{{"database": "$db", "objectType": "table", "object": "s.base", "role": "{role}", {rest}}}"#))
    };
    let settings = crate::harness::settings(&[("url", harness.cluster.url("postgres").as_str())]);
    let suite = Suite::new(harness.provider(), settings)
        .fixture(
            Fixture::new("postgres_database", "plain", of(r#"{"name": "$db conformance", "comment": "one"}"#))
                .update(of(r#"{"name": "$db conformance", "comment": "two"}"#))
                .replace(of(r#"{"name": "$db conformance", "encoding": "SQL_ASCII"}"#))
                .tamper(run_sql(&harness, "COMMENT ON DATABASE \"$db conformance\" IS 'other'"))
                .spelled("/encoding", ["UTF8", "utf-8", "Unicode"])
                .remove(run_sql(&harness, "DROP DATABASE IF EXISTS \"$db conformance\" WITH (FORCE)")),
        )
        .fixture(
            Fixture::new("postgres_schema", "plain", of(r#"{"database": "$db", "name": "S 2", "comment": "one"}"#))
                .update(of(r#"{"database": "$db", "name": "S 2", "comment": "two", "owner": "$db_team"}"#))
                .replace(of(r#"{"database": "$db", "name": "S 3"}"#))
                .tamper(run_sql(&harness, "COMMENT ON SCHEMA \"S 2\" IS 'other'"))
                .remove(run_sql(&harness, "DROP SCHEMA IF EXISTS \"S 2\"")),
        )
        .fixture(
            Fixture::new("postgres_table", "plain", named("t", &columns("")))
                .update(named("t", &columns(r#", {"name": "b", "type": "varchar(9)"}"#)))
                .replace(named("t2", &columns("")))
                .tamper(run_sql(&harness, "ALTER TABLE s.t ALTER COLUMN a DROP DEFAULT"))
                .remove(run_sql(&harness, "DROP TABLE IF EXISTS s.t"))
                .fill(run_sql(&harness, "INSERT INTO s.t VALUES (1)")),
        )
        .fixture(spelled_table(named("spelled", SPELLED)).remove(run_sql(&harness, "DROP TABLE IF EXISTS s.spelled")))
        .fixture(
            Fixture::new("postgres_table", "partitioned", named("parted", PARTITIONED))
                .spelled("/partitions/0/bounds", ["FROM (1) TO (10)", "from(1)  to (10)"])
                .spelled("/partitions/1/bounds", ["DEFAULT", "default"])
                .remove(run_sql(&harness, "DROP TABLE IF EXISTS s.parted")),
        )
        .fixture(
            Fixture::new("postgres_view", "of a source", named("v", &source(r#""a", "b""#)))
                .update(named("v", &source(r#""b""#)))
                .replace(named("v2", &source("")))
                .tamper(run_sql(&harness, "CREATE OR REPLACE VIEW s.v AS SELECT a, b FROM s.base WHERE a > 1"))
                .remove(run_sql(&harness, "DROP VIEW IF EXISTS s.v")),
        )
        .fixture(
            Fixture::new(
                "postgres_view",
                "of a query",
                named("v", r#""definition": "SELECT max(a) AS most FROM base""#),
            )
            .update(named("v", r#""definition": "SELECT min(a) AS least FROM base", "comment": "c""#))
            .spelled(
                "/definition",
                ["SELECT max(a) AS most FROM base", "select  MAX(\"a\") as most\nfrom base -- all\n;"],
            )
            .tamper(run_sql(&harness, "ALTER VIEW s.v RENAME COLUMN most TO top"))
            .remove(run_sql(&harness, "DROP VIEW IF EXISTS s.v")),
        )
        .fixture(
            Fixture::new("postgres_materialized_view", "plain", named("m", &source(r#""a", "b""#)))
                .update(named("m", &source(r#""b", "c""#)))
                .replace(named("m2", &source("")))
                .tamper(run_sql(&harness, "DROP MATERIALIZED VIEW s.m; CREATE MATERIALIZED VIEW s.m AS SELECT 1 AS a"))
                .remove(run_sql(&harness, "DROP MATERIALIZED VIEW IF EXISTS s.m")),
        )
        .fixture(
            Fixture::new("postgres_index", "plain", indexed(r#""table": "base", "columns": ["a", "b"]"#))
                .replace(indexed(r#""table": "base", "columns": ["b"], "unique": true, "where": "a > 1""#))
                .spelled("/where", ["a > 1", "A>1", "\"a\" > 1"])
                .spelled("/method", ["btree", "BTREE"])
                .tamper(run_sql(&harness, "DROP INDEX \"Z z\".\"I i\"; CREATE INDEX \"I i\" ON \"Z z\".base (c)"))
                .remove(run_sql(&harness, "DROP INDEX IF EXISTS \"Z z\".\"I i\"")),
        )
        .fixture(
            Fixture::new(
                "postgres_index",
                "concurrent",
                indexed(r#""table": "base", "columns": ["a"], "concurrently": true"#),
            )
            .update(indexed(r#""table": "base", "columns": ["a"]"#))
            .remove(run_sql(&harness, "DROP INDEX IF EXISTS \"Z z\".\"I i\"")),
        )
        .fixture(
            Fixture::new(
                "postgres_role",
                "plain",
                of(r#"{"name": "$db_role", "comment": "one", "password": "hunter2"}"#),
            )
            .update(of(r#"{"name": "$db_role", "login": true, "inherit": false}"#))
            .replace(of(r#"{"name": "$db_role2"}"#))
            .tamper(run_sql(&harness, "ALTER ROLE \"$db_role\" LOGIN"))
            .remove(run_sql(&harness, "DROP ROLE IF EXISTS \"$db_role\"")),
        )
        .fixture(
            Fixture::new("postgres_membership", "plain", of(r#"{"role": "$db_team", "member": "$db_reader"}"#))
                .update(of(r#"{"role": "$db_team", "member": "$db_reader", "admin": true}"#))
                .replace(of(r#"{"role": "$db_team", "member": "terrace"}"#))
                .tamper(run_sql(&harness, "GRANT \"$db_team\" TO \"$db_reader\" WITH ADMIN OPTION"))
                .remove(run_sql(&harness, "REVOKE \"$db_team\" FROM \"$db_reader\"")),
        )
        .fixture(
            Fixture::new("postgres_grant", "of a table", grant("$db_reader", r#""privileges": ["SELECT", "INSERT"]"#))
                .update(grant("$db_reader", r#""privileges": ["UPDATE", "SELECT"], "grantOption": true"#))
                .replace(grant("PUBLIC", r#""privileges": ["SELECT"]"#))
                .tamper(run_sql(&harness, "REVOKE INSERT ON s.base FROM \"$db_reader\""))
                .spelled("/privileges", [json!(["SELECT", "INSERT"]), json!(["insert", "Select"])])
                .spelled("/privileges", [json!(["ALL"]), json!(["all privileges"]), json!(["SELECT", "ALL"])])
                .spelled("/object", ["s.base", "\"s\".base"])
                .remove(run_sql(&harness, "REVOKE ALL ON s.base FROM \"$db_reader\"")),
        )
        .fixture(
            Fixture::new("postgres_grant", "to the public", grant("PUBLIC", r#""privileges": ["SELECT"]"#))
                .spelled("/role", ["PUBLIC", "public"])
                .remove(run_sql(&harness, "REVOKE ALL ON s.base FROM PUBLIC")),
        )
        .fixture(
            Fixture::new(
                "postgres_grant",
                "of a database",
                of(r#"{"database": "$db", "objectType": "database", "object": "$db", "role": "$db_reader", "privileges": ["TEMP"]}"#),
            )
            .spelled("/privileges", [json!(["TEMP"]), json!(["TEMPORARY"]), json!(["temp"])])
            .spelled("/privileges", [json!(["ALL"]), json!(["CREATE", "ALL"])])
            .remove(run_sql(&harness, "REVOKE ALL ON DATABASE \"$db\" FROM \"$db_reader\"")),
        )
        .fixture(
            Fixture::new(
                "postgres_grant",
                "of columns",
                grant("$db_reader", r#""privileges": ["SELECT"], "columns": ["b", "a"]"#),
            )
            .update(grant("$db_reader", r#""privileges": ["UPDATE"], "columns": ["a", "c"]"#))
            .spelled("/columns", [["b", "a"], ["a", "b"]].map(|columns| json!(columns)))
            .spelled("/privileges", [json!(["ALL"]), json!(["all"])])
            .tamper(run_sql(&harness, "GRANT SELECT (c) ON s.base TO \"$db_reader\""))
            .remove(run_sql(&harness, "REVOKE ALL ON s.base FROM \"$db_reader\"")),
        );
    let report = suite.run().await;
    assert!(report.is_clean(), "{}", report.failures().join("\n"));
    assert!(report.shown() > 150, "{report}");
}
