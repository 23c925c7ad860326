//! `replaceTriggeredBy`: finds the changes of the named resources and paths.

use super::Change;
use super::resource::changed_write_only;
use terrace_language::action::Action;
use terrace_language::address::InstanceKey;
use terrace_language::descriptor::Trigger;
use terrace_language::diagnostic::Diagnostic;
use terrace_language::expression::ReferenceStep;
use terrace_language::scope::{BlockValue, instance};
use terrace_provider::{Path, Step};
use terrace_store::diff::is_same;

/// The instance key at the beginning of a path into a `forEach`.
pub(crate) fn instance_key(step: &Step) -> Option<InstanceKey> {
    match step {
        Step::Key(key) => Some(InstanceKey::Text(key.clone())),
        Step::Index(index) => i64::try_from(*index).ok().map(InstanceKey::Index),
    }
}

/// The target of a trigger: an instance key, if it names one, and a path into the attributes.
///
/// # Errors
/// If the instance does not exist.
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

/// True if a change creates another object of a resource, or changes the value at a path.
pub(crate) fn is_triggering(change: &Change, path: &Path) -> bool {
    let (before, after) = match (change.action, &change.basis.prior, &change.after) {
        _ if change.in_doubt.is_some() => return false,
        (Action::Create, _, Some(_)) => return true,
        (action, Some(before), Some(after)) if action != Action::NoOp => (before, after),
        _ => return false,
    };
    match path.first_key() {
        // An adopted object that is not updated stays the same.
        None => change.action != Action::Adopt || before.attributes != after.attributes,
        Some(name) => {
            !is_same(path.get(&before.attributes), path.get(&after.attributes))
                || changed_write_only(Some(before), &after.write_only).iter().any(|changed| changed == name)
        }
    }
}
