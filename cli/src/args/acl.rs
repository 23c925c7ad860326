//! Arguments of `terrace acl`.

use super::{ApplyArguments, ChoiceArguments, FormatArguments, PlanningArguments, RunArguments};
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// What can be asked of `terrace acl`.
#[derive(Debug, Subcommand)]
pub enum AclCommand {
    /// Who is to have access to a component, as it was said last
    #[command(after_help = "Example:\n  terrace acl show orders --stack finance.cash.0@production")]
    Show(AclShowArguments),
    /// Let in those who are named, and nobody else
    #[command(
        after_help = "Examples:\n  terrace acl set data-product.yaml orders user:ada group:readers\n  terrace acl set data-product.yaml orders --auto-approve    (nobody)"
    )]
    Set(AclSetArguments),
}

/// `terrace acl show`.
#[derive(Debug, Args)]
pub struct AclShowArguments {
    /// The component, by its key
    pub component: String,
    /// The form of the result.
    #[command(flatten)]
    pub format: FormatArguments,
}

/// `terrace acl set`.
#[derive(Debug, Args)]
pub struct AclSetArguments {
    /// The descriptor of the component
    pub file: String,
    /// The component, by its key or URN
    pub component: String,
    /// All who are to have access, such as `user:ada` [default: nobody]
    // One left empty by mistake is not everybody put out.
    #[arg(value_name = "PRINCIPAL", value_parser = NonEmptyStringValueParser::new())]
    pub principals: Vec<String>,
    /// What is said of their access beside, as text: `acl.fields` in blueprints; may be repeated
    #[arg(long = "field", value_name = "NAME=VALUE")]
    pub fields: Vec<String>,
    /// The value of a variable [env: TERRACE_VAR_name]
    #[arg(long = "var", value_name = "NAME=VALUE")]
    pub variables: Vec<String>,
    /// A YAML or JSON file with values of variables
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
    /// The same as arguments of `terrace apply`.
    #[must_use]
    pub fn into_apply(self) -> ApplyArguments {
        let Self { file, component, mut principals, fields, variables, variable_files, plaintext_secrets, run } = self;
        if principals.is_empty() {
            principals.push(super::NOBODY.to_owned());
        }
        let choice = ChoiceArguments { components: vec![component], variables, variable_files };
        let planning = PlanningArguments {
            choice,
            refresh: true,
            principals,
            access_fields: fields,
            plaintext_secrets,
            ..PlanningArguments::default()
        };
        ApplyArguments { files: vec![file], planning, plan_digest: None, run }
    }
}
