//! The README's tables must match the schema.

use terrace_provider::docs::with_tables;

/// Run with `UPDATE_README=1` to rewrite the tables.
#[test]
fn readme_tables_match_the_schema() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = std::fs::read_to_string(path).unwrap();
    let schema = terrace_provider_databricks::schema::provider();
    let written = with_tables(&readme, &schema).expect("the README must have the table markers");
    if std::env::var_os("UPDATE_README").is_some() {
        std::fs::write(path, &written).unwrap();
    } else {
        assert!(readme == written, "the README is not up to date: run the test with UPDATE_README=1");
    }
}
