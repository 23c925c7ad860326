//! Stand-ins of Hasura and of its role mapper for tests: the metadata API of graphql-engine v2 over metadata that is kept in
//! memory, and the REST of the service that says who has which role.
//!
//! Hasura's half is stricter than graphql-engine in one point: a field that no command knows is refused, where graphql-engine
//! leaves it unread. `set` in a select permission is let through, for existing services send it. Of the databases behind
//! sources it knows the tables that a test gives it.
//!
//! Read in this order: [`StandIn`] (how a test starts one), `http` (both APIs), `metadata` (what there is), `commands` (what
//! commands do), `databases` (what is behind sources), `roles` (the role mapper), [`Faults`] (what may go wrong).
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "this crate is tests: what fails here fails a test"
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
mod traffic;

pub use databases::Table;
pub use faults::{Fault, Faults};
pub use roles::Mapper;
pub use server::StandIn;
pub use traffic::Seen;
