//! A crash between recovery and the plan: the run with nothing else to do still records that step.

use crate::server::requests::{log, product, project, with_selected};
use terrace_tests::served::Served;
use terrace_tests::{Project, Running, until};

/// A product of two things. The creation of `a` was killed, another process creates `b`, and `find` of `a` waits at a
/// gate.
fn one_interrupted_and_one_running() -> (Project, Running) {
    let project = project();
    project.edit(
        "blueprints/thing.yaml",
        "'cat made-$0",
        "'if [ -p find-$0 ]; then touch finding-$0; read line < find-$0; fi; cat made-$0",
    );
    // With outputs there would be something else to do.
    let blueprint = project.read("blueprints/thing.yaml");
    project.write("blueprints/thing.yaml", blueprint.split_once("outputs:").unwrap().0);
    project.write("product.yaml", product(&["a", "b"]));
    for gate in ["gate-a", "gate-b", "find-a"] {
        project.make_gate(gate);
    }
    let first = start_creation(&project, "a");
    kill(&project, "a", first);
    let second = start_creation(&project, "b");
    (project, second)
}

fn start_creation(project: &Project, name: &str) -> Running {
    project.write(&format!("{name}.yaml"), with_selected(name, &["a", "b"]));
    let running = project.start(project.command(["apply", &format!("{name}.yaml"), "--auto-approve"]));
    until("the creation runs", || project.has(&format!("started-{name}")));
    running
}

/// Kills the process; its program continues and creates the thing.
fn kill(project: &Project, name: &str, running: Running) {
    running.kill();
    assert_eq!(running.finish().code, -1);
    project.open_gate(&format!("gate-{name}"));
    until("the thing exists", || project.has(&format!("made-{name}")));
}

/// Kills the process of `b` and lets the recovery continue, which saw that process alive.
fn kill_second(project: &Project, second: Running) {
    until("recovery looks at `a`", || project.has("finding-a"));
    kill(project, "b", second);
    project.open_gate("find-a");
    std::fs::remove_file(project.path("find-a")).unwrap();
}

fn assert_recorded(project: &Project) {
    assert_eq!(log(project), ["a", "b"], "each is made once");
    let listed = project.run(["state", "list"]).done().stdout;
    assert_eq!(listed, "a/local_command.made\nb/local_command.made\n");
    project.run(["plan", "product.yaml", "--detailed-exitcode"]).done();
}

#[test]
fn apply_with_nothing_to_do_records_the_step() {
    let (project, second) = one_interrupted_and_one_running();
    let apply = project.start(project.command(["apply", "product.yaml", "--auto-approve"]));
    kill_second(&project, second);
    apply.finish().done();
    assert_recorded(&project);
}

#[test]
fn server_with_nothing_to_do_records_the_step() {
    let (project, second) = one_interrupted_and_one_running();
    let server = Served::start(&project, &[]);
    let token = server.submit("/v1/provision", &product(&["a", "b"]));
    kill_second(&project, second);
    let status = server.wait_for_end(&token);
    assert_eq!(status["status"], "COMPLETED", "{status}");
    assert_eq!(server.stop().code, 0);
    assert_recorded(&project);
}
