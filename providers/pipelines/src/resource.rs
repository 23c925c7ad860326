//! Pipelines and runs as resources: what a plan says of them, and what applying does.
//!
//! `folder` reads specs for both. [`pipeline`] is what a spec says, made known to the project; [`run`] is its last result that is good.

mod attributes;
mod folder;
pub mod pipeline;
pub mod run;

pub(crate) use folder::Folders;
