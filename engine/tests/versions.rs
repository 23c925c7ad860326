//! Rows from other versions of a provider, and findings of providers during planning.

use crate::failure::crash_while;
use crate::support::Story;
use crate::support::story::{stack, summary};
use crate::support::world::Fault;
use terrace_engine::address::StackId;
use terrace_engine::plan::InDoubt;
use terrace_engine::recover::Verdict;
use terrace_engine::store::{Row, Selection};
use terrace_provider::{Finding, Path, Severity, Value};

const OLD: &str = "- {type: world_thing, name: a, config: {key: a, val: 1}}";
const NEW: &str = "- {type: world_thing, name: a, config: {key: a, val: \"1\"}}";

async fn row(story: &Story) -> Row {
    story.store.rows(&StackId::new("demo", "test"), &Selection::All).await.unwrap().remove(0)
}

/// A story with a row of version 1, and a provider of version 2.
async fn upgraded() -> Story {
    let mut story = Story::new();
    story.apply(&stack(OLD)).await;
    story.remote().version = 2;
    story.options.refresh = false;
    story.log();
    story
}

#[tokio::test]
async fn row_of_an_older_version_is_upgraded_when_loaded() {
    let story = upgraded().await;
    assert!(!story.plan(&stack(NEW)).await.has_changes(), "the upgraded row equals the descriptor");
    assert!(story.remote().reads.contains(&"upgrade a from 1 to 2".to_owned()));
    assert_eq!(row(&story).await.schema_version, 1, "planning writes nothing");
}

#[tokio::test]
async fn next_apply_of_a_row_writes_the_current_version() {
    let story = upgraded().await;
    story.apply(&stack("- {type: world_thing, name: a, config: {key: a, val: \"2\"}}")).await;
    assert_eq!(story.log(), ["update a"]);
    assert_eq!(row(&story).await.schema_version, 2);
    story.remote().reads.clear();
    story.plan(&stack(NEW)).await;
    assert!(!story.remote().reads.iter().any(|call| call.starts_with("upgrade")), "once is enough");
}

#[tokio::test]
async fn row_of_an_older_version_can_be_deleted() {
    let story = upgraded().await;
    story.destroy().await;
    assert_eq!(story.log(), ["delete a"]);
    assert!(story.rows().await.is_empty());
}

#[tokio::test]
async fn row_of_a_deposed_object_is_upgraded_too() {
    let mut story = Story::new();
    let text = |key: &str| {
        let lifecycle = "lifecycle: {createBeforeDestroy: true}";
        stack(&format!("- {{type: world_thing, name: a, {lifecycle}, config: {{key: {key}, val: \"1\"}}}}"))
    };
    story.apply(&text("one")).await;
    story.fault("delete one", Fault::Before(terrace_provider::ErrorKind::PermissionDenied));
    story.apply_once(&text("two")).await;
    story.remote().version = 2;
    story.options.refresh_only = true;
    assert!(!story.plan(&text("two")).await.has_changes());
    let reads = story.remote().reads.clone();
    let upgraded: Vec<&str> = reads.iter().filter(|it| it.starts_with("upgrade")).map(String::as_str).collect();
    assert_eq!(upgraded, ["upgrade two from 1 to 2", "upgrade one from 1 to 2"]);
}

#[tokio::test]
async fn failed_upgrade_is_reported_and_keeps_the_row() {
    let story = upgraded().await;
    story.fault("upgrade a", Fault::Before(terrace_provider::ErrorKind::PermissionDenied));
    insta::assert_snapshot!(story.errors(&stack(NEW)).await, @"-: demo@test:world_thing.a was recorded with version 1 of `world_thing`, which cannot be upgraded: upgrade a from 1 to 2: no");
}

#[tokio::test]
async fn row_of_a_newer_version_is_an_error_with_both_versions() {
    let story = upgraded().await;
    story.apply(&stack("- {type: world_thing, name: a, config: {key: a, val: \"2\"}}")).await;
    story.remote().version = 1;
    insta::assert_snapshot!(story.errors(&stack(OLD)).await, @"
    -: demo@test:world_thing.a was recorded with version 2 of `world_thing`; this terrace knows version 1
      hint: use the terrace that recorded it, or a newer one
    ");
}

#[tokio::test]
async fn provider_finding_is_reported_at_its_place() {
    let story = Story::new();
    let finding = |severity| Finding {
        severity,
        path: Some(Path::attribute("val")),
        message: "the remote side takes no 1".to_owned(),
        hint: Some("take 2".to_owned()),
    };
    story.remote().findings.insert("a".to_owned(), finding(Severity::Error));
    insta::assert_snapshot!(story.errors(&stack(OLD)).await, @"
    stack.yaml:5:51: the remote side takes no 1
      hint: take 2
    ");
    story.remote().findings.insert("a".to_owned(), finding(Severity::Warning));
    let plan = story.plan(&stack(OLD)).await;
    assert_eq!(summary(&plan), "+ world_thing.a\n");
    assert_eq!(plan.notes[0].message, "the remote side takes no 1");
    story.apply_once(&stack(OLD)).await;
    // Unchanged resources are not validated.
    assert!(story.plan(&stack(OLD)).await.notes.is_empty());
}

#[tokio::test]
async fn dry_runs_of_many_objects_run_at_once_and_keep_their_order() {
    let story = Story::new();
    let finding = |message: String| Finding { severity: Severity::Error, path: None, message, hint: None };
    for number in 0..40 {
        story.remote().findings.insert(format!("k{number}"), finding(format!("no {number:02}")));
    }
    let text = "- {type: world_thing, name: a, forEach: '${{ range(40) }}', config: {key: 'k${{ each.key }}'}}";
    let errors = story.errors(&stack(text)).await;
    let found: Vec<&str> = errors.lines().filter_map(|line| line.split(": no ").nth(1)).collect();
    assert_eq!(found, (0..40).map(|number| format!("{number:02}")).collect::<Vec<_>>());
    assert_eq!(story.remote().running, (0, 16));
}

/// A story with a step that was interrupted under version 1, and a provider of version 2, which returns strings.
async fn with_interrupted_step(before: &str, now: &str, call: &str, fault: Fault) -> Story {
    let mut story = Story::new();
    if !before.is_empty() {
        story.apply(&stack(before)).await;
    }
    crash_while(&story, &stack(now), call, fault).await;
    story.end_processes().await;
    story.remote().version = 2;
    for object in story.remote().objects.values_mut() {
        let text = |value: &mut Value| {
            if let Value::Int(number) = value {
                *value = number.to_string().into()
            }
        };
        object.values_mut().for_each(text);
    }
    story.options.refresh = false;
    story
}

#[tokio::test]
async fn object_of_an_interrupted_step_is_recorded_in_the_new_version() {
    let story = with_interrupted_step("", OLD, "create a", Fault::HangAfter).await;
    // A value that cannot be read is recorded as planned.
    story.remote().objects.get_mut("a").unwrap().shift_remove("val");
    let (plan, ..) = story.try_plan(&stack(NEW)).await;
    assert!(!plan.unwrap().has_changes());
    assert!(!story.recover().await[0].is_in_doubt);
    let row = row(&story).await;
    assert_eq!(row.schema_version, 2);
    assert!(row.attributes.as_str().contains("\"val\":\"1\""), "{}", row.attributes.as_str());
    assert!(!story.plan(&stack(NEW)).await.has_changes());
}

#[tokio::test]
async fn interrupted_update_is_compared_in_the_new_version() {
    let two = OLD.replace("val: 1", "val: 2");
    for (fault, found, val) in [
        (Fault::HangBefore, "the step did not take effect", "\"val\":1"),
        (Fault::HangAfter, "the step took effect and is recorded now", "\"val\":\"2\""),
    ] {
        let story = with_interrupted_step(OLD, &two, "update a", fault).await;
        assert_eq!(story.recover().await[0].found, found);
        let row = row(&story).await;
        assert!(row.attributes.as_str().contains(val), "{}", row.attributes.as_str());
        assert_eq!(story.plan(&stack(NEW)).await.has_changes(), found != "the step did not take effect");
    }
}

#[tokio::test]
async fn step_with_a_failed_upgrade_stays_in_doubt_until_resolved() {
    let story = with_interrupted_step("", OLD, "create a", Fault::HangAfter).await;
    story.fault("upgrade a", Fault::Always(terrace_provider::ErrorKind::PermissionDenied));
    let recovered = story.recover().await;
    insta::assert_snapshot!(recovered[0].found, @"its step was recorded with version 1 of `world_thing`, which cannot be upgraded: upgrade a from 1 to 2: no");
    assert!(recovered[0].is_in_doubt);
    let plan = story.plan(&stack(NEW)).await;
    assert_eq!(plan.changes().next().unwrap().1.in_doubt.as_ref(), Some(&InDoubt::Own(recovered[0].found.clone())));
    assert!(story.decide("world_thing.a", Verdict::Tainted).await);
    assert_eq!(row(&story).await.schema_version, 1, "the row keeps its version");
    story.remote().faults.clear();
    story.apply(&stack(NEW)).await;
    assert_eq!(row(&story).await.schema_version, 2);
}

#[tokio::test]
async fn step_of_a_newer_version_is_left_to_a_newer_terrace() {
    let story = with_interrupted_step("", OLD, "create a", Fault::HangAfter).await;
    story.remote().version = 3;
    story.fault("create b", Fault::HangAfter);
    story.recover().await;
    let both = format!("{NEW}\n{}", NEW.replace("name: a, config: {key: a", "name: b, config: {key: b"));
    crash_while(&story, &stack(&both), "create b", Fault::HangAfter).await;
    story.end_processes().await;
    story.remote().version = 2;
    story.remote().reads.clear();
    let recovered = story.recover().await;
    insta::assert_snapshot!(recovered[0].found, @"its step was recorded with version 3 of `world_thing`; this terrace knows version 2; use the terrace that recorded it, or a newer one");
    assert!(recovered[0].is_in_doubt && !story.remote().reads.iter().any(|call| call.starts_with("find")));
}

#[tokio::test]
async fn row_records_the_last_provider_version() {
    let story = Story::new();
    story.apply(&stack(OLD)).await;
    assert_eq!(row(&story).await.provider_version.as_deref(), Some("1.0.0"));
    story.remote().provider_version = Some("2.0.0");
    assert!(!story.plan(&stack(OLD)).await.has_changes(), "another version of a provider is no change");
    story.apply(&stack(NEW)).await;
    assert_eq!(row(&story).await.provider_version.as_deref(), Some("2.0.0"));
}

#[tokio::test]
async fn plan_is_not_applied_with_another_provider_version() {
    let story = Story::new();
    let plan = story.plan(&stack(OLD)).await;
    assert_eq!(plan.origin.providers.iter().collect::<Vec<_>>(), [(&"world".to_owned(), &"world 1.0.0".to_owned())]);
    story.remote().provider_version = Some("2.0.0");
    let error = story.apply_plan(&plan).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "this plan was made with the provider `world 1.0.0`; the instance `world` has `world 2.0.0` here"
    );
    assert!(story.log().is_empty(), "nothing was called");
    assert!(story.store.rows(&StackId::new("demo", "test"), &Selection::All).await.unwrap().is_empty());
    story.remote().provider_version = None;
    story.apply_plan(&plan).await.unwrap();
}
