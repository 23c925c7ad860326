//! `terrace version`.

use crate::args::VersionArguments;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::version::{COMMIT, VERSION};

/// Shows the version.
///
/// # Errors
/// When standard output cannot be written.
pub(super) fn run(context: &Context<'_>, arguments: &VersionArguments) -> Result<Exit, Failure> {
    if arguments.format.is_json() {
        let commit = Some(COMMIT).filter(|commit| !commit.is_empty());
        context.ui.print_json(&serde_json::json!({ "version": VERSION, "commit": commit }))?;
    } else {
        context.ui.print(&format!("terrace {VERSION}\n"))?;
    }
    Ok(Exit::Done)
}
