//! Tags and comments that a recreated view keeps. The statement that recreates the view sets them, so that the view
//! never lacks them. Policies are not copied: a view with policies is not recreated.

use super::{View, column_names, comment_of, purpose};
use crate::client::Rows;
use crate::identifier::{literal, qualified, quote};
use crate::lookup;
use crate::object::view::body::Body;
use crate::object::{shown, tag_assignment};
use crate::statements::Statements;
use terrace_provider::attributes::text;
use terrace_provider::names::listed;
use terrace_provider::{Attributes, ErrorKind, Path, ProviderError};

/// A tag on a view or one of its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Tag {
    column: Option<String>,
    name: String,
    value: String,
}

/// Properties of the replaced view.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct PreservedProperties {
    tags: Vec<Tag>,
    /// The columns, if the statement must list them.
    columns: Vec<String>,
    /// Unmanaged comments of columns, by name.
    comments: Vec<(String, String)>,
    /// The view's own comment if it is unmanaged.
    comment: Option<String>,
}

impl PreservedProperties {
    /// The columns to list; empty if the content already lists them.
    pub(super) fn columns<'a>(&'a self, view: &'a View) -> &'a [String] {
        match &view.body {
            Body::Source { columns, .. } if !columns.is_empty() => columns,
            _ => &self.columns,
        }
    }

    /// ` WITH TAG (…)` of the view, or of a column.
    pub(super) fn tags_of(&self, column: Option<&str>) -> String {
        let tags = self.tags.iter().filter(|tag| tag.column.as_deref() == column);
        let tags: Vec<String> = tags.map(|tag| format!("{} = {}", tag.name, literal(&tag.value))).collect();
        if tags.is_empty() { String::new() } else { format!(" WITH TAG ({})", tags.join(", ")) }
    }

    /// The unmanaged comment of a column.
    pub(super) fn comment_of(&self, column: &str) -> Option<&str> {
        comment_of(&self.comments, column)
    }

    /// The view's own comment if it is unmanaged.
    pub(super) fn comment(&self) -> Option<&str> {
        self.comment.as_deref()
    }
}

/// Reads the properties of a view before it is recreated.
///
/// # Errors
/// When it has policies, or its properties cannot be read: then nothing changes.
pub(super) async fn read(
    statements: &Statements<'_>,
    wanted: &View,
    planned: &Attributes,
    described: &Rows,
) -> Result<PreservedProperties, ProviderError> {
    if statements.warehouse().is_none() {
        return Err(without_warehouse(planned));
    }
    let policies = policies(statements, planned, described).await?;
    if !policies.is_empty() {
        let message =
            format!("the view {} cannot be recreated: it has the policies {}", shown(planned), listed(&policies));
        return Err(refused(planned, message)
            .problem("a change of columns or statement recreates the view, which would lose them")
            .solution("remove them from the view, apply, and add them again"));
    }
    let mut preserved =
        PreservedProperties { tags: tags(statements, planned, described).await?, ..PreservedProperties::default() };
    let comment = |row: crate::client::Row<'_>| {
        let comment = row.get("comment").filter(|comment| !comment.is_empty())?;
        Some((row.text("name").to_owned(), comment.to_owned()))
    };
    preserved.comments = described.iter().filter_map(comment).collect();
    let lists_columns = matches!(&wanted.body, Body::Source { columns, .. } if !columns.is_empty());
    let has_column_properties = !preserved.comments.is_empty() || preserved.tags.iter().any(|tag| tag.column.is_some());
    if has_column_properties && !lists_columns {
        preserved.columns = result_columns(statements, wanted, planned).await?;
    }
    Ok(preserved)
}

impl PreservedProperties {
    /// Drops comments that were managed before, and the view's own comment unless it is unmanaged.
    pub(super) fn without_managed(mut self, was: Option<&View>, comment: Option<String>) -> Self {
        let is_managed = |column: &str| was.is_some_and(|was| comment_of(&was.comments, column).is_some());
        self.comments.retain(|(column, _)| !is_managed(column));
        self.comment = comment.filter(|_| was.is_none_or(|was| was.comment.is_none()));
        self
    }
}

/// The error of a view that must be recreated without a warehouse.
pub(super) fn without_warehouse(planned: &Attributes) -> ProviderError {
    let message = format!("the tags and policies of the view {} cannot be read", shown(planned));
    refused(planned, message)
        .problem("a change of columns or statement recreates the view, which would lose them")
        .solution("set `warehouse` of the instance: the reads need one")
}

fn refused(planned: &Attributes, message: String) -> ProviderError {
    let name =
        if planned.get("statement").is_some_and(|statement| !statement.is_null()) { "statement" } else { "columns" };
    ProviderError::new(ErrorKind::InvalidInput { path: Some(Path::attribute(name)) }, message)
}

/// The columns of the new content.
async fn result_columns(
    statements: &Statements<'_>,
    wanted: &View,
    planned: &Attributes,
) -> Result<Vec<String>, ProviderError> {
    match &wanted.body {
        Body::Source { source, .. } => Ok(lookup::columns_of(statements, source).await?.unwrap_or_default()),
        Body::Statement(statement) => {
            let within = (text(planned, "database"), text(planned, "schema"));
            let sql = format!("SELECT * FROM (\n{statement}\n) LIMIT 0");
            Ok(statements.query_within(&sql, &within, &purpose("change", planned)).await?.columns)
        }
    }
}

fn function(planned: &Attributes, call: &str) -> String {
    format!("SELECT * FROM TABLE({}.INFORMATION_SCHEMA.{call})", quote(&text(planned, "database")))
}

/// Reads a feature that an edition may lack.
async fn read_feature(statements: &Statements<'_>, sql: &str) -> Result<Rows, ProviderError> {
    match statements.read_optional(sql).await {
        Ok(rows) => Ok(rows.unwrap_or_default()),
        Err(error) if error.vendor_code.as_deref().is_some_and(|code| code.contains("0A000")) => Ok(Rows::default()),
        Err(error) => Err(error),
    }
}

/// The policies set directly on the view or its columns; tag-based policies follow the tags.
/// <https://docs.snowflake.com/en/sql-reference/functions/policy_references>
async fn policies(
    statements: &Statements<'_>,
    planned: &Attributes,
    described: &Rows,
) -> Result<Vec<String>, ProviderError> {
    let name = literal(&crate::object::qualified(planned));
    let call = format!("POLICY_REFERENCES(REF_ENTITY_NAME => {name}, REF_ENTITY_DOMAIN => 'view')");
    let rows = read_feature(statements, &function(planned, &call)).await?;
    let own = rows.iter().filter(|row| row.text("TAG_NAME").is_empty());
    let referred = own.map(|row| row.text("POLICY_NAME").to_owned());
    let of_columns = described.iter().filter_map(|row| row.get("policy name")).map(str::to_owned);
    let mut found: Vec<String> = referred.chain(of_columns).filter(|name| !name.is_empty()).collect();
    found.sort();
    found.dedup();
    Ok(found)
}

/// The tags set directly on the view and its columns; empty in an edition without tags.
async fn tags(statements: &Statements<'_>, planned: &Attributes, described: &Rows) -> Result<Vec<Tag>, ProviderError> {
    let parts = [text(planned, "database"), text(planned, "schema"), text(planned, "name")];
    let mut found = Vec::new();
    for column in std::iter::once(None).chain(column_names(described).into_iter().map(Some)) {
        let path: Vec<&str> = parts.iter().map(String::as_str).chain(column.as_deref()).collect();
        let domain = if column.is_some() { "column" } else { "table" };
        let levels = tag_assignment::levels(if column.is_some() { "column" } else { "view" });
        let object = literal(&qualified(path.iter().copied()));
        let rows =
            read_feature(statements, &function(planned, &format!("TAG_REFERENCES({object}, '{domain}')"))).await?;
        for row in rows.iter().filter(|row| levels.contains(&row.text("LEVEL"))) {
            let name = qualified([row.text("TAG_DATABASE"), row.text("TAG_SCHEMA"), row.text("TAG_NAME")]);
            found.push(Tag { column: column.clone(), name, value: row.text("TAG_VALUE").to_owned() });
        }
    }
    Ok(found)
}
