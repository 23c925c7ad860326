//! Dependencies of deferred resources: not deleted before the deferred changes.

use crate::deferral::{both, deferring};
use crate::failure::crash_while;
use crate::support::story::stack;
use crate::support::world::Fault;
use terrace_provider::ErrorKind;

/// `b`, first with known keys and a dependency on `old`, then with unknown keys and no dependency.
fn with_old_objects(old: &str, n: &str, b: &str) -> String {
    stack(&format!(
        "{old}\n- {{type: world_thing, name: n, config: {{key: n, val: {n}}}}}\n- {{type: world_thing, name: b, {b}, config: \
         {{key: 'b-${{{{ each.key }}}}'}}}}"
    ))
}

const KNOWN: &str = "forEach: [x], dependsOn: [old]";
const UNKNOWN: &str = "forEach: '${{ resources.n.echo }}'";

#[tokio::test]
async fn dependencies_of_deferred_objects_are_not_deleted_yet() {
    let story = deferring();
    let old = "- {type: world_thing, name: older, config: {key: older}}
               - {type: world_thing, name: old, dependsOn: [older], config: {key: old}}
               - {type: world_thing, name: alone, config: {key: alone}}";
    story.apply(&with_old_objects(old, "[x]", KNOWN)).await;
    story.log();
    let next = with_old_objects("", "[z]", UNKNOWN);
    insta::assert_snapshot!(both(&story.plan(&next).await), @r#"
    - world_thing.alone (is not declared any more)
    ~ world_thing.n
    --
    ~ world_thing.b[*] its instances are known after world_thing.n
    - world_thing.old is not removed yet: world_thing.b["x"] may depend on it
    - world_thing.older is not removed yet: world_thing.old may depend on it
    "#);
    story.apply_once(&next).await;
    let mut log = story.log();
    log.sort();
    assert_eq!(log, ["delete alone", "update n"]);
    story.apply(&next).await;
    let log = story.log();
    let at = |call: &str| log.iter().position(|it| it == call).unwrap_or_else(|| panic!("{call}: {log:?}"));
    assert!(at("delete b-x") < at("delete old") && at("delete old") < at("delete older"), "{log:?}");
}

#[tokio::test]
async fn deletions_wait_for_all_instances_and_components() {
    let story = deferring();
    let old = "- {type: world_thing, name: old, forEach: [p, q], config: {key: '${{ each.key }}'}}";
    story.apply(&with_old_objects(old, "[x]", KNOWN)).await;
    story.log();
    insta::assert_snapshot!(both(&story.plan(&with_old_objects("", "[z]", UNKNOWN)).await), @r#"
    ~ world_thing.n
    --
    ~ world_thing.b[*] its instances are known after world_thing.n
    - world_thing.old["p"] is not removed yet: world_thing.b["x"] may depend on it
    - world_thing.old["q"] is not removed yet: world_thing.b["x"] may depend on it
    "#);
    let story = deferring();
    let of = |base: &str, depends: &str, each: &str| {
        format!(
            "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: demo}}\ncomponents:\n{base}  top:\n    dependsOn: \
             [{depends}]\n    resources:\n      - {{type: world_thing, name: n, config: {{key: n, val: {each}}}}}\n      - {{type: \
             world_thing, name: b, forEach: '${{{{ resources.n.echo }}}}', config: {{key: 'b-${{{{ each.key }}}}'}}}}\n"
        )
    };
    let base = "  base:\n    resources: [{type: world_thing, name: o, config: {key: o}}]\n";
    story.apply_once(&of(base, "base", "[x]")).await;
    story.apply(&of(base, "base", "[x]")).await;
    story.log();
    let next = of("", "", "[z]");
    insta::assert_snapshot!(both(&story.plan(&next).await), @r#"
    ~ top/world_thing.n
    --
    - base/world_thing.o is not removed yet: top/world_thing.b["x"] may depend on it
    ~ top/world_thing.b[*] its instances are known after top/world_thing.n
    "#);
    story.apply_once(&next).await;
    assert_eq!(story.log(), ["update n"]);
    assert_eq!(story.rows().await, ["base/world_thing.o", "top/world_thing.b[\"x\"]", "top/world_thing.n"]);
    story.apply(&next).await;
    let log = story.log();
    assert!(log.iter().position(|it| it == "delete b-x") < log.iter().position(|it| it == "delete o"), "{log:?}");
    assert!(log.contains(&"delete o".to_owned()), "{log:?}");
}

#[tokio::test]
async fn deletions_wait_in_renamed_components() {
    let story = deferring();
    let of = |base: &str, things: &str, n: &str| {
        format!(
            "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: demo}}\ncomponents:\n  {base}:\n    resources: \
             [{things}]\n  top:\n    dependsOn: [{base}]\n    resources:\n      - {{type: world_thing, name: n, config: {{key: n, \
             val: {n}}}}}\n      - {{type: world_thing, name: b, forEach: '${{{{ resources.n.echo }}}}', config: {{key: 'b-${{{{ \
             each.key }}}}'}}}}\n"
        )
    };
    let (kept, gone) =
        ("{type: world_thing, name: p, config: {key: p}}", "{type: world_thing, name: o, config: {key: o}}");
    let text = of("base", &format!("{kept}, {gone}"), "[x]");
    story.apply_once(&text).await;
    story.apply(&text).await;
    story.log();
    let next = of("core", kept, "[z]") + "moved: [{from: base/, to: core/}]\n";
    insta::assert_snapshot!(both(&story.plan(&next).await), @r#"
    > core/world_thing.p from base/world_thing.p
    ~ top/world_thing.n
    --
    - core/world_thing.o is not removed yet: top/world_thing.b["x"] may depend on it
    ~ top/world_thing.b[*] its instances are known after top/world_thing.n
    "#);
    story.apply_once(&next).await;
    assert_eq!(story.log(), ["update n"]);
    story.apply(&next).await;
    let log = story.log();
    assert!(log.iter().position(|it| it == "delete b-x") < log.iter().position(|it| it == "delete o"), "{log:?}");
    assert!(log.contains(&"delete o".to_owned()), "{log:?}");
    assert!(story.rows().await.iter().all(|row| !row.starts_with("base/")));
}

#[tokio::test]
async fn dependencies_of_deferred_objects_are_not_replaced() {
    let story = deferring();
    let old = "- {type: world_thing, name: old, config: {key: old}}";
    story.apply(&with_old_objects(old, "[x]", KNOWN)).await;
    story.log();
    let next = with_old_objects(&old.replace("key: old", "key: new"), "[z]", &format!("{UNKNOWN}, dependsOn: [old]"));
    insta::assert_snapshot!(story.errors(&next).await, @r#"
    stack.yaml:5:31: `world_thing.old` would be replaced, and `world_thing.b["x"]`, which is deferred, may depend on it
      hint: to replace only this resource first, run `terrace apply … --target 'world_thing.old'`
    "#);
    // The hint works.
    let mut targeted = story.other_process();
    targeted.options.allow_deferral = true;
    targeted.options.targets = vec![(None, "world_thing.old".parse().unwrap())];
    targeted.apply_once(&next).await;
    assert_eq!(story.log(), ["delete old", "create new"]);
    story.apply_once(&next).await;
    story.apply(&next).await;
    // A state-only resource is no object to depend on.
    let story = deferring();
    let old = "- {type: world_note, name: old, config: {key: old}}";
    story.apply(&with_old_objects(old, "[x]", KNOWN)).await;
    let next = with_old_objects(&old.replace("key: old", "key: new"), "[z]", &format!("{UNKNOWN}, dependsOn: [old]"));
    insta::assert_snapshot!(both(&story.plan(&next).await), @"
    -/+ world_note.old (must be replaced)
    ~ world_thing.n
    --
    ~ world_thing.b[*] its instances are known after world_thing.n
    ");
}

#[tokio::test]
async fn nothing_is_created_in_place_of_a_deferred_object() {
    let story = deferring();
    let old = "- {type: world_thing, name: old, config: {key: old}}";
    story.apply(&with_old_objects(old, "[x]", KNOWN)).await;
    let next = with_old_objects(&old.replace("name: old", "name: other"), "[z]", UNKNOWN);
    insta::assert_snapshot!(story.errors(&next).await, @"
    stack.yaml:5:31: `world_thing.other` would be the object of `world_thing.old`, which is deferred
      hint: exclude it until the deferred resource is planned: `--exclude 'world_thing.other'`
    ");
    let next = with_old_objects("- {type: world_thing, name: other, config: {key: b-x}}", "[z]", UNKNOWN);
    insta::assert_snapshot!(story.errors(&next).await, @r#"
    stack.yaml:5:31: `world_thing.other` would be the object of `world_thing.b["x"]`, which is deferred
      hint: exclude it until the deferred resource is planned: `--exclude 'world_thing.other'`
    "#);
}

#[tokio::test]
async fn retained_data_is_not_reported_as_waiting() {
    let story = deferring();
    let old = "- {type: world_data, name: old, config: {key: old}}";
    story.apply(&with_old_objects(old, "[x]", KNOWN)).await;
    insta::assert_snapshot!(both(&story.plan(&with_old_objects("", "[z]", UNKNOWN)).await), @r#"
    ~ world_thing.n
    --
    o world_data.old is not removed yet: world_thing.b["x"] may depend on it
    ~ world_thing.b[*] its instances are known after world_thing.n
    "#);
    story.apply(&with_old_objects("", "[x]", "forEach: [x]")).await;
    insta::assert_snapshot!(both(&story.plan(&with_old_objects("", "[z]", UNKNOWN)).await), @"
    ~ world_thing.n
    --
    ~ world_thing.b[*] its instances are known after world_thing.n
    ");
}

#[tokio::test]
async fn step_in_doubt_of_a_deferred_resource_is_reported() {
    let story = deferring();
    let slow = |n: &str, b: &str| {
        with_old_objects("", n, b).replace("type: world_thing, name: b", "type: world_slow, name: b")
    };
    let changed = slow("[x]", "forEach: [x]").replace("key: 'b-${{ each.key }}'", "key: 'b-${{ each.key }}', val: 2");
    story.apply(&slow("[x]", "forEach: [x]")).await;
    crash_while(&story, &changed, "update b-x", Fault::HangBefore).await;
    story.end_processes().await;
    story.recover().await;
    let plan = story.plan(&slow("[z]", UNKNOWN)).await;
    insta::assert_snapshot!(both(&plan), @r#"
      world_slow.b["x"]
      world_thing.n
    --
    ~ world_slow.b[*] its instances are known after world_thing.n
    "#);
    let doubts: Vec<_> = plan.changes().filter(|(_, change)| change.in_doubt.is_some()).collect();
    assert_eq!(doubts[0].1.address.to_string(), "world_slow.b[\"x\"]");
    assert_eq!(story.apply_plan(&plan).await.unwrap().failed.len(), 0);
}

#[tokio::test]
async fn deposed_object_stays_while_deferred_objects_may_depend_on_it() {
    let story = deferring();
    let old = "- {type: world_thing, name: old, lifecycle: {createBeforeDestroy: true}, config: {key: old}}";
    story.apply(&with_old_objects(old, "[x]", KNOWN)).await;
    story.fault("delete old", Fault::Before(ErrorKind::PermissionDenied));
    let next = old.replace("key: old", "key: new");
    story.apply_once(&with_old_objects(&next, "[x]", KNOWN)).await;
    story.log();
    let left = with_old_objects(&next, "[z]", &format!("{UNKNOWN}, dependsOn: [old]"));
    insta::assert_snapshot!(both(&story.plan(&left).await), @r#"
    ~ world_thing.n
    --
    ~ world_thing.b[*] its instances are known after world_thing.n
    - world_thing.old is not removed yet: world_thing.b["x"] may depend on it
    "#);
    story.apply_once(&left).await;
    assert_eq!(story.log(), ["update n"]);
    story.apply(&left).await;
    assert!(story.log().contains(&"delete old".to_owned()));
}
