//! Ids of data products and components: names of stacks and keys are made of them, and two ids may make one name. What is
//! recorded of one is not taken for another's.

use super::components::RecordedComponent;
use super::compute::{PlanFailure, Planner};
use crate::address::StackId;
use crate::compile::{CompiledComponent, CompiledStack};
use crate::diagnostic::Diagnostic;
use crate::store::Ids;
use std::collections::BTreeMap;

/// What a component of a data product is called; nothing for one whose key is its only name.
pub(super) fn of(compiled: &CompiledStack, component: &CompiledComponent) -> Option<Ids> {
    let product = compiled.product.get("id")?.as_str()?.to_owned();
    Some(Ids { product, component: component.id.clone()? })
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
        let mut meant = compiled.components.iter().filter(|component| is_meant(&component.key)).peekable();
        let Some(Ids { product, .. }) = meant.peek().and_then(|component| of(compiled, component)) else { return };
        let mut known = recorded.values().filter_map(|component| component.row.ids.as_ref());
        if let (Some(other), Some(component)) = (known.find(|known| known.product != product), meant.peek()) {
            let message = format!("`{}` is recorded of the data product `{}` already", compiled.stack, other.product);
            diagnostics.push(taken("another_product", message, component));
            return;
        }
        for component in meant {
            let Some(ids) = of(compiled, component) else { continue };
            let known = recorded.get(&component.key).and_then(|it| it.row.ids.as_ref());
            if let Some(known) = known.filter(|known| known.component != ids.component) {
                let message = format!("`{}` is recorded of the component `{}` already", component.key, known.component);
                diagnostics.push(taken("another_component", message, component));
            }
        }
    }

    /// The same for a stack that is to go, where it is described.
    pub(super) async fn check_ids_of(
        &self,
        stack: &StackId,
        described: &[CompiledStack],
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Result<(), PlanFailure> {
        if let Some(compiled) = described.iter().find(|compiled| compiled.stack == *stack) {
            self.check_ids(compiled, &self.recorded_components(stack).await?, diagnostics);
        }
        Ok(())
    }
}

fn taken(code: &'static str, message: String, component: &CompiledComponent) -> Diagnostic {
    Diagnostic::error(code, message).at(component.span).hint(
        "give one of the two another id: other characters than letters, digits, `.`, `_` and `-` count as `-`, and `:` as `.`; \
         what goes by its old id is taken away first, by its old descriptor",
    )
}
