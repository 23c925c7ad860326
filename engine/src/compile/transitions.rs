//! Moves, forgets and imports of recorded objects, combined from the stack and its blueprints.

use super::compiled::CompiledTransitions;
use super::facts::FactScope;
use super::{CompiledComponent, Compiler, imports};
use crate::address::Address;
use crate::descriptor::ResourceDeclaration;
use crate::descriptor::transitions::{Move, Transitions};
use crate::diagnostic::Diagnostic;
use crate::moves::Moves;
use crate::selector::{Selector, is_same_block};
use crate::source::{Located, Span};

/// Combines the declarations of the stack and its blueprints. Components that were not chosen contribute none.
pub(super) fn compile(
    compiler: &Compiler<'_>,
    declared: &Transitions,
    components: &[CompiledComponent],
    scope: &FactScope,
    diagnostics: &mut Vec<Diagnostic>,
) -> CompiledTransitions {
    let blueprint_moves = components.iter().flat_map(|component| &component.moved);
    let moves = Moves::new(declared.moved.iter().chain(blueprint_moves).cloned().collect(), diagnostics);
    for moved in moves.iter() {
        diagnostics.extend(moved_and_declared(moved, components));
    }
    for forgotten in &declared.forget {
        diagnostics.extend(forgotten_and_declared(forgotten, components));
    }
    let imports = imports::compile(compiler, &declared.imports, scope, diagnostics);
    CompiledTransitions { moves, forget: declared.forget.clone(), imports, identified: declared.identified.clone() }
}

/// Reports a resource that is declared at the old address of a moved one.
fn moved_and_declared(moved: &Move, components: &[CompiledComponent]) -> Option<Diagnostic> {
    let (name, span) = match (&moved.from.value, &moved.to.value) {
        (Selector::Component(key), _) => {
            let component = components.iter().find(|component| component.key == *key)?;
            (format!("component `{key}`"), component.span)
        }
        // Whether this instance is declared is known only after its `forEach` is evaluated.
        (Selector::Resource(from), _) if from.key.is_some() => return None,
        (Selector::Resource(from), Selector::Resource(to)) if is_same_block(from, to) => return None,
        (Selector::Resource(from), _) => (format!("`{from}`"), declaration(from, components)?.name.span),
    };
    Some(
        Diagnostic::error("moved_and_declared", format!("{name} moved to `{}` and is still declared", moved.to.value))
            .at(moved.from.span)
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
    Some(forgotten_but_declared(forgotten, span))
}

/// Reports a resource that is both forgotten and declared.
pub(crate) fn forgotten_but_declared(forgotten: &Located<Selector>, declared: Span) -> Diagnostic {
    let message = format!("`{}` is to be forgotten and is still declared", forgotten.value);
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
