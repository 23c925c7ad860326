//! Pipelines and runs as resources: what a plan says of them, and what applying does.
//!
//! [`pipeline`] is what a spec says, made known to the project; [`run`] is its last result that is good; [`schedule`] has it run
//! by itself.

mod attributes;
pub mod pipeline;
pub mod run;
pub mod schedule;
