//! SQL in every text of every type stays a name, a comment or a refused query, and never becomes a statement.

use crate::harness::Instance;
use serde_json::json;
use terrace_provider::conformance::variants;
use terrace_test_snowflake::StandIn;

/// Ends the surrounding text, and then runs another statement.
const HOSTILE: [&str; 7] = [
    "x'; DROP TABLE D.S.KEEP; --",
    "x\"; DROP TABLE D.S.KEEP; --",
    "0); DROP TABLE D.S.KEEP; --",
    "SELECT 1; DROP TABLE D.S.KEEP",
    "$$; DROP TABLE D.S.KEEP; --$$",
    "/* x */ SELECT 1; DROP TABLE D.S.KEEP; /*",
    "x\\'; DROP TABLE D.S.KEEP; --",
];

#[tokio::test]
async fn text_never_becomes_a_statement() {
    let stand_in = StandIn::start();
    stand_in.add_user("JANE");
    for sql in [
        "CREATE DATABASE D",
        "CREATE SCHEMA D.S",
        "CREATE TABLE D.S.KEEP (ID INT, NAME TEXT)",
        "CREATE TAG D.S.PII",
        "CREATE ROLE R",
        "CREATE ROLE O",
    ] {
        stand_in.sql_as("TERRACE_ROLE", sql).unwrap();
    }
    let before = stand_in.inventory();
    let instance = Instance::of(&stand_in).await;
    let types = [
        ("snowflake_database", json!({"name": "H", "comment": "x"})),
        ("snowflake_schema", json!({"database": "D", "name": "H", "comment": "x"})),
        (
            "snowflake_table",
            json!({
                "database": "D", "schema": "S", "name": "H", "comment": "x", "primaryKey": ["C"], "unique": [["G"]],
                "columns": [{"name": "C", "type": "VARCHAR(20)", "comment": "x"}, {"name": "G", "type": "INT"}],
            }),
        ),
        (
            "snowflake_view",
            json!({
                "database": "D", "schema": "S", "name": "H", "comment": "x", "columns": [{"name": "ID", "comment": "x"}],
                "source": {"database": "D", "schema": "S", "name": "KEEP"},
            }),
        ),
        (
            "snowflake_view",
            json!({"database": "D", "schema": "S", "name": "H", "statement": "SELECT ID FROM D.S.KEEP"}),
        ),
        ("snowflake_role", json!({"name": "H", "comment": "x"})),
        ("snowflake_role_grant", json!({"role": "R", "granteeType": "user", "grantee": "JANE"})),
        (
            "snowflake_grant",
            json!({"role": "R", "objectType": "table", "object": "D.S.KEEP", "privileges": ["SELECT"]}),
        ),
        ("snowflake_tag", json!({"database": "D", "schema": "S", "name": "H", "comment": "x", "allowedValues": ["x"]})),
        (
            "snowflake_tag_assignment",
            json!({"objectType": "table", "object": "D.S.KEEP", "column": "ID", "tag": "D.S.PII", "value": "x"}),
        ),
    ];
    let (mut made, mut refused) = (0, 0);
    for (ty, config) in types {
        for text in HOSTILE {
            for (path, config) in variants(&config, text) {
                let case = format!("{ty}{path}: {text}");
                let _ = stand_in.take_calls();
                match instance.create(ty, config).await {
                    Ok(row) => {
                        made += 1;
                        for sql in stand_in.take_writes() {
                            assert!(!sql.starts_with("DROP"), "{case}: {sql}");
                        }
                        instance.delete(ty, &row).await.unwrap_or_else(|error| panic!("{case}: {error:?}"));
                    }
                    Err(error) => {
                        refused += 1;
                        let kind = error.kind.code();
                        assert!(
                            ["invalid_input", "not_found", "permission_denied"].contains(&kind),
                            "{case}: {error:?}"
                        );
                    }
                }
                assert_eq!(stand_in.inventory(), before, "{case}");
            }
        }
    }
    assert!(made > 50 && refused > 50, "{made} made, {refused} refused");
}
