//! A stand-in of Azure for tests, as far as Databricks workspaces need it. Microsoft Entra ID issues tokens; Azure
//! Resource Manager creates workspaces and role assignments; Microsoft Graph lists principals; the Databricks account
//! assigns metastores and people to workspaces. A created workspace is itself a stand-in of Databricks.
//!
//! It is strict: a token is valid for one API only, and unknown fields, unknown versions and calls in the wrong order
//! are refused. Creating a workspace takes as many polls as a test sets.
//!
//! Read in this order: [`Azure`] (how a test starts one), `http` (authorization and counters), `call` (a call), `world` (the data),
//! then `entra`, `management`, `roles`, `graph` and `account` (the calls).
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "this crate is test code: a panic here fails a test"
)]

mod account;
mod call;
mod entra;
mod error;
mod graph;
mod http;
mod management;
mod roles;
mod server;
mod world;

pub use server::Azure;
pub use terrace_test_databricks::{Fault, Faults, ReceivedCall};
pub use world::{ACCOUNT, CLIENT, GROUP, METASTORE, SECRET, SUBSCRIPTION, TENANT};
