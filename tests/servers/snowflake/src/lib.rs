//! A stand-in of Snowflake for tests: the SQL API v2 over an account that is kept in memory.
//!
//! It is strict. What it does not know is a syntax error, as with the real one; each statement is checked against what the
//! executing role may do; the same request comes back as the same answer. It is no database: of queries it knows those
//! that terrace asks.
//!
//! Read in this order: [`StandIn`] (how a test starts one), `http` (the API), `grammar` (texts to statements), `account`
//! (what there is), `execute` (what statements do), [`Faults`] (what may go wrong).
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "this crate is tests: what fails here fails a test"
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

pub use faults::{Fault, Faults};
pub use server::{Seen, StandIn};
