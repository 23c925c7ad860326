//! `state upgrade`: a state of an older format is upgraded before any other use.

use rusqlite::Connection;
use terrace_state::contract::cluster::{Cluster, PASSWORD, connect};
use terrace_tests::{Project, Ran, snapshot};
use tokio::runtime::Runtime;

const STACK: &str = "resources:\n  - {type: local_value, name: a, config: {input: 1}}\n";
const FILE: &str = ".terrace/state.db";

/// Removes what the newest format of a state file added.
const OLDER_FILE: &str = "DROP TABLE audit; DROP TABLE audit_head; PRAGMA user_version = 21";
/// Removes what the newest format of a database added.
const OLDER_DATABASE: &str = "DROP TABLE audit; DROP TABLE audit_head; DELETE FROM terrace_schema WHERE version = 15";

fn at<'a>(project: &Project, state: &str, words: impl IntoIterator<Item = &'a str>) -> Ran {
    let ran = project.run_with(&[("TERRACE_STATE", state)], words);
    assert!(!ran.stdout.contains(PASSWORD) && !ran.stderr.contains(PASSWORD), "{ran}");
    ran
}

#[test]
fn file_of_an_older_format_is_upgraded_once() {
    let project = Project::with_stack(STACK);
    project.apply().done();
    Connection::open(project.path(FILE)).unwrap().execute_batch(OLDER_FILE).unwrap();
    project.run(["state", "list"]).with_code(1).prints("has the older format 21").prints("terrace state upgrade");
    snapshot!(project.run(["state", "upgrade"]), @"
    exit: 0
    --- stdout
    sqlite:[folder]/.terrace/state.db had format 21: it has format 22 now
    ");
    snapshot!(project.run(["state", "upgrade"]), @"
    exit: 0
    --- stdout
    sqlite:[folder]/.terrace/state.db has format 22: there is nothing to upgrade
    ");
    project.run(["state", "list"]).done().prints("local_value.a");
    project.assert_settled("stack.yaml", &[]);
}

#[test]
fn database_of_an_older_format_is_upgraded_and_an_empty_one_is_initialised() {
    let project = Project::with_stack(STACK);
    let runtime = Runtime::new().unwrap();
    let url = runtime.block_on(Cluster::shared().database());
    at(&project, &url, ["state", "upgrade"]).done().prints(" was empty: it has format 15 now");
    at(&project, &url, ["apply", "stack.yaml", "--auto-approve"]).done();
    runtime.block_on(async { connect(&url).await.batch_execute(OLDER_DATABASE).await.unwrap() });
    // Parallel upgrades run once.
    let upgrades = [(); 3].map(|()| {
        let mut command = project.command(["state", "upgrade"]);
        command.env("TERRACE_STATE", &url);
        project.start(command)
    });
    let output = upgrades.map(|running| running.finish().done().stdout);
    assert!(output.iter().any(|output| output.contains("had format 14: it has format 15 now")), "{output:?}");
    at(&project, &url, ["state", "upgrade"]).done().prints(" has format 15: there is nothing to upgrade");
    at(&project, &url, ["plan", "stack.yaml", "--detailed-exitcode"]).done().prints("No changes.");
}

#[test]
fn newer_format_is_left_alone() {
    let project = Project::with_stack(STACK);
    project.apply().done();
    Connection::open(project.path(FILE)).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    snapshot!(project.run(["state", "upgrade"]), @"
    exit: 1
    --- stderr
    error: the state at sqlite:[folder]/.terrace/state.db has format 99; this terrace reads up to format 22

    hint: use a newer terrace
    ");
}
