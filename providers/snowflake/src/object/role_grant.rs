//! Roles of users and roles.

use super::Observation;
use crate::client::Rows;
use crate::failure::Purpose;
use crate::identifier::quote;
use crate::statements::Statements;
use terrace_provider::attributes::text;
use terrace_provider::{Attributes, ErrorKind, Path, ProviderError, Value};

/// Refuses invalid grantee types.
pub(crate) fn check(attributes: &Attributes) -> Result<(), ProviderError> {
    match attributes.get("granteeType").and_then(Value::as_str) {
        None | Some("user" | "role") => Ok(()),
        Some(other) => {
            let message = format!("`{other}` cannot have a role: expected `user` or `role`");
            Err(ProviderError::invalid(Some(Path::attribute("granteeType")), message))
        }
    }
}

fn grantee(identity: &Attributes) -> (&'static str, String) {
    let word = if text(identity, "granteeType") == "user" { "USER" } else { "ROLE" };
    (word, text(identity, "grantee"))
}

pub(crate) async fn observe(
    statements: &Statements<'_>,
    identity: &Attributes,
) -> Result<Option<Observation>, ProviderError> {
    let rows = statements.read_optional(&show_statement(&text(identity, "role"))).await?;
    Ok(rows.and_then(|rows| of_rows(&rows, identity)))
}

/// The statement that lists the grantees of a role.
pub(crate) fn show_statement(role: &str) -> String {
    format!("SHOW GRANTS OF ROLE {}", quote(role))
}

/// One grant of that list.
pub(crate) fn of_rows(rows: &Rows, identity: &Attributes) -> Option<Observation> {
    let (word, name) = grantee(identity);
    let is_grantee = |row: &crate::client::Row<'_>| {
        row.text("granted_to").eq_ignore_ascii_case(word) && row.get("grantee_name") == Some(name.as_str())
    };
    rows.iter().find(is_grantee).map(|row| of_row(&row))
}

fn of_row(row: &crate::client::Row<'_>) -> Observation {
    Observation { owner: None, privileges: vec!["USAGE".to_owned()], ..Observation::of_row(row) }
}

/// All users and roles with a role, as identities of grants. Other kinds of grantees cannot be expressed as a grant.
pub(crate) fn all_of_rows(rows: &Rows, role: &str) -> Vec<(Attributes, Observation)> {
    let grant = |row: &crate::client::Row<'_>| {
        let grantee_type = match row.text("granted_to").to_ascii_uppercase().as_str() {
            "USER" => "user",
            "ROLE" => "role",
            _ => return None,
        };
        let names = [("role", role), ("granteeType", grantee_type), ("grantee", row.get("grantee_name")?)];
        let identity = names.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        Some((identity, of_row(row)))
    };
    rows.iter().filter_map(|row| grant(&row)).collect()
}

fn purpose(action: &str, identity: &Attributes) -> Purpose {
    let (role, (_, grantee)) = (text(identity, "role"), grantee(identity));
    Purpose::to(format!("{action} the role {role} {} {grantee}", if action == "grant" { "to" } else { "from" }))
        .right(format!("OWNERSHIP ON ROLE {}", quote(&role)))
        .right("MANAGE GRANTS ON ACCOUNT")
}

pub(crate) async fn create(statements: &Statements<'_>, planned: &Attributes, id: &str) -> Result<(), ProviderError> {
    let (role, (word, name)) = (text(planned, "role"), grantee(planned));
    if observe(statements, planned).await?.is_some() {
        let kind = ErrorKind::AlreadyExists { import_id: Some(id.to_owned()) };
        return Err(ProviderError::new(kind, format!("{name} already has the role {role}")));
    }
    let sql = format!("GRANT ROLE {} TO {word} {}", quote(&role), quote(&name));
    statements.change(&sql, &purpose("grant", planned)).await
}

pub(crate) async fn delete(statements: &Statements<'_>, identity: &Attributes) -> Result<(), ProviderError> {
    if observe(statements, identity).await?.is_none() {
        return Ok(());
    }
    let (word, name) = grantee(identity);
    let sql = format!("REVOKE ROLE {} FROM {word} {}", quote(&text(identity, "role")), quote(&name));
    statements.change(&sql, &purpose("revoke", identity)).await
}
