//! `--plaintext-secrets` is for new sensitive values: what is stored in the clear already may be read, stored again and
//! removed without it.

use super::{SECRET, STACK, assert_silent};
use terrace_tests::{Project, Ran};

/// A stack of which everything is recorded in the clear.
fn project() -> Project {
    let project = Project::with_stack(STACK);
    run(&project, &["apply", "stack.yaml", "--auto-approve", "--plaintext-secrets"]).done();
    project
}

fn run(project: &Project, words: &[&str]) -> Ran {
    let ran = project.run_with(&[("TERRACE_VAR_token", SECRET)], words.iter().copied());
    assert_silent(&words.join(" "), &ran);
    ran
}

#[test]
fn a_stack_in_the_clear_is_destroyed_without_a_key() {
    let project = project();
    run(&project, &["destroy", "demo@local", "--auto-approve"]).done();
    assert!(!project.has("out/token"));
    run(&project, &["state", "list"]).done();
}

#[test]
fn an_object_in_the_clear_that_somebody_changed_is_destroyed_without_a_key() {
    let project = project();
    project.write("out/token", "another secret");
    run(&project, &["destroy", "demo@local", "--auto-approve"]).done();
    assert!(!project.has("out/token"));
}

#[test]
fn a_saved_destruction_of_what_is_in_the_clear_takes_the_consent_when_it_is_saved() {
    let project = project();
    let words = ["plan", "stack.yaml", "--destroy", "--out", "plan"];
    run(&project, &words).with_code(1).says("a sensitive value cannot be stored without a state key");
    assert!(!project.has("plan"));
    run(&project, &[&words[..], &["--plaintext-secrets"]].concat()).done();
    run(&project, &["apply", "plan"]).done();
    assert!(!project.has("out/token"));
}

#[test]
fn what_is_in_the_clear_is_recorded_again_without_a_key() {
    let project = project();
    std::fs::remove_file(project.path("out/token")).unwrap();
    run(&project, &["apply", "stack.yaml", "--refresh-only", "--auto-approve"]).done();
    let output = project.run(["output", "token", "--reveal", "--format", "raw"]).done();
    assert_eq!(output.stdout.trim_end(), SECRET, "the output stays recorded");
    // What is made again is what was there: its size is known after that only, and is sensitive as well.
    run(&project, &["apply", "stack.yaml", "--auto-approve"]);
}

#[test]
fn another_attribute_of_what_is_in_the_clear_changes_without_a_key() {
    let project = project();
    project.edit("stack.yaml", "content: '${{ \"token=\"", "mode: '0600', content: '${{ \"token=\"");
    run(&project, &["apply", "stack.yaml", "--auto-approve"]).done();
    run(&project, &["plan", "stack.yaml"]).done().says("No changes.");
    project.edit("stack.yaml", "\"token=\"", "\"TOKEN=\"");
    run(&project, &["apply", "stack.yaml", "--auto-approve"]).with_code(1).says("--plaintext-secrets");
}
