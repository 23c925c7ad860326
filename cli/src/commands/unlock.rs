//! `terrace unlock`: revokes a lease. Its holder can no longer write.

use super::leases;
use crate::args::UnlockArguments;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::wiring::store_for_changes;

/// Revokes a lease.
///
/// # Errors
/// When the lease does not exist, or the user does not consent.
pub(super) async fn run(context: &Context<'_>, arguments: &UnlockArguments) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let store = store_for_changes(&settings).await?;
    let held = store.leases().await?;
    let Some(lease) = held.iter().find(|lease| lease.id == arguments.lease) else {
        return Err(Failure::new(format!("there is no lease `{}`", arguments.lease))
            .hint("`terrace leases list` lists the leases"));
    };
    if !arguments.auto_approve {
        context.ui.print_message(leases::line(lease).trim_end());
        let question = "Do you really want to revoke this lease?\n  Its holder can no longer record anything; \
                        `terrace recover` resolves its steps.";
        context.ui.confirm(question, "make sure that its holder is gone, then pass `--auto-approve`")?;
    }
    if !store.break_lease(&arguments.lease).await? {
        return Err(Failure::new(format!("the lease `{}` was released meanwhile", arguments.lease)));
    }
    context.ui.print_note("the lease is free; run `terrace recover` to resolve the steps of its holder");
    Ok(Exit::Done)
}
