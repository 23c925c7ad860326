//! Lookups with the built-in providers: files and tables created outside terrace, or created by the same plan.

use terrace_tests::{Project, snapshot};

#[test]
fn existing_file_is_looked_up_during_planning() {
    let project = Project::with_stack(
        r#"data:
  - {type: local_file, name: note, config: {path: note.txt}}
outputs: {length: '${{ data.note.size }}', text: '${{ data.note.content }}'}
"#,
    );
    snapshot!(project.run(["plan", "stack.yaml"]), @"
    exit: 1
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

      outputs
      + length = (known after apply)
      + text   = (known after apply)

    Plan: 0 to add, 0 to change, 0 to destroy.
    This plan has errors and cannot be applied.
    --- stderr
    lookup_failed

      × data.local_file.note has no answer: `path` is `note.txt`: there is no such file
       ╭─[stack.yaml:5:30]
     5 │   - {type: local_file, name: note, config: {path: note.txt}}
       ·                              ────
       ╰────
      hint: create it first; if this component creates it, add it to the lookup's `dependsOn`
    ");
    project.write("note.txt", "hello");
    snapshot!(project.run(["plan", "stack.yaml"]), @r#"
    exit: 0
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

      outputs
      + length = 5
      + text   = "hello"

    Plan: 0 to add, 0 to change, 0 to destroy.
    "#);
}

#[test]
fn sensitive_file_is_never_shown() {
    let project = Project::with_stack(
        r#"data:
  - {type: local_file, name: note, config: {path: note.txt, sensitive: true}}
outputs: {text: {value: '${{ data.note.content }}', sensitive: true}}
"#,
    );
    project.write("note.txt", "hunter2");
    let ran = project.run(["plan", "stack.yaml", "--format", "json"]).done();
    assert!(!ran.stdout.contains("hunter2") && !ran.stderr.contains("hunter2"), "{ran}");
}

const PORT: &str = r#"components:
  port:
    dependsOn: [area]
    data:
      - {type: sqlite_table, name: orders, config: {path: shop.db, name: ORDERS}}
    resources:
      - type: sqlite_view
        name: view
        config:
          path: shop.db
          name: ORDERS_V
          source: {name: ORDERS}
          columns: ${{ data.orders.columns.map(c, c.name) }}
        dependsOn: []
  area:
    resources:
      - type: sqlite_table
        name: orders
        config:
          path: shop.db
          name: ORDERS
          columns: [{name: ID, type: INTEGER}, {name: NOTE, type: TEXT}]
"#;

#[test]
fn table_created_by_the_plan_answers_a_lookup() {
    let project = Project::with_stack(PORT);
    snapshot!(project.run(["plan", "stack.yaml"]), @r#"
    exit: 0
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

      port
      + sqlite_view.view   2 columns
          + path    = "shop.db"
          + name    = "ORDERS_V"
          + source  = {name = "ORDERS"}
          + columns = ["ID", "NOTE"]
          + id      = "shop.db/ORDERS_V"
      <= data.sqlite_table.orders   is read during apply: the object that it looks up changes

      area
      + sqlite_table.orders   2 columns
          + path       = "shop.db"
          + name       = "ORDERS"
          + columns    = [ID INTEGER {nullable = true}, NOTE TEXT {nullable = true}]
          + primaryKey = []
          + unique     = []
          + id         = "shop.db/ORDERS"

    Plan: 2 to add, 0 to change, 0 to destroy.
    (in 2 of 2 components)
    "#);
    project.apply().done();
    project.assert_settled("stack.yaml", &[]);
    let json = project.run(["plan", "stack.yaml", "--format", "json"]).done().json();
    assert!(json["resource_changes"].as_array().unwrap().iter().all(|change| change["mode"] == "managed"));
}

#[test]
fn component_is_planned_alone_after_its_lookup_target_is_deployed() {
    let project = Project::with_stack(PORT);
    snapshot!(project.run(["apply", "stack.yaml", "-c", "port", "--auto-approve", "-q"]), @r#"
    exit: 1
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

      port
      + sqlite_view.view
          + path    = "shop.db"
          + name    = "ORDERS_V"
          + source  = {name = "ORDERS"}
          + columns = (known after apply)
          + id      = "shop.db/ORDERS_V"

    Plan: 1 to add, 0 to change, 0 to destroy.
    (in 1 of 2 components)
    This plan has errors and cannot be applied.
    --- stderr
    lookup_failed

      × port/data.sqlite_table.orders has no answer: there is no database `shop.db`
       ╭─[stack.yaml:8:36]
     8 │       - {type: sqlite_table, name: orders, config: {path: shop.db, name: ORDERS}}
       ·                                    ──────
       ╰────
      hint: `area`, which this component depends on, is not deployed: deploy it first, or in the same run
    "#);
    project.run(["apply", "stack.yaml", "-c", "area", "--auto-approve", "-q"]).done();
    project.run(["apply", "stack.yaml", "-c", "port", "--auto-approve", "-q"]).done();
    project.assert_settled("stack.yaml", &[]);
}

#[test]
fn lookup_during_apply_is_in_every_format_of_the_plan() {
    let project = Project::with_stack(PORT);
    let json = project.run(["plan", "stack.yaml", "--format", "json"]).done().json();
    let changes = json["resource_changes"].as_array().unwrap();
    let read = changes.iter().find(|change| change["mode"] == "data").unwrap();
    assert_eq!(read["address"], "port/data.sqlite_table.orders");
    assert_eq!(read["change"]["actions"], serde_json::json!(["read"]));
    assert_eq!(read["action_reason"], "read_because_dependency_pending");
    let markdown = project.run(["plan", "stack.yaml", "--format", "markdown"]).done();
    markdown.prints("data.sqlite_table.orders   is read during apply: the object that it looks up changes");
    let stream = project.run(["plan", "stack.yaml", "--format", "json-stream"]).done();
    stream.prints("port/data.sqlite_table.orders: Plan to read");
    project.run(["plan", "stack.yaml", "--out", "plan"]).done();
    project.run(["apply", "plan"]).done();
    project.assert_settled("stack.yaml", &[]);
}

#[test]
fn blueprint_check_finds_a_wrong_lookup_attribute_without_a_descriptor() {
    let project = Project::new();
    project.write(
        "blueprints/port.yaml",
        r#"apiVersion: terrace.dev/v1
kind: Blueprint
metadata: {name: port, version: 1.0.0}
data:
  - {type: sqlite_table, name: orders, config: {path: shop.db, nam: ORDERS}}
  - {type: sqlite_tabel, name: other}
resources:
  - type: local_file
    name: columns
    config: {path: columns.txt, content: '${{ json(data.orders.colums) }}'}
"#,
    );
    snapshot!(project.run(["blueprints", "check", "blueprints/port.yaml"]), @"
    exit: 1
    --- stderr
    unknown_field

      × the lookup `orders` does not return `colums`
        ╭─[blueprints/port.yaml:10:47]
     10 │     config: {path: columns.txt, content: '${{ json(data.orders.colums) }}'}
        ·                                               ────────────────────────
        ╰────
      hint: did you mean `columns`?

    unknown_lookup

      × there is no lookup `sqlite_tabel`
       ╭─[blueprints/port.yaml:6:12]
     6 │   - {type: sqlite_tabel, name: other}
       ·            ────────────
       ╰────
      hint: did you mean `sqlite_table`?

    unknown_attribute

      × `sqlite_table` has no attribute `nam`
       ╭─[blueprints/port.yaml:5:64]
     5 │   - {type: sqlite_table, name: orders, config: {path: shop.db, nam: ORDERS}}
       ·                                                                ───
       ╰────
      hint: did you mean `name`?

    missing_attribute

      × `sqlite_table` needs `name`
       ╭─[blueprints/port.yaml:5:48]
     5 │   - {type: sqlite_table, name: orders, config: {path: shop.db, nam: ORDERS}}
       ·                                                ────────────────────────────
       ╰────
      hint: add `name`: The table's name.
    ");
}

#[test]
fn provider_schema_shows_lookups() {
    let project = Project::new();
    project.run(["providers", "schema", "sqlite"]).done().prints("lookup sqlite_table: An existing table.");
    let json = project.run(["providers", "schema", "local", "--format", "json"]).done().json();
    assert_eq!(json["lookups"][0]["name"], "local_file");
}

#[test]
fn validation_checks_lookups_without_provider_calls() {
    let project = Project::with_stack("data:\n  - {type: local_fil, name: a, config: {path: x}}\n");
    snapshot!(project.run(["validate", "stack.yaml"]), @"
    exit: 1
    --- stderr
    unknown_lookup

      × there is no lookup `local_fil`
       ╭─[stack.yaml:5:12]
     5 │   - {type: local_fil, name: a, config: {path: x}}
       ·            ─────────
       ╰────
      hint: did you mean `local_file`?
    ");
    project.write_stack(PORT);
    snapshot!(project.run(["validate", "stack.yaml", "-c", "port"]), @"
    exit: 0
    --- stdout
    valid: demo@local
    --- stderr
    depends_on_left_out

      ☞ `port` depends on `area`, which `-c` leaves out
       ╭─[stack.yaml:6:17]
     6 │     dependsOn: [area]
       ·                 ────
       ╰────
      hint: deploy it before this component
    ");
}

#[test]
fn renamed_table_is_not_looked_up_by_its_old_name() {
    let project = Project::with_stack(
        "variables: {n: {default: ORDERS}}\ndata:\n  - {type: sqlite_table, name: look, config: {path: s.db, name: ORDERS}}\n\
         resources:\n  - {type: sqlite_database, name: d, config: {path: s.db}}\n  - {type: sqlite_table, name: t, \
         dependsOn: [d], config: {path: s.db, name: '${{ vars.n }}', columns: [{name: a, type: INTEGER}]}}\noutputs: \
         {columns: '${{ data.look.columns }}'}\n",
    );
    project.run(["apply", "stack.yaml", "--auto-approve"]).done();
    let ran = project.run(["plan", "stack.yaml", "--var", "n=NEW", "--allow-data-loss"]).with_code(1);
    ran.prints(
        "demo@local:data.sqlite_table.look looks up an object that this plan removes: demo@local:sqlite_table.t",
    );
}

const MADE: &str = "resources:\n  - {type: local_file, name: made, config: {path: made.txt, content: one}}\n";

#[test]
fn file_paths_of_different_spelling_are_one_file() {
    let project = Project::with_stack(MADE);
    project.apply().done();
    project.write_stack(
        r#"data:
  - {type: local_file, name: it, config: {path: ./made.txt}}
resources:
  - {type: local_file, name: made, config: {path: made.txt, content: two}}
  - {type: local_file, name: user, config: {path: user.txt, content: '${{ data.it.path }} ${{ data.it.content }}'}}
"#,
    );
    project.apply().done();
    assert_eq!(project.read("user.txt"), "./made.txt two");
    project.assert_settled("stack.yaml", &[]);
    // A lookup by another spelling does not find an object that the plan removes either.
    project.write_stack(
        "data:\n  - {type: local_file, name: it, config: {path: ./made.txt}}\noutputs: {o: '${{ data.it.content }}'}\n",
    );
    let ran = project.run(["plan", "stack.yaml"]).with_code(1);
    ran.prints("demo@local:data.local_file.it looks up an object that this plan removes: demo@local:local_file.made");
}

#[test]
fn file_of_another_stack_is_found_by_another_spelling_of_its_path() {
    let project = Project::with_stack(MADE);
    let taker = r#"apiVersion: terrace.dev/v1
kind: Stack
metadata: {name: taker}
data:
  - {type: local_file, name: it, config: {path: x/../made.txt}}
resources:
  - {type: local_file, name: user, config: {path: user.txt, content: '${{ data.it.content }}'}}
"#;
    project.write("taker.yaml", taker);
    project.run(["apply", "taker.yaml", "stack.yaml", "--auto-approve"]).done();
    assert_eq!(project.read("user.txt"), "one");
    project.assert_settled("stack.yaml", &["taker.yaml"]);
}
