//! The headline of a change: its sign, its address, and a short note with its effect and reason.

use super::attributes::without_write_only;
use terrace_language::action::{Action, Reason};
use terrace_language::address::{ComponentKey, SHARED, StackId};
use terrace_language::text::value::{Limits, SENSITIVE_CHANGED, brief};
use terrace_language::text::{counted, visible};
use terrace_plan::{Change, DataLossNote, Mode, OwnerChange};
use terrace_provider::{Attributes, Path, Value};
use terrace_store::Ownership;
use terrace_store::diff::changed_attributes;

/// The sign of a change whose last step is in doubt.
pub(crate) const IN_DOUBT: &str = "?";
/// The sign of a resource that only moves.
pub(crate) const MOVED: &str = ">";
/// The suffix of a change that destroys data.
pub(crate) const DESTROYS_DATA: &str = "! destroys data";

/// The sign of a change.
pub(crate) fn sign(change: &Change) -> &'static str {
    match (change.is_in_doubt(), change.action) {
        (true, _) => IN_DOUBT,
        (false, Action::NoOp) if change.moves_from().is_some() => MOVED,
        (false, action) => action.sign(),
    }
}

/// The note after the address; may be empty.
pub(crate) fn note(change: &Change, mode: Mode) -> String {
    let moved = change.moved_from.as_ref().map(|from| {
        let how = if change.moves_from().is_some() { "moved from" } else { "recorded as" };
        match from.component == change.address.component {
            true => format!("{how} {}", visible(&from.local().to_string())),
            false => format!("{how} {}", visible(&from.to_string())),
        }
    });
    joined([moved, Some(effect_and_reason(change, mode))], ", ")
}

fn effect_and_reason(change: &Change, mode: Mode) -> String {
    if let Some(doubt) = &change.in_doubt {
        let word = if change.is_held_back() { "not done" } else { "in doubt" };
        return format!("{word}: {}", visible(doubt.text()));
    }
    let reason = change.why.reason.as_ref().filter(|reason| mode != Mode::Destroy || **reason != Reason::Destroy);
    let reason = reason.map(Reason::text);
    match change.action {
        Action::NoOp if change.why.drift.is_empty() => String::new(),
        Action::NoOp if mode == Mode::RefreshOnly => "changed outside terrace, is recorded".to_owned(),
        Action::NoOp => "changed outside terrace, nothing to mend".to_owned(),
        Action::Create => joined([size(change), reason.map(ToOwned::to_owned)], ", "),
        Action::Update => joined([changed(change), reason.map(ToOwned::to_owned)], ", "),
        Action::Replace | Action::ReplaceCreateFirst => {
            let why = if change.why.triggered_by.is_empty() { forced(change) } else { Some(triggers(change)) };
            joined([Some(reason.unwrap_or("must be replaced").to_owned()), why], ": ")
        }
        Action::Delete => reason.unwrap_or_default().to_owned(),
        Action::Read => "is read during apply".to_owned(),
        Action::Adopt if change.import_id.is_some() => {
            let id = change.import_id.as_deref().unwrap_or_default();
            joined([Some(format!("imported from {}", visible(id))), changed(change)], ", ")
        }
        Action::Adopt => joined([Some(reason.unwrap_or("exists, is adopted").to_owned()), changed(change)], ", "),
        Action::Forget => joined([Some("dropped from state".to_owned()), reason.map(ToOwned::to_owned)], ": "),
        Action::Retain if change.why.reason == Some(Reason::Needed) => {
            joined([Some("stays".to_owned()), reason.map(ToOwned::to_owned)], ": ")
        }
        Action::Retain => joined([Some("its data stays".to_owned()), reason.map(ToOwned::to_owned)], ": "),
    }
}

/// The remark about a loss of data that the user allowed.
pub(crate) const CONSENT: &str = "consent is given";

/// The data that a change destroys, with the amount: `column "FAX" is dropped: 3 rows`. `consent` is the remark about a loss that
/// the user allowed.
pub(crate) fn loss(loss: &DataLossNote, consent: &str) -> String {
    let reasons: Vec<_> = loss.reasons.iter().map(|reason| visible(reason)).collect();
    let reasons = if reasons.is_empty() { "destroys data".to_owned() } else { reasons.join("; ") };
    let amount = match &loss.amount {
        Some(amount) => visible(amount).into_owned(),
        None => "it is empty or already gone: no data is lost".to_owned(),
    };
    let is_allowed = loss.is_allowed && loss.destroys();
    format!("{reasons}: {amount}{}", if is_allowed { format!(" ({consent})") } else { String::new() })
}

/// `12 columns`: the length of the longest list of a new object. Skips lists whose name is not a plural, such as the words of a
/// command.
fn size(change: &Change) -> Option<String> {
    let after = change.after.as_ref()?;
    let lengths = after.attributes.iter().filter_map(|(name, value)| match value {
        Value::List(items) if !items.is_empty() && name.ends_with('s') => Some((items.len(), name)),
        _ => None,
    });
    // Of lists with equal length the first one counts, in the order of the schema.
    let (length, name) = lengths.rev().max_by_key(|(length, _)| *length)?;
    Some(counted(length, &visible(name)))
}

/// `content changed`: the attributes that differ.
fn changed(change: &Change) -> Option<String> {
    let before = &change.basis.prior.as_ref()?.attributes;
    let after = without_write_only(change, &change.after.as_ref()?.attributes);
    let mut names: Vec<String> = changed_attributes(before, &after)
        .iter()
        // Not a change: the provider sets the value again with each update.
        .filter(|path| !path.get(&after).is_some_and(|value| matches!(value.exposed(), Value::Unknown)))
        .map(|path| visible(&path.to_string()).into_owned())
        .collect();
    names.extend(changed_secretly(change).map(|name| visible(name).into_owned()));
    match names.len() {
        0 => None,
        1..=3 => Some(format!("{} changed", names.join(", "))),
        many => Some(format!("{} changed", counted(many, "attributes"))),
    }
}

/// Write-only attributes whose digests differ.
fn changed_secretly(change: &Change) -> impl Iterator<Item = &String> {
    let before = change.basis.prior.as_ref().map(|prior| &prior.write_only);
    let after = change.after.as_ref().map(|after| &after.write_only);
    let pairs = before.zip(after);
    pairs.into_iter().flat_map(|(before, after)| {
        let recorded = |name: &str| before.get(name).map(String::as_str).unwrap_or_default();
        let other = after.iter().filter(move |(name, digest)| recorded(name) != digest.as_str()).map(|(name, _)| name);
        other.chain(before.keys().filter(|name| !after.contains_key(*name)))
    })
}

/// `name "A" → "B"`: the differences that force a replacement.
fn forced(change: &Change) -> Option<String> {
    let nothing = Attributes::default();
    let before = change.basis.prior.as_ref().map_or(&nothing, |prior| &prior.attributes);
    let after = change.after.as_ref().map_or(&nothing, |after| &after.attributes);
    let differences: Vec<String> = change
        .why
        .replace_paths
        .iter()
        .take(2)
        .map(|path| {
            let name = visible(&path.to_string()).into_owned();
            if is_hidden(path, before) || is_hidden(path, after) {
                return format!("{name} {SENSITIVE_CHANGED}");
            }
            match (path.get(before), path.get(after)) {
                (Some(before), Some(after)) if is_short(before) && is_short(after) => {
                    format!("{name} {} → {}", brief(before, Limits::SHORT), brief(after, Limits::SHORT))
                }
                (None, Some(after)) if is_short(after) => format!("{name} → {}", brief(after, Limits::SHORT)),
                _ => format!("{name} changed"),
            }
        })
        .collect();
    let more = change.why.replace_paths.len().saturating_sub(differences.len());
    let more = (more > 0).then(|| format!("… {more} more"));
    let differences = differences.into_iter().chain(more).collect::<Vec<_>>().join(", ");
    (!differences.is_empty()).then_some(differences)
}

/// The changed entries of `replaceTriggeredBy`.
fn triggers(change: &Change) -> String {
    let names: Vec<_> = change.why.triggered_by.iter().map(|name| visible(name)).collect();
    names.join(", ")
}

/// True if the value at the path, or a value that contains it, is sensitive.
fn is_hidden(path: &Path, attributes: &Attributes) -> bool {
    let mut walked = Path::default();
    path.0.iter().any(|step| {
        walked = walked.join(step.clone());
        matches!(walked.get(attributes), Some(Value::Sensitive(_)))
    })
}

fn is_short(value: &Value) -> bool {
    match value {
        Value::List(_) | Value::Map(_) => false,
        Value::String(text) => !text.contains('\n'),
        _ => true,
    }
}

fn joined<const N: usize>(parts: [Option<String>; N], between: &str) -> String {
    parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(between)
}

/// The component that lists an owner change. Owners of other stacks are listed with the shared resources, because this stack does
/// not have their components.
pub(crate) fn owner_section(stack: &StackId, owner: &OwnerChange) -> ComponentKey {
    if owner.ownership.stack == *stack { owner.ownership.component.clone() } else { SHARED.into() }
}

/// An owner change in words; an owner of another stack has its stack's name.
pub(crate) fn owner_line(stack: &StackId, owner: &OwnerChange) -> String {
    let Ownership { address, stack: owning, component } = &owner.ownership;
    let text = match component.is_stack() {
        _ if owning == stack => format!("owner of {address}"),
        true => format!("owner {owning} of {address}"),
        false => format!("owner {owning}:{component} of {address}"),
    };
    visible(&text).into_owned()
}
