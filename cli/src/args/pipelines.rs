//! Arguments of `run`, `logs`, `cancel`, `pods` and `ssh`: data pipelines.

use super::{DatabaseChoice, Format, FormatArguments};
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;
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
    /// Have workers run them, and follow that; the default where a cluster is active
    #[arg(long)]
    pub queue: bool,
    /// Run them here, also where a cluster is active
    #[arg(long, conflicts_with_all = ["queue", "pool", "detach"])]
    pub no_queue: bool,
    /// Have the workers of this pool run them [default: those of the active cluster]
    #[arg(long, value_name = "POOL")]
    pub pool: Option<String>,
    /// Do not wait: print an id for each, for `logs` and `cancel`
    #[arg(long)]
    pub detach: bool,
    /// Where no cluster is active, the public one takes them
    #[arg(long, hide = true)]
    pub else_public: bool,
    /// Which database they write into.
    #[command(flatten)]
    pub database: DatabaseChoice,
    /// Bring what they wrote there once they ended well: a folder, `s3://BUCKET/PREFIX`, `gs://…`, `https://…` [default: `sync` of the provider `pipelines`]
    #[arg(long, value_name = "DESTINATION", conflicts_with = "detach")]
    pub sync: Option<String>,
    /// Everybody may read what `--sync` brings there
    #[arg(long, requires = "sync")]
    pub public: bool,
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
    /// A run, or a pipeline: what it has in the queue, else its last run
    #[arg(value_name = "RUN|PIPELINE")]
    pub run: String,
}

/// A kind of cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ClusterKind {
    /// Workers on this machine, until they are destroyed
    Local,
    /// Workers that go after 1 hour: not for private data
    Public,
    /// Kubernetes on this machine, by minikube
    Minikube,
    /// The same, which publishes data
    MinikubePublic,
    /// Kubernetes of Kamatera
    Kamatera,
    /// Kubernetes of Google Cloud
    Gcloud,
    /// Any Kubernetes, by Helm
    Helm,
}

/// Arguments of `terrace init` that are about a cluster.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct ClusterArguments {
    /// Make this cluster for data pipelines the active one, instead of starting a project
    #[arg(value_name = "KIND", conflicts_with = "state_key")]
    pub kind: Option<ClusterKind>,
    /// So many workers, 0 ends them [default: as before, else 2; 1 where they go after 1 hour]
    #[arg(long, value_name = "N", requires = "kind", value_parser = clap::value_parser!(u16).range(0..=256))]
    pub workers: Option<u16>,
    /// So many databases, 0 leaves it without any [default: as before, else 1]
    #[arg(long, value_name = "N", requires = "kind", value_parser = clap::value_parser!(u16).range(0..=64))]
    pub databases: Option<u16>,
    /// Never start a project: say how far the active cluster is
    #[arg(long, hide = true)]
    pub progress: bool,
}

/// `terrace list`.
#[derive(Debug, Subcommand)]
pub enum ListCommand {
    /// The workers and databases of data pipelines, and what they do
    Pods(PodsFormat),
    /// The data pipelines of a folder, with their steps, and what is wrong with them; nothing is run
    #[command(after_help = "Examples:\n  terrace list pipelines\n  terrace list pipelines etl --json")]
    Pipelines(PipelinesArguments),
}

/// `terrace list pipelines`.
#[derive(Debug, Args)]
pub struct PipelinesArguments {
    /// The folder that is searched, with those below it [default: the working directory]
    #[arg(value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// The form of the list.
    #[command(flatten)]
    pub format: FormatArguments,
}

/// `terrace pods`: lists unless something else is asked.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct PodsArguments {
    /// What is asked.
    #[command(subcommand)]
    pub command: Option<PodsCommand>,
    /// The form of the list.
    #[command(flatten)]
    pub format: PodsFormat,
}

impl PodsArguments {
    /// The form of the list.
    #[must_use]
    pub fn format(self) -> PodsFormat {
        match self.command {
            Some(PodsCommand::List(format)) => format,
            None => self.format,
        }
    }
}

/// What can be asked of `terrace pods`.
#[derive(Debug, Subcommand)]
pub enum PodsCommand {
    /// One pod a line
    List(PodsFormat),
}

/// The form of the list of pods.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct PodsFormat {
    /// The form of the result [default: human on a terminal, else json]
    #[arg(long, value_name = "FORM")]
    pub format: Option<Format>,
    /// The same as `--format json`
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
}

impl PodsFormat {
    /// True when somebody asked for JSON.
    #[must_use]
    pub fn is_json(self) -> bool {
        self.json || self.format == Some(Format::Json)
    }
}

/// `terrace ssh`.
#[derive(Debug, Args)]
pub struct SshArguments {
    /// A worker, as `terrace list pods` names it
    #[arg(value_name = "POD")]
    pub pod: String,
    /// What the shell runs, instead of asking for commands
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

/// What a worker is started with.
#[derive(Debug, Args)]
pub struct WorkerArguments {
    /// The folder of the queue
    pub folder: PathBuf,
    /// Its name
    pub worker: String,
}
