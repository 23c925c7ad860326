//! Renders drift for people and for tools.

use super::attributes::{Style, between};
use super::human::{Detail, Human, Screen};
use super::line::{Line, Mark};
use super::paint::Paint;
use serde_json::json;
use terrace_language::action::Action;
use terrace_language::address::StackId;
use terrace_language::text::value::{Limits, SENSITIVE, SENSITIVE_CHANGED, brief};
use terrace_language::text::{counted, visible};
use terrace_plan::drift::{DriftItem, DriftKind, DriftedAttribute};
use terrace_provider::{Attributes, Step, Value};

/// The limits of a value.
const LIMITS: Limits = Limits { items: 6, characters: 80 };

/// The text without drift.
const NO_DRIFT: &str = "No drift. The objects match the state.";

/// The text without any stack.
const NOTHING_RECORDED: &str = "The state has no resources of this environment, so nothing drifted.";

/// The text for stacks without drift.
pub(super) const fn nothing_found(stacks: &[StackId]) -> &'static str {
    if stacks.is_empty() { NOTHING_RECORDED } else { NO_DRIFT }
}

/// Drift of these stacks for a terminal, in compact form for any detail. Ends with a line break.
#[must_use]
pub fn human(stacks: &[StackId], items: &[DriftItem], options: &Human) -> String {
    let mut screen = Screen::new(&Human { detail: Detail::Compact, ..*options });
    if items.is_empty() {
        screen.sentence(nothing_found(stacks));
        return screen.text;
    }
    let mut stack: Option<&StackId> = None;
    for item in items {
        if stack != Some(&item.stack) {
            if stack.is_some() {
                screen.text.push('\n');
            }
            stack = Some(&item.stack);
            let name = format!("stack {}", visible(&item.stack.to_string()));
            let name = screen.painter.paint(Paint::Bold, &name);
            screen.line(&format!("{name}  (recorded → found)"));
            screen.text.push('\n');
        }
        let sign = screen.painter.sign(sign(item.kind));
        screen.line(&format!("  {sign} {}   {}", visible(&name_of(item)), item.kind.word()));
        if let Some(grant) = item.external_grant() {
            screen.line(&format!("      {}", visible(&grant)));
            continue;
        }
        lines(item, Style::COMPACT).iter().for_each(|line| screen.body_line(line));
    }
    screen.text.push('\n');
    let verdict = screen.painter.paint(Paint::Bold, &verdict(items.len()));
    screen.sentence(&verdict);
    screen.text
}

/// The name of the object that differs.
pub(super) fn name_of(item: &DriftItem) -> String {
    let deposed = item.deposed.as_ref().map(|key| format!(" (deposed object {key})")).unwrap_or_default();
    format!("{}{deposed}", item.address)
}

/// The sentence with the number of differing resources.
pub(super) fn verdict(count: usize) -> String {
    let verb = if count == 1 { "differs" } else { "differ" };
    format!("Drift: {} {verb} from the state.", counted(count, "resources"))
}

/// The sign of a kind of drift.
pub(super) const fn sign(kind: DriftKind) -> &'static str {
    match kind {
        DriftKind::Changed => Action::Update.sign(),
        DriftKind::Deleted => Action::Delete.sign(),
        DriftKind::Recreated => Action::Replace.sign(),
        DriftKind::Foreign => Action::Create.sign(),
    }
}

/// Drift for tools: `{"drifted": [{stack, address, deposed?, kind, attributes: [{path, recorded, observed}]}]}`. A sensitive
/// side is null and `sensitive` is true.
#[must_use]
pub fn json(items: &[DriftItem]) -> serde_json::Value {
    let attribute = |attribute: &DriftedAttribute| {
        let is_sensitive = is_sensitive(attribute);
        let side = |side: &Option<Value>| match side {
            Some(value) if !is_sensitive => value.to_json(),
            _ => serde_json::Value::Null,
        };
        json!({
            "path": attribute.path.to_string(),
            "recorded": side(&attribute.recorded),
            "observed": side(&attribute.observed),
            "sensitive": is_sensitive,
        })
    };
    let drifted: Vec<_> = items
        .iter()
        .map(|item| {
            let mut entry = json!({
                "stack": item.stack,
                "address": item.address,
                "kind": item.kind,
                "attributes": item.attributes.iter().map(attribute).collect::<Vec<_>>(),
            });
            if let (Some(deposed), Some(entry)) = (&item.deposed, entry.as_object_mut()) {
                entry.insert("deposed".to_owned(), deposed.as_str().into());
            }
            entry
        })
        .collect();
    json!({ "drifted": drifted })
}

/// The lines of a resource. Whole attributes are compared as in a plan; sensitive ones, and paths inside attributes, have one line
/// each.
pub(super) fn lines(item: &DriftItem, style: Style) -> Vec<Line> {
    let mut single_lines = Vec::new();
    let (mut recorded, mut observed) = (Attributes::default(), Attributes::default());
    for attribute in &item.attributes {
        match attribute.path.0.as_slice() {
            [Step::Key(name)] if !is_sensitive(attribute) => {
                recorded.insert(name.clone(), attribute.recorded.clone().unwrap_or_default());
                observed.insert(name.clone(), attribute.observed.clone().unwrap_or_default());
            }
            _ => {
                let text = format!("{}: {}", visible(&attribute.path.to_string()), difference(attribute));
                single_lines.push(Line::new(0, Mark::Plain, text));
            }
        }
    }
    let mut lines = between(&recorded, &observed, style);
    lines.append(&mut single_lines);
    lines
}

fn difference(attribute: &DriftedAttribute) -> String {
    if is_sensitive(attribute) {
        return match (&attribute.recorded, &attribute.observed) {
            (Some(_), Some(_)) => SENSITIVE_CHANGED.to_owned(),
            (None, _) => format!("missing in the state, found {SENSITIVE}"),
            (_, None) => format!("recorded {SENSITIVE}, missing now"),
        };
    }
    match (&attribute.recorded, &attribute.observed) {
        (Some(recorded), Some(observed)) => {
            format!("recorded {}, found {}", brief(recorded, LIMITS), brief(observed, LIMITS))
        }
        (None, Some(observed)) => format!("missing in the state, found {}", brief(observed, LIMITS)),
        (Some(recorded), None) => format!("recorded {}, missing now", brief(recorded, LIMITS)),
        (None, None) => "differs".to_owned(),
    }
}

/// A mark on either side covers both, because an unmarked value may equal the sensitive one.
fn is_sensitive(attribute: &DriftedAttribute) -> bool {
    [&attribute.recorded, &attribute.observed].into_iter().flatten().any(Value::has_sensitive)
}
