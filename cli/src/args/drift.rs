//! Arguments of `drift`.

use clap::{Args, ValueEnum};
use terrace_engine::render::markdown::Markdown;

/// `terrace drift`.
#[derive(Debug, Args)]
pub struct DriftArguments {
    /// Read these descriptors or stacks (`name@environment`) [default: the only stack of the state]
    #[arg(value_name = "FILE|STACK")]
    pub targets: Vec<String>,
    /// Read all stacks of the state
    #[arg(long, conflicts_with = "targets")]
    pub all: bool,
    /// Ignore drift of this attribute, such as `tags` or `columns[0].comment`; may be repeated
    #[arg(long, value_name = "PATH")]
    pub ignore: Vec<terrace_provider::Path>,
    /// Set the form of the result
    #[arg(long, value_name = "FORM", default_value = "human")]
    pub format: DriftFormat,
    /// Print JSON, as with `--format json`
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    /// Shorten markdown to this many characters; at least 4000
    #[arg(long, value_name = "N", default_value_t = Markdown::DEFAULT_CHARS as u32,
          value_parser = clap::value_parser!(u32).range(Markdown::LEAST_CHARS as i64..))]
    pub max_chars: u32,
}

impl DriftArguments {
    /// The form of the result.
    #[must_use]
    pub fn form(&self) -> DriftFormat {
        if self.json { DriftFormat::Json } else { self.format }
    }
}

/// The form of drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DriftFormat {
    /// For people.
    Human,
    /// For a comment or an issue.
    Markdown,
    /// For programs.
    Json,
}
