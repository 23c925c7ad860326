//! The engine: descriptors compile into a resource graph, which is diffed against recorded state into a plan, which is
//! applied.
#![forbid(unsafe_code)]

pub mod address;
pub mod blueprint;
pub mod decode;
pub mod descriptor;
pub mod diagnostic;
pub mod expression;
pub mod source;
pub mod store;
pub mod yaml;

#[cfg(test)]
mod testing;
