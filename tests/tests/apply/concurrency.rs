//! Concurrent runs: on one component they wait or are refused; on different components they run in parallel.

use terrace_tests::{Project, snapshot};

const GATED: &str = r#"resources:
  - type: local_command
    name: slow
    config:
      create: [sh, -c, 'cat > /dev/null; touch started; read line < gate; echo made >> log; echo "{}"']
"#;

#[test]
fn second_apply_without_waiting_is_refused_and_names_the_holder() {
    let (project, first) = Project::waiting_at_gate(GATED);
    snapshot!(project.run(["apply", "stack.yaml", "--auto-approve", "-q", "--lock-timeout", "0s"]), @r#"
    exit: 4
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

      + local_command.slow
          + create = ["sh", "-c", "cat > /dev/null; touch started; read line < gate; echo made >> log; echo \"{}\""]
          + output = (known after apply)
          + id     = (known after apply)

    Plan: 1 to add, 0 to change, 0 to destroy.
    --- stderr
    error: the stack's own resources of demo@local are held by [person] since [time] (operation [uuid], lease [uuid])

    hint: wait longer with `--lock-timeout`, or, if its holder is gone, run `terrace unlock [uuid]`
    "#);
    project.open_gate("gate");
    first.finish().done();
    assert_eq!(project.read("log"), "made\n");
}

#[test]
fn second_apply_waits_for_the_first_and_has_nothing_to_do() {
    let (project, first) = Project::waiting_at_gate(GATED);
    let second = project.start(project.command(["apply", "stack.yaml", "--auto-approve"]));
    second.wait_for_stderr("are held by");
    project.open_gate("gate");
    first.finish().done();
    let second = second.finish();
    assert_eq!(project.read("log"), "made\n", "it was made twice");
    assert!(second.code == 0 || second.code == 4, "done, or refused as stale:\n{second}");
    project.assert_settled("stack.yaml", &[]);
}

#[test]
fn plan_during_an_apply_does_not_wait() {
    let (project, first) = Project::waiting_at_gate(GATED);
    project.run(["plan", "stack.yaml", "--lock-timeout", "0s"]).done();
    project.run(["leases", "list"]).done().prints("tester@");
    let nothing = project.run(["recover"]).done();
    nothing.prints("Nothing to recover now: tester@").prints(" works on demo@local under a lease until ");
    project.run(["operations", "list"]).done().prints("running");
    project.open_gate("gate");
    first.finish().done();
}

#[test]
fn broken_lease_ends_its_holder_without_a_lost_step() {
    let (project, first) = Project::waiting_at_gate(GATED);
    let leases = project.run(["leases", "list", "--json"]).done().json();
    let id = leases[0]["lease"].as_str().unwrap().to_owned();
    project.run(["unlock", &id, "--auto-approve"]).done();
    project.open_gate("gate");
    first.finish().with_code(1).prints("lease");
    assert_eq!(project.run(["state", "list"]).done().stdout, "local_command.slow (in doubt)\n");
    let again = project.run(["apply", "stack.yaml", "--auto-approve", "-q", "--lock-timeout", "0s"]);
    assert_ne!(again.code, 0, "the outcome of the step is unknown:\n{again}");
    assert_eq!(project.read("log"), "made\n", "it was made twice");
}

/// A thing that `find` recognizes by its file.
const FOUND: &str = r#"resources:
  - type: local_command
    name: slow
    config:
      create: [sh, -c, 'cat > /dev/null; touch started; read line < gate; echo made >> log; echo "{}"']
      find: [sh, -c, 'cat > /dev/null; if [ -e log ]; then echo "{}"; else echo null; fi']
      delete: [sh, -c, 'cat > /dev/null; rm -f log']
"#;

#[test]
fn destroy_during_an_apply_waits_and_removes_its_objects() {
    let (project, first) = Project::waiting_at_gate(FOUND);
    let refused = project.run(["destroy", "stack.yaml", "--auto-approve", "--lock-timeout", "0s"]);
    refused.with_code(4).prints("are held by");
    let second = project.start(project.command(["destroy", "stack.yaml", "--auto-approve"]));
    second.wait_for_stderr("are held by");
    project.open_gate("gate");
    first.finish().done();
    second
        .finish()
        .done()
        .prints("another operation worked on the same resources: planning again")
        .prints("1 destroyed");
    assert!(!project.has("log"));
    assert_eq!(project.run(["state", "list"]).done().stdout, "");
}

#[test]
fn waiting_run_recovers_after_its_holder_is_killed() {
    let (project, first) = Project::waiting_at_gate(FOUND);
    let second = project.start(project.command(["apply", "stack.yaml", "--auto-approve"]));
    second.wait_for_stderr("are held by");
    first.kill();
    // The command may still be running: the waiting run replans and finds its outcome.
    project.open_gate("gate");
    second.finish().done().prints("planning again");
    assert_eq!(project.read("log"), "made\n", "it was made twice");
    project.assert_settled("stack.yaml", &[]);
}

#[test]
fn two_components_are_applied_in_parallel() {
    // Each command ends only if the other one runs too.
    let component = |name: &str, own: &str, other: &str| {
        format!(
            "  {name}:\n    resources:\n      - type: local_command\n        name: meet\n        config:\n          \
             create: [sh, -c, 'cat > /dev/null; touch {own}; until [ -e {other} ]; do :; done; echo \"{{}}\"']\n"
        )
    };
    let (left, right) = (component("left", "l", "r"), component("right", "r", "l"));
    let project = Project::with_stack(&format!("components:\n{left}{right}"));
    let apply = |name: &'static str| {
        let words = ["apply", "stack.yaml", "-c", name, "--auto-approve", "-q", "--lock-timeout", "0s"];
        project.start(project.command(words))
    };
    let (left, right) = (apply("left"), apply("right"));
    left.finish().done();
    right.finish().done();
    let listed = project.run(["state", "list"]).done().stdout;
    assert_eq!(listed, "left/local_command.meet\nright/local_command.meet\n");
    project.assert_settled("stack.yaml", &[]);
}

#[test]
fn parallelism_of_one_runs_calls_one_after_the_other() {
    let project = Project::with_stack(
        "resources:\n  - type: local_command\n    name: a\n    forEach: '${{ range(4) }}'\n    config:\n      \
         create: [sh, -c, 'echo begin >> log; echo end >> log; echo {}']\n      find: [echo, 'null']\n",
    );
    project.run(["apply", "stack.yaml", "--auto-approve", "--parallelism", "1"]).done();
    assert_eq!(project.read("log"), "begin\nend\n".repeat(4));
}
