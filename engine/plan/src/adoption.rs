//! The rule of `adopt: ifOurs`: which unmanaged objects terrace may adopt.
//!
//! The planner adopts an object under three conditions. Its name is computed from the component, so that two people cannot choose it by
//! chance. No other row manages it. Its differences can be aligned in place, without loss of data.

use super::failure::PlanFailure;
use super::managed::Manager;
use super::planner::Planner;
use super::resource_input::ResourceInput;
use terrace_language::diagnostic::Diagnostic;
use terrace_language::expression::{Template, TemplateKind};
use terrace_language::moves::as_written;
use terrace_language::text::shell_word;
use terrace_provider::{ResourceType, Value};
use terrace_store::record::Prior;

/// Returns why an existing object cannot be adopted; `None` if it can.
pub(super) async fn find_obstacle(
    planner: &Planner<'_>,
    input: &ResourceInput<'_, '_>,
    found: &Prior,
) -> Result<Option<NotAdoptable>, PlanFailure> {
    if !is_named_by_rule(input.template, input.ty) {
        return Ok(Some(NotAdoptable::NoRule));
    }
    let by = input.managed.manager_of(planner, input.ty.name, &input.provider, &found.identity).await?;
    Ok(by.map(NotAdoptable::Managed))
}

/// Why an object cannot be adopted.
pub(super) enum NotAdoptable {
    /// Its name is a literal.
    NoRule,
    /// Another resource manages it.
    Managed(Manager),
    /// Aligning it would destroy data.
    DataLoss,
    /// Aligning it would replace it.
    Replaced,
}

/// The error for an existing object that is not adopted. Its hint names other ways to adopt it.
pub(super) fn adoption_error(
    input: &ResourceInput<'_, '_>,
    address: &str,
    found: &Prior,
    obstacle: &NotAdoptable,
) -> Diagnostic {
    let names = match &input.ty.derived_identity {
        Some(derived) => derived.named_by.iter().map(|path| path.join(".")).collect::<Vec<_>>().join("`, `"),
        None => input.ty.identity.join("`, `"),
    };
    let reason = match obstacle {
        NotAdoptable::NoRule => format!("`{names}` is a literal, not computed"),
        NotAdoptable::Managed(by) if by.is_retained => format!("{by} retained its data"),
        NotAdoptable::Managed(by) => format!("{by} manages it"),
        NotAdoptable::DataLoss => "aligning it would destroy data".to_owned(),
        NotAdoptable::Replaced => "it would have to be replaced".to_owned(),
    };
    let error = Diagnostic::error("not_ours", format!("{address} exists already and cannot be adopted: {reason}"));
    let error = error.at(input.span);
    if let NotAdoptable::Managed(by) = obstacle {
        if by.is_retained && by.stack == *input.stack {
            return error
                .hint(format!("to continue with its data, write `{}`", as_written(&by.address, &input.address)));
        }
        return error.hint("give one of them another name, or let both own it with `shared`");
    }
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_json().to_string(),
    };
    let id = match found.attributes.get("id").and_then(Value::as_str) {
        Some(id) => id.to_owned(),
        None => found.identity.values().map(text).collect::<Vec<_>>().join("/"),
    };
    error.hint(format!(
        "`terrace import {} {}` records it as it is; `adopt: ifExists` adopts any existing object",
        shell_word(address),
        shell_word(&id)
    ))
}

/// True if the object's name is computed.
pub(super) fn is_named_by_rule(template: &Template, ty: &ResourceType) -> bool {
    let is_computed = |path: &[&str]| part_of(template, path).is_some_and(|part| !is_constant(part));
    match &ty.derived_identity {
        Some(derived) => derived.named_by.iter().any(|path| is_computed(path)),
        None => ty.identity.iter().any(|name| is_computed(&[name])),
    }
}

/// The part of a template at a path, or the expression that computes this part.
fn part_of<'a>(template: &'a Template, path: &[&str]) -> Option<&'a Template> {
    match (&template.kind, path) {
        (TemplateKind::Map(entries), [key, rest @ ..]) => {
            part_of(&entries.iter().find(|entry| entry.key == *key)?.value, rest)
        }
        _ => Some(template),
    }
}

fn is_constant(template: &Template) -> bool {
    template.expressions().next().is_none()
}
