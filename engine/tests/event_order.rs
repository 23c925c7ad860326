//! Events during apply: with any thread timing, no step starts before its dependencies are done.

use crate::support::Story;
use crate::support::faulty_store::{Break, FaultyStore};
use crate::support::story::stack;
use std::sync::{Arc, Mutex};
use terrace_engine::apply::Applier;
use terrace_engine::event::{Event, Events};
use terrace_engine::plan::Plan;
use uuid::Uuid;

/// Records the events of steps.
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

/// Applies a plan and returns the recorded events.
async fn events_of(story: &Story, plan: &Plan) -> Vec<String> {
    let listener = Arc::new(Listener::default());
    let applier = Applier { events: listener.clone(), ..story.applier() };
    applier.apply(plan, Uuid::now_v7()).await.unwrap();
    listener.0.lock().unwrap().clone()
}

/// Number of runs, for thread races: before events were ordered, about one run in some tens failed.
const TIMES: usize = 500;

async fn check_events(text: &str, expected: &[&str]) {
    for _ in 0..TIMES {
        let story = Story::new();
        assert_eq!(events_of(&story, &story.plan(text).await).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn step_start_is_reported_after_its_dependencies_are_done() {
    let text = stack(
        "- {type: world_note, name: n, config: {key: n}}
         - {type: world_thing, name: a, dependsOn: [n], config: {key: a}}
         - {type: world_note, name: o, dependsOn: [a], config: {key: o}}
         - {type: world_thing, name: b, dependsOn: [o], config: {key: b}}
         - {type: world_thing, name: c, dependsOn: [b], config: {key: c}}",
    );
    let lines = ["done n", "begins a", "done a", "done o", "begins b", "done b", "begins c", "done c"];
    check_events(&text, &lines).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn lookup_or_failure_is_reported_after_its_dependencies_are_done() {
    let text = stack(
        "- {type: world_thing, name: a, config: {key: a}}
         - {type: world_thing, name: b, config: {key: b, val: '${{ data.it.id }}'}, checks: [
             {when: pre, assert: '${{ resources.a.id == \"none\" }}', error: another one}]}\n",
    ) + "data:\n  - {type: world_thing, name: it, config: {key: '${{ resources.a.key + resources.a.id.substring(0, 0) }}'}}\n";
    check_events(&text, &["begins a", "done a", "begins it", "done it", "fails b"]).await;
}

#[tokio::test]
async fn step_is_reported_done_only_if_it_is_recorded() {
    let text = stack(
        "- {type: world_note, name: n, config: {key: n}}
         - {type: world_thing, name: a, dependsOn: [n], config: {key: a}}
         - {type: world_thing, name: b, dependsOn: [a], config: {key: b}}",
    );
    for at in 0.. {
        let story = Story::new();
        let plan = story.plan(&text).await;
        let breaking = FaultyStore::breaking(Arc::clone(&story.store), at, Break::FailsBefore);
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
