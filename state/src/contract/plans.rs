//! Plans: applied once, and only to the state that they were computed from.

use super::fixture::{Fixture, address, delete, demo, put, row};
use std::collections::BTreeSet;
use terrace_store::address::ComponentKey;
use terrace_store::{ComponentRow, Generation, Read, Record, Sealed, StoreError, Write};
use uuid::Uuid;

fn read(name: &str, generation: Generation) -> Read {
    Read { stack: demo(), address: address(name), deposed: None, generation }
}

async fn spend(fixture: &Fixture, plan: Uuid, reads: Vec<Read>) -> Result<(), StoreError> {
    fixture.store.commit(&[], vec![Record::SpendPlan { plan, reads, components: Vec::new() }]).await
}

/// A plan cannot be applied twice.
pub async fn plan_is_spent_once(fixture: Fixture) {
    let plan = Uuid::now_v7();
    assert!(!fixture.store.is_spent(plan).await.unwrap());
    spend(&fixture, plan, Vec::new()).await.unwrap();
    assert!(fixture.store.is_spent(plan).await.unwrap());
    let result = spend(&fixture, plan, Vec::new()).await;
    assert!(matches!(result, Err(StoreError::PlanSpent)), "{result:?}");
    spend(&fixture, Uuid::now_v7(), Vec::new()).await.unwrap();
}

/// The error lists all changed rows at once.
pub async fn stale_plan_lists_every_changed_row(fixture: Fixture) {
    let names = ["local_value.kept", "local_value.changed", "local_value.gone"];
    fixture.write(names.iter().map(|name| put(row(name), 0)).collect()).await.unwrap();
    let mut reads: Vec<_> = names.iter().map(|name| read(name, 1)).collect();
    reads.push(read("local_value.new", 0));
    let changes =
        vec![put(row("local_value.changed"), 1), delete("local_value.gone", 1), put(row("local_value.new"), 0)];
    fixture.write(changes).await.unwrap();
    let Err(StoreError::Stale(moved)) = spend(&fixture, Uuid::now_v7(), reads).await else {
        return assert!(names.is_empty(), "a stale plan was accepted");
    };
    let seen: Vec<_> =
        moved.iter().map(|moved| (moved.read.address.name.as_str(), moved.read.generation, moved.now)).collect();
    assert_eq!(seen, [("changed", 1, 2), ("gone", 1, 0), ("new", 0, 1)]);
}

/// A refused plan may be applied after the reason of the refusal has gone.
pub async fn refused_plan_is_not_spent(fixture: Fixture) {
    let plan = Uuid::now_v7();
    assert!(spend(&fixture, plan, vec![read("local_value.a", 1)]).await.is_err());
    assert!(!fixture.store.is_spent(plan).await.unwrap());
    fixture.write(vec![put(row("local_value.a"), 0)]).await.unwrap();
    spend(&fixture, plan, vec![read("local_value.a", 1)]).await.unwrap();
}

/// Rows that were absent must still be absent.
pub async fn absent_rows_are_generation_zero(fixture: Fixture) {
    let elsewhere = Read { stack: terrace_store::address::StackId::new("never", "seen"), ..read("local_value.a", 0) };
    spend(&fixture, Uuid::now_v7(), vec![read("local_value.a", 0), elsewhere]).await.unwrap();
    fixture.write(vec![put(row("local_value.a"), 0), delete("local_value.a", 1)]).await.unwrap();
    spend(&fixture, Uuid::now_v7(), vec![read("local_value.a", 0)]).await.unwrap();
}

/// Outputs are not in rows: a changed component makes the plan stale, but a rewrite without a change does not.
pub async fn plan_is_stale_after_a_component_changed(fixture: Fixture) {
    let record = |key: &str, outputs: &str| {
        let (key, outputs) = (key.into(), Sealed::from_stored(outputs));
        let component = ComponentRow {
            key,
            outputs,
            depends_on: Vec::new(),
            blueprint: None,
            reads: Vec::new(),
            access: None,
            ids: None,
        };
        Write::Component { stack: demo(), component }
    };
    fixture.write(vec![record("api", r#"{"o":1}"#), record("web", "{}")]).await.unwrap();
    let keys: BTreeSet<ComponentKey> = ["api", "gone", "web"].map(ComponentKey::from).into();
    let read = async || fixture.store.component_reads(&demo(), &keys).await.unwrap();
    let spend = async |components| {
        let (plan, reads) = (Uuid::now_v7(), Vec::new());
        let result = fixture.store.commit(&[], vec![Record::SpendPlan { plan, reads, components }]).await;
        assert_eq!(fixture.store.is_spent(plan).await.unwrap(), result.is_ok());
        match result {
            Err(StoreError::StaleOutputs(changed)) => changed.into_iter().map(|read| read.component).collect(),
            result => {
                result.unwrap();
                Vec::new()
            }
        }
    };
    let before = read().await;
    assert_eq!(before.iter().map(|read| read.component.as_str()).collect::<Vec<_>>(), ["api", "gone", "web"]);
    assert_eq!(before[1].generation, 0);
    fixture.write(vec![record("api", r#"{"o":1}"#)]).await.unwrap();
    assert_eq!(spend(before.clone()).await, [""; 0]);
    fixture.write(vec![record("api", r#"{"o":2}"#)]).await.unwrap();
    assert_eq!(spend(before.clone()).await, ["api"]);
    fixture.write(vec![record("gone", "{}"), Write::DropComponent { stack: demo(), key: "web".into() }]).await.unwrap();
    assert_eq!(spend(before).await, ["api", "gone", "web"]);
    assert_eq!(spend(read().await).await, [""; 0]);
}
