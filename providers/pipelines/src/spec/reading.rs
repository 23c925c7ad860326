//! Pipelines that read what others write without saying so: dpp does not know of it, and runs them in any order.

use super::Specs;
use super::model::{Pipeline, StepKind};
use super::problem::{Problem, Severity};
use crate::fingerprint::{inputs_of, plain};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Notes for each pipeline which others it reads from, and says that the spec does not.
pub(super) fn check(specs: &mut Specs) {
    let writes: Vec<(String, Vec<PathBuf>)> =
        specs.pipelines.iter().map(|pipeline| (pipeline.id.clone(), places(&specs.root, pipeline))).collect();
    let mut found: Vec<(usize, String)> = Vec::new();
    for (position, pipeline) in specs.pipelines.iter().enumerate() {
        let inputs = inputs_of(&specs.root, pipeline);
        for (id, places) in writes.iter().filter(|(id, _)| *id != pipeline.id) {
            let is_said = pipeline.pipelines_before().any(|before| before == id);
            let reads = inputs.iter().any(|input| places.iter().any(|place| input.starts_with(place)));
            // The other way round it is somebody else's result that is worked on further.
            if reads && !is_said && !comes_before(specs, &pipeline.id, id, &mut HashSet::new()) {
                found.push((position, id.clone()));
            }
        }
    }
    for (position, id) in found {
        let Some(pipeline) = specs.pipelines.get_mut(position) else { continue };
        specs.problems.push(Problem {
            severity: Severity::Warning,
            code: "unsaid_dependency",
            message: format!("it reads what `{id}` writes, and does not say that it depends on it"),
            file: pipeline.file,
            at: pipeline.at.clone(),
            pipeline: Some(pipeline.id.clone()),
            step: None,
            hint: Some(format!("add `- pipeline: {id}` to its `dependencies`; it is run after it in any case")),
        });
        pipeline.reads_from.push(id);
    }
}

/// True when `first` is run before `second` because of what specs say, or what was found so far.
fn comes_before(specs: &Specs, first: &str, second: &str, seen: &mut HashSet<String>) -> bool {
    let Some(pipeline) = specs.pipeline(second) else { return false };
    pipeline
        .all_before()
        .any(|before| before == first || (seen.insert(before.to_owned()) && comes_before(specs, first, before, seen)))
}

/// The folders that a pipeline writes data packages into.
pub(crate) fn places(root: &Path, pipeline: &Pipeline) -> Vec<PathBuf> {
    let dumps = pipeline.steps.iter().filter(|step| {
        step.kind == StepKind::Processor && matches!(step.name.as_str(), "dump.to_path" | "dump_to_path")
    });
    let folder = root.join(&pipeline.folder);
    dumps.filter_map(|step| Some(plain(&folder.join(step.parameters.get("out-path")?.as_str()?)))).collect()
}
