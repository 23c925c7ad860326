//! Arguments of `terrace descriptor`.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `terrace descriptor`.
#[derive(Debug, Subcommand)]
pub enum DescriptorCommand {
    /// Print the descriptor that repositories make for an environment
    #[command(
        after_help = "Examples:\n  terrace descriptor build orders orders-raw --env dev\n  terrace descriptor build orders --repo ../orders-view --env prod --out data-product.yaml"
    )]
    Build(DescriptorBuildArguments),
}

/// `terrace descriptor build`.
#[derive(Debug, Args)]
pub struct DescriptorBuildArguments {
    /// Read these repositories: folders with a catalog-info.yaml, or folders above
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
    /// Add the checkout of another repository with parts of the data product; may be repeated
    #[arg(long = "repo", value_name = "PATH")]
    pub repositories: Vec<PathBuf>,
    /// Write the descriptor into this file
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}
