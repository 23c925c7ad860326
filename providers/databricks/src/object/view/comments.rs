//! Comments of a view and its columns. Altering the query recreates the view except for its grants
//! (<https://docs.databricks.com/aws/en/sql/language-manual/sql-ref-syntax-ddl-alter-view>): all comments are lost. So
//! unmanaged comments are written again.

use super::{columns, full_name, source, table};
use crate::attributes::{optional_text, text_of};
use crate::object::Context;
use crate::sql::{literal, qualified, quote};
use serde_json::Value as Json;
use terrace_provider::{Attributes, ProviderError};

/// Unmanaged comments of a view whose query is about to change.
#[derive(Debug, Default)]
pub(super) struct UnmanagedComments {
    own: Option<String>,
    columns: Vec<(String, String)>,
}

impl UnmanagedComments {
    /// Reads the unmanaged comments of the view and of its remaining columns. Comments inherited from the old source
    /// are left out.
    ///
    /// # Errors
    /// If the workspace does not answer.
    pub(super) async fn read(
        context: &Context<'_>,
        prior: &Attributes,
        present: &Attributes,
        planned: &Attributes,
    ) -> Result<Self, ProviderError> {
        let Some(remote) = table(context, &full_name(planned)).await? else { return Ok(Self::default()) };
        let source_table = async |attributes: &Attributes| match source(attributes) {
            Some(source) => table(context, &source.join(".").to_lowercase()).await,
            None => Ok(None),
        };
        let shown = columns(planned);
        let remaining: Vec<String> = match shown.is_empty() {
            true => commented(&source_table(planned).await?.unwrap_or_default()).map(|(name, _)| name).collect(),
            false => shown.iter().map(|(name, _)| name.clone()).collect(),
        };
        let inherited: Vec<_> = commented(&source_table(present).await?.unwrap_or_default()).collect();
        let managed: Vec<String> = [planned, prior]
            .iter()
            .flat_map(|attributes| columns(attributes))
            .filter_map(|(name, comment)| comment.map(|_| name))
            .collect();
        let is_one_of = |names: &[String], name: &str| names.iter().any(|it| it.eq_ignore_ascii_case(name));
        let is_preserved = |(name, comment): &(String, Option<String>)| {
            let is_inherited = inherited.iter().any(|(it, text)| it.eq_ignore_ascii_case(name) && text == comment);
            is_one_of(&remaining, name) && !is_one_of(&managed, name) && !is_inherited
        };
        let preserved = commented(&remote).filter(is_preserved).filter_map(|(name, comment)| Some((name, comment?)));
        let is_managed = [planned, prior].iter().any(|it| it.get("comment").is_some_and(|it| !it.is_null()));
        let own = Some(text_of(&remote, "comment")).filter(|comment| !is_managed && !comment.is_empty());
        Ok(Self { own: own.map(str::to_owned), columns: preserved.collect() })
    }

    /// The statements that restore the comments.
    pub(super) fn statements(&self, name: &str) -> impl Iterator<Item = String> {
        let columns = self.columns.iter().map(move |(column, text)| on_column(name, column, &literal(text)));
        columns.chain(self.own.iter().map(move |text| on_view(name, &literal(text))))
    }
}

/// The columns of a table or view with their comments.
fn commented(table: &Json) -> impl Iterator<Item = (String, Option<String>)> {
    let columns = table.get("columns").and_then(Json::as_array).into_iter().flatten();
    columns.map(|column| {
        let comment = Some(text_of(column, "comment")).filter(|comment| !comment.is_empty());
        (text_of(column, "name").to_owned(), comment.map(str::to_owned))
    })
}

fn on_column(name: &str, column: &str, text: &str) -> String {
    format!("COMMENT ON COLUMN {}.{} IS {text}", qualified(name), quote(column))
}

fn on_view(name: &str, text: &str) -> String {
    format!("COMMENT ON TABLE {} IS {text}", qualified(name))
}

/// The statements that set the managed comments, from the recorded and observed to the planned ones.
pub(super) fn statements(
    prior: &Attributes,
    present: &Attributes,
    planned: &Attributes,
    is_altered: bool,
) -> Vec<String> {
    let name = full_name(planned);
    let (recorded, current) = (columns(prior), columns(present));
    let mut statements = Vec::new();
    for (column, wanted) in columns(planned) {
        let of = |all: &[(String, Option<String>)]| {
            all.iter().find(|(it, _)| *it == column).and_then(|(_, text)| text.clone())
        };
        // The old columns lost their comments.
        let now = if is_altered { None } else { of(&current) };
        let text = match (&wanted, of(&recorded)) {
            (Some(text), _) if now.as_ref() != Some(text) => literal(text),
            (None, Some(_)) if !is_altered => "NULL".to_owned(),
            _ => continue,
        };
        statements.push(on_column(&name, &column, &text));
    }
    let now = optional_text(present, "comment").filter(|_| !is_altered);
    let was_commented = prior.get("comment").is_some_and(|it| !it.is_null());
    let text = match optional_text(planned, "comment") {
        Some(text) if now.as_ref() != Some(&text) => Some(literal(&text)),
        None if was_commented && !is_altered => Some("NULL".to_owned()),
        _ => None,
    };
    statements.extend(text.map(|text| on_view(&name, &text)));
    statements
}
