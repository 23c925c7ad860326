//! Tests of the provider through the provider trait, against a stand-in adapter.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail like tests; clippy recognises test functions only"
)]

mod calls; // requests, answers and failures
mod conformance; // the conformance suite
mod harness; // opens instances
mod interrupted; // interrupted calls: lost answers, tokens, restarts
mod planning; // choice of the adapter, repeated plans
mod readme; // the README's tables follow the schema
mod stand_in; // a stand-in adapter
mod validation; // validation during the plan

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
