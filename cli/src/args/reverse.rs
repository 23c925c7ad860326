//! Arguments of `terrace reverse`.

use super::FormatArguments;
use clap::Args;
use std::path::PathBuf;

/// `terrace reverse`.
#[derive(Debug, Args)]
pub struct ReverseArguments {
    /// Name a component of the state by its key, a template by its URN, or a blueprint by its name
    pub component: String,
    /// Set a parameter of the blueprint; the value is YAML: `schema=SALES`, `tables=[ORDERS, CUSTOMERS]`
    #[arg(long = "param", value_name = "NAME=VALUE")]
    pub params: Vec<String>,
    /// Read the component of the catalog from a YAML or JSON file
    #[arg(long, value_name = "FILE")]
    pub catalog_info: Option<PathBuf>,
    /// Write the updates to a file; in the folder of a catalog-info.yaml, change the files that people edit
    #[arg(long, value_name = "PATH")]
    pub write: Option<PathBuf>,
    /// The form of the result.
    #[command(flatten)]
    pub format: FormatArguments,
}
