//! `pg_run_sql`: <https://hasura.io/docs/2.0/api-reference/schema-api/run-sql/>. It knows one query: whether a table
//! has a primary key.

use super::{fields, text};
use crate::databases::Databases;
use crate::metadata::Metadata;
use crate::refused::{Outcome, Refused};
use serde_json::{Value as Json, json};

/// Runs the query.
pub(crate) fn run(metadata: &mut Metadata, databases: &Databases, args: &Json) -> Outcome<Json> {
    let known = ["source", "read_only", "cascade", "check_metadata_consistency"];
    let args = fields(args, "RunSQL", &["sql"], &known)?;
    let name = args.get("source").and_then(Json::as_str).unwrap_or("default");
    let source = metadata.source(name)?;
    if source.kind != "postgres" {
        return Err(Refused::bad("not-exists", format!("source with name \"{name}\" has a different kind")));
    }
    let sql = text(args, "sql")?;
    let failed = |error: &str| Refused::bad("postgres-error", error);
    if args.get("read_only") != Some(&Json::Bool(true)) || !sql.starts_with("SELECT ") {
        return Err(failed("cannot execute this in a read-only transaction"));
    }
    let (schema, table) = (compared(&sql, "nspname"), compared(&sql, "relname"));
    let (Some(schema), Some(table), true) = (schema, table, sql.contains("indisprimary")) else {
        return Err(failed("syntax error"));
    };
    let source_database = databases.connect(&source.kind, &source.configuration)?;
    let found = databases.table(&source_database, &json!({"schema": schema, "name": table}));
    let rows = found.map(|table| json!([if table.key.is_empty() { "f" } else { "t" }]));
    let result: Vec<Json> = std::iter::once(json!(["exists"])).chain(rows).collect();
    Ok(json!({"result_type": "TuplesOk", "result": result}))
}

/// The string that a column is compared with: an `E` literal, with `''` and `\\\\` as escapes.
fn compared(sql: &str, column: &str) -> Option<String> {
    let rest = sql.split_once(&format!("{column} = E'"))?.1;
    let mut found = String::new();
    let mut rest = rest.chars().peekable();
    loop {
        match (rest.next()?, rest.peek()) {
            ('\'', Some('\'')) | ('\\', Some('\\')) => found.extend(rest.next()),
            ('\'', _) => return Some(found),
            (other, _) => found.push(other),
        }
    }
}
