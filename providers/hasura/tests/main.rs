//! Tests of the provider through its trait, with test servers for Hasura and its role mapper.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail like tests; clippy recognises test functions only"
)]

mod changes; // one change at a time: conflicts, lost replies, inconsistent results
mod conformance; // the conformance suite
mod faults; // every call fails once before and once after its effect; storms
mod harness; // an open instance and its helpers
mod names; // valid and invalid names
mod readme; // the README matches the schema
mod roles; // the role mapper, the existing one and the newer one
mod sources; // connections of databases and their secrets
mod tables; // root fields, columns, objects of other owners

/// A test file that is not listed above would never run.
#[test]
fn every_test_file_is_listed() {
    let listed = include_str!("main.rs");
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let module = name.trim_end_matches(".rs");
        assert!(module == "main" || listed.contains(&format!("mod {module};")), "{name} is not listed");
    }
}
