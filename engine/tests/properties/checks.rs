//! Properties after every edit: of the plan, the order of calls, and the rows.

use super::storing::check_file;
use crate::support::Story;
use crate::support::faulty_store::duplicate_effects;
use std::collections::{BTreeMap, BTreeSet};
use terrace_engine::action::Action;
use terrace_engine::address::InstanceKey;
use terrace_engine::plan::{Change, Plan, file, row_stack};
use terrace_engine::store::Selection;
use terrace_provider::{Attributes, Value};

/// Checks that two plans of one input are equal and hold no secret in the clear.
pub(super) async fn check_digest(story: &Story, plan: &Plan, text: &str) {
    let again = story.plan(text).await;
    assert_ne!(plan.id, again.id);
    assert_eq!(file::digest(plan, &story.seal).unwrap(), file::digest(&again, &story.seal).unwrap());
    check_file(plan, &story.seal);
}

fn key_of(attributes: Option<&Attributes>) -> Option<&str> {
    attributes?.get("key").and_then(Value::as_str)
}

/// Checks that the calls follow the dependencies.
pub(super) fn check_order(plan: &Plan, log: &[String]) {
    let made = |change: &Change| {
        let key = key_of(change.after.as_ref().map(|after| &after.attributes))?;
        log.iter().position(|call| *call == format!("create {key}") || *call == format!("update {key}"))
    };
    let removed = |change: &Change| {
        let key = key_of(change.basis.prior.as_ref().map(|prior| &prior.attributes))?;
        log.iter().position(|call| *call == format!("delete {key}"))
    };
    let current = || plan.changes().map(|(_, change)| change).filter(|change| change.deposed.is_none());
    let changes: BTreeMap<String, &Change> = current().map(|change| (change.address.to_string(), change)).collect();
    let by_address = |address: &terrace_engine::address::Address| changes.get(&address.to_string()).copied();
    for change in current() {
        if let (Some(made), Some(removed)) = (made(change), removed(change)) {
            let is_create_first = change.action == Action::ReplaceCreateFirst;
            assert_eq!(made < removed, is_create_first, "{}: {log:?}", change.address);
        }
        for needed in change.how.depends_on.iter().filter_map(by_address) {
            if let (Some(first), Some(then)) = (made(needed), made(change)) {
                assert!(first < then, "{} before {}: {log:?}", needed.address, change.address);
            }
        }
        let recorded = change.basis.prior.iter().flat_map(|prior| &prior.dependencies);
        for needed in recorded.filter_map(by_address) {
            if let (Some(first), Some(then)) = (removed(change), removed(needed)) {
                assert!(first < then, "{} goes before {}: {log:?}", change.address, needed.address);
            }
            // A resource that is deleted first uses nothing while it is recreated.
            let moves_on = change.action != Action::Replace && needed.action == Action::ReplaceCreateFirst;
            if let (Some(first), Some(then), true) = (made(change), removed(needed), moves_on) {
                assert!(first < then, "{} moves on before {} goes: {log:?}", change.address, needed.address);
            }
        }
    }
}

/// Checks that recorded dependencies are recorded resources. A dependency on all instances may have none.
pub(super) async fn check_dependencies(story: &Story) {
    let mut rows = Vec::new();
    for stack in story.store.stacks().await.unwrap() {
        rows.extend(story.store.rows(&stack, &Selection::All).await.unwrap());
    }
    let there: BTreeSet<_> = rows.iter().map(|row| (&row.stack, &row.address)).collect();
    for row in &rows {
        for needed in row.dependencies.iter().filter(|needed| needed.key != Some(InstanceKey::All)) {
            let stack = row_stack(&row.stack, needed);
            assert!(there.contains(&(&stack, needed)), "{} comes after {needed}, which is not recorded", row.address);
        }
    }
}

/// Checks that rows and objects match, that nothing was created twice, and that no step is open.
pub(super) async fn check_records(story: &Story) {
    let effects = story.remote().effects.clone();
    assert!(duplicate_effects(&effects).is_empty(), "{effects:?}");
    let mut recorded = BTreeSet::new();
    for stack in story.store.stacks().await.unwrap() {
        assert!(story.store.open_intents(&stack, &Selection::All).await.unwrap().is_empty());
        for row in story.store.rows(&stack, &Selection::All).await.unwrap() {
            if row.address.ty != "world_note" {
                let opened = terrace_engine::record::open(row, &story.seal).unwrap();
                recorded.insert(opened.prior.identity["key"].as_str().unwrap().to_owned());
            }
        }
    }
    let objects: BTreeSet<String> = story.remote().objects.keys().cloned().collect();
    assert_eq!(recorded, objects, "rows and objects");
}
