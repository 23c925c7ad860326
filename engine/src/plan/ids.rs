//! Ids of data products and components: names of stacks and keys are made of them, and two ids may make one name. What is
//! recorded of one is not taken for another's.

use super::components::RecordedComponent;
use super::compute::{PlanFailure, Planner};
use crate::address::StackId;
use crate::compile::{CompiledComponent, CompiledStack};
use crate::descriptor::Descriptor;
use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::store::Ids;
use std::collections::BTreeMap;
use terrace_provider::Value;

/// The ids of a component and the rule of its names. A component without ids has a rule to record, too, unless that is the
/// rule of rows that record none.
pub(super) fn of(compiled: &CompiledStack, component: &CompiledComponent) -> Option<Ids> {
    let names = compiled.names;
    match (compiled.product.get("id").and_then(Value::as_str), &component.id) {
        (Some(product), Some(component)) => {
            Some(Ids { product: product.to_owned(), component: component.clone(), names })
        }
        _ => (!names.is_ascii()).then(|| Ids { product: String::new(), component: String::new(), names }),
    }
}

/// What a data product and its components are called, by key, however wrong the rest of it is; nothing for a plain stack, and
/// for what has no id.
#[must_use]
pub fn ids_of(descriptor: &Descriptor) -> BTreeMap<String, Ids> {
    let Some(product) = descriptor.product.get("id").and_then(Value::as_str) else { return BTreeMap::new() };
    let listed = descriptor.components.iter().filter_map(|it| Some((&it.key, it.id.as_ref()?)));
    let unlisted = descriptor.unlisted.iter().map(|it| (&it.key, &it.id));
    let names = descriptor.names;
    let ids = |id: &String| Ids { product: product.to_owned(), component: id.clone(), names };
    listed.chain(unlisted).map(|(key, id)| (key.clone(), ids(id))).collect()
}

impl Planner<'_> {
    /// Refuses what would take the place of another data product's, or another component's, of the same name.
    pub(super) fn check_ids(
        &self,
        compiled: &CompiledStack,
        recorded: &BTreeMap<String, RecordedComponent>,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let is_meant = |key: &str| self.options.components.is_empty() || self.options.components.contains(key);
        let meant = compiled.components.iter().filter(|component| is_meant(&component.key));
        let meant = meant.filter_map(|it| Some(Named { key: &it.key, ids: of(compiled, it)?, span: Some(it.span) }));
        check(&compiled.stack, meant, recorded, diagnostics);
    }

    /// The same for a stack that is to go, by what describes it, or by what is said of it.
    pub(super) async fn check_ids_of(
        &self,
        stack: &StackId,
        described: &[CompiledStack],
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Result<(), PlanFailure> {
        let compiled = described.iter().find(|compiled| compiled.stack == *stack);
        let of_stack = |((of, _), _): &(&(StackId, String), &Ids)| of == stack;
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
    recorded: &BTreeMap<String, RecordedComponent>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let mut named = named.peekable();
    let Some(first) = named.peek() else { return };
    let is_other = |known: &str, id: &str| ![known, id].contains(&"") && known != id;
    let mut known = recorded.values().filter_map(|component| component.row.ids.as_ref());
    if let Some(other) = known.find(|known| is_other(&known.product, &first.ids.product)) {
        let message = format!("`{stack}` is recorded of the data product `{}` already", other.product);
        diagnostics.push(taken("another_product", message, first.span));
        return;
    }
    for Named { key, ids, span } in named {
        let known = recorded.get(key).and_then(|it| it.row.ids.as_ref());
        if let Some(known) = known.filter(|known| is_other(&known.component, &ids.component)) {
            let message = format!("`{key}` is recorded of the component `{}` already", known.component);
            diagnostics.push(taken("another_component", message, span));
        }
    }
}

fn taken(code: &'static str, message: String, span: Option<Span>) -> Diagnostic {
    let diagnostic = Diagnostic::error(code, message);
    let diagnostic = span.into_iter().fold(diagnostic, Diagnostic::at);
    diagnostic.hint(
        "give one of the two another id: other characters of ASCII than letters, digits, `.`, `_` and `-` count as `-`, and `:` as \
         `.`; what goes by its old id is taken away first, by its old descriptor",
    )
}
