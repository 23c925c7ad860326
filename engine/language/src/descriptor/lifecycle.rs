//! Reading of `lifecycle` and `timeouts` of a resource.

use super::{Lifecycle, OnLastRelease, TimeoutOverrides, Trigger};
use crate::decode::Fields;
use crate::diagnostic::Diagnostic;
use crate::duration;
use crate::source::Located;
use crate::yaml::Node;
use std::time::Duration;
use terrace_provider::{Path, Step};

/// The content of `lifecycle`.
#[derive(Default)]
pub(super) struct Behaviour {
    /// The part that the state records.
    pub(super) lifecycle: Lifecycle,
    pub(super) ignore_changes: Vec<Located<Path>>,
    pub(super) replace_triggered_by: Vec<Trigger>,
}

/// Reads `lifecycle`.
pub(super) fn read_lifecycle(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Behaviour {
    let Some(mut fields) = Fields::open(node, "`lifecycle`", diagnostics) else { return Behaviour::default() };
    let ignored = fields.texts("ignoreChanges");
    let ignore_changes: Vec<Located<Path>> =
        ignored.iter().filter_map(|text| read_path(text, fields.diagnostics)).collect();
    let lifecycle = Lifecycle {
        create_before_destroy: fields.is_true("createBeforeDestroy"),
        prevent_destroy: fields.is_true("preventDestroy"),
        on_last_release: fields
            .word("onLastRelease", &[("retain", OnLastRelease::Retain), ("delete", OnLastRelease::Delete)])
            .unwrap_or_default(),
        ignore_changes: ignore_changes.iter().map(|path| path.value.clone()).collect(),
        timeouts: None,
    };
    let triggers = fields.texts("replaceTriggeredBy");
    let replace_triggered_by = triggers.iter().filter_map(|text| read_trigger(text, fields.diagnostics)).collect();
    fields.finish();
    Behaviour { lifecycle, ignore_changes, replace_triggered_by }
}

fn read_path(text: &Located<String>, diagnostics: &mut Vec<Diagnostic>) -> Option<Located<Path>> {
    match text.value.parse::<Path>() {
        Ok(path) if !matches!(path.0.first(), Some(Step::Index(_))) => Some(Located { value: path, span: text.span }),
        _ => {
            let message = format!("`ignoreChanges`: `{}` is not the path of an attribute", text.value);
            let hint = "write it like `a.b[0][\"key\"].c`, or `*` for all attributes";
            diagnostics.push(Diagnostic::error("wrong_value", message).at(text.span).hint(hint));
            None
        }
    }
}

fn read_trigger(text: &Located<String>, diagnostics: &mut Vec<Diagnostic>) -> Option<Trigger> {
    let mut steps = text.value.parse::<Path>().ok().into_iter().flat_map(|path| path.0);
    let Some(Step::Key(name)) = steps.next() else {
        let message = format!("`replaceTriggeredBy`: `{}` names no resource", text.value);
        let hint = "write the name of a resource of this component, or a path into it: `name.attribute`";
        diagnostics.push(Diagnostic::error("wrong_value", message).at(text.span).hint(hint));
        return None;
    };
    Some(Trigger { name, path: Path(steps.collect()), text: text.value.clone(), span: text.span })
}

/// Reads `timeouts`.
pub(super) fn read_timeouts(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> TimeoutOverrides {
    let Some(mut fields) = Fields::open(node, "`timeouts`", diagnostics) else { return TimeoutOverrides::default() };
    let timeouts = TimeoutOverrides {
        create: read_duration(&mut fields, "create"),
        update: read_duration(&mut fields, "update"),
        delete: read_duration(&mut fields, "delete"),
        read: read_duration(&mut fields, "read"),
    };
    fields.finish();
    timeouts
}

fn read_duration(fields: &mut Fields<'_, '_>, name: &'static str) -> Option<Duration> {
    let entry = fields.optional(name)?;
    let (found, reason) = match entry.value.as_text().map(|text| (text, duration::parse(text))) {
        Some((_, Ok(read))) if !read.is_zero() => return Some(read),
        Some((text, Ok(_))) => (format!("`{text}`"), "expected a positive duration".to_owned()),
        Some((text, Err(error))) => (format!("`{text}`"), error.to_string()),
        None => (format!("a {}", entry.value.kind_name()), "expected a duration".to_owned()),
    };
    fields.diagnostics.push(
        Diagnostic::error("wrong_value", format!("`{name}` is {found}: {reason}"))
            .at(entry.value.span)
            .hint("write a number with its unit: `30s`, `5m`, `1h30m`"),
    );
    None
}
