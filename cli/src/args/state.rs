//! Arguments of `state` and `operations`.

use super::{DataArguments, FormatArguments, RunArguments};
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::time::Duration;
use terrace_engine::duration;

/// Parses an age: days such as `30d`, or a duration.
pub(crate) fn age(text: &str) -> Result<Duration, String> {
    const DAY: u64 = 24 * 3600;
    match text.strip_suffix('d').map(str::parse::<u32>) {
        Some(Ok(days)) => Ok(Duration::from_secs(u64::from(days) * DAY)),
        Some(Err(_)) => Err("expected a number of days, such as `30d`".to_owned()),
        None => duration::parse(text).map_err(|error| format!("{error}, or days: `30d`")),
    }
}

/// `terrace state`.
#[derive(Debug, Subcommand)]
pub enum StateCommand {
    /// List addresses, one a line, sorted
    List {
        /// List all stacks, with the stack before each address
        #[arg(long)]
        all: bool,
        /// The form of the list.
        #[command(flatten)]
        format: FormatArguments,
    },
    /// Show a resource with all its attributes
    Show {
        /// Name the resource by its address, or `STACK:ADDRESS`
        address: String,
        /// The form of the result.
        #[command(flatten)]
        format: FormatArguments,
    },
    /// List the versions of a resource, newest first
    History {
        /// Name the resource by its address, or `STACK:ADDRESS`
        address: String,
        /// The form of the result.
        #[command(flatten)]
        format: FormatArguments,
    },
    /// Change the address of a resource
    Mv {
        /// Name the present address
        from: String,
        /// Name the new address, in the same stack
        to: String,
    },
    /// Remove resources from the state; keep their objects
    Rm {
        /// Remove these addresses
        #[arg(required = true)]
        addresses: Vec<String>,
    },
    /// Restore resources to an earlier version of the state; no descriptor is needed
    #[command(
        after_help = "Examples:\n  terrace state rollback local_file.a --to 3\n  terrace state rollback demo@local --to OPERATION --out plan"
    )]
    Rollback(RollbackArguments),
    /// Remove old versions of resources, and old operations with their logs
    #[command(
        after_help = "Examples:\n  terrace state prune --keep 30d\n  terrace state prune --keep 0s --auto-approve"
    )]
    Prune {
        /// Keep versions younger than this: `30d`, `12h`
        #[arg(long, value_name = "DURATION", value_parser = age)]
        keep: Duration,
        /// Skip the question, even if this keeps less than 30 days
        #[arg(long)]
        auto_approve: bool,
    },
    /// Seal everything with the present state key, so that `encryption.previous` can be removed
    #[command(
        after_help = "Example:\n  TERRACE_STATE_KEY=$NEW terrace state rekey    (the old key in `encryption.previous`)"
    )]
    Rekey {
        /// Seal values too that are stored in the clear despite a state key
        #[arg(long)]
        plaintext_secrets: bool,
    },
    /// Upgrade the state to the format of this terrace, as the next command that writes would do
    #[command(after_help = "Example:\n  terrace state upgrade    (before servers of a new version start)")]
    Upgrade,
    /// Copy the whole state to an empty store: from a file to PostgreSQL, or back
    #[command(
        after_help = "Examples:\n  terrace state migrate --to postgres://terrace@db.example.com/terrace\n  terrace --state postgres://terrace@db.example.com/terrace state migrate --to sqlite:.terrace/state.db"
    )]
    Migrate {
        /// Copy to this store: `sqlite:PATH` or `postgres://USER@HOST/DATABASE` [env: TERRACE_MIGRATE_TO]
        #[arg(long, value_name = "URL")]
        to: Option<String>,
        /// The form of the result.
        #[command(flatten)]
        format: FormatArguments,
    },
    /// Write the state as JSON; sealed values stay sealed
    Export {
        /// Only write this stack, `name@environment`
        stack: Option<String>,
        /// Include the history
        #[arg(long)]
        history: bool,
        /// Write to this file instead of standard output
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Import a file that `state export` wrote
    Import {
        /// Read this file
        file: PathBuf,
    },
}

/// `terrace state rollback`.
#[derive(Debug, Args)]
pub struct RollbackArguments {
    /// Restore this resource, or a whole stack
    #[arg(value_name = "ADDRESS|STACK")]
    pub what: String,
    /// Restore this generation of the resource, or the state at the end of this operation
    #[arg(long, value_name = "GENERATION|OPERATION")]
    pub to: String,
    /// Save the plan instead of applying it
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Consent to the loss of data.
    #[command(flatten)]
    pub data: DataArguments,
    /// Store sensitive values in the clear without a state key; with a key, accept stored values in the clear, and seal
    /// them when they are written again
    #[arg(long)]
    pub plaintext_secrets: bool,
    /// Options of applying the plan.
    #[command(flatten)]
    pub run: RunArguments,
}

/// `terrace import`.
#[derive(Debug, Clone, Args)]
pub struct ImportArguments {
    /// Import the object as this resource, or `STACK:ADDRESS`
    pub address: String,
    /// Name the object as its provider does: by the `id` attribute of most types
    #[arg(allow_hyphen_values = true)]
    pub id: Option<String>,
    /// Only print the configuration of the object with that id, or of the object in the state
    #[arg(long)]
    pub generate: bool,
    /// Use this provider instance instead of the default one
    #[arg(long, value_name = "INSTANCE")]
    pub provider: Option<String>,
    /// Store sensitive values in the clear without a state key; with a key, accept stored values in the clear, and seal
    /// them when they are written again
    #[arg(long)]
    pub plaintext_secrets: bool,
}

/// `terrace taint`, `untaint`, `unprotect`.
#[derive(Debug, Args)]
pub struct MarkArguments {
    /// Name the resource by its address, or `STACK:ADDRESS`
    pub address: String,
}

/// `terrace operations`: without a subcommand, the list.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct OperationsArguments {
    /// The subcommand.
    #[command(subcommand)]
    pub command: Option<OperationsCommand>,
    /// List at most this many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    pub limit: u16,
    /// The form of the list.
    #[command(flatten)]
    pub format: FormatArguments,
}

impl OperationsArguments {
    /// The subcommand; `list` by default.
    #[must_use]
    pub fn command(self) -> OperationsCommand {
        self.command.unwrap_or(OperationsCommand::List { limit: self.limit, format: self.format })
    }
}

/// Subcommands of `terrace operations`.
#[derive(Debug, Subcommand)]
pub enum OperationsCommand {
    /// List the newest operations, one a line
    List {
        /// List at most this many
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
        limit: u16,
        /// The form of the result.
        #[command(flatten)]
        format: FormatArguments,
    },
    /// Show an operation and its steps
    Show {
        /// Name the operation by its id or the beginning of its id
        operation: String,
        /// The form of the result.
        #[command(flatten)]
        format: FormatArguments,
    },
    /// Ask a running operation to stop, as Ctrl-C does: running steps end and are recorded
    #[command(after_help = "Example:\n  terrace operations cancel OPERATION    (`terrace operations list` lists them)")]
    Cancel {
        /// Name the operation by its id or the beginning of its id
        operation: String,
    },
    /// Print the log of an operation
    Logs {
        /// Name the operation by its id or the beginning of its id
        operation: String,
        /// Follow the log until the operation ends
        #[arg(long, short)]
        follow: bool,
    },
}
