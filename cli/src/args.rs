//! Definitions of the command line: commands, arguments and options.

mod acl;
mod audit;
mod common;
mod databases;
mod descriptor;
mod destroy;
mod drift;
mod form;
mod lists;
mod operator;
mod overview;
mod pipelines;
mod planning;
mod pr;
mod remote;
mod reverse;
mod role_mapper;
mod serve;
mod state;
mod witboost;

pub use acl::{AclCommand, AclSetArguments, AclShowArguments};
pub use audit::{AuditCommand, AuditExportArguments, AuditUsageArguments, Since, TimeRange, UsageFormat};
pub use common::{ChoiceArguments, Format, FormatArguments};
pub use databases::{DatabaseChoice, DatabaseListArguments, DatabasesArguments, DatabasesCommand};
pub use descriptor::{DescriptorBuildArguments, DescriptorCommand};
pub use destroy::DestroyArguments;
pub use drift::{DriftArguments, DriftFormat};
pub use lists::{
    BlueprintsArguments, BlueprintsCommand, LeasesArguments, LeasesCommand, ProvidersArguments, ProvidersCommand,
    StacksArguments, StacksCommand,
};
pub use operator::{OperatorArguments, OperatorCommand};
pub(crate) use overview::overview;
pub use pipelines::{
    CancelArguments, ChartArguments, ClusterArguments, ClusterKind, DeployArguments, LogsArguments, PipelineArguments,
    PipelinesCommand, PipelinesListArguments, PodArguments, PodPagesArguments, PodWork, PodsArguments, PodsFormat,
    RunsArguments, SchedulesArguments, SshArguments, WorkerArguments,
};
pub(crate) use planning::EMPTY_ACCESS_LIST;
pub use planning::{
    ApplyArguments, Consent, DataArguments, Detail, GraphFormat, PlanArguments, PlanFormat, PlanningArguments,
    RunArguments,
};
pub use pr::{PrApplyArguments, PrCommand, PrDriftArguments, PrPlanArguments, PrPreviewArguments, PrScopeArguments};
pub use remote::ServerArguments;
pub use reverse::ReverseArguments;
pub use role_mapper::RoleMapperArguments;
pub use serve::ServeArguments;
pub(crate) use state::age;
pub use state::{
    ImportArguments, MarkArguments, OperationsArguments, OperationsCommand, RollbackArguments, StateCommand,
};
pub use witboost::{WitboostCommand, WitboostRegisterArguments, WitboostStatusArguments, WitboostValidateArguments};

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use terrace_engine::duration;

/// Parses the address that a server listens on.
fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "expected an IP address with its port, such as `127.0.0.1:8091`".to_owned())
}

/// Plans and applies data products.
#[derive(Debug, Parser)]
#[command(name = "terrace", version = crate::version::VERSION, propagate_version = false)]
pub struct CommandLine {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Use this state store: `sqlite:PATH` or `postgres://USER@HOST/DATABASE` [env: TERRACE_STATE]
    #[arg(long, global = true, value_name = "URL")]
    pub state: Option<String>,
    /// Set the environment [env: TERRACE_ENV] [default: `environment` of a Witboost descriptor, else `local`; `pr` uses all]
    #[arg(long, global = true, value_name = "NAME")]
    pub env: Option<String>,
    /// Read this configuration file [default: terrace.yaml of this folder or its closest parent]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Change to this folder first
    #[arg(long, global = true, value_name = "DIR")]
    pub chdir: Option<PathBuf>,
    /// Select a stack: a stack of the descriptors, or the stack that addresses are relative to
    #[arg(long, global = true, value_name = "NAME@ENV")]
    pub stack: Option<String>,
    /// Wait this long for leases of other operations, such as `90s`; `0s` fails at once [default: 60s; a server waits a
    /// day]
    #[arg(long, global = true, value_name = "DURATION", value_parser = duration::parse)]
    pub lock_timeout: Option<Duration>,
    /// Ask questions; with `--input=false` a command fails instead of asking
    #[arg(long, global = true, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true)]
    pub input: bool,
    /// Set the use of colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// Log more on standard error; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Print only results and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
}

impl Global {
    /// How long a command waits for leases of other operations.
    pub fn lock_timeout(&self) -> Duration {
        self.lock_timeout.unwrap_or(DEFAULT_LOCK_TIMEOUT)
    }
}

/// Default of `--lock-timeout`.
const DEFAULT_LOCK_TIMEOUT: Duration = Duration::from_secs(60);

/// When colour is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a project: configuration, an example, a key for secrets
    #[command(after_help = "Examples:\n  terrace init\n  terrace init --state-key")]
    Init(InitArguments),
    /// Check descriptors without state or network
    #[command(after_help = "Examples:\n  terrace validate data-product.yaml\n  terrace validate -c orders stacks/")]
    Validate(ValidateArguments),
    /// Build the descriptor of a data product from its repositories
    #[command(subcommand)]
    Descriptor(DescriptorCommand),
    /// Show the changes that an apply would make
    #[command(
        after_help = "Examples:\n  terrace plan data-product.yaml\n  terrace plan orders --repo ../orders-raw --env dev\n  terrace plan --out plan --detailed-exitcode stacks/\n  terrace plan --format markdown data-product.yaml > comment.md\n  terrace plan --target api/ --exclude 'api/local_file.part[\"x\"]' stacks/\n  terrace plan --replace local_file.a --refresh=false stack.yaml"
    )]
    Plan(PlanArguments),
    /// Create, change and delete objects, or apply a saved plan
    #[command(
        after_help = "Examples:\n  terrace apply data-product.yaml\n  terrace apply --auto-approve plan\n  terrace apply --plan-digest DIGEST data-product.yaml\n  terrace apply --refresh-only data-product.yaml\n  terrace apply --target local_file.a stack.yaml\n\nA saved plan (`terrace plan --out PLAN`) is applied without a question, and only once. If its state or descriptors changed since, terrace refuses it (exit code 4)."
    )]
    Apply(ApplyArguments),
    /// Delete the objects of a descriptor or a stack
    #[command(
        after_help = "Examples:\n  terrace destroy data-product.yaml\n  terrace destroy demo@local --auto-approve\n  terrace destroy demo@local --target local_file.a\n\n`terrace apply PLAN` applies a plan that `terrace plan --destroy --out PLAN` saved."
    )]
    Destroy(DestroyArguments),
    /// Show drift: the differences of remote objects from the state
    #[command(
        after_help = "Examples:\n  terrace drift data-product.yaml\n  terrace drift --all --ignore tags\n  terrace drift --all --format markdown > comment.md"
    )]
    Drift(DriftArguments),
    /// Plan pull requests, apply merged ones, and report drift in issues
    #[command(subcommand)]
    Pr(PrCommand),
    /// Show a saved plan, a resource or an operation
    #[command(after_help = "Examples:\n  terrace show plan\n  terrace show 'api/local_file.part[\"x\"]'")]
    Show(ShowArguments),
    /// Show outputs
    #[command(after_help = "Examples:\n  terrace output\n  terrace output path --format raw")]
    Output(OutputArguments),
    /// Draw the graph of resources
    #[command(
        after_help = "Examples:\n  terrace graph --format svg stack.yaml > graph.svg\n  terrace graph --format mermaid stack.yaml\n  terrace graph stack.yaml | dot -Tsvg > graph.svg"
    )]
    Graph(GraphArguments),
    /// Import an existing object, or print the configuration for it
    #[command(
        after_help = "Examples:\n  terrace import local_file.a out/a.txt\n  terrace import 'demo@local:api/sqlite_table.t[\"x\"]' shop.db/ORDERS\n  terrace import --generate demo@local:local_file.a out/a.txt > imported.yaml"
    )]
    Import(ImportArguments),
    /// Have the next plan replace an object
    #[command(after_help = "Example:\n  terrace taint local_file.a")]
    Taint(MarkArguments),
    /// Clear the mark of a tainted object: the next plan keeps it
    #[command(after_help = "Example:\n  terrace untaint 'api/local_file.part[\"x\"]'")]
    Untaint(MarkArguments),
    /// Lift the protection of an object that no descriptor declares
    #[command(after_help = "Example:\n  terrace unprotect demo@local:local_file.a")]
    Unprotect(MarkArguments),
    /// List the stacks of the state
    Stacks(StacksArguments),
    /// Inspect and repair the state
    #[command(subcommand)]
    State(StateCommand),
    /// List, show and cancel operations, and print their logs
    Operations(OperationsArguments),
    /// List leases, the locks of running operations
    Leases(LeasesArguments),
    /// Export, check and prune the log of changes and refused calls
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Resolve in-doubt steps after a crash
    #[command(
        after_help = "Examples:\n  terrace recover\n  terrace recover --absent 'api/local_file.part[\"x\"]'\n  terrace recover --tainted demo@local:local_file.a"
    )]
    Recover(RecoverArguments),
    /// Revoke a lease of another operation
    #[command(after_help = "Example:\n  terrace unlock LEASE    (`terrace leases list` lists them)")]
    Unlock(UnlockArguments),
    /// Show or replace the access list of a component
    #[command(subcommand)]
    Acl(AclCommand),
    /// Read remote objects as values for a component of a catalog
    #[command(
        after_help = "Examples:\n  terrace reverse orders --param database=SALES --param schema=ORDERS_1 --param 'tables=[ORDERS]'\n  terrace reverse urn:dmb:utm:snowflake-storage-template:0.0.0 --param … --write updates.yaml"
    )]
    Reverse(ReverseArguments),
    /// Serve Witboost's coordinator API and the native API over HTTP
    #[command(
        after_help = "Examples:\n  terrace serve\n  terrace serve --bind 127.0.0.1:8091 --state sqlite:/var/lib/terrace/state.db"
    )]
    Serve(ServeArguments),
    /// Register the server at Witboost, and validate descriptors there
    #[command(subcommand)]
    Witboost(WitboostCommand),
    /// Manage roles of Hasura, and answer its authentication webhook
    #[command(
        after_help = "Examples:\n  terrace role-mapper\n  terrace role-mapper --bind 0.0.0.0:8092 --state postgres://USER@HOST/DATABASE\n\nVariables ROLE_MAPPER_* set the issuers of accepted tokens: see docs/role-mapper.md"
    )]
    RoleMapper(RoleMapperArguments),
    /// Plan and apply the stacks of a Kubernetes cluster
    #[command(
        after_help = "Examples:\n  terrace operator crds | kubectl apply --server-side --force-conflicts -f -\n  \
                      terrace operator --server https://terrace:8091"
    )]
    Operator(OperatorArguments),
    /// Run data pipelines (`pipeline-spec.yaml`), here or on workers
    #[command(subcommand)]
    Pipelines(PipelinesCommand),
    /// List, show, check, create and test blueprints
    Blueprints(BlueprintsArguments),
    /// List the providers of this build, or print a provider's schema
    Providers(ProvidersArguments),
    /// Evaluate expressions against a descriptor and its state
    #[command(
        after_help = "Examples:\n  terrace console stack.yaml\n  terrace console stack.yaml -e 'resources.a.id' -e 'vars.size * 2'\n  echo 'component.specific' | terrace console data-product.yaml -c orders"
    )]
    Console(ConsoleArguments),
    /// Format stacks, blueprints and their tests, and terrace.yaml
    #[command(
        after_help = "Examples:\n  terrace fmt\n  terrace fmt --check --recursive\n  terrace fmt stack.yaml blueprints"
    )]
    Fmt(FmtArguments),
    /// Check that the other commands have everything they need
    #[command(after_help = "Examples:\n  terrace doctor\n  terrace doctor --env production --json")]
    Doctor(DoctorArguments),
    /// Write a completion script for a shell
    #[command(after_help = "Example:\n  terrace completion bash > ~/.local/share/bash-completion/completions/terrace")]
    Completion(CompletionArguments),
    /// Write the pages for `man`
    #[command(after_help = "Example:\n  terrace man ~/.local/share/man/man1")]
    Man(ManArguments),
    /// Show the version
    Version(VersionArguments),
    /// Map terraform's commands to terrace's
    #[command(hide = true, long_about = TERRAFORM, help_template = "{about}")]
    Terraform,
}

/// `terrace init`.
#[derive(Debug, Args)]
pub struct InitArguments {
    /// Only create a key for sensitive values, and print where to put it
    #[arg(long)]
    pub state_key: bool,
}

/// `terrace validate`.
#[derive(Debug, Args)]
pub struct ValidateArguments {
    /// The descriptors and their variables.
    #[command(flatten)]
    pub input: InputArguments,
    /// Plan against the state too, and ask providers that have a dry run
    #[arg(long)]
    pub remote: bool,
    /// The form of the result.
    #[command(flatten)]
    pub format: FormatArguments,
}

/// Descriptors and their variables.
#[derive(Debug, Clone, Default, Args)]
pub struct InputArguments {
    /// Read these descriptors; of a folder, its *.yaml and *.yml, or its repositories (`catalog-info.yaml`)
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Components and variables.
    #[command(flatten)]
    pub choice: ChoiceArguments,
}

/// `terrace show`.
#[derive(Debug, Args)]
pub struct ShowArguments {
    /// Show this plan file, address or operation id [default: all resources of the stack]
    #[arg(value_name = "PLAN|ADDRESS|OPERATION")]
    pub what: Option<String>,
    /// The form of the result.
    #[command(flatten)]
    pub format: FormatArguments,
}

/// `terrace output`.
#[derive(Debug, Args)]
pub struct OutputArguments {
    /// Print only this output; `component/name` if several components have it
    pub name: Option<String>,
    /// Set the form of the result
    #[arg(long, value_name = "FORM", default_value = "human")]
    pub format: OutputFormat,
    /// Print JSON, as with `--format json`
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    /// Show sensitive values
    #[arg(long)]
    pub reveal: bool,
}

/// The form of outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    Human,
    /// For programs.
    Json,
    /// One text, without quotes.
    Raw,
}

/// `terrace graph`.
#[derive(Debug, Args)]
pub struct GraphArguments {
    /// The descriptors and their variables.
    #[command(flatten)]
    pub input: InputArguments,
    /// Set the form of the result
    #[arg(long, value_name = "FORM", default_value = "dot")]
    pub format: GraphFormat,
}

/// `terrace recover`.
#[derive(Debug, Default, Args)]
pub struct RecoverArguments {
    /// Recover these stacks (`name@environment`) [default: all of the environment given, else all]
    #[arg(value_name = "STACK")]
    pub stacks: Vec<String>,
    /// Resolve an in-doubt step: the call had no effect, its row stays as before; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    pub unchanged: Vec<String>,
    /// Resolve an in-doubt step: the object does not exist, its row is dropped; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    pub absent: Vec<String>,
    /// Resolve an in-doubt step: the object is incomplete, the next apply replaces it; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    pub tainted: Vec<String>,
    /// Store sensitive values in the clear without a state key; with a key, accept stored values in the clear, and seal
    /// them when they are written again
    #[arg(long)]
    pub plaintext_secrets: bool,
    /// The form of the result.
    #[command(flatten)]
    pub format: FormatArguments,
}

/// `terrace unlock`.
#[derive(Debug, Args)]
pub struct UnlockArguments {
    /// Revoke this lease
    pub lease: String,
    /// Skip the question
    #[arg(long, alias = "force")]
    pub auto_approve: bool,
}

/// `terrace console`.
#[derive(Debug, Args)]
pub struct ConsoleArguments {
    /// The descriptors and their variables.
    #[command(flatten)]
    pub input: InputArguments,
    /// Evaluate this expression, without `${{` and `}}`; may be repeated [default: the lines of standard input]
    #[arg(short, long = "expression", value_name = "EXPRESSION")]
    pub expressions: Vec<String>,
}

/// `terrace fmt`.
#[derive(Debug, Args)]
pub struct FmtArguments {
    /// Format these files; of a folder, terrace's own files
    #[arg(value_name = "FILE", default_value = ".")]
    pub paths: Vec<PathBuf>,
    /// Change nothing; exit with 2 if a file is not formatted
    #[arg(long)]
    pub check: bool,
    /// Include folders within folders
    #[arg(short, long)]
    pub recursive: bool,
}

/// `terrace doctor`.
#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// The form of the result.
    #[command(flatten)]
    pub format: FormatArguments,
}

/// `terrace completion`.
#[derive(Debug, Args)]
pub struct CompletionArguments {
    /// Write the script for this shell
    pub shell: clap_complete::Shell,
}

/// `terrace man`.
#[derive(Debug, Args)]
pub struct ManArguments {
    /// Write the pages into this folder
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// `terrace version`.
#[derive(Debug, Args)]
pub struct VersionArguments {
    /// The form of the result.
    #[command(flatten)]
    pub format: FormatArguments,
}

/// The text of `terrace help terraform`.
pub(crate) const TERRAFORM: &str = include_str!("commands/terraform.txt");

#[cfg(test)]
mod tests;
