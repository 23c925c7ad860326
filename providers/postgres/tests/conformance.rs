//! The suite of all providers, over every type.

use crate::world::World;
use std::sync::Arc;
use terrace_provider::Recorded;
use terrace_provider::conformance::{Fixture, Suite};

/// Something done to the database behind the provider's back.
fn by_hand(
    world: &Arc<World>,
    sql: &'static str,
) -> impl Fn(Recorded) -> futures_util::future::BoxFuture<'static, ()> + use<> {
    let world = Arc::clone(world);
    move |_| {
        let world = Arc::clone(&world);
        Box::pin(async move { world.execute(sql).await })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_shows_every_behaviour() {
    let world = Arc::new(World::new().await);
    world
        .execute("CREATE TABLE s.base (a int, b text, c int); CREATE SCHEMA \"Z z\"; CREATE TABLE \"Z z\".base (a int, b text, c int); CREATE ROLE \"$db_reader\"; CREATE ROLE \"$db_team\"")
        .await;
    let of = |json: &str| world.attributes(json);
    let named =
        |name: &str, rest: &str| of(&format!(r#"{{"database": "$db", "schema": "s", "name": "{name}", {rest}}}"#));
    // No word of any attribute is within these.
    let indexed = |rest: &str| of(&format!(r#"{{"database": "$db", "schema": "Z z", "name": "I i", {rest}}}"#));
    let columns = |more: &str| format!(r#""columns": [{{"name": "a", "type": "int4", "default": "1"}}{more}]"#);
    let source = |columns: &str| format!(r#""source": {{"schema": "s", "name": "base"}}, "columns": [{columns}]"#);
    let grant = |role: &str, rest: &str| {
        of(&format!(r#"{{"database": "$db", "objectType": "table", "object": "s.base", "role": "{role}", {rest}}}"#))
    };
    let settings = crate::world::settings(&[("url", world.cluster.url("postgres").as_str())]);
    let suite = Suite::new(world.provider(), settings)
        .fixture(
            Fixture::new("postgres_database", "plain", of(r#"{"name": "$db conformance", "comment": "one"}"#))
                .update(of(r#"{"name": "$db conformance", "comment": "two"}"#))
                .replace(of(r#"{"name": "$db conformance", "encoding": "SQL_ASCII"}"#))
                .tamper(by_hand(&world, "COMMENT ON DATABASE \"$db conformance\" IS 'other'"))
                .remove(by_hand(&world, "DROP DATABASE IF EXISTS \"$db conformance\" WITH (FORCE)")),
        )
        .fixture(
            Fixture::new("postgres_schema", "plain", of(r#"{"database": "$db", "name": "S 2", "comment": "one"}"#))
                .update(of(r#"{"database": "$db", "name": "S 2", "comment": "two", "owner": "$db_team"}"#))
                .replace(of(r#"{"database": "$db", "name": "S 3"}"#))
                .tamper(by_hand(&world, "COMMENT ON SCHEMA \"S 2\" IS 'other'"))
                .remove(by_hand(&world, "DROP SCHEMA IF EXISTS \"S 2\"")),
        )
        .fixture(
            Fixture::new("postgres_table", "plain", named("t", &columns("")))
                .update(named("t", &columns(r#", {"name": "b", "type": "varchar(9)"}"#)))
                .replace(named("t2", &columns("")))
                .tamper(by_hand(&world, "ALTER TABLE s.t ALTER COLUMN a DROP DEFAULT"))
                .remove(by_hand(&world, "DROP TABLE IF EXISTS s.t"))
                .fill(by_hand(&world, "INSERT INTO s.t VALUES (1)")),
        )
        .fixture(
            Fixture::new("postgres_view", "of a source", named("v", &source(r#""a", "b""#)))
                .update(named("v", &source(r#""b""#)))
                .replace(named("v2", &source("")))
                .tamper(by_hand(&world, "CREATE OR REPLACE VIEW s.v AS SELECT a, b FROM s.base WHERE a > 1"))
                .remove(by_hand(&world, "DROP VIEW IF EXISTS s.v")),
        )
        .fixture(
            Fixture::new(
                "postgres_view",
                "of a query",
                named("v", r#""definition": "SELECT max(a) AS most FROM base""#),
            )
            .update(named("v", r#""definition": "SELECT min(a) AS least FROM base", "comment": "c""#))
            .tamper(by_hand(&world, "ALTER VIEW s.v RENAME COLUMN most TO top"))
            .remove(by_hand(&world, "DROP VIEW IF EXISTS s.v")),
        )
        .fixture(
            Fixture::new("postgres_materialized_view", "plain", named("m", &source(r#""a", "b""#)))
                .update(named("m", &source(r#""b", "c""#)))
                .replace(named("m2", &source("")))
                .tamper(by_hand(&world, "DROP MATERIALIZED VIEW s.m; CREATE MATERIALIZED VIEW s.m AS SELECT 1 AS a"))
                .remove(by_hand(&world, "DROP MATERIALIZED VIEW IF EXISTS s.m")),
        )
        .fixture(
            Fixture::new("postgres_index", "plain", indexed(r#""table": "base", "columns": ["a", "b"]"#))
                .replace(indexed(r#""table": "base", "columns": ["b"], "unique": true, "where": "a > 1""#))
                .tamper(by_hand(&world, "DROP INDEX \"Z z\".\"I i\"; CREATE INDEX \"I i\" ON \"Z z\".base (c)"))
                .remove(by_hand(&world, "DROP INDEX IF EXISTS \"Z z\".\"I i\"")),
        )
        .fixture(
            Fixture::new(
                "postgres_index",
                "concurrent",
                indexed(r#""table": "base", "columns": ["a"], "concurrently": true"#),
            )
            .update(indexed(r#""table": "base", "columns": ["a"]"#))
            .remove(by_hand(&world, "DROP INDEX IF EXISTS \"Z z\".\"I i\"")),
        )
        .fixture(
            Fixture::new(
                "postgres_role",
                "plain",
                of(r#"{"name": "$db_role", "comment": "one", "password": "hunter2"}"#),
            )
            .update(of(r#"{"name": "$db_role", "login": true, "inherit": false}"#))
            .replace(of(r#"{"name": "$db_role2"}"#))
            .tamper(by_hand(&world, "ALTER ROLE \"$db_role\" LOGIN"))
            .remove(by_hand(&world, "DROP ROLE IF EXISTS \"$db_role\"")),
        )
        .fixture(
            Fixture::new("postgres_membership", "plain", of(r#"{"role": "$db_team", "member": "$db_reader"}"#))
                .update(of(r#"{"role": "$db_team", "member": "$db_reader", "admin": true}"#))
                .replace(of(r#"{"role": "$db_team", "member": "terrace"}"#))
                .tamper(by_hand(&world, "GRANT \"$db_team\" TO \"$db_reader\" WITH ADMIN OPTION"))
                .remove(by_hand(&world, "REVOKE \"$db_team\" FROM \"$db_reader\"")),
        )
        .fixture(
            Fixture::new("postgres_grant", "of a table", grant("$db_reader", r#""privileges": ["SELECT", "INSERT"]"#))
                .update(grant("$db_reader", r#""privileges": ["UPDATE", "SELECT"], "grantOption": true"#))
                .replace(grant("PUBLIC", r#""privileges": ["SELECT"]"#))
                .tamper(by_hand(&world, "REVOKE INSERT ON s.base FROM \"$db_reader\""))
                .remove(by_hand(&world, "REVOKE ALL ON s.base FROM \"$db_reader\"")),
        )
        .fixture(
            Fixture::new(
                "postgres_grant",
                "of columns",
                grant("$db_reader", r#""privileges": ["SELECT"], "columns": ["b", "a"]"#),
            )
            .update(grant("$db_reader", r#""privileges": ["UPDATE"], "columns": ["a", "c"]"#))
            .tamper(by_hand(&world, "GRANT SELECT (c) ON s.base TO \"$db_reader\""))
            .remove(by_hand(&world, "REVOKE ALL ON s.base FROM \"$db_reader\"")),
        );
    let report = suite.run().await;
    assert!(report.is_clean(), "{}", report.failures().join("\n"));
    assert!(report.shown() > 150, "{report}");
}
