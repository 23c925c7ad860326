//! Arguments of `pipelines`: data pipelines, their runs and their workers.

use super::{DatabaseChoice, DatabasesArguments, Format, FormatArguments, ServerArguments};
use clap::{Args, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use terrace_engine::duration;

/// Subcommands of `terrace pipelines`.
#[derive(Debug, Subcommand)]
pub enum PipelinesCommand {
    /// Run pipelines of the working directory, or let workers run them
    #[command(
        after_help = "Examples:\n  terrace pipelines run\n  terrace pipelines run ./committees/dump-to-db\n  terrace pipelines run './committees/%' --dirty --concurrency 4\n  terrace --chdir etl pipelines run all --json\n  terrace pipelines run --pool nightly --detach"
    )]
    Run(PipelineArguments),
    /// List the pipelines of a folder, with their steps and errors; run nothing
    #[command(after_help = "Examples:\n  terrace pipelines list\n  terrace pipelines list etl --json")]
    List(PipelinesListArguments),
    /// Print the log of a run
    #[command(
        after_help = "Examples:\n  terrace pipelines logs ./committees/dump-to-db\n  terrace pipelines logs -f RUN --step 2"
    )]
    Logs(LogsArguments),
    /// List runs, the newest first
    #[command(
        after_help = "Examples:\n  terrace pipelines runs\n  terrace pipelines runs ./committees/dump-to-db --limit 5 --json"
    )]
    Runs(RunsArguments),
    /// List schedules with their next start and last result; `terrace serve` starts their runs
    #[command(after_help = "Examples:\n  terrace pipelines schedules\n  terrace pipelines schedules --forget nightly")]
    Schedules(SchedulesArguments),
    /// Stop a run, or all unfinished runs of a pipeline
    #[command(after_help = "Example:\n  terrace pipelines cancel ./committees/dump-to-db")]
    Cancel(CancelArguments),
    /// List workers, their databases and their current work
    #[command(after_help = "Examples:\n  terrace pipelines pods --json\n  terrace pipelines pods --format human")]
    Pods(PodsArguments),
    /// Sign in to a server in a browser, and keep the sign-in for `--server`
    #[command(after_help = "Example:\n  terrace pipelines login --server https://terrace.example.com")]
    Login(ServerArguments),
    /// Remove the sign-in to a server
    #[command(after_help = "Example:\n  terrace pipelines logout --server https://terrace.example.com")]
    Logout(ServerArguments),
    /// Open a shell in the environment of a worker's steps
    #[command(
        after_help = "Examples:\n  terrace pipelines ssh dppctl-worker-dkofij848dhiu\n  terrace pipelines ssh POD 'pip list | grep SQL'"
    )]
    Ssh(SshArguments),
    /// List, extend, start, stop, dump and remove databases of pipelines
    #[command(
        after_help = "Examples:\n  terrace pipelines databases\n  terrace pipelines databases show orders --reveal\n  terrace pipelines databases extend orders 1h\n  terrace pipelines databases dump orders orders.sql"
    )]
    Databases(DatabasesArguments),
    /// Deploy new commits: build their images, update the operations repository, run their pipelines
    #[command(
        after_help = "Examples:\n  terrace pipelines deploy\n  terrace pipelines deploy --watch --every 30s\n  terrace pipelines deploy --list\n  terrace pipelines deploy --retry 1f2e3d4c5b6a"
    )]
    Deploy(DeployArguments),
    /// Write the values of the chart `deploy/helm/pipeline` for a pipeline; call no cluster
    #[command(
        after_help = "Examples:\n  terrace pipelines chart ./load-orders --out values.yaml\n  terrace pipelines chart ./load-orders --schedule '30 2 * * *' --time-zone Europe/Rome --database"
    )]
    Chart(ChartArguments),
    /// Build the `Dockerfile` of the project, push the image, and use it for runs in a cluster
    #[command(after_help = "Example:\n  terrace pipelines image && terrace pipelines run")]
    Image,
    /// Start workers and databases for pipelines, or show how far their start is
    #[command(
        after_help = "Examples:\n  terrace pipelines init local --workers 4\n  terrace pipelines init    (shows how far the start is)"
    )]
    Init(ClusterArguments),
    /// Run pipelines of the queue; terrace starts this command itself
    #[command(hide = true)]
    Worker(WorkerArguments),
    /// Run a pipeline in a pod of Kubernetes; terrace starts this command itself
    #[command(hide = true)]
    Pod(PodArguments),
}

/// `terrace pipelines run`.
#[derive(Debug, Args)]
pub struct PipelineArguments {
    /// Run these pipelines: ids, `prefix%`, or several with commas [default: `all`]
    #[arg(value_name = "PIPELINE")]
    pub pipelines: Vec<String>,
    /// Only run pipelines whose spec, code, data or dependencies changed
    #[arg(long)]
    pub dirty: bool,
    /// Run dependents too of pipelines that have to run first
    #[arg(long)]
    pub force: bool,
    /// Run every step, even if its kept result (`cache: true`) is still valid
    #[arg(long)]
    pub no_use_cache: bool,
    /// Run this many at once [default: `maxParallel` of the provider `pipelines`]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub concurrency: Option<u16>,
    /// Stop a pipeline after this time, such as `30m`
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub timeout: Option<Duration>,
    /// Let workers run the pipelines, and follow their progress; the default if a cluster is active
    #[arg(long)]
    pub queue: bool,
    /// Run the pipelines in this process, even if a cluster is active
    #[arg(long, conflicts_with_all = ["queue", "pool", "detach", "server"])]
    pub no_queue: bool,
    /// Let the workers of this pool run the pipelines [default: those of the active cluster]
    #[arg(long, value_name = "POOL")]
    pub pool: Option<String>,
    /// Print an id for each run, for `logs` and `cancel`, and exit at once
    #[arg(long)]
    pub detach: bool,
    /// Take the result of the run that has this mark, if there is one; mark the run otherwise
    #[arg(long, hide = true, value_name = "MARK", conflicts_with_all = ["queue", "pool", "detach"])]
    pub mark: Option<String>,
    /// Refuse another cluster than that of `.dppctl.yaml` in this folder
    #[arg(long, hide = true, value_name = "DIR")]
    pub cluster_of: Option<PathBuf>,
    /// Use the public cluster if no cluster is active
    #[arg(long, hide = true)]
    pub else_public: bool,
    /// The database that the pipelines write into.
    #[command(flatten)]
    pub database: DatabaseChoice,
    /// Copy the files that pipelines wrote there after they succeed: a folder, `s3://BUCKET/PREFIX`, `gs://…`,
    /// `https://…` [default: `sync` of the provider `pipelines`]
    #[arg(long, value_name = "DESTINATION", conflicts_with = "detach")]
    pub sync: Option<String>,
    /// Make the files that `--sync` copies readable for everyone
    #[arg(long, requires = "sync")]
    pub public: bool,
    /// Retry a run this many times if its infrastructure fails [default: `retries` of the provider `pipelines`]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=100))]
    pub retries: Option<u32>,
    /// Set a value of `params` in the spec for these runs; may be repeated
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = param)]
    pub params: Vec<(String, String)>,
    /// The server that runs them.
    #[command(flatten)]
    pub server: ServerArguments,
    /// The form of the result.
    #[command(flatten)]
    pub format: FormatArguments,
}

/// Reads `NAME=VALUE`.
fn param(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected `NAME=VALUE`"),
    }
}

/// `terrace pipelines deploy`.
#[derive(Debug, Args)]
pub struct DeployArguments {
    /// Poll the repositories until a signal stops it
    #[arg(long, conflicts_with = "list")]
    pub watch: bool,
    /// Set the time between two polls [default: 60s]
    #[arg(long, value_name = "DURATION", requires = "watch", value_parser = duration::parse)]
    pub every: Option<Duration>,
    /// List deployments, the newest first; deploy nothing
    #[arg(long)]
    pub list: bool,
    /// Deploy this commit again, whose deployment failed
    #[arg(long, value_name = "COMMIT", conflicts_with = "list")]
    pub retry: Option<String>,
    /// The form of the result.
    #[command(flatten)]
    pub format: FormatArguments,
}

/// `terrace pipelines chart`.
#[derive(Debug, Args)]
pub struct ChartArguments {
    /// Name a pipeline of the working directory
    #[arg(value_name = "PIPELINE")]
    pub pipeline: String,
    /// Start runs at the times of this crontab, such as `30 2 * * *`
    #[arg(long, value_name = "CRON")]
    pub schedule: Option<String>,
    /// Read the crontab in this time zone, such as `Europe/Rome` [default: UTC]
    #[arg(long, value_name = "ZONE", requires = "schedule")]
    pub time_zone: Option<String>,
    /// Let the chart create a database, whose address the steps get in DPP_DB_ENGINE
    #[arg(long)]
    pub database: bool,
    /// Let the chart serve a site of this folder on the claim, with the static files in `public` [default: `data`]
    #[arg(long, value_name = "FOLDER", num_args = 0..=1, require_equals = true, default_missing_value = "data")]
    pub site: Option<String>,
    /// Write to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// `terrace pipelines logs`.
#[derive(Debug, Args)]
pub struct LogsArguments {
    /// Name a run, or a pipeline for its newest run, which may wait in the queue
    #[arg(value_name = "RUN|PIPELINE")]
    pub run: String,
    /// Follow the log until the run ends
    #[arg(short, long)]
    pub follow: bool,
    /// Only print this step, by its number or name
    #[arg(long, value_name = "STEP")]
    pub step: Option<String>,
    /// The server of the run.
    #[command(flatten)]
    pub server: ServerArguments,
    /// The form of the result.
    #[command(flatten)]
    pub format: FormatArguments,
}

/// `terrace pipelines runs`.
#[derive(Debug, Args)]
pub struct RunsArguments {
    /// Only list runs of this pipeline of the working directory
    #[arg(value_name = "PIPELINE")]
    pub pipeline: Option<String>,
    /// List at most this many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..))]
    pub limit: u16,
    /// The server of the runs.
    #[command(flatten)]
    pub server: ServerArguments,
    /// The form of the result.
    #[command(flatten)]
    pub format: FormatArguments,
}

/// `terrace pipelines schedules`.
#[derive(Debug, Args)]
pub struct SchedulesArguments {
    /// Remove the record of this schedule, whose CronJob is gone and which no stack has
    #[arg(long, value_name = "NAME", conflicts_with_all = ["format", "json"])]
    pub forget: Option<String>,
    /// The form of the result.
    #[command(flatten)]
    pub format: FormatArguments,
}

/// `terrace pipelines cancel`.
#[derive(Debug, Args)]
pub struct CancelArguments {
    /// Name a run, or a pipeline for all its unfinished runs
    #[arg(value_name = "RUN|PIPELINE")]
    pub run: String,
    /// The server of the run.
    #[command(flatten)]
    pub server: ServerArguments,
}

/// A kind of cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ClusterKind {
    /// Workers on this machine, until they are destroyed
    Local,
    /// Workers that stop after 1 hour: not for private data
    Public,
    /// Kubernetes on this machine, by minikube
    Minikube,
    /// Kubernetes on this machine, by minikube, publishing data
    MinikubePublic,
    /// Kubernetes of Kamatera
    Kamatera,
    /// Kubernetes of Google Cloud
    Gcloud,
    /// Any Kubernetes: another name of `kubernetes`
    Helm,
    /// Any Kubernetes, by its kubeconfig
    Kubernetes,
}

/// `terrace pipelines init`.
#[derive(Debug, Clone, Default, Args)]
pub struct ClusterArguments {
    /// Start this kind of cluster and make it the active one [default: show the active one]
    #[arg(value_name = "KIND")]
    pub kind: Option<ClusterKind>,
    /// Start this many workers; 0 stops them [default: as before, else 2, with KIND also after 0; 1 if they stop after 1 hour]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=256))]
    pub workers: Option<u16>,
    /// Start this many databases; 0 for a cluster without databases [default: as before, else 1; in Kubernetes 1 with the
    /// setting `databaseImage`, else 0]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=64))]
    pub databases: Option<u16>,
    /// Prepare this namespace of Kubernetes [default: that of the provider `pipelines`, else as before, else `pipelines`]
    #[arg(long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Install the operator in the namespace, with helm. It works through the server (`terrace serve`) at this URL, with the
    /// token in TERRACE_OPERATOR_TOKEN [default: as before, else no operator]
    #[arg(long, value_name = "URL")]
    pub operator: Option<String>,
    /// Go on without the operator of earlier calls, which stays as it is
    #[arg(long, conflicts_with = "operator")]
    pub no_operator: bool,
    /// Trust the authorities in this PEM file for the server of the operator, instead of those of its image [default: as before]
    #[arg(long, value_name = "FILE", requires = "operator")]
    pub operator_ca: Option<PathBuf>,
    /// Let the operator send its token over `http://`, in a network that you trust
    #[arg(long, requires = "operator")]
    pub allow_plain_http: bool,
}

/// `terrace pipelines list`.
#[derive(Debug, Args)]
pub struct PipelinesListArguments {
    /// Search this folder and those below it [default: the working directory]
    #[arg(value_name = "DIR", conflicts_with = "server")]
    pub folder: Option<PathBuf>,
    /// The server of the pipelines.
    #[command(flatten)]
    pub server: ServerArguments,
    /// The form of the list.
    #[command(flatten)]
    pub format: FormatArguments,
}

/// `terrace pipelines pods`.
#[derive(Debug, Args)]
pub struct PodsArguments {
    /// The server of the pods.
    #[command(flatten)]
    pub server: ServerArguments,
    /// The form of the list.
    #[command(flatten)]
    pub format: PodsFormat,
}

/// The form of a list of pods.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct PodsFormat {
    /// Set the form of the result [default: human on a terminal, else json]
    #[arg(long, value_name = "FORM")]
    pub format: Option<Format>,
    /// Print JSON, as with `--format json`
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
}

impl PodsFormat {
    /// True with `--json` or `--format json`.
    #[must_use]
    pub fn is_json(self) -> bool {
        self.json || self.format == Some(Format::Json)
    }
}

/// `terrace pipelines ssh`.
#[derive(Debug, Args)]
pub struct SshArguments {
    /// Name a worker of `terrace pipelines pods`
    #[arg(value_name = "POD")]
    pub pod: String,
    /// Run this command instead of an interactive shell
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

/// Arguments of a worker process.
#[derive(Debug, Args)]
pub struct WorkerArguments {
    /// Use this folder of the queue
    pub folder: PathBuf,
    /// Name the worker
    pub worker: String,
}

/// Arguments of terrace in a pod.
#[derive(Debug, Args)]
pub struct PodArguments {
    /// What to do
    #[command(subcommand)]
    pub work: PodWork,
}

/// Arguments of the pages of a database.
#[derive(Debug, Args)]
pub struct PodPagesArguments {
    /// Name the database
    pub name: String,
    /// Read the address of the database and the token from this folder
    #[arg(long, value_name = "FOLDER", default_value = "/terrace/pages")]
    pub secrets: PathBuf,
    /// Listen on this address [default: port 8080 of all addresses]
    #[arg(long, value_name = "ADDRESS")]
    pub bind: Option<SocketAddr>,
}

/// Work of terrace in a pod, and in the image of pods.
#[derive(Debug, Subcommand)]
pub enum PodWork {
    /// Run the job of this pod
    Run,
    /// Write the files of the run as an archive
    Results,
    /// Open a shell in the folder and with the variables of the run
    Shell {
        /// Show this name in the prompt
        #[arg(long, default_value = "pod")]
        name: String,
        /// Words of a command; without them, the shell is interactive
        #[arg(last = true)]
        command: Vec<String>,
    },
    /// Serve the site of this pod
    Site,
    /// Serve pages with the tables of a database
    Pages(PodPagesArguments),
    /// Copy files of the claim of this pod
    Sync,
    /// Create the environments of an image
    Environments {
        /// Create them in this folder
        folder: PathBuf,
    },
}
