//! The language of terrace: reads descriptors, blueprints and repositories, and compiles them to declarations with
//! expressions, in the order of their references. It plans nothing and knows no state.
#![forbid(unsafe_code)]
// Tests may slice strings anywhere: a bad index only fails the test.
#![cfg_attr(not(test), warn(clippy::string_slice, clippy::unreachable))]

pub mod access;
pub mod action;
pub mod address;
pub mod blueprint;
pub mod compile;
pub mod decode;
pub mod descriptor;
pub mod digest;
pub mod duration;
pub mod environment;
pub mod expression;
pub mod graph;
pub mod limits;
pub mod lookup;
pub mod moves;
pub mod naming;
pub mod quick;
pub mod registry;
pub mod repetition;
pub mod repository;
pub mod scope;
pub mod selector;
pub mod text;
pub mod typecheck;

pub use terrace_yaml::{self as yaml, diagnostic, source};
