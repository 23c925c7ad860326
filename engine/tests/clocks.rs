//! Clocks that jump: whoever works goes on with what nobody took from it.

use crate::support::Story;
use crate::support::story::stack;
use crate::support::world::Fault;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use terrace_engine::address::StackId;
use terrace_engine::apply::{Applier, ApplyError};
use terrace_engine::event::{Event, Events};
use terrace_engine::recover::{RECOVER, end_cut_off};
use terrace_engine::store::{Acquired, Lease, LeaseRequest, NewOperation, OperationStatus, Record, StoreError};
use terrace_state::{Clock, ManualClock, MemoryStore, SystemClock};
use uuid::Uuid;

/// Lets an hour pass for the store's clock each time that something is called.
struct Jumps(Arc<ManualClock>);

impl Events for Jumps {
    fn take(&self, event: Event) {
        if matches!(event, Event::StepStarted { .. }) {
            self.0.advance(Duration::from_secs(3_600));
        }
    }
}

#[tokio::test]
async fn an_apply_goes_on_under_leases_that_the_clock_ended_and_nobody_took() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let story = Story::on(Arc::new(MemoryStore::with_clock(Arc::<ManualClock>::clone(&clock))));
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
async fn however_much_is_written_at_once_it_is_written_under_a_lease_that_nobody_took() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let story = Story::on(Arc::new(MemoryStore::with_clock(Arc::<ManualClock>::clone(&clock))));
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

/// Longer than a lease lasts unless it is renewed.
const STALL: Duration = Duration::from_secs(40);

/// An operation whose first call lasts that long by the clock of this process, while nobody renews anything.
fn stalled(story: &Story) -> Uuid {
    story.fault("create a", Fault::Late(STALL));
    Uuid::now_v7()
}

/// Two components, one after the other.
const TWO: &str = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: demo}\ncomponents:\n  \
    x: {resources: [{type: world_thing, name: a, config: {key: a}}]}\n  \
    y: {resources: [{type: world_thing, name: b, config: {key: b}}], dependsOn: [x]}\n";

#[tokio::test(start_paused = true)]
async fn an_apply_goes_on_after_a_stall_in_which_nobody_took_its_leases() {
    let story = Story::new();
    let plan = story.plan(TWO).await;
    let operation = stalled(&story);
    let report = story.applier().apply(&plan, operation).await.unwrap();
    assert!(report.failed.is_empty() && report.not_begun.is_empty(), "{report:?}");
    assert_eq!(story.log(), ["create a", "create b"]);
    assert_eq!(story.store.operation(operation).await.unwrap().unwrap().0.status, OperationStatus::Completed);
    assert!(story.store.leases().await.unwrap().is_empty());
    story.check_second_plan(TWO).await;
}

#[tokio::test(start_paused = true)]
async fn an_apply_goes_on_after_a_stall_by_all_clocks_in_which_nobody_took_its_leases() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let story = Story::on(Arc::new(MemoryStore::with_clock(Arc::<ManualClock>::clone(&clock))));
    let plan = story.plan(TWO).await;
    let applier = Applier { events: Arc::new(Jumps(clock)), ..story.applier() };
    let report = applier.apply(&plan, stalled(&story)).await.unwrap();
    assert!(report.failed.is_empty() && report.not_begun.is_empty(), "{report:?}");
    assert_eq!(story.log(), ["create a", "create b"]);
}

/// Nothing starts before it is known whether they are still held, not even what is about another component.
#[tokio::test(start_paused = true)]
async fn an_apply_starts_nothing_after_a_stall_in_which_somebody_took_a_lease() {
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
        let lost = "of demo@test was lost: another operation has it, or it was taken away";
        assert_eq!(error.to_string(), format!("the lease on component `{taken}` {lost}"));
        assert_eq!(story.log(), ["create a"], "{taken}");
        let (ended, _) = story.store.operation(operation).await.unwrap().unwrap();
        assert_eq!((ended.status, ended.summary), (OperationStatus::Failed, error.to_string()));
    }
}

/// Somebody else has found out by then what became of it.
#[tokio::test(start_paused = true)]
async fn an_apply_that_lost_its_leases_leaves_the_end_that_another_one_wrote() {
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

/// Takes a lease away from whoever has it, as time does.
async fn take(story: &Story, component: &str) -> Vec<Lease> {
    let held = story.store.leases().await.unwrap();
    let held = held.into_iter().find(|lease| lease.component == component).unwrap();
    story.store.break_lease(&held.id).await.unwrap();
    take_as(story, Uuid::now_v7(), component).await
}

/// Takes the lease of a component that nobody has.
async fn take_as(story: &Story, operation: Uuid, component: &str) -> Vec<Lease> {
    let request = LeaseRequest {
        components: BTreeSet::from([(StackId::new("demo", "test"), component.to_owned())]),
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
async fn what_may_merely_stand_still_is_not_ended_by_others_but_for_a_recovery() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let story = Story::on(Arc::new(MemoryStore::with_clock(Arc::<ManualClock>::clone(&clock))));
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
    let ended = end_cut_off(store, |_| true).await.unwrap();
    assert_eq!(ended.iter().map(|operation| operation.kind.as_str()).collect::<Vec<_>>(), [RECOVER]);
    assert_eq!(store.unended_operations().await.unwrap().len(), 1);
}
