//! Source specs (`*.source-spec.yaml`), from which plugins generate pipelines. A plugin is a program, which this module
//! does not run. It reads cached results from below the searched folder; the key is a digest of all inputs of the
//! result.

use super::decode;
use super::model::{SourceSpec, SpecFile};
use super::problem::{Problem, Severity};
use super::processor::plugin;
use super::yaml::of_json;
use super::{Declared, Specs, requirements};
use crate::hash::{hash_of, hash_of_file};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Format of cached results; an increase makes older ones invalid.
const FORMAT: u32 = 1;
/// Folder of cached results, below the searched folder.
const CACHE_FOLDER: &str = ".terrace/pipelines/generated";
/// Maximum number of hashed files of a plugin inside the project.
const MOST: usize = 2_000;

/// Result of a plugin.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CachedResult {
    format: u32,
    pipelines: Vec<Generated>,
    /// Errors if the plugin rejects the file.
    problems: Vec<String>,
}

/// A pipeline that a plugin generated.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Generated {
    pub(crate) id: String,
    /// Working folder of its steps, relative to the searched folder.
    pub(crate) folder: PathBuf,
    /// Its content, in the form of a spec.
    pub(crate) details: Map<String, Value>,
}

impl CachedResult {
    pub(crate) const fn new(pipelines: Vec<Generated>, problems: Vec<String>) -> Self {
        Self { format: FORMAT, pipelines, problems }
    }
}

impl SourceSpec {
    /// Folder of the file, relative to the searched folder.
    #[must_use]
    pub fn folder(&self, specs: &Specs) -> PathBuf {
        let path = specs.files.get(self.file).and_then(|file| file.path.parent());
        path.map(Path::to_path_buf).unwrap_or_default()
    }

    /// Path of the cached result for the present content.
    pub(crate) fn cache_path(&self, root: &Path) -> PathBuf {
        root.join(CACHE_FOLDER).join(format!("{}.json", self.key))
    }
}

/// Digest of all inputs of a result: the text, the packages, the plugin if it is inside the project.
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

/// Hashes the Python files below a folder.
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

/// Adds pipelines from cached results of plugins.
pub(super) fn expand(specs: &mut Specs) {
    for position in 0..specs.sources.len() {
        let Some(source) = specs.sources.get(position) else { continue };
        let (number, module) = (source.file, source.module.clone());
        let Some(file) = specs.files.get(number) else { continue };
        let key = key(&specs.root, file, &module);
        let Some(source) = specs.sources.get_mut(position) else { continue };
        source.key = key;
        let Some(cached) = read(&source.cache_path(&specs.root)) else { continue };
        source.generated_count = Some(cached.pipelines.len());
        specs.problems.extend(cached.problems.into_iter().map(|message| problem(number, None, message)));
        for generated in cached.pipelines {
            add(specs, number, generated);
        }
    }
}

fn read(path: &Path) -> Option<CachedResult> {
    let text = fs::read(path).ok()?;
    // Invalid files count as missing: the plugin runs again.
    serde_json::from_slice::<CachedResult>(&text).ok().filter(|cached| cached.format == FORMAT)
}

fn problem(file: usize, pipeline: Option<String>, message: String) -> Problem {
    Problem { severity: Severity::Error, code: "generated", message, file, at: 0..0, pipeline, step: None, hint: None }
}

fn add(specs: &mut Specs, file: usize, generated: Generated) {
    let Generated { id, folder, details } = generated;
    let parsed = of_json(&Value::Object(details));
    let before = specs.problems.len();
    let pipeline = decode::generated(&id, parsed, &folder, file, &mut specs.problems);
    specs.declared.push(Declared { id, file, at: 0..0 });
    // Plugins add their own keys, which dpp ignores: unknown keys are not reported. Generated text has no positions.
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
        pipeline.execution_places.clear();
        pipeline.steps.iter_mut().for_each(|step| step.at = 0..0);
        pipeline.dependencies.iter_mut().for_each(|dependency| dependency.at = 0..0);
        pipeline.schedule.iter_mut().for_each(|schedule| schedule.at = 0..0);
        pipeline
    }));
}
