//! Arguments of `terrace audit`.

use super::age;
use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::time::Duration;

/// Subcommands of `terrace audit`.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Print the audit log as JSON lines, oldest entry first
    #[command(
        after_help = "Examples:\n  terrace audit export --since 7d > audit.jsonl\n  terrace audit export --verify > /dev/null\n\nWith `--verify` the exit code is 1 if an entry was changed or removed; the message names the first one."
    )]
    Export(AuditExportArguments),
    /// Print the use of data pipelines by callers of the server, oldest record first
    #[command(
        after_help = "Examples:\n  terrace audit usage --since 2026-11-01 --until 2026-12-01 --format csv > november.csv\n  terrace audit usage --since 1d | jq 'select(.outcome == \"refused\")'\n\nWith `--verify` the exit code is 1 if an entry of the audit log was changed or removed; the message names the first one."
    )]
    Usage(AuditUsageArguments),
    /// Check that no entry of the audit log was changed or removed
    #[command(
        after_help = "Example:\n  terrace audit verify\n\nThe exit code is 1 if an entry was changed or removed; the message names the first one."
    )]
    Verify,
    /// Remove old entries; the rest of the log stays verifiable
    #[command(after_help = "Example:\n  terrace audit prune --keep 400d")]
    Prune {
        /// Keep entries younger than this, such as `400d`
        #[arg(long, value_name = "AGE", value_parser = age)]
        keep: Duration,
        /// Skip the question
        #[arg(long)]
        auto_approve: bool,
    },
}

/// `terrace audit export`.
#[derive(Debug, Args)]
pub struct AuditExportArguments {
    /// Check from the first entry to the last that none was changed or removed
    #[arg(long)]
    pub verify: bool,
    /// The entries to print.
    #[command(flatten)]
    pub range: TimeRange,
}

/// `terrace audit usage`.
#[derive(Debug, Args)]
pub struct AuditUsageArguments {
    /// Set the form of the records
    #[arg(long, value_name = "FORM", default_value = "jsonl")]
    pub format: UsageFormat,
    /// Check the audit log from the first entry to the last
    #[arg(long)]
    pub verify: bool,
    /// The records to print.
    #[command(flatten)]
    pub range: TimeRange,
}

/// The form of usage records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum UsageFormat {
    /// A JSON object a line
    Jsonl,
    /// A table with a line of names (RFC 4180)
    Csv,
}

/// A range of times.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct TimeRange {
    /// Leave out older entries: an age such as `7d`, a date or a time (`2026-01-31T12:00:00Z`)
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub since: Option<Since>,
    /// Leave out the entries of this time and later ones, in the same forms
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub until: Option<Since>,
}

/// A time, as users write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// An age, by the clock of the store.
    Ago(Duration),
    /// A point in time.
    At(Timestamp),
}

fn since(text: &str) -> Result<Since, String> {
    if let Ok(at) = text.parse() {
        return Ok(Since::At(at));
    }
    if let Ok(date) = text.parse::<Date>() {
        let start = date.to_zoned(TimeZone::UTC).map_err(|error| error.to_string())?;
        return Ok(Since::At(start.timestamp()));
    }
    age(text).map(Since::Ago).map_err(|_| {
        "expected an age such as `7d`, a date such as `2026-01-31` or a time such as `2026-01-31T12:00:00Z`".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_accepts_an_age_a_date_or_a_time() {
        let at = |text: &str| Since::At(text.parse().unwrap());
        assert_eq!(since("2026-01-31"), Ok(at("2026-01-31T00:00:00Z")));
        assert_eq!(since("2026-01-31T12:00:00+01:00"), Ok(at("2026-01-31T11:00:00Z")));
        assert_eq!(since("2d"), Ok(Since::Ago(Duration::from_secs(2 * 24 * 3600))));
        for wrong in ["", "yesterday", "7", "2026-13-01"] {
            assert!(since(wrong).unwrap_err().contains("`2026-01-31`"), "{wrong}");
        }
    }
}
