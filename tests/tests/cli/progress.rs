//! Terminal output during an apply.

use terrace_tests::{Project, Terminal, until};

/// Four commands. Each waits at its own gate.
const WAITING: &str = r#"resources:
  - type: local_command
    name: one_of_four
    forEach: "${{ range(4) }}"
    config: {create: [sh, -c, 'read line < gate${{ each.key }}; echo "{}"']}
"#;

/// Returns the screen of this width after all commands have ended.
fn left_over(columns: u16) -> String {
    let project = Project::with_stack(WAITING);
    project.run(["plan", "stack.yaml", "--out", "plan"]).done();
    let gates = ["gate0", "gate1", "gate2", "gate3"];
    gates.iter().for_each(|gate| project.make_gate(gate));
    let digest = project.digest_of(&[], "plan").unwrap();
    let mut terminal = Terminal::start(project.command(["apply", "plan", "--plan-digest", &digest]), columns);
    for instance in 0..4 {
        terminal.wait_for(&format!("local_command.one_of_four[{instance}]"));
    }
    terminal.wait_for("0/4 steps");
    gates.iter().for_each(|gate| project.open_gate(gate));
    terminal.finish()
}

#[test]
fn progress_bars_disappear_after_an_apply() {
    for columns in [80, 40] {
        let screen = left_over(columns);
        assert!(screen.contains("[3]: created"), "at {columns} columns:\n{screen}");
        assert!(!screen.contains("creating") && !screen.contains(" steps"), "at {columns} columns:\n{screen}");
        assert!(!screen.contains('⠁'), "at {columns} columns:\n{screen}");
    }
}

#[test]
fn resources_of_a_running_operation_are_reported_at_once() {
    let project = Project::with_stack(
        &WAITING.replace("range(4)", "range(5)").replace("read line", "touch begun${{ each.key }}; read line"),
    );
    let gates: Vec<String> = (0..5).map(|instance| format!("gate{instance}")).collect();
    gates.iter().for_each(|gate| project.make_gate(gate));
    let running = project.start(project.command(["apply", "stack.yaml", "--auto-approve"]));
    until("all are being made", || (0..5).all(|instance| project.has(&format!("begun{instance}"))));
    let plan = project.run(["plan", "stack.yaml"]).done();
    assert_eq!(plan.stderr.matches("operation_running").count(), 1, "{plan}");
    plan.prints("is working on 5 resources of demo@local, such as")
        .prints("one_of_four[0],")
        .prints("one_of_four[2]\n");
    assert!(!plan.stderr.contains("one_of_four[3]"), "{plan}");
    // A program is running for each resource.
    let ran = project.run(["plan", "stack.yaml", "--format", "json"]).done().json();
    let ran = ran["terrace"]["diagnostics"].as_array().unwrap();
    assert_eq!(ran.iter().filter(|it| it["code"] == "operation_running").count(), 5, "{ran:?}");
    gates.iter().for_each(|gate| project.open_gate(gate));
    running.finish().done();
}
