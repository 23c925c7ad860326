//! SQL in every text of every type stays a name, a comment or a refused expression, and never becomes a statement.

use crate::harness::{Harness, recorded};
use serde_json::json;
use terrace_provider::conformance::variants;

/// Ends the surrounding text, and then runs another statement.
const HOSTILE: [&str; 7] = [
    "x'; DROP TABLE s.keep; --",
    "x\"; DROP TABLE s.keep; --",
    "0); DROP TABLE s.keep; --",
    "0; DROP TABLE s.keep",
    "$x$; DROP TABLE s.keep; --$x$",
    "/* x */ 1; DROP TABLE s.keep; /*",
    "E'\\'; DROP TABLE s.keep; --'",
];

#[tokio::test(flavor = "multi_thread")]
async fn text_never_becomes_a_statement() {
    let harness = Harness::new().await;
    harness
        .execute("CREATE TABLE s.keep (a int PRIMARY KEY, b text); CREATE ROLE \"$db_r\"; CREATE ROLE \"$db_m\"; CREATE SEQUENCE s.counter")
        .await;
    let column = json!({"name": "c", "type": "int", "default": "1", "comment": "x"});
    let types = [
        ("postgres_schema", json!({"database": "$db", "name": "h", "comment": "x"})),
        (
            "postgres_table",
            json!({
                "database": "$db", "schema": "s", "name": "h", "comment": "x", "columns": [column, {"name": "g", "type": "int", "generated": "c + 1"}],
                "primaryKey": {"name": "p", "columns": ["c"]}, "unique": [{"name": "u", "columns": ["g"]}],
                "checks": [{"name": "k", "expression": "c > 0"}],
                "foreignKeys": [{"name": "f", "columns": ["c"], "references": {"schema": "s", "table": "keep", "columns": ["a"]}}],
            }),
        ),
        (
            "postgres_view",
            json!({"database": "$db", "schema": "s", "name": "h", "source": {"schema": "s", "name": "keep"}, "columns": ["a"], "comment": "x"}),
        ),
        ("postgres_view", json!({"database": "$db", "schema": "s", "name": "h", "definition": "SELECT a FROM s.keep"})),
        (
            "postgres_materialized_view",
            json!({"database": "$db", "schema": "s", "name": "h", "definition": "SELECT a FROM s.keep", "comment": "x"}),
        ),
        (
            "postgres_index",
            json!({"database": "$db", "schema": "s", "name": "h", "table": "keep", "columns": ["b"], "where": "a > 0", "method": "btree"}),
        ),
        ("postgres_role", json!({"name": "$db_h", "comment": "x", "password": "x"})),
        ("postgres_membership", json!({"role": "$db_r", "member": "$db_m"})),
        (
            "postgres_grant",
            json!({"database": "$db", "objectType": "table", "object": "s.keep", "role": "$db_r", "privileges": ["SELECT"], "columns": ["a"]}),
        ),
        ("postgres_database", json!({"name": "$db_h", "comment": "x", "encoding": "UTF8"})),
    ];
    let (mut made, mut refused) = (0, 0);
    for (ty, config) in types {
        for text in HOSTILE {
            // The database selects the connection, and is not part of a statement there.
            for (path, config) in variants(&config, text).into_iter().filter(|(path, _)| path != "/database") {
                let case = format!("{ty}{path}: {text}");
                let attributes = harness.attributes(&config.to_string());
                match harness.create_by(ty, &attributes, &harness.call("step-1")).await {
                    Ok(observed) => {
                        made += 1;
                        harness
                            .session
                            .delete(harness.ty(ty), &harness.call("step-2"), &recorded(&observed))
                            .await
                            .unwrap();
                    }
                    Err(error) => {
                        refused += 1;
                        let kind = error.kind.code();
                        assert!(["invalid_input", "not_found", "failed"].contains(&kind), "{case}: {error:?}");
                    }
                }
                assert_eq!(
                    harness.query("SELECT count(*) FROM pg_tables WHERE tablename = 'keep'").await,
                    ["1"],
                    "{case}"
                );
                let left = harness.query("SELECT relname FROM pg_class WHERE relnamespace = 's'::regnamespace AND relkind IN ('r', 'v', 'm') AND relname <> 'keep'").await;
                assert_eq!(left, Vec::<String>::new(), "{case}");
            }
        }
    }
    assert!(made > 50 && refused > 50, "{made} made, {refused} refused");
}
