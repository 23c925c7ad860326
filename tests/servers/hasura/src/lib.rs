//! Stand-ins of Hasura and of its role mapper for tests: the metadata API of graphql-engine v2 with metadata in
//! memory, and the REST API of the service that assigns roles.
//!
//! Hasura's half is stricter than graphql-engine in one point: it refuses unknown fields, which graphql-engine
//! ignores. `set` in a select permission is accepted, since existing services send it. Of the databases behind sources
//! it knows the tables that a test adds.
//!
//! Read in this order: [`StandIn`] (how a test starts one), `http` (both APIs), `metadata` (the data), `commands` (the
//! commands), `databases` (the databases behind sources), `roles` (the role mapper), [`Faults`] (the faults).
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "this crate is test code: a panic here fails a test"
)]

mod commands;
mod control;
mod databases;
mod faults;
mod http;
mod metadata;
mod refused;
mod roles;
mod server;
#[cfg(test)]
mod tests;

pub use databases::Table;
pub use faults::{Fault, Faults, HasuraFaults};
pub use roles::Mapper;
pub use server::{ReceivedCall, StandIn, Traffic};
