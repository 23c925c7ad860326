//! Views: columns of a source, or a statement.
//!
//! A view whose columns or statement change is made anew by `CREATE OR REPLACE VIEW … COPY GRANTS`, so that who may read it
//! still may; tags that were on it are put back on.

mod body;

pub(crate) use body::check_columns;

use super::{Seen, named, qualified, schema_of, shown};
use crate::attributes::{flag, optional_text, text};
use crate::client::Rows;
use crate::failure::Need;
use crate::identifier::{self, literal, pattern, quote, split};
use crate::statements::Statements;
use body::Body;
use terrace_provider::{Attributes, ErrorKind, Map, Path, ProviderError, Value};

/// A view as it is wanted, or as it is.
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
    /// `InvalidInput` where they say both a source and a statement, neither, or what is no view.
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
        self.comments.iter().find(|(name, _)| name == column).map(|(_, comment)| comment.as_str())
    }

    /// The statement that makes it.
    fn ddl(&self, create: &str, name: &str) -> String {
        let secure = if self.is_secure { "SECURE " } else { "" };
        let comment = self.comment.as_deref().map(|comment| format!(" COMMENT = {}", literal(comment)));
        let columns: Vec<String> = match &self.body {
            Body::Source { columns, .. } => columns
                .iter()
                .map(|column| match self.comment_of(column) {
                    Some(comment) => format!("{} COMMENT {}", quote(column), literal(comment)),
                    None => quote(column),
                })
                .collect(),
            Body::Statement(_) => Vec::new(),
        };
        let columns = if columns.is_empty() { String::new() } else { format!(" ({})", columns.join(", ")) };
        let grants = if create.contains("REPLACE") { " COPY GRANTS" } else { "" };
        let create = create.replace("VIEW", &format!("{secure}VIEW"));
        format!("{create} {name}{columns}{grants}{} AS {}", comment.unwrap_or_default(), self.body.to_sql())
    }
}

pub(crate) async fn observe(
    statements: &Statements<'_>,
    identity: &Attributes,
    like: Option<&Attributes>,
) -> Result<Option<Seen>, ProviderError> {
    let name = text(identity, "name");
    let sql = format!("SHOW VIEWS LIKE {} IN SCHEMA {}", pattern(&name), schema_of(identity));
    let Some(rows) = statements.ask_about(&sql).await? else { return Ok(None) };
    let Some(row) = named(&rows, &name) else { return Ok(None) };
    let described = describe(statements, identity).await?;
    let wanted = like.and_then(|like| View::from_attributes(like).ok());
    let body = Body::read(row.text("text"), &text(identity, "database"), &text(identity, "schema"));
    let body = match &wanted {
        Some(wanted) if body.is_same_as(&wanted.body, &described) => wanted.body.clone(),
        _ => body,
    };
    let seen =
        Seen::of_row(&row).with_comment(row.text("comment"), like).with("secure", row.text("is_secure") == "true");
    let mut attributes = body_attributes(&body, &described, wanted.as_ref());
    attributes.extend(seen.attributes.clone());
    Ok(Some(Seen { attributes, ..seen }))
}

/// What is known of the columns of a view. One whose source has changed under it may not be describable any more: it has
/// none, and is made anew.
async fn describe(statements: &Statements<'_>, identity: &Attributes) -> Result<Rows, ProviderError> {
    match statements.ask_about(&format!("DESCRIBE VIEW {}", qualified(identity))).await {
        Ok(rows) => Ok(rows.unwrap_or_default()),
        Err(error) if matches!(error.kind, ErrorKind::InvalidInput { .. }) => Ok(Rows::default()),
        Err(error) => Err(error),
    }
}

/// The names of the columns that a view shows.
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
        // Comments that nobody wrote down are nobody's to manage.
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

fn need(doing: &str, planned: &Attributes) -> Need {
    let need = Need::to(format!("{doing} the view {}", shown(planned)));
    match planned.get("source").filter(|source| !source.is_null()).and_then(Value::as_map) {
        Some(source) => {
            need.right(format!("SELECT ON TABLE {}", qualified(source))).at(Path::attribute("source").key("name"))
        }
        None => need.at(Path::attribute("statement")),
    }
}

pub(crate) async fn create(statements: &Statements<'_>, planned: &Attributes, id: &str) -> Result<(), ProviderError> {
    let view = View::from_attributes(planned)?;
    let database = quote(&text(planned, "database"));
    let need = need("create", planned)
        .right(format!("USAGE ON DATABASE {database}"))
        .right(format!("USAGE ON SCHEMA {}", schema_of(planned)))
        .right(format!("CREATE VIEW ON SCHEMA {}", schema_of(planned)))
        .makes(id);
    statements.change(&view.ddl("CREATE VIEW", &qualified(planned)), &need).await
}

pub(crate) async fn update(
    statements: &Statements<'_>,
    present: &Seen,
    planned: &Attributes,
) -> Result<(), ProviderError> {
    let (wanted, name) = (View::from_attributes(planned)?, qualified(planned));
    let need = || need("change", planned).right(format!("OWNERSHIP ON VIEW {name}"));
    let is_same_body = View::from_attributes(&present.attributes)
        .is_ok_and(|old| old.body == wanted.body && old.comments == wanted.comments);
    if !is_same_body {
        let tags = tags(statements, planned).await?;
        statements.change(&wanted.ddl("CREATE OR REPLACE VIEW", &name), &need()).await?;
        return put_back(statements, planned, &tags).await;
    }
    if flag(&present.attributes, "secure") != wanted.is_secure {
        let what = if wanted.is_secure { "SET" } else { "UNSET" };
        statements.change(&format!("ALTER VIEW {name} {what} SECURE"), &need()).await?;
    }
    if optional_text(&present.attributes, "comment") != wanted.comment {
        let comment = literal(wanted.comment.as_deref().unwrap_or_default());
        statements.change(&format!("COMMENT ON VIEW {name} IS {comment}"), &need()).await?;
    }
    Ok(())
}

/// A tag on a view, or on a column of it.
struct Tag {
    column: Option<String>,
    name: String,
    value: String,
}

/// The tags that are set on the view itself and on its columns. Where there is no warehouse to ask on, or no tags in this
/// edition, there are none.
async fn tags(statements: &Statements<'_>, planned: &Attributes) -> Result<Vec<Tag>, ProviderError> {
    if statements.warehouse().is_none() {
        return Ok(Vec::new());
    }
    let parts = [text(planned, "database"), text(planned, "schema"), text(planned, "name")];
    let described = describe(statements, planned).await?;
    let mut found = Vec::new();
    for column in std::iter::once(None).chain(column_names(&described).into_iter().map(Some)) {
        let path: Vec<&str> = parts.iter().map(String::as_str).chain(column.as_deref()).collect();
        let (domain, level) = if column.is_some() { ("column", "COLUMN") } else { ("table", "TABLE") };
        let sql = format!(
            "SELECT * FROM TABLE({}.INFORMATION_SCHEMA.TAG_REFERENCES({}, '{domain}'))",
            quote(&text(planned, "database")),
            literal(&identifier::qualified(path.iter().copied()))
        );
        let rows = match statements.ask_about(&sql).await {
            Ok(rows) => rows.unwrap_or_default(),
            Err(error) if error.vendor_code.as_deref().is_some_and(|code| code.contains("0A000")) => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        };
        for row in rows.iter().filter(|row| row.text("LEVEL") == level) {
            let name = identifier::qualified([row.text("TAG_DATABASE"), row.text("TAG_SCHEMA"), row.text("TAG_NAME")]);
            found.push(Tag { column: column.clone(), name, value: row.text("TAG_VALUE").to_owned() });
        }
    }
    Ok(found)
}

async fn put_back(statements: &Statements<'_>, planned: &Attributes, tags: &[Tag]) -> Result<(), ProviderError> {
    let names = match Body::from_attributes(planned) {
        Ok(Body::Source { columns, .. }) if !columns.is_empty() => Some(columns),
        _ => None,
    };
    for tag in tags {
        let column = match &tag.column {
            // Of a column that the view no longer has.
            Some(column) if names.as_ref().is_some_and(|names| !names.contains(column)) => continue,
            Some(column) => format!(" MODIFY COLUMN {}", quote(column)),
            None => String::new(),
        };
        let sql = format!("ALTER VIEW {}{column} SET TAG {} = {}", qualified(planned), tag.name, literal(&tag.value));
        let need = Need::to(format!("put the tag {} back on {}", tag.name, shown(planned)))
            .right(format!("APPLY ON TAG {}", tag.name));
        statements.change(&sql, &need).await?;
    }
    Ok(())
}

pub(crate) async fn delete(statements: &Statements<'_>, identity: &Attributes) -> Result<(), ProviderError> {
    let name = qualified(identity);
    let need = Need::to(format!("drop the view {}", shown(identity))).right(format!("OWNERSHIP ON VIEW {name}"));
    statements.change(&format!("DROP VIEW IF EXISTS {name}"), &need).await
}

/// The full name of what a view reads, for messages.
pub(crate) fn source_of(attributes: &Attributes) -> Option<Vec<String>> {
    let source = attributes.get("source")?.as_map()?;
    split(&shown(source)).filter(|parts| parts.len() == 3)
}
