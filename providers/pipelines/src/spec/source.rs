//! `*.source-spec.yaml`: what a plugin makes pipelines of. A plugin is a program, and nothing is run here: what it answered
//! once is kept below the folder that is searched, under a digest of all that the answer depends on, and read like a spec.

use super::decode;
use super::model::{SourceSpec, SpecFile};
use super::problem::{Problem, Severity};
use super::processor::plugin;
use super::yaml::Node;
use super::{Declared, Specs, requirements};
use crate::fingerprint::{hash_of, hash_of_file};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Grows when answers are kept otherwise: older ones are asked for again.
const FORMAT: u32 = 1;
/// Where answers are kept, below the folder that is searched.
const KEPT: &str = ".terrace/pipelines/generated";
/// So many files of a plugin that lies in the project are looked at.
const MOST: usize = 2_000;

/// What a plugin answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Kept {
    format: u32,
    pipelines: Vec<Generated>,
    /// Why it takes the file not at all.
    problems: Vec<String>,
}

/// A pipeline that a plugin made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Generated {
    pub(crate) id: String,
    /// Where its steps run, relative to the folder that is searched.
    pub(crate) folder: PathBuf,
    /// As a pipeline of a spec.
    pub(crate) details: Map<String, Value>,
}

impl Kept {
    pub(crate) const fn new(pipelines: Vec<Generated>, problems: Vec<String>) -> Self {
        Self { format: FORMAT, pipelines, problems }
    }
}

impl SourceSpec {
    /// The folder of the file, relative to the folder that is searched.
    #[must_use]
    pub fn folder(&self, specs: &Specs) -> PathBuf {
        let path = specs.files.get(self.file).and_then(|file| file.path.parent());
        path.map(Path::to_path_buf).unwrap_or_default()
    }

    /// The file that an answer to what it says now is kept in.
    pub(crate) fn kept_in(&self, root: &Path) -> PathBuf {
        root.join(KEPT).join(format!("{}.json", self.key))
    }
}

/// A digest of all that an answer depends on: the text, the packages, the plugin where it lies in the project.
fn key(root: &Path, file: &SpecFile, module: &str) -> String {
    let folder = file.path.parent().unwrap_or(Path::new(""));
    let requirements = requirements::read(&root.join(folder));
    let requirements = (requirements.packages, requirements.constraints);
    let mut code = BTreeMap::new();
    for place in [root.join(folder), root.to_path_buf()] {
        files(&place.join(plugin(module)), &mut code);
    }
    hash_of(&serde_json::json!([FORMAT, file.path, file.text, module, requirements, code]).to_string())
}

/// The hash of each file of Python below a folder.
fn files(folder: &Path, found: &mut BTreeMap<String, String>) {
    let mut waiting = vec![folder.to_path_buf()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok(kind) = entry.file_type() else { continue };
            if found.len() >= MOST {
                return;
            }
            if kind.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "py") {
                let hash = hash_of_file(&path).ok().flatten().unwrap_or_default();
                found.insert(path.display().to_string(), hash);
            }
        }
    }
}

/// Takes up what plugins answered, as far as it is kept.
pub(super) fn expand(specs: &mut Specs) {
    for position in 0..specs.sources.len() {
        let Some(source) = specs.sources.get(position) else { continue };
        let (number, module) = (source.file, source.module.clone());
        let Some(file) = specs.files.get(number) else { continue };
        let key = key(&specs.root, file, &module);
        let Some(source) = specs.sources.get_mut(position) else { continue };
        source.key = key;
        let Some(kept) = read(&source.kept_in(&specs.root)) else { continue };
        source.made = Some(kept.pipelines.len());
        specs.problems.extend(kept.problems.into_iter().map(|message| problem(number, None, message)));
        for generated in kept.pipelines {
            add(specs, number, generated);
        }
    }
}

fn read(path: &Path) -> Option<Kept> {
    let text = fs::read(path).ok()?;
    // What is not what terrace writes is asked for again.
    serde_json::from_slice::<Kept>(&text).ok().filter(|kept| kept.format == FORMAT)
}

fn problem(file: usize, pipeline: Option<String>, message: String) -> Problem {
    Problem { severity: Severity::Error, code: "generated", message, file, at: 0..0, pipeline, step: None, hint: None }
}

fn add(specs: &mut Specs, file: usize, generated: Generated) {
    let Generated { id, folder, details } = generated;
    let parsed = Node::of_json(&Value::Object(details));
    let before = specs.problems.len();
    let pipeline = decode::generated(&id, parsed, &folder, file, &mut specs.problems);
    specs.declared.push(Declared { id, file, at: 0..0 });
    // Plugins leave marks of their own, which dpp passes over; nobody wrote them, and they stand nowhere.
    let mut position = 0;
    specs.problems.retain_mut(|problem| {
        position += 1;
        if position <= before {
            return true;
        }
        problem.at = 0..0;
        problem.code != "unknown_key"
    });
    specs.pipelines.extend(pipeline.map(|mut pipeline| {
        pipeline.at = 0..0;
        pipeline.steps.iter_mut().for_each(|step| step.at = 0..0);
        pipeline.dependencies.iter_mut().for_each(|dependency| dependency.at = 0..0);
        pipeline.schedule.iter_mut().for_each(|schedule| schedule.at = 0..0);
        pipeline
    }));
}
