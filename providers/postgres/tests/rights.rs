//! Whoever may not is told the statement that lets them, and may once it was run.

use crate::world::{World, recorded, settings};
use std::sync::Arc;
use terrace_provider::{ErrorKind, MissingRight, Observed, Planned, Provider, Session};

/// A session of a user who may do nothing but log in.
pub(crate) async fn limited(world: &World) -> Arc<dyn Session> {
    world
        .execute("CREATE ROLE \"$db_limited\" LOGIN PASSWORD 'x'; REVOKE ALL ON SCHEMA public FROM PUBLIC; REVOKE CONNECT ON DATABASE \"$db\" FROM PUBLIC")
        .await;
    let url = world.cluster.url("postgres").replace(
        &format!("terrace:{}", terrace_state::contract::cluster::PASSWORD),
        &format!("{}_limited:x", world.database),
    );
    world.provider().connect(&settings(&[("url", &url)])).await.unwrap()
}

/// Plans and creates, as that user.
async fn create(
    world: &World,
    session: &Arc<dyn Session>,
    ty: &str,
    config: &str,
) -> Result<Observed, terrace_provider::ProviderError> {
    let plan = world.plan(ty, None, config).await?;
    let planned = Planned { attributes: plan.planned, private: plan.private };
    session.create(world.ty(ty), &world.call("step-1"), &planned).await
}

/// The statement that an error says to run.
fn statement(error: &terrace_provider::ProviderError) -> String {
    assert_eq!(error.kind, ErrorKind::PermissionDenied, "{error:?}");
    assert_eq!(error.vendor_code.as_deref(), Some("42501"), "{error:?}");
    let solution = error.solutions.first().expect("there is a way out");
    solution.split('`').nth(1).unwrap_or_else(|| panic!("{solution}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_told_as_a_statement_and_helps() {
    let world = World::new().await;
    let session = limited(&world).await;
    world.execute("CREATE TABLE s.theirs (a int); CREATE ROLE \"$db_team\"; CREATE ROLE \"$db_one\"").await;
    for (ty, config) in [
        ("postgres_schema", r#"{"database": "$db", "name": "mine"}"#),
        (
            "postgres_table",
            r#"{"database": "$db", "schema": "s", "name": "t", "columns": [{"name": "a", "type": "int"}]}"#,
        ),
        ("postgres_view", r#"{"database": "$db", "schema": "s", "name": "v", "definition": "SELECT 1 AS a"}"#),
        (
            "postgres_materialized_view",
            r#"{"database": "$db", "schema": "s", "name": "m", "definition": "SELECT 1 AS a"}"#,
        ),
        ("postgres_index", r#"{"database": "$db", "schema": "s", "name": "i", "table": "theirs", "columns": ["a"]}"#),
        ("postgres_role", r#"{"name": "$db_new"}"#),
        ("postgres_database", r#"{"name": "$db new"}"#),
        (
            "postgres_grant",
            r#"{"database": "$db", "objectType": "schema", "object": "s", "role": "$db_one", "privileges": ["USAGE"]}"#,
        ),
    ] {
        world.execute("REVOKE ALL ON SCHEMA s FROM \"$db_limited\"").await;
        let mut told = Vec::new();
        let made = loop {
            match create(&world, &session, ty, config).await {
                Ok(made) => break made,
                Err(error) => {
                    let statement = statement(&error);
                    assert!(!told.contains(&statement), "{ty}: `{statement}` did not help: {error:?}");
                    world.execute(&statement).await;
                    told.push(statement);
                }
            }
        };
        assert!(!told.is_empty(), "{ty}: nothing was missing");
        assert!(told.len() <= 2, "{ty}: {told:?}");
        session.delete(world.ty(ty), &world.call("step-3"), &recorded(&made)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn others_objects_are_not_changed_or_dropped_and_it_is_told_who_may() {
    let world = World::new().await;
    let session = limited(&world).await;
    world
        .execute("GRANT CONNECT ON DATABASE \"$db\" TO \"$db_limited\"; GRANT USAGE ON SCHEMA s TO \"$db_limited\"")
        .await;
    let config = r#"{"database": "$db", "schema": "s", "name": "t", "columns": [{"name": "a", "type": "int"}]}"#;
    let made = world.settled("postgres_table", config).await;
    let ty = world.ty("postgres_table");
    assert!(session.read(ty, &recorded(&made)).await.unwrap().is_some(), "reading needs no more than to connect");
    let plan = world.plan("postgres_table", Some(&made), &config.replace("\"int\"", "\"bigint\"")).await.unwrap();
    let planned = Planned { attributes: plan.planned, private: plan.private };
    let error = session.update(ty, &world.call("step-2"), &recorded(&made), &planned).await.unwrap_err();
    let expected = format!("ALTER TABLE \"s\".\"t\" OWNER TO \"{}_limited\";", world.database);
    assert_eq!(statement(&error), expected);
    let error = session.delete(ty, &world.call("step-3"), &recorded(&made)).await.unwrap_err();
    assert_eq!(statement(&error), expected);
    world.execute("INSERT INTO s.t VALUES (1)").await;
    let amount = session.count_data(ty, &recorded(&made)).await.unwrap();
    assert_eq!(amount, terrace_provider::DataAmount::Unknown, "what may not be counted counts as data");
}

/// What a user of these attributes is told to be missing, once the statements were run.
async fn missing(attributes: &str, statements: &[&str]) -> Vec<(String, String)> {
    let world = World::new().await;
    let database = world.database.clone();
    missing_in(&world, &database, attributes, statements).await
}

/// The same of an instance that names another database.
async fn missing_in(world: &World, database: &str, attributes: &str, statements: &[&str]) -> Vec<(String, String)> {
    world.execute(&format!("CREATE ROLE \"$db us\"\"er\" LOGIN PASSWORD 'x' {attributes}")).await;
    for statement in statements {
        world.execute(statement).await;
    }
    let url = world.cluster.url(database).replace(
        &format!("terrace:{}", terrace_state::contract::cluster::PASSWORD),
        &format!("{}%20us%22er:x", world.database),
    );
    let session = world.provider().connect(&settings(&[("url", &url)])).await.unwrap();
    let missing = session.missing_rights().await.unwrap().expect("PostgreSQL tells");
    // What is told helps, and asking changed nothing.
    assert_eq!(session.missing_rights().await.unwrap().as_ref(), Some(&missing));
    for MissingRight { statement, .. } in &missing {
        world.execute(statement).await;
    }
    assert_eq!(session.missing_rights().await.unwrap(), Some(Vec::new()), "{missing:?}");
    let named = |text: String| text.replace(&world.database, "$db");
    missing.into_iter().map(|it| (named(it.operation), named(it.statement))).collect()
}

fn told(missing: &[(&str, &str)]) -> Vec<(String, String)> {
    missing.iter().map(|(operation, statement)| ((*operation).to_owned(), (*statement).to_owned())).collect()
}

const DATABASES: (&str, &str) = ("create databases", r#"ALTER ROLE "$db us""er" CREATEDB"#);
const ROLES: (&str, &str) = ("create roles", r#"ALTER ROLE "$db us""er" CREATEROLE"#);
const SCHEMAS: (&str, &str) =
    ("create schemas in the database `$db`", r#"GRANT CREATE ON DATABASE "$db" TO "$db us""er""#);

const CREATE: &str = r#"GRANT CREATE ON DATABASE "$db" TO "$db us""er""#;

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_any_right_on_the_server_is_told_each_with_its_statement() {
    assert_eq!(missing("", &[]).await, told(&[DATABASES, ROLES, SCHEMAS]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_not_create_databases_is_told_so() {
    assert_eq!(missing("CREATEROLE", &[CREATE]).await, told(&[DATABASES]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_not_create_roles_is_told_so() {
    assert_eq!(missing("CREATEDB", &[CREATE]).await, told(&[ROLES]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_not_create_schemas_is_told_so() {
    assert_eq!(missing("CREATEDB CREATEROLE", &[]).await, told(&[SCHEMAS]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_has_every_right_on_the_server_misses_none() {
    assert_eq!(missing("CREATEDB CREATEROLE", &[CREATE]).await, []);
    assert_eq!(missing("SUPERUSER", &[]).await, []);
}

/// Where nobody chose a database, it is the one in which databases and roles are looked after, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_to_want_schemas_in_the_database_that_is_there_by_default() {
    let world = World::new().await;
    assert_eq!(missing_in(&world, "postgres", "", &[]).await, told(&[DATABASES, ROLES]));
}

/// Attributes of a role are its own; what is granted to it is its members' as well.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_by_a_membership_counts_where_it_is_inherited() {
    let team = [
        r#"CREATE ROLE "$db team" CREATEDB CREATEROLE"#,
        r#"GRANT CREATE ON DATABASE "$db" TO "$db team""#,
        r#"GRANT "$db team" TO "$db us""er""#,
    ];
    assert_eq!(missing("", &team).await, told(&[DATABASES, ROLES]));
}
