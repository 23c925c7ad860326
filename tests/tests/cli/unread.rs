//! Closed standard output: the command continues, and its exit code is unchanged.

use std::process::Stdio;
use terrace_tests::Project;

const FILE: &str = "resources:\n  - {type: local_file, name: a, config: {path: out/a, content: a}}\n";
const FAILING: &str = "  - {type: local_command, name: bad, config: {create: [\"false\"], find: [echo, \"null\"]}}\n";

/// Runs a command with closed standard output, and returns its exit code.
fn unread<'a>(project: &Project, arguments: impl IntoIterator<Item = &'a str>) -> i32 {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = project.command(arguments);
    command.stdout(writer).stderr(Stdio::null());
    command.status().unwrap().code().unwrap()
}

#[test]
fn apply_and_destroy_continue_with_closed_output() {
    let project = Project::with_stack(FILE);
    assert_eq!(unread(&project, ["apply", "stack.yaml", "--auto-approve"]), 0);
    assert_eq!(project.read("out/a"), "a");
    assert_eq!(unread(&project, ["taint", "local_file.a"]), 0);
    project.run(["plan", "stack.yaml", "--detailed-exitcode"]).with_code(2);
    assert_eq!(unread(&project, ["apply", "stack.yaml", "--auto-approve", "--json"]), 0);
    project.assert_settled("stack.yaml", &[]);
    assert_eq!(unread(&project, ["destroy", "stack.yaml", "--auto-approve"]), 0);
    assert!(!project.has("out/a"));
}

#[test]
fn failures_and_refusals_keep_their_exit_code_with_closed_output() {
    let project = Project::with_stack(&format!("{FILE}{FAILING}"));
    assert_eq!(unread(&project, ["apply", "stack.yaml", "--auto-approve"]), 3);
    assert_eq!(unread(&project, ["apply", "stack.yaml", "--auto-approve", "--json"]), 3);
    assert_eq!(unread(&project, ["apply", "stack.yaml"]), 1, "without consent");
    project.write("messy.yaml", "apiVersion: terrace.dev/v1\nkind:    Stack\nmetadata: {name: demo}\n");
    assert_eq!(unread(&project, ["fmt", "messy.yaml"]), 0);
    project.run(["fmt", "--check", "messy.yaml"]).done();
}

#[test]
fn plan_is_saved_with_closed_output() {
    let project = Project::with_stack(FILE);
    assert_eq!(unread(&project, ["plan", "stack.yaml", "--out", "plan"]), 0);
    project.run(["apply", "plan"]).done();
}

#[test]
fn printing_command_succeeds_with_closed_output() {
    let project = Project::with_stack(FILE);
    project.apply().done();
    for words in
        [&["plan", "stack.yaml"] as &[&str], &["state", "list"], &["operations", "list"], &["completion", "bash"]]
    {
        assert_eq!(unread(&project, words.iter().copied()), 0, "{words:?}");
    }
}
