//! Arguments of `plan`, `apply` and `destroy`.

use super::ChoiceArguments;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use terrace_engine::digest::DIGEST_DIGITS;
use terrace_engine::render::markdown::Markdown;

/// What a plan is computed from, and how.
#[derive(Debug, Clone, Default, Args)]
pub struct PlanningArguments {
    /// Which components, with which variables.
    #[command(flatten)]
    pub choice: ChoiceArguments,
    /// Read what is there; with `--refresh=false` the state is believed
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true)]
    pub refresh: bool,
    /// Only record what is found; do nothing about it
    #[arg(long, conflicts_with_all = ["refresh", "remove_data", "replace"])]
    pub refresh_only: bool,
    /// Only this resource (`type.name`), instance (`type.name["key"]`) or component (`api/`), with what it needs; may
    /// be repeated
    #[arg(long = "target", value_name = "ADDRESS")]
    pub targets: Vec<String>,
    /// All but this resource, instance or component, and what needs it; may be repeated
    #[arg(long = "exclude", value_name = "ADDRESS")]
    pub excludes: Vec<String>,
    /// Make this object anew; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    pub replace: Vec<String>,
    /// Only who has access to the component of `-c`: all of them, such as `user:ada`; may be repeated; `--acl=` for
    /// nobody. All else is left as it is
    #[arg(long = "acl", value_name = "PRINCIPAL", conflicts_with_all = ["targets", "excludes", "replace", "refresh_only"])]
    pub principals: Vec<String>,
    /// What is said of their access beside, as text: `acl.fields` in blueprints; may be repeated
    #[arg(long = "acl-field", value_name = "NAME=VALUE", requires = "principals")]
    pub access_fields: Vec<String>,
    /// Leave what cannot be planned yet for another apply: resources whose `forEach`, `when` or provider is known only
    /// after apply, and what comes after them
    #[arg(long, conflicts_with = "refresh_only")]
    pub allow_deferral: bool,
    /// What may become of data.
    #[command(flatten)]
    pub data: DataArguments,
    /// Store sensitive values in the clear without a state key; with a key, accept stored values in the clear, and seal
    /// them when they are written again
    #[arg(long)]
    pub plaintext_secrets: bool,
}

/// What `--acl` is given where nobody is to have access.
pub(crate) const NOBODY: &str = "";

/// What may become of data.
#[derive(Debug, Clone, Default, Args)]
pub struct DataArguments {
    /// Remove data too, where it would be retained
    #[arg(long)]
    pub remove_data: bool,
    /// Changes may destroy data, everywhere or at ADDRESS; may be repeated
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub allow_data_loss: Vec<String>,
}

/// How a plan is applied.
#[derive(Debug, Clone, Copy, Args)]
pub struct RunArguments {
    /// Do not ask
    #[arg(long)]
    pub auto_approve: bool,
    /// How many calls at once
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub parallelism: u16,
    /// The form of what is told: `json` is one object a line
    #[command(flatten)]
    pub format: super::FormatArguments,
    /// How much of the plan is shown
    #[arg(long, value_name = "DETAIL", default_value = "compact")]
    pub detail: Detail,
}

/// Where data may be lost.
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
    /// Where data may be lost.
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
    /// Descriptors; a folder means its *.yaml and *.yml. With `--destroy` also stacks
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<String>,
    /// What it is computed from.
    #[command(flatten)]
    pub planning: PlanningArguments,
    /// Plan the removal
    #[arg(long, conflicts_with_all = ["refresh_only", "replace", "allow_deferral"])]
    pub destroy: bool,
    /// Save the plan, to be applied later and once
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Exit with 2 when there are changes
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// The form of the plan
    #[arg(long, value_name = "FORM", default_value = "human")]
    pub format: PlanFormat,
    /// The same as `--format json`
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    /// How much is shown
    #[arg(long, value_name = "DETAIL", default_value = "compact")]
    pub detail: Detail,
    /// The longest that markdown may become, in characters; at least 4000
    #[arg(long, value_name = "N", default_value_t = Markdown::DEFAULT_CHARS as u32,
          value_parser = clap::value_parser!(u32).range(Markdown::LEAST_CHARS as i64..))]
    pub max_chars: u32,
}

/// `terrace apply`.
#[derive(Debug, Args)]
pub struct ApplyArguments {
    /// Descriptors, or one saved plan
    #[arg(value_name = "FILE|PLAN", required = true)]
    pub files: Vec<String>,
    /// What it is computed from.
    #[command(flatten)]
    pub planning: PlanningArguments,
    /// Apply only a plan of this digest, which somebody looked at: nothing is asked. Another one is refused
    #[arg(long, value_name = "DIGEST", value_parser = digest)]
    pub plan_digest: Option<String>,
    /// How the plan is applied.
    #[command(flatten)]
    pub run: RunArguments,
}

/// The digest of a plan, as plans are shown with it.
pub(super) fn digest(text: &str) -> Result<String, String> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    match text.len() == DIGEST_DIGITS && text.bytes().all(is_digit) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "a digest has {DIGEST_DIGITS} digits from 0 to f; `terrace plan --format markdown` ends with it, and \
             `terrace.plan_digest` of `terrace plan --json` is it"
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
    /// Counts, and what is destroyed.
    Summary,
    /// What changes.
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
