//! Pipelines and runs as resources: what a plan says of them, and what applying does.
//!
//! `folder` reads specs. [`pipeline`] is what a spec says, made known to the project; [`run`] is its last result that is
//! good; [`worker_pool`] is who runs what is queued; [`database`] is what pipelines write into; [`volume_sync`] brings
//! results to where others read them, [`static_site`] shows them to people; [`schedule`] has pipelines run by themselves.

mod attributes;
pub mod database;
mod folder;
pub mod pipeline;
pub mod run;
pub mod schedule;
pub mod static_site;
pub mod volume_sync;
pub mod worker_pool;

pub(crate) use folder::Folders;
