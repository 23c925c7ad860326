//! Outputs sealed with a lost state key do not block their stack.

use terrace_tests::{Project, snapshot};

const SECRET: &str = "xK7-hunter2-QzP";
const KEY: &str = "q83vq83vq83vq83vq83vq83vq83vq83vq83vq83vq80=";
const STACK: &str = "variables: {token: {type: string, sensitive: true}}\nresources:\n  \
                           - {type: local_file, name: a, config: {path: out/a, content: a}}\noutputs:\n  \
                           token: {value: '${{ vars.token }}', sensitive: true}\n  plain: open\n";
const TOKEN: (&str, &str) = ("TERRACE_VAR_token", SECRET);

/// Creates a stack that has only a sensitive output, sealed with a lost key.
fn with_a_lost_key() -> Project {
    let project = Project::with_stack(STACK);
    let variables = [TOKEN, ("TERRACE_STATE_KEY", KEY)];
    project.run_with(&variables, ["apply", "stack.yaml", "--auto-approve", "-q"]).done();
    project.run(["state", "rm", "local_file.a"]).done();
    std::fs::remove_file(project.path("out/a")).unwrap();
    project
}

#[test]
fn output_with_a_lost_key_is_recorded_again() {
    let project = with_a_lost_key();
    let plan = project.run_with(&[TOKEN], ["plan", "stack.yaml", "--plaintext-secrets"]);
    snapshot!(plan, @r#"
    exit: 0
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

      + local_file.a
          + path        = "out/a"
          + content     = "a"
          + mode        = "0644"
          + sensitive   = false
          + makeParents = true
          + sha256      = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
          + size        = 1
          + id          = "out/a"

      outputs
      ~ token = (sensitive, changed)

    Plan: 1 to add, 0 to change, 0 to destroy.
    --- stderr
    output_given_up

      ⚠ the recorded output `token` of demo@local cannot be read: a sealed value cannot be opened: it was sealed with
      │ state key bb9ad7f0, which is not configured
      hint: to keep it, provide the state key that sealed it; an apply with changes records its new value or drops it
    "#);
    project.run_with(&[TOKEN], ["apply", "stack.yaml", "--plaintext-secrets", "--auto-approve"]).done();
    let ran = project.run(["output", "token", "--reveal", "--format", "raw"]).done();
    assert_eq!(ran.stdout, SECRET);
    let settled = project.run_with(&[TOKEN], ["plan", "stack.yaml", "--plaintext-secrets"]).done();
    assert!(settled.stdout.contains("No changes.") && !settled.stderr.contains("cannot be opened"), "{settled}");
}

#[test]
fn undeclared_output_with_a_lost_key_is_removed() {
    let project = with_a_lost_key();
    project.edit("stack.yaml", "  token: {value: '${{ vars.token }}', sensitive: true}\n", "");
    project.run_with(&[TOKEN], ["apply", "stack.yaml", "--auto-approve"]).done();
    assert_eq!(project.run(["output"]).done().stdout, "plain = \"open\"\n");
    assert!(!project.run_with(&[TOKEN], ["plan", "stack.yaml"]).done().stderr.contains("cannot be opened"));
}

#[test]
fn stack_with_only_outputs_can_be_destroyed() {
    let project = with_a_lost_key();
    assert_eq!(project.run(["stacks", "list"]).done().stdout, "demo@local\n");
    snapshot!(project.run(["destroy", "demo@local", "--auto-approve", "-q"]), @r#"
    exit: 0
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

      outputs
      - plain = "open"
      - token = (sensitive value)

    Plan: 0 to add, 0 to change, 0 to destroy.

    Destroy complete! Resources: 0 destroyed.
    "#);
    assert_eq!(project.run(["output"]).done().stdout, "");
    assert_eq!(project.run(["stacks", "list"]).done().stdout, "");
    project
        .run(["destroy", "demo@local", "--auto-approve", "-q"])
        .done()
        .prints("No changes. There is nothing to destroy.");
}

#[test]
fn output_read_by_another_stack_needs_its_key() {
    let project = with_a_lost_key();
    let reader = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: reader}\noutputs:\n  \
                  token: {value: '${{ stacks[\"demo\"].outputs.token }}', sensitive: true}\n";
    project.write("reader.yaml", reader);
    snapshot!(project.run(["plan", "reader.yaml"]), @r#"
    exit: 1
    --- stdout
    stack reader@local  (embedded environment: SQLite and files under .terrace/local)

    Planning failed with errors; the resources that could be planned have no changes.
    --- stderr
    expression_failed

      × the output `token` of demo@local: a sealed value cannot be opened: it was sealed with state key bb9ad7f0, which is
      │ not configured
       ╭─[reader.yaml:5:23]
     5 │   token: {value: '${{ stacks["demo"].outputs.token }}', sensitive: true}
       ·                       ────────────────────────────
       ╰────
      hint: provide the state key that sealed it
    "#);
    project.write("reader.yaml", reader.replace("outputs.token", "outputs.plain").replace(", sensitive: true", ""));
    project.run(["plan", "reader.yaml"]).done().prints("open");
}

#[test]
fn abandoned_output_does_not_block_another_key() {
    let project = with_a_lost_key();
    let other = [TOKEN, ("TERRACE_STATE_KEY", "//////////////////////////////////////////8=")];
    snapshot!(project.run_with(&other, ["state", "rekey"]), @"
    exit: 1
    --- stderr
    error: the outputs of demo@local cannot be opened: a sealed value cannot be opened: it was sealed with state key bb9ad7f0, which is not configured

    hint: add the key that it was sealed with to `encryption.previous`
    ");
    project.run_with(&other, ["apply", "stack.yaml", "--auto-approve", "-q"]).done();
    snapshot!(project.run_with(&other, ["state", "rekey"]), @"
    exit: 0
    --- stdout
    2 records are sealed with the present key
    --- stderr
    warning: old versions of the outputs of demo@local stay as they are: a sealed value cannot be opened: it was sealed with state key bb9ad7f0, which is not configured
    ");
}
