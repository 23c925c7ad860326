//! Arguments that several commands have.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// The form of a result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Human,
    /// For programs.
    Json,
}

/// `--format` of commands with two forms.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct FormatArguments {
    /// Set the form of the result
    #[arg(long, value_name = "FORM", default_value = "human")]
    format: Format,
    /// Print JSON, as with `--format json`
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

impl FormatArguments {
    /// True when the result is for programs.
    #[must_use]
    pub fn is_json(self) -> bool {
        self.json || self.format == Format::Json
    }
}

/// Components, variables, and other repositories.
#[derive(Debug, Clone, Default, Args)]
pub struct ChoiceArguments {
    /// Select only this component, by its key or URN; may be repeated
    #[arg(short, long = "component", value_name = "COMPONENT")]
    pub components: Vec<String>,
    /// Set the value of a variable [env: TERRACE_VAR_name]
    #[arg(long = "var", value_name = "NAME=VALUE")]
    pub variables: Vec<String>,
    /// Read values of variables from a YAML or JSON file
    #[arg(long = "var-file", value_name = "FILE")]
    pub variable_files: Vec<PathBuf>,
    /// Add the checkout of another repository with parts of the data product; may be repeated
    #[arg(long = "repo", value_name = "PATH")]
    pub repositories: Vec<PathBuf>,
}
