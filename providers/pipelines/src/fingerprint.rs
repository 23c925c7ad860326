//! What the result of a pipeline depends on, as hashes: its spec, its code, the data that it reads, the pipelines before it,
//! the database that it writes into.
//!
//! A run keeps the [`Fingerprint`] that it was made with; a pipeline is dirty when it has another one now, and
//! [`Fingerprint::reasons`] says what is different: the step, the file, the pipeline. Nothing is asked of the network: what
//! a step reads from elsewhere is not among the data.
//!
//! Read in this order: this file, `code` (with `imports` and `python`), `data`, `variables` (which a pipeline looks at),
//! `hidden` and `address` (what may be secret).

mod address;
mod code;
mod data;
mod hidden;
mod imports;
mod variables;

pub(crate) use address::place_of;
pub(crate) use data::{named_files as inputs_of, packages};
pub(crate) use hidden::{Key, is_called_secret, is_secret};
pub(crate) use variables::{ENGINE, names as variables_of, names_said};

use crate::environment::Recipe;
use crate::spec::model::{DependsOn, Pipeline, Step, StepKind};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// What the result of a pipeline depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Of everything that the spec says of the pipeline and that changes what it does, but for what may be secret: this one
    /// is in plans and states.
    pub spec: String,
    /// Of its processors and what they import, and of the environment that they run in.
    pub code: String,
    /// Of the files that it reads.
    pub data: String,
    /// What the pipelines before it made, by id: empty where one has made nothing yet.
    pub dependencies: BTreeMap<String, String>,
    /// Each step by name, as the spec has it: all that it says, by the key of the project.
    pub steps: Vec<(String, String)>,
    /// Its environment and dependencies, in the same way.
    #[serde(default)]
    pub surroundings: String,
    /// What the variables hold that it looks at, in the same way, by name.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// The hash of each file of code, by its path in the project.
    pub files: BTreeMap<String, String>,
    /// The hash of each file that is read; empty where it is not there.
    pub inputs: BTreeMap<String, String>,
}

/// What a fingerprint is made of.
#[derive(Clone, Copy)]
pub(crate) struct Looked<'a> {
    /// The project folder: paths within it are relative to it, so that a copy of the project is as good as itself.
    pub(crate) project: &'a Path,
    /// The folder whose specs were read.
    pub(crate) root: &'a Path,
    pub(crate) pipeline: &'a Pipeline,
    /// Further folders that Python looks for modules in.
    pub(crate) modules: &'a [PathBuf],
}

/// What files are called: their path in the project, where they lie in it.
#[derive(Clone, Copy)]
struct Names<'a>(&'a Path);

impl Names<'_> {
    fn of(self, path: &Path) -> String {
        let path = path.strip_prefix(self.0).unwrap_or(path);
        // What is no text has a name of its own, too.
        path.to_str().map_or_else(|| path.as_os_str().as_bytes().escape_ascii().to_string(), str::to_owned)
    }
}

impl Fingerprint {
    /// The fingerprint of a pipeline as it is now. `made` says what a pipeline made last, `variable` what a variable holds
    /// as far as the result depends on it.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(crate) fn of(
        looked: Looked<'_>,
        recipe: &Recipe,
        key: Option<&Key>,
        made: impl Fn(&str) -> Option<String>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> io::Result<Self> {
        let Looked { project, root, pipeline, .. } = looked;
        // Without a key nothing was ever run here, and there is nothing to compare with.
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
        let said: Vec<String> = pipeline.steps.iter().map(|step| step_text(step, hidden::without)).collect();
        let environment = sorted(&environment);
        let spec = hash_of(&json!([said, hidden::without(&environment), before]).to_string());
        let code::Code { files, has_word } = code::of(looked, variables::ENGINE)?;
        let code = hash_of(&json!([recipe.key(), files]).to_string());
        let inputs = data::inputs(root, pipeline, Names(project))?;
        let data = hash_of(&json!(inputs).to_string());
        let dependencies = pipeline.all_before().map(|id| (id.to_owned(), made(id).unwrap_or_default())).collect();
        let names = variables::of(root, pipeline, has_word);
        let variables = names.into_iter().map(|name| {
            let held = seal(&json!(variable(&name)).to_string());
            (name, held)
        });
        let variables = variables.collect();
        let surroundings = seal(&json!([environment, before]).to_string());
        Ok(Self { spec, code, data, dependencies, steps, surroundings, variables, files, inputs })
    }

    /// Why a pipeline that was run with `before` is to be run again, in words; empty where it is not.
    #[must_use]
    pub fn reasons(&self, before: &Self) -> Vec<String> {
        let mut reasons = self.own_reasons(before);
        if self.data != before.data {
            reasons.push(format!("the data changed: {}", changed(&before.inputs, &self.inputs).join(", ")));
        }
        // A dependency that came or went is a change of the spec.
        let is_other = |(id, made): &(&String, &String)| before.dependencies.get(*id).is_some_and(|was| was != *made);
        let others = self.dependencies.iter().filter(is_other);
        reasons.extend(others.map(|(id, _)| format!("`{id}` made other data")));
        reasons
    }

    /// The reasons that no other pipeline can give or take away by running first: what the spec says, the code, the variables.
    #[must_use]
    pub fn own_reasons(&self, before: &Self) -> Vec<String> {
        let mut reasons = Vec::new();
        let has_same_steps = (&self.steps, &self.surroundings) == (&before.steps, &before.surroundings);
        if self.spec != before.spec || !has_same_steps {
            reasons.push(self.changed_spec(before));
        }
        // One that it did not look at before is a change of the spec or the code.
        let is_other = |(name, held): &(&String, &String)| before.variables.get(*name).is_some_and(|was| was != *held);
        reasons.extend(self.variables.iter().filter(is_other).map(|(name, _)| match name.as_str() {
            variables::ENGINE => "it writes into another database".to_owned(),
            name => format!("the variable `{name}` changed"),
        }));
        if self.code != before.code {
            let changed = changed(&before.files, &self.files);
            let what = if changed.is_empty() { "the environment".to_owned() } else { changed.join(", ") };
            reasons.push(format!("the code changed: {what}"));
        }
        reasons
    }

    /// What is another thing than was planned, in words.
    pub(crate) fn others_than(&self, planned: &BTreeMap<&'static str, String>) -> Vec<String> {
        let now = [
            ("specHash", &self.spec, "the spec"),
            ("codeHash", &self.code, "the code"),
            ("dataHash", &self.data, "the data"),
        ];
        let others = now.into_iter().filter(|(name, now, _)| planned.get(name).is_some_and(|planned| planned != *now));
        others.map(|(_, _, what)| format!("{what} changed meanwhile")).collect()
    }

    fn changed_spec(&self, before: &Self) -> String {
        if self.steps.len() != before.steps.len() {
            return format!("the spec changed: {} steps instead of {}", self.steps.len(), before.steps.len());
        }
        let steps = self.steps.iter().zip(&before.steps).enumerate();
        let changed: Vec<String> = steps
            .filter(|(_, (now, was))| now != was)
            .map(|(position, (now, _))| format!("step {} (`{}`)", position + 1, now.0))
            .collect();
        match changed.is_empty() {
            true => "the spec changed: its environment or dependencies".to_owned(),
            false => format!("the spec changed: {}", changed.join(", ")),
        }
    }
}

/// What differs between two tables of hashes, in words.
fn changed(before: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Vec<String> {
    let gone = before.keys().filter(|path| !now.contains_key(*path)).map(|path| format!("`{path}` is no more read"));
    let other = now.iter().filter_map(|(path, hash)| match before.get(path) {
        Some(was) if was == hash => None,
        Some(was) if was.is_empty() => Some(format!("`{path}` came")),
        Some(_) if hash.is_empty() => Some(format!("`{path}` went")),
        Some(_) => Some(format!("`{path}`")),
        None => Some(format!("`{path}` is new")),
    });
    other.chain(gone).collect()
}

/// A step as text: everything that it says, its parameters as they are shown.
fn step_text(step: &Step, shown: impl Fn(&Value) -> Value) -> String {
    let code = match &step.kind {
        StepKind::Code(code) => json!({ "code": code }),
        StepKind::Flow => json!("flow"),
        StepKind::Processor => json!("run"),
    };
    let parameters = shown(&sorted(&step.parameters));
    let said = json!([step.name, code, parameters, step.is_cached, step.is_validated, step.runner]);
    match &step.wrapper {
        // What a step runs in is a part of it: another container may have another Python.
        Some(wrapper) => format!("{said} {}", wrapper.text),
        None => said.to_string(),
    }
}

/// A map by its keys: the order in which parameters are written changes nothing.
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

/// The path without `.` and `..`, so that one file has one name.
pub(crate) fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if plain.pop() => {}
            other => plain.push(other),
        }
    }
    plain
}

/// SHA-256 of a text, in hexadecimal digits.
pub(crate) fn hash_of(text: &str) -> String {
    hash_of_bytes(text.as_bytes())
}

fn hash_of_bytes(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(&Sha256::digest(bytes))
}

/// SHA-256 of a file's content; nothing where there is no such file, or something else: a pipe or a device has no end.
///
/// # Errors
/// When it is there and cannot be read.
pub(crate) fn hash_of_file(path: &Path) -> io::Result<Option<String>> {
    let opened = match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => File::open(path),
        Ok(_) => return Ok(None),
        Err(error) => Err(error),
    };
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(with_path(path, &error)),
    };
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = file.read(&mut buffer).map_err(|error| with_path(path, &error))?;
        if read == 0 {
            return Ok(Some(base16ct::lower::encode_string(&digest.finalize())));
        }
        digest.update(buffer.get(..read).unwrap_or_default());
    }
}

fn with_path(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("`{}`: {error}", path.display()))
}

#[cfg(test)]
mod tests;
