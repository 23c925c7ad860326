//! Steps that fail, crash or are stopped.

use crate::support::Story;
use crate::support::story::{stack, summary};
use crate::support::world::Fault;
use terrace_engine::apply::ApplyError;
use terrace_engine::store::StoreError;
use terrace_provider::{ErrorKind, Partial, Private, Value};

fn three() -> String {
    stack(
        "- {type: world_thing, name: a, config: {key: a}}
         - {type: world_thing, name: b, config: {key: b}}
         - {type: world_thing, name: c, config: {key: c, val: '${{ resources.b.id }}'}}",
    )
}

#[tokio::test]
async fn failed_step_blocks_only_its_dependents() {
    let story = Story::new();
    story.fault("create b", Fault::Before(ErrorKind::PermissionDenied));
    let report = story.apply_once(&three()).await;
    assert_eq!(report.failed.len(), 1);
    assert_eq!(report.blocked.len(), 1);
    assert_eq!(report.blocked[0].reason, "waits for world_thing.b");
    assert_eq!(story.rows().await, ["world_thing.a"]);
    story.log();
    assert_eq!(summary(&story.plan(&three()).await), "+ world_thing.b\n+ world_thing.c\n");
    story.apply(&three()).await;
    assert_eq!(story.log(), ["create b", "create c"]);
}

#[tokio::test]
async fn failed_create_with_an_object_is_tainted_and_replaced_next() {
    let story = Story::new();
    story.fault("create b", Fault::After(ErrorKind::Bug));
    let report = story.apply_once(&three()).await;
    assert_eq!(report.failed.len(), 1);
    assert_eq!(story.rows().await, ["world_thing.a", "world_thing.b (Tainted)"]);
    story.log();
    let plan = story.plan(&three()).await;
    assert_eq!(summary(&plan), "-/+ world_thing.b (is tainted, so must be replaced)\n+ world_thing.c\n");
    story.apply(&three()).await;
    assert_eq!(story.log(), ["delete b", "create b", "create c"]);
}

#[tokio::test]
async fn create_with_lost_reply_is_found_and_done() {
    let story = Story::new();
    story.fault("create b", Fault::After(ErrorKind::Ambiguous));
    let report = story.apply(&three()).await;
    assert!(report.failed.is_empty());
    assert_eq!(story.rows().await.len(), 3);
}

#[tokio::test]
async fn panicking_provider_fails_no_other_call_and_its_effect_is_found() {
    let story = Story::new();
    story.fault("create b", Fault::Panic);
    let report = story.apply(&three()).await;
    assert_eq!(report.done.len(), 3);
    story.fault("find b", Fault::Panic);
    story.fault("delete b", Fault::Panic);
    let report = story.destroy().await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    assert!(story.rows().await.is_empty());
}

#[tokio::test]
async fn transient_errors_are_retried() {
    let story = Story::new();
    story.fault("create b", Fault::Before(ErrorKind::Transient));
    tokio::time::pause();
    story.apply(&three()).await;
    let log = story.log();
    assert_eq!(log.iter().filter(|call| *call == "create b").count(), 2, "{log:?}");
}

#[tokio::test]
async fn call_out_of_time_between_attempts_ends_with_its_last_error() {
    let story = Story::new();
    story.fault("create a", Fault::Always(ErrorKind::Transient));
    tokio::time::pause();
    let text = stack("- {type: world_thing, name: a, config: {key: a}, timeouts: {create: 1s}}");
    let report = story.apply_once(&text).await;
    assert_eq!(report.failed[0].error, "create a was refused");
}

#[tokio::test]
async fn call_that_never_reached_its_service_is_not_in_doubt() {
    let story = Story::new();
    story.fault("create a", Fault::Always(ErrorKind::Transient));
    story.fault("find a", Fault::Always(ErrorKind::Transient));
    tokio::time::pause();
    let report = story.apply_once(&stack("- {type: world_thing, name: a, config: {key: a}}")).await;
    assert_eq!(report.failed[0].error, "create a was refused");
    assert_eq!(report.failed[0].solutions, Vec::<String>::new(), "nothing has to be recovered");
    assert!(story.rows().await.is_empty());
}

#[tokio::test]
async fn failed_update_keeps_the_row() {
    let story = Story::new();
    let text = |val: &str| stack(&format!("- {{type: world_thing, name: a, config: {{key: a, val: {val}}}}}"));
    story.apply(&text("1")).await;
    story.fault("update a", Fault::Before(ErrorKind::PermissionDenied));
    let report = story.apply_once(&text("2")).await;
    assert_eq!(report.failed.len(), 1);
    assert_eq!(story.rows().await, ["world_thing.a"]);
    story.apply(&text("2")).await;
}

#[tokio::test]
async fn failed_delete_keeps_the_row() {
    let story = Story::new();
    story.apply(&three()).await;
    story.fault("delete c", Fault::Before(ErrorKind::PermissionDenied));
    let report = story.destroy().await;
    assert_eq!(report.failed.len(), 1);
    assert_eq!(story.rows().await, ["world_thing.b", "world_thing.c"]);
    story.destroy().await;
    assert!(story.rows().await.is_empty());
}

#[tokio::test]
async fn existing_object_error_suggests_adoption_and_import() {
    let story = Story::new();
    story.remote().objects.insert("a".to_owned(), [("key".to_owned(), "a".into())].into_iter().collect());
    let report = story.apply_once(&stack("- {type: world_thing, name: a, config: {key: a}}")).await;
    assert_eq!(
        report.failed[0].solutions,
        [
            "to adopt it, set `adopt: ifExists` on the resource",
            "to record it unchanged, run `terrace import demo@test:world_thing.a a`"
        ]
    );
    assert!(story.rows().await.is_empty());
    assert_eq!(story.log(), ["refuse a"]);
}

#[tokio::test]
async fn existing_object_is_adopted_if_descriptor_allows_it() {
    let story = Story::new();
    story.remote().objects.insert(
        "a".to_owned(),
        [("key".to_owned(), "a".into()), ("val".to_owned(), 1_i64.into()), ("id".to_owned(), "old".into())]
            .into_iter()
            .collect(),
    );
    let text = stack("- {type: world_thing, name: a, adopt: ifExists, config: {key: a, val: 2}}");
    let plan = story.plan(&text).await;
    assert_eq!(summary(&plan), "= world_thing.a\n");
    story.apply(&text).await;
    assert_eq!(story.log(), ["update a"]);
    assert_eq!(story.remote_value("a", "id"), "old".into());
}

#[tokio::test]
async fn object_is_recorded_and_kept_if_its_provider_lies() {
    let story = Story::new();
    story.fault("create a", Fault::Lie);
    let report = story.apply_once(&stack("- {type: world_thing, name: a, config: {key: a, val: 1}}")).await;
    assert!(report.failed[0].error.contains("the result at `val` differs from the plan"), "{:?}", report.failed);
    assert_eq!(story.rows().await, ["world_thing.a"]);
}

#[tokio::test]
async fn hanging_call_ends_at_its_timeout() {
    let story = Story::new();
    story.fault("create a", Fault::HangBefore);
    tokio::time::pause();
    let report = story.apply_once(&stack("- {type: world_thing, name: a, config: {key: a}}")).await;
    assert!(report.failed[0].error.contains("no answer within 600 s"), "{:?}", report.failed);
    assert!(story.rows().await.is_empty());
}

#[tokio::test]
async fn timed_out_call_stays_open_in_any_remote_state() {
    for (next, call) in [("1", "create a"), ("2", "update a"), ("", "delete a")] {
        let story = Story::new();
        let text = |val: &str| match val {
            "" => "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: demo}\nresources: []\n".to_owned(),
            val => stack(&format!("- {{type: world_thing, name: a, config: {{key: a, val: {val}}}}}")),
        };
        if next != "1" {
            story.apply(&text("1")).await;
        }
        tokio::time::pause();
        story.fault(call, Fault::HangBefore);
        let report = story.apply_once(&text(next)).await;
        assert_eq!(report.failed.len(), 1, "{call}");
        // The process of the call is alive, so the call may still take effect.
        let recovered = story.recover().await;
        assert!(recovered.len() == 1 && recovered[0].is_in_doubt, "{call}: {recovered:?}");
        assert!(recovered[0].found.contains("the lost call may still take effect for"), "{recovered:?}");
        story.end_processes().await;
        assert!(story.recover().await.iter().all(|step| !step.is_in_doubt), "{call}");
        story.apply(&text(next)).await;
        tokio::time::resume();
    }
}

#[tokio::test]
async fn call_that_ends_shortly_after_its_timeout_is_recorded() {
    let story = Story::new();
    tokio::time::pause();
    story.fault("create a", Fault::Late(std::time::Duration::from_secs(605)));
    let report = story.apply(&stack("- {type: world_thing, name: a, config: {key: a}}")).await;
    assert!(report.failed.is_empty());
    assert_eq!(story.rows().await, ["world_thing.a"]);
}

#[tokio::test]
async fn plan_is_applied_once() {
    let story = Story::new();
    let plan = story.plan(&three()).await;
    story.apply_plan(&plan).await.unwrap();
    let again = story.apply_plan(&plan).await;
    assert!(matches!(again, Err(ApplyError::Store(StoreError::PlanSpent))), "{again:?}");
}

#[tokio::test]
async fn stale_plan_is_refused_and_names_the_changed_rows() {
    let story = Story::new();
    let text = |val: &str| stack(&format!("- {{type: world_thing, name: a, config: {{key: a, val: {val}}}}}"));
    story.apply(&text("1")).await;
    let stale = story.plan(&text("2")).await;
    story.apply(&text("3")).await;
    story.log();
    let refused = story.apply_plan(&stale).await.unwrap_err();
    assert_eq!(refused.to_string(), "demo@test:world_thing.a (generation 1, now 2) changed since the plan was made");
    assert!(story.log().is_empty());
}

#[tokio::test]
async fn first_plan_is_stale_after_another_first_apply() {
    let story = Story::new();
    let stale = story.plan(&three()).await;
    story.apply(&three()).await;
    story.log();
    assert!(story.apply_plan(&stale).await.is_err());
    assert!(story.log().is_empty());
}

#[tokio::test]
async fn saved_destroy_is_stale_if_its_component_has_a_new_row() {
    let story = Story::new();
    let one = "- {type: world_thing, name: a, config: {key: a}}";
    story.apply(&stack(one)).await;
    let removal = story.plan_destroy().await;
    story.apply(&stack(&format!("{one}\n- {{type: world_thing, name: b, config: {{key: b}}}}"))).await;
    story.log();
    let refused = story.apply_plan(&removal).await.unwrap_err();
    assert_eq!(refused.to_string(), "demo@test:world_thing.b (recorded since) changed since the plan was made");
    assert!(story.log().is_empty());
    assert_eq!(story.rows().await, ["world_thing.a", "world_thing.b"]);
}

#[tokio::test]
async fn search_after_a_lost_reply_knows_the_real_age_of_the_call() {
    let story = Story::new();
    story.fault("create a", Fault::After(ErrorKind::Ambiguous));
    story.apply(&stack("- {type: world_thing, name: a, config: {key: a}}")).await;
    let ages = std::mem::take(&mut story.remote().ages);
    assert_eq!(ages.len(), 1);
    assert!(ages[0] < std::time::Duration::from_secs(60), "not the timeout of 600 s: {ages:?}");
}

#[tokio::test]
async fn search_receives_the_partial_result_of_its_call() {
    let partial = Partial {
        identity: Some(
            [("key".to_owned(), Value::from("a")), ("id".to_owned(), Value::from("7"))].into_iter().collect(),
        ),
        private: Some(Private(b"sent".to_vec())),
    };
    for crashes in [true, false] {
        let story = Story::new();
        story.remote().reported = Some(partial.clone());
        let text = stack("- {type: world_thing, name: a, config: {key: a}}");
        if crashes {
            crash_while(&story, &text, "create a", Fault::HangAfter).await;
            story.end_processes().await;
            story.recover().await;
        } else {
            story.fault("create a", Fault::After(ErrorKind::Ambiguous));
            story.apply(&text).await;
        }
        let attempts = std::mem::take(&mut story.remote().attempts);
        assert!(!attempts.is_empty());
        for (identity, private) in attempts {
            assert_eq!(
                (Some(identity), Some(private)),
                (partial.identity.clone(), partial.private.clone()),
                "{crashes}"
            );
        }
    }
}

#[tokio::test]
async fn deletion_without_a_descriptor_keeps_its_timeouts() {
    let story = Story::new();
    let text = |timeouts: &str| {
        stack(&format!("- {{type: world_thing, name: a, config: {{key: a}}, timeouts: {{{timeouts}}}}}"))
    };
    story.apply(&text("delete: 20m")).await;
    let timeouts = |plan: &terrace_engine::plan::Plan| plan.changes().next().unwrap().1.how.timeouts;
    assert_eq!(timeouts(&story.plan_destroy().await).delete.as_secs(), 1200);
    story.apply(&text("delete: 30m, read: 5s")).await;
    let removal = timeouts(&story.plan_destroy().await);
    assert_eq!((removal.delete.as_secs(), removal.read.as_secs(), removal.create.as_secs()), (1800, 5, 600));
}

#[tokio::test]
async fn stopped_apply_starts_no_new_step() {
    let story = Story::new();
    let text = stack(
        "- {type: world_thing, name: a, config: {key: a}}
         - {type: world_thing, name: b, config: {key: b}, dependsOn: [a]}",
    );
    let plan = story.plan(&text).await;
    story.cancel.cancel();
    let report = story.applier().apply(&plan, uuid::Uuid::now_v7()).await.unwrap();
    assert!(report.is_interrupted);
    assert_eq!(report.not_started.len(), 2);
    assert!(story.log().is_empty());
}

/// Drops an apply after the start of a call, as a kill does: nothing is recorded after it.
pub(crate) async fn crash_while(story: &Story, text: &str, call: &str, fault: Fault) {
    story.fault(call, fault);
    let plan = story.plan(text).await;
    let applier = story.applier();
    let apply = applier.apply(&plan, uuid::Uuid::now_v7());
    tokio::pin!(apply);
    // The log shows the call before its effect; some turns of the scheduler later it hangs where its fault says.
    let mut turns_left = 100;
    while turns_left > 0 {
        tokio::select! {
            biased;
            _ = &mut apply => panic!("the apply should hang"),
            () = tokio::task::yield_now() => {}
        }
        turns_left -= i32::from(story.remote().log.iter().any(|logged| logged == call));
    }
}

#[tokio::test]
async fn crash_after_the_effect_of_a_create_loses_nothing() {
    let story = Story::new();
    crash_while(&story, &three(), "create b", Fault::HangAfter).await;
    story.end_processes().await;
    let recovered = story.recover().await;
    assert!(recovered.iter().all(|step| !step.is_in_doubt), "{recovered:?}");
    story.log();
    story.apply(&three()).await;
    assert!(!story.log().contains(&"create b".to_owned()));
    assert_eq!(story.rows().await.len(), 3);
    assert_eq!(story.remote().objects.len(), 3);
}

#[tokio::test]
async fn create_that_crashed_before_its_effect_is_repeated() {
    let story = Story::new();
    crash_while(&story, &three(), "create b", Fault::HangBefore).await;
    story.end_processes().await;
    story.recover().await;
    story.apply(&three()).await;
    assert_eq!(story.rows().await.len(), 3);
}

#[tokio::test]
async fn plan_after_a_crash_shows_what_recovery_would_record() {
    let story = Story::new();
    crash_while(&story, &three(), "create b", Fault::HangAfter).await;
    story.end_processes().await;
    let (plan, diagnostics, _) = story.try_plan(&three()).await;
    let said: Vec<&str> = diagnostics.iter().map(|diagnostic| diagnostic.message.as_str()).collect();
    assert!(said.iter().any(|message| message.contains("the step took effect")), "{said:?}");
    assert!(!summary(&plan.unwrap()).contains("+ world_thing.b"));
    assert!(!story.rows().await.contains(&"world_thing.b".to_owned()));
}

#[tokio::test]
async fn attempt_that_may_still_take_effect_blocks_only_itself() {
    let story = Story::new();
    let text = stack(
        "- {type: world_slow, name: a, config: {key: a}}
         - {type: world_thing, name: b, config: {key: b}}",
    );
    crash_while(&story, &text, "create a", Fault::HangBefore).await;
    story.end_processes().await;
    let recovered = story.recover().await;
    assert!(recovered.iter().any(|step| step.is_in_doubt), "{recovered:?}");
    let plan = story.plan(&text).await;
    let in_doubt: Vec<_> = plan.changes().filter(|(_, change)| change.in_doubt.is_some()).collect();
    assert_eq!(in_doubt.len(), 1);
    let report = story.apply_plan(&plan).await.unwrap();
    assert_eq!(report.blocked.len(), 1);
    assert!(!story.log().iter().skip(1).any(|call| call == "create a"), "never a second create");
}

#[tokio::test]
async fn crash_during_update_or_delete_is_recovered() {
    for (next, call) in [("2", "update a"), ("", "delete a")] {
        for fault in [Fault::HangBefore, Fault::HangAfter] {
            let story = Story::new();
            let text = |val: &str| match val {
                "" => "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: demo}\nresources: []\n".to_owned(),
                val => stack(&format!("- {{type: world_thing, name: a, config: {{key: a, val: {val}}}}}")),
            };
            story.apply(&text("1")).await;
            crash_while(&story, &text(next), call, fault).await;
            story.end_processes().await;
            story.recover().await;
            story.apply(&text(next)).await;
            assert_eq!(story.rows().await.len(), usize::from(!next.is_empty()), "{call}");
        }
    }
}

#[tokio::test]
async fn component_under_lease_of_another_operation_is_not_changed() {
    let story = Story::new();
    crash_while(&story, &three(), "create b", Fault::HangBefore).await;
    let refused = story.apply_plan(&story.plan(&three()).await).await.unwrap_err();
    assert!(refused.to_string().contains("the stack's own resources of demo@test are held by a test"), "{refused}");
}

#[tokio::test]
async fn secrets_are_in_no_plan_row_or_error() {
    let story = Story::new();
    let text = stack("- {type: world_thing, name: a, config: {key: a, secret: hunter2}}");
    let plan = story.plan(&text).await;
    assert!(!format!("{plan:?}").contains("hunter2"));
    assert!(!terrace_engine::plan::file::write(&plan, &story.seal).unwrap().contains("hunter2"));
    story.apply(&text).await;
    assert_eq!(story.remote_value("a", "secret"), "hunter2".into());
    for stack in story.store.stacks().await.unwrap() {
        let rows = story.store.rows(&stack, &terrace_engine::store::Selection::All).await.unwrap();
        assert!(!format!("{rows:?}").contains("hunter2"));
    }
}

#[tokio::test]
async fn plan_that_would_store_a_secret_needs_a_key() {
    let mut story = Story::new();
    story.seal = std::sync::Arc::new(terrace_engine::seal::Seal::without_key(false));
    let messages = story.errors(&stack("- {type: world_thing, name: a, config: {key: a, secret: hunter2}}")).await;
    insta::assert_snapshot!(messages);
}

#[tokio::test]
async fn user_can_resolve_a_step_in_doubt() {
    use terrace_engine::recover::Verdict;
    let verdicts =
        [(Verdict::Unchanged, vec![]), (Verdict::Absent, vec![]), (Verdict::Tainted, vec!["world_slow.a (Tainted)"])];
    for (verdict, rows) in verdicts {
        let story = Story::new();
        let text = stack("- {type: world_slow, name: a, config: {key: a}}");
        crash_while(&story, &text, "create a", Fault::HangBefore).await;
        story.end_processes().await;
        assert!(story.recover().await.iter().any(|step| step.is_in_doubt));
        assert!(story.decide("world_slow.a", verdict).await);
        assert_eq!(story.rows().await, rows);
        assert!(!story.decide("world_slow.a", verdict).await, "there is nothing left to decide");
        story.apply(&text).await;
        assert_eq!(story.rows().await, ["world_slow.a"]);
    }
}

#[tokio::test]
async fn update_resolved_as_not_applied_is_repeated_without_a_create() {
    use terrace_engine::recover::Verdict;
    let text = |val: u8| stack(&format!("- {{type: world_slow, name: a, config: {{key: a, val: {val}}}}}"));
    let story = Story::new();
    story.apply(&text(1)).await;
    crash_while(&story, &text(2), "update a", Fault::HangBefore).await;
    story.end_processes().await;
    assert!(story.recover().await.iter().any(|step| step.is_in_doubt));
    assert!(story.decide("world_slow.a", Verdict::Unchanged).await);
    assert_eq!(story.rows().await, ["world_slow.a"]);
    story.log();
    story.apply(&text(2)).await;
    assert_eq!(story.log(), ["update a"]);
}

#[tokio::test]
async fn create_that_never_began_is_not_searched_for() {
    let story = Story::new();
    story.fault("create b", Fault::Before(ErrorKind::NotBegun));
    let finds = |story: &Story| story.remote().reads.iter().filter(|call| *call == "find b").count();
    let text = three();
    let plan = story.plan(&text).await;
    let before = finds(&story);
    let report = story.apply_plan(&plan).await.unwrap();
    assert_eq!(report.failed.len(), 1);
    assert!(report.failed[0].solutions.is_empty(), "nothing is in doubt: {:?}", report.failed[0].solutions);
    assert_eq!(finds(&story), before, "no search is needed");
    story.apply(&text).await;
}
