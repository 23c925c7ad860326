//! Checks for a primary key, which the root field by key needs.

use super::root_fields;
use crate::engine::Engine;
use crate::export::{Source, name_of};
use crate::resources::Target;
use serde_json::{Value as Json, json};
use terrace_provider::{Attributes, ErrorKind, Path, ProviderError};

/// The attribute with the root field's name.
const BY_KEY: &str = "selectByPk";

/// The planned name of the root field by key.
fn wanted(planned: &Attributes) -> Option<String> {
    root_fields(planned).into_iter().find(|(attribute, _)| *attribute == BY_KEY).map(|(_, name)| name)
}

/// Refuses a root field by key for a table without a key.
///
/// # Errors
/// `InvalidInput` if there is no key; another error if the check fails.
pub(super) async fn check(
    engine: &Engine,
    source: &Source,
    target: &Target,
    planned: &Attributes,
) -> Result<(), ProviderError> {
    let Some(name) = wanted(planned) else { return Ok(()) };
    let table = name_of(source.is_postgres(), &target.table());
    let may_have_key = match source.is_postgres() {
        true => in_postgres(engine, source, &table).await,
        false => of_agent(engine, source, &table).await,
    };
    match may_have_key {
        Ok(true) => Ok(()),
        Ok(false) => {
            let message =
                format!("`{}` has no primary key, so `{name}` would return nothing", target.table().join("."));
            Err(ProviderError::invalid(Some(Path::attribute("rootFields").key(BY_KEY)), message)
                .solution("remove `selectByPk`: a view has no key"))
        }
        // A refused check does not mean that the plan is wrong.
        Err(error) => Err(match error.kind {
            ErrorKind::InvalidInput { .. } => ProviderError { kind: ErrorKind::Failed, ..error },
            _ => error,
        }),
    }
}

/// The same for a source that the plan may not have checked. A failed check is ignored.
///
/// # Errors
/// `InvalidInput` if there is no key.
pub(super) async fn check_before_change(
    engine: &Engine,
    target: &Target,
    planned: &Attributes,
) -> Result<(), ProviderError> {
    if wanted(planned).is_none() {
        return Ok(());
    }
    let export = engine.export().await?;
    let Some(source) = export.source(&target.part("source")) else { return Ok(()) };
    match check(engine, source, target, planned).await {
        Err(error) if matches!(error.kind, ErrorKind::InvalidInput { .. }) => Err(error),
        _ => Ok(()),
    }
}

/// Checks with the agent; for a table that the agent does not know, tracking will report an error.
async fn of_agent(engine: &Engine, source: &Source, table: &Json) -> Result<bool, ProviderError> {
    let args = json!({"source": source.name, "table": table});
    let question = json!({"type": format!("{}_get_table_info", source.prefix()), "args": args});
    let info = engine.read("describe a table", question).await?;
    let has_key = info.get("primary_key").and_then(Json::as_array).is_some_and(|key| !key.is_empty());
    Ok(has_key || !info.is_object())
}

/// Checks with PostgreSQL's catalog, because Hasura does not describe its tables. Rows are texts, after a row of column
/// names: <https://hasura.io/docs/2.0/api-reference/schema-api/run-sql/>.
async fn in_postgres(engine: &Engine, source: &Source, table: &Json) -> Result<bool, ProviderError> {
    let part = |name: &str| literal(table.get(name).and_then(Json::as_str).unwrap_or_default());
    let sql = format!(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_index WHERE indrelid = c.oid AND indisprimary) \
         FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
         WHERE n.nspname = {} AND c.relname = {}",
        part("schema"),
        part("name"),
    );
    let args = json!({"source": source.name, "sql": sql, "read_only": true});
    let question = json!({"type": format!("{}_run_sql", source.prefix()), "args": args});
    let answer = engine.query("check the key of a table", question).await?;
    Ok(answer.pointer("/result/1/0").and_then(Json::as_str) != Some("f"))
}

/// A text as an SQL literal, for any setting of backslash escapes.
fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', r"\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_cannot_end_its_literal() {
        assert_eq!(literal("orders"), "E'orders'");
        assert_eq!(literal(r"it's \' OR 1=1 --"), r"E'it''s \\'' OR 1=1 --'");
    }
}
