//! Resources that depend on all instances of another resource.

use crate::support::Story;
use crate::support::story::{stack, summary};

fn after_all(of_a: &str, of_b: &str) -> String {
    stack(&format!(
        "- {{type: world_thing, name: b, forEach: '${{{{ {of_b} }}}}', config: {{key: '${{{{ \"b\" + each.key }}}}'}}, dependsOn: [a]}}\n\
         - {{type: world_thing, name: a, forEach: '${{{{ {of_a} }}}}', config: {{key: '${{{{ \"a\" + each.key }}}}', val: '${{{{ each.value }}}}'}}}}\n"
    ))
}

const THREE: &str = "{\"1\": 1, \"2\": 1, \"3\": 1}";

/// Checks that all calls of the first kind precede all calls of the second.
#[track_caller]
fn check_in_two_parts(log: &[String], first: &str, then: &str) {
    let split = log.iter().position(|call| call.starts_with(then)).unwrap();
    let (before, after) = log.split_at(split);
    assert!(!before.is_empty() && before.iter().all(|call| call.starts_with(first)), "{log:?}");
    assert!(after.iter().all(|call| call.starts_with(then)), "{log:?}");
}

#[tokio::test]
async fn instances_are_created_after_and_deleted_before_all_of_another() {
    let story = Story::new();
    story.apply(&after_all(THREE, THREE)).await;
    check_in_two_parts(&story.log(), "create a", "create b");
    story.destroy().await;
    check_in_two_parts(&story.log(), "delete b", "delete a");
}

#[tokio::test]
async fn dependency_on_all_instances_is_one_entry() {
    let story = Story::new();
    let plan = story.plan(&after_all(THREE, THREE)).await;
    for (_, change) in plan.changes().filter(|(_, change)| change.address.name == "b") {
        let needed: Vec<String> = change.how.depends_on.iter().map(ToString::to_string).collect();
        assert_eq!(needed, ["world_thing.a[*]"]);
    }
}

#[tokio::test]
async fn instance_is_deleted_after_update_of_its_dependents() {
    let story = Story::new();
    let reading = |keys: &str| {
        stack(&format!(
            "- {{type: world_thing, name: b, config: {{key: b, val: '${{{{ size(resources.a) }}}}'}}}}\n\
             - {{type: world_thing, name: a, forEach: '${{{{ {keys} }}}}', config: {{key: '${{{{ each.key }}}}'}}}}\n"
        ))
    };
    story.apply(&reading("{\"x\": 1, \"y\": 1}")).await;
    story.log();
    let plan = story.plan(&reading("{\"y\": 1}")).await;
    assert_eq!(summary(&plan), "- world_thing.a[\"x\"] (its key is not in forEach any more)\n~ world_thing.b\n");
    story.apply(&reading("{\"y\": 1}")).await;
    assert_eq!(story.log(), ["update b", "delete x"]);
}

#[tokio::test]
async fn all_instances_are_replaced_before_their_dependents_change() {
    let story = Story::new();
    let text = |prefix: &str| {
        stack(&format!(
            "- {{type: world_thing, name: b, config: {{key: b, val: '${{{{ resources.a }}}}'}}}}\n\
             - {{type: world_thing, name: a, forEach: '${{{{ [\"1\", \"2\"] }}}}', config: {{key: '${{{{ \"{prefix}\" + each.key }}}}'}}}}\n"
        ))
    };
    story.apply(&text("old")).await;
    story.log();
    story.apply(&text("new")).await;
    let log = story.log();
    assert_eq!(log.last().map(String::as_str), Some("update b"), "{log:?}");
    assert_eq!(log.len(), 5, "{log:?}");
}

#[tokio::test]
async fn dependents_of_all_instances_are_blocked_if_one_fails() {
    use crate::support::world::Fault;
    use terrace_provider::ErrorKind;
    let story = Story::new();
    story.remote().faults.insert("create a2".to_owned(), Fault::Before(ErrorKind::PermissionDenied));
    let plan = story.plan(&after_all(THREE, THREE)).await;
    let report = story.apply_plan(&plan).await.unwrap();
    assert_eq!((report.done.len(), report.failed.len(), report.blocked.len()), (2, 1, 3));
}

#[tokio::test]
async fn resource_turned_into_instances_goes_after_its_dependents() {
    let story = Story::new();
    let single = stack(
        "- {type: world_thing, name: b, config: {key: b}, dependsOn: [a]}
         - {type: world_thing, name: a, config: {key: a}}",
    );
    story.apply(&single).await;
    story.log();
    let several = stack(
        "- {type: world_thing, name: b, config: {key: b, val: 2}, dependsOn: [a]}
         - {type: world_thing, name: a, forEach: '${{ [\"1\"] }}', config: {key: '${{ each.key }}'}}",
    );
    story.apply(&several).await;
    assert_eq!(story.log(), ["create 1", "update b", "delete a"]);
    story.apply(&single).await;
    assert_eq!(story.log(), ["create a", "update b", "delete 1"]);
}

/// `a` and the instances of `b`, of which one depends on the other; `ty` is the type of `b`.
fn mutually_dependent(ty: &str, is_a_first: bool, key: &str) -> String {
    let (of_a, of_b) = if is_a_first { ("", "a") } else { ("b", "") };
    stack(&format!(
        "- {{type: world_thing, name: a, dependsOn: [{of_a}], config: {{key: a}}}}
         - {{type: {ty}, name: b, forEach: [{key}], dependsOn: [{of_b}], config: {{key: '${{{{ each.key }}}}'}}}}"
    ))
}

#[tokio::test]
async fn retained_instance_is_deleted_before_its_old_dependency() {
    let mut story = Story::new();
    story.apply(&mutually_dependent("world_data", true, "x")).await;
    story.apply(&mutually_dependent("world_data", false, "y")).await;
    story.log();
    story.options.remove_data = true;
    story.destroy().await;
    let log = story.log();
    let at = |call: &str| log.iter().position(|it| it == call).unwrap();
    assert!(at("delete x") < at("delete a") && at("delete a") < at("delete y"), "{log:?}");
}

#[tokio::test]
async fn instance_with_failed_deletion_goes_before_its_old_dependency() {
    use crate::support::world::Fault;
    use terrace_provider::ErrorKind;
    let story = Story::new();
    story.apply(&mutually_dependent("world_thing", true, "x")).await;
    story.fault("delete x", Fault::Before(ErrorKind::PermissionDenied));
    assert_eq!(story.apply_once(&mutually_dependent("world_thing", false, "y")).await.failed.len(), 1);
    story.remote().faults.clear();
    story.log();
    story.destroy().await;
    let log = story.log();
    let at = |call: &str| log.iter().position(|it| it == call).unwrap();
    assert!(at("delete x") < at("delete a") && at("delete a") < at("delete y"), "{log:?}");
}
