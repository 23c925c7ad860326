//! Arguments of `serve`.

use crate::configuration::{MOST_PARALLEL, MOST_WORKERS};
use clap::Args;
use std::net::SocketAddr;
use std::time::Duration;
use terrace_engine::duration;

/// `terrace serve`. An option that is not given comes from terrace.yaml, else from the default.
#[derive(Debug, Args)]
pub struct ServeArguments {
    /// Listen on this address [default: 127.0.0.1:8091]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = super::address)]
    pub bind: Option<SocketAddr>,
    /// Serve static sites on this address, below `/sites/NAME/` [default: `server.sites`, else no sites]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = super::address)]
    pub sites: Option<SocketAddr>,
    /// Work on this many requests at once [default: 16]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(MOST_WORKERS)))]
    pub workers: Option<u16>,
    /// Make this many provider calls at once in one request [default: 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(MOST_PARALLEL)))]
    pub parallelism: Option<u16>,
    /// Queue this many requests; answer more with 503 [default: 10000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub queue: Option<u32>,
    /// Give running operations this long to end at shutdown [default: 20s]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub drain: Option<Duration>,
}
