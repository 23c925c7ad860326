//! A stand-in of Airbyte for tests: its public API and the Config API calls of an earlier provisioner, with workspaces
//! in memory.
//!
//! It is strict: it answers unknown fields, unknown streams, invalid schedules and missing rights as Airbyte does.
//! Secrets are returned masked, connectors add their defaults, and connections outlive a deleted source as
//! `deprecated`. It never syncs data.
//!
//! Read in this order: [`StandIn`] (how a test starts one), `http` (routes), `catalog` (the connectors), `world` (the
//! data), `actors`, `connections` and `other_endpoints` (the calls), [`Faults`] (the faults).
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "this crate is test code: a panic here fails a test"
)]

mod actors;
mod catalog;
mod config_api;
mod connections;
mod faults;
mod http;
mod other_endpoints;
mod problem;
mod server;
mod world;

pub use faults::{AirbyteFaults, Fault, Faults};
pub use server::{CLIENT, DEFINITION_FILE, DEFINITION_SNOWFLAKE, ReceivedCall, StandIn, Traffic, WORKSPACE};
