//! Refuses a plan of a renamed stack: it has no rows, and another stack has rows at the same addresses.
//!
//! Each create of such a plan would fail, one after the other, because the objects exist. The check reads only a few addresses of
//! every other stack, so that a new stack does not have to read the whole state.

use super::compute::{PlanFailure, Planner};
use super::key::{compared_key, identity_key};
use super::{Change, StackPlan};
use crate::action::Action;
use crate::address::{Address, SHARED, StackId};
use crate::deadline;
use crate::diagnostic::{Diagnostic, first_of};
use crate::record;
use crate::registry::Registry;
use crate::render::shell_word;
use crate::store::{Row, RowStatus, Selection};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::{BTreeMap, BTreeSet};

/// The code of these errors.
pub(super) const RECORDED: &str = "recorded_elsewhere";
/// So many addresses are asked for of each other stack.
const PROBES: usize = 4;
/// Among more stacks than these nobody is looked for: each create then tells at its step that its object is there.
const MOST_STACKS: usize = 500;
/// So many stacks are asked at once.
const AT_ONCE: usize = 16;

/// Reports new stacks that would make what another stack has under the same addresses.
pub(super) async fn check(
    planner: &Planner<'_>,
    stacks: &[StackPlan],
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<(), PlanFailure> {
    let created: Vec<(&StackPlan, BTreeMap<&Address, Made<'_>>)> = stacks
        .iter()
        .map(|stack| (stack, stack.changes.iter().filter_map(|it| made(planner.registry, it)).collect()))
        .filter(|(_, made): &(_, BTreeMap<_, _>)| !made.is_empty())
        .collect();
    if planner.options.offline {
        return Ok(());
    }
    for (stack, made) in created {
        if !planner.store.components(&stack.stack).await?.is_empty() {
            continue;
        }
        let recorded = planner.store.stacks().await?;
        let is_other = |other: &&StackId| other.environment == stack.stack.environment && other.name != SHARED;
        if recorded.contains(&stack.stack) || recorded.iter().filter(is_other).count() > MOST_STACKS {
            continue;
        }
        let probes: BTreeSet<Address> = made.keys().take(PROBES).map(|address| (*address).clone()).collect();
        let asked = recorded.iter().filter(is_other).map(async |other| {
            for row in shared_with(planner, other, probes.clone(), &made).await? {
                if is_there(planner, other, row).await? {
                    return Ok::<_, PlanFailure>(Some(other));
                }
            }
            Ok(None)
        });
        let asked = stream::iter(asked).buffered(AT_ONCE);
        let owners: Vec<&StackId> = asked.try_filter_map(|other| async move { Ok(other) }).try_collect().await?;
        for owner in owners {
            let all = made.keys().map(|address| (*address).clone()).collect();
            let rows = shared_with(planner, owner, all, &made).await?;
            let addresses: Vec<Address> = rows.into_iter().map(|row| row.address).collect();
            diagnostics.extend(told(stack, owner, &addresses, &made));
        }
    }
    Ok(())
}

/// What is to be made, and under which name.
struct Made<'a> {
    change: &'a Change,
    identity: String,
}

fn made<'a>(registry: &Registry, change: &'a Change) -> Option<(&'a Address, Made<'a>)> {
    let is_new = change.action == Action::Create && change.generation == 0 && !change.address.is_shared();
    let after = change.after.as_ref().filter(|_| is_new && change.in_doubt.is_none())?;
    let (_, ty) = registry.resource_type(&change.address.ty).filter(|(_, ty)| !ty.state_only)?;
    let identity = ty.identity_of(&after.attributes).filter(|identity| !identity.is_empty())?;
    Some((&change.address, Made { change, identity: identity_key(&ty.compared(&identity)) }))
}

/// The rows at those addresses by which another stack records the objects of these names.
async fn shared_with(
    planner: &Planner<'_>,
    other: &StackId,
    addresses: BTreeSet<Address>,
    made: &BTreeMap<&Address, Made<'_>>,
) -> Result<Vec<Row>, PlanFailure> {
    let mut same = Vec::new();
    for row in planner.store.rows(other, &Selection::Addresses(addresses)).await? {
        // Data that a component left behind is taken over by whoever asks for it.
        if row.deposed.is_some() || row.status == RowStatus::Retained {
            continue;
        }
        let sealed = |error| PlanFailure::Sealed { address: format!("{other}:{}", row.address), error };
        let identity = record::open_identity(&row, planner.seal).map_err(sealed)?;
        let identity = compared_key(planner.registry, &row.address.ty, &identity);
        let is_same = |it: &&Made<'_>| it.identity == identity && it.change.provider == row.provider;
        if made.get(&row.address).filter(is_same).is_some() {
            same.push(row);
        }
    }
    Ok(same)
}

/// Whether a recorded object can be seen from here. One name may mean several objects: a path is one within the folder of a
/// project, and projects may share a state.
async fn is_there(planner: &Planner<'_>, stack: &StackId, row: Row) -> Result<bool, PlanFailure> {
    let address = row.address.clone();
    let known = planner.registry.resource_type(&address.ty);
    let Some((_, ty)) = known.filter(|(_, ty)| ty.readable && ty.schema_version == row.schema_version) else {
        return Ok(false);
    };
    let Ok(session) = planner.registry.session(&row.provider).await else { return Ok(false) };
    let sealed = |error| PlanFailure::Sealed { address: format!("{stack}:{address}"), error };
    let opened = record::open(row, planner.seal).map_err(sealed)?;
    let recorded = record::recorded(stack, &address, &opened.prior);
    // Who cannot be asked says nothing here: the creates themselves will tell.
    let found = deadline::reading(ty.timeouts.read, session.read(ty, &recorded)).await;
    Ok(found.is_ok_and(|object| object.is_some()))
}

fn told(
    stack: &StackPlan,
    owner: &StackId,
    addresses: &[Address],
    made: &BTreeMap<&Address, Made<'_>>,
) -> Option<Diagnostic> {
    let first = made.get(addresses.first()?)?;
    let names: Vec<String> = addresses.iter().map(|address| format!("`{address}`")).collect();
    let listed = first_of(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let message = format!("{} would make what {owner} has: {listed}", stack.stack);
    let diagnostic = Diagnostic::error(RECORDED, message);
    let diagnostic = first.change.place.iter().fold(diagnostic, |told, place| told.at_place(place.clone()));
    let about = diagnostic.about(format!("{}:{}", stack.stack, first.change.address));
    let dropped = shell_word(&format!("{owner}:{}", first.change.address));
    Some(about.hint(format!(
        "a stack is known by its name: where it is the same one, keep the name `{}`, or drop its records \
         (`terrace state rm {dropped}`) and take over what is there with `adopt: ifExists`; where it is another one, give \
         its objects other names",
        owner.name
    )))
}
