//! Remedies for a create whose object exists already.

use super::super::{Applier, Failed};
use super::step::Prepared;
use std::collections::BTreeSet;
use terrace_language::action::Action;
use terrace_language::moves::{as_command, as_written};
use terrace_language::text::shell_word;
use terrace_plan::import::find_recorded_resource;
use terrace_provider::{ErrorKind, Observed, ResourceType};
use terrace_store::{RowStatus, Selection};

/// Adds the remedies to a failure. If another row records the object, the remedy is a move: an import would fail.
pub(super) async fn add_remedies(
    applier: &Applier,
    prepared: &Prepared,
    ty: &ResourceType,
    kind: &ErrorKind,
    failed: &mut Failed,
) {
    let ErrorKind::AlreadyExists { import_id } = kind else { return };
    if let Some(advice) = recorded(applier, prepared, ty).await {
        failed.solutions.push(advice);
        return;
    }
    // A rollback has no descriptor to change.
    if prepared.change.basis.place.is_some() {
        failed.solutions.push("to adopt it, set `adopt: ifExists` on the resource".to_owned());
    }
    if let Some(id) = import_id {
        let address = format!("{}:{}", prepared.stack, prepared.change.address);
        let (address, id) = (shell_word(&address), shell_word(id));
        failed.solutions.push(format!("to record it unchanged, run `terrace import {address} {id}`"));
    }
}

/// The remedy if another row records the object.
async fn recorded(applier: &Applier, prepared: &Prepared, ty: &ResourceType) -> Option<String> {
    let change = &prepared.change;
    let identity = ty.identity_of(&prepared.planned.attributes)?;
    let object = Observed { identity, ..Observed::default() };
    let environment = prepared.stack.environment.as_str();
    let found =
        find_recorded_resource(applier.store.as_ref(), &applier.seal, (environment, &change.how.provider), ty, &object)
            .await;
    // A failure of this search does not matter: the create has failed anyway.
    let (stack, address) =
        found.ok().flatten().filter(|(stack, at)| (stack, at) != (&prepared.stack, &change.address))?;
    if stack != prepared.stack {
        return Some(format!(
            "{stack}:{address} has it: give one of them another name, or let both own it with `shared`"
        ));
    }
    let selection = Selection::Addresses(BTreeSet::from([address.clone()]));
    let rows = applier.store.rows(&stack, &selection).await.ok()?;
    if rows.iter().any(|row| row.deposed.is_none() && row.status == RowStatus::Retained) {
        let moved = as_written(&address, &change.address);
        return Some(format!("{address} retained its data: to continue with it, write `{moved}`"));
    }
    if change.action == Action::ReplaceCreateFirst {
        return Some(format!("{address} has this object: give one of them another name"));
    }
    // A descriptor cannot move a resource that it still declares.
    let command = as_command(&stack, &address, &change.address);
    Some(format!("{address} has this object: to continue with it, run `{command}`, then plan again"))
}
