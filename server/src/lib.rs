//! The engine behind HTTP: Witboost's API for specific provisioners, and a native one.
//!
//! Every call that changes anything is a request in the store before it is answered; workers claim requests, one at a
//! time for each component, in whichever process. What was being worked on when a process died is claimed again.
//!
//! Read in this order: [`environments`] (what the engine gets, by environment), `routes` (all paths; `listen` and [`tls`]: how
//! calls come in), [`auth`] (who may call what; [`audit`]: changes and refused calls; `precheck`: what can be read at all; [`body`] and `object`: how bodies are
//! read), `witboost` (the calls and their bodies), [`api`] (those of our own), `operate` (health and figures), `request_context`
//! (from a body to what is planned), `drifting` (drift), `reverse_provisioning` (reverse provisioning), `queue` and `operation_locks` (who
//! works on what), `run` (one request), `outcome` (what came of it), `claim_heartbeat` (its claim) and `logbook` (what is told of
//! it) beside it, `retry_counter` (what is tried again), `outage_log` (a store that is away), `last_answer` (the last answer of the
//! store), `traced` (what follows a request from its call to its end), [`rekey`] (requests under another key). `cancellation`
//! stops one. `streams` counts streams of events. [`embed`] serves other routes in the
//! same manner, [`jwt`] reads tokens for both, [`tables`] are pages to look at databases, and [`sites`] shows static sites
//! beside it all.
#![forbid(unsafe_code)]
// A test may cut a text anywhere: it fails where it slips.
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
mod docs;
mod drain_body;
mod drifting;
pub mod embed;
pub mod environments;
pub mod http;
pub mod judging;
pub mod jwt;
mod last_answer;
mod listen;
mod logbook;
mod metrics;
mod object;
mod operate;
mod operation_locks;
mod outage_log;
mod outcome;
mod precheck;
mod queue;
pub mod rekey;
mod request_context;
mod retry_counter;
mod reverse_provisioning;
pub mod routes;
mod run;
mod serve;
pub mod sites;
mod streams;
pub mod tables;
pub mod tls;
mod traced;
pub mod webhook;
mod witboost;

pub use listen::ConnectionLimits;
pub use metrics::{MoreFigures, SECONDS};
pub use serve::{ServeError, Server, ServerSettings};
