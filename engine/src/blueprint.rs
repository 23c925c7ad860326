//! Blueprints: which resources a kind of component becomes, as data.
//!
//! A blueprint says which components it is for ([`matching`]), what they may ask for ([`validate`], a JSON Schema), and
//! what they become: the same declarations as in a stack. [`read`] reads one file; a [`Library`] resolves what
//! overrides and extends what, and answers which blueprint a component has. Nothing is compiled here: expressions wait
//! for a component.

pub mod case;
pub mod check;
pub(crate) mod checks;
pub mod defaults;
pub mod expectation;
mod explain;
mod library;
pub mod matching;
mod misspelt;
mod nulls;
mod read;
pub mod reverse;
pub mod validate;

use crate::descriptor::transitions::Move;
use crate::descriptor::{Declarations, Facts, Local, Located};
use crate::expression::{ReferenceStep, Template};
use crate::graph::templates;
use crate::lookup::output_templates;
use crate::source::Span;
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

pub use checks::Check;
pub use library::Library;
pub use read::{Files, read};
pub use reverse::Reverse;
pub use validate::SpecificSchema;
pub(crate) use validate::path_under;

/// A blueprint.
#[derive(Debug, Clone)]
pub struct Blueprint {
    /// Its name: `snowflake-storage`.
    pub name: Located<String>,
    /// Its version, for people and for the plan's digest.
    pub version: String,
    /// What it is for.
    pub description: Option<String>,
    /// The overlay that it belongs to; in environments with another overlay, or none, it is not there.
    pub overlay: Option<String>,
    /// The blueprint that it takes `match`, `specific` and `checks` from, and whose place it takes.
    pub extends: Option<Located<String>>,
    /// Where it comes from.
    pub origin: Origin,
    /// What a component must be; without any fact it is found by name only.
    pub matcher: Facts,
    /// It says itself what a component must be, whatever it extends.
    pub has_own_match: bool,
    /// What a component may ask for.
    pub specific: Option<Arc<SpecificSchema>>,
    /// Values that its expressions read by name: `locals`.
    pub locals: Vec<Local>,
    /// Conditions that a component must meet.
    pub checks: Vec<Check>,
    /// What a component becomes.
    pub declarations: Arc<Declarations>,
    /// Resources of the component that have another name now.
    pub moved: Vec<Move>,
    /// What exists because of the principals that have access.
    pub acl: Arc<Declarations>,
    /// How reverse provisioning is answered, where it can be.
    pub reverse: Option<Reverse>,
    /// Where it begins.
    pub span: Span,
    /// The variables that its expressions read, each with the field, where they name one; once somebody asks.
    read: OnceLock<BTreeSet<(String, Option<String>)>>,
}

impl Blueprint {
    /// True when an expression reads that field of a variable, or anything of it where no field is given: what is costly
    /// to put together is left out for all other blueprints.
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

    /// Everything in it that is evaluated for a component.
    fn templates(&self) -> impl Iterator<Item = &Template> {
        let declared = [&self.declarations, &self.acl].into_iter().flat_map(|of| {
            let blocks = of.resources.iter().chain(&of.data);
            blocks.flat_map(templates).chain(of.outputs.iter().flat_map(output_templates))
        });
        declared
            .chain(self.locals.iter().map(|local| &local.value))
            .chain(self.checks.iter().flat_map(Check::templates))
    }
}

/// Where a blueprint comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Its file's name, for people.
    pub file: String,
    /// It is a provider's own, which a project's blueprint of the same name overrides.
    pub is_built_in: bool,
}

#[cfg(test)]
mod tests;
