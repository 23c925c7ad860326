//! Refuses a plan of a renamed stack: it has no rows, and another stack has rows at the same addresses.
//!
//! Each create of such a plan would fail, one after the other, because the objects exist. The check reads only a few addresses of
//! every other stack, so that a new stack does not have to read the whole state.

use super::failure::PlanFailure;
use super::key::{compared_key, identity_key};
use super::planner::Planner;
use super::{Change, StackPlan};
use crate::deadline;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::{BTreeMap, BTreeSet};
use terrace_language::action::Action;
use terrace_language::address::{Address, SHARED, StackId};
use terrace_language::diagnostic::{Diagnostic, first_of};
use terrace_language::registry::Registry;
use terrace_language::text::shell_words;
use terrace_store::record;
use terrace_store::{Row, RowStatus, Selection};

/// The code of these errors.
pub(super) const RECORDED: &str = "recorded_elsewhere";
/// Number of addresses to look for in each other stack.
const PROBES: usize = 4;
/// With more stacks than this the check is skipped. Each create then fails at its step because its object exists.
const MOST_STACKS: usize = 500;
/// Number of stacks to query at once.
const AT_ONCE: usize = 16;

/// Reports new stacks that would create objects that another stack records at the same addresses.
pub(super) async fn check(
    planner: &Planner<'_>,
    stacks: &[StackPlan],
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<(), PlanFailure> {
    let created: Vec<(&StackPlan, BTreeMap<&Address, PlannedCreate<'_>>)> = stacks
        .iter()
        .map(|stack| (stack, stack.changes.iter().filter_map(|it| created_object(planner.registry, it)).collect()))
        .filter(|(_, created): &(_, BTreeMap<_, _>)| !created.is_empty())
        .collect();
    if planner.options.offline {
        return Ok(());
    }
    for (stack, creates) in created {
        if !planner.store.components(&stack.stack).await?.is_empty() {
            continue;
        }
        let recorded = planner.store.stacks().await?;
        let is_other = |other: &&StackId| other.environment == stack.stack.environment && other.name != SHARED;
        if recorded.contains(&stack.stack) || recorded.iter().filter(is_other).count() > MOST_STACKS {
            continue;
        }
        let probes: BTreeSet<Address> = creates.keys().take(PROBES).map(|address| (*address).clone()).collect();
        let queries = recorded.iter().filter(is_other).map(async |other| {
            for row in conflicting_rows(planner, other, probes.clone(), &creates).await? {
                if exists(planner, other, row).await? {
                    return Ok::<_, PlanFailure>(Some(other));
                }
            }
            Ok(None)
        });
        let queries = stream::iter(queries).buffered(AT_ONCE);
        let owners: Vec<&StackId> = queries.try_filter_map(|other| async move { Ok(other) }).try_collect().await?;
        for owner in owners {
            let all = creates.keys().map(|address| (*address).clone()).collect();
            let rows = conflicting_rows(planner, owner, all, &creates).await?;
            let addresses: Vec<Address> = rows.into_iter().map(|row| row.address).collect();
            diagnostics.extend(conflict_error(stack, owner, &addresses, &creates));
        }
    }
    Ok(())
}

/// A create of the plan, with the identity of its object.
struct PlannedCreate<'a> {
    change: &'a Change,
    identity: String,
}

fn created_object<'a>(registry: &Registry, change: &'a Change) -> Option<(&'a Address, PlannedCreate<'a>)> {
    let is_new = change.action == Action::Create && change.basis.generation == 0 && !change.address.is_shared();
    let after = change.after.as_ref().filter(|_| is_new && change.in_doubt.is_none())?;
    let (_, ty) = registry.resource_type(&change.address.ty).filter(|(_, ty)| !ty.state_only)?;
    let identity = ty.identity_of(&after.attributes).filter(|identity| !identity.is_empty())?;
    Some((&change.address, PlannedCreate { change, identity: identity_key(&ty.compared(&identity)) }))
}

/// Reads the rows of another stack that record the planned objects at those addresses.
async fn conflicting_rows(
    planner: &Planner<'_>,
    other: &StackId,
    addresses: BTreeSet<Address>,
    creates: &BTreeMap<&Address, PlannedCreate<'_>>,
) -> Result<Vec<Row>, PlanFailure> {
    let mut same = Vec::new();
    for row in planner.store.rows(other, &Selection::Addresses(addresses)).await? {
        // A retained row does not conflict: its data may be adopted.
        if row.deposed.is_some() || row.status == RowStatus::Retained {
            continue;
        }
        let sealed = |error| PlanFailure::Sealed { address: format!("{other}:{}", row.address), error };
        let identity = record::open_identity(&row, planner.seal).map_err(sealed)?;
        let identity = compared_key(planner.registry, &row.address.ty, &identity);
        let is_same =
            |create: &&PlannedCreate<'_>| create.identity == identity && create.change.how.provider == row.provider;
        if creates.get(&row.address).filter(is_same).is_some() {
            same.push(row);
        }
    }
    Ok(same)
}

/// True if the recorded object exists as seen from here. One name can mean several objects: a path is relative to a project's
/// folder, and projects may share a state.
async fn exists(planner: &Planner<'_>, stack: &StackId, row: Row) -> Result<bool, PlanFailure> {
    let address = row.address.clone();
    let known = planner.registry.resource_type(&address.ty);
    let Some((_, ty)) = known.filter(|(_, ty)| ty.readable && ty.schema_version == row.schema_version) else {
        return Ok(false);
    };
    let Ok(session) = planner.registry.session(&row.provider).await else { return Ok(false) };
    let sealed = |error| PlanFailure::Sealed { address: format!("{stack}:{address}"), error };
    let opened = record::open(row, planner.seal).map_err(sealed)?;
    let recorded = record::recorded(stack, &address, &opened.prior);
    // If the provider cannot answer, the creates report the conflict.
    let found = deadline::call_reading(ty.timeouts.read, session.read(ty, &recorded)).await;
    Ok(found.is_ok_and(|object| object.is_some()))
}

fn conflict_error(
    stack: &StackPlan,
    owner: &StackId,
    addresses: &[Address],
    creates: &BTreeMap<&Address, PlannedCreate<'_>>,
) -> Option<Diagnostic> {
    let first = creates.get(addresses.first()?)?;
    let listed = first_of(&addresses.iter().map(ToString::to_string).collect::<Vec<_>>());
    let message = format!("{} would create objects that {owner} has: {listed}", stack.stack);
    let diagnostic = Diagnostic::error(RECORDED, message);
    let diagnostic =
        first.change.basis.place.iter().fold(diagnostic, |diagnostic, place| diagnostic.at_place(place.clone()));
    let about = diagnostic.about(format!("{}:{}", stack.stack, first.change.address));
    let dropped: Vec<String> = addresses.iter().map(|address| format!("{owner}:{address}")).collect();
    let dropped = shell_words(&dropped, "ADDRESS");
    Some(about.hint(format!(
        "a stack is identified by its name: if it is the same stack, keep the name `{}`, or forget its rows \
         (`terrace state rm {dropped}`) and adopt the objects with `adopt: ifExists`; if it is another stack, give \
         its objects other names",
        owner.name
    )))
}
