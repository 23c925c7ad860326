//! Steps in doubt, and the changes that wait for their resolution.

use crate::failure::crash_while;
use crate::support::Story;
use crate::support::story::{keys, stack, summary};
use crate::support::world::Fault;
use terrace_engine::apply::ApplyError;
use terrace_engine::store::{OperationStatus, StoreError};
use terrace_provider::ErrorKind;
use uuid::Uuid;

mod held;

fn one(ty: &str, val: &str) -> String {
    stack(&format!("- {{type: {ty}, name: a, config: {{key: a, val: {val}}}}}"))
}

/// Two components: the first has a thing whose calls settle late.
fn two(first: &str) -> String {
    format!(
        "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: demo}}\ncomponents:\n{first}  y:\n    resources:\n\
         \x20     - {{type: world_thing, name: c, config: {{key: c}}}}\n"
    )
}

const SLOW: &str = "  x:\n    resources:
      - {type: world_slow, name: a, config: {key: a}}
      - {type: world_thing, name: b, dependsOn: [a], config: {key: b}}\n";

#[tokio::test]
async fn lost_update_of_an_unreadable_object_is_resolved_by_a_search() {
    for (fault, again) in [(Fault::HangAfter, &[] as &[&str]), (Fault::HangBefore, &["update a"])] {
        let story = Story::new();
        story.apply(&one("world_told", "1")).await;
        crash_while(&story, &one("world_told", "2"), "update a", fault).await;
        story.end_processes().await;
        let recovered = story.recover().await;
        assert!(recovered.iter().all(|step| !step.is_in_doubt), "{recovered:?}");
        story.log();
        story.apply(&one("world_told", "2")).await;
        assert_eq!(story.log(), again);
    }
}

#[tokio::test]
async fn step_in_doubt_blocks_only_its_component() {
    let story = Story::new();
    let text = two("  x:\n    resources:\n      - {type: world_slow, name: a, config: {key: a}}\n");
    crash_while(&story, &text, "create a", Fault::HangBefore).await;
    story.end_processes().await;
    story.remote().objects.remove("c");
    let text = two("  x:\n    resources:
      - {type: world_slow, name: a, config: {key: a}}
      - {type: world_thing, name: b, config: {key: b}}\n");
    story.recover().await;
    story.log();
    let plan = story.plan(&text).await;
    let doubts: Vec<String> = plan
        .changes()
        .filter_map(|(_, change)| Some(format!("{}: {}", change.address, change.in_doubt.as_ref()?.text())))
        .collect();
    assert_eq!(doubts.len(), 2, "{doubts:?}");
    assert_eq!(doubts[1], "x/world_thing.b: waits for x/world_slow.a, whose last step is in doubt");
    // Only the interrupted step is in doubt; its dependents wait.
    let counts = plan.stacks[0].counts();
    assert_eq!((counts.in_doubt, counts.held_back), (1, 1));
    let report = story.apply_plan(&plan).await.unwrap();
    assert_eq!(report.blocked.len(), 2);
    assert_eq!(report.status(), OperationStatus::Failed);
    assert_eq!(story.log(), ["create c"]);
}

#[tokio::test]
async fn dependents_of_a_step_in_doubt_wait_in_any_component() {
    let story = Story::new();
    let text = two("  x:
    resources:
      - {type: world_slow, name: a, config: {key: a}}
    outputs: {id: '${{ resources.a.id }}'}
  v:
    dependsOn: [x]
    resources:
      - {type: world_thing, name: b, config: {key: b}}
") + "resources:
  - {type: world_thing, name: d, config: {key: d, val: '${{ components.x.outputs.id }}'}}
  - {type: world_thing, name: e, config: {key: e}}
";
    crash_while(&story, &text, "create a", Fault::HangBefore).await;
    story.end_processes().await;
    story.recover().await;
    for key in ["b", "c", "d", "e"] {
        story.remote().objects.remove(key);
    }
    story.log();
    let plan = story.plan(&text).await;
    let held: Vec<String> = plan
        .changes()
        .filter(|(_, change)| change.is_held_back())
        .map(|(_, change)| format!("{}: {}", change.address, change.in_doubt.as_ref().unwrap().text()))
        .collect();
    let because = "waits for x/world_slow.a, whose last step is in doubt";
    let waiting = ["world_thing.d", "world_thing.e", "v/world_thing.b"];
    assert_eq!(held, waiting.map(|address| format!("{address}: {because}")));
    let report = story.apply_plan(&plan).await.unwrap();
    assert_eq!(report.blocked.len(), 4, "{:?}", report.blocked);
    assert_eq!(story.log(), ["create c"]);
}

/// A story in which the update of an adopted object was lost; and its descriptor.
async fn lost_alignment(fault: Fault) -> (Story, String) {
    let story = Story::new();
    let text = stack("- {type: world_thing, name: a, adopt: ifExists, config: {key: a, val: 2}}");
    let there = [("key", "a".into()), ("id", "id-9".into()), ("val", 1.into()), ("echo", 1.into())];
    let there = there.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    story.remote().objects.insert("a".to_owned(), there);
    crash_while(&story, &text, "update a", fault).await;
    story.end_processes().await;
    (story, text)
}

#[tokio::test]
async fn lost_update_of_an_adopted_object_is_recorded_if_it_took_effect() {
    for (fault, is_done) in [(Fault::HangAfter, true), (Fault::HangBefore, false)] {
        let (story, text) = lost_alignment(fault).await;
        let recovered = story.recover().await;
        assert!(recovered.iter().all(|step| !step.is_in_doubt), "{recovered:?}");
        assert_eq!(story.rows().await.len(), usize::from(is_done), "{recovered:?}");
        let plan = story.plan(&text).await;
        assert_eq!(plan.has_changes(), !is_done, "{}", summary(&plan));
        story.apply_plan(&plan).await.unwrap();
        assert!(!story.plan(&text).await.has_changes());
    }
}

#[tokio::test]
async fn object_adopted_by_another_stack_meanwhile_is_not_recorded_twice() {
    for fault in [Fault::HangAfter, Fault::HangBefore] {
        let (story, text) = lost_alignment(fault).await;
        let other = text.replace("name: demo", "name: other");
        story.apply(&other).await;
        let planned = story.try_plan(&text).await.0.unwrap();
        let output: Vec<&str> = planned.notes.iter().map(|note| note.message.as_str()).collect();
        assert!(
            output.iter().any(|output| output.contains("other@test:world_thing.a manages the object now")),
            "{output:?}"
        );
        let recovered = story.recover().await;
        assert!(recovered.iter().all(|step| !step.is_in_doubt), "{recovered:?}");
        assert_eq!(story.rows().await, ["world_thing.a"], "{recovered:?}");
        let output = story.errors(&text).await;
        assert!(output.contains("would adopt the object of other@test:world_thing.a"), "{output}");
    }
}

#[tokio::test]
async fn undeclared_step_in_doubt_is_shown_and_keeps_its_component() {
    let story = Story::new();
    crash_while(&story, &two(SLOW), "create a", Fault::HangBefore).await;
    story.end_processes().await;
    story.recover().await;
    for plan in [story.plan(&two("")).await, story.plan_destroy().await] {
        let doubts: Vec<String> = plan
            .changes()
            .filter(|(_, change)| change.in_doubt.is_some())
            .map(|(_, change)| change.address.to_string())
            .collect();
        assert_eq!(doubts, ["x/world_slow.a"]);
        let report = story.apply_plan(&plan).await.unwrap();
        assert_eq!(report.blocked.len(), 1, "{report:?}");
        let components = story.store.components(&terrace_engine::address::StackId::new("demo", "test")).await.unwrap();
        assert!(components.iter().any(|component| component.key == "x"), "{components:?}");
    }
}

#[tokio::test]
async fn destroy_keeps_object_in_doubt_and_removes_the_rest() {
    let story = Story::new();
    let first = |val: &str| {
        two(&format!("  x:\n    resources:\n      - {{type: world_slow, name: a, config: {{key: a, val: {val}}}}}\n"))
    };
    story.apply(&first("1")).await;
    crash_while(&story, &first("2"), "update a", Fault::HangBefore).await;
    story.end_processes().await;
    story.recover().await;
    let report = story.destroy().await;
    assert_eq!(report.blocked.len(), 1, "{report:?}");
    assert_eq!(story.rows().await, ["x/world_slow.a"]);
}

#[tokio::test]
async fn lost_update_or_delete_is_in_doubt_until_it_settled() {
    for (next, call) in [("2", "update a"), ("", "delete a")] {
        let story = Story::new();
        let text = |val: &str| {
            if val.is_empty() { stack("").replace("resources:\n", "resources: []\n") } else { one("world_slow", val) }
        };
        story.apply(&text("1")).await;
        crash_while(&story, &text(next), call, Fault::HangBefore).await;
        story.end_processes().await;
        let recovered = story.recover().await;
        assert!(recovered[0].found.contains("the lost call may still take effect for"), "{recovered:?}");
        // The lost call takes effect.
        match next {
            "" => drop(story.remote().objects.remove("a")),
            val => drop(
                story
                    .remote()
                    .objects
                    .get_mut("a")
                    .unwrap()
                    .insert("val".to_owned(), val.parse::<i64>().unwrap().into()),
            ),
        }
        story.remote().objects.values_mut().for_each(|object| drop(object.insert("echo".to_owned(), 2_i64.into())));
        let recovered = story.recover().await;
        assert!(!recovered[0].is_in_doubt, "{recovered:?}");
        story.log();
        assert!(!story.plan(&text(next)).await.has_changes(), "{call}");
    }
}

#[tokio::test]
async fn lost_call_without_effect_is_resolved_at_once() {
    for (before, next, call) in [("", "1", "create a"), ("1", "2", "update a"), ("1", "", "delete a")] {
        let story = Story::new();
        let text = |val: &str| {
            if val.is_empty() { stack("").replace("resources:\n", "resources: []\n") } else { one("world_slow", val) }
        };
        story.apply(&text(before)).await;
        let rows = story.rows().await;
        crash_while(&story, &text(next), call, Fault::HangBefore).await;
        story.end_processes().await;
        let waited = story.recover().await;
        assert!(waited[0].is_in_doubt, "{waited:?}");
        story.remote().reports_no_effect = true;
        let recovered = story.recover().await;
        assert!(!recovered[0].is_in_doubt, "{recovered:?}");
        assert_eq!(story.rows().await, rows, "{call}");
        assert!(
            !story.plan(&text(before)).await.has_changes() && story.plan(&text(next)).await.has_changes(),
            "{call}"
        );
    }
}

#[tokio::test]
async fn update_with_lost_reply_is_recorded_as_read() {
    for (fault, is_done) in [(Fault::After(ErrorKind::Ambiguous), true), (Fault::Before(ErrorKind::Ambiguous), false)] {
        let story = Story::new();
        story.apply(&one("world_thing", "1")).await;
        story.fault("update a", fault);
        let report = story.apply_once(&one("world_thing", "2")).await;
        assert_eq!(report.failed.is_empty(), is_done, "{report:?}");
        let plan = story.plan(&one("world_thing", "2")).await;
        assert_eq!(plan.has_changes(), !is_done);
        assert!(plan.changes().all(|(_, change)| change.why.drift.is_empty()), "the row equals the object");
    }
}

#[tokio::test]
async fn delete_with_lost_reply_is_done_if_object_is_gone() {
    for (fault, rows) in [(Fault::After(ErrorKind::Ambiguous), 0), (Fault::Before(ErrorKind::Ambiguous), 1)] {
        let story = Story::new();
        story.apply(&one("world_thing", "1")).await;
        story.fault("delete a", fault);
        let report = story.destroy().await;
        assert_eq!((report.failed.len(), story.rows().await.len()), (rows, rows));
    }
}

#[tokio::test]
async fn late_settling_call_with_lost_reply_stays_open() {
    for (next, call) in [("2", "update a"), ("", "delete a")] {
        let story = Story::new();
        story.apply(&one("world_slow", "1")).await;
        story.fault(call, Fault::Before(ErrorKind::Ambiguous));
        let report =
            if next.is_empty() { story.destroy().await } else { story.apply_once(&one("world_slow", next)).await };
        assert_eq!(report.failed.len(), 1);
        let recovered = story.recover().await;
        assert!(recovered.len() == 1 && recovered[0].is_in_doubt, "{recovered:?}");
    }
}

#[tokio::test]
async fn waits_for_lost_calls_run_in_parallel() {
    let story = Story::new();
    let calls = ["create a", "create b", "create c"];
    calls.iter().for_each(|call| story.fault(call, Fault::Before(ErrorKind::Ambiguous)));
    let things = ["a", "b", "c"].map(|key| format!("- {{type: world_slow, name: {key}, config: {{key: {key}}}}}"));
    let report = story.apply_once(&stack(&things.join("\n  "))).await;
    assert_eq!(report.failed.len(), 3, "{report:?}");
    tokio::time::pause();
    // A call may take 600 s and settle within 30 more: enough for one wait, not for three.
    let recovered = story.recover_within(std::time::Duration::from_secs(700)).await;
    assert_eq!(recovered.len(), 3);
    assert!(recovered.iter().all(|step| !step.is_in_doubt), "{recovered:?}");
    tokio::time::resume();
}

#[tokio::test]
async fn hanging_read_ends_at_its_deadline() {
    let story = Story::new();
    story.apply(&one("world_thing", "1")).await;
    tokio::time::pause();
    story.fault("read a", Fault::HangBefore);
    let messages = story.errors(&one("world_thing", "1")).await;
    assert!(messages.contains("world_thing.a cannot be read: no answer within 60 s"), "{messages}");
}

#[tokio::test]
async fn hanging_search_leaves_its_step_in_doubt() {
    let story = Story::new();
    crash_while(&story, &one("world_thing", "1"), "create a", Fault::HangBefore).await;
    story.end_processes().await;
    tokio::time::pause();
    story.fault("find a", Fault::HangBefore);
    let recovered = story.recover().await;
    assert!(recovered[0].is_in_doubt && recovered[0].found == "no answer within 60 s", "{recovered:?}");
    story.fault("find b", Fault::HangBefore);
    let messages = story.errors(&stack("- {type: world_thing, name: b, adopt: ifExists, config: {key: b}}")).await;
    assert!(messages.contains("cannot look for demo@test:world_thing.b: no answer within 60 s"), "{messages}");
    assert!(messages.starts_with("stack.yaml:"), "the error has its place: {messages}");
}

#[tokio::test]
async fn failed_create_with_hanging_search_stays_open() {
    let story = Story::new();
    tokio::time::pause();
    story.fault("create a", Fault::After(ErrorKind::Failed));
    story.fault("find a", Fault::HangBefore);
    let report = story.apply_once(&one("world_thing", "1")).await;
    assert_eq!(report.failed.len(), 1);
    assert!(!story.recover().await[0].is_in_doubt);
    assert_eq!(story.rows().await, ["world_thing.a"]);
}

#[tokio::test]
async fn open_step_refuses_only_plans_of_its_component() {
    let mut story = Story::new();
    let text = |b: &str, c: &str| {
        two(&format!("  x:\n    resources:\n      - {{type: world_thing, name: b, config: {{key: b, val: {b}}}}}\n"))
            .replace("{key: c}", &format!("{{key: c, val: {c}}}"))
    };
    story.apply(&text("1", "1")).await;
    story.options.components = keys(&["x"]);
    let of_x = story.plan(&text("2", "1")).await;
    story.options.components = keys(&["y"]);
    let of_y = story.plan(&text("1", "2")).await;
    crash_while(&story, &text("1", "3"), "update c", Fault::HangBefore).await;
    story.end_processes().await;
    let refused = story.apply_plan(&of_y).await.unwrap_err();
    assert!(
        matches!(&refused, ApplyError::NotRecovered { address } if address == "demo@test:y/world_thing.c"),
        "{refused}"
    );
    story.apply_plan(&of_x).await.unwrap();
}

#[tokio::test]
async fn create_that_met_an_existing_object_is_not_searched_for() {
    let story = Story::new();
    story.remote().objects.insert("a".to_owned(), [("key".to_owned(), "a".into())].into_iter().collect());
    let plan = story.plan(&one("world_thing", "1")).await;
    story.remote().reads.clear();
    let report = story.apply_plan(&plan).await.unwrap();
    assert_eq!(report.failed.len(), 1);
    assert!(story.remote().reads.is_empty(), "{:?}", story.remote().reads);
}

#[tokio::test]
async fn resource_without_identity_is_not_adopted() {
    let story = Story::new();
    // `World` finds an object without a key under the empty key.
    story.remote().objects.insert(String::new(), [("val".to_owned(), 1_i64.into())].into_iter().collect());
    let plan = story.plan(&stack("- {type: world_note, name: a, adopt: ifExists, config: {key: n, val: 1}}")).await;
    assert_eq!(summary(&plan), "+ world_note.a\n");
    assert!(story.remote().reads.is_empty(), "{:?}", story.remote().reads);
}

#[tokio::test]
async fn plan_from_before_the_store_applies_to_a_fresh_store() {
    let story = Story::new();
    let mut plan = story.plan(&one("world_thing", "1")).await;
    plan.state = Uuid::now_v7();
    let refused = story.apply_plan(&plan).await.unwrap_err();
    assert!(matches!(refused, ApplyError::StateMismatch { .. }), "{refused}");
    plan.state = Uuid::nil();
    story.apply_plan(&plan).await.unwrap();
    assert_eq!(story.rows().await, ["world_thing.a"]);
    plan.id = Uuid::now_v7();
    let refused = story.apply_plan(&plan).await.unwrap_err();
    assert!(matches!(refused, ApplyError::Store(StoreError::Stale(_))), "{refused}");
}

#[tokio::test]
async fn lease_lost_during_apply_ends_it_with_an_error_and_no_loss() {
    let mut story = Story::new();
    story.parallelism = 1;
    let text = stack(
        "- {type: world_thing, name: a, config: {key: a}}
         - {type: world_thing, name: b, config: {key: b}, dependsOn: [a]}",
    );
    let plan = story.plan(&text).await;
    let applier = story.applier();
    let apply = applier.apply(&plan, Uuid::now_v7());
    tokio::pin!(apply);
    while story.remote().log.is_empty() {
        tokio::select! {
            biased;
            result = &mut apply => panic!("{result:?}"),
            () = tokio::task::yield_now() => {}
        }
    }
    story.end_processes().await;
    let lost = apply.await.unwrap_err();
    assert_eq!(
        lost.to_string(),
        "the lease on the stack's own resources of demo@test was lost: another operation took it over, or a user broke it"
    );
    assert_eq!(story.log(), ["create a"]);
    assert!(story.recover().await.iter().all(|step| !step.is_in_doubt));
    story.apply(&text).await;
    assert_eq!(story.log(), ["create b"]);
}

#[tokio::test]
async fn shared_object_with_failed_deletion_keeps_its_last_owner() {
    let mut story = Story::new();
    story.options.remove_data = true;
    let text = two("  x:\n    resources:
      - {type: world_data, name: base, shared: common, lifecycle: {onLastRelease: delete}, config: {key: base}}\n");
    story.apply(&text).await;
    story.fault("delete base", Fault::Before(ErrorKind::PermissionDenied));
    assert_eq!(story.destroy().await.failed.len(), 1);
    assert_eq!(story.destroy().await.done.len(), 1);
    assert!(story.rows().await.is_empty() && story.remote().objects.is_empty());
}

#[tokio::test]
async fn plan_stopped_before_its_first_step_can_be_applied_later() {
    let mut story = Story::new();
    let plan = story.plan(&one("world_thing", "1")).await;
    story.cancel.cancel();
    let report = story.apply_plan(&plan).await.unwrap();
    assert_eq!(report.status(), OperationStatus::Interrupted);
    story.cancel = tokio_util::sync::CancellationToken::new();
    story.apply_plan(&plan).await.unwrap();
    assert_eq!(story.rows().await, ["world_thing.a"]);
}

#[tokio::test]
async fn apply_of_one_component_writes_nothing_about_another() {
    let story = Story::new();
    let text = |b: &str, out: &str| {
        two(&format!(
            "  x:\n    outputs: {{o: {{value: {out}}}}}\n    resources:\n      - {{type: world_thing, name: b, config: {{key: b, val: 1}}}}\n"
        ))
        .replace("{key: c}", &format!("{{key: c, val: {b}}}"))
    };
    story.apply(&text("1", "old")).await;
    let of_y = story.plan(&text("2", "old")).await;
    story.apply(&text("1", "new")).await;
    story.apply_plan(&of_y).await.unwrap();
    story.check_second_plan(&text("2", "new")).await;
}
