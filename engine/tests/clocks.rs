//! Clock jumps: an operation goes on under expired leases as long as no other operation took them.

use crate::support::Story;
use crate::support::story::stack;
use crate::support::world::Fault;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use terrace_engine::address::StackId;
use terrace_engine::apply::{Applier, ApplyError};
use terrace_engine::event::{Event, Events};
use terrace_engine::recover::{RECOVER, end_interrupted};
use terrace_engine::store::{Acquired, Lease, LeaseRequest, NewOperation, OperationStatus, Record, StoreError};
use terrace_state::{Clock, ManualClock, SystemClock, in_memory};
use uuid::Uuid;

/// Advances the store's clock by an hour whenever a step starts.
struct Jumps(Arc<ManualClock>);

impl Events for Jumps {
    fn take(&self, event: Event) {
        if matches!(event, Event::StepStarted { .. }) {
            self.0.advance(Duration::from_secs(3_600));
        }
    }
}

#[tokio::test]
async fn apply_continues_under_expired_untaken_leases() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let story = Story::on(in_memory(Arc::<ManualClock>::clone(&clock)).unwrap());
    let text = stack(
        "- {type: world_thing, name: a, config: {key: a}}
         - {type: world_thing, name: b, config: {key: b, val: '${{ resources.a.id }}'}}",
    );
    let plan = story.plan(&text).await;
    let applier = Applier { events: Arc::new(Jumps(clock)), ..story.applier() };
    let report = applier.apply(&plan, Uuid::now_v7()).await.unwrap();
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    assert_eq!(story.log(), ["create a", "create b"]);
    story.check_second_plan(&text).await;
}

#[tokio::test]
async fn apply_writes_many_records_under_expired_untaken_leases() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let story = Story::on(in_memory(Arc::<ManualClock>::clone(&clock)).unwrap());
    let after = "dependsOn: [a]";
    let notes: String = (0..100)
        .map(|number| format!("\n- {{type: world_note, name: n{number}, {after}, config: {{key: n{number}}}}}"))
        .collect();
    let things = format!(
        "- {{type: world_thing, name: a, config: {{key: a}}}}\n- {{type: world_thing, name: b, {after}, config: {{key: b}}}}"
    );
    let text = stack(&(things + &notes));
    let plan = story.plan(&text).await;
    let applier = Applier { events: Arc::new(Jumps(clock)), ..story.applier() };
    let report = applier.apply(&plan, Uuid::now_v7()).await.unwrap();
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    assert_eq!(story.log(), ["create a", "create b"]);
    assert_eq!(story.rows().await.len(), 102);
}

/// Longer than the term of a lease.
const STALL: Duration = Duration::from_secs(40);

/// An operation whose first call outlasts the leases by this process's clock, while nothing renews them.
fn stalled(story: &Story) -> Uuid {
    story.fault("create a", Fault::Late(STALL));
    Uuid::now_v7()
}

/// Two components; the second depends on the first.
const TWO: &str = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: demo}\ncomponents:\n  \
    x: {resources: [{type: world_thing, name: a, config: {key: a}}]}\n  \
    y: {resources: [{type: world_thing, name: b, config: {key: b}}], dependsOn: [x]}\n";

#[tokio::test(start_paused = true)]
async fn apply_continues_after_a_stall_with_untaken_leases() {
    let story = Story::new();
    let plan = story.plan(TWO).await;
    let operation = stalled(&story);
    let report = story.applier().apply(&plan, operation).await.unwrap();
    assert!(report.failed.is_empty() && report.not_started.is_empty(), "{report:?}");
    assert_eq!(story.log(), ["create a", "create b"]);
    assert_eq!(story.store.operation(operation).await.unwrap().unwrap().0.status, OperationStatus::Completed);
    assert!(story.store.leases().await.unwrap().is_empty());
    story.check_second_plan(TWO).await;
}

#[tokio::test(start_paused = true)]
async fn apply_continues_after_a_stall_of_all_clocks() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let story = Story::on(in_memory(Arc::<ManualClock>::clone(&clock)).unwrap());
    let plan = story.plan(TWO).await;
    let applier = Applier { events: Arc::new(Jumps(clock)), ..story.applier() };
    let report = applier.apply(&plan, stalled(&story)).await.unwrap();
    assert!(report.failed.is_empty() && report.not_started.is_empty(), "{report:?}");
    assert_eq!(story.log(), ["create a", "create b"]);
}

/// No step starts before the engine knows whether it holds its leases, not even one of another component.
#[tokio::test(start_paused = true)]
async fn apply_starts_nothing_after_a_stall_with_a_lost_lease() {
    for taken in ["x", "y"] {
        let story = Story::new();
        let plan = story.plan(TWO).await;
        let (applier, operation) = (story.applier(), stalled(&story));
        let takes = async {
            tokio::time::sleep(STALL - Duration::from_secs(5)).await;
            take(&story, taken).await;
        };
        let (applied, ()) = tokio::join!(applier.apply(&plan, operation), takes);
        let error = applied.unwrap_err();
        let lost = "of demo@test was lost: another operation took it over, or a user broke it";
        assert_eq!(error.to_string(), format!("the lease on component `{taken}` {lost}"));
        assert_eq!(story.log(), ["create a"], "{taken}");
        let (ended, _) = story.store.operation(operation).await.unwrap().unwrap();
        assert_eq!((ended.status, ended.summary), (OperationStatus::Failed, error.to_string()));
    }
}

/// Another operation has recorded the outcome meanwhile.
#[tokio::test(start_paused = true)]
async fn apply_with_lost_leases_keeps_the_recorded_end() {
    let story = Story::new();
    let plan = story.plan(TWO).await;
    let (applier, operation) = (story.applier(), stalled(&story));
    let takes = async {
        tokio::time::sleep(STALL - Duration::from_secs(5)).await;
        let leases = take(&story, "x").await;
        let end = Record::End { operation, status: OperationStatus::Interrupted, summary: "cut off".to_owned() };
        story.store.commit(&leases, vec![end]).await.unwrap();
    };
    let (applied, ()) = tokio::join!(applier.apply(&plan, operation), takes);
    assert!(matches!(applied, Err(ApplyError::Store(StoreError::LeaseLost { .. }))), "{applied:?}");
    let (ended, _) = story.store.operation(operation).await.unwrap().unwrap();
    assert_eq!((ended.status, ended.summary.as_str()), (OperationStatus::Interrupted, "cut off"));
}

/// Takes a lease from its holder, as expiry does.
async fn take(story: &Story, component: &str) -> Vec<Lease> {
    let held = story.store.leases().await.unwrap();
    let held = held.into_iter().find(|lease| lease.component == component).unwrap();
    story.administration.break_lease(&held.id).await.unwrap();
    take_as(story, Uuid::now_v7(), component).await
}

/// Acquires the free lease of a component.
async fn take_as(story: &Story, operation: Uuid, component: &str) -> Vec<Lease> {
    let request = LeaseRequest {
        components: BTreeSet::from([(StackId::new("demo", "test"), component.into())]),
        operation,
        holder: "another one".to_owned(),
        term: Duration::from_secs(30),
    };
    match story.store.acquire(&request).await.unwrap() {
        Acquired::Granted(leases) => leases,
        Acquired::Held(held) => panic!("{held:?}"),
    }
}

#[tokio::test]
async fn abandoned_recovery_is_ended_but_abandoned_apply_is_not() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let story = Story::on(in_memory(Arc::<ManualClock>::clone(&clock)).unwrap());
    let store = story.store.as_ref();
    for (kind, component) in [("apply", "x"), (RECOVER, "y")] {
        let id = Uuid::now_v7();
        let stacks = vec![StackId::new("demo", "test")];
        store.begin(&NewOperation { id, kind: kind.to_owned(), stacks, actor: "jane".to_owned() }).await.unwrap();
        take_as(&story, id, component).await;
    }
    clock.advance(STALL);
    let abandoned = store.unended_operations().await.unwrap();
    assert!(abandoned.len() == 2 && abandoned.iter().all(|operation| operation.is_abandoned), "{abandoned:?}");
    let ended = end_interrupted(store, |_| true).await.unwrap();
    assert_eq!(ended.iter().map(|operation| operation.kind.as_str()).collect::<Vec<_>>(), [RECOVER]);
    assert_eq!(store.unended_operations().await.unwrap().len(), 1);
}
