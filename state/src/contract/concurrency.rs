//! Concurrent writers, and stores that are opened again.

use super::fixture::{Fixture, addresses, demo, intent, put, row};
use std::sync::Arc;
use terrace_store::{Record, Selection, StoreError};
use uuid::Uuid;

const TASKS: usize = 8;
const COMMITS: usize = 10;

/// Commits are neither lost nor partial.
pub async fn concurrent_commits_are_all_recorded(fixture: Fixture) {
    let operation = Uuid::now_v7();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let store = Arc::clone(&fixture.store);
            tokio::spawn(async move {
                for number in 0..COMMITS {
                    let pair = ["a", "b"].map(|half| Record::Write {
                        operation,
                        write: put(row(&format!("local_value.{half}{task}[{number}]")), 0),
                    });
                    store.commit(&[], pair.into()).await.unwrap();
                    let rows = store.rows(&demo(), &Selection::All).await.unwrap();
                    assert_eq!(rows.len() % 2, 0, "a partial commit was visible");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(fixture.store.rows(&demo(), &Selection::All).await.unwrap().len(), 2 * TASKS * COMMITS);
}

/// Of two writers that start from the same generation, one succeeds.
pub async fn one_of_two_concurrent_writers_is_stale(fixture: Fixture) {
    fixture.write(vec![put(row("local_value.a"), 0)]).await.unwrap();
    let (first, second) = tokio::join!(
        fixture.write(vec![put(row("local_value.a"), 1)]),
        fixture.write(vec![put(row("local_value.a"), 1)])
    );
    let outcomes = [first, second];
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert!(outcomes.iter().any(|outcome| matches!(outcome, Err(StoreError::Stale(_)))));
    assert_eq!(fixture.generation("local_value.a").await, 2);
}

/// Only for stores that keep their content.
pub async fn commits_outlive_the_store(fixture: Fixture) {
    let Fixture { store, clock, reopen: Some(reopen) } = fixture else { return };
    let fixture = Fixture { store, clock, reopen: None };
    let identity = fixture.store.identity().await.unwrap();
    let operation = fixture.begin().await;
    let leases = fixture.granted(operation, &[""]).await;
    let plan = Uuid::now_v7();
    let records = [
        Record::SpendPlan { plan, reads: Vec::new(), components: Vec::new() },
        Record::Write { operation, write: put(row("local_value.a"), 0) },
        Record::Intent(Box::new(intent(operation, 1, row("local_value.b")))),
    ];
    fixture.store.commit(&leases, records.into()).await.unwrap();
    let Fixture { store, clock, .. } = fixture;
    drop(store);

    let store = reopen(Arc::clone(&clock)).await;
    assert_eq!(store.identity().await.unwrap(), identity);
    assert_eq!(store.rows(&demo(), &addresses(&["local_value.a"])).await.unwrap().len(), 1);
    assert!(store.is_spent(plan).await.unwrap());
    let open = store.open_intents(&demo(), &Selection::All).await.unwrap();
    assert_eq!((open.len(), open[0].is_orphaned), (1, false), "the process of the step still runs");
    store.renew(&leases, std::time::Duration::from_secs(30)).await.unwrap();
}
