//! Sensitive marks follow values: through drift, into derived values, and into records older than the mark.

use super::{KEY, SECRET, assert_in_no_file_but, assert_silent, run};
use terrace_tests::{Project, snapshot};

const TABLE: &str = r#"variables:
  token: {type: string, sensitive: true}
resources:
  - type: sqlite_table
    name: sessions
    config:
      path: shop.db
      name: sessions
      columns:
        - {name: a, type: TEXT}
        - {name: b, type: TEXT, default: '${{ "''" + vars.token + "''" }}'}
"#;

/// Runs every command that reads the object. It also saves a plan and records drift.
fn run_all_readers(project: &Project, address: &str) {
    for words in [
        &["plan", "stack.yaml", "--detail", "full"] as &[&str],
        &["plan", "stack.yaml", "--json"],
        &["plan", "stack.yaml", "--format", "markdown"],
        &["plan", "stack.yaml", "--out", "p"],
        &["show", "p", "--json"],
        &["drift", "stack.yaml"],
        &["drift", "stack.yaml", "--json"],
        &["apply", "stack.yaml", "--refresh-only", "--auto-approve"],
        &["state", "show", address],
        &["state", "show", address, "--json"],
        &["state", "export", "--history"],
    ] {
        run(project, words);
    }
}

fn edit_table(project: &Project, sql: &str) {
    rusqlite::Connection::open(project.path("shop.db")).unwrap().execute_batch(sql).unwrap();
}

#[test]
fn secret_in_a_list_stays_sensitive_after_a_move() {
    for sql in [
        "ALTER TABLE sessions DROP COLUMN a",
        "ALTER TABLE sessions RENAME COLUMN b TO c",
        "ALTER TABLE sessions RENAME COLUMN b TO z; ALTER TABLE sessions RENAME COLUMN a TO b; \
         ALTER TABLE sessions RENAME COLUMN z TO a",
        "ALTER TABLE sessions ADD COLUMN c TEXT; ALTER TABLE sessions DROP COLUMN a",
    ] {
        let project = Project::with_stack(TABLE);
        run(&project, &["apply", "stack.yaml", "--auto-approve"]).done();
        edit_table(&project, sql);
        run_all_readers(&project, "sqlite_table.sessions");
        assert_in_no_file_but(&project, &["shop.db"]);
        run(&project, &["apply", "stack.yaml", "--auto-approve", "--allow-data-loss"]).done();
        run(&project, &["plan", "stack.yaml", "--detailed-exitcode"]).done().prints("No changes.");
    }
}

#[test]
fn object_id_from_a_secret_is_sensitive() {
    let project = Project::with_stack(
        r#"variables: {token: {type: string, sensitive: true}}
resources:
  - {type: local_directory, name: folder, config: {path: '${{ "out/" + vars.token }}'}}
  - {type: local_file, name: file, config: {path: '${{ resources.folder.path + "/" + vars.token + ".txt" }}', content: x}}
  - {type: sqlite_database, name: base, config: {path: '${{ vars.token + ".db" }}'}}
  - type: sqlite_table
    name: table
    config: {path: '${{ resources.base.path }}', name: '${{ vars.token }}', columns: [{name: a, type: TEXT}]}
"#,
    );
    for words in [
        &["plan", "stack.yaml", "--out", "p"] as &[&str],
        &["show", "p", "--json"],
        &["apply", "p"],
        &["plan", "stack.yaml", "--detailed-exitcode"],
        &["state", "show", "local_file.file"],
        &["state", "show", "sqlite_table.table", "--json"],
        &["state", "export", "--history"],
        &["state", "list"],
        &["drift", "stack.yaml"],
    ] {
        run(&project, words).done();
    }
    assert!(project.has(&format!("out/{SECRET}/{SECRET}.txt")));
    // terrace recognises the object nevertheless.
    let words = ["import", "sqlite_table.other", &format!("{SECRET}.db/{SECRET}")];
    project.run_with(&[("TERRACE_STATE_KEY", KEY)], words).with_code(1).prints("sqlite_table.table already");
    for (name, bytes) in project.all_files() {
        let is_meant = name.contains(SECRET);
        assert!(is_meant || !super::holds_secret(&bytes), "`{name}` holds the secret");
    }
    run(&project, &["destroy", "stack.yaml", "--auto-approve", "--remove-data"]).done();
    assert!(!project.has(&format!("out/{SECRET}")));
}

#[test]
fn output_of_a_program_with_a_secret_argument_is_sensitive() {
    let project = Project::with_stack(
        "variables: {token: {type: string, sensitive: true}}\nresources:\n  - type: local_command\n    name: login\n    \
         config:\n      create: [sh, -c, 'cat > /dev/null; echo \"{\\\"id\\\": \\\"$0\\\"}\"', '${{ vars.token }}']\n",
    );
    run(&project, &["apply", "stack.yaml", "--auto-approve"]).done();
    run_all_readers(&project, "local_command.login");
    assert_in_no_file_but(&project, &[]);
}

/// Applies `stack.yaml` with a token that is not yet sensitive.
fn open_project(rest: &str) -> Project {
    let project = Project::with_stack(&rest.replace(", sensitive: true", ""));
    let applied = project.run_with(&[("TERRACE_VAR_token", SECRET)], ["apply", "stack.yaml", "--auto-approve"]).done();
    assert!(applied.stdout.contains(SECRET), "{applied}");
    project.write_stack(rest);
    project
}

const LATE: &str = r#"variables:
  token: {type: string, sensitive: true}
resources:
  - {type: local_file, name: file, config: {path: out/token, content: '${{ vars.token }}'}}
  - {type: local_value, name: copy, config: {input: {key: '${{ vars.token }}'}}}
outputs:
  token: {value: '${{ resources.copy.output.key }}', sensitive: true}
"#;

#[test]
fn value_marked_later_is_recorded_as_sensitive_without_a_call() {
    let project = open_project(LATE);
    let before = std::fs::metadata(project.path("out/token")).unwrap().modified().unwrap();
    let mut plan = run(&project, &["plan", "stack.yaml"]).done();
    plan.stderr = without_log(&plan.stderr);
    snapshot!(plan, @"
    exit: 0
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

      outputs
      ~ token = (sensitive from now on)

    Plan: 0 to add, 0 to change, 0 to destroy.
    --- stderr
    sensitive_now

      ☞ demo@local:local_file.file: `content`, `sha256`, `size` of local_file.file are sensitive now; apply marks the
      │ stored values
       ╭─[stack.yaml:7:30]
     7 │   - {type: local_file, name: file, config: {path: out/token, content: '${{ vars.token }}'}}
       ·                              ────
       ╰────
      hint: after the apply, `terrace state prune --keep 0s` removes the plain-text values, with all history

    sensitive_now

      ☞ demo@local:local_value.copy: `input`, `output` of local_value.copy are sensitive now; apply marks the stored
      │ values
       ╭─[stack.yaml:8:31]
     8 │   - {type: local_value, name: copy, config: {input: {key: '${{ vars.token }}'}}}
       ·                               ────
       ╰────
      hint: after the apply, `terrace state prune --keep 0s` removes the plain-text values, with all history
    ");
    run(&project, &["plan", "stack.yaml", "--json"]).done().prints(r#""newly_sensitive":"#);
    run(&project, &["plan", "stack.yaml", "--out", "p"]).done();
    run(&project, &["show", "p", "--json"]).done();
    assert!(!super::holds_secret(project.read("p").as_bytes()));
    run(&project, &["apply", "p"]).done();
    run(&project, &["plan", "stack.yaml", "--detailed-exitcode"]).done().prints("No changes.");
    for words in [&["state", "show", "local_file.file"] as &[&str], &["output"], &["show", "--json"]] {
        run(&project, words).done();
    }
    assert_eq!(
        std::fs::metadata(project.path("out/token")).unwrap().modified().unwrap(),
        before,
        "it was written again"
    );
    run(&project, &["state", "export"]).done();
    // Pruning removes earlier plaintext versions, also from the file.
    run(&project, &["state", "prune", "--keep", "0s", "--auto-approve"]).done();
    assert_in_no_file_but(&project, &["out/token"]);
}

#[test]
fn value_marked_later_needs_a_key_to_be_recorded() {
    let project = open_project(LATE);
    let variables = [("TERRACE_VAR_token", SECRET)];
    let ran = project.run_with(&variables, ["apply", "stack.yaml", "--auto-approve", "-q"]).with_code(1);
    assert_silent("apply", &ran);
    ran.prints("`content` is sensitive and there is no state key");
}

#[test]
fn secret_changed_and_marked_at_once_is_never_shown() {
    let project = open_project(LATE);
    let other = "another-hunter3";
    let with = |words: &[&str]| {
        let variables = [("TERRACE_VAR_token", other), ("TERRACE_STATE_KEY", KEY)];
        let ran = project.run_with(&variables, words.iter().copied()).done();
        assert_silent(&words.join(" "), &ran);
        assert!(!format!("{}{}", ran.stdout, ran.stderr).contains(other), "{ran}");
    };
    with(&["plan", "stack.yaml", "--detail", "full"]);
    with(&["plan", "stack.yaml", "--json"]);
    with(&["plan", "stack.yaml", "--out", "p"]);
    with(&["apply", "p"]);
    with(&["plan", "stack.yaml", "--detailed-exitcode"]);
    assert_eq!(project.read("out/token"), other);
    for (name, bytes) in project.all_files().into_iter().filter(|(name, _)| name == "p") {
        assert!(!super::holds_secret(&bytes), "`{name}` holds the secret");
    }
}

#[test]
fn adopted_object_is_as_sensitive_as_declared() {
    let project = Project::with_stack(TABLE);
    project.edit("stack.yaml", "    name: sessions\n", "    name: sessions\n    adopt: ifExists\n");
    edit_table(&project, &format!("CREATE TABLE sessions (b TEXT DEFAULT '{SECRET}', a TEXT)"));
    run(&project, &["plan", "stack.yaml", "--detail", "full"]);
    run(&project, &["plan", "stack.yaml", "--json"]);
    run(&project, &["plan", "stack.yaml", "--out", "p", "--allow-data-loss"]);
    run(&project, &["apply", "stack.yaml", "--auto-approve", "--allow-data-loss"]);
    assert_in_no_file_but(&project, &["shop.db"]);
}

/// Returns standard error without log lines.
fn without_log(text: &str) -> String {
    let is_log = |line: &&str| line.contains("TRACE") || line.contains("DEBUG") || line.contains("INFO");
    text.lines().filter(|line| !is_log(line)).map(|line| format!("{line}\n")).collect()
}

#[test]
fn possibly_sensitive_value_is_treated_as_sensitive() {
    let project = Project::with_stack(
        "resources:\n  - {type: local_value, name: a, config: {input: 1}}\n  - type: local_file\n    name: b\n    \
         config: {path: b, content: password=hunter2, sensitive: '${{ size(resources.a.id) > 0 }}'}\n",
    );
    project.write("terrace.yaml", "encryption: {keyFile: state.key}\n");
    project.write("state.key", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
    let plan = project.run(["plan", "stack.yaml", "--out", "plan"]).done();
    assert!(!plan.to_string().contains("hunter2") && !project.read("plan").contains("hunter2"), "{plan}");
    project.run(["apply", "plan"]).done();
    assert_eq!(project.read("b"), "password=hunter2");
    project.assert_settled("stack.yaml", &[]);
}
