//! Replacements that create the new object before they delete the old one.

use crate::failure::crash_while;
use crate::support::Story;
use crate::support::story::{stack, summary};
use crate::support::world::Fault;
use terrace_engine::action::Action;
use terrace_engine::plan::options::Consent;
use terrace_engine::plan::{Change, Plan};
use terrace_engine::render::{human, json, markdown};
use terrace_provider::ErrorKind;

const FIRST: &str = "lifecycle: {createBeforeDestroy: true}, ";

/// `b` uses `a`, which is created first.
fn pair(key: &str) -> String {
    stack(&format!(
        "- {{type: world_thing, name: a, {FIRST}config: {{key: {key}}}}}\n\
         - {{type: world_thing, name: b, config: {{key: b, val: '${{{{ resources.a.id }}}}'}}}}"
    ))
}

fn one(key: &str) -> String {
    stack(&format!("- {{type: world_thing, name: a, {FIRST}config: {{key: {key}}}}}"))
}

fn actions(plan: &Plan) -> Vec<String> {
    let output_of = |change: &Change| format!("{} {}", change.action.sign(), change.address.name);
    plan.changes().filter(|(_, change)| change.action != Action::NoOp).map(|(_, change)| output_of(change)).collect()
}

#[tokio::test]
async fn new_object_is_created_before_consumers_move_and_old_one_goes() {
    let story = Story::new();
    story.apply(&pair("one")).await;
    story.log();
    let plan = story.plan(&pair("two")).await;
    assert_eq!(summary(&plan), "+/- world_thing.a (must be replaced)\n~ world_thing.b\n");
    let report = story.apply(&pair("two")).await;
    assert_eq!(story.log(), ["create two", "update b", "delete one"]);
    assert_eq!(story.rows().await, ["world_thing.a", "world_thing.b"]);
    assert_eq!(report.counts(), (1, 1, 1));
}

#[tokio::test]
async fn old_object_has_a_deposed_row_until_it_is_deleted() {
    let story = Story::new();
    story.apply(&pair("one")).await;
    crash_while(&story, &pair("two"), "delete one", Fault::HangBefore).await;
    assert_eq!(story.rows().await, ["world_thing.a", "world_thing.a (deposed)", "world_thing.b"]);
    story.end_processes().await;
    story.recover().await;
    story.apply(&pair("two")).await;
    assert_eq!(story.log().last().unwrap(), "delete one");
    assert_eq!(story.rows().await, ["world_thing.a", "world_thing.b"]);
}

#[tokio::test]
async fn dependencies_of_a_create_first_resource_are_created_first_too() {
    for uses in ["val: '${{ resources.a.id }}'", "val: 1"] {
        let story = Story::new();
        let text = |key: &str| {
            stack(&format!(
                "- {{type: world_thing, name: b, {FIRST}dependsOn: [a], config: {{key: b, {uses}}}}}\n\
                 - {{type: world_thing, name: a, dependsOn: [base], config: {{key: {key}}}}}\n\
                 - {{type: world_thing, name: base, config: {{key: base-{key}}}}}"
            ))
        };
        story.apply(&text("one")).await;
        story.log();
        let plan = story.plan(&text("two")).await;
        assert!(actions(&plan).starts_with(&["+/- a".to_owned()]), "{}", summary(&plan));
        let json = json::plan(&plan, &"0".repeat(64));
        assert_eq!(json["resource_changes"][0]["change"]["actions"], serde_json::json!(["create", "delete"]));
        story.apply(&text("two")).await;
        let log = story.log();
        assert_eq!(log[..2], ["create base-two", "create two"]);
        assert_eq!(log[log.len() - 2..], ["delete one", "delete base-one"]);
    }
}

#[tokio::test]
async fn chain_of_three_is_replaced_with_any_one_creating_first() {
    for creates_first in 0..3 {
        let story = Story::new();
        let text = |key: &str| {
            let lifecycle = |at: usize| if at == creates_first { FIRST } else { "" };
            stack(&format!(
                "- {{type: world_thing, name: a, {}dependsOn: [c], config: {{key: 'a-{key}-${{{{ resources.b.id }}}}'}}}}\n\
                 - {{type: world_thing, name: b, {}config: {{key: 'b-{key}-${{{{ resources.c.id }}}}'}}}}\n\
                 - {{type: world_thing, name: c, {}config: {{key: c-{key}}}}}",
                lifecycle(0),
                lifecycle(1),
                lifecycle(2)
            ))
        };
        story.apply(&text("one")).await;
        story.log();
        story.apply(&text("two")).await;
        let log = story.log();
        assert_eq!(log.len(), 6, "{log:?}");
        assert_eq!(story.remote().objects.len(), 3);
    }
}

#[tokio::test]
async fn failed_create_keeps_the_old_object() {
    let story = Story::new();
    story.apply(&pair("one")).await;
    story.log();
    story.fault("create two", Fault::Before(ErrorKind::PermissionDenied));
    let report = story.apply_once(&pair("two")).await;
    assert_eq!((report.failed.len(), report.blocked.len()), (1, 1), "{report:?}");
    assert_eq!(story.log(), ["create two"], "nothing is deleted");
    assert_eq!(story.rows().await, ["world_thing.a", "world_thing.b"]);
    story.apply(&pair("two")).await;
    assert_eq!(story.log(), ["create two", "update b", "delete one"]);
}

#[tokio::test]
async fn tainted_object_stays_tainted_if_its_successor_fails() {
    let story = Story::new();
    story.fault("create one", Fault::After(ErrorKind::Failed));
    story.apply_once(&one("one")).await;
    assert_eq!(story.rows().await, ["world_thing.a (Tainted)"]);
    story.fault("create two", Fault::Before(ErrorKind::PermissionDenied));
    assert_eq!(story.apply_once(&one("two")).await.failed.len(), 1);
    assert_eq!(story.rows().await, ["world_thing.a (Tainted)"]);
    story.log();
    story.apply(&one("two")).await;
    assert_eq!(story.log(), ["create two", "delete one"]);
}

#[tokio::test]
async fn half_created_successor_is_recorded_and_both_objects_go() {
    let story = Story::new();
    story.apply(&one("one")).await;
    story.fault("create two", Fault::After(ErrorKind::Failed));
    story.apply_once(&one("two")).await;
    assert_eq!(story.rows().await, ["world_thing.a (Tainted)", "world_thing.a (deposed)"]);
    story.log();
    story.apply(&one("three")).await;
    let mut log = story.log();
    assert!(log.iter().position(|call| call == "create three") < log.iter().position(|call| call == "delete two"));
    log.sort();
    assert_eq!(log, ["create three", "delete one", "delete two"]);
    assert_eq!(story.rows().await, ["world_thing.a"]);
}

/// A story with a deposed object: a replacement whose deletion failed.
async fn with_deposed_object() -> Story {
    let story = Story::new();
    story.apply(&pair("one")).await;
    story.fault("delete one", Fault::Before(ErrorKind::PermissionDenied));
    let report = story.apply_once(&pair("two")).await;
    assert_eq!(report.failed.len(), 1);
    assert_eq!(report.failed[0].error, "delete one was refused");
    story.log();
    story
}

#[tokio::test]
async fn failed_delete_leaves_a_deposed_object_for_the_next_plan() {
    let story = with_deposed_object().await;
    assert_eq!(story.rows().await, ["world_thing.a", "world_thing.a (deposed)", "world_thing.b"]);
    assert!(story.remote().objects.contains_key("one"), "with its own name and id");
    let plan = story.plan(&pair("two")).await;
    assert_eq!(summary(&plan), "- world_thing.a (was replaced, and is left over)\n");
    let deleted: Vec<_> = plan.changes().filter(|(_, change)| change.action == Action::Delete).collect();
    assert_eq!((deleted.len(), deleted[0].1.deposed.is_some()), (1, true));
    story.apply(&pair("two")).await;
    assert_eq!(story.log(), ["delete one"]);
    assert_eq!(story.rows().await, ["world_thing.a", "world_thing.b"]);
}

#[tokio::test]
async fn deposed_object_is_shown_in_every_plan_format() {
    let story = with_deposed_object().await;
    let plan = story.plan(&pair("two")).await;
    let key = plan.changes().find_map(|(_, change)| change.deposed.clone()).unwrap();
    let shown = human::plan(&plan, &human::Human::default()).replace(&key, "0badcafe");
    insta::assert_snapshot!(shown, @"
    stack demo@test

      - world_thing.a (deposed object 0badcafe)   was replaced, and is left over

    Plan: 0 to add, 0 to change, 1 to destroy.
    ");
    let options = markdown::Markdown {
        max_chars: 60_000,
        max_bytes: 240_000,
        digest: "d",
        command: "c",
        consent: markdown::Markdown::CONSENT,
    };
    let shown = markdown::plan(&plan, &options).replace(&key, "0badcafe");
    assert!(
        shown.contains("- `-` `world_thing.a` (deposed object `0badcafe`) was replaced, and is left over\n"),
        "{shown}"
    );
    let json = json::plan(&plan, &"0".repeat(64));
    crate::lifecycle::check_schema(&json);
    let entries = json["resource_changes"].as_array().unwrap().iter().filter(|it| it["address"] == "world_thing.a");
    let output: Vec<_> = entries.map(|it| (it["deposed"].clone(), it["change"]["actions"].clone())).collect();
    let expected =
        [(serde_json::json!(null), serde_json::json!(["no-op"])), (key.into(), serde_json::json!(["delete"]))];
    assert_eq!(output, expected);
}

#[tokio::test]
async fn missing_deposed_object_is_dropped_from_state() {
    let story = with_deposed_object().await;
    story.remote().objects.remove("one");
    let plan = story.plan(&pair("two")).await;
    assert_eq!(summary(&plan), ". world_thing.a (was deleted outside terrace)\n");
    story.apply(&pair("two")).await;
    assert!(story.log().is_empty());
}

#[tokio::test]
async fn replacement_of_the_successor_removes_both_objects() {
    let story = with_deposed_object().await;
    story.fault("delete two", Fault::Before(ErrorKind::PermissionDenied));
    story.apply_once(&pair("three")).await;
    assert_eq!(story.rows().await, ["world_thing.a", "world_thing.a (deposed)", "world_thing.b"]);
    story.apply(&pair("four")).await;
    assert_eq!(story.remote().objects.len(), 2);
    assert_eq!(story.rows().await, ["world_thing.a", "world_thing.b"]);
}

#[tokio::test]
async fn deposed_object_is_deleted_first_if_its_name_is_used_again() {
    let story = with_deposed_object().await;
    story.apply(&pair("one")).await;
    assert_eq!(story.log(), ["delete one", "create one", "update b", "delete two"]);
    let text = |key: &str, of_b: &str| {
        pair(key).replace("name: b, config: {key: b", &format!("name: b, {FIRST}config: {{key: {of_b}"))
    };
    story.apply(&text("one", "b")).await;
    story.fault("delete one", Fault::Before(ErrorKind::PermissionDenied));
    story.apply_once(&text("two", "b")).await;
    story.log();
    // A dependent of that name is deleted before it, whatever its own lifecycle says.
    story.apply(&text("one", "c")).await;
    let mut log = story.log();
    assert_eq!(log[..3], ["delete b", "delete one", "create one"]);
    log.sort();
    assert_eq!(log[..2], ["create c", "create one"]);
}

#[tokio::test]
async fn destroy_deletes_the_current_and_the_deposed_object() {
    let story = with_deposed_object().await;
    let report = story.destroy().await;
    assert!(report.failed.is_empty(), "{report:?}");
    let log = story.log();
    assert_eq!(log[0], "delete b", "{log:?}");
    assert!(story.rows().await.is_empty() && story.remote().objects.is_empty());
    assert!(story.store.stacks().await.unwrap().is_empty());
}

#[tokio::test]
async fn old_object_stays_while_a_consumer_has_not_moved() {
    let story = Story::new();
    story.apply(&pair("one")).await;
    story.fault("update b", Fault::Before(ErrorKind::PermissionDenied));
    let report = story.apply_once(&pair("two")).await;
    assert_eq!((report.failed.len(), report.blocked.len()), (1, 1), "{report:?}");
    assert!(story.remote().objects.contains_key("one"));
    story.log();
    story.apply(&pair("two")).await;
    assert_eq!(story.log(), ["update b", "delete one"]);
}

#[tokio::test]
async fn each_instance_is_created_first_and_its_leftover_goes_alone() {
    let story = Story::new();
    let text = |version: &str| {
        stack(&format!(
            "- {{type: world_thing, name: part, forEach: [x, y], {FIRST}config: {{key: '${{{{ each.key }}}}-{version}'}}}}\n\
             - {{type: world_thing, name: user, forEach: [x, y], config: {{key: 'u${{{{ each.key }}}}', val: '${{{{ resources.part[each.key].id }}}}'}}}}\n\
             - {{type: world_thing, name: all, config: {{key: all, val: '${{{{ resources.part.map(key, resources.part[key].id) }}}}'}}}}"
        ))
    };
    story.apply(&text("1")).await;
    story.log();
    story.fault("delete x-1", Fault::Before(ErrorKind::PermissionDenied));
    let report = story.apply_once(&text("2")).await;
    assert_eq!(report.failed.len(), 1);
    let log = story.log();
    let at = |call: &str| log.iter().position(|it| it == call).unwrap();
    for key in ["x", "y"] {
        assert!(at(&format!("create {key}-2")) < at(&format!("update u{key}")), "{log:?}");
        assert!(at(&format!("update u{key}")) < at(&format!("delete {key}-1")), "{log:?}");
        assert!(at("update all") < at(&format!("delete {key}-1")), "{log:?}");
    }
    story.apply(&text("2")).await;
    assert_eq!(story.log(), ["delete x-1"]);
    story.apply(&text("2").replace("forEach: [x, y]", "forEach: [y]")).await;
    assert_eq!(story.remote().objects.len(), 3);
}

#[tokio::test]
async fn resource_used_by_another_component_is_created_first() {
    let story = Story::new();
    let text = |key: &str| {
        format!(
            "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: demo}}\ncomponents:\n  y:\n    dependsOn: [x]\n    resources:\n\
             \x20     - {{type: world_thing, name: b, {FIRST}config: {{key: b, val: '${{{{ components.x.outputs.id }}}}'}}}}\n\
             \x20 x:\n    resources: [{{type: world_thing, name: a, config: {{key: {key}}}}}]\n    outputs: {{id: '${{{{ resources.a.id }}}}'}}\n"
        )
    };
    story.apply(&text("one")).await;
    story.log();
    story.apply(&text("two")).await;
    assert_eq!(story.log(), ["create two", "update b", "delete one"]);
    story.fault("update b", Fault::Before(ErrorKind::PermissionDenied));
    story.apply_once(&text("three")).await;
    assert!(story.remote().objects.contains_key("two"), "component y still uses it");
}

#[tokio::test]
async fn object_with_unchanged_name_is_deleted_first_with_dependents() {
    let story = Story::new();
    let text = |key: &str| {
        stack(&format!(
            "- {{type: world_thing, name: a, {FIRST}config: {{key: a}}}}\n\
             - {{type: world_thing, name: b, {FIRST}dependsOn: [a], config: {{key: {key}}}}}"
        ))
    };
    story.apply(&text("b")).await;
    // Its failed re-creation taints it: it must be replaced under the same name.
    story.remote().objects.remove("a");
    story.fault("create a", Fault::After(ErrorKind::Failed));
    story.apply_once(&text("b")).await;
    story.log();
    let (plan, diagnostics, sources) = story.try_plan(&text("c")).await;
    assert_eq!(actions(&plan.unwrap()), ["-/+ a", "-/+ b"]);
    insta::assert_snapshot!(crate::support::story::render_diagnostics(&diagnostics, &sources), @"
    stack.yaml:5:31: world_thing.a cannot be created before it is destroyed: the new object has the name of the old one
      hint: change its name too, so that both can exist
    stack.yaml:6:31: world_thing.b cannot be created before it is destroyed: a dependency of it is deleted first
      hint: an object that keeps its name is deleted first
    ");
    story.apply(&text("c")).await;
    assert_eq!(story.log(), ["delete b", "delete a", "create a", "create c"]);
}

#[tokio::test]
async fn state_only_resource_is_replaced_create_first_without_a_call() {
    let story = Story::new();
    let text = |key: &str| stack(&format!("- {{type: world_note, name: a, {FIRST}config: {{key: {key}}}}}"));
    story.apply(&text("one")).await;
    assert_eq!(actions(&story.plan(&text("two")).await), ["+/- a"]);
    story.apply(&text("two")).await;
    assert!(story.log().is_empty());
    assert_eq!(story.rows().await, ["world_note.a"]);
}

#[tokio::test]
async fn deposed_data_is_deleted_only_with_consent() {
    let mut story = Story::new();
    let text = |key: &str| stack(&format!("- {{type: world_data, name: a, {FIRST}config: {{key: {key}}}}}"));
    story.apply(&text("one")).await;
    story.options.allow_data_loss = Consent::All;
    story.fault("delete one", Fault::Before(ErrorKind::PermissionDenied));
    story.apply_once(&text("two")).await;
    story.options.allow_data_loss = Consent::None;
    let refused = story.apply_plan(&story.plan(&text("two")).await).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "demo@test:world_data.a would lose data: the object that was replaced is deleted (3 rows)"
    );
    story.options.remove_data = true;
    story.apply(&text("two")).await;
    assert_eq!(story.remote().objects.len(), 1);
}

#[tokio::test]
async fn shared_resource_is_replaced_create_first() {
    let story = Story::new();
    let text = |key: &str| {
        format!(
            "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: demo}}\ncomponents:\n  x:\n    resources:\n\
             \x20     - {{type: world_thing, name: base, shared: common, {FIRST}config: {{key: {key}}}}}\n\
             \x20     - {{type: world_thing, name: own, config: {{key: own, val: '${{{{ resources.base.id }}}}'}}}}\n"
        )
    };
    story.apply(&text("one")).await;
    story.log();
    story.fault("delete one", Fault::Before(ErrorKind::PermissionDenied));
    story.apply_once(&text("two")).await;
    assert_eq!(story.log(), ["create two", "update own", "delete one"]);
    story.apply(&text("two")).await;
    assert_eq!(story.log(), ["delete one"]);
}

#[tokio::test]
async fn lost_create_of_a_replacement_is_recovered_and_old_object_goes() {
    for fault in [Fault::HangBefore, Fault::HangAfter] {
        let story = Story::new();
        story.apply(&pair("one")).await;
        crash_while(&story, &pair("two"), "create two", fault.clone()).await;
        story.end_processes().await;
        // A plan shows what recovery would record, and writes nothing.
        let (plan, _, _) = story.try_plan(&pair("two")).await;
        let expected: &[&str] = match fault {
            Fault::HangBefore => &["+/- a", "~ b"],
            _ => &["- a", "~ b"],
        };
        assert_eq!(actions(&plan.unwrap()), expected);
        assert_eq!(story.rows().await, ["world_thing.a", "world_thing.b"]);
        assert!(story.recover().await.iter().all(|step| !step.is_in_doubt));
        story.apply(&pair("two")).await;
        assert_eq!(story.remote().objects.keys().collect::<Vec<_>>(), ["b", "two"]);
        assert_eq!(story.rows().await, ["world_thing.a", "world_thing.b"]);
    }
}

#[tokio::test]
async fn deletion_of_deposed_object_in_doubt_blocks_its_component() {
    let story = Story::new();
    let text = |key: &str, val: &str| {
        stack(&format!(
            "- {{type: world_slow, name: a, {FIRST}config: {{key: {key}}}}}\n- {{type: world_thing, name: b, config: {{key: b, val: {val}}}}}"
        ))
    };
    story.apply(&text("one", "1")).await;
    crash_while(&story, &text("two", "1"), "delete one", Fault::HangBefore).await;
    story.end_processes().await;
    assert!(story.recover().await[0].is_in_doubt);
    let plan = story.plan(&text("two", "2")).await;
    let doubts: Vec<_> = plan
        .changes()
        .filter(|(_, change)| change.in_doubt.is_some())
        .map(|(_, change)| format!("{} {}", change.address, change.deposed.is_some()))
        .collect();
    assert_eq!(doubts, ["world_slow.a true", "world_thing.b false"]);
    let report = story.apply_plan(&plan).await.unwrap();
    assert_eq!(report.blocked.len(), 2, "{report:?}");
}

#[tokio::test]
async fn deposed_object_is_moved_and_forgotten_with_its_successor() {
    let story = with_deposed_object().await;
    let moved = pair("two").replace("name: a,", "name: c,").replace("resources.a.id", "resources.c.id");
    let moved = format!("{moved}moved: [{{from: world_thing.a, to: world_thing.c}}]\n");
    let plan = story.plan(&moved).await;
    assert!(summary(&plan).contains("- world_thing.c (was replaced, and is left over)"), "{}", summary(&plan));
    story.apply(&moved).await;
    assert_eq!(story.log(), ["delete one"]);
    assert_eq!(story.rows().await, ["world_thing.b", "world_thing.c"]);

    let story = with_deposed_object().await;
    let text = stack("- {type: world_thing, name: b, config: {key: b}}");
    story.apply(&format!("{text}forget: [world_thing.a]\n")).await;
    assert_eq!(story.log(), ["update b"]);
    assert!(story.remote().objects.contains_key("one") && story.remote().objects.contains_key("two"));
    assert_eq!(story.rows().await, ["world_thing.b"]);
}

#[tokio::test]
async fn moved_and_replaced_object_keeps_its_deposed_row() {
    let story = with_deposed_object().await;
    let moved = |key: &str| {
        let text = pair(key).replace("name: a,", "name: c,").replace("resources.a.id", "resources.c.id");
        format!("{text}moved: [{{from: world_thing.a, to: world_thing.c}}]\n")
    };
    story.fault("delete two", Fault::Before(ErrorKind::PermissionDenied));
    story.apply_once(&moved("three")).await;
    assert_eq!(story.rows().await, ["world_thing.b", "world_thing.c", "world_thing.c (deposed)"]);
    story.apply(&moved("three")).await;
    assert_eq!(story.remote().objects.len(), 2);
}

#[tokio::test]
async fn targeted_plan_leaves_other_deposed_objects() {
    let mut story = with_deposed_object().await;
    story.options.excludes = vec![(None, "world_thing.a".parse().unwrap())];
    assert!(!story.plan(&pair("two")).await.has_changes());
}

#[tokio::test]
async fn refresh_only_plan_keeps_deposed_objects() {
    let mut story = with_deposed_object().await;
    story.options.refresh_only = true;
    assert!(!story.plan(&pair("two")).await.has_changes());
    story.remote().objects.remove("one");
    let plan = story.plan(&pair("two")).await;
    assert_eq!(summary(&plan), ". world_thing.a (was deleted outside terrace)\n");
    story.apply_plan(&plan).await.unwrap();
    assert_eq!(story.rows().await, ["world_thing.a", "world_thing.b"]);
}
