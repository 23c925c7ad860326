//! Counts the contents of catalogs and schemas, which a forced deletion deletes too.

use super::Context;
use crate::attributes::text_of;
use serde_json::Value as Json;
use terrace_provider::http::{Next, Purpose, Request};
use terrace_provider::{DataAmount, ProviderError};

/// The contents of a schema: the endpoint, the field of the list, and the singular and plural noun.
const KINDS: [(&str, &str, &str, &str); 4] = [
    // <https://docs.databricks.com/api/workspace/tables/list>
    ("/api/2.1/unity-catalog/tables", "tables", "table", "tables"),
    // <https://docs.databricks.com/api/workspace/volumes/list>
    ("/api/2.1/unity-catalog/volumes", "volumes", "volume", "volumes"),
    // <https://docs.databricks.com/api/workspace/functions/list>
    ("/api/2.1/unity-catalog/functions", "functions", "function", "functions"),
    // <https://docs.databricks.com/api/workspace/registeredmodels/list>
    ("/api/2.1/unity-catalog/models", "registered_models", "model", "models"),
];

/// Counts the contents of a schema.
///
/// # Errors
/// If a list cannot be read.
pub(super) async fn of_schema(context: &Context<'_>, catalog: &str, schema: &str) -> Result<DataAmount, ProviderError> {
    let parent = format!("the schema `{catalog}.{schema}`");
    let mut amounts = Vec::new();
    for (call, list, one, many) in KINDS {
        let request = Request::get(call, &[]).query("catalog_name", catalog).query("schema_name", schema);
        let found = all(context, request, list, &parent).await?;
        amounts.push(DataAmount::of(found.len() as u64, one, many));
    }
    Ok(sum(amounts))
}

/// Counts the contents of a catalog: its schemas, and the contents of its initial schema.
///
/// # Errors
/// If a list cannot be read.
pub(super) async fn of_catalog(context: &Context<'_>, catalog: &str) -> Result<DataAmount, ProviderError> {
    const FIRST: &str = "default";
    let request = Request::get("/api/2.1/unity-catalog/schemas", &[]).query("catalog_name", catalog);
    let schemas = all(context, request, "schemas", &format!("the catalog `{catalog}`")).await?;
    let is_own = |it: &&Json| !matches!(text_of(it, "name"), FIRST | "information_schema");
    let own = DataAmount::of(schemas.iter().filter(is_own).count() as u64, "schema", "schemas");
    let first = match schemas.iter().any(|it| text_of(it, "name") == FIRST) {
        true => of_schema(context, catalog, FIRST).await?,
        false => DataAmount::Empty,
    };
    let first = match first {
        DataAmount::Some { count, text } => DataAmount::Some { count, text: format!("{text} in `{FIRST}`") },
        other => other,
    };
    Ok(sum([own, first]))
}

/// Returns all items of a list; a missing parent has no items.
async fn all(context: &Context<'_>, request: Request, list: &str, parent: &str) -> Result<Vec<Json>, ProviderError> {
    let next = |page: &Json| Next::token(page, "next_page_token", "page_token");
    match context.workspace.api.items(request, &context.within, list, next).await {
        Err(failure) if failure.status() == Some(404) => Ok(Vec::new()),
        found => {
            let purpose = Purpose::read(format!("count the contents of {parent}"));
            found.map_err(|failure| context.workspace.api.error(&failure, &purpose))
        }
    }
}

/// Sums amounts.
fn sum(amounts: impl IntoIterator<Item = DataAmount>) -> DataAmount {
    let mut count: u64 = 0;
    let mut texts = Vec::new();
    for amount in amounts {
        match amount {
            DataAmount::Empty => {}
            DataAmount::Some { count: more, text } => {
                count = count.saturating_add(more);
                texts.push(text);
            }
            DataAmount::Unknown => return DataAmount::Unknown,
        }
    }
    match texts.is_empty() {
        true => DataAmount::Empty,
        false => DataAmount::Some { count, text: texts.join(", ") },
    }
}
