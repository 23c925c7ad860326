use crate::harness::{Harness, place};
use crate::rights::limited;
use terrace_provider::{DataAmount, ErrorKind, Found, Path, Planned};

#[tokio::test(flavor = "multi_thread")]
async fn database_is_created_changed_and_deleted() {
    let harness = Harness::new().await;
    let config = r#"{"name": "$db it's \"one\"", "comment": "for sales", "encoding": "utf-8"}"#;
    let made = harness.create_settled("postgres_database", config).await;
    assert!(matches!(harness.find("postgres_database", config, Some("step-1")).await, Found::Own(_)));
    assert!(matches!(harness.find("postgres_database", config, Some("step-9")).await, Found::Foreign(_)));
    assert_eq!(harness.count("postgres_database", &made).await, DataAmount::Empty);
    let error = harness.create("postgres_database", config).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::AlreadyExists { .. }), "{error:?}");
    // Attributes without a value are not managed.
    let bare = r#"{"name": "$db it's \"one\""}"#;
    let now = harness.update_settled("postgres_database", &made, bare).await;
    harness.execute("COMMENT ON DATABASE \"$db it's \"\"one\"\"\" IS 'theirs'").await;
    harness.assert_settled("postgres_database", &now, bare).await;
    let table = r#"{"database": "$db it's \"one\"", "schema": "public", "name": "t", "columns": [{"name": "a", "type": "int"}]}"#;
    let table = harness.create_settled("postgres_table", table).await;
    assert_eq!(harness.count("postgres_database", &made).await, DataAmount::of(1, "table", "tables"));
    harness.delete("postgres_database", &now).await.unwrap();
    assert_eq!(harness.read("postgres_database", &now).await, None);
    assert_eq!(harness.read("postgres_table", &table).await, None, "its objects are gone with it");
    harness.delete("postgres_table", &table).await.unwrap();
    harness.delete("postgres_database", &now).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn schema_is_created_changed_and_deleted() {
    let harness = Harness::new().await;
    harness.execute("CREATE ROLE \"$db_owner\"").await;
    let config = r#"{"database": "$db", "name": "a.b", "owner": "$db_owner", "comment": "c"}"#;
    let made = harness.create_settled("postgres_schema", config).await;
    assert_eq!(made.attributes.get("fullName"), Some(&"\"a.b\"".into()));
    assert!(matches!(harness.find("postgres_schema", config, Some("step-1")).await, Found::Own(_)));
    assert!(matches!(harness.find("postgres_schema", config, Some("step-9")).await, Found::Foreign(_)));
    harness.execute("ALTER SCHEMA \"a.b\" OWNER TO terrace").await;
    let read = harness.read("postgres_schema", &made).await.unwrap();
    assert_eq!(read.attributes.get("owner"), Some(&"terrace".into()));
    let now = harness.update_settled("postgres_schema", &read, config).await;
    assert_eq!(harness.import("postgres_schema", "$db/a.b").await.unwrap().attributes, now.attributes);
    harness.execute("CREATE TABLE \"a.b\".t ()").await;
    let error = harness.delete("postgres_schema", &now).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::InvalidInput { .. }), "{error:?}");
    assert_eq!(error.vendor_code.as_deref(), Some("2BP01"));
    assert!(error.problems.iter().any(|problem| problem.contains("\"a.b\".t")), "{error:?}");
    harness.execute("DROP TABLE \"a.b\".t").await;
    harness.delete("postgres_schema", &now).await.unwrap();
    assert_eq!(harness.read("postgres_schema", &now).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_value_is_refused_at_its_attribute() {
    let harness = Harness::new().await;
    for (ty, config, at) in [
        ("postgres_schema", r#"{"database": "$db", "name": "pg_mine"}"#, "name"),
        ("postgres_schema", r#"{"database": "$db", "name": "s2", "owner": ""}"#, "owner"),
        ("postgres_database", r#"{"name": "d", "encoding": "UTF8' TEMPLATE x"}"#, "encoding"),
        ("postgres_role", r#"{"name": "public"}"#, "name"),
    ] {
        assert_eq!(place(&harness.plan(ty, None, config).await.unwrap_err()), at);
    }
    let error = harness.create("postgres_database", r#"{"name": "$db x", "encoding": "KLINGON"}"#).await.unwrap_err();
    assert_eq!(place(&error), "encoding", "{error:?}");
    let error = harness
        .create("postgres_schema", r#"{"database": "$db", "name": "s2", "owner": "nobody at all"}"#)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput { path: Some(Path::attribute("owner")) }, "{error:?}");
    let table = r#"{"database": "no_such", "schema": "s", "name": "t", "columns": [{"name": "a", "type": "int"}]}"#;
    let error = harness.create("postgres_table", table).await.unwrap_err();
    assert_eq!(error.vendor_code.as_deref(), Some("3D000"));
    let table = r#"{"database": "$db", "schema": "nowhere", "name": "t", "columns": [{"name": "a", "type": "int"}]}"#;
    assert_eq!(place(&harness.create("postgres_table", table).await.unwrap_err()), "schema");
}

#[tokio::test(flavor = "multi_thread")]
async fn database_with_a_refused_comment_is_recorded() {
    let harness = Harness::new().await;
    let session = limited(&harness).await;
    // A member may give a database to a role, but cannot comment on it then without the role's privileges.
    harness
        .execute("CREATE ROLE \"$db_team\"; ALTER ROLE \"$db_limited\" CREATEDB NOINHERIT; GRANT \"$db_team\" TO \"$db_limited\"")
        .await;
    let config = r#"{"name": "$db commented", "owner": "$db_team", "comment": "c"}"#;
    let plan = harness.plan("postgres_database", None, config).await.unwrap();
    let planned = Planned { attributes: plan.planned, private: plan.private };
    let error = session.create(harness.ty("postgres_database"), &harness.call("step-1"), &planned).await.unwrap_err();
    assert_eq!((&error.kind, error.vendor_code.as_deref()), (&ErrorKind::Failed, Some("42501")), "{error:?}");
    let left = *error.object.expect("the error has the object, for the record");
    assert!(harness.read("postgres_database", &left).await.is_some());
    harness.delete("postgres_database", &left).await.unwrap();
}
