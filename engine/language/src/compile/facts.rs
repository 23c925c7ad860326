//! Scopes of expressions that are evaluated before planning.

use crate::diagnostic::did_you_mean;
use crate::expression::{Missing, ReferenceStep, Scope, descend};
use std::borrow::Cow;
use terrace_provider::names::listed;
use terrace_provider::{Map, Value};

/// Variables with values known before planning.
#[derive(Clone)]
pub struct FactScope {
    /// The values by name.
    pub roots: Map,
}

impl Scope for FactScope {
    fn resolve(&self, root: &str, steps: &[ReferenceStep]) -> Result<Cow<'_, Value>, Missing> {
        match self.roots.get(root) {
            Some(value) => descend(value, root, steps),
            None => Err(missing(root, available_variables(&self.roots))),
        }
    }
}

/// A [`FactScope`] with more variables. It borrows the facts, which may be as large as the stack.
pub(super) struct WithFacts<'a, const N: usize> {
    pub(super) facts: &'a FactScope,
    pub(super) more: [(&'static str, &'a Value); N],
}

impl<const N: usize> Scope for WithFacts<'_, N> {
    fn resolve(&self, root: &str, steps: &[ReferenceStep]) -> Result<Cow<'_, Value>, Missing> {
        let more = self.more.iter().find(|(name, _)| *name == root).map(|(_, value)| *value);
        match more.or_else(|| self.facts.roots.get(root)) {
            Some(value) => descend(value, root, steps),
            None => Err(missing(
                root,
                available_variables(&self.facts.roots).chain(self.more.iter().map(|(name, _)| *name)),
            )),
        }
    }
}

/// The names of the variables that have a value: a stack has no `product`.
pub(crate) fn available_variables(roots: &Map) -> impl Iterator<Item = &str> {
    roots.iter().filter(|(name, value)| *name != "product" || !value.is_null()).map(|(name, _)| name.as_str())
}

fn missing<'a>(root: &str, known: impl Iterator<Item = &'a str>) -> Missing {
    let known: Vec<&str> = known.collect();
    Missing::new(format!("there is no variable `{root}` here"))
        .hint(did_you_mean(root, known.iter().copied()).or_else(|| Some(format!("there are: {}", listed(&known)))))
}
