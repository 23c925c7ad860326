//! Tables: spellings of types, changes in place, impossible changes, drift, recreated tables.

use crate::harness::{Instance, attributes};
use serde_json::{Value as Json, json};
use terrace_provider::{Call, DataAmount, ErrorKind, Recorded, Value};
use terrace_test_snowflake::StandIn;

const TABLE: &str = "snowflake_table";

fn prepared() -> StandIn {
    let stand_in = StandIn::start();
    for sql in ["CREATE DATABASE D", "CREATE SCHEMA D.S"] {
        stand_in.sql_as("TERRACE_ROLE", sql).unwrap();
    }
    stand_in
}

fn table(columns: Json) -> Json {
    json!({"database": "D", "schema": "S", "name": "T", "columns": columns})
}

#[tokio::test]
async fn every_spelling_of_a_type_settles_after_one_apply() {
    let spellings = [
        "NUMBER",
        "NUMBER(10)",
        "NUMBER(10,2)",
        "DECIMAL(12,4)",
        "DEC",
        "NUMERIC",
        "INT",
        "INTEGER",
        "BIGINT",
        "SMALLINT",
        "TINYINT",
        "BYTEINT",
        "FLOAT",
        "FLOAT4",
        "FLOAT8",
        "DOUBLE",
        "DOUBLE PRECISION",
        "REAL",
        "VARCHAR",
        "VARCHAR(20)",
        "varchar ( 20 )",
        "STRING",
        "TEXT",
        "text(7)",
        "CHAR",
        "CHARACTER(3)",
        "NCHAR",
        "NVARCHAR",
        "NVARCHAR2",
        "CHAR VARYING(9)",
        "BINARY",
        "VARBINARY(8)",
        "BOOLEAN",
        "DATE",
        "TIME",
        "TIME(3)",
        "DATETIME",
        "TIMESTAMP",
        "TIMESTAMP_NTZ",
        "TIMESTAMPNTZ(3)",
        "TIMESTAMP_LTZ",
        "TIMESTAMP_TZ(0)",
        "VARIANT",
        "OBJECT",
        "ARRAY",
        "GEOGRAPHY",
        "GEOMETRY",
    ];
    let stand_in = prepared();
    let instance = Instance::of(&stand_in).await;
    for spelling in spellings {
        let config = table(json!([{"name": "C", "type": spelling}]));
        let made = instance.create(TABLE, config.clone()).await.unwrap_or_else(|error| panic!("{spelling}: {error}"));
        instance.assert_settled(TABLE, &made, &config).await;
        instance.delete(TABLE, &made).await.unwrap();
    }
}

#[tokio::test]
async fn tables_change_in_place_if_snowflake_can() {
    let stand_in = prepared();
    let instance = Instance::of(&stand_in).await;
    let mut config = table(json!([
        {"name": "ID", "type": "INT", "nullable": false},
        {"name": "NAME", "type": "VARCHAR(10)"},
        {"name": "GONE", "type": "DATE"},
        {"name": "OLD", "type": "NUMBER(5,2)", "comment": "before"},
    ]));
    config["primaryKey"] = json!(["ID"]);
    config["unique"] = json!([["NAME"]]);
    config["comment"] = json!("it's a table \\ with a 'comment'");
    let made = instance.create(TABLE, config.clone()).await.unwrap();
    instance.assert_settled(TABLE, &made, &config).await;
    stand_in.sql("INSERT INTO D.S.T VALUES (1, 'a', '2026-01-01', '1.5')");
    let _ = stand_in.take_calls();
    let mut wanted = table(json!([
        {"name": "ADDED", "type": "BOOLEAN", "comment": "new"},
        {"name": "ID", "type": "INT", "nullable": false},
        {"name": "NAME", "type": "VARCHAR(20)", "nullable": false},
        {"name": "NEW", "type": "NUMBER(7,2)", "previousName": "OLD", "comment": "after"},
    ]));
    wanted["primaryKey"] = json!(["ID", "NAME"]);
    let plan = instance.plan(TABLE, Some(&made), &wanted).await.unwrap();
    assert_eq!(plan.data_loss.unwrap().reasons, ["column GONE is dropped"]);
    let changed = instance.update(TABLE, &made, wanted.clone()).await.unwrap();
    insta::assert_snapshot!(stand_in.take_writes().join("\n"));
    instance.assert_settled(TABLE, &changed, &wanted).await;
    // The values are preserved.
    assert_eq!(stand_in.sql("SELECT ID, NAME, NEW FROM D.S.T"), [["1", "a", "1.5"].map(|it| Some(it.to_owned()))]);
}

#[tokio::test]
async fn two_columns_cannot_have_one_previous_name() {
    let stand_in = prepared();
    let instance = Instance::of(&stand_in).await;
    let wanted = table(json!([
        {"name": "A", "type": "INT", "previousName": "OLD"},
        {"name": "B", "type": "INT", "previousName": "OLD"},
    ]));
    let error = instance.plan(TABLE, None, &wanted).await.unwrap_err();
    let ErrorKind::InvalidInput { path: Some(path) } = &error.kind else { panic!("{error:?}") };
    assert_eq!(path.to_string(), "columns[1].previousName");
}

#[tokio::test]
async fn impossible_change_is_an_error_not_a_replacement() {
    let stand_in = prepared();
    let instance = Instance::of(&stand_in).await;
    let of = |ty: &str| table(json!([{"name": "ID", "type": "INT"}, {"name": "C", "type": ty}]));
    for (old, new) in
        [("VARCHAR(20)", "VARCHAR(10)"), ("NUMBER(10,2)", "NUMBER(10,3)"), ("DATE", "TIMESTAMP"), ("FLOAT", "INT")]
    {
        let made = instance.create(TABLE, of(old)).await.unwrap();
        let error = instance.plan(TABLE, Some(&made), &of(new)).await.unwrap_err();
        let ErrorKind::InvalidInput { path: Some(path) } = &error.kind else { panic!("{error:?}") };
        assert_eq!(path.to_string(), "columns[1].type");
        assert!(error.solutions[0].contains("--replace"), "{error:?}");
        instance.delete(TABLE, &made).await.unwrap();
    }
    // A smaller precision is possible if the existing values fit.
    let made = instance.create(TABLE, of("NUMBER(10,0)")).await.unwrap();
    stand_in.sql("INSERT INTO D.S.T VALUES (1, 12345)");
    let plan = instance.plan(TABLE, Some(&made), &of("NUMBER(3,0)")).await.unwrap();
    assert_eq!(plan.data_loss.unwrap().reasons, ["column C is narrowed from NUMBER(10,0) to NUMBER(3,0)"]);
    let error = instance.update(TABLE, &made, of("NUMBER(3,0)")).await.unwrap_err();
    assert!(error.to_string().contains("out of range"), "{error}");
    instance.update(TABLE, &made, of("NUMBER(5,0)")).await.unwrap();
}

#[tokio::test]
async fn probable_rename_of_a_column_gets_a_hint() {
    let stand_in = prepared();
    let instance = Instance::of(&stand_in).await;
    let made = instance
        .create(TABLE, table(json!([{"name": "A", "type": "INT"}, {"name": "B", "type": "TEXT"}])))
        .await
        .unwrap();
    let renamed = table(json!([{"name": "A", "type": "INT"}, {"name": "C", "type": "STRING"}]));
    let plan = instance.plan(TABLE, Some(&made), &renamed).await.unwrap();
    assert_eq!(plan.data_loss.unwrap().reasons, ["column B is dropped; if C is its new name, set `previousName: B`"]);
}

async fn drifted(instance: &Instance, made: &Recorded) -> Vec<String> {
    let read = instance.read(TABLE, made).await.unwrap().unwrap();
    let differs = |name: &&String| {
        let of = |recorded: &Recorded| recorded.attributes.get(*name).cloned().unwrap_or_default();
        !of(made).is_same_as(&of(&read))
    };
    let names: std::collections::BTreeSet<&String> = made.attributes.keys().chain(read.attributes.keys()).collect();
    names.into_iter().filter(differs).cloned().collect()
}

#[tokio::test]
async fn drift_covers_exactly_the_managed_attributes() {
    let stand_in = prepared();
    let instance = Instance::of(&stand_in).await;
    let mut config = table(json!([
        {"name": "ID", "type": "INT", "nullable": false},
        {"name": "C", "type": "VARCHAR(10)", "comment": "managed"},
        {"name": "D", "type": "INT"},
    ]));
    config["comment"] = json!("managed");
    config["unique"] = json!([["C"]]);
    config["primaryKey"] = json!(["ID"]);
    let made = instance.create(TABLE, config.clone()).await.unwrap();
    stand_in.sql("COMMENT ON COLUMN D.S.T.D IS 'nobody asked'");
    assert_eq!(drifted(&instance, &made).await, [] as [&str; 0]);
    for (sql, name) in [
        ("ALTER TABLE D.S.T ADD COLUMN EXTRA INT", "columns"),
        ("ALTER TABLE D.S.T ALTER COLUMN C SET DATA TYPE VARCHAR(11)", "columns"),
        ("ALTER TABLE D.S.T ALTER COLUMN C SET NOT NULL", "columns"),
        ("ALTER TABLE D.S.T ALTER COLUMN C COMMENT 'other'", "columns"),
        ("ALTER TABLE D.S.T DROP UNIQUE (C)", "unique"),
        ("ALTER TABLE D.S.T DROP PRIMARY KEY", "primaryKey"),
        ("COMMENT ON TABLE D.S.T IS ''", "comment"),
    ] {
        stand_in.sql(sql);
        assert_eq!(drifted(&instance, &made).await, [name], "{sql}");
        let read = instance.read(TABLE, &made).await.unwrap().unwrap();
        let repaired = instance.update(TABLE, &read, config.clone()).await;
        // A text column cannot be made shorter again.
        if sql.contains("VARCHAR(11)") {
            assert!(repaired.is_err());
            stand_in.sql("DROP TABLE D.S.T");
            return Box::pin(rest(&stand_in, &instance, config)).await;
        }
        assert_eq!(drifted(&instance, &repaired.unwrap()).await, [] as [&str; 0], "{sql}");
    }
}

async fn rest(stand_in: &StandIn, instance: &Instance, config: Json) {
    for (sql, name) in [
        ("ALTER TABLE D.S.T ALTER COLUMN C SET NOT NULL", "columns"),
        ("ALTER TABLE D.S.T ALTER COLUMN C COMMENT 'other'", "columns"),
        ("ALTER TABLE D.S.T DROP UNIQUE (C)", "unique"),
        ("ALTER TABLE D.S.T DROP PRIMARY KEY", "primaryKey"),
        ("COMMENT ON TABLE D.S.T IS ''", "comment"),
    ] {
        let made = instance.create(TABLE, config.clone()).await.unwrap();
        stand_in.sql(sql);
        assert_eq!(drifted(instance, &made).await, [name], "{sql}");
        let read = instance.read(TABLE, &made).await.unwrap().unwrap();
        let repaired = instance.update(TABLE, &read, config.clone()).await.unwrap();
        assert_eq!(drifted(instance, &repaired).await, [] as [&str; 0], "{sql}");
        instance.delete(TABLE, &repaired).await.unwrap();
    }
}

#[tokio::test]
async fn recreated_table_is_drift() {
    let stand_in = prepared();
    let instance = Instance::of(&stand_in).await;
    let config = table(json!([{"name": "ID", "type": "INT"}]));
    let made = instance.create(TABLE, config.clone()).await.unwrap();
    stand_in.sql("DROP TABLE D.S.T");
    stand_in.sql_as("TERRACE_ROLE", "CREATE TABLE D.S.T (ID INT)").unwrap();
    assert_eq!(drifted(&instance, &made).await, ["createdOn"]);
    let read = instance.read(TABLE, &made).await.unwrap().unwrap();
    let plan = instance.plan(TABLE, Some(&read), &config).await.unwrap();
    assert_eq!(plan.planned.get("createdOn"), Some(&Value::Unknown), "the plan is not empty");
    let taken = instance.update(TABLE, &read, config.clone()).await.unwrap();
    assert!(instance.reports.messages()[0].contains("its previous content is gone"));
    instance.assert_settled(TABLE, &taken, &config).await;
}

/// A removal concerns only the recorded table.
#[tokio::test]
async fn recreated_table_is_not_dropped() {
    let stand_in = prepared();
    let instance = Instance::of(&stand_in).await;
    let made = instance.create(TABLE, table(json!([{"name": "ID", "type": "INT"}]))).await.unwrap();
    stand_in.sql("DROP TABLE D.S.T");
    stand_in.sql_as("TERRACE_ROLE", "CREATE TABLE D.S.T (ID INT)").unwrap();
    let before = stand_in.inventory();
    let read = instance.read(TABLE, &made).await.unwrap().unwrap();
    for prior in [&made, &read] {
        let error = instance.delete(TABLE, prior).await.unwrap_err();
        assert_eq!(error.kind.code(), "already_exists", "{error:?}");
        assert_eq!(stand_in.inventory(), before);
    }
    // After an adoption it is managed.
    let taken = instance.update(TABLE, &read, table(json!([{"name": "ID", "type": "INT"}]))).await.unwrap();
    instance.delete(TABLE, &taken).await.unwrap();
    instance.delete(TABLE, &taken).await.unwrap();
    assert!(!stand_in.inventory().contains(&"table D.S.T".to_owned()));
}

/// A column of an unsupported type is a column like any other.
#[tokio::test]
async fn unsupported_type_hides_no_loss_and_blocks_no_change() {
    let stand_in = prepared();
    let instance = Instance::of(&stand_in).await;
    let config = table(json!([{"name": "A", "type": "INT", "comment": "a"}, {"name": "B", "type": "INT"}]));
    let made = instance.create(TABLE, config.clone()).await.unwrap();
    stand_in.sql("ALTER TABLE D.S.T ADD COLUMN M MAP(VARCHAR, INT)");
    let read = instance.read(TABLE, &made).await.unwrap().unwrap();
    let wider = table(json!([
        {"name": "A", "type": "INT", "comment": "a"}, {"name": "B", "type": "NUMBER(20,0)"}, {"name": "C", "type": "DATE"},
    ]));
    let plan = instance.plan(TABLE, Some(&read), &wider).await.unwrap();
    assert_eq!(
        plan.data_loss.unwrap().reasons,
        ["column B is narrowed from INT to NUMBER(20,0)", "column M is dropped"]
    );
    let _ = stand_in.take_calls();
    let changed = instance.update(TABLE, &read, wider.clone()).await.unwrap();
    assert_eq!(
        stand_in.take_writes(),
        [
            "ALTER TABLE \"D\".\"S\".\"T\" ADD COLUMN \"C\" DATE",
            "ALTER TABLE \"D\".\"S\".\"T\" DROP COLUMN \"M\"",
            "ALTER TABLE \"D\".\"S\".\"T\" ALTER COLUMN \"B\" SET DATA TYPE NUMBER(20,0)",
        ]
    );
    instance.assert_settled(TABLE, &changed, &wider).await;
}

#[tokio::test]
async fn change_keeps_unmanaged_comments() {
    let stand_in = prepared();
    let instance = Instance::of(&stand_in).await;
    let made = instance
        .create(TABLE, table(json!([{"name": "A", "type": "INT"}, {"name": "B", "type": "INT", "comment": "ours"}])))
        .await
        .unwrap();
    for sql in ["COMMENT ON COLUMN D.S.T.A IS 'theirs'", "COMMENT ON TABLE D.S.T IS 'theirs'"] {
        stand_in.sql(sql);
    }
    let read = instance.read(TABLE, &made).await.unwrap().unwrap();
    let _ = stand_in.take_calls();
    let wanted = table(json!([{"name": "A2", "previousName": "A", "type": "INT"}, {"name": "B", "type": "INT"}]));
    instance.update(TABLE, &read, wanted).await.unwrap();
    assert_eq!(
        stand_in.take_writes(),
        [
            "ALTER TABLE \"D\".\"S\".\"T\" RENAME COLUMN \"A\" TO \"A2\"",
            "ALTER TABLE \"D\".\"S\".\"T\" ALTER COLUMN \"B\" COMMENT ''",
        ]
    );
    // The same for types without columns.
    let tag = |values: Json| json!({"database": "D", "schema": "S", "name": "PII", "allowedValues": values});
    let schema = |days: u64| json!({"database": "D", "name": "S2", "retentionDays": days});
    for (ty, config, other, sql, statement) in [
        (
            "snowflake_tag",
            tag(json!(["a"])),
            tag(json!(["a", "b"])),
            "ALTER TAG D.S.PII SET COMMENT = 'theirs'",
            "ADD ALLOWED_VALUES",
        ),
        ("snowflake_schema", schema(1), schema(2), "COMMENT ON SCHEMA D.S2 IS 'theirs'", "DATA_RETENTION"),
    ] {
        let made = instance.create(ty, config).await.unwrap();
        stand_in.sql(sql);
        let read = instance.read(ty, &made).await.unwrap().unwrap();
        let _ = stand_in.take_calls();
        instance.update(ty, &read, other).await.unwrap();
        let writes = stand_in.take_writes();
        assert!(writes.len() == 1 && writes[0].contains(statement), "{writes:?}");
    }
}

#[tokio::test]
async fn transient_object_is_adopted_unchanged() {
    let stand_in = StandIn::start();
    for sql in ["CREATE TRANSIENT DATABASE D", "CREATE TRANSIENT SCHEMA D.S"] {
        stand_in.sql_as("TERRACE_ROLE", sql).unwrap();
    }
    let instance = Instance::of(&stand_in).await;
    for (ty, id, mut config) in [
        ("snowflake_database", "D", json!({"name": "D"})),
        ("snowflake_schema", "D/S", json!({"database": "D", "name": "S"})),
    ] {
        let imported = instance.session.import(instance.ty(ty), id).await.unwrap().unwrap();
        let row = crate::harness::recorded(&attributes(json!({})), imported);
        instance.assert_settled(ty, &row, &config).await;
        // Another change does not replace it either.
        config["comment"] = json!("ours");
        let changed = instance.update(ty, &row, config.clone()).await.unwrap();
        assert_eq!(changed.attributes["transient"], true.into());
        // A configured value takes effect.
        config["transient"] = json!(false);
        let plan = instance.plan(ty, Some(&changed), &config).await.unwrap();
        assert_eq!(plan.replace_paths.len(), 1);
    }
}

/// Hidden objects exist all the same.
#[tokio::test]
async fn count_is_exact_only_if_the_role_sees_everything() {
    let stand_in = StandIn::start();
    for sql in ["CREATE DATABASE D", "CREATE SCHEMA D.S"] {
        stand_in.sql_as("TERRACE_ROLE", sql).unwrap();
    }
    let instance = Instance::of(&stand_in).await;
    let count = async |ty: &str, id: &str| {
        let imported = instance.session.import(instance.ty(ty), id).await.unwrap().unwrap();
        let row = crate::harness::recorded(&attributes(json!({})), imported);
        instance.session.count_data(instance.ty(ty), &row).await.unwrap()
    };
    let (database, schema) = (("snowflake_database", "D"), ("snowflake_schema", "D/S"));
    for (ty, id) in [database, schema] {
        assert_eq!(count(ty, id).await, DataAmount::Unknown, "{ty}");
    }
    stand_in.sql("CREATE ROLE OTHERS");
    stand_in.sql("GRANT USAGE ON DATABASE D TO ROLE OTHERS");
    stand_in.sql("GRANT USAGE, CREATE TABLE ON SCHEMA D.S TO ROLE OTHERS");
    stand_in.sql_as("OTHERS", "CREATE TABLE D.S.HIDDEN (ID INT)").unwrap();
    assert_eq!(count(schema.0, schema.1).await, DataAmount::Unknown, "it has a table that the role does not see");
    stand_in.sql_as("TERRACE_ROLE", "CREATE TABLE D.S.SEEN (ID INT)").unwrap();
    let DataAmount::Some { count: 1, text } = count(schema.0, schema.1).await else { panic!("there is one") };
    assert_eq!(text, "at least 1 table or view");
    // Through a role that it has.
    for sql in [
        "CREATE ROLE GRANTERS",
        "GRANT MANAGE GRANTS ON ACCOUNT TO ROLE GRANTERS",
        "GRANT ROLE GRANTERS TO ROLE TERRACE_ROLE",
    ] {
        stand_in.sql(sql);
    }
    for (ty, id) in [database, schema] {
        assert_eq!(count(ty, id).await, DataAmount::of(2, "table or view", "tables and views"), "{ty}");
    }
    stand_in.sql("DROP TABLE D.S.HIDDEN");
    stand_in.sql("DROP TABLE D.S.SEEN");
    assert_eq!(count(schema.0, schema.1).await, DataAmount::Empty);
}

#[tokio::test]
async fn hidden_table_does_not_count_as_empty() {
    let stand_in = prepared();
    let instance = Instance::of(&stand_in).await;
    let made = instance.create(TABLE, table(json!([{"name": "ID", "type": "INT"}]))).await.unwrap();
    stand_in.sql("DROP TABLE D.S.T");
    let amount = instance.session.count_data(instance.ty(TABLE), &made).await.unwrap();
    assert_eq!(amount, DataAmount::Unknown);
}

#[tokio::test]
async fn invalid_table_is_refused_at_its_attribute() {
    let stand_in = prepared();
    let instance = Instance::of(&stand_in).await;
    let long = "x".repeat(256);
    for (columns, place) in [
        (json!([]), "columns"),
        (json!([{"name": "", "type": "INT"}]), "columns[0].name"),
        (json!([{"name": long, "type": "INT"}]), "columns[0].name"),
        (json!([{"name": "A", "type": "INT"}, {"name": "A", "type": "INT"}]), "columns[1].name"),
        (json!([{"name": "A", "type": "VARCHR(3)"}]), "columns[0].type"),
        (json!([{"name": "A", "type": "INT); DROP TABLE X; --"}]), "columns[0].type"),
        (json!([{"name": "A", "type": "INT", "previousName": "A"}]), "columns[0].previousName"),
    ] {
        let error = instance.plan(TABLE, None, &table(columns)).await.unwrap_err();
        let ErrorKind::InvalidInput { path: Some(path) } = &error.kind else { panic!("{error:?}") };
        assert_eq!(path.to_string(), place, "{error}");
    }
    let mut config = table(json!([{"name": "AMOUNT", "type": "INT"}]));
    config["primaryKey"] = json!(["AMUONT"]);
    let error = instance.plan(TABLE, None, &config).await.unwrap_err();
    assert_eq!(error.solutions, ["did you mean `AMOUNT`?"]);
    assert!(stand_in.take_writes().is_empty());
}

#[tokio::test]
async fn rows_are_counted_without_a_warehouse() {
    let stand_in = prepared();
    let instance = Instance::of(&stand_in).await;
    let made = instance.create(TABLE, table(json!([{"name": "ID", "type": "INT"}]))).await.unwrap();
    let count = async || instance.session.count_data(instance.ty(TABLE), &made).await.unwrap();
    assert_eq!(count().await, DataAmount::Empty);
    stand_in.sql("INSERT INTO D.S.T VALUES (1), (2)");
    assert_eq!(count().await, DataAmount::of(2, "row", "rows"));
}

#[tokio::test]
async fn lookups_describe_existing_objects() {
    let stand_in = prepared();
    let instance = Instance::of(&stand_in).await;
    instance.create(TABLE, table(json!([{"name": "ID", "type": "INT", "nullable": false}]))).await.unwrap();
    let lookup = async |more: Json| {
        let mut arguments = attributes(json!({"database": "D", "schema": "S", "name": "T", "optional": false}));
        arguments.extend(attributes(more));
        instance.session.lookup(TABLE, &arguments).await
    };
    let found = Value::Map(lookup(json!({})).await.unwrap()).to_json();
    assert_eq!(found["columns"], json!([{"name": "ID", "type": "NUMBER(38,0)", "nullable": false}]));
    assert_eq!(lookup(json!({"name": "NONE"})).await.unwrap_err().kind, ErrorKind::NotFound);
    let none = Value::Map(lookup(json!({"name": "NONE", "optional": true})).await.unwrap()).to_json();
    assert_eq!(none["columns"], json!([]));
    let role = instance.session.lookup("snowflake_current_role", &attributes(json!({}))).await.unwrap();
    assert_eq!(role["name"], "TERRACE_ROLE".into());
}

#[tokio::test]
async fn lookups_list_tables_and_warehouses() {
    let stand_in = prepared();
    stand_in.add_warehouse("ETL");
    for sql in [
        "CREATE TABLE D.S.B (A INT) COMMENT = 'Second'",
        "CREATE TABLE D.S.A (A INT)",
        "CREATE VIEW D.S.V AS SELECT A FROM D.S.A",
    ] {
        stand_in.sql_as("TERRACE_ROLE", sql).unwrap();
    }
    let instance = Instance::of(&stand_in).await;
    let lookup = async |name: &str, arguments: Json| instance.session.lookup(name, &attributes(arguments)).await;
    let tables = lookup("snowflake_tables", json!({"database": "D", "schema": "S"})).await.unwrap();
    assert_eq!(
        Value::Map(tables).to_json(),
        json!({"tables": [
            {"id": "D.S.A", "name": "A", "comment": ""}, {"id": "D.S.B", "name": "B", "comment": "Second"},
        ]})
    );
    let error = lookup("snowflake_tables", json!({"database": "D", "schema": "NONE"})).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(lookup("snowflake_tables", json!({"database": "D", "schema": ""})).await.is_err());
    // Snowflake cuts a longer list.
    for number in 0..10_000 {
        stand_in.sql_as("TERRACE_ROLE", &format!("CREATE TABLE D.S.T{number} (A INT)")).unwrap();
    }
    let error = lookup("snowflake_tables", json!({"database": "D", "schema": "S"})).await.unwrap_err();
    assert!(error.message.contains("too many tables"), "{error}");
    let warehouses = Value::Map(lookup("snowflake_warehouses", json!({})).await.unwrap()).to_json();
    let etl = json!({"id": "ETL", "name": "ETL", "state": "STARTED", "size": "X-Small"});
    assert!(warehouses["warehouses"].as_array().unwrap().contains(&etl), "{warehouses}");
}

#[tokio::test]
async fn columns_move_along_a_chain_and_exchange_their_names() {
    let stand_in = prepared();
    let instance = Instance::of(&stand_in).await;
    let column = |name: &str, previous: Option<&str>| match previous {
        Some(previous) => json!({"name": name, "type": "INT", "previousName": previous}),
        None => json!({"name": name, "type": "INT"}),
    };
    let made = instance.create(TABLE, table(json!([column("A", None), column("B", None)]))).await.unwrap();
    stand_in.sql("INSERT INTO D.S.T VALUES (1, 2)");
    let chain = table(json!([column("B", Some("A")), column("C", Some("B"))]));
    let plan = instance.plan(TABLE, Some(&made), &chain).await.unwrap();
    assert_eq!(plan.data_loss, None);
    let made = instance.update(TABLE, &made, chain.clone()).await.unwrap();
    instance.assert_settled(TABLE, &made, &chain).await;
    let swap = table(json!([column("C", Some("B")), column("B", Some("C"))]));
    let _ = stand_in.take_calls();
    let made = instance.update(TABLE, &made, swap.clone()).await.unwrap();
    assert_eq!(
        stand_in.take_writes(),
        [
            "ALTER TABLE \"D\".\"S\".\"T\" RENAME COLUMN \"B\" TO \"terrace_temporary_B\"",
            "ALTER TABLE \"D\".\"S\".\"T\" RENAME COLUMN \"C\" TO \"B\"",
            "ALTER TABLE \"D\".\"S\".\"T\" RENAME COLUMN \"terrace_temporary_B\" TO \"C\"",
        ]
    );
    instance.assert_settled(TABLE, &made, &swap).await;
    assert_eq!(stand_in.sql("SELECT C, B FROM D.S.T"), [["1", "2"].map(|it| Some(it.to_owned()))]);
    // A recorded exchange is not repeated.
    let mut commented = swap.clone();
    commented["comment"] = json!("later");
    instance.update(TABLE, &made, commented).await.unwrap();
    assert_eq!(stand_in.sql("SELECT C, B FROM D.S.T"), [["1", "2"].map(|it| Some(it.to_owned()))]);
}

#[tokio::test]
async fn interrupted_exchange_of_names_resumes() {
    let stand_in = prepared();
    let instance = Instance::of(&stand_in).await;
    let plain = table(json!([{"name": "A", "type": "INT"}, {"name": "B", "type": "INT"}]));
    let swap = table(json!([
        {"name": "B", "type": "INT", "previousName": "A"},
        {"name": "A", "type": "INT", "previousName": "B"},
    ]));
    for done in [1, 2] {
        let made = instance.create(TABLE, plain.clone()).await.unwrap();
        stand_in.sql("INSERT INTO D.S.T VALUES (1, 2)");
        let statements =
            ["ALTER TABLE D.S.T RENAME COLUMN A TO \"terrace_temporary_A\"", "ALTER TABLE D.S.T RENAME COLUMN B TO A"];
        statements.iter().take(done).for_each(|sql| drop(stand_in.sql(sql)));
        let read = instance.read(TABLE, &made).await.unwrap().unwrap();
        let plan = instance.plan(TABLE, Some(&read), &swap).await.unwrap();
        assert_eq!(plan.data_loss, None);
        let now = instance.update(TABLE, &read, swap.clone()).await.unwrap();
        instance.assert_settled(TABLE, &now, &swap).await;
        assert_eq!(stand_in.sql("SELECT B, A FROM D.S.T"), [["1", "2"].map(|it| Some(it.to_owned()))]);
        instance.delete(TABLE, &now).await.unwrap();
    }
}

#[tokio::test]
async fn table_is_renamed_with_its_rows() {
    let stand_in = prepared();
    let instance = Instance::of(&stand_in).await;
    let made = instance.create(TABLE, table(json!([{"name": "A", "type": "INT"}]))).await.unwrap();
    stand_in.sql("INSERT INTO D.S.T VALUES (1)");
    let mut renamed = table(json!([{"name": "A", "type": "INT"}, {"name": "B", "type": "INT"}]));
    renamed["name"] = json!("NEW");
    renamed["previousName"] = json!("T");
    let plan = instance.plan(TABLE, Some(&made), &renamed).await.unwrap();
    assert_eq!((plan.replace_paths.len(), plan.data_loss), (0, None));
    assert_eq!(plan.planned["fullName"], "D.S.NEW".into());
    let now = instance.update(TABLE, &made, renamed.clone()).await.unwrap();
    assert_eq!(now.identity["name"], "NEW".into());
    instance.assert_settled(TABLE, &now, &renamed).await;
    assert_eq!(stand_in.sql("SELECT A FROM D.S.NEW"), [["1"].map(|it| Some(it.to_owned()))]);
}

#[tokio::test]
async fn days_of_history_stay_known_and_follow_the_database() {
    let stand_in = prepared();
    let instance = Instance::of(&stand_in).await;
    let schema = |comment: &str| json!({"database": "D", "name": "S3", "comment": comment});
    let made = instance.create("snowflake_schema", schema("a")).await.unwrap();
    let plan = instance.plan("snowflake_schema", Some(&made), &schema("b")).await.unwrap();
    for known in ["retentionDays", "transient"] {
        assert_eq!(plan.planned.get(known), made.attributes.get(known), "{known}");
    }
    let _ = stand_in.take_calls();
    instance.update("snowflake_schema", &made, schema("b")).await.unwrap();
    let writes = stand_in.take_writes();
    assert!(writes.len() == 1 && !writes[0].contains("RETENTION"), "{writes:?}");
}

#[tokio::test]
async fn container_with_tables_is_dropped_only_if_the_call_may_remove_data() {
    let stand_in = prepared();
    let instance = Instance::of(&stand_in).await;
    let database = instance.create("snowflake_database", json!({"name": "E"})).await.unwrap();
    let schema = instance.create("snowflake_schema", json!({"database": "E", "name": "S"})).await.unwrap();
    stand_in.sql_as("TERRACE_ROLE", "CREATE TABLE E.S.T (ID INT)").unwrap();
    for (ty, made) in [("snowflake_schema", &schema), ("snowflake_database", &database)] {
        let error = instance.delete(ty, made).await.unwrap_err();
        assert!(error.message.contains("holds at least 1 table or view, which would be dropped"), "{error}");
        assert!(instance.read(ty, made).await.unwrap().is_some());
    }
    let call = Call { removes_data: true, ..instance.call() };
    instance.session.delete(instance.ty("snowflake_schema"), &call, &schema).await.unwrap();
    assert!(instance.read("snowflake_schema", &schema).await.unwrap().is_none());
    instance.delete("snowflake_database", &database).await.unwrap();
}
