//! Somebody else is cut off after recovery looked at what was open, and before the plan does: that step is recorded, too, by
//! whoever has nothing else to do.

use crate::server::{log, meaning, product, project};
use terrace_tests::served::Served;
use terrace_tests::{Project, Running, until};

/// A product of two things. Somebody was killed while making `a`, somebody else makes `b`; `find` of `a` stands at a gate.
fn one_cut_off_and_one_at_work() -> (Project, Running) {
    let project = project();
    project.edit(
        "blueprints/thing.yaml",
        "'cat made-$0",
        "'if [ -p find-$0 ]; then touch finding-$0; read line < find-$0; fi; cat made-$0",
    );
    // Where it has outputs, there is something else to do.
    let blueprint = project.read("blueprints/thing.yaml");
    project.write("blueprints/thing.yaml", blueprint.split_once("outputs:").unwrap().0);
    project.write("product.yaml", product(&["a", "b"]));
    for gate in ["gate-a", "gate-b", "find-a"] {
        project.make_gate(gate);
    }
    let first = making(&project, "a");
    cut_off(&project, "a", first);
    let second = making(&project, "b");
    (project, second)
}

fn making(project: &Project, name: &str) -> Running {
    project.write(&format!("{name}.yaml"), meaning(name, &["a", "b"]));
    let running = project.start(project.command(["apply", &format!("{name}.yaml"), "--auto-approve"]));
    until("it is being made", || project.has(&format!("started-{name}")));
    running
}

/// The program outlives whoever is killed, and makes the thing.
fn cut_off(project: &Project, name: &str, running: Running) {
    running.kill();
    assert_eq!(running.finish().code, -1);
    project.open_gate(&format!("gate-{name}"));
    until("it is made", || project.has(&format!("made-{name}")));
}

/// Lets recovery go on, which had seen that somebody was at work on `b`.
fn cut_off_in_between(project: &Project, second: Running) {
    until("recovery looks at `a`", || project.has("finding-a"));
    cut_off(project, "b", second);
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
fn an_apply_that_finds_nothing_to_do_records_it() {
    let (project, second) = one_cut_off_and_one_at_work();
    let apply = project.start(project.command(["apply", "product.yaml", "--auto-approve"]));
    cut_off_in_between(&project, second);
    apply.finish().done();
    assert_recorded(&project);
}

#[test]
fn a_server_that_finds_nothing_to_do_records_it() {
    let (project, second) = one_cut_off_and_one_at_work();
    let server = Served::start(&project, &[]);
    let token = server.ask("/v1/provision", &product(&["a", "b"]));
    cut_off_in_between(&project, second);
    let status = server.ended(&token);
    assert_eq!(status["status"], "COMPLETED", "{status}");
    assert_eq!(server.stop().code, 0);
    assert_recorded(&project);
}
