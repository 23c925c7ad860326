use crate::harness::{Harness, place};
use terrace_provider::{Finding, Severity};

fn table(columns: &str, rest: &str) -> String {
    format!(r#"{{"database": "$db", "schema": "s", "name": "t", "columns": [{columns}]{rest}}}"#)
}

async fn findings(harness: &Harness, prior: &terrace_provider::Observed, config: &str) -> Vec<Finding> {
    // The engine plans after a read.
    let prior = harness.read("postgres_table", prior).await.unwrap();
    let plan = harness.plan("postgres_table", Some(&prior), config).await.unwrap();
    match harness.session.validate_remote(harness.ty("postgres_table"), &plan.planned) {
        Some(findings) => findings.await,
        None => Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_column_keeps_its_parts_under_a_wider_column() {
    let harness = Harness::new().await;
    let of = |ty: &str| {
        table(
            &format!(
                r#"{{"name": "a", "type": "{ty}"}}, {{"name": "g", "type": "bigint", "generated": "a * 2"}}, {{"name": "n", "type": "int"}}"#
            ),
            r#", "unique": [{"name": "gu", "columns": ["g", "n"]}], "checks": [{"name": "gc", "expression": "g < 1000"}]"#,
        )
    };
    let made = harness.create_settled("postgres_table", &of("int")).await;
    harness
        .execute(
            "INSERT INTO s.t (a, n) VALUES (1, 3), (2, 4); CREATE INDEX gi ON s.t (g DESC) WHERE g > 0;
             COMMENT ON INDEX s.gi IS 'of g'; COMMENT ON COLUMN s.t.g IS 'twice'; CREATE VIEW s.v AS SELECT g FROM s.t;
             CREATE ROLE \"$db_r\"; GRANT SELECT (g) ON s.t TO \"$db_r\"",
        )
        .await;
    let state = "SELECT pg_get_indexdef('s.gi'::regclass) || obj_description('s.gi'::regclass) || col_description('s.t'::regclass,
                   (SELECT attnum FROM pg_attribute WHERE attrelid = 's.t'::regclass AND attname = 'g'))
                   || (SELECT attacl::text FROM pg_attribute WHERE attrelid = 's.t'::regclass AND attname = 'g')
                   || (SELECT string_agg(pg_get_constraintdef(oid), ',' ORDER BY conname) FROM pg_constraint WHERE conrelid = 's.t'::regclass)";
    let before = harness.query(state).await;
    let found = findings(&harness, &made, &of("bigint")).await;
    assert!(found.iter().all(|it| it.severity == Severity::Note), "{found:?}");
    let wide = harness.update_settled("postgres_table", &made, &of("bigint")).await;
    assert_eq!(harness.query("SELECT g FROM s.v ORDER BY g").await, ["2", "4"]);
    assert_eq!(harness.query(state).await, before);
    // Another expression keeps the parts, and so does another dropped column.
    let other = of("bigint").replace("a * 2", "a * 3");
    let other = harness.update_settled("postgres_table", &wide, &other).await;
    assert_eq!(harness.query(state).await, before);
    let gone = of("bigint").replace(r#"{"name": "a", "type": "bigint"}, "#, "").replace("a * 2", "n * 2");
    harness.update_settled("postgres_table", &other, &gone).await;
    assert_eq!(harness.query("SELECT g FROM s.t ORDER BY g").await, ["6", "8"]);
    harness.execute("DROP OWNED BY \"$db_r\"; DROP ROLE \"$db_r\"").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn constraints_on_a_recreated_column_keep_their_options() {
    let harness = Harness::new().await;
    harness.execute("CREATE TABLE s.u (x bigint PRIMARY KEY); INSERT INTO s.u SELECT generate_series(0, 99)").await;
    let of = |ty: &str, by: u8| {
        table(
            &format!(
                r#"{{"name": "a", "type": "{ty}"}}, {{"name": "g", "type": "bigint", "generated": "a * {by}"}}, {{"name": "n", "type": "int"}}"#
            ),
            r#", "unique": [{"name": "gu", "columns": ["g", "n"]}, {"name": "nu", "columns": ["n"]}],
               "checks": [{"name": "gc", "expression": "g < 1000"}],
               "foreignKeys": [{"name": "gf", "columns": ["g"], "references": {"table": "u", "columns": ["x"]}}]"#,
        )
    };
    let made = harness.create_settled("postgres_table", &of("int", 2)).await;
    harness
        .execute(
            "INSERT INTO s.t (a, n) VALUES (1, 3), (2, 4);
             ALTER TABLE s.t DROP CONSTRAINT gu, DROP CONSTRAINT nu, DROP CONSTRAINT gc, DROP CONSTRAINT gf;
             ALTER TABLE s.t ADD CONSTRAINT gu UNIQUE NULLS NOT DISTINCT (g, n) DEFERRABLE INITIALLY DEFERRED,
               ADD CONSTRAINT nu UNIQUE (n) INCLUDE (g) WITH (fillfactor = 70),
               ADD CONSTRAINT gc CHECK (g < 1000) NO INHERIT NOT VALID,
               ADD CONSTRAINT gf FOREIGN KEY (g) REFERENCES s.u (x) MATCH FULL DEFERRABLE,
               ADD CONSTRAINT gx EXCLUDE ((g + 1) WITH =) WHERE (g > 0);
             ALTER TABLE s.t CLUSTER ON nu; COMMENT ON CONSTRAINT gx ON s.t IS 'apart'",
        )
        .await;
    let made = harness.read("postgres_table", &made).await.unwrap();
    harness.assert_settled("postgres_table", &made, &of("int", 2)).await;
    let state = "SELECT concat_ws(' ', k.conname, pg_get_constraintdef(k.oid), obj_description(k.oid), c.reloptions, i.indisclustered)
                 FROM pg_constraint k LEFT JOIN pg_class c ON c.oid = k.conindid AND k.contype <> 'f'
                 LEFT JOIN pg_index i ON i.indexrelid = c.oid WHERE k.conrelid = 's.t'::regclass ORDER BY k.conname";
    let before = harness.query(state).await;
    assert_eq!(before.len(), 5, "{before:?}");
    let found = findings(&harness, &made, &of("bigint", 2)).await;
    assert!(found.iter().any(|it| it.severity == Severity::Note && it.message.contains("`gx`")), "{found:?}");
    let made = harness.update_settled("postgres_table", &made, &of("bigint", 2)).await;
    assert_eq!(harness.query(state).await, before);
    let made = harness.update_settled("postgres_table", &made, &of("bigint", 3)).await;
    assert_eq!(harness.query(state).await, before);
    // A new name changes nothing else.
    let other = of("bigint", 4).replace("\"gu\"", "\"other\"");
    harness.update_settled("postgres_table", &made, &other).await;
    let after: Vec<String> = harness.query(state).await.iter().map(|it| it.replace("other ", "gu ")).collect();
    assert_eq!(after.iter().filter(|it| before.contains(it)).count(), before.len(), "{after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn exclusion_of_overlapping_ranges_survives_another_expression() {
    let harness = Harness::new().await;
    let of = |end: &str| {
        table(
            &format!(
                r#"{{"name": "a", "type": "int"}}, {{"name": "period", "type": "int4range", "generated": "int4range(a, a + {end})"}}"#
            ),
            "",
        )
    };
    let made = harness.create_settled("postgres_table", &of("1")).await;
    harness.execute("ALTER TABLE s.t ADD CONSTRAINT px EXCLUDE USING gist (period WITH &&)").await;
    harness.update_settled("postgres_table", &made, &of("2")).await;
    assert_eq!(
        harness.query("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 's.t'::regclass").await,
        ["EXCLUDE USING gist (period WITH &&)"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn column_gets_wider_under_a_trigger() {
    let harness = Harness::new().await;
    let of = |ty: &str| table(&format!(r#"{{"name": "a", "type": "{ty}"}}, {{"name": "b", "type": "int"}}"#), "");
    let made = harness.create_settled("postgres_table", &of("int")).await;
    harness
        .execute(
            "CREATE FUNCTION s.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
             CREATE TRIGGER x BEFORE UPDATE OF a ON s.t FOR EACH ROW WHEN (NEW.a > 1) EXECUTE FUNCTION s.f();
             ALTER TABLE s.t ENABLE ALWAYS TRIGGER x; COMMENT ON TRIGGER x ON s.t IS 'looks'",
        )
        .await;
    let state = "SELECT pg_get_triggerdef(oid) || tgenabled::text || obj_description(oid) FROM pg_trigger WHERE tgrelid = 's.t'::regclass";
    let before = harness.query(state).await;
    let found = findings(&harness, &made, &of("bigint")).await;
    let [note] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(note.message, "the change of the table `s.t` drops and restores these objects: the trigger `x`");
    harness.update_settled("postgres_table", &made, &of("bigint")).await;
    assert_eq!(harness.query(state).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn primary_key_changes_under_a_foreign_key_that_keeps_a_key() {
    let harness = Harness::new().await;
    let of = |key: &str, rest: &str| {
        table(
            r#"{"name": "a", "type": "int", "nullable": false}, {"name": "b", "type": "int", "nullable": false}"#,
            &format!(r#", "primaryKey": {{"columns": [{key}]}}{rest}"#),
        )
    };
    let made = harness.create_settled("postgres_table", &of("\"a\"", "")).await;
    let other = r#"{"database": "$db", "schema": "s", "name": "u", "columns": [{"name": "x", "type": "int"}],
                    "foreignKeys": [{"columns": ["x"], "references": {"table": "t", "columns": ["a"]}, "onDelete": "cascade"}]}"#;
    let other_made = harness.create_settled("postgres_table", other).await;
    harness.execute("COMMENT ON CONSTRAINT u_x_fkey ON s.u IS 'theirs'").await;
    let alone = of("\"a\", \"b\"", "");
    let found = findings(&harness, &made, &alone).await;
    let [error] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(error.severity, Severity::Error);
    assert_eq!(error.message, "a foreign key refers to `a`, which would no longer be a key; it is `u_x_fkey` of `s.u`");
    let error = harness.update("postgres_table", &made, &alone).await.unwrap_err();
    assert_eq!(place(&error), "primaryKey");
    let unique = of("\"a\", \"b\"", r#", "unique": [{"columns": ["a"]}]"#);
    let found = findings(&harness, &made, &unique).await;
    assert_eq!(found.iter().map(|it| it.severity).collect::<Vec<_>>(), [Severity::Note], "{found:?}");
    harness.update_settled("postgres_table", &made, &unique).await;
    harness.assert_settled("postgres_table", &other_made, other).await;
    assert_eq!(
        harness.query("SELECT obj_description(oid) FROM pg_constraint WHERE conname = 'u_x_fkey'").await,
        ["theirs"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_reports_refusals_of_the_server() {
    let harness = Harness::new().await;
    let of = |columns: &str| table(columns, "");
    let both = r#"{"name": "a", "type": "int"}, {"name": "b", "type": "int"}"#;
    let made = harness.create_settled("postgres_table", &of(both)).await;
    let wide = of(&both.replacen("int", "bigint", 1));
    let without = of(r#"{"name": "b", "type": "int"}"#);
    for (create_sql, cleanup_sql, wanted) in [
        ("CREATE POLICY p ON s.t USING (a > 0)", "DROP POLICY p ON s.t", &wide),
        ("CREATE POLICY p ON s.t USING (a > 0)", "DROP POLICY p ON s.t", &without),
        (
            "CREATE FUNCTION s.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
             CREATE TRIGGER x BEFORE UPDATE OF a ON s.t FOR EACH ROW EXECUTE FUNCTION s.f()",
            "DROP FUNCTION s.f() CASCADE",
            &without,
        ),
        (
            "ALTER TABLE s.t ADD CONSTRAINT k UNIQUE (a); CREATE TABLE s.u (x int REFERENCES s.t (a))",
            "DROP TABLE s.u; ALTER TABLE s.t DROP CONSTRAINT k",
            &without,
        ),
    ] {
        harness.execute(create_sql).await;
        let found = findings(&harness, &made, wanted).await;
        assert!(found.iter().any(|it| it.severity == Severity::Error), "{create_sql}: {found:?}");
        let error = harness.update("postgres_table", &made, wanted).await.unwrap_err();
        assert!(error.vendor_code.is_none() && !error.solutions.is_empty(), "{create_sql}: {error:?}");
        harness.execute(cleanup_sql).await;
        harness.assert_settled("postgres_table", &made, &of(both)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_checks_types_of_extensions() {
    let harness = Harness::new().await;
    let of = |ty: &str| table(&format!(r#"{{"name": "a", "type": "int"}}, {{"name": "b", "type": "{ty}"}}"#), "");
    let of_new = async |ty: &str| {
        let plan = harness.plan("postgres_table", None, &of(ty)).await.unwrap();
        match harness.session.validate_remote(harness.ty("postgres_table"), &plan.planned) {
            Some(findings) => findings.await,
            None => Vec::new(),
        }
    };
    for known in ["inet", "tsvector[]", "pg_catalog.money", "varchar(20)"] {
        assert_eq!(of_new(known).await, [], "{known}");
    }
    for unknown in ["geometry(Point, 4326)", "vector(3)", "strng", "s.kind"] {
        let found = of_new(unknown).await;
        let [error] = found.as_slice() else { panic!("{unknown}: {found:?}") };
        assert_eq!(error.message, format!("the database has no type `{unknown}`"));
        assert_eq!(error.path.as_ref().unwrap().to_string(), "columns[1].type");
    }
    harness.execute("CREATE TYPE s.kind AS ENUM ('x')").await;
    assert_eq!((of_new("s.kind").await, of_new("kind").await), (Vec::new(), Vec::new()));
    harness.create_settled("postgres_table", &of("kind")).await;
}
