//! Drift: remote objects that differ from their rows. Writes nothing.
//!
//! Drift detection is the reading half of planning: it loads rows, reads their objects and reports the differences that a plan
//! would only take into account. Rows with a step in doubt are left to plans and recovery. They cause an error, because their
//! values may be wrong.

mod external_grants;

use crate::external_grants::known::Known;
use crate::failure::PlanFailure;
use crate::loaded::LoadedRow;
use crate::options::Options;
use crate::planner::Planner;
use crate::refresh;
use std::collections::BTreeSet;
use terrace_language::address::{Address, StackId};
use terrace_language::diagnostic::Diagnostic;
use terrace_provider::wrap::silence::with_silence_limit;
use terrace_provider::{Path, Value};
use terrace_store::diff::differences;
use terrace_store::{Intent, OwnersOf, RowStatus, Selection};

/// The code of errors about interrupted steps.
const IN_DOUBT: &str = "in_doubt";

/// A resource that differs from its row.
#[derive(Debug, Clone, PartialEq)]
pub struct DriftItem {
    /// The stack of the row; the pseudo-stack for a shared resource.
    pub stack: StackId,
    /// The resource.
    pub address: Address,
    /// The deposed key, if it is a deposed object.
    pub deposed: Option<String>,
    /// The kind of drift.
    pub kind: DriftKind,
    /// The differences; empty if the object is gone.
    pub attributes: Vec<DriftedAttribute>,
}

/// The kind of a remote change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DriftKind {
    /// Its attributes changed.
    Changed,
    /// It was deleted.
    Deleted,
    /// It was deleted and created again.
    Recreated,
    /// An external grant exists: the attributes are `principal` and `privilege`.
    Foreign,
}

impl DriftItem {
    /// The external grant in words: `foreign: User:ada READ`.
    #[must_use]
    pub fn external_grant(&self) -> Option<String> {
        let observed = |name: &str| {
            let attribute = self.attributes.iter().find(|attribute| attribute.path.first_key() == Some(name))?;
            attribute.observed.as_ref().and_then(Value::as_str)
        };
        let words = || Some(format!("foreign: {} {}", observed("principal")?, observed("privilege")?));
        if self.kind == DriftKind::Foreign { words() } else { None }
    }
}

/// A difference between the row and the object; an absent side is `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct DriftedAttribute {
    /// The path of the attribute.
    pub path: Path,
    /// The value in the row.
    pub recorded: Option<Value>,
    /// The value of the object.
    pub observed: Option<Value>,
}

impl DriftKind {
    /// The word in all output formats.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Deleted => "deleted",
            Self::Recreated => "recreated",
            Self::Foreign => "foreign",
        }
    }
}

/// Reads the objects of a stack's rows and of the shared rows that it owns, and returns the differences.
///
/// Ignores the planner's `refresh` option, because drift needs the objects.
///
/// # Errors
/// If the store cannot be read or a value cannot be decrypted. An object that cannot be read is a diagnostic.
pub async fn detect(
    planner: &Planner<'_>,
    stack: &StackId,
    selection: &Selection,
) -> Result<(Vec<DriftItem>, Vec<Diagnostic>), PlanFailure> {
    Detector::of(planner).detect(stack, selection).await
}

/// Detects drift of several stacks.
pub struct Detector<'p> {
    planner: &'p Planner<'p>,
    /// The managed grants of the environment, read once.
    known: Known,
}

impl<'p> Detector<'p> {
    /// Creates a detector with the settings of a planner.
    #[must_use]
    pub fn of(planner: &'p Planner<'p>) -> Self {
        Self { planner, known: Known::default() }
    }

    /// As [`detect`].
    ///
    /// # Errors
    /// As [`detect`].
    pub async fn detect(
        &self,
        stack: &StackId,
        selection: &Selection,
    ) -> Result<(Vec<DriftItem>, Vec<Diagnostic>), PlanFailure> {
        let work = find_drift(self.planner, stack, selection, &self.known);
        with_silence_limit(&self.planner.environment.silence_limit, work).await
    }
}

async fn find_drift(
    planner: &Planner<'_>,
    stack: &StackId,
    selection: &Selection,
    known: &Known,
) -> Result<(Vec<DriftItem>, Vec<Diagnostic>), PlanFailure> {
    planner.seal.bind_to(planner.store).await?;
    let accessible = external_grants::accessible(planner, stack).await?;
    let options = Options { refresh: true, ..planner.options.clone() };
    let planner = Planner { options: &options, ..*planner };
    let mut diagnostics = Vec::new();
    let mut items = Vec::new();
    let shared = shared_selection(&planner, stack, selection).await?;
    let environment = StackId::shared(&stack.environment);
    for (stack, selection) in [(stack, Some(selection.clone())), (&environment, shared)] {
        let Some(selection) = selection else { continue };
        let loaded = refresh::load(&planner, stack, &selection, &mut diagnostics).await?;
        diagnostics.retain(|diagnostic| diagnostic.code != refresh::INTERRUPTED);
        let open = planner.store.open_intents(stack, &selection).await?;
        diagnostics.extend(open.iter().filter(|open| open.is_orphaned).map(|open| in_doubt(stack, &open.intent)));
        let external =
            external_grants::find_external_grants(&planner, stack, &loaded, (&accessible, known), &mut diagnostics)
                .await?;
        let current = loaded.rows.into_iter().filter(|(address, _)| !loaded.in_doubt.contains_key(address));
        let deposed = loaded.deposed.into_iter().filter(|(_, deposed)| deposed.in_doubt.is_none());
        let rows = current.map(|(address, row)| ((address, None), row));
        let rows = rows.chain(deposed.map(|((address, key), deposed)| ((address, Some(key)), deposed.row)));
        let mut found: Vec<DriftItem> = rows.filter_map(|(key, row)| item(&planner, stack, key, row)).collect();
        // Deposed objects come after the current one.
        found.sort_by(|left, right| (&left.address, &left.deposed).cmp(&(&right.address, &right.deposed)));
        items.extend(found);
        items.extend(external);
    }
    Ok((items, diagnostics))
}

/// Why there may be unknown drift; `None` if all objects were read.
#[must_use]
pub fn uncertainty(diagnostics: &[Diagnostic]) -> Option<&'static str> {
    let mut errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).peekable();
    errors.peek()?;
    Some(match errors.all(|error| error.code == IN_DOUBT) {
        true => "the outcomes of some steps are in doubt",
        false => "some objects could not be read",
    })
}

/// The error for a row whose last step was interrupted: its values may be wrong.
fn in_doubt(stack: &StackId, intent: &Intent) -> Diagnostic {
    let (operation, address) = (intent.operation, &intent.row.address);
    let deposed = intent.row.deposed.as_ref().map(|key| format!(" (deposed object {key})")).unwrap_or_default();
    let message =
        format!("{stack}:{address}{deposed} is in doubt: operation {operation} did not record the outcome of its call");
    Diagnostic::error(IN_DOUBT, message).about(format!("{stack}:{address}")).hint("resolve it with `terrace recover`")
}

/// The shared rows of the chosen part of a stack, or `None` without any.
async fn shared_selection(
    planner: &Planner<'_>,
    stack: &StackId,
    selection: &Selection,
) -> Result<Option<Selection>, PlanFailure> {
    let owned = planner.store.owners(&stack.environment, &OwnersOf::Stack(stack.clone())).await?;
    let is_chosen = |component: &str, address: &Address| match selection {
        Selection::All => true,
        Selection::Components(components) => components.contains(component),
        Selection::Addresses(addresses) => addresses.contains(address),
    };
    let addresses: BTreeSet<Address> = owned
        .into_iter()
        .map(|owner| owner.ownership)
        .filter(|owner| owner.stack == *stack && is_chosen(&owner.component, &owner.address))
        .map(|owner| owner.address)
        .collect();
    Ok((!addresses.is_empty()).then_some(Selection::Addresses(addresses)))
}

fn item(
    planner: &Planner<'_>,
    stack: &StackId,
    (address, deposed): (Address, Option<String>),
    row: LoadedRow,
) -> Option<DriftItem> {
    let stack = stack.clone();
    if row.is_gone {
        return Some(DriftItem { stack, address, deposed, kind: DriftKind::Deleted, attributes: Vec::new() });
    }
    let prior = row.opened.prior;
    let recorded = prior.recorded.filter(|_| prior.status != RowStatus::Tainted)?;
    let attributes: Vec<DriftedAttribute> = differences(&recorded, &prior.attributes)
        .into_iter()
        .map(|difference| DriftedAttribute {
            path: difference.path,
            recorded: difference.before,
            observed: difference.after,
        })
        .collect();
    // A changed stable attribute belongs to another object, because a provider sets it only once.
    let ty = planner.registry.resource_type(&address.ty);
    let is_another = attributes
        .iter()
        .filter_map(|attribute| attribute.path.first_key())
        .any(|name| ty.is_some_and(|(_, ty)| ty.attributes.get(name).is_some_and(|attribute| attribute.stable)));
    let kind = if is_another { DriftKind::Recreated } else { DriftKind::Changed };
    let item = DriftItem { stack, address, deposed, kind, attributes };
    let ignored = &prior.lifecycle.ignore_changes;
    if is_another || ignored.is_empty() {
        return Some(item);
    }
    let count = item.attributes.len();
    let item = without(item, ignored)?;
    // Computed attributes that depend on ignored ones differ with them.
    let is_computed = |name: &str| ty.is_some_and(|(_, ty)| ty.attributes.get(name).is_some_and(|it| !it.configurable));
    let mut names = item.attributes.iter().filter_map(|attribute| attribute.path.first_key());
    (item.attributes.len() == count || !names.all(is_computed)).then_some(item)
}

/// Removes the attributes at or below the given paths; `None` if no other attribute differs.
fn without(mut item: DriftItem, ignored: &[Path]) -> Option<DriftItem> {
    let had_any = !item.attributes.is_empty();
    item.attributes.retain(|attribute| !ignored.iter().any(|path| path.covers(&attribute.path)));
    (!had_any || !item.attributes.is_empty()).then_some(item)
}

/// Removes the attributes at or below the given paths, and resources without other differences.
#[must_use]
pub fn ignoring(items: Vec<DriftItem>, ignored: &[Path]) -> Vec<DriftItem> {
    items.into_iter().filter_map(|item| without(item, ignored)).collect()
}
