//! A few statements read many tables.

use crate::harness::{Instance, recorded};
use serde_json::{Value as Json, json};
use terrace_provider::Recorded;
use terrace_test_snowflake::StandIn;

async fn schema(stand_in: &StandIn) -> Instance {
    stand_in.sql_as("TERRACE_ROLE", "CREATE DATABASE D").unwrap();
    stand_in.sql_as("TERRACE_ROLE", "CREATE SCHEMA D.S").unwrap();
    Instance::of(stand_in).await
}

fn table(name: &str, columns: usize) -> Json {
    let types = ["NUMBER(12,2)", "VARCHAR(20)", "TIMESTAMP_NTZ(9)", "FLOAT", "BOOLEAN", "BINARY(8)", "TIME(3)", "DATE"];
    let column = |at: usize| json!({"name": format!("C{at}"), "type": types[at % types.len()], "nullable": at != 0, "comment": format!("column {at}")});
    let columns: Vec<Json> = (0..columns).map(column).collect();
    json!({"database": "D", "schema": "S", "name": name, "columns": columns, "primaryKey": ["C0"], "unique": [["C1"]], "comment": "a table"})
}

/// Batches and single reads return the same.
async fn is_same(instance: &Instance, priors: &[Recorded]) {
    let ty = instance.ty("snowflake_table");
    let batch = instance.session.read_many(ty, priors).await;
    for (prior, of_batch) in priors.iter().zip(batch) {
        let single = instance.session.read(ty, prior).await.unwrap();
        assert_eq!(
            of_batch.unwrap().map(|it| recorded(&prior.attributes, it).attributes),
            single.map(|it| recorded(&prior.attributes, it).attributes)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_tables_are_read_by_four_statements() {
    let stand_in = StandIn::start();
    let instance = schema(&stand_in).await;
    let made = instance.create("snowflake_table", table("T0", 4)).await.unwrap();
    let mut priors = Vec::new();
    for at in 0..2000 {
        let name = format!("T{at}");
        if at > 0 {
            let columns = "C0 NUMBER(12,2) NOT NULL COMMENT 'column 0', C1 VARCHAR(20), C2 DATE, C3 FLOAT";
            stand_in.sql_as("TERRACE_ROLE", &format!("CREATE TABLE D.S.{name} ({columns})")).unwrap();
        }
        let mut prior = made.clone();
        for attributes in [&mut prior.identity, &mut prior.attributes] {
            attributes.insert("name".to_owned(), name.as_str().into());
        }
        priors.push(prior);
    }
    let _ = stand_in.take_calls();
    let ty = instance.ty("snowflake_table");
    let answers = instance.session.read_many(ty, &priors).await;
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(Option::is_some)));
    let statements: Vec<String> = stand_in.take_calls().into_iter().map(|it| it.sql).collect();
    let what = ["TABLES", "PRIMARY KEYS", "UNIQUE KEYS", "COLUMNS"];
    assert_eq!(statements, what.map(|what| format!("SHOW {what} IN SCHEMA \"D\".\"S\"")));
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_matches_single_reads() {
    let stand_in = StandIn::start();
    let instance = schema(&stand_in).await;
    let mut priors = Vec::new();
    for at in 0..8 {
        priors.push(instance.create("snowflake_table", table(&format!("T{at}"), 8)).await.unwrap());
    }
    is_same(&instance, &priors).await;
    // All kinds of changes since then.
    for sql in [
        "DROP TABLE D.S.T0",
        "ALTER TABLE D.S.T1 ADD COLUMN X ARRAY",
        "ALTER TABLE D.S.T2 DROP COLUMN C3",
        "ALTER TABLE D.S.T3 ALTER COLUMN C1 SET DATA TYPE VARCHAR(40)",
        "COMMENT ON TABLE D.S.T4 IS 'another'",
        "ALTER TABLE D.S.T5 ALTER COLUMN C2 COMMENT 'another'",
        "ALTER TABLE D.S.T6 DROP PRIMARY KEY",
    ] {
        stand_in.sql_as("TERRACE_ROLE", sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    is_same(&instance, &priors).await;
    let ty = instance.ty("snowflake_table");
    let changed = instance.session.read_many(ty, &priors).await;
    let unchanged = |at: usize| {
        let observed = changed[at].as_ref().unwrap().clone();
        observed.is_some_and(|it| recorded(&priors[at].attributes, it).attributes == priors[at].attributes)
    };
    assert_eq!((0..8).map(unchanged).collect::<Vec<_>>(), [false, false, false, false, false, false, false, true]);
}

/// `SHOW` returns at most 10,000 columns: the rest is read one by one.
#[tokio::test(flavor = "multi_thread")]
async fn columns_beyond_the_limit_are_read_one_by_one() {
    let stand_in = StandIn::start();
    let instance = schema(&stand_in).await;
    let mut priors = Vec::new();
    for at in 0..11 {
        priors.push(instance.create("snowflake_table", table(&format!("T{at:02}"), 1000)).await.unwrap());
    }
    let _ = stand_in.take_calls();
    let ty = instance.ty("snowflake_table");
    for (answer, prior) in instance.session.read_many(ty, &priors).await.into_iter().zip(&priors) {
        assert_eq!(recorded(&prior.attributes, answer.unwrap().unwrap()).attributes, prior.attributes);
    }
    assert_eq!(stand_in.take_calls().len(), 4 + 11);
}

/// One read per role covers all its privileges and members.
#[tokio::test]
async fn grants_are_read_by_one_statement_per_role() {
    let stand_in = StandIn::start();
    let instance = schema(&stand_in).await;
    let (mut grants, mut members) = (Vec::new(), Vec::new());
    for role in ["R0", "R1"] {
        stand_in.sql_as("TERRACE_ROLE", &format!("CREATE ROLE {role}")).unwrap();
        for at in 0..10 {
            let (table, user) = (format!("T{role}{at}"), format!("U{role}{at}"));
            stand_in.sql_as("TERRACE_ROLE", &format!("CREATE TABLE D.S.{table} (ID INT)")).unwrap();
            stand_in.add_user(&user);
            let object = format!("D.S.{table}");
            let grant = json!({"role": role, "objectType": "table", "object": object, "privileges": ["SELECT"]});
            grants.push(instance.create("snowflake_grant", grant).await.unwrap());
            let member = json!({"role": role, "granteeType": "user", "grantee": user});
            members.push(instance.create("snowflake_role_grant", member).await.unwrap());
        }
    }
    for sql in [
        "REVOKE SELECT ON TABLE D.S.TR00 FROM ROLE R0",
        "GRANT INSERT ON TABLE D.S.TR01 TO ROLE R0",
        "REVOKE ROLE R1 FROM USER UR12",
    ] {
        stand_in.sql_as("TERRACE_ROLE", sql).unwrap();
    }
    for (ty, priors, question) in
        [("snowflake_grant", &grants, "SHOW GRANTS TO ROLE"), ("snowflake_role_grant", &members, "SHOW GRANTS OF ROLE")]
    {
        let _ = stand_in.take_calls();
        let answers = instance.session.read_many(instance.ty(ty), priors).await;
        let statements: Vec<String> = stand_in.take_calls().into_iter().map(|it| it.sql).collect();
        assert_eq!(statements, [format!("{question} \"R0\""), format!("{question} \"R1\"")]);
        assert_eq!(answers.iter().filter(|answer| answer.as_ref().is_ok_and(Option::is_none)).count(), 1, "{ty}");
        for (prior, answer) in priors.iter().zip(answers) {
            let single = instance.session.read(instance.ty(ty), prior).await.unwrap();
            assert_eq!(answer.unwrap(), single);
        }
    }
}
