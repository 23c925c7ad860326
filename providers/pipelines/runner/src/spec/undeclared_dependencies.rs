//! Detects undeclared dependencies through files: dpp ignores them, and runs such pipelines in any order.

use super::Specs;
use super::graph::Graph;
use super::model::{Pipeline, StepKind};
use super::problem::{Problem, Severity};
use crate::fingerprint::inputs_of;
use crate::paths::plain;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

/// Records undeclared dependencies of each pipeline, and warns of them.
pub(super) fn check(specs: &mut Specs) {
    let mut writers: HashMap<PathBuf, Vec<usize>> = HashMap::new();
    for (position, pipeline) in specs.pipelines.iter().enumerate() {
        for place in output_folders(&specs.root, pipeline) {
            writers.entry(place).or_default().push(position);
        }
    }
    let mut graph = Graph::of(specs);
    let mut found: Vec<(usize, String)> = Vec::new();
    for (position, pipeline) in specs.pipelines.iter().enumerate() {
        let inputs = inputs_of(&specs.root, pipeline);
        let read: BTreeSet<usize> = inputs
            .iter()
            .flat_map(|input| input.ancestors())
            .filter_map(|place| writers.get(place))
            .flatten()
            .copied()
            .collect();
        // A pipeline that depends on this one and writes to the same place is not a dependency.
        let after = if read.is_empty() { HashSet::new() } else { graph.with_all_after([position]) };
        for writer in read {
            let Some(id) = specs.pipelines.get(writer).map(|writer| &writer.id) else { continue };
            let is_declared = graph.before(position).contains(&writer);
            if !is_declared && *id != pipeline.id && !after.contains(&writer) {
                found.push((position, id.clone()));
                graph.add(writer, position);
            }
        }
    }
    for (position, id) in found {
        let Some(pipeline) = specs.pipelines.get_mut(position) else { continue };
        specs.problems.push(Problem {
            severity: Severity::Warning,
            code: "unsaid_dependency",
            message: format!("it reads files that `{id}` writes, without a dependency on it"),
            file: pipeline.file,
            at: pipeline.at.clone(),
            pipeline: Some(pipeline.id.clone()),
            step: None,
            hint: Some(format!("add `- pipeline: {id}` to its `dependencies`; terrace runs it afterwards in any case")),
        });
        pipeline.reads_from.push(id);
    }
}

/// Folders into which a pipeline writes data packages.
#[must_use]
pub fn output_folders(root: &Path, pipeline: &Pipeline) -> Vec<PathBuf> {
    let dumps = pipeline.steps.iter().filter(|step| {
        step.kind == StepKind::Processor && matches!(step.name.as_str(), "dump.to_path" | "dump_to_path")
    });
    let folder = root.join(&pipeline.folder);
    dumps.filter_map(|step| Some(plain(&folder.join(step.parameters.get("out-path")?.as_str()?)))).collect()
}
