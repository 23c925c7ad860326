//! Which stacks there are: those that something is recorded of, and those that something was.

use terrace_tests::{Project, snapshot};

fn grown() -> Project {
    let project =
        Project::with_stack("resources:\n  - {type: local_file, name: a, config: {path: out/a, content: one}}\n");
    project.apply().done();
    project
}

#[test]
fn a_destroyed_stack_is_listed_no_more_and_can_be_destroyed_again() {
    let project = grown();
    project.run(["destroy", "demo@local", "--auto-approve"]).done();
    assert_eq!(project.run(["stacks", "list"]).done().stdout, "");
    assert_eq!(project.run(["state", "list"]).done().stdout, "");
    for stack in ["demo@local", "demo", "stack.yaml"] {
        project.run(["destroy", stack, "--auto-approve"]).done().says("No changes. There is nothing to destroy.");
        assert_eq!(project.run(["--stack", "demo@local", "state", "list"]).done().stdout, "");
    }
}

#[test]
fn a_stack_that_was_never_there_is_told_from_one_that_is_empty() {
    let project = grown();
    snapshot!(project.run(["--stack", "dmo@local", "state", "list"]), @"
    exit: 1
    --- stderr
    error: there is no stack `dmo@local`

    hint: did you mean `demo@local`?
    ");
    for words in [&["output"] as &[&str], &["show"], &["state", "show", "local_file.a"]] {
        let told = project.run(["--stack", "dmo@local"].into_iter().chain(words.iter().copied()));
        told.with_code(1).says("there is no stack `dmo@local`");
    }
}

#[test]
fn what_was_destroyed_or_dropped_from_state_comes_back() {
    let project = grown();
    let first = project.run(["operations", "list"]).done().stdout;
    let first = first.split_whitespace().next().unwrap().to_owned();
    let back = ["state", "rollback", "demo@local", "--to", &first, "--auto-approve"];
    project.run(["state", "rm", "local_file.a"]).done();
    project.run(back).done();
    assert_eq!(project.run(["state", "list"]).done().stdout, "local_file.a\n");
    project.run(["destroy", "demo@local", "--auto-approve"]).done();
    project.run(back).done();
    assert_eq!(project.read("out/a"), "one");
    project.run(["state", "rm", "local_file.a"]).done();
    project.run(["state", "rollback", "local_file.a", "--to", "1", "--auto-approve"]).done();
    assert_eq!(project.run(["state", "list"]).done().stdout, "local_file.a\n");
}

#[test]
fn the_first_object_of_a_stack_may_be_imported() {
    let project = Project::new();
    project.write("out/a.txt", "x");
    project.run(["--stack", "new@local", "import", "local_file.a", "out/a.txt"]).done();
    assert_eq!(project.run(["stacks", "list"]).done().stdout, "new@local\n");
}
