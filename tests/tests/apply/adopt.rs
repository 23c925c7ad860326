//! Existing objects: adopted, or refused with the command that imports them.

use terrace_tests::{Project, snapshot};

const TABLE: &str = r#"components:
  area:
    resources:
      - type: sqlite_table
        name: table
        adopt: ifOurs
        config:
          path: shop.db
          name: ${{ upper(stack) }}
          columns: [{name: ID, type: INTEGER}, {name: NOTE, type: TEXT}]
"#;

fn with_table(columns: &str) -> Project {
    let project = Project::with_stack(TABLE);
    let connection = rusqlite::Connection::open(project.path("shop.db")).unwrap();
    connection.execute_batch(&format!("CREATE TABLE DEMO ({columns}); INSERT INTO DEMO (ID) VALUES (1);")).unwrap();
    project
}

#[test]
fn existing_table_is_adopted_and_its_alignment_is_shown() {
    let project = with_table("ID INTEGER");
    snapshot!(project.run(["plan", "stack.yaml"]), @"
    exit: 0
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

      area
      = sqlite_table.table   exists, is adopted, columns changed
          ~ columns
              + NOTE TEXT {nullable = true}
              (1 unchanged item hidden)
          (5 unchanged attributes hidden)

    Plan: 1 to import, 0 to add, 1 to change, 0 to destroy.
    (1 adopted)
    ");
    let json = project.run(["plan", "stack.yaml", "--format", "json"]).done().json();
    assert_eq!(json["resource_changes"][0]["change"]["importing"]["id"], "shop.db/DEMO");
    project.apply().done();
    project.assert_settled("stack.yaml", &[]);
}

#[test]
fn table_whose_adoption_would_lose_data_is_refused() {
    let project = with_table("ID INTEGER, OLD TEXT");
    snapshot!(project.run(["plan", "stack.yaml", "--allow-data-loss"]), @"
    exit: 1
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

    Planning failed with errors; the resources that could be planned have no changes.
    --- stderr
    not_ours

      × demo@local:area/sqlite_table.table exists already and cannot be adopted: aligning it would destroy data
       ╭─[stack.yaml:8:15]
     8 │         name: table
       ·               ─────
       ╰────
      hint: `terrace import demo@local:area/sqlite_table.table shop.db/DEMO` records it as it is; `adopt: ifExists` adopts
            any existing object
    ");
}

#[test]
fn existing_file_error_suggests_an_import() {
    let project =
        Project::with_stack("resources:\n  - {type: local_file, name: a, config: {path: a file.txt, content: x}}\n");
    project.write("a file.txt", "mine");
    let ran = project.run(["apply", "stack.yaml", "--auto-approve", "-q"]).with_code(3);
    ran.prints("terrace import demo@local:local_file.a 'a file.txt'");
    assert_eq!(project.read("a file.txt"), "mine");
}

#[test]
fn objects_of_a_lost_state_are_destroyed_by_their_descriptor() {
    let project =
        Project::with_stack("resources:\n  - {type: local_file, name: a, config: {path: a.txt, content: x}}\n");
    project.apply().done();
    std::fs::remove_dir_all(project.path(".terrace")).unwrap();
    snapshot!(project.run(["destroy", "stack.yaml", "--auto-approve", "-q"]), @"
    exit: 0
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

      - local_file.a   exists, and is not in the state

    Plan: 0 to add, 0 to change, 1 to destroy.

    Destroy complete! Resources: 1 destroyed.
    ");
    assert!(!project.has("a.txt"));
    project.run(["destroy", "stack.yaml", "--auto-approve", "-q"]).done().prints("No changes.");
}

#[test]
fn destroy_keeps_unmanaged_objects_that_differ() {
    let project = Project::with_stack(
        "resources:\n  - {type: local_value, name: v, config: {input: 1}}\n  \
         - {type: local_file, name: f, config: {path: notes.txt, content: a}}\n  \
         - {type: local_directory, name: d, config: {path: theirs, onDelete: recursive}}\n",
    );
    project.write("notes.txt", "mine");
    project.write("theirs/thesis.txt", "mine");
    snapshot!(project.run(["destroy", "stack.yaml", "--auto-approve", "--remove-data"]), @"
    exit: 0
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

    No changes. There is nothing to destroy.
    --- stderr
    not_ours

      ⚠ demo@local:local_directory.d exists, but is not in the state, and its data may belong to another owner: it stays
      hint: if it belongs to this stack, run `terrace import demo@local:local_directory.d theirs`, then destroy

    not_ours

      ⚠ demo@local:local_file.f exists, but is not in the state, and it differs from its description (`content`, `sha256`,
      │ `size`): it stays
      hint: if it belongs to this stack, run `terrace import demo@local:local_file.f notes.txt`, then destroy
    ");
    assert_eq!((project.read("notes.txt").as_str(), project.read("theirs/thesis.txt").as_str()), ("mine", "mine"));
}

#[test]
fn file_of_another_resource_is_not_adopted_by_any_spelling_of_its_path() {
    let a = "resources:\n  - {type: local_file, name: a, config: {path: out/a, content: one}}\n";
    let project = Project::with_stack(a);
    project.run(["apply", "stack.yaml", "--auto-approve"]).done();
    let b = "- {type: local_file, name: b, adopt: ifExists, config: {path: ./out//a, content: one}}";
    let text = project.read("stack.yaml");
    project.write("stack.yaml", format!("{text}  {b}\n"));
    let expected = "demo@local:local_file.a and demo@local:local_file.b name one object: path \"./out//a\"";
    project.run(["plan", "stack.yaml"]).with_code(1).prints(expected);
    // A separate resource that moves to the same path.
    project.edit("stack.yaml", "./out//a", "out/b");
    project.run(["apply", "stack.yaml", "--auto-approve"]).done();
    project.edit("stack.yaml", "out/b", "./out//a");
    project.run(["plan", "stack.yaml"]).with_code(1).prints(expected);
    // The first resource moves to another path with its file: then the path is free.
    project.edit("stack.yaml", "{path: out/a", "{path: out/c");
    project.run(["apply", "stack.yaml", "--auto-approve"]).done();
    assert_eq!((project.read("out/a").as_str(), project.read("out/c").as_str()), ("one", "one"));
}

/// Different spellings of a path are one file.
#[test]
fn file_of_another_stack_is_not_adopted_by_another_path() {
    let project = Project::new();
    let stack = |name: &str, path: &str| {
        format!(
            "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: {name}}}\nresources:\n  \
             - {{type: local_file, name: f, adopt: ifExists, config: {{path: '{path}', content: {name}}}}}\n"
        )
    };
    project.write("a.yaml", stack("a", "out/x"));
    project.run(["apply", "a.yaml", "--auto-approve"]).done();
    for path in ["out/x", "out/../out/x", "./out//x"] {
        project.write("b.yaml", stack("b", path));
        let ran = project.run(["apply", "b.yaml", "--auto-approve"]);
        ran.with_code(1).prints("would adopt the object of a@").prints("local_file.f");
    }
    assert_eq!(project.read("out/x"), "a");
    // Another spelling of the path is no change.
    project.write("a.yaml", stack("a", "./out/x"));
    project.run(["apply", "a.yaml", "--auto-approve"]).done();
    assert_eq!(project.read("out/x"), "a");
}
