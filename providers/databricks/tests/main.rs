//! Tests of the provider through the provider trait, against a stand-in of Databricks.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail like tests; clippy recognises test functions only"
)]

mod access; // grants, permissions and Git credentials
mod azure; // workspaces in Azure, and the sign-in
mod azure_external_changes; // changes to Azure objects outside terrace
mod azure_faults; // failing requests to Azure
mod azure_principals; // lookups of principals, and access to workspaces
mod calls; // lost and throttled requests, credentials, allowed hosts
mod catalogs; // objects of a metastore
mod conformance; // the conformance suite
mod harness; // opens instances
mod hostile; // injection attempts
mod jobs; // settings of jobs and pipelines
mod lookups; // lookups by name
mod names; // special characters in names
mod readme; // the README's tables follow the schema
mod rights; // missing rights and the statements that grant them
mod views; // reads and updates of views

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
