use crate::harness::Harness;
use terrace_provider::{ErrorKind, Found, Observed, Path, Value};

const TABLE: &str = r#"{"path": "d.db", "name": "T", "columns": [{"name": "A", "type": "INTEGER"}, {"name": "Long Name", "type": "TEXT"}]}"#;
const SOURCE: &str =
    r#"{"path": "d.db", "name": "V", "source": {"name": "T"}, "columns": ["Long Name", "A"], "comment": "for you"}"#;
const INDEX: &str = r#"{"path": "d.db", "name": "I", "table": "T", "columns": ["Long Name", "A"]}"#;

fn statement(text: &str) -> String {
    format!(r#"{{"path": "d.db", "name": "V", "statement": {}}}"#, serde_json::Value::from(text))
}

async fn with_table() -> (Harness, Observed) {
    let harness = Harness::new().await;
    let table = harness.create("sqlite_table", TABLE).await.unwrap();
    harness.execute("d.db", "INSERT INTO T VALUES (1, 'one')");
    (harness, table)
}

fn place(error: &terrace_provider::ProviderError) -> String {
    let ErrorKind::InvalidInput { path: Some(path) } = &error.kind else { panic!("{error:?}") };
    path.to_string()
}

#[tokio::test]
async fn view_of_a_source_reads_back_as_planned() {
    let (harness, _) = with_table().await;
    let view = harness.create("sqlite_view", SOURCE).await.unwrap();
    harness.assert_settled("sqlite_view", &view, SOURCE).await;
    assert_eq!(harness.query("d.db", "SELECT * FROM V"), [r#"Text("one") Integer(1)"#]);
    assert_eq!(harness.find("sqlite_view", SOURCE, Some("step-1")).await, Found::Own(view.clone()));
    assert_eq!(harness.find("sqlite_view", SOURCE, Some("step-9")).await, Found::Foreign(view.clone()));
    assert_eq!(harness.import("sqlite_view", "d.db/V").await.as_ref(), Some(&view));
    let view = harness.update("sqlite_view", &view, &SOURCE.replace("for you", "for me")).await.unwrap();
    assert!(
        matches!(harness.find("sqlite_view", SOURCE, Some("step-1")).await, Found::Own(_)),
        "an update keeps the mark"
    );
    harness.delete("sqlite_view", &view).await.unwrap();
    assert_eq!(harness.read("sqlite_view", &view).await, None);
}

#[tokio::test]
async fn statement_keeps_its_own_spelling() {
    let (harness, _) = with_table().await;
    for text in [
        "select A, \"Long Name\" -- both\n  from T where A > 0 ;\n",
        "WITH x AS (SELECT A FROM T) SELECT * FROM x",
        "SELECT \"A\" FROM \"T\"",
        "SELECT * FROM \"T\"",
    ] {
        let view = harness.create("sqlite_view", &statement(text)).await.unwrap();
        harness.assert_settled("sqlite_view", &view, &statement(text)).await;
        harness.delete("sqlite_view", &view).await.unwrap();
    }
}

#[tokio::test]
async fn changed_definition_is_drift_and_is_updated_in_place() {
    let (harness, _) = with_table().await;
    let view = harness.create("sqlite_view", SOURCE).await.unwrap();
    harness.execute("d.db", "DROP VIEW V; CREATE VIEW V AS SELECT A FROM T WHERE A > 1");
    let read = harness.read("sqlite_view", &view).await.unwrap();
    assert_eq!(read.attributes.get("statement"), Some(&"SELECT A FROM T WHERE A > 1".into()));
    // Null and not left out: terrace keeps the recorded value of an attribute that is left out.
    assert_eq!([&read.attributes["source"], &read.attributes["comment"]], [&Value::Null, &Value::Null]);
    let view = harness.update("sqlite_view", &read, SOURCE).await.unwrap();
    harness.assert_settled("sqlite_view", &view, SOURCE).await;
    let other = statement("SELECT max(A) AS most FROM T");
    let view = harness.update("sqlite_view", &view, &other).await.unwrap();
    harness.assert_settled("sqlite_view", &view, &other).await;
}

#[tokio::test]
async fn view_of_a_missing_source_lists_existing_ones() {
    let (harness, _) = with_table().await;
    let error = harness.create("sqlite_view", &SOURCE.replace("Long Name", "LongName")).await.unwrap_err();
    assert_eq!(error.message, "`T` has no column `LongName`");
    assert_eq!(error.problems, ["its columns are `A`, `Long Name`"]);
    assert_eq!(error.solutions, ["did you mean `Long Name`?"]);
    assert_eq!(place(&error), "columns[0]");
    let error =
        harness.create("sqlite_view", &SOURCE.replace(r#"{"name": "T"}"#, r#"{"name": "TT"}"#)).await.unwrap_err();
    assert_eq!((error.message.as_str(), place(&error).as_str()), ("there is no table or view `TT`", "source.name"));

    let error = harness.create("sqlite_view", &statement("SELECT * FROM missing")).await.unwrap_err();
    assert_eq!(error.message, "the view `V` cannot be read: no such table: main.missing");
    assert_eq!(error.problems, ["the database has `T`"]);
    let error = harness.create("sqlite_view", &statement("SELECT \"B\" FROM T")).await.unwrap_err();
    assert!(error.message.contains("no such column: "), "{error}");
    assert_eq!(error.problems, ["`T` has `A`, `Long Name`"]);
    assert_eq!(harness.query("d.db", "SELECT name FROM sqlite_schema"), [r#"Text("T")"#]);
}

#[tokio::test]
async fn invalid_view_is_refused_in_the_plan() {
    let harness = Harness::new().await;
    for (config, at) in [
        (r#"{"path": "d.db", "name": "V"}"#.to_owned(), "statement"),
        (r#"{"path": "d.db", "name": "V", "source": {"name": "T"}, "statement": "SELECT 1"}"#.to_owned(), "statement"),
        (r#"{"path": "d.db", "name": "V", "columns": ["A"], "statement": "SELECT 1"}"#.to_owned(), "columns"),
        (statement("DELETE FROM T"), "statement"),
        (statement("SELECT 1; DROP TABLE T"), "statement"),
    ] {
        assert_eq!(place(&harness.plan("sqlite_view", None, &config).await.unwrap_err()), at, "{config}");
    }
}

#[tokio::test]
async fn view_requires_its_database() {
    let harness = Harness::new().await;
    let error = harness.create("sqlite_view", SOURCE).await.unwrap_err();
    assert_eq!(error.message, "there is no database `d.db`");
}

#[tokio::test]
async fn index_reads_back_as_planned_and_any_change_replaces_it() {
    let (harness, _) = with_table().await;
    let index = harness.create("sqlite_index", INDEX).await.unwrap();
    harness.assert_settled("sqlite_index", &index, INDEX).await;
    assert_eq!(harness.find("sqlite_index", INDEX, Some("step-1")).await, Found::Own(index.clone()));
    assert_eq!(harness.import("sqlite_index", "d.db/I").await.as_ref(), Some(&index));
    let unique = INDEX.replace("\"table\"", "\"unique\": true, \"table\"");
    let plan = harness.plan("sqlite_index", Some(&index), &unique).await.unwrap();
    assert_eq!(plan.replace_paths, [Path::attribute("unique")]);
    harness.delete("sqlite_index", &index).await.unwrap();
    let index = harness.create("sqlite_index", &unique).await.unwrap();
    assert_eq!(index.attributes.get("unique"), Some(&Value::Bool(true)));
}

#[tokio::test]
async fn invalid_index_is_refused_with_a_reason() {
    let (harness, _) = with_table().await;
    let error = harness.create("sqlite_index", &INDEX.replace("\"A\"", "\"AA\"")).await.unwrap_err();
    assert_eq!((error.message.as_str(), place(&error).as_str()), ("`T` has no column `AA`", "columns[1]"));
    harness.execute("d.db", "INSERT INTO T VALUES (1, 'one')");
    let unique = INDEX.replace("\"table\"", "\"unique\": true, \"table\"");
    let error = harness.create("sqlite_index", &unique).await.unwrap_err();
    assert_eq!(place(&error), "unique");
}

#[tokio::test]
async fn view_survives_the_rebuild_of_its_table() {
    let (harness, table) = with_table().await;
    let view = harness.create("sqlite_view", SOURCE).await.unwrap();
    let index = harness.create("sqlite_index", INDEX).await.unwrap();
    let wanted = TABLE.replace("\"TEXT\"", "\"TEXT\", \"comment\": \"now with one\"");
    let table = harness.update("sqlite_table", &table, &wanted).await.unwrap();
    harness.assert_settled("sqlite_table", &table, &wanted).await;
    harness.assert_settled("sqlite_view", &view, SOURCE).await;
    harness.assert_settled("sqlite_index", &index, INDEX).await;
}

#[tokio::test]
async fn import_reports_unexpressed_parts() {
    let harness = Harness::new().await;
    harness.execute(
        "d.db",
        "CREATE TABLE T (A TEXT COLLATE NOCASE CHECK (A <> ''), B INT);
         CREATE INDEX I ON T (A, B DESC, lower(A)) WHERE B > 0; CREATE INDEX P ON T (B);
         CREATE TRIGGER R AFTER INSERT ON T BEGIN SELECT 1; END",
    );
    let unexpressed_parts = async |ty: &str, id: &str| {
        let found = harness.import(ty, id).await.unwrap();
        harness.session.unexpressed(harness.ty(ty), &found).await.unwrap()
    };
    assert_eq!(
        unexpressed_parts("sqlite_table", "d.db/T").await,
        ["a COLLATE clause", "a CHECK constraint", "the trigger R"]
    );
    assert_eq!(
        unexpressed_parts("sqlite_index", "d.db/I").await,
        [
            "its part 1 has the collation NOCASE",
            "its part 2 is in descending order",
            "its part 3 is an expression",
            "it has a condition"
        ]
    );
    assert_eq!(unexpressed_parts("sqlite_index", "d.db/P").await, [] as [String; 0]);
}
