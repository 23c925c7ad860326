//! Existing objects: adopted if the descriptor allows it, otherwise refused with a hint.

use crate::support::Story;
use crate::support::story::{stack, summary};
use crate::support::world::Fault;
use terrace_engine::address::StackId;
use terrace_engine::store::{NewOperation, OperationStatus, Record, Selection, Write};
use terrace_provider::{ErrorKind, Value};
use uuid::Uuid;

fn put_remote(story: &Story, key: &str, val: i64) {
    let object = [("key", Value::from(key)), ("val", Value::Int(val)), ("id", "id-0".into())];
    let object = object.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    story.remote().objects.insert(key.to_owned(), object);
}

/// A thing with a computed name.
fn own_thing(val: i64) -> String {
    stack(&format!(
        "- {{type: world_thing, name: a, adopt: ifOurs, config: {{key: '${{{{ stack + \"-a\" }}}}', val: {val}}}}}"
    ))
}

#[tokio::test]
async fn object_named_by_rule_is_adopted_and_aligned() {
    let story = Story::new();
    put_remote(&story, "demo-a", 1);
    let plan = story.plan(&own_thing(2)).await;
    assert_eq!(summary(&plan), "= world_thing.a\n");
    let counts = plan.stacks[0].counts();
    assert_eq!((counts.adopted, counts.add, counts.change), (1, 0, 1));
    let report = story.apply_once(&own_thing(2)).await;
    assert_eq!((report.imported(), report.counts()), (1, (0, 1, 0)));
    assert_eq!(story.log(), ["update demo-a"]);
    assert_eq!(story.remote_value("demo-a", "val"), 2_i64.into());
}

#[tokio::test]
async fn matching_object_is_adopted_without_a_call() {
    let story = Story::new();
    put_remote(&story, "demo-a", 2);
    let counts = story.plan(&own_thing(2)).await.stacks[0].counts();
    assert_eq!((counts.adopted, counts.change), (1, 0));
    let report = story.apply_once(&own_thing(2)).await;
    assert_eq!((report.imported(), report.counts()), (1, (0, 0, 0)));
    assert!(story.log().is_empty());
    assert_eq!(story.rows().await, ["world_thing.a"]);
}

#[tokio::test]
async fn object_with_literal_name_is_not_ours() {
    let story = Story::new();
    put_remote(&story, "a", 1);
    let text = stack("- {type: world_thing, name: a, adopt: ifOurs, config: {key: a}}");
    insta::assert_snapshot!(story.errors(&text).await, @"
    stack.yaml:5:31: demo@test:world_thing.a exists already and cannot be adopted: `key` is a literal, not computed
      hint: `terrace import demo@test:world_thing.a id-0` records it as it is; `adopt: ifExists` adopts any existing object
    ");
    story.apply(&text.replace("ifOurs", "ifExists")).await;
}

#[tokio::test]
async fn object_whose_value_names_it_is_adopted() {
    let derived = |adopt: &str, key: &str| {
        stack(&format!("- {{type: world_derived, name: a, adopt: {adopt}, config: {{val: {{key: {key}, size: 2}}}}}}"))
    };
    let computed = "'${{ stack + \"-a\" }}'";
    let story = Story::new();
    put_remote(&story, "demo-a", 1);
    insta::assert_snapshot!(story.errors(&derived("ifOurs", "demo-a")).await, @"
    stack.yaml:5:33: demo@test:world_derived.a exists already and cannot be adopted: `val.key` is a literal, not computed
      hint: `terrace import demo@test:world_derived.a id-0` records it as it is; `adopt: ifExists` adopts any existing object
    ");
    for (adopt, key) in [("ifExists", "demo-a"), ("ifOurs", computed)] {
        let story = Story::new();
        put_remote(&story, "demo-a", 1);
        let report = story.apply_once(&derived(adopt, key)).await;
        assert_eq!((report.imported(), report.counts()), (1, (0, 1, 0)), "{adopt}");
        assert_eq!(story.log(), ["update demo-a"]);
        story.check_second_plan(&derived(adopt, key)).await;
    }
}

#[tokio::test]
async fn object_managed_by_another_row_is_not_adopted() {
    let story = Story::new();
    story
        .apply(&stack("- {type: world_thing, name: b, config: {key: demo-a}}").replace("name: demo}", "name: other}"))
        .await;
    insta::assert_snapshot!(story.errors(&own_thing(1)).await, @"
    stack.yaml:5:31: demo@test:world_thing.a exists already and cannot be adopted: other@test:world_thing.b manages it
      hint: give one of them another name, or let both own it with `shared`
    ");
}

#[tokio::test]
async fn retained_data_under_another_name_gets_a_move_hint() {
    let story = Story::new();
    let data =
        |name: &str| own_thing(1).replace("world_thing", "world_data").replace("name: a,", &format!("name: {name},"));
    story.apply(&data("old")).await;
    story.apply(&stack("- {type: world_thing, name: other, config: {key: other}}")).await;
    insta::assert_snapshot!(story.errors(&data("new")).await, @"
    stack.yaml:5:30: demo@test:world_data.new exists already and cannot be adopted: demo@test:world_data.old retained its data
      hint: to continue with its data, write `moved: [{from: world_data.old, to: world_data.new}]`
    ");
}

#[tokio::test]
async fn data_is_adopted_if_alignment_needs_no_replacement() {
    let story = Story::new();
    put_remote(&story, "demo-a", 1);
    let text = own_thing(1).replace("world_thing", "world_data");
    // Only `key` replaces, and the lookup goes by `key`: alignment is an update, which loses no data.
    assert_eq!(summary(&story.plan(&text).await), "= world_data.a\n");
}

#[tokio::test]
async fn existing_object_error_offers_adoption_and_import() {
    let story = Story::new();
    put_remote(&story, "it is", 1);
    let report = story.apply_once(&stack("- {type: world_thing, name: a, config: {key: it is}}")).await;
    assert_eq!(
        report.failed[0].solutions,
        [
            "to adopt it, set `adopt: ifExists` on the resource",
            "to record it unchanged, run `terrace import demo@test:world_thing.a 'it is'`"
        ]
    );
}

const PAIR: &str = "- {type: world_thing, name: a, adopt: ifExists, config: {key: a}}\n\
                    - {type: world_thing, name: b, adopt: ifExists, config: {key: b, val: '${{ resources.a.id }}'}}";

#[tokio::test]
async fn destroy_finds_and_removes_unmanaged_objects() {
    let story = Story::new();
    put_remote(&story, "a", 1);
    put_remote(&story, "b", 1);
    let plan = story.plan_destroy_of(&stack(PAIR)).await;
    assert_eq!(
        summary(&plan),
        "- world_thing.a (exists, and is not in the state)\n- world_thing.b (exists, and is not in the state)\n"
    );
    let report = story.apply_plan(&plan).await.unwrap();
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    assert_eq!(story.log(), ["delete b", "delete a"], "dependents are deleted first");
    assert!(story.rows().await.is_empty());
    assert!(!story.plan_destroy_of(&stack(PAIR)).await.has_changes(), "no object is left");
}

#[tokio::test]
async fn destroy_looks_up_component_whose_apply_recorded_no_resource() {
    let story = Story::new();
    put_remote(&story, "b", 1);
    story.fault("create a", Fault::Before(ErrorKind::PermissionDenied));
    let text = stack("- {type: world_thing, name: a, config: {key: a}}");
    assert_eq!(story.apply_once(&text).await.failed.len(), 1);
    assert_eq!(
        summary(&story.plan_destroy_of(&stack(PAIR)).await),
        "- world_thing.b (exists, and is not in the state)\n"
    );
}

#[tokio::test]
async fn destroy_keeps_object_that_an_apply_found_and_did_not_adopt() {
    let story = Story::new();
    put_remote(&story, "a", 1);
    let text = stack("- {type: world_thing, name: a, config: {key: a, val: 1}}");
    assert_eq!(story.apply_once(&text).await.failed.len(), 1);
    assert!(!story.plan_destroy_of(&text).await.has_changes());
    assert!(story.remote().objects.contains_key("a"));
}

#[tokio::test]
async fn destroy_removes_only_existing_objects() {
    let story = Story::new();
    put_remote(&story, "b", 1);
    assert_eq!(
        summary(&story.plan_destroy_of(&stack(PAIR)).await),
        "- world_thing.b (exists, and is not in the state)\n"
    );
}

#[tokio::test]
async fn unmanaged_data_is_retained_and_recorded() {
    let mut story = Story::new();
    put_remote(&story, "t", 1);
    let text = stack("- {type: world_data, name: t, adopt: ifExists, config: {key: t}}");
    let plan = story.plan_destroy_of(&text).await;
    assert_eq!(summary(&plan), "o world_data.t (exists, and is not in the state)\n");
    story.apply_plan(&plan).await.unwrap();
    assert_eq!(story.rows().await, ["world_data.t (Retained)"]);
    story.options.remove_data = true;
    story.destroy().await;
    assert!(story.remote().objects.is_empty());
}

#[tokio::test]
async fn destroy_of_a_recorded_component_removes_only_its_rows() {
    let story = Story::new();
    story.apply(&stack("- {type: world_thing, name: a, config: {key: a}}")).await;
    put_remote(&story, "b", 1);
    let plan = story.plan_destroy_of(&stack(PAIR)).await;
    assert_eq!(summary(&plan), "- world_thing.a (destroy)\n");
    // The state is not lost, so the other object may belong to another owner.
    assert_eq!(
        plan.notes[0].message,
        "demo@test has no row for `world_thing.b`: terrace does not search for such objects"
    );
    let hint = plan.notes[0].hint.as_deref().unwrap();
    assert!(hint.contains("run `terrace import demo@test:world_thing.b ID` before the destroy"), "{hint}");
    let three = stack(&format!("{PAIR}\n- {{type: world_thing, name: c, config: {{key: c}}}}"));
    let plan = story.plan_destroy_of(&three).await;
    let note = &plan.notes[0];
    assert!(note.message.starts_with("demo@test has no row for `world_thing.b`, `world_thing.c`: "), "{note:?}");
    let hint = note.hint.as_deref().unwrap();
    assert!(
        hint.starts_with("for each such object that exists and belongs to this stack, run `terrace import"),
        "{hint}"
    );
}

#[tokio::test]
async fn destroy_is_silent_about_resources_that_an_earlier_destroy_removed() {
    let mut story = Story::new();
    let text =
        stack("- {type: world_data, name: t, config: {key: t}}\n- {type: world_thing, name: a, config: {key: a}}");
    story.apply(&text).await;
    let first = story.plan_destroy_of(&text).await;
    story.apply_plan(&first).await.unwrap();
    assert_eq!(story.rows().await, ["world_data.t (Retained)"]);
    story.options.remove_data = true;
    let second = story.plan_destroy_of(&text).await;
    assert_eq!(summary(&second), "- world_data.t (its retained data is removed)\n");
    assert!(second.notes.is_empty(), "{:?}", second.notes);
}

#[tokio::test]
async fn partial_destroy_keeps_unmanaged_objects_that_it_does_not_cover() {
    let mut story = Story::new();
    put_remote(&story, "a", 1);
    put_remote(&story, "b", 1);
    let chosen = |text: &str| vec![(None, text.parse().unwrap())];
    story.options.excludes = chosen("world_thing.a");
    assert_eq!(
        summary(&story.plan_destroy_of(&stack(PAIR)).await),
        "- world_thing.b (exists, and is not in the state)\n"
    );
    story.options.excludes = chosen("world_thing.b");
    assert!(!story.plan_destroy_of(&stack(PAIR)).await.has_changes(), "b needs a");
    story.options.excludes = Vec::new();
    story.options.targets = chosen("world_thing.b");
    assert_eq!(
        summary(&story.plan_destroy_of(&stack(PAIR)).await),
        "- world_thing.b (exists, and is not in the state)\n"
    );
}

#[tokio::test]
async fn protected_unmanaged_object_stays_and_does_not_block_the_destroy() {
    let story = Story::new();
    put_remote(&story, "a", 1);
    let text = "- {type: world_thing, name: a, adopt: ifExists, lifecycle: {preventDestroy: true}, config: {key: a}}";
    let plan = story.plan_destroy_of(&stack(text)).await;
    assert!(!plan.has_changes() && !plan.is_errored, "{}", summary(&plan));
    assert!(plan.notes[0].message.contains("`preventDestroy` protects it: it stays"), "{:?}", plan.notes);
}

#[tokio::test]
async fn destroy_keeps_objects_of_another_stack() {
    let story = Story::new();
    story
        .apply(&stack("- {type: world_thing, name: x, config: {key: a}}").replace("name: demo}", "name: other}"))
        .await;
    let plan = story.plan_destroy_of(&stack(PAIR)).await;
    assert!(!plan.has_changes(), "{}", summary(&plan));
    assert_eq!(
        plan.notes[0].message,
        "demo@test:world_thing.a exists, and other@test:world_thing.x manages it: it stays"
    );
}

#[tokio::test]
async fn destroy_of_unmanaged_object_is_stale_once_it_has_a_row() {
    let story = Story::new();
    put_remote(&story, "a", 1);
    let plan = story.plan_destroy_of(&stack(PAIR)).await;
    story.apply(&stack(PAIR).replace("name: a, config", "name: a, adopt: ifExists, config")).await;
    story.log();
    assert!(story.apply_plan(&plan).await.is_err());
    assert!(story.log().is_empty());
}

/// A thing that adopts any existing object.
fn adopting(name: &str, key: &str) -> String {
    format!("- {{type: world_thing, name: {name}, adopt: ifExists, config: {{key: {key}}}}}\n")
}

#[tokio::test]
async fn object_with_a_row_is_not_adopted_by_another_address() {
    let mut story = Story::new();
    story.apply(&stack(&adopting("a", "k"))).await;
    let renamed = stack(&adopting("b", "k"));
    insta::assert_snapshot!(story.errors(&renamed).await, @r#"
    stack.yaml:5:31: demo@test:world_thing.b names the object that is recorded as demo@test:world_thing.a: key "k"
      hint: declare the move: `moved: [{from: 'world_thing.a', to: 'world_thing.b'}]`
    "#);
    story.options.targets = vec![(None, "world_thing.b".parse().unwrap())];
    insta::assert_snapshot!(story.errors(&renamed).await, @"
    -: the plan is partial: all other resources stay as they are
      hint: plan without `--target` and `--exclude` to see all changes
    stack.yaml:5:31: demo@test:world_thing.b would adopt the object of demo@test:world_thing.a
      hint: if it is the same resource, declare the move: `moved: [{from: world_thing.a, to: world_thing.b}]`; `terrace state rm demo@test:world_thing.a` drops that record and leaves the object
    ");
    story.options.targets.clear();
    let elsewhere = stack(&adopting("a", "k")).replace("name: demo}", "name: other}");
    insta::assert_snapshot!(story.errors(&elsewhere).await, @"
    stack.yaml:5:31: other@test:world_thing.a would adopt the object of demo@test:world_thing.a
      hint: give one of them another name, or let both own it with `shared`; `terrace state rm demo@test:world_thing.a` drops that record and leaves the object
    ");
    // The object moves if both stacks are planned and the first one forgets it.
    let both = stack("").replace("resources:", "forget: [world_thing.a]") + "---\n" + &elsewhere;
    story.log();
    story.apply(&both).await;
    assert!(story.log().is_empty());
    assert_eq!(story.rows().await, ["world_thing.a"]);
}

#[tokio::test]
async fn rows_of_one_object_do_not_adopt_from_each_other() {
    let story = Story::new();
    story.apply(&stack(&adopting("a", "k"))).await;
    let demo = StackId::new("demo", "test");
    let mut row = story.store.rows(&demo, &Selection::All).await.unwrap().remove(0);
    row.address = "world_thing.b".parse().unwrap();
    let operation = Uuid::now_v7();
    let new = NewOperation { id: operation, kind: "state".to_owned(), stacks: vec![demo], actor: "a test".to_owned() };
    story.store.begin(&new).await.unwrap();
    let end = Record::End { operation, status: OperationStatus::Completed, summary: String::new() };
    let write = Write::Put { row: Box::new(row), expected: 0 };
    story.store.commit(&[], vec![Record::Write { operation, write }, end]).await.unwrap();
    insta::assert_snapshot!(story.errors(&stack(&adopting("b", "k"))).await, @r#"
    stack.yaml:5:31: demo@test:world_thing.b names the object that is recorded as demo@test:world_thing.a: key "k"
      hint: `terrace state rm demo@test:world_thing.a` forgets that row and keeps the object
    "#);
    let replaced = adopting("a", "other") + &adopting("b", "k");
    insta::assert_snapshot!(story.errors(&stack(&replaced)).await, @r#"
    stack.yaml:6:31: demo@test:world_thing.b names the object that is recorded as demo@test:world_thing.a: key "k"
      hint: `terrace state rm demo@test:world_thing.a` forgets that row and keeps the object
    "#);
    story.log();
    story.apply(&(stack(&adopting("b", "k")) + "forget: [world_thing.a]\n")).await;
    assert!(story.log().is_empty());
    assert_eq!(story.rows().await, ["world_thing.b"]);
    story.destroy().await;
    assert_eq!(story.log(), ["delete k"]);
}

#[tokio::test]
async fn unmanaged_literal_name_is_destroyed_only_if_values_match() {
    let written_out = stack("- {type: world_thing, name: a, adopt: ifOurs, config: {key: demo-a, val: 2}}");
    for (text, val, is_removed) in
        [(&written_out, 1, false), (&written_out, 2, true), (&own_thing(2), 1, true), (&own_thing(2), 2, true)]
    {
        let story = Story::new();
        put_remote(&story, "demo-a", val);
        let plan = story.plan_destroy_of(text).await;
        story.apply_plan(&plan).await.unwrap();
        assert_eq!(story.remote().objects.is_empty(), is_removed, "{text} {val}: {}", summary(&plan));
    }
}

#[tokio::test]
async fn borrowed_object_is_released_and_own_object_deleted() {
    let story = Story::new();
    let things = "- {type: world_borrowed, name: a, config: {key: a, val: 7}}\n  \
                  - {type: world_borrowed, name: b, config: {key: b, val: 1}}";
    story.apply(&stack(things)).await;
    story.log();
    let nothing = stack("").replace("resources:", "resources: []");
    let plan = story.plan(&nothing).await;
    insta::assert_snapshot!(summary(&plan), @"
    . world_borrowed.a (existed before, and stays)
    - world_borrowed.b (is not declared any more)
    ");
    story.apply_plan(&plan).await.unwrap();
    assert_eq!(story.log(), ["delete b"]);
    assert_eq!(story.remote().objects.keys().collect::<Vec<_>>(), ["a"]);
    assert!(story.rows().await.is_empty());
    assert!(!story.plan(&nothing).await.has_changes());
    // The same for unmanaged objects.
    let plan = story.plan_destroy_of(&stack(things)).await;
    assert_eq!(summary(&plan), "");
}
