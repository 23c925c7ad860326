//! Arguments of `role-mapper`.

use clap::Args;
use std::net::SocketAddr;

/// `terrace role-mapper`. The rest is said by variables: `ROLE_MAPPER_*`.
#[derive(Debug, Args)]
pub struct RoleMapperArguments {
    /// Where connections are taken [env: ROLE_MAPPER_BIND] [default: 127.0.0.1:8092]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = super::address)]
    pub bind: Option<SocketAddr>,
}
