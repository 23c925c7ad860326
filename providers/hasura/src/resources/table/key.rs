//! Whether a table has a primary key: without one nothing can be selected by it.

use super::root_fields;
use crate::engine::Engine;
use crate::export::{Source, name_of};
use crate::resources::Target;
use serde_json::{Value as Json, json};
use terrace_provider::{Attributes, ErrorKind, Path, ProviderError};

/// The attribute that names the root field.
const BY_KEY: &str = "selectByPk";

/// What the root field by key is to be called.
fn wanted(planned: &Attributes) -> Option<String> {
    root_fields(planned).into_iter().find(|(attribute, _)| *attribute == BY_KEY).map(|(_, name)| name)
}

/// Refuses a root field by key where the table has none.
///
/// # Errors
/// `InvalidInput` where there is none; another one where that cannot be found out.
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
                format!("`{}` has no primary key, so that `{name}` would give nothing", target.table().join("."));
            Err(ProviderError::invalid(Some(Path::attribute("rootFields").key(BY_KEY)), message)
                .solution("leave `selectByPk` out: a view has no key"))
        }
        // That the question is refused says nothing against what is planned.
        Err(error) => Err(match error.kind {
            ErrorKind::InvalidInput { .. } => ProviderError { kind: ErrorKind::Failed, ..error },
            _ => error,
        }),
    }
}

/// The same for a source that the plan may not have seen yet. What cannot be found out keeps nobody from trying.
///
/// # Errors
/// `InvalidInput` where there is none.
pub(super) async fn check_now(engine: &Engine, target: &Target, planned: &Attributes) -> Result<(), ProviderError> {
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

/// What an agent says of a table; one that it does not know is told where it is tracked.
async fn of_agent(engine: &Engine, source: &Source, table: &Json) -> Result<bool, ProviderError> {
    let args = json!({"source": source.name, "table": table});
    let question = json!({"type": format!("{}_get_table_info", source.prefix()), "args": args});
    let info = engine.look("tell of a table", question).await?;
    let has_key = info.get("primary_key").and_then(Json::as_array).is_some_and(|key| !key.is_empty());
    Ok(has_key || !info.is_object())
}

/// What the catalog of PostgreSQL says, for Hasura tells of no table there. Rows come as texts, the names of columns first:
/// <https://hasura.io/docs/2.0/api-reference/schema-api/run-sql/>.
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
    let answer = engine.query("tell whether a table has a key", question).await?;
    Ok(answer.pointer("/result/1/0").and_then(Json::as_str) != Some("f"))
}

/// A text as an SQL literal, whatever the session says of backslashes.
fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', r"\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_ends_its_literal() {
        assert_eq!(literal("orders"), "E'orders'");
        assert_eq!(literal(r"it's \' OR 1=1 --"), r"E'it''s \\'' OR 1=1 --'");
    }
}
