//! An error for a missing right has a statement that grants it.

use crate::harness::{Harness, recorded, settings};
use std::sync::Arc;
use terrace_provider::{ErrorKind, MissingRight, Observed, Planned, Provider, Session};

/// A session of a user who may only log in.
pub(crate) async fn limited(harness: &Harness) -> Arc<dyn Session> {
    harness
        .execute("CREATE ROLE \"$db_limited\" LOGIN PASSWORD 'x'; REVOKE ALL ON SCHEMA public FROM PUBLIC; REVOKE CONNECT ON DATABASE \"$db\" FROM PUBLIC")
        .await;
    let url = harness.cluster.url("postgres").replace(
        &format!("terrace:{}", terrace_state::contract::cluster::PASSWORD),
        &format!("{}_limited:x", harness.database),
    );
    harness.provider().connect(&settings(&[("url", &url)])).await.unwrap()
}

/// Plans and creates as that user.
async fn create(
    harness: &Harness,
    session: &Arc<dyn Session>,
    ty: &str,
    config: &str,
) -> Result<Observed, terrace_provider::ProviderError> {
    let plan = harness.plan(ty, None, config).await?;
    let planned = Planned { attributes: plan.planned, private: plan.private };
    session.create(harness.ty(ty), &harness.call("step-1"), &planned).await
}

/// The statement in an error's solution.
fn statement(error: &terrace_provider::ProviderError) -> String {
    assert_eq!(error.kind, ErrorKind::PermissionDenied, "{error:?}");
    assert_eq!(error.vendor_code.as_deref(), Some("42501"), "{error:?}");
    let solution = error.solutions.first().expect("the error has a solution");
    solution.split('`').nth(1).unwrap_or_else(|| panic!("{solution}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_right_has_a_statement_that_helps() {
    let harness = Harness::new().await;
    let session = limited(&harness).await;
    harness.execute("CREATE TABLE s.theirs (a int); CREATE ROLE \"$db_team\"; CREATE ROLE \"$db_one\"").await;
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
        harness.execute("REVOKE ALL ON SCHEMA s FROM \"$db_limited\"").await;
        let mut statements = Vec::new();
        let made = loop {
            match create(&harness, &session, ty, config).await {
                Ok(made) => break made,
                Err(error) => {
                    let statement = statement(&error);
                    assert!(!statements.contains(&statement), "{ty}: `{statement}` did not help: {error:?}");
                    harness.execute(&statement).await;
                    statements.push(statement);
                }
            }
        };
        assert!(!statements.is_empty(), "{ty}: nothing was missing");
        assert!(statements.len() <= 2, "{ty}: {statements:?}");
        session.delete(harness.ty(ty), &harness.call("step-3"), &recorded(&made)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_object_is_refused_with_a_statement() {
    let harness = Harness::new().await;
    let session = limited(&harness).await;
    harness
        .execute("GRANT CONNECT ON DATABASE \"$db\" TO \"$db_limited\"; GRANT USAGE ON SCHEMA s TO \"$db_limited\"")
        .await;
    let config = r#"{"database": "$db", "schema": "s", "name": "t", "columns": [{"name": "a", "type": "int"}]}"#;
    let made = harness.create_settled("postgres_table", config).await;
    let ty = harness.ty("postgres_table");
    assert!(session.read(ty, &recorded(&made)).await.unwrap().is_some(), "a read needs only the right to connect");
    let plan = harness.plan("postgres_table", Some(&made), &config.replace("\"int\"", "\"bigint\"")).await.unwrap();
    let planned = Planned { attributes: plan.planned, private: plan.private };
    let error = session.update(ty, &harness.call("step-2"), &recorded(&made), &planned).await.unwrap_err();
    let expected = format!("ALTER TABLE \"s\".\"t\" OWNER TO \"{}_limited\";", harness.database);
    assert_eq!(statement(&error), expected);
    let error = session.delete(ty, &harness.call("step-3"), &recorded(&made)).await.unwrap_err();
    assert_eq!(statement(&error), expected);
    harness.execute("INSERT INTO s.t VALUES (1)").await;
    let amount = session.count_data(ty, &recorded(&made)).await.unwrap();
    assert_eq!(amount, terrace_provider::DataAmount::Unknown, "an uncountable amount counts as data");
}

/// The missing rights of a user with these attributes, after these statements.
async fn missing(attributes: &str, statements: &[&str]) -> Vec<(String, String)> {
    let harness = Harness::new().await;
    let database = harness.database.clone();
    missing_in(&harness, &database, attributes, statements).await
}

/// The same for an instance with a chosen database.
async fn missing_in(harness: &Harness, database: &str, attributes: &str, statements: &[&str]) -> Vec<(String, String)> {
    harness.execute(&format!("CREATE ROLE \"$db us\"\"er\" LOGIN PASSWORD 'x' {attributes}")).await;
    for statement in statements {
        harness.execute(statement).await;
    }
    let url = harness.cluster.url(database).replace(
        &format!("terrace:{}", terrace_state::contract::cluster::PASSWORD),
        &format!("{}%20us%22er:x", harness.database),
    );
    let session = harness.provider().connect(&settings(&[("url", &url)])).await.unwrap();
    let missing = session.missing_rights().await.unwrap().expect("PostgreSQL tells");
    // The statements help, and the check changes nothing.
    assert_eq!(session.missing_rights().await.unwrap().as_ref(), Some(&missing));
    for MissingRight { statement, .. } in &missing {
        harness.execute(statement).await;
    }
    assert_eq!(session.missing_rights().await.unwrap(), Some(Vec::new()), "{missing:?}");
    let named = |text: String| text.replace(&harness.database, "$db");
    missing.into_iter().map(|it| (named(it.operation), named(it.statement))).collect()
}

fn owned(missing: &[(&str, &str)]) -> Vec<(String, String)> {
    missing.iter().map(|(operation, statement)| ((*operation).to_owned(), (*statement).to_owned())).collect()
}

const DATABASES: (&str, &str) = ("create databases", r#"ALTER ROLE "$db us""er" CREATEDB"#);
const ROLES: (&str, &str) = ("create roles", r#"ALTER ROLE "$db us""er" CREATEROLE"#);
const SCHEMAS: (&str, &str) =
    ("create schemas in the database `$db`", r#"GRANT CREATE ON DATABASE "$db" TO "$db us""er""#);

const CREATE: &str = r#"GRANT CREATE ON DATABASE "$db" TO "$db us""er""#;

#[tokio::test(flavor = "multi_thread")]
async fn all_missing_rights_are_reported_with_statements() {
    assert_eq!(missing("", &[]).await, owned(&[DATABASES, ROLES, SCHEMAS]));
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_right_to_create_databases_is_reported() {
    assert_eq!(missing("CREATEROLE", &[CREATE]).await, owned(&[DATABASES]));
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_right_to_create_roles_is_reported() {
    assert_eq!(missing("CREATEDB", &[CREATE]).await, owned(&[ROLES]));
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_right_to_create_schemas_is_reported() {
    assert_eq!(missing("CREATEDB CREATEROLE", &[]).await, owned(&[SCHEMAS]));
}

#[tokio::test(flavor = "multi_thread")]
async fn complete_rights_are_not_reported() {
    assert_eq!(missing("CREATEDB CREATEROLE", &[CREATE]).await, []);
    assert_eq!(missing("SUPERUSER", &[]).await, []);
}

/// The default database serves only for the administration of databases and roles.
#[tokio::test(flavor = "multi_thread")]
async fn schemas_in_the_default_database_are_not_required() {
    let harness = Harness::new().await;
    assert_eq!(missing_in(&harness, "postgres", "", &[]).await, owned(&[DATABASES, ROLES]));
}

/// Role attributes are not inherited; granted privileges are.
#[tokio::test(flavor = "multi_thread")]
async fn inherited_privileges_of_a_membership_count() {
    let team = [
        r#"CREATE ROLE "$db team" CREATEDB CREATEROLE"#,
        r#"GRANT CREATE ON DATABASE "$db" TO "$db team""#,
        r#"GRANT "$db team" TO "$db us""er""#,
    ];
    assert_eq!(missing("", &team).await, owned(&[DATABASES, ROLES]));
}
