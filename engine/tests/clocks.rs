//! Clocks that jump: whoever works goes on with what nobody took from it.

use crate::support::Story;
use crate::support::story::stack;
use std::sync::Arc;
use std::time::Duration;
use terrace_engine::apply::Applier;
use terrace_engine::event::{Event, Events};
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
