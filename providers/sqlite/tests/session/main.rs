//! Tests of the provider through its session, with real files.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking, helpers of tests too"
)]

mod conformance; // the conformance suite
mod crashes; // a killed process leaves a complete call or no change
mod databases; // files: created, found, deleted with their side files
mod harness;
mod names; // generated names work in create, find, rename and drop
mod renames; // renamed columns and tables
mod tables; // columns, keys and comments: created, read back, changed with their rows
mod views; // views and indexes
