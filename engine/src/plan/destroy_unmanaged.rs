//! Destroy of components without rows: somebody else created their objects, or the state is lost.
//!
//! The descriptor says which objects they consist of. The plan treats the objects as if it adopted them: it removes those that
//! exist, and skips the others.

use super::adoption::{Managed, is_named_by_rule};
use super::compute::{Draft, PlanFailure, Planner};
use super::options::Options;
use super::refresh::CANNOT_READ;
use super::resource::protected;
use super::walk::{CANNOT_CONNECT, LOOKUP_UNANSWERED};
use super::{Change, Origin, Prior, check_adopt_conflict, check_renamed_stack};
use crate::action::{Action, Reason};
use crate::address::StackId;
use crate::compile::{CompiledComponent, CompiledStack};
use crate::descriptor::{Adopt, Declarations, ResourceDeclaration};
use crate::diagnostic::Diagnostic;
use crate::diff::changed_from_recorded;
use crate::import::CANNOT_IMPORT;
use crate::store::{Read, Selection};
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;
use terrace_provider::wrap::within;
use terrace_provider::{Found, Path, Value};

/// How long it is looked, in all: each object may be asked for again and again where nobody answers.
const PATIENCE: Duration = Duration::from_secs(60);
/// What is told of what may be there, and is not looked for.
pub const NOT_LOOKED_FOR: &str = "not_looked_for";
/// The warning about an object that is to go and differs from its description.
pub(super) const NOT_AS_DESCRIBED: &str = "not_as_described";
/// What is told of those who do not answer.
const UNANSWERED: [&str; 4] = [CANNOT_CONNECT, CANNOT_READ, LOOKUP_UNANSWERED, CANNOT_IMPORT];

impl Planner<'_> {
    /// Plans the removal of what is there of the described components of a stack that the state does not know.
    pub(super) async fn remove_unrecorded(
        &self,
        stack: &StackId,
        described: &[CompiledStack],
        draft: &mut Draft,
    ) -> Result<Vec<Change>, PlanFailure> {
        let Draft { reads, diagnostics, .. } = draft;
        let Some(compiled) = described.iter().find(|compiled| compiled.stack == *stack) else { return Ok(Vec::new()) };
        let (unknown, has_recorded) = self.unknown_components(compiled).await?;
        if unknown.is_empty() {
            return Ok(Vec::new());
        }
        let guarded: HashSet<(&str, &str)> =
            compiled.components.iter().flat_map(|component| self.guarded(component)).collect();
        let mut wanted = compiled.clone();
        for component in &mut wanted.components {
            component.declarations = Arc::new(taking_over(&component.declarations));
        }
        let options = Options { components: unknown, refresh: false, by_address: true, ..Options::default() };
        let looking = Planner { options: &options, ..*self };
        // A plan within a plan: on the stack both would be too much for the threads of a server.
        let looked = Box::pin(looking.plan(std::slice::from_ref(&wanted), Origin::default()));
        let found = match within(PATIENCE, looked).await {
            Ok(found) => found?,
            Err(latest) => {
                let last = latest.only().map_or_else(String::new, |error| format!("; the latest error: {error}"));
                let why = format!("to ask for it takes longer than {} s{last}", PATIENCE.as_secs());
                diagnostics.push(not_told(stack, has_recorded, &why, None));
                return Ok(Vec::new());
            }
        };
        // Who does not answer may have it.
        let is_silence = |diagnostic: &&Diagnostic| UNANSWERED.contains(&diagnostic.code);
        if let Some(silence) = found.diagnostics.iter().find(is_silence) {
            let error = not_told(stack, has_recorded, &silence.message, silence.hint.as_deref());
            diagnostics.push(Diagnostic { labels: silence.labels.clone(), ..error });
            return Ok(Vec::new());
        }
        // What is recorded elsewhere is told below: it stays.
        let stays = [check_adopt_conflict::RECORDED, check_renamed_stack::RECORDED];
        let is_fault = |diagnostic: &&Diagnostic| diagnostic.is_error() && !stays.contains(&diagnostic.code);
        if let Some(Diagnostic { message: why, .. }) = found.diagnostics.iter().find(is_fault) {
            diagnostics.push(Diagnostic::warning(
                NOT_LOOKED_FOR,
                format!("not everything that {stack} describes and that is not recorded could be looked for: {why}"),
            ));
        }
        let is_passed_on = |it: &&Diagnostic| !it.is_error() && [NOT_LOOKED_FOR, NOT_AS_DESCRIBED].contains(&it.code);
        diagnostics.extend(found.diagnostics.iter().filter(is_passed_on).cloned());
        let managed = Managed::default();
        let (mut changes, mut told) = (Vec::new(), HashSet::new());
        for change in found.plan.stacks.into_iter().flat_map(|plan| plan.changes) {
            // What is shared may be anybody's.
            let Some(prior) = change.prior.clone().filter(|_| change.generation == 0 && !change.address.is_shared())
            else {
                continue;
            };
            let by = managed.by(self, &change.address.ty, &change.provider, &prior.identity).await?;
            if let Some(by) = by {
                let message = format!("{stack}:{} is there, and {by} manages it: it stays", change.address);
                diagnostics.push(Diagnostic::note("managed_elsewhere", message));
                continue;
            }
            let is_guarded = guarded.contains(&(change.address.component.as_str(), change.address.name.as_str()));
            let why = match self.is_of_another(stack, &change, &prior) {
                true => Some("it carries the mark of another resource".to_owned()),
                false if is_guarded => self.why_stranger(&change, &prior),
                false => None,
            };
            if let Some(why) = why {
                let message = format!("{stack}:{} is there and is not recorded, and {why}: it stays", change.address);
                let id = prior.attributes.get("id").and_then(Value::as_str).unwrap_or("ID");
                let hint =
                    format!("where it is this stack's: `terrace import {stack}:{} {id}`, then destroy", change.address);
                diagnostics.push(Diagnostic::warning("not_ours", message).hint(hint));
                continue;
            }
            if let Some(component) = takes_access(compiled, &change.address.component).filter(|it| told.insert(&it.key))
            {
                let message = format!(
                    "{stack}:{} is there and is not recorded, nor is who has access to it: that is not looked for",
                    component.key
                );
                let hint = "let those in once more, and remove it then; or take their access away where it was given";
                diagnostics.push(Diagnostic::warning(NOT_LOOKED_FOR, message).hint(hint));
            }
            reads.push(Read::absent(stack, &change.address));
            changes.extend(self.removal(stack, change, *prior, diagnostics));
        }
        Ok(changes)
    }

    /// The chosen components of which no resource is on record: an apply that failed may have recorded that there is such
    /// a component, and nothing else. And whether anything is on record, where the whole stack is to go.
    async fn unknown_components(&self, compiled: &CompiledStack) -> Result<(BTreeSet<String>, bool), PlanFailure> {
        let stack = &compiled.stack;
        let rows = self.store.rows(stack, &Selection::All).await?;
        let mut known: BTreeSet<String> = rows.into_iter().map(|row| row.address.component).collect();
        let open = self.store.open_intents(stack, &Selection::All).await?;
        known.extend(open.into_iter().map(|open| open.intent.row.address.component));
        let chosen = &self.options.components;
        let is_chosen = |key: &String| chosen.is_empty() || chosen.contains(key);
        let keys = compiled.components.iter().map(|component| component.key.clone());
        Ok((
            keys.filter(|key| is_chosen(key) && !known.contains(key)).collect(),
            chosen.is_empty() && !known.is_empty(),
        ))
    }

    /// The resources of a component that take over nothing, or only what a rule names and whose name is written out; by
    /// component and name.
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

    /// Whether an object says itself that another resource made it.
    fn is_of_another(&self, stack: &StackId, change: &Change, prior: &Prior) -> bool {
        let ty = self.registry.resource_type(&change.address.ty);
        ty.is_some_and(|(_, ty)| (ty.is_of_another)(&format!("{stack}:{}", change.address), &prior.private))
    }

    /// Why an object that must not be taken over is somebody else's, as far as can be told.
    fn why_stranger(&self, change: &Change, prior: &Prior) -> Option<String> {
        let (_, ty) = self.registry.resource_type(&change.address.ty)?;
        if ty.holds_data {
            return Some("what it holds may be anybody's".to_owned());
        }
        let planned = &change.after.as_ref()?.attributes;
        // Settings that nobody can read off an object tell nothing, and neither does what is not known yet.
        let tells = |path: &Path| {
            let is_unknown = path.get(planned).is_some_and(Value::has_unknown);
            !is_unknown && path.get(&prior.attributes).is_some_and(|value| !value.is_null())
        };
        let differing = changed_from_recorded(ty, &prior.attributes, planned);
        let differing: Vec<String> =
            differing.iter().filter(|path| tells(path)).map(|path| format!("`{path}`")).collect();
        match differing.is_empty() {
            false => Some(format!("it is not as described ({})", differing.join(", "))),
            true if change.action.is_replace() => Some("it is not as described".to_owned()),
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
        if (ty.is_borrowed)(&prior.attributes, &prior.private) {
            return None;
        }
        let action = if ty.holds_data && !self.options.remove_data { Action::Retain } else { Action::Delete };
        if action == Action::Delete && change.lifecycle.prevent_destroy {
            diagnostics.push(protected(&format!("{stack}:{}", change.address), None, "deleted"));
        }
        let prior = Prior { dependencies: change.depends_on.clone(), lifecycle: change.lifecycle.clone(), ..prior };
        Some(Change {
            action,
            reason: Some(Reason::Unrecorded),
            prior: Some(Box::new(prior)),
            after: None,
            replace_paths: Vec::new(),
            drift: Vec::new(),
            depends_on: Vec::new(),
            because: Vec::new(),
            data_loss: None,
            in_doubt: None,
            is_held_back: false,
            ..change
        })
    }
}

/// That it cannot be said of an object whether it is there: now, or ever.
pub(super) fn untold(found: &Found, address: &str) -> Diagnostic {
    match found {
        Found::Pending(_) => {
            Diagnostic::error(CANNOT_READ, format!("{address} is being made, or was, and cannot be told yet"))
        }
        _ => Diagnostic::warning(
            NOT_LOOKED_FOR,
            format!("it cannot be told whether {address} is there: its provider cannot look for it"),
        ),
    }
}

/// That it cannot be said of a stack whether there is what it describes and is not recorded, why, and what to do.
fn not_told(stack: &StackId, has_recorded: bool, why: &str, hint: Option<&str>) -> Diagnostic {
    let message = format!("it cannot be told whether what {stack} describes and is not recorded is there: {why}");
    let recorded =
        format!("`terrace destroy {stack}`, without a file, removes what is recorded and looks for nothing else");
    let hints: Vec<&str> = hint.into_iter().chain(has_recorded.then_some(recorded.as_str())).collect();
    let hint = if hints.is_empty() { "try again later".to_owned() } else { hints.join("; ") };
    Diagnostic::error(NOT_LOOKED_FOR, message).hint(hint)
}

/// The component of that key, where others may have access to it.
fn takes_access<'c>(compiled: &'c CompiledStack, key: &str) -> Option<&'c CompiledComponent> {
    compiled.components.iter().find(|component| component.key == key && component.takes_access().is_ok())
}

/// The declarations, taking over whatever is there.
fn taking_over(declarations: &Declarations) -> Declarations {
    let mut declarations = declarations.clone();
    for resource in &mut declarations.resources {
        resource.adopt = Adopt::IfExists;
    }
    declarations
}
