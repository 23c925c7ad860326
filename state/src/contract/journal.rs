//! Journal: steps, operations, logs.

use super::fixture::{Fixture, addresses, delete, demo, intent, put, row};
use std::time::Duration;
use terrace_store::address::StackId;
use terrace_store::{
    Cancelled, Lease, NewOperation, OpenIntent, OperationFilter, OperationStatus, Pruned, Record, Row, Sealed,
    Selection, StepAction, StepResult, StoreError,
};
use uuid::Uuid;

const TERM: Duration = Duration::from_secs(30);

fn outcome(operation: Uuid, step: u32, row: Row, result: StepResult) -> Record {
    let (stack, address) = (row.stack.clone(), row.address.clone());
    let writes = vec![put(row, 0)];
    Record::Outcome { operation, step, stack, address, action: StepAction::Create, result, writes }
}

fn end(operation: Uuid, status: OperationStatus) -> Record {
    Record::End { operation, status, summary: "1 added".to_owned() }
}

impl Fixture {
    /// The operations, newest first.
    async fn operations(&self) -> Vec<Uuid> {
        let all = self.store.operations(&OperationFilter::newest(usize::MAX)).await.unwrap();
        all.into_iter().map(|operation| operation.id).collect()
    }

    async fn open(&self, selection: &Selection) -> Vec<OpenIntent> {
        self.store.open_intents(&demo(), selection).await.unwrap()
    }

    async fn commit_under(&self, leases: &[Lease], records: Vec<Record>) {
        self.store.commit(leases, records).await.unwrap();
    }

    async fn open_under(&self, leases: &[Lease], operation: Uuid, step: u32, name: &str) {
        self.commit_under(leases, vec![Record::Intent(Box::new(intent(operation, step, row(name))))]).await;
    }

    async fn is_orphaned(&self) -> bool {
        let open = self.open(&Selection::All).await;
        assert_eq!(open.len(), 1);
        open[0].is_orphaned
    }

    async fn is_abandoned(&self, operation: Uuid) -> bool {
        self.store.operation(operation).await.unwrap().unwrap().0.is_abandoned
    }
}

/// The whole planned row is available while the outcome is unknown.
pub async fn intent_is_open_until_its_outcome(fixture: Fixture) {
    let operation = fixture.begin().await;
    let leases = fixture.granted(operation, &["api"]).await;
    let mut planned = intent(operation, 3, super::fixture::row_depending_on("api/local_value.a", &["local_value.b"]));
    planned.action = StepAction::Update;
    planned.prior_generation = 4;
    planned.deposes = true;
    fixture.commit_under(&leases, vec![Record::Intent(Box::new(planned.clone()))]).await;
    fixture.clock.advance(Duration::from_secs(7));
    let open = fixture.open(&Selection::All).await;
    assert_eq!((open.len(), open[0].age), (1, Duration::from_secs(7)));
    let started_at = open[0].started_at;
    // A planned row has the generation that it starts from, and the time and operation of its intent.
    let seen = Row { generation: 4, updated_at: started_at, operation, ..planned.row.clone() };
    planned.row = seen;
    assert_eq!(open[0].intent, planned);
    let (_, steps) = fixture.store.operation(operation).await.unwrap().unwrap();
    assert_eq!((steps[0].step, &steps[0].result, steps[0].started_at), (3, &None, started_at));

    fixture.commit_under(&leases, vec![outcome(operation, 3, row("api/local_value.a"), StepResult::Done)]).await;
    assert!(fixture.open(&Selection::All).await.is_empty());
    assert_eq!(fixture.generation("api/local_value.a").await, 1);
    let (_, steps) = fixture.store.operation(operation).await.unwrap().unwrap();
    assert_eq!((steps.len(), steps[0].action, &steps[0].result), (1, StepAction::Update, &Some(StepResult::Done)));
    assert_eq!((steps[0].started_at, steps[0].ended_at.is_some()), (started_at, true));
}

/// Recovery can read the partial results of a call.
pub async fn partial_result_is_stored_with_its_intent(fixture: Fixture) {
    let operation = fixture.begin().await;
    fixture.open_under(&[], operation, 1, "local_value.a").await;
    let partial = |identity: Option<&str>, private: Option<&[u8]>| Record::Partial {
        operation,
        step: 1,
        identity: identity.map(Sealed::from_stored),
        private: private.map(<[u8]>::to_vec),
    };
    fixture.commit_under(&[], vec![partial(Some("{\"id\":7}"), None)]).await;
    fixture.commit_under(&[], vec![partial(None, Some(&[9]))]).await;
    let open = fixture.open(&Selection::All).await;
    assert_eq!((open[0].intent.row.identity.as_str(), open[0].intent.row.private.as_slice()), ("{\"id\":7}", &[9][..]));
    let absent = Record::Partial { operation, step: 2, identity: None, private: None };
    assert!(fixture.store.commit(&[], vec![absent]).await.is_err());
}

/// After a release, a break or an expiry, no operation works on it.
pub async fn intent_is_orphaned_when_its_lease_ends(fixture: Fixture) {
    let operation = fixture.begin().await;
    let leases = fixture.granted(operation, &["api"]).await;
    fixture.open_under(&leases, operation, 1, "api/local_value.a").await;
    assert!(!fixture.is_orphaned().await);
    fixture.clock.advance(TERM);
    assert!(fixture.is_orphaned().await);
    fixture.store.renew(&leases, TERM).await.unwrap();
    assert!(!fixture.is_orphaned().await);
    fixture.store.release(&leases).await.unwrap();
    assert!(fixture.is_orphaned().await);
}

/// Leases on other components do not matter, even of the same holder.
pub async fn intent_under_a_live_lease_is_not_orphaned(fixture: Fixture) {
    let operation = fixture.begin().await;
    let leases = fixture.granted(operation, &["api", "db"]).await;
    fixture.open_under(&leases, operation, 1, "api/local_value.a").await;
    fixture.store.break_lease(&leases[1].id).await.unwrap();
    assert!(!fixture.is_orphaned().await);
    fixture.granted(operation, &["web"]).await;
    fixture.store.break_lease(&leases[0].id).await.unwrap();
    assert!(fixture.is_orphaned().await);
}

/// Not even a later run of the same operation made the call.
pub async fn intent_is_orphaned_when_its_lease_is_granted_again(fixture: Fixture) {
    let operation = fixture.begin().await;
    let leases = fixture.granted(operation, &["api"]).await;
    fixture.open_under(&leases, operation, 1, "api/local_value.a").await;
    fixture.clock.advance(TERM);
    fixture.granted(operation, &["api"]).await;
    assert!(fixture.is_orphaned().await);
}

/// A lease that has ended proves nothing about its holder: it may be suspended, or in the middle of its call.
pub async fn lost_lease_does_not_prove_a_dead_holder(fixture: Fixture) {
    let operation = fixture.begin().await;
    let leases = fixture.granted(operation, &["api"]).await;
    fixture.open_under(&leases, operation, 1, "api/local_value.a").await;
    for pause in [Duration::ZERO, TERM] {
        fixture.clock.advance(pause);
        assert!(!fixture.open(&Selection::All).await[0].is_holder_gone, "after {pause:?}");
    }
    fixture.store.break_lease(&leases[0].id).await.unwrap();
    assert!(!fixture.open(&Selection::All).await[0].is_holder_gone, "its lease was broken");
}

/// Recovery starts with the oldest call.
pub async fn open_intents_are_selected_and_oldest_first(fixture: Fixture) {
    let operation = fixture.begin().await;
    for (step, name) in [(9, "api/local_value.z"), (1, "db/local_value.a"), (5, "api/local_value.a")] {
        fixture.open_under(&[], operation, step, name).await;
        fixture.clock.advance(Duration::from_secs(1));
    }
    let steps = |open: Vec<OpenIntent>| open.into_iter().map(|open| open.intent.step).collect::<Vec<_>>();
    assert_eq!(steps(fixture.open(&Selection::All).await), [9, 1, 5]);
    let api = Selection::Components(["api".into()].into());
    assert_eq!(steps(fixture.open(&api).await), [9, 5]);
    assert_eq!(steps(fixture.open(&addresses(&["db/local_value.a"])).await), [1]);
}

/// A step without remote effect needs no intent.
pub async fn outcome_without_an_intent_opens_and_closes(fixture: Fixture) {
    let operation = fixture.begin().await;
    let failed = StepResult::Failed("no such place".to_owned());
    fixture.commit_under(&[], vec![outcome(operation, 1, row("local_value.a"), failed.clone())]).await;
    let (_, steps) = fixture.store.operation(operation).await.unwrap().unwrap();
    assert_eq!((steps.len(), &steps[0].result), (1, &Some(failed)));
    assert_eq!((&steps[0].stack, &steps[0].address), (&demo(), &super::fixture::address("local_value.a")));
}

/// A step has one intent and one outcome.
pub async fn step_is_closed_once(fixture: Fixture) {
    let operation = fixture.begin().await;
    fixture.open_under(&[], operation, 1, "local_value.a").await;
    let again = Record::Intent(Box::new(intent(operation, 1, row("local_value.b"))));
    assert!(fixture.store.commit(&[], vec![again]).await.is_err());
    let recovered = StepResult::Recovered("it existed".to_owned());
    fixture.commit_under(&[], vec![outcome(operation, 1, row("local_value.a"), recovered.clone())]).await;
    let late = outcome(operation, 1, row("local_value.b"), StepResult::Done);
    assert!(fixture.store.commit(&[], vec![late]).await.is_err());
    let (_, steps) = fixture.store.operation(operation).await.unwrap().unwrap();
    assert_eq!(steps[0].result, Some(recovered));
    assert!(fixture.row("local_value.b").await.is_none());
}

/// An operation has kind, actor, stacks, times, status and summary.
pub async fn operation_is_recorded_from_begin_to_end(fixture: Fixture) {
    let id = Uuid::now_v7();
    let stacks = vec![demo(), terrace_store::address::StackId::new("another", "local")];
    let new = NewOperation { id, kind: "state mv".to_owned(), stacks: stacks.clone(), actor: "jane".to_owned() };
    fixture.store.begin(&new).await.unwrap();
    assert!(fixture.store.begin(&new).await.is_err());
    let (row, _) = fixture.store.operation(id).await.unwrap().unwrap();
    assert_eq!((row.kind.as_str(), row.actor.as_str(), &row.stacks), ("state mv", "jane", &stacks));
    assert_eq!((row.status, row.is_abandoned, row.ended_at), (OperationStatus::Running, false, None));
    fixture.clock.advance(Duration::from_secs(3));
    fixture.commit_under(&[], vec![end(id, OperationStatus::Failed)]).await;
    let (row, _) = fixture.store.operation(id).await.unwrap().unwrap();
    assert_eq!((row.status, row.summary.as_str()), (OperationStatus::Failed, "1 added"));
    assert_eq!(row.ended_at.unwrap().duration_since(row.started_at).as_secs(), 3);
    assert!(fixture.store.operation(Uuid::now_v7()).await.unwrap().is_none());
}

/// A running operation without leases has lost its process.
pub async fn operation_without_leases_is_abandoned(fixture: Fixture) {
    let operation = fixture.begin().await;
    assert!(!fixture.is_abandoned(operation).await, "it has not taken its leases yet");
    let leases = fixture.granted(operation, &["api", "db"]).await;
    assert!(!fixture.is_abandoned(operation).await);
    fixture.store.break_lease(&leases[0].id).await.unwrap();
    assert!(!fixture.is_abandoned(operation).await);
    fixture.clock.advance(TERM);
    assert!(fixture.is_abandoned(operation).await);
    fixture.commit_under(&[], vec![end(operation, OperationStatus::Completed)]).await;
    assert!(!fixture.is_abandoned(operation).await);
}

/// Leases that were taken before the begin count, too.
pub async fn operation_may_take_leases_before_it_begins(fixture: Fixture) {
    let id = Uuid::now_v7();
    fixture.granted(id, &["api"]).await;
    let new = NewOperation { id, kind: "apply".to_owned(), stacks: vec![demo()], actor: "jane".to_owned() };
    fixture.store.begin(&new).await.unwrap();
    assert!(!fixture.is_abandoned(id).await);
    fixture.clock.advance(TERM);
    assert!(fixture.is_abandoned(id).await);
}

/// The list has at most `limit` operations.
pub async fn operations_are_listed_newest_first(fixture: Fixture) {
    let mut begun = Vec::new();
    for _ in 0..3 {
        begun.push(fixture.begin().await);
        fixture.clock.advance(Duration::from_secs(1));
    }
    begun.reverse();
    let listed = fixture.store.operations(&OperationFilter::newest(2)).await.unwrap();
    assert_eq!(listed.iter().map(|row| row.id).collect::<Vec<_>>(), begun[..2]);
    assert_eq!(listed[0].stacks, [demo()]);
    assert_eq!(fixture.store.operations(&OperationFilter::newest(usize::MAX)).await.unwrap().len(), 3);
}

/// By kind, by stack, and before another operation.
pub async fn operations_are_listed_by_filter(fixture: Fixture) {
    let other = StackId::new("other", "local");
    let mut begun = Vec::new();
    for (kind, stacks) in
        [("apply", vec![demo()]), ("drift", vec![other.clone(), demo()]), ("apply", vec![other.clone()])]
    {
        let id = Uuid::now_v7();
        let operation = NewOperation { id, kind: kind.to_owned(), stacks, actor: "jane".to_owned() };
        fixture.store.begin(&operation).await.unwrap();
        begun.push(id);
    }
    let all = || OperationFilter::newest(9);
    let nowhere = StackId::new("nowhere", "local");
    for (which, expected) in [
        (OperationFilter { kind: Some("apply".to_owned()), ..all() }, vec![begun[2], begun[0]]),
        (OperationFilter { stack: Some(demo()), ..all() }, vec![begun[1], begun[0]]),
        (OperationFilter { stack: Some(other.clone()), kind: Some("drift".to_owned()), ..all() }, vec![begun[1]]),
        (OperationFilter { before: Some(begun[2]), ..all() }, vec![begun[1], begun[0]]),
        (OperationFilter { before: Some(begun[2]), limit: 1, ..all() }, vec![begun[1]]),
        (OperationFilter { stack: Some(nowhere), ..all() }, Vec::new()),
        (OperationFilter { before: Some(Uuid::now_v7()), ..all() }, Vec::new()),
    ] {
        let found: Vec<Uuid> = fixture.store.operations(&which).await.unwrap().iter().map(|row| row.id).collect();
        assert_eq!(found, expected, "{which:?}");
    }
}

/// Newest first, with their stacks. An operation of a dead process has not ended.
pub async fn unended_operations_are_listed(fixture: Fixture) {
    let (ended, gone, working) = (fixture.begin().await, fixture.begin().await, fixture.begin().await);
    let end = |operation| Record::End { operation, status: OperationStatus::Completed, summary: String::new() };
    fixture.store.commit(&[], vec![end(ended)]).await.unwrap();
    let unended = fixture.store.unended_operations().await.unwrap();
    assert_eq!(unended.iter().map(|row| row.id).collect::<Vec<_>>(), [working, gone]);
    assert_eq!(unended, fixture.store.operations(&OperationFilter::newest(2)).await.unwrap());
}

/// Sorted, with both bounds, up to the limit.
pub async fn operations_are_found_by_a_range_of_ids(fixture: Fixture) {
    let ids = [0x0192_0000_u128, 0x0192_00ff, 0x0193_0000].map(|beginning| Uuid::from_u128(beginning << 96 | 7));
    for id in ids {
        let (kind, actor) = ("apply".to_owned(), "jane".to_owned());
        fixture.store.begin(&NewOperation { id, kind, stacks: vec![demo()], actor }).await.unwrap();
    }
    let within = |first: Uuid, last: Uuid, limit| fixture.store.operation_ids(first..=last, limit);
    let (first, last) = (Uuid::from_u128(0x0192 << 112), Uuid::from_u128((0x0193 << 112) - 1));
    assert_eq!(within(first, last, 9).await.unwrap(), ids[..2]);
    assert_eq!(within(first, last, 1).await.unwrap(), ids[..1]);
    assert_eq!(within(ids[1], ids[2], 9).await.unwrap(), ids[1..]);
    assert!(within(Uuid::nil(), first, 9).await.unwrap().is_empty());
}

/// Lines with the same time keep the order of their writes.
pub async fn log_keeps_its_order(fixture: Fixture) {
    let (operation, other) = (fixture.begin().await, fixture.begin().await);
    let line = |operation, message: &str| Record::Log {
        operation,
        level: "INFO".to_owned(),
        phase: "apply".to_owned(),
        message: message.to_owned(),
    };
    let lines = vec![line(operation, "b"), line(other, "x"), line(operation, "a")];
    fixture.commit_under(&[], lines).await;
    fixture.commit_under(&[], vec![line(operation, "c")]).await;
    let logs = fixture.store.logs(operation, 0).await.unwrap();
    assert_eq!(logs.iter().map(|line| line.message.as_str()).collect::<Vec<_>>(), ["b", "a", "c"]);
    assert_eq!((logs[0].level.as_str(), logs[0].phase.as_str()), ("INFO", "apply"));
    assert_eq!(logs[0].at, super::fixture::start_of_time());
    assert_eq!(fixture.store.logs(operation, 1).await.unwrap(), logs[1..]);
    assert!(fixture.store.logs(operation, 3).await.unwrap().is_empty());
}

/// The store refuses records of an operation that has not begun.
pub async fn unknown_operation_cannot_write(fixture: Fixture) {
    let operation = Uuid::now_v7();
    for record in [
        Record::Intent(Box::new(intent(operation, 1, row("local_value.a")))),
        outcome(operation, 1, row("local_value.a"), StepResult::Done),
        end(operation, OperationStatus::Completed),
    ] {
        let result = fixture.store.commit(&[], vec![record]).await;
        assert!(matches!(result, Err(StoreError::Unavailable { .. })), "{result:?}");
    }
    assert!(fixture.row("local_value.a").await.is_none());
}

/// Only a running operation can be cancelled; the request is visible until it ends.
pub async fn running_operation_is_cancelled(fixture: Fixture) {
    let (cancelled, other) = (fixture.begin().await, fixture.begin().await);
    let store = &fixture.store;
    assert_eq!(store.request_cancel(cancelled, "jane").await.unwrap(), Some(Cancelled::Notified));
    assert_eq!(store.request_cancel(cancelled, "joe").await.unwrap(), Some(Cancelled::Notified));
    let by = |operation| async move { store.operation(operation).await.unwrap().unwrap().0.cancelled_by };
    assert_eq!((by(cancelled).await.as_deref(), by(other).await), (Some("jane"), None));
    assert!(store.is_cancel_requested(cancelled).await.unwrap());
    assert!(!store.is_cancel_requested(other).await.unwrap());
    fixture.commit_under(&[], vec![end(other, OperationStatus::Completed)]).await;
    assert_eq!(store.request_cancel(other, "jane").await.unwrap(), None);
    assert_eq!(store.request_cancel(Uuid::now_v7(), "jane").await.unwrap(), None);
}

/// Current, newest, open and recently replaced versions stay, however old they are.
pub async fn old_versions_and_operations_are_pruned(fixture: Fixture) {
    let (first, second, open) = (fixture.begin().await, fixture.begin().await, fixture.begin().await);
    fixture.write_as(first, vec![put(row("local_value.a"), 0), put(row("local_value.gone"), 0)]).await.unwrap();
    fixture.write_as(first, vec![put(row("local_value.a"), 1), delete("local_value.gone", 1)]).await.unwrap();
    fixture.commit_under(&[], vec![end(first, OperationStatus::Completed)]).await;
    fixture.open_under(&[], open, 1, "local_value.b").await;
    fixture.commit_under(&[], vec![end(open, OperationStatus::Failed)]).await;
    assert_eq!(fixture.store.prune(Duration::from_secs(3600)).await.unwrap(), Pruned::default());
    fixture.clock.advance(Duration::from_secs(7200));
    fixture.write_as(second, vec![put(row("local_value.a"), 2)]).await.unwrap();
    let pruned = fixture.store.prune(Duration::from_secs(3600)).await.unwrap();
    assert_eq!(pruned, Pruned { versions: 2, operations: 1 });
    let history = fixture.store.history(&demo(), &row("local_value.a").address).await.unwrap();
    assert_eq!(history.iter().map(|entry| entry.generation).collect::<Vec<_>>(), [3, 2]);
    let ids = fixture.operations().await;
    assert!(ids.contains(&open) && !ids.contains(&first), "{ids:?}");
    // Generations continue where they were.
    fixture.write(vec![put(row("local_value.gone"), 0)]).await.unwrap();
    assert_eq!(fixture.generation("local_value.gone").await, 3);
}

/// No process will ever end an abandoned operation; only an open step still needs it.
pub async fn abandoned_operation_without_open_steps_is_pruned(fixture: Fixture) {
    let (gone, open, live) = (fixture.begin().await, fixture.begin().await, fixture.begin().await);
    fixture.granted(gone, &["api"]).await;
    let leases = fixture.granted(open, &["db"]).await;
    fixture.open_under(&leases, open, 1, "db/local_value.a").await;
    fixture.clock.advance(TERM * 2);
    fixture.granted(live, &["web"]).await;
    assert_eq!(fixture.store.prune(TERM * 4).await.unwrap(), Pruned::default(), "it is not old enough");
    assert_eq!(fixture.store.prune(TERM).await.unwrap(), Pruned { versions: 0, operations: 1 });
    let ids = fixture.operations().await;
    assert_eq!(ids, [live, open]);
}
