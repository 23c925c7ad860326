//! Tests of the provider through the provider trait, against a stand-in of Airbyte.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail like tests; clippy recognises test functions only"
)]

mod calls; // retried, lost and throttled requests, credentials
mod configurations; // connector configurations and their secrets
mod conformance; // the conformance suite
mod connections; // streams, schedules, sync state
mod harness; // opens instances
mod lookups; // lookups, and requests of a plan
mod names; // names and identity
mod readme; // the README's tables follow the schema

/// A test file that is not listed above would never run.
#[test]
fn no_test_file_is_forgotten() {
    let listed = include_str!("main.rs");
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(module) = name.strip_suffix(".rs") else { continue };
        assert!(module == "main" || listed.contains(&format!("mod {module};")), "{name} is not listed");
    }
}
