//! Arguments of `state` and `operations`.

use super::{DataArguments, FormatArguments, RunArguments};
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::time::Duration;
use terrace_engine::duration;

/// An age in days, or as other durations are written.
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
    /// Make resources as they were recorded before; no descriptor is needed
    #[command(
        after_help = "Examples:\n  terrace state rollback local_file.a --to 3\n  terrace state rollback demo@local --to OPERATION --out plan"
    )]
    Rollback(RollbackArguments),
    /// Remove old versions of resources, and old operations with their logs
    #[command(
        after_help = "Examples:\n  terrace state prune --keep 30d\n  terrace state prune --keep 0s --auto-approve"
    )]
    Prune {
        /// What is younger stays: `30d`, `12h`
        #[arg(long, value_name = "DURATION", value_parser = age)]
        keep: Duration,
        /// Do not ask, also where less than 30 days are kept
        #[arg(long)]
        auto_approve: bool,
    },
    /// Seal everything with the present state key; then `encryption.previous` can go
    #[command(
        after_help = "Example:\n  TERRACE_STATE_KEY=$NEW terrace state rekey    (the old key in `encryption.previous`)"
    )]
    Rekey {
        /// Also seal values that are stored in the clear although there is a state key
        #[arg(long)]
        plaintext_secrets: bool,
    },
    /// Bring the state to the format of this terrace, which the next command that writes does otherwise
    #[command(after_help = "Example:\n  terrace state upgrade    (before servers of a new version start)")]
    Upgrade,
    /// Copy the whole state to an empty place: from a file to PostgreSQL, or back
    #[command(
        after_help = "Examples:\n  terrace state migrate --to postgres://terrace@db.example.com/terrace\n  terrace --state postgres://terrace@db.example.com/terrace state migrate --to sqlite:.terrace/state.db"
    )]
    Migrate {
        /// Where to: `sqlite:PATH` or `postgres://USER@HOST/DATABASE` [env: TERRACE_MIGRATE_TO]
        #[arg(long, value_name = "URL")]
        to: Option<String>,
        /// The form of the result.
        #[command(flatten)]
        format: FormatArguments,
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

/// `terrace state rollback`.
#[derive(Debug, Args)]
pub struct RollbackArguments {
    /// The resource, or a whole stack
    #[arg(value_name = "ADDRESS|STACK")]
    pub what: String,
    /// What to go back to: a generation of the resource, or where an operation had left things
    #[arg(long, value_name = "GENERATION|OPERATION")]
    pub to: String,
    /// Save the plan instead of applying it
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// What may become of data.
    #[command(flatten)]
    pub data: DataArguments,
    /// Store sensitive values in the clear without a state key; with a key, accept stored values in the clear, and seal
    /// them when they are written again
    #[arg(long)]
    pub plaintext_secrets: bool,
    /// How the plan is applied.
    #[command(flatten)]
    pub run: RunArguments,
}

/// `terrace import`.
#[derive(Debug, Clone, Args)]
pub struct ImportArguments {
    /// The resource that the object is from now on, or `STACK:ADDRESS`
    pub address: String,
    /// What its provider knows the object by: the `id` attribute of most types
    pub id: Option<String>,
    /// Only print the configuration that describes the object of that id, or the recorded one
    #[arg(long)]
    pub generate: bool,
    /// The configured provider instance, when not the default one
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
    /// Its address, or `STACK:ADDRESS`
    pub address: String,
}

/// `terrace operations`: lists unless something else is asked.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct OperationsArguments {
    /// What is asked.
    #[command(subcommand)]
    pub command: Option<OperationsCommand>,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    pub limit: u16,
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
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
        limit: u16,
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
    /// Ask a running operation to stop, as Ctrl-C does: what it has begun is ended and recorded
    #[command(after_help = "Example:\n  terrace operations cancel OPERATION    (`terrace operations list` names them)")]
    Cancel {
        /// Its id, or how it begins
        operation: String,
    },
    /// The log of an operation
    Logs {
        /// Its id, or how it begins
        operation: String,
        /// Go on until it ends
        #[arg(long, short)]
        follow: bool,
    },
}
