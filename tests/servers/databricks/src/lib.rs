//! A stand-in of Databricks for tests: the REST API of one workspace with Unity Catalog, with objects in memory.
//!
//! It is strict: it refuses unknown fields, unknown principals and levels that an object does not have. It adds what
//! Databricks adds: defaults of jobs, owners, inherited entries. It runs no jobs; of SQL it knows the statements about
//! views.
//!
//! Read in this order: [`StandIn`] (how a test starts one), `http` (authorization and counters), `world` (the data),
//! `api` (the calls), `sql` (the statements), [`Faults`] (the faults).
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "this crate is test code: a panic here fails a test"
)]

mod api;
mod error;
mod faults;
mod fields;
mod http;
mod request;
mod server;
mod sql;
mod world;

pub use faults::{DatabricksFaults, Fault, Faults};
pub use server::{ReceivedCall, StandIn, Traffic};
