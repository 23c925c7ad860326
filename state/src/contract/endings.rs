//! Ends of operations: once, and by the right process.

use super::fixture::{Fixture, demo};
use std::time::Duration;
use terrace_store::{Lease, NewOperation, OperationRow, OperationStatus, Record, RequestClaim, RequestEnd};
use uuid::Uuid;

const TERM: Duration = Duration::from_secs(30);

impl Fixture {
    async fn end(&self, leases: &[Lease], operation: Uuid, status: OperationStatus) {
        let end = Record::End { operation, status, summary: format!("{status:?}") };
        self.store.commit(leases, vec![end]).await.unwrap();
    }

    async fn ended(&self, operation: Uuid) -> OperationRow {
        self.store.operation(operation).await.unwrap().unwrap().0
    }

    /// Claims the next request, and starts to work on a component of it.
    async fn resume(&self, id: Uuid, component: &str) -> (RequestClaim, Vec<Lease>) {
        let claim = self.claim().await.unwrap();
        let new = NewOperation { id, kind: "provision".to_owned(), stacks: vec![demo()], actor: "jane".to_owned() };
        self.store.begin(&new).await.unwrap();
        (claim, self.granted(id, &[component]).await)
    }
}

/// A later end, as of a process that was suspended meanwhile, does not count.
pub async fn operation_ends_once(fixture: Fixture) {
    let operation = fixture.begin().await;
    let leases = fixture.granted(operation, &["api"]).await;
    fixture.end(&leases, operation, OperationStatus::Completed).await;
    let ended = fixture.ended(operation).await;
    assert_eq!((ended.status, ended.summary.as_str()), (OperationStatus::Completed, "Completed"));
    fixture.clock.advance(Duration::from_secs(3));
    for leases in [&[], leases.as_slice()] {
        fixture.end(leases, operation, OperationStatus::Failed).await;
        assert_eq!(fixture.ended(operation).await, ended);
    }
}

/// A user broke its leases. Its end is recorded anyway: no other process would record it.
pub async fn operation_without_a_request_ends_without_its_leases(fixture: Fixture) {
    let operation = fixture.begin().await;
    let leases = fixture.granted(operation, &["api", "db"]).await;
    fixture.store.break_lease(&leases[0].id).await.unwrap();
    let end = Record::End { operation, status: OperationStatus::Failed, summary: String::new() };
    assert!(fixture.store.commit(&leases, vec![end]).await.is_err());
    fixture.end(&[], operation, OperationStatus::Failed).await;
    assert_eq!(fixture.ended(operation).await.status, OperationStatus::Failed);
}

/// Neither its worker, which may plan again, nor its former worker, nor a recovery ends it.
pub async fn operation_of_a_request_ends_with_the_request(fixture: Fixture) {
    let operation = fixture.enqueue("api", "a").await;
    let (_, lost) = fixture.resume(operation, "api").await;
    fixture.clock.advance(TERM);
    let recovering = fixture.begin().await;
    let recovered = fixture.granted(recovering, &["api"]).await;
    fixture.end(&recovered, operation, OperationStatus::Interrupted).await;
    fixture.store.release(&recovered).await.unwrap();
    let (claim, own) = fixture.resume(operation, "api").await;
    let end = Record::End { operation, status: OperationStatus::Failed, summary: String::new() };
    assert!(fixture.store.commit(&lost, vec![end]).await.is_err());
    for leases in [&[], own.as_slice()] {
        fixture.end(leases, operation, OperationStatus::Failed).await;
        let row = fixture.ended(operation).await;
        assert_eq!((row.status, row.ended_at, row.is_requested), (OperationStatus::Running, None, true));
    }
    fixture.store.release(&own).await.unwrap();
    let (status, summary, result) = (OperationStatus::Completed, "1 added".to_owned(), "{}".to_owned());
    fixture.store.finish(&claim, &RequestEnd { status, summary, result, keeps_body: false }).await.unwrap();
    fixture.end(&[], operation, OperationStatus::Failed).await;
    let row = fixture.ended(operation).await;
    assert_eq!((row.status, row.summary.as_str(), row.is_requested), (OperationStatus::Completed, "1 added", false));
}

/// Between two attempts it has no leases.
pub async fn operation_of_an_unclaimed_request_is_abandoned(fixture: Fixture) {
    let operation = fixture.enqueue("api", "a").await;
    let (_, leases) = fixture.resume(operation, "api").await;
    fixture.store.release(&leases).await.unwrap();
    assert!(!fixture.ended(operation).await.is_abandoned);
    fixture.clock.advance(TERM);
    assert!(fixture.ended(operation).await.is_abandoned);
    let claim = fixture.claim().await.unwrap();
    assert!(!fixture.ended(operation).await.is_abandoned, "it was claimed again");
    fixture.store.release_claim(&claim, TERM).await.unwrap();
    fixture.clock.advance(TERM);
    assert!(!fixture.ended(operation).await.is_abandoned, "it was released, and waits for its next claim");
    fixture.clock.advance(TERM * 2);
    assert!(fixture.ended(operation).await.is_abandoned, "no worker claimed it");
}
