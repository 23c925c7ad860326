//! `terrace unlock`: takes a lease away from its holder, who then cannot write any more.

use super::{Context, leases};
use crate::args::UnlockArguments;
use crate::failure::{Exit, Failure};
use crate::wiring::recorded;

/// Breaks a lease.
///
/// # Errors
/// When there is none of that id, or nobody consents.
pub(super) async fn run(context: &Context<'_>, arguments: &UnlockArguments) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let store = recorded(&settings).await?;
    let held = store.leases().await?;
    let Some(lease) = held.iter().find(|lease| lease.id == arguments.lease) else {
        return Err(Failure::new(format!("there is no lease `{}`", arguments.lease))
            .hint("`terrace leases list` names those that are held"));
    };
    if !arguments.auto_approve {
        context.ui.tell(leases::line(lease).trim_end());
        let question = "Do you really want to take this lease away?\n  Its holder cannot record anything any more; \
                        what it was doing is found out by `terrace recover`.";
        context.ui.confirm(question, "make sure that its holder is gone, then pass `--auto-approve`")?;
    }
    if !store.break_lease(&arguments.lease).await? {
        return Err(Failure::new(format!("the lease `{}` was given back meanwhile", arguments.lease)));
    }
    context.ui.say("the lease is free; `terrace recover` looks into what its holder left");
    Ok(Exit::Done)
}
