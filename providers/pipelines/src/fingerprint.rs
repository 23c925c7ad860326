//! What the result of a pipeline depends on, as hashes: its spec, its code, the data that it reads, the pipelines before it.
//!
//! A run keeps the [`Fingerprint`] that it was made with; a pipeline is dirty when it has another one now, and
//! [`Fingerprint::reasons`] says what is different: the step, the file, the pipeline. Nothing is asked of the network: what
//! a step reads from elsewhere is not among the data.

mod code;
mod data;

pub(crate) use data::{named_files as inputs_of, packages};

use crate::environment::Recipe;
use crate::spec::model::{DependsOn, Pipeline, StepKind};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

/// What the result of a pipeline depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Of everything that the spec says of the pipeline and that changes what it does.
    pub spec: String,
    /// Of its processors and what they import, and of the environment that they run in.
    pub code: String,
    /// Of the files that it reads.
    pub data: String,
    /// What the pipelines before it made, by id: empty where one has made nothing yet.
    pub dependencies: BTreeMap<String, String>,
    /// The hash of each step as the spec has it.
    pub steps: Vec<(String, String)>,
    /// The hash of each file of code, by its path in the folder that was searched.
    pub files: BTreeMap<String, String>,
    /// The hash of each file that is read; empty where it is not there.
    pub inputs: BTreeMap<String, String>,
}

impl Fingerprint {
    /// The fingerprint of a pipeline as it is now. `made` says what a pipeline made last.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn of(
        root: &Path,
        pipeline: &Pipeline,
        recipe: &Recipe,
        made: impl Fn(&str) -> Option<String>,
    ) -> io::Result<Self> {
        let steps: Vec<(String, String)> =
            pipeline.steps.iter().map(|step| (step.name.clone(), hash_of(&step_text(step)))).collect();
        let environment: Vec<String> =
            pipeline.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut before: Vec<String> = Vec::new();
        for dependency in &pipeline.dependencies {
            before.push(match &dependency.on {
                DependsOn::Pipeline(id) => format!("pipeline {id}"),
                DependsOn::DataPackage(path) => format!("datapackage {path}"),
            });
        }
        let said: Vec<&str> = steps.iter().map(|(_, hash)| hash.as_str()).collect();
        let spec = hash_of(&serde_json::json!([said, environment, before]).to_string());
        let files = code::files(root, pipeline)?;
        let code = hash_of(&serde_json::json!([recipe.key(), files]).to_string());
        let inputs = data::inputs(root, pipeline)?;
        let data = hash_of(&serde_json::json!(inputs).to_string());
        let dependencies = pipeline.all_before().map(|id| (id.to_owned(), made(id).unwrap_or_default())).collect();
        Ok(Self { spec, code, data, dependencies, steps, files, inputs })
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

    /// The reasons that no other pipeline can give or take away by running first: what the spec says, and the code.
    #[must_use]
    pub fn own_reasons(&self, before: &Self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.spec != before.spec {
            reasons.push(self.changed_spec(before));
        }
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

/// A step as text: everything that it says.
fn step_text(step: &crate::spec::model::Step) -> String {
    let code = match &step.kind {
        StepKind::Code(code) => serde_json::json!({ "code": code }),
        StepKind::Flow => serde_json::json!("flow"),
        StepKind::Processor => serde_json::json!("run"),
    };
    let said =
        serde_json::json!([step.name, code, sorted(&step.parameters), step.is_cached, step.is_validated, step.runner]);
    match &step.wrapper {
        // What a step runs in is a part of it: another container may have another Python.
        Some(wrapper) => format!("{said} {}", wrapper.text),
        None => said.to_string(),
    }
}

/// A map by its keys: the order in which parameters are written changes nothing.
fn sorted(map: &serde_json::Map<String, serde_json::Value>) -> serde_json::Value {
    fn sort(value: &serde_json::Value) -> serde_json::Value {
        match value {
            serde_json::Value::Object(map) => sorted(map),
            serde_json::Value::Array(items) => items.iter().map(sort).collect(),
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
    base16ct::lower::encode_string(&Sha256::digest(text.as_bytes()))
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
