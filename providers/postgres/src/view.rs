//! Views and materialized views: columns of one source, or a configured query.
//!
//! The server stores a view as a parsed query and prints it in its own form. A query that selects only columns of one
//! source becomes `source` and `columns`; any other becomes `definition`.

mod explain;
mod source;

pub(crate) use explain::explain;
pub(crate) use source::source_of;

use crate::attributes::{flag, has_unknown, list, optional_text, put_managed, text, texts};
use crate::dependents;
use crate::error::Failure;
use crate::identifier::{check, check_comment, full_name, literal, literal_or_null, qualified, quote_all};
use crate::kind::{Kind, Target};
use crate::observation::{Observation, ReadRequest};
use crate::private::Memory;
use crate::script::Script;
use crate::server::{Client, Work, column, query};
use crate::table::is_same;
use terrace_provider::sql_reads::SqlDialect;
use terrace_provider::sql_tokens::single_query;
use terrace_provider::{Attributes, ErrorKind, Map, Path, ProviderError, Value};
use tokio_postgres::error::SqlState;

/// The content of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Body {
    /// Columns of a table or view; empty for all columns.
    Source(source::Source),
    /// A query.
    Definition(String),
}

/// An existing view.
struct Present {
    oid: i64,
    definition: String,
    comment: Option<String>,
    mark: Option<String>,
}

/// The configured content.
///
/// # Errors
/// `InvalidInput` if not exactly one of `source` and `definition` is given, or if it is invalid.
fn body(attributes: &Attributes) -> Result<Body, ProviderError> {
    let columns = texts(attributes, "columns");
    let source = attributes.get("source").and_then(Value::as_map);
    match (source, optional_text(attributes, "definition")) {
        (Some(source), None) => {
            let source = source::Source { schema: text(source, "schema"), name: text(source, "name"), columns };
            let path = Path::attribute("source");
            check(&source.schema, &path.key("schema"))?;
            check(&source.name, &path.key("name"))?;
            for (index, column) in source.columns.iter().enumerate() {
                let path = Path::attribute("columns").index(index);
                check(column, &path)?;
                if source.columns.iter().take(index).any(|other| other == column) {
                    return Err(ProviderError::invalid(Some(path), format!("`{column}` is listed twice")));
                }
            }
            Ok(Body::Source(source))
        }
        (None, Some(definition)) if columns.is_empty() => {
            Ok(Body::Definition(single_query(SqlDialect::Postgres, &definition, "definition")?))
        }
        (None, Some(_)) => {
            let message = "`columns` requires `source`; a `definition` selects its own columns";
            Err(ProviderError::invalid(Some(Path::attribute("columns")), message))
        }
        (given, _) => {
            let message = if given.is_some() {
                "a view has either a `source` or a `definition`, not both"
            } else {
                "a view needs a `source` or a `definition`"
            };
            Err(ProviderError::invalid(Some(Path::attribute("definition")), message))
        }
    }
}

/// Refuses values that the server cannot store.
///
/// # Errors
/// `InvalidInput` at the attribute.
pub(crate) fn check_planned(attributes: &Attributes) -> Result<(), ProviderError> {
    let configured: Attributes = attributes
        .iter()
        .filter(|(name, _)| *name != "id" && *name != "fullName")
        .map(|(n, v)| (n.clone(), v.clone()))
        .collect();
    check_comment(optional_text(attributes, "comment").as_deref(), &Path::attribute("comment"))?;
    if has_unknown(&configured) { Ok(()) } else { body(attributes).map(drop) }
}

/// Key of "all columns of the source" in the recorded texts.
fn all_columns(source: &source::Source) -> String {
    format!("* of {}", full_name([&source.schema, &source.name]))
}

/// The content on the server, in the configured form if both mean the same.
fn body_like(definition: &str, like: Option<&Body>, memory: &mut Memory) -> Body {
    let found = source_of(definition);
    match (like, &found) {
        (Some(Body::Source(like)), found) if like.columns.is_empty() => {
            let all = all_columns(like);
            let is_same_source = found.as_ref().is_some_and(|it| it.schema == like.schema && it.name == like.name);
            if is_same_source && !memory.has(&all) {
                memory.learn(&all, definition);
            }
            if memory.knows(&all, definition) {
                return Body::Source(like.clone());
            }
        }
        (Some(Body::Definition(like)), _) if is_same(like, definition, memory) => {
            return Body::Definition(like.clone());
        }
        _ => {}
    }
    match found {
        Some(source) => Body::Source(source),
        None => Body::Definition(definition.to_owned()),
    }
}

fn to_attributes(body: &Body) -> Attributes {
    let mut attributes = Map::default();
    match body {
        Body::Source(source) => {
            let entries = [("schema", &source.schema), ("name", &source.name)];
            let entries: Map = entries.into_iter().map(|(key, name)| (key.to_owned(), name.as_str().into())).collect();
            attributes.insert("source".to_owned(), entries.into());
            attributes.insert("columns".to_owned(), list(&source.columns));
            attributes.insert("definition".to_owned(), Value::Null);
        }
        Body::Definition(definition) => {
            attributes.insert("source".to_owned(), Value::Null);
            attributes.insert("columns".to_owned(), Vec::new().into());
            attributes.insert("definition".to_owned(), definition.as_str().into());
        }
    }
    attributes
}

/// Reads views of one kind.
pub(crate) async fn observe(
    client: &Client,
    kind: Kind,
    wanted: &[ReadRequest],
) -> Result<Vec<Option<Observation>>, Failure> {
    let targets: Vec<&Target> = wanted.iter().map(|wanted| &wanted.target).collect();
    let present = read(client, kind, &targets).await?;
    Ok(present.into_iter().zip(wanted).map(|(present, wanted)| Some(observation(present?, kind, wanted))).collect())
}

fn observation(present: Present, kind: Kind, wanted: &ReadRequest) -> Observation {
    let mut memory = wanted.memory.clone();
    let like = wanted.like.as_ref();
    let configured = like.and_then(|like| body(like).ok());
    let body = body_like(&present.definition, configured.as_ref(), &mut memory);
    let mut attributes = to_attributes(&body);
    // The server drops the semicolon and the comments at the end of a query.
    if let (Body::Definition(found), Some(Body::Definition(query)), Some(text)) =
        (&body, &configured, wanted.text("definition"))
        && found == query
    {
        attributes.insert("definition".to_owned(), text.into());
    }
    if kind == Kind::MaterializedView {
        // A later refresh does not count as a change.
        let is_filled = like.is_none_or(|like| flag(like, "withData"));
        attributes.insert("withData".to_owned(), is_filled.into());
    }
    if wanted.is_managed("comment") {
        put_managed(&mut attributes, "comment", present.comment.as_deref());
    }
    Observation { attributes, mark: present.mark, memory }
}

async fn read(client: &Client, kind: Kind, targets: &[&Target]) -> Result<Vec<Option<Present>>, Failure> {
    let schemas: Vec<&str> = targets.iter().map(|target| target.name(1)).collect();
    let names: Vec<&str> = targets.iter().map(|target| target.own_name()).collect();
    let letter = if kind == Kind::View { "v" } else { "m" };
    let sql = "SELECT w.place, c.oid::bigint, pg_get_viewdef(c.oid), obj_description(c.oid, 'pg_class'),
                      obj_description(c.reltype, 'pg_type')
               FROM unnest($1::text[]::name[], $2::text[]::name[]) WITH ORDINALITY AS w(in_schema, named, place)
               JOIN pg_namespace n ON n.nspname = w.in_schema
               JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.named AND c.relkind::text = $3";
    let mut answers: Vec<Option<Present>> = targets.iter().map(|_| None).collect();
    for row in query(client, sql, &[&schemas, &names, &letter]).await? {
        let place: i64 = column(&row, 0)?;
        let definition: String = column(&row, 2)?;
        let present = Present {
            oid: column(&row, 1)?,
            definition: definition.trim().trim_end_matches(';').to_owned(),
            comment: column(&row, 3)?,
            mark: column(&row, 4)?,
        };
        if let Some(answer) = usize::try_from(place - 1).ok().and_then(|place| answers.get_mut(place)) {
            *answer = Some(present);
        }
    }
    Ok(answers)
}

/// `VIEW` or `MATERIALIZED VIEW`.
fn word(kind: Kind) -> &'static str {
    if kind == Kind::View { "VIEW" } else { "MATERIALIZED VIEW" }
}

/// `CREATE … AS` with the query and the attributes of its parts. `CREATE OR REPLACE` drops options that the statement
/// omits.
fn creation(begin: &str, target: &Target, options: &str, planned: &Attributes) -> Result<Script, ProviderError> {
    let mut script = Script::of(format!("{begin} {} {}{options} AS ", word(target.kind), target.sql()));
    match body(planned)? {
        Body::Source(source) => {
            script.push("SELECT ");
            for (index, column) in source.columns.iter().enumerate() {
                script.push(if index > 0 { ", " } else { "" });
                script.push_at(&Path::attribute("columns").index(index), &quote_all([column]));
            }
            script.push(if source.columns.is_empty() { "* FROM " } else { " FROM " });
            script.push_at(&Path::attribute("source").key("name"), &qualified(&source.schema, &source.name));
        }
        Body::Definition(definition) => script.push_at(&Path::attribute("definition"), &definition),
    }
    // A line comment in the query must not swallow the rest of the statement.
    script.push("\n");
    if target.kind == Kind::MaterializedView && !flag(planned, "withData") {
        script.push("WITH NO DATA");
    }
    script.push(";\n");
    Ok(script)
}

/// Creates the planned view.
pub(crate) async fn create(
    work: &Work,
    target: &Target,
    planned: &Attributes,
    mark: &str,
    memory: &mut Memory,
) -> Result<(), Failure> {
    let mut script = creation("CREATE", target, "", planned)?;
    if let Some(comment) = optional_text(planned, "comment") {
        script.push(&format!("COMMENT ON {} {} IS {};\n", word(target.kind), target.sql(), literal(&comment)));
    }
    script.push(&format!("COMMENT ON TYPE {} IS {};\n", target.sql(), literal(mark)));
    work.run(&script).await?;
    learn(work.reader().await?, target, planned, memory).await
}

/// Learns the server's text of a view that was created as planned.
pub(crate) async fn learn(
    client: &Client,
    target: &Target,
    planned: &Attributes,
    memory: &mut Memory,
) -> Result<(), Failure> {
    let Some(present) = read(client, target.kind, &[target]).await?.into_iter().flatten().next() else { return Ok(()) };
    match body(planned)? {
        Body::Definition(definition) => memory.learn(&definition, &present.definition),
        Body::Source(source) if source.columns.is_empty() => memory.learn(&all_columns(&source), &present.definition),
        Body::Source(_) => {}
    }
    Ok(())
}

/// Changes a view to the planned one: in place if it only gets more columns. Otherwise it is recreated with its
/// properties and its dependents.
pub(crate) async fn update(
    work: &Work,
    target: &Target,
    (prior, planned): (&Attributes, &Attributes),
    memory: &mut Memory,
    report: &(dyn Fn(&str) + Send + Sync),
) -> Result<(), Failure> {
    let client = work.reader().await?;
    let Some(present) = read(client, target.kind, &[target]).await?.into_iter().flatten().next() else {
        let message = format!("{} no longer exists", target.shown());
        return Err(ProviderError::new(ErrorKind::NotFound, message)
            .solution("plan again: the plan will create it")
            .into());
    };
    let wanted = body(planned)?;
    if body_like(&present.definition, Some(&wanted), memory) != wanted {
        let saved = dependents::of_view(client, present.oid).await?;
        work.use_configured_search_path().await?;
        let options = saved.first().map(dependents::Saved::with_options).unwrap_or_default();
        if !replaced_in_place(work, target, &options, planned).await? {
            dependents::check_restorable(&saved, "definition")?;
            dependents::drop_all(work, &saved).await?;
            // Creates it once to get the server's text, and to check that it is valid.
            let mut unfilled = planned.clone();
            unfilled.insert("withData".to_owned(), false.into());
            work.run(&creation("CREATE", target, "", &unfilled)?).await?;
            let definition = read(work.reader().await?, target.kind, &[target]).await?.into_iter().flatten().next();
            work.execute(&format!("DROP {} {}", word(target.kind), target.sql())).await?;
            let definition = definition.map(|present| present.definition).unwrap_or_default();
            let mut again = saved.clone();
            if let Some(view) = again.first_mut() {
                view.replace_query(definition);
            }
            dependents::restore(work, &again, report).await?;
        }
    }
    let comment = optional_text(planned, "comment");
    if comment != present.comment && (comment.is_some() || optional_text(prior, "comment").is_some()) {
        let text = literal_or_null(comment.as_deref());
        work.execute(&format!("COMMENT ON {} {} IS {text}", word(target.kind), target.sql())).await?;
    }
    if target.kind == Kind::MaterializedView && flag(prior, "withData") != flag(planned, "withData") {
        let how = if flag(planned, "withData") { "" } else { " WITH NO DATA" };
        work.execute(&format!("REFRESH MATERIALIZED VIEW {}{how}", target.sql())).await?;
    }
    learn(work.reader().await?, target, planned, memory).await
}

/// Tries a change that keeps all properties: it works if the existing columns stay.
async fn replaced_in_place(work: &Work, target: &Target, options: &str, planned: &Attributes) -> Result<bool, Failure> {
    if target.kind == Kind::MaterializedView {
        return Ok(false);
    }
    work.execute("SAVEPOINT before").await?;
    match work.run(&creation("CREATE OR REPLACE", target, options, planned)?).await {
        Ok(()) => Ok(true),
        Err(failure) if failure.code() == Some(&SqlState::INVALID_TABLE_DEFINITION) => {
            work.execute("ROLLBACK TO SAVEPOINT before").await?;
            Ok(false)
        }
        Err(failure) => Err(failure),
    }
}

/// Drops the view; a missing view is not an error.
pub(crate) async fn delete(work: &Work, target: &Target) -> Result<(), Failure> {
    if read(work.reader().await?, target.kind, &[target]).await?.iter().all(Option::is_none) {
        return Ok(());
    }
    work.execute(&format!("DROP {} {}", word(target.kind), target.sql())).await
}
