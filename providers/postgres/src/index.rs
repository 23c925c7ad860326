//! Indexes: columns and expressions of one table. Any change creates a new index.

mod part;

use crate::attributes::{flag, has_unknown, list, optional_text, put_managed, text, texts};
use crate::error::Failure;
use crate::expression;
use crate::identifier::{check, qualified, quote, quote_all};
use crate::kind::Target;
use crate::observation::{Observation, ReadRequest, placed};
use crate::private::Memory;
use crate::script::Script;
use crate::server::{Client, column, query};
use crate::table::{column_names, is_same};
use part::Present;
use terrace_provider::names::listed;
use terrace_provider::{Attributes, Map, Path, PlannedChange, ProposedChange, ProviderError, Value};

/// Plans an index.
///
/// # Errors
/// `InvalidInput` at the invalid attribute.
pub(crate) fn plan(change: &ProposedChange<'_>, mut planned: PlannedChange) -> Result<PlannedChange, ProviderError> {
    if !has_unknown(change.config) {
        check_planned(&planned.planned)?;
    }
    // A failed concurrent creation leaves an invalid index, which slows writes and is never read.
    let is_broken = change.prior.is_some_and(|prior| prior.attributes.get("valid") == Some(&Value::Bool(false)));
    if is_broken {
        planned.replace_paths.push(Path::attribute("valid"));
        planned.planned.insert("valid".to_owned(), Value::Unknown);
    }
    Ok(planned)
}

fn check_planned(attributes: &Attributes) -> Result<(), ProviderError> {
    check(&text(attributes, "table"), &Path::attribute("table"))?;
    let (columns, parts) = (texts(attributes, "columns"), part::configured(attributes));
    match (columns.is_empty(), parts.is_empty()) {
        (true, true) => {
            return Err(ProviderError::invalid(Some(Path::attribute("columns")), "an index needs at least one column"));
        }
        (false, false) => {
            let message = "an index has either `columns` or `parts`, not both";
            return Err(ProviderError::invalid(Some(Path::attribute("parts")), message));
        }
        _ => {}
    }
    for name in ["columns", "include"] {
        for (index, column) in texts(attributes, name).iter().enumerate() {
            check(column, &Path::attribute(name).index(index))?;
        }
    }
    for (index, part) in parts.iter().enumerate() {
        part.check(&Path::attribute("parts").index(index))?;
    }
    check(&text(attributes, "method"), &Path::attribute("method"))?;
    match optional_text(attributes, "where") {
        Some(condition) => expression::check(&condition, "condition", &Path::attribute("where")),
        None => Ok(()),
    }
}

/// Reads indexes.
pub(crate) async fn observe(client: &Client, wanted: &[ReadRequest]) -> Result<Vec<Option<Observation>>, Failure> {
    let schemas: Vec<&str> = wanted.iter().map(|wanted| wanted.target.name(1)).collect();
    let names: Vec<&str> = wanted.iter().map(|wanted| wanted.target.own_name()).collect();
    let sql = format!(
        "SELECT w.place, t.relname::text, i.indisunique, i.indisvalid, m.amname::text,
                pg_get_expr(i.indpred, i.indrelid), ({}), ({})
         FROM unnest($1::text[]::name[], $2::text[]::name[]) WITH ORDINALITY AS w(in_schema, named, place)
         JOIN pg_namespace n ON n.nspname = w.in_schema
         JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.named AND c.relkind IN ('i', 'I')
         JOIN pg_index i ON i.indexrelid = c.oid
         JOIN pg_class t ON t.oid = i.indrelid
         JOIN pg_am m ON m.oid = c.relam",
        part::PARTS,
        part::INCLUDED
    );
    placed(&query(client, &sql, &[&schemas, &names]).await?, wanted, |row, wanted| {
        let mut memory = wanted.memory.clone();
        let condition: Option<String> = column(row, 5)?;
        let condition = match (wanted.text("where"), condition) {
            (Some(configured), Some(server)) if is_same(&configured, &server, &mut memory) => Some(configured),
            (_, server) => server,
        };
        let mut attributes = Map::default();
        attributes.insert("table".to_owned(), column::<String>(row, 1)?.into());
        let present = parts_of(&column::<String>(row, 6)?)?;
        let like = wanted.like.as_ref().map(part::configured).unwrap_or_default();
        // `columns` describe no order, operator class, collation or included columns: a configuration with the same
        // columns keeps the index.
        let names: Option<Vec<&str>> = present.iter().map(Present::column).collect();
        let configured = wanted.like.as_ref().map(|like| texts(like, "columns")).unwrap_or_default();
        let is_configured = names.as_ref().is_some_and(|names| *names == configured);
        let plain: Option<Vec<&str>> = present.iter().map(Present::plain).collect();
        match names.filter(|_| is_configured).or(plain.filter(|_| like.is_empty())) {
            Some(columns) => {
                attributes.insert("columns".to_owned(), list(&columns));
                attributes.insert("parts".to_owned(), Value::Null);
            }
            None => {
                let parts = present.iter().enumerate().map(|(at, part)| part.to_value(like.get(at), &mut memory));
                attributes.insert("parts".to_owned(), parts.collect::<Vec<_>>().into());
                attributes.insert("columns".to_owned(), Value::Null);
            }
        }
        let included = column::<Vec<String>>(row, 7)?;
        let is_managed = wanted.is_managed("include");
        let is_reported =
            if is_configured { is_managed } else { !included.is_empty() || is_managed && wanted.like.is_some() };
        attributes.insert("include".to_owned(), if is_reported { list(&included) } else { Value::Null });
        attributes.insert("unique".to_owned(), column::<bool>(row, 2)?.into());
        put_managed(&mut attributes, "where", condition.as_deref());
        attributes.insert("method".to_owned(), column::<String>(row, 4)?.into());
        // The server does not record how the index was created.
        let is_concurrent = wanted.like.as_ref().is_some_and(|like| flag(like, "concurrently"));
        attributes.insert("concurrently".to_owned(), is_concurrent.into());
        attributes.insert("valid".to_owned(), column::<bool>(row, 3)?.into());
        Ok(Observation { attributes, mark: None, memory })
    })
}

/// Learns the server's text for the expressions of a new index.
pub(crate) async fn learn(
    client: &Client,
    target: &Target,
    planned: &Attributes,
    memory: &mut Memory,
) -> Result<(), Failure> {
    let parts = part::configured(planned);
    let condition = optional_text(planned, "where");
    if condition.is_none() && parts.iter().all(|part| part.expression.is_none()) {
        return Ok(());
    }
    let wanted = ReadRequest::all_attributes(target.clone());
    let Some(observation) = observe(client, std::slice::from_ref(&wanted)).await?.into_iter().flatten().next() else {
        return Ok(());
    };
    if let (Some(configured), Some(server)) = (condition, optional_text(&observation.attributes, "where")) {
        memory.learn(&configured, &server);
    }
    for (configured, server) in parts.iter().zip(part::configured(&observation.attributes)) {
        if let (Some(configured), Some(server)) = (&configured.expression, &server.expression) {
            memory.learn(configured, server);
        }
    }
    Ok(())
}

/// Properties of an index that the planned `columns` do not describe; empty if the plan has `parts`.
pub(crate) async fn beyond_columns(
    client: &Client,
    target: &Target,
    planned: &Attributes,
) -> Result<Vec<String>, Failure> {
    let columns = texts(planned, "columns");
    let sql = format!(
        "SELECT ({}), ({}) FROM pg_namespace n
         JOIN pg_class c ON c.relnamespace = n.oid AND c.relkind IN ('i', 'I') JOIN pg_index i ON i.indexrelid = c.oid
         JOIN pg_class t ON t.oid = i.indrelid
         WHERE n.nspname = $1 AND c.relname = $2 AND t.relname = $3",
        part::PARTS,
        part::INCLUDED
    );
    let rows = query(client, &sql, &[&target.name(1), &target.own_name(), &text(planned, "table")]).await?;
    let Some(row) = rows.first().filter(|_| !columns.is_empty()) else { return Ok(Vec::new()) };
    let present: Vec<Present> = parts_of(&column::<String>(row, 0)?)?;
    if present.iter().map(Present::column).ne(columns.iter().map(|column| Some(column.as_str()))) {
        return Ok(Vec::new());
    }
    let included = Some(column::<Vec<String>>(row, 1)?)
        .filter(|columns| !columns.is_empty() && texts(planned, "include").is_empty());
    let included = included.map(|columns| format!("it includes {}", listed(&columns)));
    Ok(present.iter().filter_map(Present::beyond_column).chain(included).collect())
}

fn parts_of(json: &str) -> Result<Vec<Present>, Failure> {
    serde_json::from_str(json)
        .map_err(|error| Failure::bug(format!("the server's description of an index is not valid: {error}")))
}

/// The statement that creates the planned index.
pub(crate) fn creation(target: &Target, planned: &Attributes) -> Result<Script, ProviderError> {
    check_planned(planned)?;
    let unique = if flag(planned, "unique") { "UNIQUE " } else { "" };
    let how = if flag(planned, "concurrently") { "CONCURRENTLY " } else { "" };
    let mut script = Script::of(format!("CREATE {unique}INDEX {how}{} ON ", quote(target.own_name())));
    script.push_at(&Path::attribute("table"), &qualified(target.name(1), &text(planned, "table")));
    script.push(" USING ");
    script.push_at(&Path::attribute("method"), &quote(&text(planned, "method").to_lowercase()));
    script.push(" (");
    let columns = texts(planned, "columns").into_iter().map(|column| quote_all([column]));
    let columns = columns.enumerate().map(|(index, sql)| (Path::attribute("columns").index(index), sql));
    let parts = part::configured(planned).into_iter().enumerate();
    let parts = parts.map(|(index, part)| (Path::attribute("parts").index(index), part.sql()));
    for (index, (path, sql)) in columns.chain(parts).enumerate() {
        script.push(if index > 0 { ", " } else { "" });
        script.push_at(&path, &sql);
    }
    script.push(")");
    let included = texts(planned, "include");
    if !included.is_empty() {
        script.push_at(&Path::attribute("include"), &format!(" INCLUDE ({})", quote_all(&included)));
    }
    if let Some(condition) = optional_text(planned, "where") {
        script.push_at(&Path::attribute("where"), &format!(" WHERE ({condition})"));
    }
    Ok(script)
}

/// The statement that drops the index; a missing index is not an error.
pub(crate) fn deletion(target: &Target, prior: &Attributes) -> String {
    let how = if flag(prior, "concurrently") { "CONCURRENTLY " } else { "" };
    format!("DROP INDEX {how}IF EXISTS {}", target.sql())
}

/// The error of an index on a missing column; `None` if the table does not exist.
pub(crate) async fn missing_column(
    client: &Client,
    target: &Target,
    planned: &Attributes,
) -> Result<Option<ProviderError>, Failure> {
    match column_names(client, target.name(1), &text(planned, "table")).await? {
        Some(_) => explain(client, target, planned).await,
        None => Ok(None),
    }
}

/// The error of an index on a missing column, with the existing columns.
pub(crate) async fn explain(
    client: &Client,
    target: &Target,
    planned: &Attributes,
) -> Result<Option<ProviderError>, Failure> {
    let (schema, table) = (target.name(1), text(planned, "table"));
    let Some(present) = column_names(client, schema, &table).await? else {
        let message = format!("there is no table `{table}` in the schema `{schema}`");
        let error = ProviderError::invalid(Some(Path::attribute("table")), message);
        return Ok(Some(error.solution("create the table first, or let `table` refer to it")));
    };
    let of = |name: &'static str| {
        let path = move |index| Path::attribute(name).index(index);
        texts(planned, name).into_iter().enumerate().map(move |(index, column)| (path(index), column))
    };
    let parts = part::configured(planned).into_iter().enumerate();
    let of_parts =
        parts.filter_map(|(index, part)| Some((Path::attribute("parts").index(index).key("column"), part.column?)));
    let missing = of("columns").chain(of_parts).chain(of("include")).find(|(_, column)| !present.contains(column));
    Ok(missing.map(|(path, column)| {
        ProviderError::invalid(Some(path), format!("`{table}` has no column `{column}`"))
            .problem(format!("its columns are {}", listed(&present)))
            .did_you_mean(&column, &present)
    }))
}
