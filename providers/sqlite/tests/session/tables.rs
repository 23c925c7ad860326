use crate::harness::Harness;
use terrace_provider::{DataAmount, ErrorKind, Found, Observed, Path, Value};

const FULL: &str = r#"{"path": "d.db", "name": "ORDERS", "comment": "All orders.\nEver.", "columns": [
    {"name": "ID", "type": "NUMERIC(38,0)", "nullable": false, "comment": "It's the key; -- (yes)"},
    {"name": "State", "type": "varchar( 20 )", "default": "'new'"},
    {"name": "At", "type": "TIMESTAMP", "default": "CURRENT_TIMESTAMP", "comment": ""},
    {"name": "Note", "type": "TEXT"}],
  "primaryKey": ["ID"], "unique": [["State", "At"], ["Note"]]}"#;

fn small(columns: &str) -> String {
    format!(r#"{{"path": "d.db", "name": "T", "columns": [{columns}]}}"#)
}

const A: &str = r#"{"name": "A", "type": "INTEGER"}"#;
const B: &str = r#"{"name": "B", "type": "VARCHAR(10)", "comment": "b"}"#;

async fn with_rows(harness: &Harness) -> Observed {
    let table = harness.create("sqlite_table", &small(&format!("{A}, {B}"))).await.unwrap();
    harness.execute("d.db", "INSERT INTO T VALUES (1, 'x'), (2, NULL)");
    table
}

#[tokio::test]
async fn table_reads_back_as_planned() {
    let harness = Harness::new().await;
    let table = harness.create("sqlite_table", FULL).await.unwrap();
    harness.assert_settled("sqlite_table", &table, FULL).await;
    assert_eq!(table.attributes.get("id"), Some(&"d.db/ORDERS".into()));
    let imported = harness.import("sqlite_table", "d.db/ORDERS").await.unwrap();
    let plan = harness.plan("sqlite_table", Some(&imported), FULL).await.unwrap();
    assert!(plan.replace_paths.is_empty() && plan.data_loss.is_none());
}

#[tokio::test]
async fn only_the_creating_call_finds_the_table_as_its_own() {
    let harness = Harness::new().await;
    assert_eq!(harness.find("sqlite_table", FULL, Some("step-1")).await, Found::Absent);
    let table = harness.create("sqlite_table", FULL).await.unwrap();
    assert_eq!(harness.find("sqlite_table", FULL, Some("step-1")).await, Found::Own(table.clone()));
    assert_eq!(harness.find("sqlite_table", FULL, Some("step-2")).await, Found::Foreign(table.clone()));
    let error = harness.create("sqlite_table", FULL).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::AlreadyExists { import_id: Some(id) } if id == "d.db/ORDERS"));
}

#[tokio::test]
async fn column_at_the_end_is_added_in_place() {
    let harness = Harness::new().await;
    let table = with_rows(&harness).await;
    let wanted = small(&format!(r#"{A}, {B}, {{"name": "C", "type": "TEXT", "default": "'c'", "comment": "of\nC"}}"#));
    let table = harness.update("sqlite_table", &table, &wanted).await.unwrap();
    harness.assert_settled("sqlite_table", &table, &wanted).await;
    assert_eq!(harness.query("d.db", "SELECT C FROM T"), [r#"Text("c")"#, r#"Text("c")"#]);
}

#[tokio::test]
async fn column_in_the_middle_keeps_the_order_and_the_rows() {
    let harness = Harness::new().await;
    let table = with_rows(&harness).await;
    harness.execute("d.db", "CREATE VIEW v AS SELECT A FROM T; CREATE INDEX i ON T (B); CREATE TABLE log (x); CREATE TRIGGER g AFTER INSERT ON T BEGIN INSERT INTO log VALUES (new.A); END");
    let wanted =
        small(&format!(r#"{A}, {{"name": "C", "type": "INTEGER", "nullable": false, "default": "1 + 1"}}, {B}"#));
    let table = harness.update("sqlite_table", &table, &wanted).await.unwrap();
    harness.assert_settled("sqlite_table", &table, &wanted).await;
    assert_eq!(
        harness.query("d.db", "SELECT * FROM T"),
        [r#"Integer(1) Integer(2) Text("x")"#, "Integer(2) Integer(2) Null"]
    );
    assert_eq!(harness.query("d.db", "SELECT * FROM v"), ["Integer(1)", "Integer(2)"]);
    harness.execute("d.db", "INSERT INTO T (A) VALUES (7)");
    assert_eq!(harness.query("d.db", "SELECT x FROM log"), ["Integer(7)"]);
    assert_eq!(harness.query("d.db", "SELECT name FROM sqlite_schema WHERE type = 'index'"), [r#"Text("i")"#]);
}

#[tokio::test]
async fn renamed_column_keeps_its_values_without_loss() {
    let harness = Harness::new().await;
    let table = with_rows(&harness).await;
    harness.execute("d.db", "CREATE VIEW v AS SELECT B FROM T");
    let wanted =
        small(&format!(r#"{A}, {{"name": "LABEL", "type": "VARCHAR(20)", "comment": "new", "previousName": "B"}}"#));
    let plan = harness.plan("sqlite_table", Some(&table), &wanted).await.unwrap();
    assert_eq!(plan.data_loss, None);
    let table = harness.update("sqlite_table", &table, &wanted).await.unwrap();
    harness.assert_settled("sqlite_table", &table, &wanted).await;
    assert_eq!(harness.query("d.db", "SELECT LABEL FROM T"), [r#"Text("x")"#, "Null"]);
    assert_eq!(harness.query("d.db", "SELECT * FROM v").len(), 2);
}

#[tokio::test]
async fn dropped_and_narrowed_columns_are_losses_with_a_hint() {
    let harness = Harness::new().await;
    let table = with_rows(&harness).await;
    let wanted = small(&format!(r#"{A}, {{"name": "LABEL", "type": "VARCHAR(10)"}}"#));
    let plan = harness.plan("sqlite_table", Some(&table), &wanted).await.unwrap();
    assert_eq!(
        plan.data_loss.unwrap().reasons,
        ["column B is dropped; if LABEL is its new name, set `previousName: B`"]
    );
    let wanted = small(r#"{"name": "A", "type": "INTEGER"}, {"name": "B", "type": "VARCHAR(5)"}"#);
    let plan = harness.plan("sqlite_table", Some(&table), &wanted).await.unwrap();
    assert_eq!(plan.data_loss.unwrap().reasons, ["column B is narrowed from VARCHAR(10) to VARCHAR(5)"]);
    let table = harness.update("sqlite_table", &table, &small(A)).await.unwrap();
    harness.assert_settled("sqlite_table", &table, &small(A)).await;
    assert_eq!(harness.query("d.db", "SELECT * FROM T"), ["Integer(1)", "Integer(2)"]);
}

#[tokio::test]
async fn index_is_dropped_with_its_column() {
    let harness = Harness::new().await;
    let table = with_rows(&harness).await;
    harness.execute("d.db", "CREATE INDEX i ON T (B); CREATE INDEX j ON T (A)");
    harness.update("sqlite_table", &table, &small(A)).await.unwrap();
    assert_eq!(harness.query("d.db", "SELECT name FROM sqlite_schema WHERE type = 'index'"), [r#"Text("j")"#]);
}

#[tokio::test]
async fn keys_and_comments_change_in_place() {
    let harness = Harness::new().await;
    let table = with_rows(&harness).await;
    let wanted = r#"{"path": "d.db", "name": "T", "comment": "t", "primaryKey": ["A"], "unique": [["B", "A"]], "columns": [
        {"name": "A", "type": "INTEGER", "nullable": false, "comment": "a"}, {"name": "B", "type": "VARCHAR(10)"}]}"#;
    let table = harness.update("sqlite_table", &table, wanted).await.unwrap();
    harness.assert_settled("sqlite_table", &table, wanted).await;
    assert_eq!(harness.query("d.db", "SELECT count(*) FROM T"), ["Integer(2)"]);
    let error = harness.open("d.db").execute_batch("INSERT INTO T VALUES (1, 'y')").unwrap_err();
    assert!(error.to_string().contains("UNIQUE"));
}

#[tokio::test]
async fn violated_new_constraint_changes_nothing() {
    let harness = Harness::new().await;
    let table = with_rows(&harness).await;
    let before = harness.query("d.db", "SELECT sql FROM sqlite_schema");
    let refused = async |columns: &str| harness.update("sqlite_table", &table, &small(columns)).await.unwrap_err();

    let error = refused(&format!(r#"{A}, {{"name": "B", "type": "VARCHAR(10)", "nullable": false}}"#)).await;
    assert_eq!(error.message, "`B` cannot become not null: 1 row has no value in it");
    let error = refused(&format!(r#"{A}, {B}, {{"name": "C", "type": "TEXT", "nullable": false}}"#)).await;
    assert!(error.message.contains("no value for the new column `C`"), "{error}");
    harness.execute("d.db", "INSERT INTO T VALUES (1, 'z')");
    let wanted = format!(r#"{{"path": "d.db", "name": "T", "primaryKey": ["A"], "columns": [{A}, {B}]}}"#);
    let error = harness.update("sqlite_table", &table, &wanted).await.unwrap_err();
    assert!(error.message.contains("violate a planned key"), "{error}");
    assert!(error.problems.iter().any(|problem| problem.contains("T.A")), "{:?}", error.problems);
    assert_eq!(harness.query("d.db", "SELECT sql FROM sqlite_schema"), before);
}

#[tokio::test]
async fn changes_outside_terrace_are_drift() {
    let harness = Harness::new().await;
    let config = small(&format!("{A}, {B}"));
    let table = with_rows(&harness).await;
    harness.execute("d.db", "ALTER TABLE T ADD COLUMN Z INTEGER DEFAULT 5; ALTER TABLE T RENAME COLUMN A TO a2");
    let read = harness.read("sqlite_table", &table).await.unwrap();
    let names: Vec<_> =
        read.attributes["columns"].as_list().unwrap().iter().map(|column| column.get("name").cloned()).collect();
    assert_eq!(names, [Some("a2".into()), Some("B".into()), Some("Z".into())]);
    assert_eq!(Path::attribute("columns").index(1).key("comment").get(&read.attributes), Some(&Value::from("b")));
    let plan = harness.plan("sqlite_table", Some(&read), &config).await.unwrap();
    assert_eq!(
        plan.data_loss.unwrap().reasons,
        ["column a2 is dropped; if A is its new name, set `previousName: a2`", "column Z is dropped"]
    );
    harness.execute("d.db", "DROP TABLE T");
    assert_eq!(harness.read("sqlite_table", &table).await, None);
}

#[tokio::test]
async fn table_with_unmanaged_parts_is_not_rebuilt() {
    let harness = Harness::new().await;
    harness.execute("d.db", "CREATE TABLE T (A INTEGER CHECK (A > 0), B VARCHAR(10))");
    let table = harness.import("sqlite_table", "d.db/T").await.unwrap();
    let error = harness.update("sqlite_table", &table, &small(A)).await.unwrap_err();
    assert!(error.problems.iter().any(|problem| problem.contains("a CHECK constraint")), "{error:?}");
}

#[tokio::test]
async fn rows_are_counted_and_deleted_with_the_table() {
    let harness = Harness::new().await;
    let table = with_rows(&harness).await;
    assert_eq!(harness.count("sqlite_table", &table).await, DataAmount::Some { count: 2, text: "2 rows".to_owned() });
    harness.execute("d.db", "DELETE FROM T");
    assert_eq!(harness.count("sqlite_table", &table).await, DataAmount::Empty);
    harness.delete("sqlite_table", &table).await.unwrap();
    assert_eq!(harness.read("sqlite_table", &table).await, None);
    harness.delete("sqlite_table", &table).await.unwrap();
}

#[tokio::test]
async fn invalid_table_is_refused_in_the_plan() {
    let harness = Harness::new().await;
    for (config, place) in [
        (small(""), "columns"),
        (small(&format!(r#"{A}, {{"name": "a", "type": "TEXT"}}"#)), "columns[1].name"),
        (small(r#"{"name": "A", "type": "TEXT NOT NULL"}"#), "columns[0].type"),
        (small(&format!(r#"{A}, {{"name": "C", "type": "TEXT", "previousName": "A"}}"#)), "columns[1].previousName"),
        (
            small(&format!(
                r#"{A}, {{"name": "C", "type": "TEXT", "previousName": "D"}}, {{"name": "E", "type": "TEXT", "previousName": "d"}}"#
            )),
            "columns[2].previousName",
        ),
        (format!(r#"{{"path": "d.db", "name": "T", "primaryKey": ["AA"], "columns": [{A}]}}"#), "primaryKey[0]"),
        (format!(r#"{{"path": "d.db", "name": "sqlite_t", "columns": [{A}]}}"#), "name"),
    ] {
        let error = harness.plan("sqlite_table", None, &config).await.unwrap_err();
        let ErrorKind::InvalidInput { path: Some(path) } = error.kind else { panic!("{error:?}") };
        assert_eq!(path.to_string(), place);
    }
}

#[tokio::test]
async fn another_name_or_path_is_another_table() {
    let harness = Harness::new().await;
    let table = with_rows(&harness).await;
    let plan = harness.plan("sqlite_table", Some(&table), &small(A).replace("\"T\"", "\"U\"")).await.unwrap();
    assert_eq!(plan.replace_paths, [Path::attribute("name")]);
    assert_eq!(plan.planned.get("id"), Some(&"d.db/U".into()));
}

#[tokio::test]
async fn many_tables_of_one_file_can_be_created_at_once() {
    let harness = std::sync::Arc::new(Harness::new().await);
    let calls: Vec<_> = (0..40)
        .map(|number| {
            let harness = std::sync::Arc::clone(&harness);
            let config = small(A).replace("\"T\"", &format!("\"T{number}\""));
            tokio::spawn(async move { harness.create("sqlite_table", &config).await.map(drop) })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(harness.query("d.db", "SELECT count(*) FROM sqlite_schema"), ["Integer(40)"]);
}

#[tokio::test]
async fn table_settles_if_a_unique_column_is_the_primary_key() {
    let harness = Harness::new().await;
    let config = r#"{"path": "d.db", "name": "T", "primaryKey": ["A"], "unique": [["a"], ["B"], ["b"]],
        "columns": [{"name": "A", "type": "BIGINT", "nullable": false}, {"name": "B", "type": "TEXT"}]}"#;
    let table = harness.create("sqlite_table", config).await.unwrap();
    harness.assert_settled("sqlite_table", &table, config).await;
    let indexes = "SELECT count(*) FROM pragma_index_list('T') WHERE origin = 'u'";
    assert_eq!(harness.query("d.db", indexes), ["Integer(1)"]);
    // The constraint is added after the primary key is removed.
    let without_key = config.replace(r#""primaryKey": ["A"], "#, "");
    let table = harness.update("sqlite_table", &table, &without_key).await.unwrap();
    harness.assert_settled("sqlite_table", &table, &without_key).await;
    assert_eq!(harness.query("d.db", indexes), ["Integer(2)"]);
}

#[tokio::test]
async fn unique_constraint_next_to_an_integer_key_stays_while_configured() {
    let harness = Harness::new().await;
    harness.execute("d.db", "CREATE TABLE T (ID INTEGER NOT NULL PRIMARY KEY, UNIQUE (ID))");
    let table = harness.import("sqlite_table", "d.db/T").await.unwrap();
    let config = r#"{"path": "d.db", "name": "T", "primaryKey": ["ID"], "unique": [["ID"]],
        "columns": [{"name": "ID", "type": "INTEGER", "nullable": false}]}"#;
    let planned = harness.plan("sqlite_table", Some(&table), config).await.unwrap().planned;
    assert_eq!(planned.get("unique"), table.attributes.get("unique"));
    let without_unique = config.replace(r#", "unique": [["ID"]]"#, "");
    let table = harness.update("sqlite_table", &table, &without_unique).await.unwrap();
    harness.assert_settled("sqlite_table", &table, &without_unique).await;
    assert!(harness.query("d.db", "SELECT name FROM pragma_index_list('T')").is_empty());
}
