//! Privileges of roles on objects.

use super::Observation;
use crate::client::Rows;
use crate::failure::Purpose;
use crate::identifier::{qualified, quote, split};
use crate::statements::Statements;
use terrace_provider::attributes::{flag, list, text, texts};
use terrace_provider::names::listed;
use terrace_provider::{Attributes, ErrorKind, Path, ProviderError, Value};

/// Object types with privileges, and the number of parts of their names.
const OBJECT_TYPES: [(&str, usize); 7] =
    [("account", 0), ("database", 1), ("schema", 2), ("table", 3), ("tag", 3), ("view", 3), ("warehouse", 1)];

/// Refuses invalid object types and privileges.
pub(crate) fn check(attributes: &Attributes) -> Result<(), ProviderError> {
    let refuse = |name: &str, message: String| Err(ProviderError::invalid(Some(Path::attribute(name)), message));
    if let Some(given) = attributes.get("objectType").and_then(Value::as_str) {
        let Some((_, parts)) = OBJECT_TYPES.iter().find(|(known, _)| *known == given) else {
            let known: Vec<String> = OBJECT_TYPES.iter().map(|(known, _)| (*known).to_owned()).collect();
            return refuse(
                "objectType",
                format!("`{given}` is not an object type: expected one of {}", listed(&known)),
            );
        };
        let object = attributes.get("object").and_then(Value::as_str);
        if let Some(object) = object.filter(|object| !object.is_empty() || *parts > 0) {
            let named = split(object).map_or(0, |parts| parts.len());
            if named != *parts {
                return refuse("object", format!("the name of a {given} has {parts} parts, `{object}` has {named}"));
            }
        }
    }
    for (index, privilege) in texts(attributes, "privileges").iter().enumerate() {
        let is_word = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        if !privilege.split(' ').all(is_word)
            || privilege == "ALL"
            || privilege == "ALL PRIVILEGES"
            || privilege == "OWNERSHIP"
        {
            let message = format!("`{privilege}` is not a privilege that can be granted here");
            return Err(ProviderError::invalid(Some(Path::attribute("privileges").index(index)), message).solution(
                "write each privilege in capitals, such as `SELECT` or `CREATE TABLE`; ownership is not managed",
            ));
        }
    }
    match attributes.get("privileges").and_then(Value::as_list) {
        Some([]) => refuse("privileges", "a grant has at least one privilege".to_owned()),
        _ => Ok(()),
    }
}

/// The object in the form of `GRANT … ON`.
fn on(identity: &Attributes) -> String {
    let object_type = text(identity, "objectType").to_uppercase();
    let parts = split(&text(identity, "object")).unwrap_or_default();
    if object_type == "ACCOUNT" {
        object_type
    } else {
        format!("{object_type} {}", qualified(parts.iter().map(String::as_str)))
    }
}

pub(crate) async fn observe(
    statements: &Statements<'_>,
    identity: &Attributes,
    like: Option<&Attributes>,
) -> Result<Option<Observation>, ProviderError> {
    let rows = statements.read_optional(&show_statement(&text(identity, "role"))).await?;
    Ok(rows.and_then(|rows| of_rows(&rows, identity, like)))
}

/// The statement that lists all privileges of a role.
pub(crate) fn show_statement(role: &str) -> String {
    format!("SHOW GRANTS TO ROLE {}", quote(role))
}

/// The privileges of that list on one object.
pub(crate) fn of_rows(rows: &Rows, identity: &Attributes, like: Option<&Attributes>) -> Option<Observation> {
    let wanted = text(identity, "objectType");
    let object = split(&text(identity, "object")).unwrap_or_default();
    let is_on_object = |row: &crate::client::Row<'_>| {
        let on = row.text("granted_on").to_lowercase();
        // Snowflake may call a view a table here, and the reverse.
        let is_relation = |ty: &str| ty == "table" || ty == "view";
        let is_type = on == wanted || (is_relation(&on) && is_relation(&wanted));
        let is_object = wanted == "account" || split(row.text("name")).is_some_and(|parts| parts == object);
        is_type && is_object && row.text("privilege") != "OWNERSHIP"
    };
    let rows: Vec<_> = rows.iter().filter(is_on_object).collect();
    let first = rows.first()?;
    let mut privileges: Vec<String> = rows.iter().map(|row| row.text("privilege").to_owned()).collect();
    privileges.sort();
    privileges.dedup();
    let wanted = like.map(|like| texts(like, "privileges")).unwrap_or_default();
    // In the configured order if the set is the same.
    let mut sorted = wanted.clone();
    sorted.sort();
    let shown = if sorted == privileges { wanted } else { privileges.clone() };
    let has_option = rows.iter().all(|row| row.text("grant_option") == "true");
    let observation = Observation { owner: None, privileges, ..Observation::of_row(first) };
    Some(observation.with("privileges", list(&shown)).with("grantOption", has_option))
}

fn purpose(action: &str, identity: &Attributes) -> Purpose {
    let (role, on) = (text(identity, "role"), on(identity));
    let purpose = Purpose::to(format!("{action} privileges on {on} for the role {role}"));
    let purpose = if on == "ACCOUNT" { purpose } else { purpose.right(format!("OWNERSHIP ON {on}")) };
    purpose.right("MANAGE GRANTS ON ACCOUNT")
}

pub(crate) async fn create(statements: &Statements<'_>, planned: &Attributes, id: &str) -> Result<(), ProviderError> {
    if let Some(observation) = observe(statements, planned, None).await? {
        let kind = ErrorKind::AlreadyExists { import_id: Some(id.to_owned()) };
        let message = format!(
            "the role {} has {} on {} already",
            text(planned, "role"),
            listed(&observation.privileges),
            on(planned)
        );
        return Err(ProviderError::new(kind, message));
    }
    grant_privileges(statements, planned, &texts(planned, "privileges")).await
}

async fn grant_privileges(
    statements: &Statements<'_>,
    planned: &Attributes,
    privileges: &[String],
) -> Result<(), ProviderError> {
    let option = if flag(planned, "grantOption") { " WITH GRANT OPTION" } else { "" };
    let role = quote(&text(planned, "role"));
    let sql = format!("GRANT {} ON {} TO ROLE {role}{option}", privileges.join(", "), on(planned));
    statements.change(&sql, &purpose("grant", planned)).await
}

async fn revoke(statements: &Statements<'_>, identity: &Attributes, what: &str) -> Result<(), ProviderError> {
    let sql = format!("REVOKE {what} ON {} FROM ROLE {}", on(identity), quote(&text(identity, "role")));
    statements.change(&sql, &purpose("revoke", identity)).await
}

/// Removes earlier privileges that are not configured: terrace does not manage them.
pub(crate) fn leave_out(attributes: &mut Attributes, before: &[String], like: &Attributes) {
    if before.is_empty() || !like.contains_key("privileges") {
        return;
    }
    let wanted = texts(like, "privileges");
    let mut shown = texts(attributes, "privileges");
    shown.retain(|privilege| wanted.contains(privilege) || !before.contains(privilege));
    let is_wanted = shown.len() == wanted.len() && wanted.iter().all(|privilege| shown.contains(privilege));
    attributes.insert("privileges".to_owned(), list(if is_wanted { &wanted } else { &shown }));
}

/// Grants missing privileges first, then revokes surplus ones except earlier ones.
pub(crate) async fn update(
    statements: &Statements<'_>,
    present: &Observation,
    planned: &Attributes,
    before: &[String],
) -> Result<(), ProviderError> {
    let wanted = texts(planned, "privileges");
    let (had_option, has_option) = (flag(&present.attributes, "grantOption"), flag(planned, "grantOption"));
    let missing: Vec<String> = match has_option && !had_option {
        true => wanted.clone(),
        false => wanted.iter().filter(|privilege| !present.privileges.contains(privilege)).cloned().collect(),
    };
    if !missing.is_empty() {
        grant_privileges(statements, planned, &missing).await?;
    }
    let is_extra = |privilege: &&String| !wanted.contains(privilege) && !before.contains(privilege);
    let extra: Vec<String> = present.privileges.iter().filter(is_extra).cloned().collect();
    if !extra.is_empty() {
        revoke(statements, planned, &extra.join(", ")).await?;
    }
    if had_option && !has_option {
        revoke(statements, planned, &format!("GRANT OPTION FOR {}", wanted.join(", "))).await?;
    }
    Ok(())
}

/// Revokes the present privileges except earlier ones.
pub(crate) async fn delete(
    statements: &Statements<'_>,
    identity: &Attributes,
    before: &[String],
) -> Result<(), ProviderError> {
    let Some(observation) = observe(statements, identity, None).await? else { return Ok(()) };
    let own_privileges: Vec<String> =
        observation.privileges.into_iter().filter(|privilege| !before.contains(privilege)).collect();
    if own_privileges.is_empty() {
        return Ok(());
    }
    revoke(statements, identity, &own_privileges.join(", ")).await
}
