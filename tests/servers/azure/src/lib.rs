//! A stand-in of Azure for tests, as far as workspaces of Databricks need it: Microsoft Entra ID gives out tokens, Azure Resource
//! Manager makes workspaces and role assignments, Microsoft Graph knows who there is, and the account of Databricks says which
//! metastore a workspace has and who may enter it. A workspace that is made is a stand-in of Databricks itself.
//!
//! It is strict. A token is for one of them alone, fields and versions that it does not know are refused, and so is what comes
//! in the wrong order. Making a workspace takes as many questions as a test says.
//!
//! Read in this order: [`Azure`] (how a test starts one), `http` (who is let in, what is counted), `world` (what there is), then
//! `entra`, `management`, `roles`, `graph` and `account` (the calls).
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "this crate is tests: what fails here fails a test"
)]

mod account;
mod entra;
mod error;
mod graph;
mod http;
mod management;
mod roles;
mod server;
mod world;

pub use server::{ACCOUNT, Azure, CLIENT, GROUP, METASTORE, SECRET, SUBSCRIPTION, TENANT};
pub use terrace_test_databricks::{Fault, Faults, Seen};
