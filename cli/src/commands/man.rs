//! `terrace man`: the pages for `man`.

use crate::args::{CommandLine, ManArguments};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use clap::CommandFactory;

/// Writes a manual page for each command into a folder. Creates the folder if necessary.
///
/// # Errors
/// When the folder or a page cannot be written.
pub(super) fn run(context: &Context<'_>, arguments: &ManArguments) -> Result<Exit, Failure> {
    let folder = &arguments.folder;
    let failed =
        |error: std::io::Error| Failure::new(format!("the pages cannot be written to `{}`: {error}", folder.display()));
    std::fs::create_dir_all(folder).map_err(failed)?;
    clap_mangen::generate_to(CommandLine::command(), folder).map_err(failed)?;
    context
        .ui
        .print_note(&format!("wrote the pages to {}: pass the folder above `man1` to `man -M`", folder.display()));
    Ok(Exit::Done)
}
