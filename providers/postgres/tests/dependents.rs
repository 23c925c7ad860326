use crate::harness::{Harness, place, recorded};
use terrace_provider::{Severity, Value};

const TABLE: &str = r#"{"database": "$db", "schema": "s", "name": "t", "columns": [{"name": "a", "type": "int"}, {"name": "b", "type": "varchar(20)"}, {"name": "c", "type": "int"}]}"#;

/// All properties of a relation: its columns, owner, options, privileges, comments, triggers and indexes.
async fn state(harness: &Harness, name: &str) -> String {
    let sql = format!(
        "SELECT concat_ws(' | ', pg_get_userbyid(relowner), reloptions::text,
           (SELECT string_agg(x::text, ',' ORDER BY x::text) FROM unnest(coalesce(relacl, acldefault('r', relowner))) x),
           obj_description(oid), obj_description(reltype, 'pg_type'),
           (SELECT string_agg(attname || attacl::text || coalesce(col_description(c.oid, attnum), ''), ',')
            FROM pg_attribute WHERE attrelid = c.oid AND attacl IS NOT NULL),
           (SELECT string_agg(pg_get_expr(adbin, adrelid), ',') FROM pg_attrdef WHERE adrelid = c.oid),
           (SELECT string_agg(pg_get_triggerdef(oid), ',') FROM pg_trigger WHERE tgrelid = c.oid),
           (SELECT string_agg(obj_description(oid, 'pg_trigger'), ',') FROM pg_trigger WHERE tgrelid = c.oid),
           (SELECT string_agg(concat_ws(' ', pg_get_ruledef(oid), obj_description(oid, 'pg_rewrite')), ',' ORDER BY rulename) FROM pg_rewrite
            WHERE ev_class = c.oid AND rulename <> '_RETURN'),
           (SELECT string_agg(concat_ws(' ', pg_get_indexdef(indexrelid), obj_description(indexrelid), indisclustered,
                                        (SELECT reltablespace FROM pg_class WHERE oid = indexrelid)), ',' ORDER BY indexrelid)
            FROM pg_index WHERE indrelid = c.oid), relam, reltablespace,
           relispopulated, pg_get_viewdef(oid))
         FROM pg_class c WHERE oid = '{name}'::regclass"
    );
    harness.query(&sql).await.join("")
}

#[tokio::test(flavor = "multi_thread")]
async fn type_changes_under_views_that_stay_unchanged() {
    let harness = Harness::new().await;
    let table = harness.create_settled("postgres_table", TABLE).await;
    let managed = r#"{"database": "$db", "schema": "s", "name": "managed", "source": {"schema": "s", "name": "t"}, "columns": ["b", "a"]}"#;
    let view = harness.create_settled("postgres_view", managed).await;
    harness.execute("SET allow_in_place_tablespaces = on").await;
    harness.execute("CREATE TABLESPACE \"$db_space\" LOCATION ''").await;
    harness
        .execute(
            "CREATE ROLE \"$db_owner\"; CREATE ROLE \"$db_reader\"; GRANT CREATE, USAGE ON SCHEMA s TO \"$db_owner\";
             GRANT SELECT ON s.t TO \"$db_owner\";
             CREATE SCHEMA other;
             CREATE VIEW other.v1 WITH (security_barrier = true, check_option = cascaded) AS SELECT b, c FROM s.t WHERE c > 1;
             CREATE VIEW other.v2 AS SELECT upper(b) AS b FROM other.v1;
             CREATE VIEW s.joined AS SELECT x.b, y.b AS b2 FROM other.v2 x JOIN s.managed y USING (b);
             CREATE MATERIALIZED VIEW s.m AS SELECT b, count(*) AS n FROM s.managed GROUP BY b;
             CREATE UNIQUE INDEX m_key ON s.m (b);
             COMMENT ON INDEX s.m_key IS 'the key';
             CREATE ACCESS METHOD pile TYPE TABLE HANDLER heap_tableam_handler;
             CREATE MATERIALIZED VIEW s.piled USING pile WITH (fillfactor = 70) TABLESPACE \"$db_space\" AS SELECT b FROM s.t;
             CREATE INDEX piled_b ON s.piled (b); CREATE INDEX piled_far ON s.piled (b) TABLESPACE \"$db_space\";
             ALTER MATERIALIZED VIEW s.piled CLUSTER ON piled_far;
             CREATE VIEW s.ruled AS SELECT b FROM s.t;
             CREATE RULE silent AS ON INSERT TO s.ruled DO INSTEAD NOTHING;
             CREATE RULE beside AS ON DELETE TO s.ruled DO INSTEAD (DELETE FROM s.t WHERE c = 1; NOTIFY gone);
             COMMENT ON RULE silent ON s.ruled IS 'says nothing';
             GRANT USAGE ON SCHEMA s TO \"$db_reader\"; GRANT SELECT ON s.ruled TO \"$db_reader\" WITH GRANT OPTION;
             SET ROLE \"$db_reader\"; GRANT SELECT ON s.ruled TO PUBLIC; RESET ROLE;
             CREATE VIEW s.beside AS SELECT a FROM s.t;
             COMMENT ON VIEW other.v1 IS 'first'; COMMENT ON COLUMN other.v1.c IS 'it''s c';
             GRANT SELECT ON other.v1 TO \"$db_reader\" WITH GRANT OPTION; GRANT UPDATE (c) ON other.v1 TO PUBLIC;
             GRANT ALL ON s.m TO \"$db_reader\";
             ALTER VIEW other.v1 ALTER COLUMN c SET DEFAULT 7;
             CREATE FUNCTION s.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
             CREATE TRIGGER g INSTEAD OF INSERT ON other.v2 FOR EACH ROW EXECUTE FUNCTION s.f();
             COMMENT ON TRIGGER g ON other.v2 IS 'instead';
             ALTER VIEW s.joined OWNER TO \"$db_owner\";
             ALTER DEFAULT PRIVILEGES IN SCHEMA other GRANT DELETE ON TABLES TO \"$db_reader\"",
        )
        .await;
    let names = ["other.v1", "other.v2", "s.joined", "s.m", "s.managed", "s.beside", "s.piled", "s.ruled"];
    let mut before = Vec::new();
    for name in names {
        before.push(state(&harness, name).await);
    }
    let unaffected = harness.query("SELECT 's.beside'::regclass::oid").await;
    let wider = TABLE
        .replace("varchar(20)", "text")
        .replace(r#""name": "a", "type": "int""#, r#""name": "a", "type": "int", "comment": "more""#);

    // The plan lists them, and changes nothing.
    let plan = harness.plan("postgres_table", Some(&table), &wider).await.unwrap();
    assert_eq!(plan.data_loss, None);
    let findings = harness.session.validate_remote(harness.ty("postgres_table"), &plan.planned).unwrap().await;
    let messages: Vec<(Severity, &str)> = findings.iter().map(|it| (it.severity, it.message.as_str())).collect();
    let expected = "the change of the table `s.t` drops these views and recreates them afterwards: `s.managed`, `other.v1`, `s.piled`, `s.ruled`, `other.v2`, `s.m`, `s.joined`";
    assert_eq!(messages, [(Severity::Note, expected)]);
    assert_eq!(harness.query("SELECT 's.beside'::regclass::oid").await, unaffected);

    let table = harness.update_settled("postgres_table", &table, &wider).await;
    for (name, before) in names.iter().zip(before) {
        // The server wrote a cast to text for the shorter type, and the view's name until version 15.
        let plain = |text: String| {
            let text = text.replace("(v1.b)::text", "v1.b").replace("((b)::text)", "(b)");
            text.replace("(x.b = (y.b)::text)", "(x.b = y.b)")
        };
        assert_eq!(plain(state(&harness, name).await), plain(before), "{name}");
    }
    assert_eq!(harness.query("SELECT 's.beside'::regclass::oid").await, unaffected, "views without the column stay");
    harness.assert_settled("postgres_view", &view, managed).await;
    assert_eq!(harness.read("postgres_table", &table).await.map(|it| it.attributes), Some(table.attributes));
}

#[tokio::test(flavor = "multi_thread")]
async fn view_with_unrestorable_properties_stops_the_change() {
    let harness = Harness::new().await;
    let table = harness.create_settled("postgres_table", TABLE).await;
    let managed = r#"{"database": "$db", "schema": "s", "name": "m", "definition": "SELECT b::text, c FROM t"}"#;
    let view = harness.create_settled("postgres_materialized_view", managed).await;
    let wider = TABLE.replace("varchar(20)", "text");
    for (made, taken, what) in [
        ("CREATE STATISTICS s.st ON b, c FROM s.m", "DROP STATISTICS s.st", "extended statistics"),
        (
            "ALTER MATERIALIZED VIEW s.m ALTER COLUMN b SET STATISTICS 7",
            "ALTER MATERIALIZED VIEW s.m ALTER COLUMN b SET STATISTICS -1",
            "settings of columns",
        ),
        (
            "ALTER MATERIALIZED VIEW s.m SET (toast.autovacuum_enabled = off)",
            "ALTER MATERIALIZED VIEW s.m RESET (toast.autovacuum_enabled)",
            "options of TOAST",
        ),
    ] {
        harness.execute(made).await;
        let plan = harness.plan("postgres_table", Some(&table), &wider).await.unwrap();
        let findings = harness.session.validate_remote(harness.ty("postgres_table"), &plan.planned).unwrap().await;
        assert_eq!(findings.iter().map(|it| it.severity).collect::<Vec<_>>(), [Severity::Error], "{findings:?}");
        let error = harness.update("postgres_table", &table, &wider).await.unwrap_err();
        assert_eq!((place(&error), error.problems), ("columns".to_owned(), vec![format!("`s.m` has {what}")]));
        let other = managed.replace("b::text, c FROM", "c FROM");
        let error = harness.update("postgres_materialized_view", &view, &other).await.unwrap_err();
        assert_eq!((place(&error), error.problems), ("definition".to_owned(), vec![format!("`s.m` has {what}")]));
        harness.execute(taken).await;
    }
    harness.update_settled("postgres_table", &table, &wider).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn view_that_breaks_stops_the_change() {
    let harness = Harness::new().await;
    let table = harness.create_settled("postgres_table", TABLE).await;
    harness.execute("CREATE VIEW s.v AS SELECT c + 1 AS x FROM s.t").await;
    let error = harness
        .update("postgres_table", &table, &TABLE.replace(r#""c", "type": "int""#, r#""c", "type": "text""#))
        .await
        .unwrap_err();
    assert!(error.message.contains("`s.v` cannot be recreated"), "{error:?}");
    harness.assert_settled("postgres_table", &table, TABLE).await;
    assert_eq!(harness.query("SELECT count(*) FROM s.v").await, ["0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_column_is_removed_from_own_views_but_stopped_by_others() {
    let harness = Harness::new().await;
    let table = harness.create_settled("postgres_table", TABLE).await;
    let managed = r#"{"database": "$db", "schema": "s", "name": "v", "source": {"schema": "s", "name": "t"}, "columns": ["a", "b"]}"#;
    let view = harness.create_settled("postgres_view", managed).await;
    let without = TABLE.replace(r#", {"name": "b", "type": "varchar(20)"}"#, "");
    let now = harness.update_settled("postgres_table", &table, &without).await;
    let read = harness.read("postgres_view", &view).await.unwrap();
    assert_eq!(read.attributes.get("columns"), Some(&Value::List(vec!["a".into()])));

    harness.execute("CREATE VIEW s.theirs AS SELECT c FROM s.t").await;
    let less = without.replace(r#", {"name": "c", "type": "int"}"#, "");
    let plan = harness.plan("postgres_table", Some(&now), &less).await.unwrap();
    let findings = harness.session.validate_remote(harness.ty("postgres_table"), &plan.planned).unwrap().await;
    assert_eq!(findings.iter().map(|it| it.severity).collect::<Vec<_>>(), [Severity::Error], "{findings:?}");
    let error = harness.update("postgres_table", &now, &less).await.unwrap_err();
    assert_eq!(place(&error), "columns");
    assert_eq!(error.problems, ["they are `s.theirs`"]);
    assert!(harness.session.read(harness.ty("postgres_table"), &recorded(&now)).await.unwrap().is_some());
}
