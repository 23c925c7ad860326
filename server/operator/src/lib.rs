//! Operator for Kubernetes: descriptors, pipelines, databases, workers and runs in the cluster as custom resources.
//!
//! The operator has the server plan a descriptor, records the plan in the status, and has the server apply exactly the
//! plan whose digest a user approved. It decides nothing about plans: the server checks the digest again. The operator
//! knows neither the engine, nor a provider, nor the state; it calls the API server of the cluster, and the native API
//! of the server.
//!
//! Objects `Stack`, `Pipeline`, `Database` and `Worker` are stacks, on one path. Read in this order: [`kind`],
//! [`stack`] (the custom resources), `translate` (objects of all kinds as stacks), `inputs` (the input of a plan),
//! `decide` (the next action of an object), `record` (its status after an action), `server` (the client of the native
//! API), `reconcile` (carries actions out).
//!
//! Objects `PipelineRun` are runs: [`pipeline_run`] (the custom resource), [`run_phase`] (their progress), `run_stats` (the
//! size of their statistics), `run_decision`, `run_record`, `run_board` (what runs share), `pause` (between refused
//! calls), `run_reconcile`.
//!
//! Both share `cluster` (writes), `condition`, `event` (shows actions to people), `objects` (copies by the watches),
//! `leader` (one of several operators works), `other_operators` (also across namespaces), `outage` and `api_server` (log outages),
//! `health` (probes and metrics), [`operator`] (starts all), [`definitions`]. [`chart`] installs the operator.
#![forbid(unsafe_code)]
// Tests may slice strings: a wrong index fails the test.
#![cfg_attr(not(test), warn(clippy::string_slice, clippy::unreachable))]

mod api_server;
pub mod chart;
mod cluster;
mod condition;
mod decide;
pub mod definitions;
mod event;
mod health;
mod inputs;
pub mod kind;
mod leader;
mod objects;
pub mod operator;
mod other_operators;
mod outage;
mod pause;
pub mod pipeline_run;
mod reconcile;
mod record;
mod run_board;
mod run_decision;
pub mod run_phase;
mod run_reconcile;
mod run_record;
mod run_stats;
mod run_values;
mod server;
pub mod stack;
#[cfg(test)]
mod tests;
mod translate;
mod watch_outage;

pub use operator::{Operator, OperatorError};
pub use server::{ServerSettings, TokenCheck};
