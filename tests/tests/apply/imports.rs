//! `terrace import`, `taint`, `untaint` and `unprotect`, and resources moved with `state mv`.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use terrace_tests::{Project, snapshot};

const ONE: &str = "resources:\n  - {type: local_file, name: a, config: {path: out/a, content: one}}\n";

fn there() -> Project {
    let project = Project::with_stack("resources: []\n");
    project.write("out/a", "one");
    project
}

#[test]
fn existing_file_is_imported_and_declared_unchanged() {
    let project = there();
    snapshot!(project.run(["import", "demo@local:local_file.a", "out/a"]), @"
    exit: 0
    --- stdout
    local_file.a is `out/a` now
    --- stderr
    if no descriptor declares it, do so before the next apply, which removes it otherwise: `terrace import --generate demo@local:local_file.a` prints the declaration
    ");
    assert_eq!(project.run(["state", "list"]).done().stdout, "local_file.a\n");
    snapshot!(project.run(["import", "local_file.a", "out/a"]), @"
    exit: 0
    --- stdout
    local_file.a is `out/a` already
    ");
    snapshot!(project.run(["import", "--generate", "local_file.a"]), @"
    exit: 0
    --- stdout
    resources:
      - type: local_file
        name: a
        config:
          path: out/a
          content: one
    ");
    project.write_stack(ONE);
    project.assert_settled("stack.yaml", &[]);
    project.run(["operations", "list"]).done().prints("import");
}

#[test]
fn generated_import_for_a_named_stack_is_a_stack_file() {
    let project = there();
    project.write_stack("resources:\n  - {type: local_value, name: x, config: {input: 1}}\n");
    let text = project.run(["import", "--generate", "demo@local:local_file.a", "out/a"]).done().stdout;
    insta::assert_snapshot!(text, @"
    apiVersion: terrace.dev/v1
    kind: Stack
    metadata:
      name: demo
    resources:
      - type: local_file
        name: a
        config:
          path: out/a
          content: one
    imports:
      - to: local_file.a
        id: out/a
    ");
    project.write("imported.yaml", text);
    assert_eq!(project.run(["fmt", "--check", "imported.yaml"]).done().stdout, "");
    let apply = ["apply", "stack.yaml", "imported.yaml", "--auto-approve"];
    project.run(apply).done().prints("1 imported, 1 added");
}

#[test]
fn generated_import_can_be_applied() {
    let project = there();
    project.write("out/b", "two ${{ no expression }}\nand more\n");
    let text = project.run(["import", "--generate", "api/local_file.b", "out/b"]).done().stdout;
    insta::assert_snapshot!(text, @"
    components:
      api:
        resources:
          - type: local_file
            name: b
            config:
              path: out/b
              content: |
                two $${{ no expression }}
                and more
    imports:
      - to: api/local_file.b
        id: out/b
    ");
    project.write_stack(&text);
    snapshot!(project.run(["apply", "stack.yaml", "--auto-approve"]), @"
    exit: 0
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

      api
      = local_file.b   imported from out/b
          (8 unchanged attributes hidden)

    Plan: 1 to import, 0 to add, 0 to change, 0 to destroy.
    (1 imported)

    Apply complete! Resources: 1 imported, 0 added, 0 changed, 0 destroyed.
    --- stderr
    api/local_file.b: imported after [duration]
    ");
    project.assert_settled("stack.yaml", &[]);
    assert_eq!(project.read("out/b"), "two ${{ no expression }}\nand more\n");
}

#[test]
fn table_is_imported_by_its_id() {
    let project = Project::with_stack(
        "resources:\n  - {type: sqlite_database, name: db, config: {path: shop.db}}\n  - type: sqlite_table\n    name: t\n    \
         config: {path: '${{ resources.db.path }}', name: ORDERS, columns: [{name: ID, type: INTEGER}]}\n",
    );
    project.apply().done();
    let id = project.run(["state", "show", "sqlite_table.t", "--json"]).done().json()["attributes"]["id"].clone();
    project.run(["state", "rm", "sqlite_table.t"]).done();
    project.run(["import", "sqlite_table.t", id.as_str().unwrap()]).done();
    project.assert_settled("stack.yaml", &[]);
}

#[test]
fn id_may_begin_with_a_dash() {
    let project = Project::with_stack("resources: []\n");
    project.write("-odd", "one");
    project.run(["import", "demo@local:local_file.a", "-odd"]).done().prints("local_file.a is `-odd` now");
    project.run(["import", "--generate", "demo@local:local_file.b", "-odd", "--nonsense"]).with_code(1);
}

#[test]
fn refused_import_names_its_reason_and_changes_nothing() {
    let project = Project::with_stack(ONE);
    project.apply().done();
    let recorded = project.recorded();
    snapshot!(project.run(["import", "local_file.b", "out/a"]), @"
    exit: 1
    --- stderr
    error: `out/a` is demo@local:local_file.a already

    hint: an object has one resource: `moved` gives it another address within its stack, `terrace state rm 'demo@local:local_file.a'` drops it
    ");
    snapshot!(project.run(["import", "local_file.b", "out/nothing"]), @"
    exit: 1
    --- stderr
    error: there is no `local_file` with the id `out/nothing`

    hint: check the id; to create the object, remove the import
    ");
    snapshot!(project.run(["import", "local_value.b", "x"]), @"
    exit: 1
    --- stderr
    error: `x` cannot be looked up: a `local_value` cannot be imported: it exists in state only

    hint: declare it and apply; there is nothing to import outside the state
    ");
    snapshot!(project.run(["import", "local_fil.b", "x"]), @"
    exit: 1
    --- stderr
    error: there is no resource type `local_fil`

    hint: did you mean `local_file`?
    ");
    snapshot!(project.run(["import", "local_file.b"]), @"
    exit: 1
    --- stderr
    error: an import needs the id of an object

    hint: run `terrace import ADDRESS ID`; `terrace providers schema NAME` describes the id of a type
    ");
    snapshot!(project.run(["import", "shared/local_directory[\"x\"]", "x"]), @"
    exit: 1
    --- stderr
    error: shared resources are adopted by the component that declares them

    hint: set `adopt: ifExists` on the resource
    ");
    project.write("out/c", "three");
    snapshot!(project.run(["import", "local_file.a", "out/c"]), @"
    exit: 1
    --- stderr
    error: the state has another object at demo@local:local_file.a

    hint: drop its row and keep that object with `terrace state rm demo@local:local_file.a`
    ");
    assert_eq!(project.recorded(), recorded);
}

#[test]
fn tainted_object_is_replaced_unless_untainted() {
    let project = Project::with_stack(ONE);
    project.apply().done();
    snapshot!(project.run(["taint", "local_file.a"]), @"
    exit: 0
    --- stdout
    local_file.a is tainted: the next plan replaces it
    ");
    project.run(["plan", "stack.yaml"]).done().prints("is tainted, so must be replaced");
    snapshot!(project.run(["taint", "demo@local:local_file.a"]), @"
    exit: 0
    --- stdout
    local_file.a is tainted: the next plan replaces it (nothing changed)
    ");
    snapshot!(project.run(["untaint", "local_file.a"]), @"
    exit: 0
    --- stdout
    local_file.a is not tainted any more
    ");
    project.assert_settled("stack.yaml", &[]);
    snapshot!(project.run(["state", "history", "local_file.a"]), @"
    exit: 0
    --- stdout
    3  [time]  ready  [uuid]
    2  [time]  tainted  [uuid]
    1  [time]  ready  [uuid]
    ");
    snapshot!(project.run(["taint", "local_file.b"]), @"
    exit: 1
    --- stderr
    error: demo@local has no resource `local_file.b`

    hint: `terrace state list` lists its resources, `terrace state list --all` those of all stacks
    ");
}

#[test]
fn protected_object_is_kept_until_unprotected() {
    let protected = |name: &str| {
        format!(
            "  - {{type: local_file, name: {name}, lifecycle: {{preventDestroy: true}}, config: {{path: out/{name}, \
             content: one}}}}\n"
        )
    };
    let project = Project::with_stack(&format!("resources:\n{}{}", protected("a"), protected("b")));
    project.apply().done();
    project.write_stack("resources: []\n");
    snapshot!(project.run(["apply", "stack.yaml", "--auto-approve"]), @"
    exit: 1
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

      - local_file.a   is not declared any more
      - local_file.b   is not declared any more

    Plan: 0 to add, 0 to change, 2 to destroy.
    This plan has errors and cannot be applied.
    --- stderr
    prevent_destroy

      × demo@local:local_file.a is protected and would be deleted
      hint: remove `preventDestroy` from its lifecycle and apply, or run `terrace unprotect 'demo@local:local_file.a'` if
            nothing declares it; then try again

    prevent_destroy

      × demo@local:local_file.b is protected and would be deleted
      hint: remove `preventDestroy` from its lifecycle and apply, or run `terrace unprotect 'demo@local:local_file.b'` if
            nothing declares it; then try again
    ");
    project.run(["destroy", "demo@local", "--auto-approve"]).with_code(1);
    snapshot!(project.run(["unprotect", "local_file.a"]), @"
    exit: 0
    --- stdout
    local_file.a is not protected any more
    ");
    snapshot!(project.run(["unprotect", "local_file.a"]), @"
    exit: 0
    --- stdout
    local_file.a is not protected (nothing changed)
    ");
    project.run(["unprotect", "local_file.b"]).done();
    project.apply().done();
    assert_eq!(project.run(["state", "list"]).done().stdout, "");
}

#[test]
fn folder_in_place_of_a_file_is_kept() {
    let project = Project::with_stack(ONE);
    project.write("out/a/notes", "mine");
    for words in [&["import", "demo@local:local_file.a", "out/a"][..], &["apply", "stack.yaml", "--auto-approve"]] {
        let refused = project.run(words.iter().copied());
        assert_ne!(refused.code, 0, "{refused}");
        refused.prints("expected a regular file, found a folder").prints("declare the folder as a `local_directory`");
    }
    assert_eq!(project.read("out/a/notes"), "mine");
}

#[test]
fn adopted_file_with_the_declared_content_stays_unchanged() {
    let project = Project::with_stack(
        "resources:\n  \
         - {type: local_file, name: a, adopt: ifExists, config: {path: out/a, content: one}}\n  \
         - {type: local_file, name: b, config: {path: ./out/b, source: one.txt}}\n  \
         - {type: local_file, name: c, config: {path: out/c, contentBase64: b25l, makeParents: false}}\n  \
         - {type: local_file, name: d, config: {path: out/d, content: two}}\n\
         imports: [{to: local_file.b, id: out/b}, {to: local_file.c, id: out/c}, {to: local_file.d, id: out/d}]\n",
    );
    project.write("one.txt", "one");
    for name in ["a", "b", "c", "d"] {
        project.write(&format!("out/{name}"), "one");
        std::fs::set_permissions(project.path(&format!("out/{name}")), Permissions::from_mode(0o644)).unwrap();
    }
    snapshot!(project.run(["plan", "stack.yaml"]), @r#"
    exit: 0
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

      = local_file.a   exists, is adopted
          (8 unchanged attributes hidden)
      = local_file.b   imported from out/b
          (8 unchanged attributes hidden)
      = local_file.c   imported from out/c
          (8 unchanged attributes hidden)
      = local_file.d   imported from out/d, content, sha256 changed
          ~ content = "one" → "two"
          ~ sha256  = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e…" → "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d…"
          (6 unchanged attributes hidden)

    Plan: 4 to import, 0 to add, 1 to change, 0 to destroy.
    (3 imported, 1 adopted)
    "#);
    project.run(["apply", "stack.yaml", "--auto-approve", "-q"]).done().prints("4 imported, 0 added, 1 changed");
    project.assert_settled("stack.yaml", &[]);
}

#[test]
fn declared_protection_holds_for_destroy_after_unprotect() {
    let project = Project::with_stack(
        "resources:\n  - {type: local_file, name: a, lifecycle: {preventDestroy: true}, config: {path: out/a, content: one}}\n",
    );
    project.apply().done();
    project.run(["unprotect", "local_file.a"]).done();
    snapshot!(project.run(["destroy", "stack.yaml", "--auto-approve"]), @"
    exit: 1
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

      - local_file.a

    Plan: 0 to add, 0 to change, 1 to destroy.
    This plan has errors and cannot be applied.
    --- stderr
    prevent_destroy

      × demo@local:local_file.a is protected and would be deleted
       ╭─[stack.yaml:5:5]
     5 │   - {type: local_file, name: a, lifecycle: {preventDestroy: true}, config: {path: out/a, content: one}}
       ·     ───────────────────────────────────────────────────────────────────────────────────────────────────
       ╰────
      hint: remove `preventDestroy` from its lifecycle, then try again
    ");
    assert!(project.has("out/a"));
    project.edit("stack.yaml", "lifecycle: {preventDestroy: true}, ", "");
    project.run(["destroy", "stack.yaml", "--auto-approve"]).done();
    assert!(!project.has("out/a"));
}

#[test]
fn declared_protection_holds_for_destroy_before_a_move_is_applied() {
    let project =
        Project::with_stack("resources:\n  - {type: local_file, name: a, config: {path: out/a, content: one}}\n");
    project.apply().done();
    project.write_stack(
        "resources:\n  - {type: local_file, name: b, lifecycle: {preventDestroy: true}, config: {path: out/a, content: one}}\n\
         moved: [{from: local_file.a, to: local_file.b}]\n",
    );
    let refused = project.run(["destroy", "stack.yaml", "--auto-approve"]).with_code(1);
    refused.prints("demo@local:local_file.a is protected and would be deleted");
    assert!(project.has("out/a"));
}

#[test]
fn dependency_on_all_instances_follows_an_instance_moved_by_state_mv() {
    let project = Project::with_stack(
        "resources:\n  - {type: local_value, name: a, forEach: [x, y], config: {input: 1}}\n  - {type: local_value, name: \
         user, dependsOn: [a], config: {input: 1}}\n",
    );
    project.apply().done();
    project.run(["state", "mv", "local_value.a[\"x\"]", "local_value.b"]).done();
    let user = project.run(["state", "show", "local_value.user", "--json"]).done().json();
    assert_eq!(user["dependencies"], serde_json::json!(["local_value.a[*]", "local_value.b"]));
    project.run(["state", "mv", "local_value.a", "local_value.c"]).done();
    let user = project.run(["state", "show", "local_value.user", "--json"]).done().json();
    assert_eq!(user["dependencies"], serde_json::json!(["local_value.b", "local_value.c[\"y\"]"]));
}
