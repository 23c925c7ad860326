//! `terrace operations`: history shows why steps failed or are in doubt, and who stopped an operation.

use terrace_tests::{Project, Running, snapshot};

const COMMANDS: &str = r#"resources:
  - {type: local_command, name: lost, config: {create: [sh, -c, 'echo "no disk" >&2; exit 3']}}
  - {type: local_value, name: after, config: {input: '${{ resources.lost.output }}'}}
  - {type: local_file, name: dir, config: {path: out, content: x}}
"#;

/// Applies with one call in doubt and one failed call, and returns the operation's id.
fn failed() -> (Project, String) {
    let project = Project::with_stack(COMMANDS);
    project.write("out/there", "");
    project.apply().with_code(3);
    let operations = project.run(["operations", "list", "--json"]).done().json();
    (project, operations[0]["operation"].as_str().unwrap().to_owned())
}

#[test]
fn history_shows_why_steps_failed_or_are_in_doubt() {
    let (project, operation) = failed();
    snapshot!(project.run(["operations", "show", &operation]), @"
    exit: 0
    --- stdout
    [uuid]  [time]  apply  failed  demo@local  by [person]: 0 done, 2 failed, 1 not tried
         5  create  demo@local:local_file.dir  failed: `path` is `out`: expected a regular file, found a folder
         4  create  demo@local:local_command.lost  open, in doubt: `create` failed with exit code 3: no disk
    ");
    let log = project.run(["operations", "logs", &operation]).done().stdout;
    let reason = "ERROR   apply: demo@local:local_command.lost in doubt: `create` failed with exit code 3: no disk";
    assert!(log.contains(reason), "{log}");
    let json = project.run(["operations", "show", &operation, "--json"]).done().json();
    let lost = json["steps"].as_array().unwrap().iter().find(|step| step["address"] == "local_command.lost").unwrap();
    assert_eq!(lost["result"], "open");
    assert_eq!(lost["in_doubt"], "`create` failed with exit code 3: no disk");
}

#[test]
fn only_the_open_half_of_a_replacement_is_in_doubt() {
    let project = Project::with_stack(
        r#"resources:
  - type: local_command
    name: lost
    config: {input: 1, delete: ['true'],
      create: [sh, -c, 'test ! -e broken || exit 3; echo "{}"']}
"#,
    );
    project.apply().done();
    project.edit("stack.yaml", "input: 1", "input: 2");
    project.write("broken", "");
    project.apply().with_code(3);
    let operations = project.run(["operations", "list", "--json"]).done().json();
    let operation = operations[0]["operation"].as_str().unwrap();
    let shown = project.run(["operations", "show", operation]).done().stdout;
    assert_eq!(shown.lines().filter(|line| line.contains("in doubt: ")).count(), 1, "{shown}");
    let json = project.run(["operations", "show", operation, "--json"]).done().json();
    let output = json["steps"].as_array().unwrap().iter().map(|step| (&step["action"], step["in_doubt"].is_string()));
    assert_eq!(output.collect::<Vec<_>>(), [(&"delete".into(), false), (&"create".into(), true)], "{json}");
}

#[test]
fn history_shows_failures_before_a_call() {
    let project = Project::with_stack(
        "resources:\n  - {type: local_value, name: b, config: {input: 1}}\n  \
         - {type: local_value, name: a, config: {input: 1},\n     \
         checks: [{when: pre, assert: '${{ resources.b.id == \"none\" }}', error: b is another}]}\n",
    );
    project.apply().with_code(3);
    let operations = project.run(["operations", "list", "--json"]).done().json();
    let operation = operations[0]["operation"].as_str().unwrap();
    project.run(["operations", "show", operation]).done().prints("local_value.a failed: b is another");
    project.run(["operations", "logs", operation]).done().prints("local_value.a failed: b is another");
}

#[test]
fn dependent_of_a_step_in_doubt_is_not_in_doubt() {
    let (project, _) = failed();
    project.edit("stack.yaml", "  - {type: local_file, name: dir, config: {path: out, content: x}}\n", "");
    snapshot!(project.run(["plan", "stack.yaml"]), @"
    exit: 0
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

      ? local_command.lost   in doubt: terrace sent the call; its effect is unknown
          resolve it with `terrace recover`
        local_value.after    not done: waits for local_command.lost, whose last step is in doubt

    Plan: 0 to add, 0 to change, 0 to destroy.
    (1 in doubt, 1 waiting)
    ");
}

/// A command that waits at a gate, and a resource that depends on it.
const GATED: &str = r#"resources:
  - type: local_command
    name: slow
    config: {create: [sh, -c, 'cat > /dev/null; touch started; read line < gate; echo "{}"']}
  - {type: local_value, name: after, dependsOn: [slow], config: {input: 1}}
"#;

fn newest(project: &Project) -> serde_json::Value {
    project.run(["operations", "list", "--json"]).done().json()[0].clone()
}

#[test]
fn cancelled_operation_names_its_canceller() {
    let (project, running) = Project::waiting_at_gate(GATED);
    let id = newest(&project)["operation"].as_str().unwrap().to_owned();
    let mut cancel = project.command(["operations", "cancel", &id]);
    cancel.env("USER", "jane");
    project.start(cancel).finish().done();
    project.run(["operations", "list"]).done().prints("  running  demo@local").prints("asked to stop by jane@");
    running.wait_for_stderr("waiting for");
    project.open_gate("gate");
    running.finish().with_code(130);
    project.run(["operations", "show", &id]).done().prints(": 1 done, 1 not begun, asked to stop by jane@");
    let operation = newest(&project);
    assert_eq!(operation["status"], "interrupted");
    assert!(operation["cancelled_by"].as_str().unwrap().starts_with("jane@"), "{operation}");
}

#[test]
fn interrupted_operation_names_its_signal() {
    for (stop, signal) in [
        (Running::interrupt as fn(&Running), "SIGINT (Ctrl-C)"),
        (Running::terminate, "SIGTERM"),
        (Running::hang_up, "SIGHUP"),
    ] {
        let (project, running) = Project::waiting_at_gate(GATED);
        stop(&running);
        running.wait_for_stderr("waiting for running steps to end and recording them, starting no others");
        project.open_gate("gate");
        running.finish().with_code(130);
        let operation = newest(&project);
        assert_eq!(operation["summary"], format!("1 done, 1 not begun, stopped by {signal}"));
        assert_eq!(operation["cancelled_by"], serde_json::Value::Null);
    }
}

#[test]
fn plan_repeated_after_a_race_is_not_a_failure() {
    let (project, first) = Project::waiting_at_gate(GATED);
    let second = project.start(project.command(["apply", "stack.yaml", "--auto-approve"]));
    second.wait_for_stderr("are held by");
    project.open_gate("gate");
    first.finish().done();
    second.finish().done().prints("planning again");
    let operations = project.run(["operations", "list"]).done();
    operations.prints("  apply  superseded  demo@local").prints("nothing was done, planned again: ");
    assert!(!operations.stdout.contains("failed"), "{operations}");
}

#[test]
fn doctor_lists_steps_in_doubt_and_the_command_to_recover() {
    let (project, _) = failed();
    let doctor = project.run(["doctor"]).done();
    doctor.prints("warn  operations: demo@local: the last step of local_command.lost is in doubt");
    doctor.prints("run `terrace recover demo@local` to resolve it");
    project.run(["recover", "--absent", "local_command.lost"]).done();
    let doctor = project.run(["doctor"]).done();
    assert!(!doctor.stdout.contains("operations:"), "{doctor}");
}

#[test]
fn doctor_does_not_report_running_operations_as_interrupted() {
    let (project, running) = Project::waiting_at_gate(GATED);
    let doctor = project.run(["doctor"]).done();
    assert!(!doctor.stdout.contains("operations:"), "{doctor}");
    project.open_gate("gate");
    running.finish().done();
}

#[test]
fn log_names_the_address_of_each_call() {
    let project = Project::with_stack(COMMANDS);
    project.write("out/there", "");
    let words = ["apply", "stack.yaml", "--auto-approve"];
    let ran = project.run_with(&[("TERRACE_LOG", "trace"), ("NO_COLOR", "1")], words).with_code(3);
    let lines = || ran.stderr.lines().filter(|line| line.contains("call"));
    for (what, address) in [("call", "demo@local:local_command.lost"), ("call failed", "demo@local:local_file.dir")] {
        let is_told = |line: &str| line.contains(what) && line.contains(&format!("address=\"{address}\""));
        assert!(lines().any(is_told), "{what} {address}: {ran}");
    }
}
