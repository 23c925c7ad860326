//! Providers that take their time before anything is called: only what waits for them waits.

use crate::support::Story;
use crate::support::story::stack;
use crate::support::world::Fault;
use std::time::Duration;
use terrace_engine::apply::Report;
use terrace_engine::plan::Plan;

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
    let text = |a: &str| {
        stack(&format!(
            "- {{type: world_thing, name: a, config: {{key: {a}}}}}
             - {{type: world_thing, name: slow, config: {{key: 'slow-{a}', val: '${{{{ resources.a.id }}}}'}}, lifecycle: {{}}}}
             - {{type: world_thing, name: b, config: {{key: 'b-{a}'}}}}"
        ))
    };
    story.apply(&text("a")).await;
    story.log();
    let plan = story.plan(&text("z")).await;
    story.fault("plan slow", Fault::Until("create b-z"));
    let report = applied(&story, &plan).await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    story.check_second_plan(&text("z")).await;
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
