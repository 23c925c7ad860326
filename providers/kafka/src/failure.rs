//! Failures of calls and their conversion into provider errors.
//!
//! Codes and names: <https://kafka.apache.org/protocol#protocol_error_codes>.

use crate::wire::NoAnswer;
use kafka_protocol::error::ResponseError;
use std::time::Duration;
use terrace_provider::{ErrorKind, Path, ProviderError};

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No answer.
    NoAnswer(NoAnswer),
    /// The answer has an error code.
    Refused(Refusal),
}

/// An error answer of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The error code.
    pub(crate) code: Code,
    /// The broker's message.
    pub(crate) message: Option<String>,
    /// The requested pause before a retry.
    pub(crate) pause: Duration,
}

/// An error code of Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Code(pub(crate) i16);

impl Code {
    pub(crate) const UNKNOWN_TOPIC: Self = Self(3);
    pub(crate) const REQUEST_TIMED_OUT: Self = Self(7);
    pub(crate) const INVALID_TOPIC: Self = Self(17);
    pub(crate) const TOPIC_DENIED: Self = Self(29);
    pub(crate) const GROUP_DENIED: Self = Self(30);
    pub(crate) const CLUSTER_DENIED: Self = Self(31);
    pub(crate) const TOPIC_EXISTS: Self = Self(36);
    pub(crate) const INVALID_PARTITIONS: Self = Self(37);
    pub(crate) const INVALID_REPLICATION: Self = Self(38);
    pub(crate) const INVALID_CONFIG: Self = Self(40);
    pub(crate) const NOT_CONTROLLER: Self = Self(41);
    pub(crate) const INVALID_REQUEST: Self = Self(42);
    pub(crate) const POLICY_VIOLATION: Self = Self(44);
    pub(crate) const SECURITY_DISABLED: Self = Self(54);
    pub(crate) const REASSIGNMENT: Self = Self(60);
    pub(crate) const DELETION_DISABLED: Self = Self(73);
    pub(crate) const QUOTA: Self = Self(89);
    pub(crate) const UNKNOWN_TOPIC_ID: Self = Self(100);

    /// Kafka's name of the code with its number: `36 TOPIC_ALREADY_EXISTS`.
    pub(crate) fn shown(self) -> String {
        let error = match ResponseError::try_from_code(self.0) {
            None | Some(ResponseError::Unknown(_)) => return self.0.to_string(),
            Some(error) => error,
        };
        let mut name = String::new();
        for letter in format!("{error:?}").chars() {
            if letter.is_ascii_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(letter.to_ascii_uppercase());
        }
        format!("{} {name}", self.0)
    }

    /// Returns true if the code proves that the request had no effect: missing right, invalid input, quota.
    /// Other codes leave the outcome open. A resigning controller returns `NOT_CONTROLLER`, but may have written the
    /// change.
    fn excludes_effect(self) -> bool {
        let without_effect = [
            Self::UNKNOWN_TOPIC,
            Self::INVALID_TOPIC,
            Self::TOPIC_DENIED,
            Self::GROUP_DENIED,
            Self::CLUSTER_DENIED,
            Self::INVALID_PARTITIONS,
            Self::INVALID_REPLICATION,
            Self::INVALID_CONFIG,
            Self::INVALID_REQUEST,
            Self::POLICY_VIOLATION,
            Self::SECURITY_DISABLED,
            Self::REASSIGNMENT,
            Self::DELETION_DISABLED,
            Self::QUOTA,
            Self::UNKNOWN_TOPIC_ID,
        ];
        without_effect.contains(&self) || [33, 34, 35, 39, 53, 58, 65].contains(&self.0)
    }

    /// Returns true if a retry may succeed once the cluster is ready.
    pub(crate) fn is_transient(self) -> bool {
        let transient = [5, 6, 8, 9, 13, 14, 15, 16, 56, 72];
        self == Self::NOT_CONTROLLER || transient.contains(&self.0)
    }
}

impl Refusal {
    /// Reads the code of an answer; `None` if the code is 0.
    pub(crate) fn of(code: i16, message: Option<&str>, throttle_ms: i32) -> Option<Self> {
        let pause = Duration::from_millis(u64::try_from(throttle_ms).unwrap_or_default());
        (code != 0).then(|| Self { code: Code(code), message: message.map(str::to_owned), pause })
    }
}

impl From<NoAnswer> for Failure {
    fn from(no_answer: NoAnswer) -> Self {
        Self::NoAnswer(no_answer)
    }
}

impl Failure {
    /// The error code, if there is an answer.
    pub(crate) fn code(&self) -> Option<Code> {
        match self {
            Self::Refused(refusal) => Some(refusal.code),
            Self::NoAnswer(_) => None,
        }
    }

    /// Returns true if the failure proves that the request had no effect.
    pub(crate) fn excludes_effect(&self) -> bool {
        match self {
            Self::NoAnswer(no_answer) => no_answer.is_unsent(),
            Self::Refused(refusal) => refusal.code.excludes_effect(),
        }
    }
}

/// Marks the error of a read after a write as ambiguous: a failed read proves nothing about the write.
pub(crate) fn as_ambiguous(error: ProviderError) -> ProviderError {
    ProviderError { kind: ErrorKind::Ambiguous, ..error }
}

/// Describes a request for its error messages.
#[derive(Debug, Clone)]
pub(crate) struct RequestContext<'a> {
    /// `create the topic `orders``.
    pub(crate) action: String,
    /// True if the request changes something.
    pub(crate) changes: bool,
    /// The `kafka-acls` arguments that grant the missing right: `--operation Create --topic orders`.
    pub(crate) right: String,
    /// The caller's principal, if known.
    pub(crate) principal: Option<&'a str>,
}

impl RequestContext<'_> {
    /// Converts a failure into a provider error.
    pub(crate) fn failed(&self, failure: Failure) -> ProviderError {
        match failure {
            Failure::NoAnswer(no_answer) => self.no_answer(&no_answer),
            Failure::Refused(refusal) => self.refused(&refusal),
        }
    }

    fn no_answer(&self, no_answer: &NoAnswer) -> ProviderError {
        let (kind, message) = match no_answer {
            NoAnswer::Unreachable(why) => (ErrorKind::Transient, format!("cannot {}: {why}", self.action)),
            NoAnswer::Rejected(why) => (ErrorKind::PermissionDenied, format!("cannot {}: {why}", self.action)),
            NoAnswer::Lost(why) if self.changes => {
                (ErrorKind::Ambiguous, format!("the request to {} has an unknown outcome: {why}", self.action))
            }
            NoAnswer::Lost(why) => (ErrorKind::Transient, format!("cannot {}: {why}", self.action)),
            NoAnswer::Garbled(why) if self.changes => {
                (ErrorKind::Ambiguous, format!("the request to {} has an unknown outcome: {why}", self.action))
            }
            NoAnswer::Garbled(why) | NoAnswer::Unsupported(why) => {
                (ErrorKind::Failed, format!("cannot {}: {why}", self.action))
            }
        };
        let error = ProviderError::new(kind, message);
        match no_answer {
            NoAnswer::Unreachable(_) | NoAnswer::Lost(_) | NoAnswer::Garbled(_) => error
                .solution("check `bootstrapServers` and `securityProtocol` of the instance, and that the brokers run"),
            NoAnswer::Rejected(_) => error.solution(
                "check `securityProtocol`, `saslMechanism`, `username` and `password` of the instance, and with TLS \
                 `caFile`, `certFile` and `keyFile`",
            ),
            NoAnswer::Unsupported(_) => error.solution("use Kafka 2.8 or later"),
        }
    }

    fn refused(&self, refusal: &Refusal) -> ProviderError {
        let at = |name: &str| ErrorKind::InvalidInput { path: Some(Path::attribute(name)) };
        let code = refusal.code;
        let kind = match code {
            Code::UNKNOWN_TOPIC | Code::UNKNOWN_TOPIC_ID => ErrorKind::NotFound,
            Code::TOPIC_EXISTS => ErrorKind::AlreadyExists { import_id: None },
            Code::INVALID_TOPIC => at("name"),
            Code::INVALID_PARTITIONS => at("partitions"),
            Code::INVALID_REPLICATION => at("replicationFactor"),
            Code::INVALID_CONFIG => at("config"),
            Code::POLICY_VIOLATION | Code::INVALID_REQUEST => ErrorKind::InvalidInput { path: None },
            Code::TOPIC_DENIED | Code::GROUP_DENIED | Code::CLUSTER_DENIED | Code(53 | 58 | 65) => {
                ErrorKind::PermissionDenied
            }
            Code::QUOTA => ErrorKind::Throttled { retry_after: Some(refusal.pause) },
            Code::REQUEST_TIMED_OUT if self.changes => ErrorKind::Ambiguous,
            Code::REQUEST_TIMED_OUT | Code::REASSIGNMENT => ErrorKind::Transient,
            code if code.is_transient() => ErrorKind::Transient,
            code if self.changes && !code.excludes_effect() => ErrorKind::Ambiguous,
            _ => ErrorKind::Failed,
        };
        // Some brokers print their internal request object, which does not help users.
        let reason = refusal.message.as_deref().filter(|reason| !reason.is_empty() && !reason.starts_with("Request "));
        let reason = reason.unwrap_or_else(|| default_text(code));
        let verb = if kind == ErrorKind::Ambiguous { "may have failed to" } else { "did not" };
        let mut error = ProviderError::new(kind, format!("the brokers {verb} {}: {reason}", self.action));
        error.vendor_code = Some(code.shown());
        match code {
            Code::TOPIC_DENIED | Code::GROUP_DENIED | Code::CLUSTER_DENIED => error.solution(self.remedy()),
            Code::SECURITY_DISABLED => error.solution(
                "set `authorizer.class.name` of the brokers, or \
                 declare no access: without an authorizer, brokers ignore ACLs",
            ),
            Code::POLICY_VIOLATION => error.solution("ask the cluster's administrators about the brokers' policy"),
            Code::DELETION_DISABLED => error.solution("set `delete.topic.enable=true` on the brokers"),
            Code::INVALID_REPLICATION => error.solution("use at most the number of brokers"),
            Code::REASSIGNMENT => error.solution("wait until the replicas of the topic have moved"),
            _ => error,
        }
    }

    fn remedy(&self) -> String {
        format!("ask a cluster administrator to run `{}`", grant_command(self.principal, &self.right))
    }
}

/// The `kafka-acls` command that grants a right such as `--operation Create --cluster`.
pub(crate) fn grant_command(principal: Option<&str>, right: &str) -> String {
    format!("kafka-acls --add --allow-principal {} {right}", principal.unwrap_or("User:…"))
}

fn default_text(code: Code) -> &'static str {
    match code {
        Code::TOPIC_DENIED | Code::GROUP_DENIED | Code::CLUSTER_DENIED => "not authorized",
        Code::UNKNOWN_TOPIC | Code::UNKNOWN_TOPIC_ID => "the topic does not exist",
        Code::TOPIC_EXISTS => "the topic exists already",
        Code::REQUEST_TIMED_OUT => "the brokers timed out",
        Code::SECURITY_DISABLED => "the brokers have no authorizer",
        _ => "the brokers give no reason",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_shown_with_kafka_names() {
        assert_eq!(Code(36).shown(), "36 TOPIC_ALREADY_EXISTS");
        assert_eq!(Code(-1).shown(), "-1 UNKNOWN_SERVER_ERROR");
        assert_eq!(Code(3).shown(), "3 UNKNOWN_TOPIC_OR_PARTITION");
        assert_eq!(Code(32_000).shown(), "32000");
    }

    #[test]
    fn refusal_names_the_missing_right() {
        let context = RequestContext {
            action: "create the topic `t`".to_owned(),
            changes: true,
            right: "--operation Create --topic t".to_owned(),
            principal: Some("User:ada"),
        };
        let error = context.failed(Failure::Refused(Refusal::of(29, None, 0).unwrap()));
        assert_eq!(error.kind, ErrorKind::PermissionDenied);
        assert_eq!(
            error.to_string(),
            "the brokers did not create the topic `t`: not authorized (29 TOPIC_AUTHORIZATION_FAILED)"
        );
        let solution = "ask a cluster administrator to run `kafka-acls --add --allow-principal User:ada \
                        --operation Create --topic t`";
        assert_eq!(error.solutions, [solution]);
        let internal = Some("Request Request(processor=4, connectionId=127.0.0.1) needs DESCRIBE permission.");
        let error = context.failed(Failure::Refused(Refusal::of(31, internal, 0).unwrap()));
        assert!(error.to_string().ends_with(": not authorized (31 CLUSTER_AUTHORIZATION_FAILED)"), "{error}");
        let kind = |changes, failure| RequestContext { changes, ..context.clone() }.failed(failure).kind;
        let lost = || Failure::NoAnswer(NoAnswer::Lost("x".to_owned()));
        assert_eq!((kind(true, lost()), kind(false, lost())), (ErrorKind::Ambiguous, ErrorKind::Transient));
    }
}
