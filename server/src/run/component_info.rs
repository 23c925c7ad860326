//! Outputs and access of components in the form that consoles show, without sensitive values.

use super::failure::Failure;
use crate::request_context::RequestContext;
use crate::witboost::{AclInfo, Info};
use serde_json::{Map as JsonMap, Value as Json, json};
use std::collections::BTreeSet;
use terrace_engine::address::ComponentKey;
use terrace_engine::compile::CompiledComponent;
use terrace_engine::descriptor::{OutputDeclaration, label_of, link_of};
use terrace_engine::expression::{Template, TemplateKind};
use terrace_engine::record::open_component;
use terrace_engine::store::StateStore;
use terrace_provider::{Map, Value};

/// The `type` of an output that is itself a map of entries in that form. Each entry is shown separately.
const ENTRIES: &str = "entries";

/// Outputs and access of the request's components.
///
/// # Errors
/// When the store cannot be read, or a row cannot be opened.
pub(super) async fn info(store: &dyn StateStore, context: &RequestContext<'_>) -> Result<Info, Failure> {
    let mut info = Info::default();
    let Some(compiled) = &context.compiled else { return Ok(info) };
    let is_chosen = |key: &ComponentKey| context.components.is_empty() || context.components.contains(key);
    let rows: Vec<_> = store.components(&context.stack).await?.into_iter().filter(|row| is_chosen(&row.key)).collect();
    // Outputs of a single component keep their names; those of several are prefixed by the component.
    let is_one = rows.len() == 1;
    for row in rows {
        let Some(component) = compiled.components.iter().find(|component| component.key == row.key) else { continue };
        let outputs = open_component(&context.stack, &row, &context.env.engine.seal)?;
        if let Some(access) = row.access {
            let without_access = context.principals_without_access(component, &access);
            let granted = access.principals.iter().filter(|principal| !without_access.contains_key(principal.as_str()));
            let granted = granted.map(|identity| AclInfo { identity: identity.clone(), locked: false });
            info.acl_info.get_or_insert_default().extend(granted);
        }
        let prefix = if is_one { String::new() } else { format!("{}.", row.key) };
        add_outputs(component, &outputs.values, &prefix, &mut info);
    }
    Ok(info)
}

/// Adds the outputs of a component.
fn add_outputs(component: &CompiledComponent, values: &Map, prefix: &str, info: &mut Info) {
    let declared = &component.declarations.outputs;
    // Links and labels are shown with their outputs.
    let attached = declared.iter().flat_map(|output| [link_of(&output.name.value), label_of(&output.name.value)]);
    let attached: BTreeSet<String> = attached.collect();
    let is_shown = |(name, value): &(&String, &Value)| !value.has_sensitive() && !attached.contains(*name);
    for (name, value) in values.iter().filter(is_shown) {
        let declared = declared.iter().find(|output| output.name.value == *name);
        let is_public = declared.is_some_and(|output| output.is_public);
        let shown = if is_public { &mut info.public_info } else { &mut info.private_info };
        let display = declared.and_then(|output| output.display.as_deref()).unwrap_or("string");
        match (display, value) {
            (ENTRIES, Value::Map(entries)) => {
                for (name, value) in entries {
                    shown.entry(format!("{prefix}{name}")).or_insert_with(|| as_entry(name, value));
                }
                continue;
            }
            // There are no entries.
            (ENTRIES, Value::Null) => continue,
            _ => {}
        }
        let text = |name: String| values.get(&name).filter(|value| !value.has_sensitive()).and_then(Value::as_str);
        let label = text(label_of(name)).or_else(|| declared.and_then(label)).unwrap_or(name);
        let mut entry = entry(label, value, display);
        if let Some(href) = text(link_of(name)).filter(|href| !href.is_empty()) {
            entry.insert("href".to_owned(), Json::from(href));
        }
        shown.insert(format!("{prefix}{name}"), Json::Object(entry));
    }
}

/// A label that is a literal.
fn label(output: &OutputDeclaration) -> Option<&str> {
    match &output.label {
        Some(Template { kind: TemplateKind::Literal(value), .. }) => value.as_str(),
        _ => None,
    }
}

/// A ready-made entry; other values become one.
fn as_entry(name: &str, value: &Value) -> Json {
    match value {
        Value::Map(entry) if entry.contains_key("value") => value.to_json(),
        _ => Json::Object(entry(name, value, "string")),
    }
}

/// An entry in the form that consoles show.
fn entry(label: &str, value: &Value, display: &str) -> JsonMap<String, Json> {
    let shown = match value {
        Value::String(text) => text.clone(),
        other => other.to_json_text(),
    };
    let entry = [("type", json!(display)), ("label", json!(label)), ("value", json!(shown))];
    entry.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
