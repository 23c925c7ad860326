//! What comes after what is recorded, also where nothing else changes: removals go by it.

use terrace_tests::Project;

/// Programs that note what they remove; `b` comes after what is given.
fn pair(after: &str) -> String {
    let thing = |name: &str, after: &str| {
        format!(
            "  - type: local_command\n    name: {name}\n    dependsOn: [{after}]\n    config:\n      \
             create: [sh, -c, 'cat > /dev/null; echo \"{{}}\"']\n      \
             delete: [sh, -c, 'cat > /dev/null; echo {name} >> removed']\n"
        )
    };
    format!("resources:\n{}{}", thing("a", ""), thing("b", after))
}

/// What removes everything, one at a time: in order of what is recorded, and of names where that says nothing.
fn removed(project: &Project) -> String {
    project.run(["destroy", "stack.yaml", "--auto-approve", "--parallelism", "1"]).done();
    project.read("removed")
}

#[test]
fn a_dependency_that_is_all_that_changed_is_recorded_and_orders_the_removal() {
    let project = Project::with_stack(&pair(""));
    project.apply().done();
    project.write_stack(&pair("a"));
    project.apply().done().says("No changes.");
    project.assert_settled("stack.yaml", &[]);
    assert_eq!(removed(&project), "b\na\n");
}

#[test]
fn a_saved_plan_records_a_dependency_that_is_all_that_changed() {
    let project = Project::with_stack(&pair(""));
    project.apply().done();
    project.write_stack(&pair("a"));
    project.apply_saved().done().says("Nothing to do: the saved plan has no changes.");
    assert_eq!(removed(&project), "b\na\n");
}
