//! Runs of pipelines, with a record, a log, and outputs that appear only when complete.
//!
//! Reading order: [`record`] (record of a run), [`store`] (storage of records, and the lock of a pipeline; `files`:
//! writing files), `last_state` (state after the last run), `due` (pipelines to run, and reasons), `blocking_checks`
//! (the same, read only), `job` (a pipeline as programs), `outputs` (temporary places of outputs), [`single`] (one
//! run), `publishing` (its end), [`batch`] (several runs in order), `shell` (the environment of a run), [`attempts`]
//! (retries), `watcher` and `hooks` (notifications), [`generate`] (pipelines from plugins), [`log`], [`python`] (the
//! format of results).

pub mod attempts;
pub mod batch;
mod blocking_checks;
mod disk;
pub(crate) mod due;
mod files;
pub mod generate;
mod hooks;
mod job;
mod last_state;
pub mod log;
mod outputs;
mod publishing;
pub mod python;
pub mod record;
mod shell;
pub mod single;
pub mod store;
mod watcher;

pub use due::{POSTGRES_DRIVER, Target};
pub use outputs::Output;
pub use record::{Record, State};
pub use single::{RunObserver, RunRequest, Runner};
pub use store::Store;
pub(crate) use store::write as write_atomically;
