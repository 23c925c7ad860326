//! The guard process of a database: keeps the database until its time is over, and serves its page.

use super::pages::DatabasePages;
use crate::failure::{Exit, Failure};
use crate::signals::Signals;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use terrace_pipelines::database::Databases;
use terrace_pipelines::database::guard::Guard;
use terrace_pipelines::database::record::HOST;
use terrace_server::tables::Pages;
use tokio_util::sync::CancellationToken;

/// Guards a database. Returns at once if another process guards it.
///
/// # Errors
/// Never: no caller could report it.
pub(super) async fn run(folder: PathBuf, name: &str, signals: &Signals) -> Result<Exit, Failure> {
    let databases = Databases::new(folder, None, None);
    let Some(guard) = databases.become_guard(name).await else { return Ok(Exit::Done) };
    signals.begin_changes();
    loop {
        let done = CancellationToken::new();
        let has_page = guard.has_page();
        if has_page {
            show(&databases, &guard, name, done.clone());
        }
        let continues = guard.watch(has_page, &signals.cancel).await;
        done.cancel();
        if !continues {
            return Ok(Exit::Done);
        }
    }
}

/// Serves the page at its previous port if that is free. Without a free port the database has no page.
fn show(databases: &Databases, guard: &Guard, name: &str, done: CancellationToken) {
    let previous = databases.page_port(name).and_then(|port| TcpListener::bind((HOST, port)).ok());
    let Some(listener) = previous.or_else(|| TcpListener::bind((HOST, 0)).ok()) else { return };
    let Ok(address) = listener.local_addr() else { return };
    let tables = Arc::new(DatabasePages::new(databases.clone().into()));
    let pages = Pages { tables, are_for_other_machines: false };
    tokio::spawn(pages.serve(listener, done));
    guard.record_page(address.port());
}
