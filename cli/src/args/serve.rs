//! Arguments of `serve`.

use clap::Args;
use std::net::SocketAddr;
use std::time::Duration;
use terrace_engine::duration;

/// `terrace serve`.
#[derive(Debug, Args)]
pub struct ServeArguments {
    /// Where connections are taken
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8091")]
    pub bind: SocketAddr,
    /// How many requests are worked on at once
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub workers: u16,
    /// How many provider calls one request makes at once
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub parallelism: u16,
    /// How many requests may wait; more are answered with 503
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub queue: u32,
    /// How long what runs is waited for when the server is told to end
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = duration::parse)]
    pub drain: Duration,
}
