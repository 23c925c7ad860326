//! What is told while a plan is applied: whatever the threads do, nothing begins before what it waits for is done.

use crate::support::Story;
use crate::support::story::stack;
use crate::support::troubled::{Break, TroubledStore};
use std::sync::{Arc, Mutex};
use terrace_engine::apply::Applier;
use terrace_engine::event::{Event, Events};
use terrace_engine::plan::Plan;
use uuid::Uuid;

/// Writes down what is told of steps.
#[derive(Default)]
struct Listener(Mutex<Vec<String>>);

impl Events for Listener {
    fn take(&self, event: Event) {
        let line = match event {
            Event::StepStarted { address, .. } => format!("begins {}", address.name),
            Event::StepDone { address, .. } => format!("done {}", address.name),
            Event::StepFailed { address, .. } => format!("fails {}", address.name),
            _ => return,
        };
        self.0.lock().unwrap().push(line);
    }
}

/// Applies a plan, and answers with what was told.
async fn told(story: &Story, plan: &Plan) -> Vec<String> {
    let listener = Arc::new(Listener::default());
    let applier = Applier { events: listener.clone(), ..story.applier() };
    applier.apply(plan, Uuid::now_v7()).await.unwrap();
    listener.0.lock().unwrap().clone()
}

/// How often threads get a chance to overtake each other: one in some tens took it before the order was kept.
const TIMES: usize = 500;

async fn is_always_told(text: &str, expected: &[&str]) {
    for _ in 0..TIMES {
        let story = Story::new();
        assert_eq!(told(&story, &story.plan(text).await).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn nothing_is_told_to_begin_before_what_it_waits_for_is_told_to_be_done() {
    let text = stack(
        "- {type: world_note, name: n, config: {key: n}}
         - {type: world_thing, name: a, dependsOn: [n], config: {key: a}}
         - {type: world_note, name: o, dependsOn: [a], config: {key: o}}
         - {type: world_thing, name: b, dependsOn: [o], config: {key: b}}
         - {type: world_thing, name: c, dependsOn: [b], config: {key: c}}",
    );
    let lines = ["done n", "begins a", "done a", "done o", "begins b", "done b", "begins c", "done c"];
    is_always_told(&text, &lines).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn nothing_is_told_to_be_read_or_to_fail_before_what_it_waits_for_is_told_to_be_done() {
    let text = stack(
        "- {type: world_thing, name: a, config: {key: a}}
         - {type: world_thing, name: b, config: {key: b, val: '${{ data.it.id }}'}, checks: [
             {when: pre, assert: '${{ resources.a.id == \"none\" }}', error: another one}]}\n",
    ) + "data:\n  - {type: world_thing, name: it, config: {key: '${{ resources.a.key + resources.a.id.substring(0, 0) }}'}}\n";
    is_always_told(&text, &["begins a", "done a", "begins it", "done it", "fails b"]).await;
}

#[tokio::test]
async fn nothing_is_told_to_be_done_that_is_not_on_record() {
    let text = stack(
        "- {type: world_note, name: n, config: {key: n}}
         - {type: world_thing, name: a, dependsOn: [n], config: {key: a}}
         - {type: world_thing, name: b, dependsOn: [a], config: {key: b}}",
    );
    for at in 0.. {
        let story = Story::new();
        let plan = story.plan(&text).await;
        let breaking = TroubledStore::breaking(Arc::clone(&story.store), at, Break::FailsBefore);
        let listener = Arc::new(Listener::default());
        let applier = Applier { events: listener.clone(), store: breaking.clone(), ..story.applier() };
        let applied = applier.apply(&plan, Uuid::now_v7()).await;
        if !breaking.is_reached() {
            assert!(at > 3, "there are more writes than that");
            break;
        }
        assert!(applied.is_err(), "write {at}");
        let lines = listener.0.lock().unwrap().clone();
        let rows = story.rows().await;
        let done: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("done ")).collect();
        let is_recorded = |name: &&str| rows.iter().any(|row| row.ends_with(&format!(".{name}")));
        assert!(done.iter().all(is_recorded) && done.len() == rows.len(), "write {at}: {done:?}, {rows:?}");
    }
}
