//! Components of a plan: described, recorded, or both.

use super::failure::PlanFailure;
use super::planner::Planner;
use super::targeting::Targeting;
use super::{ComponentPlan, Part, ids};
use petgraph::algo::kosaraju_scc;
use petgraph::graphmap::DiGraphMap;
use std::collections::{BTreeMap, BTreeSet};
use terrace_language::address::{ComponentKey, StackId, outputs_in_words};
use terrace_language::compile::{CompiledComponent, CompiledStack};
use terrace_language::diagnostic::Diagnostic;
use terrace_language::moves::Moves;
use terrace_language::source::Sources;
use terrace_provider::Attributes;
use terrace_provider::value::wire::WireError;
use terrace_store::record;
use terrace_store::seal::Place;
use terrace_store::{ComponentRow, Selection};

/// The recorded component, decrypted.
#[derive(Clone)]
pub(crate) struct RecordedComponent {
    pub(crate) row: ComponentRow,
    pub(crate) outputs: Attributes,
    /// The outputs that cannot be decrypted, with the errors.
    pub(crate) undecryptable: BTreeMap<String, WireError>,
}

impl RecordedComponent {
    /// Fails if outputs that are needed or kept cannot be decrypted.
    pub(super) fn open(&self, stack: &StackId) -> Result<(), PlanFailure> {
        match self.undecryptable.first_key_value() {
            None => Ok(()),
            Some((name, error)) => Err(PlanFailure::Sealed { address: self.output(stack, name), error: error.clone() }),
        }
    }

    /// Drops the outputs that cannot be decrypted and warns about each.
    pub(super) fn drop_undecryptable(&self, stack: &StackId) -> impl Iterator<Item = Diagnostic> {
        self.undecryptable.iter().map(|(name, error)| {
            let message = format!("{} cannot be read: {error}", self.output(stack, name));
            Diagnostic::warning("output_given_up", message)
                .hint("to keep it, provide the state key that sealed it; an apply with changes records its new value or drops it")
        })
    }

    fn output(&self, stack: &StackId, name: &str) -> String {
        format!("the recorded output `{}` of {stack}", self.row.key.qualified(name))
    }
}

impl Planner<'_> {
    /// Reads the recorded components, by key.
    pub(super) async fn recorded_components(
        &self,
        stack: &StackId,
    ) -> Result<BTreeMap<ComponentKey, RecordedComponent>, PlanFailure> {
        let mut rows = self.store.components(stack).await?;
        break_cycles(&mut rows);
        rows.into_iter()
            .map(|row| {
                let placed = self.seal.at(Place::Outputs { stack, component: &row.key });
                let (outputs, undecryptable) = record::open_readable_outputs(&row.outputs, &placed)
                    .map_err(|error| PlanFailure::Sealed { address: outputs_in_words(stack, &row.key), error })?;
                Ok((row.key.clone(), RecordedComponent { row, outputs: outputs.values, undecryptable }))
            })
            .collect()
    }

    /// Warns about components that stay although a component that they depend on is removed.
    pub(super) async fn dependents_of_removed(
        &self,
        stack: &StackId,
        recorded: &BTreeMap<ComponentKey, RecordedComponent>,
        is_removed: &(dyn Fn(&ComponentKey) -> bool + Sync),
    ) -> Result<Vec<Diagnostic>, PlanFailure> {
        let mut left: BTreeMap<&ComponentKey, Vec<&ComponentKey>> = BTreeMap::new();
        for (key, component) in recorded.iter().filter(|(key, _)| !is_removed(key)) {
            for on in component.row.depends_on.iter().filter(|on| is_removed(on)) {
                left.entry(on).or_default().push(key);
            }
        }
        let own = match left.values().flatten().any(|key| key.is_stack()) {
            true if !self.store.rows(stack, &Selection::Components([ComponentKey::STACK].into())).await?.is_empty() => {
                "resources and outputs"
            }
            _ => "outputs",
        };
        Ok(left.into_iter().map(|(removed, left)| dependents_stay(removed, &left, own)).collect())
    }
}

/// Removes cycles among the recorded dependencies of components, which separate applies may have created. Rows of resources keep their own
/// dependencies.
fn break_cycles(rows: &mut [ComponentRow]) {
    let edges = rows.iter().flat_map(|row| row.depends_on.iter().map(|on| (&row.key, on)));
    let graph: DiGraphMap<&ComponentKey, ()> = edges.collect();
    let cycles: Vec<BTreeSet<ComponentKey>> = kosaraju_scc(&graph)
        .into_iter()
        .filter(|members| members.len() > 1)
        .map(|members| members.into_iter().cloned().collect())
        .collect();
    for row in rows {
        if let Some(members) = cycles.iter().find(|members| members.contains(&row.key)) {
            row.depends_on.retain(|on| !members.contains(on));
        }
    }
}

impl ComponentPlan {
    /// Marks the component as deferred. It keeps its former dependencies, because its rows are still ordered by them; a component that is
    /// deferred as a whole keeps those only.
    pub(super) fn defer(&mut self, is_whole: bool, moves: &Moves) {
        self.is_deferred = true;
        if is_whole {
            self.depends_on.clear();
        }
        for key in &self.depended_on {
            let key = moves.component(key).unwrap_or_else(|| key.clone());
            if !self.depends_on.contains(&key) {
                self.depends_on.push(key);
            }
        }
    }
}

/// Copies the recorded component of a moved one to its new key. The old entry stays until it is dropped. Returns the old keys.
pub(super) fn follow_components(
    moves: &Moves,
    recorded: &mut BTreeMap<ComponentKey, RecordedComponent>,
) -> BTreeSet<ComponentKey> {
    let mut moved_from = BTreeSet::new();
    let moved = |(key, component): (&ComponentKey, &RecordedComponent)| {
        Some((key.clone(), moves.component(key)?, component.clone()))
    };
    let moved: Vec<_> = recorded.iter().filter_map(moved).collect();
    let left: BTreeSet<ComponentKey> = moved.iter().map(|(from, ..)| from.clone()).collect();
    let mut new_keys = BTreeSet::new();
    for (from, to, component) in moved {
        // A component that moves itself frees its key for the arriving component.
        if !recorded.contains_key(&to) || left.contains(&to) && !new_keys.contains(&to) {
            recorded.insert(to.clone(), component);
            new_keys.insert(to);
            moved_from.insert(from);
        }
    }
    &moved_from - &new_keys
}

/// The recorded dependencies of each component.
pub(super) fn order_of(
    recorded: &BTreeMap<ComponentKey, RecordedComponent>,
) -> BTreeMap<ComponentKey, Vec<ComponentKey>> {
    recorded.iter().map(|(key, component)| (key.clone(), component.row.depends_on.clone())).collect()
}

pub(super) fn compiled_components(
    targeting: &Targeting,
    compiled: &CompiledStack,
    recorded: &BTreeMap<ComponentKey, RecordedComponent>,
    sources: &Sources,
) -> Vec<ComponentPlan> {
    let is_chosen = |key: &str| targeting.plans_component(key);
    let access = |component: &CompiledComponent| recorded.get(&component.key)?.row.access.clone();
    compiled
        .components
        .iter()
        .map(|component| ComponentPlan {
            key: component.key.clone(),
            id: component.id.clone(),
            ids: ids::of(compiled, component),
            depends_on: component.depends_on.iter().filter_map(|dependency| dependency.key.clone()).collect(),
            depended_on: recorded
                .get(&component.key)
                .map(|recorded| recorded.row.depends_on.clone())
                .unwrap_or_default(),
            reads: Vec::new(),
            recorded_reads: recorded.get(&component.key).map(|recorded| recorded.row.reads.clone()).unwrap_or_default(),
            shared: Vec::new(),
            blueprint: component.blueprint.clone(),
            place: sources.place(component.span),
            access: component.granted.as_ref().map(|granted| granted.access.clone()).or_else(|| access(component)),
            recorded_access: access(component),
            grants: component
                .grants()
                .map(|declaration| (declaration.ty.value.clone(), declaration.name.value.clone()))
                .collect(),
            part: if is_chosen(&component.key) { Part::Planned } else { Part::Untouched },
            is_deferred: false,
            recorded_outputs: match is_chosen(&component.key) {
                true => Attributes::default(),
                false => recorded.get(&component.key).map(|recorded| recorded.outputs.clone()).unwrap_or_default(),
            },
        })
        .collect()
}

pub(super) fn recorded_component(key: &ComponentKey, recorded: &RecordedComponent, part: Part) -> ComponentPlan {
    ComponentPlan {
        key: key.clone(),
        id: None,
        ids: recorded.row.ids.clone(),
        depends_on: recorded.row.depends_on.clone(),
        depended_on: recorded.row.depends_on.clone(),
        reads: recorded.row.reads.clone(),
        recorded_reads: recorded.row.reads.clone(),
        shared: Vec::new(),
        blueprint: recorded.row.blueprint.clone(),
        place: None,
        part,
        is_deferred: false,
        recorded_outputs: recorded.outputs.clone(),
        access: recorded.row.access.clone(),
        recorded_access: recorded.row.access.clone(),
        grants: Vec::new(),
    }
}

/// Notes chosen components that depend on a component that is neither chosen nor deployed.
pub(super) fn not_deployed(
    targeting: &Targeting,
    compiled: &CompiledStack,
    recorded: &BTreeMap<ComponentKey, RecordedComponent>,
) -> Vec<Diagnostic> {
    let is_missing = |key: &ComponentKey| !targeting.plans_component(key) && !recorded.contains_key(key);
    let chosen = compiled.components.iter().filter(|component| targeting.plans_component(&component.key));
    let dependencies = chosen.flat_map(|component| component.depends_on.iter().map(move |on| (&component.key, on)));
    let notes = dependencies.filter_map(|(component, dependency)| {
        let missing = dependency.key.as_ref().filter(|key| is_missing(key))?;
        let message = format!("`{component}` depends on `{missing}`, which is not deployed");
        let note = Diagnostic::note("dependency_not_deployed", message).at(dependency.span);
        Some(note.hint(format!("apply it first, or in the same run: add `-c {missing}`")))
    });
    notes.collect()
}

fn dependents_stay(removed: &ComponentKey, left: &[&ComponentKey], own: &str) -> Diagnostic {
    // `-c` cannot name the stack's own resources and outputs.
    let (of_stack, components): (Vec<&ComponentKey>, Vec<&ComponentKey>) = left.iter().partition(|key| key.is_stack());
    let of_stack: Vec<String> = of_stack.iter().map(|_| format!("the stack's own {own}")).collect();
    let named = components.iter().map(|key| format!("`{key}`"));
    let listed = of_stack.iter().cloned().chain(named).collect::<Vec<_>>().join(", ");
    let verb = if left.len() == 1 && of_stack.is_empty() { "depends" } else { "depend" };
    let message = format!("{listed} {verb} on `{removed}`, which is removed, and will stay");
    let flags = components.iter().map(|key| format!("-c {key}")).collect::<Vec<_>>().join(" ");
    let hint = match (components.is_empty(), of_stack.is_empty()) {
        (true, _) => "to remove them too, leave out `-c`: that removes the whole stack".to_owned(),
        (false, true) => format!("remove what depends on it, too: add `{flags}`"),
        (false, false) => {
            format!("remove what depends on it, too: add `{flags}`, or leave out `-c` for the whole stack")
        }
    };
    Diagnostic::warning("dependents_stay", message).hint(hint)
}
