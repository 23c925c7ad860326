//! Arguments of `terrace reverse`.

use super::FormatArguments;
use clap::Args;
use std::path::PathBuf;

/// `terrace reverse`.
#[derive(Debug, Args)]
pub struct ReverseArguments {
    /// A recorded component by its key, a template by its URN, or a blueprint by its name
    pub component: String,
    /// What the blueprint asks for; the value is YAML: `schema=SALES`, `tables=[ORDERS, CUSTOMERS]`
    #[arg(long = "param", value_name = "NAME=VALUE")]
    pub params: Vec<String>,
    /// The component as the catalog has it, a YAML or JSON file
    #[arg(long, value_name = "FILE")]
    pub catalog_info: Option<PathBuf>,
    /// Write the updates to a file
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
    /// The form of the result.
    #[command(flatten)]
    pub format: FormatArguments,
}
