//! `terrace state rollback`: resources are restored from history alone.

use terrace_tests::{Project, snapshot};

const ONE: &str = "resources:\n  - {type: local_file, name: a, config: {path: out/a, content: one}}\n";

/// Creates two versions of `a`, and a `b` that came with the second.
fn grown() -> Project {
    let project = Project::with_stack(ONE);
    project.apply().done();
    let more = "  - {type: local_file, name: b, config: {path: out/b, content: b}}\n";
    project.write_stack(&(ONE.replace("one", "two") + more));
    project.apply().done();
    project
}

#[test]
fn resource_is_restored_to_a_generation() {
    let project = grown();
    std::fs::remove_file(project.path("stack.yaml")).unwrap();
    snapshot!(project.run(["state", "rollback", "local_file.a", "--to", "1", "--auto-approve"]), @r#"
    exit: 0
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

      ~ local_file.a   content, sha256 changed
          ~ content = "two" → "one"
          ~ sha256  = "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7…" → "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7…"
          (6 unchanged attributes hidden)

    Plan: 0 to add, 1 to change, 0 to destroy.

    Apply complete! Resources: 0 added, 1 changed, 0 destroyed.
    --- stderr
    The descriptor is unchanged: its next apply undoes this rollback.
    local_file.a: updating...
    local_file.a: updated after [duration]
    "#);
    assert_eq!(project.read("out/a"), "one");
    assert!(project.has("out/b"));
    // A rollback is in history too, so it can be undone.
    project.run(["state", "rollback", "local_file.a", "--to", "2", "--auto-approve"]).done();
    assert_eq!(project.read("out/a"), "two");
    // The operation list shows rollbacks, also those from a saved plan.
    project.run(["state", "rollback", "local_file.a", "--to", "1", "--out", "plan"]).done();
    project.run(["apply", "plan"]).done();
    let listed = project.run(["operations", "list", "--json"]).done().json();
    let kinds: Vec<&str> = listed.as_array().unwrap().iter().map(|it| it["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds.get(..3), Some(&["rollback", "rollback", "rollback"][..]), "{listed}");
    assert_eq!(kinds.last(), Some(&"apply"));
}

#[test]
fn outputs_are_restored_with_their_stack() {
    let text = |val: &str| format!("{}outputs: {{o: {val}}}\n", ONE.replace("one", val));
    let project = Project::with_stack(&text("one"));
    project.apply().done();
    project.write_stack(&text("two"));
    project.apply().done();
    let listed = project.run(["operations", "list", "--json"]).done().json();
    let first = listed.as_array().unwrap().last().unwrap()["operation"].as_str().unwrap().to_owned();
    project
        .run(["state", "rollback", "demo@local", "--to", &first, "--auto-approve"])
        .done()
        .prints("\"two\" → \"one\"");
    assert_eq!(project.run(["output"]).done().stdout, "o = \"one\"\n");
    project.write_stack(&text("one"));
    project.assert_settled("stack.yaml", &[]);
}

#[test]
fn stack_is_restored_to_an_operation_through_a_saved_plan() {
    let project = grown();
    let listed = project.run(["operations", "list", "--json"]).done().json();
    let first = listed.as_array().unwrap().last().unwrap()["operation"].as_str().unwrap().to_owned();
    let back = ["state", "rollback", "demo@local", "--to", &first, "--out", "plan.json"];
    snapshot!(project.run(back), @r#"
    exit: 0
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

      ~ local_file.a   content, sha256 changed
          ~ content = "two" → "one"
          ~ sha256  = "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7…" → "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7…"
          (6 unchanged attributes hidden)
      - local_file.b   is not in the state of that time

    Plan: 0 to add, 1 to change, 1 to destroy.
    --- stderr
    The descriptor is unchanged: its next apply undoes this rollback.
    saved the plan: `terrace apply plan.json --plan-digest [digest]` applies exactly this plan
    "#);
    assert_eq!(project.read("out/a"), "two");
    project.run(["apply", "plan.json"]).done();
    assert_eq!(project.read("out/a"), "one");
    assert!(!project.has("out/b"));
    snapshot!(project.run(["state", "rollback", "demo@local", "--to", &first]), @"
    exit: 0
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

    No changes. Your infrastructure matches the configuration.
    ");
}

#[test]
fn rollback_to_an_unknown_version_changes_nothing() {
    let project = grown();
    let recorded = project.recorded();
    snapshot!(project.run(["state", "rollback", "local_file.a", "--to", "9"]), @"
    exit: 1
    --- stderr
    error: demo@local:local_file.a has no generation 9

    hint: choose one of: 2, 1
    ");
    snapshot!(project.run(["state", "rollback", "demo@local", "--to", "ffff"]), @"
    exit: 1
    --- stderr
    error: there is no operation `ffff`

    hint: `terrace operations list` lists them
    ");
    snapshot!(project.run(["state", "rollback", "demo@local", "--to", "01890000-0000-7000-8000-000000000000"]), @"
    exit: 1
    --- stderr
    error: there is no operation `[uuid]`

    hint: `terrace operations list` lists them
    ");
    snapshot!(project.run(["state", "rollback", "local_file.a", "--to", "1"]), @r#"
    exit: 1
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

      ~ local_file.a   content, sha256 changed
          ~ content = "two" → "one"
          ~ sha256  = "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7…" → "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7…"
          (6 unchanged attributes hidden)

    Plan: 0 to add, 1 to change, 0 to destroy.
    --- stderr
    The descriptor is unchanged: its next apply undoes this rollback.
    error: there is no terminal to ask on, so nothing was changed

    hint: review the plan, then pass `--auto-approve`
    "#);
    assert_eq!(project.recorded(), recorded);
    assert_eq!(project.read("out/a"), "two");
}

#[test]
fn prune_removes_old_versions_and_keeps_current_ones() {
    let project = grown();
    let recorded = project.run(["state", "list"]).done().stdout;
    snapshot!(project.run(["state", "prune", "--keep", "30d"]), @"
    exit: 0
    --- stdout
    versions removed: 0, operations removed: 0
    ");
    snapshot!(project.run(["state", "prune", "--keep", "0s", "--auto-approve"]), @"
    exit: 0
    --- stdout
    versions removed: 1, operations removed: 3
    ");
    snapshot!(project.run(["state", "history", "local_file.a"]), @"
    exit: 0
    --- stdout
    2  [time]  ready  [uuid]
    ");
    assert_eq!(project.run(["state", "list"]).done().stdout, recorded);
    snapshot!(project.run(["state", "prune", "--keep", "soon"]), @"
    exit: 1
    --- stderr
    error: invalid value 'soon' for '--keep <DURATION>': expected numbers with their units, such as `90s`, `5m` or `1h30m`, or days: `30d`

    For more information, try '--help'.
    ");
}

#[test]
fn pruning_below_a_month_needs_consent() {
    let project = grown();
    let before = project.run(["operations", "list"]).done().stdout;
    for keep in ["0s", "29d"] {
        project
            .run(["state", "prune", "--keep", keep])
            .with_code(1)
            .prints("nothing was changed")
            .prints("`--auto-approve`");
    }
    assert_eq!(project.run(["operations", "list"]).done().stdout, before);
    project.run(["state", "prune", "--keep", "30d"]).done();
}

#[test]
fn pruned_operation_is_not_a_rollback_target() {
    let project = grown();
    project.write_stack(&ONE.replace("one", "three"));
    project.apply().done();
    let listed = project.run(["operations", "list", "--json"]).done().json();
    let ids: Vec<&str> = listed.as_array().unwrap().iter().filter_map(|it| it["operation"].as_str()).collect();
    project.run(["state", "prune", "--keep", "0s", "--auto-approve"]).done();
    let back = project.run(["state", "rollback", "demo@local", "--to", ids[1], "--auto-approve"]);
    assert_eq!(back.code, 1, "{back}");
    back.prints("there is no operation");
    assert_eq!(project.read("out/a"), "three");
}

#[test]
fn state_is_rekeyed() {
    const OLD: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const NEW: &str = "//////////////////////////////////////////8=";
    let project = Project::with_stack(
        "variables: {token: {type: string, default: hunter2, sensitive: true}}\nresources:\n  - {type: local_file, name: a, \
         config: {path: out/a, sensitive: true, content: '${{ vars.token }}'}}\n",
    );
    let with = |key: &str, words: &[&str]| project.run_with(&[("TERRACE_STATE_KEY", key)], words.iter().copied());
    with(OLD, &["apply", "stack.yaml", "--auto-approve"]).done();
    snapshot!(with(NEW, &["state", "rekey"]), @"
    exit: 1
    --- stderr
    error: demo@local:local_file.a cannot be opened: a sealed value cannot be opened: it was sealed with state key f70b65e4, which is not configured

    hint: add the key that it was sealed with to `encryption.previous`
    ");
    project.write("old.key", OLD);
    project.write("new.key", NEW);
    project.write("terrace.yaml", "encryption: {keyFile: new.key, previous: [{keyFile: old.key}]}\n");
    snapshot!(project.run(["state", "rekey"]), @"
    exit: 0
    --- stdout
    1 record is sealed with the present key
    ");
    project.write("terrace.yaml", "encryption: {keyFile: new.key}\n");
    project.assert_settled("stack.yaml", &[]);
    with(NEW, &["state", "show", "local_file.a"]).done();
}

#[test]
fn recorded_old_outputs_are_rekeyed_too() {
    const OLD: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let text = |val: &str| format!("resources: []\noutputs: {{o: {{value: {val}, sensitive: true}}}}\n");
    let project = Project::with_stack(&text("hunter2"));
    let old = [("TERRACE_STATE_KEY", OLD)];
    project.run_with(&old, ["apply", "stack.yaml", "--auto-approve"]).done();
    project.write_stack(&text("hunter3"));
    project.run_with(&old, ["apply", "stack.yaml", "--auto-approve"]).done();
    let listed = project.run(["operations", "list", "--json"]).done().json();
    let first = listed.as_array().unwrap().last().unwrap()["operation"].as_str().unwrap().to_owned();
    project.write("old.key", OLD);
    project.write("new.key", "//////////////////////////////////////////8=");
    project.write("terrace.yaml", "encryption: {keyFile: new.key, previous: [{keyFile: old.key}]}\n");
    project.run(["state", "rekey"]).done();
    project.write("terrace.yaml", "encryption: {keyFile: new.key}\n");
    let back = project.run(["state", "rollback", "demo@local", "--to", &first, "--auto-approve"]).done();
    assert!(!back.stdout.contains("hunter"), "{back}");
    assert_eq!(project.run(["output", "o", "--reveal"]).done().stdout, "\"hunter2\"\n");
}

#[test]
fn impossible_rollback_is_refused_with_possible_ones() {
    let project = Project::with_stack(
        "resources: [{type: local_value, name: m, forEach: '${{ [\"a\", \"b\"] }}', config: {input: 1}}]\n",
    );
    project.apply().done();
    let ran = project.run(["state", "rollback", "local_value.m", "--to", "1"]).with_code(1);
    ran.prints("did you mean one of `local_value.m[\"a\"]`, `local_value.m[\"b\"]`?");
    for word in ["c/", "nope@local"] {
        let ran = project.run(["state", "rollback", word, "--to", "1"]).with_code(1);
        ran.prints(&format!("error: there is no stack `{word}`"));
    }
}

/// Applies `a` only, and returns the operation to roll back to.
fn with_a() -> (Project, String) {
    let project = Project::with_stack(ONE);
    project.apply().done();
    let listed = project.run(["operations", "list", "--json"]).done().json();
    let first = listed.as_array().unwrap().last().unwrap()["operation"].as_str().unwrap().to_owned();
    (project, first)
}

#[test]
fn imported_folder_is_removed_from_state_and_keeps_its_files() {
    let (project, first) = with_a();
    project.write("theirs/notes.txt", "notes");
    project.run(["import", "demo@local:local_directory.d", "theirs"]).done();
    let folder = "  - {type: local_directory, name: d, lifecycle: {preventDestroy: true}, config: {path: theirs}}\n";
    project.write_stack(&format!("{ONE}{folder}"));
    project.apply().done();
    snapshot!(project.run(["state", "rollback", "demo@local", "--to", &first, "--auto-approve"]), @"
    exit: 0
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

      . local_directory.d   dropped from state: is not in the state of that time

    Plan: 0 to add, 0 to change, 0 to destroy.
    (1 forgotten)

    Apply complete! Resources: 0 added, 0 changed, 0 destroyed.
    --- stderr
    The descriptor is unchanged: its next apply undoes this rollback.
    local_directory.d: forgotten after [duration]
    ");
    assert_eq!(project.read("theirs/notes.txt"), "notes");
    assert_eq!(project.run(["state", "list"]).done().stdout, "local_file.a\n");
}

#[test]
fn rollback_deletes_created_objects_after_a_move_and_keeps_imported_ones() {
    let (project, first) = with_a();
    let file =
        |name: &str| format!("  - {{type: local_file, name: {name}, config: {{path: out/{name}, content: b}}}}\n");
    project.write_stack(&format!("{ONE}{}{}", file("b"), file("c")));
    project.apply().done();
    // `b` moves. An existing file is recorded in the place of `c`.
    project.run(["state", "mv", "local_file.b", "local_file.moved"]).done();
    project.write_stack(&format!("{ONE}{}", file("b").replace("name: b", "name: moved")));
    project.apply().done();
    assert!(!project.has("out/c"));
    project.write("theirs", "theirs");
    project.run(["import", "demo@local:local_file.c", "theirs"]).done();
    let back = project.run(["state", "rollback", "demo@local", "--to", &first, "--auto-approve"]).done();
    back.prints("  . local_file.c       dropped from state: is not in the state of that time\n");
    back.prints("  - local_file.moved   is not in the state of that time\n");
    assert!(!project.has("out/b"));
    assert_eq!(project.read("theirs"), "theirs");
    assert_eq!(project.run(["state", "list"]).done().stdout, "local_file.a\n");
}

/// Creates an object that only a program can find, and returns the creating operation.
fn known_to_a_program() -> (Project, String) {
    let project = Project::with_stack(
        "resources:\n  - type: local_command\n    name: thing\n    config:\n      \
         create: [sh, -c, 'cat > /dev/null; echo made >> log; echo \"{}\" | tee object']\n      \
         find: [sh, -c, 'cat object 2>/dev/null || echo null']\n      delete: [rm, object]\n",
    );
    project.apply().done();
    let listed = project.run(["operations", "list", "--json"]).done().json();
    let first = listed[0]["operation"].as_str().unwrap().to_owned();
    (project, first)
}

#[test]
fn object_known_to_a_program_only_is_restored_at_its_former_address() {
    let (project, first) = known_to_a_program();
    let (thing, other) = ("demo@local:local_command.thing", "local_command.other");
    let back = ["state", "rollback", "demo@local", "--to", &first, "--auto-approve"];
    project.run(["state", "mv", thing, other]).done();
    project.run(back).done();
    assert_eq!((project.read("log"), project.has("object")), ("made\n".to_owned(), true));
    assert_eq!(project.run(["state", "list"]).done().stdout.lines().count(), 1);
    project.assert_settled("stack.yaml", &[]);
    // A single resource is not created again while its object is recorded at another address.
    project.run(["state", "mv", thing, other]).done();
    let alone = project.run(["state", "rollback", thing, "--to", "1", "--auto-approve"]).with_code(1);
    alone.prints("demo@local:local_command.thing is recorded as demo@local:local_command.other now");
    alone.prints("`terrace state mv demo@local:local_command.other local_command.thing`");
    project.run(["state", "mv", "demo@local:local_command.other", "local_command.thing"]).done();
    assert_eq!(project.read("log"), "made\n");
    // An object that was deleted at its other address is created again.
    project.run(["state", "mv", thing, other]).done();
    project.run(["destroy", "demo@local", "--auto-approve"]).done();
    assert!(!project.has("object"));
    project.run(back).done();
    assert_eq!(project.read("log"), "made\nmade\n");
}

#[test]
fn address_counts_as_moved_only_for_the_object_moved_from_it() {
    let (project, _) = known_to_a_program();
    project.run(["state", "mv", "demo@local:local_command.thing", "local_command.other"]).done();
    let of_thing = project.read("stack.yaml");
    let other = of_thing.split_once("resources:\n").unwrap().1.replace("name: thing", "name: other");
    // Another object is created at the address and removed.
    project.write("stack.yaml", format!("{of_thing}{other}"));
    project.apply().done();
    let listed = project.run(["operations", "list", "--json"]).done().json();
    let both = listed[0]["operation"].as_str().unwrap().to_owned();
    project.edit("stack.yaml", of_thing.split_once("resources:\n").unwrap().1, "");
    project.apply().done();
    assert_eq!(project.read("log"), "made\nmade\n");
    let thing = "demo@local:local_command.thing";
    project.run(["state", "rollback", thing, "--to", "3", "--auto-approve"]).done();
    assert_eq!(project.read("log"), "made\nmade\nmade\n");
    project.apply().done();
    project.run(["state", "rollback", "demo@local", "--to", &both, "--auto-approve"]).done();
    assert_eq!(project.read("log"), "made\n".repeat(4));
    assert_eq!(project.run(["state", "list"]).done().stdout, "local_command.other\nlocal_command.thing\n");
}

#[test]
fn object_removed_from_state_is_adopted_by_rollback_and_not_created_again() {
    let (project, first) = known_to_a_program();
    let back = ["state", "rollback", "demo@local", "--to", &first, "--auto-approve"];
    project.run(["state", "rm", "demo@local:local_command.thing"]).done();
    project.run(back).done();
    assert_eq!(project.read("log"), "made\n");
    project.assert_settled("stack.yaml", &[]);
    // A missing object is created.
    project.run(["state", "rm", "demo@local:local_command.thing"]).done();
    std::fs::remove_file(project.path("object")).unwrap();
    project.run(back).done();
    assert_eq!(project.read("log"), "made\nmade\n");
}
