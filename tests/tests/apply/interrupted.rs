//! Interrupted steps wait for recovery: state commands don't change their rows meanwhile, and a process that may be
//! alive is not taken for dead.

use crate::apply::crash::{apply_killed, project, stack};
use rusqlite::Connection;
use terrace_tests::{Project, Running, Terminal, snapshot, until};

/// The rows and components of the state, without the time of the export.
fn recorded(project: &Project) -> String {
    project.recorded().unwrap()
}

#[test]
fn interrupted_resource_is_not_changed_by_state_commands() {
    for (moment, next) in [("after update", stack("two")), ("before delete", "resources: []\n".to_owned())] {
        let project = project();
        project.apply().done();
        project.write_stack(&next);
        apply_killed(&project, moment);
        let before = recorded(&project);
        let by_hand: [&[&str]; 3] = [
            &["taint", "local_command.thing"],
            &["state", "rm", "local_command.thing"],
            &["state", "mv", "local_command.thing", "local_command.other"],
        ];
        for words in by_hand {
            let refused = project.run(words.iter().copied()).with_code(4);
            refused.prints("local_command.thing has an interrupted step").prints("`terrace recover`");
        }
        assert_eq!(recorded(&project), before, "{moment}");
        project.run(["recover"]).done();
        project.apply().done();
        project.assert_settled("stack.yaml", &[]);
    }
}

#[test]
fn recovered_outcome_is_printed_once_on_a_terminal() {
    let project = project();
    project.apply().done();
    project.write_stack(&stack("two"));
    apply_killed(&project, "after update");
    let screen = Terminal::start_with_results(project.command(["recover"]), 160).finish();
    assert_eq!(screen.matches("demo@local:local_command.thing: ").count(), 1, "{screen}");
}

#[test]
fn state_command_before_recovery_is_refused_with_a_hint() {
    let project = project();
    project.apply().done();
    project.write_stack(&stack("two"));
    apply_killed(&project, "before update");
    snapshot!(project.run(["taint", "local_command.thing"]), @"
    exit: 4
    --- stderr
    error: demo@local:local_command.thing has an interrupted step

    hint: resolve it with `terrace recover`, then try again
    ");
}

#[test]
fn plan_with_only_steps_in_doubt_needs_no_approval() {
    let project = Project::with_stack(
        "resources:\n  - type: local_command\n    name: thing\n    config:\n      \
         create: [sh, -c, 'cat > /dev/null; kill -9 $PPID']\n  \
         - {type: local_value, name: user, dependsOn: [thing], config: {input: 1}}\n",
    );
    assert_eq!(project.apply().code, -1);
    project.run(["recover"]).with_code(1);
    snapshot!(project.run(["apply", "stack.yaml", "-q"]), @"
    exit: 3
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

      ? local_command.thing   in doubt: terrace sent the call; its effect is unknown
          resolve it with `terrace recover`
        local_value.user      not done: waits for local_command.thing, whose last step is in doubt

    Plan: 0 to add, 0 to change, 0 to destroy.
    (1 in doubt, 1 waiting)
    --- stderr
    error: nothing was changed: the last step of `demo@local:local_command.thing` is in doubt

    hint: resolve the steps in doubt with `terrace recover`
    ");
    project.run(["apply", "stack.yaml", "--auto-approve", "-q"]).with_code(3).prints("not done:");
    project.run(["recover", "--absent", "local_command.thing"]).done();
    project.run(["apply", "stack.yaml"]).with_code(1).prints("pass `--auto-approve`");
}

/// A killed first apply that was about to create a table, blocked by a lock.
fn killed_at_a_lock() -> Project {
    let project = Project::with_stack(TABLE);
    let locked = lock(&project);
    let apply = project.start(project.command(["apply", "stack.yaml", "--auto-approve", "-q"]));
    until_a_step_is_open(&project, &apply);
    apply.kill();
    assert_eq!(apply.finish().code, -1);
    drop(locked);
    project
}

#[test]
fn import_onto_an_interrupted_creation_is_refused() {
    let project = killed_at_a_lock();
    Connection::open(project.path("shop.db")).unwrap().execute_batch("CREATE TABLE T (A INTEGER)").unwrap();
    let refused = project.run(["import", "sqlite_table.t", "shop.db/T"]).with_code(4);
    refused.prints("sqlite_table.t has an interrupted step");
    assert_eq!(project.run(["state", "list"]).done().stdout, "sqlite_table.t (in doubt)\n");
}

#[test]
fn state_import_onto_an_interrupted_creation_is_refused() {
    let project = killed_at_a_lock();
    let other = ["--state", "sqlite:other.db"];
    let elsewhere = |words: &[&str]| project.run(other.into_iter().chain(words.iter().copied()));
    elsewhere(&["apply", "stack.yaml", "--auto-approve", "-q"]).done();
    elsewhere(&["state", "export", "--out", "state.json"]).done();
    project.run(["state", "import", "state.json"]).with_code(4).prints("sqlite_table.t has an interrupted step");
}

const TABLE: &str = r#"resources:
  - type: sqlite_table
    name: t
    timeouts: {create: 1s}
    config: {path: shop.db, name: T, columns: [{name: A, type: INTEGER}]}
"#;

/// Blocks other writers of `shop.db` while the connection is open.
fn lock(project: &Project) -> Connection {
    let connection = Connection::open(project.path("shop.db")).unwrap();
    connection.execute_batch("CREATE TABLE IF NOT EXISTS BESIDE (A INTEGER); BEGIN IMMEDIATE").unwrap();
    connection
}

fn has(project: &Project, name: &str) -> bool {
    let connection = Connection::open(project.path("shop.db")).unwrap();
    connection.prepare("SELECT 1 FROM sqlite_schema WHERE name = ?1").unwrap().exists([name]).unwrap()
}

/// Waits until the newest operation has an open step.
fn until_a_step_is_open(project: &Project, running: &Running) {
    until("a step is open", || {
        assert!(!running.stderr().contains("error"), "{}", running.stderr());
        let operations = project.run(["operations", "list", "--json"]).json();
        let Some(id) = operations[0]["operation"].as_str() else { return false };
        project.run(["operations", "show", id]).stdout.contains("  open\n")
    });
}

#[test]
fn call_that_takes_effect_after_its_timeout_is_recorded() {
    let project = Project::with_stack(&format!(
        "{TABLE}  - type: local_command\n    name: beside\n    config:\n      \
         create: [sh, -c, 'cat > /dev/null; read line < gate; echo \"{{}}\"']\n"
    ));
    project.make_gate("gate");
    let locked = lock(&project);
    let apply = project.start(project.command(["apply", "stack.yaml", "--auto-approve"]));
    apply.wait_for_stderr("no answer within 1 s");
    drop(locked);
    until("the table is made", || has(&project, "T"));
    project.open_gate("gate");
    apply.finish().done();
    assert_eq!(project.run(["state", "list"]).done().stdout, "local_command.beside\nsqlite_table.t\n");
    project.assert_settled("stack.yaml", &[]);
}

/// A program that reads its input after its caller has died gets all of it, at any length.
#[test]
fn program_gets_all_of_its_input_after_its_caller_died() {
    let text = "x".repeat(200_000);
    let project = Project::with_stack(&format!(
        "resources:\n  - type: local_command\n    name: slow\n    config:\n      input: {{text: {text}}}\n      \
         create: [sh, -c, 'touch started; read line < gate; cat > got; echo \"{{}}\"']\n      \
         find: [sh, -c, 'if [ -e got ]; then echo \"{{}}\"; else echo null; fi']\n"
    ));
    project.make_gate("gate");
    let apply = project.start(project.command(["apply", "stack.yaml", "--auto-approve", "-q"]));
    until("the program waits at its gate", || project.has("started"));
    apply.kill();
    apply.finish().with_code(-1);
    project.open_gate("gate");
    project.apply().done();
    let got: serde_json::Value = serde_json::from_str(&project.read("got")).expect("all of the input");
    assert_eq!(got["input"]["text"], text);
    project.assert_settled("stack.yaml", &[]);
}

#[test]
fn call_of_a_caller_that_may_be_alive_is_not_lost() {
    let view =
        "resources:\n  - {type: sqlite_view, name: v, config: {path: shop.db, name: V, statement: SELECT 1 AS A}}\n";
    let project = Project::with_stack(view);
    drop(lock(&project));
    project.apply().done();
    project.write_stack("resources: []\n");
    let locked = lock(&project);
    let first = project.start(project.command(["apply", "stack.yaml", "--auto-approve", "-q"]));
    until_a_step_is_open(&project, &first);
    let leases = project.run(["leases", "list", "--json"]).done().json();
    project.run(["unlock", leases[0]["lease"].as_str().unwrap(), "--auto-approve"]).done();
    let early = project.run(["recover", "--lock-timeout", "0s"]).with_code(1);
    early.prints("the object is still there, and the lost call may still take effect for");
    drop(locked);
    first.finish().with_code(1).prints("lease");
    assert!(!has(&project, "V"));
    project.run(["recover"]).done().prints("there is no such object");
    assert_eq!(project.run(["state", "list"]).done().stdout, "");
    project.assert_settled("stack.yaml", &[]);
}

#[test]
fn interrupted_operation_has_ended_after_recovery() {
    let project = project();
    apply_killed(&project, "after create");
    project.run(["operations", "list"]).done().prints("abandoned");
    project.run(["recover"]).done();
    let listed = project.run(["operations", "list"]).done();
    assert!(!listed.stdout.contains("abandoned"), "{listed}");
    listed.prints("interrupted").prints("interrupted; the outcomes of its steps are recorded");
    project.run(["state", "prune", "--keep", "0s", "--auto-approve"]).done();
    let left = project.run(["operations", "list"]).done().stdout;
    assert!(left.lines().all(|line| !line.contains("  apply  ")), "{left}");
}

#[test]
fn doctor_names_interrupted_operations_until_recovery() {
    let project = project();
    apply_killed(&project, "after create");
    let doctor = project.run(["doctor"]).done();
    doctor.prints("warn  operations: the process of operation `").prints("` (apply) is gone");
    doctor.prints("run `terrace recover demo@local` to resolve its steps");
    assert!(!doctor.stdout.contains("in doubt"), "reported once: {doctor}");
    project.run(["recover", "demo@local"]).done();
    let doctor = project.run(["doctor"]).done();
    assert!(!doctor.stdout.contains("operations:"), "{doctor}");
}

/// An address whose deposed and current objects were both being deleted at a crash.
fn with_both_interrupted() -> Project {
    let text = |value: &str| {
        format!(
            "resources:\n  - type: local_command\n    name: thing\n    lifecycle: {{createBeforeDestroy: true}}\n    \
             config:\n      create: [sh, -c, 'cat > /dev/null; echo \"{{}}\"']\n      delete: [sh, delete.sh]\n      \
             environment: {{VALUE: {value}}}\n"
        )
    };
    let project = Project::with_stack(&text("one"));
    // Each deletion waits for the start of the other.
    let script = "cat > /dev/null; [ -e hangs ] || exit 1; touch begun-$VALUE\n\
                  for i in $(seq 2000); do [ -e begun-one ] && [ -e begun-two ] && break; sleep 0.01; done\n\
                  kill -9 $PPID\n";
    project.write("delete.sh", script);
    project.apply().done();
    project.write_stack(&text("two"));
    project.apply().with_code(3);
    project.write("hangs", "");
    assert_eq!(project.run(["destroy", "stack.yaml", "--auto-approve"]).code, -1);
    assert!(project.has("begun-one") && project.has("begun-two"), "both were being removed");
    project
}

#[test]
fn two_steps_of_one_address_are_reported_and_resolved_separately() {
    let project = with_both_interrupted();
    let recovered = project.run(["recover"]).with_code(1);
    recovered.prints("2 steps are still in doubt");
    let lines: Vec<&str> = recovered.stdout.lines().filter_map(|line| line.split_once(": ")).map(|it| it.0).collect();
    let deposed = lines.iter().find(|line| line.contains("(deposed ")).unwrap();
    assert!(lines.contains(&"demo@local:local_command.thing"), "{recovered}");
    // Without a key the verdict is about the current object.
    let tainted = project.run(["recover", "--tainted", "local_command.thing"]).with_code(1);
    tainted.prints("demo@local:local_command.thing: its row is tainted, the next apply replaces the object");
    tainted.prints("1 step is still in doubt");
    let left = project.run(["state", "list"]).done().stdout;
    assert!(left.contains("local_command.thing (tainted)"), "{left}");
    project.run(["recover", "--absent", deposed]).done().prints(&format!("{deposed}: its row is dropped"));
    assert_eq!(project.run(["state", "list"]).done().stdout, "local_command.thing (tainted)\n");
}

/// Applies in each environment, and is killed after the creation.
fn interrupt_in(project: &Project, environments: &[&str]) {
    let configured: String = environments.iter().map(|name| format!("  {name}:\n")).collect();
    project.write("terrace.yaml", format!("environments:\n{configured}"));
    for environment in environments {
        project.write("when", "after create");
        assert_eq!(project.run(["apply", "stack.yaml", "--auto-approve", "--env", environment]).code, -1);
    }
}

#[test]
fn recovery_finds_interrupted_steps_in_every_environment() {
    let project = project();
    interrupt_in(&project, &["production", "staging", "other"]);
    project.run(["recover", "--env", "local"]).with_code(1).prints("the environment `local` is not configured");
    let recovered = |words: &[&str]| -> Vec<String> {
        let ran = project.run([&["recover", "--json"], words].concat()).done().json();
        ran["recovered"].as_array().unwrap().iter().map(|it| it["address"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(recovered(&["--env", "other"]), ["demo@other:local_command.thing"]);
    assert_eq!(recovered(&[]), ["demo@production:local_command.thing", "demo@staging:local_command.thing"]);
    project.run(["recover"]).done().prints("Nothing to recover.");
    for environment in ["production", "staging", "other"] {
        project.assert_settled("stack.yaml", &["--env", environment]);
    }
}

#[test]
fn verdict_without_an_environment_is_refused_if_ambiguous() {
    let project = project();
    let stack = project.read("stack.yaml").replace("      find: [sh, thing.sh, find]\n", "");
    project.write("stack.yaml", &stack);
    interrupt_in(&project, &["production", "staging"]);
    project.run(["recover"]).with_code(1).prints("2 steps are still in doubt");
    let alone = project.run(["recover", "--absent", "local_command.thing"]).with_code(1);
    alone.prints("`local_command.thing` names no environment").prints("or pass `--env`");
    let of = ["demo@production:local_command.thing", "demo@staging:local_command.thing"];
    project.run(["recover", "--absent", of[0], "--tainted", of[1]]).done();
    assert_eq!(project.run(["state", "list", "--env", "production"]).done().stdout, "");
    let staging = project.run(["state", "list", "--env", "staging"]).done().stdout;
    assert_eq!(staging, "local_command.thing (tainted)\n");
    // An environment named for another step does not count either.
    project.write("thing.sh", "cat > request; touch object; kill -9 $PPID\n");
    project.write("stack.yaml", stack.replace("name: thing", "name: other"));
    for environment in ["production", "staging"] {
        assert_eq!(project.run(["apply", "stack.yaml", "--auto-approve", "--env", environment]).code, -1);
    }
    project.write("terrace.yaml", "environments: {production: , staging: , local: }\n");
    let mixed = ["recover", "--absent", "demo@production:local_command.other", "--absent", "local_command.other"];
    project.run(mixed).with_code(1).prints("no step of `local_command.other` is in doubt");
}

/// A project with an interrupted recovery between two steps, after an apply was killed.
fn with_interrupted_recovery() -> Project {
    let project = Project::with_stack(
        "resources:\n  - type: local_command\n    name: slow\n    config:\n      \
         create: [sh, -c, 'cat > /dev/null; touch started; read line < gate; echo \"{}\" > new; mv new object; cat object']\n      \
         find: [sh, -c, 'cat object 2>/dev/null || echo null']\n      delete: [rm, object]\n",
    );
    project.make_gate("gate");
    let applying = project.start(project.command(["apply", "stack.yaml", "--auto-approve"]));
    until("the command runs", || project.has("started"));
    applying.kill();
    drop(applying);
    let recovering = project.start(project.command(["recover"]));
    recovering.wait_for_stderr("looking again");
    recovering.kill();
    drop(recovering);
    project.open_gate("gate");
    until("the program that outlived both has ended", || project.has("object"));
    project.run(["doctor"]).done().prints("(recover) is gone");
    project
}

#[test]
fn operation_interrupted_between_steps_has_ended_after_recovery() {
    let project = with_interrupted_recovery();
    project.run(["recover"]).done().prints(" (recover) was interrupted between two steps: it is ended now");
    assert!(!project.run(["doctor"]).done().stdout.contains("operations:"));
    project.run(["recover"]).done().prints("Nothing to recover.");
}

#[test]
fn operation_interrupted_between_steps_has_ended_after_an_apply() {
    let project = with_interrupted_recovery();
    project.apply().done();
    assert!(!project.run(["doctor"]).done().stdout.contains("operations:"));
    assert!(!project.run(["operations", "list"]).done().stdout.contains("abandoned"));
}
