//! Arguments of commands that list by default: stacks, leases, blueprints, providers.

use super::FormatArguments;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `terrace stacks`: without a subcommand, the list.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct StacksArguments {
    /// The subcommand.
    #[command(subcommand)]
    pub command: Option<StacksCommand>,
    /// The form of the list.
    #[command(flatten)]
    pub format: FormatArguments,
}

impl StacksArguments {
    /// The subcommand; `list` by default.
    #[must_use]
    pub fn command(self) -> StacksCommand {
        self.command.unwrap_or(StacksCommand::List(self.format))
    }
}

/// Subcommands of `terrace stacks`.
#[derive(Debug, Subcommand)]
pub enum StacksCommand {
    /// List stacks, one a line
    List(FormatArguments),
}

/// `terrace leases`: without a subcommand, the list.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct LeasesArguments {
    /// The subcommand.
    #[command(subcommand)]
    pub command: Option<LeasesCommand>,
    /// The form of the list.
    #[command(flatten)]
    pub format: FormatArguments,
}

impl LeasesArguments {
    /// The subcommand; `list` by default.
    #[must_use]
    pub fn command(self) -> LeasesCommand {
        self.command.unwrap_or(LeasesCommand::List(self.format))
    }
}

/// Subcommands of `terrace leases`.
#[derive(Debug, Subcommand)]
pub enum LeasesCommand {
    /// List leases, one a line
    List(FormatArguments),
}

/// `terrace blueprints`: without a subcommand, the list.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BlueprintsArguments {
    /// The subcommand.
    #[command(subcommand)]
    pub command: Option<BlueprintsCommand>,
    /// The form of the list.
    #[command(flatten)]
    pub format: FormatArguments,
}

impl BlueprintsArguments {
    /// The subcommand; `list` by default.
    #[must_use]
    pub fn command(self) -> BlueprintsCommand {
        self.command.unwrap_or(BlueprintsCommand::List(self.format))
    }
}

/// Subcommands of `terrace blueprints`.
#[derive(Debug, Subcommand)]
pub enum BlueprintsCommand {
    /// List blueprints, one a line
    List(FormatArguments),
    /// Show a blueprint
    Show {
        /// Name the blueprint
        name: String,
    },
    /// Check blueprints without any descriptor
    Check {
        /// Check the blueprints of these files, folders or names [default: those of the environment]
        #[arg(value_name = "FILE|NAME")]
        files: Vec<PathBuf>,
        /// The form of the result.
        #[command(flatten)]
        format: FormatArguments,
    },
    /// Write a blueprint with its schema and its test
    #[command(
        after_help = "Examples:\n  terrace blueprints new report\n  terrace blueprints new orders --from sqlite_table\n  terrace blueprints new lake --from snowflake-storage"
    )]
    New {
        /// Name the blueprint: small letters, digits and dashes
        name: String,
        /// Start from a resource type or another blueprint
        #[arg(long, value_name = "TYPE|BLUEPRINT")]
        from: Option<String>,
    },
    /// Compare the resources that blueprints produce with those that tests expect, without state or network
    #[command(
        after_help = "Examples:\n  terrace blueprints test\n  terrace blueprints test --accept blueprints/page.test.yaml"
    )]
    Test {
        /// Run these tests (`*.test.yaml`), or those of folders and blueprints (files or names) [default: those of the
        /// project]
        #[arg(value_name = "FILE|NAME")]
        files: Vec<PathBuf>,
        /// Write the actual result into the tests as the expected one
        #[arg(long)]
        accept: bool,
    },
}

/// `terrace providers`: without a subcommand, the list.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ProvidersArguments {
    /// The subcommand.
    #[command(subcommand)]
    pub command: Option<ProvidersCommand>,
    /// The form of the list.
    #[command(flatten)]
    pub format: FormatArguments,
}

impl ProvidersArguments {
    /// The subcommand; `list` by default.
    #[must_use]
    pub fn command(self) -> ProvidersCommand {
        self.command.unwrap_or(ProvidersCommand::List(self.format))
    }
}

/// Subcommands of `terrace providers`.
#[derive(Debug, Subcommand)]
pub enum ProvidersCommand {
    /// List providers, one a line
    List(FormatArguments),
    /// Print the settings, resource types and attributes of a provider
    Schema {
        /// Name the provider
        name: String,
        /// The form of the result.
        #[command(flatten)]
        format: FormatArguments,
    },
}
