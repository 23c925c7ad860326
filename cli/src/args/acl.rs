//! Arguments of `terrace acl`.

use super::{ApplyArguments, ChoiceArguments, FormatArguments, PlanningArguments, RunArguments};
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Subcommands of `terrace acl`.
#[derive(Debug, Subcommand)]
pub enum AclCommand {
    /// Show the access list of a component, as it was last set
    #[command(after_help = "Example:\n  terrace acl show orders --stack finance.cash.0@production")]
    Show(AclShowArguments),
    /// Replace the access list of a component: all other principals lose access
    #[command(
        after_help = "Examples:\n  terrace acl set data-product.yaml orders user:ada group:readers\n  terrace acl set data-product.yaml orders --auto-approve    (empties the list)"
    )]
    Set(AclSetArguments),
}

/// `terrace acl show`.
#[derive(Debug, Args)]
pub struct AclShowArguments {
    /// Name the component, by its key
    pub component: String,
    /// The form of the result.
    #[command(flatten)]
    pub format: FormatArguments,
}

/// `terrace acl set`.
#[derive(Debug, Args)]
pub struct AclSetArguments {
    /// Read this descriptor of the component
    pub file: String,
    /// Name the component, by its key or URN
    pub component: String,
    /// Give access to these principals, such as `user:ada` [default: an empty list]
    // Refuses `""`: an empty principal would read as an empty list, which removes all access.
    #[arg(value_name = "PRINCIPAL", value_parser = NonEmptyStringValueParser::new())]
    pub principals: Vec<String>,
    /// Set a field of the access request, as text (`acl.fields` in blueprints); may be repeated
    #[arg(long = "field", value_name = "NAME=VALUE")]
    pub fields: Vec<String>,
    /// Set the value of a variable [env: TERRACE_VAR_name]
    #[arg(long = "var", value_name = "NAME=VALUE")]
    pub variables: Vec<String>,
    /// Read values of variables from a YAML or JSON file
    #[arg(long = "var-file", value_name = "FILE")]
    pub variable_files: Vec<PathBuf>,
    /// Store sensitive values in the clear without a state key; with a key, accept stored values in the clear, and seal
    /// them when they are written again
    #[arg(long)]
    pub plaintext_secrets: bool,
    /// How the plan is applied.
    #[command(flatten)]
    pub run: RunArguments,
}

impl AclSetArguments {
    /// Returns the same request as arguments of `terrace apply`.
    #[must_use]
    pub fn into_apply(self) -> ApplyArguments {
        let Self { file, component, mut principals, fields, variables, variable_files, plaintext_secrets, run } = self;
        if principals.is_empty() {
            principals.push(super::EMPTY_ACCESS_LIST.to_owned());
        }
        let choice =
            ChoiceArguments { components: vec![component], variables, variable_files, repositories: Vec::new() };
        let planning = PlanningArguments {
            choice,
            refresh: true,
            principals,
            access_fields: fields,
            plaintext_secrets,
            ..PlanningArguments::default()
        };
        ApplyArguments { files: vec![file], planning, plan_digest: None, cluster_of: None, run }
    }
}
