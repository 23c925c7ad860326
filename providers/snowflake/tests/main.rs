//! Tests of the provider through its trait, with a test server for Snowflake.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail like tests; clippy recognises test functions only"
)]

mod access; // rights of roles, and earlier grants
mod batches; // a few statements for many objects
mod calls; // requests: retries, polls, cancellation, throttling; credentials
mod conformance; // the conformance suite
mod harness; // an open instance and its helpers
mod hostile; // SQL in every text
mod names; // valid and invalid names
mod readme; // the README matches the schema
mod tables; // types, changes, drift
mod views; // reads of views, and properties that survive changes

/// A test file that is not listed above would never run.
#[test]
fn every_test_file_is_listed() {
    let listed = include_str!("main.rs");
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(module) = name.strip_suffix(".rs") else { continue };
        assert!(module == "main" || listed.contains(&format!("mod {module};")), "{name} is not listed");
    }
}
