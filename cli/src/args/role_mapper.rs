//! Arguments of `role-mapper`.

use clap::Args;
use std::net::SocketAddr;

/// `terrace role-mapper`. Environment variables `ROLE_MAPPER_*` hold the other settings.
#[derive(Debug, Args)]
pub struct RoleMapperArguments {
    /// Listen on this address [env: ROLE_MAPPER_BIND] [default: 127.0.0.1:8092]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = super::address)]
    pub bind: Option<SocketAddr>,
}
