//! Tests of the provider with a PostgreSQL server that they start.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, helpers of tests too"
)]

mod harness;

mod access; // roles, memberships, grants
mod batches; // few queries for many objects
mod conformance; // the conformance suite
mod crashes; // outcomes of lost calls
mod databases; // databases and schemas
mod dependents; // views over changing columns
mod drift; // manual changes
mod hostile; // SQL in every text
mod indexes; // indexes, concurrent ones too
mod limits; // concurrent calls
mod names; // valid and invalid names
mod readme; // the README against the schema
mod renames; // renames of columns, tables and constraints
mod restored_objects; // dependents of a column or a key, dropped and restored
mod rights; // missing rights and their errors
mod servers; // servers that are unreachable or go away
mod spellings; // values that the server stores in another form
mod tables; // creating, changing, dropping tables
mod types; // spellings of types
mod views; // views and materialized views
