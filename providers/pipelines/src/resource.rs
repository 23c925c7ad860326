//! Pipelines and runs as resources: what a plan says of them, and what applying does.
//!
//! [`pipeline`] is what a spec says, made known to the project; [`run`] is its last result that is good; [`volume_sync`] brings
//! that to where others read it, [`static_site`] shows it to people.

mod attributes;
pub mod pipeline;
pub mod run;
pub mod static_site;
pub mod volume_sync;
