//! Before a call that could destroy data, and before each update of a plan that may be old: the object has to be as the
//! plan saw it. Somebody may have filled or changed it since, and no plan showed that to anybody.

use super::super::Applier;
use super::Prepared;
use crate::deadline;
use crate::diff::changed_attributes;
use crate::record;
use crate::store::StepAction;
use terrace_provider::{DataAmount, ErrorKind, ProviderError, Recorded, ResourceType, Session};

/// Looks at an object once more. What was consented to is not asked again.
///
/// # Errors
/// When it is not as the plan says, or cannot be looked at.
pub(super) async fn check(
    applier: &Applier,
    session: &dyn Session,
    ty: &ResourceType,
    prepared: &Prepared,
    recorded: &Recorded,
) -> Result<(), ProviderError> {
    let change = &prepared.change;
    let timeout = change.timeouts.read;
    let loss = change.data_loss.as_ref();
    if !(ty.holds_data || applier.looks_again) || loss.is_some_and(|loss| loss.is_allowed) {
        return Ok(());
    }
    if prepared.action == StepAction::Update
        && ty.readable
        && let Some(prior) = &change.prior
    {
        let Some(observed) = deadline::reading(timeout, session.read(ty, recorded)).await? else {
            return Err(moved("the object is gone"));
        };
        let now = record::refreshed(ty, &prior.attributes, &observed);
        let changed: Vec<String> =
            changed_attributes(&prior.attributes, &now).iter().map(ToString::to_string).collect();
        if !changed.is_empty() {
            return Err(moved(&format!("`{}` of the object changed", changed.join("`, `"))));
        }
    }
    if loss.is_some_and(|loss| loss.amount.is_none()) {
        match deadline::reading(timeout, session.count_data(ty, recorded)).await? {
            DataAmount::Empty => {}
            DataAmount::Some(amount) => return Err(moved(&format!("the object came to hold {amount}"))),
            DataAmount::Unknown => return Err(moved("it cannot be told any more whether the object holds data")),
        }
    }
    Ok(())
}

fn moved(what: &str) -> ProviderError {
    ProviderError::new(ErrorKind::Failed, format!("{what} since the plan was made, so nothing was called"))
        .solution("plan again: the new plan shows what is there now")
}
