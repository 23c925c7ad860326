//! Rights: a missing right is reported as a `GRANT` statement; earlier grants stay.

use crate::harness::{Instance, attributes, recorded};
use serde_json::{Value as Json, json};
use terrace_provider::wrap::Limits;
use terrace_provider::{Call, ErrorKind, Found, Recorded};
use terrace_test_snowflake::StandIn;

#[tokio::test]
async fn missing_right_is_reported_as_a_grant_statement() {
    let role = |name: &str| json!({"name": name});
    let table = json!({"database": "D", "schema": "S", "name": "T", "columns": [{"name": "ID", "type": "INT"}]});
    let view = json!({"database": "D", "schema": "S", "name": "V", "source": {"database": "D", "schema": "S", "name": "BASE"}});
    let tag = json!({"database": "D", "schema": "S", "name": "PII"});
    let cases: [(&str, &str, Json, &str); 9] = [
        (
            "REVOKE CREATE DATABASE ON ACCOUNT FROM ROLE TERRACE_ROLE",
            "snowflake_database",
            role("X"),
            "GRANT CREATE DATABASE ON ACCOUNT TO ROLE \"TERRACE_ROLE\"",
        ),
        (
            "REVOKE CREATE ROLE ON ACCOUNT FROM ROLE TERRACE_ROLE",
            "snowflake_role",
            role("X"),
            "GRANT CREATE ROLE ON ACCOUNT TO ROLE \"TERRACE_ROLE\"",
        ),
        (
            "REVOKE CREATE SCHEMA ON DATABASE D FROM ROLE TERRACE_ROLE",
            "snowflake_schema",
            json!({"database": "D", "name": "X"}),
            "GRANT CREATE SCHEMA ON DATABASE \"D\" TO ROLE \"TERRACE_ROLE\"",
        ),
        (
            "REVOKE CREATE TABLE ON SCHEMA D.S FROM ROLE TERRACE_ROLE",
            "snowflake_table",
            table,
            "GRANT CREATE TABLE ON SCHEMA \"D\".\"S\" TO ROLE \"TERRACE_ROLE\"",
        ),
        (
            "REVOKE CREATE VIEW ON SCHEMA D.S FROM ROLE TERRACE_ROLE",
            "snowflake_view",
            view.clone(),
            "GRANT CREATE VIEW ON SCHEMA \"D\".\"S\" TO ROLE \"TERRACE_ROLE\"",
        ),
        (
            "REVOKE SELECT ON TABLE D.S.BASE FROM ROLE TERRACE_ROLE",
            "snowflake_view",
            view,
            "GRANT SELECT ON TABLE \"D\".\"S\".\"BASE\" TO ROLE \"TERRACE_ROLE\"",
        ),
        (
            "REVOKE CREATE TAG ON SCHEMA D.S FROM ROLE TERRACE_ROLE",
            "snowflake_tag",
            tag,
            "GRANT CREATE TAG ON SCHEMA \"D\".\"S\" TO ROLE \"TERRACE_ROLE\"",
        ),
        (
            "REVOKE APPLY ON TAG D.S.KEPT FROM ROLE TERRACE_ROLE",
            "snowflake_tag_assignment",
            json!({"objectType": "table", "object": "D.S.BASE", "tag": "D.S.KEPT", "value": "x"}),
            "GRANT APPLY ON TAG \"D\".\"S\".\"KEPT\" TO ROLE \"TERRACE_ROLE\"",
        ),
        (
            "CREATE ROLE FOREIGN_ROLE",
            "snowflake_role_grant",
            json!({"role": "FOREIGN_ROLE", "granteeType": "role", "grantee": "TERRACE_ROLE"}),
            "GRANT MANAGE GRANTS ON ACCOUNT TO ROLE \"TERRACE_ROLE\"",
        ),
    ];
    for (revoke, ty, config, expected) in cases {
        let stand_in = StandIn::start();
        for sql in [
            "CREATE DATABASE D",
            "CREATE SCHEMA D.S",
            "CREATE TABLE D.S.BASE (ID INT)",
            "CREATE TAG D.S.KEPT",
            "GRANT USAGE, CREATE SCHEMA ON DATABASE D TO ROLE TERRACE_ROLE",
            "GRANT USAGE, CREATE TABLE, CREATE VIEW, CREATE TAG ON SCHEMA D.S TO ROLE TERRACE_ROLE",
            "GRANT SELECT, REFERENCES ON TABLE D.S.BASE TO ROLE TERRACE_ROLE",
            "GRANT APPLY ON TAG D.S.KEPT TO ROLE TERRACE_ROLE",
        ] {
            stand_in.sql(sql);
        }
        stand_in.sql(revoke);
        let before = stand_in.inventory();
        let instance = Instance::of(&stand_in).await;
        let error = instance.create(ty, config.clone()).await.expect_err(revoke);
        assert!(error.solutions.iter().any(|it| it == expected), "{revoke}: {error:?}");
        assert_eq!(stand_in.inventory(), before, "{revoke}");
        // With the right, it works.
        stand_in.sql(expected);
        instance.create(ty, config).await.unwrap_or_else(|error| panic!("{expected}: {error:?}"));
    }
}

/// The missing rights of an account after these statements; the suggested statements help.
async fn missing(statements: &[&str], more: Json) -> Vec<(String, String)> {
    let stand_in = StandIn::start();
    for sql in statements {
        stand_in.sql(sql);
    }
    let before = stand_in.inventory();
    let instance = Instance::with(&stand_in, more, Limits { retries: 0, ..Limits::default() }).await;
    let _ = stand_in.take_calls();
    let missing = instance.session.missing_rights().await.unwrap().unwrap();
    assert!(stand_in.take_writes().is_empty());
    assert_eq!(stand_in.inventory(), before, "looking changed something");
    for right in &missing {
        stand_in.sql(&right.statement);
    }
    assert_eq!(instance.session.missing_rights().await.unwrap(), Some(Vec::new()), "{missing:?}");
    missing.into_iter().map(|right| (right.operation, right.statement)).collect()
}

const NO_DATABASES: &str = "REVOKE CREATE DATABASE ON ACCOUNT FROM ROLE TERRACE_ROLE";
const NO_ROLES: &str = "REVOKE CREATE ROLE ON ACCOUNT FROM ROLE TERRACE_ROLE";
const NO_WAREHOUSE: &str = "REVOKE USAGE ON WAREHOUSE WH FROM ROLE TERRACE_ROLE";

#[tokio::test]
async fn missing_rights_are_reported_before_they_are_needed() {
    let expected =
        |operation: &str, right: &str| (operation.to_owned(), format!("GRANT {right} TO ROLE \"TERRACE_ROLE\""));
    let databases = || expected("create databases", "CREATE DATABASE ON ACCOUNT");
    let roles = || expected("create roles", "CREATE ROLE ON ACCOUNT");
    let warehouse = || expected("use the warehouse `WH`", "USAGE ON WAREHOUSE \"WH\"");
    assert_eq!(missing(&[NO_DATABASES], json!({})).await, [databases()]);
    assert_eq!(missing(&[NO_ROLES], json!({})).await, [roles()]);
    assert_eq!(missing(&[NO_WAREHOUSE], json!({})).await, [warehouse()]);
    assert_eq!(missing(&[NO_WAREHOUSE, NO_ROLES, NO_DATABASES], json!({})).await, [databases(), roles(), warehouse()]);
    // An unconfigured warehouse and `MANAGE GRANTS` are not needed.
    assert_eq!(missing(&[NO_WAREHOUSE], json!({"warehouse": null})).await, []);
    assert_eq!(missing(&[], json!({})).await, []);
}

/// Work with the help of a secondary role succeeds once, but its result depends on the primary role alone: a view whose
/// owner may not read its source, for example.
#[tokio::test]
async fn secondary_roles_do_not_count_for_creation_and_are_reported() {
    let secondary = ["CREATE ROLE HELPER", "GRANT ROLE HELPER TO USER TERRACE"];
    let all = "ALTER USER TERRACE SET DEFAULT_SECONDARY_ROLES = ('ALL')";
    let with = |more: &[&'static str]| -> Vec<&str> { secondary.iter().copied().chain(more.iter().copied()).collect() };
    let missing_all = (
        "detect rights that only secondary roles of its user have (`HELPER`)".to_owned(),
        "ALTER USER \"TERRACE\" SET DEFAULT_SECONDARY_ROLES = ()".to_owned(),
    );
    assert_eq!(missing(&with(&[all]), json!({})).await, std::slice::from_ref(&missing_all));
    assert_eq!(missing(&with(&[]), json!({})).await, [], "the user has the role, and it does not count");
    // A secondary role cannot create databases; it can use a warehouse while it counts.
    let given = [
        NO_DATABASES,
        NO_WAREHOUSE,
        "GRANT CREATE DATABASE ON ACCOUNT TO ROLE HELPER",
        "GRANT USAGE ON WAREHOUSE WH TO ROLE HELPER",
    ];
    let stand_in = StandIn::start();
    for sql in with(&given).into_iter().chain([all]) {
        stand_in.sql(sql);
    }
    let instance = Instance::of(&stand_in).await;
    let operations = async || {
        let missing = instance.session.missing_rights().await.unwrap().unwrap();
        missing.into_iter().map(|right| right.operation).collect::<Vec<_>>()
    };
    assert_eq!(operations().await, ["create databases", missing_all.0.as_str()]);
    stand_in.sql(&missing_all.1);
    assert_eq!(operations().await, ["create databases", "use the warehouse `WH`"]);
}

/// Without a configured role, the user's default role counts; without that, `PUBLIC` is never suggested.
#[tokio::test]
async fn rights_are_never_suggested_for_public() {
    let stand_in = StandIn::start();
    let instance = Instance::with(&stand_in, json!({"role": null}), Limits { retries: 0, ..Limits::default() }).await;
    let missing = instance.session.missing_rights().await.unwrap().unwrap();
    let statements: Vec<String> = missing.into_iter().map(|right| right.statement).collect();
    let expected = ["CREATE DATABASE ON ACCOUNT", "CREATE ROLE ON ACCOUNT", "USAGE ON WAREHOUSE \"WH\""];
    assert_eq!(statements, expected.map(|right| format!("GRANT {right} TO ROLE <the role of the instance>")));
}

#[tokio::test]
async fn inherited_and_owner_rights_are_not_missing() {
    let none = [NO_DATABASES, NO_ROLES, NO_WAREHOUSE];
    let with = |more: &[&'static str]| -> Vec<&str> { none.iter().copied().chain(more.iter().copied()).collect() };
    // From roles of its roles, in a circle, and from `PUBLIC`.
    let statements = with(&[
        "CREATE ROLE ONE",
        "CREATE ROLE \"the other\"",
        "GRANT ROLE ONE TO ROLE TERRACE_ROLE",
        "GRANT ROLE \"the other\" TO ROLE ONE",
        "GRANT ROLE \"the other\" TO ROLE TERRACE_ROLE",
        "GRANT CREATE ROLE ON ACCOUNT TO ROLE ONE",
        "GRANT CREATE DATABASE ON ACCOUNT TO ROLE \"the other\"",
        "GRANT USAGE ON WAREHOUSE WH TO ROLE PUBLIC",
    ]);
    assert_eq!(missing(&statements, json!({})).await, []);
    let given =
        ["GRANT CREATE DATABASE ON ACCOUNT TO ROLE TERRACE_ROLE", "GRANT CREATE ROLE ON ACCOUNT TO ROLE TERRACE_ROLE"];
    let all = "GRANT ALL ON WAREHOUSE WH TO ROLE TERRACE_ROLE";
    let statements: Vec<&str> = none.into_iter().chain(given).chain([all]).collect();
    assert_eq!(missing(&statements, json!({})).await, []);
    let stand_in = StandIn::start();
    stand_in.add_warehouse_of("own", "TERRACE_ROLE");
    stand_in.sql(NO_WAREHOUSE);
    let limits = || Limits { retries: 0, ..Limits::default() };
    let own = Instance::with(&stand_in, json!({"warehouse": "own"}), limits()).await;
    assert_eq!(own.session.missing_rights().await.unwrap(), Some(Vec::new()));
    let other = Instance::with(&stand_in, json!({"warehouse": "WH"}), limits()).await;
    assert_eq!(other.session.missing_rights().await.unwrap().map(|rights| rights.len()), Some(1));
    // Another right on it does not help.
    let statements: Vec<&str> =
        none.into_iter().chain(given).chain(["GRANT MONITOR ON WAREHOUSE WH TO ROLE TERRACE_ROLE"]).collect();
    assert_eq!(missing(&statements, json!({})).await.len(), 1);
}

/// One of the roles beyond the search limit may have the right.
#[tokio::test]
async fn incomplete_search_reports_nothing() {
    let stand_in = StandIn::start();
    stand_in.sql(NO_ROLES);
    for number in 0..120 {
        stand_in.sql(&format!("CREATE ROLE R{number}"));
        stand_in.sql(&format!("GRANT ROLE R{number} TO ROLE TERRACE_ROLE"));
    }
    let instance = Instance::of(&stand_in).await;
    assert_eq!(instance.session.missing_rights().await.unwrap(), None);
    // If nothing is missing, the search ends early.
    stand_in.sql("GRANT CREATE ROLE ON ACCOUNT TO ROLE TERRACE_ROLE");
    assert_eq!(instance.session.missing_rights().await.unwrap(), Some(Vec::new()));
}

#[tokio::test]
async fn failed_search_for_rights_is_an_error() {
    let stand_in = StandIn::start();
    let more = json!({"token": "hunter2"});
    let instance = Instance::with(&stand_in, more, Limits { retries: 0, ..Limits::default() }).await;
    let error = instance.session.missing_rights().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::PermissionDenied);
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
}

/// Only the owner may change and drop an object; the error has the statement that transfers ownership.
#[tokio::test]
async fn object_of_another_owner_is_neither_changed_nor_dropped() {
    let stand_in = StandIn::start();
    for sql in ["CREATE DATABASE D", "CREATE SCHEMA D.S", "CREATE ROLE R", "GRANT CREATE DATABASE ON ACCOUNT TO ROLE R"]
    {
        stand_in.sql(sql);
    }
    for sql in [
        "CREATE TABLE D.S.T (ID NUMBER(38,0))",
        "CREATE VIEW D.S.V AS SELECT ID FROM D.S.T",
        "CREATE TAG D.S.PII",
        "GRANT USAGE ON DATABASE D TO ROLE TERRACE_ROLE",
        "GRANT USAGE ON SCHEMA D.S TO ROLE TERRACE_ROLE",
        "GRANT SELECT ON TABLE D.S.T TO ROLE TERRACE_ROLE",
        "GRANT SELECT ON VIEW D.S.V TO ROLE TERRACE_ROLE",
        "GRANT APPLY ON TAG D.S.PII TO ROLE TERRACE_ROLE",
    ] {
        stand_in.sql(sql);
    }
    let before = stand_in.inventory();
    let instance = Instance::of(&stand_in).await;
    let of = |name: &str, more: Json| {
        let mut config = json!({"database": "D", "schema": "S", "name": name});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config
    };
    for (ty, id, config, owned) in [
        ("snowflake_database", "D", json!({"name": "D", "comment": "mine"}), "DATABASE \"D\""),
        ("snowflake_schema", "D/S", json!({"database": "D", "name": "S", "comment": "mine"}), "SCHEMA \"D\".\"S\""),
        (
            "snowflake_table",
            "D/S/T",
            of("T", json!({"columns": [{"name": "ID", "type": "NUMBER(38,0)"}, {"name": "X", "type": "DATE"}]})),
            "TABLE \"D\".\"S\".\"T\"",
        ),
        ("snowflake_tag", "D/S/PII", of("PII", json!({"comment": "mine"})), "TAG \"D\".\"S\".\"PII\""),
        ("snowflake_role", "R", json!({"name": "R", "comment": "mine"}), "ROLE \"R\""),
    ] {
        let imported = instance.session.import(instance.ty(ty), id).await.unwrap().unwrap_or_else(|| panic!("{id}"));
        let prior = recorded(&attributes(json!({})), imported);
        let right = format!("GRANT OWNERSHIP ON {owned} TO ROLE \"TERRACE_ROLE\"");
        let call = Call { removes_data: true, ..instance.call() };
        let updated = instance.update(ty, &prior, config).await;
        let deleted = instance.session.delete(instance.ty(ty), &call, &prior).await;
        for error in [updated.unwrap_err(), deleted.unwrap_err()] {
            assert_eq!(error.kind.code(), "permission_denied", "{ty}: {error:?}");
            assert!(error.solutions.iter().any(|it| it.starts_with(&right)), "{ty}: {error:?}");
        }
    }
    assert_eq!(stand_in.inventory(), before);
}

async fn adopted(instance: &Instance, ty: &str, config: &Json) -> Recorded {
    match instance.find(ty, config, None).await.unwrap() {
        Found::Foreign(observed) => Recorded {
            address: "a".to_owned(),
            identity: observed.identity,
            attributes: observed.attributes,
            private: observed.private,
        },
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn earlier_grants_stay_and_own_grants_are_revoked() {
    let stand_in = StandIn::start();
    stand_in.add_user("JANE");
    for sql in [
        "CREATE DATABASE D",
        "CREATE SCHEMA D.S",
        "CREATE TABLE D.S.T (ID INT)",
        "CREATE ROLE R",
        "GRANT SELECT ON TABLE D.S.T TO ROLE R",
        "GRANT ROLE R TO USER JANE",
    ] {
        stand_in.sql_as("TERRACE_ROLE", sql).unwrap();
    }
    let instance = Instance::of(&stand_in).await;
    let grant =
        |privileges: Json| json!({"role": "R", "objectType": "table", "object": "D.S.T", "privileges": privileges});
    let config = grant(json!(["SELECT"]));
    let row = adopted(&instance, "snowflake_grant", &config).await;
    instance.assert_settled("snowflake_grant", &row, &config).await;
    // External privileges are neither shown nor revoked.
    stand_in.sql_as("TERRACE_ROLE", "GRANT DELETE ON TABLE D.S.T TO ROLE R").unwrap();
    let adopted_grant = adopted(&instance, "snowflake_grant", &config).await;
    instance.assert_settled("snowflake_grant", &adopted_grant, &config).await;
    let changed = instance.update("snowflake_grant", &adopted_grant, grant(json!(["INSERT"]))).await.unwrap();
    assert_eq!(changed.attributes["privileges"].to_json(), json!(["INSERT"]));
    let inventory = stand_in.inventory();
    for privilege in ["SELECT", "INSERT", "DELETE"] {
        assert!(inventory.contains(&format!("R has {privilege} on D.S.T")), "{inventory:?}");
    }
    let row = instance.update("snowflake_grant", &row, grant(json!(["SELECT", "INSERT"]))).await.unwrap();
    let read = instance.read("snowflake_grant", &row).await.unwrap().unwrap();
    instance.delete("snowflake_grant", &read).await.unwrap();
    let member = json!({"role": "R", "granteeType": "user", "grantee": "JANE"});
    let row = adopted(&instance, "snowflake_role_grant", &member).await;
    instance.delete("snowflake_role_grant", &row).await.unwrap();
    let inventory = stand_in.inventory();
    assert!(inventory.contains(&"R has SELECT on D.S.T".to_owned()), "{inventory:?}");
    assert!(!inventory.contains(&"R has INSERT on D.S.T".to_owned()), "{inventory:?}");
    assert!(inventory.contains(&"JANE has role R".to_owned()), "{inventory:?}");
}

#[tokio::test]
async fn existing_grants_are_not_taken_silently() {
    let stand_in = StandIn::start();
    for sql in ["CREATE DATABASE D", "CREATE ROLE R", "GRANT USAGE ON DATABASE D TO ROLE R"] {
        stand_in.sql_as("TERRACE_ROLE", sql).unwrap();
    }
    let instance = Instance::of(&stand_in).await;
    let config = json!({"role": "R", "objectType": "database", "object": "D", "privileges": ["USAGE", "MONITOR"]});
    let error = instance.create("snowflake_grant", config).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::AlreadyExists { import_id: Some(id) } if id == "R/database/D"));
}

/// A recreated view keeps its grants and its tags.
#[tokio::test]
async fn changed_view_keeps_its_grants_and_tags() {
    let stand_in = StandIn::start();
    for sql in [
        "CREATE DATABASE D",
        "CREATE SCHEMA D.S",
        "CREATE TABLE D.S.T (A INT, B INT)",
        "CREATE ROLE R",
        "CREATE TAG D.S.PII",
    ] {
        stand_in.sql_as("TERRACE_ROLE", sql).unwrap();
    }
    let instance = Instance::of(&stand_in).await;
    let view = |columns: Json| json!({"database": "D", "schema": "S", "name": "V", "source": {"database": "D", "schema": "S", "name": "T"}, "columns": columns});
    let made = instance.create("snowflake_view", view(json!([{"name": "A"}, {"name": "B"}]))).await.unwrap();
    for sql in [
        "GRANT SELECT ON VIEW D.S.V TO ROLE R",
        "ALTER VIEW D.S.V SET TAG D.S.PII = 'all'",
        "ALTER VIEW D.S.V MODIFY COLUMN A SET TAG D.S.PII = 'a'",
        "ALTER VIEW D.S.V MODIFY COLUMN B SET TAG D.S.PII = 'b'",
    ] {
        stand_in.sql(sql);
    }
    let about = |stand_in: &StandIn| -> Vec<String> {
        stand_in.inventory().into_iter().filter(|line| line.contains("D.S.V")).collect()
    };
    let before = about(&stand_in);
    let extended = view(json!([{"name": "A", "comment": "the first"}, {"name": "B"}]));
    let changed = instance.update("snowflake_view", &made, extended.clone()).await.unwrap();
    assert_eq!(about(&stand_in), before);
    instance.assert_settled("snowflake_view", &changed, &extended).await;
    let narrower = view(json!([{"name": "A", "comment": "the first"}]));
    let changed = instance.update("snowflake_view", &changed, narrower).await.unwrap();
    assert_eq!(about(&stand_in).len(), before.len() - 1, "the tag of the dropped column");
    // A comment needs no new view.
    let _ = stand_in.take_calls();
    let mut commented = view(json!([{"name": "A", "comment": "the first"}]));
    commented["comment"] = json!("shown");
    instance.update("snowflake_view", &changed, commented).await.unwrap();
    assert_eq!(stand_in.take_writes(), ["COMMENT ON VIEW \"D\".\"S\".\"V\" IS 'shown'"]);
}

/// Snowflake does not record when a tag was set: a lost call set it if it has the planned value.
#[tokio::test]
async fn tag_with_another_value_is_not_from_a_lost_call() {
    let stand_in = StandIn::start();
    for sql in ["CREATE DATABASE D", "CREATE SCHEMA D.S", "CREATE TABLE D.S.T (ID INT)", "CREATE TAG D.S.PII"] {
        stand_in.sql_as("TERRACE_ROLE", sql).unwrap();
    }
    stand_in.sql("ALTER TABLE D.S.T SET TAG D.S.PII = 'theirs'");
    let instance = Instance::of(&stand_in).await;
    let config = |value: &str| json!({"objectType": "table", "object": "D.S.T", "tag": "D.S.PII", "value": value});
    let lost = Some(std::time::Duration::from_secs(10));
    let ty = "snowflake_tag_assignment";
    let found = instance.find(ty, &config("ours"), lost).await.unwrap();
    assert!(matches!(found, Found::Foreign(_)), "{found:?}");
    let found = instance.find(ty, &config("theirs"), lost).await.unwrap();
    assert!(matches!(found, Found::Own(_)), "{found:?}");
}
