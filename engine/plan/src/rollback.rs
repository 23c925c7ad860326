//! Rollback plans: they restore rows of the history, without a descriptor.

mod diagnostics;
mod last_outcome;
mod provenance;

use super::compute::Computed;
use super::failure::PlanFailure;
use super::key::{ObjectName, identity_key};
use super::loaded::{Loaded, LoadedRow};
use super::lookup_dependencies::LookupDependencies;
use super::managed::Managed;
use super::options::Options;
use super::outdated_row::upgrade;
use super::planner::Planner;
use super::remote_check;
use super::resource_input::ResourceInput;
use super::{
    Change, ComponentPlan, Mode, Origin, OutputChange, Part, StackPlan, orphans, refresh, replacement, resource,
};
use diagnostics::{recorded_elsewhere, unknown_provenance, was_pruned, were_pruned, would_replace_adopted};
use jiff::Timestamp;
use last_outcome::LastOutcomes;
use provenance::{Provenance, Provenances};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use terrace_language::action::{Action, Reason};
use terrace_language::address::{self, Address, ComponentKey, StackId};
use terrace_language::descriptor::Adopt;
use terrace_language::diagnostic::Diagnostic;
use terrace_language::expression::{Template, TemplateKind};
use terrace_language::source::Span;
use terrace_provider::schema::Timeouts;
use terrace_provider::{Attributes, Path, ResourceType, Value};
use terrace_store::diff::are_same;
use terrace_store::marks;
use terrace_store::record::{self, Opened};
use terrace_store::seal::Place;
use terrace_store::{
    ComponentRow, Generation, HistoryEntry, Read, Row, RowStatus, Sealed, Selection, StackSnapshot, StoreError,
};
use uuid::Uuid;

/// The stored text of a component without outputs.
const NOTHING: &str = "{}";

/// The recorded state to restore; `None` for a row or component that did not exist.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RollbackTarget {
    /// The rows.
    pub rows: BTreeMap<Address, Option<Row>>,
    /// The components' own records: outputs, access lists and dependencies.
    pub components: BTreeMap<ComponentKey, Option<ComponentRow>>,
    /// The resources whose earlier version was pruned.
    pub pruned: BTreeSet<Address>,
    /// The components whose earlier version was pruned.
    pub pruned_components: BTreeSet<ComponentKey>,
}

/// The state of a stack at the end of an operation, limited to what differs now. Returns `None` if the operation wrote nothing of
/// the stack.
#[must_use]
pub fn as_of(snapshot: &StackSnapshot, operation: Uuid) -> Option<RollbackTarget> {
    let of_rows = snapshot.history.iter().map(|(_, entry)| (entry.operation, entry.at));
    let of_components = snapshot.component_history.iter().map(|entry| (entry.operation, entry.at));
    let by_operation = of_rows.chain(of_components).filter(|(by, _)| *by == operation);
    let end = by_operation.map(|(_, at)| at).max()?;
    let (rows, pruned) = rows_as_of(snapshot, end);
    let (components, pruned_components) = components_as_of(snapshot, end);
    Some(RollbackTarget { rows, components, pruned, pruned_components })
}

/// As [`rows_as_of`], for components.
fn components_as_of(
    snapshot: &StackSnapshot,
    end: Timestamp,
) -> (BTreeMap<ComponentKey, Option<ComponentRow>>, BTreeSet<ComponentKey>) {
    let mut then: BTreeMap<&ComponentKey, Option<&ComponentRow>> = BTreeMap::new();
    let mut pruned: BTreeSet<&ComponentKey> = BTreeSet::new();
    for entry in &snapshot.component_history {
        let key = &entry.key;
        // A history that begins with a version other than the first was pruned.
        if entry.at > end && !entry.is_first && !then.contains_key(key) {
            pruned.insert(key);
        }
        let newest = then.entry(key).or_default();
        if entry.at <= end {
            *newest = entry.component.as_ref();
        }
    }
    then.retain(|key, _| !pruned.contains(key));
    let now: HashMap<&ComponentKey, &ComponentRow> = snapshot.components.iter().map(|row| (&row.key, row)).collect();
    let changed = then.into_iter().filter(|(key, row)| now.get(key) != row.as_ref());
    let changed = changed.map(|(key, row)| (key.clone(), row.cloned())).collect();
    (changed, pruned.into_iter().filter(|key| now.contains_key(key)).cloned().collect())
}

/// The rows that differed then, and the rows whose old versions were pruned.
fn rows_as_of(snapshot: &StackSnapshot, end: Timestamp) -> (BTreeMap<Address, Option<Row>>, BTreeSet<Address>) {
    let mut then: BTreeMap<&Address, Option<&HistoryEntry>> = BTreeMap::new();
    let mut first: BTreeMap<&Address, u64> = BTreeMap::new();
    for (address, entry) in &snapshot.history {
        let newest = then.entry(address).or_default();
        let first = first.entry(address).or_insert(entry.generation);
        *first = entry.generation.min(*first);
        let is_newer = newest.is_none_or(|newest| newest.generation < entry.generation);
        if entry.at <= end && is_newer {
            *newest = Some(entry);
        }
    }
    let current = snapshot.rows.iter().filter(|row| row.deposed.is_none());
    let now: HashMap<&Address, u64> = current.map(|row| (&row.address, row.generation)).collect();
    // Generations begin with 1: a history that begins with a later one was pruned.
    let is_pruned = |address: &Address| first.get(address).is_some_and(|first| *first > 1);
    let (pruned, kept): (BTreeMap<_, _>, BTreeMap<_, _>) =
        then.into_iter().partition(|(address, entry)| entry.is_none() && is_pruned(address));
    let pruned = pruned.into_keys().filter(|address| now.contains_key(address)).cloned().collect();
    let changed = kept.into_iter().filter_map(|(address, entry)| {
        let row = entry.and_then(|entry| entry.row.clone());
        let is_same = match (&row, now.get(address)) {
            (Some(row), Some(generation)) => row.generation == *generation,
            (None, None) => true,
            _ => false,
        };
        (!is_same).then(|| (address.clone(), row))
    });
    (changed.collect(), pruned)
}

impl Planner<'_> {
    /// Plans to restore recorded objects. Values that are never recorded stay as they are.
    ///
    /// # Errors
    /// As [`Planner::plan`].
    pub async fn plan_rollback(&self, stack: &StackId, target: RollbackTarget) -> Result<Computed, PlanFailure> {
        self.seal.bind_to(self.store).await?;
        let mut diagnostics: Vec<Diagnostic> = target.pruned.iter().map(|address| was_pruned(stack, address)).collect();
        diagnostics.extend(target.pruned_components.iter().map(|key| were_pruned(stack, key)));
        let selection = Selection::Addresses(target.rows.keys().cloned().collect());
        let mut loaded = refresh::load(self, stack, &selection, &mut diagnostics).await?;
        let mut reads = std::mem::take(&mut loaded.reads);
        let mut restored: BTreeMap<Address, Opened> = BTreeMap::new();
        for (address, row) in target.rows {
            let Some(row) = row else { continue };
            let sealed = |error| PlanFailure::Sealed { address: format!("{stack}:{address}"), error };
            let opened = record::open(row, self.seal).map_err(sealed)?;
            if let Some((_, ty)) = self.registry.resource_type(&address.ty) {
                record::check_marked(ty, &opened, self.seal).map_err(sealed)?;
            }
            restored.insert(address, opened);
        }
        restore_addresses(&restored, &mut loaded);
        let mut provenances = Provenances::of_stack(self.store, self.seal, stack);
        restore_addresses_by_history(&restored, &mut loaded, &mut provenances).await?;
        self.keep_adopted(&mut provenances, stack, &mut restored, &mut loaded, &mut diagnostics).await?;
        self.refuse_moved(&mut provenances, stack, &mut restored, &loaded, &mut diagnostics).await?;
        let mut outcomes = LastOutcomes::of_stack(self.store, self.seal, stack);
        let mut changes = Vec::new();
        let managed = Managed::default();
        // The search includes forgotten objects that only their address identifies.
        let options = Options { by_address: true, ..self.options.clone() };
        let searching = Planner { options: &options, ..*self };
        for (address, opened) in restored {
            if !loaded.rows.contains_key(&address)
                || loaded.rows.get(&address).is_some_and(|row| row.moved_from.is_some())
            {
                reads.push(Read::absent(stack, &address));
            }
            // A forgotten object that still exists may be the recorded object, and so may an object that still has a
            // row. A different object at that address is not adopted.
            let is_same = |row: &LoadedRow| are_same(&row.opened.prior.identity, &opened.prior.identity);
            let is_recorded_object = match loaded.rows.get(&address) {
                Some(row) if is_same(row) || !row.is_gone => is_same(row) && !row.is_gone,
                _ => outcomes.is_still_owned(&mut provenances, &opened).await?,
            };
            let (planner, adopt) =
                if is_recorded_object { (searching, Adopt::IfExists) } else { (*self, Adopt::Never) };
            let context = RestoreContext { stack, managed: &managed, adopt };
            changes.extend(planner.roll_back(context, &address, opened, &mut loaded, &mut diagnostics).await?);
        }
        changes.extend(self.remove_remaining(&mut provenances, stack, &mut loaded, &mut diagnostics).await?);
        changes.extend(loaded.take_attempts());
        let (components, outputs) = self.restore_components(stack, target.components, &mut diagnostics).await?;
        let mut plan = StackPlan { components, changes, outputs, ..StackPlan::empty(stack.clone()) };
        plan.sort();
        let mut plans = vec![plan];
        replacement::order(self.registry, &mut plans, &mut diagnostics);
        self.finish(Mode::Rollback, plans, reads, Origin::default(), diagnostics, &LookupDependencies::default()).await
    }

    /// Refuses to recreate an object without an identity that another row records now, because that row stays.
    async fn refuse_moved(
        &self,
        provenances: &mut Provenances<'_>,
        stack: &StackId,
        restored: &mut BTreeMap<Address, Opened>,
        loaded: &Loaded,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Result<(), PlanFailure> {
        let is_missing = |(address, opened): &(&Address, &Opened)| {
            opened.prior.identity.is_empty() && !loaded.rows.contains_key(*address)
        };
        let missing: BTreeMap<Address, Generation> =
            restored.iter().filter(is_missing).map(|(address, opened)| (address.clone(), opened.generation)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        for row in self.store.rows(stack, &Selection::All).await? {
            // The address may have had other objects before or since.
            let lifetime = provenances.lifetime(&row.address, row.generation).await?;
            for (address, _) in lifetime.iter().filter(|(address, version)| missing.get(address) == Some(version)) {
                restored.remove(address);
                diagnostics.push(recorded_elsewhere(stack, address, &row.address));
            }
        }
        Ok(())
    }

    /// Refuses to restore an object at an address where terrace adopted another object since: that object would be replaced.
    async fn keep_adopted(
        &self,
        provenances: &mut Provenances<'_>,
        stack: &StackId,
        restored: &mut BTreeMap<Address, Opened>,
        loaded: &mut Loaded,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Result<(), PlanFailure> {
        let is_another = |(address, opened): &(&Address, &Opened)| {
            let is_another = |row: &LoadedRow| {
                let exists = !row.is_gone && row.moved_from.is_none() && !self.is_state_only(address);
                exists && !are_same(&row.opened.prior.identity, &opened.prior.identity)
            };
            loaded.rows.get(*address).is_some_and(is_another)
        };
        let replaced: Vec<Address> = restored.iter().filter(is_another).map(|(address, _)| address.clone()).collect();
        for address in replaced {
            let Some(generation) = loaded.rows.get(&address).map(|row| row.opened.generation) else { continue };
            if provenances.of(&address, generation).await? != Provenance::Terrace {
                diagnostics.push(would_replace_adopted(stack, &address));
                restored.remove(&address);
                loaded.rows.remove(&address);
            }
        }
        Ok(())
    }

    /// True for a state-only resource, which only terrace can have created.
    fn is_state_only(&self, address: &Address) -> bool {
        self.registry.resource_type(&address.ty).is_some_and(|(_, ty)| ty.state_only)
    }

    /// Removes the remaining rows: deletes objects that terrace created, and forgets adopted ones. If the history was pruned the
    /// row stays, because the object may belong to another owner.
    async fn remove_remaining(
        &self,
        provenances: &mut Provenances<'_>,
        stack: &StackId,
        loaded: &mut Loaded,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Result<Vec<Change>, PlanFailure> {
        let mut changes = Vec::new();
        for (address, row) in std::mem::take(&mut loaded.rows) {
            let in_doubt = loaded.in_doubt.remove(&address);
            // A missing object is only removed from the state.
            let provenance = match self.is_state_only(&address) || row.is_gone {
                true => Provenance::Terrace,
                false => provenances.of(&address, row.opened.generation).await?,
            };
            let action = if in_doubt.is_some() { Action::NoOp } else { Action::Forget };
            changes.extend(match provenance {
                Provenance::Terrace => {
                    orphans::remove(self, stack, &address, row, Reason::RolledBack, in_doubt, diagnostics)?
                }
                Provenance::Unknown if in_doubt.is_none() => {
                    diagnostics.push(unknown_provenance(stack, &address));
                    None
                }
                Provenance::Adopted | Provenance::Unknown => {
                    Some(orphans::removal(&address, row, action, Reason::RolledBack, Timeouts::default(), in_doubt))
                }
            });
        }
        Ok(changes)
    }

    /// Restores the components' own records, above all outputs. A component that did not exist then loses its outputs.
    async fn restore_components(
        &self,
        stack: &StackId,
        target: BTreeMap<ComponentKey, Option<ComponentRow>>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Result<(Vec<ComponentPlan>, Vec<OutputChange>), PlanFailure> {
        let recorded = self.recorded_components(stack).await?;
        let (mut components, mut changes) = (Vec::new(), Vec::new());
        for (key, then) in target {
            let now = recorded.get(&key);
            let row = then.as_ref().or(now.map(|now| &now.row)).cloned();
            let Some(row) = row else { continue };
            let to_error = |error| PlanFailure::Sealed { address: address::outputs_in_words(stack, &key), error };
            let no_outputs = Sealed::from_stored(NOTHING);
            let sealed = then.as_ref().map_or(&no_outputs, |then| &then.outputs);
            let (then, undecryptable) =
                record::open_readable_outputs(sealed, &self.seal.at(Place::Outputs { stack, component: &key }))
                    .map_err(to_error)?;
            let nothing = Attributes::default();
            let before = now.map_or(&nothing, |now| &now.outputs);
            let unknown: BTreeSet<&String> = undecryptable.keys().chain(&then.unstored).collect();
            if !unknown.is_empty() {
                let names: Vec<String> = unknown.iter().map(|name| format!("`{name}`")).collect();
                let of = address::owner_in_words(stack, &key);
                let message =
                    format!("the earlier value of {} of {of} is unknown, so it stays as it is", names.join(", "));
                diagnostics.push(Diagnostic::warning("never_recorded", message));
            }
            let names: BTreeSet<&String> = before.keys().chain(then.values.keys()).collect();
            for name in names {
                let before = before.get(name).cloned();
                let after = match (then.values.get(name), &before) {
                    _ if unknown.contains(name) => before.clone(),
                    // A value that became sensitive since was recorded in plain text then.
                    (Some(then), Some(before)) => Some(marks::add_marks(then, before)),
                    (then, _) => then.cloned(),
                };
                changes.push(OutputChange {
                    component: key.clone(),
                    name: name.clone(),
                    before,
                    after,
                    deferred: None,
                    is_newly_sensitive: false,
                    is_public: true,
                    label: None,
                });
            }
            components.push(ComponentPlan {
                id: None,
                ids: row.ids,
                depended_on: now.map(|now| now.row.depends_on.clone()).unwrap_or_default(),
                depends_on: row.depends_on,
                reads: row.reads,
                recorded_reads: now.map(|now| now.row.reads.clone()).unwrap_or_default(),
                shared: Vec::new(),
                blueprint: row.blueprint,
                place: None,
                access: row.access,
                recorded_access: now.and_then(|now| now.row.access.clone()),
                grants: Vec::new(),
                is_deferred: false,
                part: Part::Planned,
                recorded_outputs: Attributes::default(),
                key,
            });
        }
        Ok((components, changes))
    }

    async fn roll_back(
        &self,
        RestoreContext { stack, managed, adopt }: RestoreContext<'_>,
        address: &Address,
        mut opened: Opened,
        loaded: &mut Loaded,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Result<Option<Change>, PlanFailure> {
        let about = format!("{stack}:{address}");
        let Some((_, ty)) = self.registry.resource_type(&address.ty) else {
            diagnostics.push(self.registry.unknown_type(&address.ty).about(about));
            return Ok(None);
        };
        upgrade(self, &mut opened, diagnostics).await;
        if opened.schema_version != ty.schema_version {
            return Ok(None);
        }
        let session = match self.registry.session(&opened.provider).await {
            Ok(session) => session,
            Err(error) => {
                diagnostics.push(self.registry.no_session(&opened.provider, &error, None).about(about));
                return Ok(None);
            }
        };
        let mut config = configured(ty, &opened.prior.attributes);
        if let Some(row) = loaded.rows.get(address) {
            // A value that became sensitive since was recorded in plain text then.
            config = marks::add_attribute_marks(&config, &row.opened.prior.attributes);
        }
        let unrecorded: Vec<&str> =
            ty.attributes.0.iter().filter(|attribute| attribute.write_only).map(|attribute| attribute.name).collect();
        if opened.prior.write_only.keys().any(|name| unrecorded.contains(&name.as_str())) {
            let message = format!("`{}` of {about} is never recorded, so it stays as it is", unrecorded.join("`, `"));
            diagnostics.push(Diagnostic::warning("never_recorded", message).about(&about));
        }
        let template = Template { span: Span::default(), kind: TemplateKind::Literal(Value::Map(config.clone())) };
        let input = ResourceInput {
            stack,
            address: address.clone(),
            ty,
            provider: opened.provider,
            config,
            deferred: None,
            depends_on: opened.prior.dependencies,
            timeouts: opened.prior.lifecycle.timeouts(ty),
            lifecycle: opened.prior.lifecycle,
            ignored: unrecorded.into_iter().map(Path::attribute).collect(),
            triggered_by: Vec::new(),
            adopt,
            template: &template,
            span: Span::default(),
            place: None,
            row: loaded.rows.remove(address),
            in_doubt: loaded.in_doubt.remove(address),
            import: None,
            managed,
        };
        let mut remote_checks = Vec::new();
        let change = resource::plan(self, &session, input, &mut remote_checks, diagnostics).await?;
        diagnostics.extend(remote_check::run_all(&remote_checks).await.into_iter().flatten());
        Ok(change)
    }
}

/// The context of a row to roll back.
struct RestoreContext<'a> {
    stack: &'a StackId,
    managed: &'a Managed,
    /// The treatment of an existing object without a row.
    adopt: Adopt,
}

/// Moves rows back: a row that is to disappear and has the object of a row to restore moved since.
fn restore_addresses(restored: &BTreeMap<Address, Opened>, loaded: &mut Loaded) {
    let object = |address: &Address, opened: &Opened| ObjectName {
        ty: address.ty.clone(),
        instance: opened.provider.clone(),
        identity: identity_key(&opened.prior.identity),
    };
    let mut leaving: HashMap<_, Vec<&Address>> = HashMap::new();
    for (at, row) in loaded.rows.iter().filter(|(at, _)| !restored.contains_key(*at)) {
        if row.opened.prior.status != RowStatus::Retained {
            leaving.entry(object(at, &row.opened)).or_default().push(at);
        }
    }
    // The first address is taken first.
    leaving.values_mut().for_each(|addresses| addresses.sort_by(|left, right| right.cmp(left)));
    let missing = restored.iter().filter(|(address, _)| !loaded.rows.contains_key(*address));
    let named = missing.filter(|(_, opened)| !opened.prior.identity.is_empty());
    let moves: Vec<(Address, Address)> = named
        .filter_map(|(address, opened)| {
            Some((leaving.get_mut(&object(address, opened))?.pop()?.clone(), address.clone()))
        })
        .collect();
    for (from, to) in moves {
        loaded.relocate(from, to);
    }
}

/// The same for objects without an identity: the history shows their earlier addresses.
async fn restore_addresses_by_history(
    restored: &BTreeMap<Address, Opened>,
    loaded: &mut Loaded,
    provenances: &mut Provenances<'_>,
) -> Result<(), StoreError> {
    let is_leaving = |(at, row): &(&Address, &LoadedRow)| {
        let prior = &row.opened.prior;
        !restored.contains_key(*at) && prior.status != RowStatus::Retained && prior.identity.is_empty()
    };
    let leaving: Vec<(Address, Generation)> =
        loaded.rows.iter().filter(is_leaving).map(|(at, row)| (at.clone(), row.opened.generation)).collect();
    for (from, generation) in leaving {
        let lifetime = provenances.lifetime(&from, generation).await?;
        let is_target = |(address, version): &(Address, Generation)| {
            let is_same = |opened: &Opened| opened.prior.identity.is_empty() && opened.generation == *version;
            restored.get(address).is_some_and(is_same) && address.ty == from.ty && !loaded.rows.contains_key(address)
        };
        if let Some((to, _)) = lifetime.into_iter().find(is_target) {
            loaded.relocate(from, to);
        }
    }
    Ok(())
}

/// The recorded attributes that were configured, or may have been.
fn configured(ty: &ResourceType, attributes: &Attributes) -> Attributes {
    let configurable = ty.attributes.0.iter().filter(|attribute| attribute.configurable && !attribute.write_only);
    let recorded =
        configurable.filter_map(|attribute| Some((attribute.name.to_owned(), attributes.get(attribute.name)?.clone())));
    recorded.filter(|(_, value)| !value.is_null()).collect()
}
