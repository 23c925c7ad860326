//! Manual state changes: mv, rm, export, import.

use terrace_tests::{Project, snapshot, until};

fn applied() -> Project {
    let project =
        Project::with_stack("resources:\n  - {type: local_file, name: a, config: {path: out/a, content: one}}\n");
    project.apply().done();
    project
}

#[test]
fn resource_moves_to_another_address_and_keeps_its_object() {
    let project = applied();
    snapshot!(project.run(["state", "mv", "local_file.a", "local_file.b"]), @"
    exit: 0
    --- stdout
    local_file.a is local_file.b now
    ");
    project.edit("stack.yaml", "name: a", "name: b");
    project.assert_settled("stack.yaml", &[]);
    assert_eq!(project.read("out/a"), "one");
    project.run(["operations", "list"]).done().prints("state mv");
}

#[test]
fn both_addresses_accept_their_stack() {
    let project = applied();
    project.run(["state", "mv", "demo@local:local_file.a", "demo@local:local_file.b"]).done();
    assert_eq!(project.run(["state", "list"]).done().stdout, "local_file.b\n");
    snapshot!(project.run(["state", "mv", "local_file.b", "other@local:local_file.c"]), @"
    exit: 1
    --- stderr
    error: a resource of demo@local cannot be moved into other@local

    hint: keep it in its stack, or write the new address without a stack
    ");
}

#[test]
fn name_invalid_in_a_descriptor_is_refused() {
    let project = applied();
    snapshot!(project.run(["state", "mv", "local_file.a", "local_file.bad name"]), @"
    exit: 1
    --- stderr
    error: `bad name` cannot be the name of a resource

    hint: use letters (a-z, A-Z), digits, `_` and `-`, and begin with a letter or `_`
    ");
    assert_eq!(project.run(["state", "list"]).done().stdout, "local_file.a\n");
}

#[test]
fn address_of_all_instances_is_not_a_resource() {
    let project = applied();
    let recorded = project.recorded();
    snapshot!(project.run(["state", "mv", "local_file.a", "local_file.b[*]"]), @r#"
    exit: 1
    --- stderr
    error: `local_file.b[*]` stands for all instances of `local_file.b`: no resource can have that address

    hint: leave `[*]` out, or name one instance: `local_file.b["KEY"]`
    "#);
    project.run(["state", "mv", "local_file.a[*]", "local_file.b"]).with_code(1);
    project.write("out/b", "two");
    snapshot!(project.run(["import", "local_file.b[*]", "out/b"]), @r#"
    exit: 1
    --- stderr
    error: `local_file.b[*]` stands for all instances of `local_file.b`: no resource can have that address

    hint: leave `[*]` out, or name one instance: `local_file.b["KEY"]`
    "#);
    project.run(["import", "--generate", "local_file.b[*]", "out/b"]).with_code(1);
    assert_eq!(project.recorded(), recorded);
    project.run(["state", "export", "--out", "state.json"]).done();
    project.edit("state.json", "\"local_file.a\"", "\"local_file.a[*]\"");
    let elsewhere = project.run(["--state", "sqlite:other.db", "state", "import", "state.json"]);
    elsewhere.with_code(1).prints("`local_file.a[*]` stands for all instances");
}

#[test]
fn missing_resource_or_taken_address_is_refused() {
    let project = applied();
    let recorded = project.recorded();
    snapshot!(project.run(["state", "mv", "local_file.x", "local_file.y"]), @"
    exit: 1
    --- stderr
    error: demo@local has no resource `local_file.x`

    hint: `terrace state list` lists its resources, `terrace state list --all` those of all stacks
    ");
    snapshot!(project.run(["state", "mv", "local_file.a", "local_value.a"]), @"
    exit: 1
    --- stderr
    error: a `local_file` cannot become a `local_value`

    hint: keep the type in the new address
    ");
    snapshot!(project.run(["state", "rm", "local_file.x"]), @"
    exit: 1
    --- stderr
    error: demo@local has no resource `local_file.x`

    hint: `terrace state list` lists its resources, `terrace state list --all` those of all stacks
    ");
    assert_eq!(project.recorded(), recorded);
    project.write_stack(
        "resources:\n  - {type: local_file, name: a, config: {path: out/a, content: one}}\n  - \
         {type: local_file, name: b, config: {path: out/b, content: two}}\n",
    );
    project.apply().done();
    let listed = project.run(["state", "list"]).done().stdout;
    let ran = project.run(["state", "mv", "local_file.a", "local_file.b"]);
    ran.with_code(1)
        .prints("demo@local:local_file.b exists already")
        .prints("hint: write a free address; `terrace state list` lists those in use");
    assert_eq!(project.run(["state", "list"]).done().stdout, listed);
}

#[test]
fn removed_resource_keeps_its_object() {
    let project = applied();
    snapshot!(project.run(["state", "rm", "local_file.a"]), @"
    exit: 0
    --- stdout
    dropped demo@local:local_file.a
    --- stderr
    the objects themselves still exist
    ");
    assert_eq!(project.run(["state", "list"]).done().stdout, "");
    assert_eq!(project.read("out/a"), "one");
}

#[test]
fn dependents_of_a_removed_resource_inherit_its_dependencies() {
    let project = Project::with_stack(
        "resources:\n  - {type: local_file, name: a, config: {path: out/a, content: one}}\n  - {type: local_file, name: \
         b, dependsOn: [a], config: {path: out/b, content: one}}\n  - {type: local_file, name: c, dependsOn: [b], \
         config: {path: out/c, content: one}}\n",
    );
    project.apply().done();
    let recorded = |what: &str| -> serde_json::Value {
        let shown = project.run(["state", "show", "local_file.c", "--json"]).done().stdout;
        serde_json::from_str::<serde_json::Value>(&shown).unwrap()[what].clone()
    };
    let generation = recorded("generation");
    assert_eq!(recorded("dependencies"), serde_json::json!(["local_file.b"]));
    project.run(["state", "rm", "local_file.b"]).done();
    assert_eq!(recorded("dependencies"), serde_json::json!(["local_file.a"]));
    assert_eq!(recorded("generation"), generation);
    project.run(["state", "rm", "local_file.a"]).done();
    assert_eq!(recorded("dependencies"), serde_json::json!([]));
}

#[test]
fn state_is_exported_and_imported_elsewhere() {
    let project = applied();
    project.run(["state", "export", "--history", "--out", "state.json"]).done();
    serde_json::from_str::<serde_json::Value>(&project.read("state.json")).unwrap();
    // An import of rows that exist imports nothing.
    let recorded = project.recorded();
    snapshot!(project.run(["state", "import", "state.json"]), @"
    exit: 4
    --- stderr
    error: already in the state, so nothing was imported: demo@local:local_file.a

    hint: import into an empty state (`--state sqlite:NEW.db`), or drop the present rows first: `terrace state rm demo@local:local_file.a`
    ");
    assert_eq!(project.recorded(), recorded);

    let other = ["--state", "sqlite:other.db"];
    let run = |words: &[&str]| project.run(other.into_iter().chain(words.iter().copied()));
    run(&["state", "import", "state.json"]).done().prints("1 resource imported");
    assert_eq!(run(&["state", "list"]).done().stdout, "local_file.a\n");
    run(&["plan", "stack.yaml", "--detailed-exitcode"]).done();
}

/// Returns a stack with a value and an output of one name, and `more`.
fn value(name: &str, more: &str) -> String {
    format!(
        "resources:\n  - {{type: local_value, name: {name}, config: {{input: 1}}}}\noutputs:\n  o{name}: \
         ${{{{ resources.{name}.input }}}}\n{more}"
    )
}

#[test]
fn import_keeps_recorded_outputs() {
    let project = Project::with_stack(&value("a", ""));
    project.run(["--state", "sqlite:other.db", "apply", "stack.yaml", "--auto-approve", "-q"]).done();
    project.run(["--state", "sqlite:other.db", "state", "export", "--out", "state.json"]).done();
    project.write_stack(&value("b", ""));
    project.apply().done();
    project.run(["state", "import", "state.json"]).done().prints("1 resource imported");
    assert_eq!(project.run(["output"]).done().stdout, "oa = 1\nob = 1\n");
    assert_eq!(project.run(["state", "list"]).done().stdout, "local_value.a\nlocal_value.b\n");
}

#[test]
fn import_is_refused_if_a_recorded_output_differs() {
    let project = Project::with_stack(&value("a", "  both: 1\n"));
    project.run(["--state", "sqlite:other.db", "apply", "stack.yaml", "--auto-approve", "-q"]).done();
    project.run(["--state", "sqlite:other.db", "state", "export", "--out", "state.json"]).done();
    project.write_stack(&value("b", "  both: 2\n"));
    project.apply().done();
    let recorded = project.recorded();
    snapshot!(project.run(["state", "import", "state.json"]), @"
    exit: 4
    --- stderr
    error: different in the state, so nothing was imported: the output `both` of demo@local

    hint: import into an empty state: `--state sqlite:NEW.db`
    ");
    assert_eq!(project.recorded(), recorded);
}

const SEALED: &str = r#"variables: {number: {type: int}}
resources:
  - type: local_command
    name: slow
    config:
      create: [sh, -c, 'cat > /dev/null; echo "{\"n\": $N}"']
      update: [sh, -c, 'cat > /dev/null; touch started; read line < gate; echo "{\"n\": $N}"']
      environment: {N: "${{ string(vars.number) }}"}
outputs:
  n: {value: "${{ resources.slow.output.n }}", sensitive: true}
"#;

#[test]
fn import_of_a_running_apply_is_sealed_again() {
    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let project = Project::with_stack(SEALED);
    project.write("terrace.yaml", "encryption: {keyFile: state.key}\n");
    project.write("state.key", KEY);
    project.make_gate("gate");
    project.run(["apply", "stack.yaml", "--auto-approve", "-q", "--var", "number=2"]).done();
    let words = ["apply", "stack.yaml", "--auto-approve", "-q", "--var", "number=11"];
    let apply = project.start(project.command(words));
    until("the program waits at its gate", || project.has("started"));
    let mut rekey = project.start(project.command(["state", "rekey"]));
    until("the leases are waited for", || rekey.stderr().contains("are held by") || rekey.has_ended());
    project.open_gate("gate");
    apply.finish().done();
    rekey.finish().done().prints("sealed with the present key");
    assert_eq!(project.run(["output", "n", "--reveal"]).done().stdout, "11\n");
}

#[test]
fn invalid_export_is_not_imported() {
    let project = applied();
    project.write("state.json", "{\"format\": 1");
    snapshot!(project.run(["state", "import", "state.json"]), @"
    exit: 1
    --- stderr
    error: `state.json`: this is not an exported state: it ends too early, at line 1, column 12

    hint: name a file that `terrace state export --out FILE` wrote
    ");
    project.write("state.json", "{}");
    snapshot!(project.run(["state", "import", "state.json"]), @"
    exit: 1
    --- stderr
    error: `state.json`: this is not an exported state: at line 1, column 2: missing field `formatVersion`

    hint: name a file that `terrace state export --out FILE` wrote
    ");
    snapshot!(project.run(["state", "import", "missing.json"]), @"
    exit: 1
    --- stderr
    error: `missing.json`: it does not exist

    hint: name a file that `terrace state export --out FILE` wrote
    ");
}

#[test]
fn history_shows_removed_and_moved_resources() {
    let project = Project::with_stack(
        "resources:\n  - {type: local_file, name: a, config: {path: out/a, content: one}}\n  \
         - {type: local_file, name: b, config: {path: out/b, content: one}}\n  \
         - {type: local_file, name: c, config: {path: out/c, content: one}}\n",
    );
    project.apply().done();
    project.run(["state", "rm", "local_file.a"]).done();
    project.run(["state", "mv", "local_file.b", "local_file.d"]).done();
    project.run(["destroy", "demo@local", "--target", "local_file.c", "--auto-approve"]).done();
    let newest = |address: &str| {
        let history = project.run(["state", "history", address]).done().stdout;
        history.lines().next().unwrap().split("  ").nth(2).unwrap().to_owned()
    };
    assert_eq!(newest("local_file.a"), "removed from state");
    assert_eq!(newest("local_file.b"), "moved to local_file.d");
    assert_eq!(newest("local_file.c"), "deleted");
    project.write_stack(
        "resources:\n  - {type: local_file, name: e, config: {path: out/b, content: one}}\n\
         moved: [{from: local_file.d, to: local_file.e}]\n",
    );
    project.apply().done();
    assert_eq!(newest("local_file.d"), "moved to local_file.e");
    project.write_stack("forget: [local_file.e]\n");
    project.apply().done();
    assert_eq!(newest("local_file.e"), "removed from state");
    let json = project.run(["state", "history", "local_file.b", "--json"]).done().json();
    assert_eq!((&json[0]["status"], &json[0]["moved_to"]), (&"moved".into(), &"local_file.d".into()));
}
