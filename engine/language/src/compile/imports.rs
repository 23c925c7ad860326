//! Imports of existing objects: the resource and id of each, one for each item of a `forEach`.

use super::Compiler;
use super::compiled::CompiledImport;
use super::facts::{FactScope, WithFacts};
use crate::address::Address;
use crate::descriptor::transitions::{Import, read_import_address};
use crate::diagnostic::Diagnostic;
use crate::expression::{Scope, Template};
use crate::limits::length;
use crate::repetition::{self, Item, NoItems};
use crate::source::{Located, Span};
use std::collections::BTreeMap;
use terrace_provider::Value;

/// Evaluates imports, by the address of their resource.
pub(super) fn compile(
    compiler: &Compiler<'_>,
    imports: &[Import],
    scope: &FactScope,
    diagnostics: &mut Vec<Diagnostic>,
) -> BTreeMap<Address, CompiledImport> {
    let mut compiled = BTreeMap::new();
    for import in imports {
        let Some(for_each) = &import.for_each else {
            add(compiler, import, scope, &mut compiled, diagnostics);
            continue;
        };
        for item in items(compiler, import, for_each, scope, diagnostics) {
            add(
                compiler,
                import,
                &WithFacts { facts: scope, more: [("each", &item.each)] },
                &mut compiled,
                diagnostics,
            );
        }
    }
    compiled
}

/// The items of an import's `forEach`.
fn items(
    compiler: &Compiler<'_>,
    import: &Import,
    for_each: &Template,
    facts: &FactScope,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Item> {
    let key_of = |key: &Template, each: &Value| match key
        .evaluate(&WithFacts { facts, more: [("each", each)] }, compiler.functions)
    {
        Ok(Value::String(text)) => Ok(text),
        Ok(Value::Unknown) => Err(NoItems::Unknown("key")),
        Ok(other) => Err(not_text("key", key, &other).hint("use `string(…)`").into()),
        Err(found) => Err(NoItems::Invalid(found)),
    };
    let value = for_each.evaluate(facts, compiler.functions).map_err(NoItems::Invalid);
    let value = value.and_then(|value| {
        compiler.functions.count_resources(length(&value), for_each.span)?;
        Ok(value)
    });
    let found = match value.and_then(|value| repetition::items(for_each, value, import.key.as_ref(), &key_of)) {
        Ok(items) => return items,
        Err(NoItems::Invalid(found)) => found,
        Err(NoItems::Unknown(field)) => vec![
            Diagnostic::error("known_too_late", format!("`{field}` of an import is unknown before planning"))
                .at(for_each.span)
                .hint("use variables, locals and settings"),
        ],
    };
    diagnostics.extend(found);
    Vec::new()
}

/// Evaluates one import for one item.
fn add(
    compiler: &Compiler<'_>,
    import: &Import,
    scope: &dyn Scope,
    compiled: &mut BTreeMap<Address, CompiledImport>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let mut text = |field: &str, template: &Template, hint: &str| match template.evaluate(scope, compiler.functions) {
        Ok(Value::String(text)) if !text.is_empty() => Some(text),
        Ok(Value::Int(number)) if field == "id" => Some(number.to_string()),
        Ok(other) => {
            diagnostics.push(not_text(field, template, &other).hint(hint));
            None
        }
        Err(found) => {
            diagnostics.extend(found);
            None
        }
    };
    let (to, id) = (
        text("to", &import.to, "write an address, as text"),
        text("id", &import.id, "write the provider's id of the object"),
    );
    let Some(to) = to.map(|value| Located { value, span: import.to.span }) else { return };
    let (Some(to), Some(id)) = (read_import_address(&to, diagnostics), id) else { return };
    match compiled.get(&to) {
        Some(first) => diagnostics.push(imported_twice(&to, import.to.span, first.span)),
        None => drop(compiled.insert(to, CompiledImport { id, span: import.to.span, id_span: import.id.span })),
    }
}

fn not_text(field: &str, template: &Template, found: &Value) -> Diagnostic {
    let found = match found {
        Value::String(_) => "empty",
        Value::Sensitive(_) => "a sensitive value, which would be shown",
        _ => found.kind(),
    };
    Diagnostic::error("wrong_type", format!("`{field}` must be text, found {found}"))
        .at(template.span)
        .hint("write text, or an expression that returns public text")
}

fn imported_twice(address: &Address, again: Span, first: Span) -> Diagnostic {
    let diagnostic = Diagnostic::error("imported_twice", format!("`{address}` is imported twice"));
    let hint = "remove one of the two imports";
    match again == first {
        true => diagnostic.at(again).hint(format!("{hint}, or name each item in `to` with `each.key`")),
        false => diagnostic.at_with(again, "again here").at_with(first, "first here").hint(hint),
    }
}
