//! A call of an adapter: journalled before it is sent and after it gets a token, then polled until it ends.

use crate::adapter::{Answer, Client, NoAnswer, Reply, Status, answer, status};
use crate::config::Config;
use crate::endpoint::Endpoint;
use crate::failure;
use crate::mark::{Action, Mark, Marks, Progress};
use serde_json::Value as Json;
use std::time::Duration;
use terrace_provider::{Call, ErrorKind, Partial, ProviderError, Severity};
use tokio::time::Instant;

/// A request, with its texts for messages and the journal.
#[derive(Debug)]
pub(crate) struct Request {
    /// The adapter.
    pub(crate) endpoint: Endpoint,
    /// The path below the endpoint.
    pub(crate) path: &'static [&'static str],
    /// The body.
    pub(crate) body: Json,
    /// The requested action, for the journal.
    pub(crate) action: Action,
    /// The verb phrase in messages: `provision the component`.
    pub(crate) task: &'static str,
}

/// A call that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its token, if it had one.
    pub(crate) token: Option<String>,
    /// Its last status.
    pub(crate) status: Status,
}

/// The answer about a token.
#[derive(Debug)]
pub(crate) enum TokenStatus {
    /// The status of the work.
    Status(Status),
    /// The adapter does not know the token (any more).
    Unknown(String),
    /// The status cannot be read now; with the requested pause, if any.
    Unavailable(String, Option<Duration>),
}

/// Sends calls with the settings of an instance.
#[derive(Debug)]
pub(crate) struct Calls {
    pub(crate) client: Client,
    pub(crate) config: Config,
    /// Progress of this session's calls.
    pub(crate) marks: Marks,
}

impl Calls {
    /// Sends a call, and waits until its work ends.
    ///
    /// # Errors
    /// If the adapter refuses the call, or the outcome is unknown. Failed work is not an error here.
    pub(crate) async fn run(&self, call: &Call, request: &Request) -> Result<Ended, ProviderError> {
        // Keep a tenth of the time for the error: an interrupted call could not report its findings.
        let deadline = Instant::now() + (call.timeout - call.timeout / 10).min(A_YEAR);
        let mut mark = Mark::new(&call.operation, &call.step, request.action);
        self.record(call, &mark).await?;
        let url = request.endpoint.at(request.path);
        let time = deadline.saturating_duration_since(Instant::now());
        let unknown = |why: &str| failure::unknown(&request.endpoint, request.task, why);
        let reply = match self.client.post(url, &request.body, time).await {
            Ok(reply) => reply,
            Err(NoAnswer::NotSent(why)) => {
                self.refuse(call, &mut mark).await;
                return Err(failure::not_sent(&request.endpoint, &why));
            }
            Err(NoAnswer::Lost(why)) => return Err(unknown(&why)),
        };
        if !(200..300).contains(&reply.status) {
            let error = failure::refused(&request.endpoint, request.task, &reply);
            if error.kind != ErrorKind::Ambiguous {
                self.refuse(call, &mut mark).await;
            }
            return Err(error);
        }
        let token = match answer(&reply) {
            Some(Answer::Status(status)) if status.state.has_ended() => {
                let progress = if status.is_completed() { Progress::Done } else { Progress::Refused };
                self.remember(call, &mut mark, progress);
                let mut logged = 0;
                report_log(call, &status, &mut logged);
                return Ok(Ended { token: None, status: *status });
            }
            Some(Answer::Status(status)) => {
                return Err(unknown(&format!("the answer is {} without a token", status.state.as_str())));
            }
            Some(Answer::Token(token)) => token,
            None => return Err(unknown(&format!("the answer ({}) has neither token nor status", reply.status))),
        };
        mark.progress = Progress::Token(token.clone());
        if let Err(error) = self.record(call, &mark).await {
            self.remember(call, &mut mark, Progress::Token(token));
            return Err(failure::unobserved(&request.endpoint, request.task, &error.message));
        }
        let status = self.wait(call, request, &token, deadline).await?;
        if !status.is_completed() {
            self.remember(call, &mut mark, Progress::Refused);
        }
        Ok(Ended { token: Some(token), status })
    }

    /// Journals the progress of a call, and remembers it in the session.
    async fn record(&self, call: &Call, mark: &Mark) -> Result<(), ProviderError> {
        call.progress.partial(Partial { identity: None, private: Some(mark.to_private()) }).await?;
        self.marks.put(&call.address, mark);
        Ok(())
    }

    /// Records a refusal. It is journalled too: the process may be killed in the pause before the next attempt.
    async fn refuse(&self, call: &Call, mark: &mut Mark) {
        self.remember(call, mark, Progress::Refused);
        if let Err(error) = self.record(call, mark).await {
            tracing::debug!(address = %call.address, %error, "cannot journal a refusal");
        }
    }

    fn remember(&self, call: &Call, mark: &mut Mark, progress: Progress) {
        mark.progress = progress;
        self.marks.put(&call.address, mark);
    }

    /// Polls the status of a token until its work ends.
    async fn wait(
        &self,
        call: &Call,
        request: &Request,
        token: &str,
        deadline: Instant,
    ) -> Result<Status, ProviderError> {
        let unobserved = |why: &str| failure::unobserved(&request.endpoint, request.task, why);
        let mut pauses = Pauses::new(&self.config);
        let (mut logged, mut latest) = (0, "its status was not requested yet".to_owned());
        let mut requested_pause = None;
        loop {
            let now = Instant::now();
            if now >= deadline {
                return Err(unobserved(&latest));
            }
            let next = (now + pauses.next(requested_pause.take())).min(deadline);
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = call.cancel.cancelled() => return Err(unobserved("the wait was cancelled")),
            }
            match self.read_status(&request.endpoint, token).await {
                TokenStatus::Status(status) => {
                    report_log(call, &status, &mut logged);
                    if status.state.has_ended() {
                        return Ok(status);
                    }
                    latest = format!("its status is {}", status.state.as_str());
                }
                TokenStatus::Unknown(why) => return Err(unobserved(&why)),
                TokenStatus::Unavailable(why, pause) => {
                    if why != latest {
                        call.progress.message(&format!("{why}; retrying"));
                    }
                    (latest, requested_pause) = (why, pause);
                }
            }
        }
    }

    /// Reads the status of a token once.
    pub(crate) async fn read_status(&self, endpoint: &Endpoint, token: &str) -> TokenStatus {
        let reply = self.client.get(endpoint.at(&["v1", "provision", token, "status"])).await;
        match reply {
            Err(error) => TokenStatus::Unavailable(format!("its status cannot be read: {}", error.reason()), None),
            Ok(reply) if (200..300).contains(&reply.status) => match status(&reply) {
                Some(status) if status.is_unknown_token() => TokenStatus::Unknown(no_token(&status.result)),
                Some(status) => TokenStatus::Status(status),
                None => TokenStatus::Unavailable("its status has an unknown format".to_owned(), None),
            },
            Ok(Reply { status: code @ (408 | 425 | 429 | 500..=599), retry_after, .. }) => {
                TokenStatus::Unavailable(format!("its status cannot be read (HTTP {code})"), retry_after)
            }
            Ok(reply) => TokenStatus::Unknown(no_token(&format!("HTTP {}", reply.status))),
        }
    }
}

/// Upper limit of durations: some clocks cannot represent more than centuries.
const A_YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

fn no_token(why: &str) -> String {
    format!("it does not know the token of the call ({why}): adapters forget tokens on a restart")
}

/// Reports new lines of the adapter's log, except those of level `DEBUG` and `INFO`.
fn report_log(call: &Call, status: &Status, logged: &mut usize) {
    for line in status.logs.iter().skip(*logged).filter(|line| !matches!(line.level.as_str(), "DEBUG" | "INFO")) {
        match line.level.as_str() {
            "WARNING" | "WARN" => call.progress.remark(Severity::Warning, &line.message),
            "ERROR" => call.progress.remark(Severity::Error, &line.message),
            level => call.progress.message(&format!("{}: {}", level.to_ascii_lowercase(), line.message)),
        }
    }
    *logged = status.logs.len().max(*logged);
}

/// Pauses between status requests: they grow, and are at least as long as requested.
pub(crate) struct Pauses {
    next: Duration,
    max: Duration,
}

impl Pauses {
    pub(crate) fn new(config: &Config) -> Self {
        Self { next: config.poll_interval.min(config.poll_most), max: config.poll_most }
    }

    pub(crate) fn next(&mut self, requested_pause: Option<Duration>) -> Duration {
        let pause = self.next;
        self.next = pause.saturating_add(pause / 2).min(self.max);
        pause.max(requested_pause.unwrap_or_default()).min(A_YEAR)
    }
}
