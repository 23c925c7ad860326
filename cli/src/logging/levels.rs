//! Levels of the log, and their errors.

use terrace_engine::diagnostic::{Diagnostic, did_you_mean};
use tracing_subscriber::EnvFilter;

/// True for valid levels.
pub(crate) fn is_level(text: &str) -> bool {
    EnvFilter::try_new(text).is_ok() && check_level(text).is_none()
}

/// Warns about a word that is not a level: it would select a part of the program, which is rarely intended.
pub(super) fn check_level(directives: &str) -> Option<Diagnostic> {
    let is_level = |word: &str| LEVELS.contains(&word.to_lowercase().as_str()) || word.parse::<u8>().is_ok();
    let is_part = |word: &str| word.starts_with("terrace") || word.contains("::");
    let mut words = directives.split(',').map(str::trim).filter(|word| !word.is_empty() && !word.contains(['=', '[']));
    let wrong = words.find(|word| !is_level(word) && !is_part(word))?;
    Some(
        Diagnostic::warning(
            "unknown_level",
            format!("`{wrong}` in `TERRACE_LOG` is not a level: nothing is logged for it"),
        )
        .hint("write `error`, `warn`, `info`, `debug` or `trace`; `part=level` for a part of the program")
        .maybe_hint(did_you_mean(wrong, LEVELS)),
    )
}

/// The levels of a log.
pub(super) const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
