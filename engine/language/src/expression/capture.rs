//! Values that a saved plan contains, so that its expressions can be evaluated without the descriptor.

use super::path::{Resolved, descend};
use super::{Missing, Reference, ReferenceStep, Scope, Template};
use crate::diagnostic::Diagnostic;
use indexmap::IndexMap;
use serde_json::json;
use std::borrow::Cow;
use terrace_provider::Value;
use terrace_provider::value::wire::{Sealing, WireError, decode, encode};

/// The captured values of paths.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Captured {
    /// By printed path. Paths that did not exist are captured too, so that `has(…)` gives the same result later.
    paths: IndexMap<String, Result<Value, Missing>>,
}

/// Captured paths in front of another scope. A captured variable hides the other scope's variable.
pub struct Layered<'a> {
    /// The captured paths.
    pub captured: &'a Captured,
    /// The scope of all other variables.
    pub rest: &'a dyn Scope,
}

impl Template {
    /// Captures the paths that this template reads, except those of the variables in `keep`.
    ///
    /// # Errors
    /// None at present: a missing path is captured too, because an expression may not need it.
    pub fn capture(&self, scope: &dyn Scope, keep: &[&str]) -> Result<Captured, Vec<Diagnostic>> {
        let mut captured = Captured::default();
        for reference in self.references().filter(|reference| !keep.contains(&reference.root.as_str())) {
            captured.take(reference, scope, keep);
        }
        Ok(captured)
    }
}

impl Captured {
    /// True when nothing was captured.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Adds the paths of another capture.
    pub fn merge(&mut self, other: Self) {
        self.paths.extend(other.paths);
    }

    fn take(&mut self, reference: &Reference, scope: &dyn Scope, keep: &[&str]) {
        let mut steps = Vec::with_capacity(reference.steps.len());
        for step in &reference.steps {
            // If a step is known only later, capture everything that it could select from.
            let is_for_later = matches!(step, ReferenceStep::Path(inner) if reads_any(inner, keep));
            match step.resolved(scope) {
                Ok(Resolved::Step(step, _)) if !is_for_later => steps.push(step),
                _ => break,
            }
        }
        let value = scope.resolve(&reference.root, &steps).map(Cow::into_owned);
        self.paths.insert(printed(&reference.root, &steps), value);
    }

    /// The captured path that is a prefix of the given one, and the remaining steps.
    fn find<'s>(
        &self,
        root: &str,
        steps: &'s [ReferenceStep],
    ) -> Option<(&str, &Result<Value, Missing>, &'s [ReferenceStep])> {
        (0..=steps.len()).rev().find_map(|length| {
            let (before, after) = steps.split_at_checked(length)?;
            let (path, value) = self.paths.get_key_value(&printed(root, before))?;
            Some((path.as_str(), value, after))
        })
    }

    fn has_root(&self, root: &str) -> bool {
        let is_of_root =
            |path: &String| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        self.paths.keys().any(is_of_root)
    }

    /// Serialises the captured paths; sensitive values are sealed.
    ///
    /// # Errors
    /// When a sensitive value cannot be sealed.
    pub fn to_json(&self, sealing: &dyn Sealing) -> Result<serde_json::Value, WireError> {
        let entries = self.paths.iter().map(|(path, captured)| {
            let entry = match captured {
                Ok(value) => json!({ "value": encode(value, sealing)? }),
                Err(missing) => json!({
                    "missing": missing.message, "hint": missing.hint,
                    "led": missing.resolved_steps, "sensitive": missing.is_sensitive,
                }),
            };
            Ok((path.clone(), entry))
        });
        entries.collect::<Result<_, _>>().map(serde_json::Value::Object)
    }

    /// Parses the output of [`Captured::to_json`].
    ///
    /// # Errors
    /// When the JSON is malformed, or a sealed value cannot be opened.
    pub fn from_json(json: &serde_json::Value, sealing: &dyn Sealing) -> Result<Self, WireError> {
        let damaged = || WireError::Damaged("expected captured paths".to_owned());
        let entries = json.as_object().ok_or_else(damaged)?.iter().map(|(path, entry)| {
            let text = |key: &str| entry.get(key).and_then(serde_json::Value::as_str).map(str::to_owned);
            let captured = match entry.get("value") {
                Some(value) => Ok(decode(value.clone(), sealing)?),
                None => {
                    let resolved_steps = entry.get("led").and_then(serde_json::Value::as_u64);
                    let is_sensitive = entry.get("sensitive").and_then(serde_json::Value::as_bool);
                    Err(Missing {
                        message: text("missing").ok_or_else(damaged)?,
                        hint: text("hint"),
                        resolved_steps: resolved_steps.and_then(|steps| usize::try_from(steps).ok()),
                        is_sensitive: is_sensitive.unwrap_or_default(),
                    })
                }
            };
            Ok((path.clone(), captured))
        });
        Ok(Self { paths: entries.collect::<Result<_, WireError>>()? })
    }
}

impl Scope for Captured {
    fn resolve(&self, root: &str, steps: &[ReferenceStep]) -> Result<Cow<'_, Value>, Missing> {
        match self.find(root, steps) {
            Some((path, Ok(value), rest)) => {
                descend(value, path, rest).map_err(|missing| missing.preceded_by(steps.len() - rest.len()))
            }
            Some((_, Err(missing), _)) => Err(missing.clone()),
            None => Err(Missing::new(format!("`{}` was not captured", printed(root, steps)))),
        }
    }
}

impl Scope for Layered<'_> {
    fn resolve(&self, root: &str, steps: &[ReferenceStep]) -> Result<Cow<'_, Value>, Missing> {
        if self.captured.has_root(root) { self.captured.resolve(root, steps) } else { self.rest.resolve(root, steps) }
    }
}

fn reads_any(reference: &Reference, roots: &[&str]) -> bool {
    roots.contains(&reference.root.as_str())
        || reference.steps.iter().any(|step| matches!(step, ReferenceStep::Path(inner) if reads_any(inner, roots)))
}

fn printed(root: &str, steps: &[ReferenceStep]) -> String {
    steps.iter().fold(root.to_owned(), |path, step| format!("{path}{step}"))
}

#[cfg(test)]
mod tests;
