//! The provider from outside: through the provider trait, against an adapter that keeps what it is told.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail like tests; clippy recognises test functions only"
)]

mod calls; // manners of adapters, failures, what is sent
mod conformance; // the behaviours of every provider, with adapters of all manners
mod cut_off; // calls that were cut off: lost answers, tokens, restarts
mod harness; // an opened instance, and what tests do with it
mod planning; // which adapter it is, what is planned again
mod readme; // the README's tables are those of the schema
mod stand_in; // an adapter that keeps what it is told
mod validation; // what an adapter says before anything is done

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
