//! `replaceTriggeredBy`: which of the named resources, or paths into them, change.

use super::Change;
use super::resource::changed_write_only;
use super::scope::{BlockValue, instance};
use crate::action::Action;
use crate::address::InstanceKey;
use crate::descriptor::Trigger;
use crate::diagnostic::Diagnostic;
use crate::diff::is_same;
use crate::expression::ReferenceStep;
use terrace_provider::{Path, Step};

/// The instance that a path into a `forEach` begins with.
pub(crate) fn instance_key(step: &Step) -> Option<InstanceKey> {
    match step {
        Step::Key(key) => Some(InstanceKey::Text(key.clone())),
        Step::Index(index) => i64::try_from(*index).ok().map(InstanceKey::Index),
    }
}

/// What a trigger looks at: an instance of a `forEach`, where it names one, and a path into its attributes.
///
/// # Errors
/// When there is no such instance.
pub(crate) fn target(trigger: &Trigger, value: &BlockValue) -> Result<(Option<InstanceKey>, Path), Box<Diagnostic>> {
    let (BlockValue::Instances(instances), Some((first, rest))) = (value, trigger.path.0.split_first()) else {
        return Ok((None, trigger.path.clone()));
    };
    let step = match first {
        Step::Key(key) => ReferenceStep::Key(key.clone()),
        Step::Index(index) => ReferenceStep::Index(i64::try_from(*index).unwrap_or(i64::MAX)),
    };
    if let Err(missing) = instance(instances, &trigger.name, &[step]) {
        let error = Diagnostic::error("unknown_instance_key", missing.message).at(trigger.span);
        return Err(Box::new(error.maybe_hint(missing.hint)));
    }
    Ok((instance_key(first), Path(rest.to_vec())))
}

/// True when a change makes another object of a resource, or another value at a path of it.
pub(crate) fn is_triggering(change: &Change, path: &Path) -> bool {
    let (before, after) = match (change.action, &change.prior, &change.after) {
        _ if change.in_doubt.is_some() => return false,
        (Action::Create, _, Some(_)) => return true,
        (action, Some(before), Some(after)) if action != Action::NoOp => (before, after),
        _ => return false,
    };
    match path.first_key() {
        // An object that is only taken over is the object that it was.
        None => change.action != Action::Adopt || before.attributes != after.attributes,
        Some(name) => {
            !is_same(path.get(&before.attributes), path.get(&after.attributes))
                || changed_write_only(Some(before), &after.write_only).iter().any(|changed| changed == name)
        }
    }
}
