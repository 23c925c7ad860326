//! What was wrong once, and must not be again: one test for each, named after the symptom.

use terrace_tests::Project;

const KEY: &str = "q83vq83vq83vq83vq83vq83vq83vq83vq83vq83vq80=";

/// Recovery took `find`'s object for the outcome of an update that never ran, and recorded the planned input.
#[test]
fn killed_before_an_update_it_is_updated_by_the_next_apply() {
    let stack = |value: &str| {
        format!(
            "resources:\n  - type: local_command\n    name: thing\n    config:\n      create: [sh, thing.sh]\n      \
             update: [sh, thing.sh]\n      read: [cat, object]\n      find: [cat, object]\n      \
             environment: {{VALUE: '{value}'}}\n"
        )
    };
    let project = Project::with_stack(&stack("one"));
    let script = "cat > /dev/null\nif [ -e when ]; then rm when; kill -9 $PPID; exit 1; fi\n\
                  echo \"{\\\"value\\\": \\\"$VALUE\\\"}\" > object; cat object\n";
    project.write("thing.sh", script);
    project.apply().done();
    project.write_stack(&stack("two"));
    project.write("when", "");
    assert_eq!(project.apply().code, -1);
    project.apply().done();
    assert!(project.read("object").contains("two"), "the update is lost, and recorded as done");
}

/// What is write-only is never recorded, so it always looked as if it had been added.
#[test]
fn a_write_only_value_that_did_not_change_is_no_change() {
    let project = Project::with_stack(
        "variables: {token: {type: string, sensitive: true, default: hunter2}}\nresources:\n  - type: local_command\n    \
         name: login\n    config:\n      create: [sh, -c, 'cat > /dev/null; echo \"{}\"']\n      \
         secretEnvironment: {TOKEN: '${{ vars.token }}'}\n",
    );
    let run = |words: &[&str]| project.run_with(&[("TERRACE_STATE_KEY", KEY)], words.iter().copied());
    run(&["apply", "stack.yaml", "--auto-approve"]).done();
    run(&["plan", "stack.yaml", "--detailed-exitcode"]).done();
}

/// The read set held rows that the plan neither changes nor takes a value from.
#[test]
fn a_change_of_a_resource_that_a_plan_leaves_alone_does_not_make_it_stale() {
    let project = Project::with_stack(
        "resources:\n  - {type: local_file, name: a, config: {path: out/a, content: one}}\n  \
         - {type: local_file, name: b, config: {path: out/b, content: b}}\n",
    );
    project.apply().done();
    project.edit("stack.yaml", "content: one", "content: two");
    project.run(["plan", "stack.yaml", "--out", "plan"]).done();
    project.edit("stack.yaml", "content: two", "content: one");
    project.edit("stack.yaml", "content: b", "content: c");
    project.apply().done();
    project.run(["apply", "plan"]).done();
}

/// A state that is not there yet gets a random id, and the digest covered it.
#[test]
fn two_first_plans_have_the_same_digest() {
    let project = Project::with_stack("resources:\n  - {type: local_value, name: a, config: {input: 1}}\n");
    let digest = || project.run(["plan", "stack.yaml", "--json"]).done().json()["terrace"]["plan_digest"].clone();
    assert_eq!(digest(), digest());
}

/// A mistyped `components:` was a product without components: applied, it took everything away.
#[test]
fn a_mistyped_key_of_a_data_product_is_not_taken_for_an_empty_product() {
    let project = Project::with_network_status();
    project.run(["apply", "data-product.yaml", "--env", "local", "--auto-approve"]).done();
    project.edit("data-product.yaml", "\ncomponents:\n", "\ncomponentz:\n");
    let plan = project.run(["plan", "data-product.yaml", "--env", "local"]);
    assert!(plan.code == 1 || plan.stderr.contains("componentz"), "{plan}");
}
