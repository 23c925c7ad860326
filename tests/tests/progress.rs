//! What is seen on a terminal while a plan is applied.

use terrace_tests::{Project, Terminal};

/// Four commands that run until the test says so.
const WAITING: &str = r#"resources:
  - type: local_command
    name: one_of_four
    forEach: "${{ range(4) }}"
    config: {create: [sh, -c, 'until [ -e go ]; do sleep 0.1; done; echo "{}"']}
"#;

/// What is left on a screen of this width, after all that runs has been on it.
fn left_over(columns: u16) -> String {
    let project = Project::with_stack(WAITING);
    project.run(["plan", "stack.yaml", "--out", "plan"]).done();
    let mut terminal = Terminal::start(project.command(["apply", "plan"]), columns);
    for instance in 0..4 {
        terminal.wait_for(&format!("local_command.one_of_four[{instance}]"));
    }
    terminal.wait_for("0/4 steps");
    project.write("go", "");
    terminal.finish()
}

#[test]
fn nothing_is_left_of_bars_when_all_is_applied() {
    for columns in [80, 40] {
        let screen = left_over(columns);
        assert!(screen.contains("[3]: created"), "at {columns} columns:\n{screen}");
        assert!(!screen.contains("creating") && !screen.contains(" steps"), "at {columns} columns:\n{screen}");
        assert!(!screen.contains('⠁'), "at {columns} columns:\n{screen}");
    }
}
