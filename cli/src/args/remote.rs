//! Arguments of commands that call a server.

use clap::Args;

/// The server whose pipelines a command uses.
#[derive(Debug, Clone, Default, Args)]
pub struct ServerArguments {
    /// Use the pipelines of the server (`terrace serve`) at this URL [env: TERRACE_SERVER]
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
}
