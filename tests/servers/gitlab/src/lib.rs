//! A stand-in of GitLab's REST API for tests: merge requests, notes, members, commit statuses and issues of a project, in
//! memory. Paths, fields and errors are those of <https://docs.gitlab.com/api/api_resources/> and of GitLab's OpenAPI
//! description.
//!
//! It is strict: it refuses unknown paths, queries and fields, notes over the limit, and calls without the right of the
//! token, and records each refusal that a correct client does not cause (`complaints`).
//!
//! Read in this order: [`StandIn`] (how a test starts one), `api` (the calls), `world` (the data).
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "this crate is test code: a panic here fails a test"
)]

mod api;
mod http;
mod world;

pub use http::{GitLab, StandIn};
pub use terrace_test_listening::strict::{Fault, ReceivedCall};
pub use world::{Issue, MergeRequest, NOTE_LIMIT, Note};
