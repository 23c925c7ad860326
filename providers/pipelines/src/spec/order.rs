//! What comes after what: pipelines after those that they depend on.

use super::Specs;
use super::model::{Dependency, DependsOn, Pipeline};
use super::problem::{Problem, Severity};
use std::collections::{HashMap, HashSet};
use terrace_provider::names::{closest, listed};

/// So many are named of those that there are.
const MOST: usize = 10;

/// These pipelines, by position in [`Specs::pipelines`], each after those among them that it depends on; otherwise as
/// written. Those of a loop, which [`super::read`] tells of, come last.
#[must_use]
pub fn sorted(specs: &Specs, chosen: &[usize]) -> Vec<usize> {
    let ids: HashMap<&str, usize> =
        chosen.iter().filter_map(|position| Some((specs.pipelines.get(*position)?.id.as_str(), *position))).collect();
    let mut order: Vec<usize> = Vec::with_capacity(chosen.len());
    let mut placed = HashSet::new();
    let mut left: Vec<usize> = chosen.to_vec();
    while !left.is_empty() {
        let is_ready = |position: &usize| {
            let pipeline = specs.pipelines.get(*position);
            let mut before = pipeline.into_iter().flat_map(Pipeline::all_before);
            before.all(|id| ids.get(id).is_none_or(|before| placed.contains(before)))
        };
        let Some(next) = left.iter().position(is_ready) else { break };
        let position = left.remove(next);
        placed.insert(position);
        order.push(position);
    }
    order.extend(left);
    order
}

/// Reports dependencies that lead nowhere, and loops.
pub(super) fn check(specs: &mut Specs) {
    let declared: Vec<&str> = specs.declared.iter().map(|declared| declared.id.as_str()).collect();
    // What plugins make of their files is not known here: a dependency may be on that.
    let is_open = specs.sources.iter().any(|source| source.made.is_none());
    let mut problems = Vec::new();
    for pipeline in &specs.pipelines {
        for (dependency, id) in pipeline_dependencies(pipeline) {
            if declared.contains(&id) {
                continue;
            }
            let hint = match closest(id, declared.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("the pipelines here are {}", listed(declared.get(..MOST).unwrap_or(&declared))),
            };
            problems.push(Problem {
                severity: if is_open { Severity::Warning } else { Severity::Error },
                code: "missing_dependency",
                message: format!("it depends on `{id}`, and there is no such pipeline"),
                file: pipeline.file,
                at: dependency.at.clone(),
                pipeline: Some(pipeline.id.clone()),
                step: None,
                hint: Some(hint),
            });
        }
    }
    problems.extend(loops(specs));
    specs.problems.append(&mut problems);
}

fn pipeline_dependencies(pipeline: &Pipeline) -> impl Iterator<Item = (&Dependency, &str)> {
    pipeline.dependencies.iter().filter_map(|dependency| match &dependency.on {
        DependsOn::Pipeline(id) => Some((dependency, id.as_str())),
        DependsOn::DataPackage(_) => None,
    })
}

/// One problem for each pipeline that comes back to itself, with the way.
fn loops(specs: &Specs) -> Vec<Problem> {
    let by_id: HashMap<&str, &Pipeline> =
        specs.pipelines.iter().map(|pipeline| (pipeline.id.as_str(), pipeline)).collect();
    let way_back = |pipeline: &Pipeline| way(&by_id, &pipeline.id);
    let told = specs.pipelines.iter().filter_map(|pipeline| Some((pipeline, way_back(pipeline)?)));
    told.map(|(pipeline, way)| {
        let next = way.get(1).map(String::as_str).unwrap_or_default();
        let at =
            pipeline_dependencies(pipeline).find(|(_, id)| *id == next).map(|(dependency, _)| dependency.at.clone());
        Problem {
            severity: Severity::Error,
            code: "loop",
            message: format!("it depends on itself: {}", way.join(" → ")),
            file: pipeline.file,
            at: at.unwrap_or_else(|| pipeline.at.clone()),
            pipeline: Some(pipeline.id.clone()),
            step: None,
            hint: Some("remove one of these dependencies".to_owned()),
        }
    })
    .collect()
}

/// The shortest way from a pipeline back to itself.
fn way(by_id: &HashMap<&str, &Pipeline>, start: &str) -> Option<Vec<String>> {
    let mut came_from: HashMap<&str, &str> = HashMap::new();
    let mut layer: Vec<&str> = vec![start];
    while !layer.is_empty() {
        let mut next = Vec::new();
        for from in layer {
            for to in by_id.get(from).into_iter().flat_map(|pipeline| pipeline.pipelines_before()) {
                if to == start {
                    let mut way = vec![start.to_owned()];
                    let mut at = Some(from);
                    while let Some(name) = at {
                        way.push(name.to_owned());
                        at = came_from.get(name).copied();
                    }
                    way.reverse();
                    return Some(way);
                }
                if by_id.contains_key(to) && to != start && !came_from.contains_key(to) {
                    came_from.insert(to, from);
                    next.push(to);
                }
            }
        }
        layer = next;
    }
    None
}
