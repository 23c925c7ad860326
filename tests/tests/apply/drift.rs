//! Comments on drift, for a scheduled job.

use crate::apply::crash::{apply_killed, project as with_a_program, stack};
use terrace_tests::{Project, snapshot};

const FILES: &str = r#"resources:
  - {type: local_file, name: edited, config: {path: out/edited.txt, content: one}}
  - {type: local_file, name: gone, config: {path: out/gone.txt, content: one}}
"#;

fn drifted() -> Project {
    let project = Project::with_stack(FILES);
    project.apply().done();
    project.write("out/edited.txt", "two @someone");
    std::fs::remove_file(project.path("out/gone.txt")).unwrap();
    project
}

#[test]
fn drift_can_be_printed_as_a_comment() {
    let project = drifted();
    let recorded = project.recorded();
    snapshot!(project.run(["drift", "demo@local", "--format", "markdown", "--ignore", "sha256"]), @r#"
    exit: 2
    --- stdout
    <!-- terrace:drift:demo@local -->
    ### terrace drift: `demo@local`

    Drift: 2 resources differ from the state.
    (1 changed, 1 deleted)

    #### Deleted or recreated: 1

    - `-` `local_file.gone` deleted

    <details><summary>demo@local: 2 resources</summary>

    ```diff
    ! local_file.edited   changed
    !     content = "one" → "two \u0040someone"
    !     size    = 3 → 12
    - local_file.gone   deleted
    ```

    </details>

    The value before the arrow is the recorded one, the value after it is the present one. An apply restores the described values; with `--refresh-only` it records the present values.
    The full list: `terrace drift --ignore=sha256 demo@local`
    "#);
    assert_eq!(project.recorded(), recorded, "looking for drift changed the state");
    project.run(["apply", "stack.yaml", "--auto-approve", "-q"]).done();
    project.run(["drift", "--all", "--format", "markdown"]).done().prints("No drift. The objects match the state.");
}

#[test]
fn comment_on_drift_stays_within_its_limit() {
    let project = Project::with_stack(
        "resources:\n  - type: local_file\n    name: part\n    forEach: ${{ range(200) }}\n    config: {path: 'out/${{ each.value }}.txt', content: one}\n",
    );
    project.apply().done();
    std::fs::remove_dir_all(project.path("out")).unwrap();
    let ran = project.run(["drift", "stack.yaml", "--format=markdown", "--max-chars=4000"]).with_code(2);
    assert!(ran.stdout.chars().count() <= 4_000, "{}", ran.stdout);
    ran.prints("(200 deleted)").prints("more: ");
    project.run(["drift", "stack.yaml", "--max-chars=10"]).with_code(1).prints("4000");
}

#[test]
fn comment_reports_unreadable_objects() {
    let project = drifted();
    std::fs::remove_file(project.path("out/edited.txt")).unwrap();
    std::os::unix::fs::symlink("edited.txt", project.path("out/edited.txt")).unwrap();
    let ran = project.run(["drift", "stack.yaml", "--format=markdown"]).with_code(1);
    ran.prints("**There may be more drift: some objects could not be read.**").prints("- **error**");
}

#[test]
fn only_stack_of_the_state_needs_no_name() {
    let project = drifted();
    let named = project.run(["drift", "stack.yaml"]).with_code(2).stdout;
    assert_eq!(project.run(["drift"]).with_code(2).stdout, named);
    project.write(
        "other.yaml",
        "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: other}\nresources: [{type: local_value, name: a}]\n",
    );
    project.run(["apply", "other.yaml", "--auto-approve"]).done();
    let several = project.run(["drift"]).with_code(1);
    let _ =
        several.prints("the state has several stacks").prints("`demo@local`, `other@local`").prints("or pass `--all`");
    project.run(["drift", "--stack", "other@local"]).with_code(1).prints("`terrace drift other@local`");
    // The same if none of them has rows: without a descriptor, `--stack` is not an option of this command.
    project.run(["destroy", "demo@local", "other@local", "--auto-approve"]).done();
    project.run(["drift"]).with_code(1).prints("name one or more of: `demo@local`, `other@local`");
    project.run(["destroy", "--force", "other.yaml"]).with_code(1).prints("`--auto-approve` removes without asking");
}

#[test]
fn drift_uses_the_width_and_colors_of_the_terminal() {
    let project = drifted();
    let narrow = project.run_with(&[("COLUMNS", "30")], ["drift", "--color", "always"]).with_code(2).stdout;
    assert!(narrow.contains("\u{1b}[33m~\u{1b}[0m "), "{narrow}");
    let narrow = project.run_with(&[("COLUMNS", "30")], ["drift"]).with_code(2).stdout;
    assert!(narrow.lines().all(|line| line.chars().count() <= 30 || !line.trim().contains("  ")), "{narrow}");
    assert!(narrow.contains("state.\n"), "{narrow}");
    assert_ne!(narrow, project.run(["drift"]).with_code(2).stdout);
}

#[test]
fn step_in_doubt_prevents_a_report_without_drift() {
    let project = with_a_program();
    project.apply().done();
    project.write_stack(&stack("two"));
    apply_killed(&project, "after update");
    snapshot!(project.run(["drift", "stack.yaml"]), @"
    exit: 1
    --- stderr
    in_doubt

      × demo@local:local_command.thing is in doubt: operation [uuid] did not record the
      │ outcome of its call
      hint: resolve it with `terrace recover`

    error: whether there is drift is unknown: the outcomes of some steps are in doubt
    ");
    let markdown = project.run(["drift", "stack.yaml", "--format=markdown"]).with_code(1);
    markdown.prints("**There may be drift: the outcomes of some steps are in doubt").prints("`terrace recover`");
    let json = project.run(["drift", "--all", "--json"]).with_code(1).json();
    assert_eq!(json["errored"], true);
    assert_eq!(json["diagnostics"][0]["code"], "in_doubt");
    assert_eq!(json["diagnostics"][0]["address"], "demo@local:local_command.thing");
    project.run(["recover"]).done();
    project.run(["drift"]).done().prints("No drift.");
}

#[test]
fn interrupted_creation_prevents_a_report_without_drift() {
    let (project, apply) = Project::waiting_at_gate(
        "resources:\n  - type: local_command\n    name: slow\n    config:\n      \
         create: [sh, -c, 'touch started; read line < gate; echo \"{}\"']\n",
    );
    apply.kill();
    assert_eq!(apply.finish().code, -1);
    let ran = project.run(["drift"]).with_code(1);
    ran.prints("local_command.slow is in doubt: operation ").prints("`terrace recover`");
    project.open_gate("gate");
}
