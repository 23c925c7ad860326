//! Arguments of `terrace witboost`.

use super::FormatArguments;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `terrace witboost …`.
#[derive(Debug, Subcommand)]
pub enum WitboostCommand {
    /// Register this server for infrastructure templates, in every environment
    #[command(
        after_help = "Examples:\n  terrace witboost register\n  terrace witboost register --env production --auto-approve\n\nThe ids come from `witboost.adapter.templates` of terrace.yaml, and from `match` and `templates` of blueprints. The access token is in WITBOOST_TOKEN, or in `witboost.token`. A repeated registration has no further effect."
    )]
    Register(WitboostRegisterArguments),
    /// Check the access to Witboost and to the server, and list the registrations
    #[command(
        after_help = "Examples:\n  terrace witboost status\n  terrace witboost status --env production --json\n\nWitboost publishes no API that lists adapters: the result cannot tell which of these registrations it has."
    )]
    Status(WitboostStatusArguments),
    /// List the registrations to remove in Witboost
    #[command(
        after_help = "Example:\n  terrace witboost unregister\n\nWitboost publishes no API that removes an adapter: this command changes nothing, and ends with exit code 4. Remove the listed adapters in Witboost."
    )]
    Unregister(WitboostStatusArguments),
    /// Have Witboost validate a descriptor before it is merged
    #[command(
        after_help = "Examples:\n  terrace witboost validate data-product.yaml\n  terrace witboost validate orders orders-raw --env dev\n  terrace witboost validate orders --repo ../orders-view --env dev --json\n\nWitboost applies its policies, and asks the adapters of all components. It records the validation in its history."
    )]
    Validate(WitboostValidateArguments),
}

/// `terrace witboost register`.
#[derive(Debug, Args)]
pub struct WitboostRegisterArguments {
    /// Skip the question
    #[arg(long)]
    pub auto_approve: bool,
    /// The form of the result.
    #[command(flatten)]
    pub format: FormatArguments,
}

/// `terrace witboost status` and `unregister`.
#[derive(Debug, Args)]
pub struct WitboostStatusArguments {
    /// The form of the result.
    #[command(flatten)]
    pub format: FormatArguments,
}

/// `terrace witboost validate`.
#[derive(Debug, Args)]
pub struct WitboostValidateArguments {
    /// Validate this descriptor, or the one of these repositories (folders with a catalog-info.yaml)
    #[arg(value_name = "PATH", default_value = ".")]
    pub paths: Vec<PathBuf>,
    /// Add the checkout of another repository with parts of the data product; may be repeated
    #[arg(long = "repo", value_name = "PATH")]
    pub repositories: Vec<PathBuf>,
    /// The form of the result.
    #[command(flatten)]
    pub format: FormatArguments,
}
