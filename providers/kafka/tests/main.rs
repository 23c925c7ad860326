//! The provider from outside: through the provider trait, against brokers.
//!
//! Where `TERRACE_TEST_KAFKA` says where brokers are (`tests/servers/kafka` starts some, and `tests/real/kafka` runs all of
//! this against them), the scenarios are told to those; else to a broker of these tests.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail like tests; clippy recognises test functions only"
)]

mod conformance; // the behaviours of every provider
mod harness; // an opened instance, and what tests do with it

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
