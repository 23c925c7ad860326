//! Tests of the provider through the provider trait, against brokers.
//!
//! `TERRACE_TEST_KAFKA` names real brokers (`tests/servers/kafka` starts some; `tests/real/kafka` runs all tests
//! against them). Without it, tests use a stand-in broker.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail like tests; clippy recognises test functions only"
)]

mod access; // entries of access control lists
mod conformance; // the conformance suite
mod connections; // authentication, and errors without a broker
mod harness; // opens instances
mod hostile; // injection attempts
mod interrupted; // lost answers, lagging brokers
mod limits; // concurrency and throttling
mod names; // special characters in names
mod planning; // errors found by a plan
mod readme; // the README's tables follow the schema
mod registry; // a stand-in schema registry
mod rights; // rights, against a broker with an authorizer
mod stand_in; // a stand-in broker
mod streams; // internal topics of streams applications
mod subjects; // schemas and their versions
mod topics; // topics

/// A test file that is not listed above would never run.
#[test]
fn no_test_file_is_forgotten() {
    let listed = include_str!("main.rs");
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let module = name.trim_end_matches(".rs");
        assert!(module == "main" || listed.contains(&format!("mod {module};")), "{name} is not listed");
    }
}
