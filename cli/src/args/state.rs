//! Arguments of `state` and `operations`.

use super::FormatArguments;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `terrace state`.
#[derive(Debug, Subcommand)]
pub enum StateCommand {
    /// One address a line, sorted
    List {
        /// Of all stacks, with the stack before each address
        #[arg(long)]
        all: bool,
        /// The form of the list.
        #[command(flatten)]
        format: FormatArguments,
    },
    /// One resource, whole
    Show {
        /// Its address, or `STACK:ADDRESS`
        address: String,
        /// The form of the result.
        #[command(flatten)]
        format: FormatArguments,
    },
    /// The versions of a resource, newest first
    History {
        /// Its address, or `STACK:ADDRESS`
        address: String,
        /// The form of the result.
        #[command(flatten)]
        format: FormatArguments,
    },
    /// Give a resource another address
    Mv {
        /// The address it has
        from: String,
        /// The address it gets, in the same stack
        to: String,
    },
    /// Drop resources from the state; the objects stay
    Rm {
        /// Addresses
        #[arg(required = true)]
        addresses: Vec<String>,
    },
    /// Write the state as JSON; what is sealed stays sealed
    Export {
        /// Only this stack, `name@environment`
        stack: Option<String>,
        /// With the history
        #[arg(long)]
        history: bool,
        /// To this file instead of standard output
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Take in what `state export` wrote
    Import {
        /// The file
        file: PathBuf,
    },
}

/// `terrace operations`: lists unless something else is asked.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct OperationsArguments {
    /// What is asked.
    #[command(subcommand)]
    pub command: Option<OperationsCommand>,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: usize,
    /// The form of the list.
    #[command(flatten)]
    pub format: FormatArguments,
}

impl OperationsArguments {
    /// What is asked.
    #[must_use]
    pub fn command(self) -> OperationsCommand {
        self.command.unwrap_or(OperationsCommand::List { limit: self.limit, format: self.format })
    }
}

/// What can be asked of `terrace operations`.
#[derive(Debug, Subcommand)]
pub enum OperationsCommand {
    /// The newest operations, one a line
    List {
        /// At most this many
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: usize,
        /// The form of the result.
        #[command(flatten)]
        format: FormatArguments,
    },
    /// One operation and its steps
    Show {
        /// Its id, or how it begins
        operation: String,
        /// The form of the result.
        #[command(flatten)]
        format: FormatArguments,
    },
    /// The log of an operation
    Logs {
        /// Its id, or how it begins
        operation: String,
    },
}
