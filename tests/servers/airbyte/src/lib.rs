//! A stand-in of Airbyte for tests: its public API, and what an earlier provisioner asks of the Config API, over workspaces
//! that are kept in memory.
//!
//! It is strict: a field that it does not know, a stream that the source does not have, a schedule that is none, a token
//! without the right are answered as Airbyte answers them. Secrets come back masked, connectors add their defaults, what a
//! source is read by outlives it as `deprecated`. Nothing is ever synced.
//!
//! Read in this order: [`StandIn`] (how a test starts one), `http` (which call is which), `catalog` (the connectors),
//! `world` (what there is), `actors`, `connections` and `others` (what calls do), [`Faults`] (what may go wrong).
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "this crate is tests: what fails here fails a test"
)]

mod actors;
mod catalog;
mod config_api;
mod connections;
mod faults;
mod http;
mod others;
mod problem;
mod server;
mod world;

pub use faults::{Fault, Faults};
pub use server::{CLIENT, DEFINITION_FILE, DEFINITION_SNOWFLAKE, Seen, StandIn, WORKSPACE};
