//! Damaged, foreign and read-only states, plans and folders.

use rusqlite::Connection;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use terrace_tests::{Project, Ran, print_note, snapshot};

const STACK: &str = "resources:\n  - {type: local_file, name: a, config: {path: out/a, content: one}}\n";
const DATABASE: &str = ".terrace/state.db";

/// Checks that plan and apply fail, create nothing, and leave the state unchanged.
fn refused(project: &Project) -> Ran {
    let before = project.all_files();
    let plan = project.run(["plan", "stack.yaml", "-q"]).with_code(1);
    let apply = project.apply().with_code(1);
    assert_eq!(plan.stderr, apply.stderr, "plan and apply differ");
    assert!(!project.has("out"));
    assert_eq!(project.all_files(), before, "something was changed");
    plan
}

#[test]
fn file_that_is_not_a_database_is_left_alone() {
    let project = Project::with_stack(STACK);
    project.write(DATABASE, "this is a note, and somebody wants to keep it\n".repeat(20));
    snapshot!(refused(&project), @"
    exit: 1
    --- stderr
    error: sqlite:[folder]/.terrace/state.db is not a terrace state: it is not a SQLite database

    hint: name the state with `--state`; terrace leaves this file unchanged
    ");
}

#[test]
fn database_of_another_program_is_left_alone() {
    let project = Project::with_stack(STACK);
    std::fs::create_dir(project.path(".terrace")).unwrap();
    let connection = Connection::open(project.path(DATABASE)).unwrap();
    connection.execute_batch("CREATE TABLE customers (name TEXT)").unwrap();
    drop(connection);
    snapshot!(refused(&project), @"
    exit: 1
    --- stderr
    error: sqlite:[folder]/.terrace/state.db is not a terrace state: it is another program's SQLite database

    hint: name the state with `--state`; terrace leaves this file unchanged
    ");
}

#[test]
fn state_of_a_newer_format_needs_a_newer_terrace() {
    let project = Project::with_stack("resources: []\n");
    project.write_stack("resources:\n  - {type: local_value, name: a, config: {input: 1}}\n");
    project.apply().done();
    project.write_stack(STACK);
    let connection = Connection::open(project.path(DATABASE)).unwrap();
    connection.execute_batch("PRAGMA user_version = 999; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(connection);
    let plan = project.run(["plan", "stack.yaml", "-q"]).with_code(1);
    project.apply().with_code(1);
    assert!(!project.has("out"));
    snapshot!(plan, @"
    exit: 1
    --- stderr
    error: the state at sqlite:[folder]/.terrace/state.db has format 999; this terrace reads up to format 22

    hint: use a newer terrace
    ");
}

#[test]
fn damaged_state_is_an_error_without_a_panic() {
    let project = Project::with_stack(STACK);
    project.apply().done();
    let whole = std::fs::read(project.path(DATABASE)).unwrap();
    for at in (100..whole.len()).step_by(whole.len() / 20) {
        let mut damaged = whole.clone();
        let end = (at + 1500).min(damaged.len());
        damaged[at..end].fill(0xa5);
        project.write(DATABASE, &damaged);
        for name in [".terrace/state.db-wal", ".terrace/state.db-shm"] {
            let _ = std::fs::remove_file(project.path(name));
        }
        let ran = project.run(["plan", "stack.yaml", "-q"]);
        assert!(!ran.stderr.contains("panicked") && ran.code != 101, "damaged at {at}:\n{ran}");
    }
}

#[test]
fn emptied_state_is_damaged_and_not_initialized_again() {
    let project = Project::with_stack(STACK);
    project.apply().done();
    std::fs::remove_dir_all(project.path("out")).unwrap();
    project.write(DATABASE, "");
    snapshot!(refused(&project), @"
    exit: 1
    --- stderr
    error: state cannot be opened: sqlite:[folder]/.terrace/state.db is damaged: it is empty; restore it from a backup, and remove its `-wal` and `-shm` files; to start with a new state, remove the empty file
    ");
    project.run(["doctor"]).with_code(1).prints("state.db is damaged: it is empty; restore it from a backup");
    for words in [&["recover"] as &[&str], &["state", "list"], &["destroy", "demo@local", "--auto-approve"]] {
        project.run(words.iter().copied()).with_code(1).prints("it is empty");
    }
    assert_eq!(project.read(DATABASE), "");
}

#[test]
fn state_in_a_read_only_folder_is_an_error() {
    let project = Project::with_stack(STACK);
    project.write("closed/note", "");
    std::fs::set_permissions(project.path("closed"), Permissions::from_mode(0o555)).unwrap();
    if std::fs::write(project.path("closed/probe"), "").is_ok() {
        std::fs::remove_file(project.path("closed/probe")).unwrap();
        print_note("skipped: permissions do not bind this user (root), so no folder is closed to it");
        return;
    }
    let ran = project.run(["--state", "sqlite:closed/state.db", "apply", "stack.yaml", "-q", "--auto-approve"]);
    std::fs::set_permissions(project.path("closed"), Permissions::from_mode(0o755)).unwrap();
    assert_eq!(ran.code, 1, "{ran}");
    assert!(!project.has("out"));
    ran.prints("state.db");
}

#[test]
fn state_with_a_file_as_its_folder_is_an_error() {
    let project = Project::with_stack(STACK);
    project.write(".terrace", "a file");
    snapshot!(refused(&project), @"
    exit: 1
    --- stderr
    error: state cannot be opened: `[folder]/.terrace/state.db`: Not a directory (os error 20)
    ");
}

#[test]
fn unknown_kind_of_state_lists_the_known_kinds() {
    let project = Project::with_stack(STACK);
    snapshot!(project.run(["--state", "mysql://localhost/x", "plan", "stack.yaml"]), @"
    exit: 1
    --- stderr
    error: --state: `mysql://…` is not a state: expected `sqlite:PATH` or `postgres://…`

    hint: write `sqlite:PATH`, such as `sqlite:.terrace/state.db`, or `postgres://USER@HOST/DATABASE`
    ");
}

#[test]
fn sealed_state_cannot_be_planned_without_its_key() {
    let project = Project::with_stack(
        "variables: {token: {type: string, sensitive: true, default: hunter2}}\nresources:\n  \
         - {type: local_value, name: a, config: {input: '${{ vars.token }}'}}\n",
    );
    let key = "q83vq83vq83vq83vq83vq83vq83vq83vq83vq83vq80=";
    let words = ["apply", "stack.yaml", "--auto-approve"];
    project.run_with(&[("TERRACE_STATE_KEY", key)], words).done();
    snapshot!(project.run(["plan", "stack.yaml", "-q"]), @"
    exit: 1
    --- stderr
    error: demo@local:local_value.a: a sealed value cannot be opened: it was sealed with state key bb9ad7f0, which is not configured

    hint: the state key seals sensitive values: put it in `TERRACE_STATE_KEY`, or in `encryption:` of terrace.yaml; put older keys in `encryption.previous`
    ");
}

#[test]
fn invalid_state_key_is_reported_with_its_source() {
    let project = Project::with_stack("resources: []\n");
    let output_of = |encryption: &str| {
        project.write("terrace.yaml", format!("encryption: {encryption}\n"));
        project.run(["plan", "stack.yaml"]).with_code(1).stderr
    };
    project.write("key", "AAAA\n");
    let key = "q83vq83vq83vq83vq83vq83vq83vq83vq83vq83vq80=";
    assert!(
        output_of("{key: no key}").contains("`encryption.key` of terrace.yaml: a state key is the base64 of 32 bytes")
    );
    assert!(output_of("{keyFile: key}").contains("key`: a state key is the base64 of 32 bytes; this one has 3 bytes"));
    assert!(output_of("{keyCommand: [echo, AAAA]}").contains("the output of `echo`: a state key"));
    assert!(output_of(&format!("{{key: {key}, previous: [no]}}")).contains("`encryption.previous` of terrace.yaml"));
}

#[test]
fn export_replaces_only_an_older_export() {
    let project = Project::with_stack("resources: []\n");
    for _ in 0..2 {
        project.run(["state", "export", "--out", "exported.json"]).done();
    }
    let before = project.read("stack.yaml");
    snapshot!(project.run(["state", "export", "--out", "stack.yaml"]), @"
    exit: 1
    --- stderr
    error: `--out stack.yaml`: `stack.yaml` exists and is no exported state

    hint: name a new file, or an export to replace
    ");
    snapshot!(project.run(["state", "export", "--out", "none/exported.json"]), @"
    exit: 1
    --- stderr
    error: `--out none/exported.json`: there is no folder `none`

    hint: create the folder first
    ");
    assert_eq!(project.read("stack.yaml"), before);
}
