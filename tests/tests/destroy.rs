//! Destroying needs the state, and a descriptor that can be read: not a valid one.

use terrace_tests::Project;

const STACK: &str = "variables:\n  size: {type: int, validation: [{assert: '${{ vars.size > 0 }}', error: too small}]}\n\
    resources:\n  - {type: local_file, name: a, config: {path: a.txt, content: '${{ string(vars.size) }}'}}\n\
    outputs: {size: '${{ vars.size }}'}\n";

#[test]
fn neither_variables_nor_types_nor_values_have_to_be_right() {
    let apply = || {
        let project = Project::with_stack(STACK);
        project.run(["apply", "stack.yaml", "--auto-approve", "--var", "size=1"]).done();
        project
    };
    let missing = apply();
    missing.run(["destroy", "stack.yaml", "--auto-approve"]).done();
    assert!(!missing.has("a.txt"));
    let invalid = apply();
    invalid.run(["destroy", "stack.yaml", "--auto-approve", "--var", "size=-1"]).done();
    assert!(!invalid.has("a.txt"));
    let unknown = apply();
    unknown.edit("stack.yaml", "local_file", "no_such_type");
    unknown.run(["destroy", "stack.yaml", "--auto-approve"]).done();
    assert!(!unknown.has("a.txt"));
}

#[test]
fn all_outputs_that_go_are_listed() {
    let project = Project::with_stack(
        "components:\n  a:\n    resources:\n      - {type: local_value, name: x, config: {input: 1}}\n    \
         outputs: {one: 1}\n  b:\n    resources: []\n    outputs: {two: 2}\n",
    );
    project.apply().done();
    let plan = project.run(["plan", "stack.yaml", "--destroy"]).done();
    plan.says("- a/one = 1").says("- b/two = 2");
}
