//! The log: to standard error, or to the file that `TERRACE_LOG_FILE` names.

use crate::args::Global;
use crate::failure::Failure;
use crate::variables::Variables;
use std::fs::OpenOptions;
use std::io::IsTerminal;
use std::sync::Arc;
use tracing_subscriber::EnvFilter;

/// Opens the log.
///
/// # Errors
/// When the log file cannot be written, or `TERRACE_LOG` cannot be understood.
pub(crate) fn start(global: &Global, variables: &Variables) -> Result<(), Failure> {
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
    fn the_flag_goes_before_the_variable() {
        assert!(directives(&verbose(2), Some("error")).unwrap().contains("terrace_engine=trace"));
        assert!(directives(&verbose(0), Some("debug")).unwrap().contains("terrace_engine=debug"));
        assert_eq!(directives(&verbose(0), Some("hyper=info")).as_deref(), Some("hyper=info"));
    }
}
