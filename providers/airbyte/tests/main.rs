//! The provider from outside: through the provider trait, against the stand-in of Airbyte.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail like tests; clippy recognises test functions only"
)]

mod calls; // requests: again, lost, slowed down; who is let in
mod configurations; // what connectors are told, and what is secret of it
mod conformance; // the behaviours of every provider
mod connections; // streams, schedules, what goes with a connection
mod harness; // an opened instance, and what tests do with it
mod looks; // lookups, and what a plan asks
mod names; // by which things are found again
mod readme; // the README shows the schema

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
