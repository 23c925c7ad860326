//! Arguments of what is listed when nothing else is asked: stacks, leases, blueprints, providers.

use super::FormatArguments;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `terrace stacks`: lists unless something else is asked.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct StacksArguments {
    /// What is asked.
    #[command(subcommand)]
    pub command: Option<StacksCommand>,
    /// The form of the list.
    #[command(flatten)]
    pub format: FormatArguments,
}

impl StacksArguments {
    /// What is asked.
    #[must_use]
    pub fn command(self) -> StacksCommand {
        self.command.unwrap_or(StacksCommand::List(self.format))
    }
}

/// What can be asked of `terrace stacks`.
#[derive(Debug, Subcommand)]
pub enum StacksCommand {
    /// One stack a line
    List(FormatArguments),
}

/// `terrace leases`: lists unless something else is asked.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct LeasesArguments {
    /// What is asked.
    #[command(subcommand)]
    pub command: Option<LeasesCommand>,
    /// The form of the list.
    #[command(flatten)]
    pub format: FormatArguments,
}

impl LeasesArguments {
    /// What is asked.
    #[must_use]
    pub fn command(self) -> LeasesCommand {
        self.command.unwrap_or(LeasesCommand::List(self.format))
    }
}

/// What can be asked of `terrace leases`.
#[derive(Debug, Subcommand)]
pub enum LeasesCommand {
    /// One lease a line
    List(FormatArguments),
}

/// `terrace blueprints`: lists unless something else is asked.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BlueprintsArguments {
    /// What is asked.
    #[command(subcommand)]
    pub command: Option<BlueprintsCommand>,
    /// The form of the list.
    #[command(flatten)]
    pub format: FormatArguments,
}

impl BlueprintsArguments {
    /// What is asked.
    #[must_use]
    pub fn command(self) -> BlueprintsCommand {
        self.command.unwrap_or(BlueprintsCommand::List(self.format))
    }
}

/// What can be asked of `terrace blueprints`.
#[derive(Debug, Subcommand)]
pub enum BlueprintsCommand {
    /// One blueprint a line
    List(FormatArguments),
    /// One blueprint
    Show {
        /// Its name
        name: String,
    },
    /// Check blueprints without any descriptor
    Check {
        /// Files or folders [default: those of the project]
        #[arg(value_name = "FILE")]
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
        /// Its name: small letters, digits and dashes
        name: String,
        /// What it begins as: a resource type, or another blueprint
        #[arg(long, value_name = "TYPE|BLUEPRINT")]
        from: Option<String>,
    },
    /// Compare what blueprints make of components with what is expected, without state and network
    #[command(
        after_help = "Examples:\n  terrace blueprints test\n  terrace blueprints test --accept blueprints/page.test.yaml"
    )]
    Test {
        /// Tests (`*.test.yaml`), blueprints or folders [default: those of the project]
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Write what is into the tests as what is expected
        #[arg(long)]
        accept: bool,
    },
}

/// `terrace providers`: lists unless something else is asked.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ProvidersArguments {
    /// What is asked.
    #[command(subcommand)]
    pub command: Option<ProvidersCommand>,
    /// The form of the list.
    #[command(flatten)]
    pub format: FormatArguments,
}

impl ProvidersArguments {
    /// What is asked.
    #[must_use]
    pub fn command(self) -> ProvidersCommand {
        self.command.unwrap_or(ProvidersCommand::List(self.format))
    }
}

/// What can be asked of `terrace providers`.
#[derive(Debug, Subcommand)]
pub enum ProvidersCommand {
    /// One provider a line
    List(FormatArguments),
    /// The settings, resource types and attributes of a provider
    Schema {
        /// Its name
        name: String,
        /// The form of the result.
        #[command(flatten)]
        format: FormatArguments,
    },
}
