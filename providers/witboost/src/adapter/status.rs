//! Parses answers about work: tokens, statuses, and validation results.

use super::Reply;
use super::problem::Problem;
use terrace_provider::Value;

/// State of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Running,
    Completed,
    Failed,
    Terminating,
    Terminated,
}

impl State {
    /// The state's name in the specification.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Terminating => "TERMINATING",
            Self::Terminated => "TERMINATED",
        }
    }

    fn of(body: &Value) -> Option<Self> {
        let word = body.get("status")?.as_str()?.trim().to_ascii_uppercase();
        let all = [Self::Running, Self::Completed, Self::Failed, Self::Terminating, Self::Terminated];
        all.into_iter().find(|state| state.as_str() == word)
    }

    /// Returns true if the work has ended.
    pub(crate) fn has_ended(self) -> bool {
        !matches!(self, Self::Running | Self::Terminating)
    }
}

/// A line of the adapter's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogLine {
    /// `DEBUG`, `INFO`, `WARNING`, `ERROR`.
    pub(crate) level: String,
    /// The text.
    pub(crate) message: String,
}

/// The status of a provision, unprovision or access update.
#[derive(Debug, Clone)]
pub(crate) struct Status {
    pub(crate) state: State,
    /// Deprecated; adapters write the reason of a failure here.
    pub(crate) result: String,
    /// Public information, if any.
    pub(crate) public_info: Option<Value>,
    /// Private information, if any.
    pub(crate) private_info: Option<Value>,
    /// The log so far.
    pub(crate) logs: Vec<LogLine>,
}

impl Status {
    fn read(body: &Value) -> Option<Self> {
        let info = |name: &str| {
            let info = body.get("info")?.get(name)?;
            let is_empty = info.is_null() || info.as_map().is_some_and(terrace_provider::Map::is_empty);
            (!is_empty).then(|| info.clone())
        };
        let line = |line: &Value| {
            let message = line.get("message")?.as_str()?.trim().to_owned();
            let level = line.get("level").and_then(Value::as_str).unwrap_or("INFO").trim().to_ascii_uppercase();
            Some(LogLine { level, message })
        };
        Some(Self {
            state: State::of(body)?,
            result: body.get("result").and_then(Value::as_str).unwrap_or_default().trim().to_owned(),
            public_info: info("publicInfo"),
            private_info: info("privateInfo"),
            logs: body.get("logs").and_then(Value::as_list).into_iter().flatten().filter_map(line).collect(),
        })
    }

    /// A status without details.
    pub(crate) fn of(state: State) -> Self {
        Self { state, result: String::new(), public_info: None, private_info: None, logs: Vec::new() }
    }

    /// Returns true if the work succeeded.
    pub(crate) fn is_completed(&self) -> bool {
        self.state == State::Completed
    }

    /// The reasons of a failure: `result`, and the errors of the log.
    pub(crate) fn causes(&self) -> Vec<String> {
        let mut causes: Vec<String> = Some(self.result.clone()).into_iter().filter(|it| !it.is_empty()).collect();
        for line in self.logs.iter().filter(|line| line.level == "ERROR" && !line.message.is_empty()) {
            if !causes.contains(&line.message) {
                causes.push(line.message.clone());
            }
        }
        causes
    }

    /// Returns true for a status that means "unknown token", as one adapter answers.
    pub(crate) fn is_unknown_token(&self) -> bool {
        self.state == State::Failed && self.result.to_ascii_lowercase().contains("token not found")
    }
}

/// The answer to a call.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The work is running.
    Token(String),
    /// The status of the work, which has usually ended.
    Status(Box<Status>),
}

/// Parses a successful answer: a status, or a token in any format; `None` for anything else.
pub(crate) fn answer(reply: &Reply) -> Option<Answer> {
    let text = reply.text.trim();
    let token = match Value::from_json_text(text) {
        Some(body @ Value::Map(_)) => match Status::read(&body) {
            Some(status) => return Some(Answer::Status(Box::new(status))),
            None => body.get("token").and_then(Value::as_str)?.to_owned(),
        },
        Some(Value::String(token)) => token.trim().to_owned(),
        Some(Value::List(_) | Value::Null | Value::Bool(_)) => return None,
        // A bare token, which may consist of digits.
        _ => text.to_owned(),
    };
    (!token.is_empty()).then_some(Answer::Token(token))
}

/// Parses the status of a token; `None` if it is invalid.
pub(crate) fn status(reply: &Reply) -> Option<Status> {
    Status::read(&Value::from_json_text(reply.text.trim())?)
}

/// The result of a validation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Validity {
    /// The validation is still running.
    Running,
    Valid,
    /// Invalid, with the problems.
    Invalid(Vec<String>),
    /// The validation itself failed.
    Broken,
}

/// Parses the result of a validation: the bare result, or a status that contains it.
pub(crate) fn validity(reply: &Reply) -> Option<Validity> {
    let body = Value::from_json_text(reply.text.trim())?;
    match State::of(&body) {
        Some(State::Running) => return Some(Validity::Running),
        Some(State::Failed | State::Terminating | State::Terminated) => return Some(Validity::Broken),
        Some(State::Completed) | None => {}
    }
    let places = [body.get("info").and_then(|info| info.get("publicInfo")), body.get("result"), Some(&body)];
    let verdict = places.into_iter().flatten().find(|place| place.get("valid").is_some())?;
    if verdict.get("valid")?.as_bool()? {
        return Some(Validity::Valid);
    }
    let Problem { message, problems, .. } = Problem::read(&verdict.to_json_text());
    let errors: Vec<String> = message.into_iter().chain(problems).collect();
    // An invalid result without errors is still reported.
    let fallback = || vec!["the descriptor is invalid; the adapter gives no reason".to_owned()];
    Some(Validity::Invalid(if errors.is_empty() { fallback() } else { errors }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(text: &str) -> Reply {
        Reply { status: 200, retry_after: None, text: text.to_owned() }
    }

    fn token(text: &str) -> Option<String> {
        match answer(&reply(text)) {
            Some(Answer::Token(token)) => Some(token),
            _ => None,
        }
    }

    #[test]
    fn token_may_be_bare_or_quoted() {
        let expected = Some("3f0c-1".to_owned());
        for text in ["3f0c-1", "\"3f0c-1\"", " 3f0c-1\n", "{\"token\": \"3f0c-1\"}"] {
            assert_eq!(token(text), expected, "{text}");
        }
        assert_eq!(token("0012"), Some("0012".to_owned()));
        for text in ["", "\"\"", "{}", "null", "[]"] {
            assert_eq!(token(text), None, "{text}");
        }
    }

    #[test]
    fn causes_come_from_result_and_log() {
        let of = |text: &str| status(&reply(text)).unwrap().causes();
        assert_eq!(of(r#"{"status": "FAILED", "result": "no quota"}"#), ["no quota"]);
        let logged = r#"{"status": "failed", "result": "", "more": {}, "logs": [
            {"level": "INFO", "message": "begun"}, {"level": "ERROR", "message": "no quota", "timestamp": "x"}]}"#;
        assert_eq!(of(logged), ["no quota"]);
        assert!(status(&reply(r#"{"status": "DONE"}"#)).is_none());
    }

    #[test]
    fn validation_result_is_found_in_all_places() {
        let of = |text: &str| validity(&reply(text));
        assert_eq!(of(r#"{"valid": true}"#), Some(Validity::Valid));
        assert_eq!(of(r#"{"status": "COMPLETED", "info": {"publicInfo": {"valid": true}}}"#), Some(Validity::Valid));
        let wrong = Some(Validity::Invalid(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(of(r#"{"valid": false, "error": {"errors": ["a", "b"]}}"#), wrong);
        assert_eq!(
            of(r#"{"status": "COMPLETED", "result": {"valid": false, "error": {"errors": ["a", "b"]}}}"#),
            wrong
        );
        assert_eq!(of(r#"{"status": "RUNNING"}"#), Some(Validity::Running));
        assert_eq!(of(r#"{"status": "FAILED"}"#), Some(Validity::Broken));
        assert_eq!(of("{}"), None);
        assert!(matches!(of(r#"{"valid": false}"#), Some(Validity::Invalid(errors)) if errors.len() == 1));
    }
}
