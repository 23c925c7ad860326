//! `terrace state upgrade`: the state gets the format of this build, before a server or an apply would see to it.

use crate::commands::Context;
use crate::failure::{Exit, Failure};
use crate::wiring::{is_missing, recorded};
use terrace_state::{format_of, newest_format};

/// Brings what is recorded to the newest format. A database on a server gets its tables where it has none: whoever starts
/// servers on it wants them there.
///
/// # Errors
/// When the state cannot be written, or has a newer format: nothing is changed then.
pub(super) async fn run(context: &Context<'_>) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let state = &settings.state;
    if is_missing(state) {
        context.ui.print(&format!("nothing is recorded in {state}: there is nothing to upgrade\n"))?;
        return Ok(Exit::Done);
    }
    let (before, newest) = (format_of(state).await?, newest_format(state));
    if before == newest {
        context.ui.print(&format!("{state} has format {newest}: there is nothing to upgrade\n"))?;
        return Ok(Exit::Done);
    }
    recorded(&settings).await?;
    let said = if before == 0 { "was empty".to_owned() } else { format!("had format {before}") };
    context.ui.print(&format!("{state} {said}: it has format {newest} now\n"))?;
    Ok(Exit::Done)
}
