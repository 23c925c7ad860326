//! A stand-in of Snowflake for tests: the SQL API v2 with an account in memory.
//!
//! It is strict: unknown statements are syntax errors, each statement is checked against the privileges of its role,
//! and a repeated request gets the same response. It is no database: it knows only terrace's own queries.
//!
//! Read in this order: [`StandIn`] (how a test starts one), `http` (the API), `grammar` (the parser), `account` (the
//! data), `execute` (the execution), [`Faults`] (the faults).
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "this crate is test code: a panic here fails a test"
)]

mod account;
mod auth;
mod data_type;
mod error;
mod execute;
mod faults;
mod grammar;
mod http;
mod name;
mod server;
mod token;

pub use faults::{Fault, Faults, SnowflakeFaults};
pub use server::{ReceivedCall, StandIn, Traffic};
