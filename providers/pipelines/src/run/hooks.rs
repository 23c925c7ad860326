//! Telling others how a run goes: the addresses of a spec's `hooks` are sent what dpp sends them
//! (`status/pipeline_status.py`): `queue`, `start`, `progress` and `finish`, each a JSON object.
//!
//! No run waits for them or fails because of them. Each address has a task and a short queue of its own; progress that
//! finds it full is dropped. What is sent is what a record and its log hold: without secrets. Whoever does not answer is asked once more, at the end, which is waited for, but not for long.

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

/// So many of the last lines of a log are sent, as dpp does.
const LINES: usize = 100;
/// So many events may wait for an address.
const WAITING: usize = 8;

/// How long addresses are waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Of one call.
    pub(super) call: Duration,
    /// Of everything that waits when a run has ended.
    pub(super) end: Duration,
    /// Between two calls that tell of progress.
    pub(super) progress: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { call: Duration::from_secs(5), end: Duration::from_secs(10), progress: Duration::from_secs(10) }
    }
}

/// The addresses of a pipeline while a run of it goes on.
pub(super) struct Hooks {
    pipeline: String,
    patience: Patience,
    tellers: Vec<Teller>,
    said: Mutex<Said>,
    /// Addresses that cannot be called at all, with the reason.
    unusable: Vec<String>,
}

/// What the steps said lately.
struct Said {
    last: VecDeque<String>,
    told: Instant,
}

struct Teller {
    /// The address as far as it may be told: paths and users of hooks are often secrets.
    place: String,
    events: mpsc::Sender<Event>,
    task: JoinHandle<Option<String>>,
}

struct Event {
    body: Value,
    is_last: bool,
}

impl Hooks {
    /// Gets ready to call these addresses; nothing is sent yet.
    pub(super) fn new(addresses: &[String], pipeline: &str, patience: Patience) -> Self {
        let (mut tellers, mut unusable) = (Vec::new(), Vec::new());
        let client = if addresses.is_empty() { Err(String::new()) } else { client(patience) };
        for address in addresses {
            let parsed = Url::parse(address).map_err(|error| error.to_string());
            match (parsed, &client) {
                (Ok(url), Ok(client)) => {
                    let (events, waiting) = mpsc::channel(WAITING);
                    let place = url.origin().ascii_serialization();
                    let task = tokio::spawn(tell(client.clone(), url, waiting));
                    tellers.push(Teller { place, events, task });
                }
                (Err(why), _) => unusable.push(format!("a hook cannot be called: {why}")),
                (_, Err(why)) => unusable.push(format!("a hook cannot be called: {why}")),
            }
        }
        let said = Mutex::new(Said { last: VecDeque::new(), told: Instant::now() });
        Self { pipeline: pipeline.to_owned(), patience, tellers, said, unusable }
    }

    /// A run waits to be prepared.
    pub(super) fn queue(&self) {
        self.send("queue", Map::new());
    }

    /// Its steps begin.
    pub(super) fn start(&self) {
        self.send("start", Map::new());
    }

    /// A step said something; now and then that is told as progress.
    pub(super) fn line(&self, name: &str, line: &str) {
        if self.tellers.is_empty() {
            return;
        }
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.last.len() == LINES {
            said.last.pop_front();
        }
        said.last.push_back(format!("{name}: {line}"));
        if said.told.elapsed() >= self.patience.progress {
            said.told = Instant::now();
            drop(said);
            self.progress();
        }
    }

    /// What the steps said last.
    fn progress(&self) {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let log: Vec<&String> = said.last.iter().collect();
        let body = Map::from_iter([("log".to_owned(), json!(log))]);
        drop(said);
        self.send("progress", body);
    }

    /// A run ended: the addresses are told, and waited for. Answers in words which of them did not take what they were
    /// told.
    pub(super) async fn finish(self, record: &Record) -> Vec<String> {
        // dpp tells of progress once more before the end, and some read the log from that.
        self.progress();
        let body = self.body("finish", finish(record));
        let end = self.patience.end;
        let all = self.tellers.into_iter().map(|teller| {
            let event = Event { body: body.clone(), is_last: true };
            async move {
                let Teller { place, events, mut task } = teller;
                let told = async {
                    let _ = events.send(event).await;
                    drop(events);
                    (&mut task).await.unwrap_or_else(|_| Some("the call broke off".to_owned()))
                };
                let why = match tokio::time::timeout(end, told).await {
                    Ok(why) => why,
                    Err(_) => {
                        task.abort();
                        Some(format!("no answer within {} s", end.as_secs()))
                    }
                };
                why.map(|why| format!("the hook at {place} was not told everything: {why}"))
            }
        });
        let mut warnings = self.unusable;
        warnings.extend(join_all(all).await.into_iter().flatten());
        warnings
    }

    fn send(&self, event: &str, more: Map<String, Value>) {
        for teller in &self.tellers {
            // Where the queue is full, nobody takes what is told: then it need not be told.
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

/// What is told at the end: statistics of a success, errors of everything else.
fn finish(record: &Record) -> Map<String, Value> {
    let is_good = record.state == State::Succeeded;
    let mut body = Map::from_iter([("success".to_owned(), json!(is_good))]);
    if is_good {
        body.insert("stats".to_owned(), json!(record.public_stats()));
        return body;
    }
    let failure = record.failure.as_ref();
    let step = failure.and_then(|failure| record.steps.get(failure.step?));
    // dpp begins with the processor, and goes on with what it said.
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

/// Sends what is to be sent, one after the other; answers what went wrong first.
async fn tell(client: Client, url: Url, mut events: mpsc::Receiver<Event>) -> Option<String> {
    let (mut first, mut is_silent) = (None, false);
    while let Some(event) = events.recv().await {
        if is_silent && !event.is_last {
            continue;
        }
        let answer = client.post(url.clone()).json(&event.body).send().await;
        let why = match answer {
            Ok(answer) if answer.status().is_success() => continue,
            Ok(answer) => format!("it answers {}", answer.status()),
            Err(error) => {
                is_silent = true;
                in_words(&error)
            }
        };
        first.get_or_insert(why);
    }
    first
}
