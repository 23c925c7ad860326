//! Blueprints: data that defines the resources of a kind of component.
//!
//! A blueprint selects components ([`matching`]), validates their `specific` with a JSON Schema ([`validate`]), and
//! declares resources like a stack does. [`read`] reads one file. A [`Library`] resolves overrides and `extends`, and
//! chooses the blueprint of a component. Expressions are evaluated later, for each component.

pub mod case;
pub mod check;
mod check_misspelt_keys;
pub(crate) mod checks;
pub mod defaults;
pub mod expectation;
mod explain;
mod library;
pub mod matching;
mod nulls;
mod read;
pub mod reverse;
mod schema;
pub(crate) mod schema_errors;
pub mod validate;

pub use checks::Check;
pub use library::Library;
pub use read::read;
pub use reverse::Reverse;
pub use schema::Files;
pub(crate) use schema_errors::path_under;
pub use validate::SpecificSchema;

use crate::descriptor::transitions::Move;
use crate::descriptor::{Declarations, Facts, Local};
use crate::diagnostic::Diagnostic;
use crate::expression::{ReferenceStep, Template};
use crate::graph::{output_templates, templates};
use crate::source::{Located, Span};
use crate::yaml::{Node, NodeKind};
use defaults::EndlessDefaults;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use terrace_provider::Value;

/// A blueprint.
#[derive(Debug, Clone)]
pub struct Blueprint {
    /// Its name: `snowflake-storage`.
    pub name: Located<String>,
    /// Its version, for display and for the plan's digest.
    pub version: String,
    /// A description for display.
    pub description: Option<String>,
    /// Its overlay. It is available only in environments with the same overlay; `None` means all environments.
    pub overlay: Option<String>,
    /// The blueprint that it extends and replaces, and that provides its `match`, `specific` and `checks`.
    pub extends: Option<Located<String>>,
    /// Its source.
    pub origin: Origin,
    /// The facts that a component must have; without any fact, only its name selects the blueprint.
    pub matcher: Facts,
    /// The blueprint has a `match` itself and does not inherit it.
    pub has_own_match: bool,
    /// The schema of `specific`.
    pub specific: Option<Arc<SpecificSchema>>,
    /// Named values for its expressions.
    pub locals: Vec<Local>,
    /// Conditions that a component must meet.
    pub checks: Vec<Check>,
    /// The resources and outputs of a component.
    pub declarations: Arc<Declarations>,
    /// Resources of the component with a new name.
    pub moved: Vec<Move>,
    /// The resources that grant access to principals.
    pub acl: Arc<Declarations>,
    /// How to answer reverse provisioning, if the blueprint supports it.
    pub reverse: Option<Reverse>,
    /// The place of its beginning.
    pub span: Span,
    /// The variables that its expressions read, each with its first field. Computed on first use.
    read: OnceLock<BTreeSet<(String, Option<String>)>>,
}

impl Blueprint {
    /// True when an expression reads the field of a variable, or any part of the variable if `field` is `None`. The
    /// compiler builds costly values only for blueprints that read them.
    pub(crate) fn reads(&self, root: &str, field: Option<&str>) -> bool {
        let read = self.read.get_or_init(|| {
            let all = self.templates().flat_map(Template::references).map(|reference| {
                let field = match reference.steps.first() {
                    Some(ReferenceStep::Key(field)) => Some(field.clone()),
                    _ => None,
                };
                (reference.root.clone(), field)
            });
            all.collect()
        });
        read.iter().any(|(of, name)| of == root && (field.is_none() || name.as_deref() == field))
    }

    /// The errors of expressions that were not compiled when the blueprint was read.
    fn faults(&self) -> Vec<Diagnostic> {
        self.templates().flat_map(Template::expressions).filter_map(|expression| expression.fault()).collect()
    }

    /// All templates that are evaluated for a component.
    fn templates(&self) -> impl Iterator<Item = &Template> {
        let declared = [&self.declarations, &self.acl].into_iter().flat_map(|declarations| {
            let blocks = declarations.resources.iter().chain(&declarations.data);
            blocks.flat_map(templates).chain(declarations.outputs.iter().flat_map(output_templates))
        });
        declared
            .chain(self.locals.iter().map(|local| &local.value))
            .chain(self.checks.iter().flat_map(Check::templates))
    }
}

/// The source of a blueprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The name of its file, for display.
    pub file: String,
    /// The blueprint belongs to a provider. A project's blueprint of the same name overrides it.
    pub is_built_in: bool,
}

impl Blueprint {
    /// Returns the errors of a component that begins at `span`.
    #[must_use]
    pub fn validate(&self, component: &Node, span: Span) -> Vec<Diagnostic> {
        self.specific.as_ref().map_or_else(Vec::new, |schema| schema.validate(component, span))
    }

    /// Returns the component without nulls in optional fields of its `specific` that refuse them.
    #[must_use]
    pub fn without_refused_nulls<'n>(&self, component: &'n Node) -> Cow<'n, Node> {
        let specific = component.get("specific").zip(self.specific.as_ref());
        let Some(Cow::Owned(cleaned)) = specific.map(|(node, schema)| schema.without_refused_nulls(node)) else {
            return Cow::Borrowed(component);
        };
        let mut component = component.clone();
        if let NodeKind::Map(entries) = &mut component.kind
            && let Some(entry) = entries.iter_mut().rev().find(|entry| entry.key == "specific")
        {
            entry.value = cleaned;
        }
        Cow::Owned(component)
    }

    /// Returns the component for expressions, with the schema's defaults in its `specific`.
    ///
    /// # Errors
    /// When the defaults contain each other endlessly.
    pub fn component_value(&self, component: &Node) -> Result<Value, EndlessDefaults> {
        let mut value = component.to_value();
        if let (Some(schema), Value::Map(entries)) = (&self.specific, &mut value) {
            let specific = entries.entry("specific".to_owned()).or_default();
            let written = match std::mem::take(specific) {
                Value::Null => Value::Map(terrace_provider::Map::default()),
                written => written,
            };
            *specific = schema.with_defaults(written)?;
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests;
