//! Two products in one database: together, in parallel, and removed in either order.

use terrace_tests::{Project, snapshot, until};

/// Returns a product with its own table in a shared database.
fn product(name: &str, path: &str) -> String {
    format!(
        "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: {name}}}\nresources:\n  \
         - type: sqlite_database\n    name: database\n    shared: warehouse\n    lifecycle: {{onLastRelease: delete}}\n    \
         config: {{path: {path}}}\n  \
         - type: sqlite_table\n    name: table\n    config:\n      path: ${{{{ resources.database.path }}}}\n      \
         name: {name}\n      columns: [{{name: ID, type: INTEGER}}]\n"
    )
}

fn two_products() -> Project {
    let project = Project::new();
    project.write("one.yaml", product("one", "warehouse.db"));
    project.write("two.yaml", product("two", "warehouse.db"));
    project
}

fn tables(project: &Project) -> Vec<String> {
    let connection = rusqlite::Connection::open(project.path("warehouse.db")).unwrap();
    let mut statement = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn products_planned_together_create_their_database_once() {
    let project = two_products();
    snapshot!(project.run(["apply", "one.yaml", "two.yaml", "--auto-approve", "-q"]), @r#"
    exit: 0
    --- stdout
    stack one@local  (embedded environment: SQLite and files under .terrace/local)

      shared
      + sqlite_database["warehouse"]
          + path     = "warehouse.db"
          + onDelete = "ifEmpty"
          + id       = "warehouse.db"

      + sqlite_table.table   1 column
          + path       = "warehouse.db"
          + name       = "one"
          + columns    = [ID INTEGER {nullable = true}]
          + primaryKey = []
          + unique     = []
          + id         = "warehouse.db/one"
      + owner of shared/sqlite_database["warehouse"]

    stack two@local  (embedded environment: SQLite and files under .terrace/local)

      + sqlite_table.table   1 column
          + path       = "warehouse.db"
          + name       = "two"
          + columns    = [ID INTEGER {nullable = true}]
          + primaryKey = []
          + unique     = []
          + id         = "warehouse.db/two"
      + owner of shared/sqlite_database["warehouse"]

    Plan: 3 to add, 0 to change, 0 to destroy.
      one@local: 2 to add, 0 to change, 0 to destroy
      two@local: 1 to add, 0 to change, 0 to destroy

    Apply complete! Resources: 3 added, 0 changed, 0 destroyed.
    "#);
    assert_eq!(tables(&project), ["one", "two"]);
    project.run(["plan", "one.yaml", "--detailed-exitcode"]).done();
    project.run(["plan", "two.yaml", "--detailed-exitcode"]).done();
}

#[test]
fn products_applied_in_parallel_both_succeed() {
    let project = two_products();
    // The state exists, so both begin with the same plan: create the database.
    project.write("seed.yaml", "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: seed}\nresources:\n  - {type: local_value, name: a}\n");
    project.run(["apply", "seed.yaml", "--auto-approve", "-q"]).done();
    let apply = |file: &'static str| project.start(project.command(["apply", file, "--auto-approve"]));
    let (one, two) = (apply("one.yaml"), apply("two.yaml"));
    let (one, two) = (one.finish(), two.finish());
    assert_eq!((one.code, two.code), (0, 0), "{one}\n{two}");
    assert_eq!(tables(&project), ["one", "two"]);
    project.assert_settled("one.yaml", &[]);
    project.assert_settled("two.yaml", &[]);
    let owned = "sqlite_table.table";
    project.run(["state", "list", "--stack", "one@local"]).done().prints("shared/sqlite_database").prints(owned);
    project.run(["state", "list", "--stack", "two@local"]).done().prints("shared/sqlite_database").prints(owned);
}

#[test]
fn database_is_removed_with_the_last_product() {
    for (first, last) in [("one", "two"), ("two", "one")] {
        let project = two_products();
        project.run(["apply", "one.yaml", "two.yaml", "--auto-approve", "-q"]).done();
        let destroy = |name: &str| {
            project.run(["destroy", &format!("{name}.yaml"), "--remove-data", "--auto-approve", "-q"]).done();
        };
        destroy(first);
        assert_eq!(tables(&project), [last]);
        destroy(last);
        assert!(!project.has("warehouse.db"), "the last owner has left");
        assert_eq!(project.run(["state", "list", "--all"]).done().stdout, "");
    }
}

#[test]
fn products_removed_in_parallel_leave_no_orphan() {
    let project = two_products();
    project.run(["apply", "one.yaml", "two.yaml", "--auto-approve", "-q"]).done();
    let destroy =
        |file: &'static str| project.start(project.command(["destroy", file, "--remove-data", "--auto-approve", "-q"]));
    let (one, two) = (destroy("one.yaml"), destroy("two.yaml"));
    for ran in [one.finish(), two.finish()] {
        assert!(ran.code == 0 || (ran.code == 3 && ran.stderr.contains("still owns it")), "{ran}");
    }
    // If each expected the other one to stay, the later one still owns the database and removes it.
    project.run(["destroy", "one.yaml", "two.yaml", "--remove-data", "--auto-approve", "-q"]).done();
    assert!(!project.has("warehouse.db"));
    assert_eq!(project.run(["state", "list", "--all"]).done().stdout, "");
}

#[test]
fn different_declaration_of_the_database_names_its_owners() {
    let project = two_products();
    project.run(["apply", "one.yaml", "two.yaml", "--auto-approve", "-q"]).done();
    project.write("two.yaml", product("two", "other.db"));
    snapshot!(project.run(["plan", "two.yaml"]), @r#"
    exit: 1
    --- stdout
    stack two@local  (embedded environment: SQLite and files under .terrace/local)

      shared
      -/+ sqlite_database["warehouse"]   must be replaced: path "warehouse.db" → "other.db"
          ! the object is deleted and created again: it is empty or already gone: no data is lost
          ~ path = "warehouse.db" → "other.db"  # forces replacement
          ~ id   = "warehouse.db" → "other.db"
          (1 unchanged attribute hidden)

      -/+ sqlite_table.table   must be replaced: path "warehouse.db" → "other.db"
          ! the object is deleted and created again: it is empty or already gone: no data is lost
          ~ path = "warehouse.db" → "other.db"  # forces replacement
          ~ id   = "warehouse.db/two" → "other.db/two"
          (4 unchanged attributes hidden)
      ~ owner of shared/sqlite_database["warehouse"]

    Plan: 2 to add, 0 to change, 2 to destroy.
    (2 replaced)
    This plan has errors and cannot be applied.
    --- stderr
    shared_conflict

      × two@local declares shared/sqlite_database["warehouse"] with a different `path` than one@local, which owns it too
      │ at one.yaml:5:5
       ╭─[two.yaml:5:5]
     5 │   - type: sqlite_database
       ·     ──────────┬──────────
       ·               ╰── by two@local
       ╰────
      hint: change the shared resource in one@local too, and plan both stacks in one run
    "#);
    assert!(!project.has("other.db"));
}

#[test]
fn product_waits_only_while_its_shared_resource_is_changed() {
    let project = Project::new();
    project.make_gate("gate");
    let slow = "  - type: local_command\n    name: slow\n    dependsOn: [database]\n    config:\n      \
                create: [sh, -c, 'cat > /dev/null; touch started; read line < gate; echo \"{}\"']\n";
    project.write("one.yaml", product("one", "warehouse.db") + slow);
    project.write("two.yaml", product("two", "warehouse.db"));
    let one = project.start(project.command(["apply", "one.yaml", "--auto-approve", "-q"]));
    until("the first product is at work on its own", || project.has("started"));
    project.run(["apply", "two.yaml", "--auto-approve", "-q", "--lock-timeout", "0s"]).done();
    project.open_gate("gate");
    one.finish().done();
    assert_eq!(tables(&project), ["one", "two"]);
}

#[test]
fn empty_state_list_mentions_retained_shared_resources() {
    let project =
        Project::with_stack("resources: [{type: local_directory, name: d, shared: shop, config: {path: d}}]\n");
    project.apply().done();
    project.run(["destroy", "stack.yaml", "--auto-approve", "--remove-data"]).done();
    let listed = project.run(["state", "list"]).done();
    listed.prints("the state has only shared resources; `terrace state list --all` lists them");
    project.run(["state", "list", "--all"]).done().prints("shared/local_directory");
}

#[test]
fn released_owner_of_another_stack_is_named() {
    let product = |name: &str, component: &str| {
        format!(
            "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: {name}}}\ncomponents:\n  {component}:\n    \
             resources: [{{type: local_directory, name: d, shared: shop, lifecycle: {{onLastRelease: delete}}, \
             config: {{path: shop}}}}]\n"
        )
    };
    let project = Project::new();
    project.write("one.yaml", product("one", "api"));
    project.write("two.yaml", product("two", "web"));
    project.run(["apply", "one.yaml", "--auto-approve", "-q"]).done();
    project.write("shop/data", "data");
    project.run(["destroy", "one.yaml", "--auto-approve", "-q"]).done();
    snapshot!(project.run(["plan", "two.yaml"]), @r#"
    exit: 0
    --- stdout
    stack two@local  (embedded environment: SQLite and files under .terrace/local)

      shared
      = local_directory["shop"]   was retained, is adopted again
          (4 unchanged attributes hidden)
      - owner one@local:api of shared/local_directory["shop"]

      web
      + owner of shared/local_directory["shop"]

    Plan: 1 to import, 0 to add, 0 to change, 0 to destroy.
    (1 adopted)
    "#);
    let markdown = project.run(["plan", "two.yaml", "--format", "markdown"]).done().stdout;
    assert!(markdown.contains("- owner one@local:api of shared/local_directory"), "{markdown}");
    assert!(!markdown.contains("<summary>api"), "{markdown}");
}

#[test]
fn data_without_owners_can_be_removed() {
    let project = Project::with_stack(
        "resources:\n  - {type: sqlite_database, name: db, shared: shop, config: {path: shop.db, onDelete: ifEmpty}}\n",
    );
    project.apply().done();
    let destroyed = project.run(["destroy", "stack.yaml", "--remove-data", "--auto-approve"]).done();
    destroyed.prints("Retained, with their data (`terrace destroy shared@local --remove-data` removes them):");
    assert!(project.has("shop.db"));
    project.run(["destroy", "shared@local", "--remove-data", "--auto-approve"]).done();
    assert!(!project.has("shop.db"));
}

#[test]
fn plan_of_a_leaving_owner_is_applied_in_part_if_the_other_left_first() {
    let project = two_products();
    project.run(["apply", "one.yaml", "two.yaml", "--auto-approve", "-q"]).done();
    for name in ["one", "two"] {
        let empty = format!("apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: {name}}}\nresources: []\n");
        project.write(&format!("{name}.yaml"), empty);
    }
    for name in ["one", "two"] {
        project.run(["plan", &format!("{name}.yaml"), "--out", name, "--remove-data", "--allow-data-loss"]).done();
    }
    project.run(["apply", "one"]).done();
    let last = project.run(["apply", "two"]).with_code(3);
    last.prints("two@local still owns it").prints("Applied in part.").prints("1 still owned");
    assert!(project.has("warehouse.db"));
    project.run(["apply", "two.yaml", "--auto-approve", "--remove-data", "--allow-data-loss"]).done();
    assert!(!project.has("warehouse.db"));
}

const WAREHOUSE: &str = "shared@local:shared/sqlite_database[\"warehouse\"]";
const DEPOT: &str = "shared/sqlite_database[\"depot\"]";

#[test]
fn shared_resource_moves_to_another_address_and_keeps_its_owners() {
    let project = two_products();
    project.run(["apply", "one.yaml", "two.yaml", "--auto-approve", "-q"]).done();
    snapshot!(project.run(["state", "mv", WAREHOUSE, DEPOT]), @r#"
    exit: 0
    --- stdout
    shared/sqlite_database["warehouse"] is shared/sqlite_database["depot"] now
    "#);
    for name in ["one", "two"] {
        let shown = project.run(["state", "show", &format!("{name}@local:sqlite_table.table"), "--json"]).done().json();
        assert_eq!(shown["dependencies"], serde_json::json!([DEPOT]), "{name}");
        let file = format!("{name}.yaml");
        project.edit(&file, "shared: warehouse", "shared: depot");
        project.assert_settled(&file, &[]);
    }
    project.run(["state", "history", WAREHOUSE]).done().prints("moved to shared/sqlite_database[\"depot\"]");
    for name in ["one", "two"] {
        assert!(project.has("warehouse.db"), "it has an owner");
        project.run(["destroy", &format!("{name}.yaml"), "--remove-data", "--auto-approve", "-q"]).done();
    }
    assert!(!project.has("warehouse.db"), "the last owner has left");
    assert_eq!(project.run(["state", "list", "--all"]).done().stdout, "");
}

#[test]
fn invalid_shared_address_is_refused() {
    let project = two_products();
    project.run(["apply", "one.yaml", "two.yaml", "--auto-approve", "-q"]).done();
    project.write("other.yaml", product("other", "other.db").replace("shared: warehouse", "shared: depot"));
    project.run(["apply", "other.yaml", "--auto-approve", "-q"]).done();
    let listed = project.run(["state", "list", "--all"]).done().stdout;
    snapshot!(project.run(["state", "mv", WAREHOUSE, "sqlite_database.depot"]), @r#"
    exit: 1
    --- stderr
    error: a shared resource cannot become `sqlite_database.depot`, which belongs to a stack

    hint: write the new address as `shared/sqlite_database["KEY"]`
    "#);
    snapshot!(project.run(["state", "mv", "one@local:sqlite_table.table", "shared/sqlite_table[\"t\"]"]), @r#"
    exit: 1
    --- stderr
    error: a resource of a stack cannot become `shared/sqlite_table["t"]`, which is shared

    hint: drop it with `terrace state rm`, and declare it with `shared` and `adopt: ifExists`
    "#);
    snapshot!(project.run(["state", "mv", WAREHOUSE, "shared/sqlite_database[0]"]), @r#"
    exit: 1
    --- stderr
    error: `shared/sqlite_database[0]` cannot be the address of a shared resource

    hint: write the key in quotes: `["KEY"]`
    "#);
    let taken = project.run(["state", "mv", WAREHOUSE, DEPOT]);
    assert_ne!(taken.code, 0, "{taken}");
    taken.prints("depot");
    assert_eq!(project.run(["state", "list", "--all"]).done().stdout, listed);
}

#[test]
fn shared_resource_is_not_moved_while_a_dependent_is_changed() {
    let project = Project::new();
    project.make_gate("gate");
    let slow = "  - type: local_command\n    name: slow\n    dependsOn: [database]\n    config:\n      \
                create: [sh, -c, 'cat > /dev/null; touch started; read line < gate; echo \"{}\"']\n";
    project.write("one.yaml", product("one", "warehouse.db") + slow);
    let one = project.start(project.command(["apply", "one.yaml", "--auto-approve", "-q"]));
    until("the product is at work", || project.has("started"));
    let refused = project.run(["state", "mv", WAREHOUSE, DEPOT]).with_code(4);
    refused.prints("another operation works on one@local:local_command.slow");
    project.open_gate("gate");
    one.finish().done();
    project.assert_settled("one.yaml", &[]);
}
