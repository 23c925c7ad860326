//! Audit log: one chain for all writers.

use super::fixture::Fixture;
use crate::clock::Clock;
use crate::rules::AUDIT_BATCH;
use std::sync::Arc;
use std::time::Duration;
use terrace_store::{AuditEntry, AuditLink, AuditOutcome, BrokenChain, PRUNED, ServerStore, Verifier};
use uuid::Uuid;

fn entry(actor: &str) -> AuditEntry {
    let operation = Some(Uuid::now_v7());
    let stacks = vec!["finance.cash.0@dev".to_owned()];
    AuditEntry { operation, stacks, ..AuditEntry::new(actor, "provision", AuditOutcome::Accepted) }
}

async fn all(store: &Arc<dyn ServerStore>) -> Vec<AuditLink> {
    store.audit_page(0, usize::MAX).await.unwrap().links
}

async fn verified(store: &Arc<dyn ServerStore>) -> Result<u64, BrokenChain> {
    let page = store.audit_page(0, usize::MAX).await.unwrap();
    let mut verifier = Verifier::default();
    page.links.iter().try_for_each(|link| verifier.take(link))?;
    verifier.finish(page.head.as_ref())
}

/// Entries are numbered, stamped by the clock of the store, and chained, also after the store is opened again.
pub async fn chain_of_entries_is_verified(fixture: Fixture) {
    assert_eq!(verified(&fixture.store).await, Ok(0));
    fixture.store.audit(vec![entry("ada \u{1} \0 \u{2028}"), entry("bob")]).await.unwrap();
    fixture.clock.advance(Duration::from_secs(1));
    fixture.store.audit(vec![entry("eve")]).await.unwrap();
    fixture.store.audit(Vec::new()).await.unwrap();
    let store = match &fixture.reopen {
        Some(reopen) => reopen(Arc::clone(&fixture.clock)).await,
        None => Arc::clone(&fixture.store),
    };
    store.audit(vec![entry("joe")]).await.unwrap();
    assert_eq!(verified(&store).await, Ok(4));
    let links = all(&store).await;
    assert_eq!(links.iter().map(|link| link.number).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(links[2].at, fixture.clock.now());
    let first: serde_json::Value = serde_json::from_str(&links[0].entry).unwrap();
    assert_eq!((&first["actor"], &first["number"]), (&"ada \u{1} \0 \u{2028}".into(), &1.into()));
}

/// An event has one entry, also if several processes report it.
pub async fn event_is_recorded_once(fixture: Fixture) {
    let event = |actor: &str, name: &str| entry(actor).of_event(name);
    let audit = |entries| fixture.store.audit(entries);
    assert_eq!(audit(vec![event("ada", "run 1"), event("ada", "run 1"), entry("bob")]).await.unwrap(), 2);
    assert_eq!(audit(vec![event("eve", "run 1"), event("eve", "run 2")]).await.unwrap(), 1);
    assert_eq!(audit(vec![event("eve", "run 1")]).await.unwrap(), 0);
    assert_eq!(verified(&fixture.store).await, Ok(3));
    let actors: Vec<String> = all(&fixture.store)
        .await
        .iter()
        .map(|link| {
            let fields: serde_json::Value = serde_json::from_str(&link.entry).unwrap();
            fields["actor"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(actors, ["ada", "bob", "eve"]);
}

/// Concurrent writers follow each other.
pub async fn concurrent_writers_make_one_chain(fixture: Fixture) {
    let write = |writer: usize| {
        let store = Arc::clone(&fixture.store);
        tokio::spawn(async move {
            for _ in 0..8 {
                store.audit(vec![entry(&format!("writer {writer}"))]).await.unwrap();
            }
        })
    };
    let writers: Vec<_> = (0..4).map(write).collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(verified(&fixture.store).await, Ok(32));
}

/// Pruning removes old entries and anchors the rest.
pub async fn pruned_log_stays_verifiable(fixture: Fixture) {
    let day = Duration::from_secs(24 * 3600);
    assert_eq!(fixture.store.prune_audit(day).await.unwrap(), 0);
    fixture.store.audit(vec![entry("ada"), entry("bob")]).await.unwrap();
    fixture.clock.advance(2 * day);
    fixture.store.audit(vec![entry("eve")]).await.unwrap();
    assert_eq!(fixture.store.prune_audit(day).await.unwrap(), 2);
    assert_eq!(verified(&fixture.store).await, Ok(4));
    assert_eq!(fixture.store.prune_audit(day).await.unwrap(), 0);
    fixture.clock.advance(2 * day);
    // All entries are old.
    assert_eq!(fixture.store.prune_audit(day).await.unwrap(), 2);
    fixture.store.audit(vec![entry("joe")]).await.unwrap();
    assert_eq!(verified(&fixture.store).await, Ok(6));
    let links = all(&fixture.store).await;
    assert!(links.len() == 2 && links[0].entry.contains(PRUNED), "{links:?}");
    // The usual pruning leaves the audit log alone.
    fixture.clock.advance(2 * day);
    fixture.store.prune(day).await.unwrap();
    assert_eq!(all(&fixture.store).await, links);
}

/// Each transaction removes a bounded number of entries, and anchors the rest.
pub async fn long_log_is_pruned_in_batches(fixture: Fixture) {
    let day = Duration::from_secs(24 * 3600);
    let count = AUDIT_BATCH + 1;
    fixture.store.audit((0..count).map(|_| entry("ada")).collect()).await.unwrap();
    fixture.clock.advance(2 * day);
    fixture.store.audit(vec![entry("eve")]).await.unwrap();
    assert_eq!(fixture.store.prune_audit(day).await.unwrap(), count as u64);
    // The entries of the prune are younger.
    assert_eq!(fixture.store.prune_audit(day).await.unwrap(), 0);
    let links = all(&fixture.store).await;
    let anchors: Vec<u64> = links[1..]
        .iter()
        .map(|link| {
            let fields: serde_json::Value = serde_json::from_str(&link.entry).unwrap();
            fields["anchor"]["number"].as_u64().unwrap()
        })
        .collect();
    assert_eq!(anchors, [AUDIT_BATCH as u64, count as u64]);
    assert_eq!(verified(&fixture.store).await, Ok(count as u64 + 3));
    // Two processes may prune at once.
    fixture.clock.advance(2 * day);
    let (one, other) = tokio::join!(fixture.store.prune_audit(day), fixture.store.prune_audit(day));
    assert_eq!(one.unwrap() + other.unwrap(), 3);
    assert!(verified(&fixture.store).await.is_ok());
}

/// Pages follow each other by the number of the last entry.
pub async fn entries_are_read_in_pages(fixture: Fixture) {
    fixture.store.audit((0..5).map(|_| entry("ada")).collect()).await.unwrap();
    let numbers = async |after| {
        let page = fixture.store.audit_page(after, 2).await.unwrap();
        page.links.iter().map(|link| link.number).collect::<Vec<_>>()
    };
    assert_eq!(
        [numbers(0).await, numbers(2).await, numbers(4).await, numbers(5).await],
        [vec![1, 2], vec![3, 4], vec![5], vec![]]
    );
}
