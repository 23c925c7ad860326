//! From a declaration to its instances: `forEach`, keys, `when`.

use super::super::scope::PlanScope;
use super::{ComponentPart, Instance, Walk, block_address};
use crate::address::InstanceKey;
use crate::descriptor::ResourceDeclaration;
use crate::diagnostic::Diagnostic;
use crate::expression::{ReferenceStep, Template};
use crate::graph::Block;
use std::collections::BTreeSet;
use terrace_provider::Value;

impl Walk<'_, '_> {
    /// The instances of a declaration; `None` when they cannot be told.
    pub(super) fn expand(
        &self,
        block: Block,
        declaration: &ResourceDeclaration,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Vec<Instance>> {
        let Some(template) = &declaration.for_each else { return Some(vec![Instance { key: None, each: None }]) };
        let part = self.parts.get(block.component)?;
        let value = match template.evaluate(&self.scope(part, None), self.planner.functions) {
            Ok(value) => value,
            Err(found) => {
                diagnostics.extend(found);
                return None;
            }
        };
        if value.has_sensitive() {
            diagnostics.push(
                Diagnostic::error("sensitive_for_each", "`forEach` reads a sensitive value, and its keys are shown")
                    .at(template.span)
                    .hint("use keys that may be shown, and read the sensitive value in `config`"),
            );
            return None;
        }
        match value {
            Value::Map(entries) => Some(entries.into_iter().map(|(key, value)| keyed(key, value)).collect()),
            Value::List(items) => self.expand_list(part, declaration, template, items, diagnostics),
            Value::Null => Some(Vec::new()),
            Value::Unknown => {
                diagnostics.push(known_too_late(part, "forEach", template));
                None
            }
            other => {
                diagnostics.push(
                    Diagnostic::error(
                        "wrong_type",
                        format!("`forEach` has to be a map or a list, and is {}", other.kind()),
                    )
                    .at(template.span)
                    .hint("a map, a list of texts, a list of objects with `key:`, or `range(n)`"),
                );
                None
            }
        }
    }

    fn expand_list(
        &self,
        part: &ComponentPart<'_>,
        declaration: &ResourceDeclaration,
        template: &Template,
        items: Vec<Value>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Vec<Instance>> {
        let mut instances: Vec<Instance> = Vec::with_capacity(items.len());
        let mut seen = BTreeSet::new();
        for item in items {
            let instance = match (&declaration.key, &item) {
                (Some(key), _) => {
                    let each = each(Value::Null, item.clone());
                    let key = self.text(key, &self.scope(part, Some(&each)), "key", diagnostics)?;
                    keyed(key, item)
                }
                (None, Value::String(text)) => keyed(text.clone(), item.clone()),
                (None, Value::Int(index)) => Instance {
                    key: Some(InstanceKey::Index(*index)),
                    each: Some(each(Value::Int(*index), item.clone())),
                },
                (None, Value::Map(entries)) if entries.get("key").and_then(Value::as_str).is_some() => {
                    let key = entries.get("key").and_then(Value::as_str).unwrap_or_default().to_owned();
                    keyed(key, item.clone())
                }
                (None, Value::Unknown) => {
                    diagnostics.push(known_too_late(part, "forEach", template));
                    return None;
                }
                (None, other) => {
                    diagnostics.push(
                        Diagnostic::error("no_key", format!("an item of `forEach` is {} and has no key", other.kind()))
                            .at(template.span)
                            .hint("give the resource a `key:`, for example `key: ${{ each.value.name }}`"),
                    );
                    return None;
                }
            };
            if !seen.insert(instance.key.clone()) {
                let key = instance.key.as_ref().map(ToString::to_string).unwrap_or_default();
                diagnostics.push(
                    Diagnostic::error("repeated_key", format!("two items of `forEach` have the key {key}"))
                        .at(declaration.key.as_ref().map_or(template.span, |key| key.span))
                        .hint("keys name instances: each has to be its own"),
                );
                return None;
            }
            instances.push(instance);
        }
        Some(instances)
    }

    pub(super) fn is_there(
        &self,
        part: &ComponentPart<'_>,
        declaration: &ResourceDeclaration,
        scope: &PlanScope<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<bool> {
        let Some(template) = &declaration.when else { return Some(true) };
        match template.evaluate(scope, self.planner.functions) {
            Ok(value) if value.as_bool().is_some() => value.as_bool(),
            Ok(Value::Unknown) => {
                diagnostics.push(known_too_late(part, "when", template));
                None
            }
            Ok(other) => {
                let message = format!("`when` has to be true or false, and is {}", other.kind());
                diagnostics.push(Diagnostic::error("wrong_type", message).at(template.span));
                None
            }
            Err(found) => {
                diagnostics.extend(found);
                None
            }
        }
    }
}

/// The error for what decides which instances there are and is known only after apply, with who has to come first.
fn known_too_late(part: &ComponentPart<'_>, field: &str, template: &Template) -> Diagnostic {
    let message = format!("`{field}` depends on a value that is known only after apply");
    let error = Diagnostic::error("known_too_late", message).at(template.span);
    let mut first = BTreeSet::new();
    for reference in template.references() {
        let Some(ReferenceStep::Key(name)) = reference.steps.first() else { continue };
        first.extend(match reference.root.as_str() {
            "resources" => {
                let at = part.names.get(name.as_str());
                let declaration = at.and_then(|at| part.component.declarations.resources.get(*at));
                declaration.map(|declaration| format!("--target '{}'", block_address(part, declaration)))
            }
            "components" => Some(format!("-c {name}")),
            _ => None,
        });
    }
    if first.is_empty() {
        return error.hint("use what is known before");
    }
    let first = first.into_iter().collect::<Vec<_>>().join(" ");
    error.hint(format!("use what is known before, or apply what it reads first: `terrace apply … {first}`"))
}

fn keyed(key: String, value: Value) -> Instance {
    Instance { each: Some(each(Value::String(key.clone()), value)), key: Some(InstanceKey::Text(key)) }
}

fn each(key: Value, value: Value) -> Value {
    [("key".to_owned(), key), ("value".to_owned(), value)].into_iter().collect()
}
