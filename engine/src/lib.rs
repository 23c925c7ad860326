//! The engine: compiles descriptors into a resource graph, compares the graph with the state, and applies the resulting
//! plan.
//!
//! The steps are crates of their own; this one connects them ([`driver`]) and gives them one name.
#![forbid(unsafe_code)]
// Tests may slice strings anywhere: a bad index only fails the test.
#![cfg_attr(not(test), warn(clippy::string_slice, clippy::unreachable))]

pub mod driver;
pub mod engine;

pub use terrace_apply as apply;
pub use terrace_apply::{event, recover};
pub use terrace_language::{
    access, action, address, blueprint, compile, decode, descriptor, diagnostic, digest, duration, environment,
    expression, graph, limits, lookup, moves, naming, quick, registry, repository, selector, source, text, typecheck,
    yaml,
};
pub use terrace_plan as plan;
pub use terrace_plan::{drift, import, recorded_names, rekey, reverse, row_moves};
pub use terrace_render as render;
pub use terrace_store as store;
pub use terrace_store::{diff, marks, record, seal};
