//! Arguments of `databases`: databases of data pipelines on this machine.

use super::FormatArguments;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::time::Duration;
use terrace_engine::duration;

/// `terrace databases`: lists unless something else is asked.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DatabasesArguments {
    /// What is asked.
    #[command(subcommand)]
    pub command: Option<DatabasesCommand>,
    /// The form of the list.
    #[command(flatten)]
    pub format: FormatArguments,
}

impl DatabasesArguments {
    /// What is asked.
    #[must_use]
    pub fn command(self) -> DatabasesCommand {
        self.command.unwrap_or(DatabasesCommand::List(self.format))
    }
}

/// What can be asked of `terrace databases`.
#[derive(Debug, Subcommand)]
pub enum DatabasesCommand {
    /// One database a line
    List(FormatArguments),
    /// How a database is, and how it is reached
    Show {
        /// Its name
        name: String,
        /// Show the password, too
        #[arg(long)]
        reveal: bool,
        /// The form of the result.
        #[command(flatten)]
        format: FormatArguments,
    },
    /// Keep a database for longer than it would be
    #[command(after_help = "Example:\n  terrace databases extend orders 2h")]
    Extend {
        /// Its name
        name: String,
        /// How much longer, such as `1h30m`
        #[arg(value_name = "DURATION", value_parser = duration::parse)]
        by: Duration,
    },
    /// Start the server of a database that was stopped, by `stop` or by the end of the machine
    Start {
        /// Its name
        name: String,
    },
    /// Stop the server of a database; what it holds stays for as long as it would have
    Stop {
        /// Its name
        name: String,
    },
    /// Remove a database that a cluster has no more, or that was made for a run, with all that it holds
    Remove {
        /// Its name
        name: String,
        /// What it holds may go with it
        #[arg(long)]
        remove_data: bool,
    },
    /// Write what a database holds into a file: SQL by `pg_dump`, of SQLite another database
    #[command(after_help = "Example:\n  terrace databases dump orders orders.sql")]
    Dump {
        /// Its name
        name: String,
        /// The file, which must not be there
        file: PathBuf,
    },
    /// Keep one database until its time is over: terrace starts this itself
    #[command(hide = true)]
    Keep {
        /// The folder of all databases
        folder: PathBuf,
        /// Its name
        name: String,
    },
}

/// Which database pipelines write into.
#[derive(Debug, Clone, Default, Args)]
pub struct DatabaseChoice {
    /// The database that pipelines write into (DPP_DB_ENGINE) [default: `database` of the provider `pipelines`]
    #[arg(long, value_name = "NAME", conflicts_with = "new_database")]
    pub database: Option<String>,
    /// Make a database for these pipelines, and keep it for so long after they ended
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "1h")]
    pub new_database: Option<String>,
}
