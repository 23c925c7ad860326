//! Checks from the command line: output and exit codes.

use terrace_tests::{Project, snapshot};

fn project(check: &str) -> Project {
    Project::with_stack(&format!(
        "variables: {{size: {{type: int, default: 2}}}}\nlocals: {{text: '${{{{ \"size \" + string(vars.size) }}}}'}}\nresources:\n\
         \x20 - type: local_file\n    name: note\n    config: {{path: note.txt, content: '${{{{ locals.text }}}}'}}\n    checks:\n      - {check}\n\
         \x20 - {{type: local_value, name: reader, config: {{input: '${{{{ resources.note.sha256 }}}}'}}}}\n"
    ))
}

#[test]
fn failed_check_refuses_the_plan_that_is_shown() {
    let project = project("{when: pre, assert: '${{ vars.size < 2 }}', error: size must stay under 2}");
    snapshot!(project.run(["plan", "stack.yaml"]), @r#"
    exit: 1
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

      + local_file.note
          + path        = "note.txt"
          + content     = "size 2"
          + mode        = "0644"
          + sensitive   = false
          + makeParents = true
          + sha256      = "73442dfe16a19e9d4388a601d7b30d96ef8b77756d42888665340647e2fea56d"
          + size        = 6
          + id          = "note.txt"
      + local_value.reader
          + input  = "73442dfe16a19e9d4388a601d7b30d96ef8b77756d42888665340647e2fea56d"
          + id     = (known after apply)
          + output = (known after apply)

    Plan: 2 to add, 0 to change, 0 to destroy.
    This plan has errors and cannot be applied.
    --- stderr
    check_failed

      × demo@local:local_file.note: size must stay under 2
        ╭─[stack.yaml:11:29]
     11 │       - {when: pre, assert: '${{ vars.size < 2 }}', error: size must stay under 2}
        ·                             ──────────────────────
        ╰────
    "#);
    let json = project.run(["plan", "stack.yaml", "--format", "json"]).with_code(1).json();
    assert_eq!((json["errored"].as_bool(), json["applyable"].as_bool()), (Some(true), Some(false)));
    assert_eq!(json["checks"][0]["status"], "fail");
    project.apply().with_code(1);
    assert!(!project.has("note.txt") && !project.has(".terrace/state.db"));
    project.run(["apply", "stack.yaml", "--auto-approve", "--var", "size=1"]).done();
    assert_eq!(project.read("note.txt"), "size 1");
}

#[test]
fn failed_deferred_check_fails_its_step_and_blocks_dependents() {
    let project = Project::with_stack(
        "resources:\n  - {type: local_value, name: seed, config: {input: 1}}\n  \
         - {type: local_file, name: note, config: {path: note.txt, content: text}, \
         checks: [{when: post, assert: '${{ resources.seed.id == \"none\" && self.size > 0 }}', error: another seed}]}\n  \
         - {type: local_value, name: reader, dependsOn: [note], config: {input: 1}}\n",
    );
    project.run(["plan", "stack.yaml", "--out", "plan"]).done();
    snapshot!(project.run(["apply", "plan"]), @"
    exit: 3
    --- stdout

    Applied with failures. Resources: 2 added, 0 changed, 0 destroyed. (2 done, 1 failed, 1 not tried)
    --- stderr
    local_value.seed: created after [duration]
    local_file.note: creating...
    local_file.note: created, but a check failed: another seed

    error: demo@local:local_file.note: another seed
      the check is at stack.yaml:6:107
      declared at stack.yaml:6:30

    not done:
      demo@local:local_value.reader: waits for local_file.note
    ");
    assert_eq!(project.run(["state", "list"]).done().stdout, "local_file.note\nlocal_value.seed\n");
    project.run(["plan", "stack.yaml"]).with_code(1).prints("local_file.note: another seed");
}

#[test]
fn failed_stack_check_is_a_warning() {
    let text = "resources:\n  - {type: local_file, name: note, config: {path: note.txt, content: text}}\n\
                checks:\n  - {assert: '${{ resources.note.path == \"other.txt\" }}', error: another path}\n  \
                - {assert: '${{ resources.note.sha256 == \"none\" }}', error: another digest}\n";
    let project = Project::with_stack(text);
    snapshot!(project.run(["plan", "stack.yaml", "--detailed-exitcode"]), @r#"
    exit: 2
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

      + local_file.note
          + path        = "note.txt"
          + content     = "text"
          + mode        = "0644"
          + sensitive   = false
          + makeParents = true
          + sha256      = "982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1"
          + size        = 4
          + id          = "note.txt"

    Plan: 1 to add, 0 to change, 0 to destroy.
    --- stderr
    check_failed

      ⚠ demo@local: another path
       ╭─[stack.yaml:7:14]
     7 │   - {assert: '${{ resources.note.path == "other.txt" }}', error: another path}
       ·              ───────────────────────────────────────────
       ╰────

    check_failed

      ⚠ demo@local: another digest
       ╭─[stack.yaml:8:14]
     8 │   - {assert: '${{ resources.note.sha256 == "none" }}', error: another digest}
       ·              ────────────────────────────────────────
       ╰────
    "#);
    snapshot!(project.apply_saved(), @"
    exit: 0
    --- stdout

    Apply complete! Resources: 1 added, 0 changed, 0 destroyed.
    ");
    project.run(["plan", "stack.yaml"]).done().prints("No changes.").prints("another digest");
    // A value that is known only after apply is checked then.
    let text = "resources:\n  - {type: local_value, name: seed, config: {input: 1}}\n\
                checks:\n  - {assert: '${{ resources.seed.id == \"none\" }}', error: another seed}\n";
    let project = Project::with_stack(text);
    let applied = project.run(["apply", "stack.yaml", "--auto-approve"]).done();
    applied.prints("warning: demo@local: another seed (stack.yaml:7:14)").prints("Apply complete! Resources: 1 added");
    let lines = Project::with_stack(text).run(["apply", "stack.yaml", "--auto-approve", "--format", "json"]).done();
    lines.prints("\"severity\":\"warning\",\"summary\":\"demo@local: another seed\"");
}

#[test]
fn error_of_a_check_or_validation_has_no_expressions() {
    let error = "error: 'it is ${{ vars.size }}'";
    for stack in [
        format!("variables: {{size: {{default: 1, validation: [{{assert: '${{{{ vars.size > 1 }}}}', {error}}}]}}}}\n"),
        format!("variables: {{size: {{default: 1}}}}\nchecks: [{{assert: '${{{{ vars.size > 1 }}}}', {error}}}]\n"),
        format!(
            "variables: {{size: {{default: 1}}}}\nresources:\n  - {{type: local_value, name: a, checks: [{{when: pre, \
             assert: '${{{{ vars.size > 1 }}}}', {error}}}]}}\n"
        ),
    ] {
        let ran = Project::with_stack(&stack).run(["plan", "stack.yaml"]).with_code(1);
        ran.prints("`error` is plain text and cannot contain an expression");
        ran.prints("write a plain message; only `assert` is evaluated");
    }
}

/// Comparing each pair of names exceeded the limit of a computation.
#[test]
fn names_of_1500_columns_are_compared_within_the_limits() {
    let project = Project::new();
    let product = |columns: &[String]| {
        let columns: Vec<_> = columns.iter().map(|name| format!("{{name: {name}, dataType: NUMBER}}")).collect();
        format!(
            "kind: dataproduct\nid: urn:dmb:dp:sales:shop:0\nname: Shop\ndomain: sales\nversion: 0.1.0\ncomponents:\n\
             \x20 - {{id: 'urn:dmb:cmp:sales:shop:0:area', name: area, kind: storage, \
             useCaseTemplateId: 'urn:dmb:utm:snowflake-storage-template', specific: {{database: S, schema: A, \
             tables: [{{tableName: WIDE, schema: [{}]}}]}}}}\n",
            columns.join(", ")
        )
    };
    for (count, added, code) in [(1500, "D", 0), (1500, "c7", 1)] {
        let mut columns: Vec<String> = (0..count).map(|number| format!("C{number}")).collect();
        columns.push(added.to_owned());
        project.write("product.yaml", product(&columns));
        let ran = project.run(["validate", "product.yaml", "--env", "local"]).with_code(code);
        assert_eq!(ran.stderr.contains("two columns of a table have the same name"), code == 1, "{}", ran.stderr);
        assert_eq!(ran.stderr.contains("rename one of: C7, c7\n"), code == 1, "{}", ran.stderr);
    }
}
