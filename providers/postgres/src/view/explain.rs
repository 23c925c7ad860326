//! Errors of views with a missing source.

use super::{Body, body};
use crate::error::Failure;
use crate::server::{Client, column, query};
use crate::table::column_names;
use terrace_provider::names::listed;
use terrace_provider::{Attributes, Path, ProviderError};

/// The error of a view whose source, or a column of it, does not exist, with the existing ones. `None` if the view
/// failed for another reason.
pub(crate) async fn explain(client: &Client, planned: &Attributes) -> Result<Option<ProviderError>, Failure> {
    let Ok(Body::Source(source)) = body(planned) else { return Ok(None) };
    let Some(present) = column_names(client, &source.schema, &source.name).await? else {
        let sql = "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                   WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY c.relname";
        let rows = query(client, sql, &[&source.schema]).await?;
        let names = rows.iter().map(|row| column(row, 0)).collect::<Result<Vec<String>, _>>()?;
        let message = format!("there is no table or view `{}` in the schema `{}`", source.name, source.schema);
        let error = ProviderError::invalid(Some(Path::attribute("source").key("name")), message)
            .problem(format!("the schema has {}", listed(&names)));
        return Ok(Some(error.did_you_mean(&source.name, &names)));
    };
    let missing = source.columns.iter().enumerate().find(|(_, column)| !present.contains(column));
    Ok(missing.map(|(index, column)| {
        let path = Path::attribute("columns").index(index);
        let message = format!("`{}` has no column `{column}`", source.name);
        ProviderError::invalid(Some(path), message)
            .problem(format!("its columns are {}", listed(&present)))
            .did_you_mean(column, &present)
    }))
}
