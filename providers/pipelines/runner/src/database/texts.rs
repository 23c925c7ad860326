//! Texts about a database, in the words of dppctl's document.

use super::record::{Access, Engine, Record, USER};
use secrecy::ExposeSecret;
use std::time::Duration;

/// Lines to print once after the creation of a database: the address of its page, and its connection. They contain the
/// password, so they must not be logged.
#[must_use]
pub fn new_connection_lines(record: &Record, access: &Access, page: Option<&str>) -> Vec<String> {
    let mut lines = connection_lines(record, access, page);
    if let (Engine::Postgres, Some(password), Some(last)) = (record.engine, &access.password, lines.last_mut()) {
        last.push_str(", Password: ");
        last.push_str(password.expose_secret());
    }
    lines
}

/// Lines to print later, without the password.
#[must_use]
pub fn connection_lines(record: &Record, access: &Access, page: Option<&str>) -> Vec<String> {
    let system = record.engine.title();
    let place = match record.engine {
        Engine::Postgres => format!("Server: {}:{}, Username: {USER}", record.host(), access.port.unwrap_or_default()),
        Engine::Sqlite => format!("File: {}", record.data.display()),
    };
    let page = page.map(|page| format!("DB Web UI is available at {page}{}", page_condition(record)));
    page.into_iter().chain([format!("System: {system}, {place}")]).collect()
}

/// The condition of a database's page, with a space before it. `terrace serve` has the pages of databases in the cluster.
#[must_use]
pub fn page_condition(record: &Record) -> &'static str {
    if record.cluster.is_some() { " (while `terrace serve` runs)" } else { "" }
}

/// Last line of a run with its own database.
#[must_use]
pub fn keep_alive_line(span: Duration, has_page: bool) -> String {
    let what = if has_page { "DB and Web UI" } else { "DB" };
    format!("Keeping the {what} running for {}", format_span(span))
}

/// A span for people: `1 hour`, `90 minutes`, `2 seconds`.
#[must_use]
pub fn format_span(span: Duration) -> String {
    // Round to seconds, so that an hour minus a moment is `1 hour`.
    let seconds = span.as_secs().saturating_add(u64::from(span.subsec_millis() >= 500));
    let (number, unit) = match seconds {
        0..120 if seconds != 60 => (seconds, "second"),
        _ if seconds.is_multiple_of(86400) => (seconds / 86400, "day"),
        _ if seconds.is_multiple_of(3600) => (seconds / 3600, "hour"),
        _ if seconds >= 48 * 3600 => (seconds / 3600, "hour"),
        _ => (seconds.saturating_add(30) / 60, "minute"),
    };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_formatted_for_people() {
        for (seconds, words) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (60, "1 minute"),
            (90, "90 seconds"),
            (3600, "1 hour"),
            (3599, "60 minutes"),
            (5400, "90 minutes"),
            (7200, "2 hours"),
            (86400, "1 day"),
            (200_000, "55 hours"),
        ] {
            assert_eq!(format_span(Duration::from_secs(seconds)), words);
        }
        assert_eq!(keep_alive_line(Duration::from_secs(3600), true), "Keeping the DB and Web UI running for 1 hour");
    }
}
