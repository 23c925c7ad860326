//! `terrace state upgrade`: upgrades the state to the format of this build, before a server or an apply does.

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::wiring::{is_missing, store_for_changes};
use terrace_state::{format_of, newest_format};

/// Upgrades the state to the newest format. Creates the tables of an empty database on a server: servers to be started
/// there need them.
///
/// # Errors
/// When the state cannot be written, or has a newer format. Nothing is changed then.
pub(super) async fn run(context: &Context<'_>) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let state = &settings.state;
    if is_missing(state) {
        context.ui.print(&format!("{state} does not exist: there is nothing to upgrade\n"))?;
        return Ok(Exit::Done);
    }
    let (before, newest) = (format_of(state).await?, newest_format(state));
    if before == newest {
        context.ui.print(&format!("{state} has format {newest}: there is nothing to upgrade\n"))?;
        return Ok(Exit::Done);
    }
    store_for_changes(&settings).await?;
    let before_text = if before == 0 { "was empty".to_owned() } else { format!("had format {before}") };
    context.ui.print(&format!("{state} {before_text}: it has format {newest} now\n"))?;
    Ok(Exit::Done)
}
