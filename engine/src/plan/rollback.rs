//! Plans back to what was recorded before: rows of the history are what is wanted, no descriptor is needed.

use super::compute::{Computed, PlanFailure, Planner};
use super::ours::Managed;
use super::refresh::{self, Loaded};
use super::resource::{self, Wanted};
use super::upgrade::upgrade;
use super::{Change, Mode, Origin, StackPlan, orphans};
use crate::action::Reason;
use crate::address::{Address, StackId};
use crate::descriptor::Adopt;
use crate::diagnostic::Diagnostic;
use crate::diff::are_same;
use crate::expression::{Template, TemplateKind};
use crate::marks;
use crate::record::{self, Opened};
use crate::source::Span;
use crate::store::{HistoryEntry, Read, Row, RowStatus, Selection, StackSnapshot};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use terrace_provider::{Attributes, Path, ResourceType, Value};
use uuid::Uuid;

/// What rows are to be: as they were, or gone.
pub type Wished = BTreeMap<Address, Option<Row>>;

/// The rows of a stack as they were when an operation had ended, as far as they are others now; `None` when that
/// operation wrote none of them.
#[must_use]
pub fn as_of(snapshot: &StackSnapshot, operation: Uuid) -> Option<Wished> {
    let by_operation = snapshot.history.iter().filter(|(_, entry)| entry.operation == operation);
    let end = by_operation.map(|(_, entry)| entry.at).max()?;
    let mut then: BTreeMap<&Address, Option<&HistoryEntry>> = BTreeMap::new();
    for (address, entry) in &snapshot.history {
        let newest = then.entry(address).or_default();
        let is_newer = newest.is_none_or(|newest| newest.generation < entry.generation);
        if entry.at <= end && is_newer {
            *newest = Some(entry);
        }
    }
    let current = snapshot.rows.iter().filter(|row| row.deposed.is_none());
    let now: HashMap<&Address, u64> = current.map(|row| (&row.address, row.generation)).collect();
    let changed = then.into_iter().filter_map(|(address, entry)| {
        let row = entry.and_then(|entry| entry.row.clone());
        let is_same = match (&row, now.get(address)) {
            (Some(row), Some(generation)) => row.generation == *generation,
            (None, None) => true,
            _ => false,
        };
        (!is_same).then(|| (address.clone(), row))
    });
    Some(changed.collect())
}

impl Planner<'_> {
    /// Plans to make rows as they were. Values that are never recorded stay as they are.
    ///
    /// # Errors
    /// As [`Planner::plan`].
    pub async fn plan_rollback(&self, stack: &StackId, wished: Wished) -> Result<Computed, PlanFailure> {
        let mut diagnostics = Vec::new();
        let selection = Selection::Addresses(wished.keys().cloned().collect());
        let mut loaded = refresh::load(self, stack, &selection, &mut diagnostics).await?;
        let mut reads = std::mem::take(&mut loaded.reads);
        let mut wanted: BTreeMap<Address, Opened> = BTreeMap::new();
        for (address, row) in wished {
            let Some(row) = row else { continue };
            let opened = record::open(row, self.seal)
                .map_err(|error| PlanFailure::Sealed { address: format!("{stack}:{address}"), error })?;
            wanted.insert(address, opened);
        }
        move_back(&wanted, &mut loaded);
        let mut changes = Vec::new();
        let managed = Managed::default();
        for (address, opened) in wanted {
            if !loaded.rows.contains_key(&address)
                || loaded.rows.get(&address).is_some_and(|it| it.moved_from.is_some())
            {
                reads.push(Read::absent(stack, &address));
            }
            changes.extend(self.roll_back(stack, &address, &managed, opened, &mut loaded, &mut diagnostics).await?);
        }
        for (address, row) in std::mem::take(&mut loaded.rows) {
            let doubt = loaded.in_doubt.remove(&address);
            changes.extend(orphans::remove(self, stack, &address, row, Reason::RolledBack, doubt, &mut diagnostics)?);
        }
        changes.extend(loaded.take_attempts());
        let mut plan = StackPlan { changes, ..StackPlan::empty(stack.clone()) };
        plan.sort();
        self.finish(Mode::Apply, vec![plan], reads, Origin::default(), diagnostics).await
    }

    async fn roll_back(
        &self,
        stack: &StackId,
        address: &Address,
        managed: &Managed,
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
                let message = format!("`{}` cannot be reached: {error}", opened.provider);
                diagnostics.push(Diagnostic::error("cannot_connect", message).about(about));
                return Ok(None);
            }
        };
        let mut config = configured(ty, &opened.prior.attributes);
        if let Some(row) = loaded.rows.get(address) {
            // What became a secret since was recorded in the clear then.
            config = marks::beside_attributes(&config, &row.opened.prior.attributes);
        }
        let unrecorded: Vec<&str> =
            ty.attributes.0.iter().filter(|attribute| attribute.write_only).map(|attribute| attribute.name).collect();
        if opened.prior.write_only.keys().any(|name| unrecorded.contains(&name.as_str())) {
            let message = format!("`{}` of {about} is never recorded, so it stays as it is", unrecorded.join("`, `"));
            diagnostics.push(Diagnostic::warning("never_recorded", message).about(&about));
        }
        let template = Template { span: Span::default(), kind: TemplateKind::Literal(Value::Map(config.clone())) };
        let wanted = Wanted {
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
            // What was dropped from state and is still there is the object that was recorded.
            adopt: Adopt::IfExists,
            template: &template,
            span: Span::default(),
            place: None,
            row: loaded.rows.remove(address),
            in_doubt: loaded.in_doubt.remove(address),
            import: None,
            managed,
        };
        resource::plan(self, &*session, wanted, diagnostics).await
    }
}

/// A row that is to be gone and has the object of one that is to be there has only moved.
fn move_back(wanted: &BTreeMap<Address, Opened>, loaded: &mut Loaded) {
    let missing = wanted.iter().filter(|(address, _)| !loaded.rows.contains_key(*address));
    let mut back: Vec<(Address, Address)> = Vec::new();
    let mut taken = BTreeSet::new();
    for (address, opened) in missing.filter(|(_, opened)| !opened.prior.identity.is_empty()) {
        let is_it = |(at, row): &(&Address, &refresh::LoadedRow)| {
            !wanted.contains_key(*at)
                && at.ty == address.ty
                && row.opened.provider == opened.provider
                && row.opened.prior.status != RowStatus::Retained
                && are_same(&row.opened.prior.identity, &opened.prior.identity)
        };
        if let Some((at, _)) = loaded.rows.iter().find(is_it)
            && taken.insert(at.clone())
        {
            back.push((at.clone(), address.clone()));
        }
    }
    for (from, to) in back {
        loaded.relocate(from, to);
    }
}

/// What of recorded attributes was configured, or may be.
fn configured(ty: &ResourceType, attributes: &Attributes) -> Attributes {
    let configurable = ty.attributes.0.iter().filter(|attribute| attribute.configurable && !attribute.write_only);
    let recorded = configurable.filter_map(|it| Some((it.name.to_owned(), attributes.get(it.name)?.clone())));
    recorded.filter(|(_, value)| !value.is_null()).collect()
}
