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

/// A fixture whose object statements can reach behind the provider's back.
fn reached(folder: &Path, fixture: Fixture, tamper: &'static str, remove: &'static str) -> Fixture {
    let (tampered, removed) = (folder.to_owned(), folder.to_owned());
    fixture
        .tamper(move |recorded| {
            database(&tampered, &recorded).execute_batch(tamper).unwrap();
            std::future::ready(())
        })
        .remove(move |recorded| {
            database(&removed, &recorded).execute_batch(remove).unwrap();
            std::future::ready(())
        })
}

#[tokio::test]
async fn the_provider_shows_every_behaviour() {
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
        .fixture(reached(
            folder,
            orders,
            "ALTER TABLE orders ADD COLUMN tampered TEXT",
            "DROP TABLE IF EXISTS orders; DROP TABLE IF EXISTS others",
        ))
        .fixture(reached(
            folder,
            Fixture::new("sqlite_view", "view", view("seen", "SELECT id FROM items"))
                .update(view("seen", "SELECT name FROM items"))
                .replace(view("looked", "SELECT id FROM items")),
            "DROP VIEW seen; CREATE VIEW seen AS SELECT 1 AS one",
            "DROP VIEW IF EXISTS seen; DROP VIEW IF EXISTS looked",
        ))
        .fixture(reached(
            folder,
            Fixture::new("sqlite_index", "index", index("by_id", "id")).replace(index("by_name", "name")),
            "DROP INDEX by_id; CREATE INDEX by_id ON items (name)",
            "DROP INDEX IF EXISTS by_id; DROP INDEX IF EXISTS by_name",
        ))
        .run()
        .await;
    assert!(report.is_clean(), "{report}");
    assert!(report.shown() > 50, "{report}");
}
