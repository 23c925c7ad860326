//! The provider against a PostgreSQL server that the tests start.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, helpers of tests too"
)]

mod world;

mod access; // roles, memberships, grants
mod batches; // many objects by few queries
mod conformance; // what every provider shows
mod crashes; // what became of calls that were lost
mod databases; // databases and schemas
mod dependents; // views over columns that change
mod drift; // what somebody takes away by hand
mod hostile; // SQL in every text
mod indexes; // indexes, concurrent ones too
mod limits; // how many calls come at once
mod names; // every name that PostgreSQL takes, and those that it does not
mod put_back; // what depends on a column or a key, dropped and put back
mod readme; // the README against the schema
mod renames; // columns, tables and constraints under other names
mod rights; // who may not, and what is said then
mod servers; // servers that are not there, or go away
mod spellings; // values that the server stores in another form
mod tables; // creating, changing, dropping tables
mod types; // spellings of types
mod views; // views and materialized views
