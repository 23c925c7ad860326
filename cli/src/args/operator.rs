//! Arguments of `operator`.

use clap::{Args, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;

/// `terrace operator`: without a subcommand, it runs. The variable `TERRACE_OPERATOR_TOKEN` holds the token.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct OperatorArguments {
    /// The subcommand.
    #[command(subcommand)]
    pub command: Option<OperatorCommand>,
    /// Work through the server (`terrace serve`) at this URL
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8091")]
    pub server: String,
    /// Trust the certificate authorities of this PEM file for the server [default: those of this machine]
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Send the token over `http://` to other machines, in a network that you trust
    #[arg(long)]
    pub allow_plain_http: bool,
    /// Serve probes (`/livez`, `/readyz`) and `/metrics` at this address [default: nowhere]
    #[arg(long, value_name = "ADDRESS")]
    pub bind: Option<SocketAddr>,
    /// Read the objects of this namespace only [default: all namespaces]
    #[arg(long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Keep the lease of the leader in this namespace [default: that of the service account or the context]
    #[arg(long, value_name = "NAME")]
    pub lease_namespace: Option<String>,
    /// End databases of pipelines in this namespace when their lifetime is over, with their data; repeatable
    #[arg(long, value_name = "NAMESPACE")]
    pub expire_databases: Vec<String>,
}

/// Subcommands of `terrace operator`.
#[derive(Debug, Subcommand)]
pub enum OperatorCommand {
    /// Print the definitions of the custom resources as YAML
    #[command(after_help = "Example:\n  terrace operator crds | kubectl apply --server-side --force-conflicts -f -")]
    Crds,
}
