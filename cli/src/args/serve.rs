//! Arguments of `serve`.

use crate::configuration::{MOST_PARALLEL, MOST_WORKERS};
use clap::Args;
use std::net::SocketAddr;
use std::time::Duration;
use terrace_engine::duration;

/// `terrace serve`. What is not given here is as terrace.yaml says, else as it is by default.
#[derive(Debug, Args)]
pub struct ServeArguments {
    /// Where connections are taken [default: 127.0.0.1:8091]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = super::address)]
    pub bind: Option<SocketAddr>,
    /// Where static sites are shown, below `/sites/NAME/` [default: nowhere, or as `server.sites` says]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = super::address)]
    pub sites: Option<SocketAddr>,
    /// How many requests are worked on at once [default: 16]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(MOST_WORKERS)))]
    pub workers: Option<u16>,
    /// How many provider calls one request makes at once [default: 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(MOST_PARALLEL)))]
    pub parallelism: Option<u16>,
    /// How many requests may wait; more are answered with 503 [default: 10000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub queue: Option<u32>,
    /// How long what runs is waited for when the server is told to end [default: 20s]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub drain: Option<Duration>,
}
