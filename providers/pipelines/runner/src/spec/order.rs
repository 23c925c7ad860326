//! Order of pipelines: each follows its dependencies.

use super::Specs;
use super::graph::Graph;
use super::model::{Dependency, DependsOn, Pipeline};
use super::problem::{Problem, Severity};
use petgraph::Directed;
use petgraph::algo::kosaraju_scc;
use petgraph::graphmap::GraphMap;
use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use terrace_provider::names::{closest, listed};

/// Number of pipelines that a hint lists.
const MOST: usize = 10;

/// Sorts these pipelines, by position in [`Specs::pipelines`], after their dependencies; otherwise in the order of the
/// spec. Pipelines of a cycle, which [`super::read`] reports, come last.
#[must_use]
pub fn sorted(specs: &Specs, chosen: &[usize]) -> Vec<usize> {
    let graph = Graph::of(specs);
    let ranks: HashMap<usize, usize> = chosen.iter().enumerate().map(|(rank, position)| (*position, rank)).collect();
    let chosen_before = |position: &usize| graph.before(*position).iter().filter(|it| ranks.contains_key(it)).count();
    let mut missing: HashMap<usize, usize> =
        ranks.keys().map(|position| (*position, chosen_before(position))).collect();
    let is_free = |missing: &HashMap<usize, usize>, position: &usize| missing.get(position) == Some(&0);
    // The first in the order of the spec of those that wait for no other.
    let free = chosen.iter().enumerate().filter(|(_, position)| is_free(&missing, position));
    let mut ready: BinaryHeap<Reverse<(usize, usize)>> =
        free.map(|(rank, position)| Reverse((rank, *position))).collect();
    let mut order = Vec::with_capacity(chosen.len());
    while let Some(Reverse((_, position))) = ready.pop() {
        order.push(position);
        for next in graph.after(position) {
            let (Some(count), Some(rank)) = (missing.get_mut(next), ranks.get(next)) else { continue };
            *count = count.saturating_sub(1);
            if *count == 0 {
                ready.push(Reverse((*rank, *next)));
            }
        }
    }
    order.extend(chosen.iter().filter(|position| !is_free(&missing, position)));
    order
}

/// Reports unknown dependencies and cycles.
pub(super) fn check(specs: &mut Specs) {
    let declared: Vec<&str> = specs.declared.iter().map(|declared| declared.id.as_str()).collect();
    let known: HashSet<&str> = declared.iter().copied().collect();
    // Plugins may still generate a missing pipeline from their files.
    let is_open = specs.sources.iter().any(|source| source.generated_count.is_none());
    let mut problems = Vec::new();
    for pipeline in &specs.pipelines {
        for (dependency, id) in pipeline_dependencies(pipeline) {
            if known.contains(id) {
                continue;
            }
            let hint = match closest(id, declared.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("available pipelines: {}", listed(declared.get(..MOST).unwrap_or(&declared))),
            };
            problems.push(Problem {
                severity: if is_open { Severity::Warning } else { Severity::Error },
                code: "missing_dependency",
                message: format!("it depends on `{id}`, which does not exist"),
                file: pipeline.file,
                at: dependency.at.clone(),
                pipeline: Some(pipeline.id.clone()),
                step: None,
                hint: Some(hint),
            });
        }
    }
    problems.extend(find_cycles(specs));
    specs.problems.append(&mut problems);
}

fn pipeline_dependencies(pipeline: &Pipeline) -> impl Iterator<Item = (&Dependency, &str)> {
    pipeline.dependencies.iter().filter_map(|dependency| match &dependency.on {
        DependsOn::Pipeline(id) => Some((dependency, id.as_str())),
        DependsOn::DataPackage(_) => None,
    })
}

/// Returns a problem per cycle, at its first pipeline in the order of the spec, with the path.
fn find_cycles(specs: &Specs) -> Vec<Problem> {
    let graph = Graph::declared(specs);
    let mut edges: GraphMap<usize, (), Directed> = GraphMap::with_capacity(graph.len(), graph.len());
    for position in 0..graph.len() {
        edges.add_node(position);
        for before in graph.before(position) {
            edges.add_edge(position, *before, ());
        }
    }
    // Kosaraju's algorithm needs no recursion: chains may be long.
    let groups = kosaraju_scc(&edges).into_iter();
    let is_cycle = |group: &Vec<usize>| match group.as_slice() {
        [one] => edges.contains_edge(*one, *one),
        _ => true,
    };
    let firsts = groups.filter(is_cycle).filter_map(|group| group.into_iter().min());
    let cycles = firsts.filter_map(|first| Some((specs.pipelines.get(first)?, graph.path(first, first)?)));
    cycles
        .map(|(pipeline, path)| {
            let ids: Vec<&str> = path.iter().filter_map(|it| Some(specs.pipelines.get(*it)?.id.as_str())).collect();
            let next = ids.get(1).copied().unwrap_or_default();
            let at = pipeline_dependencies(pipeline)
                .find(|(_, id)| *id == next)
                .map(|(dependency, _)| dependency.at.clone());
            Problem {
                severity: Severity::Error,
                code: "loop",
                message: format!("it depends on itself: {}", shortened(&ids).join(" → ")),
                file: pipeline.file,
                at: at.unwrap_or_else(|| pipeline.at.clone()),
                pipeline: Some(pipeline.id.clone()),
                step: None,
                hint: Some("remove one of these dependencies".to_owned()),
            }
        })
        .collect()
}

/// Shortens a long path to its beginning and its end.
fn shortened<'a>(ids: &[&'a str]) -> Vec<Cow<'a, str>> {
    let shown = |ids: &[&'a str]| ids.iter().map(|id| Cow::Borrowed(*id)).collect::<Vec<_>>();
    let (Some(begin), Some(end)) = (ids.get(..MOST / 2), ids.get(ids.len().saturating_sub(MOST / 2)..)) else {
        return shown(ids);
    };
    match ids.len().checked_sub(MOST) {
        None | Some(0) => shown(ids),
        Some(left_out) => [shown(begin), vec![Cow::Owned(format!("({left_out} more)"))], shown(end)].concat(),
    }
}
