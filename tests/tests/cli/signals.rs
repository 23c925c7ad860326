//! Ctrl-C: the first waits for running steps and records them, the second exits at once and loses nothing.

use terrace_tests::{Project, Running, until};

/// A command that waits at a gate, and a resource that depends on it.
const GATED: &str = r#"resources:
  - type: local_command
    name: slow
    config:
      create: [sh, -c, 'cat > /dev/null; touch started; read line < gate; echo made >> log; touch object; echo "{}"']
      find: [sh, -c, 'if [ -e object ]; then echo "{}"; else echo null; fi']
  - {type: local_file, name: after, dependsOn: [slow], config: {path: out/after, content: a}}
"#;

#[test]
fn log_of_a_running_operation_is_followed_to_its_end() {
    let project = Project::with_stack(
        "resources:\n  - {type: local_command, name: slow, config: {create: [sh, -c, 'read line < gate; echo {}']}}\n",
    );
    project.make_gate("gate");
    let apply = project.start(project.command(["apply", "stack.yaml", "--auto-approve", "-q"]));
    let operation = || {
        let listed = project.run(["operations", "list"]).stdout;
        listed.split_whitespace().next().map(str::to_owned)
    };
    until("the operation begins", || {
        operation().is_some_and(|id| project.run(["operations", "logs", &id]).stdout.contains("create started"))
    });
    let id = operation().unwrap();
    let follow = project.start(project.command(["operations", "logs", "-f", &id]));
    project.open_gate("gate");
    apply.finish().done();
    let output = follow.finish().done();
    output.prints("create started").prints("create done").prints("completed: 1 done");
    assert_eq!(output.stdout.matches("create started").count(), 1, "{output}");
}

#[test]
fn first_interrupt_waits_records_and_exits_with_130() {
    let signals = [
        (Running::interrupt as fn(&Running), "interrupted: waiting for running steps to end and recording them"),
        (Running::terminate, "stopped by SIGTERM: waiting for running steps to end and recording them"),
        (Running::hang_up, "stopped by SIGHUP: waiting for running steps to end and recording them"),
    ];
    for (stop, expected) in signals {
        let (project, running) = Project::waiting_at_gate(GATED);
        stop(&running);
        running.wait_for_stderr(expected);
        running.wait_for_stderr("starting no others");
        project.open_gate("gate");
        let ran = running.finish().with_code(130);
        ran.prints("local_file.after: not begun");
        assert_eq!(project.run(["state", "list"]).done().stdout, "local_command.slow\n");
        assert!(!project.has("out/after"));
        assert_eq!(project.run(["leases", "list"]).done().stdout, "");
        project.apply().done().prints("1 added");
        assert_eq!(project.read("log"), "made\n");
        project.assert_settled("stack.yaml", &[]);
    }
}

#[test]
fn second_interrupt_exits_at_once_and_the_next_apply_creates_nothing_twice() {
    let (project, running) = Project::waiting_at_gate(GATED);
    running.interrupt();
    running.wait_for_stderr("repeat to leave at once");
    running.interrupt();
    running.finish().with_code(130).prints("left at once");
    assert_eq!(project.run(["state", "list"]).done().stdout, "local_command.slow (in doubt)\n");
    // The program still waits at its gate. The next apply waits for the program and adopts its object.
    let next = project.start(project.command(["apply", "stack.yaml", "--auto-approve"]));
    project.open_gate("gate");
    next.finish().done();
    assert_eq!(project.read("log"), "made\n");
    assert!(project.has("out/after"));
    project.assert_settled("stack.yaml", &[]);
}

/// `timeout` sends two signals: one to the process, and one to its group.
#[test]
fn two_simultaneous_terminations_count_as_one() {
    let (project, running) = Project::waiting_at_gate(GATED);
    running.terminate();
    running.wait_for_stderr("stopped by SIGTERM: waiting for running steps to end and recording them");
    running.terminate();
    project.open_gate("gate");
    running.finish().with_code(130).prints("local_file.after: not begun");
    assert_eq!(project.run(["state", "list"]).done().stdout, "local_command.slow\n");
}

#[test]
fn interrupt_while_waiting_for_a_lease_exits_with_130_and_no_change() {
    let (project, holder) = Project::waiting_at_gate(GATED);
    let waiting = project.start(project.command(["apply", "stack.yaml", "--auto-approve"]));
    waiting.wait_for_stderr("are held by");
    waiting.interrupt();
    waiting.finish().with_code(130);
    project.open_gate("gate");
    holder.finish().done();
    project.assert_settled("stack.yaml", &[]);
}

#[test]
fn operation_of_another_process_can_be_cancelled() {
    let (project, running) = Project::waiting_at_gate(GATED);
    let operations = project.run(["operations", "list", "--json"]).done().json();
    let id = operations[0]["operation"].as_str().unwrap().to_owned();
    project.run(["operations", "cancel", &id]).done().prints("will stop: it ends its running steps first");
    running.wait_for_stderr("waiting for");
    project.open_gate("gate");
    running.finish().with_code(130).prints("local_file.after: not begun");
    assert_eq!(project.run(["state", "list"]).done().stdout, "local_command.slow\n");
    project.run(["operations", "cancel", &id]).with_code(1).prints("is not running: it is interrupted");
}

#[test]
fn interrupt_during_planning_ends_reading_programs() {
    let project = Project::with_stack(
        "resources:\n  - type: local_command\n    name: slow\n    config:\n      \
         create: [echo, '{}']\n      \
         read: [sh, -c, 'if [ -e gate ]; then echo $$ > pid; read line < gate; fi; echo {}']\n",
    );
    project.apply().done();
    project.make_gate("gate");
    let plan = project.start(project.command(["plan", "stack.yaml"]));
    until("the program waits at its gate", || project.has("pid") && project.read("pid").ends_with('\n'));
    plan.interrupt();
    plan.finish().with_code(130).prints("interrupted, nothing was changed");
    let process = std::path::Path::new("/proc").join(project.read("pid").trim());
    until("the program is gone", || !process.exists());
}

/// On a terminal (created by `script`), Ctrl-C is a typed byte.
#[test]
#[cfg(target_os = "linux")]
fn ctrl_c_at_the_question_exits_at_once() {
    use std::io::{Read, Write};
    let project = Project::with_stack("resources: [{type: local_file, name: a, config: {path: a, content: x}}]\n");
    let apply = project.command(["apply", "stack.yaml"]);
    let line = format!("{} apply stack.yaml", apply.get_program().to_str().unwrap());
    let mut command = std::process::Command::new("script");
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]).current_dir(project.path("."));
    command.envs(apply.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut terminal =
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let (mut keys, mut screen) = (terminal.stdin.take().unwrap(), terminal.stdout.take().unwrap());
    let mut shown = Vec::new();
    let mut byte = [0];
    while !String::from_utf8_lossy(&shown).contains("Enter a value:") {
        screen.read_exact(&mut byte).unwrap();
        shown.push(byte[0]);
    }
    keys.write_all(b"\x03").unwrap();
    screen.read_to_end(&mut shown).unwrap();
    assert_eq!(terminal.wait().unwrap().code(), Some(130), "{}", String::from_utf8_lossy(&shown));
    assert!(String::from_utf8_lossy(&shown).contains("interrupted, nothing was changed"));
    assert!(!project.has("a"));
}
