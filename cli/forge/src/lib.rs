//! GitHub and GitLab behind one trait: requests to merge, comments, checks, approvals and issues.
//!
//! The crate knows neither plans nor the command line. Read in this order: [`forge`] (the trait and its values), [`job`]
//! (the job that runs terrace), [`connect()`] (a repository outside a job), `call` (requests over HTTP), `github` and `gitlab`, [`code_owners`] and [`approval`]
//! (who may approve a plan), [`record`] (reviewed plans, hidden in a comment), [`comment`] (a comment within a limit).
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::string_slice, clippy::unreachable))]

pub mod approval;
mod call;
pub mod code_owners;
pub mod comment;
mod connect;
pub mod forge;
mod github;
mod gitlab;
pub mod job;
pub mod record;

pub use connect::connect;
pub use forge::{
    Access, Account, Check, Comment, Forge, ForgeError, Issue, Request, RequestState, Run, Statement, Statements,
    Vendor, Verdict,
};
pub use job::{Job, JobError};
