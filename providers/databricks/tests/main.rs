//! The provider from outside: through the provider trait, against the stand-in of Databricks.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail like tests; clippy recognises test functions only"
)]

mod access; // grants and permissions: what was there before, what stays
mod azure; // workspaces of Azure, and how one signs in there
mod azure_faults; // whatever call of Azure fails, and whatever is begun with
mod azure_others; // what others made around workspaces is theirs, and what they took away is gone
mod azure_people; // who there is in the account and in the tenant, and who is let into a workspace
mod calls; // requests: lost, late, too many; who is let in, and where
mod catalogs; // what is of a metastore: which one, by which workspace, who made it anew
mod conformance; // the behaviours of every provider
mod harness; // an opened instance, and what tests do with it
mod hostile; // texts of other languages in every text
mod jobs; // settings of jobs and pipelines: what is managed, secrets, the guard
mod lookups; // what others made, by name
mod names; // 256 names of every kind of object
mod readme; // the README shows the schema
mod rights; // what is missing is told before it is needed, and by the statement that gives it
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
