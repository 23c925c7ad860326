//! Drift between state and objects: reported without a write, and the same as in a plan.

use crate::support::Story;
use crate::support::story::stack;
use terrace_engine::address::StackId;
use terrace_engine::drift::{DriftItem, DriftKind, detect};
use terrace_engine::plan::options::Options;
use terrace_engine::render::{drift, human, json};
use terrace_engine::source::Sources;
use terrace_engine::store::{Row, Selection};
use uuid::Uuid;

/// The drift of a stack. Detection reads objects even with `refresh: false`.
async fn drift_of(story: &Story, name: &str, selection: &Selection) -> Vec<DriftItem> {
    let before = story.remote().log.len();
    let (engine, sources) = (story.engine(), Sources::default());
    let options = Options { refresh: false, ..Options::default() };
    let now = (jiff::Timestamp::UNIX_EPOCH, Uuid::now_v7());
    let planner = engine.planner(story.store.as_ref(), &sources, &options, now);
    let (items, diagnostics) = detect(&planner, &StackId::new(name, "test"), selection).await.unwrap();
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    assert_eq!(story.remote().log.len(), before, "drift changes nothing");
    items
}

fn things() -> String {
    stack(
        "- {type: world_thing, name: same, config: {key: same, val: {a: 1}}}\n\
         - {type: world_thing, name: edited, config: {key: edited, val: {a: {b: 1}, c: 2}}}\n\
         - {type: world_thing, name: gone, config: {key: gone}}\n\
         - {type: world_thing, name: again, config: {key: again}}\n\
         - {type: world_thing, name: secret, config: {key: secret, secret: hunter2}}\n",
    )
}

/// A story with every kind of drift.
async fn drifted() -> Story {
    // One step at a time, so that ids have the same order each time.
    let story = Story { parallelism: 1, ..Story::new() };
    story.apply(&things()).await;
    let mut remote = story.remote();
    remote.objects.remove("gone");
    let edit = serde_json::json!({"a": {"b": 9}, "c": 2});
    remote.objects.get_mut("edited").unwrap().insert("val".to_owned(), edit.into());
    remote.objects.get_mut("again").unwrap().insert("id".to_owned(), "id-another".into());
    remote.objects.get_mut("secret").unwrap().insert("secret".to_owned(), "hunter3".into());
    drop(remote);
    story
}

#[tokio::test]
async fn unchanged_objects_have_no_drift() {
    let story = Story::new();
    story.apply(&things()).await;
    assert!(drift_of(&story, "demo", &Selection::All).await.is_empty());
}

#[tokio::test]
async fn changed_deleted_and_recreated_objects_are_drift() {
    let story = drifted().await;
    let items = drift_of(&story, "demo", &Selection::All).await;
    insta::assert_snapshot!(drift::human(&[], &items, &human::Human::default()));
    assert!(!drift::json(&items).to_string().contains("hunter"));
}

#[tokio::test]
async fn plan_shows_the_same_drift_and_corrects_it() {
    let story = drifted().await;
    let plan = story.plan(&things()).await;
    let text = human::plan(&plan, &human::Human::default());
    insta::assert_snapshot!(text);
    assert!(!text.contains("hunter") && !json::plan(&plan, "digest").to_string().contains("hunter"));
    story.apply_plan(&plan).await.unwrap();
    assert!(drift_of(&story, "demo", &Selection::All).await.is_empty());
}

#[tokio::test]
async fn shared_rows_of_chosen_components_are_checked_too() {
    let story = Story::new();
    story
        .apply(
            "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: demo}\ncomponents:\n  x:\n    resources:\n      \
             - {type: world_thing, name: base, shared: common, config: {key: base}}\n  y:\n    resources:\n      \
             - {type: world_thing, name: own, config: {key: own}}\n",
        )
        .await;
    story.remote().objects.clear();
    let addresses = |items: Vec<DriftItem>| -> Vec<String> {
        items.iter().map(|item| format!("{}:{}", item.stack, item.address)).collect()
    };
    let all = addresses(drift_of(&story, "demo", &Selection::All).await);
    assert_eq!(all, ["demo@test:y/world_thing.own", "shared@test:shared/world_thing[\"common\"]"]);
    let only = |component: &str| Selection::Components([component.into()].into());
    let chosen = addresses(drift_of(&story, "demo", &only("x")).await);
    assert_eq!(chosen, ["shared@test:shared/world_thing[\"common\"]"]);
    let chosen = addresses(drift_of(&story, "demo", &only("y")).await);
    assert_eq!(chosen, ["demo@test:y/world_thing.own"]);
}

#[tokio::test]
async fn ignored_changes_are_no_drift_unless_the_object_was_recreated() {
    let text = |ignored: &str| {
        stack(&format!(
            "- {{type: world_thing, name: a, lifecycle: {{ignoreChanges: [{ignored}]}}, \
               config: {{key: a, val: {{x: 1, y: 1}}}}}}"
        ))
    };
    let paths = |items: Vec<DriftItem>| -> Vec<String> {
        items.iter().flat_map(|item| &item.attributes).map(|attribute| attribute.path.to_string()).collect()
    };
    for (ignored, expected) in
        [("'*'", vec![]), ("val", vec![]), ("val.x", vec!["val.y"]), ("secret", vec!["val.x", "val.y"])]
    {
        let story = Story::new();
        story.apply(&text("")).await;
        // The lifecycle is recorded even without another change.
        story.apply(&text(ignored)).await;
        let edit = serde_json::json!({"x": 2, "y": 2});
        story.remote().objects.get_mut("a").unwrap().insert("val".to_owned(), edit.into());
        assert_eq!(paths(drift_of(&story, "demo", &Selection::All).await), expected, "{ignored}");
        story.remote().objects.get_mut("a").unwrap().insert("id".to_owned(), "id-another".into());
        let items = drift_of(&story, "demo", &Selection::All).await;
        assert_eq!(items.iter().map(|item| item.kind).collect::<Vec<_>>(), [DriftKind::Recreated], "{ignored}");
    }
}

/// The same store and remote system, planned with `refresh_only`.
fn refresher(story: &Story) -> Story {
    let options = Options { refresh_only: true, ..Options::default() };
    Story { options, remote: story.remote.clone(), ..story.beside() }
}

#[tokio::test]
async fn refresh_only_plan_records_drift_and_changes_nothing() {
    let story = drifted().await;
    let refresher = refresher(&story);
    let plan = refresher.plan(&things()).await;
    assert!(plan.has_changes());
    let output = human::plan(&plan, &human::Human::default());
    insta::assert_snapshot!(output);
    let output = json::plan(&plan, "digest");
    assert_eq!(output["resource_drift"].as_array().unwrap().len(), 4);
    let actions: Vec<_> =
        output["resource_changes"].as_array().unwrap().iter().map(|it| &it["change"]["actions"]).collect();
    assert!(
        actions
            .iter()
            .all(|action| **action == serde_json::json!(["no-op"]) || **action == serde_json::json!(["forget"]))
    );
    assert!(!output.to_string().contains("hunter"));
    story.log();
    refresher.apply_plan(&plan).await.unwrap();
    assert_eq!(story.log(), [""; 0]);
    assert!(drift_of(&story, "demo", &Selection::All).await.is_empty());
    assert!(!refresher.plan(&things()).await.has_changes());
    // A normal plan corrects the drift that is recorded now.
    story.apply(&things()).await;
    assert!(story.log().contains(&"create gone".to_owned()));
}

#[tokio::test]
async fn refresh_only_updates_undeclared_and_tainted_rows() {
    let story = Story { parallelism: 1, ..Story::new() };
    story.fault("create edited", crate::support::world::Fault::After(terrace_provider::ErrorKind::Failed));
    story.apply_once(&things()).await;
    let edit = serde_json::json!(7);
    story.remote().objects.get_mut("edited").unwrap().insert("val".to_owned(), edit.clone().into());
    story.remote().objects.get_mut("same").unwrap().insert("val".to_owned(), edit.into());
    let refresher = refresher(&story);
    let plan = refresher.plan(&stack("")).await;
    refresher.apply_plan(&plan).await.unwrap();
    assert!(story.rows().await.contains(&"world_thing.edited (Tainted)".to_owned()));
    let rows = story.store.rows(&StackId::new("demo", "test"), &Selection::All).await.unwrap();
    assert_eq!(rows.iter().filter(|row| row.attributes.as_str().contains("\"val\":7")).count(), 2);
}

#[tokio::test]
async fn refresh_only_plan_moves_rows_too() {
    let story = Story::new();
    story.apply(&stack("- {type: world_thing, name: a, config: {key: k, val: 1}}")).await;
    story.remote().objects.get_mut("k").unwrap().insert("val".to_owned(), serde_json::json!(2).into());
    let text = stack("- {type: world_thing, name: b, config: {key: k, val: 1}}")
        + "moved: [{from: world_thing.a, to: world_thing.b}]\n";
    let refresher = refresher(&story);
    let plan = refresher.plan(&text).await;
    assert_eq!(crate::support::story::summary(&plan), "> world_thing.b from world_thing.a\n");
    refresher.apply_plan(&plan).await.unwrap();
    assert_eq!(story.rows().await, ["world_thing.b"]);
    assert_eq!(crate::support::story::summary(&story.plan(&text).await), "~ world_thing.b\n");
}

/// A story with a deposed object: a replaced object, `one`, whose deletion failed.
async fn with_deposed_object() -> Story {
    let story = Story::new();
    story.apply(&replaced("one")).await;
    story.fault("delete one", crate::support::world::Fault::Before(terrace_provider::ErrorKind::PermissionDenied));
    assert_eq!(story.apply_once(&replaced("two")).await.failed.len(), 1);
    assert_eq!(story.rows().await, ["world_thing.a", "world_thing.a (deposed)"]);
    story.log();
    story
}

fn replaced(key: &str) -> String {
    stack(&format!(
        "- {{type: world_thing, name: a, lifecycle: {{createBeforeDestroy: true}}, config: {{key: {key}, val: 1}}}}"
    ))
}

#[tokio::test]
async fn refresh_only_plan_records_drift_of_a_deposed_object() {
    let story = with_deposed_object().await;
    let before = row_of(&story, true).await;
    story.remote().objects.get_mut("one").unwrap().insert("val".to_owned(), serde_json::json!(7).into());
    let refresher = refresher(&story);
    let plan = refresher.plan(&replaced("two")).await;
    let key = before.deposed.clone().unwrap();
    let output = human::plan(&plan, &human::Human::default()).replace(&key, "0badcafe");
    insta::assert_snapshot!(output, @"
    stack demo@test

        world_thing.a (deposed object 0badcafe)   changed outside terrace, is recorded
          drifted: recorded → found
              ~ val = 1 → 7

    Plan: 0 to add, 0 to change, 0 to destroy.
    (1 drifted)
    This is a refresh-only plan: apply records the objects as they are, and changes nothing else.
    ");
    let output = json::plan(&plan, "digest");
    assert_eq!(output["resource_drift"].as_array().unwrap().len(), 1);
    assert_eq!(output["resource_drift"][0]["deposed"], serde_json::json!(key));
    refresher.apply_plan(&plan).await.unwrap();
    assert_eq!(story.log(), [""; 0]);
    let (current, deposed) = (row_of(&story, false).await, row_of(&story, true).await);
    assert!(current.attributes.as_str().contains("\"val\":1") && deposed.attributes.as_str().contains("\"val\":7"));
    assert_eq!((deposed.deposed, deposed.dependencies), (Some(key), before.dependencies));
    assert!(!refresher.plan(&replaced("two")).await.has_changes());
    // A normal plan deletes it as it is recorded now.
    story.apply(&replaced("two")).await;
    assert_eq!(story.log(), ["delete one"]);
}

#[tokio::test]
async fn refresh_only_plan_drops_a_missing_deposed_object() {
    let story = with_deposed_object().await;
    story.remote().objects.remove("one");
    let refresher = refresher(&story);
    let plan = refresher.plan(&replaced("two")).await;
    refresher.apply_plan(&plan).await.unwrap();
    assert_eq!(story.rows().await, ["world_thing.a"]);
    assert_eq!(story.log(), [""; 0]);
    assert!(!refresher.plan(&replaced("two")).await.has_changes());
}

#[tokio::test]
async fn changes_of_a_deposed_object_are_drift() {
    let story = with_deposed_object().await;
    let key = row_of(&story, true).await.deposed.unwrap();
    story.remote().objects.get_mut("one").unwrap().insert("val".to_owned(), serde_json::json!(7).into());
    let items = drift_of(&story, "demo", &Selection::All).await;
    insta::assert_snapshot!(drift::human(&[], &items, &human::Human::default()).replace(&key, "0badcafe"), @"
    stack demo@test  (recorded → found)

      ~ world_thing.a (deposed object 0badcafe)   changed
          ~ val = 1 → 7

    Drift: 1 resource differs from the state.
    ");
    let output = drift::json(&items);
    assert_eq!(output["drifted"][0]["deposed"], serde_json::json!(key));
    story.remote().objects.remove("one");
    let items = drift_of(&story, "demo", &Selection::All).await;
    assert_eq!((items.len(), items[0].kind), (1, DriftKind::Deleted));
}

#[tokio::test]
async fn deposed_object_is_recorded_at_the_new_address_of_its_resource() {
    let story = with_deposed_object().await;
    story.remote().objects.get_mut("one").unwrap().insert("val".to_owned(), serde_json::json!(7).into());
    let text = replaced("two").replace("name: a", "name: b") + "moved: [{from: world_thing.a, to: world_thing.b}]\n";
    let refresher = refresher(&story);
    let plan = refresher.plan(&text).await;
    refresher.apply_plan(&plan).await.unwrap();
    assert_eq!(story.rows().await, ["world_thing.b", "world_thing.b (deposed)"]);
    assert!(row_of(&story, true).await.attributes.as_str().contains("\"val\":7"));
    assert!(!refresher.plan(&text).await.has_changes());
}

async fn row_of(story: &Story, is_deposed: bool) -> Row {
    let rows = story.store.rows(&StackId::new("demo", "test"), &Selection::All).await.unwrap();
    rows.into_iter().find(|row| row.deposed.is_some() == is_deposed).unwrap()
}

#[tokio::test]
async fn refresh_only_plan_updates_dependencies_on_moved_rows() {
    let story = Story::new();
    let text = |name: &str| {
        stack(&format!(
            "- {{type: world_thing, name: {name}, config: {{key: k}}}}
             - {{type: world_thing, name: user, dependsOn: [{name}], config: {{key: user, val: 1}}}}"
        ))
    };
    story.apply(&text("a")).await;
    story.remote().objects.get_mut("user").unwrap().insert("val".to_owned(), serde_json::json!(2).into());
    let moved = text("b") + "moved: [{from: world_thing.a, to: world_thing.b}]\n";
    let refresher = refresher(&story);
    refresher.apply_plan(&refresher.plan(&moved).await).await.unwrap();
    let rows = story.store.rows(&StackId::new("demo", "test"), &Selection::All).await.unwrap();
    let user = rows.iter().find(|row| row.address.name == "user").unwrap();
    assert_eq!(user.dependencies, ["world_thing.b".parse().unwrap()]);
}

#[tokio::test]
async fn plan_without_refresh_trusts_the_state() {
    let story = drifted().await;
    let believing = Story {
        options: Options { refresh: false, ..Options::default() },
        remote: story.remote.clone(),
        ..story.beside()
    };
    story.remote().reads.clear();
    assert!(!believing.plan(&things()).await.has_changes());
    assert_eq!(story.remote().reads, [""; 0]);
}
