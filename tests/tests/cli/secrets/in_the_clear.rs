//! `--plaintext-secrets` is for new sensitive values. Stored plaintext values can be read, stored again and removed
//! without the flag.

use super::{SECRET, STACK, assert_silent};
use terrace_tests::{Project, Ran};

/// Creates a stack with every value recorded in plaintext.
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
fn plaintext_stack_is_destroyed_without_a_key() {
    let project = project();
    run(&project, &["destroy", "demo@local", "--auto-approve"]).done();
    assert!(!project.has("out/token"));
    run(&project, &["state", "list"]).done();
}

#[test]
fn changed_plaintext_object_is_destroyed_without_a_key() {
    let project = project();
    project.write("out/token", "another secret");
    run(&project, &["destroy", "demo@local", "--auto-approve"]).done();
    assert!(!project.has("out/token"));
}

#[test]
fn saved_destroy_of_plaintext_needs_consent_when_saved() {
    let project = project();
    let words = ["plan", "stack.yaml", "--destroy", "--out", "plan"];
    let refused = run(&project, &words).with_code(1);
    refused.prints("a sensitive value cannot be stored without a state key");
    refused.prints("`terrace init --state-key`").prints("`--plaintext-secrets`");
    assert!(!project.has("plan"));
    run(&project, &[&words[..], &["--plaintext-secrets"]].concat()).done();
    run(&project, &["apply", "plan"]).done();
    assert!(!project.has("out/token"));
}

#[test]
fn plaintext_is_recorded_again_without_a_key() {
    let project = project();
    std::fs::remove_file(project.path("out/token")).unwrap();
    run(&project, &["apply", "stack.yaml", "--refresh-only", "--auto-approve"]).done();
    let output = project.run(["output", "token", "--reveal", "--format", "raw"]).done();
    assert_eq!(output.stdout.trim_end(), SECRET, "the output stays recorded");
    // The size is sensitive and known only after the file is created again, so it is a new value.
    run(&project, &["apply", "stack.yaml", "--auto-approve"]).with_code(1).prints("--plaintext-secrets");
    assert!(!project.has("out/token"));
}

/// Two commands that get the secret, so their output is sensitive. The first fails unless a file says otherwise.
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
fn unknown_value_is_not_stored_in_plaintext_because_another_is() {
    let project = Project::with_stack(PROGRAMS);
    // The failed step stays open, with its planned values in plaintext.
    let first = ["apply", "stack.yaml", "-c", "a", "--auto-approve", "--plaintext-secrets"];
    run(&project, &first).with_code(3);
    let second = ["apply", "stack.yaml", "-c", "b", "--auto-approve"];
    run(&project, &second).with_code(1).prints("no state key");
    assert!(!project.has("made"), "nothing was called");
}

#[test]
fn saved_plan_includes_consent_to_plaintext() {
    let project = Project::with_stack(PROGRAMS);
    let plan = ["plan", "stack.yaml", "-c", "b", "--out", "plan", "--plaintext-secrets"];
    run(&project, &plan).done();
    run(&project, &["apply", "plan"]).done();
    assert_eq!(project.read("made"), "made\n");
    assert!(run(&project, &["state", "list"]).done().stdout.contains("b/local_command.run"));
}

#[test]
fn other_attribute_of_a_plaintext_object_changes_without_a_key() {
    let project = project();
    project.edit("stack.yaml", "content: '${{ \"token=\"", "mode: '0600', content: '${{ \"token=\"");
    run(&project, &["apply", "stack.yaml", "--auto-approve"]).done();
    run(&project, &["plan", "stack.yaml"]).done().prints("No changes.");
    project.edit("stack.yaml", "\"token=\"", "\"TOKEN=\"");
    run(&project, &["apply", "stack.yaml", "--auto-approve"]).with_code(1).prints("--plaintext-secrets");
}

#[test]
fn plan_without_a_key_reports_that_it_cannot_compare_write_only_values() {
    let project = Project::with_stack(
        "variables: {pw: {type: string, sensitive: true}}\nresources:\n  - type: local_command\n    name: c\n    config:\n      \
         create: [echo, '{}']\n      update: [echo, '{}']\n      secretEnvironment: {PW: '${{ vars.pw }}'}\n",
    );
    let with = |words: &[&str], pw: &str| project.run(words.iter().copied().chain(["--var", pw])).done();
    with(&["apply", "stack.yaml", "--auto-approve", "-q", "--plaintext-secrets"], "pw=one");
    let plan = with(&["plan", "stack.yaml", "--plaintext-secrets"], "pw=two");
    plan.prints("No changes.");
    plan.prints("changes of `secretEnvironment` cannot be detected without a state key: nothing is sent");
    project.write("terrace.yaml", "encryption: {keyFile: state.key}\n");
    project.write("state.key", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
    with(&["apply", "stack.yaml", "--auto-approve", "-q", "--plaintext-secrets"], "pw=two").prints("1 changed");
    assert!(!with(&["plan", "stack.yaml"], "pw=two").stderr.contains("cannot be detected"));
}

#[test]
fn recover_records_a_sensitive_value_in_plaintext_with_consent() {
    let project = crate::apply::crash::project();
    let environment = "environment: {VALUE: 'one'}";
    let stack = crate::apply::crash::stack("one");
    project
        .write_stack(&stack.replace(environment, &format!("{environment}\n      secretEnvironment: {{TOKEN: hush}}")));
    project.write("when", "after create");
    let words = ["apply", "stack.yaml", "--auto-approve", "--plaintext-secrets"];
    assert_eq!(project.run(words).code, -1);
    project.run(["recover"]).with_code(1).prints("a sensitive value of it cannot be stored");
    project.run(["recover", "--plaintext-secrets"]).done();
    assert_eq!(project.run(["state", "list"]).done().stdout, "local_command.thing\n");
    project.assert_settled("stack.yaml", &["--plaintext-secrets"]);
}
