//! Fingerprints: hashes of all inputs of a pipeline's result. The inputs are its spec, its code, its data, the
//! pipelines before it, and its database.
//!
//! A run records the [`Fingerprint`] of its inputs. A pipeline is dirty if its present fingerprint differs, and
//! [`Fingerprint::reasons`] names the difference: the step, the file, the pipeline. Data from the network is not an
//! input, so nothing here calls the network.
//!
//! Reading order: `inputs` (the pipeline and its files), this file, `code` (with `imports`), `data`, `variables` (those
//! that a pipeline reads), `hidden` and `address` (possible secrets).

mod address;
mod code;
mod data;
mod hidden;
mod imports;
mod inputs;
mod variables;

pub(crate) use address::address_target;
pub(crate) use data::{named_files as inputs_of, packages};
pub(crate) use hidden::{Key, holds_secret, is_secret};
pub(crate) use inputs::FingerprintInputs;
pub use variables::ENGINE;
pub(crate) use variables::{names as variables_of, names_in_spec};

use crate::environment::Recipe;
use crate::hash::hash_of;
use crate::spec::model::{DependsOn, Step, StepKind};
use inputs::Names;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;

/// Fingerprint of the inputs of a pipeline's result.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Hash of the parts of the spec that affect the result, without possible secrets: plans and states contain this
    /// hash.
    pub spec: String,
    /// Hash of its processors, their imports, and its environment.
    pub code: String,
    /// Hash of the files that it reads.
    pub data: String,
    /// Results of the pipelines before it, by id; empty for a pipeline without a result.
    pub dependencies: BTreeMap<String, String>,
    /// Name of each step in the spec, with the sealed content of the step.
    pub steps: Vec<(String, String)>,
    /// Sealed environment and dependencies.
    #[serde(default)]
    pub surroundings: String,
    /// Sealed values of the variables that it reads, by name.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// Hash of each file of code, by its path in the project.
    pub files: BTreeMap<String, String>,
    /// Hash of each input file; empty for a missing file.
    pub inputs: BTreeMap<String, String>,
    /// Claim that keeps the data packages; nothing for this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
}

impl Fingerprint {
    /// Computes the present fingerprint of a pipeline. `last_result` returns the last result of a pipeline, `variable`
    /// the value of a variable, as far as it affects the result.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(crate) fn of(
        scope: FingerprintInputs<'_>,
        recipe: &Recipe,
        key: Option<&Key>,
        last_result: impl Fn(&str) -> Option<String>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> io::Result<Self> {
        let FingerprintInputs { project, root, pipeline, .. } = scope;
        // Without a key, no pipeline has run here, so nothing can be compared.
        let seal = |text: &str| key.map(|key| key.seal(text)).unwrap_or_default();
        let steps =
            pipeline.steps.iter().map(|step| (step.name.clone(), seal(&step_text(step, Value::clone)))).collect();
        let environment: serde_json::Map<String, Value> =
            pipeline.environment.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        let before: Vec<String> = pipeline
            .dependencies
            .iter()
            .map(|dependency| match &dependency.on {
                DependsOn::Pipeline(id) => format!("pipeline {id}"),
                DependsOn::DataPackage(path) => format!("datapackage {path}"),
            })
            .collect();
        let visible_steps: Vec<String> = pipeline.steps.iter().map(|step| step_text(step, hidden::redact)).collect();
        let environment = sorted(&environment);
        let spec = hash_of(&json!([visible_steps, hidden::redact(&environment), before]).to_string());
        let code::Code { files, has_word } = code::of(scope, variables::ENGINE)?;
        let code = match scope.image {
            None => json!([recipe.key(), files]),
            Some(image) => json!([recipe.key(), files, image]),
        };
        let code = hash_of(&code.to_string());
        let inputs = data::inputs(root, pipeline, Names(project))?;
        let data = hash_of(&json!(inputs).to_string());
        let dependencies =
            pipeline.all_before().map(|id| (id.to_owned(), last_result(id).unwrap_or_default())).collect();
        let names = variables::of(root, pipeline, has_word);
        let variables = names.into_iter().map(|name| {
            let sealed = seal(&json!(variable(&name)).to_string());
            (name, sealed)
        });
        let variables = variables.collect();
        let surroundings = seal(&json!([environment, before]).to_string());
        let claim = scope.claim.map(str::to_owned);
        Ok(Self { spec, code, data, dependencies, steps, surroundings, variables, files, inputs, claim })
    }

    /// Reasons to run a pipeline again after a run with `before`, for people; empty if nothing changed.
    #[must_use]
    pub fn reasons(&self, before: &Self) -> Vec<String> {
        let mut reasons = self.own_reasons(before);
        if self.data != before.data {
            reasons.push(format!("the data changed: {}", changed(&before.inputs, &self.inputs).join(", ")));
        }
        // An added or removed dependency is a change of the spec.
        let has_changed = |(id, last_result): &(&String, &String)| {
            before.dependencies.get(*id).is_some_and(|was| was != *last_result)
        };
        let differing = self.dependencies.iter().filter(has_changed);
        reasons.extend(differing.map(|(id, _)| format!("`{id}` produced other data")));
        reasons
    }

    /// Reasons that do not depend on other pipelines: the spec, the code, the variables.
    #[must_use]
    pub fn own_reasons(&self, before: &Self) -> Vec<String> {
        let mut reasons = Vec::new();
        let has_same_steps = (&self.steps, &self.surroundings) == (&before.steps, &before.surroundings);
        if self.spec != before.spec || !has_same_steps {
            reasons.push(self.changed_spec(before));
        }
        // A variable that is new is a change of the spec or the code.
        let has_changed =
            |(name, sealed): &(&String, &String)| before.variables.get(*name).is_some_and(|was| was != *sealed);
        reasons.extend(self.variables.iter().filter(has_changed).map(|(name, _)| match name.as_str() {
            variables::ENGINE => "it writes into another database".to_owned(),
            name => format!("the variable `{name}` changed"),
        }));
        if self.code != before.code {
            let changed = changed(&before.files, &self.files);
            let what = if changed.is_empty() { "the environment".to_owned() } else { changed.join(", ") };
            reasons.push(format!("the code changed: {what}"));
        }
        match (&before.claim, &self.claim) {
            (before, now) if before == now => {}
            (_, Some(now)) => reasons.push(format!("its results are to be on the claim `{now}`")),
            (Some(before), None) => reasons.push(format!("its results are on the claim `{before}`")),
            (None, None) => {}
        }
        reasons
    }

    /// Differences from the planned inputs, for people.
    pub(crate) fn differences_from(&self, planned: &BTreeMap<&'static str, String>) -> Vec<String> {
        let now = [
            ("specHash", &self.spec, "the spec"),
            ("codeHash", &self.code, "the code"),
            ("dataHash", &self.data, "the data"),
        ];
        let differing =
            now.into_iter().filter(|(name, now, _)| planned.get(name).is_some_and(|planned| planned != *now));
        differing.map(|(_, _, what)| format!("{what} changed meanwhile")).collect()
    }

    fn changed_spec(&self, before: &Self) -> String {
        if self.steps.len() != before.steps.len() {
            return format!("the spec changed: {} instead of {} steps", self.steps.len(), before.steps.len());
        }
        let steps = self.steps.iter().zip(&before.steps).enumerate();
        let changed: Vec<String> = steps
            .filter(|(_, (now, was))| now != was)
            .map(|(position, (now, _))| format!("step {} (`{}`)", position + 1, now.0))
            .collect();
        match changed.is_empty() {
            true => "the spec or a parameter changed: its environment or dependencies".to_owned(),
            false => format!("the spec changed: {}", changed.join(", ")),
        }
    }
}

/// Differences between two maps of hashes, for people.
fn changed(before: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Vec<String> {
    let gone =
        before.keys().filter(|path| !now.contains_key(*path)).map(|path| format!("`{path}` is not an input any more"));
    let other = now.iter().filter_map(|(path, hash)| match before.get(path) {
        Some(was) if was == hash => None,
        Some(was) if was.is_empty() => Some(format!("`{path}` was added")),
        Some(_) if hash.is_empty() => Some(format!("`{path}` was removed")),
        Some(_) => Some(format!("`{path}`")),
        None => Some(format!("`{path}` is new")),
    });
    other.chain(gone).collect()
}

/// Text of a step with all its keys, and parameters as `shown` converts them.
fn step_text(step: &Step, shown: impl Fn(&Value) -> Value) -> String {
    let code = match &step.kind {
        StepKind::Code(code) => json!({ "code": code }),
        StepKind::Flow => json!("flow"),
        StepKind::Processor => json!("run"),
    };
    let parameters = shown(&sorted(&step.parameters));
    let text = json!([step.name, code, parameters, step.is_cached, step.is_validated, step.runner]);
    match &step.wrapper {
        // The wrapper is part of a step: another container may have another Python.
        Some(wrapper) => format!("{text} {}", wrapper.text),
        None => text.to_string(),
    }
}

/// Sorts a map by key: the order of parameters does not matter.
fn sorted(map: &serde_json::Map<String, Value>) -> Value {
    fn sort(value: &Value) -> Value {
        match value {
            Value::Object(map) => sorted(map),
            Value::Array(items) => items.iter().map(sort).collect(),
            other => other.clone(),
        }
    }
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by_key(|(key, _)| *key);
    entries.into_iter().map(|(key, value)| (key.clone(), sort(value))).collect()
}

#[cfg(test)]
mod tests;
