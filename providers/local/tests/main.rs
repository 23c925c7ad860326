//! The provider from outside: through the provider trait, with real files and real processes.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail like tests; clippy recognises test functions only"
)]

mod command; // local_command: what programs are told, how they end, recovery
mod command_secrets; // local_command: what is given to programs and told to nobody
mod conformance; // the behaviours of every provider, on all four types
mod directory; // local_directory: modes, what deleting spares
mod file; // local_file: forms of content, atomic writes, the project folder's border
mod harness; // an opened instance over a temporary project folder
mod readme; // the README's tables are those of the schema
mod value; // local_value: marks and ids

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
