//! Ids of data products and components. Names of stacks and keys are derived from them, and two ids may result in one name. The
//! planner does not mix the rows of two ids.

use super::components::RecordedComponent;
use super::failure::PlanFailure;
use super::planner::Planner;
use std::collections::BTreeMap;
use terrace_language::address::{ComponentKey, StackId};
use terrace_language::compile::{CompiledComponent, CompiledStack};
use terrace_language::descriptor::Descriptor;
use terrace_language::diagnostic::Diagnostic;
use terrace_language::source::Span;
use terrace_provider::Value;
use terrace_store::Ids;

/// The ids of a component and its naming rule. A component without ids still records its rule, unless that is the default for rows
/// that have none.
pub(super) fn of(compiled: &CompiledStack, component: &CompiledComponent) -> Option<Ids> {
    let names = compiled.names;
    match (compiled.product.get("id").and_then(Value::as_str), &component.id) {
        (Some(product), Some(component)) => {
            Some(Ids { product: product.to_owned(), component: component.clone(), names })
        }
        _ => (!names.is_ascii()).then(|| Ids { product: String::new(), component: String::new(), names }),
    }
}

/// The ids of a data product's components, by key; also for a descriptor with errors. Empty for a plain stack and for a product
/// without an id.
#[must_use]
pub fn ids_of(descriptor: &Descriptor) -> BTreeMap<ComponentKey, Ids> {
    let Some(product) = descriptor.product.get("id").and_then(Value::as_str) else { return BTreeMap::new() };
    let listed = descriptor.components.iter().filter_map(|component| Some((&component.key, component.id.as_ref()?)));
    let unlisted = descriptor.unlisted.iter().map(|component| (&component.key, &component.id));
    let names = descriptor.names;
    let ids = |id: &String| Ids { product: product.to_owned(), component: id.clone(), names };
    listed.chain(unlisted).map(|(key, id)| (key.clone(), ids(id))).collect()
}

impl Planner<'_> {
    /// Refuses a component whose key or stack belongs to another id of the same name.
    pub(super) fn check_ids(
        &self,
        compiled: &CompiledStack,
        recorded: &BTreeMap<ComponentKey, RecordedComponent>,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let is_chosen = |key: &str| self.options.components.is_empty() || self.options.components.contains(key);
        let chosen = compiled.components.iter().filter(|component| is_chosen(&component.key));
        let chosen = chosen.filter_map(|it| Some(Named { key: &it.key, ids: of(compiled, it)?, span: Some(it.span) }));
        check(&compiled.stack, chosen, recorded, diagnostics);
    }

    /// The same for a stack to destroy, with the ids of its descriptor or of the request.
    pub(super) async fn check_ids_of(
        &self,
        stack: &StackId,
        described: &[CompiledStack],
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Result<(), PlanFailure> {
        let compiled = described.iter().find(|compiled| compiled.stack == *stack);
        let of_stack = |((of, _), _): &(&(StackId, ComponentKey), &Ids)| of == stack;
        let mut named = self.options.named_ids.iter().filter(of_stack).peekable();
        if compiled.is_none() && named.peek().is_none() {
            return Ok(());
        }
        let recorded = self.recorded_components(stack).await?;
        if let Some(compiled) = compiled {
            self.check_ids(compiled, &recorded, diagnostics);
        }
        let named = named.map(|((_, key), ids)| Named { key, ids: ids.clone(), span: None });
        check(stack, named, &recorded, diagnostics);
        Ok(())
    }
}

/// A component by its key and its ids.
struct Named<'a> {
    key: &'a str,
    ids: Ids,
    span: Option<Span>,
}

fn check<'a>(
    stack: &StackId,
    named: impl Iterator<Item = Named<'a>>,
    recorded: &BTreeMap<ComponentKey, RecordedComponent>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let mut named = named.peekable();
    let Some(first) = named.peek() else { return };
    let differs = |known: &str, id: &str| ![known, id].contains(&"") && known != id;
    let mut known = recorded.values().filter_map(|component| component.row.ids.as_ref());
    if let Some(other) = known.find(|known| differs(&known.product, &first.ids.product)) {
        let message = format!("`{stack}` belongs to the data product `{}` already", other.product);
        diagnostics.push(taken("another_product", message, first.span));
        return;
    }
    for Named { key, ids, span } in named {
        let known = recorded.get(key).and_then(|component| component.row.ids.as_ref());
        if let Some(known) = known.filter(|known| differs(&known.component, &ids.component)) {
            let message = format!("`{key}` belongs to the component `{}` already", known.component);
            diagnostics.push(taken("another_component", message, span));
        }
    }
}

fn taken(code: &'static str, message: String, span: Option<Span>) -> Diagnostic {
    let diagnostic = Diagnostic::error(code, message);
    let diagnostic = span.into_iter().fold(diagnostic, Diagnostic::at);
    diagnostic.hint(
        "give one of the two another id: names replace `:` with `.`, and other ASCII characters than letters, digits, `.`, `_` and `-` \
         with `-`; first destroy the one with the old id, with its old descriptor",
    )
}
