//! `terrace stacks`.

use crate::args::StacksCommand;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::stacks;
use crate::wiring::store;
use terrace_state::Access;

/// Lists the stacks of the state.
///
/// # Errors
/// When the state cannot be read.
pub(super) async fn run(context: &Context<'_>, command: StacksCommand) -> Result<Exit, Failure> {
    let StacksCommand::List(format) = command;
    let settings = context.settings(None)?;
    let store = store(&settings, Access::ReadOnly).await?;
    let stacks = stacks::own(&settings, store.as_ref()).await?;
    if format.is_json() {
        let json = stacks.iter().map(|stack| {
            serde_json::json!({ "stack": stack.to_string(), "name": stack.name, "environment": stack.environment })
        });
        context.ui.print_json(&json.collect())?;
    } else {
        let lines = stacks.iter().map(|stack| format!("{stack}\n")).collect::<String>();
        context.ui.print_list(&lines, "there are no stacks in this state")?;
    }
    Ok(Exit::Done)
}
