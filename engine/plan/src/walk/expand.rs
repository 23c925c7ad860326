//! Expands a declaration to its instances: `forEach`, `key` and `when`.

use super::{ComponentPart, Walk, block_address};
use std::collections::BTreeSet;
use terrace_language::address::InstanceKey;
use terrace_language::descriptor::ResourceDeclaration;
use terrace_language::diagnostic::Diagnostic;
use terrace_language::expression::{ReferenceStep, Template};
use terrace_language::graph::Block;
use terrace_language::limits::length;
use terrace_language::repetition::{self, NoItems};
use terrace_language::scope::PlanScope;
use terrace_language::text::{environment_option, shell_word};
use terrace_provider::Value;

/// One instance of a declaration.
pub(super) struct Instance {
    pub(super) key: Option<InstanceKey>,
    pub(super) each: Option<Value>,
}

impl Walk<'_, '_> {
    /// The instances of a declaration; `None` if they are unknown or faulty.
    pub(super) fn expand(
        &self,
        block: Block,
        declaration: &ResourceDeclaration,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Vec<Instance>> {
        let Some(template) = &declaration.for_each else { return Some(vec![Instance { key: None, each: None }]) };
        let part = self.parts.get(block.component)?;
        match self.items(part, declaration, template) {
            Ok(instances) => Some(instances),
            Err(NoItems::Unknown(field)) => {
                let template = declaration.key.as_ref().filter(|_| field == "key").unwrap_or(template);
                diagnostics.push(known_too_late(part, field, template, &self.applied()));
                None
            }
            Err(NoItems::Invalid(found)) => {
                diagnostics.extend(found);
                None
            }
        }
    }

    /// The instances of a `forEach`.
    pub(super) fn items(
        &self,
        part: &ComponentPart<'_>,
        declaration: &ResourceDeclaration,
        for_each: &Template,
    ) -> Result<Vec<Instance>, NoItems> {
        let value = for_each.evaluate(&self.scope(part, None), self.planner.functions).map_err(NoItems::Invalid)?;
        self.planner.functions.count_resources(length(&value), for_each.span)?;
        let key_of = |key: &Template, each: &Value| self.key(key, &self.scope(part, Some(each)));
        let items = repetition::items(for_each, value, declaration.key.as_ref(), &key_of)?;
        Ok(items.into_iter().map(Instance::from).collect())
    }

    /// The arguments of `terrace apply` for hints: the stack's descriptor and the environment, quoted for a shell.
    pub(super) fn applied(&self) -> String {
        let component = self.compiled.components.first();
        let source = component.and_then(|component| self.planner.sources.get(component.span.source));
        let file = source.map_or_else(|| "…".to_owned(), |source| shell_word(&source.name));
        file + &environment_option(&self.planner.environment.name)
    }

    /// The key of an item.
    fn key(&self, key: &Template, scope: &PlanScope<'_>) -> Result<String, NoItems> {
        match key.evaluate(scope, self.planner.functions) {
            Ok(Value::String(text)) => Ok(text),
            Ok(value) if value.is_unknown() => Err(NoItems::Unknown("key")),
            Ok(other) => Err(not_text("key", key, &other, &self.applied()).into()),
            Err(found) => Err(NoItems::Invalid(found)),
        }
    }

    pub(super) fn is_enabled(
        &self,
        part: &ComponentPart<'_>,
        declaration: &ResourceDeclaration,
        scope: &PlanScope<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<bool> {
        let Some(template) = &declaration.when else { return Some(true) };
        match template.evaluate(scope, self.planner.functions) {
            Ok(value) if value.has_sensitive() => {
                let message = "`when` reads a sensitive value, but plans show its result";
                diagnostics.push(
                    Diagnostic::error("sensitive_when", message)
                        .at(template.span)
                        .hint("decide by a value that may be shown, and read the sensitive value where it is used"),
                );
                None
            }
            Ok(value) if value.as_bool().is_some() => value.as_bool(),
            Ok(Value::Unknown) => {
                diagnostics.push(known_too_late(part, "when", template, &self.applied()));
                None
            }
            Ok(other) => {
                let message = format!("`when` has to be true or false, and is {}", other.kind());
                let hint = "write a comparison such as `vars.size > 0`";
                diagnostics.push(Diagnostic::error("wrong_type", message).at(template.span).hint(hint));
                None
            }
            Err(found) => {
                diagnostics.extend(found);
                None
            }
        }
    }
}

/// The hint that suggests deferral.
pub(super) fn deferral(applied: &str) -> String {
    format!("defer it to another apply: `terrace apply {applied} --allow-deferral`")
}

/// The alternative to a value that is known only after apply.
const KNOWN_BEFORE: &str = "a value that is known before, such as a variable (`--var NAME=VALUE`)";

/// The error for instances that depend on unknown values. The hint names the resources to apply first.
fn known_too_late(part: &ComponentPart<'_>, field: &str, template: &Template, applied: &str) -> Diagnostic {
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
    let defer = deferral(applied);
    if first.is_empty() {
        return error.hint(format!("use {KNOWN_BEFORE}, or {defer}"));
    }
    let first = first.into_iter().collect::<Vec<_>>().join(" ");
    error.hint(format!(
        "use {KNOWN_BEFORE}, apply its dependencies first (`terrace apply {applied} {first}`), or {defer}"
    ))
}

impl From<repetition::Item> for Instance {
    fn from(item: repetition::Item) -> Self {
        Self { key: Some(item.key), each: Some(item.each) }
    }
}

/// The error for a value that must be text.
pub(super) fn not_text(subject: &str, template: &Template, found: &Value, applied: &str) -> Diagnostic {
    let (code, found, hint) = match found.is_unknown() {
        true => (
            "known_too_late",
            "known only after apply",
            format!(
                "use values that are known while planning: the component, variables (`--var NAME=VALUE`), settings; or {}",
                deferral(applied)
            ),
        ),
        false => {
            let hint = match found {
                Value::List(_) | Value::Map(_) => "write one text here",
                _ => "put the value in quotes, or use `string(…)` in an expression",
            };
            ("wrong_type", found.kind(), hint.to_owned())
        }
    };
    Diagnostic::error(code, format!("`{subject}` has to be text, and is {found}")).at(template.span).hint(hint)
}
