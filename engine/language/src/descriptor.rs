//! Descriptors: a stack with its components, independent of the input format.
//!
//! [`read`] is the entry point: it parses texts, detects the format of each by its content, and merges the files of a
//! stack. [`witboost`] and [`stack`] are the front ends; `declaration` reads the parts that stacks and blueprints
//! share. This module knows neither blueprints' schemas nor providers nor state.

pub mod checks;
pub mod declaration;
mod format_detection;
mod legacy_names;
mod lifecycle;
mod literal_templates;
mod names;
mod other_files;
mod secrets;
pub mod stack;
pub(crate) mod templates;
pub mod transitions;
pub mod witboost;

pub use declaration::{label_of, link_of};
pub use format_detection::{read, read_tree};
pub use legacy_names::FormerNames;
pub use names::is_resource_name;
pub use witboost::{MISSING_COMPONENTS, UNKNOWN_COMPONENT};

use crate::address::ComponentKey;
use crate::expression::Template;
use crate::naming::NamesRule;
use crate::source::{Located, Span};
use crate::yaml::Node;
use std::sync::Arc;
use std::time::Duration;
use terrace_provider::schema::Timeouts;
use terrace_provider::{Map, Path, ResourceType, Value};
use transitions::Transitions;

/// A described stack.
#[derive(Debug, Clone)]
pub struct Descriptor {
    /// The front end that read it.
    pub front_end: FrontEnd,
    /// The stack's name, without the environment: `distribution.network-status.0`.
    pub stack: String,
    /// The environment that the descriptor names.
    pub environment: Option<Located<String>>,
    /// The data product without its components, as written. Null for a plain stack.
    pub product: Value,
    /// The name, domain and version of the data product that derive from its id because the descriptor omits them.
    pub derived: Map,
    /// The components, in the order written. The stack's own resources are the component [`ComponentKey::STACK`].
    pub components: Vec<Component>,
    /// The component that the descriptor itself asks to act on (`componentIdToProvision`).
    pub target: Option<ComponentKey>,
    /// The target component, if it belongs to this product but is not listed. That is an error, except that the state
    /// may suffice to remove the component.
    pub unlisted: Option<Unlisted>,
    /// The declared variables.
    pub variables: Vec<Variable>,
    /// Named values that are computed once from the variables.
    pub locals: Vec<Local>,
    /// The declared changes of recorded objects.
    pub transitions: Transitions,
    /// The naming rule of the stack.
    pub names: NamesRule,
    /// Its names by [`NamesRule::Ascii`], which a state may use; `None` once they were applied.
    pub former: Option<Box<FormerNames>>,
}

impl Descriptor {
    /// The data product with the fields derived from its id: `product` in expressions.
    #[must_use]
    pub fn product_facts(&self) -> Value {
        let mut product = self.product.clone();
        if let Value::Map(fields) = &mut product {
            fields.extend(self.derived.clone());
        }
        product
    }
}

/// A component that the descriptor names as target but does not list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unlisted {
    /// Its id.
    pub id: String,
    /// Its key.
    pub key: ComponentKey,
}

/// The front end of a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrontEnd {
    /// A Witboost data product.
    Witboost,
    /// A plain `kind: Stack`.
    Stack,
}

/// A deployable part of a stack.
#[derive(Debug, Clone)]
pub struct Component {
    /// The key: the part of its URN after the data product's, `parent/child` for nested ones, or its name in a stack.
    pub key: ComponentKey,
    /// The URN, if there is one.
    pub id: Option<String>,
    /// The components that it depends on.
    pub depends_on: Vec<Dependency>,
    /// The content.
    pub body: Body,
    /// The place of its beginning.
    pub span: Span,
}

/// A dependency on a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// As written.
    pub text: String,
    /// The key of a component of the same descriptor; `None` for a component outside.
    pub key: Option<ComponentKey>,
    /// The place.
    pub span: Span,
}

/// The content of a component.
#[derive(Debug, Clone)]
pub enum Body {
    /// A blueprint defines the resources.
    Blueprint(Box<BlueprintUse>),
    /// The component defines the resources itself.
    Resources(Arc<Declarations>),
}

/// A component that a blueprint compiles.
#[derive(Debug, Clone)]
pub struct BlueprintUse {
    /// The name of the blueprint, in a stack; otherwise the facts select it.
    pub name: Option<Located<String>>,
    /// The facts that blueprints match.
    pub facts: Facts,
    /// The whole component as written. Expressions read it as `component`, and the schema validates `specific`.
    pub node: Arc<Node>,
}

/// The fields of a component that select its blueprint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// `useCaseTemplateId`.
    pub use_case_template_id: Option<String>,
    /// `infrastructureTemplateId`.
    pub infrastructure_template_id: Option<String>,
    /// `kind`.
    pub kind: Option<String>,
    /// `platform`.
    pub platform: Option<String>,
    /// `technology`.
    pub technology: Option<String>,
    /// `outputPortType`.
    pub output_port_type: Option<String>,
}

impl Facts {
    /// Reads the facts with a function that takes the name of a field.
    pub(crate) fn read(mut fact: impl FnMut(&'static str) -> Option<String>) -> Self {
        Self {
            use_case_template_id: fact("useCaseTemplateId"),
            infrastructure_template_id: fact("infrastructureTemplateId"),
            kind: fact("kind"),
            platform: fact("platform"),
            technology: fact("technology"),
            output_port_type: fact("outputPortType"),
        }
    }
}

/// Resources and outputs as declared by a stack's component or by a blueprint.
#[derive(Debug, Clone, Default)]
pub struct Declarations {
    /// The checks of a stack itself, which cause warnings. Empty for components and blueprints.
    pub checks: Vec<Check>,
    /// The resources, in the order written.
    pub resources: Vec<ResourceDeclaration>,
    /// The lookups, in the order written. They use these fields of a resource: type, name, provider, configuration and
    /// dependencies.
    pub data: Vec<ResourceDeclaration>,
    /// The outputs, in the order written.
    pub outputs: Vec<OutputDeclaration>,
}

/// A declared resource, possibly with an instance for each item.
#[derive(Debug, Clone)]
pub struct ResourceDeclaration {
    /// The resource type.
    pub ty: Located<String>,
    /// The name, unique in its component.
    pub name: Located<String>,
    /// The items; each makes one instance.
    pub for_each: Option<Template>,
    /// The key of an instance, if the items do not contain it.
    pub key: Option<Template>,
    /// The condition; if it is false, the resource does not exist.
    pub when: Option<Template>,
    /// The configured attributes: a literal map or a map template.
    pub config: Template,
    /// Names of resources of the same component.
    pub depends_on: Vec<Located<String>>,
    /// The configured provider instance, if it differs from the type's default.
    pub provider: Option<Template>,
    /// The share key of a shared resource.
    pub shared: Option<Template>,
    /// Whether the engine adopts an existing object.
    pub adopt: Adopt,
    /// The lifecycle settings and timeouts.
    pub lifecycle: Lifecycle,
    /// The attributes that may differ from the configuration.
    pub ignore_changes: Vec<Located<Path>>,
    /// The resources and attributes whose change replaces the object.
    pub replace_triggered_by: Vec<Trigger>,
    /// Conditions before and after its step.
    pub checks: Vec<Check>,
    /// The place of its beginning.
    pub span: Span,
}

/// A condition with the message for its failure.
#[derive(Debug, Clone)]
pub struct Check {
    /// The latest time at which it is evaluated.
    pub when: CheckTime,
    /// The condition.
    pub assert: Arc<Template>,
    /// The message.
    pub error: String,
}

/// The latest time at which a check of a resource is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckTime {
    /// Before its step.
    Pre,
    /// After its step. The check may read the object as `self`.
    Post,
}

/// A trigger of replacement: a resource of the same component, or a path into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// The resource's name.
    pub name: String,
    /// The path, which starts with the instance for a `forEach`. Empty for the whole resource.
    pub path: Path,
    /// As written.
    pub text: String,
    /// The place.
    pub span: Span,
}

/// Whether the engine adopts an existing object instead of creating one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Adopt {
    /// An existing object is an error.
    #[default]
    Never,
    /// Any existing object is adopted.
    IfExists,
    /// An object is adopted if its name follows terrace's rule. The author of the blueprint vouches for that.
    IfOurs,
}

/// The lifecycle settings of a resource.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Lifecycle {
    /// A replacement creates the new object before it deletes the old.
    pub create_before_destroy: bool,
    /// A plan that would delete the object is an error.
    pub prevent_destroy: bool,
    /// The action on a shared object when its last owner releases it.
    pub on_last_release: OnLastRelease,
    /// The attributes that may differ from the configuration.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore_changes: Vec<Path>,
    /// The timeouts that differ from the type's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Box<TimeoutOverrides>>,
}

impl Lifecycle {
    /// The timeouts of calls for a resource of that type.
    #[must_use]
    pub fn timeouts(&self, ty: &ResourceType) -> Timeouts {
        let TimeoutOverrides { create, update, delete, read } = self.timeouts.as_deref().copied().unwrap_or_default();
        Timeouts {
            create: create.unwrap_or(ty.timeouts.create),
            update: update.unwrap_or(ty.timeouts.update),
            delete: delete.unwrap_or(ty.timeouts.delete),
            read: read.unwrap_or(ty.timeouts.read),
        }
    }
}

/// The action on a shared object when its last owner releases it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OnLastRelease {
    /// The object stays.
    #[default]
    Retain,
    /// The engine deletes the object.
    Delete,
}

/// The timeouts that differ from the type's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct TimeoutOverrides {
    /// Timeout of `create`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create: Option<Duration>,
    /// Timeout of `update`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update: Option<Duration>,
    /// Timeout of `delete`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete: Option<Duration>,
    /// Timeout of `read`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<Duration>,
}

/// A declared output.
#[derive(Debug, Clone)]
pub struct OutputDeclaration {
    /// The name.
    pub name: Located<String>,
    /// The value.
    pub value: Template,
    /// The output may expose a sensitive value.
    pub is_sensitive: bool,
    /// Consumers see the output.
    pub is_public: bool,
    /// A label for display.
    pub label: Option<Template>,
    /// How a console displays it: `string`, `dashboard` …
    pub display: Option<String>,
}

/// A declared variable of a stack.
#[derive(Debug, Clone)]
pub struct Variable {
    /// The name.
    pub name: Located<String>,
    /// The type.
    pub ty: VariableType,
    /// The value if none is given; a variable without a default is required.
    pub default: Option<Value>,
    /// The value is redacted everywhere.
    pub is_sensitive: bool,
    /// Conditions that the value must meet.
    pub validation: Vec<Validation>,
}

/// The type of a variable.
#[derive(Debug, Clone)]
pub enum VariableType {
    /// Text.
    String,
    /// A whole number.
    Int,
    /// Any number.
    Float,
    /// True or false.
    Bool,
    /// Any value that is valid under the JSON Schema.
    Schema(serde_json::Value),
    /// Anything.
    Any,
}

/// A value that a stack computes from its variables: `locals.NAME` in expressions.
#[derive(Debug, Clone)]
pub struct Local {
    /// The name.
    pub name: Located<String>,
    /// The value, which may read variables and other locals.
    pub value: Template,
}

/// A condition that a variable must meet.
#[derive(Debug, Clone)]
pub struct Validation {
    /// The condition.
    pub assert: Template,
    /// The message for its failure.
    pub error: String,
}

#[cfg(test)]
mod tests;
