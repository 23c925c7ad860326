//! Tests of the provider through its trait without a cluster. `tests/real/kubernetes` runs those of `tests/cluster`
//! against a real one.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests; clippy recognises test functions only")]

mod planning; // plans without a server
mod readme; // the README matches the schema
mod unreachable; // servers that do not answer, and settings that lead nowhere

/// A test file that is not listed above would never run.
#[test]
fn every_test_file_is_listed() {
    let listed = include_str!("main.rs");
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let module = name.trim_end_matches(".rs");
        let is_listed = ["main", "cluster"].contains(&module) || listed.contains(&format!("mod {module};"));
        assert!(is_listed, "{name} is not listed");
    }
}
