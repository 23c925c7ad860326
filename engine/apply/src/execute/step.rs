//! A prepared step, and its outcome.

use crate::{Applier, Failed};
use std::time::Duration;
use terrace_language::address::StackId;
use terrace_plan::Change;
use terrace_provider::{Attributes, Planned, ResourceType};
use terrace_store::{Intent, StepAction, StepResult, Write};

/// A step that is ready to run. Only values that the provider computes are unknown.
pub(crate) struct Prepared {
    pub(crate) stack: StackId,
    pub(crate) change: Change,
    pub(crate) action: StepAction,
    pub(crate) planned: Planned,
    pub(crate) intent: Option<Intent>,
    /// True for the removing step of its change.
    pub(crate) is_removal: bool,
    /// An earlier step changed an object of the same instance, which may have changed this object too.
    pub(crate) follows_change: bool,
    /// The deposed key: of the object to remove, or of the old object that a create-before-destroy replacement keeps.
    pub(crate) deposed: Option<String>,
}

/// The outcome of a step.
pub(crate) struct Outcome {
    pub(crate) result: StepResult,
    pub(crate) writes: Vec<Write>,
    /// The present attributes of the object.
    pub(crate) attributes: Option<Attributes>,
    pub(crate) failure: Option<Failed>,
    /// A check that failed after the step succeeded.
    pub(crate) failed_check: Option<Failed>,
    /// The step stays open: its outcome has to be determined.
    pub(crate) is_in_doubt: bool,
    pub(crate) took: Duration,
}

/// The expected generation for a create: 0 after a replacement removed or deposed the old row.
pub(super) fn generation_before_create(change: &Change) -> u64 {
    if change.action.is_replace() { 0 } else { change.basis.generation }
}

pub(super) fn failed(stack: &StackId, change: &Change, error: String) -> Failed {
    Failed {
        stack: stack.clone(),
        address: change.address.clone(),
        action: change.action,
        error,
        problems: Vec::new(),
        solutions: Vec::new(),
    }
}

pub(super) fn resource_type<'a>(applier: &'a Applier, change: &Change) -> Result<&'a ResourceType, String> {
    let known = applier.registry.resource_type(&change.address.ty);
    known.map(|(_, ty)| ty).ok_or_else(|| format!("this terrace has no resource type `{}`", change.address.ty))
}
