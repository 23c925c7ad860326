//! Runs of pipelines, with a record, a log, and outputs that appear only when complete.
//!
//! Reading order: [`Runner`] (the runner of a project), [`record`] (record of a run), [`store`] (storage of records, and
//! the lock of a pipeline), `last_state` (state after the last run), `due` (pipelines to run, and reasons), `blocking_checks`
//! (the same, read only), `job` (a pipeline as programs), `outputs` (temporary places of outputs), `single` (one
//! run), `publishing` (its end), `marked` (runs of killed callers), `elsewhere` (runs on
//! other machines), [`timed`] and `recording` (runs that a cluster starts), `unlogged` (their ends for the usage log),
//! [`batch`] (several runs in order), `observer` and `outcome` (what callers get), `shell` (the environment of a run),
//! [`attempts`] (retries), `watcher` and `hooks` (notifications), [`generate`] (pipelines from plugins), [`log`],
//! [`python`] (the format of results).

pub mod attempts;
pub mod batch;
mod blocking_checks;
mod chart;
mod disk;
mod due;
mod elsewhere;
mod forgotten;
pub mod generate;
mod hooks;
mod job;
mod last_state;
mod live_rows;
pub mod log;
mod marked;
mod observer;
mod outcome;
pub(crate) mod outputs;
mod overrides;
mod publishing;
pub mod python;
pub mod record;
mod recording;
mod runner;
pub mod shell;
mod single;
pub mod store;
pub mod timed;
mod unlogged;
mod watcher;

pub use due::POSTGRES_DRIVER;
pub use observer::{NoObserver, RunObserver};
pub use outputs::Output;
pub use overrides::Overrides;
pub use record::{Record, State};
pub use runner::{NotRun, RunRequest, Runner, Target};
pub use store::Store;
