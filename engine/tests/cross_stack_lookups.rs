//! Lookups of objects that other stacks of the same run create.

use crate::support::Story;
use crate::support::story::{keys, summary};
use crate::support::world::Fault;
use terrace_engine::plan::Plan;
use terrace_provider::ErrorKind;

/// A stack that creates a thing.
fn maker(name: &str, key: &str, val: &str) -> String {
    format!(
        "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: {name}}}\ncomponents:\n  api:\n    resources:\n      \
         - {{type: world_thing, name: made, config: {{key: {key}, val: {val}}}}}\n"
    )
}

/// A stack that looks up a thing and creates another from its value.
fn looker(name: &str, at: &str) -> String {
    format!(
        "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: {name}}}\ndata:\n  \
         - {{type: world_thing, name: it, config: {{key: {at}}}}}\nresources:\n  \
         - {{type: world_thing, name: user, config: {{key: {name}, val: '${{{{ data.it.val }}}}'}}}}\n"
    )
}

fn run(stacks: &[String]) -> String {
    stacks.join("\n---\n")
}

/// The number of lookups that are read during apply.
fn lookups_during_apply(plan: &Plan) -> usize {
    plan.stacks.iter().flat_map(|stack| &stack.lookups).filter(|lookup| lookup.reason.is_some()).count()
}

#[tokio::test]
async fn lookup_of_another_planned_stack_is_answered_from_its_plan() {
    let expected = "outputs: {val: '${{ data.it.val }}', id: '${{ data.it.id }}'}\n";
    let stacks = [maker("giver", "made", "planned"), looker("taker", "made") + expected];
    for stacks in [stacks.clone(), [stacks[1].clone(), stacks[0].clone()]] {
        let story = Story::new();
        let plan = story.plan(&run(&stacks)).await;
        let in_plan: Vec<_> = plan.stacks.iter().map(|stack| stack.stack.name.as_str()).collect();
        assert_eq!(in_plan[0] == "giver", stacks[0].contains("giver"), "the plan keeps the given order");
        assert_eq!(lookups_during_apply(&plan), 1);
        let expected = summary(&plan);
        assert!(expected.contains("output val: None -> Some(\"planned\")"), "{expected}");
        assert!(expected.contains("output id: None -> Some((known after apply))"), "{expected}");
        story.apply(&run(&stacks)).await;
        assert_eq!(story.log(), ["create made", "create taker"]);
        assert_eq!(story.remote_value("taker", "val"), "planned".into());
        story.destroy().await;
        assert_eq!(story.log(), ["delete taker", "delete made"]);
    }
}

#[tokio::test]
async fn cycle_of_other_stacks_of_the_run_is_reported() {
    let reads = |name: &str, other: &str| {
        format!(
            "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: {name}}}\noutputs: {{o: '${{{{ \
             stacks[\"{other}\"].outputs.o }}}}'}}\n"
        )
    };
    let story = Story::new();
    story.apply(&maker("giver", "made", "1")).await;
    let stacks = [looker("taker", "made"), reads("x", "y"), reads("y", "x"), maker("giver", "made", "2")];
    let messages = story.errors(&run(&stacks)).await;
    assert!(messages.contains("a cycle: x@test → y@test → x@test"), "{messages}");
}

#[tokio::test]
async fn lookup_dependency_is_recorded_by_an_apply_without_changes() {
    let story = Story::new();
    story.apply(&maker("giver", "made", "1")).await;
    story.apply(&looker("taker", "made")).await;
    let plan = story.plan(&run(&[maker("giver", "made", "1"), looker("taker", "made")])).await;
    assert!(!plan.has_changes() && plan.changes_component_order(), "{}", summary(&plan));
    story.apply_plan(&plan).await.unwrap();
    let plan = story.plan(&run(&[maker("giver", "made", "1"), looker("taker", "made")])).await;
    assert!(!plan.changes_component_order());
    story.log();
    story.destroy().await;
    assert_eq!(story.log(), ["delete taker", "delete made"]);
}

#[tokio::test]
async fn planned_value_of_another_stack_is_type_checked_where_it_is_read() {
    let story = Story::new();
    let stacks =
        [looker("taker", "made").replace("data.it.val }}", "data.it.val.deep }}"), maker("giver", "made", "7")];
    insta::assert_snapshot!(story.errors(&run(&stacks)).await, @"stack.yaml:7:68: `data.it.val` is a whole number, so there is no `data.it.val.deep`");
}

#[tokio::test]
async fn lookup_of_an_object_that_another_stack_updates_is_read_after() {
    let story = Story::new();
    let both = |val: &str| run(&[looker("taker", "made"), maker("giver", "made", val)]);
    story.apply(&both("one")).await;
    assert_eq!(lookups_during_apply(&story.plan(&both("one")).await), 0);
    story.log();
    story.apply(&both("two")).await;
    assert_eq!(story.log(), ["update made", "update taker"]);
    assert_eq!(story.remote_value("taker", "val"), "two".into());
}

#[tokio::test]
async fn chain_of_lookups_across_stacks_is_planned_from_its_end() {
    let story = Story::new();
    let stacks = run(&[looker("a", "b"), looker("b", "c"), looker("c", "made"), maker("giver", "made", "planned")]);
    story.apply(&stacks).await;
    assert_eq!(story.log(), ["create made", "create c", "create b", "create a"]);
    assert_eq!(story.remote_value("a", "val"), "planned".into());
    story.destroy().await;
    assert_eq!(story.log(), ["delete a", "delete b", "delete c", "delete made"]);
}

#[tokio::test]
async fn lookup_of_an_object_whose_creation_failed_blocks_its_readers() {
    let story = Story::new();
    story.fault("create made", Fault::Before(ErrorKind::PermissionDenied));
    let text = run(&[looker("taker", "made"), maker("giver", "made", "planned")]);
    let report = story.apply_once(&text).await;
    assert_eq!(report.failed.len(), 1);
    assert_eq!(report.blocked.iter().map(|it| it.stack.name.as_str()).collect::<Vec<_>>(), ["taker"]);
    assert_eq!(story.log(), ["create made"]);
    story.apply(&text).await;
}

#[tokio::test]
async fn stack_that_reads_the_stack_that_looks_it_up_is_reported() {
    let mut story = Story::new();
    // The giver creates the object that the taker looks up, and reads an output of the taker.
    let giver = maker("giver", "made", "planned")
        + "  rest:\n    resources:\n      - {type: world_thing, name: rest, config: {key: rest, val: '${{ stacks[\"taker\"].outputs.o }}'}}\n";
    let taker = looker("taker", "made") + "outputs: {o: told}\n";
    let both = run(&[taker, giver]);
    insta::assert_snapshot!(story.errors(&both).await, @"
    stack.yaml:5:31: data.world_thing.it has no answer: there is no thing `made`
      hint: giver@test:api/world_thing.made creates it, and giver@test is planned after taker@test, which it reads: apply giver@test first, or remove the references of one stack to the other
    ");
    // The hint works.
    story.options.components = keys(&["api"]);
    story.apply(&run(&[maker("giver", "made", "planned")])).await;
    story.options.components = keys(&[]);
    story.apply(&both).await;
}

#[tokio::test]
async fn stacks_that_look_each_other_up_are_planned_in_the_given_order() {
    let story = Story::new();
    let stack = |name: &str, key: &str, val: &str, at: &str| {
        maker(name, key, val)
            + &format!(
                "  look:\n    data:\n      - {{type: world_thing, name: it, config: {{key: {at}}}}}\n    resources:\n      \
                 - {{type: world_thing, name: user, config: {{key: {name}, val: '${{{{ data.it.key }}}}'}}}}\n"
            )
    };
    let both = |val: &str| run(&[stack("one", "a", val, "b"), stack("two", "b", val, "a")]);
    for (name, key) in [("one", "a"), ("two", "b")] {
        story.apply(&maker(name, key, "1")).await;
    }
    story.apply(&both("1")).await;
    let plan = story.plan(&both("2")).await;
    // Stack `two` changes before its lookup is read, `one` only after it.
    let notes: Vec<_> = plan.notes.iter().map(|note| (note.code.as_str(), note.message.as_str())).collect();
    assert_eq!(
        notes,
        [("lookup_before_change", "look/data.world_thing.it reads two@test:api/world_thing.made before its change")]
    );
    story.apply_plan(&plan).await.unwrap();
    assert!(story.plan(&both("2")).await.notes.is_empty());
    assert!(story.destroy().await.failed.is_empty());
}

#[tokio::test]
async fn shared_object_of_a_later_stack_is_looked_up_as_planned() {
    let story = Story::new();
    let owner = maker("giver", "made", "planned").replace("name: made,", "name: made, shared: common,");
    let text = run(&[looker("taker", "made"), owner]);
    story.apply(&text).await;
    assert_eq!(story.log(), ["create made", "create taker"]);
    assert_eq!(story.remote_value("taker", "val"), "planned".into());
}

#[tokio::test]
async fn reader_is_deleted_before_the_object_it_looked_up() {
    let story = Story::new();
    story.apply(&run(&[looker("taker", "made"), maker("giver", "made", "planned")])).await;
    story.apply(&(looker("taker", "made") + "  - {type: world_thing, name: more, config: {key: more}}\n")).await;
    story.log();
    story.destroy().await;
    assert_eq!(story.log().last().map(String::as_str), Some("delete made"));
    // Without the lookup the dependency ends.
    story.apply(&run(&[looker("taker", "made"), maker("giver", "made", "planned")])).await;
    let text = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: taker}\nresources:\n  \
        - {type: world_thing, name: user, config: {key: taker}}\n";
    story.apply(text).await;
    let stacks = story.store.stacks().await.unwrap();
    let taker = stacks.iter().find(|stack| stack.name == "taker").unwrap();
    assert!(story.store.components(taker).await.unwrap().iter().all(|component| component.reads.is_empty()));
}

/// Stacks in reverse order, each of which creates a thing whose name it looks up in the previous stack.
fn chain(count: usize, val: &str) -> String {
    let link = |at: usize| match at {
        0 => maker("s0", &format!("k0-{val}"), val),
        at => format!(
            "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: s{at}}}\ndata:\n  \
             - {{type: world_thing, name: it, config: {{key: k{}-{val}}}}}\nresources:\n  \
             - {{type: world_thing, name: user, config: {{key: 'k{at}-${{{{ data.it.val }}}}', val: '${{{{ data.it.val }}}}'}}}}\n",
            at - 1
        ),
    };
    run(&(0..count).rev().map(link).collect::<Vec<_>>())
}

/// The largest number of times that one resource was planned.
fn max_planned(story: &Story) -> usize {
    let planned = std::mem::take(&mut story.remote().planned);
    let resources = planned.iter().filter(|address| !address.contains("data."));
    let mut times = std::collections::BTreeMap::new();
    resources.for_each(|address| *times.entry(address).or_insert(0_usize) += 1);
    times.into_values().max().unwrap_or_default()
}

/// Calls that were made more than once since the last use of this function.
fn repeated_reads(story: &Story) -> Vec<String> {
    let mut reads = std::mem::take(&mut story.remote().reads);
    reads.sort();
    let again: Vec<String> = reads.windows(2).filter(|two| two[0] == two[1]).map(|two| two[0].clone()).collect();
    again
}

#[tokio::test]
async fn chain_of_stacks_in_reverse_order_is_planned_twice() {
    let story = Story::new();
    let stacks = chain(24, "x");
    let plan = story.plan(&stacks).await;
    assert_eq!(plan.stacks.iter().filter(|stack| stack.changes.len() == 1).count(), 24);
    assert_eq!(max_planned(&story), 2);
    assert!(repeated_reads(&story).is_empty());
    story.apply(&stacks).await;
    assert_eq!(story.remote_value("k23-x", "val"), "x".into());
    repeated_reads(&story);
    max_planned(&story);
    // Objects are also read once when the first stack changes and all others are replaced.
    let plan = story.plan(&chain(24, "y")).await;
    assert!(plan.has_changes());
    assert_eq!(max_planned(&story), 2);
    let again = repeated_reads(&story);
    assert!(again.is_empty(), "{again:?}");
    story.apply(&chain(24, "y")).await;
}

#[tokio::test]
async fn objects_are_read_once_if_a_stack_is_planned_again() {
    let story = Story::new();
    let both = |val: &str| run(&[looker("taker", "made"), maker("giver", "made", val)]);
    story.apply(&both("one")).await;
    repeated_reads(&story);
    max_planned(&story);
    story.plan(&both("two")).await;
    let again = repeated_reads(&story);
    assert!(again.is_empty(), "{again:?}");
    let planned = std::mem::take(&mut story.remote().planned);
    let of_giver = planned.iter().filter(|address| address.starts_with("giver")).count();
    assert_eq!(of_giver, 1, "the giver depends on no other stack: {planned:?}");
    story.apply(&both("two")).await;
}

#[tokio::test]
async fn objects_are_read_once_if_a_single_stack_is_planned_again() {
    let story = Story::new();
    story.apply(&maker("other", "other", "1")).await;
    // The lookup runs before the planner knows the change of its object.
    let text = |val: &str| {
        format!(
            "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: demo}}\ndata:\n  \
             - {{type: world_thing, name: other, config: {{key: other}}}}\n  \
             - {{type: world_thing, name: made, config: {{key: made}}}}\nresources:\n  \
             - {{type: world_thing, name: made, config: {{key: made, val: '${{{{ string(data.other.key) + \"{val}\" }}}}'}}}}\n  \
             - {{type: world_thing, name: user, config: {{key: user, val: '${{{{ data.made.val }}}}'}}}}\n"
        )
    };
    story.apply(&text("1")).await;
    repeated_reads(&story);
    max_planned(&story);
    let plan = story.plan(&text("2")).await;
    assert_eq!(lookups_during_apply(&plan), 1);
    assert_eq!(max_planned(&story), 2, "it is planned again");
    let again = repeated_reads(&story);
    assert!(again.is_empty(), "{again:?}");
}

#[tokio::test]
async fn shared_object_of_stacks_planned_again_is_declared_once() {
    let story = Story::new();
    let shared = |name: &str, val: &str| {
        looker(name, "made")
            + &format!(
                "  - {{type: world_thing, name: ours, shared: ours, config: {{key: ours, val: {val}}}, \
                 lifecycle: {{onLastRelease: delete}}}}\n"
            )
    };
    let reader = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: other}\nresources:\n  \
        - {type: world_thing, name: ours, shared: ours, config: {key: ours, val: VAL}, lifecycle: {onLastRelease: delete}}\n";
    let all = |val: &str| run(&[shared("taker", val), reader.replace("VAL", val), maker("giver", "made", val)]);
    story.apply(&all("one")).await;
    assert_eq!(story.log().iter().filter(|call| *call == "create ours").count(), 1);
    repeated_reads(&story);
    let plan = story.plan(&all("two")).await;
    assert!(repeated_reads(&story).is_empty());
    assert_eq!(plan.changes().filter(|(_, change)| change.address.is_shared()).count(), 1);
    story.apply(&all("two")).await;
    assert_eq!(story.remote_value("ours", "val"), "two".into());
    // Stacks that were planned again also record owners that leave.
    story.apply(&run(&[looker("taker", "made"), reader.replace("VAL", "two"), maker("giver", "made", "three")])).await;
    assert!(story.remote().objects.contains_key("ours"));
    story.destroy().await;
    assert!(story.remote().objects.is_empty());
}

#[tokio::test]
async fn lookup_of_its_own_reader_in_another_stack_is_reported() {
    let story = Story::new();
    for (name, key) in [("one", "a"), ("two", "b")] {
        story.apply(&maker(name, key, "1")).await;
    }
    let stack = |name: &str, key: &str, at: &str| {
        format!(
            "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: {name}}}\ncomponents:\n  api:\n    data:\n      \
             - {{type: world_thing, name: it, config: {{key: {at}}}}}\n    resources:\n      \
             - {{type: world_thing, name: made, config: {{key: {key}, val: '${{{{ string(data.it.val) + \"x\" }}}}'}}}}\n"
        )
    };
    insta::assert_snapshot!(story.errors(&run(&[stack("one", "a", "b"), stack("two", "b", "a")])).await, @"
    stack.yaml:7:35: api/data.world_thing.it looks up two@test:api/world_thing.made, which depends on the result
      hint: each apply would change the result: look up another object, or read the resource's own attribute where the value is needed
    ");
}
