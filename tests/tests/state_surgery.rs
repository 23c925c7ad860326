//! What people change in the state by hand: mv, rm, export, import.

use terrace_tests::{Project, snapshot};

fn applied() -> Project {
    let project =
        Project::with_stack("resources:\n  - {type: local_file, name: a, config: {path: out/a, content: one}}\n");
    project.apply().done();
    project
}

#[test]
fn a_resource_gets_another_address_and_its_object_stays() {
    let project = applied();
    snapshot!(project.run(["state", "mv", "local_file.a", "local_file.b"]), @"
    exit: 0
    --- stdout
    local_file.a is local_file.b now
    ");
    project.edit("stack.yaml", "name: a", "name: b");
    project.assert_settled("stack.yaml", &[]);
    assert_eq!(project.read("out/a"), "one");
    project.run(["operations", "list"]).done().says("state mv");
}

#[test]
fn both_addresses_may_stand_with_their_stack() {
    let project = applied();
    project.run(["state", "mv", "demo@local:local_file.a", "demo@local:local_file.b"]).done();
    assert_eq!(project.run(["state", "list"]).done().stdout, "local_file.b\n");
    snapshot!(project.run(["state", "mv", "local_file.b", "other@local:local_file.c"]), @"
    exit: 1
    --- stderr
    error: a resource of demo@local cannot be moved into other@local

    hint: keep it in its stack, or leave the stack before the new address out
    ");
}

#[test]
fn a_name_that_no_descriptor_could_have_is_refused() {
    let project = applied();
    snapshot!(project.run(["state", "mv", "local_file.a", "local_file.bad name"]), @"
    exit: 1
    --- stderr
    error: `bad name` cannot be the name of a resource

    hint: use letters, digits, `_` and `-`, and begin with a letter or `_`
    ");
    assert_eq!(project.run(["state", "list"]).done().stdout, "local_file.a\n");
}

#[test]
fn a_resource_that_is_not_there_or_a_taken_address_is_refused() {
    let project = applied();
    let recorded = project.recorded();
    snapshot!(project.run(["state", "mv", "local_file.x", "local_file.y"]), @"
    exit: 1
    --- stderr
    error: demo@local has no resource `local_file.x`

    hint: did you mean `local_file.a`?
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

    hint: did you mean `local_file.a`?
    ");
    assert_eq!(project.recorded(), recorded);
    project.write_stack(
        "resources:\n  - {type: local_file, name: a, config: {path: out/a, content: one}}\n  - \
         {type: local_file, name: b, config: {path: out/b, content: two}}\n",
    );
    project.apply().done();
    let listed = project.run(["state", "list"]).done().stdout;
    let ran = project.run(["state", "mv", "local_file.a", "local_file.b"]);
    assert_ne!(ran.code, 0, "{ran}");
    assert_eq!(project.run(["state", "list"]).done().stdout, listed);
}

#[test]
fn a_dropped_resource_leaves_its_object_alone() {
    let project = applied();
    snapshot!(project.run(["state", "rm", "local_file.a"]), @"
    exit: 0
    --- stdout
    dropped demo@local:local_file.a
    --- stderr
    the objects themselves are left alone
    ");
    assert_eq!(project.run(["state", "list"]).done().stdout, "");
    assert_eq!(project.read("out/a"), "one");
}

#[test]
fn a_state_is_written_and_taken_in_elsewhere() {
    let project = applied();
    project.run(["state", "export", "--history", "--out", "state.json"]).done();
    serde_json::from_str::<serde_json::Value>(&project.read("state.json")).unwrap();
    // Where the rows are already, nothing is imported.
    let recorded = project.recorded();
    snapshot!(project.run(["state", "import", "state.json"]), @"
    exit: 4
    --- stderr
    error: recorded already, so nothing was imported: demo@local:local_file.a

    hint: import into an empty state (`--state sqlite:NEW.db`), or drop what is there first: `terrace state rm demo@local:local_file.a`
    ");
    assert_eq!(project.recorded(), recorded);

    let other = ["--state", "sqlite:other.db"];
    let run = |words: &[&str]| project.run(other.into_iter().chain(words.iter().copied()));
    run(&["state", "import", "state.json"]).done().says("1 resource imported");
    assert_eq!(run(&["state", "list"]).done().stdout, "local_file.a\n");
    run(&["plan", "stack.yaml", "--detailed-exitcode"]).done();
}

#[test]
fn what_is_no_export_is_not_taken_in() {
    let project = applied();
    project.write("state.json", "{\"format\": 1");
    snapshot!(project.run(["state", "import", "state.json"]), @"
    exit: 1
    --- stderr
    error: `state.json`: this is not an exported state: it ends too early, at line 1, column 12

    hint: give a file that `terrace state export --out FILE` wrote
    ");
    project.write("state.json", "{}");
    snapshot!(project.run(["state", "import", "state.json"]), @"
    exit: 1
    --- stderr
    error: `state.json`: this is not an exported state: at line 1, column 2: missing field `formatVersion`

    hint: give a file that `terrace state export --out FILE` wrote
    ");
    snapshot!(project.run(["state", "import", "missing.json"]), @"
    exit: 1
    --- stderr
    error: `missing.json`: No such file or directory (os error 2)
    ");
}
