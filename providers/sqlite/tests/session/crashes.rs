use crate::harness::{Harness, without_nulls};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The folder for the process that will be killed.
const FOLDER: &str = "TERRACE_TEST_CRASH_FOLDER";

const ROWS: u32 = 5000;

const NARROW: &str =
    r#"{"path": "d.db", "name": "T", "columns": [{"name": "A", "type": "INTEGER"}, {"name": "B", "type": "TEXT"}]}"#;
const WIDE: &str = r#"{"path": "d.db", "name": "T", "comment": "wide", "columns": [{"name": "A", "type": "INTEGER"},
    {"name": "M", "type": "TEXT", "nullable": false, "default": "'m'"}, {"name": "B", "type": "TEXT", "comment": "b"}]}"#;

#[tokio::test]
async fn killed_rebuild_is_complete_or_without_effect() {
    let harness = Harness::new().await;
    harness.create("sqlite_table", NARROW).await.unwrap();
    harness.execute(
        "d.db",
        &format!(
            "CREATE INDEX i ON T (B); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
             INSERT INTO T SELECT i, 'row ' || i FROM n"
        ),
    );
    for round in 0..16 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crashes::process_to_kill"])
            .env(FOLDER, &harness.folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        tokio::time::sleep(Duration::from_millis(40 + 7 * round)).await;
        child.kill().unwrap();
        child.wait().unwrap();

        let table = harness.import("sqlite_table", "d.db/T").await.unwrap();
        let is_wide = !table.attributes["comment"].is_null();
        let config = if is_wide { WIDE } else { NARROW };
        let plan = harness.plan("sqlite_table", Some(&table), config).await.unwrap();
        assert_eq!(
            without_nulls(plan.planned),
            without_nulls(table.attributes),
            "the table is neither the old nor the new one"
        );
        assert_eq!(
            harness.query("d.db", "SELECT count(DISTINCT A), count(B) FROM T"),
            [format!("Integer({ROWS}) Integer({ROWS})")]
        );
        assert_eq!(harness.query("d.db", "PRAGMA integrity_check"), [r#"Text("ok")"#]);
        assert_eq!(
            harness.query("d.db", "SELECT name FROM sqlite_schema ORDER BY name"),
            [r#"Text("T")"#, r#"Text("i")"#]
        );
    }
}

/// Changes the table back and forth until it is killed; does nothing without the folder.
#[tokio::test]
async fn process_to_kill() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let harness = Harness::at(Path::new(&folder)).await;
    let mut table = harness.import("sqlite_table", "d.db/T").await.unwrap();
    loop {
        for config in [WIDE, NARROW] {
            table = harness.update("sqlite_table", &table, config).await.unwrap();
        }
    }
}
