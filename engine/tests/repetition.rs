//! A single resource that becomes a `forEach`, and back: the object stays if its instance is clear.

use crate::support::Story;
use crate::support::story::{stack, summary};

fn single(key: &str) -> String {
    stack(&format!("- {{type: world_thing, name: a, config: {{key: {key}}}}}"))
}

fn repeated(keys: &str) -> String {
    stack(&format!("- {{type: world_thing, name: a, forEach: [{keys}], config: {{key: '${{{{ each.key }}}}'}}}}"))
}

#[tokio::test]
async fn single_resource_becomes_the_first_instance_and_back() {
    let story = Story::new();
    story.apply(&single("x")).await;
    story.log();
    let plan = story.plan(&repeated("x, y")).await;
    assert_eq!(summary(&plan), "> world_thing.a[\"x\"] from world_thing.a\n+ world_thing.a[\"y\"]\n");
    story.apply(&repeated("x, y")).await;
    assert_eq!(story.log(), ["create y"]);
    let plan = story.plan(&single("x")).await;
    let expected = "> world_thing.a from world_thing.a[\"x\"]\n- world_thing.a[\"y\"] (forEach was added or removed)\n";
    assert_eq!(summary(&plan), expected);
    story.apply(&single("x")).await;
    assert_eq!(story.log(), ["delete y"]);
}

#[tokio::test]
async fn object_of_another_instance_is_not_taken_for_the_first() {
    let story = Story::new();
    story.apply(&single("y")).await;
    insta::assert_snapshot!(story.errors(&repeated("x, y")).await, @r#"
    stack.yaml:5:31: `world_thing.a` has a row, and its object is `world_thing.a["y"]` now
      hint: declare the move: `moved: [{from: 'world_thing.a', to: 'world_thing.a["y"]'}]`
    "#);
    let text = repeated("x, y") + "moved: [{from: world_thing.a, to: 'world_thing.a[\"y\"]'}]\n";
    story.log();
    story.apply(&text).await;
    assert_eq!(story.log(), ["create x"]);
}

#[tokio::test]
async fn object_that_no_instance_names_is_deleted() {
    let story = Story::new();
    story.apply(&single("old")).await;
    let expected = "- world_thing.a (forEach was added or removed)\n+ world_thing.a[\"x\"]\n";
    assert_eq!(summary(&story.plan(&repeated("x")).await), expected);
}

#[tokio::test]
async fn resource_without_identity_is_the_first_or_only_instance() {
    let note = |repeat: &str| stack(&format!("- {{type: world_note, name: n, {repeat} config: {{key: same}}}}"));
    let story = Story::new();
    story.apply(&note("")).await;
    let ranged = note("forEach: '${{ range(2) }}',");
    assert_eq!(summary(&story.plan(&ranged).await), "> world_note.n[0] from world_note.n\n+ world_note.n[1]\n");
    story.apply(&ranged).await;
    let expected = "> world_note.n from world_note.n[0]\n- world_note.n[1] (forEach was added or removed)\n";
    assert_eq!(summary(&story.plan(&note("")).await), expected);
    let named = |keys: &str| note(&format!("forEach: [{keys}],"));
    let story = Story::new();
    story.apply(&named("p, q")).await;
    let (plan, diagnostics, _) = story.try_plan(&note("")).await;
    assert_eq!(plan.unwrap().stacks[0].counts().destroy, 2);
    let message = "`world_note.n` had instances, and it is unclear which of them it continues: all are deleted";
    assert_eq!(diagnostics[0].message, message);
    story.apply(&named("p")).await;
    assert_eq!(summary(&story.plan(&note("")).await), "> world_note.n from world_note.n[\"p\"]\n");
}
