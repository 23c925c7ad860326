//! Arguments of `pipelines databases`: databases of data pipelines.

use super::{FormatArguments, ServerArguments};
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::time::Duration;
use terrace_engine::duration;

/// `terrace pipelines databases`: without a subcommand, the list.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DatabasesArguments {
    /// The subcommand.
    #[command(subcommand)]
    pub command: Option<DatabasesCommand>,
    /// Arguments of the list.
    #[command(flatten)]
    pub list: DatabaseListArguments,
}

/// Arguments of the list of databases.
#[derive(Debug, Args)]
pub struct DatabaseListArguments {
    /// The server of the databases.
    #[command(flatten)]
    pub server: ServerArguments,
    /// The form of the list.
    #[command(flatten)]
    pub format: FormatArguments,
}

impl DatabasesArguments {
    /// The subcommand; `list` by default.
    #[must_use]
    pub fn command(self) -> DatabasesCommand {
        self.command.unwrap_or(DatabasesCommand::List(self.list))
    }
}

/// Subcommands of `terrace pipelines databases`.
#[derive(Debug, Subcommand)]
pub enum DatabasesCommand {
    /// List databases, one a line
    List(DatabaseListArguments),
    /// Show the address and the settings of a database
    Show {
        /// Name the database
        name: String,
        /// Show the password too
        #[arg(long, conflicts_with = "server")]
        reveal: bool,
        /// The server of the database.
        #[command(flatten)]
        server: ServerArguments,
        /// The form of the result.
        #[command(flatten)]
        format: FormatArguments,
    },
    /// Keep a database longer
    #[command(after_help = "Example:\n  terrace pipelines databases extend orders 2h")]
    Extend {
        /// Name the database
        name: String,
        /// Keep it longer by this much, such as `1h30m`
        #[arg(value_name = "DURATION", value_parser = duration::parse)]
        by: Duration,
        /// The server of the database.
        #[command(flatten)]
        server: ServerArguments,
    },
    /// Start the server of a database after `stop` or a reboot
    Start {
        /// Name the database
        name: String,
    },
    /// Stop the server of a database; its data stays until its time is over
    Stop {
        /// Name the database
        name: String,
        /// The server of the database.
        #[command(flatten)]
        server: ServerArguments,
    },
    /// Remove a database and its data, if no cluster has it or it was created for a run
    Remove {
        /// Name the database
        name: String,
        /// Allow the removal of its data
        #[arg(long)]
        remove_data: bool,
    },
    /// Write the content of a database to a file: SQL by `pg_dump`, or another SQLite database
    #[command(after_help = "Example:\n  terrace pipelines databases dump orders orders.sql")]
    Dump {
        /// Name the database
        name: String,
        /// Write to this file, which must not exist
        file: PathBuf,
    },
    /// Run one database until its time is over; terrace starts this command itself
    #[command(hide = true)]
    Keep {
        /// Use this folder of all databases
        folder: PathBuf,
        /// Name the database
        name: String,
    },
}

impl DatabasesCommand {
    /// The server of a command that works on databases of servers.
    #[must_use]
    pub const fn server(&self) -> Option<&ServerArguments> {
        match self {
            Self::List(list) => Some(&list.server),
            Self::Show { server, .. } | Self::Extend { server, .. } | Self::Stop { server, .. } => Some(server),
            Self::Start { .. } | Self::Remove { .. } | Self::Dump { .. } | Self::Keep { .. } => None,
        }
    }
}

/// The database that pipelines write into.
#[derive(Debug, Clone, Default, Args)]
pub struct DatabaseChoice {
    /// Let pipelines write into this database (DPP_DB_ENGINE) [default: `database` of the provider `pipelines`]
    #[arg(long, value_name = "NAME", conflicts_with = "new_database")]
    pub database: Option<String>,
    /// Create a database for these pipelines, and keep it this long after they end
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "1h")]
    pub new_database: Option<String>,
}
