//! Before a call that could destroy data, and before each update of a plan that may be old: the object has to be as the
//! plan saw it. Somebody may have filled or changed it since, and no plan showed that to anybody.

use super::super::Applier;
use super::Prepared;
use crate::deadline;
use crate::diff::changed_attributes;
use crate::plan::{Change, DataLossNote};
use crate::record;
use crate::store::StepAction;
use std::time::Duration;
use terrace_provider::{DataAmount, DataLoss, ErrorKind, ProviderError, Recorded, ResourceType, Session};

/// How often an object is looked at before it is changed, at the most.
pub(crate) fn looks(applier: &Applier, prepared: &Prepared) -> usize {
    let Some((_, ty)) = applier.registry.resource_type(&prepared.change.address.ty) else { return 0 };
    let changes_object = matches!(prepared.action, StepAction::Update | StepAction::Delete);
    if !changes_object || !(ty.holds_data || applier.looks_again) {
        return 0;
    }
    let loss = prepared.change.data_loss.as_ref();
    if loss.is_some_and(|loss| loss.is_allowed) {
        return usize::from(applier.looks_again);
    }
    let reads = usize::from(prepared.action == StepAction::Update && ty.readable);
    reads + usize::from(loss.is_some_and(|loss| loss.amount.is_none()))
}

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
    if !(ty.holds_data || applier.looks_again) {
        return Ok(());
    }
    if let Some(loss) = loss.filter(|loss| loss.is_allowed) {
        // A plan that is applied where it was made is as old as the consent.
        return if applier.looks_again { no_more(session, ty, recorded, timeout, loss).await } else { Ok(()) };
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

/// Refuses what would destroy more than was consented to.
async fn no_more(
    session: &dyn Session,
    ty: &ResourceType,
    recorded: &Recorded,
    timeout: Duration,
    loss: &DataLossNote,
) -> Result<(), ProviderError> {
    let DataAmount::Some(now) = deadline::reading(timeout, session.count_data(ty, recorded)).await? else {
        return Ok(());
    };
    let shown = loss.amount.as_deref().unwrap_or("none");
    let number = |amount: &str| amount.split_whitespace().next().and_then(|number| number.parse::<u64>().ok());
    let has_grown = match (number(&now), number(shown)) {
        (Some(now), Some(shown)) => now > shown,
        _ => now != shown,
    };
    match has_grown {
        true => Err(moved(&format!("the object came to hold {now} (the plan showed {shown})"))),
        false => Ok(()),
    }
}

/// What a change would destroy that the plan did not show and nobody consented to, in words: it was not known then.
pub(super) async fn unseen_loss(
    session: &dyn Session,
    ty: &ResourceType,
    change: &Change,
    recorded: &Recorded,
    loss: &DataLoss,
) -> Option<String> {
    let allowed = change.data_loss.as_ref().filter(|shown| shown.is_allowed).map(|shown| &shown.reasons);
    let unseen: Vec<&str> = loss
        .reasons
        .iter()
        .filter(|reason| allowed.is_none_or(|shown| !shown.contains(reason)))
        .map(String::as_str)
        .collect();
    if unseen.is_empty() {
        return None;
    }
    let amount = match deadline::reading(change.timeouts.read, session.count_data(ty, recorded)).await {
        Ok(DataAmount::Empty) => return None,
        Ok(DataAmount::Some(amount)) => amount,
        Ok(DataAmount::Unknown) | Err(_) => "an unknown amount of data".to_owned(),
    };
    Some(format!(
        "{amount} would be lost, which the plan did not show: {}; plan again: what it waited for is known now",
        unseen.join(", ")
    ))
}

fn moved(what: &str) -> ProviderError {
    ProviderError::new(ErrorKind::Failed, format!("{what} since the plan was made, so nothing was called"))
        .solution("plan again: the new plan shows what is there now")
}
