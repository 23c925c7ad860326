//! Arguments of `destroy`: the options of `apply` that apply to a removal.

use super::planning::digest;
use super::{ApplyArguments, ChoiceArguments, DataArguments, PlanningArguments, RunArguments};
use clap::Args;

/// `terrace destroy`.
#[derive(Debug, Args)]
pub struct DestroyArguments {
    /// Destroy these descriptors or stacks (`name@environment`)
    #[arg(value_name = "FILE|STACK", required = true)]
    pub files: Vec<String>,
    /// Components and variables.
    #[command(flatten)]
    pub choice: ChoiceArguments,
    /// Read remote objects; with `--refresh=false` plan from state alone
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true)]
    pub refresh: bool,
    /// Only destroy this resource (`type.name`), instance (`type.name["key"]`) or component (`api/`), and its
    /// dependents; may be repeated
    #[arg(long = "target", value_name = "ADDRESS")]
    pub targets: Vec<String>,
    /// Leave out this resource, instance or component, and its dependencies; may be repeated
    #[arg(long = "exclude", value_name = "ADDRESS")]
    pub excludes: Vec<String>,
    /// Consent to the loss of data.
    #[command(flatten)]
    pub data: DataArguments,
    /// Store sensitive values in the clear without a state key; with a key, accept stored values in the clear, and seal
    /// them when they are written again
    #[arg(long)]
    pub plaintext_secrets: bool,
    /// Apply only the plan with this digest, without a question; refuse any other
    #[arg(long, value_name = "DIGEST", value_parser = digest)]
    pub plan_digest: Option<String>,
    /// How the plan is applied.
    #[command(flatten)]
    pub run: RunArguments,
}

impl DestroyArguments {
    /// Returns the same request as arguments of `terrace apply`.
    #[must_use]
    pub fn applying(&self) -> ApplyArguments {
        ApplyArguments {
            files: self.files.clone(),
            planning: PlanningArguments {
                choice: self.choice.clone(),
                refresh: self.refresh,
                targets: self.targets.clone(),
                excludes: self.excludes.clone(),
                data: self.data.clone(),
                plaintext_secrets: self.plaintext_secrets,
                ..PlanningArguments::default()
            },
            plan_digest: self.plan_digest.clone(),
            cluster_of: None,
            run: self.run,
        }
    }
}
