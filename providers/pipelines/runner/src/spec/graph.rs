//! Dependency graph of pipelines by position, for [`super::order`] and [`super::undeclared_dependencies`].

use super::Specs;
use super::model::Pipeline;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

/// Predecessors and successors of each pipeline of a [`Specs`], by position.
#[derive(Debug)]
pub(super) struct Graph {
    before: Vec<Vec<usize>>,
    after: Vec<Vec<usize>>,
}

impl Graph {
    /// Graph of declared and detected dependencies.
    pub(super) fn of(specs: &Specs) -> Self {
        Self::build(specs, |pipeline| pipeline.all_before().collect())
    }

    /// Graph of declared dependencies.
    pub(super) fn declared(specs: &Specs) -> Self {
        Self::build(specs, |pipeline| pipeline.pipelines_before().collect())
    }

    fn build(specs: &Specs, before: impl Fn(&Pipeline) -> Vec<&str>) -> Self {
        let mut positions: HashMap<&str, usize> = HashMap::with_capacity(specs.pipelines.len());
        for (position, pipeline) in specs.pipelines.iter().enumerate() {
            positions.entry(&pipeline.id).or_insert(position);
        }
        let of_one = |pipeline| before(pipeline).into_iter().filter_map(|id| positions.get(id).copied()).collect();
        let before: Vec<Vec<usize>> = specs.pipelines.iter().map(of_one).collect();
        let mut after = vec![Vec::new(); before.len()];
        for (second, before) in before.iter().enumerate() {
            for first in before {
                if let Some(after) = after.get_mut(*first) {
                    after.push(second);
                }
            }
        }
        Self { before, after }
    }

    /// Number of pipelines.
    pub(super) fn len(&self) -> usize {
        self.before.len()
    }

    /// Direct predecessors of a pipeline.
    pub(super) fn before(&self, position: usize) -> &[usize] {
        self.before.get(position).map_or(&[], Vec::as_slice)
    }

    /// Adds an edge from the first pipeline to the second.
    pub(super) fn add(&mut self, first: usize, second: usize) {
        if let (Some(before), Some(after)) = (self.before.get_mut(second), self.after.get_mut(first)) {
            before.push(first);
            after.push(second);
        }
    }

    /// Direct successors of a pipeline.
    pub(super) fn after(&self, position: usize) -> &[usize] {
        self.after.get(position).map_or(&[], Vec::as_slice)
    }

    /// Returns these pipelines and all their successors, unordered.
    pub(super) fn with_all_after(&self, first: impl IntoIterator<Item = usize>) -> HashSet<usize> {
        let mut found = HashSet::new();
        let mut waiting: Vec<usize> = first.into_iter().collect();
        while let Some(position) = waiting.pop() {
            if found.insert(position) {
                waiting.extend(self.after(position));
            }
        }
        found
    }

    /// Returns the shortest path from `start` along predecessors to `end`, both included; nothing if no path exists.
    pub(super) fn path(&self, start: usize, end: usize) -> Option<Vec<usize>> {
        let mut came_from: HashMap<usize, usize> = HashMap::new();
        let mut waiting = VecDeque::from([start]);
        while let Some(from) = waiting.pop_front() {
            for to in self.before(from) {
                if came_from.contains_key(to) {
                    continue;
                }
                came_from.insert(*to, from);
                if *to == end {
                    return Some(rebuild_path(&came_from, start, end));
                }
                waiting.push_back(*to);
            }
        }
        None
    }
}

/// Rebuilds the path from its start.
fn rebuild_path(came_from: &HashMap<usize, usize>, start: usize, end: usize) -> Vec<usize> {
    let mut path = vec![end];
    let mut at = end;
    while let Some(from) = came_from.get(&at).copied() {
        path.push(from);
        at = from;
        if at == start {
            break;
        }
    }
    path.reverse();
    path
}

impl Specs {
    /// Ids of the pipelines with errors, and of those that depend on them.
    #[must_use]
    pub fn broken(&self) -> Vec<&str> {
        let wrong: BTreeSet<&str> =
            self.problems.iter().filter(|it| it.is_error()).filter_map(|it| it.pipeline.as_deref()).collect();
        let needs_wrong = |pipeline: &Pipeline| {
            wrong.contains(pipeline.id.as_str()) || pipeline.pipelines_before().any(|id| wrong.contains(id))
        };
        let first = self.pipelines.iter().enumerate().filter(|(_, pipeline)| needs_wrong(pipeline));
        let all = Graph::declared(self).with_all_after(first.map(|(position, _)| position)).into_iter();
        let ids = all.filter_map(|position| Some(self.pipelines.get(position)?.id.as_str()));
        ids.chain(wrong.iter().copied()).collect::<BTreeSet<_>>().into_iter().collect()
    }
}
