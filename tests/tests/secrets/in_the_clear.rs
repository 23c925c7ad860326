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
    let refused = run(&project, &words).with_code(1);
    refused.says("a sensitive value cannot be stored without a state key");
    refused.says("`terrace init --state-key`").says("`--plaintext-secrets`");
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
    // Its size is known after it is made again only, and is sensitive as well: that is new.
    run(&project, &["apply", "stack.yaml", "--auto-approve"]).with_code(1).says("--plaintext-secrets");
    assert!(!project.has("out/token"));
}

/// Two programs that are told the secret, whose answers are sensitive for that; the first fails unless told otherwise.
const PROGRAMS: &str = r#"variables: {token: {type: string, sensitive: true}}
components:
  a:
    resources:
      - type: local_command
        name: run
        config:
          secretEnvironment: {T: '${{ vars.token }}'}
          create: [sh, -c, 'cat > /dev/null; exit 3']
  b:
    resources:
      - type: local_command
        name: run
        config:
          secretEnvironment: {T: '${{ vars.token }}'}
          create: [sh, -c, 'cat > /dev/null; echo made >> made; echo "{\"id\": \"i\"}"']
"#;

#[test]
fn what_is_not_known_yet_is_not_stored_in_the_clear_because_something_else_is() {
    let project = Project::with_stack(PROGRAMS);
    // The step stays open, and with it in the clear what was planned.
    let first = ["apply", "stack.yaml", "-c", "a", "--auto-approve", "--plaintext-secrets"];
    run(&project, &first).with_code(3);
    let second = ["apply", "stack.yaml", "-c", "b", "--auto-approve"];
    run(&project, &second).with_code(1).says("no state key");
    assert!(!project.has("made"), "nothing was called");
}

#[test]
fn a_saved_plan_takes_the_consent_to_store_in_the_clear_along() {
    let project = Project::with_stack(PROGRAMS);
    let plan = ["plan", "stack.yaml", "-c", "b", "--out", "plan", "--plaintext-secrets"];
    run(&project, &plan).done();
    run(&project, &["apply", "plan"]).done();
    assert_eq!(project.read("made"), "made\n");
    assert!(run(&project, &["state", "list"]).done().stdout.contains("b/local_command.run"));
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

#[test]
fn a_change_of_what_is_never_stored_cannot_be_told_without_a_key_and_plans_say_so() {
    let project = Project::with_stack(
        "variables: {pw: {type: string, sensitive: true}}\nresources:\n  - type: local_command\n    name: c\n    config:\n      \
         create: [echo, '{}']\n      update: [echo, '{}']\n      secretEnvironment: {PW: '${{ vars.pw }}'}\n",
    );
    let with = |words: &[&str], pw: &str| project.run(words.iter().copied().chain(["--var", pw])).done();
    with(&["apply", "stack.yaml", "--auto-approve", "-q", "--plaintext-secrets"], "pw=one");
    let plan = with(&["plan", "stack.yaml", "--plaintext-secrets"], "pw=two");
    plan.says("No changes.").says("whether `secretEnvironment` changed cannot be told without a state key");
    project.write("terrace.yaml", "encryption: {keyFile: state.key}\n");
    project.write("state.key", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
    with(&["apply", "stack.yaml", "--auto-approve", "-q", "--plaintext-secrets"], "pw=two").says("1 changed");
    assert!(!with(&["plan", "stack.yaml"], "pw=two").stderr.contains("cannot be told"));
}

#[test]
fn recover_records_a_sensitive_value_in_the_clear_where_that_is_allowed() {
    let project = crate::crash::project();
    let environment = "environment: {VALUE: 'one'}";
    let stack = crate::crash::stack("one");
    project
        .write_stack(&stack.replace(environment, &format!("{environment}\n      secretEnvironment: {{TOKEN: hush}}")));
    project.write("when", "after create");
    let words = ["apply", "stack.yaml", "--auto-approve", "--plaintext-secrets"];
    assert_eq!(project.run(words).code, -1);
    project.run(["recover"]).with_code(1).says("a sensitive value of it cannot be stored");
    project.run(["recover", "--plaintext-secrets"]).done();
    assert_eq!(project.run(["state", "list"]).done().stdout, "local_command.thing\n");
    project.assert_settled("stack.yaml", &["--plaintext-secrets"]);
}
