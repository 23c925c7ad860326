//! Arguments of `destroy`: those of `apply` that mean something for a removal.

use super::planning::digest;
use super::{ApplyArguments, ChoiceArguments, DataArguments, PlanningArguments, RunArguments};
use clap::Args;

/// `terrace destroy`.
#[derive(Debug, Args)]
pub struct DestroyArguments {
    /// Descriptors or stacks (`name@environment`)
    #[arg(value_name = "FILE|STACK", required = true)]
    pub files: Vec<String>,
    /// Which components, with which variables.
    #[command(flatten)]
    pub choice: ChoiceArguments,
    /// Read what is there; with `--refresh=false` the state is believed
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true)]
    pub refresh: bool,
    /// Only this resource (`type.name`), instance (`type.name["key"]`) or component (`api/`), and what needs it; may be
    /// repeated
    #[arg(long = "target", value_name = "ADDRESS")]
    pub targets: Vec<String>,
    /// All but this resource, instance or component, with what it needs; may be repeated
    #[arg(long = "exclude", value_name = "ADDRESS")]
    pub excludes: Vec<String>,
    /// What may become of data.
    #[command(flatten)]
    pub data: DataArguments,
    /// Store sensitive values in the clear without a state key; with a key, accept stored values in the clear, and seal
    /// them when they are written again
    #[arg(long)]
    pub plaintext_secrets: bool,
    /// Apply only a plan of this digest, which somebody looked at: nothing is asked. Another one is refused
    #[arg(long, value_name = "DIGEST", value_parser = digest)]
    pub plan_digest: Option<String>,
    /// How the plan is applied.
    #[command(flatten)]
    pub run: RunArguments,
}

impl DestroyArguments {
    /// What is asked of planning and applying.
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
            run: self.run,
        }
    }
}
