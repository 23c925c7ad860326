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

mod access; // entries of access control lists
mod conformance; // the behaviours of every provider
mod connections; // who is let in, and what is told where nobody is
mod cut_off; // calls whose answers are lost, brokers that are behind
mod harness; // an opened instance, and what tests do with it
mod hostile; // texts of other languages
mod limits; // how many calls come at once, and how soon again
mod names; // names of all sorts
mod planning; // what is wrong is told before anything is done
mod readme; // the README's tables are those of the schema
mod registry; // a schema registry of these tests
mod rights; // what each thing needs, against a broker that decides on access
mod stand_in; // a broker of these tests
mod streams; // what streams applications leave
mod subjects; // schemas and their versions
mod topics; // topics that come, change and go

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
