//! What is said of recorded objects, put together from the stack and its blueprints.

use super::{CompiledComponent, Compiler, FactScope};
use crate::address::Address;
use crate::descriptor::transitions::{Import, Move, Transitions};
use crate::descriptor::{Located, ResourceDeclaration};
use crate::diagnostic::Diagnostic;
use crate::moves::Moves;
use crate::selector::{Selector, is_same_block};
use crate::source::Span;
use std::collections::BTreeMap;
use terrace_provider::Value;

/// What is said of recorded objects.
#[derive(Debug, Clone, Default)]
pub struct CompiledTransitions {
    /// Resources that have another address now.
    pub moves: Moves,
    /// Resources that are dropped from state.
    pub forget: Vec<Located<Selector>>,
    /// Objects that exist, by the resource that they are from now on.
    pub imports: BTreeMap<Address, CompiledImport>,
}

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

/// Puts together what the stack and its blueprints say. Components that were not chosen say nothing.
pub(super) fn compile(
    compiler: &Compiler<'_>,
    stated: &Transitions,
    components: &[CompiledComponent],
    scope: &FactScope,
    diagnostics: &mut Vec<Diagnostic>,
) -> CompiledTransitions {
    let of_blueprints = components.iter().flat_map(|component| &component.moved);
    let moves = Moves::new(stated.moved.iter().chain(of_blueprints).cloned().collect(), diagnostics);
    for one in moves.iter() {
        diagnostics.extend(moved_and_declared(one, components));
    }
    for forgotten in &stated.forget {
        diagnostics.extend(forgotten_and_declared(forgotten, components));
    }
    let mut imports: BTreeMap<Address, CompiledImport> = BTreeMap::new();
    for import in &stated.imports {
        let Some(compiled) = compile_import(compiler, import, scope, diagnostics) else { continue };
        if let Some(first) = imports.get(&import.to.value) {
            diagnostics.push(
                Diagnostic::error("imported_twice", format!("`{}` is imported twice", import.to.value))
                    .at_with(import.to.span, "again here")
                    .at_with(first.span, "first here")
                    .hint("a resource is one object: remove one of the two"),
            );
            continue;
        }
        imports.insert(import.to.value.clone(), compiled);
    }
    CompiledTransitions { moves, forget: stated.forget.clone(), imports }
}

fn compile_import(
    compiler: &Compiler<'_>,
    import: &Import,
    scope: &FactScope,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<CompiledImport> {
    let id = match import.id.evaluate(scope, compiler.functions) {
        Ok(Value::String(id)) if !id.is_empty() => id,
        Ok(Value::Int(id)) => id.to_string(),
        Ok(other) => {
            let found = match other {
                Value::String(_) => "empty",
                Value::Sensitive(_) => "sensitive, and is shown",
                _ => other.kind(),
            };
            diagnostics.push(
                Diagnostic::error("wrong_type", format!("`id` has to be text, and is {found}"))
                    .at(import.id.span)
                    .hint("write what the provider knows the object by"),
            );
            return None;
        }
        Err(found) => {
            diagnostics.extend(found);
            return None;
        }
    };
    Some(CompiledImport { id, span: import.to.span, id_span: import.id.span })
}

/// A resource that is declared where another one moved away from: both would be one.
fn moved_and_declared(one: &Move, components: &[CompiledComponent]) -> Option<Diagnostic> {
    let (name, span) = match (&one.from.value, &one.to.value) {
        (Selector::Component(key), _) => {
            let component = components.iter().find(|component| component.key == *key)?;
            (format!("component `{key}`"), component.span)
        }
        // Instances come and go: whether this one is declared is known when its `forEach` is.
        (Selector::Resource(from), _) if from.key.is_some() => return None,
        (Selector::Resource(from), Selector::Resource(to)) if is_same_block(from, to) => return None,
        (Selector::Resource(from), _) => (format!("`{from}`"), declaration(from, components)?.name.span),
    };
    Some(
        Diagnostic::error("moved_and_declared", format!("{name} moved to `{}` and is declared still", one.to.value))
            .at(one.from.span)
            .at_with(span, "declared here")
            .hint("remove the declaration, or this item of `moved`"),
    )
}

fn forgotten_and_declared(forgotten: &Located<Selector>, components: &[CompiledComponent]) -> Option<Diagnostic> {
    let span = match &forgotten.value {
        Selector::Component(key) => components.iter().find(|component| component.key == *key)?.span,
        Selector::Resource(address) if address.key.is_some() => return None,
        Selector::Resource(address) => declaration(address, components)?.name.span,
    };
    Some(forgotten_still(forgotten, span))
}

/// A resource that is to be forgotten and is declared.
pub(crate) fn forgotten_still(forgotten: &Located<Selector>, declared: Span) -> Diagnostic {
    let message = format!("`{}` is to be forgotten and is declared still", forgotten.value);
    Diagnostic::error("forgotten_and_declared", message)
        .at(forgotten.span)
        .at_with(declared, "declared here")
        .hint("remove the declaration, or this item of `forget`")
}

fn declaration<'c>(address: &Address, components: &'c [CompiledComponent]) -> Option<&'c ResourceDeclaration> {
    let component = components.iter().find(|component| component.key == address.component)?;
    let mut resources = component.declarations.resources.iter();
    resources.find(|resource| resource.name.value == address.name && resource.ty.value == address.ty)
}
