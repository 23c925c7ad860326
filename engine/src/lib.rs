//! The engine: compiles descriptors into a resource graph, compares the graph with the state, and applies the resulting
//! plan.
#![forbid(unsafe_code)]
// Tests may slice strings anywhere: a bad index only fails the test.
#![cfg_attr(not(test), warn(clippy::string_slice, clippy::unreachable))]

pub mod access;
pub mod action;
pub mod address;
pub mod apply;
pub mod blueprint;
pub mod compile;
mod deadline;
pub mod decode;
pub mod descriptor;
pub mod diff;
pub mod digest;
pub mod drift;
pub mod driver;
pub mod duration;
pub mod engine;
pub mod environment;
pub mod event;
pub mod expression;
pub mod graph;
pub mod import;
pub mod limits;
pub mod lookup;
pub mod marks;
pub mod moves;
pub mod naming;
pub mod plan;
pub mod quick;
pub mod record;
pub mod recorded_names;
pub mod recover;
pub mod registry;
pub mod rekey;
pub mod render;
mod repetition;
pub mod repository;
pub mod reverse;
pub mod row_moves;
pub(crate) mod scope;
pub mod seal;
pub mod selector;
pub mod store;
pub mod text;
pub mod typecheck;
mod upgrade;

pub use terrace_yaml::{self as yaml, diagnostic, source};
