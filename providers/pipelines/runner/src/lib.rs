//! Data pipelines of frictionless datapackage-pipelines (dpp): specs, environments, runs, the queue
//! and its workers, databases, storage, sites and schedules. It knows no plan and no state: the provider `pipelines`
//! declares resources over it, and the commands `terrace pipelines …` use it directly.
//!
//! Reading order: [`spec`] (the specs that users write), [`fingerprint`] (the inputs of a result), [`environment`] (the
//! Python environment of steps), [`executor`] (programs that runs start), [`run`] (one run, and several in order),
//! [`database`] (where pipelines write tables). Runs wait for a worker in the [`queue`]; a [`worker`] executes them.
//! [`deployment`] builds images of new commits and runs pipelines with them.
//! [`storage`] copies results to other places, and [`site`] shows them to people; [`schedule`] starts runs by time,
//! [`doctor`] reports missing software.
//!
//! Runs execute dpp's processors, its wrapper and its stream between steps, but not its manager: [`executor::local`]
//! says why.
#![forbid(unsafe_code)]
// Tests may slice strings anywhere: a wrong boundary only fails the test.
#![cfg_attr(not(test), warn(clippy::string_slice, clippy::unreachable))]

pub mod check_result;
mod cluster_check;
pub mod database;
pub mod deployment;
pub mod doctor;
pub mod environment;
pub mod execution_options;
pub mod executor;
mod file_lock;
mod files;
pub mod fingerprint;
pub mod folder_image;
mod hash;
pub mod paths;
mod private;
pub mod process_environment;
pub mod queue;
pub mod run;
pub mod schedule;
pub mod site;
pub mod spec;
pub mod storage;
pub mod worker;
