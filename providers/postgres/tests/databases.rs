use crate::rights::limited;
use crate::world::{World, place};
use terrace_provider::{DataAmount, ErrorKind, Found, Path, Planned};

#[tokio::test(flavor = "multi_thread")]
async fn database_is_created_changed_and_deleted() {
    let world = World::new().await;
    let config = r#"{"name": "$db it's \"one\"", "comment": "for sales", "encoding": "utf-8"}"#;
    let made = world.settled("postgres_database", config).await;
    assert!(matches!(world.find("postgres_database", config, Some("step-1")).await, Found::Ours(_)));
    assert!(matches!(world.find("postgres_database", config, Some("step-9")).await, Found::Strangers(_)));
    assert_eq!(world.count("postgres_database", &made).await, DataAmount::Empty);
    let error = world.create("postgres_database", config).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::AlreadyExists { .. }), "{error:?}");
    // Attributes without a value are not managed.
    let bare = r#"{"name": "$db it's \"one\""}"#;
    let now = world.resettled("postgres_database", &made, bare).await;
    world.execute("COMMENT ON DATABASE \"$db it's \"\"one\"\"\" IS 'theirs'").await;
    world.is_settled("postgres_database", &now, bare).await;
    let table = r#"{"database": "$db it's \"one\"", "schema": "public", "name": "t", "columns": [{"name": "a", "type": "int"}]}"#;
    let table = world.settled("postgres_table", table).await;
    assert_eq!(world.count("postgres_database", &made).await, DataAmount::of(1, "table", "tables"));
    world.delete("postgres_database", &now).await.unwrap();
    assert_eq!(world.read("postgres_database", &now).await, None);
    assert_eq!(world.read("postgres_table", &table).await, None, "its objects are gone with it");
    world.delete("postgres_table", &table).await.unwrap();
    world.delete("postgres_database", &now).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn schema_is_created_changed_and_deleted() {
    let world = World::new().await;
    world.execute("CREATE ROLE \"$db_owner\"").await;
    let config = r#"{"database": "$db", "name": "a.b", "owner": "$db_owner", "comment": "c"}"#;
    let made = world.settled("postgres_schema", config).await;
    assert_eq!(made.attributes.get("fullName"), Some(&"\"a.b\"".into()));
    assert!(matches!(world.find("postgres_schema", config, Some("step-1")).await, Found::Ours(_)));
    assert!(matches!(world.find("postgres_schema", config, Some("step-9")).await, Found::Strangers(_)));
    world.execute("ALTER SCHEMA \"a.b\" OWNER TO terrace").await;
    let read = world.read("postgres_schema", &made).await.unwrap();
    assert_eq!(read.attributes.get("owner"), Some(&"terrace".into()));
    let now = world.resettled("postgres_schema", &read, config).await;
    assert_eq!(world.import("postgres_schema", "$db/a.b").await.unwrap().attributes, now.attributes);
    world.execute("CREATE TABLE \"a.b\".t ()").await;
    let error = world.delete("postgres_schema", &now).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::InvalidInput { .. }), "{error:?}");
    assert_eq!(error.vendor_code.as_deref(), Some("2BP01"));
    assert!(error.problems.iter().any(|problem| problem.contains("\"a.b\".t")), "{error:?}");
    world.execute("DROP TABLE \"a.b\".t").await;
    world.delete("postgres_schema", &now).await.unwrap();
    assert_eq!(world.read("postgres_schema", &now).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_value_is_refused_at_its_attribute() {
    let world = World::new().await;
    for (ty, config, at) in [
        ("postgres_schema", r#"{"database": "$db", "name": "pg_mine"}"#, "name"),
        ("postgres_schema", r#"{"database": "$db", "name": "s2", "owner": ""}"#, "owner"),
        ("postgres_database", r#"{"name": "d", "encoding": "UTF8' TEMPLATE x"}"#, "encoding"),
        ("postgres_role", r#"{"name": "public"}"#, "name"),
    ] {
        assert_eq!(place(&world.plan(ty, None, config).await.unwrap_err()), at);
    }
    let error = world.create("postgres_database", r#"{"name": "$db x", "encoding": "KLINGON"}"#).await.unwrap_err();
    assert_eq!(place(&error), "encoding", "{error:?}");
    let error = world
        .create("postgres_schema", r#"{"database": "$db", "name": "s2", "owner": "nobody at all"}"#)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput { path: Some(Path::attribute("owner")) }, "{error:?}");
    let table = r#"{"database": "no_such", "schema": "s", "name": "t", "columns": [{"name": "a", "type": "int"}]}"#;
    let error = world.create("postgres_table", table).await.unwrap_err();
    assert_eq!(error.vendor_code.as_deref(), Some("3D000"));
    let table = r#"{"database": "$db", "schema": "nowhere", "name": "t", "columns": [{"name": "a", "type": "int"}]}"#;
    assert_eq!(place(&world.create("postgres_table", table).await.unwrap_err()), "schema");
}

#[tokio::test(flavor = "multi_thread")]
async fn database_with_a_refused_comment_is_recorded() {
    let world = World::new().await;
    let session = limited(&world).await;
    // A member may give a database to a role, but cannot comment on it then without the role's privileges.
    world
        .execute("CREATE ROLE \"$db_team\"; ALTER ROLE \"$db_limited\" CREATEDB NOINHERIT; GRANT \"$db_team\" TO \"$db_limited\"")
        .await;
    let config = r#"{"name": "$db commented", "owner": "$db_team", "comment": "c"}"#;
    let plan = world.plan("postgres_database", None, config).await.unwrap();
    let planned = Planned { attributes: plan.planned, private: plan.private };
    let error = session.create(world.ty("postgres_database"), &world.call("step-1"), &planned).await.unwrap_err();
    assert_eq!((&error.kind, error.vendor_code.as_deref()), (&ErrorKind::Failed, Some("42501")), "{error:?}");
    let left = *error.object.expect("the error has the object, for the record");
    assert!(world.read("postgres_database", &left).await.is_some());
    world.delete("postgres_database", &left).await.unwrap();
}
