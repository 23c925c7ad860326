//! One test for each exit code.

use terrace_tests::{Project, snapshot};

const FILE: &str = "resources:\n  - {type: local_file, name: a, config: {path: out/a, content: a}}\n";
const FAILING: &str = r#"resources:
  - {type: local_command, name: bad, config: {create: [sh, -c, "echo no such bucket >&2; exit 9"], find: [echo, "null"]}}
  - {type: local_file, name: after, dependsOn: [bad], config: {path: out/after, content: a}}
  - {type: local_file, name: beside, config: {path: out/beside, content: a}}
"#;

#[test]
fn plan_with_changes_exits_with_2_only_if_requested() {
    let project = Project::with_stack(FILE);
    project.run(["plan", "stack.yaml"]).done();
    project.run(["plan", "stack.yaml", "--detailed-exitcode"]).with_code(2);
    project.apply().done();
    project.run(["plan", "stack.yaml", "--detailed-exitcode"]).done();
    project.run(["drift", "stack.yaml"]).done();
    project.write("out/a", "b");
    project.run(["drift", "stack.yaml"]).with_code(2);
}

#[test]
fn apply_without_terminal_and_consent_changes_nothing() {
    let project = Project::with_stack(FILE);
    snapshot!(project.run(["apply", "stack.yaml", "-q"]), @r#"
    exit: 1
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

    Plan: 1 to add, 0 to change, 0 to destroy.
    --- stderr
    error: there is no terminal to ask on, so nothing was changed

    hint: review the plan, then pass `--auto-approve`
    "#);
    assert_eq!(project.files().into_keys().collect::<Vec<_>>(), ["stack.yaml"]);
}

#[test]
fn invalid_command_line_exits_with_1_and_a_suggestion() {
    let project = Project::new();
    snapshot!(project.run(["aply", "stack.yaml"]), @"
    exit: 1
    --- stderr
    error: there is no command `aply`

    hint: did you mean `terrace apply`?
    ");
    snapshot!(project.run(["apply", "stack.yaml", "-auto-approve"]), @"
    exit: 1
    --- stderr
    error: `-auto-approve` begins with one dash: long options begin with two

    hint: write `--auto-approve`
    ");
    snapshot!(project.run(["plan"]), @"
    exit: 1
    --- stderr
    error: `terrace plan` needs a descriptor

    hint: write `terrace plan FILE`: a descriptor, or a folder of them; `terrace init` writes an example
    ");
}

#[test]
fn unknown_environment_exits_with_1() {
    let project = Project::with_network_status();
    snapshot!(project.run(["plan", "data-product.yaml"]), @"
    exit: 1
    --- stderr
    unknown_environment

      × the environment `production` is not configured
       ╭─[data-product.yaml:4:14]
     4 │ environment: production
       ·              ──────────
       ╰────
      hint: without a configuration there is the embedded environment only: pass `--env local`, or describe `production`
            in terrace.yaml
    ");
    assert!(!project.has(".terrace"));
}

#[test]
fn failed_step_exits_with_3_after_independent_steps() {
    let project = Project::with_stack(FAILING);
    snapshot!(project.apply_saved(), @"
    exit: 3
    --- stdout

    Applied with failures. Resources: 1 added, 0 changed, 0 destroyed. (1 done, 1 failed, 1 not tried)
    --- stderr

    error: demo@local:local_command.bad: `create` failed with exit code 9: no such bucket
      declared at stack.yaml:5:33

    not done:
      demo@local:local_file.after: waits for local_command.bad
    ");
    assert!(project.has("out/beside") && !project.has("out/after"));
    assert_eq!(project.run(["state", "list"]).done().stdout, "local_file.beside\n");
    project.edit("stack.yaml", "exit 9", "exit 0; ");
    project.edit("stack.yaml", "echo no such bucket >&2", "echo {}");
    project.apply().done().prints("2 added");
    project.assert_settled("stack.yaml", &[]);
}

#[test]
fn protected_resource_is_not_destroyed() {
    let project = Project::with_stack(
        "resources:\n  - type: local_file\n    name: a\n    config: {path: out/a, content: a}\n    \
         lifecycle: {preventDestroy: true}\n",
    );
    project.apply().done();
    project.write_stack("resources: []\n");
    snapshot!(project.apply(), @"
    exit: 1
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

      - local_file.a   is not declared any more

    Plan: 0 to add, 0 to change, 1 to destroy.
    This plan has errors and cannot be applied.
    --- stderr
    prevent_destroy

      × demo@local:local_file.a is protected and would be deleted
      hint: remove `preventDestroy` from its lifecycle and apply, or run `terrace unprotect 'demo@local:local_file.a'` if
            nothing declares it; then try again
    ");
    project.run(["destroy", "stack.yaml", "--auto-approve"]).with_code(1);
    assert!(project.has("out/a"));
}
