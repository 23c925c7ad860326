//! The README's tables are those of the schema.

use terrace_provider::docs::{lookup_table, resource_table, settings_table};

/// Run with `UPDATE_README=1` to write the tables anew.
#[test]
fn the_readme_shows_the_schema() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = std::fs::read_to_string(path).unwrap();
    let schema = terrace_provider_local::schema::provider();
    let written = [
        ("settings", settings_table(&schema)),
        ("resources", resource_table(&schema)),
        ("lookups", lookup_table(&schema)),
    ]
    .into_iter()
    .fold(readme.clone(), |text, (name, table)| between(&text, name, &table));
    if std::env::var_os("UPDATE_README").is_some() {
        std::fs::write(path, &written).unwrap();
    } else {
        assert!(readme == written, "the README is not up to date: run the test with UPDATE_README=1");
    }
}

/// The text with something else between the marks of that name.
fn between(text: &str, name: &str, table: &str) -> String {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let (before, rest) = text.split_once(&begin).expect("the README has the marks");
    let (_, after) = rest.split_once(&end).expect("the README has the marks");
    format!("{before}{begin}{table}{end}{after}")
}
