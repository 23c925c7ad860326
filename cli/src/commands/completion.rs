//! `terrace completion`.

use crate::args::{CommandLine, CompletionArguments};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use clap::CommandFactory;

/// Writes a completion script.
///
/// # Errors
/// When standard output cannot be written.
pub(super) fn run(context: &Context<'_>, arguments: &CompletionArguments) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut CommandLine::command(), "terrace", &mut script);
    context.ui.print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
