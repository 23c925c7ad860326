use crate::harness::{Harness, place, recorded};
use crate::rights::limited;
use std::sync::Arc;
use std::time::{Duration, Instant};
use terrace_provider::{Attempt, ErrorKind, Found, LostCall, Path, Planned, Private, Severity, Value};

const INDEX: &str = r#"{"database": "$db", "schema": "s", "name": "i", "table": "t", "columns": ["b", "a"], "where": "a > 0 AND b IN ('x', 'y')"}"#;

async fn with_table() -> Harness {
    let harness = Harness::new().await;
    harness.execute("CREATE TABLE s.t (a int, b text)").await;
    harness
}

#[tokio::test(flavor = "multi_thread")]
async fn index_reads_back_as_planned_and_any_change_replaces_it() {
    let harness = with_table().await;
    let index = harness.create_settled("postgres_index", INDEX).await;
    assert_eq!(index.attributes.get("valid"), Some(&Value::Bool(true)));
    assert!(matches!(harness.find("postgres_index", INDEX, Some("step-1")).await, Found::Own(_)));
    assert!(matches!(harness.find("postgres_index", INDEX, Some("step-9")).await, Found::Foreign(_)));
    for (change, at) in [
        (INDEX.replace("\"table\"", "\"unique\": true, \"table\""), "unique"),
        (INDEX.replace("a > 0", "a > 1"), "where"),
        (INDEX.replace("\"table\"", "\"method\": \"hash\", \"table\""), "method"),
        (INDEX.replace("[\"b\", \"a\"]", "[\"b\"]"), "columns"),
    ] {
        let plan = harness.plan("postgres_index", Some(&index), &change).await.unwrap();
        assert_eq!(plan.replace_paths, [Path::attribute(at)]);
    }
    // The mode of the next creation is not a property of this index.
    let changed = INDEX.replace("\"table\"", "\"concurrently\": true, \"table\"");
    let index = harness.update_settled("postgres_index", &index, &changed).await;
    harness.delete("postgres_index", &index).await.unwrap();
    assert_eq!(harness.read("postgres_index", &index).await, None);
    harness.delete("postgres_index", &index).await.unwrap();
    harness.create_settled("postgres_index", &changed).await;
    assert!(matches!(harness.find("postgres_index", &changed, Some("step-1")).await, Found::Own(_)));
    let harness = harness.with_new_session().await;
    assert!(
        matches!(harness.find("postgres_index", &changed, Some("step-1")).await, Found::Foreign(_)),
        "nobody can tell"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_index_is_refused_with_a_reason() {
    let harness = with_table().await;
    let error = harness.create("postgres_index", &INDEX.replace("\"a\"]", "\"aa\"]")).await.unwrap_err();
    assert_eq!((error.message.as_str(), place(&error).as_str()), ("`t` has no column `aa`", "columns[1]"));
    let error = harness.create("postgres_index", &INDEX.replace("\"t\"", "\"tt\"")).await.unwrap_err();
    assert_eq!(place(&error), "table");
    let error = harness
        .create("postgres_index", &INDEX.replace("\"table\"", "\"method\": \"bee\", \"table\""))
        .await
        .unwrap_err();
    assert_eq!(place(&error), "method", "{error:?}");
    let error =
        harness.plan("postgres_index", None, &INDEX.replace("a > 0", "a > 0); DROP TABLE t; --")).await.unwrap_err();
    assert_eq!(place(&error), "where");
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_concurrent_creation_leaves_an_index_that_is_replaced() {
    let harness = with_table().await;
    harness.execute("INSERT INTO s.t VALUES (1, 'x'), (1, 'x')").await;
    let config = INDEX.replace("\"table\"", "\"unique\": true, \"concurrently\": true, \"table\"");
    let ty = harness.ty("postgres_index");
    let plan = harness.plan("postgres_index", None, &config).await.unwrap();
    let planned = Planned { attributes: plan.planned, private: plan.private };
    let error = harness.session.create(ty, &harness.call("step-1"), &planned).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Failed, "{error:?}");
    let left = *error.object.expect("the error has the object, for the record");
    assert_eq!(left.attributes.get("valid"), Some(&Value::Bool(false)));
    let read = harness.session.read(ty, &recorded(&left)).await.unwrap().unwrap();
    assert_eq!(read.attributes.get("valid"), Some(&Value::Bool(false)), "a read shows it");
    let plan = harness.plan("postgres_index", Some(&read), &config).await.unwrap();
    assert_eq!(plan.replace_paths, [Path::attribute("valid")]);
    harness.delete("postgres_index", &left).await.unwrap();
    harness.execute("DELETE FROM s.t").await;
    harness.create_settled("postgres_index", &config).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unreadable_new_index_is_in_doubt_and_then_found() {
    let harness = with_table().await;
    let session = limited(&harness).await;
    harness
        .execute(
            "GRANT CONNECT ON DATABASE \"$db\" TO \"$db_limited\"; GRANT USAGE, CREATE ON SCHEMA s TO \"$db_limited\";
             ALTER TABLE s.t OWNER TO \"$db_limited\"",
        )
        .await;
    let config = INDEX.replace("\"table\"", "\"concurrently\": true, \"table\"");
    let plan = harness.plan("postgres_index", None, &config).await.unwrap();
    let planned = Planned { attributes: plan.planned, private: plan.private };
    let attempt = Attempt {
        address: "a".to_owned(),
        identity: harness.ty("postgres_index").identity_of(&planned.attributes).unwrap(),
        planned: planned.attributes.clone(),
        private: Private::default(),
        prior: None,
        lost_call: Some(LostCall {
            operation: harness.database.clone(),
            step: "step-1".to_owned(),
            timeout: Duration::from_secs(1),
            age: Duration::from_secs(2),
        }),
    };
    // The creation waits for a writer; meanwhile its user loses the right to log in.
    let other = harness.cluster.connect(&harness.database).await;
    other.batch_execute("BEGIN; INSERT INTO s.t VALUES (1, 'x')").await.unwrap();
    let (ty, call, writer) = (harness.ty("postgres_index").clone(), harness.call("step-1"), Arc::clone(&session));
    let running = tokio::spawn(async move { writer.create(&ty, &call, &planned).await });
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE usename = '$db_limited' AND wait_event_type = 'Lock'";
    let deadline = Instant::now() + Duration::from_secs(20);
    while harness.query(waits).await != ["1"] {
        assert!(Instant::now() < deadline, "it never waits");
    }
    harness.execute("ALTER ROLE \"$db_limited\" NOLOGIN").await;
    other.batch_execute("ROLLBACK").await.unwrap();
    let error = running.await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Ambiguous, "{error:?}");
    assert!(error.message.starts_with("the outcome for the index `s.i` is unknown: "), "{error:?}");
    harness.execute("ALTER ROLE \"$db_limited\" LOGIN").await;
    let found = session.find(harness.ty("postgres_index"), &attempt).await.unwrap();
    assert!(matches!(found, Found::Own(_)), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn recreated_index_equals_the_imported_index() {
    let harness = with_table().await;
    for (at, definition) in [
        "(b DESC NULLS LAST, lower(b)) INCLUDE (a)",
        "(a, b)",
        "(a NULLS FIRST, b DESC)",
        "(b text_pattern_ops, (a + 1) DESC)",
        "(b COLLATE \"C\") WHERE a > 0",
        "USING hash (b)",
        "(lower(b) COLLATE \"C\" text_pattern_ops NULLS FIRST)",
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("i{at}");
        harness
            .execute(&format!("CREATE UNIQUE INDEX {name} ON s.t {definition}").replace("UNIQUE INDEX i5", "INDEX i5"))
            .await;
        let shown = format!("SELECT pg_get_indexdef('s.{name}'::regclass)");
        let before = harness.query(&shown).await;
        let found = harness.import("postgres_index", &format!("$db/s/{name}")).await.unwrap();
        assert_eq!(harness.session.unexpressed(harness.ty("postgres_index"), &found).await.unwrap(), [] as [String; 0]);
        let ty = harness.ty("postgres_index");
        let is_configured = |name: &str| ty.attributes.get(name).is_some_and(|it| it.configurable);
        let config: terrace_provider::Attributes = found
            .attributes
            .iter()
            .filter(|(name, value)| is_configured(name) && !value.is_null())
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let plan = harness.plan_of("postgres_index", Some(&found), &config).await.unwrap();
        assert_eq!((plan.planned, plan.replace_paths), (found.attributes.clone(), Vec::new()), "{definition}");
        harness.execute(&format!("DROP INDEX s.{name}")).await;
        let made = harness.create_by("postgres_index", &config, &harness.call("step-1")).await.unwrap();
        assert_eq!(harness.query(&shown).await, before);
        let read = harness.read("postgres_index", &made).await.unwrap();
        assert_eq!(read.attributes, made.attributes, "{definition}");
        harness.delete("postgres_index", &made).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn index_parts_are_compared_in_normal_form() {
    let harness = with_table().await;
    let of = |parts: &str| {
        format!(
            r#"{{"database": "$db", "schema": "s", "name": "i", "table": "t", "parts": [{parts}], "include": ["b"]}}"#
        )
    };
    let made = harness
        .create_settled(
            "postgres_index",
            &of(r#"{"expression": "LOWER(b) || 'x'", "nulls": "last"}, {"column": "a", "descending": true, "nulls": "first"}"#),
        )
        .await;
    let other = harness.plan("postgres_index", Some(&made), &of(r#"{"column": "a"}"#)).await.unwrap();
    assert_eq!(other.replace_paths, [Path::attribute("parts")]);
    for (parts, at) in [
        (r#"{"column": "a", "expression": "a + 1"}"#, "parts[0]"),
        (r#"{}"#, "parts[0]"),
        (r#"{"column": "a", "nulls": "middle"}"#, "parts[0].nulls"),
        (r#"{"expression": "a) , (b"}"#, "parts[0].expression"),
        (r#"{"column": "a", "operatorClass": ""}"#, "parts[0].operatorClass"),
    ] {
        assert_eq!(place(&harness.plan("postgres_index", None, &of(parts)).await.unwrap_err()), at, "{parts}");
    }
    let missing = of(r#"{"column": "aa"}"#);
    let plan = harness.plan("postgres_index", None, &missing).await.unwrap();
    let findings = harness.session.validate_remote(harness.ty("postgres_index"), &plan.planned).unwrap().await;
    assert_eq!(
        findings.iter().map(|it| it.message.as_str()).collect::<Vec<_>>(),
        ["`t` has no column `aa`; its columns are `a`, `b`"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn adopted_index_with_columns_keeps_its_other_properties() {
    let harness = with_table().await;
    let config = r#"{"database": "$db", "schema": "s", "name": "i", "table": "t", "columns": ["b"]}"#;
    for definition in ["(b) INCLUDE (a)", "(b DESC)", "(b text_pattern_ops)", "(b COLLATE \"C\")", "(b NULLS FIRST)"] {
        harness.execute(&format!("CREATE INDEX i ON s.t {definition}")).await;
        let Found::Foreign(found) = harness.find("postgres_index", config, None).await else { panic!("{definition}") };
        harness.assert_settled("postgres_index", &found, config).await;
        let plan = harness.plan("postgres_index", Some(&found), config).await.unwrap();
        let findings = harness.session.validate_remote(harness.ty("postgres_index"), &plan.planned).unwrap().await;
        let [note] = findings.as_slice() else { panic!("{definition}: {findings:?}") };
        assert_eq!(note.severity, Severity::Note);
        assert!(
            note.message.starts_with("the index `s.i` has properties that `columns` does not describe: "),
            "{note:?}"
        );
        // Other columns make another index.
        let other = config.replace("\"b\"]", "\"a\"]");
        let plan = harness.plan("postgres_index", Some(&found), &other).await.unwrap();
        assert_eq!(plan.replace_paths, [Path::attribute("columns")]);
        harness.execute("DROP INDEX s.i").await;
    }
    harness.execute("CREATE INDEX i ON s.t (b)").await;
    let Found::Foreign(found) = harness.find("postgres_index", config, None).await else { panic!() };
    let findings = harness.session.validate_remote(harness.ty("postgres_index"), &found.attributes).unwrap().await;
    assert_eq!(findings, []);
    // An expression is not a column.
    harness.execute("DROP INDEX s.i; CREATE INDEX i ON s.t (lower(b))").await;
    let read = harness.read("postgres_index", &found).await.unwrap();
    assert_ne!(read.attributes.get("parts"), found.attributes.get("parts"));
}

#[tokio::test(flavor = "multi_thread")]
async fn spellings_of_operator_classes_and_collations_settle() {
    let harness = Harness::new().await;
    harness
        .execute(
            "CREATE TABLE s.t (a text, code varchar(5) COLLATE \"C\");
             CREATE OPERATOR CLASS public.own_ops FOR TYPE text USING btree FAMILY text_ops AS STORAGE text;
             CREATE COLLATION public.own (provider = libc, locale = 'C')",
        )
        .await;
    let of =
        |part: &str| format!(r#"{{"database": "$db", "schema": "s", "name": "i", "table": "t", "parts": [{part}]}}"#);
    for part in [
        r#"{"expression": "lower(code)"}"#,
        r#"{"expression": "lower(code)", "collation": "C"}"#,
        r#"{"expression": "lower(code)", "collation": "POSIX"}"#,
        r#"{"expression": "lower(a)", "collation": "default"}"#,
        r#"{"column": "code", "collation": "C"}"#,
        r#"{"column": "code", "collation": "\"C\""}"#,
        r#"{"column": "code", "collation": "pg_catalog.\"C\""}"#,
        r#"{"column": "code", "collation": "pg_catalog.default"}"#,
        r#"{"column": "code", "collation": "default"}"#,
        r#"{"column": "a", "collation": "pg_catalog.default"}"#,
        r#"{"column": "a", "collation": "public.own"}"#,
        r#"{"column": "a", "collation": "own"}"#,
        r#"{"column": "code", "operatorClass": "text_ops"}"#,
        r#"{"column": "code", "operatorClass": "pg_catalog.text_ops"}"#,
        r#"{"column": "code", "operatorClass": "varchar_ops"}"#,
        r#"{"column": "code", "operatorClass": "TEXT_PATTERN_OPS"}"#,
        r#"{"column": "code", "operatorClass": "pg_catalog.\"text_pattern_ops\""}"#,
        r#"{"column": "a", "operatorClass": "public.own_ops"}"#,
        r#"{"column": "a", "operatorClass": "own_ops"}"#,
    ] {
        let made = harness.create_settled("postgres_index", &of(part)).await;
        harness.delete("postgres_index", &made).await.unwrap();
    }
    // Another spelling of a name plans no change.
    let both = r#"{"column": "code", "operatorClass": "text_pattern_ops", "collation": "C"}"#;
    let made = harness.create_settled("postgres_index", &of(both)).await;
    for (name, other) in [
        ("text_pattern_ops", "PG_CATALOG.Text_Pattern_Ops"),
        ("text_pattern_ops", "\\\"text_pattern_ops\\\""),
        ("\"C\"", "\"pg_catalog.C\""),
        ("\"C\"", "\"\\\"C\\\"\""),
    ] {
        harness.assert_settled("postgres_index", &made, &of(&both.replace(name, other))).await;
    }
    // Another class or collation makes another index, and a read reports drift.
    harness.execute("DROP INDEX s.i; CREATE INDEX i ON s.t (code COLLATE \"default\")").await;
    let read = harness.read("postgres_index", &made).await.unwrap();
    let part = read.attributes["parts"].as_list().unwrap()[0].clone();
    assert_eq!((part.get("operatorClass"), part.get("collation")), (Some(&"text_ops".into()), Some(&"default".into())));
    let plan = harness.plan("postgres_index", Some(&read), &of(both)).await.unwrap();
    assert_eq!(plan.replace_paths, [Path::attribute("parts")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn import_reports_unexpressed_parts() {
    let harness = with_table().await;
    harness
        .execute(
            "CREATE UNLOGGED TABLE s.x (a text COLLATE \"C\", took interval day to second(3), EXCLUDE (a WITH =)) WITH (fillfactor = 70);
             CREATE VIEW s.v WITH (security_barrier = true) AS SELECT a FROM s.x",
        )
        .await;
    let table = harness.import("postgres_table", "$db/s/x").await.unwrap();
    assert_eq!(
        harness.session.unexpressed(harness.ty("postgres_table"), &table).await.unwrap(),
        [
            "it is unlogged",
            "it has the options fillfactor=70",
            "the column a has the collation \"C\"",
            "the constraint x_a_excl is an exclusion constraint"
        ]
    );
    let mut config = table.attributes.clone();
    config.retain(|name, value| !value.is_null() && !["oid", "id", "fullName"].contains(&name.as_str()));
    let plan = harness.plan_of("postgres_table", Some(&table), &config).await.unwrap();
    assert_eq!(plan.planned, table.attributes);
    let view = harness.import("postgres_view", "$db/s/v").await.unwrap();
    let unexpressed_parts = harness.session.unexpressed(harness.ty("postgres_view"), &view).await.unwrap();
    assert_eq!(unexpressed_parts, ["it has the options security_barrier=true"]);
}
