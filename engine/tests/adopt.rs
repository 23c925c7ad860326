//! What is there already: taken over where the descriptor says so, and otherwise refused with the way to do it.

use crate::support::Story;
use crate::support::story::{stack, summary};
use crate::support::world::Fault;
use terrace_engine::address::StackId;
use terrace_engine::store::{NewOperation, OperationStatus, Record, Selection, Write};
use terrace_provider::{ErrorKind, Value};
use uuid::Uuid;

fn put(story: &Story, key: &str, val: i64) {
    let object = [("key", Value::from(key)), ("val", Value::Int(val)), ("id", "id-0".into())];
    let object = object.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    story.remote().objects.insert(key.to_owned(), object);
}

/// A thing whose name is computed.
fn ours(val: i64) -> String {
    stack(&format!(
        "- {{type: world_thing, name: a, adopt: ifOurs, config: {{key: '${{{{ stack + \"-a\" }}}}', val: {val}}}}}"
    ))
}

#[tokio::test]
async fn what_is_named_by_a_rule_is_taken_over_and_aligned() {
    let story = Story::new();
    put(&story, "demo-a", 1);
    let plan = story.plan(&ours(2)).await;
    assert_eq!(summary(&plan), "= world_thing.a\n");
    let counts = plan.stacks[0].counts();
    assert_eq!((counts.adopted, counts.add, counts.change), (1, 0, 1));
    let report = story.apply_once(&ours(2)).await;
    assert_eq!((report.imported(), report.counts()), (1, (0, 1, 0)));
    assert_eq!(story.log(), ["update demo-a"]);
    assert_eq!(story.remote_value("demo-a", "val"), 2_i64.into());
}

#[tokio::test]
async fn what_is_as_described_is_taken_over_without_a_call() {
    let story = Story::new();
    put(&story, "demo-a", 2);
    let counts = story.plan(&ours(2)).await.stacks[0].counts();
    assert_eq!((counts.adopted, counts.change), (1, 0));
    let report = story.apply_once(&ours(2)).await;
    assert_eq!((report.imported(), report.counts()), (1, (0, 0, 0)));
    assert!(story.log().is_empty());
    assert_eq!(story.rows().await, ["world_thing.a"]);
}

#[tokio::test]
async fn a_name_that_is_written_out_is_nobodys() {
    let story = Story::new();
    put(&story, "a", 1);
    let text = stack("- {type: world_thing, name: a, adopt: ifOurs, config: {key: a}}");
    insta::assert_snapshot!(story.errors(&text).await, @"
    stack.yaml:5:31: demo@test:world_thing.a is there already and is not taken over: `key` is written out, and follows no rule
      hint: `terrace import demo@test:world_thing.a id-0` records it as it is; `adopt: ifExists` takes over whatever is there
    ");
    story.apply(&text.replace("ifOurs", "ifExists")).await;
}

#[tokio::test]
async fn what_another_row_manages_is_not_taken_over() {
    let story = Story::new();
    story
        .apply(&stack("- {type: world_thing, name: b, config: {key: demo-a}}").replace("name: demo}", "name: other}"))
        .await;
    insta::assert_snapshot!(story.errors(&ours(1)).await, @"
    stack.yaml:5:31: demo@test:world_thing.a is there already and is not taken over: other@test:world_thing.b manages it
      hint: give one of them another name, or let both own it with `shared`
    ");
}

#[tokio::test]
async fn data_that_stayed_under_another_name_is_offered_to_move() {
    let story = Story::new();
    let data = |name: &str| ours(1).replace("world_thing", "world_data").replace("name: a,", &format!("name: {name},"));
    story.apply(&data("old")).await;
    story.apply(&stack("- {type: world_thing, name: other, config: {key: other}}")).await;
    insta::assert_snapshot!(story.errors(&data("new")).await, @"
    stack.yaml:5:30: demo@test:world_data.new is there already and is not taken over: it is the data of demo@test:world_data.old, which stayed
      hint: to go on with it, write `moved: [{from: world_data.old, to: world_data.new}]`
    ");
}

#[tokio::test]
async fn what_would_have_to_be_replaced_is_not_taken_over() {
    let story = Story::new();
    put(&story, "demo-a", 1);
    let text = ours(1).replace("world_thing", "world_data");
    // Only `key` replaces, and that is what it is found by: aligning it is an update, which loses nothing.
    assert_eq!(summary(&story.plan(&text).await), "= world_data.a\n");
}

#[tokio::test]
async fn an_object_that_exists_ends_in_the_line_that_imports_it() {
    let story = Story::new();
    put(&story, "it is", 1);
    let report = story.apply_once(&stack("- {type: world_thing, name: a, config: {key: it is}}")).await;
    assert_eq!(
        report.failed[0].solutions,
        [
            "to take it over: set `adopt: ifExists` on the resource",
            "to record it as it is: `terrace import demo@test:world_thing.a 'it is'`"
        ]
    );
}

const PAIR: &str = "- {type: world_thing, name: a, adopt: ifExists, config: {key: a}}\n\
                    - {type: world_thing, name: b, adopt: ifExists, config: {key: b, val: '${{ resources.a.id }}'}}";

#[tokio::test]
async fn what_is_described_and_not_recorded_is_looked_for_and_removed() {
    let story = Story::new();
    put(&story, "a", 1);
    put(&story, "b", 1);
    let plan = story.plan_destroy_of(&stack(PAIR)).await;
    assert_eq!(
        summary(&plan),
        "- world_thing.a (is there, and is not recorded)\n- world_thing.b (is there, and is not recorded)\n"
    );
    let report = story.apply_plan(&plan).await.unwrap();
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    assert_eq!(story.log(), ["delete b", "delete a"], "what was made after it goes before it");
    assert!(story.rows().await.is_empty());
    assert!(!story.plan_destroy_of(&stack(PAIR)).await.has_changes(), "nothing is there any more");
}

#[tokio::test]
async fn an_apply_that_recorded_no_resource_leaves_its_component_to_be_looked_for() {
    let story = Story::new();
    put(&story, "b", 1);
    story.fault("create a", Fault::Before(ErrorKind::PermissionDenied));
    let text = stack("- {type: world_thing, name: a, config: {key: a}}");
    assert_eq!(story.apply_once(&text).await.failed.len(), 1);
    assert_eq!(
        summary(&story.plan_destroy_of(&stack(PAIR)).await),
        "- world_thing.b (is there, and is not recorded)\n"
    );
}

#[tokio::test]
async fn only_what_is_there_is_removed() {
    let story = Story::new();
    put(&story, "b", 1);
    assert_eq!(
        summary(&story.plan_destroy_of(&stack(PAIR)).await),
        "- world_thing.b (is there, and is not recorded)\n"
    );
}

#[tokio::test]
async fn data_that_is_not_recorded_is_retained_and_recorded_as_such() {
    let mut story = Story::new();
    put(&story, "t", 1);
    let text = stack("- {type: world_data, name: t, adopt: ifExists, config: {key: t}}");
    let plan = story.plan_destroy_of(&text).await;
    assert_eq!(summary(&plan), "o world_data.t (is there, and is not recorded)\n");
    story.apply_plan(&plan).await.unwrap();
    assert_eq!(story.rows().await, ["world_data.t (Retained)"]);
    story.options.remove_data = true;
    story.destroy().await;
    assert!(story.remote().objects.is_empty());
}

#[tokio::test]
async fn of_a_component_that_is_recorded_only_what_is_recorded_goes() {
    let story = Story::new();
    story.apply(&stack("- {type: world_thing, name: a, config: {key: a}}")).await;
    put(&story, "b", 1);
    assert_eq!(summary(&story.plan_destroy_of(&stack(PAIR)).await), "- world_thing.a (destroy)\n");
}

#[tokio::test]
async fn what_another_stack_manages_stays() {
    let story = Story::new();
    story
        .apply(&stack("- {type: world_thing, name: x, config: {key: a}}").replace("name: demo}", "name: other}"))
        .await;
    let plan = story.plan_destroy_of(&stack(PAIR)).await;
    assert!(!plan.has_changes(), "{}", summary(&plan));
    assert_eq!(
        plan.notes[0].message,
        "demo@test:world_thing.a is there, and other@test:world_thing.x manages it: it stays"
    );
}

#[tokio::test]
async fn a_removal_of_what_is_not_recorded_is_stale_once_it_is() {
    let story = Story::new();
    put(&story, "a", 1);
    let plan = story.plan_destroy_of(&stack(PAIR)).await;
    story.apply(&stack(PAIR).replace("name: a, config", "name: a, adopt: ifExists, config")).await;
    story.log();
    assert!(story.apply_plan(&plan).await.is_err());
    assert!(story.log().is_empty());
}

/// A thing that is taken over wherever it is.
fn taking(name: &str, key: &str) -> String {
    format!("- {{type: world_thing, name: {name}, adopt: ifExists, config: {{key: {key}}}}}\n")
}

#[tokio::test]
async fn what_is_recorded_as_something_else_is_not_taken_over() {
    let mut story = Story::new();
    story.apply(&stack(&taking("a", "k"))).await;
    let renamed = stack(&taking("b", "k"));
    insta::assert_snapshot!(story.errors(&renamed).await, @r#"
    stack.yaml:5:31: demo@test:world_thing.b names the object that is recorded as demo@test:world_thing.a: key "k"
      hint: say that it is the same one: `moved: [{from: 'world_thing.a', to: 'world_thing.b'}]`
    "#);
    story.options.targets = vec![(None, "world_thing.b".parse().unwrap())];
    insta::assert_snapshot!(story.errors(&renamed).await, @"
    -: only a part is planned: what was not named is left as it is
      hint: plan without `--target` and `--exclude` to see what else there is to do
    stack.yaml:5:31: demo@test:world_thing.b would take over what is recorded as demo@test:world_thing.a
      hint: where it is the same one, say so: `moved: [{from: world_thing.a, to: world_thing.b}]`; `terrace state rm demo@test:world_thing.a` drops that record and leaves the object
    ");
    story.options.targets.clear();
    let elsewhere = stack(&taking("a", "k")).replace("name: demo}", "name: other}");
    insta::assert_snapshot!(story.errors(&elsewhere).await, @"
    stack.yaml:5:31: other@test:world_thing.a would take over what is recorded as demo@test:world_thing.a
      hint: give one of them another name, or let both own it with `shared`; `terrace state rm demo@test:world_thing.a` drops that record and leaves the object
    ");
    // It goes over where both are planned, and the one lets go of it.
    let both = stack("").replace("resources:", "forget: [world_thing.a]") + "---\n" + &elsewhere;
    story.log();
    story.apply(&both).await;
    assert!(story.log().is_empty());
    assert_eq!(story.rows().await, ["world_thing.a"]);
}

#[tokio::test]
async fn of_two_rows_of_one_object_none_takes_it_from_the_other() {
    let story = Story::new();
    story.apply(&stack(&taking("a", "k"))).await;
    let demo = StackId::new("demo", "test");
    let mut row = story.store.rows(&demo, &Selection::All).await.unwrap().remove(0);
    row.address = "world_thing.b".parse().unwrap();
    let operation = Uuid::now_v7();
    let new = NewOperation { id: operation, kind: "state".to_owned(), stacks: vec![demo], actor: "a test".to_owned() };
    story.store.begin(&new).await.unwrap();
    let end = Record::End { operation, status: OperationStatus::Completed, summary: String::new() };
    let write = Write::Put { row: Box::new(row), expected: 0 };
    story.store.commit(&[], vec![Record::Write { operation, write }, end]).await.unwrap();
    insta::assert_snapshot!(story.errors(&stack(&taking("b", "k"))).await, @r#"
    stack.yaml:5:31: demo@test:world_thing.b names the object that is recorded as demo@test:world_thing.a: key "k"
      hint: `terrace state rm demo@test:world_thing.a` drops the one record and leaves the object
    "#);
    let replaced = taking("a", "other") + &taking("b", "k");
    insta::assert_snapshot!(story.errors(&stack(&replaced)).await, @r#"
    stack.yaml:6:31: demo@test:world_thing.b names the object that is recorded as demo@test:world_thing.a: key "k"
      hint: `terrace state rm demo@test:world_thing.a` drops the one record and leaves the object
    "#);
    story.log();
    story.apply(&(stack(&taking("b", "k")) + "forget: [world_thing.a]\n")).await;
    assert!(story.log().is_empty());
    assert_eq!(story.rows().await, ["world_thing.b"]);
    story.destroy().await;
    assert_eq!(story.log(), ["delete k"]);
}

#[tokio::test]
async fn what_no_rule_names_is_not_removed_as_ours() {
    let written_out = stack("- {type: world_thing, name: a, adopt: ifOurs, config: {key: demo-a, val: 2}}");
    for (text, val, is_removed) in
        [(&written_out, 1, false), (&written_out, 2, true), (&ours(2), 1, true), (&ours(2), 2, true)]
    {
        let story = Story::new();
        put(&story, "demo-a", val);
        let plan = story.plan_destroy_of(text).await;
        story.apply_plan(&plan).await.unwrap();
        assert_eq!(story.remote().objects.is_empty(), is_removed, "{text} {val}: {}", summary(&plan));
    }
}

#[tokio::test]
async fn what_was_there_before_is_let_go_of_and_what_is_ours_goes() {
    let story = Story::new();
    let things = "- {type: world_borrowed, name: a, config: {key: a, val: 7}}\n  \
                  - {type: world_borrowed, name: b, config: {key: b, val: 1}}";
    story.apply(&stack(things)).await;
    story.log();
    let nothing = stack("").replace("resources:", "resources: []");
    let plan = story.plan(&nothing).await;
    insta::assert_snapshot!(summary(&plan), @"
    . world_borrowed.a (was there before, and stays)
    - world_borrowed.b (is not declared any more)
    ");
    story.apply_plan(&plan).await.unwrap();
    assert_eq!(story.log(), ["delete b"]);
    assert_eq!(story.remote().objects.keys().collect::<Vec<_>>(), ["a"]);
    assert!(story.rows().await.is_empty());
    assert!(!story.plan(&nothing).await.has_changes());
    // The same where nothing is recorded of it.
    let plan = story.plan_destroy_of(&stack(things)).await;
    assert_eq!(summary(&plan), "");
}
