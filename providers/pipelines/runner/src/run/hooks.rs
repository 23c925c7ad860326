//! Notifications of a run's progress to the addresses in a spec's `hooks`, with the same events as dpp
//! (`status/pipeline_status.py`): `queue`, `start`, `progress` and `finish`, each a JSON object.
//!
//! Runs neither wait for them nor fail because of them. Each address has its own task with a short queue; progress is
//! dropped while the queue is full. Events contain what records and logs contain: no secrets. After a failed call, an
//! address gets only the last event, and the run waits briefly for that.

use super::record::{Record, State};
use futures_util::future::join_all;
use reqwest::{Client, Url};
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use terrace_provider::http::{builder, in_words};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Maximum number of log lines in an event, as in dpp.
const LINES: usize = 100;
/// Length of the queue of an address.
const WAITING: usize = 8;

/// Timeouts of notifications.
#[derive(Debug, Clone, Copy)]
pub(super) struct HookTimeouts {
    /// Timeout of a call.
    pub(super) call: Duration,
    /// Timeout of all outstanding calls at the end of a run.
    pub(super) end: Duration,
    /// Minimum time between two progress events.
    pub(super) progress: Duration,
}

impl Default for HookTimeouts {
    fn default() -> Self {
        Self { call: Duration::from_secs(5), end: Duration::from_secs(10), progress: Duration::from_secs(10) }
    }
}

/// Addresses of a pipeline during a run.
pub(super) struct Hooks {
    pipeline: String,
    timeouts: HookTimeouts,
    senders: Vec<HookSender>,
    recent_lines: Mutex<RecentLines>,
    /// Addresses that are not valid, with the reason.
    unusable: Vec<String>,
}

/// Recent lines of the steps.
struct RecentLines {
    last: VecDeque<String>,
    reported_at: Instant,
}

struct HookSender {
    /// Visible part of the address: paths and users of hooks are often secrets.
    place: String,
    events: mpsc::Sender<Event>,
    task: JoinHandle<Option<String>>,
}

struct Event {
    body: Value,
    is_last: bool,
}

impl Hooks {
    /// Prepares calls to these addresses, without sending anything.
    pub(super) fn new(addresses: &[String], pipeline: &str, timeouts: HookTimeouts) -> Self {
        let (mut senders, mut unusable) = (Vec::new(), Vec::new());
        let client = if addresses.is_empty() { Err(String::new()) } else { client(timeouts) };
        for address in addresses {
            let parsed = Url::parse(address).map_err(|error| error.to_string());
            match (parsed, &client) {
                (Ok(url), Ok(client)) => {
                    let (events, waiting) = mpsc::channel(WAITING);
                    let place = url.origin().ascii_serialization();
                    let task = tokio::spawn(send(client.clone(), url, waiting));
                    senders.push(HookSender { place, events, task });
                }
                (Err(why), _) => unusable.push(format!("a hook cannot be called: {why}")),
                (_, Err(why)) => unusable.push(format!("a hook cannot be called: {why}")),
            }
        }
        let recent_lines = Mutex::new(RecentLines { last: VecDeque::new(), reported_at: Instant::now() });
        Self { pipeline: pipeline.to_owned(), timeouts, senders, recent_lines, unusable }
    }

    /// Reports that the run is being prepared.
    pub(super) fn queue(&self) {
        self.send("queue", Map::new());
    }

    /// Reports that its steps start.
    pub(super) fn start(&self) {
        self.send("start", Map::new());
    }

    /// Adds a line of a step, and reports progress at intervals.
    pub(super) fn line(&self, name: &str, line: &str) {
        if self.senders.is_empty() {
            return;
        }
        let mut recent = self.recent_lines.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.last.len() == LINES {
            recent.last.pop_front();
        }
        recent.last.push_back(format!("{name}: {line}"));
        if recent.reported_at.elapsed() >= self.timeouts.progress {
            recent.reported_at = Instant::now();
            drop(recent);
            self.progress();
        }
    }

    /// Reports the recent lines.
    fn progress(&self) {
        let recent = self.recent_lines.lock().unwrap_or_else(PoisonError::into_inner);
        let log: Vec<&String> = recent.last.iter().collect();
        let body = Map::from_iter([("log".to_owned(), json!(log))]);
        drop(recent);
        self.send("progress", body);
    }

    /// Reports the end of a run, and waits for the addresses. Returns warnings about addresses that failed.
    pub(super) async fn finish(self, record: &Record) -> Vec<String> {
        // dpp sends progress once more before the end, and some receivers read the log from it.
        self.progress();
        let body = self.body("finish", finish(record));
        let end = self.timeouts.end;
        let all = self.senders.into_iter().map(|sender| {
            let event = Event { body: body.clone(), is_last: true };
            async move {
                let HookSender { place, events, mut task } = sender;
                let last_call = async {
                    let _ = events.send(event).await;
                    drop(events);
                    (&mut task).await.unwrap_or_else(|_| Some("the call was interrupted".to_owned()))
                };
                let why = match tokio::time::timeout(end, last_call).await {
                    Ok(why) => why,
                    Err(_) => {
                        task.abort();
                        Some(format!("no answer within {} s", end.as_secs()))
                    }
                };
                why.map(|why| format!("the hook at {place} missed events: {why}"))
            }
        });
        let mut warnings = self.unusable;
        warnings.extend(join_all(all).await.into_iter().flatten());
        warnings
    }

    fn send(&self, event: &str, more: Map<String, Value>) {
        for sender in &self.senders {
            // A full queue means that the receiver is slow: drop the event.
            let _ = sender.events.try_send(Event { body: self.body(event, more.clone()), is_last: false });
        }
    }

    fn body(&self, event: &str, more: Map<String, Value>) -> Value {
        let mut body =
            Map::from_iter([("pipeline_id".to_owned(), json!(self.pipeline)), ("event".to_owned(), json!(event))]);
        body.extend(more);
        Value::Object(body)
    }
}

/// Fields of the last event: statistics after a success, or else errors.
fn finish(record: &Record) -> Map<String, Value> {
    let is_good = record.state == State::Succeeded;
    let mut body = Map::from_iter([("success".to_owned(), json!(is_good))]);
    if is_good {
        body.insert("stats".to_owned(), json!(record.public_stats()));
        return body;
    }
    let failure = record.failure.as_ref();
    let step = failure.and_then(|failure| record.steps.get(failure.step?));
    // dpp begins with the name of the processor, followed by its log.
    let mut errors = vec![step.map_or_else(|| record.state.word().to_owned(), |(name, _)| name.clone())];
    errors.extend(failure.into_iter().flat_map(|failure| failure.log.iter().cloned()));
    errors.extend(failure.map(|failure| failure.message.clone()));
    body.insert("errors".to_owned(), json!(errors));
    body
}

fn client(timeouts: HookTimeouts) -> Result<Client, String> {
    let built = builder(None)?.timeout(timeouts.call).build();
    built.map_err(|error| in_words(&error))
}

/// Sends events in order; returns the first error.
async fn send(client: Client, url: Url, mut events: mpsc::Receiver<Event>) -> Option<String> {
    let (mut first, mut is_unreachable) = (None, false);
    while let Some(event) = events.recv().await {
        if is_unreachable && !event.is_last {
            continue;
        }
        let answer = client.post(url.clone()).json(&event.body).send().await;
        let why = match answer {
            Ok(answer) if answer.status().is_success() => continue,
            Ok(answer) => format!("it responded with {}", answer.status()),
            Err(error) => {
                is_unreachable = true;
                in_words(&error)
            }
        };
        first.get_or_insert(why);
    }
    first
}
