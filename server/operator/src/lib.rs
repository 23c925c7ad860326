//! Operator for Kubernetes: descriptors in the cluster as custom resources `Stack`.
//!
//! The operator has the server plan a descriptor, records the plan in the status, and has the server apply exactly the
//! plan whose digest a user approved. It decides nothing about plans: the server checks the digest again. The operator
//! knows neither the engine, nor a provider, nor the state; it calls the API server of the cluster, and the native API
//! of the server.
//!
//! Read in this order: [`stack`] (the custom resource), `inputs` (the input of a plan), `decide` (the next action of an
//! object), `record` (its status after an action), `server` (the client of the native API), `reconcile` (carries
//! actions out), `event` (shows them to people), `leader` (one of several operators works), `outage` (logs it), `health`
//! (probes and metrics), [`operator`] (starts all).
#![forbid(unsafe_code)]
// Tests may slice strings: a wrong index fails the test.
#![cfg_attr(not(test), warn(clippy::string_slice, clippy::unreachable))]

mod decide;
mod event;
mod health;
mod inputs;
mod leader;
pub mod operator;
mod outage;
mod reconcile;
mod record;
mod server;
pub mod stack;
#[cfg(test)]
mod tests;

pub use operator::{Operator, OperatorError};
pub use server::ServerSettings;
