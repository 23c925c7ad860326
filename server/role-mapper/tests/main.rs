//! The role mapper from outside: over HTTP, with an issuer of tokens and Microsoft Graph beside it.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail like tests; clippy recognises test functions only"
)]

mod door; // who may write roles
mod groups; // groups of Microsoft Graph, page by page
mod issuer; // an issuer of tokens, and its keys
mod provider; // the provider `hasura`, which is told nothing of which role mapper it is
mod queries; // hostile queries, each with its verdict
mod reading; // what graphql-engine would read of a query, and whether that was judged
mod rest; // roles and who has them
mod tokens; // which tokens are taken, and keys that change
mod world; // a role mapper that runs, and what tests do with it

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
