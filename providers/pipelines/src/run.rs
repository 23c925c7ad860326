//! Runs: one pipeline run to its end, with a record, a log, and outputs that appear when they are whole.
//!
//! Read in this order: [`record`] (what is known of a run), [`store`] (where records are, and who may run a pipeline; `files`:
//! how they are written), `standing` (how the last run left things), `due` (what has to be run, and why), `looking` (the same without keeping anybody waiting),
//! `job` (a pipeline as programs), `outputs` (what it writes, beside its place first), [`single`] (one run),
//! `publishing` (how it ends), [`batch`] (several in their order), `shell` (what a run sees), [`attempts`] (what is tried
//! again), `watcher` and `hooks` (who is told of a run), [`generate`] (pipelines that plugins make), [`log`], [`python`] (how
//! results are written).

pub mod attempts;
pub mod batch;
mod disk;
pub(crate) mod due;
mod files;
pub mod generate;
mod hooks;
mod job;
pub mod log;
mod looking;
mod outputs;
mod publishing;
pub mod python;
pub mod record;
mod shell;
pub mod single;
mod standing;
pub mod store;
mod watcher;

pub use due::{POSTGRES_DRIVER, Target};
pub use outputs::Output;
pub use record::{Record, State};
pub use single::{Asked, Runner, Watching};
pub use store::Store;
pub(crate) use store::write as write_whole;
