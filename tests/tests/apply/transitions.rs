//! Transitions that a descriptor declares for recorded objects: `moved`, `forget`, `imports`.

use terrace_tests::{Project, snapshot};

const ONE: &str = "resources:\n  - {type: local_file, name: a, config: {path: out/a, content: one}}\n";

#[test]
fn renamed_resource_keeps_its_object_through_a_saved_plan() {
    let project = Project::with_stack(ONE);
    project.apply().done();
    project.write_stack(&(ONE.replace("name: a", "name: b") + "moved: [{from: local_file.a, to: local_file.b}]\n"));
    snapshot!(project.run(["plan", "stack.yaml", "--out", "plan.json"]), @"
    exit: 0
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

      > local_file.b   moved from local_file.a

    Plan: 0 to add, 0 to change, 0 to destroy.
    (1 moved)
    --- stderr
    saved the plan: `terrace apply plan.json --plan-digest [digest]` applies exactly this plan
    Plan digest `[digest]`, for `terrace apply --plan-digest`
    ");
    let json = project.run(["show", "plan.json", "--json"]).done().json();
    assert_eq!(json["resource_changes"][0]["previous_address"], "local_file.a");
    snapshot!(project.run(["apply", "plan.json"]), @"
    exit: 0
    --- stdout

    Apply complete! Resources: 0 added, 0 changed, 0 destroyed.
    ");
    assert_eq!(project.read("out/a"), "one");
    project.assert_settled("stack.yaml", &[]);
    snapshot!(project.run(["state", "history", "local_file.b"]), @"
    exit: 0
    --- stdout
    1  [time]  ready  [uuid]
    ");
}

#[test]
fn command_moves_with_its_object() {
    let made = "resources:\n  - type: local_command\n    name: a\n    config:\n      create: [sh, -c, 'echo made >> log; echo \
                {}']\n      delete: [sh, -c, 'echo deleted >> log']\n";
    let project = Project::with_stack(made);
    project.apply().done();
    project
        .write_stack(&(made.replace("name: a", "name: b") + "moved: [{from: local_command.a, to: local_command.b}]\n"));
    project.apply().done();
    project.assert_settled("stack.yaml", &[]);
    project.run(["destroy", "demo@local", "--auto-approve"]).done();
    assert_eq!(project.read("log"), "made\ndeleted\n");
}

#[test]
fn forgotten_resource_keeps_its_object() {
    let project = Project::with_stack(ONE);
    project.apply().done();
    project.write_stack("forget: [local_file.a]\n");
    snapshot!(project.run(["apply", "stack.yaml", "--auto-approve"]), @"
    exit: 0
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

      . local_file.a   dropped from state: is to be forgotten

    Plan: 0 to add, 0 to change, 0 to destroy.
    (1 forgotten)

    Apply complete! Resources: 0 added, 0 changed, 0 destroyed.
    --- stderr
    local_file.a: forgotten after [duration]
    ");
    assert_eq!(project.read("out/a"), "one");
    assert_eq!(project.run(["state", "list"]).done().stdout, "");
    snapshot!(project.run(["plan", "stack.yaml"]), @"
    exit: 0
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

    No changes. Your infrastructure matches the configuration.
    ");
}

#[test]
fn existing_file_is_imported_with_its_differences() {
    let project = Project::with_stack(&(ONE.to_owned() + "imports: [{to: local_file.a, id: out/a}]\n"));
    snapshot!(project.run(["plan", "stack.yaml"]), @"
    exit: 1
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

    Planning failed with errors; the resources that could be planned have no changes.
    --- stderr
    import_nothing

      × demo@local:local_file.a: there is no `local_file` with the id `out/a`
       ╭─[stack.yaml:6:34]
     6 │ imports: [{to: local_file.a, id: out/a}]
       ·                                  ─────
       ╰────
      hint: check the id; to create the object, remove the import
    ");
    project.write("out/a", "zero");
    snapshot!(project.run(["apply", "stack.yaml", "--auto-approve"]), @r#"
    exit: 0
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

      = local_file.a   imported from out/a, content, sha256, size changed
          ~ content = "zero" → "one"
          ~ sha256  = "f9194e73f9e9459e3450ea10a179cdf77aafa695beecd3…" → "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7…"
          ~ size    = 4 → 3
          (5 unchanged attributes hidden)

    Plan: 1 to import, 0 to add, 1 to change, 0 to destroy.
    (1 imported)

    Apply complete! Resources: 1 imported, 0 added, 1 changed, 0 destroyed.
    --- stderr
    local_file.a: importing...
    local_file.a: imported after [duration]
    "#);
    assert_eq!(project.read("out/a"), "one");
    project.assert_settled("stack.yaml", &[]);
}

#[test]
fn state_only_resource_cannot_be_imported() {
    let project = Project::with_stack(
        "resources:\n  - {type: local_value, name: a, config: {input: 1}}\nimports: [{to: local_value.a, id: x}]\n",
    );
    snapshot!(project.run(["plan", "stack.yaml"]), @"
    exit: 1
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

    Planning failed with errors; the resources that could be planned have no changes.
    --- stderr
    cannot_import

      × demo@local:local_value.a: `x` cannot be looked up: a `local_value` cannot be imported: it exists in state only
       ╭─[stack.yaml:6:35]
     6 │ imports: [{to: local_value.a, id: x}]
       ·                                   ─
       ╰────
      hint: declare it and apply; there is nothing to import outside the state
    ");
}

#[test]
fn blueprint_that_renames_a_resource_keeps_objects_in_every_component() {
    let blueprint = |name: &str, version: &str, moved: &str| {
        format!(
            "apiVersion: terrace.dev/v1\nkind: Blueprint\nmetadata: {{name: box, version: {version}}}\nmatch: {{kind: workload, \
             technology: boxes}}\nspecific: {{type: object}}\nresources:\n  - type: local_command\n    name: {name}\n    config:\n      \
             create: [sh, -c, 'cat > /dev/null; echo \"create ${{{{ component.key }}}}\" >> calls; echo \"{{}}\"']\n      \
             delete: [sh, -c, 'cat > /dev/null; echo \"delete ${{{{ component.key }}}}\" >> calls']\n  - type: local_file\n    \
             name: page\n    forEach: '${{{{ [\"x\"] }}}}'\n    config: {{path: 'out/${{{{ component.key }}}}', content: \
             '${{{{ string(resources.{name}.id != \"\") }}}}'}}\n{moved}"
        )
    };
    let project = Project::with_stack(
        "components:\n  one: {blueprint: box, specific: {}}\n  two: {blueprint: box, specific: {}}\n",
    );
    project.write("blueprints/box.yaml", blueprint("old", "1.0.0", ""));
    project.apply().done();
    let calls = project.read("calls");
    assert_eq!(calls.lines().count(), 2, "{calls}");
    project.write(
        "blueprints/box.yaml",
        blueprint("new", "1.1.0", "moved: [{from: local_command.old, to: local_command.new}]\n"),
    );
    project.run(["plan", "stack.yaml", "--out", "plan.json"]).done().prints("(2 moved in 2 of 2 components)");
    project.run(["apply", "plan.json"]).done().prints("0 added, 0 changed, 0 destroyed");
    assert_eq!(project.read("calls"), calls, "nothing is called");
    let listed = project.run(["state", "list"]).done().stdout;
    assert_eq!(listed.lines().filter(|line| line.ends_with("local_command.new")).count(), 2, "{listed}");
    assert!(!listed.contains("local_command.old"), "{listed}");
    project.assert_settled("stack.yaml", &[]);
    // Without the `moved` line the object is replaced.
    project.write("blueprints/box.yaml", blueprint("newer", "1.2.0", ""));
    project.apply().done();
    assert_eq!(project.read("calls").lines().count(), 6);
}

#[test]
fn component_moved_as_a_whole_counts_once() {
    let api = "components:\n  api: {resources: [{type: local_value, name: a}]}\n  web: {resources: [{type: local_value, name: b}]}\n";
    let project = Project::with_stack(api);
    project.apply().done();
    project.write_stack(&format!("{}moved: [{{from: 'api/', to: 'api2/'}}]\n", api.replace("api:", "api2:")));
    project.run(["plan", "stack.yaml"]).done().prints("(1 moved in 1 of 2 components)");
}
