//! Every spelling of every built-in type: create, read, an empty second plan; and the server's name for it.

use crate::harness::Harness;

const SPELLINGS: [&str; 81] = [
    "interval(3)",
    "interval day to second(3)",
    "INTERVAL Year TO Month",
    "interval second(2)",
    "interval hour",
    "interval minute to second",
    "smallint",
    "int2",
    "INTEGER",
    "int",
    "int4",
    "bigint",
    "int8",
    "Int8",
    "pg_catalog.int4",
    "serial",
    "serial4",
    "smallserial",
    "serial2",
    "bigserial",
    "serial8",
    "real",
    "float4",
    "double precision",
    "DOUBLE   PRECISION",
    "float8",
    "float",
    "float(1)",
    "float(24)",
    "float(25)",
    "float(53)",
    "numeric",
    "decimal",
    "dec",
    "numeric(10)",
    "numeric(10,0)",
    "numeric ( 10 , 2 )",
    "decimal(38,5)",
    "numeric(3,-2)",
    "boolean",
    "bool",
    "text",
    "varchar",
    "varchar(20)",
    "character varying",
    "character varying(20)",
    "char varying(20)",
    "char",
    "character",
    "char(7)",
    "character(7)",
    "bpchar",
    "nchar(3)",
    "national character varying(9)",
    "timestamp",
    "timestamp(3)",
    "timestamp without time zone",
    "timestamp(0) without time zone",
    "timestamptz",
    "timestamptz(3)",
    "timestamp with time zone",
    "timestamp(6) with time zone",
    "time",
    "time(2)",
    "timetz",
    "time with time zone",
    "date",
    "interval",
    "bytea",
    "json",
    "jsonb",
    "uuid",
    "bit",
    "bit(5)",
    "varbit",
    "bit varying(5)",
    "int[]",
    "text[]",
    "numeric(10,2)[]",
    "integer[3]",
    "timestamptz[]",
];

const OTHERS: [&str; 18] = [
    "inet",
    "cidr",
    "macaddr",
    "macaddr8",
    "money",
    "xml",
    "point",
    "tsvector",
    "int4range",
    "name",
    "oid",
    "regclass",
    "interval(3)",
    "s.kind",
    "kind",
    "\"Kind 2\"",
    "s.\"Kind 2\"",
    "kind[]",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_spelling_reads_back_and_plans_no_change() {
    let harness = Harness::new().await;
    harness.execute("CREATE TYPE s.kind AS ENUM ('a', 'b'); CREATE DOMAIN s.\"Kind 2\" AS int CHECK (VALUE > 0)").await;
    for spelling in SPELLINGS.iter().chain(&OTHERS) {
        let text = serde_json::Value::from(*spelling);
        let config = format!(
            r#"{{"database": "$db", "schema": "s", "name": "t", "columns": [{{"name": "a", "type": {text}}}]}}"#
        );
        let made = harness.create_settled("postgres_table", &config).await;
        // A search with only the configuration.
        if !OTHERS.contains(spelling) {
            let found = harness.find("postgres_table", &config, None).await;
            let terrace_provider::Found::Foreign(found) = found else { panic!("{spelling}") };
            assert_eq!(found.attributes, made.attributes, "{spelling}");
        }
        harness.delete("postgres_table", &made).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_spelling_of_a_type_changes_nothing_on_the_server() {
    let harness = Harness::new().await;
    let config = |ty: &str| {
        format!(r#"{{"database": "$db", "schema": "s", "name": "t", "columns": [{{"name": "a", "type": "{ty}"}}]}}"#)
    };
    let made = harness.create_settled("postgres_table", &config("varchar(20)")).await;
    let before = harness.query("SELECT xmin FROM pg_attribute WHERE attrelid = 's.t'::regclass AND attnum = 1").await;
    harness.update_settled("postgres_table", &made, &config("character varying(20)")).await;
    assert_eq!(
        harness.query("SELECT xmin FROM pg_attribute WHERE attrelid = 's.t'::regclass AND attnum = 1").await,
        before
    );
}
