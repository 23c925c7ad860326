//! `terrace serve`: the engine behind HTTP.

use super::Context;
use crate::args::ServeArguments;
use crate::failure::{Exit, Failure};
use crate::report::report;
use crate::settings::{Asked, Settings};
use crate::signals::Signals;
use crate::wiring::{World, library, server_store};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use terrace_engine::diagnostic::has_errors;
use terrace_engine::source::Sources;
use terrace_server::worlds::Worlds;
use terrace_server::{Server, ServerSettings};
use terrace_state::MemoryStore;
use tokio::net::TcpListener;

/// Serves until it is told to stop.
///
/// # Errors
/// When an environment cannot be put together, the state cannot be opened, or connections cannot be taken.
pub(super) async fn run(context: &Context<'_>, arguments: &ServeArguments, signals: &Signals) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    check_address(arguments.bind)?;
    let worlds = worlds(context, &settings)?;
    let store = server_store(&settings).await?;
    let listener = TcpListener::bind(arguments.bind).await.map_err(|error| {
        Failure::new(format!("connections to {} cannot be taken: {error}", arguments.bind))
            .hint("choose another address with `--bind`")
    })?;
    let address = listener.local_addr().map_or(arguments.bind, |address| address);
    let server = Server {
        worlds,
        store,
        nothing: Arc::new(MemoryStore::new()),
        settings: ServerSettings {
            prefixes: Vec::new(),
            workers: usize::from(arguments.workers),
            most_waiting: arguments.queue as usize,
            parallelism: usize::from(arguments.parallelism),
            patience: settings.patience,
            drain: arguments.drain,
            body_limit: BODY_LIMIT,
            actor: settings.actor.clone(),
        },
    };
    signals.begin_changes();
    context.ui.tell(&format!("serving on http://{address}, state {}", settings.state));
    server.serve(listener, signals.cancel.clone()).await.map_err(|error| Failure::new(error.to_string()))?;
    Ok(Exit::Done)
}

/// The longest body, in bytes: ten times the longest descriptor that was ever seen.
const BODY_LIMIT: usize = 10 << 20;

/// Who can reach the server can change everything: others than this machine only when calls are authenticated.
fn check_address(address: SocketAddr) -> Result<(), Failure> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    Err(Failure::new(format!("`--bind {address}` lets others than this machine call, and calls are not authenticated"))
        .hint("bind to 127.0.0.1, and let a proxy that authenticates callers listen elsewhere"))
}

/// What the engine works with in each environment that is configured.
fn worlds(context: &Context<'_>, settings: &Settings) -> Result<Worlds, Failure> {
    let mut all = BTreeMap::new();
    for name in settings.configuration.environment_names() {
        let environment = settings.environment(Some(Asked::word(name)), context.ui)?;
        let world = World::new(settings, environment, false, context.ui)?;
        let mut sources = Sources::default();
        let (library, diagnostics) =
            library(&world.registry, world.configuration(), &settings.project_folder, &mut sources)?;
        report(context.ui, &sources, &diagnostics);
        if has_errors(&diagnostics) {
            return Err(Failure::told(Exit::Error));
        }
        let world = terrace_server::worlds::World {
            registry: world.registry,
            functions: world.functions,
            seal: world.seal,
            environment: world.environment,
            templates: world.templates,
            library,
            sources,
            is_data_loss_allowed: world.is_data_loss_allowed,
        };
        all.insert(name.to_owned(), world);
    }
    Ok(Worlds::new(all))
}
