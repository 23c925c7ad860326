//! The first line of a change: its sign, its address, and in a few words what happens and why.

use super::attributes::without_write_only;
use super::text::{counted, visible};
use super::value::{Limits, SENSITIVE_CHANGED, brief};
use crate::action::{Action, Reason};
use crate::address::{SHARED, StackId};
use crate::diff::changed_attributes;
use crate::plan::{Change, DataLossNote, Mode, OwnerChange};
use crate::store::Ownership;
use terrace_provider::{Attributes, Path, Value};

/// The sign of a change whose last step is in doubt.
pub(crate) const IN_DOUBT: &str = "?";
/// The sign of a resource that only has another address.
pub(crate) const MOVED: &str = ">";
/// What stands behind a change that destroys data.
pub(crate) const DESTROYS_DATA: &str = "! destroys data";

/// The sign of a change.
pub(crate) fn sign(change: &Change) -> &'static str {
    match (change.is_doubted(), change.action) {
        (true, _) => IN_DOUBT,
        (false, Action::NoOp) if change.moves_from().is_some() => MOVED,
        (false, action) => action.sign(),
    }
}

/// What follows the address; may be empty.
pub(crate) fn note(change: &Change, mode: Mode) -> String {
    let moved = change.moved_from.as_ref().map(|from| {
        let how = if change.moves_from().is_some() { "moved from" } else { "recorded as" };
        match from.component == change.address.component {
            true => format!("{how} {}", visible(&from.local().to_string())),
            false => format!("{how} {}", visible(&from.to_string())),
        }
    });
    joined([moved, Some(what_and_why(change, mode))], ", ")
}

fn what_and_why(change: &Change, mode: Mode) -> String {
    if let Some(reason) = &change.in_doubt {
        let word = if change.is_held_back { "not done" } else { "in doubt" };
        return format!("{word}: {}", visible(reason));
    }
    let reason = change.reason.as_ref().filter(|reason| mode != Mode::Destroy || **reason != Reason::Destroy);
    let reason = reason.map(Reason::text);
    match change.action {
        Action::NoOp if change.drift.is_empty() => String::new(),
        Action::NoOp if mode == Mode::RefreshOnly => "changed outside terrace, is recorded".to_owned(),
        Action::NoOp => "changed outside terrace, nothing to mend".to_owned(),
        Action::Create => joined([size(change), reason.map(ToOwned::to_owned)], ", "),
        Action::Update => joined([changed(change), reason.map(ToOwned::to_owned)], ", "),
        Action::Replace | Action::ReplaceCreateFirst => {
            let why = if change.triggered_by.is_empty() { forced(change) } else { Some(triggers(change)) };
            joined([Some(reason.unwrap_or("must be replaced").to_owned()), why], ": ")
        }
        Action::Delete => reason.unwrap_or_default().to_owned(),
        Action::Read => "is read while applying".to_owned(),
        Action::Adopt if change.import_id.is_some() => {
            let id = change.import_id.as_deref().unwrap_or_default();
            joined([Some(format!("imported from {}", visible(id))), changed(change)], ", ")
        }
        Action::Adopt => joined([Some(reason.unwrap_or("exists, is taken over").to_owned()), changed(change)], ", "),
        Action::Forget => joined([Some("dropped from state".to_owned()), reason.map(ToOwned::to_owned)], ": "),
        Action::Retain if change.reason == Some(Reason::Needed) => {
            joined([Some("stays".to_owned()), reason.map(ToOwned::to_owned)], ": ")
        }
        Action::Retain => joined([Some("its data stays".to_owned()), reason.map(ToOwned::to_owned)], ": "),
    }
}

/// What data goes, and how much: `column "FAX" is dropped: 3 rows`.
pub(crate) fn loss(loss: &DataLossNote) -> String {
    let reasons: Vec<_> = loss.reasons.iter().map(|reason| visible(reason)).collect();
    let reasons = if reasons.is_empty() { "destroys data".to_owned() } else { reasons.join("; ") };
    let amount = match &loss.amount {
        Some(amount) => visible(amount).into_owned(),
        None => "it is empty or gone already, so no data is lost".to_owned(),
    };
    format!("{reasons}: {amount}{}", if loss.is_allowed { " (consent is given)" } else { "" })
}

/// `12 columns`: how long the longest list is that is to be made. Lists whose name is no plural (a command's words)
/// are no number of things.
fn size(change: &Change) -> Option<String> {
    let after = change.after.as_ref()?;
    let lengths = after.attributes.iter().filter_map(|(name, value)| match value {
        Value::List(items) if !items.is_empty() && name.ends_with('s') => Some((items.len(), name)),
        _ => None,
    });
    // Of several longest the first one counts: that is the order of the schema.
    let (length, name) = lengths.rev().max_by_key(|(length, _)| *length)?;
    Some(counted(length, &visible(name)))
}

/// `content changed`: the attributes that differ.
fn changed(change: &Change) -> Option<String> {
    let before = &change.prior.as_ref()?.attributes;
    let after = without_write_only(change, &change.after.as_ref()?.attributes);
    let mut names: Vec<String> = changed_attributes(before, &after)
        .iter()
        // What a provider gives anew with every update is no change of anybody's.
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

/// Write-only attributes whose change detectors differ.
fn changed_secretly(change: &Change) -> impl Iterator<Item = &String> {
    let before = change.prior.as_ref().map(|prior| &prior.write_only);
    let after = change.after.as_ref().map(|after| &after.write_only);
    let pairs = before.zip(after);
    pairs.into_iter().flat_map(|(before, after)| {
        let recorded = |name: &str| before.get(name).map(String::as_str).unwrap_or_default();
        let other = after.iter().filter(move |(name, digest)| recorded(name) != digest.as_str()).map(|(name, _)| name);
        other.chain(before.keys().filter(|name| !after.contains_key(*name)))
    })
}

/// `name "A" → "B"`: the differences that need a new object.
fn forced(change: &Change) -> Option<String> {
    let nothing = Attributes::default();
    let before = change.prior.as_ref().map_or(&nothing, |prior| &prior.attributes);
    let after = change.after.as_ref().map_or(&nothing, |after| &after.attributes);
    let told: Vec<String> = change
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
    let more = change.replace_paths.len().saturating_sub(told.len());
    let more = (more > 0).then(|| format!("… {more} more"));
    let told = told.into_iter().chain(more).collect::<Vec<_>>().join(", ");
    (!told.is_empty()).then_some(told)
}

/// What `replaceTriggeredBy` names and what changes.
fn triggers(change: &Change) -> String {
    let names: Vec<_> = change.triggered_by.iter().map(|name| visible(name)).collect();
    names.join(", ")
}

/// True when what is at the path, or anything on the way there, is sensitive: a path leads through marks.
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

/// The component that a change of owners is listed with. What owners of other stacks let go of is listed with what is
/// shared: this stack has no component of theirs.
pub(crate) fn owner_section<'a>(stack: &StackId, owner: &'a OwnerChange) -> &'a str {
    if owner.ownership.stack == *stack { &owner.ownership.component } else { SHARED }
}

/// A change of owners in words; an owner of another stack is named.
pub(crate) fn owner_line(stack: &StackId, owner: &OwnerChange) -> String {
    let Ownership { address, stack: owning, component } = &owner.ownership;
    let text = match component.as_str() {
        _ if owning == stack => format!("owner of {address}"),
        "" => format!("owner {owning} of {address}"),
        component => format!("owner {owning}:{component} of {address}"),
    };
    visible(&text).into_owned()
}
