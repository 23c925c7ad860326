//! Plans of a part: targets with what they need, exclusions with what needs them, objects that are to be made anew.

use crate::support::Story;
use crate::support::story::{stack, summary};
use terrace_engine::address::StackId;
use terrace_engine::plan::compute::Options;
use terrace_engine::selector::Selector;

fn selectors(texts: &[&str]) -> Vec<(Option<StackId>, Selector)> {
    texts.iter().map(|text| (None, text.parse().unwrap())).collect()
}

fn targeting(story: &Story, targets: &[&str]) -> Story {
    asking(story, Options { targets: selectors(targets), ..Options::default() })
}

fn excluding(story: &Story, excludes: &[&str]) -> Story {
    asking(story, Options { excludes: selectors(excludes), ..Options::default() })
}

fn replacing(story: &Story, addresses: &[&str]) -> Story {
    let replace = addresses.iter().map(|text| (None, text.parse().unwrap())).collect();
    asking(story, Options { replace, ..Options::default() })
}

/// The same world, asked another question.
fn asking(story: &Story, options: Options) -> Story {
    Story { options, remote: story.remote.clone(), ..Story::on(story.store.clone()) }
}

/// b uses a, d uses b, c is on its own; e has instances.
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
    let told = diagnostics.iter().map(|it| format!("{:?}: {}", it.severity, it.message)).collect();
    (plan.map(|plan| summary(&plan)).unwrap_or_default(), told)
}

const PARTIAL: &str = "Warning: only a part is planned: what was not named is left as it is";

#[tokio::test]
async fn a_target_takes_what_it_needs_along_and_nothing_else() {
    let story = Story::new();
    let targeted = targeting(&story, &["world_thing.b"]);
    let (plan, told) = planned(&targeted, &abc()).await;
    assert_eq!(plan, "+ world_thing.a\n+ world_thing.b\noutput a: None -> Some((known after apply))\n");
    assert_eq!(told, [PARTIAL]);
    let plan = targeted.plan(&abc()).await;
    assert!(!plan.is_complete);
    targeted.apply_plan(&plan).await.unwrap();
    assert_eq!(story.rows().await, ["world_thing.a", "world_thing.b"]);
    targeted.check_second_plan(&abc()).await;
    // Of what is there, only what was chosen is read.
    story.apply(&abc()).await;
    story.remote().asked.clear();
    targeted.plan(&abc()).await;
    assert_eq!(story.remote().asked, ["read a", "read b"]);
}

#[tokio::test]
async fn one_instance_is_a_target() {
    let story = Story::new();
    let targeted = targeting(&story, &["world_thing.e[\"y\"]"]);
    assert_eq!(planned(&targeted, &abc()).await.0, "+ world_thing.e[\"y\"]\n");
    story.apply(&abc()).await;
    // The other one and what is not declared any more stay as they are.
    let text = stack("- {type: world_thing, name: e, forEach: [x, y], config: {key: '${{ each.key }}', val: 2}}");
    assert_eq!(planned(&targeted, &text).await.0, "~ world_thing.e[\"y\"]\n");
}

#[tokio::test]
async fn what_is_not_declared_goes_when_it_is_a_target_with_what_was_made_after_it() {
    let story = Story::new();
    story.apply(&abc()).await;
    let text = stack("- {type: world_thing, name: a, config: {key: a, val: 1}}");
    let (plan, _) = planned(&targeting(&story, &["world_thing.b"]), &text).await;
    assert_eq!(plan, "- world_thing.b (is not declared any more)\n- world_thing.d (is not declared any more)\n");
    let (plan, _) = planned(&targeting(&story, &["world_thing.a"]), &text).await;
    assert_eq!(plan, "");
}

#[tokio::test]
async fn an_exclusion_leaves_what_needs_it_out_too() {
    let story = Story::new();
    let (plan, told) = planned(&excluding(&story, &["world_thing.b", "world_thing.e[\"x\"]"]), &abc()).await;
    assert_eq!(
        plan,
        "+ world_thing.a\n+ world_thing.c\n+ world_thing.e[\"y\"]\noutput a: None -> Some((known after apply))\noutput c: None -> \
         Some((known after apply))\n"
    );
    assert_eq!(told, [PARTIAL]);
    story.apply(&abc()).await;
    // What was made before an object that stays, stays.
    let (plan, _) = planned(&excluding(&story, &["world_thing.b"]), &stack("")).await;
    let gone: Vec<&str> = plan.lines().filter(|line| line.starts_with('-')).map(|line| &line[2..15]).collect();
    assert_eq!(gone, ["world_thing.c", "world_thing.d", "world_thing.e", "world_thing.e"]);
}

#[tokio::test]
async fn a_removal_with_a_target_takes_what_was_made_after_it_along() {
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
async fn a_resource_without_any_instance_can_be_a_target() {
    let story = Story::new();
    let text = stack("- {type: world_thing, name: a, forEach: [], config: {key: '${{ each.key }}'}}");
    assert_eq!(summary(&targeting(&story, &["world_thing.a"]).plan(&text).await), "");
}

#[tokio::test]
async fn components_are_targets_with_what_they_depend_on() {
    let text = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: demo}\ncomponents:\n  x:\n    resources: [{type: \
                world_thing, name: t, config: {key: x}}]\n    outputs: {key: '${{ resources.t.key }}'}\n  y:\n    dependsOn: \
                [x]\n    resources: [{type: world_thing, name: t, config: {key: y, val: '${{ components.x.outputs.key }}'}}]\n  \
                z:\n    resources: [{type: world_thing, name: t, config: {key: z}}]\n";
    let story = Story::new();
    let (plan, _) = planned(&targeting(&story, &["y/"]), text).await;
    assert_eq!(plan, "+ x/world_thing.t\n+ y/world_thing.t\noutput key: None -> Some(\"x\")\n");
    story.apply(text).await;
    let destroyed = targeting(&story, &["x/world_thing.t"]).plan_destroy().await;
    let told = "- x/world_thing.t (destroy)\n- y/world_thing.t (destroy)\noutput key: Some(\"x\") -> None\n";
    assert_eq!(summary(&destroyed), told);
    let excluded = excluding(&story, &["x/"]);
    let changed = text.replace("key: x}", "key: x2}").replace("key: z}", "key: z, val: 2}");
    assert_eq!(planned(&excluded, &changed).await.0, "~ z/world_thing.t\n");
}

#[tokio::test]
async fn an_object_is_made_anew_on_request() {
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
async fn names_that_lead_nowhere_are_told_with_what_there_is() {
    let story = Story::new();
    story.apply(&abc()).await;
    let errors = async |story: Story| story.errors(&abc()).await;
    insta::assert_snapshot!(errors(targeting(&story, &["world_thing.aa"])).await, @"
    -: `--target world_thing.aa` names no resource
      hint: there are `world_thing.a`, `world_thing.b`, `world_thing.c`, `world_thing.d`, `world_thing.e`, …
    -: only a part is planned: what was not named is left as it is
      hint: plan without `--target` and `--exclude` to see what else there is to do
    ");
    insta::assert_snapshot!(errors(targeting(&story, &["world_thing.e[\"z\"]", "nowhere/"])).await, @r#"
    -: `--target world_thing.e["z"]` names no resource
      hint: did you mean `world_thing.e`?
    -: `--target nowhere/` names no resource
      hint: there are `world_thing.a`, `world_thing.b`, `world_thing.c`, `world_thing.d`, `world_thing.e`, …
    -: only a part is planned: what was not named is left as it is
      hint: plan without `--target` and `--exclude` to see what else there is to do
    "#);
    insta::assert_snapshot!(errors(excluding(&story, &["world_data.b"])).await, @"
    -: `--exclude world_data.b` names no resource
      hint: there are `world_thing.a`, `world_thing.b`, `world_thing.c`, `world_thing.d`, `world_thing.e`, …
    -: only a part is planned: what was not named is left as it is
      hint: plan without `--target` and `--exclude` to see what else there is to do
    ");
    insta::assert_snapshot!(errors(excluding(&story, &["world_thing.e[\"X\"]"])).await, @r#"
    -: `--exclude world_thing.e["X"]` names no resource
      hint: did you mean `world_thing.e["x"]`?
    -: only a part is planned: what was not named is left as it is
      hint: plan without `--target` and `--exclude` to see what else there is to do
    "#);
    // One that is declared and was never made can be left out.
    let more = abc().replace("[x, y]", "[x, y, z]");
    let (left_out, _) = planned(&excluding(&story, &["world_thing.e[\"z\"]"]), &more).await;
    assert_eq!(left_out, "");
    insta::assert_snapshot!(errors(replacing(&story, &["world_thing.e", "world_thing.q"])).await, @r#"
    -: `--replace world_thing.e` names all instances of a resource
      hint: name instances: `world_thing.e["x"]`, `world_thing.e["y"]`
    -: `--replace world_thing.q` names no resource
      hint: there are `world_thing.a`, `world_thing.b`, `world_thing.c`, `world_thing.d`, `world_thing.e`, …
    "#);
}

#[tokio::test]
async fn a_target_that_covers_one_side_of_a_move_names_the_other() {
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
async fn a_name_that_something_had_is_a_target_after_the_move() {
    let story = Story::new();
    let text = stack("- {type: world_thing, name: b, config: {key: k}}")
        + "moved: [{from: world_thing.a, to: world_thing.b}]\n";
    story.apply(&text).await;
    assert_eq!(summary(&targeting(&story, &["world_thing.a", "world_thing.b"]).plan(&text).await), "");
}

#[tokio::test]
async fn imports_of_what_was_not_named_are_left_for_later() {
    let story = Story::new();
    let text =
        stack("- {type: world_thing, name: a, config: {key: a}}\n- {type: world_thing, name: b, config: {key: b}}")
            + "imports: [{to: world_thing.b, id: b}]\n";
    assert_eq!(summary(&targeting(&story, &["world_thing.a"]).plan(&text).await), "+ world_thing.a\n");
}

#[tokio::test]
async fn components_that_came_to_depend_on_each_other_part_by_part_are_planned_and_removed() {
    let text = |x: &str, y: &str| {
        format!(
            "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: demo}}\ncomponents:\n  x:\n    dependsOn: [{x}]\n    \
             resources: [{{type: world_thing, name: t, config: {{key: x}}}}]\n  y:\n    dependsOn: [{y}]\n    resources: \
             [{{type: world_thing, name: t, config: {{key: y}}}}]\n"
        )
    };
    let story = Story::new();
    story.apply(&text("", "x")).await;
    // Only x is recorded with what it depends on now.
    let part = asking(&story, Options { components: ["x".to_owned()].into(), ..Options::default() });
    part.apply(&text("y", "")).await;
    assert_eq!(summary(&story.plan_destroy().await).lines().count(), 2);
    story.apply(&text("y", "")).await;
    assert!(!story.plan(&text("y", "")).await.has_changes());
    story.log();
    story.destroy().await;
    assert_eq!(story.log(), ["delete x", "delete y"]);
}
