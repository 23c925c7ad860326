//! Views: columns of a source, or a statement.
//!
//! A view with changed columns or a changed statement is recreated with `CREATE OR REPLACE VIEW … COPY GRANTS`, so that
//! it keeps its grants and tags.

mod body;
mod preserved;

pub(crate) use body::check_columns;

use super::{Observation, named, qualified, schema_of, shown};
use crate::client::Rows;
use crate::failure::Purpose;
use crate::identifier::{literal, pattern, quote, split};
use crate::object::comment_change;
use crate::statements::Statements;
use body::Body;
use preserved::PreservedProperties;
use terrace_provider::attributes::{flag, optional_text, text};
use terrace_provider::{Attributes, ErrorKind, Map, Path, ProviderError, Value};

/// A configured or existing view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) body: Body,
    /// The comments of its columns, by name.
    pub(crate) comments: Vec<(String, String)>,
    is_secure: bool,
    comment: Option<String>,
}

impl View {
    /// Reads configured or planned attributes.
    ///
    /// # Errors
    /// `InvalidInput` if not exactly one of source and statement is given, or if it is invalid.
    pub(crate) fn from_attributes(attributes: &Attributes) -> Result<Self, ProviderError> {
        let body = Body::from_attributes(attributes)?;
        let columns = attributes.get("columns").and_then(Value::as_list).unwrap_or_default();
        let comment = |column: &Value| {
            let name = column.get("name").and_then(Value::as_str)?;
            Some((name.to_owned(), column.get("comment").and_then(Value::as_str)?.to_owned()))
        };
        Ok(Self {
            body,
            comments: columns.iter().filter_map(comment).collect(),
            is_secure: flag(attributes, "secure"),
            comment: optional_text(attributes, "comment"),
        })
    }

    fn comment_of(&self, column: &str) -> Option<&str> {
        comment_of(&self.comments, column)
    }

    /// The statement that creates it, with the properties that it keeps of the replaced view.
    fn ddl(&self, name: &str, replaces: Option<&PreservedProperties>) -> String {
        let nothing = PreservedProperties::default();
        let preserved = replaces.unwrap_or(&nothing);
        let column = |column: &String| {
            let comment = self.comment_of(column).or_else(|| preserved.comment_of(column));
            let comment = comment.map(|comment| format!(" COMMENT {}", literal(comment))).unwrap_or_default();
            format!("{}{}{comment}", quote(column), preserved.tags_of(Some(column)))
        };
        let columns: Vec<String> = preserved.columns(self).iter().map(column).collect();
        let columns = if columns.is_empty() { String::new() } else { format!(" ({})", columns.join(", ")) };
        let (replace, grants) = if replaces.is_some() { (" OR REPLACE", " COPY GRANTS") } else { ("", "") };
        let secure = if self.is_secure { " SECURE" } else { "" };
        let comment = self.comment.as_deref().or_else(|| preserved.comment());
        let comment = comment.map(|comment| format!(" COMMENT = {}", literal(comment))).unwrap_or_default();
        let tags = preserved.tags_of(None);
        format!("CREATE{replace}{secure} VIEW {name}{columns}{grants}{comment}{tags} AS {}", self.body.to_sql())
    }
}

fn comment_of<'a>(comments: &'a [(String, String)], column: &str) -> Option<&'a str> {
    comments.iter().find(|(name, _)| name == column).map(|(_, comment)| comment.as_str())
}

pub(crate) async fn observe(
    statements: &Statements<'_>,
    identity: &Attributes,
    like: Option<&Attributes>,
) -> Result<Option<Observation>, ProviderError> {
    let name = text(identity, "name");
    let sql = format!("SHOW VIEWS LIKE {} IN SCHEMA {}", pattern(&name), schema_of(identity));
    let Some(rows) = statements.read_optional(&sql).await? else { return Ok(None) };
    let Some(row) = named(&rows, &name) else { return Ok(None) };
    let described = describe(statements, identity).await?;
    let wanted = like.and_then(|like| View::from_attributes(like).ok());
    let (database, schema) = (text(identity, "database"), text(identity, "schema"));
    let names = column_names(&described);
    let body = Body::read(row.text("text"), &database, &schema).with_names(&names);
    let body = match &wanted {
        Some(wanted) if body.is_same_as(&wanted.body, &names, &database, &schema) => wanted.body.clone(),
        _ => body,
    };
    let observation = Observation::of_row(&row)
        .with_comment(row.text("comment"), like)
        .with("secure", row.text("is_secure") == "true");
    let mut attributes = body_attributes(&body, &described, wanted.as_ref());
    attributes.extend(observation.attributes.clone());
    Ok(Some(Observation { attributes, ..observation }))
}

/// The description of a view's columns. A view with a changed source may have no valid description: then it is empty,
/// and the view is recreated.
async fn describe(statements: &Statements<'_>, identity: &Attributes) -> Result<Rows, ProviderError> {
    match statements.read_optional(&format!("DESCRIBE VIEW {}", qualified(identity))).await {
        Ok(rows) => Ok(rows.unwrap_or_default()),
        Err(error) if matches!(error.kind, ErrorKind::InvalidInput { .. }) => Ok(Rows::default()),
        Err(error) => Err(error),
    }
}

/// The column names of a view.
pub(crate) fn column_names(described: &Rows) -> Vec<String> {
    described.iter().map(|row| row.text("name").to_owned()).collect()
}

fn body_attributes(body: &Body, described: &Rows, wanted: Option<&View>) -> Attributes {
    let comment = |name: &str| {
        let row = described.iter().find(|row| row.get("name") == Some(name))?;
        row.get("comment").filter(|comment| !comment.is_empty()).map(str::to_owned)
    };
    let column = |name: &String| {
        let mut entries = Map::from_iter([("name".to_owned(), Value::from(name.as_str()))]);
        // Unmanaged comments are left out.
        let is_managed = wanted.is_none_or(|wanted| wanted.comment_of(name).is_some());
        if let Some(comment) = comment(name).filter(|_| is_managed) {
            entries.insert("comment".to_owned(), comment.into());
        }
        Value::Map(entries)
    };
    match body {
        Body::Source { source, columns } => {
            let names = ["database", "schema", "name"];
            let source =
                names.into_iter().zip(source).map(|(name, part)| (name.to_owned(), Value::from(part.as_str())));
            let columns: Vec<Value> = columns.iter().map(column).collect();
            Map::from_iter([
                ("source".to_owned(), source.collect::<Value>()),
                ("columns".to_owned(), columns.into()),
                ("statement".to_owned(), Value::Null),
            ])
        }
        Body::Statement(statement) => Map::from_iter([
            ("source".to_owned(), Value::Null),
            ("columns".to_owned(), Value::List(Vec::new())),
            ("statement".to_owned(), statement.as_str().into()),
        ]),
    }
}

fn purpose(action: &str, planned: &Attributes) -> Purpose {
    let purpose = Purpose::to(format!("{action} the view {}", shown(planned)));
    match planned.get("source").filter(|source| !source.is_null()).and_then(Value::as_map) {
        Some(source) => {
            purpose.right(format!("SELECT ON TABLE {}", qualified(source))).at(Path::attribute("source").key("name"))
        }
        None => purpose.at(Path::attribute("statement")),
    }
}

pub(crate) async fn create(statements: &Statements<'_>, planned: &Attributes, id: &str) -> Result<(), ProviderError> {
    let view = View::from_attributes(planned)?;
    let database = quote(&text(planned, "database"));
    let purpose = purpose("create", planned)
        .right(format!("USAGE ON DATABASE {database}"))
        .right(format!("USAGE ON SCHEMA {}", schema_of(planned)))
        .right(format!("CREATE VIEW ON SCHEMA {}", schema_of(planned)))
        .creates(id);
    statements.change(&view.ddl(&qualified(planned), None), &purpose).await
}

/// Refuses the plan of a change that needs a warehouse.
///
/// # Errors
/// When the view must be recreated.
pub(crate) fn check_change(prior: &Attributes, planned: &Attributes) -> Result<(), ProviderError> {
    let wanted = View::from_attributes(planned)?.body;
    let (database, schema) = (text(planned, "database"), text(planned, "schema"));
    match View::from_attributes(prior) {
        Ok(was) if was.body.is_same_as(&wanted, &[], &database, &schema) => Ok(()),
        _ => Err(preserved::without_warehouse(planned)),
    }
}

/// Changes the existing view to the planned one; `prior` is the recorded one.
pub(crate) async fn update(
    statements: &Statements<'_>,
    present: &Observation,
    prior: &Attributes,
    planned: &Attributes,
) -> Result<(), ProviderError> {
    let (wanted, name) = (View::from_attributes(planned)?, qualified(planned));
    let was = View::from_attributes(prior).ok();
    let purpose = || purpose("change", planned).right(format!("OWNERSHIP ON VIEW {name}"));
    let described = describe(statements, planned).await?;
    let comment = optional_text(&present.attributes, "comment");
    if !View::from_attributes(&present.attributes).is_ok_and(|old| old.body == wanted.body) {
        let preserved =
            preserved::read(statements, &wanted, planned, &described).await?.without_managed(was.as_ref(), comment);
        return statements.change(&wanted.ddl(&name, Some(&preserved)), &purpose()).await;
    }
    if flag(&present.attributes, "secure") != wanted.is_secure {
        let what = if wanted.is_secure { "SET" } else { "UNSET" };
        statements.change(&format!("ALTER VIEW {name} {what} SECURE"), &purpose()).await?;
    }
    for row in described.iter() {
        let column = row.text("name");
        let had = was.as_ref().is_some_and(|was| was.comment_of(column).is_some());
        let old = row.get("comment").filter(|comment| !comment.is_empty());
        if let Some(comment) = comment_change(old, had, wanted.comment_of(column)) {
            let sql = format!("COMMENT ON COLUMN {name}.{} IS {}", quote(column), literal(comment));
            statements.change(&sql, &purpose()).await?;
        }
    }
    let had = was.is_some_and(|was| was.comment.is_some());
    if let Some(comment) = comment_change(comment.as_deref(), had, wanted.comment.as_deref()) {
        statements.change(&format!("COMMENT ON VIEW {name} IS {}", literal(comment)), &purpose()).await?;
    }
    Ok(())
}

pub(crate) async fn delete(statements: &Statements<'_>, identity: &Attributes) -> Result<(), ProviderError> {
    let name = qualified(identity);
    let purpose = Purpose::to(format!("drop the view {}", shown(identity))).right(format!("OWNERSHIP ON VIEW {name}"));
    statements.change(&format!("DROP VIEW IF EXISTS {name}"), &purpose).await
}

/// The full name of a view's source, for messages.
pub(crate) fn source_of(attributes: &Attributes) -> Option<Vec<String>> {
    let source = attributes.get("source")?.as_map()?;
    split(&shown(source)).filter(|parts| parts.len() == 3)
}
