//! Arguments of `pr`.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `terrace pr …`.
#[derive(Debug, Subcommand)]
pub enum PrCommand {
    /// Plan the changed products of a request: one comment, one check, plan files
    #[command(
        after_help = "Examples:\n  terrace pr plan\n  terrace pr plan products --env prod --name products\n\nIn a job of GitHub Actions or GitLab CI; the token is in GITHUB_TOKEN or GITLAB_TOKEN. Plans of requests from forks, and from authors without write access, use no secrets: see docs/how-to/plan-pull-requests.md."
    )]
    Plan(PrPlanArguments),
    /// Apply the reviewed plans of a merged request, and report on it
    #[command(
        after_help = "Examples:\n  terrace pr apply\n  terrace pr apply products --request 12\n\nA plan with another digest than the reviewed one is not applied. It needs the comment `terrace approve DIGEST` of an owner, and so does every plan that destroys objects, and every plan without a state key. Plans with sensitive values need a state key. To apply a request later, check out the newest commit of its branch, and pass `--request`."
    )]
    Apply(PrApplyArguments),
    /// Report drift: one issue for each stack, which is closed when the drift is gone
    #[command(after_help = "Examples:\n  terrace pr drift\n  terrace pr drift --env prod")]
    Drift(PrDriftArguments),
    /// Plan an untrusted request in a process without secrets
    #[command(hide = true)]
    Preview(PrPreviewArguments),
}

/// Products and the name of the job.
#[derive(Debug, Clone, Args)]
pub struct PrScopeArguments {
    /// Plan the products in these folders of the repository
    #[arg(value_name = "PATH", default_value = ".")]
    pub paths: Vec<PathBuf>,
    /// Name the comment and the check; jobs for different folders or environments need different names
    #[arg(long, value_name = "NAME", default_value = "terrace", value_parser = name)]
    pub name: String,
}

/// `terrace pr plan`.
#[derive(Debug, Args)]
pub struct PrPlanArguments {
    /// Products and the name of the job.
    #[command(flatten)]
    pub scope: PrScopeArguments,
    /// Write the plan files, their digests and the comment into this folder
    #[arg(long, value_name = "DIR", default_value = "terrace-plan")]
    pub out: PathBuf,
}

/// `terrace pr apply`.
#[derive(Debug, Args)]
pub struct PrApplyArguments {
    /// Products and the name of the job.
    #[command(flatten)]
    pub scope: PrScopeArguments,
    /// Apply the plans of this request [default: the request that the job's commit merges]
    #[arg(long, value_name = "NUMBER")]
    pub request: Option<u64>,
    /// Require that the request was merged into this branch [default: the default branch of the repository]
    #[arg(long, value_name = "BRANCH")]
    pub branch: Option<String>,
}

/// `terrace pr drift`.
#[derive(Debug, Args)]
pub struct PrDriftArguments {
    /// Give the issues this label
    #[arg(long, value_name = "LABEL", default_value = "terrace-drift")]
    pub label: String,
}

/// `terrace pr preview`: the request is on standard input.
#[derive(Debug, Args)]
pub struct PrPreviewArguments {
    /// The folder with the files of the base
    pub base: PathBuf,
}

/// Parses the name of a job.
fn name(text: &str) -> Result<String, String> {
    let is_plain = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
    match !text.is_empty() && text.len() <= 40 && text.chars().all(is_plain) {
        true => Ok(text.to_owned()),
        false => Err("a name has up to 40 small letters, digits and hyphens".to_owned()),
    }
}
