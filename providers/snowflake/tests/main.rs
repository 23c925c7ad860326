//! The provider from outside: through the provider trait, against the stand-in of Snowflake.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail like tests; clippy recognises test functions only"
)]

mod access; // what a role may, and what was granted before
mod batches; // many objects by a few statements
mod calls; // requests: again, later, stopped, slowed down; who is let in
mod conformance; // the behaviours of every provider
mod harness; // an opened instance, and what tests do with it
mod hostile; // SQL in every text
mod names; // every name comes back as it was
mod readme; // the README shows the schema
mod tables; // types, changes, drift
mod views; // what is seen of views, and what they keep when they change

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
