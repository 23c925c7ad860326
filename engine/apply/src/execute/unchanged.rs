//! Checks before a call that the object is as the plan saw it. The checks run before calls that could destroy data, and before each
//! update of a plan that may be old.

use super::super::Applier;
use super::step::Prepared;
use std::time::Duration;
use terrace_language::action::Reason;
use terrace_plan::data_loss::UNKNOWN_AMOUNT;
use terrace_plan::deadline;
use terrace_plan::external_grants::known::{Known, object};
use terrace_plan::resource::sent_write_only;
use terrace_plan::{Change, DataLossNote, contract};
use terrace_provider::{
    Attributes, DataAmount, DataLoss, ErrorKind, Observed, Path, ProposedChange, ProviderError, Recorded, ResourceType,
    Session,
};
use terrace_store::StepAction;
use terrace_store::diff::{changed_attributes, changed_from_recorded};
use terrace_store::record;

/// The checks before a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Precheck {
    /// None: the plan is as new as the call, or no data can be lost.
    None,
    /// The amount of data must not exceed the amount that the user consented to.
    Consented,
    /// The object must be as the plan saw it.
    Unchanged {
        /// Read its attributes.
        reads: bool,
        /// Require that it holds no data.
        counts: bool,
    },
}

impl Precheck {
    /// The required checks. A plan that is applied where it was made is as new as the user's consent, so the amount is not counted
    /// again.
    pub(crate) fn before(applier: &Applier, prepared: &Prepared) -> Self {
        let change = &prepared.change;
        let Some((_, ty)) = applier.registry.resource_type(&change.address.ty) else { return Self::None };
        let changes_object = matches!(prepared.action, StepAction::Update | StepAction::Delete);
        let holds_data = || change.basis.prior.as_ref().is_none_or(|prior| ty.is_holding_data(&prior.attributes));
        if !changes_object || !(ty.holds_data && holds_data() || applier.attempt.rereads_objects) {
            return Self::None;
        }
        match &change.data_loss {
            Some(loss) if loss.is_allowed && applier.attempt.rereads_objects && !loss.is_uncounted() => Self::Consented,
            Some(loss) if loss.is_allowed => Self::None,
            loss => Self::Unchanged {
                reads: prepared.action == StepAction::Update && ty.readable && change.basis.prior.is_some(),
                counts: loss.as_ref().is_some_and(|loss| loss.amount.is_none()),
            },
        }
    }

    /// The number of provider calls of the checks.
    pub(crate) fn calls(self) -> usize {
        match self {
            Self::None => 0,
            Self::Consented => 1,
            Self::Unchanged { reads, counts } => usize::from(reads) + usize::from(counts),
        }
    }
}

/// Reads an object again. Returns the object if an earlier step of the same run changed it. For example, PostgreSQL renames a
/// column in foreign keys of other tables.
///
/// # Errors
/// If the object differs from the plan, or cannot be read.
pub(super) async fn check(
    applier: &Applier,
    session: &dyn Session,
    ty: &ResourceType,
    prepared: &Prepared,
    recorded: &Recorded,
) -> Result<Option<Recorded>, ProviderError> {
    let change = &prepared.change;
    let timeout = change.how.timeouts.read;
    check_still_unmanaged(applier, prepared).await?;
    match (Precheck::before(applier, prepared), &change.data_loss) {
        (Precheck::Consented, Some(loss)) => check_amount(session, ty, recorded, timeout, loss).await?,
        (Precheck::Unchanged { reads, counts }, _) => {
            let carried_over = match change.basis.prior.as_ref().filter(|_| reads) {
                Some(prior) => check_same(session, ty, prepared, recorded, &prior.attributes).await?,
                None => None,
            };
            if counts {
                check_still_empty(session, ty, recorded, timeout).await?;
            }
            return Ok(carried_over);
        }
        (Precheck::None | Precheck::Consented, _) => {}
    }
    Ok(None)
}

/// Refuses to revoke a grant that has a row now.
async fn check_still_unmanaged(applier: &Applier, prepared: &Prepared) -> Result<(), ProviderError> {
    let change = &prepared.change;
    let Some(prior) = change.basis.prior.as_ref().filter(|_| change.why.reason == Some(Reason::Foreign)) else {
        return Ok(());
    };
    let (known, object) = (Known::default(), object(&change.address.ty, &prior.identity));
    let (opening, environment) = ((&*applier.registry, &*applier.seal), &prepared.stack.environment);
    match known.manager_of(applier.store.as_ref(), opening, environment, &object).await {
        Ok(None) => Ok(()),
        Ok(Some(by)) => Err(changed_since_plan(&format!("{by} has managed that access"))),
        Err(failure) => Err(ProviderError::new(ErrorKind::Failed, failure.to_string())),
    }
}

/// Refuses an object that changed since the plan. An exception are changes by an earlier step, if the plan sets the same
/// attributes.
async fn check_same(
    session: &dyn Session,
    ty: &ResourceType,
    prepared: &Prepared,
    recorded: &Recorded,
    before: &Attributes,
) -> Result<Option<Recorded>, ProviderError> {
    let timeout = prepared.change.how.timeouts.read;
    let Some(observed) = deadline::call_reading(timeout, session.read(ty, recorded)).await? else {
        return Err(changed_since_plan("the object is gone"));
    };
    let attributes = record::refreshed(ty, before, &observed);
    let changed = changed_attributes(before, &attributes);
    if changed.is_empty() {
        return Ok(None);
    }
    let now = Recorded {
        address: recorded.address.clone(),
        identity: observed.identity,
        attributes,
        private: observed.private,
    };
    if prepared.follows_change && leads_to_plan(session, ty, prepared, before, &changed, &now).await? {
        return Ok(Some(now));
    }
    let changed: Vec<String> = changed.iter().map(ToString::to_string).collect();
    Err(changed_since_plan(&format!("`{}` of the object changed", changed.join("`, `"))))
}

/// True if the plan sets all changed attributes and an update of the present object leads to the plan. The update must not need a
/// replacement or destroy data that the plan did not show.
async fn leads_to_plan(
    session: &dyn Session,
    ty: &ResourceType,
    prepared: &Prepared,
    before: &Attributes,
    changed: &[Path],
    now: &Recorded,
) -> Result<bool, ProviderError> {
    let (change, planned) = (&prepared.change, &prepared.planned.attributes);
    let set_by_plan = changed_from_recorded(ty, before, planned);
    if !changed.iter().all(|path| set_by_plan.contains(path)) {
        return Ok(false);
    }
    let is_configured = |name: &str| ty.attributes.get(name).is_some_and(|attribute| attribute.configurable);
    let known = planned.iter().filter(|(name, value)| is_configured(name) && !value.is_unknown());
    let config = known.map(|(name, value)| (name.clone(), value.clone())).collect();
    let proposed = ProposedChange {
        address: &now.address,
        prior: Some(now),
        config: &config,
        must_replace: false,
        changed_write_only: &sent_write_only(change),
    };
    let again = deadline::call_reading(change.how.timeouts.read, session.plan(ty, &proposed)).await?;
    let observed = Observed { attributes: again.planned, ..Observed::default() };
    let agrees = contract::result_agrees_with_plan(ty, planned, &observed).is_empty();
    let unplanned = match &again.data_loss {
        Some(loss) => unplanned_loss(session, ty, change, now, loss).await,
        None => None,
    };
    Ok(agrees && again.replace_paths.is_empty() && unplanned.is_none())
}

/// Refuses an object that holds data now.
async fn check_still_empty(
    session: &dyn Session,
    ty: &ResourceType,
    recorded: &Recorded,
    timeout: Duration,
) -> Result<(), ProviderError> {
    match deadline::call_reading(timeout, session.count_data(ty, recorded)).await? {
        DataAmount::Empty => Ok(()),
        DataAmount::Some { text, .. } => Err(changed_since_plan(&format!("the object grew to {text}"))),
        DataAmount::Unknown => Err(changed_since_plan("the amount of data in the object became unknown")),
    }
}

/// Refuses to destroy more data than the user consented to.
async fn check_amount(
    session: &dyn Session,
    ty: &ResourceType,
    recorded: &Recorded,
    timeout: Duration,
    loss: &DataLossNote,
) -> Result<(), ProviderError> {
    let shown = loss.amount.as_deref().unwrap_or("none");
    match deadline::call_reading(timeout, session.count_data(ty, recorded)).await? {
        DataAmount::Empty => Ok(()),
        DataAmount::Some { count, text } if loss.covers(count, &text) => Ok(()),
        DataAmount::Some { text, .. } => {
            Err(changed_since_plan(&format!("the object grew to {text} (the plan showed {shown})")))
        }
        DataAmount::Unknown => Err(changed_since_plan(&format!(
            "the amount of data in the object became unknown (the plan showed {shown})"
        ))),
    }
}

/// The data, in words, that a change would destroy without the plan having shown it, because a value was unknown then.
pub(super) async fn unplanned_loss(
    session: &dyn Session,
    ty: &ResourceType,
    change: &Change,
    recorded: &Recorded,
    loss: &DataLoss,
) -> Option<String> {
    let allowed = change.data_loss.as_ref().filter(|shown| shown.is_allowed).map(|shown| &shown.reasons);
    let unplanned: Vec<&str> = loss
        .reasons
        .iter()
        .filter(|reason| allowed.is_none_or(|shown| !shown.contains(reason)))
        .map(String::as_str)
        .collect();
    if unplanned.is_empty() {
        return None;
    }
    let amount = match deadline::call_reading(change.how.timeouts.read, session.count_data(ty, recorded)).await {
        Ok(DataAmount::Empty) => return None,
        Ok(DataAmount::Some { text, .. }) => text,
        Ok(DataAmount::Unknown) | Err(_) => UNKNOWN_AMOUNT.to_owned(),
    };
    Some(format!(
        "{amount} would be lost, which the plan did not show: {}; plan again with the values that are known now",
        unplanned.join(", ")
    ))
}

fn changed_since_plan(subject: &str) -> ProviderError {
    ProviderError::new(ErrorKind::Failed, format!("{subject} since the plan was made, so the provider was not called"))
        .solution("plan again: the new plan shows the present objects")
}
