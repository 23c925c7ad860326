//! Destroy of components without rows: another tool created their objects, or the state is lost.
//!
//! The descriptor determines their objects. The plan treats the objects as if it adopted them: it removes those that exist, and
//! skips the others.

use super::adoption::is_named_by_rule;
use super::draft::Draft;
use super::failure::PlanFailure;
use super::managed::Managed;
use super::options::Options;
use super::planner::Planner;
use super::refresh::CANNOT_READ;
use super::resource::{NOT_AS_DESCRIBED, NOT_SEARCHED};
use super::targeting::Targeting;
use super::walk::LOOKUP_UNANSWERED;
use super::{Basis, Change, How, Origin, Why, check_adopt_conflict, check_renamed_stack};
use crate::import::CANNOT_IMPORT;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;
use terrace_language::action::{Action, Reason};
use terrace_language::address::{Address, BlockName, ComponentKey, StackId};
use terrace_language::compile::{CompiledComponent, CompiledStack};
use terrace_language::descriptor::{Adopt, Declarations, ResourceDeclaration};
use terrace_language::diagnostic::{Diagnostic, first_of};
use terrace_language::registry::NO_SESSION;
use terrace_language::text::shell_word;
use terrace_provider::wrap::within;
use terrace_provider::{Path, Value};
use terrace_store::diff::changed_from_recorded;
use terrace_store::record::Prior;
use terrace_store::{OperationFilter, Read, Selection, StepAction, StepResult, StepRow};

/// Time limit of the whole search, because reads are retried while a system does not answer.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(60);
/// The number of operations whose steps count.
const RECENT_OPERATIONS: usize = 20;
/// The codes of diagnostics about systems that do not answer, besides [`NO_SESSION`].
const UNANSWERED: [&str; 3] = [CANNOT_READ, LOOKUP_UNANSWERED, CANNOT_IMPORT];

/// Described resources that the state does not have.
#[derive(Default)]
struct Unrecorded {
    /// Components without any row. A failed apply may have recorded the component alone.
    components: BTreeSet<ComponentKey>,
    /// Addresses of resources without a row, by component, of components that have other rows.
    resources: Vec<(ComponentKey, Vec<Address>)>,
    /// The whole stack is destroyed, and it has rows.
    has_recorded: bool,
}

/// Resources that recent operations left without an object.
#[derive(Default)]
struct KnownAbsent {
    /// Their last step deleted the object.
    removed: HashSet<Address>,
    /// A step failed to create the object. An object that exists without a row is not theirs: a create with an effect leaves a
    /// row or an open step.
    not_created: HashSet<Address>,
}

impl Planner<'_> {
    /// Plans the removal of the existing objects of described components that have no rows.
    pub(super) async fn remove_unmanaged(
        &self,
        stack: &StackId,
        described: &[CompiledStack],
        draft: &mut Draft,
    ) -> Result<Vec<Change>, PlanFailure> {
        let Draft { reads, diagnostics, named, .. } = draft;
        let Some(compiled) = described.iter().find(|compiled| compiled.stack == *stack) else { return Ok(Vec::new()) };
        let targeting = Targeting::of_described_removal(self, compiled);
        let Unrecorded { components: unknown, mut resources, has_recorded } =
            self.unrecorded(compiled, &targeting).await?;
        if unknown.is_empty() && resources.is_empty() {
            return Ok(Vec::new());
        }
        let absent = self.known_absent(stack).await?;
        for (_, addresses) in &mut resources {
            addresses.retain(|address| !absent.removed.contains(address) && !absent.not_created.contains(address));
        }
        resources.retain(|(_, addresses)| !addresses.is_empty());
        diagnostics.extend(resources.into_iter().map(|(component, names)| not_searched(compiled, &component, &names)));
        if unknown.is_empty() {
            return Ok(Vec::new());
        }
        let guarded: HashSet<(&str, &str)> =
            compiled.components.iter().flat_map(|component| self.guarded(component)).collect();
        let mut adopting = compiled.clone();
        for component in &mut adopting.components {
            component.declarations = Arc::new(adopting_all(&component.declarations));
        }
        let options = Options { components: unknown, refresh: false, by_address: true, ..Options::default() };
        let planner = Planner { options: &options, ..*self };
        // A plan within a plan: both on the stack would overflow a server thread.
        let search = Box::pin(planner.plan(std::slice::from_ref(&adopting), Origin::default()));
        let found = match within(SEARCH_TIMEOUT, search).await {
            Ok(found) => found?,
            Err(latest) => {
                let last = latest.only().map_or_else(String::new, |error| format!("; the latest error: {error}"));
                let reason = format!("the search takes longer than {} s{last}", SEARCH_TIMEOUT.as_secs());
                diagnostics.push(cannot_search(stack, has_recorded, &reason, None));
                return Ok(Vec::new());
            }
        };
        // The object may exist in a system that does not answer.
        let is_silence = |it: &&Diagnostic| UNANSWERED.contains(&it.code) || NO_SESSION.contains(&it.code);
        if let Some(silence) = found.diagnostics.iter().find(is_silence) {
            let error = cannot_search(stack, has_recorded, &silence.message, silence.hint.as_deref());
            diagnostics.push(Diagnostic { labels: silence.labels.clone(), ..error });
            return Ok(Vec::new());
        }
        // An object of another row stays, with the note below.
        let stays = [check_adopt_conflict::RECORDED, check_renamed_stack::RECORDED];
        let is_fault = |diagnostic: &&Diagnostic| diagnostic.is_error() && !stays.contains(&diagnostic.code);
        if let Some(Diagnostic { message: reason, .. }) = found.diagnostics.iter().find(is_fault) {
            diagnostics.push(Diagnostic::warning(
                NOT_SEARCHED,
                format!("could not look for all objects of {stack} that are not in the state: {reason}"),
            ));
        }
        let is_passed_on = |it: &&Diagnostic| !it.is_error() && [NOT_SEARCHED, NOT_AS_DESCRIBED].contains(&it.code);
        diagnostics.extend(found.diagnostics.iter().filter(is_passed_on).cloned());
        let managed = Managed::default();
        let (mut changes, mut warned) = (Vec::new(), HashSet::new());
        for change in found.plan.stacks.into_iter().flat_map(|plan| plan.changes) {
            // A shared object may belong to another stack.
            let is_own = change.basis.generation == 0 && !change.address.is_shared();
            let Some(prior) = change.basis.prior.clone().filter(|_| is_own) else { continue };
            named.record(stack, std::iter::once(&change.address));
            if !targeting.covers(&change.address) {
                continue;
            }
            let by = managed.manager_of(self, &change.address.ty, &change.how.provider, &prior.identity).await?;
            if let Some(by) = by {
                let message = format!("{stack}:{} exists, and {by} manages it: it stays", change.address);
                diagnostics.push(Diagnostic::note("managed_elsewhere", message));
                continue;
            }
            let is_guarded = guarded.contains(&(change.address.component.as_str(), change.address.name.as_str()));
            let reason = match self.is_marked_by_another(stack, &change, &prior) {
                true => Some("it carries the mark of another resource".to_owned()),
                false if absent.not_created.contains(&change.address) => {
                    Some("an apply could not create it".to_owned())
                }
                false if is_guarded => self.evidence_of_other_owner(&change, &prior),
                false => None,
            };
            if let Some(reason) = reason {
                let message =
                    format!("{stack}:{} exists, but is not in the state, and {reason}: it stays", change.address);
                let id = prior.attributes.get("id").and_then(Value::as_str).unwrap_or("ID");
                let hint = format!(
                    "if it belongs to this stack, run `terrace import {} {}`, then destroy",
                    shell_word(&format!("{stack}:{}", change.address)),
                    shell_word(id)
                );
                diagnostics.push(Diagnostic::warning("not_ours", message).hint(hint));
                continue;
            }
            if let Some(component) =
                takes_access(compiled, &change.address.component).filter(|it| warned.insert(&it.key))
            {
                let message = format!(
                    "{stack}:{} exists, but neither it nor its access list is in the state: its grants are not looked for",
                    component.key
                );
                let hint =
                    "set the access list again, then remove the component; or revoke the grants in the target system";
                diagnostics.push(Diagnostic::warning(NOT_SEARCHED, message).hint(hint));
            }
            reads.push(Read::absent(stack, &change.address));
            changes.extend(self.removal(stack, change, *prior, diagnostics));
        }
        Ok(changes)
    }

    /// The resources that recent operations removed or failed to create.
    async fn known_absent(&self, stack: &StackId) -> Result<KnownAbsent, PlanFailure> {
        let filter = OperationFilter { stack: Some(stack.clone()), ..OperationFilter::newest(RECENT_OPERATIONS) };
        let (mut absent, mut seen) = (KnownAbsent::default(), HashSet::new());
        for operation in self.store.operations(&filter).await? {
            let steps = self.store.operation(operation.id).await?.map(|(_, steps)| steps).unwrap_or_default();
            for StepRow { address, action, result, .. } in steps.into_iter().rev().filter(|step| step.stack == *stack) {
                // The newest step of a resource decides if its object is gone.
                let is_newest = seen.insert(address.clone());
                match (action, result) {
                    (StepAction::Delete, Some(StepResult::Done)) if is_newest => absent.removed.insert(address),
                    (StepAction::Create, Some(StepResult::Failed(_))) => absent.not_created.insert(address),
                    _ => false,
                };
            }
        }
        Ok(absent)
    }

    /// Finds the described resources that the state does not have.
    async fn unrecorded(&self, compiled: &CompiledStack, targeting: &Targeting) -> Result<Unrecorded, PlanFailure> {
        let stack = &compiled.stack;
        let rows = self.store.rows(stack, &Selection::All).await?.into_iter().map(|row| row.address);
        let open = self.store.open_intents(stack, &Selection::All).await?;
        let recorded: Vec<Address> = rows.chain(open.into_iter().map(|open| open.intent.row.address)).collect();
        let components: HashSet<&str> = recorded.iter().map(|address| address.component.as_str()).collect();
        let resources: HashSet<BlockName<&str>> = recorded.iter().map(BlockName::of).collect();
        let chosen = &self.options.components;
        let mut unrecorded =
            Unrecorded { has_recorded: chosen.is_empty() && !recorded.is_empty(), ..Unrecorded::default() };
        for component in compiled.components.iter().filter(|it| chosen.is_empty() || chosen.contains(&it.key)) {
            if !components.contains(component.key.as_str()) {
                unrecorded.components.insert(component.key.clone());
                continue;
            }
            // The others may exist in the state under another stack, or not at all.
            let has_object = |name: &str| self.registry.resource_type(name).is_some_and(|(_, ty)| !ty.state_only);
            let is_certain = |it: &&ResourceDeclaration| {
                it.when.is_none() && it.for_each.is_none() && it.shared.is_none() && has_object(&it.ty.value)
            };
            let missing = component.declarations.resources.iter().filter(is_certain).filter_map(|resource| {
                let (ty, name) = (&resource.ty.value, &resource.name.value);
                let address =
                    Address { component: component.key.clone(), ty: ty.clone(), name: name.clone(), key: None };
                let is_recorded = resources.contains(&BlockName::of(&address));
                (!is_recorded && targeting.covers(&address)).then_some(address)
            });
            let missing: Vec<Address> = missing.collect();
            if !missing.is_empty() {
                unrecorded.resources.push((component.key.clone(), missing));
            }
        }
        Ok(unrecorded)
    }

    /// The resources of a component, by component and name, that may not adopt an existing object: `adopt` is `never`, or it is
    /// `ifOurs` and the name is a literal.
    fn guarded<'c>(&self, component: &'c CompiledComponent) -> Vec<(&'c str, &'c str)> {
        let is_guarded = |resource: &&ResourceDeclaration| match resource.adopt {
            Adopt::Never => true,
            Adopt::IfExists => false,
            Adopt::IfOurs => {
                let ty = self.registry.resource_type(&resource.ty.value);
                !ty.is_some_and(|(_, ty)| is_named_by_rule(&resource.config, ty))
            }
        };
        let guarded = component.declarations.resources.iter().filter(is_guarded);
        guarded.map(|resource| (component.key.as_str(), resource.name.value.as_str())).collect()
    }

    /// True if the object carries the mark of another resource.
    fn is_marked_by_another(&self, stack: &StackId, change: &Change, prior: &Prior) -> bool {
        let ty = self.registry.resource_type(&change.address.ty);
        ty.is_some_and(|(_, ty)| (ty.is_marked_by_another)(&format!("{stack}:{}", change.address), &prior.private))
    }

    /// The evidence that an object which must not be adopted belongs to another owner; `None` without evidence.
    fn evidence_of_other_owner(&self, change: &Change, prior: &Prior) -> Option<String> {
        let (_, ty) = self.registry.resource_type(&change.address.ty)?;
        if ty.is_holding_data(&prior.attributes) {
            return Some("its data may belong to another owner".to_owned());
        }
        let planned = &change.after.as_ref()?.attributes;
        // Attributes that cannot be read, and unknown values, prove nothing.
        let is_evidence = |path: &Path| {
            let is_unknown = path.get(planned).is_some_and(Value::has_unknown);
            !is_unknown && path.get(&prior.attributes).is_some_and(|value| !value.is_null())
        };
        let differing = changed_from_recorded(ty, &prior.attributes, planned);
        let differing: Vec<String> =
            differing.iter().filter(|path| is_evidence(path)).map(|path| format!("`{path}`")).collect();
        match differing.is_empty() {
            false => Some(format!("it differs from its description ({})", differing.join(", "))),
            true if change.action.is_replace() => Some("it differs from its description".to_owned()),
            true => None,
        }
    }

    fn removal(
        &self,
        stack: &StackId,
        change: Change,
        prior: Prior,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Change> {
        let (_, ty) = self.registry.resource_type(&change.address.ty)?;
        if (ty.is_adopted)(&prior.attributes, &prior.private) {
            return None;
        }
        let holds_data = ty.is_holding_data(&prior.attributes);
        let action = if holds_data && !self.options.remove_data { Action::Retain } else { Action::Delete };
        if action == Action::Delete && change.how.lifecycle.prevent_destroy {
            let message = format!(
                "{stack}:{} exists, but is not in the state, and `preventDestroy` protects it: it stays",
                change.address
            );
            diagnostics.push(Diagnostic::warning("not_ours", message));
            return None;
        }
        let prior =
            Prior { dependencies: change.how.depends_on.clone(), lifecycle: change.how.lifecycle.clone(), ..prior };
        Some(Change {
            action,
            after: None,
            data_loss: None,
            in_doubt: None,
            why: Why { reason: Some(Reason::Unrecorded), triggered_by: change.why.triggered_by, ..Why::default() },
            basis: Basis { prior: Some(Box::new(prior)), ..change.basis },
            how: How { depends_on: Vec::new(), ..change.how },
            ..change
        })
    }
}

/// The error for a failed search of unrecorded objects, with its reason and remedies.
fn cannot_search(stack: &StackId, has_recorded: bool, reason: &str, hint: Option<&str>) -> Diagnostic {
    let message = format!("cannot find out which objects of {stack} exist that are not in the state: {reason}");
    let recorded = format!("run `terrace destroy {stack}`, without a file, to remove only the recorded objects");
    let hints: Vec<&str> = hint.into_iter().chain(has_recorded.then_some(recorded.as_str())).collect();
    let hint = if hints.is_empty() { "try again later".to_owned() } else { hints.join("; ") };
    Diagnostic::error(NOT_SEARCHED, message).hint(hint)
}

/// The note about resources without rows in a component that has others: its state is not lost, so the objects may belong to
/// another owner. Skips [`KnownAbsent`] resources.
fn not_searched(compiled: &CompiledStack, component: &ComponentKey, addresses: &[Address]) -> Diagnostic {
    let stack = &compiled.stack;
    let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let message = format!("{stack} has no row for {}: terrace does not search for such objects", first_of(&shown));
    let hint = match addresses {
        [only] => {
            let address = shell_word(&format!("{stack}:{only}"));
            format!(
                "if such an object exists and belongs to this stack, run `terrace import {address} ID` before the destroy"
            )
        }
        _ => format!(
            "for each such object that exists and belongs to this stack, run `terrace import {stack}:ADDRESS ID` before the destroy"
        ),
    };
    let note = Diagnostic::note(NOT_SEARCHED, message).hint(hint);
    match compiled.components.iter().find(|it| it.key == *component) {
        Some(component) => note.at(component.span),
        None => note,
    }
}

/// The component with that key, if it can have an access list.
fn takes_access<'c>(compiled: &'c CompiledStack, key: &str) -> Option<&'c CompiledComponent> {
    compiled.components.iter().find(|component| component.key == key && component.check_grants_access().is_ok())
}

/// The declarations, changed to adopt any existing object.
fn adopting_all(declarations: &Declarations) -> Declarations {
    let mut declarations = declarations.clone();
    for resource in &mut declarations.resources {
        resource.adopt = Adopt::IfExists;
    }
    declarations
}
