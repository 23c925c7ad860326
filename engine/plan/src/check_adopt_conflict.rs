//! Refuses to adopt an object that another row manages, because each resource would undo the changes of the other.
//!
//! `check_duplicate_identity` compares the resources of the plan itself.

use super::failure::PlanFailure;
use super::key::identity_key;
use super::managed::Managed;
use super::planner::Planner;
use super::{Change, StackPlan, row_stack};
use std::collections::HashSet;
use terrace_language::action::Action;
use terrace_language::address::{Address, StackId};
use terrace_language::diagnostic::Diagnostic;
use terrace_language::moves::{as_command, as_written};
use terrace_language::registry::Registry;
use terrace_language::text::shell_word;
use terrace_provider::{Attributes, ResourceType};

/// The code of these errors.
pub(super) const RECORDED: &str = "adopt_recorded";

/// Reports replacements and renames to the name of a recorded object that the plan does not touch. The rename would fail; a replacement
/// would delete the old object and then fail to create the new one.
pub(super) async fn check_replaced(
    planner: &Planner<'_>,
    stacks: &[StackPlan],
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<(), PlanFailure> {
    let changes = || stacks.iter().flat_map(|stack| stack.changes.iter().map(move |change| (stack, change)));
    let renamed =
        changes().filter_map(|(stack, change)| Some((stack, change, new_identity(planner.registry, change)?)));
    let renamed: Vec<_> = renamed.collect();
    if renamed.is_empty() || planner.options.offline {
        return Ok(());
    }
    let planned: HashSet<(StackId, &Address)> =
        changes().map(|(stack, change)| (row_stack(&stack.stack, &change.address), &change.address)).collect();
    let managed = Managed::default();
    for (stack, change, (ty, identity)) in renamed {
        let space = planner.registry.schemas().flat_map(|schema| &schema.resources);
        for ty in space.filter(|other| other.identity_space == ty.identity_space) {
            let by = managed.manager_of(planner, ty.name, &change.how.provider, &identity).await?;
            let by = by.filter(|by| !planned.contains(&(by.stack.clone(), &by.address)));
            let Some(by) = by else { continue };
            let about = format!("{}:{}", stack.stack, change.address);
            let message = format!("{about} names the object that is recorded as {by}");
            let diagnostic = Diagnostic::error("renamed_without_moved", message).about(&about);
            let is_left_out = planner.options.is_partial() && by.stack == stack.stack && !by.is_retained;
            diagnostics.push(stack.at_places(diagnostic, &change.address).hint(match is_left_out {
                true => format!("plan {} too: without `--target`, `--exclude` and `-c` both are planned", by.address),
                false => format!("give {} another name: that object stays", change.address),
            }));
        }
    }
    Ok(())
}

/// The new identity of a replaced or renamed object; `None` if the identity stays.
fn new_identity<'r>(registry: &'r Registry, change: &Change) -> Option<(&'r ResourceType, Attributes)> {
    let (_, ty) = registry.resource_type(&change.address.ty).filter(|(_, ty)| !ty.state_only)?;
    let after = change.after.as_ref().filter(|_| change.action.is_replace() || change.action == Action::Update)?;
    let identity = ty.identity_of(&after.attributes).filter(|identity| !identity.is_empty())?;
    let before = ty.identity_of(&change.basis.prior.as_ref()?.attributes)?;
    (identity_key(&ty.compared(&before)) != identity_key(&ty.compared(&identity))).then_some((ty, identity))
}

/// Reports objects that the plan adopts and that a row outside the plan records.
pub(super) async fn check(
    planner: &Planner<'_>,
    stacks: &[StackPlan],
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<(), PlanFailure> {
    let changes = || stacks.iter().flat_map(|stack| stack.changes.iter().map(move |change| (stack, change)));
    let is_adopted = |change: &Change| change.action == Action::Adopt && change.import_id.is_none();
    if !changes().any(|(_, change)| is_adopted(change)) {
        return Ok(());
    }
    let shared = StackId::shared(&planner.environment.name);
    let of = |stack: &'_ StackPlan, address: &Address| {
        if address.is_shared() { shared.clone() } else { stack.stack.clone() }
    };
    let planned: HashSet<(StackId, &Address)> =
        changes().map(|(stack, change)| (of(stack, &change.address), &change.address)).collect();
    let managed = Managed::default();
    for (stack, change) in changes().filter(|(_, change)| is_adopted(change)) {
        let Some(prior) = &change.basis.prior else { continue };
        let by = managed.manager_of(planner, &change.address.ty, &change.how.provider, &prior.identity).await?;
        let Some(by) = by.filter(|by| !by.is_retained && !planned.contains(&(by.stack.clone(), &by.address))) else {
            continue;
        };
        let about = format!("{}:{}", stack.stack, change.address);
        let message = format!("{about} would adopt the object of {by}");
        let diagnostic = Diagnostic::error(RECORDED, message).about(&about);
        let diagnostic = stack.at_places(diagnostic, &change.address);
        let by_name = shell_word(&by.to_string());
        let drop = format!("`terrace state rm {by_name}` drops that record and leaves the object");
        let is_same_kind = by.stack == stack.stack && by.address.ty == change.address.ty;
        let is_shared = by.address.is_shared() && change.address.is_shared() && by.address.ty == change.address.ty;
        diagnostics.push(diagnostic.hint(match &change.basis.place {
            _ if is_shared || is_same_kind && stack.is_data_product() => {
                let command = as_command(&by.stack, &by.address, &change.address);
                format!("if it is the same resource, move it first: `{command}`")
            }
            Some(_) if is_same_kind => {
                format!(
                    "if it is the same resource, declare the move: `{}`; {drop}",
                    as_written(&by.address, &change.address)
                )
            }
            Some(_) => format!("give one of them another name, or let both own it with `shared`; {drop}"),
            // A resource of a rollback has no descriptor.
            None if is_same_kind => {
                let command = as_command(&by.stack, &by.address, &change.address);
                format!("if it is the same resource, move it back first: `{command}`")
            }
            None => drop,
        }));
    }
    Ok(())
}
