//! Arguments of `run`, `logs` and `cancel`: data pipelines.

use super::FormatArguments;
use clap::{Args, Subcommand};
use std::time::Duration;
use terrace_engine::duration;

/// `terrace run`.
#[derive(Debug, Args)]
pub struct PipelineArguments {
    /// Ids, `prefix%`, several with commas; `all` is the default
    #[arg(value_name = "PIPELINE")]
    pub pipelines: Vec<String>,
    /// Only those whose spec, code or data changed, or what they depend on
    #[arg(long)]
    pub dirty: bool,
    /// Run also what depends on pipelines that have to be run first
    #[arg(long)]
    pub force: bool,
    /// Run every step, also where a result was kept (`cache: true`) that is still good
    #[arg(long)]
    pub no_use_cache: bool,
    /// So many at once [default: `maxParallel` of the provider `pipelines`]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub concurrency: Option<u16>,
    /// How long one may take, such as `30m`
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub timeout: Option<Duration>,
    /// So often a run is tried again whose infrastructure failed [default: `retries` of the provider `pipelines`]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=100))]
    pub retries: Option<u32>,
    /// The form of the result.
    #[command(flatten)]
    pub format: FormatArguments,
}

/// `terrace logs`.
#[derive(Debug, Args)]
pub struct LogsArguments {
    /// A run, or a pipeline, whose last run is meant
    #[arg(value_name = "RUN|PIPELINE")]
    pub run: String,
    /// Go on until the run ends
    #[arg(short, long)]
    pub follow: bool,
    /// Only this step, by its number or name
    #[arg(long, value_name = "STEP")]
    pub step: Option<String>,
    /// The form of the result.
    #[command(flatten)]
    pub format: FormatArguments,
}

/// What can be asked of `terrace runs`.
#[derive(Debug, Subcommand)]
pub enum RunsCommand {
    /// What was run, the newest first
    #[command(
        after_help = "Examples:\n  terrace runs list\n  terrace runs list ./committees/dump-to-db --limit 5 --json"
    )]
    List(RunsArguments),
}

/// `terrace runs list`.
#[derive(Debug, Args)]
pub struct RunsArguments {
    /// Only those of this pipeline of the working directory
    #[arg(value_name = "PIPELINE")]
    pub pipeline: Option<String>,
    /// So many at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..))]
    pub limit: u16,
    /// The form of the result.
    #[command(flatten)]
    pub format: FormatArguments,
}

/// What can be asked of `terrace schedules`.
#[derive(Debug, Subcommand)]
pub enum SchedulesCommand {
    /// Pipelines that run by themselves, when next, and what came of the last time
    List(FormatArguments),
}

/// `terrace cancel`.
#[derive(Debug, Args)]
pub struct CancelArguments {
    /// A run, or a pipeline, whose last run is meant
    #[arg(value_name = "RUN|PIPELINE")]
    pub run: String,
}
