//! The provider from outside: through the provider trait, against stand-ins of Hasura and its role mapper.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail like tests; clippy recognises test functions only"
)]

mod changes; // one change at a time: conflicts, lost replies, what does not work afterwards
mod conformance; // the behaviours of every provider
mod faults; // every call fails once before and once after its effect; storms
mod harness; // an opened instance, and what tests do with it
mod names; // names that have to be kept or refused
mod readme; // the README's tables are those of the schema
mod roles; // the role mapper, the existing one and one that tells
mod sources; // how databases are reached, and what is secret of that
mod tables; // root fields, columns, what others made

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
