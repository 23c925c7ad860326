//! Outputs of components of other stacks.

use crate::address::{ComponentKey, StackId};
use crate::diagnostic::did_you_mean;
use crate::expression::{Missing, ReferenceStep, descend};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use terrace_provider::names::listed;
use terrace_provider::value::wire::WireError;
use terrace_provider::{Map, Value};

/// Outputs of components of other stacks, as expressions see them.
#[derive(Debug, Clone, Default)]
pub struct CrossStackOutputs {
    /// The environment of a stack whose name contains none.
    pub(crate) environment: String,
    /// By stack and component; `None` for a stack that could not be planned.
    pub stacks: BTreeMap<StackId, Option<BTreeMap<ComponentKey, Map>>>,
    /// Recorded outputs that cannot be decrypted, with the errors; by stack and component.
    pub undecryptable: BTreeMap<(StackId, ComponentKey), BTreeMap<String, WireError>>,
    /// Components with deferred changes, by stack.
    pub deferred: BTreeSet<(StackId, ComponentKey)>,
    /// Stacks that have rows, for suggestions.
    pub recorded: Vec<StackId>,
    /// Stacks that ever had rows.
    pub known: Vec<StackId>,
}

impl CrossStackOutputs {
    /// No outputs yet, for a stack of this environment.
    #[must_use]
    pub fn of(environment: &str) -> Self {
        Self { environment: environment.to_owned(), ..Self::default() }
    }

    /// Adds or replaces the outputs of a component.
    pub fn set(&mut self, stack: &StackId, component: &ComponentKey, outputs: Map) {
        let components = self.stacks.entry(stack.clone()).or_insert_with(|| Some(BTreeMap::new()));
        components.get_or_insert_default().insert(component.clone(), outputs);
    }

    /// True if any of the components has deferred changes.
    pub fn has_deferred(&self) -> bool {
        !self.deferred.is_empty()
    }

    /// The stack of a path that begins with a stack's name, if the component has deferred changes.
    pub fn deferred(&self, steps: &[ReferenceStep]) -> Option<String> {
        let (name, component, _) = split(steps)?;
        let read = (stack_of(name, &self.environment), component);
        self.deferred.contains(&read).then(|| format!("stack {}", read.0))
    }

    /// Explains why a stack has no outputs. Suggestions stay within its environment.
    fn missing(&self, name: &str, stack: &StackId) -> Missing {
        let apply_first = format!("apply {stack} first, or plan both in one run");
        if self.known.contains(stack) {
            let message = format!("the stack `{stack}` has no state any more");
            return Missing::new(message).hint(apply_first);
        }
        let here = self.recorded.iter().filter(|other| other.environment == stack.environment);
        let is_whole = name == stack.to_string();
        let names: Vec<String> =
            here.map(|other| if is_whole { other.to_string() } else { other.name.clone() }).collect();
        Missing::new(format!("the stack `{stack}` was never applied"))
            .hint(did_you_mean(name, names.iter().map(String::as_str)).or(Some(apply_first)))
    }

    /// Resolves a path that begins with a stack's name.
    pub(crate) fn resolve(&self, steps: &[ReferenceStep]) -> Result<Cow<'_, Value>, Missing> {
        let Some((name, component, rest)) = split(steps) else { return Err(malformed()) };
        let stack = stack_of(name, &self.environment);
        let components = match self.stacks.get(&stack) {
            Some(Some(components)) => components,
            Some(None) => return Ok(Cow::Owned(Value::Unknown)),
            None => return Err(self.missing(name, &stack)),
        };
        let of = if component.is_stack() { format!("{stack}") } else { format!("component `{component}` of {stack}") };
        let Some(outputs) = components.get(&component) else {
            let known = components.keys().filter(|key| !key.is_stack()).map(ComponentKey::as_str);
            let listed: Vec<&str> = known.clone().collect();
            return Err(Missing::new(format!("{of} does not exist or is not deployed")).hint(
                did_you_mean(&component, known).or_else(|| Some(listed_or_none("its components are", &listed))),
            ));
        };
        let path = format!("stacks[\"{name}\"].components[\"{component}\"].outputs");
        let undecryptable = self.undecryptable.get(&(stack.clone(), component.clone()));
        let undecryptable_error = |(name, error): (&String, &WireError)| {
            Missing::new(format!("the output `{name}` of {of}: {error}"))
                .hint("provide the state key that sealed it".to_owned())
        };
        let before = steps.len() - rest.len();
        match rest.split_first() {
            None if let Some(first) = undecryptable.and_then(BTreeMap::first_key_value) => {
                Err(undecryptable_error(first))
            }
            Some((ReferenceStep::Key(name), _))
                if let Some(entry) = undecryptable.and_then(|entry| entry.get_key_value(name)) =>
            {
                Err(undecryptable_error(entry))
            }
            None => Ok(Cow::Owned(Value::Map(outputs.clone()))),
            Some((ReferenceStep::Key(name), rest)) => match outputs.get(name) {
                Some(value) => {
                    descend(value, &format!("{path}.{name}"), rest).map_err(|missing| missing.preceded_by(before + 1))
                }
                None => {
                    let names: Vec<&str> = outputs.keys().map(String::as_str).collect();
                    let missing = Missing::new(format!("{of} has no output `{name}`")).with_resolved_steps(before);
                    Err(missing.hint(
                        did_you_mean(name, names.iter().copied())
                            .or_else(|| Some(listed_or_none("its outputs are", &names))),
                    ))
                }
            },
            Some(_) => Err(malformed()),
        }
    }
}

/// The stack, the component and the steps after `outputs`.
pub fn split(steps: &[ReferenceStep]) -> Option<(&str, ComponentKey, &[ReferenceStep])> {
    match steps {
        [ReferenceStep::Key(stack), ReferenceStep::Key(outputs), rest @ ..] if outputs == "outputs" => {
            Some((stack, ComponentKey::STACK, rest))
        }
        [
            ReferenceStep::Key(stack),
            ReferenceStep::Key(components),
            ReferenceStep::Key(component),
            ReferenceStep::Key(outputs),
            rest @ ..,
        ] if components == "components" && outputs == "outputs" => Some((stack, component.as_str().into(), rest)),
        _ => None,
    }
}

/// The stack of a name in an expression. A name without an environment is of the given one.
#[must_use]
pub fn stack_of(text: &str, environment: &str) -> StackId {
    text.parse().unwrap_or_else(|_| StackId::new(text, environment))
}

pub(crate) fn listed_or_none(label: &str, names: &[&str]) -> String {
    if names.is_empty() { "none exists".to_owned() } else { format!("{label}: {}", listed(names)) }
}

/// The error of a path that reads `stacks` in another form.
#[must_use]
pub fn malformed() -> Missing {
    Missing::new("`stacks` is read as `stacks[\"name\"].components[\"key\"].outputs.name`")
        .hint("outputs of the stack itself: `stacks[\"name\"].outputs.name`".to_owned())
}
