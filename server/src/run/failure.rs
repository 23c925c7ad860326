//! Why a request did not come to its end, and whether that says anything of what was asked.

use crate::answer::Refusal;
use std::any::Any;
use terrace_engine::apply::ApplyError;
use terrace_engine::apply::lease::LeaseError;
use terrace_engine::plan::Plan;
use terrace_engine::plan::compute::PlanFailure;
use terrace_engine::store::StoreError;

/// Why a request did not come to its end.
pub(super) enum Failure {
    /// It failed, in the lines of its log.
    Told(Vec<String>),
    /// The store could not be asked or written: who takes it up once more may be luckier.
    Store(String),
    /// Somebody else is at work on what it is about.
    Held(String),
    /// Somebody asked to stop before it was applied.
    Stopped,
}

impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let any: &dyn Any = &error;
        let of_leases = |error: &LeaseError| match error {
            LeaseError::Store(error) => Some(error.clone()),
            LeaseError::Interrupted | LeaseError::Held(_) => None,
        };
        let applying = any.downcast_ref::<ApplyError>();
        let leases = any.downcast_ref::<LeaseError>().or(match applying {
            Some(ApplyError::Lease(error)) => Some(error),
            _ => None,
        });
        match leases {
            Some(LeaseError::Interrupted) => return Self::Stopped,
            Some(LeaseError::Held(_)) => return Self::Held(error.to_string()),
            Some(LeaseError::Store(_)) | None => {}
        }
        let store =
            any.downcast_ref::<StoreError>().cloned().or_else(|| leases.and_then(of_leases)).or_else(|| {
                match (applying, any.downcast_ref::<PlanFailure>()) {
                    (Some(ApplyError::Store(error)), _) | (_, Some(PlanFailure::Store(error))) => Some(error.clone()),
                    _ => None,
                }
            });
        if let Some(error @ ApplyError::DataLoss { .. }) = applying {
            return Self::Told(vec![consented(error)]);
        }
        match store {
            Some(StoreError::Unavailable { .. }) => Self::Store(error.to_string()),
            _ => Self::Told(vec![error.to_string()]),
        }
    }
}

/// What a plan would lose that nobody consented to.
pub(super) fn losses(plan: &Plan) -> Vec<String> {
    let lost = plan.refused_data_loss().map(|(stack, change, loss)| ApplyError::DataLoss {
        address: format!("{}:{}", stack.stack, change.address),
        what: loss.in_words(),
    });
    lost.map(|error| consented(&error)).collect()
}

/// A loss of data, and how one consents to it.
fn consented(error: &ApplyError) -> String {
    format!(
        "{error} (where that is meant, plan it by `POST /api/v1/plans` with `allow_data_loss`, look at the plan and apply \
         that; or set `allowDataLoss` of the environment)"
    )
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Told(refusal.helped())
    }
}
