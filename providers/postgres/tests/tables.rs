use crate::harness::{Harness, place, recorded, texts};
use std::sync::Arc;
use std::time::{Duration, Instant};
use terrace_provider::{DataAmount, ErrorKind, Found, Path, Planned, Value};

/// A table with `columns` and more attributes.
fn table(columns: &str, rest: &str) -> String {
    format!(r#"{{"database": "$db", "schema": "s", "name": "t", "columns": [{columns}]{rest}}}"#)
}

const ID: &str = r#"{"name": "id", "type": "bigint", "nullable": false, "identity": "always"}"#;
const LABEL: &str = r#"{"name": "Label", "type": "varchar(20)", "default": "'new'", "comment": "it's a label"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn table_with_everything_reads_back_as_planned() {
    let harness = Harness::new().await;
    harness.create_settled("postgres_table", r#"{"database": "$db", "schema": "s", "name": "other", "columns": [{"name": "a", "type": "int"}, {"name": "b", "type": "text"}], "primaryKey": {"columns": ["a", "b"]}}"#).await;
    let everything = table(
        &[
            ID,
            LABEL,
            r#"{"name": "price", "type": "numeric(10,2)", "nullable": false, "default": "0"}"#,
            r#"{"name": "gross", "type": "numeric", "generated": "price * 1.19"}"#,
            r#"{"name": "made", "type": "timestamptz", "default": "CURRENT_TIMESTAMP"}"#,
            r#"{"name": "tags", "type": "text[]", "default": "'{}'"}"#,
            r#"{"name": "counted", "type": "serial"}"#,
            r#"{"name": "a", "type": "int"}"#,
            r#"{"name": "b", "type": "text"}"#,
        ]
        .join(", "),
        r#", "comment": "all of it", "primaryKey": {"name": "the_key", "columns": ["id"]},
           "unique": [{"columns": ["Label", "price"]}, {"name": "u2", "columns": ["counted"]}],
           "foreignKeys": [{"columns": ["a", "b"], "references": {"table": "other", "columns": ["a", "b"]}, "onDelete": "cascade"}],
           "checks": [{"expression": "price >= 0"}, {"name": "c2", "expression": "\"Label\" <> '' AND price < 1000000"}]"#,
    );
    let made = harness.create_settled("postgres_table", &everything).await;
    assert_eq!(made.attributes.get("fullName"), Some(&"s.t".into()));
    harness.execute("INSERT INTO s.t (price) VALUES (10)").await;
    assert_eq!(
        harness.query("SELECT id || ' ' || \"Label\" || ' ' || gross || ' ' || counted FROM s.t").await,
        ["1 new 11.9000 1"]
    );
    // In a new process, which knows only the record.
    let harness = harness.with_new_session().await;
    harness.assert_settled("postgres_table", &made, &everything).await;
    // And with only the configuration, as before an adoption.
    let Found::Foreign(found) = harness.find("postgres_table", &everything, None).await else { panic!() };
    harness.assert_settled("postgres_table", &found, &everything).await;
    harness.delete("postgres_table", &made).await.unwrap();
    assert_eq!(harness.read("postgres_table", &made).await, None);
    harness.delete("postgres_table", &made).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn table_changes_in_place() {
    let harness = Harness::new().await;
    let made = harness.create_settled("postgres_table", &table(&[ID, LABEL].join(", "), "")).await;
    harness.execute("INSERT INTO s.t VALUES (DEFAULT, 'one'), (DEFAULT, 'two')").await;
    let oid = harness.query("SELECT 's.t'::regclass::oid").await;
    let steps = [
        // A column in the middle, a wider column, another default, one comment less.
        table(
            &[
                ID,
                r#"{"name": "state", "type": "text", "nullable": false, "default": "'x'"}"#,
                r#"{"name": "Label", "type": "varchar(40)", "default": "'newer'"}"#,
            ]
            .join(", "),
            r#", "primaryKey": {"columns": ["id"]}, "unique": [{"name": "u", "columns": ["Label"]}], "comment": "now with one""#,
        ),
        // A rename, exchanged constraints, no generated column.
        table(
            &[
                r#"{"name": "id", "type": "bigint", "nullable": false, "identity": "byDefault"}"#,
                r#"{"name": "title", "type": "text", "nullable": false, "previousName": "Label"}"#,
                r#"{"name": "state", "type": "text", "nullable": true}"#,
                r#"{"name": "size", "type": "int", "generated": "length(title)"}"#,
            ]
            .join(", "),
            r#", "primaryKey": {"name": "key", "columns": ["id"]}, "unique": [{"name": "v", "columns": ["title"]}],
               "checks": [{"name": "c", "expression": "title <> 'three'"}], "comment": "still""#,
        ),
        // Another order changes nothing; generated values stay or are computed again.
        table(
            &[
                r#"{"name": "title", "type": "text", "nullable": false, "previousName": "Label"}"#,
                r#"{"name": "size", "type": "int", "generated": "length(title) * 2"}"#,
                r#"{"name": "id", "type": "bigint", "nullable": false}"#,
                r#"{"name": "state", "type": "text", "nullable": true, "comment": "how it stands"}"#,
            ]
            .join(", "),
            r#", "checks": [{"name": "c", "expression": "title <> 'four'"}]"#,
        ),
    ];
    let mut now = made;
    for step in steps {
        now = harness.update_settled("postgres_table", &now, &step).await;
    }
    assert_eq!(harness.query("SELECT id || title || size || state FROM s.t ORDER BY id").await, ["1one6x", "2two6x"]);
    assert_eq!(harness.query("SELECT 's.t'::regclass::oid").await, oid, "it is the same table");
    assert_eq!(harness.query("SELECT count(*) FROM pg_constraint WHERE conrelid = 's.t'::regclass").await, ["1"]);
    assert_eq!(harness.query("SELECT obj_description('s.t'::regclass)").await, ["NULL"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn narrower_type_is_reported_and_truncates_with_consent() {
    let harness = Harness::new().await;
    let wide = r#"{"name": "a", "type": "varchar(20)"}, {"name": "b", "type": "numeric(10,2)"}, {"name": "c", "type": "text"}"#;
    let made = harness.create_settled("postgres_table", &table(wide, "")).await;
    harness.execute("INSERT INTO s.t VALUES ('abcdefgh', 1.55, '17')").await;
    assert_eq!(harness.count("postgres_table", &made).await, DataAmount::of(1, "row", "rows"));
    let narrow = table(
        r#"{"name": "a", "type": "varchar(4)"}, {"name": "b", "type": "numeric(10,1)"}, {"name": "c", "type": "int"}"#,
        "",
    );
    let loss = harness.plan("postgres_table", Some(&made), &narrow).await.unwrap().data_loss.unwrap();
    assert_eq!(
        loss.reasons,
        [
            "column a is narrowed from varchar(20) to varchar(4)",
            "column b is narrowed from numeric(10,2) to numeric(10,1)",
            "column c is narrowed from text to int",
        ]
    );
    harness.update_settled("postgres_table", &made, &narrow).await;
    assert_eq!(harness.query("SELECT a || ' ' || b || ' ' || c FROM s.t").await, ["abcd 1.6 17"]);
    let gone = table(r#"{"name": "a", "type": "varchar(4)"}, {"name": "x", "type": "numeric(10,1)"}"#, "");
    let loss = harness.plan("postgres_table", Some(&made), &gone).await.unwrap().data_loss.unwrap();
    assert_eq!(loss.reasons.last().map(String::as_str), Some("column c is dropped"));
}

#[tokio::test(flavor = "multi_thread")]
async fn change_that_rows_prevent_is_refused_at_its_attribute() {
    let harness = Harness::new().await;
    let made = harness.create_settled("postgres_table", &table(r#"{"name": "a", "type": "text"}"#, "")).await;
    harness.execute("INSERT INTO s.t VALUES (NULL), ('secret'), ('secret')").await;
    for (columns, rest, at) in [
        (r#"{"name": "a", "type": "text", "nullable": false}"#, "", "columns[0].nullable"),
        (r#"{"name": "a", "type": "text"}, {"name": "b", "type": "int", "nullable": false}"#, "", "columns[1]"),
        (r#"{"name": "a", "type": "text"}"#, r#", "unique": [{"columns": ["a"]}]"#, "unique[0]"),
        (
            r#"{"name": "a", "type": "text"}"#,
            r#", "checks": [{"expression": "a <> 'secret'"}]"#,
            "checks[0].expression",
        ),
        (r#"{"name": "a", "type": "int"}"#, "", "columns[0].type"),
        (r#"{"name": "a", "type": "nonsense"}"#, "", "columns[0].type"),
        (r#"{"name": "a", "type": "text", "default": "no_such()"}"#, "", "columns[0].default"),
    ] {
        let error = harness.update("postgres_table", &made, &table(columns, rest)).await.unwrap_err();
        assert_eq!(place(&error), at, "{error:?}");
        assert!(!format!("{error:?}").contains("secret\""), "errors contain no values of rows: {error:?}");
    }
    harness.assert_settled("postgres_table", &made, &table(r#"{"name": "a", "type": "text"}"#, "")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_creation_is_reported_at_its_attribute() {
    let harness = Harness::new().await;
    for (columns, rest, at) in [
        (r#"{"name": "a", "type": "nonsense"}"#, "", "columns[0].type"),
        (r#"{"name": "a", "type": "int"}, {"name": "b", "type": "int", "default": "'x'"}"#, "", "columns[1].default"),
        (r#"{"name": "a", "type": "int", "generated": "b + 1"}"#, "", "columns[0].generated"),
        (r#"{"name": "a", "type": "int"}"#, r#", "checks": [{"expression": "b > 1"}]"#, "checks[0].expression"),
        (
            r#"{"name": "a", "type": "int"}"#,
            r#", "foreignKeys": [{"columns": ["a"], "references": {"table": "none", "columns": ["a"]}}]"#,
            "foreignKeys[0]",
        ),
    ] {
        let error = harness.create("postgres_table", &table(columns, rest)).await.unwrap_err();
        let path = match &error.kind {
            ErrorKind::InvalidInput { path: Some(path) } => path.to_string(),
            _ => format!("{error:?}"),
        };
        assert!(path.starts_with(at.split('.').next().unwrap()), "{columns} {rest}: {path}: {error:?}");
        assert!(error.vendor_code.is_some());
    }
    assert_eq!(harness.query("SELECT count(*) FROM pg_class WHERE relnamespace = 's'::regnamespace").await, ["0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_table_is_refused_in_the_plan() {
    let harness = Harness::new().await;
    let a = r#"{"name": "a", "type": "int"}"#;
    for (columns, rest, at) in [
        ("".to_owned(), "", "columns"),
        (format!("{a}, {a}"), "", "columns[1].name"),
        (r#"{"name": "a", "type": "int; DROP TABLE t"}"#.to_owned(), "", "columns[0].type"),
        (r#"{"name": "a", "type": "int", "default": "1); DROP TABLE t; --"}"#.to_owned(), "", "columns[0].default"),
        (r#"{"name": "a", "type": "int", "default": "1", "identity": "always"}"#.to_owned(), "", "columns[0].default"),
        (r#"{"name": "a", "type": "int", "identity": "sometimes"}"#.to_owned(), "", "columns[0].identity"),
        (r#"{"name": "a", "type": "int", "previousName": "a"}"#.to_owned(), "", "columns[0].previousName"),
        (
            r#"{"name": "a", "type": "int", "previousName": "c"}, {"name": "b", "type": "int", "previousName": "c"}"#
                .to_owned(),
            "",
            "columns[1].previousName",
        ),
        (a.to_owned(), r#", "primaryKey": {"columns": ["A"]}"#, "primaryKey.columns[0]"),
        (a.to_owned(), r#", "unique": [{"columns": ["a", "a"]}]"#, "unique[0].columns[1]"),
        (a.to_owned(), r#", "checks": [{"expression": "a > 1, b"}]"#, "checks[0].expression"),
        (
            a.to_owned(),
            r#", "foreignKeys": [{"columns": ["a"], "references": {"table": "x", "columns": []}}]"#,
            "foreignKeys[0].references.columns",
        ),
        (
            a.to_owned(),
            r#", "foreignKeys": [{"columns": ["a"], "references": {"table": "x", "columns": ["a"]}, "onDelete": "drop"}]"#,
            "foreignKeys[0].onDelete",
        ),
        (a.to_owned(), r#", "partitionBy": {"strategy": "some", "columns": ["a"]}"#, "partitionBy.strategy"),
        (a.to_owned(), r#", "partitions": [{"name": "p", "bounds": "DEFAULT"}]"#, "partitions[0]"),
        (a.to_owned(), r#", "comment": "\u0000""#, "comment"),
    ] {
        let error = harness.plan("postgres_table", None, &table(&columns, rest)).await.unwrap_err();
        assert_eq!(place(&error), at, "{columns} {rest}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_covers_exactly_the_managed_parts() {
    let harness = Harness::new().await;
    let config = table(
        &[
            r#"{"name": "a", "type": "int", "nullable": false, "default": "1", "comment": "c"}"#,
            r#"{"name": "b", "type": "text"}"#,
        ]
        .join(", "),
        r#", "primaryKey": {"columns": ["a"]}, "unique": [{"columns": ["b"]}], "checks": [{"name": "c", "expression": "a > 0"}], "comment": "t""#,
    );
    for (sql, attribute) in [
        ("ALTER TABLE s.t ADD COLUMN c int", "columns"),
        ("ALTER TABLE s.t DROP COLUMN b", "columns unique"),
        ("ALTER TABLE s.t ALTER COLUMN b TYPE varchar(9)", "columns"),
        ("ALTER TABLE s.t ALTER COLUMN b SET NOT NULL", "columns"),
        ("ALTER TABLE s.t ALTER COLUMN a SET DEFAULT 2", "columns"),
        ("ALTER TABLE s.t ALTER COLUMN b SET DEFAULT 'x'", "columns"),
        ("ALTER TABLE s.t ALTER COLUMN a DROP DEFAULT, ALTER COLUMN a ADD GENERATED ALWAYS AS IDENTITY", "columns"),
        ("COMMENT ON COLUMN s.t.a IS 'other'", "columns"),
        ("ALTER TABLE s.t DROP CONSTRAINT t_pkey", "primaryKey"),
        ("ALTER TABLE s.t ADD UNIQUE (a, b)", "unique"),
        ("ALTER TABLE s.t DROP CONSTRAINT c, ADD CONSTRAINT c CHECK (a > 1)", "checks"),
        ("ALTER TABLE s.t ADD FOREIGN KEY (b) REFERENCES s.t (b)", "foreignKeys"),
        ("COMMENT ON TABLE s.t IS NULL", "comment"),
        (
            "DROP TABLE s.t; CREATE TABLE s.t (a int PRIMARY KEY DEFAULT 1 CONSTRAINT c CHECK (a > 0), b text UNIQUE); COMMENT ON TABLE s.t IS 't'; COMMENT ON COLUMN s.t.a IS 'c'",
            "oid",
        ),
        (
            "CREATE INDEX ON s.t (b); COMMENT ON COLUMN s.t.b IS 'new'; GRANT SELECT ON s.t TO PUBLIC; ALTER TABLE s.t SET (fillfactor = 70); ANALYZE s.t",
            "",
        ),
    ] {
        let made = harness.create_settled("postgres_table", &config).await;
        harness.execute(sql).await;
        let read = harness.read("postgres_table", &made).await.unwrap();
        let differs: Vec<&str> = read
            .attributes
            .iter()
            .filter(|(name, value)| made.attributes.get(*name) != Some(value))
            .map(|(name, _)| name.as_str())
            .chain(made.attributes.keys().filter(|name| !read.attributes.contains_key(*name)).map(String::as_str))
            .collect();
        assert_eq!(differs, attribute.split_whitespace().collect::<Vec<_>>(), "{sql}");
        if !["", "oid"].contains(&attribute) {
            // Repaired in place.
            harness.update_settled("postgres_table", &read, &config).await;
        }
        harness.execute("DROP TABLE s.t").await;
        assert_eq!(harness.read("postgres_table", &made).await, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_added_and_dropped() {
    let harness = Harness::new().await;
    let with = |partitions: &str| {
        table(
            r#"{"name": "day", "type": "date", "nullable": false}, {"name": "what", "type": "text"}"#,
            &format!(r#", "partitionBy": {{"strategy": "range", "columns": ["day"]}}, "partitions": [{partitions}]"#),
        )
    };
    let y25 = r#"{"name": "t_2025", "bounds": "FROM ('2025-01-01') TO ('2026-01-01')"}"#;
    let y26 = r#"{"name": "t_2026", "bounds": "FROM ('2026-01-01') TO ('2027-01-01')"}"#;
    let rest = r#"{"name": "t_rest", "bounds": "DEFAULT"}"#;
    let made = harness.create_settled("postgres_table", &with(&[y25, rest].join(", "))).await;
    harness.execute("INSERT INTO s.t VALUES ('2025-05-05', 'a')").await;
    assert_eq!(harness.query("SELECT count(*) FROM s.t_2025").await, ["1"]);
    let grown = harness.update_settled("postgres_table", &made, &with(&[y25, y26, rest].join(", "))).await;
    let shrunk = with(&[y26, rest].join(", "));
    let loss = harness.plan("postgres_table", Some(&grown), &shrunk).await.unwrap().data_loss.unwrap();
    assert_eq!(loss.reasons, ["partition t_2025 is dropped"]);
    let shrunk = harness.update_settled("postgres_table", &grown, &shrunk).await;
    // Without `partitions`, they stay.
    let silent = table(
        r#"{"name": "day", "type": "date", "nullable": false}, {"name": "what", "type": "text"}"#,
        r#", "partitionBy": {"strategy": "range", "columns": ["day"]}"#,
    );
    let now_silent = harness.update_settled("postgres_table", &shrunk, &silent).await;
    harness.execute("CREATE TABLE s.t_2030 PARTITION OF s.t FOR VALUES FROM ('2030-01-01') TO ('2031-01-01')").await;
    harness.assert_settled("postgres_table", &now_silent, &silent).await;
    let other = silent.replace("range", "list");
    let plan = harness.plan("postgres_table", Some(&now_silent), &other).await.unwrap();
    assert_eq!(plan.replace_paths, [Path::attribute("partitionBy")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn partition_in_another_schema_differs_from_a_table_of_its_name() {
    let harness = Harness::new().await;
    let config = table(
        r#"{"name": "day", "type": "date", "nullable": false}"#,
        r#", "partitionBy": {"strategy": "range", "columns": ["day"]}, "partitions": [{"name": "t_rest", "bounds": "DEFAULT"}]"#,
    );
    let made = harness.create_settled("postgres_table", &config).await;
    harness
        .execute(
            "CREATE SCHEMA far; CREATE TABLE far.t_2025 PARTITION OF s.t FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
             CREATE TABLE s.t_2025 (day date); INSERT INTO s.t_2025 VALUES ('2025-05-05')",
        )
        .await;
    let drifted = harness.read("postgres_table", &made).await.unwrap();
    assert_eq!(texts(&drifted, "partitions", "name"), ["t_rest", "far.t_2025"]);
    let loss = harness.plan("postgres_table", Some(&drifted), &config).await.unwrap().data_loss.unwrap();
    assert_eq!(loss.reasons, ["partition far.t_2025 is dropped"]);
    harness.update_settled("postgres_table", &drifted, &config).await;
    assert_eq!(harness.query("SELECT count(*) FROM s.t_2025").await, ["1"], "it is not a partition of the table");
    assert_eq!(harness.query("SELECT to_regclass('far.t_2025')").await, ["NULL"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn recreated_table_is_neither_dropped_nor_changed() {
    let harness = Harness::new().await;
    let made = harness.create_settled("postgres_table", &table(ID, "")).await;
    harness.execute("DROP TABLE s.t; CREATE TABLE s.t (theirs int); INSERT INTO s.t VALUES (1)").await;
    let error = harness.delete("postgres_table", &made).await.unwrap_err();
    assert_eq!(error.message, "the table `s.t` is not the table of the plan");
    let error = harness.update("postgres_table", &made, &table(ID, r#", "comment": "c""#)).await.unwrap_err();
    assert_eq!(error.message, "the table `s.t` is not the table of the plan");
    assert_eq!(harness.query("SELECT theirs FROM s.t").await, ["1"]);
    // After a new read, it is the recorded table.
    let read = harness.read("postgres_table", &made).await.unwrap();
    harness.delete("postgres_table", &read).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn table_swapped_during_a_wait_for_its_lock_stays() {
    for is_dropped in [true, false] {
        let harness = Harness::new().await;
        let made = harness.create_settled("postgres_table", &table(ID, "")).await;
        let plan = harness.plan("postgres_table", Some(&made), &table(ID, r#", "comment": "c""#)).await.unwrap();
        let planned = Planned { attributes: plan.planned, private: plan.private };
        let other = harness.cluster.connect(&harness.database).await;
        other.batch_execute("BEGIN; ALTER TABLE s.t RENAME TO old; CREATE TABLE s.t (id bigint)").await.unwrap();
        let (session, ty, call) =
            (Arc::clone(&harness.session), harness.ty("postgres_table").clone(), harness.call("step-3"));
        let prior = recorded(&made);
        let running = tokio::spawn(async move {
            match is_dropped {
                true => session.delete(&ty, &call, &prior).await,
                false => session.update(&ty, &call, &prior, &planned).await.map(drop),
            }
        });
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = '$db' AND wait_event_type = 'Lock'";
        let deadline = Instant::now() + Duration::from_secs(20);
        while harness.query(waits).await != ["1"] {
            assert!(Instant::now() < deadline, "it never waits");
        }
        other.batch_execute("COMMIT").await.unwrap();
        let error = running.await.unwrap().unwrap_err();
        assert_eq!(error.message, "the table `s.t` is not the table of the plan");
        assert_eq!(harness.query("SELECT count(*) FROM s.t").await, ["0"]);
        assert_eq!(harness.query("SELECT obj_description('s.t'::regclass)").await, ["NULL"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn name_conflict_within_a_change_is_not_an_existing_table() {
    let harness = Harness::new().await;
    let made = harness.create_settled("postgres_table", &table(ID, "")).await;
    harness.execute("CREATE INDEX named ON s.t (id)").await;
    let config = table(ID, r#", "unique": [{"name": "named", "columns": ["id"]}]"#);
    let error = harness.update("postgres_table", &made, &config).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::InvalidInput { .. }), "{error:?}");
    assert!(error.message.contains("\"named\""), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn manual_table_is_imported_and_described_as_a_data_contract() {
    let harness = Harness::new().await;
    harness
        .execute(
            "CREATE TABLE s.\"By Hand\" (a int NOT NULL, b varchar(20), c numeric(10,2), d timestamptz NOT NULL, e jsonb,
               f serial, g text[] DEFAULT '{}', h boolean, i double precision, j uuid UNIQUE NOT NULL, k bytea, l date,
               PRIMARY KEY (a, d));
             COMMENT ON TABLE s.\"By Hand\" IS 'made by hand'; COMMENT ON COLUMN s.\"By Hand\".a IS 'the first'",
        )
        .await;
    let imported = harness.import("postgres_table", "$db/s/By%20Hand").await.unwrap();
    assert_eq!(texts(&imported, "columns", "type")[5], "serial");
    // The contract can be planned, and that plan is empty.
    let computed = ["oid", "fullName", "id"];
    let config = imported.attributes.iter().filter(|(name, _)| !computed.contains(&name.as_str()));
    let config = config.map(|(name, value)| (name.clone(), value.clone())).collect();
    let plan = harness.plan_of("postgres_table", Some(&imported), &config).await.unwrap();
    assert_eq!(plan.planned, imported.attributes);
    assert_eq!(harness.import("postgres_table", "$db/s/none").await, None);
    assert_eq!(harness.import("postgres_table", "no_such_database/s/none").await, None);

    let answer =
        harness.lookup("postgres_table", r#"{"database": "$db", "schema": "s", "name": "By Hand"}"#).await.unwrap();
    let contract = answer.get("dataContract").and_then(Value::as_list).unwrap();
    let of = |at: usize, key: &str| contract[at].get(key).cloned().unwrap_or_default();
    assert_eq!(contract.len(), 12);
    assert_eq!(
        [of(0, "constraint"), of(3, "constraint"), of(9, "constraint")],
        ["PRIMARY_KEY", "PRIMARY_KEY", "UNIQUE"].map(Value::from)
    );
    assert_eq!(
        [of(1, "dataLength"), of(2, "scale"), of(0, "description")],
        [Value::Int(20), Value::Int(2), "the first".into()]
    );
    assert_eq!([of(9, "required"), of(6, "dataTypeDisplay")], [true.into(), "text[]".into()]);
    let missing =
        harness.lookup("postgres_table", r#"{"database": "$db", "schema": "s", "name": "none"}"#).await.unwrap_err();
    assert_eq!(missing.kind, ErrorKind::NotFound);

    let tables = harness.lookup("postgres_tables", r#"{"database": "$db", "schema": "s"}"#).await.unwrap();
    let tables = tables.get("tables").and_then(Value::as_list).unwrap();
    let of = |key: &str| tables.iter().map(|it| it.get(key).cloned().unwrap_or_default()).collect::<Vec<_>>();
    assert!(of("name").contains(&"By Hand".into()), "{tables:?}");
    assert!(of("id").iter().all(|id| id.as_str().is_some_and(|id| id.contains(".s."))), "{tables:?}");
    let missing = harness.lookup("postgres_tables", r#"{"database": "$db", "schema": "none"}"#).await.unwrap_err();
    assert_eq!(missing.kind, ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn create_never_takes_an_existing_table() {
    let harness = Harness::new().await;
    harness.execute("CREATE TABLE s.t (id int); INSERT INTO s.t VALUES (1)").await;
    let error = harness.create("postgres_table", &table(ID, "")).await.unwrap_err();
    let import_id = Some(format!("{}/s/t", harness.database));
    assert_eq!(error.kind, ErrorKind::AlreadyExists { import_id });
    assert_eq!(harness.query("SELECT count(*) FROM s.t").await, ["1"]);
    // Another kind of object with the name is not the same.
    harness.execute("CREATE VIEW s.v AS SELECT 1 AS a").await;
    let error = harness.create("postgres_table", &table(ID, "").replace("\"t\"", "\"v\"")).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::InvalidInput { .. }), "{error:?}");
}
