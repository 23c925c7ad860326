//! Names that pass from one resource to another: a shifted index, two resources that swap.

use crate::support::Story;
use crate::support::story::{stack, summary};
use proptest::prelude::*;
use std::collections::BTreeSet;
use terrace_engine::address::{Address, StackId};
use terrace_engine::row_moves::{self, RowMove};
use terrace_engine::store::{NewOperation, OperationStatus, Record, Selection};
use uuid::Uuid;

/// One instance for each key, by number.
fn numbered(ty: &str, keys: &[&str]) -> String {
    let keys = keys.join(", ");
    stack(&format!(
        "- {{type: {ty}, name: f, forEach: '${{{{ range(size(locals.keys)) }}}}', config: {{key: '${{{{ \
         locals.keys[each.key] }}}}', val: '${{{{ locals.keys[each.key] }}}}'}}}}"
    )) + &format!("locals: {{keys: [{keys}]}}\n")
}

fn pair(ty: &str, a: &str, b: &str) -> String {
    stack(&format!(
        "- {{type: {ty}, name: a, config: {{key: {a}}}}}
         - {{type: {ty}, name: b, config: {{key: {b}}}}}"
    ))
}

/// Moves a row, as `terrace state mv` does.
async fn move_row(story: &Story, from: &str, to: &str) {
    let (stack, from) = from.split_once(':').unwrap();
    let stack = StackId::new(stack.split_once('@').unwrap().0, "test");
    let (from, to): (Address, Address) = (from.parse().unwrap(), to.parse().unwrap());
    let rows = story.store.rows(&stack, &Selection::Addresses([from.clone()].into())).await.unwrap();
    let moving = [RowMove { from, to, generation: rows[0].generation }];
    let operation = Uuid::now_v7();
    let new =
        NewOperation { id: operation, kind: "state mv".into(), stacks: vec![stack.clone()], actor: "a test".into() };
    story.store.begin(&new).await.unwrap();
    let writes = row_moves::writes(&stack, &moving).into_iter().map(|write| Record::Write { operation, write });
    let end = Record::End { operation, status: OperationStatus::Completed, summary: String::new() };
    story.store.commit(&[], writes.chain([end]).collect()).await.unwrap();
}

/// Follows the hints of all errors literally; false without errors.
async fn follow_hints(story: &Story, text: &str) -> bool {
    let (_, diagnostics, _) = story.try_plan(text).await;
    let hints: Vec<String> =
        diagnostics.iter().filter(|it| it.is_error()).map(|it| it.hint.clone().unwrap_or_default()).collect();
    for hint in &hints {
        let commands = hint.split('`').skip(1).step_by(2);
        let moves = commands.filter_map(|command| command.strip_prefix("terrace state mv "));
        for arguments in moves {
            let words: Vec<String> = arguments.split(' ').map(|word| word.trim_matches('\'').to_owned()).collect();
            move_row(story, &words[0], &words[1]).await;
        }
    }
    !hints.is_empty()
}

fn remaining(story: &Story) -> Vec<String> {
    story.remote().objects.keys().cloned().collect()
}

#[tokio::test]
async fn removal_of_a_first_list_item_shifts_the_rest() {
    let story = Story::new();
    story.apply(&numbered("world_thing", &["a", "b", "c"])).await;
    story.log();
    let text = numbered("world_thing", &["b", "c"]);
    assert_eq!(
        summary(&story.plan(&text).await),
        "-/+ world_thing.f[0] (must be replaced)\n-/+ world_thing.f[1] (must be replaced)\n\
         - world_thing.f[2] (its key is not in forEach any more)\n"
    );
    story.apply(&text).await;
    assert_eq!(remaining(&story), ["b", "c"]);
    let log = story.log();
    let at = |call: &str| log.iter().position(|it| it == call).unwrap();
    assert!(at("delete b") < at("create b") && at("delete c") < at("create c"), "{log:?}");
}

#[tokio::test]
async fn two_resources_swap_their_objects() {
    let story = Story::new();
    story.apply(&pair("world_thing", "x", "y")).await;
    story.log();
    story.apply(&pair("world_thing", "y", "x")).await;
    assert_eq!(remaining(&story), ["x", "y"]);
    assert_eq!(story.log().len(), 4);
}

#[tokio::test]
async fn rows_of_data_are_moved_to_the_resources_that_name_them() {
    let story = Story::new();
    story.apply(&numbered("world_data", &["a", "b", "c"])).await;
    story.log();
    let text = numbered("world_data", &["b", "c"]);
    insta::assert_snapshot!(story.errors(&text).await, @r#"
    stack.yaml:5:30: demo@test:world_data.f[0] names the object that is recorded as demo@test:world_data.f[1]: key "b"
      hint: if each resource is to keep the object that it names, move the rows first: `terrace state mv 'demo@test:world_data.f[0]' 'world_data.f["aside1"]'`, then `terrace state mv 'demo@test:world_data.f[1]' 'world_data.f[0]'`, then `terrace state mv 'demo@test:world_data.f[2]' 'world_data.f[1]'`
    stack.yaml:5:30: demo@test:world_data.f[1] names the object that is recorded as demo@test:world_data.f[2]: key "c"
      hint: move the rows with the commands in the error about world_data.f[0]
    "#);
    assert!(follow_hints(&story, &text).await);
    assert_eq!(summary(&story.plan(&text).await), "o world_data.f[\"aside1\"] (its key is not in forEach any more)\n");
    story.apply(&text).await;
    assert_eq!(story.log(), [""; 0], "nothing is called");
    assert_eq!(remaining(&story), ["a", "b", "c"]);

    let story = Story::new();
    story.apply(&pair("world_data", "x", "y")).await;
    story.log();
    let text = pair("world_data", "y", "x");
    insta::assert_snapshot!(story.errors(&text).await, @r#"
    stack.yaml:5:30: demo@test:world_data.a names the object that is recorded as demo@test:world_data.b: key "y"
      hint: if each resource is to keep the object that it names, move the rows first: `terrace state mv demo@test:world_data.a world_data.a_aside1`, then `terrace state mv demo@test:world_data.b world_data.a`, then `terrace state mv demo@test:world_data.a_aside1 world_data.b`
    stack.yaml:6:30: demo@test:world_data.b names the object that is recorded as demo@test:world_data.a: key "x"
      hint: move the rows with the commands in the error about world_data.a
    "#);
    assert!(follow_hints(&story, &text).await);
    story.apply(&text).await;
    assert_eq!(story.log(), [""; 0], "nothing is called");
    assert_eq!(story.rows().await, ["world_data.a", "world_data.b"]);
}

#[tokio::test]
async fn target_is_refused_if_a_resource_outside_of_it_has_the_name() {
    let mut story = Story::new();
    story.apply(&numbered("world_thing", &["a", "b", "c"])).await;
    story.log();
    story.options.targets = vec![(None, "world_thing.f[0]".parse().unwrap())];
    insta::assert_snapshot!(story.errors(&numbered("world_thing", &["b", "c"])).await, @"
    -: the plan is partial: all other resources stay as they are
      hint: plan without `--target` and `--exclude` to see all changes
    stack.yaml:5:31: demo@test:world_thing.f[0] names the object that is recorded as demo@test:world_thing.f[1]
      hint: plan world_thing.f[1] too: without `--target`, `--exclude` and `-c` both are planned
    ");
    story.options.targets.clear();
    story.apply(&numbered("world_thing", &["b", "c"])).await;
}

#[tokio::test]
async fn replacement_is_refused_if_another_stack_or_retained_data_has_the_name() {
    let mut story = Story::new();
    let other = pair("world_thing", "x", "y").replace("name: demo}", "name: other}");
    story.apply(&other).await;
    story.apply(&pair("world_thing", "a", "b")).await;
    story.log();
    insta::assert_snapshot!(story.errors(&pair("world_thing", "x", "b")).await, @"
    stack.yaml:5:31: demo@test:world_thing.a names the object that is recorded as other@test:world_thing.a
      hint: give world_thing.a another name: that object stays
    ");
    // Retained data keeps its name, too.
    story.options.allow_data_loss = terrace_engine::plan::options::Consent::All;
    story.apply(&pair("world_data", "p", "q").replace("name: demo}", "name: data}")).await;
    let one = |key: &str| stack(&format!("- {{type: world_data, name: b, config: {{key: {key}}}}}"));
    story.apply(&one("q").replace("name: demo}", "name: data}")).await;
    story.log();
    insta::assert_snapshot!(story.errors(&one("p").replace("name: demo}", "name: data}")).await, @"
    stack.yaml:5:30: data@test:world_data.b names the object that is recorded as data@test:world_data.a
      hint: give world_data.b another name: that object stays
    ");
    assert_eq!(story.log(), [""; 0]);
}

fn some_names() -> impl Strategy<Value = Vec<&'static str>> {
    let names = proptest::sample::subsequence(vec!["a", "b", "c", "d", "e"], 0..=5);
    names.prop_shuffle()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// The plan for any change of a numbered list can be applied, and the second plan is empty.
    #[test]
    fn lists_of_names_are_planned_and_applied_in_any_order(lists in proptest::collection::vec(some_names(), 2..4)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let story = Story::new();
            for keys in &lists {
                story.apply(&numbered("world_thing", keys)).await;
                let expected: BTreeSet<&str> = keys.iter().copied().collect();
                assert_eq!(remaining(&story), expected.into_iter().collect::<Vec<_>>());
            }
        });
    }

    /// The hints for a list of objects with data lead to a plan, and every object stays.
    #[test]
    fn hints_about_lists_of_data_lead_to_a_plan_and_lose_no_object(before in some_names(), after in some_names()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let story = Story::new();
            story.apply(&numbered("world_data", &before)).await;
            story.log();
            let text = numbered("world_data", &after);
            if follow_hints(&story, &text).await {
                story.plan(&text).await;
            }
            assert_eq!(story.log(), [""; 0]);
            let all: BTreeSet<&str> = before.iter().copied().collect();
            assert_eq!(remaining(&story), all.into_iter().collect::<Vec<_>>());
        });
    }
}

fn named(keys: &[(&str, &str)]) -> String {
    let one = |(name, key): &(&str, &str)| format!("- {{type: world_named, name: {name}, config: {{key: {key}}}}}\n");
    stack(&keys.iter().map(one).collect::<String>())
}

#[tokio::test]
async fn objects_that_swap_names_by_renames_are_refused() {
    let story = Story::new();
    story.apply(&named(&[("a", "a"), ("b", "b"), ("c", "c"), ("d", "d")])).await;
    story.log();
    insta::assert_snapshot!(story.errors(&named(&[("a", "b"), ("b", "a"), ("c", "c"), ("d", "d")])).await, @"
    stack.yaml:5:31: demo@test:world_named.a and demo@test:world_named.b cannot take each other's names: each new name is still in use when it is taken
      hint: give world_named.a an unused name and apply; then give it its final name, and apply again
    ");
    let ring = named(&[("a", "b"), ("b", "c"), ("c", "a"), ("d", "d")]);
    assert_eq!(story.errors(&ring).await.matches("cannot take").count(), 1);
    // A chain with a free end is applied from that end.
    story.apply(&named(&[("a", "b"), ("b", "c"), ("c", "e"), ("d", "d")])).await;
    assert_eq!(story.log(), ["update c", "update b", "update a"]);
    // The hint of the swap works.
    for keys in [[("a", "x"), ("b", "c")], [("a", "x"), ("b", "b")], [("a", "c"), ("b", "b")]] {
        story.apply(&named(&[keys[0], keys[1], ("c", "e"), ("d", "d")])).await;
    }
    assert_eq!(remaining(&story), ["b", "c", "d", "e"]);
}

#[tokio::test]
async fn rename_to_the_name_of_a_recorded_object_is_refused_under_target() {
    let mut story = Story::new();
    story.apply(&named(&[("a", "a"), ("b", "b")])).await;
    story.options.targets = vec![(None, "world_named.a".parse().unwrap())];
    insta::assert_snapshot!(story.errors(&named(&[("a", "b"), ("b", "c")])).await, @"
    -: the plan is partial: all other resources stay as they are
      hint: plan without `--target` and `--exclude` to see all changes
    stack.yaml:5:31: demo@test:world_named.a names the object that is recorded as demo@test:world_named.b
      hint: plan world_named.b too: without `--target`, `--exclude` and `-c` both are planned
    ");
    story.options.targets.clear();
    story.apply(&named(&[("a", "b"), ("b", "c")])).await;
    assert_eq!(remaining(&story), ["b", "c"]);
}
