//! Pipelines of a server: the same commands, by the native API of `terrace serve`.

mod client;
mod databases;
mod events;
mod list;
mod listed;
mod logs;
mod result;
mod run;
mod sign_in;
mod stop;

pub(super) use client::{refuse_server, server_of};
pub(super) use databases::databases;
pub(super) use list::list;
pub(super) use listed::{pods, runs};
pub(super) use logs::logs;
pub(super) use run::run;
pub(in crate::commands) use sign_in::check_server;
pub(super) use sign_in::{login, logout};
pub(super) use stop::cancel;
