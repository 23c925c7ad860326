use serde_json::json;
use std::path::Path;
use terrace_provider::conformance::{Fixture, Suite, settings};
use terrace_provider::{Attributes, Recorded, Value};
use terrace_provider_sqlite::SqliteProvider;

fn attributes(json: serde_json::Value) -> Attributes {
    Value::from(json).as_map().unwrap().clone()
}

fn database(folder: &Path, recorded: &Recorded) -> rusqlite::Connection {
    rusqlite::Connection::open(folder.join(recorded.text("path").unwrap())).unwrap()
}

fn table(columns: &serde_json::Value) -> Attributes {
    attributes(json!({"path": "shop.db", "name": "orders", "columns": columns}))
}

/// A fixture whose object is accessible to statements outside the provider.
fn with_sql_hooks(folder: &Path, fixture: Fixture, tamper: &'static str, remove: &'static str) -> Fixture {
    fixture.tamper(run_sql(folder, tamper)).remove(run_sql(folder, remove))
}

/// Runs statements outside the provider.
fn run_sql(folder: &Path, sql: &'static str) -> impl Fn(Recorded) -> std::future::Ready<()> + Send + Sync + use<> {
    let folder = folder.to_owned();
    move |recorded| {
        database(&folder, &recorded).execute_batch(sql).unwrap();
        std::future::ready(())
    }
}

#[tokio::test]
async fn provider_passes_the_conformance_suite() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let made = rusqlite::Connection::open(folder.join("shop.db")).unwrap();
    made.execute_batch("CREATE TABLE items (id INTEGER, name TEXT)").unwrap();
    let provider = SqliteProvider::new();
    let id = json!({"name": "id", "type": "INTEGER"});
    let more = json!({"name": "more", "type": "TEXT", "default": "'x'"});
    let filled = folder.to_owned();
    let orders = Fixture::new("sqlite_table", "table", table(&json!([id])))
        .update(table(&json!([id, more])))
        .replace(attributes(json!({"path": "shop.db", "name": "others", "columns": [id]})))
        .fill(move |recorded| {
            database(&filled, &recorded).execute_batch("INSERT INTO orders VALUES (1)").unwrap();
            std::future::ready(())
        });
    let spelled = Fixture::new(
        "sqlite_table",
        "of every attribute",
        attributes(json!({
            "path": "shop.db", "name": "spelled", "primaryKey": ["id"], "unique": [["b", "c"]], "comment": "one",
            "columns": [
                {"name": "id", "type": "BIGINT", "nullable": false, "comment": "one"},
                {"name": "b", "type": "VARCHAR(20)", "default": "'x'"},
                {"name": "c", "type": "NUMERIC(10,2)", "default": "CURRENT_TIMESTAMP"}],
        })),
    );
    let spelled = spelled
        .spelled("/columns/1/type", ["VARCHAR(20)", "varchar ( 20 )"])
        .spelled("/columns/2/type", ["NUMERIC(10,2)", "numeric(10, 2)"])
        .spelled("/columns/2/default", ["CURRENT_TIMESTAMP", "current_timestamp"])
        .spelled("/columns/1/default", [json!("NULL"), json!("null"), json!("(NULL)"), json!(null)])
        .spelled("/columns/0/comment", [json!(""), json!(null)])
        .spelled("/comment", [json!(""), json!(null)])
        .spelled("/primaryKey", [json!(["id"]), json!(["ID"])])
        .spelled("/unique", [json!([]), json!([["id"]]), json!([["ID"], ["id"]])])
        .spelled("/unique", [json!([["b"], ["c"]]), json!([["C"], ["B"], ["c"]]), json!([["b"], ["id"], ["c"]])])
        .remove(run_sql(folder, "DROP TABLE IF EXISTS spelled"));
    let integer_key = Fixture::new(
        "sqlite_table",
        "of an integer key",
        attributes(json!({
            "path": "shop.db", "name": "spelled", "primaryKey": ["id"], "unique": [["id"]],
            "columns": [{"name": "id", "type": "INTEGER", "nullable": false}],
        })),
    );
    let integer_key = integer_key
        .spelled("/unique", [json!([]), json!([["id"]])])
        .remove(run_sql(folder, "DROP TABLE IF EXISTS spelled"));
    let view =
        |name: &str, statement: &str| attributes(json!({"path": "shop.db", "name": name, "statement": statement}));
    let index = |name: &str, column: &str| {
        attributes(json!({"path": "shop.db", "name": name, "table": "items", "columns": [column]}))
    };
    let gone = folder.to_owned();
    let report = Suite::new(&provider, settings(folder))
        .fixture(
            Fixture::new("sqlite_database", "database", attributes(json!({"path": "other.db"})))
                .update(attributes(json!({"path": "other.db", "onDelete": "recursive"})))
                .replace(attributes(json!({"path": "another.db"})))
                .remove(move |recorded| {
                    drop(std::fs::remove_file(gone.join(recorded.text("path").unwrap())));
                    std::future::ready(())
                }),
        )
        .fixture(with_sql_hooks(
            folder,
            orders,
            "ALTER TABLE orders ADD COLUMN tampered TEXT",
            "DROP TABLE IF EXISTS orders; DROP TABLE IF EXISTS others",
        ))
        .fixture(spelled)
        .fixture(integer_key)
        .fixture(with_sql_hooks(
            folder,
            Fixture::new("sqlite_view", "view", view("seen", "SELECT id FROM items"))
                .update(view("seen", "SELECT name FROM items"))
                .replace(view("looked", "SELECT id FROM items")),
            "DROP VIEW seen; CREATE VIEW seen AS SELECT 1 AS one",
            "DROP VIEW IF EXISTS seen; DROP VIEW IF EXISTS looked",
        ))
        .fixture(with_sql_hooks(
            folder,
            Fixture::new("sqlite_index", "index", index("by_id", "id"))
                .replace(index("by_name", "name"))
                .spelled("/columns", [json!(["id"]), json!(["ID"])])
                .spelled("/table", ["items", "Items"]),
            "DROP INDEX by_id; CREATE INDEX by_id ON items (name)",
            "DROP INDEX IF EXISTS by_id; DROP INDEX IF EXISTS by_name",
        ))
        .run()
        .await;
    assert!(report.is_clean(), "{report}");
    assert!(report.shown() > 50, "{report}");
}
