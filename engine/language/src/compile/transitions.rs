//! Moves, forgets and imports of recorded objects, combined from the stack and its blueprints.

use super::compiled::CompiledTransitions;
use super::facts::FactScope;
use super::{CompiledComponent, Compiler, imports};
use crate::address::{Address, StackId};
use crate::descriptor::ResourceDeclaration;
use crate::descriptor::transitions::{Move, Transitions};
use crate::diagnostic::Diagnostic;
use crate::moves::{self, Moves};
use crate::selector::{Selector, is_same_block};
use crate::source::{Located, Span};

/// Combines the declarations of the stack and its blueprints. Components that were not chosen contribute none.
pub(super) fn compile(
    compiler: &Compiler<'_>,
    stack: &StackId,
    declared: &Transitions,
    components: &[CompiledComponent],
    scope: &FactScope,
    diagnostics: &mut Vec<Diagnostic>,
) -> CompiledTransitions {
    let blueprint_moves = components.iter().flat_map(|component| &component.moved);
    let moves = Moves::new(declared.moved.iter().chain(blueprint_moves).cloned().collect(), diagnostics);
    let circles = moves.circles();
    diagnostics.extend(circles.iter().map(|circle| circle_error(stack, circle, components)));
    let is_in_circle = |moved: &Move| circles.iter().flatten().any(|entry| std::ptr::eq(*entry, moved));
    for moved in moves.iter().filter(|moved| !is_in_circle(moved)) {
        diagnostics.extend(moved_and_declared(moved, components));
    }
    for forgotten in &declared.forget {
        diagnostics.extend(forgotten_and_declared(forgotten, components));
    }
    let imports = imports::compile(compiler, &declared.imports, scope, diagnostics);
    CompiledTransitions { moves, forget: declared.forget.clone(), imports, identified: declared.identified.clone() }
}

/// Reports a circle of moves. Declared objects that take each other's addresses move by commands, one after the other.
fn circle_error(stack: &StackId, circle: &[&Move], components: &[CompiledComponent]) -> Diagnostic {
    let mut names: Vec<String> = circle.iter().map(|entry| entry.from.value.to_string()).collect();
    names.extend(names.first().cloned());
    let resources = circle.iter().map(|entry| match &entry.from.value {
        Selector::Resource(address) => declaration(address, components).map(|_| address),
        Selector::Component(_) => None,
    });
    let hint = match resources.collect::<Option<Vec<&Address>>>() {
        Some(addresses) => {
            let commands = moves::rotation(stack, &addresses);
            let commands: Vec<String> = commands.iter().map(|command| format!("`{command}`")).collect();
            format!(
                "to exchange the addresses of recorded objects, remove these moves and run {}",
                commands.join(", then ")
            )
        }
        None if circle.iter().all(|entry| is_declared(&entry.from.value, components)) => {
            let first = names.first().map(String::as_str).unwrap_or_default();
            format!(
                "to exchange them, apply after each rename: first rename `{first}` to an unused name, then each other one \
                 to the name that is free, last the unused name to its final one"
            )
        }
        None => "remove the move that leads back".to_owned(),
    };
    let message = format!("the moves form a circle: {}", names.join(" → "));
    let diagnostic = Diagnostic::error("move_loop", message).hint(hint);
    circle.iter().fold(diagnostic, |diagnostic, entry| diagnostic.at(entry.from.span))
}

fn is_declared(selector: &Selector, components: &[CompiledComponent]) -> bool {
    match selector {
        Selector::Component(key) => components.iter().any(|component| component.key == *key),
        Selector::Resource(address) => declaration(address, components).is_some(),
    }
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
pub fn forgotten_but_declared(forgotten: &Located<Selector>, declared: Span) -> Diagnostic {
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
