//! Data is lost only if the plan showed it and the user consented, even if the plan had unknown values.

use serde_json::{Value as Json, json};
use terrace_tests::served::Served;
use terrace_tests::{Project, snapshot, until};

/// A table whose columns and comment come from values of the stack.
fn stack(more: &str, columns: &str, comment: &str) -> String {
    format!(
        "resources:\n  - {{type: local_value, name: columns, config: {{input: {columns}}}}}\n  \
         - {{type: local_value, name: comment, config: {{input: {comment}}}}}\n  \
         - type: sqlite_table\n    name: table\n{more}    config:\n      path: shop.db\n      name: DEMO\n      "
    )
}

const BOTH: &str = "[{name: A, type: INTEGER}, {name: B, type: TEXT}]";
const ONE: &str = "[{name: A, type: INTEGER}]";
const COLUMNS_UNKNOWN: &str = "columns: ${{ resources.columns.output }}\n";

fn filled() -> Project {
    let project = Project::with_stack(&(stack("", BOTH, "one") + COLUMNS_UNKNOWN));
    project.apply().done();
    sql(&project, "INSERT INTO DEMO VALUES (1, 'precious')");
    project
}

fn sql(project: &Project, statement: &str) {
    rusqlite::Connection::open(project.path("shop.db")).unwrap().execute_batch(statement).unwrap();
}

fn precious(project: &Project) -> String {
    let connection = rusqlite::Connection::open(project.path("shop.db")).unwrap();
    connection.query_row("SELECT B FROM DEMO", [], |row| row.get(0)).unwrap()
}

#[test]
fn columns_known_after_apply_lose_only_data_that_the_plan_showed() {
    let project = filled();
    project.write_stack(&(stack("", ONE, "one") + COLUMNS_UNKNOWN));
    project.run(["plan", "stack.yaml"]).done();
    let ran = project.apply().with_code(3);
    ran.prints("1 row would be lost, which the plan did not show: column B is dropped");
    assert_eq!(precious(&project), "precious");
    // The columns are known now: the plan shows the loss and asks.
    project.apply().with_code(4).prints("column B is dropped");
    assert_eq!(precious(&project), "precious");
    project.run(["apply", "stack.yaml", "--auto-approve", "--allow-data-loss"]).done();
    project.assert_settled("stack.yaml", &[]);
}

#[test]
fn address_in_the_place_of_a_file_gets_a_hint() {
    let project = Project::with_stack("");
    let ran = project.run(["plan", "stack.yaml", "--allow-data-loss", "sqlite_table.table"]).with_code(1);
    ran.prints("there is no file `sqlite_table.table`").prints("`--allow-data-loss=sqlite_table.table`");
    assert!(!project.run(["plan", "stack.json"]).with_code(1).stderr.contains("--allow-data-loss"));
}

#[test]
fn loss_of_known_columns_is_shown_despite_unknown_values() {
    let project = filled();
    let columns = format!("columns: {ONE}\n      comment: ${{{{ resources.comment.output }}}}\n");
    project.write_stack(&(stack("", BOTH, "two") + &columns));
    project.run(["plan", "stack.yaml"]).done().prints("destroys data");
    project.apply().with_code(4).prints("column B is dropped");
    assert_eq!(precious(&project), "precious");
}

#[test]
fn adopted_table_loses_only_data_that_the_plan_showed() {
    let project = Project::new();
    sql(&project, "CREATE TABLE DEMO (A INTEGER, B TEXT); INSERT INTO DEMO VALUES (1, 'precious')");
    project.write_stack(&(stack("    adopt: ifExists\n", ONE, "one") + COLUMNS_UNKNOWN));
    project.apply().with_code(3).prints("1 row would be lost");
    assert_eq!(precious(&project), "precious");
}

#[test]
fn empty_table_changes_without_consent() {
    let project = filled();
    sql(&project, "DELETE FROM DEMO");
    project.write_stack(&(stack("", ONE, "one") + COLUMNS_UNKNOWN));
    project.apply().done();
    project.assert_settled("stack.yaml", &[]);
}

#[test]
fn saved_plan_without_consent_says_how_to_plan_again() {
    let project = filled();
    project.write_stack(&(stack("", ONE, "one") + &format!("columns: {ONE}\n")));
    let planned = project.run(["plan", "stack.yaml", "--out", "my plan"]).done();
    planned.prints("saved the plan: `terrace apply 'my plan'` refuses it, because data would be lost");
    planned.prints("plan again with `--allow-data-loss=sqlite_table.table`, or everywhere with `--allow-data-loss`");
    project.run(["apply", "my plan"]).with_code(4);
    let planned =
        project.run(["plan", "stack.yaml", "--allow-data-loss=sqlite_table.table", "--out", "my plan"]).done();
    planned.prints("saved the plan: `terrace apply 'my plan' --plan-digest ").prints("` applies exactly this plan");
    project.run(["apply", "my plan"]).done();
}

/// Consent does not delete a non-empty database with `onDelete: ifEmpty`.
#[test]
fn database_with_if_empty_says_what_helps() {
    let stack = |path: &str, more: &str| {
        format!("resources:\n  - {{type: sqlite_database, name: db, config: {{path: {path}{more}}}}}\n")
    };
    let project = Project::with_stack(&stack("shop.db", ""));
    project.apply().done();
    sql(&project, "CREATE TABLE T (A); INSERT INTO T VALUES (1)");
    let helps = "`onDelete: ifEmpty` deletes it only once it is empty; empty it, or apply `onDelete: recursive` first";
    project.run(["destroy", "stack.yaml", "--auto-approve"]).done().prints(helps);
    project.apply().done();
    project.write_stack(&stack("other.db", ""));
    project.run(["plan", "stack.yaml"]).done().prints("that is not enough: `onDelete: ifEmpty`");
    project.apply().with_code(4).prints(&format!("consent is not enough for `sqlite_database.db`: {helps}"));
    // The remedy works.
    project.write_stack(&stack("shop.db", ", onDelete: recursive"));
    project.apply().done();
    project.write_stack(&stack("other.db", ", onDelete: recursive"));
    let refused = project.apply().with_code(4);
    assert!(!refused.stderr.contains("not enough"), "{refused}");
    project.run(["apply", "stack.yaml", "--auto-approve", "--allow-data-loss"]).done();
    assert!(!project.has("shop.db"));
}

#[test]
fn consent_covers_one_stack_and_existing_data() {
    let project = Project::new();
    let write = |more: &str| {
        for name in ["one", "two"] {
            let columns = format!("[{{name: ID, type: INTEGER}}{more}]");
            let table = format!("{{path: shop.db, name: {name}, columns: {columns}}}");
            let table = format!("resources: [{{type: sqlite_table, name: t, config: {table}}}]\n");
            project.write_named_stack(name, &table);
        }
    };
    write(", {name: B, type: TEXT}");
    let both = ["one.yaml", "two.yaml", "--auto-approve"];
    project.run(["apply"].into_iter().chain(both)).done();
    sql(&project, "INSERT INTO one VALUES (1, 'precious'); INSERT INTO two VALUES (1, 'precious')");
    write("");
    let apply = |consent: &str| project.run(["apply", consent].into_iter().chain(both));
    apply("-q").with_code(4).prints(
        "consent with `--allow-data-loss=one@local:sqlite_table.t --allow-data-loss=two@local:sqlite_table.t`, or everywhere",
    );
    snapshot!(apply("--allow-data-loss=sqlite_table.t"), @"
    exit: 1
    --- stdout
    stack one@local  (embedded environment: SQLite and files under .terrace/local)

      ~ sqlite_table.t   columns changed   ! destroys data
          ! column B is dropped: 1 row (consent is given)
          ~ columns
              - B TEXT {nullable = true}
              (1 unchanged item hidden)
          (5 unchanged attributes hidden)

    stack two@local  (embedded environment: SQLite and files under .terrace/local)

      ~ sqlite_table.t   columns changed   ! destroys data
          ! column B is dropped: 1 row (consent is given)
          ~ columns
              - B TEXT {nullable = true}
              (1 unchanged item hidden)
          (5 unchanged attributes hidden)

    Plan: 0 to add, 2 to change, 0 to destroy.
      one@local: 0 to add, 1 to change, 0 to destroy
      two@local: 0 to add, 1 to change, 0 to destroy
    This plan has errors and cannot be applied.
    --- stderr
    ambiguous_consent

      × `--allow-data-loss=sqlite_table.t` names objects of several stacks: `one@local`, `two@local`
      hint: name the stack: `--allow-data-loss=one@local:sqlite_table.t`
    ");
    apply("--allow-data-loss=sqlite_table.nosuch").with_code(1).prints("names no resource");
    apply("--allow-data-loss=one@local:sqlite_table.t")
        .with_code(4)
        .prints("two@local:sqlite_table.t would lose 1 row");
}

/// Two stacks may use the same database name.
#[test]
fn retained_objects_are_reported_for_each_stack() {
    let project = Project::new();
    for (name, more) in [("one", ""), ("two", ", onDelete: recursive")] {
        let database = format!("{{type: sqlite_database, name: db, config: {{path: {name}.db{more}}}}}");
        project.write_named_stack(name, &format!("resources: [{database}]\n"));
    }
    let both = ["one.yaml", "two.yaml", "--auto-approve"];
    project.run(["apply"].into_iter().chain(both)).done();
    project.run(["destroy"].into_iter().chain(both)).done().prints(
        "  o one@local:sqlite_database.db\n      `onDelete: ifEmpty` deletes it only once it is empty; empty it, or apply \
         `onDelete: recursive` first\n  o two@local:sqlite_database.db\n",
    );
}

/// Tables of the same stack are deleted before their database: consent is enough.
#[test]
fn database_emptied_by_its_own_stack_needs_only_consent() {
    let stack = |path: &str| {
        format!(
            "resources:\n  - {{type: sqlite_database, name: db, config: {{path: {path}}}}}\n  - type: sqlite_table\n    \
             name: table\n    config: {{path: '${{{{ resources.db.path }}}}', name: DEMO, columns: {BOTH}}}\n"
        )
    };
    let project = Project::with_stack(&stack("shop.db"));
    project.apply().done();
    sql(&project, "INSERT INTO DEMO VALUES (1, 'precious')");
    project.write_stack(&stack("other.db"));
    let refused = project.apply().with_code(4);
    assert!(!refused.stderr.contains("not enough") && !refused.stdout.contains("not enough"), "{refused}");
    project.run(["apply", "stack.yaml", "--auto-approve", "--allow-data-loss"]).done();
    let kept = project.run(["destroy", "stack.yaml", "--auto-approve"]).done();
    kept.prints("sqlite_database.db");
    assert!(!kept.stdout.contains("ifEmpty"), "{kept}");
}

/// Objects that the run deleted don't have to be removed first.
#[test]
fn folder_emptied_by_the_run_is_not_reported_as_filled() {
    let project = Project::with_stack(
        "resources:\n  - {type: local_directory, name: folder, config: {path: out}}\n  \
         - {type: local_file, name: a, dependsOn: [folder], config: {path: out/a, content: one}}\n",
    );
    project.apply().done();
    let kept = project.run(["destroy", "stack.yaml", "--auto-approve"]).done();
    kept.prints("Retained, with their data (`--remove-data` removes them):\n  o demo@local:local_directory.folder");
    assert!(!kept.stdout.contains("ifEmpty"), "{kept}");
    project.run(["destroy", "stack.yaml", "--auto-approve", "--remove-data"]).done();
    assert!(!project.has("out"));
}

/// The amount in the plan is a limit.
#[test]
fn database_with_more_rows_than_planned_is_not_deleted() {
    let project = Project::with_stack(
        "resources:\n  - {type: sqlite_database, name: db, config: {path: shop.db, onDelete: recursive}}\n",
    );
    project.apply().done();
    sql(&project, "CREATE TABLE T (A); INSERT INTO T VALUES (1)");
    project
        .run(["plan", "stack.yaml", "--destroy", "--remove-data", "--out", "plan"])
        .done()
        .prints("1 table with 1 row");
    sql(&project, "INSERT INTO T VALUES (2), (3)");
    let refused = project.run(["apply", "plan"]).with_code(3);
    refused.prints("the object grew to 1 table with 3 rows (the plan showed 1 table with 1 row)");
    let rows = rusqlite::Connection::open(project.path("shop.db")).unwrap();
    assert_eq!(rows.query_row("SELECT count(*) FROM T", [], |row| row.get::<_, i64>(0)).unwrap(), 3);
}

#[test]
fn data_loss_over_http_needs_consent_in_the_plan() {
    let project = filled();
    project.write("terrace.yaml", "server: {stacks: true}\n");
    project.write_stack(&format!("{}columns: {ONE}\n", stack("", ONE, "one")));
    let text = project.read("stack.yaml");
    let server = Served::start(&project, &[]);
    let plan = |allowed: Json| {
        let body = json!({"descriptor": text, "allow_data_loss": allowed}).to_string();
        server.call("POST", "/api/v1/plans", &body)
    };
    let apply = |plan: &Json| server.call("POST", &format!("/api/v1/plans/{}/apply", plan["id"].as_str().unwrap()), "");
    let expected = "demo@local:sqlite_table.table would lose data: column B is dropped (1 row)";
    let how = r#"plan with `POST /api/v1/plans` and `"allow_data_loss": ["sqlite_table.table"]`"#;
    let made = plan(json!([])).json();
    assert!(made["problem"].as_str().is_some_and(|it| it.contains(expected) && it.contains(how)), "{made}");
    let refused = apply(&made);
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(refused.status == 409 && detail.contains(expected) && detail.contains(how), "{refused:?}");
    let elsewhere = plan(json!(["local_value.columns"])).json();
    assert!(apply(&elsewhere).body.contains(expected), "{elsewhere}");
    let nowhere = plan(json!(["sqlite_table.other"])).json();
    assert!(nowhere["problem"].as_str().is_some_and(|it| it.contains("names no resource")), "{nowhere}");
    assert_eq!(apply(&nowhere).status, 409);
    let wrong = plan(json!(["B"]));
    assert!(wrong.status == 400 && wrong.body.contains("allow_data_loss"), "{wrong:?}");
    assert_eq!(precious(&project), "precious");
    let made = plan(json!(["sqlite_table.table"])).json();
    assert_eq!(made["problem"], Json::Null, "{made}");
    let operation = apply(&made).json()["operation"].as_str().unwrap().to_owned();
    until("it is applied", || {
        let operation = server.call("GET", &format!("/api/v1/operations/{operation}"), "").json();
        operation["status"] == "completed"
    });
    drop(server);
    project.assert_settled("stack.yaml", &[]);
}

#[test]
fn consent_is_kept_for_the_rest_of_a_plan_after_a_restart() {
    let project = Project::with_stack(
        "resources:\n  - type: local_command\n    name: slow\n    config:\n      \
         create: [sh, -c, 'cat > /dev/null; echo \"{}\" | tee object']\n      \
         find: [sh, -c, 'cat object 2>/dev/null || echo null']\n      \
         delete: [sh, -c, 'touch started; read line < gate; rm object']\n  \
         - {type: sqlite_table, name: table, dependsOn: [slow], config: {path: shop.db, name: DEMO, \
         columns: [{name: A, type: INTEGER}]}}\n",
    );
    project.apply().done();
    sql(&project, "INSERT INTO DEMO VALUES (1)");
    project.make_gate("gate");
    project.write("terrace.yaml", "server: {stacks: true}\n");
    let server = Served::start(&project, &[]);
    let body = json!({
        "descriptor": project.read("stack.yaml"), "destroy": true, "remove_data": true,
        "allow_data_loss": ["sqlite_table.table"],
    });
    let made = server.call("POST", "/api/v1/plans", &body.to_string()).json();
    let path = format!("/api/v1/plans/{}/apply", made["id"].as_str().unwrap());
    let operation = server.call("POST", &path, "").json()["operation"].as_str().unwrap().to_owned();
    until("the table is gone", || project.has("started"));
    server.kill();
    drop(server);
    project.open_gate("gate");
    until("the program that outlived it has ended", || !project.has("object"));
    let server = Served::start(&project, &[]);
    let mut last = Json::Null;
    until("it has ended", || {
        last = server.call("GET", &format!("/api/v1/operations/{operation}"), "").json();
        last["ended_at"].is_string()
    });
    assert_eq!(last["status"], "completed", "{last}");
}
