//! Hints that change the state or objects: a user who follows them loses no object.

use super::proposed;
use terrace_tests::{Project, Ran};

/// A stack with a file `x`, a resource of this name with further fields.
fn file(name: &str, more: &str) -> String {
    format!("resources:\n  - {{type: local_file, name: {name}, {more}config: {{path: x, content: x}}}}\n")
}

/// Runs the only proposed command that begins with these words, with consent to its changes.
#[track_caller]
fn follow_one(project: &Project, ran: &Ran, begin: &[&str]) -> Ran {
    let commands = proposed(ran);
    let meant: Vec<&Vec<String>> = commands.iter().filter(|command| command.starts_with(&owned(begin))).collect();
    let [command] = meant.as_slice() else { panic!("{begin:?}: {meant:?}\n{ran}") };
    let consent = matches!(begin, ["apply" | "destroy" | "unlock", ..]).then_some("--auto-approve");
    project.run_as_given(&[], command.iter().map(String::as_str).chain(consent))
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn hint_of_import_frees_the_address() {
    let project = Project::with_stack(&file("a", ""));
    project.apply().done();
    project.write("y", "y");
    let refused = project.run(["import", "local_file.a", "y"]).with_code(1);
    follow_one(&project, &refused, &["state", "rm"]).done();
    let imported = project.run(["import", "local_file.a", "y"]).done();
    follow_one(&project, &imported, &["import", "--generate"]).done().prints("path: \"y\"");
    assert_eq!((project.read("x"), project.read("y")), ("x".to_owned(), "y".to_owned()));
}

#[test]
fn hint_of_import_drops_the_other_row() {
    let project = Project::with_stack(&file("a", ""));
    project.apply().done();
    let refused = project.run(["import", "local_file.b", "x"]).with_code(1);
    follow_one(&project, &refused, &["state", "rm"]).done();
    project.run(["import", "local_file.b", "x"]).done();
    project.write_stack(&file("b", ""));
    project.assert_settled("stack.yaml", &[]);
    assert_eq!(project.read("x"), "x");
}

#[test]
fn hint_applies_a_saved_plan() {
    // With a state key the plan needs no digest.
    let keyed = [("TERRACE_STATE_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")];
    for variables in [&[] as &[(&str, &str)], &keyed] {
        let project = Project::with_stack(&file("a", ""));
        let saved = project.run_with(variables, ["plan", "stack.yaml", "--out", "my plan"]).done();
        let text = saved.stderr.split('`').find(|text| text.starts_with("terrace apply")).unwrap();
        assert_eq!(text.contains("--plan-digest"), variables.is_empty(), "{text}");
        let script = text.replacen("terrace", &format!("'{}'", terrace_tests::binary().display()), 1);
        let mut shell = std::process::Command::new("sh");
        let ran = shell.args(["-c", &script]).current_dir(project.path("")).envs(variables.iter().copied()).output();
        assert!(ran.unwrap().status.success(), "{script}");
        assert_eq!(project.read("x"), "x");
        project.assert_settled("stack.yaml", &[]);
    }
}

#[test]
fn hint_records_an_existing_object() {
    let project = Project::with_stack(&file("a", ""));
    project.write("x", "mine");
    let failed = project.run(["apply", "stack.yaml", "--auto-approve", "-q"]).with_code(3);
    follow_one(&project, &failed, &["import"]).done();
    assert_eq!(project.read("x"), "mine");
    project.run(["plan", "stack.yaml"]).done().prints("1 to change");
}

#[test]
fn hint_imports_object_without_adoption() {
    let table = |columns: &str| {
        format!(
            "locals: {{t: T}}\nresources:\n  - {{type: sqlite_table, name: t, adopt: ifOurs, config: {{path: d.db, name: '${{{{ locals.t }}}}', \
             columns: [{columns}]}}}}\n"
        )
    };
    let project = Project::with_stack(&table("{name: A, type: TEXT}"));
    let database = rusqlite::Connection::open(project.path("d.db")).unwrap();
    database.execute_batch("CREATE TABLE T (A TEXT, OLD TEXT); INSERT INTO T VALUES ('a', 'b');").unwrap();
    let refused = project.run(["plan", "stack.yaml", "--allow-data-loss"]).with_code(1);
    follow_one(&project, &refused, &["import"]).done();
    project.write_stack(&table("{name: A, type: TEXT}, {name: OLD, type: TEXT}"));
    project.assert_settled("stack.yaml", &[]);
    let kept: String = database.query_row("SELECT OLD FROM T", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, "b");
}

#[test]
fn hint_hands_an_object_to_another_stack() {
    let project = Project::with_stack(&file("a", ""));
    project.apply().done();
    project.write_named_stack("other", &file("b", "adopt: ifExists, "));
    let refused = project.run(["plan", "other.yaml"]).with_code(1);
    follow_one(&project, &refused, &["state", "rm"]).done();
    project.run(["apply", "other.yaml", "--auto-approve"]).done();
    project.assert_settled("other.yaml", &[]);
    assert_eq!(project.read("x"), "x");
}

#[test]
fn hint_renames_a_stack() {
    let project = Project::with_stack(&file("a", ""));
    project.apply().done();
    project.write_named_stack("other", &file("a", ""));
    let refused = project.run(["plan", "other.yaml"]).with_code(1);
    refused.prints("other@local would create objects that demo@local has");
    follow_one(&project, &refused, &["state", "rm"]).done();
    project.write_named_stack("other", &file("a", "adopt: ifExists, "));
    project.run(["apply", "other.yaml", "--auto-approve"]).done();
    project.assert_settled("other.yaml", &[]);
    assert_eq!(project.read("x"), "x");
}

#[test]
fn hint_imports_before_a_destroy() {
    let project = Project::with_stack(&file("a", ""));
    project.write("x", "mine");
    let warned = project.run(["destroy", "stack.yaml", "--auto-approve"]).done();
    assert_eq!(project.read("x"), "mine");
    follow_one(&project, &warned, &["import"]).done();
    assert_eq!(project.read("x"), "mine");
    project.run(["destroy", "stack.yaml", "--auto-approve"]).done().prints("1 destroyed");
    assert!(!project.has("x"));
}

#[test]
fn hint_for_a_stack_in_place_of_a_file_removes_it() {
    let project = Project::with_stack(&file("a", ""));
    project.apply().done();
    let refused = project.run(["plan", "demo@local"]).with_code(1);
    follow_one(&project, &refused, &["plan"]).done().prints("1 to destroy");
    follow_one(&project, &refused, &["drift"]).done();
    assert!(project.has("x"));
    follow_one(&project, &refused, &["destroy"]).done().prints("1 destroyed");
}

#[test]
fn hint_makes_room_for_an_exported_state() {
    let more = "  - {type: local_value, name: b, config: {input: 1}}\n";
    let project = Project::with_stack(&(file("a", "") + more));
    project.apply().done();
    project.run(["state", "export", "--out", "state.json"]).done();
    let refused = project.run(["state", "import", "state.json"]).with_code(4);
    follow_one(&project, &refused, &["state", "rm"]).done();
    project.run(["state", "import", "state.json"]).done();
    project.assert_settled("stack.yaml", &[]);
    assert_eq!(project.read("x"), "x");
}

#[test]
fn hints_apply_dependencies_first() {
    let stack = "resources:\n  - {type: local_command, name: list, config: {create: [cat, names.json]}}\n  \
                 - type: local_file\n    name: each\n    forEach: ${{ resources.list.output.names }}\n    \
                 config: {path: '${{ each.key }}', content: x}\n";
    for option in ["--target", "--allow-deferral"] {
        let project = Project::with_stack(stack);
        project.write("names.json", r#"{"names": ["p", "q"]}"#);
        let refused = project.run(["plan", "stack.yaml"]).with_code(1);
        let commands = proposed(&refused);
        let command = commands.iter().find(|command| command.contains(&option.to_owned())).unwrap();
        let ran = project.run(command.iter().map(String::as_str).chain(["--auto-approve"])).done();
        ran.prints("1 added");
        project.apply().done().prints("2 added");
        assert!(project.has("p") && project.has("q"));
        project.assert_settled("stack.yaml", &[]);
    }
}

/// A command that creates a file, and whose process kills terrace after it.
const KILLED: &str = "resources:\n  - {type: local_command, name: c, config: {create: [sh, c.sh]}}\n";

/// A project with a create in doubt. Its object exists.
fn in_doubt() -> Project {
    let project = Project::with_stack(KILLED);
    project.write("c.sh", "cat >/dev/null; touch object; kill -9 $PPID\n");
    assert_eq!(project.run(["apply", "stack.yaml", "--auto-approve"]).code, -1);
    project.write("c.sh", "cat >/dev/null; touch object; echo '{}'\n");
    project
}

#[test]
fn hints_decide_about_a_step_in_doubt() {
    for verdict in ["--unchanged", "--absent", "--tainted"] {
        let project = in_doubt();
        let asked = project.run(["recover"]).with_code(1);
        follow_one(&project, &asked, &["recover", verdict]).done();
        assert!(project.has("object"), "{verdict}");
        project.run(["recover"]).done().prints("Nothing to recover.");
        project.run(["apply", "stack.yaml", "--auto-approve", "--allow-data-loss"]).done();
        project.assert_settled("stack.yaml", &[]);
    }
}

#[test]
fn hint_of_import_for_a_lost_create_drops_its_step() {
    let project = in_doubt();
    let refused = project.run(["state", "mv", "local_command.c", "local_command.d"]).with_code(1);
    follow_one(&project, &refused, &["recover", "--absent"]).done();
    project.run(["recover"]).done().prints("Nothing to recover.");
    assert!(project.has("object"));
    project.apply().done().prints("1 added");
}

#[test]
fn hint_revokes_the_lease_of_another_operation() {
    let stack = "resources:\n  - {type: local_command, name: slow, config: {create: [sh, -c, 'cat >/dev/null; touch started; read line <gate; \
                 echo {}']}}\n";
    let (project, first) = Project::waiting_at_gate(stack);
    let refused = project.run(["apply", "stack.yaml", "--auto-approve", "--lock-timeout", "0s"]).with_code(4);
    follow_one(&project, &refused, &["unlock"]).done();
    project.open_gate("gate");
    first.finish().with_code(1).prints("lease");
    let listed = project.run(["state", "list"]).done().stdout;
    assert_eq!(listed, "local_command.slow (in doubt)\n", "the object is not lost");
}
