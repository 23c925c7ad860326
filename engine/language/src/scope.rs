//! Scope of expressions while planning: facts of the component, and values that were planned before.

pub mod other_stacks;

use crate::address::{ComponentKey, InstanceKey};
use crate::compile::CompiledStack;
use crate::compile::facts::available_variables;
use crate::compile::names::{LOCALS, REQUEST};
use crate::diagnostic::{did_you_mean, first_of};
use crate::environment::Environment;
use crate::expression::{Missing, ReferenceStep, Scope, descend};
use crate::quick::QuickMap;
use indexmap::IndexMap;
use other_stacks::CrossStackOutputs;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use terrace_provider::names::listed;
use terrace_provider::{Map, Value};

/// The values of a declaration's instances.
#[derive(Debug, Clone)]
pub enum BlockValue {
    /// A resource without `forEach`.
    Single(Value),
    /// A resource with `forEach`.
    Instances(IndexMap<InstanceKey, Value>),
    /// A resource whose `when` is false.
    Absent,
}

/// Values of the planned resources of a component, by name.
pub type ResourceValues = QuickMap<String, BlockValue>;

/// Results of the lookups of a component, by name.
pub type LookupValues = HashMap<String, Value>;

/// Outputs of components by key.
pub type ComponentOutputs = HashMap<ComponentKey, Map>;

/// Facts that are the same for all resources of a component.
#[derive(Debug, Default)]
pub struct Facts {
    /// `component`; `None` during apply, because the plan holds the values that it needs.
    pub component: Option<Value>,
    /// `acl`, if the access list is known.
    pub acl: Option<Value>,
    /// `locals` of the component's blueprint; the stack's own are in `roots`.
    pub locals: Option<Value>,
    /// The root variables of all components: `product`, `environment`, `stack`, `settings`, `vars`. Shared, because a product may
    /// be large and have many components.
    pub roots: Arc<Map>,
    /// Keys of components by URN.
    pub urns: Arc<HashMap<String, ComponentKey>>,
}

/// The scope of one resource, output or instance.
pub struct PlanScope<'a> {
    /// The facts of the component.
    pub facts: &'a Facts,
    /// `resources`: those of the component that were planned before.
    pub resources: &'a ResourceValues,
    /// `data`: the results of the component's lookups.
    pub data: &'a LookupValues,
    /// The outputs of the components of the stack.
    pub outputs: &'a ComponentOutputs,
    /// Outputs of other stacks; `None` if they are unknown.
    pub stacks: Option<&'a CrossStackOutputs>,
    /// `each` of an instance.
    pub each: Option<&'a Value>,
    /// The resource that a post check evaluates.
    pub own: Option<&'a Value>,
}

impl Scope for PlanScope<'_> {
    fn resolve(&self, root: &str, steps: &[ReferenceStep]) -> Result<Cow<'_, Value>, Missing> {
        match root {
            "resources" => self.resource(steps),
            "components" => self.component(steps),
            "data" => self.lookup(steps),
            "stacks" => match self.stacks {
                Some(stacks) => stacks.resolve(steps),
                None => Ok(Cow::Owned(Value::Unknown)),
            },
            "each" => match self.each {
                Some(each) => descend(each, "each", steps),
                None => Err(Missing::new("`each` is known only in a resource with `forEach`")
                    .hint("add `forEach`, or remove `each`".to_owned())),
            },
            "self" => match self.own {
                Some(own) => descend(own, "self", steps),
                None => Err(Missing::new("`self` is known only in a check with `when: post`")),
            },
            _ => match self.facts.root(root) {
                Some(value) => descend(value, root, steps),
                None => Err(unknown_root(root, self.facts)),
            },
        }
    }
}

impl Facts {
    fn root(&self, name: &str) -> Option<&Value> {
        match name {
            "component" => self.component.as_ref(),
            "acl" => self.acl.as_ref(),
            LOCALS => self.locals.as_ref(),
            _ => None,
        }
        .or_else(|| self.roots.get(name))
    }
}

impl PlanScope<'_> {
    fn resource(&self, steps: &[ReferenceStep]) -> Result<Cow<'_, Value>, Missing> {
        let Some((ReferenceStep::Key(name), rest)) = steps.split_first() else {
            return Err(Missing::new("`resources` needs the name of one resource"));
        };
        match self.resources.get(name) {
            None => Err(Missing::new(format!("`resources` has no `{name}`"))
                .hint(did_you_mean(name, self.resources.keys().map(String::as_str)))),
            Some(BlockValue::Absent) => {
                Err(Missing::new(format!("`resources.{name}` does not exist: its `when` is false"))
                    .hint(format!("test it with `has(resources.{name})` first"))
                    .with_resolved_steps(0))
            }
            Some(BlockValue::Single(value)) => {
                descend(value, &format!("resources.{name}"), rest).map_err(|missing| missing.preceded_by(1))
            }
            Some(BlockValue::Instances(instances)) => {
                instance(instances, name, rest).map_err(|missing| missing.preceded_by(1))
            }
        }
    }

    fn lookup(&self, steps: &[ReferenceStep]) -> Result<Cow<'_, Value>, Missing> {
        let Some((ReferenceStep::Key(name), rest)) = steps.split_first() else {
            return Err(Missing::new("`data` needs the name of one lookup"));
        };
        match self.data.get(name) {
            Some(value) => descend(value, &format!("data.{name}"), rest).map_err(|missing| missing.preceded_by(1)),
            None => Err(Missing::new(format!("`data` has no `{name}`"))
                .hint(did_you_mean(name, self.data.keys().map(String::as_str)))),
        }
    }

    fn component(&self, steps: &[ReferenceStep]) -> Result<Cow<'_, Value>, Missing> {
        let (key, rest) = match steps {
            [ReferenceStep::Key(key), ReferenceStep::Key(outputs), rest @ ..] if outputs == "outputs" => (key, rest),
            _ => return Err(Missing::new("`components` is read as `components[\"key\"].outputs.name`")),
        };
        let resolved = self.facts.urns.get(key).map_or(key.as_str(), ComponentKey::as_str);
        let Some(outputs) = self.outputs.get(resolved) else {
            return Err(Missing::new(format!("component `{key}` has no outputs: it is not deployed"))
                .hint(format!("deploy `{key}` first, or together with this component")));
        };
        match rest.split_first() {
            None => Ok(Cow::Owned(Value::Map(outputs.clone()))),
            Some((ReferenceStep::Key(name), rest)) => match outputs.get(name) {
                Some(value) => descend(value, &format!("components[\"{key}\"].outputs.{name}"), rest)
                    .map_err(|missing| missing.preceded_by(3)),
                None => Err(Missing::new(format!("component `{key}` has no output `{name}`"))
                    .hint(did_you_mean(name, outputs.keys().map(String::as_str)))
                    .with_resolved_steps(2)),
            },
            Some(_) => Err(Missing::new("outputs are read by name")),
        }
    }
}

/// Reads one instance, or all of them as a map.
pub fn instance<'a>(
    instances: &'a IndexMap<InstanceKey, Value>,
    name: &str,
    steps: &[ReferenceStep],
) -> Result<Cow<'a, Value>, Missing> {
    let Some((first, rest)) = steps.split_first() else {
        let entry = |(key, value): (&InstanceKey, &Value)| (key_text(key), value.clone());
        return Ok(Cow::Owned(Value::Map(instances.iter().map(entry).collect())));
    };
    let key = match first {
        ReferenceStep::Key(key) => InstanceKey::Text(key.clone()),
        ReferenceStep::Index(index) => InstanceKey::Index(*index),
        ReferenceStep::Path(_) => return Err(Missing::new("a computed key must have a known value")),
    };
    match instances.get(&key) {
        Some(value) => {
            descend(value, &format!("resources.{name}{key}"), rest).map_err(|missing| missing.preceded_by(1))
        }
        None => {
            let known: Vec<String> = instances.keys().map(key_text).collect();
            let hint = did_you_mean(&key_text(&key), known.iter().map(String::as_str));
            let all = || match known.len() {
                0 => "its `forEach` is empty".to_owned(),
                _ => format!("its keys are: {}", first_of(&known)),
            };
            let missing = Missing::new(format!("`resources.{name}` has no instance {key}"));
            Err(missing.hint(hint.unwrap_or_else(all)).with_resolved_steps(0))
        }
    }
}

/// The text of an instance's key.
pub(crate) fn key_text(key: &InstanceKey) -> String {
    match key {
        InstanceKey::Index(index) => index.to_string(),
        InstanceKey::Text(text) => text.clone(),
        InstanceKey::All => "*".to_owned(),
    }
}

fn unknown_root(root: &str, facts: &Facts) -> Missing {
    // A plain stack's component has no descriptor entry, and no request comes with it.
    let component = facts.component.as_ref().filter(|component| !component.is_null()).map(|_| "component");
    let shared = available_variables(&facts.roots).filter(|name| *name != REQUEST || component.is_some());
    let known = component.into_iter().chain(facts.acl.as_ref().map(|_| "acl")).chain(shared);
    let known: Vec<&str> = known.chain(["resources", "components", "data", "stacks", "each"]).collect();
    Missing::new(format!("there is no variable `{root}` here"))
        .hint(did_you_mean(root, known.iter().copied()).or_else(|| Some(format!("there are: {}", listed(&known)))))
}

/// Keys of components by URN.
pub fn urns(compiled: &CompiledStack) -> HashMap<String, ComponentKey> {
    let components = compiled.components.iter();
    components.filter_map(|component| Some((component.id.clone()?, component.key.clone()))).collect()
}

/// The variables that are the same for all components.
pub fn roots(environment: &Environment, compiled: &CompiledStack) -> Map {
    [
        ("product", compiled.product.clone()),
        (REQUEST, compiled.request.clone()),
        ("environment", Value::from(environment.name.as_str())),
        ("stack", Value::from(compiled.stack.name.as_str())),
        ("settings", environment.settings.clone()),
        ("vars", Value::Map(compiled.variables.clone())),
        (LOCALS, Value::Map(compiled.locals.clone())),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// Variables that a saved plan evaluates during its apply instead of storing their values.
pub const KEPT_ROOTS: &[&str] = &["resources", "components", "data", "stacks", "self"];
