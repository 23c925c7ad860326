//! Pipeline specs beside descriptors of other kinds: neither hides the other.

use crate::pipelines::runs::Pipelines;
use std::fs;
use terrace_tests::{Project, snapshot};

#[test]
fn stacks_and_specs_do_not_hide_each_other() {
    let pipelines = Pipelines::new("");
    let project = &pipelines.project;
    fs::remove_file(project.path("pipeline-spec.yaml")).unwrap();
    let spec = "noise: {pipeline: [{run: noise}]}\n";
    project.write("noise/noise.py", project.read("noise.py"));
    project.write("noise/pipeline-spec.yaml", spec);
    project.write_stack("resources: [{type: local_value, name: a, config: {input: 1}}]\n");
    let assert_both = || {
        let plan = pipelines.run(&["plan", "."]).done();
        plan.prints("stack demo@local").prints("+ local_value.a").prints("noise/noise\n").prints("+ pipelines_run.run");
        let valid = pipelines.run(&["validate", ".", "--json"]).done().json();
        assert_eq!(valid["stacks"].as_array().unwrap().len(), 2, "{valid}");
    };
    assert_both();
    pipelines.run(&["apply", ".", "--auto-approve"]).done();
    let destroyed = pipelines.run(&["destroy", ".", "--auto-approve"]).done();
    destroyed.prints("- local_value.a").prints("- pipelines_run.run");
    // The same holds for specs in a subfolder: terrace reads its descriptors there and no other files.
    fs::rename(project.path("stack.yaml"), project.path("noise/stack.yaml")).unwrap();
    project.write("noise/pods.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: noise}\n");
    project.write("noise/docker-compose.yml", "services: {db: {image: postgres}}\n");
    project.write("noise/later.yaml", "");
    project.write("other/stack.yaml", "kind: Stak\n");
    assert_both();
    project.write("noise/product.yaml", "kind: Stak\n");
    pipelines
        .run(&["plan", "."])
        .with_code(1)
        .prints("`kind: Stak` is neither a stack nor a data product")
        .prints("noise/product.yaml");
}

#[test]
fn stack_and_specs_with_one_name_are_shown_differently() {
    let pipelines = Pipelines::new("noise: {pipeline: [{run: noise}]}\n");
    let name = pipelines.project.path(".").canonicalize().unwrap();
    let name = name.file_name().unwrap().to_str().unwrap().trim_start_matches('.').to_owned();
    pipelines.project.write_named_stack(&name, "resources: []\n");
    let ran = pipelines.run(&["plan", "."]).with_code(1);
    ran.prints("duplicate_stack").prints(&format!("the stack `{name}` is described twice"));
    ran.prints("pipeline-spec.yaml:1:").prints("rename the stack of the descriptor");
    assert_eq!(ran.stdout, "");
}

#[test]
fn init_writes_no_example_beside_pipelines() {
    let project = Project::new();
    project.write("noise/pipeline-spec.yaml", "noise: {pipeline: [{run: noise}]}\n");
    snapshot!(project.run(["init"]), @"
    exit: 0
    --- stdout
    wrote terrace.yaml
    wrote .gitignore
    --- stderr

    next: `terrace plan .`, then `terrace apply .`; `terrace pipelines run` runs the pipelines by hand, and
    `terrace pipelines init local` starts workers for them
    ");
    assert!(!project.has("stack.yaml"));
    project.run(["init"]).done().prints("kept terrace.yaml");
    // Init does not mention an existing stack.
    project.write_stack("resources: []\n");
    let again = project.run(["init"]).done();
    assert!(!again.stdout.contains("stack.yaml"), "{again}");
}
