//! `terrace pr`: from a branch of a real Git repository to a comment, a check, an apply and an issue, against stand-ins of
//! both forges.

mod approvals;
mod attacks;
mod forges;
mod installation;
mod interruptions;
mod merges;
mod messages;
mod monorepo;
mod repository;
mod requests;
