use crate::harness::Harness;
use terrace_provider::{Attributes, Observed, Value};

fn table(rest: &str) -> String {
    format!(r#"{{"database": "$db", "schema": "s", "name": "t", {rest}}}"#)
}

const COLUMNS: &str = r#""columns": [{"name": "a", "type": "int", "nullable": false}, {"name": "b", "type": "int"}]"#;

async fn constraints(harness: &Harness) -> Vec<String> {
    harness.query("SELECT conname FROM pg_constraint WHERE conrelid = 's.t'::regclass ORDER BY 1").await
}

async fn granted(harness: &Harness, to: &str) -> Vec<String> {
    let sql = format!(
        "SELECT x.privilege_type FROM pg_class c, aclexplode(c.relacl) x
         WHERE c.oid = 's.t'::regclass AND CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(x.grantee)::text END = '{to}'
         ORDER BY 1"
    );
    harness.query(&sql).await
}

fn after(prior: &Observed, planned: &Attributes, name: &str) -> (Value, Value) {
    let of = |attributes: &Attributes| attributes.get(name).cloned().unwrap_or_default();
    (of(&prior.attributes), of(planned))
}

#[tokio::test(flavor = "multi_thread")]
async fn table_settles_if_a_unique_column_is_the_primary_key() {
    let harness = Harness::new().await;
    let keys = r#""primaryKey": {"columns": ["a"]}, "unique": [{"name": "ux", "columns": ["a"]}, {"columns": ["b"]}]"#;
    let made = harness.create_settled("postgres_table", &table(&format!("{COLUMNS}, {keys}"))).await;
    assert_eq!(constraints(&harness).await, ["t_b_key", "t_pkey"]);
    // The constraint is added when the primary key is gone.
    let unique = r#""unique": [{"name": "ux", "columns": ["a"]}, {"columns": ["b"]}]"#;
    harness.update_settled("postgres_table", &made, &table(&format!("{COLUMNS}, {unique}"))).await;
    assert_eq!(constraints(&harness).await, ["t_b_key", "ux"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn unique_constraint_next_to_a_primary_key_stays_while_configured() {
    let harness = Harness::new().await;
    harness
        .execute("CREATE TABLE s.t (a int NOT NULL PRIMARY KEY, b int); ALTER TABLE s.t ADD CONSTRAINT ux UNIQUE (a)")
        .await;
    let made = harness.import("postgres_table", &format!("{}/s/t", harness.database)).await.unwrap();
    let key = r#""primaryKey": {"columns": ["a"]}"#;
    let both = table(&format!(r#"{COLUMNS}, {key}, "unique": [{{"name": "ux", "columns": ["a"]}}]"#));
    let planned = harness.plan("postgres_table", Some(&made), &both).await.unwrap().planned;
    let (before, now) = after(&made, &planned, "unique");
    assert_eq!(before, now);
    harness.update_settled("postgres_table", &made, &table(&format!("{COLUMNS}, {key}"))).await;
    assert_eq!(constraints(&harness).await, ["t_pkey"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn comment_is_removed_if_it_becomes_empty() {
    let harness = Harness::new().await;
    let config = |comment: &str| {
        let columns = format!(r#""columns": [{{"name": "a", "type": "int", "comment": "{comment}"}}]"#);
        table(&format!(r#"{columns}, "comment": "{comment}""#))
    };
    let made = harness.create_settled("postgres_table", &config("x")).await;
    let made = harness.update_settled("postgres_table", &made, &config("")).await;
    let comments = "SELECT description FROM pg_description WHERE objoid = 's.t'::regclass";
    assert!(harness.query(comments).await.is_empty());
    harness.assert_settled("postgres_table", &made, &table(r#""columns": [{"name": "a", "type": "int"}]"#)).await;
    for (ty, of) in [
        ("postgres_database", r#"{"name": "$db c", "comment": "C"}"#),
        ("postgres_schema", r#"{"database": "$db", "name": "c", "comment": "C"}"#),
        ("postgres_role", r#"{"name": "$db_c", "comment": "C"}"#),
        (
            "postgres_view",
            r#"{"database": "$db", "schema": "s", "name": "v", "definition": "SELECT 1 AS a", "comment": "C"}"#,
        ),
        (
            "postgres_materialized_view",
            r#"{"database": "$db", "schema": "s", "name": "m", "definition": "SELECT 1 AS a", "comment": "C"}"#,
        ),
    ] {
        let made = harness.create_settled(ty, &of.replace("\"C\"", "\"x\"")).await;
        let made = harness.update_settled(ty, &made, &of.replace("\"C\"", "\"\"")).await;
        assert_eq!(made.attributes.get("comment"), None, "{ty}");
        harness.delete(ty, &made).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn default_null_counts_as_absent_in_any_spelling() {
    let harness = Harness::new().await;
    let of = |default: &str| {
        table(&format!(r#""columns": [{{"name": "a", "type": "varchar(20)", "default": "{default}"}}]"#))
    };
    let made = harness.create_settled("postgres_table", &of("'x'")).await;
    let made = harness.update_settled("postgres_table", &made, &of("NULL::varchar(9)")).await;
    assert!(harness.query("SELECT 1 FROM pg_attrdef WHERE adrelid = 's.t'::regclass").await.is_empty());
    harness.assert_settled("postgres_table", &made, &of("null")).await;
    // A manual default of NULL is not drift.
    harness.execute("ALTER TABLE s.t ALTER a SET DEFAULT NULL::text").await;
    let read = harness.read("postgres_table", &made).await.unwrap();
    harness.assert_settled("postgres_table", &read, &of("NULL")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn default_null_overrides_the_default_of_a_domain() {
    let harness = Harness::new().await;
    harness.execute("CREATE DOMAIN s.five AS int DEFAULT 5; CREATE TYPE s.kind AS ENUM ('x')").await;
    let of = |ty: &str, rest: &str| table(&format!(r#""columns": [{{"name": "a", "type": "{ty}"{rest}}}]"#));
    let null = r#", "default": "NULL""#;
    let made = harness.create_settled("postgres_table", &of("s.five", "")).await;
    let made = harness.update_settled("postgres_table", &made, &of("s.five", null)).await;
    assert_eq!(harness.query("INSERT INTO s.t DEFAULT VALUES RETURNING a").await, ["NULL"]);
    harness.execute("ALTER TABLE s.t ALTER a DROP DEFAULT").await;
    let read = harness.read("postgres_table", &made).await.unwrap();
    assert_ne!(read.attributes["columns"], made.attributes["columns"], "a missing default is drift");
    let made = harness.update_settled("postgres_table", &read, &of("s.five", null)).await;
    let made = harness.update_settled("postgres_table", &made, &of("s.five", "")).await;
    assert_eq!(harness.query("INSERT INTO s.t DEFAULT VALUES RETURNING a").await, ["5"]);
    harness.delete("postgres_table", &made).await.unwrap();
    harness.create_settled("postgres_table", &of("s.five", null)).await;
    assert_eq!(harness.query("INSERT INTO s.t DEFAULT VALUES RETURNING a").await, ["NULL"]);
    // The server stores no default of NULL unless the type is a domain.
    for ty in ["s.kind", "s.five[]"] {
        harness.execute("DROP TABLE s.t").await;
        let made = harness.create_settled("postgres_table", &of(ty, null)).await;
        harness.update_settled("postgres_table", &made, &of(ty, "")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn default_under_a_shorter_cast_changes_the_stored_value() {
    let harness = Harness::new().await;
    for (ty, plain, cast, stored) in [
        ("varchar(20)", "'abcdef'", "'abcdef'::varchar(3)", ["abcdef", "abc"]),
        ("numeric(10,2)", "1.239", "1.239::numeric(10,1)", ["1.24", "1.20"]),
        ("char(6)", "'abcdef'", "'abcdef'::char", ["abcdef", "a     "]),
        ("varchar(4)[]", "'{abcd}'", "'{abcd}'::varchar(2)[]", ["{abcd}", "{ab}"]),
    ] {
        let of =
            |default: &str| table(&format!(r#""columns": [{{"name": "a", "type": "{ty}", "default": "{default}"}}]"#));
        let inserted = async || harness.query("INSERT INTO s.t DEFAULT VALUES RETURNING a").await;
        let made = harness.create_settled("postgres_table", &of(plain)).await;
        assert_eq!(inserted().await, [stored[0]], "{ty}");
        let made = harness.update_settled("postgres_table", &made, &of(cast)).await;
        assert_eq!(inserted().await, [stored[1]], "{ty}");
        let made = harness.update_settled("postgres_table", &made, &of(plain)).await;
        assert_eq!(inserted().await, [stored[0]], "{ty}");
        harness.delete("postgres_table", &made).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn order_of_columns_and_checks_plans_no_change() {
    let harness = Harness::new().await;
    let checks =
        |first: &str, second: &str| format!(r#""checks": [{{"expression": "{first}"}}, {{"expression": "{second}"}}]"#);
    let made =
        harness.create_settled("postgres_table", &table(&format!("{COLUMNS}, {}", checks("a > 0", "b > 0")))).await;
    let reordered =
        r#""columns": [{"name": "b", "type": "integer"}, {"name": "a", "type": "INT4", "nullable": false}]"#;
    harness.assert_settled("postgres_table", &made, &table(&format!("{reordered}, {}", checks("b > 0", "A>0")))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_privileges_are_granted_and_revoked_one_by_one() {
    let harness = Harness::new().await;
    harness.execute("CREATE TABLE s.t (a int, b int); CREATE ROLE \"$db_r\"").await;
    let of = |rest: &str| {
        format!(r#"{{"database": "$db", "objectType": "table", "object": "s.t", "role": "$db_r", {rest}}}"#)
    };
    let role = format!("{}_r", harness.database);
    let all = of(r#""privileges": ["all privileges"]"#);
    let made = harness.create_settled("postgres_grant", &all).await;
    assert!(granted(&harness, &role).await.len() >= 7);
    // A manual revocation of one privilege is drift.
    harness.execute("REVOKE DELETE ON s.t FROM \"$db_r\"").await;
    let read = harness.read("postgres_grant", &made).await.unwrap();
    assert_ne!(read.attributes["privileges"], made.attributes["privileges"]);
    let made = harness.update_settled("postgres_grant", &read, &all).await;
    let made = harness.update_settled("postgres_grant", &made, &of(r#""privileges": ["select"]"#)).await;
    assert_eq!(granted(&harness, &role).await, ["SELECT"]);
    let made =
        harness.update_settled("postgres_grant", &made, &of(r#""privileges": ["ALL"], "columns": ["b", "a"]"#)).await;
    harness.delete("postgres_grant", &made).await.unwrap();
    assert!(granted(&harness, &role).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn earlier_privileges_stay_when_all_are_revoked() {
    let harness = Harness::new().await;
    harness.execute("CREATE TABLE s.t (a int); CREATE ROLE \"$db_r\"; GRANT SELECT ON s.t TO \"$db_r\"").await;
    let all = r#"{"database": "$db", "objectType": "table", "object": "s.t", "role": "$db_r", "privileges": ["ALL"]}"#;
    let made = harness.create_settled("postgres_grant", all).await;
    harness.delete("postgres_grant", &made).await.unwrap();
    assert_eq!(granted(&harness, &format!("{}_r", harness.database)).await, ["SELECT"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn role_public_stands_for_every_role() {
    let harness = Harness::new().await;
    harness.execute("CREATE TABLE s.t (a int)").await;
    let to = |role: &str| {
        format!(
            r#"{{"database": "$db", "objectType": "table", "object": "s.t", "role": "{role}", "privileges": ["SELECT"]}}"#
        )
    };
    let made = harness.create_settled("postgres_grant", &to("public")).await;
    assert_eq!(granted(&harness, "PUBLIC").await, ["SELECT"]);
    harness.assert_settled("postgres_grant", &made, &to("PUBLIC")).await;
    harness.delete("postgres_grant", &made).await.unwrap();
    assert!(granted(&harness, "PUBLIC").await.is_empty());
}
