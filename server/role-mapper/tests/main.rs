//! Tests of the role mapper over HTTP, with a fake issuer of tokens and a fake Microsoft Graph.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test helpers may panic; clippy recognises only test functions"
)]

mod access; // access to roles
mod groups; // groups from Microsoft Graph, page by page
mod issuer; // a fake issuer of tokens, and its keys
mod mapper;
mod provider; // the provider `hasura`, which detects this role mapper by itself
mod queries; // hostile queries with their expected roles
mod reference_parser; // root fields that graphql-engine would read, compared with those of the role mapper
mod rest; // roles and their members
mod tokens; // accepted tokens, and key rotation // a running role mapper, and helpers for tests

/// A test file that is missing above would never run.
#[test]
fn every_test_file_is_listed() {
    let listed = include_str!("main.rs");
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let module = name.trim_end_matches(".rs");
        assert!(module == "main" || listed.contains(&format!("mod {module};")), "{name} is not listed");
    }
}
