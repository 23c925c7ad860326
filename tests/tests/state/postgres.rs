//! State in PostgreSQL: the same commands on a server that the tests start, and no password in any output.

use terrace_state::contract::cluster::{Cluster, PASSWORD};
use terrace_tests::{Project, Ran};

const STACK: &str = "resources:\n  - {type: local_file, name: a, config: {path: a.txt, content: one}}\n  \
                     - {type: local_value, name: b, config: {input: '${{ resources.a.path }}'}}\n";

/// Returns the URL of a new database.
fn database() -> String {
    tokio::runtime::Runtime::new().unwrap().block_on(Cluster::shared().database())
}

fn run<'a>(project: &Project, url: &str, arguments: impl IntoIterator<Item = &'a str>) -> Ran {
    let ran = project.run_with(&[("TERRACE_STATE", url)], arguments);
    assert!(!ran.stdout.contains(PASSWORD) && !ran.stderr.contains(PASSWORD), "{ran}");
    ran
}

#[test]
fn applied_resources_are_recorded_on_the_server_and_the_second_plan_is_empty() {
    let (project, url) = (Project::with_stack(STACK), database());
    let run = |arguments: &[&str]| run(&project, &url, arguments.iter().copied());
    let before = run(&["plan", "stack.yaml", "--detailed-exitcode"]);
    assert_eq!(before.code, 2, "{before}");
    run(&["doctor"]).done().prints("it does not exist yet, the first apply creates it");
    run(&["apply", "stack.yaml", "--auto-approve"]).done();
    run(&["plan", "stack.yaml", "--detailed-exitcode"]).done().prints("No changes.");
    run(&["state", "list"]).done().prints("local_file.a").prints("local_value.b");
    run(&["operations", "list"]).done().prints("apply");
    run(&["doctor"]).done().prints("format 15, stacks: 1");
    assert!(!project.has(".terrace/state.db"), "there is a state beside the server's");
    // Another folder with the same state sees these records.
    let elsewhere = Project::new();
    self::run(&elsewhere, &url, ["state", "show", "local_value.b"]).done().prints("a.txt");
    run(&["destroy", "stack.yaml", "--auto-approve"]).done();
    assert!(!project.has("a.txt"));
    run(&["stacks", "list", "--json"]).done();
}

#[test]
fn three_projects_apply_to_one_server_at_once() {
    let url = database();
    let projects = ["one", "two", "three"].map(|name| {
        let project = Project::new();
        project.write_named_stack(name, STACK);
        let mut command = project.command(["apply", &format!("{name}.yaml"), "--auto-approve"]);
        command.env("TERRACE_STATE", &url);
        let running = project.start(command);
        (name, project, running)
    });
    for (name, project, running) in projects {
        running.finish().done();
        run(&project, &url, ["plan", &format!("{name}.yaml")]).done().prints("No changes.");
    }
    run(&Project::new(), &url, ["stacks", "list"]).done().prints("one").prints("two").prints("three");
}

#[test]
fn unreachable_server_is_named_without_its_password() {
    let project = Project::with_stack(STACK);
    let url = format!("postgres://jane:{PASSWORD}@127.0.0.1:1/terrace");
    for arguments in [&["plan", "stack.yaml"][..], &["apply", "stack.yaml", "--auto-approve"], &["state", "list"]] {
        let ran = run(&project, &url, arguments.iter().copied()).with_code(1);
        ran.prints("state cannot be opened: postgres://jane@127.0.0.1:1/terrace cannot be reached");
    }
    run(&project, &url, ["doctor"]).with_code(1).prints("check that the server runs and accepts this user");
    assert!(!project.has("a.txt"));
}
