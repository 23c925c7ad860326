//! `state prune` is an operation like any other: failures and interruptions are reported and recorded.

use terrace_tests::{Project, until};

/// Creates a state with an old version, and a database trigger that runs `action` when it is deleted.
fn with_trigger(action: &str) -> Project {
    let stack = |content: &str| {
        format!("resources:\n  - {{type: local_file, name: a, config: {{path: a.txt, content: {content}}}}}\n")
    };
    let project = Project::with_stack(&stack("one"));
    project.apply().done();
    project.write_stack(&stack("two"));
    project.apply().done();
    let endless =
        "CREATE VIEW endless AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n";
    let trigger = format!("{endless}; CREATE TRIGGER pruned BEFORE DELETE ON version BEGIN {action}; END");
    rusqlite::Connection::open(project.path(".terrace/state.db")).unwrap().execute_batch(&trigger).unwrap();
    project
}

const PRUNE: [&str; 5] = ["state", "prune", "--keep", "0s", "--auto-approve"];

/// Returns the line of the newest operation.
fn newest(project: &Project) -> String {
    project.run(["operations", "list"]).done().stdout.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn failed_prune_is_recorded_as_failed() {
    let project = with_trigger("SELECT RAISE(ABORT, 'it is kept')");
    project.run(PRUNE).with_code(1).prints("it is kept");
    let operation = newest(&project);
    assert!(operation.contains("state prune  failed") && operation.contains("it is kept"), "{operation}");
}

#[test]
fn interrupted_prune_does_not_report_that_nothing_was_pruned() {
    let project = with_trigger("SELECT count(*) FROM endless");
    let running = project.start(project.command(PRUNE));
    until("it is being pruned", || newest(&project).contains("state prune  running"));
    running.interrupt();
    running.wait_for_stderr("interrupted");
    running.interrupt();
    let ran = running.finish().with_code(130);
    assert!(!ran.stderr.contains("nothing was changed"), "{ran}");
    ran.prints("waiting for running steps to end and recording them");
}
