//! The provider from outside: specs, runs by stand-ins of Python, resources.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail like tests; clippy recognises test functions only"
)]

mod conformance; // the behaviours of every provider, on all types
mod copies; // projects that are moved, copied, or looked at from several folders
mod corpus; // pipelines of others, as far as they are at hand
mod databases; // made, found again, stopped, ended when their time is over, looked into
mod depending; // databases, numbers, folders, and what is planned of them
mod full_disk; // a disk that is full while a run goes on
mod generating; // pipelines that plugins make
mod harness; // a project with specs and the stand-in of dpp
mod hooks; // who is told how a run goes
mod publishing; // what runs leave in folders
mod put_server; // takes files by HTTP, strictly, and fails where it is told to
mod readme; // the README's tables are those of the schema
mod retrying; // what is tried again
mod running; // one run, and several in their order
mod scheduling; // runs that start by themselves
mod sites; // sites as resources, rendered and shown
mod stand_in; // environments that need no network
mod storage; // files brought elsewhere, and what is cut off
mod storage_fixtures; // syncs and sites for the behaviours of every provider
mod unwell; // runs that did not end well, databases that are gone
mod workers; // workers of the queue, as tasks
mod wrapping; // runners, and processors from elsewhere

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
