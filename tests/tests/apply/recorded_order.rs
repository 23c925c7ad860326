//! Recorded dependencies: an apply records them even without other changes, and a destroy uses their order.

use terrace_tests::Project;

/// Two commands that record their removal. `b` depends on `after`.
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

/// Destroys everything one at a time, and returns the order: first by recorded dependencies, then by name.
fn removed(project: &Project) -> String {
    project.run(["destroy", "stack.yaml", "--auto-approve", "--parallelism", "1"]).done();
    project.read("removed")
}

#[test]
fn dependency_without_other_changes_is_recorded_and_orders_the_removal() {
    let project = Project::with_stack(&pair(""));
    project.apply().done();
    project.write_stack(&pair("a"));
    project.apply().done().prints("No changes.");
    project.assert_settled("stack.yaml", &[]);
    assert_eq!(removed(&project), "b\na\n");
}

#[test]
fn saved_plan_records_a_dependency_without_other_changes() {
    let project = Project::with_stack(&pair(""));
    project.apply().done();
    project.write_stack(&pair("a"));
    project.apply_saved().done().prints("Nothing to do: the saved plan has no changes.");
    assert_eq!(removed(&project), "b\na\n");
}

/// Two empty components. `b` depends on `after`.
fn components(after: &str) -> String {
    format!("components:\n  a: {{resources: []}}\n  b: {{dependsOn: [{after}], resources: []}}\n")
}

#[test]
fn order_without_other_changes_is_recorded_only_by_an_approved_apply() {
    let project = Project::with_stack(&components(""));
    project.apply().done();
    project.write_stack(&components("a"));
    let before = project.recorded();
    project.run(["apply", "stack.yaml"]).done().prints("No changes.").prints("`--auto-approve`");
    assert_eq!(project.recorded(), before, "the plan was not approved");
    project.run(["apply", "stack.yaml", "--auto-approve"]).done().prints("No changes.");
    assert_ne!(project.recorded(), before);
    let quiet = project.run(["apply", "stack.yaml"]).done();
    assert!(!quiet.stderr.contains("--auto-approve"), "{quiet}");
}

#[test]
fn ignored_change_is_recorded_only_by_an_approved_apply() {
    let project = Project::with_stack(
        "resources:\n  - {type: local_file, name: a, lifecycle: {ignoreChanges: [content]}, config: {path: a.txt, content: \
         one}}\n",
    );
    project.apply().done();
    project.write("a.txt", "two");
    let before = project.recorded();
    project.run(["apply", "stack.yaml"]).done();
    assert_eq!(project.recorded(), before);
    project.apply().done();
    assert_ne!(project.recorded(), before);
}

#[test]
fn new_state_is_created_only_by_an_approved_apply() {
    let project = Project::with_stack(&components("a"));
    project.run(["apply", "stack.yaml"]).done();
    assert!(!project.has(".terrace/state.db"));
    project.apply().done();
    let recorded = project.recorded();
    project.apply().done();
    assert_eq!(project.recorded(), recorded, "there is nothing left to record");
    project.run(["destroy", "stack.yaml", "--auto-approve"]).done();
}
