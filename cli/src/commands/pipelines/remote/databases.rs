//! `terrace pipelines databases --server`: databases of a server.

use super::super::databases::format::kept;
use super::client::Server;
use crate::args::DatabasesCommand;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::report::{harmless, harmless_line};
use serde_json::json;
use std::time::Duration;
use terrace_pipelines::database::Engine;
use terrace_provider::http::Request;
use terrace_server::pipelines::Database;

/// The most databases of a list.
const LIMIT: usize = 10_000;

/// Lists, shows, extends or stops databases of a server.
///
/// # Errors
/// When the database does not exist, the server refuses the call, or it is not reached.
pub(in crate::commands::pipelines) async fn databases(
    context: &Context<'_>,
    command: &DatabasesCommand,
    server: &Server,
) -> Result<Exit, Failure> {
    const ONE: &str = "/api/v1/pipelines/databases/{name}";
    let ui = context.ui;
    match command {
        DatabasesCommand::List(list) => {
            let databases: Vec<Database> =
                server.pages(&Request::get("/api/v1/pipelines/databases", &[]), LIMIT).await?;
            if list.format.is_json() {
                ui.print_json(&json!(databases))?;
            } else {
                let lines: String = databases.iter().map(line).collect();
                ui.print_list(&lines, "the server has no databases")?;
            }
        }
        DatabasesCommand::Show { reveal: true, .. } => {
            return Err(Failure::refused("a server shows no passwords")
                .hint("run the command in the project of the server, without TERRACE_SERVER"));
        }
        DatabasesCommand::Show { name, format, .. } => {
            let database: Database = server.call(&Request::get(ONE, &[name])).await?;
            if format.is_json() {
                ui.print_json(&json!(database))?;
            } else {
                ui.print(&harmless(&whole(&database)))?;
            }
        }
        DatabasesCommand::Extend { name, by, .. } => {
            let body = json!({"by": format!("{}s", by.as_secs())});
            let request = Request::post("/api/v1/pipelines/databases/{name}/extend", &[name]).json(body);
            let database: Database = server.call(&request).await?;
            ui.print(&harmless(&format!("{name}: {}\n", lifetime(&database))))?;
        }
        DatabasesCommand::Stop { name, .. } => {
            let request = Request::post("/api/v1/pipelines/databases/{name}/stop", &[name]).idempotent();
            let database: Database = server.call(&request).await?;
            ui.print(&harmless(&format!("{name}: {}, {}\n", database.status, lifetime(&database))))?;
        }
        DatabasesCommand::Start { .. }
        | DatabasesCommand::Remove { .. }
        | DatabasesCommand::Dump { .. }
        | DatabasesCommand::Keep { .. } => {}
    }
    Ok(Exit::Done)
}

fn lifetime(database: &Database) -> String {
    kept(database.seconds_left.map(Duration::from_secs), database.status == "expired")
}

/// The name of a database system for people.
fn system(database: &Database) -> &str {
    Engine::from_word(&database.engine).map_or(&database.engine, |engine| engine.title())
}

fn line(database: &Database) -> String {
    let line = format!("{}  {}  {}  {}", database.name, system(database), database.status, lifetime(database));
    harmless_line(&line) + "\n"
}

fn whole(database: &Database) -> String {
    let lifetime = lifetime(database);
    let version = database.version.iter().map(|version| format!(" {version}")).collect::<String>();
    format!(
        "Name:     {}\nStatus:   {}\nKept:     {}\nSystem:   {}{version}\n",
        database.name,
        database.status,
        lifetime.strip_prefix("kept ").unwrap_or(&lifetime),
        system(database),
    )
}
