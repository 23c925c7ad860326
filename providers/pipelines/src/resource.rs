//! Resource types for pipelines and runs: how they are planned and applied.
//!
//! `folder` reads specs. [`pipeline`] records a spec in the project; [`run`] is the last good result of a pipeline;
//! [`worker_pool`] runs queued requests; [`database`] is a place for tables; [`volume_sync`] copies results to other
//! places, [`static_site`] shows them to people; [`schedule`] starts pipelines by time.

mod attributes;
pub mod database;
mod folder;
pub mod pipeline;
mod planned_databases;
pub mod run;
pub mod schedule;
pub mod static_site;
pub(crate) mod storage_error;
pub mod volume_sync;
pub mod worker_pool;

pub(crate) use folder::Folders;
pub(crate) use planned_databases::PlannedDatabases;
