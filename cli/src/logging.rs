//! The log: to standard error, or to the file that `TERRACE_LOG_FILE` names.

use crate::args::Global;
use crate::failure::Failure;
use crate::report::report;
use crate::ui::Ui;
use crate::variables::Variables;
use std::fs::OpenOptions;
use std::io::IsTerminal;
use std::sync::Arc;
use terrace_engine::diagnostic::{Diagnostic, did_you_mean};
use terrace_engine::source::Sources;
use tracing_subscriber::EnvFilter;

/// Opens the log.
///
/// # Errors
/// When the log file cannot be written, or `TERRACE_LOG` cannot be understood.
pub(crate) fn start(global: &Global, variables: &Variables, ui: &Ui) -> Result<(), Failure> {
    if let Some(warning) = variables.get("TERRACE_LOG").and_then(slip) {
        report(ui, &Sources::default(), &[warning]);
    }
    let Some(directives) = directives(global, variables.get("TERRACE_LOG")) else { return Ok(()) };
    let filter = EnvFilter::try_new(&directives).map_err(|error| {
        Failure::new(format!("`TERRACE_LOG` cannot be understood: {error}"))
            .hint("write `error`, `warn`, `info`, `debug` or `trace`")
    })?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter);
    // A second log in one process is one of tests: the first one stays.
    let _ = match variables.get("TERRACE_LOG_FILE") {
        Some(path) => {
            let file = OpenOptions::new().create(true).append(true).open(path).map_err(|error| {
                Failure::new(format!("the log `{path}` cannot be written: {error}"))
                    .hint("give `TERRACE_LOG_FILE` the path of a file in a folder that is there")
            })?;
            subscriber.with_ansi(false).with_writer(Arc::new(file)).try_init()
        }
        None => {
            let is_colored = std::io::stderr().is_terminal() && variables.get("NO_COLOR").is_none();
            subscriber.with_ansi(is_colored).with_writer(std::io::stderr).try_init()
        }
    };
    Ok(())
}

/// The levels that a log can have.
const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// A word that is no level names a part of the program whose log is wanted; hardly anybody means that.
fn slip(directives: &str) -> Option<Diagnostic> {
    let is_level = |word: &str| LEVELS.contains(&word.to_lowercase().as_str()) || word.parse::<u8>().is_ok();
    let is_part = |word: &str| word.starts_with("terrace") || word.contains("::");
    let mut words = directives.split(',').map(str::trim).filter(|word| !word.is_empty() && !word.contains(['=', '[']));
    let wrong = words.find(|word| !is_level(word) && !is_part(word))?;
    Some(
        Diagnostic::warning(
            "unknown_level",
            format!("`{wrong}` in `TERRACE_LOG` is no level: nothing is logged for it"),
        )
        .hint("write `error`, `warn`, `info`, `debug` or `trace`; `part=level` for a part of the program")
        .maybe_hint(did_you_mean(wrong, LEVELS)),
    )
}

/// What is logged; nothing is unless somebody asks.
fn directives(global: &Global, variable: Option<&str>) -> Option<String> {
    // A level alone is about terrace: libraries stay quiet until they are named.
    let of_level = |level: &str| {
        format!("warn,terrace={level},terrace_engine={level},terrace_provider={level},terrace_state={level}")
    };
    match (global.verbose, variable) {
        (0, Some(level @ ("error" | "warn" | "info" | "debug" | "trace"))) => Some(of_level(level)),
        (0, Some(directives)) => Some(directives.to_owned()),
        (0, None) => None,
        (1, _) => Some(of_level("debug")),
        (_, _) => Some(of_level("trace")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verbose(verbose: u8) -> Global {
        Global { verbose, ..Global::default() }
    }

    #[test]
    fn nothing_is_logged_unless_asked_for() {
        assert_eq!(directives(&verbose(0), None), None);
    }

    #[test]
    fn a_word_that_is_no_level_is_told_with_a_suggestion() {
        assert_eq!(slip("foo").unwrap().message, "`foo` in `TERRACE_LOG` is no level: nothing is logged for it");
        assert_eq!(slip("warn,debgu").unwrap().hint.as_deref(), Some("did you mean `debug`?"));
        for fine in ["debug", "WARN", "hyper=info", "terrace_engine", "warn,terrace_state=trace", "off", "[span]=info"]
        {
            assert_eq!(slip(fine), None, "{fine}");
        }
    }

    #[test]
    fn the_flag_goes_before_the_variable() {
        assert!(directives(&verbose(2), Some("error")).unwrap().contains("terrace_engine=trace"));
        assert!(directives(&verbose(0), Some("debug")).unwrap().contains("terrace_engine=debug"));
        assert_eq!(directives(&verbose(0), Some("hyper=info")).as_deref(), Some("hyper=info"));
    }
}
