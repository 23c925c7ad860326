//! Why a request failed, and whether a retry may help.

use crate::answer::Refusal;
use serde_json::Value as Json;
use std::any::Any;
use terrace_engine::apply::ApplyError;
use terrace_engine::apply::lease::LeaseError;
use terrace_engine::plan::Plan;
use terrace_engine::plan::failure::PlanFailure;
use terrace_engine::store::StoreError;

/// Why a request did not finish.
pub(super) enum Failure {
    /// It failed, with these lines for its log.
    Failed(Vec<String>),
    /// The store could not be read or written: a retry may help.
    Store(String),
    /// Another operation works on the same objects.
    Held(String),
    /// The request was cancelled before it was applied.
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
            return Self::Failed(vec![format!("{error} ({})", consent("…"))]);
        }
        match store {
            Some(StoreError::Unavailable { .. }) => Self::Store(error.to_string()),
            _ => Self::Failed(vec![error.to_string()]),
        }
    }
}

/// The losses of data in a plan without consent.
pub(super) fn losses(plan: &Plan) -> Vec<String> {
    let refused: Vec<_> = plan.refused_data_loss().collect();
    let reasons = refused.iter().map(|(stack, change, loss)| {
        let (address, what) = (format!("{}:{}", stack.stack, change.address), loss.in_words());
        let error = ApplyError::DataLoss { address, loss: what };
        match &loss.only_empty {
            Some(why) => format!("{error}; consent is not enough: {why}"),
            None => error.to_string(),
        }
    });
    let names = refused.iter().map(|(stack, change, _)| Json::from(plan.consent_name(stack, change)).to_string());
    let names: Vec<String> = names.collect();
    let hint = (!names.is_empty()).then(|| consent(&names.join(", ")));
    reasons.chain(hint).collect()
}

/// How a caller consents to a loss of data.
fn consent(names: &str) -> String {
    format!(
        "to lose this data, plan with `POST /api/v1/plans` and `\"allow_data_loss\": [{names}]`, review that plan and \
         apply it; or set `allowDataLoss` of the environment"
    )
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Failed(refusal.messages().errors)
    }
}
