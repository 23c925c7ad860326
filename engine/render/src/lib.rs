//! Renders a plan for different readers.
//!
//! All forms come from the same inert [`Plan`](terrace_plan::Plan): [`human`] for a terminal, [`markdown`] for a pull request,
//! [`json`] for tools that read Terraform plans, [`stream`] for tools that follow an operation, [`steps`] for people who do,
//! [`drift`] for changes outside terrace, [`outcome`] for the tests of blueprints, [`comparison`] for the changes that a
//! branch adds. They share the headline of a change ([`headline`]), the differences of its attributes ([`attributes`]) and the
//! counts ([`totals`]).
//!
//! Sensitive values are never exposed here, and all text from outside is made harmless before it is printed
//! ([`text`](terrace_language::text)).
#![forbid(unsafe_code)]
// Tests may slice strings anywhere: a bad index only fails the test.
#![cfg_attr(not(test), warn(clippy::string_slice, clippy::unreachable))]

mod attributes;
pub mod comparison;
pub mod drift;
mod headline;
pub mod human;
pub mod json;
mod line;
pub mod markdown;
pub mod outcome;
mod paint;
pub mod steps;
pub mod stream;
mod text_diff;
mod totals;

pub use totals::{SOURCE_SPEC, remaining_deferred};

#[cfg(test)]
mod tests;
