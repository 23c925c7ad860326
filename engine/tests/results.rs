//! State after calls that fail, end half-way, or deviate from the plan.

use crate::support::Story;
use crate::support::story::{stack, summary};
use crate::support::world::Fault;
use terrace_engine::store::{Row, RowStatus, Selection};
use terrace_provider::ErrorKind;

fn pair(val: &str) -> String {
    stack(&format!(
        "- {{type: world_thing, name: a, config: {{key: a}}}}
         - {{type: world_thing, name: b, config: {{key: b, val: {val}}}, dependsOn: [a]}}"
    ))
}

async fn row_of(story: &Story, address: &str) -> Row {
    let stacks = story.store.stacks().await.unwrap();
    let rows = story.store.rows(&stacks[0], &Selection::All).await.unwrap();
    rows.into_iter().find(|row| row.address.to_string() == address).unwrap()
}

#[tokio::test]
async fn half_done_create_is_tainted_and_reported_with_provider_error() {
    let story = Story::new();
    story.fault("create b", Fault::Half(ErrorKind::Failed));
    let report = story.apply_once(&pair("1")).await;
    let output: Vec<&str> = report.failed.iter().map(|failed| failed.error.as_str()).collect();
    assert_eq!(output, ["create b came to half of it"], "without the differences");
    let row = row_of(&story, "world_thing.b").await;
    assert_eq!(row.status, RowStatus::Tainted);
    assert!(row.attributes.as_str().contains("a lie"), "as read: {}", row.attributes.as_str());
    assert_eq!(summary(&story.plan(&pair("1")).await), "-/+ world_thing.b (is tainted, so must be replaced)\n");
}

#[tokio::test]
async fn failed_update_keeps_the_recorded_row() {
    let story = Story::new();
    story.apply(&pair("1")).await;
    let before = row_of(&story, "world_thing.b").await;
    story.fault("update b", Fault::Before(ErrorKind::Failed));
    let report = story.apply_once(&pair("2")).await;
    let output: Vec<&str> = report.failed.iter().map(|failed| failed.error.as_str()).collect();
    assert_eq!(output, ["update b was refused"]);
    assert_eq!(row_of(&story, "world_thing.b").await, before);
}

#[tokio::test]
async fn deviating_update_is_reported_and_recorded_untainted() {
    let story = Story::new();
    story.apply(&pair("1")).await;
    story.fault("update b", Fault::Lie);
    let report = story.apply_once(&pair("2")).await;
    assert!(report.failed[0].error.contains("the result at `val` differs from the plan"), "{:?}", report.failed);
    let row = row_of(&story, "world_thing.b").await;
    assert_eq!(row.status, RowStatus::Ready);
    assert!(row.attributes.as_str().contains("a lie"), "{}", row.attributes.as_str());
}

#[tokio::test]
async fn tainted_object_with_failed_deletion_keeps_its_row() {
    let story = Story::new();
    story.fault("create b", Fault::After(ErrorKind::Bug));
    story.apply_once(&pair("1")).await;
    let before = row_of(&story, "world_thing.b").await;
    assert_eq!(before.status, RowStatus::Tainted);
    story.fault("delete b", Fault::Before(ErrorKind::PermissionDenied));
    let report = story.destroy().await;
    assert_eq!(report.failed.len(), 1);
    assert_eq!(row_of(&story, "world_thing.b").await, before, "still tainted, with dependencies and private data");
    assert_eq!(before.dependencies.len(), 1);
}

#[tokio::test]
async fn cancel_reaches_the_running_call_and_its_effect_is_recorded() {
    let story = Story::new();
    story.fault("create a", Fault::UntilStopped);
    let plan = story.plan(&pair("1")).await;
    let applier = story.applier();
    let hung = story.remote().hung.clone();
    let stop = async {
        hung.cancelled().await;
        story.cancel.cancel();
    };
    let (report, ()) = tokio::join!(applier.apply(&plan, uuid::Uuid::now_v7()), stop);
    let report = report.unwrap();
    assert!(report.is_interrupted);
    assert_eq!(report.not_started.len(), 1);
    assert_eq!((story.rows().await, story.log()), (vec!["world_thing.a".to_owned()], vec!["create a".to_owned()]));
    let again = Story { cancel: tokio_util::sync::CancellationToken::new(), ..story };
    again.apply(&pair("1")).await;
    assert_eq!(again.log(), ["create b"], "it continues where it stopped");
}

#[tokio::test]
async fn protected_resource_is_neither_replaced_nor_scaled_in() {
    let story = Story::new();
    let text = |keys: &str, name: &str| {
        stack(&format!(
            "- {{type: world_thing, name: a, forEach: {keys}, lifecycle: {{preventDestroy: true}}, \
             config: {{key: '${{{{ \"{name}\" + each.key }}}}'}}}}"
        ))
    };
    story.apply(&text("[x, y]", "n")).await;
    let messages = story.errors(&text("[x]", "n")).await;
    assert!(messages.contains("world_thing.a[\"y\"] is protected and would be deleted"), "{messages}");
    assert!(!messages.contains("[\"x\"]"), "{messages}");
    let messages = story.errors(&text("[x, y]", "m")).await;
    assert!(messages.contains("world_thing.a[\"x\"] is protected and would be replaced"), "{messages}");
    story.apply(&text("[x, y]", "n")).await;
}

#[tokio::test]
async fn numbered_instances_are_removed_by_number_not_by_text() {
    let story = Story::new();
    let text = |count: usize| {
        stack(&format!(
            "- {{type: world_thing, name: a, forEach: '${{{{ range({count}) }}}}', \
             config: {{key: '${{{{ \"k\" + string(each.value) }}}}'}}}}"
        ))
    };
    story.apply(&text(12)).await;
    story.log();
    let plan = story.plan(&text(2)).await;
    let gone = plan.changes().filter(|(_, change)| change.action.removes_object()).count();
    assert_eq!((gone, plan.changes().count()), (10, 12));
    let output = terrace_engine::render::json::plan(&plan, "digest");
    let changes = output["resource_changes"].as_array().unwrap();
    let reasons = changes.iter().filter_map(|change| change["action_reason"].as_str());
    assert_eq!(reasons.collect::<Vec<_>>(), ["delete_because_each_key"; 10]);
    story.apply(&text(2)).await;
    assert_eq!(story.remote().objects.keys().collect::<Vec<_>>(), ["k0", "k1"]);
}

#[tokio::test]
async fn cycle_of_components_is_reported() {
    let story = Story::new();
    let component = |name: &str, on: &str| {
        format!(
            "  {name}: {{dependsOn: [{on}], resources: [{{type: world_thing, name: t, config: {{key: {name}}}}}]}}\n"
        )
    };
    let stack = |components: &str| {
        format!("apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: demo}}\ncomponents:\n{components}")
    };
    insta::assert_snapshot!(
        story.errors(&stack(&(component("a", "b") + &component("b", "c") + &component("c", "a")))).await
    );
    insta::assert_snapshot!(story.errors(&stack(&component("a", "a"))).await);
    assert!(story.log().is_empty());
}
