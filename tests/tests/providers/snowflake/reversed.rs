//! A table created outside terrace becomes part of a descriptor, and then the plan is empty.

use super::{PRODUCT, STORAGE, World};
use serde_json::Value as Json;

const CREATE_TABLE: &str = "CREATE TABLE DISTRIBUTION.NETWORKSTATUS_0.NETWORK_STATUS (
    ID NUMBER(10,0) NOT NULL COMMENT 'the number', REGION VARCHAR(20) COMMENT 'it''s where', TAKEN TIMESTAMP_NTZ(3), DAY DATE NOT NULL,
    LABEL TEXT, CODE CHAR(3), AMOUNT NUMBER(12,4), RATIO FLOAT, OK BOOLEAN, RAW BINARY, PAYLOAD VARIANT, NOTE TEXT NOT NULL,
    PRIMARY KEY (ID, REGION), UNIQUE (LABEL), UNIQUE (CODE, DAY)) COMMENT = 'made by hand'";

#[test]
fn existing_table_is_reverse_provisioned_and_planned_without_a_change() {
    let world = World::with("");
    for sql in ["CREATE DATABASE DISTRIBUTION", "CREATE SCHEMA DISTRIBUTION.NETWORKSTATUS_0", CREATE_TABLE] {
        world.stand_in.sql_as("TERRACE_ROLE", sql).unwrap();
    }
    let words =
        ["reverse", "snowflake-storage", "--param", "database=DISTRIBUTION", "--param", "schema=NETWORKSTATUS_0"];
    let reversed = reverse(&world, &words, &["--param", "tables=[\"network_status\"]"]);
    let tables = reversed["spec.mesh.specific.tables"].clone();
    insta::assert_snapshot!(serde_json::to_string_pretty(&tables).unwrap());
    // The output is pasted into the descriptor.
    let text = world.project.read(PRODUCT);
    let (head, _) = text.rsplit_once("      tables:\n").unwrap();
    world.project.write(PRODUCT, format!("{head}      tables: {tables}\n"));
    let plan = world.run(["plan", PRODUCT, "-c", STORAGE]).done();
    plan.prints("0 to add").prints("0 to change").prints("0 to destroy");
    let _ = world.stand_in.take_calls();
    world.run(["apply", PRODUCT, "-c", STORAGE, "--auto-approve"]).done();
    assert_eq!(world.stand_in.take_writes(), [] as [&str; 0]);
    let plan = world.run(["plan", PRODUCT, "-c", STORAGE, "--detailed-exitcode"]);
    assert_eq!(plan.code, 0, "{plan}");
}

#[test]
fn data_contract_is_read_from_a_table() {
    let world = World::with("");
    for sql in ["CREATE DATABASE DISTRIBUTION", "CREATE SCHEMA DISTRIBUTION.NETWORKSTATUS_0", CREATE_TABLE] {
        world.stand_in.sql_as("TERRACE_ROLE", sql).unwrap();
    }
    let words =
        ["reverse", "snowflake-outputport", "--param", "database=DISTRIBUTION", "--param", "schema=NETWORKSTATUS_0"];
    let reversed = reverse(&world, &words, &["--param", "tableName=NETWORK_STATUS"]);
    let schema = reversed["spec.mesh.dataContract.schema"].as_array().unwrap();
    assert_eq!(schema.len(), 12);
    assert_eq!(schema[6]["dataType"], "NUMBER");
    assert_eq!((schema[6]["precision"].as_i64(), schema[6]["scale"].as_i64()), (Some(12), Some(4)));
}

fn reverse(world: &World, words: &[&str], more: &[&str]) -> Json {
    let ran = world.run(words.iter().chain(more).copied().chain(["--env", "production", "--json"])).done();
    let json: Json = serde_json::from_str(&ran.stdout).unwrap();
    json.get("updates").cloned().unwrap_or(json)
}
