//! `terrace leases`: lists the leases of running operations.

use crate::args::LeasesCommand;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::report::harmless_line;
use crate::wiring::store;
use serde_json::json;
use terrace_engine::store::LeaseInfo;
use terrace_state::Access;

/// Lists leases.
///
/// # Errors
/// When the state cannot be read.
pub(super) async fn run(context: &Context<'_>, command: LeasesCommand) -> Result<Exit, Failure> {
    let LeasesCommand::List(format) = command;
    let settings = context.settings(None)?;
    let leases = store(&settings, Access::ReadOnly).await?.leases().await?;
    if format.is_json() {
        let json = leases.iter().map(|lease| {
            json!({
                "lease": lease.id, "stack": lease.stack, "component": lease.component, "holder": lease.holder,
                "operation": lease.operation, "since": lease.since, "expires": lease.expires,
            })
        });
        context.ui.print_json(&json.collect())?;
    } else {
        context.ui.print_list(&leases.iter().map(line).collect::<String>(), "no leases are held")?;
    }
    Ok(Exit::Done)
}

/// A lease as one line.
pub(super) fn line(lease: &LeaseInfo) -> String {
    let place = match lease.component.is_stack() {
        true => lease.stack.to_string(),
        false => format!("{}:{}", lease.stack, lease.component),
    };
    let line = format!(
        "{}  {place}  held by {} since {} until {} for operation {}",
        lease.id, lease.holder, lease.since, lease.expires, lease.operation
    );
    harmless_line(&line) + "\n"
}
