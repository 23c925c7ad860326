//! Tests of the provider through its trait, with real files and processes.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail like tests; clippy recognises test functions only"
)]

mod command; // local_command: the input of programs, their end, recovery
mod command_secrets; // local_command: secrets of programs
mod conformance; // the conformance suite for all four types
mod directory; // local_directory: modes and deletion
mod file; // local_file: forms of content, atomic writes, the limits of the project folder
mod harness; // an open instance over a temporary project folder
mod readme; // the README tables match the schema
mod value; // local_value: marks and ids

/// Every test file must be listed above: otherwise it never runs.
#[test]
fn every_test_file_is_listed() {
    let listed = include_str!("main.rs");
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let module = name.trim_end_matches(".rs");
        assert!(module == "main" || listed.contains(&format!("mod {module};")), "{name} is not listed");
    }
}
