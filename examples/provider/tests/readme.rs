use terrace_provider::docs::{resource_table, settings_table};
use terrace_provider_kv::schema;

#[test]
fn readme_tables_match_the_schema() {
    let readme = include_str!("../README.md");
    for table in [settings_table(&schema::provider()), resource_table(&schema::provider())] {
        assert!(readme.contains(&table), "the README needs this table:\n{table}");
    }
}
