//! Objects that other objects need: the box of an item, the owner of a box.

use crate::support::Story;
use crate::support::story::{keys, stack, summary};

const BOX: &str = "- {type: world_box, name: b, config: {key: b}}\n";
const ITEM: &str = "- {type: world_item, name: i, config: {key: i, box: '${{ resources.b.key }}'}}\n";

#[tokio::test]
async fn box_is_retained_if_it_holds_a_retained_item() {
    let mut story = Story::new();
    let text = stack(&format!("{BOX}{ITEM}"));
    story.apply(&text).await;
    story.log();
    let plan = story.plan_destroy().await;
    assert_eq!(summary(&plan), "o world_box.b (a retained object needs it)\no world_item.i (destroy)\n");
    let report = story.apply_plan(&plan).await.unwrap();
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    assert_eq!(story.rows().await, ["world_box.b (Retained)", "world_item.i (Retained)"]);
    assert!(!story.plan_destroy().await.has_changes(), "a second destroy has no changes");
    assert_eq!(story.log(), [""; 0]);
    // The next apply restores the box; both go when data is removed.
    story.apply(&text).await;
    assert_eq!(story.rows().await, ["world_box.b", "world_item.i"]);
    story.destroy().await;
    story.options.remove_data = true;
    story.destroy().await;
    assert_eq!(story.log(), ["delete i", "delete b"]);
    assert!(story.rows().await.is_empty());
}

#[tokio::test]
async fn box_is_retained_if_both_are_undeclared() {
    let story = Story::new();
    let other = "- {type: world_thing, name: t, config: {key: t}}\n";
    story.apply(&stack(&format!("{BOX}{ITEM}{other}"))).await;
    let text = stack(other);
    let plan = story.plan(&text).await;
    let expected = "o world_box.b (a retained object needs it)\no world_item.i (is not declared any more)\n";
    assert_eq!(summary(&plan), expected);
    story.apply(&text).await;
    assert_eq!(story.rows().await, ["world_box.b (Retained)", "world_item.i (Retained)", "world_thing.t"]);
}

#[tokio::test]
async fn retained_box_goes_once_its_item_is_gone() {
    let story = Story::new();
    story.apply(&stack(&format!("{BOX}{ITEM}"))).await;
    story.destroy().await;
    story.remote().objects.remove("i");
    story.log();
    let plan = story.plan_destroy().await;
    assert_eq!(
        summary(&plan),
        "- world_box.b (its retained data is removed)\n. world_item.i (its retained data is removed)\n"
    );
    story.apply_plan(&plan).await.unwrap();
    assert_eq!(story.log(), ["delete b"]);
    assert!(story.rows().await.is_empty());
}

#[tokio::test]
async fn boxes_and_owners_around_a_retained_item_stay() {
    let story = Story::new();
    story
        .apply(&stack(
            "- {type: world_thing, name: o, config: {key: o}}
             - {type: world_thing, name: other, config: {key: other}}
             - {type: world_box, name: outer, config: {key: outer, owner: '${{ resources.o.key }}'}}
             - {type: world_box, name: inner, config: {key: inner, box: '${{ resources.outer.key }}'}}
             - {type: world_box, name: empty, config: {key: empty, box: '${{ resources.outer.key }}'}}
             - {type: world_item, name: i, config: {key: i, box: '${{ resources.inner.key }}'}}",
        ))
        .await;
    story.log();
    let report = story.destroy().await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    let mut log = story.log();
    log.sort();
    assert_eq!(log, ["delete empty", "delete other"]);
    assert!(!story.plan_destroy().await.has_changes());
}

/// A box in one component and an item in another, without a reference between them.
fn components(with: &[&str]) -> String {
    let of = |name: &&str| match *name {
        "boxes" => "  boxes: {resources: [{type: world_box, name: b, config: {key: b}}]}\n",
        "items" => {
            "  items: {dependsOn: [boxes], resources: [{type: world_item, name: i, config: {key: i, box: b}}]}\n"
        }
        _ => "  else: {resources: [{type: world_thing, name: t, config: {key: t}}]}\n",
    };
    let components: String = with.iter().map(of).collect();
    format!("apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: demo}}\ncomponents:\n{components}")
}

#[tokio::test]
async fn box_is_retained_for_an_item_retained_by_another_plan_or_stack() {
    let mut story = Story::new();
    story.apply(&components(&["boxes", "items", "else"])).await;
    story.options.components = keys(&["items"]);
    story.destroy().await;
    story.options.components = keys(&["boxes"]);
    story.log();
    let plan = story.plan_destroy().await;
    assert_eq!(summary(&plan), "o boxes/world_box.b (a retained object needs it)\n");
    story.apply_plan(&plan).await.unwrap();
    story.options.components.clear();
    story.apply(&components(&["else"])).await;
    assert_eq!(story.log(), [""; 0]);

    let story = Story::new();
    let of = |name: &str, resources: &str| stack(resources).replace("name: demo}", &format!("name: {name}}}"));
    story.apply(&of("boxes", BOX)).await;
    story.apply(&of("items", "- {type: world_item, name: i, config: {key: i, box: b}}\n")).await;
    story.log();
    let report = story.destroy().await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    assert_eq!(story.log(), [""; 0]);
    assert_eq!(story.rows().await, ["world_box.b (Retained)", "world_item.i (Retained)"]);
}

#[tokio::test]
async fn shared_box_with_a_retained_item_keeps_its_last_owner() {
    let mut story = Story::new();
    let text = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: demo}\ncomponents:\n  a:\n    resources:\n      \
                - {type: world_box, name: b, shared: b, lifecycle: {onLastRelease: delete}, config: {key: b}}\n      \
                - {type: world_item, name: i, config: {key: i, box: '${{ resources.b.key }}'}}\n";
    story.apply(text).await;
    story.log();
    let report = story.destroy().await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    assert_eq!(story.log(), [""; 0]);
    assert!(!story.plan_destroy().await.has_changes());
    story.options.remove_data = true;
    story.destroy().await;
    assert_eq!(story.log(), ["delete i", "delete b"]);
    assert!(story.rows().await.is_empty());
}

#[tokio::test]
async fn owner_is_not_removed_while_an_object_belongs_to_it() {
    let story = Story::new();
    let owner = "- {type: world_thing, name: o, config: {key: o}}\n";
    let of = |owner: &str| format!("- {{type: world_box, name: b, config: {{key: b{owner}}}}}\n");
    story.apply(&stack(&(owner.to_owned() + &of(", owner: '${{ resources.o.key }}'")))).await;
    story.log();
    insta::assert_snapshot!(story.errors(&stack(&of(""))).await, @"
    stack.yaml:5:29: demo@test:world_thing.o would be deleted, and demo@test:world_box.b needs it
      hint: keep world_thing.o, or let world_box.b name another object: the system keeps an omitted attribute
    ");
    assert!(story.errors(&stack(&of(", owner: o"))).await.contains("world_thing.o would be deleted"));
    let other =
        "- {type: world_thing, name: p, config: {key: p}}\n".to_owned() + &of(", owner: '${{ resources.p.key }}'");
    story.apply(&stack(&other)).await;
    assert_eq!(story.log(), ["create p", "update b", "delete o"]);
}

#[tokio::test]
async fn box_is_not_replaced_if_it_holds_a_retained_item() {
    let story = Story::new();
    let text = stack(&format!("{BOX}{ITEM}"));
    let renamed = stack(&BOX.replace("key: b", "key: c"));
    story.apply(&text).await;
    story.log();
    // The same plan retains the item, then an earlier plan.
    insta::assert_snapshot!(story.errors(&renamed).await, @"
    stack.yaml:5:29: demo@test:world_box.b would be replaced, and demo@test:world_item.i, whose data is retained, needs it
      hint: keep world_box.b as it is, or declare demo@test:world_item.i again, or remove its data first with `--remove-data`
    ");
    story.apply(&stack(BOX)).await;
    assert_eq!(story.rows().await, ["world_box.b", "world_item.i (Retained)"]);
    insta::assert_snapshot!(story.errors(&renamed).await, @"
    stack.yaml:5:29: demo@test:world_box.b would be replaced, and demo@test:world_item.i, whose data is retained, needs it
      hint: keep world_box.b as it is, or declare demo@test:world_item.i again, or remove its data first with `--remove-data`
    ");
    // A box that keeps its name is also deleted before it is recreated.
    let taint = stack(&format!("{BOX}- {{type: world_box, name: outer, config: {{key: outer}}}}\n"));
    story.apply(&taint).await;
    let moved = taint.replace("config: {key: b}", "config: {key: b, box: outer}");
    assert!(story.errors(&moved).await.contains("world_box.b would be replaced"));
    assert!(!story.log().iter().any(|call| call.contains("delete")));
    // Without the item nothing needs the box.
    story.remote().objects.remove("i");
    story.destroy().await;
}

#[tokio::test]
async fn box_is_not_replaced_if_a_kept_item_needs_it() {
    let story = Story::new();
    let of = |key: &str| {
        stack(&format!(
            "- {{type: world_box, name: b, config: {{key: {key}}}}}
             - {{type: world_item, name: i, config: {{key: i, box: b}}}}"
        ))
    };
    story.apply(&of("b")).await;
    story.log();
    assert!(story.errors(&of("c")).await.contains("world_box.b would be replaced"));
    assert_eq!(story.log(), [""; 0]);
}
