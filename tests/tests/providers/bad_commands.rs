//! Programs that hang, print too much or print no JSON: their step fails, and the other steps continue.

use terrace_tests::{Project, Ran, snapshot};

fn failed(create: &str, more: &str) -> Ran {
    let project = Project::with_stack(&format!(
        "resources:\n  - type: local_command\n    name: bad\n{more}    config:\n      create: {create}\n      \
         find: [echo, 'null']\n  - {{type: local_file, name: beside, config: {{path: out/beside, content: a}}}}\n"
    ));
    let ran = project.apply_saved().with_code(3);
    assert_eq!(project.read("out/beside"), "a", "independent steps continue");
    assert_eq!(project.run(["leases", "list"]).done().stdout, "");
    ran
}

#[test]
fn hanging_command_is_stopped_at_its_timeout() {
    let project = Project::with_stack(
        "resources:\n  - type: local_command\n    name: bad\n    timeouts: {create: 1s}\n    config:\n      \
         create: [sh, -c, 'echo $$ > pid; read line < gate']\n      find: [echo, 'null']\n",
    );
    project.make_gate("gate");
    snapshot!(project.apply_saved(), @"
    exit: 3
    --- stdout

    Applied with failures. Resources: 0 added, 0 changed, 0 destroyed. (0 done, 1 failed)
    --- stderr

    error: demo@local:local_command.bad: `create` did not end within 1 s and was stopped
      declared at stack.yaml:6:11

    hint: set longer `timeouts` for the resource if it needs more time
    ");
    let pid = project.read("pid");
    let process = std::path::Path::new("/proc").join(pid.trim());
    terrace_tests::until("the program is gone", || !process.exists());
}

#[test]
fn command_with_endless_output_is_stopped() {
    snapshot!(failed("[sh, -c, 'head -c 104857600 /dev/zero']", ""), @"
    exit: 3
    --- stdout

    Applied with failures. Resources: 1 added, 0 changed, 0 destroyed. (1 done, 1 failed)
    --- stderr

    error: demo@local:local_command.bad: `create` printed more than 16 MiB and was stopped
      declared at stack.yaml:6:11
    ");
}

#[test]
fn command_without_json_reports_its_output() {
    snapshot!(failed("[sh, -c, 'echo created it']", ""), @"
    exit: 3
    --- stdout

    Applied with failures. Resources: 1 added, 0 changed, 0 destroyed. (1 done, 1 failed)
    --- stderr

    error: demo@local:local_command.bad: `create` printed invalid JSON on its standard output: expected one JSON object
      expected value at line 1 column 1
      declared at stack.yaml:6:11

    hint: print messages for people on standard error

    left behind:
      demo@local:local_command.bad: only partly created: the next apply replaces it
    ");
    snapshot!(failed("['true']", ""), @"
    exit: 3
    --- stdout

    Applied with failures. Resources: 1 added, 0 changed, 0 destroyed. (1 done, 1 failed)
    --- stderr

    error: demo@local:local_command.bad: `create` printed nothing on its standard output: expected one JSON object
      declared at stack.yaml:6:11

    hint: print the object, `{}` at least

    left behind:
      demo@local:local_command.bad: only partly created: the next apply replaces it
    ");
    snapshot!(failed("[sh, -c, 'echo [1]']", ""), @"
    exit: 3
    --- stdout

    Applied with failures. Resources: 1 added, 0 changed, 0 destroyed. (1 done, 1 failed)
    --- stderr

    error: demo@local:local_command.bad: `create` printed a list on its standard output: expected one JSON object
      declared at stack.yaml:6:11

    hint: print messages for people on standard error

    left behind:
      demo@local:local_command.bad: only partly created: the next apply replaces it
    ");
}

#[test]
fn missing_or_killed_command_is_reported() {
    snapshot!(failed("[no-such-program, create]", ""), @"
    exit: 3
    --- stdout

    Applied with failures. Resources: 1 added, 0 changed, 0 destroyed. (1 done, 1 failed)
    --- stderr

    error: demo@local:local_command.bad: `create` cannot be started: there is no program `no-such-program`
      declared at stack.yaml:6:11

    hint: install it, or write its path; no shell is involved
    ");
    snapshot!(failed("[sh, -c, 'kill -9 $$']", ""), @"
    exit: 3
    --- stdout

    Applied with failures. Resources: 1 added, 0 changed, 0 destroyed. (1 done, 1 failed)
    --- stderr

    error: demo@local:local_command.bad: `create` was ended by a signal (signal: 9 (SIGKILL))
      declared at stack.yaml:6:11
    ");
    snapshot!(failed("[sh, -c, 'echo first >&2; echo last words >&2; exit 7']", ""), @"
    exit: 3
    --- stdout

    Applied with failures. Resources: 1 added, 0 changed, 0 destroyed. (1 done, 1 failed)
    --- stderr

    error: demo@local:local_command.bad: `create` failed with exit code 7: last words
      first
      last words
      declared at stack.yaml:6:11
    ");
}

#[test]
fn output_of_a_command_cannot_control_the_terminal() {
    let ran = failed(r#"[sh, -c, 'printf "\033[2J\033]0;title\007" >&2; exit 1']"#, "");
    assert!(!ran.stderr.contains('\u{1b}') && !ran.stdout.contains('\u{1b}'), "{ran:?}");
}

#[test]
fn command_that_asks_for_a_retry_is_retried() {
    let project = Project::with_stack(
        "resources:\n  - type: local_command\n    name: shy\n    config:\n      \
         create: [sh, -c, 'echo x >> tries; test $(wc -l < tries) -ge 2 || exit 75; echo \"{}\"']\n      \
         find: [echo, 'null']\n",
    );
    project.apply().done();
    assert_eq!(project.read("tries").lines().count(), 2);
    project.assert_settled("stack.yaml", &[]);
}

#[test]
fn failed_step_names_its_declaration() {
    let ran = Project::with_stack(
        "resources:\n  - {type: local_command, name: bad, config: {create: ['false'], find: [echo, 'null']}}\n",
    );
    ran.apply().with_code(3).prints("declared at stack.yaml:5:");

    // Resources of a blueprint are not in a user's file: the error names the component in the descriptor.
    let project = Project::with_network_status();
    project.run(["plan", "data-product.yaml", "--env", "local", "--out", "plan", "-q"]).done();
    project.write(".terrace/local/files", "in the way of a folder");
    let ran = project.run(["apply", "plan", "--env", "local", "-q"]).with_code(3);
    let line = project.read("data-product.yaml").lines().position(|line| line.contains(":input-kafka-topic")).unwrap();
    ran.prints(&format!("declared at data-product.yaml:{}:", line + 1));
}
