//! A stand-in of Databricks for tests: the REST API of one workspace, with Unity Catalog, over objects that are kept in memory.
//!
//! It is strict. A field that it does not know is refused, as are names that nobody has and levels that an object does not
//! know; what the real one adds by itself (defaults of jobs, owners, inherited entries) it adds as well. It runs nothing: of
//! SQL it knows the statements about views.
//!
//! Read in this order: [`StandIn`] (how a test starts one), `http` (who is let in, what is counted), `world` (what there is),
//! `api` (the calls), `sql` (texts to statements), [`Faults`] (what may go wrong).
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "this crate is tests: what fails here fails a test"
)]

mod api;
mod error;
mod faults;
mod fields;
mod http;
mod server;
mod sql;
mod world;

pub use faults::{Fault, Faults};
pub use server::{Seen, StandIn};
