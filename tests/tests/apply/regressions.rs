//! Fixed bugs: one test for each, named after its symptom.

use terrace_tests::Project;

const KEY: &str = "q83vq83vq83vq83vq83vq83vq83vq83vq83vq83vq80=";

/// Bug: recovery took the object from `find` as the result of an update that never ran, and recorded the planned
/// input.
#[test]
fn update_interrupted_before_its_call_runs_with_the_next_apply() {
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

/// Bug: the state never records write-only values, so they always looked new.
#[test]
fn unchanged_write_only_value_is_not_a_change() {
    let project = Project::with_stack(
        "variables: {token: {type: string, sensitive: true, default: hunter2}}\nresources:\n  - type: local_command\n    \
         name: login\n    config:\n      create: [sh, -c, 'cat > /dev/null; echo \"{}\"']\n      \
         secretEnvironment: {TOKEN: '${{ vars.token }}'}\n",
    );
    let run = |words: &[&str]| project.run_with(&[("TERRACE_STATE_KEY", KEY)], words.iter().copied());
    run(&["apply", "stack.yaml", "--auto-approve"]).done();
    run(&["plan", "stack.yaml", "--detailed-exitcode"]).done();
}

/// Bug: the read set had rows that the plan neither changes nor reads.
#[test]
fn change_of_an_unrelated_resource_does_not_make_a_plan_stale() {
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

/// Bug: a missing state gets a random id, and the digest included it.
#[test]
fn two_first_plans_have_the_same_digest() {
    let project = Project::with_stack("resources:\n  - {type: local_value, name: a, config: {input: 1}}\n");
    let digest = || project.run(["plan", "stack.yaml", "--json"]).done().json()["terrace"]["plan_digest"].clone();
    assert_eq!(digest(), digest());
}

/// Bug: a product with a mistyped `components:` had no components, so an apply removed everything.
#[test]
fn mistyped_key_of_a_data_product_is_not_an_empty_product() {
    let project = Project::with_network_status();
    project.run(["apply", "data-product.yaml", "--env", "local", "--auto-approve"]).done();
    project.edit("data-product.yaml", "\ncomponents:\n", "\ncomponentz:\n");
    let plan = project.run(["plan", "data-product.yaml", "--env", "local"]);
    assert!(plan.code == 1 || plan.stderr.contains("componentz"), "{plan}");
}
