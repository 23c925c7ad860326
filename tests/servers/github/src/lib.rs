//! A stand-in of GitHub's REST API for tests: pull requests, comments, reviews, checks, statuses, teams and issues of a
//! repository, in memory. Paths, fields and errors are those of GitHub's OpenAPI description
//! (<https://github.com/github/rest-api-description>). Of the GraphQL API, it answers the two queries that terrace sends,
//! by the published schema (<https://docs.github.com/en/graphql/overview/public-schema>).
//!
//! It is strict: it refuses unknown paths, queries and fields, missing headers, comments over the limit, and calls without
//! the permission of the token, and records each refusal that a correct client does not cause (`complaints`).
//!
//! Read in this order: [`StandIn`] (how a test starts one), `api` (the calls), `graphql` (the queries), `world` (the data).
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "this crate is test code: a panic here fails a test"
)]

mod api;
mod graphql;
mod http;
mod world;

pub use http::{GitHub, StandIn};
pub use terrace_test_listening::strict::{Fault, Faults, ReceivedCall};
pub use world::{Comment, Commit, ISSUE_LIMIT, Issue, Pull};
