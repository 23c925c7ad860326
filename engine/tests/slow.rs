//! Providers that take their time before anything is called: only what waits for them waits.

use crate::support::Story;
use crate::support::story::stack;
use crate::support::world::Fault;
use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use terrace_engine::apply::{Applier, Report};
use terrace_engine::event::{Event, Events};
use terrace_engine::plan::Plan;
use terrace_provider::ErrorKind;
use terrace_provider::wrap::{Limits, Rate, TypeLimits};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Applies a plan; a time that stands still ends what waits for ever.
async fn applied(story: &Story, plan: &Plan) -> Report {
    tokio::time::timeout(Duration::from_secs(3_600), story.apply_plan(plan)).await.unwrap().unwrap()
}

/// `slow` and `b` wait for `a`, `c` waits for `b`.
fn two_branches(a: &str) -> String {
    stack(&format!(
        "- {{type: world_thing, name: a, config: {{key: {a}}}}}
         - {{type: world_thing, name: slow, config: {{key: slow, val: '${{{{ resources.a.id }}}}'}}}}
         - {{type: world_thing, name: b, config: {{key: b, val: '${{{{ resources.a.id }}}}'}}}}
         - {{type: world_thing, name: c, config: {{key: c, val: '${{{{ resources.b.id }}}}'}}}}"
    ))
}

#[tokio::test(start_paused = true)]
async fn a_plan_of_one_resource_that_takes_long_keeps_no_other_from_being_made_and_recorded() {
    let story = Story::new();
    let plan = story.plan(&two_branches("a")).await;
    story.fault("plan slow", Fault::Until("create c"));
    let report = applied(&story, &plan).await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    assert_eq!(story.log(), ["create a", "create b", "create c", "create slow"]);
    story.check_second_plan(&two_branches("a")).await;
}

#[tokio::test(start_paused = true)]
async fn a_first_connection_that_takes_long_keeps_no_other_instance_waiting() {
    let story = Story::new();
    let text = stack(
        "- {type: world_note, name: far, provider: world.eu, config: {key: far}}
         - {type: world_thing, name: near, config: {key: near}}
         - {type: world_thing, name: both, config: {key: both, val: '${{ resources.far.id }}'}}",
    );
    let plan = story.plan(&text).await;
    story.fault("connect world.eu", Fault::Until("create near"));
    let report = applied(&story, &plan).await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    assert_eq!(story.log(), ["create near", "create both"]);
    story.check_second_plan(&text).await;
}

#[tokio::test(start_paused = true)]
async fn what_asks_whether_an_old_object_may_go_keeps_no_other_waiting() {
    let story = Story::new();
    // `slow` waits for the removal of `user`, and `a` is as wanted by then.
    let text = |version: &str| {
        stack(&format!(
            "- {{type: world_thing, name: a, config: {{key: a, val: {version}}}}}
             - {{type: world_thing, name: slow, config: {{key: slow-{version}, val: '${{{{ resources.a.echo }}}}'}}}}
             - {{type: world_thing, name: user, config: {{key: user-{version}, val: '${{{{ resources.slow.id }}}}'}}}}
             - {{type: world_thing, name: b, config: {{key: b-{version}}}}}
             - {{type: world_thing, name: c, config: {{key: c-{version}, val: '${{{{ resources.b.id }}}}'}}}}"
        ))
    };
    story.apply(&text("1")).await;
    story.log();
    let plan = story.plan(&text("2")).await;
    story.fault("plan slow", Fault::Until("create c-2"));
    let report = applied(&story, &plan).await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    let log = story.log();
    let at = |call: &str| log.iter().position(|logged| logged == call).unwrap();
    assert!(at("create c-2") < at("delete slow-1"), "{log:?}");
    story.check_second_plan(&text("2")).await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_no_plan_and_leaves_no_open_step() {
    let story = Story::new();
    let plan = story.plan(&two_branches("a")).await;
    story.fault("plan slow", Fault::HangBefore);
    let hung = story.remote().hung.clone();
    let stop = async {
        hung.cancelled().await;
        story.cancel.cancel();
    };
    let (report, ()) = tokio::join!(applied(&story, &plan), stop);
    assert!(report.is_interrupted);
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    assert!(report.not_begun.iter().any(|(_, address)| address.to_string() == "world_thing.slow"));
    assert!(story.recover().await.is_empty(), "nothing is open");
    assert!(!story.log().contains(&"create slow".to_owned()));
}

/// Hears what steps say, and stops at the first word where it is to.
#[derive(Default)]
struct Listener {
    said: Mutex<Vec<String>>,
    stop: Option<CancellationToken>,
}

impl Events for Listener {
    fn take(&self, event: Event) {
        if let Event::StepWaiting { address, message } | Event::StepProgress { address, message } = event {
            self.said.lock().unwrap().push(format!("{address}: {message}"));
            self.stop.iter().for_each(CancellationToken::cancel);
        }
    }
}

/// A story whose instance takes one call in 100 s, and three things that have no time to wait for that.
fn rated() -> (Story, String) {
    let rate = Rate::per_second(0.01, None);
    let limits = [("world".to_owned(), Limits { rate, ..Limits::default() })].into();
    let text = stack(
        "- {type: world_thing, name: a, config: {key: a}, timeouts: {create: 1s}}
         - {type: world_thing, name: b, config: {key: b}, timeouts: {create: 1s}}
         - {type: world_thing, name: c, config: {key: c}, timeouts: {create: 1s}}",
    );
    (Story { limits, ..Story::new() }, text)
}

async fn heard(story: &Story, plan: &Plan, listener: &Arc<Listener>) -> (Uuid, Report) {
    let applier = Applier { events: Arc::clone(listener) as Arc<dyn Events>, ..story.applier() };
    let operation = Uuid::now_v7();
    (operation, applier.apply(plan, operation).await.unwrap())
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_rate_counts_towards_no_timeout_and_is_told_once() {
    let (story, text) = rated();
    let plan = story.plan(&text).await;
    let (listener, began) = (Arc::new(Listener::default()), tokio::time::Instant::now());
    let (_, report) = heard(&story, &plan, &listener).await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    assert!(began.elapsed() >= Duration::from_secs(200), "{:?}", began.elapsed());
    assert_eq!(story.log(), ["create a", "create b", "create c"]);
    let told = |name: &str| format!("demo@test:world_thing.{name}: waiting (limit of 0.01/s of `world`)");
    assert_eq!(*listener.said.lock().unwrap(), [told("b"), told("c")]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_while_steps_wait_for_a_rate_leaves_no_open_step() {
    let (story, text) = rated();
    let plan = story.plan(&text).await;
    let listener = Arc::new(Listener { stop: Some(story.cancel.clone()), ..Listener::default() });
    let (operation, report) = heard(&story, &plan, &listener).await;
    assert!(report.is_interrupted && report.failed.is_empty(), "{:?}", report.failed);
    // The first one had its turn, and ends.
    assert_eq!(story.log(), ["create a"]);
    let (_, steps) = story.store.operation(operation).await.unwrap().unwrap();
    assert_eq!(steps.len(), 1, "{steps:?}");
    assert_eq!(report.not_begun.len(), 2);
    assert!(story.recover().await.is_empty(), "nothing is open");
}

#[tokio::test(start_paused = true)]
async fn an_old_plan_has_the_tokens_for_looking_again_before_its_steps_begin() {
    let (mut story, _) = rated();
    let text = |val: &str| {
        stack(&format!(
            "- {{type: world_thing, name: a, config: {{key: a, val: {val}}}, timeouts: {{read: 1s, update: 1s}}}}
             - {{type: world_thing, name: b, config: {{key: b, val: {val}}}, timeouts: {{read: 1s, update: 1s}}}}"
        ))
    };
    let limits = std::mem::take(&mut story.limits);
    story.apply(&text("one")).await;
    let plan = story.plan(&text("two")).await;
    story.log();
    story.limits = limits;
    let applier = Applier { looks_again: true, ..story.applier() };
    let report = applier.apply(&plan, Uuid::now_v7()).await.unwrap();
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    assert_eq!(story.log(), ["update a", "update b"]);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_rate_takes_no_slot_from_other_instances() {
    let rate = Rate::per_second(0.01, None);
    let limits = [("world.eu".to_owned(), Limits { rate, ..Limits::default() })].into();
    let story = Story { limits, ..Story::new() };
    let mut resources = String::new();
    for n in 0..4 {
        let _ =
            writeln!(resources, "- {{type: world_thing, name: far{n}, provider: world.eu, config: {{key: far{n}}}}}");
    }
    for n in 0..4 {
        let _ = writeln!(resources, "- {{type: world_thing, name: near{n}, config: {{key: near{n}}}}}");
    }
    let plan = story.plan(&stack(&resources)).await;
    let applier = Applier { parallelism: 2, ..story.applier() };
    let applied = applier.apply(&plan, Uuid::now_v7());
    let report = tokio::time::timeout(Duration::from_secs(3_600), applied).await.unwrap().unwrap();
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    let log = story.log();
    let (near, far): (Vec<&str>, Vec<&str>) = log.iter().map(String::as_str).partition(|call| call.contains("near"));
    assert_eq!((near.len(), far.len()), (4, 4));
    assert_eq!(log[5..], ["create far1", "create far2", "create far3"], "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn a_type_that_waits_for_its_rate_keeps_no_other_type_of_its_instance_waiting() {
    let rate = Rate::per_second(0.01, None);
    let types = [("world_data".to_owned(), TypeLimits { rate, ..TypeLimits::default() })].into();
    let limits = Limits { concurrency: 2, types, ..Limits::default() };
    let story = Story { limits: [("world".to_owned(), limits)].into(), ..Story::new() };
    let text = stack(
        "- {type: world_data, name: a, config: {key: a}}
         - {type: world_data, name: b, config: {key: b}}
         - {type: world_data, name: c, config: {key: c}}
         - {type: world_thing, name: near, config: {key: near}}",
    );
    let plan = story.plan(&text).await;
    let report = applied(&story, &plan).await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    assert_eq!(story.log(), ["create a", "create near", "create b", "create c"]);
}

/// Two stacks of so many things, by whose names their keys begin.
fn two_stacks(count: usize) -> [String; 2] {
    ["one", "other"].map(|name| {
        let thing =
            |n| format!("- {{type: world_thing, name: t{n}, timeouts: {{create: 8s}}, config: {{key: {name}{n}}}}}\n");
        stack(&(0..count).map(thing).collect::<String>()).replace("name: demo", &format!("name: {name}"))
    })
}

/// Applies both at once, as a server does: their calls are of one registry.
async fn both_applied(story: &Story, texts: &[String; 2]) -> [Report; 2] {
    let [one, other] = [story.plan(&texts[0]).await, story.plan(&texts[1]).await];
    let applier = story.applier();
    let both = async { tokio::join!(applier.apply(&one, Uuid::now_v7()), applier.apply(&other, Uuid::now_v7())) };
    let (one, other) = tokio::time::timeout(Duration::from_secs(3_600), both).await.unwrap();
    [one.unwrap(), other.unwrap()]
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_slot_that_another_run_has_counts_towards_no_timeout() {
    let limits = Limits { concurrency: 2, ..Limits::default() };
    let story = Story { limits: [("world".to_owned(), limits)].into(), ..Story::new() };
    let texts = two_stacks(4);
    for key in ["one", "other"].iter().flat_map(|name| (0..4).map(move |n| format!("create {name}{n}"))) {
        story.fault(&key, Fault::Late(Duration::from_millis(7_500)));
    }
    let began = tokio::time::Instant::now();
    for report in both_applied(&story, &texts).await {
        assert!(report.failed.is_empty(), "{:?}", report.failed);
    }
    // To let go of the leases a thread is waited for, which has another clock: up to 5 s pass by this one.
    assert!((30..=35).contains(&began.elapsed().as_secs()), "two at once, and always two: {:?}", began.elapsed());
    assert_eq!(story.log().len(), 8);
}

#[tokio::test(start_paused = true)]
async fn runs_that_share_an_instance_never_wait_for_each_other_without_end() {
    let limits = Limits { concurrency: 2, ..Limits::default() };
    let limits = [("world".to_owned(), limits)].into();
    let story = Story { limits, parallelism: 1, ..Story::new() };
    let texts = two_stacks(6);
    // Who tries again needs a slot once more.
    for key in ["one", "other"].iter().flat_map(|name| (0..6).map(move |n| format!("create {name}{n}"))) {
        story.fault(&key, Fault::Before(ErrorKind::Transient));
    }
    let began = tokio::time::Instant::now();
    for report in both_applied(&story, &texts).await {
        assert!(report.failed.is_empty(), "{:?}", report.failed);
    }
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_what_waits_for_a_slot_that_another_run_has() {
    let limits = Limits { concurrency: 1, ..Limits::default() };
    let story = Story { limits: [("world".to_owned(), limits)].into(), ..Story::new() };
    let texts = two_stacks(3);
    story.fault("create one0", Fault::Late(Duration::from_secs(5)));
    let stop = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        story.cancel.cancel();
    };
    let (reports, ()) = tokio::join!(both_applied(&story, &texts), stop);
    assert!(reports.iter().all(|report| report.is_interrupted && report.failed.is_empty()));
    assert_eq!(reports.map(|report| report.not_begun.len()), [2, 3]);
    assert_eq!(story.log(), ["create one0"]);
    assert!(story.recover().await.is_empty(), "nothing is open");
}

#[tokio::test(start_paused = true)]
async fn an_object_is_waited_for_as_long_as_it_was_given_when_it_is_read() {
    let story = Story::new();
    let text = stack(
        "- {type: world_thing, name: a, timeouts: {read: 2s}, config: {key: a}}
         - {type: world_thing, name: b, config: {key: b}}",
    );
    story.apply(&text).await;
    story.fault("read a", Fault::HangBefore);
    let told = story.errors(&text).await;
    assert!(told.contains("world_thing.a cannot be read: no answer within 2 s"), "{told}");
    assert!(!told.contains("world_thing.b"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn an_object_whose_time_is_over_between_two_attempts_is_told_with_the_latest_error() {
    let story = Story::new();
    let text = stack(
        "- {type: world_thing, name: a, timeouts: {read: 2s}, config: {key: a}}
         - {type: world_thing, name: b, timeouts: {read: 2s}, config: {key: b}}
         - {type: world_thing, name: c, timeouts: {read: 2s}, config: {key: c}}",
    );
    story.apply(&text).await;
    for object in ["read a", "read b"] {
        story.fault(object, Fault::Always(ErrorKind::Transient));
    }
    story.fault("read c", Fault::HangBefore);
    let told = story.errors(&text).await;
    for (name, latest) in [("a", "; the latest error: read a: no"), ("b", "; the latest error: read b: no"), ("c", "")]
    {
        let expected = format!("world_thing.{name} cannot be read: no answer within 2 s{latest}\n");
        assert!(told.contains(&expected), "{name}: {told}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_never_made_is_not_looked_for_without_end() {
    let story = Story::new();
    let things = "- {type: world_thing, name: a, config: {key: a}}
         - {type: world_thing, name: b, config: {key: b, val: '${{ resources.a.id }}'}}";
    for key in ["a", "b"] {
        story.fault(&format!("find {key}"), Fault::HangBefore);
    }
    let began = tokio::time::Instant::now();
    let told = story.destroy_errors(&stack(things)).await;
    assert_eq!(began.elapsed().as_secs(), 60);
    let expected = "it cannot be told whether what demo@test describes and is not recorded is there: to ask for it takes longer than 60 s\n";
    assert!(told.contains(expected), "{told}");
}

#[tokio::test]
async fn what_may_be_there_is_not_said_to_be_gone() {
    // The state was lost, and nobody is told what is there.
    let text = stack("- {type: world_thing, name: a, config: {key: a}}");
    let lost = Story::new();
    lost.fault("find a", Fault::Before(ErrorKind::PermissionDenied));
    insta::assert_snapshot!(lost.destroy_errors(&text).await, @"
    stack.yaml:5:31: it cannot be told whether what demo@test describes and is not recorded is there: demo@test:world_thing.a cannot be looked for: find a: no
      hint: let the identity that the instance of `world` is configured with do this, or configure another
    ");
    lost.fault("find a", Fault::Before(ErrorKind::NotFound));
    assert!(!lost.plan_destroy_of(&text).await.has_changes(), "there can be none");
    let by_lookup = stack("- {type: world_thing, name: a, config: {key: '${{ data.it.val }}'}}")
        + "\ndata: [{type: world_thing, name: it, config: {key: other}}]\n";
    assert!(!lost.plan_destroy_of(&by_lookup).await.has_changes(), "it needs what is not there");
    lost.fault("look at other", Fault::Before(ErrorKind::PermissionDenied));
    insta::assert_snapshot!(lost.destroy_errors(&by_lookup).await, @"
    stack.yaml:7:34: it cannot be told whether what demo@test describes and is not recorded is there: data.world_thing.it has no answer: look at other: no
      hint: let the identity that the instance of `world` is configured with do this, or configure another
    ");
}
