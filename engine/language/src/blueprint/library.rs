//! The blueprints of an environment, with overrides and `extends` resolved.

use super::Blueprint;
use super::read::unknown;
use crate::diagnostic::Diagnostic;
use std::collections::HashSet;
use std::sync::OnceLock;

/// The blueprints of an environment, with unique names.
#[derive(Debug, Clone, Default)]
pub struct Library {
    blueprints: Vec<Blueprint>,
}

impl Library {
    /// Builds the library of an environment with the given overlay from all blueprints.
    ///
    /// A project's blueprint overrides a built-in one of the same name. A blueprint that extends another replaces it.
    /// Blueprints of other overlays are left out.
    #[must_use]
    pub fn new(all: Vec<Blueprint>, overlay: Option<&str>) -> (Self, Vec<Diagnostic>) {
        let mut diagnostics = Vec::new();
        let is_in_overlay =
            |blueprint: &Blueprint| blueprint.overlay.is_none() || blueprint.overlay.as_deref() == overlay;
        let available = override_built_in(all.into_iter().filter(is_in_overlay).collect(), &mut diagnostics);
        let replaced: HashSet<&str> = available.iter().filter_map(replaces).collect();
        // Extend replaced blueprints too: two blueprints that extend each other would otherwise replace each other
        // unnoticed.
        let extended: Vec<Option<Blueprint>> = available
            .iter()
            .map(|blueprint| extended(blueprint, &available, &mut Vec::new(), &mut diagnostics))
            .collect();
        let is_kept =
            |blueprint: &Blueprint| blueprint.overlay.is_some() || !replaced.contains(blueprint.name.value.as_str());
        let blueprints = extended.into_iter().flatten().filter(is_kept).collect();
        let mut known = Vec::new();
        diagnostics.retain(|diagnostic| {
            let is_new = !known.contains(diagnostic);
            known.push(diagnostic.clone());
            is_new
        });
        (Self { blueprints }, diagnostics)
    }

    /// Returns a blueprint with the parts that it inherits from the one it extends, the first of that name among `all`.
    /// Reports a missing base and returns `None`.
    #[must_use]
    pub fn completed(blueprint: &Blueprint, all: &[Blueprint]) -> (Option<Blueprint>, Vec<Diagnostic>) {
        let mut diagnostics = Vec::new();
        let completed = extended(blueprint, all, &mut Vec::new(), &mut diagnostics);
        (completed, diagnostics)
    }

    /// Returns an error for each blueprint whose name and overlay exist twice.
    #[must_use]
    pub fn duplicates(all: &[Blueprint]) -> Vec<Diagnostic> {
        let mut diagnostics = Vec::new();
        drop(override_built_in(all.to_vec(), &mut diagnostics));
        diagnostics
    }

    /// Returns the blueprint of that name, or its replacement.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Blueprint> {
        let by_name = self.blueprints.iter().find(|blueprint| blueprint.name.value == name);
        by_name.or_else(|| self.blueprints.iter().find(|blueprint| replaces(blueprint) == Some(name)))
    }

    /// All blueprints, in the order of reading.
    pub fn iter(&self) -> impl Iterator<Item = &Blueprint> + Clone {
        self.blueprints.iter()
    }

    /// The names of all blueprints.
    pub(super) fn names(&self) -> Vec<&str> {
        self.blueprints.iter().map(|blueprint| blueprint.name.value.as_str()).collect()
    }
}

/// The name of the blueprint that a blueprint replaces. In an overlay it replaces its base, or without `extends` the
/// blueprint of the same name. Elsewhere it replaces its base, unless it has a `match`.
fn replaces(blueprint: &Blueprint) -> Option<&str> {
    let extends = blueprint.extends.as_ref().map(|extends| extends.value.as_str());
    match &blueprint.overlay {
        Some(_) => Some(extends.unwrap_or(&blueprint.name.value)),
        None => extends.filter(|_| !blueprint.has_own_match),
    }
}

/// Keeps the project's blueprint among those with the same name and overlay. Two of the same origin are an error.
fn override_built_in(all: Vec<Blueprint>, diagnostics: &mut Vec<Diagnostic>) -> Vec<Blueprint> {
    let mut unique: Vec<Blueprint> = Vec::with_capacity(all.len());
    for blueprint in all {
        let is_same =
            |other: &&mut Blueprint| other.name.value == blueprint.name.value && other.overlay == blueprint.overlay;
        match unique.iter_mut().find(is_same) {
            None => unique.push(blueprint),
            Some(other) if other.origin.is_built_in && !blueprint.origin.is_built_in => *other = blueprint,
            Some(other) if !other.origin.is_built_in && blueprint.origin.is_built_in => {}
            Some(other) => diagnostics.push(
                Diagnostic::error(
                    "duplicate_blueprint",
                    format!(
                        "the blueprint `{}` is declared in `{}` and in `{}`",
                        blueprint.name.value, other.origin.file, blueprint.origin.file
                    ),
                )
                .at_with(blueprint.name.span, "again here")
                .at_with(other.name.span, "first here")
                .hint("rename one of the two, or remove it"),
            ),
        }
    }
    unique
}

/// Returns the blueprint with its inherited parts; `None` when the base is unknown or cyclic.
fn extended(
    blueprint: &Blueprint,
    all: &[Blueprint],
    visited: &mut Vec<String>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Blueprint> {
    let Some(extends) = &blueprint.extends else { return Some(blueprint.clone()) };
    visited.push(identity(blueprint));
    let is_base = |other: &&Blueprint| other.name.value == extends.value && identity(other) != identity(blueprint);
    // A base without an overlay comes first.
    let bases = || all.iter().filter(is_base);
    let Some(base) = bases().find(|base| base.overlay.is_none()).or_else(|| bases().next()) else {
        let known: Vec<&str> = all.iter().map(|other| other.name.value.as_str()).collect();
        diagnostics.push(unknown(extends, &known, "`extends` names"));
        return None;
    };
    if visited.contains(&identity(base)) {
        diagnostics.push(
            Diagnostic::error("blueprint_cycle", format!("the blueprint `{}` extends itself", blueprint.name.value))
                .at(extends.span)
                .at_with(base.name.span, "through this one")
                .hint("remove one `extends`"),
        );
        return None;
    }
    let base = extended(base, all, visited, diagnostics)?;
    let mut blueprint = blueprint.clone();
    if !blueprint.has_own_match {
        blueprint.matcher = base.matcher;
    }
    blueprint.specific = blueprint.specific.or(base.specific);
    // Inherited checks may read inherited locals; own locals shadow those of the same name.
    let own = blueprint.locals.iter().map(|local| local.name.value.clone()).collect::<Vec<_>>();
    blueprint.locals.extend(base.locals.into_iter().filter(|local| !own.contains(&local.name.value)));
    blueprint.checks.splice(0..0, base.checks);
    // The inherited templates changed the variables that it reads.
    blueprint.read = OnceLock::new();
    Some(blueprint)
}

fn identity(blueprint: &Blueprint) -> String {
    format!("{}@{}", blueprint.name.value, blueprint.overlay.as_deref().unwrap_or_default())
}
