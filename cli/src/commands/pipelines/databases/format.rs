//! Formats databases: as a line, in full, and as JSON.

use serde_json::{Value, json};
use std::fmt::Write;
use std::time::Duration;
use terrace_pipelines::database::clock::Moment;
use terrace_pipelines::database::record::{HOST, USER};
use terrace_pipelines::database::texts::{format_span, page_condition};
use terrace_pipelines::database::{DatabaseError, Engine, ProjectDatabases, Record, Status};
use terrace_provider_pipelines::reveal;

/// Default port of `terrace serve`.
const SERVED: u16 = 8091;

/// The lifetime of a database, in words; `left` is absent if it does not expire.
pub(in super::super) fn kept(left: Option<Duration>, is_expired: bool) -> String {
    match left {
        None => "kept until it is removed".to_owned(),
        Some(_) if is_expired => "gone".to_owned(),
        Some(left) => format!("kept for {}", format_span(left)),
    }
}

/// The lifetime of a database of this project, in words.
pub(super) fn kept_of(record: &Record) -> String {
    kept(record.deadline.as_ref().map(|deadline| deadline.left(&Moment::now())), record.is_expired)
}

/// The path or address of a database.
fn place(record: &Record) -> String {
    match (record.engine, record.port) {
        (Engine::Sqlite, _) => record.data.display().to_string(),
        (Engine::Postgres, Some(port)) => format!("{}:{port}", record.host()),
        (Engine::Postgres, None) => "-".to_owned(),
    }
}

/// A database as one line.
pub(super) fn line(databases: &ProjectDatabases, record: &Record) -> String {
    let (engine, status) = (record.engine.title(), databases.status_word(record));
    format!("{}  {engine}  {status}  {}  {}\n", record.name, place(record), kept_of(record))
}

/// A database as JSON, without secrets.
pub(super) fn json(databases: &ProjectDatabases, record: &Record) -> Value {
    let left = record.deadline.as_ref().map(|deadline| deadline.left(&Moment::now()).as_secs());
    let page = page(databases, record, false).ok().flatten();
    json!({
        "name": record.name,
        "engine": record.engine.word(),
        "version": record.version,
        "status": databases.status_word(record),
        "host": (record.engine == Engine::Postgres).then_some(record.host()),
        "port": record.port,
        "database": if record.engine == Engine::Postgres { USER.to_owned() } else { record.data.display().to_string() },
        "username": (record.engine == Engine::Postgres).then_some(USER),
        "made_at": record.made_at,
        "expires_at": record.deadline.as_ref().map(|deadline| deadline.expires_at),
        "seconds_left": left,
        "web_ui": page,
    })
}

/// The address of a database's page. The token gives access to the page.
pub(super) fn page(
    databases: &ProjectDatabases,
    record: &Record,
    with_token: bool,
) -> Result<Option<String>, DatabaseError> {
    let port = if record.cluster.is_some() { Some(SERVED) } else { databases.here.page_port(&record.name) };
    let has_page = record.has_page && exists(databases, record);
    let Some(port) = port.filter(|_| has_page) else { return Ok(None) };
    let address = format!("http://{HOST}:{port}/databases/{}", record.name);
    match with_token {
        true => databases.here.token().map(|token| Some(format!("{address}#{}", reveal(&token)))),
        false => Ok(Some(address)),
    }
}

/// Whether a database has data.
fn exists(databases: &ProjectDatabases, record: &Record) -> bool {
    matches!(databases.status(record), Status::Running | Status::Stopped | Status::Changed)
}

/// A database in full.
pub(super) async fn whole(
    databases: &ProjectDatabases,
    record: &Record,
    is_revealed: bool,
    is_json: bool,
) -> Result<String, DatabaseError> {
    let access = if exists(databases, record) { Some(databases.access(record).await?) } else { None };
    let password = access.as_ref().and_then(|access| access.password.as_ref()).map(reveal);
    let page = page(databases, record, true)?;
    if is_json {
        let mut result = json(databases, record);
        if let Some(result) = result.as_object_mut() {
            result.insert("web_ui".to_owned(), page.into());
            if is_revealed {
                result.insert("password".to_owned(), password.into());
                result.insert("engine_url".to_owned(), access.as_ref().map(|access| reveal(&access.engine_url)).into());
            }
        }
        return Ok(format!("{result:#}\n"));
    }
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:<10}{value}", format!("{name}:"));
    };
    line("Name", &record.name);
    line("Status", databases.status_word(record));
    let kept = kept_of(record);
    line("Kept", kept.strip_prefix("kept ").unwrap_or(&kept));
    line(
        "System",
        &record
            .version
            .as_ref()
            .map_or_else(|| record.engine.title().to_owned(), |version| format!("{} {version}", record.engine.title())),
    );
    match record.engine {
        Engine::Sqlite => line("File", &record.data.display().to_string()),
        Engine::Postgres => {
            line("Server", &place(record));
            if let Some(cluster) = &record.cluster {
                let claim =
                    cluster.claim.as_ref().map_or("none: the data ends with its pod", |claim| claim.size.as_str());
                line("Claim", claim);
                line("Image", &cluster.image);
            }
            line("Database", USER);
            line("Username", USER);
            line("Password", if is_revealed { password.unwrap_or("-") } else { "(`--reveal` shows it)" });
        }
    }
    if let Some(page) = &page {
        line("Web UI", &format!("{page}{}", page_condition(record)));
    }
    Ok(text)
}
