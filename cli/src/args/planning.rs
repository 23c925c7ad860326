//! Arguments of `plan`, `apply` and `destroy`.

use super::ChoiceArguments;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use terrace_engine::digest::DIGEST_DIGITS;
use terrace_engine::render::markdown::Markdown;

/// Sources and options of a plan.
#[derive(Debug, Clone, Default, Args)]
pub struct PlanningArguments {
    /// Components and variables.
    #[command(flatten)]
    pub choice: ChoiceArguments,
    /// Read remote objects; with `--refresh=false` plan from state alone
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true)]
    pub refresh: bool,
    /// Only update the state from remote objects; change no object
    #[arg(long, conflicts_with_all = ["refresh", "remove_data", "replace"])]
    pub refresh_only: bool,
    /// Only plan this resource (`type.name`), instance (`type.name["key"]`) or component (`api/`), and its
    /// dependencies; may be repeated
    #[arg(long = "target", value_name = "ADDRESS")]
    pub targets: Vec<String>,
    /// Leave out this resource, instance or component, and its dependents; may be repeated
    #[arg(long = "exclude", value_name = "ADDRESS")]
    pub excludes: Vec<String>,
    /// Replace this object; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    pub replace: Vec<String>,
    /// Only replace the access list of the component of `-c` by these principals, such as `user:ada`; may be repeated;
    /// `--acl=` empties the list
    #[arg(long = "acl", value_name = "PRINCIPAL", conflicts_with_all = ["targets", "excludes", "replace", "refresh_only"])]
    pub principals: Vec<String>,
    /// Set a field of the access request, as text (`acl.fields` in blueprints); may be repeated
    #[arg(long = "acl-field", value_name = "NAME=VALUE", requires = "principals")]
    pub access_fields: Vec<String>,
    /// Defer resources that cannot be planned yet to another apply: those whose `forEach`, `when` or provider is known
    /// only after apply, and their dependents
    #[arg(long, conflicts_with = "refresh_only")]
    pub allow_deferral: bool,
    /// Consent to the loss of data.
    #[command(flatten)]
    pub data: DataArguments,
    /// Store sensitive values in the clear without a state key; with a key, accept stored values in the clear, and seal
    /// them when they are written again
    #[arg(long)]
    pub plaintext_secrets: bool,
}

/// Value of `--acl` for an empty access list.
pub(crate) const EMPTY_ACCESS_LIST: &str = "";

/// Consent to the loss of data.
#[derive(Debug, Clone, Default, Args)]
pub struct DataArguments {
    /// Remove data too, instead of retaining it
    #[arg(long)]
    pub remove_data: bool,
    /// Allow changes that destroy data, everywhere or at ADDRESS; may be repeated
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub allow_data_loss: Vec<String>,
}

/// Options of applying a plan.
#[derive(Debug, Clone, Copy, Args)]
pub struct RunArguments {
    /// Skip the question
    #[arg(long)]
    pub auto_approve: bool,
    /// Make this many provider calls at once
    #[arg(long, value_name = "N", default_value_t = Self::PARALLELISM, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub parallelism: u16,
    /// The form of progress and result: `json` is one object a line.
    #[command(flatten)]
    pub format: super::FormatArguments,
    /// Set how much of the plan is shown
    #[arg(long, value_name = "DETAIL", default_value = "compact")]
    pub detail: Detail,
}

impl RunArguments {
    /// The default of `--parallelism`.
    pub const PARALLELISM: u16 = 10;
}

/// The addresses where data may be lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Consent {
    /// Nowhere.
    Nowhere,
    /// Everywhere.
    Everywhere,
    /// At these addresses.
    At(Vec<String>),
}

impl DataArguments {
    /// The addresses where data may be lost.
    #[must_use]
    pub fn consent(&self) -> Consent {
        if self.allow_data_loss.iter().any(String::is_empty) {
            return Consent::Everywhere;
        }
        match self.allow_data_loss.as_slice() {
            [] => Consent::Nowhere,
            addresses => Consent::At(addresses.to_vec()),
        }
    }
}

/// `terrace plan`.
#[derive(Debug, Args)]
pub struct PlanArguments {
    /// Plan these descriptors; of a folder, its *.yaml and *.yml, or its repositories (`catalog-info.yaml`). With
    /// `--destroy` also stacks
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<String>,
    /// Sources and options of the plan.
    #[command(flatten)]
    pub planning: PlanningArguments,
    /// Compare with the plan of this commit: the report separates the changes that the branch adds from those that were
    /// pending already
    #[arg(long, value_name = "REF", conflicts_with = "destroy")]
    pub against: Option<String>,
    /// Plan for each environment of `terrace.yaml`, in one report
    #[arg(long, conflicts_with_all = ["destroy", "out"])]
    pub all_environments: bool,
    /// Plan the removal of all objects
    #[arg(long, conflicts_with_all = ["refresh_only", "replace", "allow_deferral"])]
    pub destroy: bool,
    /// Save the plan, to be applied once later
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Exit with 2 if there are changes
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// Set the form of the plan
    #[arg(long, value_name = "FORM", default_value = "human")]
    pub format: PlanFormat,
    /// Print JSON, as with `--format json`
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    /// Set how much is shown
    #[arg(long, value_name = "DETAIL", default_value = "compact")]
    pub detail: Detail,
    /// Shorten markdown to this many characters; at least 4000
    #[arg(long, value_name = "N", default_value_t = Markdown::DEFAULT_CHARS as u32,
          value_parser = clap::value_parser!(u32).range(Markdown::LEAST_CHARS as i64..))]
    pub max_chars: u32,
}

/// `terrace apply`.
#[derive(Debug, Args)]
pub struct ApplyArguments {
    /// Apply these descriptors, or one saved plan
    #[arg(value_name = "FILE|PLAN", required = true)]
    pub files: Vec<String>,
    /// Sources and options of the plan.
    #[command(flatten)]
    pub planning: PlanningArguments,
    /// Apply only the plan with this digest, without a question; refuse any other
    #[arg(long, value_name = "DIGEST", value_parser = digest)]
    pub plan_digest: Option<String>,
    /// Refuse another cluster of pipelines than that of `.dppctl.yaml` in this folder
    #[arg(long, hide = true, value_name = "DIR")]
    pub cluster_of: Option<PathBuf>,
    /// Options of applying the plan.
    #[command(flatten)]
    pub run: RunArguments,
}

/// Parses the digest of a plan.
pub(super) fn digest(text: &str) -> Result<String, String> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    match text.len() == DIGEST_DIGITS && text.bytes().all(is_digit) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "a digest has {DIGEST_DIGITS} digits from 0 to f; find it at the end of `terrace plan --format markdown` or in \
             `terrace.plan_digest` of `terrace plan --json`"
        )),
    }
}

/// The form of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// For people.
    Human,
    /// For a comment of a pull request.
    Markdown,
    /// For programs.
    Json,
    /// For programs: one object a line.
    JsonStream,
}

/// How much of a plan is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Detail {
    /// Counts and deletions.
    Summary,
    /// Changes.
    Compact,
    /// Everything.
    Full,
}

/// The form of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    /// For Graphviz.
    Dot,
    /// For Mermaid.
    Mermaid,
    /// A picture.
    Svg,
}
