//! Partial plans: targets with their dependencies, exclusions with their dependents, and requested replacements.

use crate::support::Story;
use crate::support::story::{stack, summary};
use terrace_engine::address::StackId;
use terrace_engine::plan::options::Options;
use terrace_engine::selector::Selector;

fn selectors(texts: &[&str]) -> Vec<(Option<StackId>, Selector)> {
    texts.iter().map(|text| (None, text.parse().unwrap())).collect()
}

fn targeting(story: &Story, targets: &[&str]) -> Story {
    with_options(story, Options { targets: selectors(targets), ..Options::default() })
}

fn excluding(story: &Story, excludes: &[&str]) -> Story {
    with_options(story, Options { excludes: selectors(excludes), ..Options::default() })
}

fn replacing(story: &Story, addresses: &[&str]) -> Story {
    let replace = addresses.iter().map(|text| (None, text.parse().unwrap())).collect();
    with_options(story, Options { replace, ..Options::default() })
}

/// The same store and remote system, with other options.
fn with_options(story: &Story, options: Options) -> Story {
    Story { options, remote: story.remote.clone(), ..story.beside() }
}

/// `b` uses `a`, `d` uses `b`, `c` is on its own; `e` has instances.
const ABC: &str = "- {type: world_thing, name: a, config: {key: a, val: 1}}
    - {type: world_thing, name: b, config: {key: b, val: '${{ resources.a.id }}'}}
    - {type: world_thing, name: c, config: {key: c, val: 1}}
    - {type: world_thing, name: d, dependsOn: [b], config: {key: d}}
    - {type: world_thing, name: e, forEach: [x, y], config: {key: '${{ each.key }}', val: 1}}";

fn abc() -> String {
    stack(ABC) + "outputs: {a: '${{ resources.a.id }}', c: '${{ resources.c.id }}'}\n"
}

async fn planned(story: &Story, text: &str) -> (String, Vec<String>) {
    let (plan, diagnostics, _) = story.try_plan(text).await;
    let messages = diagnostics.iter().map(|it| format!("{:?}: {}", it.severity, it.message)).collect();
    (plan.map(|plan| summary(&plan)).unwrap_or_default(), messages)
}

const PARTIAL: &str = "Warning: the plan is partial: all other resources stay as they are";

#[tokio::test]
async fn target_includes_only_its_dependencies() {
    let story = Story::new();
    let targeted = targeting(&story, &["world_thing.b"]);
    let (plan, messages) = planned(&targeted, &abc()).await;
    assert_eq!(plan, "+ world_thing.a\n+ world_thing.b\noutput a: None -> Some((known after apply))\n");
    assert_eq!(messages, [PARTIAL]);
    let plan = targeted.plan(&abc()).await;
    assert!(!plan.is_complete);
    targeted.apply_plan(&plan).await.unwrap();
    assert_eq!(story.rows().await, ["world_thing.a", "world_thing.b"]);
    targeted.check_second_plan(&abc()).await;
    // Of the existing objects, only the targeted ones are read.
    story.apply(&abc()).await;
    story.remote().reads.clear();
    targeted.plan(&abc()).await;
    assert_eq!(story.remote().reads, ["read a", "read b"]);
}

#[tokio::test]
async fn one_instance_can_be_a_target() {
    let story = Story::new();
    let targeted = targeting(&story, &["world_thing.e[\"y\"]"]);
    assert_eq!(planned(&targeted, &abc()).await.0, "+ world_thing.e[\"y\"]\n");
    story.apply(&abc()).await;
    // The other instance and undeclared resources stay.
    let text = stack("- {type: world_thing, name: e, forEach: [x, y], config: {key: '${{ each.key }}', val: 2}}");
    assert_eq!(planned(&targeted, &text).await.0, "~ world_thing.e[\"y\"]\n");
}

#[tokio::test]
async fn undeclared_target_is_deleted_with_its_dependents() {
    let story = Story::new();
    story.apply(&abc()).await;
    let text = stack("- {type: world_thing, name: a, config: {key: a, val: 1}}");
    let (plan, _) = planned(&targeting(&story, &["world_thing.b"]), &text).await;
    assert_eq!(plan, "- world_thing.b (is not declared any more)\n- world_thing.d (is not declared any more)\n");
    let (plan, _) = planned(&targeting(&story, &["world_thing.a"]), &text).await;
    assert_eq!(plan, "");
}

#[tokio::test]
async fn exclusion_includes_dependents() {
    let story = Story::new();
    let (plan, messages) = planned(&excluding(&story, &["world_thing.b", "world_thing.e[\"x\"]"]), &abc()).await;
    assert_eq!(
        plan,
        "+ world_thing.a\n+ world_thing.c\n+ world_thing.e[\"y\"]\noutput a: None -> Some((known after apply))\noutput c: None -> \
         Some((known after apply))\n"
    );
    assert_eq!(messages, [PARTIAL]);
    story.apply(&abc()).await;
    // Dependencies of an object that stays, stay.
    let (plan, _) = planned(&excluding(&story, &["world_thing.b"]), &stack("")).await;
    let gone: Vec<&str> = plan.lines().filter(|line| line.starts_with('-')).map(|line| &line[2..15]).collect();
    assert_eq!(gone, ["world_thing.c", "world_thing.d", "world_thing.e", "world_thing.e"]);
}

#[tokio::test]
async fn destroy_with_a_target_includes_its_dependents() {
    let story = Story::new();
    story.apply(&abc()).await;
    story.log();
    let targeted = targeting(&story, &["world_thing.b"]);
    let plan = targeted.plan_destroy().await;
    assert_eq!(summary(&plan), "- world_thing.b (destroy)\n- world_thing.d (destroy)\n");
    assert!(!plan.is_complete);
    targeted.apply_plan(&plan).await.unwrap();
    assert_eq!(story.log(), ["delete d", "delete b"]);
    let excluded = excluding(&story, &["world_thing.a", "world_thing.e"]);
    assert_eq!(summary(&excluded.plan_destroy().await), "- world_thing.c (destroy)\n");
}

#[tokio::test]
async fn resource_without_instances_can_be_a_target() {
    let story = Story::new();
    let text = stack("- {type: world_thing, name: a, forEach: [], config: {key: '${{ each.key }}'}}");
    assert_eq!(summary(&targeting(&story, &["world_thing.a"]).plan(&text).await), "");
}

#[tokio::test]
async fn component_target_includes_its_dependencies() {
    let text = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: demo}\ncomponents:\n  x:\n    resources: [{type: \
                world_thing, name: t, config: {key: x}}]\n    outputs: {key: '${{ resources.t.key }}'}\n  y:\n    dependsOn: \
                [x]\n    resources: [{type: world_thing, name: t, config: {key: y, val: '${{ components.x.outputs.key }}'}}]\n  \
                z:\n    resources: [{type: world_thing, name: t, config: {key: z}}]\n";
    let story = Story::new();
    let (plan, _) = planned(&targeting(&story, &["y/"]), text).await;
    assert_eq!(plan, "+ x/world_thing.t\n+ y/world_thing.t\noutput key: None -> Some(\"x\")\n");
    story.apply(text).await;
    let destroyed = targeting(&story, &["x/world_thing.t"]).plan_destroy().await;
    let expected = "- x/world_thing.t (destroy)\n- y/world_thing.t (destroy)\noutput key: Some(\"x\") -> None\n";
    assert_eq!(summary(&destroyed), expected);
    let excluded = excluding(&story, &["x/"]);
    let changed = text.replace("key: x}", "key: x2}").replace("key: z}", "key: z, val: 2}");
    assert_eq!(planned(&excluded, &changed).await.0, "~ z/world_thing.t\n");
}

#[tokio::test]
async fn object_is_replaced_on_request() {
    let story = Story { parallelism: 1, ..Story::new() };
    story.apply(&abc()).await;
    story.log();
    let replacing_a = replacing(&story, &["world_thing.a"]);
    let plan = replacing_a.plan(&abc()).await;
    let expected = "-/+ world_thing.a (will be replaced, as requested)\n~ world_thing.b\noutput a: Some(\"id-1\") -> \
                    Some((known after apply))\n";
    assert_eq!(summary(&plan), expected);
    replacing_a.apply_plan(&plan).await.unwrap();
    assert_eq!(story.log(), ["delete a", "create a", "update b"]);
    story.check_second_plan(&abc()).await;
}

#[tokio::test]
async fn unknown_targets_list_the_known_resources() {
    let story = Story::new();
    story.apply(&abc()).await;
    let errors = async |story: Story| story.errors(&abc()).await;
    insta::assert_snapshot!(errors(targeting(&story, &["world_thing.aa"])).await, @r#"
    -: `--target world_thing.aa` names no resource
      hint: there are: `world_thing.a`, `world_thing.b`, `world_thing.c`, `world_thing.d`, `world_thing.e`, `world_thing.e["x"]`, `world_thing.e["y"]`
    -: the plan is partial: all other resources stay as they are
      hint: plan without `--target` and `--exclude` to see all changes
    "#);
    insta::assert_snapshot!(errors(targeting(&story, &["world_thing.e[\"z\"]", "nowhere/"])).await, @r#"
    -: `--target world_thing.e["z"]` names no resource
      hint: did you mean `world_thing.e`?
    -: `--target nowhere/` names no resource
      hint: there are: `world_thing.a`, `world_thing.b`, `world_thing.c`, `world_thing.d`, `world_thing.e`, `world_thing.e["x"]`, `world_thing.e["y"]`
    -: the plan is partial: all other resources stay as they are
      hint: plan without `--target` and `--exclude` to see all changes
    "#);
    insta::assert_snapshot!(errors(excluding(&story, &["world_data.b"])).await, @r#"
    -: `--exclude world_data.b` names no resource
      hint: there are: `world_thing.a`, `world_thing.b`, `world_thing.c`, `world_thing.d`, `world_thing.e`, `world_thing.e["x"]`, `world_thing.e["y"]`
    -: the plan is partial: all other resources stay as they are
      hint: plan without `--target` and `--exclude` to see all changes
    "#);
    insta::assert_snapshot!(errors(excluding(&story, &["world_thing.e[\"X\"]"])).await, @r#"
    -: `--exclude world_thing.e["X"]` names no resource
      hint: did you mean `world_thing.e["x"]`?
    -: the plan is partial: all other resources stay as they are
      hint: plan without `--target` and `--exclude` to see all changes
    "#);
    // A declared instance without an object can be excluded.
    let more = abc().replace("[x, y]", "[x, y, z]");
    let (left_out, _) = planned(&excluding(&story, &["world_thing.e[\"z\"]"]), &more).await;
    assert_eq!(left_out, "");
    insta::assert_snapshot!(errors(replacing(&story, &["world_thing.e", "world_thing.q"])).await, @r#"
    -: `--replace world_thing.e` names all instances of a resource
      hint: name instances: `world_thing.e["x"]`, `world_thing.e["y"]`
    -: `--replace world_thing.q` names no resource
      hint: there are: `world_thing.a`, `world_thing.b`, `world_thing.c`, `world_thing.d`, `world_thing.e`, `world_thing.e["x"]`, `world_thing.e["y"]`
    "#);
}

#[tokio::test]
async fn target_of_one_side_of_a_move_names_the_other() {
    let story = Story::new();
    story.apply(&stack("- {type: world_thing, name: old, config: {key: k}}")).await;
    let text =
        stack("- {type: world_thing, name: new, config: {key: k}}\n- {type: world_thing, name: q, config: {key: q}}")
            + "moved: [{from: world_thing.old, to: world_thing.new}]\n";
    insta::assert_snapshot!(targeting(&story, &["world_thing.new"]).errors(&text).await, @"
    stack.yaml:7:16: world_thing.old moves to world_thing.new, and `world_thing.old` is not planned
      hint: plan both: add `--target 'world_thing.old'`
    ");
    insta::assert_snapshot!(targeting(&story, &["world_thing.old"]).errors(&text).await, @"
    stack.yaml:7:16: world_thing.old moves to world_thing.new, and `world_thing.new` is not planned
      hint: plan both: add `--target 'world_thing.new'`
    ");
    insta::assert_snapshot!(excluding(&story, &["world_thing.new"]).errors(&text).await, @"
    stack.yaml:7:16: world_thing.old moves to world_thing.new, and `world_thing.new` is not planned
      hint: leave out both: add `--exclude 'world_thing.old'`
    ");
    assert_eq!(planned(&targeting(&story, &["world_thing.q"]), &text).await.0, "+ world_thing.q\n");
    let both = targeting(&story, &["world_thing.new", "world_thing.old"]);
    assert_eq!(planned(&both, &text).await.0, "> world_thing.new from world_thing.old\n");
}

#[tokio::test]
async fn former_address_can_be_a_target_after_a_move() {
    let story = Story::new();
    let text = stack("- {type: world_thing, name: b, config: {key: k}}")
        + "moved: [{from: world_thing.a, to: world_thing.b}]\n";
    story.apply(&text).await;
    assert_eq!(summary(&targeting(&story, &["world_thing.a", "world_thing.b"]).plan(&text).await), "");
}

#[tokio::test]
async fn imports_outside_the_target_are_skipped() {
    let story = Story::new();
    let text =
        stack("- {type: world_thing, name: a, config: {key: a}}\n- {type: world_thing, name: b, config: {key: b}}")
            + "imports: [{to: world_thing.b, id: b}]\n";
    assert_eq!(summary(&targeting(&story, &["world_thing.a"]).plan(&text).await), "+ world_thing.a\n");
}

#[tokio::test]
async fn components_with_a_recorded_cycle_can_be_planned_and_destroyed() {
    let text = |x: &str, y: &str| {
        format!(
            "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: demo}}\ncomponents:\n  x:\n    dependsOn: [{x}]\n    \
             resources: [{{type: world_thing, name: t, config: {{key: x}}}}]\n  y:\n    dependsOn: [{y}]\n    resources: \
             [{{type: world_thing, name: t, config: {{key: y}}}}]\n"
        )
    };
    let story = Story::new();
    story.apply(&text("", "x")).await;
    // Only the row of `x` has its current dependencies.
    let part = with_options(&story, Options { components: ["x".into()].into(), ..Options::default() });
    part.apply(&text("y", "")).await;
    assert_eq!(summary(&story.plan_destroy().await).lines().count(), 2);
    story.apply(&text("y", "")).await;
    assert!(!story.plan(&text("y", "")).await.has_changes());
    story.log();
    story.destroy().await;
    assert_eq!(story.log(), ["delete x", "delete y"]);
}
