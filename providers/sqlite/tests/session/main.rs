//! The provider through its session, on real files.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking, helpers of tests too"
)]

mod conformance; // what every provider shows
mod crashes; // a killed process leaves all of a call or nothing
mod databases; // files: made, found again, deleted with what stands beside them
mod names; // generated names live through create, find, rename and drop
mod renames; // columns and tables under other names
mod tables; // columns, keys and comments: made, read back, changed with their rows
mod views; // views and indexes
mod world;
