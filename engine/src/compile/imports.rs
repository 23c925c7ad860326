//! Objects that exist and the resources that they are from now on: one for each item of a `forEach`, where there is one.

use super::{Compiler, FactScope};
use crate::address::Address;
use crate::descriptor::Located;
use crate::descriptor::transitions::{Import, read_import_address};
use crate::diagnostic::Diagnostic;
use crate::expression::Template;
use crate::repetition::{self, NoItems};
use crate::source::Span;
use std::collections::BTreeMap;
use terrace_provider::Value;

/// An object that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompiledImport {
    /// What its provider knows it by.
    pub id: String,
    /// Where the resource is named.
    pub span: Span,
    /// Where the id stands.
    pub id_span: Span,
}

/// The objects, by the resource that they are from now on.
pub(super) fn compile(
    compiler: &Compiler<'_>,
    imports: &[Import],
    scope: &FactScope,
    diagnostics: &mut Vec<Diagnostic>,
) -> BTreeMap<Address, CompiledImport> {
    let mut compiled: BTreeMap<Address, CompiledImport> = BTreeMap::new();
    for import in imports {
        for scope in scopes(compiler, import, scope, diagnostics) {
            let Some(to) = address(compiler, import, &scope, diagnostics) else { continue };
            let Some(id) = id(compiler, import, &scope, diagnostics) else { continue };
            match compiled.get(&to) {
                Some(first) => diagnostics.push(imported_twice(&to, import.to.span, first.span)),
                None => {
                    compiled.insert(to, CompiledImport { id, span: import.to.span, id_span: import.id.span });
                }
            }
        }
    }
    compiled
}

/// What each of the objects is evaluated in: with `each`, where there is a `forEach`.
fn scopes(
    compiler: &Compiler<'_>,
    import: &Import,
    scope: &FactScope,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<FactScope> {
    let Some(for_each) = &import.for_each else { return vec![scope.clone()] };
    let with = |each: &Value| {
        let mut scope = scope.clone();
        scope.roots.insert("each".to_owned(), each.clone());
        scope
    };
    let key_of = |key: &Template, each: &Value| match key.evaluate(&with(each), compiler.functions) {
        Ok(Value::String(text)) => Ok(text),
        Ok(Value::Unknown) => Err(NoItems::Unknown("key")),
        Ok(other) => Err(not_text("key", key, &other).hint("use `string(…)`").into()),
        Err(found) => Err(NoItems::Wrong(found)),
    };
    let value = for_each.evaluate(scope, compiler.functions).map_err(NoItems::Wrong);
    match value.and_then(|value| repetition::items(for_each, value, import.key.as_ref(), &key_of)) {
        Ok(items) => items.iter().map(|item| with(&item.each)).collect(),
        Err(NoItems::Wrong(found)) => {
            diagnostics.extend(found);
            Vec::new()
        }
        Err(NoItems::Unknown(field)) => {
            diagnostics.push(
                Diagnostic::error("known_too_late", format!("`{field}` of an import is not known before planning"))
                    .at(for_each.span)
                    .hint("use variables, locals and settings"),
            );
            Vec::new()
        }
    }
}

fn address(
    compiler: &Compiler<'_>,
    import: &Import,
    scope: &FactScope,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Address> {
    match import.to.evaluate(scope, compiler.functions) {
        Ok(Value::String(text)) => read_import_address(&Located { value: text, span: import.to.span }, diagnostics),
        Ok(other) => {
            diagnostics.push(not_text("to", &import.to, &other).hint("write an address, as text"));
            None
        }
        Err(found) => {
            diagnostics.extend(found);
            None
        }
    }
}

fn id(
    compiler: &Compiler<'_>,
    import: &Import,
    scope: &FactScope,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<String> {
    match import.id.evaluate(scope, compiler.functions) {
        Ok(Value::String(id)) if !id.is_empty() => Some(id),
        Ok(Value::Int(id)) => Some(id.to_string()),
        Ok(other) => {
            let error = not_text("id", &import.id, &other);
            diagnostics.push(error.hint("write what the provider knows the object by"));
            None
        }
        Err(found) => {
            diagnostics.extend(found);
            None
        }
    }
}

fn not_text(field: &str, template: &Template, found: &Value) -> Diagnostic {
    let found = match found {
        Value::String(_) => "empty",
        Value::Sensitive(_) => "sensitive, and is shown",
        _ => found.kind(),
    };
    Diagnostic::error("wrong_type", format!("`{field}` has to be text, and is {found}")).at(template.span)
}

fn imported_twice(address: &Address, again: Span, first: Span) -> Diagnostic {
    let twice = Diagnostic::error("imported_twice", format!("`{address}` is imported twice"));
    let hint = "a resource is one object: remove one of the two";
    match again == first {
        true => twice.at(again).hint(format!("{hint}, or name each item in `to` with `each.key`")),
        false => twice.at_with(again, "again here").at_with(first, "first here").hint(hint),
    }
}
