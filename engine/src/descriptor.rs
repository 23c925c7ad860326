//! What a user describes, whatever front end it was written for: one stack, its components and what each asks for.
//!
//! [`read`] is the front door: it parses texts, tells by content which front end each is for, and merges the files of
//! one stack. [`witboost`] and [`stack`] are the front ends; `declaration` reads what a stack and a blueprint have in
//! common. Nothing here looks at a blueprint's schema, at providers or at state.

mod checks;
pub mod declaration;
mod format_detection;
mod legacy_names;
mod lifecycle;
mod names;
mod other_files;
mod secrets;
pub mod stack;
pub mod transitions;
pub mod witboost;

use crate::expression::Template;
use crate::naming::NamesRule;
use crate::source::Span;
use crate::yaml::Node;
use std::sync::Arc;
use std::time::Duration;
use terrace_provider::schema::Timeouts;
use terrace_provider::{Map, Path, ResourceType, Value};

pub use declaration::{label_of, link_of};
pub use format_detection::{read, read_tree};
pub use legacy_names::FormerNames;
pub use names::is_resource_name;
use transitions::Transitions;
pub use witboost::{MISSING_COMPONENTS, UNKNOWN_COMPONENT};

/// A described stack.
#[derive(Debug, Clone)]
pub struct Descriptor {
    /// Which front end read it.
    pub front_end: FrontEnd,
    /// The stack's name, without the environment: `distribution.network-status.0`.
    pub stack: String,
    /// The environment that the descriptor names.
    pub environment: Option<Located<String>>,
    /// The data product without its components, as written. Null for a plain stack.
    pub product: Value,
    /// Name, domain and version of the data product as its id gives them: those that are not written.
    pub derived: Map,
    /// The components, in the order written. The stack's own resources are the component with the empty key.
    pub components: Vec<Component>,
    /// The component that the descriptor itself asks to act on (`componentIdToProvision`).
    pub target: Option<String>,
    /// The component of this product that it asks to act on and does not list, which is an error. Where that component is to
    /// go, what is recorded of it may be enough.
    pub unlisted: Option<Unlisted>,
    /// The declared variables.
    pub variables: Vec<Variable>,
    /// Values computed once from the variables, under names of their own.
    pub locals: Vec<Local>,
    /// What it says of objects that are recorded already, or should be.
    pub transitions: Transitions,
    /// The rule that its names follow.
    pub names: NamesRule,
    /// Its names by [`NamesRule::Ascii`], which a state may have; nothing once they were taken.
    pub former: Option<Box<FormerNames>>,
}

impl Descriptor {
    /// The data product with the fields that its id gives: `product` in expressions.
    #[must_use]
    pub fn product_facts(&self) -> Value {
        let mut product = self.product.clone();
        if let Value::Map(fields) = &mut product {
            fields.extend(self.derived.clone());
        }
        product
    }
}

/// A component that is named and not listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unlisted {
    /// Its id.
    pub id: String,
    /// Its key.
    pub key: String,
}

/// Which front end read a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrontEnd {
    /// A Witboost data product.
    Witboost,
    /// A plain `kind: Stack`.
    Stack,
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// The place.
    pub span: Span,
}

/// One deployable part of a stack.
#[derive(Debug, Clone)]
pub struct Component {
    /// The key: the part of its URN after the data product's, `parent/child` for nested ones, or its name in a stack.
    pub key: String,
    /// The URN, where there is one.
    pub id: Option<String>,
    /// The components that it depends on.
    pub depends_on: Vec<Dependency>,
    /// What it consists of.
    pub body: Body,
    /// Where it begins.
    pub span: Span,
}

/// A dependency on a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// As written.
    pub text: String,
    /// The key of a component of the same descriptor; `None` when it lies outside.
    pub key: Option<String>,
    /// Where it stands.
    pub span: Span,
}

/// What a component consists of.
#[derive(Debug, Clone)]
pub enum Body {
    /// A blueprint says.
    Blueprint(Box<BlueprintUse>),
    /// It says itself.
    Resources(Arc<Declarations>),
}

/// A component that a blueprint compiles.
#[derive(Debug, Clone)]
pub struct BlueprintUse {
    /// The blueprint by name, in a stack; otherwise it is matched by the facts.
    pub name: Option<Located<String>>,
    /// What blueprints match on.
    pub facts: Facts,
    /// The whole component as written: `component` in expressions, `specific` is validated against the schema.
    pub node: Arc<Node>,
}

/// What blueprints match on.
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
    /// The facts, each read by the name of its field.
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
    /// The checks of a stack itself: they warn. None for components and blueprints.
    pub checks: Vec<Check>,
    /// The resources, in the order written.
    pub resources: Vec<ResourceDeclaration>,
    /// The lookups, in the order written: declared like resources, of which they have type, name, provider,
    /// configuration and what they come after.
    pub data: Vec<ResourceDeclaration>,
    /// The outputs, in the order written.
    pub outputs: Vec<OutputDeclaration>,
}

/// One declared resource, or one for each item.
#[derive(Debug, Clone)]
pub struct ResourceDeclaration {
    /// The resource type.
    pub ty: Located<String>,
    /// The name, unique in its component.
    pub name: Located<String>,
    /// One instance for each item of this.
    pub for_each: Option<Template>,
    /// The key of an instance, where items do not say it themselves.
    pub key: Option<Template>,
    /// False: as if it were not there.
    pub when: Option<Template>,
    /// The configured attributes: a literal map or a map template.
    pub config: Template,
    /// Names of resources of the same component.
    pub depends_on: Vec<Located<String>>,
    /// The configured provider instance, when not the type's default one.
    pub provider: Option<Template>,
    /// The share key of a shared resource.
    pub shared: Option<Template>,
    /// Whether an object that exists is taken over.
    pub adopt: Adopt,
    /// How changes behave, and how long calls may take.
    pub lifecycle: Lifecycle,
    /// What may differ from what is configured.
    pub ignore_changes: Vec<Located<Path>>,
    /// What replaces the object when it changes.
    pub replace_triggered_by: Vec<Trigger>,
    /// Conditions before and after its step.
    pub checks: Vec<Check>,
    /// Where it begins.
    pub span: Span,
}

/// A condition, and what to say when it is not met.
#[derive(Debug, Clone)]
pub struct Check {
    /// When it is decided, at the latest.
    pub when: CheckTime,
    /// The condition.
    pub assert: Arc<Template>,
    /// What to say when it is not met.
    pub error: String,
}

/// When a check of a resource is decided, at the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckTime {
    /// Before its step.
    Pre,
    /// After its step: it may look at the object as `self`.
    Post,
}

/// What replaces an object when it changes: a resource of the same component, or a path into one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// The resource's name.
    pub name: String,
    /// What of it: of a `forEach` the first step is an instance. Empty for all of it.
    pub path: Path,
    /// As written.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

/// Whether an object that exists already is taken over instead of created.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Adopt {
    /// It is an error.
    #[default]
    Never,
    /// Always.
    IfExists,
    /// When its name follows our rule: the blueprint's author vouches for that.
    IfOurs,
}

/// How changes of a resource behave.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Lifecycle {
    /// A replacement creates the new object before it deletes the old.
    pub create_before_destroy: bool,
    /// A plan that would delete the object is an error.
    pub prevent_destroy: bool,
    /// What becomes of a shared object when its last owner goes.
    pub on_last_release: OnLastRelease,
    /// What may differ from what is configured.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore_changes: Vec<Path>,
    /// How long calls may take, where not as the type says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Box<TimeoutOverrides>>,
}

impl Lifecycle {
    /// How long calls of a resource of that type may take.
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

/// What becomes of a shared object when its last owner goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OnLastRelease {
    /// It stays.
    #[default]
    Retain,
    /// It is deleted.
    Delete,
}

/// How long calls may take, where not as the type says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct TimeoutOverrides {
    /// For creating.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create: Option<Duration>,
    /// For updating.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update: Option<Duration>,
    /// For deleting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete: Option<Duration>,
    /// For reading.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<Duration>,
}

/// One declared output.
#[derive(Debug, Clone)]
pub struct OutputDeclaration {
    /// The name.
    pub name: Located<String>,
    /// The value.
    pub value: Template,
    /// It may expose a sensitive value.
    pub is_sensitive: bool,
    /// Who sees it: public ones are shown to consumers.
    pub is_public: bool,
    /// A label for people.
    pub label: Option<Template>,
    /// How a console shows it: `string`, `dashboard` …
    pub display: Option<String>,
}

/// A declared variable of a stack.
#[derive(Debug, Clone)]
pub struct Variable {
    /// The name.
    pub name: Located<String>,
    /// The type.
    pub ty: VariableType,
    /// Taken when nothing is given; a variable without is required.
    pub default: Option<Value>,
    /// Redacted everywhere.
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
    /// Whatever fits the JSON Schema.
    Schema(serde_json::Value),
    /// Anything.
    Any,
}

/// A value that a stack computes from its variables: `locals.NAME` in expressions.
#[derive(Debug, Clone)]
pub struct Local {
    /// The name.
    pub name: Located<String>,
    /// The value; may read variables and other locals.
    pub value: Template,
}

/// A condition that a variable must meet.
#[derive(Debug, Clone)]
pub struct Validation {
    /// The condition.
    pub assert: Template,
    /// What to say when it is false.
    pub error: String,
}

#[cfg(test)]
mod tests;
