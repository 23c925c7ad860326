//! One call of an adapter: journalled before it is sent and once it has a token, and waited for until it ends.

use crate::adapter::{Answer, Client, Reply, Status, Unanswered, answer, status};
use crate::config::Config;
use crate::endpoint::Endpoint;
use crate::failure;
use crate::mark::{Asked, Mark, Marks, Reached};
use serde_json::Value as Json;
use std::time::Duration;
use terrace_provider::{Call, ErrorKind, Partial, ProviderError, Severity};
use tokio::time::Instant;

/// What to ask, and how to speak of it.
#[derive(Debug)]
pub(crate) struct Request {
    /// Whom.
    pub(crate) endpoint: Endpoint,
    /// The path below that.
    pub(crate) path: &'static [&'static str],
    /// The body.
    pub(crate) body: Json,
    /// What the journal says of it.
    pub(crate) asked: Asked,
    /// What messages say of it: `provision the component`.
    pub(crate) what: &'static str,
}

/// What a call came to.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its token, where there was one.
    pub(crate) token: Option<String>,
    /// How it ended.
    pub(crate) status: Status,
}

/// What is known of a token.
#[derive(Debug)]
pub(crate) enum Looked {
    /// How its work stands.
    Status(Status),
    /// The adapter does not know it, or not any more.
    Unknown(String),
    /// It cannot be asked now; after that pause perhaps.
    NotNow(String, Option<Duration>),
}

/// Calls with the settings of an instance.
#[derive(Debug)]
pub(crate) struct Calls {
    pub(crate) client: Client,
    pub(crate) config: Config,
    /// What this session called.
    pub(crate) marks: Marks,
}

impl Calls {
    /// Calls, and waits for the end.
    ///
    /// # Errors
    /// When it is refused, or nobody can tell what came of it. Work that failed is no error here.
    pub(crate) async fn run(&self, call: &Call, request: &Request) -> Result<Ended, ProviderError> {
        // What is left belongs to who waits: a call that is cut off in the middle has not said what it knows.
        let deadline = Instant::now() + (call.timeout - call.timeout / 10).min(A_YEAR);
        let mut mark = Mark::new(&call.operation, &call.step, request.asked);
        self.record(call, &mark).await?;
        let url = request.endpoint.at(request.path);
        let time = deadline.saturating_duration_since(Instant::now());
        let unknown = |why: &str| failure::unknown(&request.endpoint, request.what, why);
        let reply = match self.client.post(url, &request.body, time).await {
            Ok(reply) => reply,
            Err(Unanswered::NotSent(why)) => {
                self.refuse(call, &mut mark).await;
                return Err(failure::not_sent(&request.endpoint, &why));
            }
            Err(Unanswered::Lost(why)) => return Err(unknown(&why)),
        };
        if !(200..300).contains(&reply.status) {
            let error = failure::refused(&request.endpoint, request.what, &reply);
            if error.kind != ErrorKind::Ambiguous {
                self.refuse(call, &mut mark).await;
            }
            return Err(error);
        }
        let token = match answer(&reply) {
            Some(Answer::Status(status)) if status.state.has_ended() => {
                let reached = if status.is_completed() { Reached::Done } else { Reached::Refused };
                self.remember(call, &mut mark, reached);
                let mut said = 0;
                tell(call, &status, &mut said);
                return Ok(Ended { token: None, status: *status });
            }
            Some(Answer::Status(status)) => {
                return Err(unknown(&format!("the answer is {} without a token", status.state.word())));
            }
            Some(Answer::Token(token)) => token,
            None => return Err(unknown(&format!("the answer ({}) has neither token nor status", reply.status))),
        };
        mark.reached = Reached::Token(token.clone());
        if let Err(error) = self.record(call, &mark).await {
            self.remember(call, &mut mark, Reached::Token(token));
            return Err(failure::left(&request.endpoint, request.what, &error.message));
        }
        let status = self.wait(call, request, &token, deadline).await?;
        if !status.is_completed() {
            self.remember(call, &mut mark, Reached::Refused);
        }
        Ok(Ended { token: Some(token), status })
    }

    /// Journals how far a call came. What the session knows is what the journal has.
    async fn record(&self, call: &Call, mark: &Mark) -> Result<(), ProviderError> {
        call.progress.partial(Partial { identity: None, private: Some(mark.to_private()) }).await?;
        self.marks.put(&call.address, mark);
        Ok(())
    }

    /// Nothing is under way: journalled, too, for there may be a long pause before another attempt, and a kill in it.
    async fn refuse(&self, call: &Call, mark: &mut Mark) {
        self.remember(call, mark, Reached::Refused);
        if let Err(error) = self.record(call, mark).await {
            tracing::debug!(address = %call.address, %error, "a refusal cannot be journalled");
        }
    }

    fn remember(&self, call: &Call, mark: &mut Mark, reached: Reached) {
        mark.reached = reached;
        self.marks.put(&call.address, mark);
    }

    /// Asks for a token until its work has ended.
    async fn wait(
        &self,
        call: &Call,
        request: &Request,
        token: &str,
        deadline: Instant,
    ) -> Result<Status, ProviderError> {
        let left = |why: &str| failure::left(&request.endpoint, request.what, why);
        let mut pauses = Pauses::new(&self.config);
        let (mut said, mut latest) = (0, "it was not asked yet".to_owned());
        let mut asked_for = None;
        loop {
            let now = Instant::now();
            if now >= deadline {
                return Err(left(&latest));
            }
            let next = (now + pauses.next(asked_for.take())).min(deadline);
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = call.cancel.cancelled() => return Err(left("it was not waited for any longer")),
            }
            match self.look(&request.endpoint, token).await {
                Looked::Status(status) => {
                    tell(call, &status, &mut said);
                    if status.state.has_ended() {
                        return Ok(status);
                    }
                    latest = format!("it says {}", status.state.word());
                }
                Looked::Unknown(why) => return Err(left(&why)),
                Looked::NotNow(why, pause) => {
                    if why != latest {
                        call.progress.message(&format!("{why}; asking again"));
                    }
                    (latest, asked_for) = (why, pause);
                }
            }
        }
    }

    /// Asks for a token once.
    pub(crate) async fn look(&self, endpoint: &Endpoint, token: &str) -> Looked {
        let reply = self.client.get(endpoint.at(&["v1", "provision", token, "status"])).await;
        match reply {
            Err(error) => Looked::NotNow(format!("its status cannot be asked: {}", error.why()), None),
            Ok(reply) if (200..300).contains(&reply.status) => match status(&reply) {
                Some(status) if status.is_of_no_token() => Looked::Unknown(no_token(&status.result)),
                Some(status) => Looked::Status(status),
                None => Looked::NotNow("its status is none that is known".to_owned(), None),
            },
            Ok(Reply { status: code @ (408 | 425 | 429 | 500..=599), retry_after, .. }) => {
                Looked::NotNow(format!("its status cannot be asked (HTTP {code})"), retry_after)
            }
            Ok(reply) => Looked::Unknown(no_token(&format!("HTTP {}", reply.status))),
        }
    }
}

/// No call takes longer; a clock cannot count further than some centuries.
const A_YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

fn no_token(why: &str) -> String {
    format!("it does not know the token of the call ({why}): adapters forget tokens when they start anew")
}

/// Passes on what is new in the log and worth a look: what an adapter tells of all that goes well is its own log's.
fn tell(call: &Call, status: &Status, said: &mut usize) {
    for line in status.logs.iter().skip(*said).filter(|line| !matches!(line.level.as_str(), "DEBUG" | "INFO")) {
        match line.level.as_str() {
            "WARNING" | "WARN" => call.progress.remark(Severity::Warning, &line.message),
            "ERROR" => call.progress.remark(Severity::Error, &line.message),
            level => call.progress.message(&format!("{}: {}", level.to_ascii_lowercase(), line.message)),
        }
    }
    *said = status.logs.len().max(*said);
}

/// How long to wait between questions: longer each time, and at least as long as is asked for.
pub(crate) struct Pauses {
    next: Duration,
    most: Duration,
}

impl Pauses {
    pub(crate) fn new(config: &Config) -> Self {
        Self { next: config.poll_interval.min(config.poll_most), most: config.poll_most }
    }

    pub(crate) fn next(&mut self, asked_for: Option<Duration>) -> Duration {
        let pause = self.next;
        self.next = pause.saturating_add(pause / 2).min(self.most);
        pause.max(asked_for.unwrap_or_default()).min(A_YEAR)
    }
}
