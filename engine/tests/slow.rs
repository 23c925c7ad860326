//! Providers that take time before the first call: only dependents wait for them.

use crate::support::Story;
use crate::support::story::stack;
use crate::support::world::Fault;
use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use terrace_engine::apply::{Applier, Attempt, Report};
use terrace_engine::event::{Event, Events};
use terrace_engine::plan::Plan;
use terrace_provider::ErrorKind;
use terrace_provider::wrap::{Limits, Rate, TypeLimits};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Applies a plan; the paused clock ends an endless wait.
async fn applied(story: &Story, plan: &Plan) -> Report {
    tokio::time::timeout(Duration::from_secs(3_600), story.apply_plan(plan)).await.unwrap().unwrap()
}

/// `slow` and `b` depend on `a`, and `c` on `b`.
fn two_branches(a: &str) -> String {
    stack(&format!(
        "- {{type: world_thing, name: a, config: {{key: {a}}}}}
         - {{type: world_thing, name: slow, config: {{key: slow, val: '${{{{ resources.a.id }}}}'}}}}
         - {{type: world_thing, name: b, config: {{key: b, val: '${{{{ resources.a.id }}}}'}}}}
         - {{type: world_thing, name: c, config: {{key: c, val: '${{{{ resources.b.id }}}}'}}}}"
    ))
}

#[tokio::test(start_paused = true)]
async fn slow_replanning_of_one_resource_blocks_no_other() {
    let story = Story::new();
    let plan = story.plan(&two_branches("a")).await;
    story.fault("plan slow", Fault::Until("create c"));
    let report = applied(&story, &plan).await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    assert_eq!(story.log(), ["create a", "create b", "create c", "create slow"]);
    story.check_second_plan(&two_branches("a")).await;
}

#[tokio::test(start_paused = true)]
async fn slow_connection_blocks_no_other_instance() {
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
async fn slow_check_before_a_deletion_blocks_no_other_resource() {
    let story = Story::new();
    // `slow` waits for the deletion of `user`, after `a` has been updated.
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
async fn cancel_does_not_wait_for_replanning_and_leaves_no_open_step() {
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
    assert!(report.not_started.iter().any(|(_, address)| address.to_string() == "world_thing.slow"));
    assert!(story.recover().await.is_empty(), "no step is open");
    assert!(!story.log().contains(&"create slow".to_owned()));
}

/// Records messages of steps, and cancels at the first one if `stop` is set.
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

/// A story whose instance allows one call in 100 s, and three things with a timeout of 1 s.
fn rate_limited() -> (Story, String) {
    let rate = Rate::per_second(0.01, None);
    let limits = [("world".to_owned(), Limits { rate, ..Limits::default() })].into();
    let text = stack(
        "- {type: world_thing, name: a, config: {key: a}, timeouts: {create: 1s}}
         - {type: world_thing, name: b, config: {key: b}, timeouts: {create: 1s}}
         - {type: world_thing, name: c, config: {key: c}, timeouts: {create: 1s}}",
    );
    (Story { limits, ..Story::new() }, text)
}

async fn apply_listening(story: &Story, plan: &Plan, listener: &Arc<Listener>) -> (Uuid, Report) {
    let applier = Applier { events: Arc::clone(listener) as Arc<dyn Events>, ..story.applier() };
    let operation = Uuid::now_v7();
    (operation, applier.apply(plan, operation).await.unwrap())
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_rate_limit_counts_towards_no_timeout() {
    let (story, text) = rate_limited();
    let plan = story.plan(&text).await;
    let (listener, began) = (Arc::new(Listener::default()), tokio::time::Instant::now());
    let (_, report) = apply_listening(&story, &plan, &listener).await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    assert!(began.elapsed() >= Duration::from_secs(200), "{:?}", began.elapsed());
    assert_eq!(story.log(), ["create a", "create b", "create c"]);
    let waiting_line = |name: &str| format!("demo@test:world_thing.{name}: waiting (limit of 0.01/s of `world`)");
    assert_eq!(*listener.said.lock().unwrap(), [waiting_line("b"), waiting_line("c")]);
}

#[tokio::test(start_paused = true)]
async fn cancel_during_a_rate_limit_leaves_no_open_step() {
    let (story, text) = rate_limited();
    let plan = story.plan(&text).await;
    let listener = Arc::new(Listener { stop: Some(story.cancel.clone()), ..Listener::default() });
    let (operation, report) = apply_listening(&story, &plan, &listener).await;
    assert!(report.is_interrupted && report.failed.is_empty(), "{:?}", report.failed);
    // The first step had its turn, and ends.
    assert_eq!(story.log(), ["create a"]);
    let (_, steps) = story.store.operation(operation).await.unwrap().unwrap();
    assert_eq!(steps.len(), 1, "{steps:?}");
    assert_eq!(report.not_started.len(), 2);
    assert!(story.recover().await.is_empty(), "no step is open");
}

#[tokio::test(start_paused = true)]
async fn rate_limit_of_drift_checks_counts_towards_no_timeout() {
    let (mut story, _) = rate_limited();
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
    let applier = story.applier_of(Attempt { rereads_objects: true, ..Attempt::default() });
    let report = applier.apply(&plan, Uuid::now_v7()).await.unwrap();
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    assert_eq!(story.log(), ["update a", "update b"]);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_rate_limit_takes_no_slot_of_other_instances() {
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
async fn rate_limit_of_one_type_blocks_no_other_type() {
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

/// Two stacks of `count` things, whose keys begin with the stack's name.
fn two_stacks(count: usize) -> [String; 2] {
    ["one", "other"].map(|name| {
        let thing =
            |n| format!("- {{type: world_thing, name: t{n}, timeouts: {{create: 8s}}, config: {{key: {name}{n}}}}}\n");
        stack(&(0..count).map(thing).collect::<String>()).replace("name: demo", &format!("name: {name}"))
    })
}

/// Applies both at once with one registry, as a server does.
async fn both_applied(story: &Story, texts: &[String; 2]) -> [Report; 2] {
    let [one, other] = [story.plan(&texts[0]).await, story.plan(&texts[1]).await];
    let applier = story.applier();
    let both = async { tokio::join!(applier.apply(&one, Uuid::now_v7()), applier.apply(&other, Uuid::now_v7())) };
    let (one, other) = tokio::time::timeout(Duration::from_secs(3_600), both).await.unwrap();
    [one.unwrap(), other.unwrap()]
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_slot_of_another_run_counts_towards_no_timeout() {
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
    // The release of leases waits for a thread with a real clock: up to 5 s pass on this one.
    assert!((30..=35).contains(&began.elapsed().as_secs()), "two at once, and always two: {:?}", began.elapsed());
    assert_eq!(story.log().len(), 8);
}

#[tokio::test(start_paused = true)]
async fn runs_that_share_an_instance_do_not_deadlock() {
    let limits = Limits { concurrency: 2, ..Limits::default() };
    let limits = [("world".to_owned(), limits)].into();
    let story = Story { limits, parallelism: 1, ..Story::new() };
    let texts = two_stacks(6);
    // A retry needs a slot again.
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
async fn cancel_ends_waiting_for_a_slot_of_another_run() {
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
    assert_eq!(reports.map(|report| report.not_started.len()), [2, 3]);
    assert_eq!(story.log(), ["create one0"]);
    assert!(story.recover().await.is_empty(), "no step is open");
}

#[tokio::test(start_paused = true)]
async fn read_timeout_of_a_resource_applies_during_planning() {
    let story = Story::new();
    let text = stack(
        "- {type: world_thing, name: a, timeouts: {read: 2s}, config: {key: a}}
         - {type: world_thing, name: b, config: {key: b}}",
    );
    story.apply(&text).await;
    story.fault("read a", Fault::HangBefore);
    let messages = story.errors(&text).await;
    assert!(messages.contains("world_thing.a cannot be read: no answer within 2 s"), "{messages}");
    assert!(!messages.contains("world_thing.b"), "{messages}");
}

#[tokio::test(start_paused = true)]
async fn timed_out_read_reports_the_latest_error() {
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
    let messages = story.errors(&text).await;
    for (name, latest) in [("a", "; the latest error: read a: no"), ("b", "; the latest error: read b: no"), ("c", "")]
    {
        let expected = format!("world_thing.{name} cannot be read: no answer within 2 s{latest}\n");
        assert!(messages.contains(&expected), "{name}: {messages}");
    }
}

#[tokio::test(start_paused = true)]
async fn search_for_unmanaged_objects_ends_after_a_minute() {
    let story = Story::new();
    let things = "- {type: world_thing, name: a, config: {key: a}}
         - {type: world_thing, name: b, config: {key: b, val: '${{ resources.a.id }}'}}";
    for key in ["a", "b"] {
        story.fault(&format!("find {key}"), Fault::HangBefore);
    }
    let began = tokio::time::Instant::now();
    let errors = story.destroy_errors(&stack(things)).await;
    assert_eq!(began.elapsed().as_secs(), 60);
    let expected = "cannot find out which objects of demo@test exist that are not in the state: the search takes longer than 60 s\n";
    assert!(errors.contains(expected), "{errors}");
}

#[tokio::test]
async fn unreachable_object_is_not_reported_as_gone() {
    // The state is lost, and the provider refuses to read the objects.
    let text = stack("- {type: world_thing, name: a, config: {key: a}}");
    let lost = Story::new();
    lost.fault("find a", Fault::Before(ErrorKind::PermissionDenied));
    insta::assert_snapshot!(lost.destroy_errors(&text).await, @"
    stack.yaml:5:31: cannot find out which objects of demo@test exist that are not in the state: cannot look for demo@test:world_thing.a: find a: no
      hint: grant this permission to the identity of the `world` instance, or configure another identity
    ");
    lost.fault("find a", Fault::Before(ErrorKind::NotFound));
    assert!(!lost.plan_destroy_of(&text).await.has_changes(), "the object does not exist");
    let by_lookup = stack("- {type: world_thing, name: a, config: {key: '${{ data.it.val }}'}}")
        + "\ndata: [{type: world_thing, name: it, config: {key: other}}]\n";
    assert!(!lost.plan_destroy_of(&by_lookup).await.has_changes(), "its lookup has no result");
    lost.fault("look at other", Fault::Before(ErrorKind::PermissionDenied));
    insta::assert_snapshot!(lost.destroy_errors(&by_lookup).await, @"
    stack.yaml:7:34: cannot find out which objects of demo@test exist that are not in the state: data.world_thing.it has no answer: look at other: no
      hint: grant this permission to the identity of the `world` instance, or configure another identity
    ");
}
