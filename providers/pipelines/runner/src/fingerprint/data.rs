//! Input files of a pipeline, as far as its parameters name them: resources of data packages, tables, packages that it
//! depends on.

use super::inputs::Names;
use crate::hash::hash_of_file;
use crate::paths::plain;
use crate::spec::model::{DependsOn, Pipeline, Step, StepKind};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Hash of each file, by name; empty for a missing file.
pub(super) fn inputs(root: &Path, pipeline: &Pipeline, names: Names<'_>) -> io::Result<BTreeMap<String, String>> {
    let mut inputs = BTreeMap::new();
    for path in named_files(root, pipeline) {
        add(names, &path, &mut inputs)?;
        for resource in resources(&path) {
            add(names, &resource, &mut inputs)?;
        }
    }
    Ok(inputs)
}

/// Local files that parameters and dependencies name.
pub(crate) fn named_files(root: &Path, pipeline: &Pipeline) -> Vec<PathBuf> {
    let folder = root.join(&pipeline.folder);
    let read = pipeline.steps.iter().flat_map(of_step).filter_map(|text| local(&folder, text));
    read.chain(packages(root, pipeline)).collect()
}

/// Local data packages that a pipeline depends on. dpp resolves them from the folder of the call.
pub(crate) fn packages(root: &Path, pipeline: &Pipeline) -> Vec<PathBuf> {
    let named = pipeline.dependencies.iter().filter_map(|dependency| match &dependency.on {
        DependsOn::DataPackage(path) => Some(path.as_str()),
        DependsOn::Pipeline(_) => None,
    });
    named.filter_map(|text| local(root, text)).collect()
}

/// Inputs of a step: parameter `url` or `from` of a processor.
fn of_step(step: &Step) -> impl Iterator<Item = &str> {
    let is_reading = step.kind == StepKind::Processor;
    ["url", "from"].into_iter().filter(move |_| is_reading).filter_map(|name| step.parameters.get(name)?.as_str())
}

/// Local file that a text names; nothing for other addresses.
fn local(folder: &Path, text: &str) -> Option<PathBuf> {
    if let Some(path) = text.strip_prefix("file://") {
        return Some(PathBuf::from(path));
    }
    let is_elsewhere = text.contains("://") || text.is_empty();
    (!is_elsewhere).then(|| plain(&folder.join(text)))
}

fn add(names: Names<'_>, path: &Path, inputs: &mut BTreeMap<String, String>) -> io::Result<()> {
    let name = names.of(path);
    if !inputs.contains_key(&name) && !path.is_dir() {
        inputs.insert(name, hash_of_file(path)?.unwrap_or_default());
    }
    Ok(())
}

/// Files of a data package's resources, next to its descriptor.
fn resources(package: &Path) -> Vec<PathBuf> {
    if package.extension().is_none_or(|extension| extension != "json") {
        return Vec::new();
    }
    if !package.is_file() {
        return Vec::new();
    }
    let read = fs::read(package).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
    let Some(descriptor) = read else { return Vec::new() };
    let folder = package.parent().unwrap_or(Path::new(""));
    let items = descriptor.get("resources").and_then(Value::as_array).into_iter().flatten();
    let paths = items.flat_map(|resource| match resource.get("path") {
        Some(Value::String(path)) => vec![path.as_str()],
        Some(Value::Array(parts)) => parts.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    });
    paths.filter_map(|path| local(folder, path)).collect()
}
