//! Changes that a step in doubt holds back: a plan shows exactly what its apply will do and leave.

use crate::failure::crash_while;
use crate::support::Story;
use crate::support::story::{render_diagnostics, summary};
use crate::support::world::Fault;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use terrace_engine::address::ComponentKey;
use terrace_engine::apply::Report;
use terrace_engine::diagnostic::has_errors;
use terrace_engine::plan::Plan;
use terrace_engine::record::open_component;
use terrace_engine::recover::Verdict;
use terrace_engine::render::human;
use terrace_engine::seal::Seal;
use terrace_engine::store::OwnersOf;
use terrace_provider::{ErrorKind, Value};

/// A stack of the given components.
fn demo(components: &str) -> String {
    format!("apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: demo}}\ncomponents:\n{components}")
}

/// A component with one thing whose calls settle late.
fn late(component: &str, val: &str) -> String {
    format!("  {component}:\n    resources:\n      - {{type: world_slow, name: d, config: {{key: d, val: {val}}}}}\n")
}

/// Applies one descriptor, then loses a call of the next.
async fn lost(before: &str, text: &str, call: &str) -> Story {
    let story = Story::new();
    story.apply(before).await;
    apply_with_lost_call(story, text, call).await
}

/// Applies a descriptor and loses a call of it.
async fn apply_with_lost_call(story: Story, text: &str, call: &str) -> Story {
    crash_while(&story, text, call, Fault::HangBefore).await;
    story.end_processes().await;
    assert!(story.recover().await.iter().any(|step| step.is_in_doubt));
    story.log();
    story
}

/// The recorded outputs by stack, component and name.
async fn outputs(story: &Story) -> BTreeMap<(String, ComponentKey, String), Value> {
    let mut found = BTreeMap::new();
    for stack in story.store.stacks().await.unwrap() {
        for component in story.store.components(&stack).await.unwrap() {
            for (name, value) in open_component(&stack, &component, &story.seal).unwrap().values {
                found.insert((stack.to_string(), component.key.clone(), name), value);
            }
        }
    }
    found
}

/// Applies a plan and checks that the apply does and leaves exactly what the plan shows, without a failure.
async fn apply_as_planned(story: &Story, plan: &Plan) -> Report {
    let mut expected = outputs(story).await;
    let owners = owners(story).await;
    let report = story.apply_plan(plan).await.unwrap();
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    let of = |is_left: bool| -> BTreeSet<String> {
        let changes = plan.changes().filter(|(_, change)| change.is_change() && change.in_doubt.is_some() == is_left);
        changes.map(|(stack, change)| format!("{}:{}", change.stack(&stack.stack), change.address)).collect()
    };
    let blocked: BTreeSet<String> = report.blocked.iter().map(|it| format!("{}:{}", it.stack, it.address)).collect();
    assert_eq!(of(true), blocked);
    let done: BTreeSet<String> = report.done.iter().map(|it| format!("{}:{}", it.stack, it.address)).collect();
    assert_eq!(of(false), done);
    for (stack, output) in plan.stacks.iter().flat_map(|stack| stack.outputs.iter().map(move |it| (stack, it))) {
        let name = (stack.stack.to_string(), output.component.clone(), output.name.clone());
        match &output.after {
            Some(value) => drop(expected.insert(name, value.clone())),
            None => drop(expected.remove(&name)),
        }
    }
    assert_eq!(outputs(story).await, expected);
    let dropped = plan.stacks.iter().flat_map(|stack| &stack.owners).filter(|owner| owner.action.sign() == "-").count();
    assert_eq!(owners.len() - self::owners(story).await.len(), dropped);
    report
}

async fn owners(story: &Story) -> Vec<ComponentKey> {
    let all = OwnersOf::Addresses(["shared/world_thing[\"common\"]".parse().unwrap()].into());
    let owners = story.store.owners("test", &all).await.unwrap();
    owners.iter().map(|owner| owner.ownership.component.clone()).collect()
}

/// The changes that a plan holds back, with their reasons.
fn held(plan: &Plan) -> Vec<String> {
    let held = plan.changes().filter(|(_, change)| change.is_held_back());
    held.map(|(_, change)| format!("{}: {}", change.address, change.in_doubt.as_ref().unwrap().text())).collect()
}

const BY_D: &str = "waits for y/world_slow.d, whose last step is in doubt";

#[tokio::test]
async fn dependents_of_a_replacement_wait_if_its_deletion_waits() {
    let text = |key: &str, val: &str| {
        demo(&format!(
            "  x:\n    resources:\n      - {{type: world_thing, name: a, lifecycle: {{createBeforeDestroy: true}}, config: {{key: {key}}}}}\n    \
             outputs: {{key: '${{{{ resources.a.key }}}}'}}\n{}  z:\n    dependsOn: [x]\n    resources:\n      \
             - {{type: world_thing, name: e, config: {{key: e, val: '${{{{ components.x.outputs.key }}}}'}}}}\n",
            late("y", &format!("'${{{{ components.x.outputs.key }}}} {val}'"))
                .replace("y:\n", "y:\n    dependsOn: [x]\n")
        ))
    };
    let story = lost(&text("one", "1"), &text("one", "2"), "update d").await;
    let plan = story.plan(&text("two", "2")).await;
    assert_eq!(held(&plan), [format!("x/world_thing.a: {BY_D}"), format!("z/world_thing.e: {BY_D}")]);
    assert!(!summary(&plan).contains("output"), "{}", summary(&plan));
    let report = apply_as_planned(&story, &plan).await;
    assert_eq!((report.blocked.len(), story.log().len()), (3, 0));
}

#[tokio::test]
async fn waiting_changes_hold_back_their_dependents_too() {
    // `b` shares only its component with the step in doubt, and is the only dependent of the shared resource.
    let shared = "      - {type: world_thing, name: base, shared: common, lifecycle: {onLastRelease: delete}, config: {key: base}}\n";
    let own = "      - {type: world_thing, name: b, dependsOn: [base], config: {key: b}}\n";
    let text = |val: &str, more: &str| demo(&(late("y", val) + more));
    let all = format!("{shared}{own}");
    let story = lost(&text("1", &all), &text("2", &all), "update d").await;
    let plan = story.plan(&text("2", "")).await;
    let by_d = BY_D.replace("y/", "demo@test:y/");
    assert_eq!(held(&plan), [format!("shared/world_thing[\"common\"]: {by_d}"), format!("y/world_thing.b: {BY_D}")]);
    assert!(!summary(&plan).contains("owner -"), "{}", summary(&plan));
    apply_as_planned(&story, &plan).await;
    assert_eq!(owners(&story).await, ["y"]);
}

#[tokio::test]
async fn outputs_and_lifecycles_of_waiting_changes_stay_as_recorded() {
    let text = |val: &str, output: &str, protect: bool| {
        demo(&format!(
            "{}  z:\n    dependsOn: [y]\n    resources:\n      \
             - {{type: world_thing, name: e, lifecycle: {{preventDestroy: {protect}}}, config: {{key: e}}}}\n    outputs: {output}\n  \
             free:\n    resources:\n      - {{type: world_thing, name: f, config: {{key: f, val: {output}}}}}\n    outputs: {output}\n",
            late("y", val)
        ))
    };
    let first = text("1", "{one: v1, goes: v1}", false);
    let story = lost(&first, &text("2", "{one: v1, goes: v1}", false), "update d").await;
    let (plan, diagnostics, sources) = story.try_plan(&text("2", "{one: v2, more: v2}", true)).await;
    let plan = plan.unwrap();
    assert!(
        diagnostics.iter().all(|it| it.code != "lifecycle_changed"),
        "{}",
        render_diagnostics(&diagnostics, &sources)
    );
    assert!(plan.notes.iter().all(|note| note.code != "lifecycle_changed"));
    assert_eq!(held(&plan), [format!("z/world_thing.e: {BY_D}")]);
    let changed: Vec<_> = plan.stacks[0].outputs.iter().filter(|output| output.is_change()).collect();
    assert!(changed.len() == 3 && changed.iter().all(|output| output.component == "free"), "{}", summary(&plan));
    apply_as_planned(&story, &plan).await;
    assert_eq!(story.log(), ["update f"]);
    // After the decision the change is applied, so its lifecycle change is reported.
    assert!(story.decide("y/world_slow.d", Verdict::Tainted).await);
    let (_, diagnostics, _) = story.try_plan(&text("2", "{one: v2, more: v2}", true)).await;
    assert!(diagnostics.iter().any(|it| it.code == "lifecycle_changed"));
}

#[tokio::test]
async fn outputs_of_a_component_that_cannot_go_yet_stay() {
    let text = |val: &str| {
        demo(&format!(
            "{}    outputs: {{one: v1}}\n  z:\n    resources:\n      - {{type: world_thing, name: e, config: {{key: e}}}}\n    outputs: {{one: v1}}\n",
            late("y", val)
        ))
    };
    let story = lost(&text("1"), &text("2"), "update d").await;
    let plan = story.plan(&demo("  v:\n    resources: []\n")).await;
    let going = "output one: Some(\"v1\") -> None\n";
    assert_eq!(summary(&plan).matches(going).count(), 1, "{}", summary(&plan));
    apply_as_planned(&story, &plan).await;
    assert_eq!(outputs(&story).await.into_keys().map(|(_, component, _)| component).collect::<Vec<_>>(), ["y"]);
}

#[tokio::test]
async fn waiting_resource_keeps_its_address() {
    // One resource, and a whole component.
    for whole in [false, true] {
        let text = |val: &str, (component, name): (&str, &str), moves: &str| {
            demo(&format!(
                "{}  {component}:\n    dependsOn: [y]\n    resources:\n      - {{type: world_thing, name: {name}, config: {{key: e}}}}\n    outputs: {{one: v1}}\n",
                late("y", val)
            )) + moves
        };
        let old = ("z", "e");
        let story = lost(&text("1", old, ""), &text("2", old, ""), "update d").await;
        let (new, moves) = match whole {
            true => (("w", "e"), "moved: [{from: z/, to: w/}]\n"),
            false => (("z", "f"), "moved: [{from: z/world_thing.e, to: z/world_thing.f}]\n"),
        };
        let plan = story.plan(&text("2", new, moves)).await;
        assert_eq!(held(&plan), [format!("{}/world_thing.{}: {BY_D}", new.0, new.1)]);
        assert_eq!(plan.stacks[0].counts().moved, 0);
        let shown = human::plan(&plan, &human::Human::default());
        let recorded = if whole { "z/world_thing.e" } else { "world_thing.e" };
        assert!(shown.contains(&format!("recorded as {recorded}, not done: waits for y/world_slow.d")), "{shown}");
        assert!(!shown.contains("moved"), "{shown}");
        let rows = story.rows().await;
        apply_as_planned(&story, &plan).await;
        assert_eq!(story.rows().await, rows);
        // The row moves once the step is resolved.
        assert!(story.decide("y/world_slow.d", Verdict::Tainted).await);
        story.apply(&text("2", new, moves)).await;
        assert!(story.rows().await.contains(&format!("{}/world_thing.{}", new.0, new.1)));
    }
}

#[tokio::test]
async fn deposed_object_waits_with_the_resource_that_keeps_its_address() {
    let text = |val: &str, name: &str, key: &str| {
        demo(&format!(
            "{}  z:\n    dependsOn: [y]\n    resources:\n      \
             - {{type: world_thing, name: {name}, lifecycle: {{createBeforeDestroy: true}}, config: {{key: {key}}}}}\n",
            late("y", val)
        ))
    };
    let story = Story::new();
    story.apply(&text("1", "e", "one")).await;
    story.fault("delete one", Fault::Always(ErrorKind::PermissionDenied));
    assert_eq!(story.apply_once(&text("1", "e", "two")).await.failed.len(), 1);
    let story = apply_with_lost_call(story, &text("2", "e", "two"), "update d").await;
    story.remote().faults.clear();
    let rows = story.rows().await;
    assert!(rows.contains(&"z/world_thing.e (deposed)".to_owned()), "{rows:?}");
    let moves = "moved: [{from: z/world_thing.e, to: z/world_thing.f}]\n";
    let plan = story.plan(&(text("2", "f", "two") + moves)).await;
    assert_eq!(held(&plan), [format!("z/world_thing.f: {BY_D}"), format!("z/world_thing.f: {BY_D}")]);
    apply_as_planned(&story, &plan).await;
    assert_eq!(story.rows().await, rows);
}

#[tokio::test]
async fn waiting_change_does_not_block_unrelated_changes() {
    let text = |val: &str, secret: &str, free: &str| {
        demo(&format!(
            "{}  z:\n    dependsOn: [y]\n    resources:\n      - {{type: world_thing, name: e, config: {{key: e{secret}}}}}\n  \
             free:\n    resources:\n      - {{type: world_thing, name: f, config: {{key: f, val: {free}}}}}\n",
            late("y", val)
        ))
    };
    let mut story = lost(&text("1", "", "1"), &text("2", "", "1"), "update d").await;
    story.seal = Arc::new(Seal::without_key(false));
    let (plan, diagnostics, sources) = story.try_plan(&text("2", ", secret: s", "2")).await;
    assert!(!has_errors(&diagnostics), "{}", render_diagnostics(&diagnostics, &sources));
    apply_as_planned(&story, &plan.unwrap()).await;
    assert_eq!(story.log(), ["update f"]);
}

#[tokio::test]
async fn change_that_waits_for_another_stack_names_it() {
    let text = |val: &str, own: &str| {
        let giver = demo(&format!("{}    outputs: {{id: '${{{{ resources.d.id }}}}'}}\n", late("y", val)));
        let taker = format!(
            "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: taker}}\nresources:\n  \
             - {{type: world_thing, name: e, config: {{key: e, val: '${{{{ stacks[\"demo\"].components[\"y\"].outputs.id }}}} {own}'}}}}\n"
        );
        format!("{giver}---\n{taker}")
    };
    let story = lost(&text("1", "1"), &text("2", "1"), "update d").await;
    let plan = story.plan(&text("2", "2")).await;
    let because = "waits for demo@test:y/world_slow.d, whose last step is in doubt";
    assert_eq!(held(&plan), [format!("world_thing.e: {because}")]);
    apply_as_planned(&story, &plan).await;
}
