//! The failures that prevent an apply or end it early.

use super::lease::LeaseError;
use terrace_language::address::{ComponentKey, StackId, owner_in_words};
use terrace_plan::OutputRead;
use terrace_plan::rekey::RekeyError;
use terrace_store::{StaleRead, StoreError, describe_stale_rows};

/// A failure that prevents an apply or ends it early.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The plan belongs to another state.
    #[error("this plan was made for another state\n  planned for  {plan}\n  this one is  {state}")]
    StateMismatch {
        /// The URL and the id of the plan's state.
        plan: String,
        /// The URL and the id of the present state.
        state: String,
    },
    /// A moved row cannot be sealed at its new address.
    #[error("a row cannot be moved: {0}")]
    Moved(RekeyError),
    /// Another version of a provider made the plan.
    #[error("this plan was made with the provider `{plan}`; the instance `{instance}` has `{here}` here")]
    ProviderMismatch {
        /// The instance.
        instance: String,
        /// The provider and version that planned.
        plan: String,
        /// The provider and version that would apply.
        here: String,
    },
    /// The settings of an instance changed: it may be another server now.
    #[error("this plan was made with other settings of the provider instance `{0}`")]
    SettingsMismatch(String),
    /// An instance that the plan needs is not configured.
    #[error("the provider instance `{0}` that this plan needs is not configured")]
    NoInstance(String),
    /// Planning found errors.
    #[error("this plan has errors and cannot be applied")]
    PlanErrored,
    /// The plan would destroy data without the user's consent.
    #[error("{address} would lose data: {loss}")]
    DataLoss {
        /// The resource.
        address: String,
        /// The data that would be destroyed.
        loss: String,
    },
    /// An interrupted step of the resource is still open.
    #[error("{address} has an interrupted step: recover it first")]
    NotRecovered {
        /// The resource.
        address: String,
    },
    /// Another component owns a shared object that the plan changes or removes.
    #[error("{address} would be {effect}, and {} owns it since the plan was made", owner_in_words(stack, component))]
    NewOwner {
        /// `changed` or `removed`.
        effect: &'static str,
        /// The shared resource.
        address: String,
        /// The stack of the new owner.
        stack: StackId,
        /// The component of the new owner.
        component: ComponentKey,
    },
    /// Recorded outputs that the plan read changed.
    #[error("{} changed since the plan was made", in_words(.outputs, .rows))]
    ChangedOutputs {
        /// The outputs.
        outputs: Vec<OutputRead>,
        /// Rows of the read set that changed too.
        rows: Vec<StaleRead>,
    },
    /// The access list of a component in the plan changed.
    #[error("the access list of `{component}` of {stack} changed since the plan was made")]
    ChangedAccess {
        /// The stack.
        stack: StackId,
        /// The component.
        component: ComponentKey,
    },
    /// The plan's steps cannot be ordered.
    #[error("the steps of this plan form a cycle")]
    Cycle,
    /// The leases could not be acquired.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The store refused or failed. Earlier records stay.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The changes since a plan was made, in words: rows and outputs.
pub(super) fn in_words(outputs: &[OutputRead], rows: &[StaleRead]) -> String {
    let rows = (!rows.is_empty()).then(|| describe_stale_rows(rows));
    rows.into_iter().chain(outputs.iter().map(ToString::to_string)).collect::<Vec<_>>().join(", ")
}
