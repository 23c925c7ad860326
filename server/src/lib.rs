//! HTTP server of the engine: Witboost's API for specific provisioners, and a native one.
//!
//! The server answers a changing call only after it has stored the call as a request. Workers in any process claim
//! requests, one at a time for each component. If a process dies, another worker claims its requests again.
//!
//! Read in this order:
//! - [`environments`]: the engine's inputs for each environment
//! - `shared`: the state of calls and workers; `settings`
//! - `routes`: all paths; `listen` and [`tls`] accept connections
//! - [`auth`]: scopes and limits of callers; [`audit`]: changes and refused calls; `precheck`, [`body`] and `object`:
//!   reading of heads and bodies
//! - `witboost` and [`api`]: the calls of both APIs with their bodies; [`pickers`]: lists of remote objects for Witboost's
//!   forms; `operate`: health and metrics
//! - `request_context`: from a body to a plan; `drift_scan`: drift; `reverse_provisioning`
//! - `request`, `queue` and `operation_locks`: distribution of work; `run`: one request; `outcome`: its result; `claim_heartbeat`:
//!   its claim; `operation_log`: its log; `cancellation`
//! - `retry_counter`, `outage_log`, `last_answer`: retries and outages of the store; `trace_context`: spans from a call
//!   to its end; `streams`: limits of event streams; [`rekey`]: change of the sealing key
//! - [`pipelines`]: data pipelines of the project; `run_ends`, `step_usage`, `push_audit` and [`usage_log`]: their use in the audit log
//! - [`embed`] serves routes of other crates, [`jwt`] verifies tokens for both, [`tables`] shows databases, [`sites`]
//!   static sites
#![forbid(unsafe_code)]
// Tests may slice strings: a wrong index fails the test.
#![cfg_attr(not(test), warn(clippy::string_slice, clippy::unreachable))]

mod access;
mod answer;
pub mod api;
mod approved;
pub mod audit;
pub mod auth;
pub mod body;
mod cancellation;
mod claim_heartbeat;
mod common_layers;
mod docs;
mod drain_body;
mod drift_findings;
mod drift_scan;
pub mod embed;
pub mod environments;
pub mod http;
pub mod jwt;
mod last_answer;
mod listen;
mod metrics;
mod object;
mod operate;
mod operation_locks;
mod operation_log;
mod outage_log;
mod outcome;
pub mod pickers;
pub mod pipelines;
mod precheck;
mod priority;
pub mod processing;
mod push_audit;
pub mod push_hooks;
mod queue;
mod readiness;
pub mod rekey;
mod request;
mod request_context;
mod retry_counter;
mod reverse_provisioning;
pub mod routes;
mod run;
mod run_ends;
mod serve;
mod serve_error;
mod settings;
mod shared;
pub mod sites;
mod step_usage;
mod streams;
pub mod tables;
pub mod tls;
mod trace_context;
pub mod usage_log;
pub mod webhook;
mod witboost;

pub use listen::ConnectionLimits;
pub use metrics::{ExtraRecorder, SECONDS};
pub use serve::Server;
pub use serve_error::ServeError;
pub use settings::ServerSettings;
