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
pub(super) struct Patience {
    /// Timeout of a call.
    pub(super) call: Duration,
    /// Timeout of all outstanding calls at the end of a run.
    pub(super) end: Duration,
    /// Minimum time between two progress events.
    pub(super) progress: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { call: Duration::from_secs(5), end: Duration::from_secs(10), progress: Duration::from_secs(10) }
    }
}

/// Addresses of a pipeline during a run.
pub(super) struct Hooks {
    pipeline: String,
    patience: Patience,
    tellers: Vec<Teller>,
    said: Mutex<Said>,
    /// Addresses that are not valid, with the reason.
    unusable: Vec<String>,
}

/// Recent lines of the steps.
struct Said {
    last: VecDeque<String>,
    told: Instant,
}

struct Teller {
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
    pub(super) fn new(addresses: &[String], pipeline: &str, patience: Patience) -> Self {
        let (mut tellers, mut unusable) = (Vec::new(), Vec::new());
        let client = if addresses.is_empty() { Err(String::new()) } else { client(patience) };
        for address in addresses {
            let parsed = Url::parse(address).map_err(|error| error.to_string());
            match (parsed, &client) {
                (Ok(url), Ok(client)) => {
                    let (events, waiting) = mpsc::channel(WAITING);
                    let place = url.origin().ascii_serialization();
                    let task = tokio::spawn(send(client.clone(), url, waiting));
                    tellers.push(Teller { place, events, task });
                }
                (Err(why), _) => unusable.push(format!("a hook cannot be called: {why}")),
                (_, Err(why)) => unusable.push(format!("a hook cannot be called: {why}")),
            }
        }
        let said = Mutex::new(Said { last: VecDeque::new(), told: Instant::now() });
        Self { pipeline: pipeline.to_owned(), patience, tellers, said, unusable }
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
        if self.tellers.is_empty() {
            return;
        }
        let mut recent = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.last.len() == LINES {
            recent.last.pop_front();
        }
        recent.last.push_back(format!("{name}: {line}"));
        if recent.told.elapsed() >= self.patience.progress {
            recent.told = Instant::now();
            drop(recent);
            self.progress();
        }
    }

    /// Reports the recent lines.
    fn progress(&self) {
        let recent = self.said.lock().unwrap_or_else(PoisonError::into_inner);
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
        let end = self.patience.end;
        let all = self.tellers.into_iter().map(|teller| {
            let event = Event { body: body.clone(), is_last: true };
            async move {
                let Teller { place, events, mut task } = teller;
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
        for teller in &self.tellers {
            // A full queue means that the receiver is slow: drop the event.
            let _ = teller.events.try_send(Event { body: self.body(event, more.clone()), is_last: false });
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
    errors.extend(failure.into_iter().flat_map(|failure| failure.said.iter().cloned()));
    errors.extend(failure.map(|failure| failure.what.clone()));
    body.insert("errors".to_owned(), json!(errors));
    body
}

fn client(patience: Patience) -> Result<Client, String> {
    let made = builder(None)?.timeout(patience.call).build();
    made.map_err(|error| in_words(&error))
}

/// Sends events in order; returns the first error.
async fn send(client: Client, url: Url, mut events: mpsc::Receiver<Event>) -> Option<String> {
    let (mut first, mut is_silent) = (None, false);
    while let Some(event) = events.recv().await {
        if is_silent && !event.is_last {
            continue;
        }
        let answer = client.post(url.clone()).json(&event.body).send().await;
        let why = match answer {
            Ok(answer) if answer.status().is_success() => continue,
            Ok(answer) => format!("it responded with {}", answer.status()),
            Err(error) => {
                is_silent = true;
                in_words(&error)
            }
        };
        first.get_or_insert(why);
    }
    first
}
