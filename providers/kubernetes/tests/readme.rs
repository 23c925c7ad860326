//! The README's tables match the schema.

use terrace_provider::conformance::check_readme;
use terrace_provider::docs::with_tables;

/// Run with `UPDATE_README=1` to rewrite the tables.
#[test]
fn readme_matches_the_schema() {
    let schema = terrace_provider_kubernetes::schema::provider();
    check_readme(env!("CARGO_MANIFEST_DIR"), |readme| with_tables(readme, &schema)).unwrap();
}
