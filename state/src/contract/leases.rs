//! Leases: rights to write.

use super::fixture::{Fixture, demo, intent, put, row};
use std::time::Duration;
use terrace_store::{Acquired, Lease, Record, Selection, StoreError};
use uuid::Uuid;

const TERM: Duration = Duration::from_secs(30);

async fn write_under(fixture: &Fixture, leases: &[Lease], name: &str) -> Result<(), StoreError> {
    let record = Record::Write { operation: Uuid::now_v7(), write: put(row(name), 0) };
    fixture.store.commit(leases, vec![record]).await
}

fn is_lost<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::LeaseLost { stack, component }) if *stack == demo() && component == "api")
}

/// The list shows a lease with its holder while it is held.
pub async fn free_component_is_granted(fixture: Fixture) {
    let operation = Uuid::now_v7();
    let leases = fixture.granted(operation, &["api"]).await;
    assert_eq!((leases.len(), leases[0].fence), (1, 1));
    let listed = fixture.store.leases().await.unwrap();
    assert_eq!(listed.len(), 1);
    let info = &listed[0];
    assert_eq!((&info.id, &info.stack, info.component.as_str()), (&leases[0].id, &demo(), "api"));
    assert_eq!((info.holder.as_str(), info.operation), ("jane@host", operation));
    assert_eq!(info.expires.duration_since(info.since).as_secs(), 30);
    fixture.store.release(&leases).await.unwrap();
    assert!(fixture.store.leases().await.unwrap().is_empty());
    fixture.store.release(&leases).await.expect("releasing twice is not an error");
}

/// One held lease blocks all of them, and only it is named.
pub async fn leases_are_granted_all_or_none(fixture: Fixture) {
    let holder = Uuid::now_v7();
    fixture.granted(holder, &["api"]).await;
    let acquired = fixture.acquire(Uuid::now_v7(), &["aaa", "api", "db"]).await;
    let held = match &acquired {
        Acquired::Held(held) => held.as_slice(),
        Acquired::Granted(_) => &[],
    };
    let seen: Vec<_> = held.iter().map(|lease| (lease.component.as_str(), lease.operation)).collect();
    assert_eq!(seen, [("api", holder)]);
    assert_eq!(fixture.store.leases().await.unwrap().len(), 1);
}

/// The order is by stack and component.
pub async fn leases_are_granted_in_sorted_order(fixture: Fixture) {
    let leases = fixture.granted(Uuid::now_v7(), &["web", "", "api"]).await;
    assert_eq!(leases.iter().map(|lease| lease.component.as_str()).collect::<Vec<_>>(), ["", "api", "web"]);
}

/// A second run of an operation in the same process gets the leases of the first run, which ended without releasing
/// them. The first run cannot write any more.
pub async fn second_run_of_an_operation_gets_a_new_lease(fixture: Fixture) {
    let operation = fixture.begin().await;
    let first = fixture.granted(operation, &["api"]).await;
    let second = fixture.granted(operation, &["api", "db"]).await;
    assert_ne!(second[0].id, first[0].id);
    assert!(second[0].fence > first[0].fence);
    assert!(is_lost(&write_under(&fixture, &first, "api/local_value.a").await));
    assert!(is_lost(&fixture.store.renew(&first, TERM).await));
    write_under(&fixture, &second, "api/local_value.a").await.unwrap();
    assert_eq!(fixture.store.leases().await.unwrap().len(), 2);
    fixture.store.release(&first).await.unwrap();
    assert_eq!(fixture.store.leases().await.unwrap().len(), 2, "an outdated lease releases nothing");
}

/// Steps that the first run left open are in doubt for the second run: its own lease does not vouch for them.
pub async fn second_run_of_an_operation_orphans_open_steps(fixture: Fixture) {
    let operation = fixture.begin().await;
    let first = fixture.granted(operation, &["api"]).await;
    let open = |step| vec![Record::Intent(Box::new(intent(operation, step, row("api/local_value.a"))))];
    fixture.store.commit(&first, open(1)).await.unwrap();
    let orphaned = || async {
        let open = fixture.store.open_intents(&demo(), &Selection::All).await.unwrap();
        open.into_iter().map(|open| (open.intent.step, open.is_orphaned)).collect::<Vec<_>>()
    };
    assert_eq!(orphaned().await, [(1, false)]);
    let second = fixture.granted(operation, &["api"]).await;
    assert_eq!(orphaned().await, [(1, true)]);
    fixture.store.commit(&second, open(2)).await.unwrap();
    assert_eq!(orphaned().await, [(1, true), (2, false)]);
    assert!(is_lost(&fixture.store.commit(&first, open(3)).await));
}

/// A lease ends by time.
pub async fn expired_lease_is_granted_with_a_higher_fence(fixture: Fixture) {
    let old = fixture.granted(Uuid::now_v7(), &["api"]).await;
    fixture.clock.advance(TERM - Duration::from_millis(1));
    assert!(matches!(fixture.acquire(Uuid::now_v7(), &["api"]).await, Acquired::Held(_)));
    fixture.clock.advance(Duration::from_millis(1));
    assert!(fixture.store.leases().await.unwrap().is_empty());
    let new = fixture.granted(Uuid::now_v7(), &["api"]).await;
    assert!(new[0].fence > old[0].fence);
    assert_ne!(new[0].id, old[0].id);
}

/// A fence never repeats.
pub async fn released_lease_still_raises_the_fence(fixture: Fixture) {
    let mut last = 0;
    for _ in 0..3 {
        let leases = fixture.granted(Uuid::now_v7(), &["api"]).await;
        assert!(leases[0].fence > last);
        last = leases[0].fence;
        fixture.store.release(&leases).await.unwrap();
    }
}

/// A writer with a successor can no longer write, even if it holds other leases.
pub async fn writer_with_an_old_fence_is_refused(fixture: Fixture) {
    let old = fixture.granted(Uuid::now_v7(), &["api", "db"]).await;
    fixture.clock.advance(TERM);
    let new = fixture.granted(Uuid::now_v7(), &["api"]).await;
    let result = write_under(&fixture, &old, "api/local_value.a").await;
    assert!(is_lost(&result), "{result:?}");
    let forged = [Lease { fence: old[0].fence, ..new[0].clone() }];
    assert!(is_lost(&write_under(&fixture, &forged, "api/local_value.a").await));
    assert!(fixture.row("api/local_value.a").await.is_none());
    write_under(&fixture, &new, "api/local_value.a").await.unwrap();
}

/// A late record is better than none, while the lease has no successor.
pub async fn expired_lease_may_record_without_a_successor(fixture: Fixture) {
    let leases = fixture.granted(Uuid::now_v7(), &["api"]).await;
    fixture.clock.advance(TERM * 2);
    write_under(&fixture, &leases, "api/local_value.a").await.unwrap();
    fixture.store.renew(&leases, TERM).await.unwrap();
    assert_eq!(fixture.store.leases().await.unwrap().len(), 1);
}

/// A holder that missed the end of its lease must not start calls: another operation may get the lease at any moment.
pub async fn expired_lease_cannot_open_steps(fixture: Fixture) {
    let operation = fixture.begin().await;
    let leases = fixture.granted(operation, &["api"]).await;
    let open = |step| [Record::Intent(Box::new(intent(operation, step, row("api/local_value.a"))))];
    fixture.store.commit(&leases, open(1).into()).await.unwrap();
    fixture.clock.advance(TERM);
    let result = fixture.store.commit(&leases, open(2).into()).await;
    assert!(is_lost(&result), "{result:?}");
    fixture.store.renew(&leases, TERM).await.unwrap();
    fixture.store.commit(&leases, open(2).into()).await.unwrap();
}

/// A released lease gives no rights.
pub async fn released_lease_cannot_write(fixture: Fixture) {
    let leases = fixture.granted(Uuid::now_v7(), &["api"]).await;
    fixture.store.release(&leases).await.unwrap();
    assert!(is_lost(&write_under(&fixture, &leases, "api/local_value.a").await));
}

/// A renewal moves the expiry.
pub async fn renewal_keeps_other_operations_out(fixture: Fixture) {
    let leases = fixture.granted(Uuid::now_v7(), &["api"]).await;
    for _ in 0..5 {
        fixture.clock.advance(TERM / 2);
        fixture.store.renew(&leases, TERM).await.unwrap();
    }
    assert!(matches!(fixture.acquire(Uuid::now_v7(), &["api"]).await, Acquired::Held(_)));
}

/// A lease of another operation cannot be renewed, and neither are the rest.
pub async fn lost_lease_cannot_be_renewed(fixture: Fixture) {
    let leases = fixture.granted(Uuid::now_v7(), &["api", "db"]).await;
    fixture.clock.advance(TERM);
    fixture.granted(Uuid::now_v7(), &["api"]).await;
    assert!(is_lost(&fixture.store.renew(&leases, TERM).await));
    let held = fixture.store.leases().await.unwrap();
    assert_eq!(held.iter().map(|lease| lease.component.as_str()).collect::<Vec<_>>(), ["api"]);
}

/// A user may break a lease.
pub async fn broken_lease_is_lost(fixture: Fixture) {
    let leases = fixture.granted(Uuid::now_v7(), &["api"]).await;
    assert!(!fixture.store.break_lease("nothing").await.unwrap());
    assert!(fixture.store.break_lease(&leases[0].id).await.unwrap());
    assert!(!fixture.store.break_lease(&leases[0].id).await.unwrap());
    assert!(is_lost(&fixture.store.renew(&leases, TERM).await));
    assert!(is_lost(&write_under(&fixture, &leases, "api/local_value.a").await));
    let next = fixture.granted(Uuid::now_v7(), &["api"]).await;
    assert!(next[0].fence > leases[0].fence);
}
