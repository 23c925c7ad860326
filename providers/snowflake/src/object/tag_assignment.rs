//! Tags on objects and columns. `INFORMATION_SCHEMA.TAG_REFERENCES` is up to date, while the view in ACCOUNT_USAGE is
//! up to two hours old. <https://docs.snowflake.com/en/sql-reference/functions/tag_references>

use super::{Observation, tag};
use crate::client::Rows;
use crate::failure::Purpose;
use crate::identifier::{literal, qualified, quote, split};
use crate::statements::Statements;
use terrace_provider::attributes::text;
use terrace_provider::names::listed;
use terrace_provider::{Attributes, ErrorKind, Path, ProviderError, Value};

/// Object types with tags, and the number of parts of their names.
const OBJECT_TYPES: [(&str, usize); 4] = [("database", 1), ("schema", 2), ("table", 3), ("view", 3)];

/// Refuses invalid objects and tags.
pub(crate) fn check(attributes: &Attributes) -> Result<(), ProviderError> {
    let refuse = |name: &str, message: String| Err(ProviderError::invalid(Some(Path::attribute(name)), message));
    let known = |name: &str| attributes.get(name).and_then(Value::as_str);
    if let Some(given) = known("objectType") {
        let Some((_, parts)) = OBJECT_TYPES.iter().find(|(known, _)| *known == given) else {
            let known: Vec<String> = OBJECT_TYPES.iter().map(|(known, _)| (*known).to_owned()).collect();
            return refuse("objectType", format!("`{given}` has no tags: expected one of {}", listed(&known)));
        };
        if known("column").is_some_and(|column| !column.is_empty()) && *parts < 3 {
            return refuse("column", format!("a {given} has no columns"));
        }
        if let Some(object) = known("object") {
            let named = split(object).map_or(0, |parts| parts.len());
            if named != *parts {
                return refuse("object", format!("the name of a {given} has {parts} parts, `{object}` has {named}"));
            }
        }
    }
    if let Some(tag) = known("tag")
        && split(tag).is_none_or(|parts| parts.len() != 3)
    {
        return refuse("tag", format!("`{tag}` is not a full tag name: write `DB.SCHEMA.TAG`"));
    }
    match known("value") {
        Some(value) => tag::check_value(value, &Path::attribute("value")),
        None => Ok(()),
    }
}

/// The tags of an object or a column, including inherited ones.
async fn references(statements: &Statements<'_>, identity: &Attributes) -> Result<Option<Rows>, ProviderError> {
    let mut parts = split(&text(identity, "object")).unwrap_or_default();
    let Some(database) = parts.first().cloned() else { return Ok(None) };
    let column = text(identity, "column");
    let domain = match (column.is_empty(), text(identity, "objectType").as_str()) {
        (false, _) => "column",
        // The domain of views is also `table`.
        (true, "table" | "view") => "table",
        (true, "schema") => "schema",
        (true, _) => "database",
    };
    if !column.is_empty() {
        parts.push(column);
    }
    let object = literal(&qualified(parts.iter().map(String::as_str)));
    let sql =
        format!("SELECT * FROM TABLE({}.INFORMATION_SCHEMA.TAG_REFERENCES({object}, '{domain}'))", quote(&database));
    match statements.read_optional(&sql).await {
        // The column of the object does not exist.
        Err(error) if error.vendor_code.as_deref().is_some_and(|code| code.starts_with("000904")) => Ok(None),
        other => other,
    }
}

/// The level names of `TAG_REFERENCES` for an object type; a view may be called a table.
/// <https://docs.snowflake.com/en/sql-reference/functions/tag_references>
pub(crate) fn levels(object_type: &str) -> &'static [&'static str] {
    match object_type {
        "column" => &["COLUMN"],
        "table" | "view" => &["TABLE", "VIEW"],
        "schema" => &["SCHEMA"],
        _ => &["DATABASE"],
    }
}

/// The value of the tag if it is set directly on this object or column.
fn value_of<'r>(rows: &'r Rows, identity: &Attributes) -> Option<&'r str> {
    let tag = split(&text(identity, "tag"))?;
    let is_whole = text(identity, "column").is_empty();
    let levels = levels(if is_whole { text(identity, "objectType") } else { "column".to_owned() }.as_str());
    rows.iter()
        .find(|row| {
            let named = [row.text("TAG_DATABASE"), row.text("TAG_SCHEMA"), row.text("TAG_NAME")];
            tag.iter().map(String::as_str).eq(named) && levels.contains(&row.text("LEVEL"))
        })
        .map(|row| row.text("TAG_VALUE"))
}

pub(crate) async fn observe(
    statements: &Statements<'_>,
    identity: &Attributes,
) -> Result<Option<Observation>, ProviderError> {
    let Some(rows) = references(statements, identity).await? else { return Ok(None) };
    Ok(value_of(&rows, identity).map(|value| Observation::default().with("value", value)))
}

/// The statement that sets or removes a tag.
fn alter(identity: &Attributes, what: &str) -> String {
    let object = split(&text(identity, "object")).unwrap_or_default();
    let column = text(identity, "column");
    let column = if column.is_empty() { String::new() } else { format!(" MODIFY COLUMN {}", quote(&column)) };
    let kind = text(identity, "objectType").to_uppercase();
    format!("ALTER {kind} {}{column} {what}", qualified(object.iter().map(String::as_str)))
}

fn tag_name(identity: &Attributes) -> String {
    let tag = split(&text(identity, "tag")).unwrap_or_default();
    qualified(tag.iter().map(String::as_str))
}

fn purpose(action: &str, identity: &Attributes) -> Purpose {
    Purpose::to(format!("{action} the tag {} on {}", text(identity, "tag"), text(identity, "object")))
        .right(format!("APPLY ON TAG {}", tag_name(identity)))
}

pub(crate) async fn create(statements: &Statements<'_>, planned: &Attributes, id: &str) -> Result<(), ProviderError> {
    if observe(statements, planned).await?.is_some() {
        let kind = ErrorKind::AlreadyExists { import_id: Some(id.to_owned()) };
        let message = format!("{} already has the tag {}", text(planned, "object"), text(planned, "tag"));
        return Err(ProviderError::new(kind, message));
    }
    set(statements, planned).await
}

pub(crate) async fn set(statements: &Statements<'_>, planned: &Attributes) -> Result<(), ProviderError> {
    let what = format!("SET TAG {} = {}", tag_name(planned), literal(&text(planned, "value")));
    statements.change(&alter(planned, &what), &purpose("set", planned)).await
}

pub(crate) async fn delete(statements: &Statements<'_>, identity: &Attributes) -> Result<(), ProviderError> {
    if observe(statements, identity).await?.is_none() {
        return Ok(());
    }
    statements
        .change(&alter(identity, &format!("UNSET TAG {}", tag_name(identity))), &purpose("remove", identity))
        .await
}
