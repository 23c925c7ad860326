//! Server-sent events of a run (WHATWG HTML, 9.2), and their continuation after a lost connection.

use super::client::Server;
use crate::failure::Failure;
use serde::Deserialize;
use std::time::Duration;
use terrace_provider::http::{self, Streamed};
use terrace_server::pipelines::{Run, RunLine};
use tokio::time::{Instant, sleep};

/// The longest line of a stream, in bytes.
const LONGEST_LINE: usize = 16 << 20;
/// Pauses between attempts to continue a stream.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Time without an answer that is reported.
const SHORT_OUTAGE: Duration = Duration::from_secs(3);
/// How long a follower waits for a server that does not answer.
const OUTAGE: Duration = Duration::from_secs(300);

/// An event.
#[derive(Debug, Default, PartialEq, Eq)]
struct Event {
    kind: String,
    id: Option<String>,
    data: String,
}

/// A stream of events.
#[derive(Debug)]
pub(super) struct Events {
    streamed: Streamed,
    parser: Parser,
}

#[derive(Debug, Default)]
struct Parser {
    /// Bytes after the last complete line.
    rest: Vec<u8>,
    event: Event,
}

impl Parser {
    /// The events that a part completes.
    fn take(&mut self, part: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        self.rest.extend_from_slice(part);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\n', '\r']);
            if line.is_empty() {
                let event = std::mem::take(&mut self.event);
                if !event.data.is_empty() {
                    events.push(event);
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut self.event.kind),
                "id" => self.event.id = Some(value.to_owned()),
                "data" if self.event.data.is_empty() => value.clone_into(&mut self.event.data),
                "data" => self.event.data.extend(["\n", value]),
                // A comment is a sign of life.
                _ => {}
            }
        }
        events
    }
}

impl Events {
    pub(super) fn new(streamed: Streamed) -> Self {
        Self { streamed, parser: Parser::default() }
    }

    /// The next events; `None` at the end of the stream.
    async fn next(&mut self) -> Result<Option<Vec<Event>>, http::Failure> {
        let Some(part) = self.streamed.next().await? else { return Ok(None) };
        let events = self.parser.take(&part);
        match self.parser.rest.len().max(self.parser.event.data.len()) > LONGEST_LINE {
            true => Err(http::Failure::Refused(format!("an event has more than {LONGEST_LINE} bytes"))),
            false => Ok(Some(events)),
        }
    }
}

#[derive(Deserialize)]
struct Progress {
    rows: u64,
}

/// What happens while a run is followed.
pub(super) enum Followed<'a> {
    /// A line of its log.
    Line(&'a RunLine),
    /// Rows of the last step so far.
    Rows(u64),
    /// An outage of the server, or its end, in words.
    Outage(&'a str),
}

/// Follows a run until it ends, and returns it. Continues after a lost connection, also if the server restarts, and reports an
/// outage and its end.
///
/// # Errors
/// When the server refuses the reader, or does not answer for five minutes.
pub(super) async fn follow(server: &Server, run: &str, report: impl Fn(Followed<'_>)) -> Result<Run, Failure> {
    let (mut position, mut pause, mut answered_at) = (None::<String>, FIRST_PAUSE, Instant::now());
    let (mut silent_since, mut is_reported) = (None::<Instant>, false);
    loop {
        let before = answered_at;
        let mut answered = || {
            answered_at = Instant::now();
            if std::mem::take(&mut is_reported) {
                report(Followed::Outage("the server answers again"));
            }
        };
        let lost = match read(server, run, &mut position, &report, &mut answered).await {
            Ok(Some(ended)) => return Ok(ended),
            // The server is stopping, or the token has expired: the next attempt shows it.
            Ok(None) => None,
            Err(failure) if is_outage(&failure) => Some(failure),
            Err(failure) => return Err(server.failure(&failure)),
        };
        if answered_at.elapsed() > OUTAGE {
            let hint = format!("the run goes on: `terrace pipelines logs -f {run} --server {}`", server.url());
            let failure = lost.map(|failure| server.failure(&failure));
            return Err(failure.unwrap_or_else(|| Failure::new("the server ends the stream of the run")).hint(hint));
        }
        if answered_at > before {
            silent_since = None;
        }
        if !is_reported && silent_since.get_or_insert_with(Instant::now).elapsed() > SHORT_OUTAGE {
            is_reported = true;
            let minutes = OUTAGE.as_secs() / 60;
            let text = format!("the server does not answer: waiting for it for up to {minutes} minutes");
            report(Followed::Outage(&text));
        }
        pause = if answered_at > before { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
        sleep(pause).await;
    }
}

/// Reads one stream; returns the run if it has ended.
async fn read(
    server: &Server,
    run: &str,
    position: &mut Option<String>,
    report: &impl Fn(Followed<'_>),
    answered: &mut impl FnMut(),
) -> Result<Option<Run>, http::Failure> {
    let unreadable = |_| http::Failure::Refused("an event of the server cannot be read".to_owned());
    let mut events = server.events(run, position.as_deref()).await?;
    while let Some(new) = events.next().await? {
        answered();
        for event in new {
            match event.kind.as_str() {
                "log" => report(Followed::Line(&serde_json::from_str(&event.data).map_err(unreadable)?)),
                "progress" => {
                    let Progress { rows } = serde_json::from_str(&event.data).map_err(unreadable)?;
                    report(Followed::Rows(rows));
                }
                "end" => return serde_json::from_str(&event.data).map(Some).map_err(unreadable),
                _ => {}
            }
            if event.id.is_some() {
                *position = event.id;
            }
        }
    }
    Ok(None)
}

/// True if a later attempt may succeed.
fn is_outage(failure: &http::Failure) -> bool {
    match failure {
        http::Failure::NotSent(_) | http::Failure::Lost(_) => true,
        http::Failure::Answered(reply) => matches!(reply.status, 408 | 425 | 429 | 500..),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_across_parts() {
        let text =
            ": sign of life\n\nevent: log\nid: 0.7\ndata: {\"line\":\ndata: \"ä\"}\n\nevent: end\ndata:x\r\n\r\n";
        let expected = [("log", Some("0.7"), "{\"line\":\n\"ä\"}"), ("end", None, "x")];
        for size in [1, 2, 3, 1000] {
            let mut parser = Parser::default();
            let events: Vec<Event> = text.as_bytes().chunks(size).flat_map(|part| parser.take(part)).collect();
            let shown: Vec<_> =
                events.iter().map(|event| (event.kind.as_str(), event.id.as_deref(), event.data.as_str())).collect();
            assert_eq!(shown, expected, "{size}");
            assert!(parser.rest.is_empty());
        }
    }
}
