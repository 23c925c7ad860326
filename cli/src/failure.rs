//! Exit codes, and failures with a message and hints.
//!
//! The codes are those of every command: 0 done, 1 error, 2 changes found, 3 applied with failures, 4 refused, 130
//! interrupted.

use crate::program_name::with_own_commands;
use std::collections::BTreeSet;
use terrace_engine::apply::ApplyError;
use terrace_engine::apply::lease::LeaseError;
use terrace_engine::plan::failure::PlanFailure;
use terrace_engine::plan::file::FileError;
use terrace_engine::store::StoreError;
use terrace_provider::ProviderError;
use terrace_provider::value::wire::WireError;

/// Exit codes of commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The command succeeded.
    Done,
    /// The input, a provider or the state has an error.
    Error,
    /// A check found changes or drift.
    Changes,
    /// Some steps failed, or a shared object without owners remains. All other steps are done and recorded.
    PartlyApplied,
    /// A lease is held, a plan is stale or spent, data would be lost.
    Refused,
    /// The user stopped the command.
    Interrupted,
    /// A program that the command started ended so.
    Program(u8),
}

impl Exit {
    /// The exit code of the process.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Error => 1,
            Self::Changes => 2,
            Self::PartlyApplied => 3,
            Self::Refused => 4,
            Self::Interrupted => 130,
            Self::Program(code) => code,
        }
    }
}

/// The failure of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// The message; `None` if everything was reported before.
    pub message: Option<String>,
    /// Remedies.
    pub hints: Vec<String>,
}

impl Failure {
    /// An error.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { exit: Exit::Error, message: Some(message.into()), hints: Vec::new() }
    }

    /// A refusal.
    #[must_use]
    pub fn refused(message: impl Into<String>) -> Self {
        Self { exit: Exit::Refused, ..Self::new(message) }
    }

    /// A failure whose errors were reported before: only its exit code matters.
    #[must_use]
    pub const fn reported(exit: Exit) -> Self {
        Self { exit, message: None, hints: Vec::new() }
    }

    /// Adds a remedy. Its commands are those of the name that the process was called by.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(with_own_commands(hint.into()));
        self
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Stale(_) | StoreError::StaleOutputs(_) => {
                Self::refused(error.to_string()).hint("plan again, and review the new plan")
            }
            StoreError::PlanSpent => Self::refused(error.to_string()).hint("a plan is applied once: plan again"),
            StoreError::LeaseLost { .. } => Self::new(error.to_string())
                .hint("completed steps are recorded; resolve interrupted ones with `terrace recover`"),
            StoreError::NewerFormat { .. } => Self::new(error.to_string()).hint("use a newer terrace"),
            StoreError::NotAStore { .. } => {
                Self::new(error.to_string()).hint("name the state with `--state`; terrace leaves this file unchanged")
            }
            StoreError::Occupied { .. } => {
                Self::new(error.to_string()).hint("write a free address; `terrace state list` lists those in use")
            }
            StoreError::ClaimLost(_) | StoreError::WrittenToFallback { .. } | StoreError::Unavailable { .. } => {
                Self::new(error.to_string())
            }
        }
    }
}

impl From<LeaseError> for Failure {
    fn from(error: LeaseError) -> Self {
        match error {
            LeaseError::Held(ref held) => {
                let commands: BTreeSet<String> =
                    held.iter().map(|held| format!("`terrace unlock {}`", held.id)).collect();
                let commands: Vec<String> = commands.into_iter().collect();
                Self::refused(error.to_string()).hint(match commands.len() {
                    0 | 1 => format!(
                        "wait longer with `--lock-timeout`, or, if its holder is gone, run {}",
                        commands.first().map_or("`terrace unlock LEASE`", String::as_str)
                    ),
                    _ => format!(
                        "wait longer with `--lock-timeout`, or, if their holders are gone, run {}",
                        commands.join(", then ")
                    ),
                })
            }
            LeaseError::Store(error) => error.into(),
            LeaseError::Interrupted => Self { exit: Exit::Interrupted, ..Self::new(error.to_string()) },
        }
    }
}

impl From<ApplyError> for Failure {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::StateMismatch { .. } => Self::refused(error.to_string())
                .hint("apply it in the folder where it was made, with the same `--state`, or plan again"),
            ApplyError::DataLoss { .. } => {
                Self::refused(error.to_string()).hint("consent with `--allow-data-loss=ADDRESS` when planning")
            }
            ApplyError::ProviderMismatch { .. } => Self::refused(error.to_string())
                .hint("plan again with this terrace, or apply it with the one that planned"),
            ApplyError::SettingsMismatch(_) | ApplyError::NoInstance(_) => Self::refused(error.to_string()).hint(
                "plan again, or apply it with the configuration (`providers:` in terrace.yaml) of the plan",
            ),
            ApplyError::NewOwner { .. } => Self::refused(error.to_string()).hint("plan again: the new plan keeps it"),
            ApplyError::ChangedOutputs { .. } | ApplyError::ChangedAccess { .. } => {
                Self::refused(error.to_string()).hint("plan again, and review the new plan")
            }
            ApplyError::NotRecovered { .. } => {
                Self::refused(error.to_string()).hint("run `terrace recover`, then plan again")
            }
            ApplyError::Moved(_) => Self::new(error.to_string()).hint(KEY_HINT),
            ApplyError::PlanErrored | ApplyError::Cycle => Self::new(error.to_string()),
            ApplyError::Lease(error) => error.into(),
            ApplyError::Store(error @ StoreError::Unavailable { .. }) => {
                Self::from(error).hint("run this again once the state can be reached; replace a saved plan by a new one: the command first resolves interrupted steps")
            }
            ApplyError::Store(error) => error.into(),
        }
    }
}

impl From<PlanFailure> for Failure {
    fn from(error: PlanFailure) -> Self {
        match error {
            PlanFailure::Store(error) => error.into(),
            PlanFailure::Sealed { error: ref why, .. } => Self::new(error.to_string()).hint(hint_of(why)),
        }
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        match &error {
            FileError::Value(why) => Self::new(error.to_string()).hint(hint_of(why)),
            FileError::Damaged(_) => Self::new(error.to_string()).hint("plan again with this terrace"),
            FileError::UnsupportedFormat { .. } => Self::refused(error.to_string()).hint("plan again with this terrace"),
            FileError::Unauthenticated => Self::refused(error.to_string())
                .hint("pass `--plan-digest DIGEST`: `terrace plan --out` prints the digest, and the Markdown comment ends with it")
                .hint("or create a key with `terrace init --state-key`, configure it for planning and applying, and plan again"),
            FileError::NoCode => Self::refused(error.to_string()).hint("plan again where the state key is configured"),
            FileError::Forged => Self::refused(error.to_string())
                .hint("find the cause of the change in the file; plan again, and apply the new plan"),
            FileError::UnknownKey { .. } => Self::refused(error.to_string()).hint(KEY_HINT),
            FileError::DigestMismatch { .. } => {
                Self::refused(error.to_string()).hint("review this plan with `terrace show`, and pass its digest")
            }
        }
    }
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        Self::new(error.to_string()).hint(hint_of(&error))
    }
}

/// The remedy for a value that cannot be stored or opened.
pub(crate) fn hint_of(error: &WireError) -> &'static str {
    match error {
        WireError::NoKey => NO_KEY_HINT,
        WireError::CannotOpen(_) => KEY_HINT,
        WireError::InClear(_) => {
            "if the value is yours, `terrace state rekey --plaintext-secrets` seals it; else restore the state from a backup"
        }
        WireError::Unbound(_) => {
            "remove `requireBound` from terrace.yaml, bind all values with `terrace state rekey`, then add it again"
        }
        WireError::Damaged(_) => "terrace did not write this value: check the whole state with `terrace doctor`",
    }
}

impl From<ProviderError> for Failure {
    fn from(error: ProviderError) -> Self {
        let message = error.to_string();
        // Drops a problem that the error message ends with.
        let is_repeated = error
            .problems
            .as_slice()
            .first()
            .is_some_and(|only| error.problems.len() == 1 && message.ends_with(only.as_str()));
        let problems = error.problems.into_iter().filter(|_| !is_repeated);
        let message = std::iter::once(message).chain(problems).collect::<Vec<_>>().join("\n");
        error.solutions.into_iter().fold(Self::new(message), Self::hint)
    }
}

const NO_KEY_HINT: &str = "create a key with `terrace init --state-key`; `plan`, `apply` and `destroy` write it in the clear with `--plaintext-secrets`";

const KEY_HINT: &str = "the state key seals sensitive values: put it in `TERRACE_STATE_KEY`, or in \
                        `encryption:` of terrace.yaml; put older keys in `encryption.previous`";

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use terrace_engine::address::StackId;
    use terrace_engine::store::LeaseInfo;
    use uuid::Uuid;

    #[test]
    fn hint_names_every_held_lease() {
        let held = |id: &str| LeaseInfo {
            id: id.to_owned(),
            stack: StackId::new("demo", "local"),
            component: id.into(),
            holder: "jane".to_owned(),
            operation: Uuid::nil(),
            since: Timestamp::UNIX_EPOCH,
            expires: Timestamp::UNIX_EPOCH,
        };
        let hints = |held| Failure::from(LeaseError::Held(held)).hints;
        assert!(hints(vec![held("a")])[0].ends_with("if its holder is gone, run `terrace unlock a`"));
        let both = hints(vec![held("a"), held("b")]);
        assert!(
            both[0].ends_with("if their holders are gone, run `terrace unlock a`, then `terrace unlock b`"),
            "{both:?}"
        );
    }

    #[test]
    fn refusal_has_exit_code_4() {
        assert_eq!(Failure::from(StoreError::PlanSpent).exit.code(), 4);
        assert_eq!(Failure::from(StoreError::Stale(Vec::new())).exit.code(), 4);
        assert_eq!(Failure::from(ApplyError::ChangedOutputs { outputs: Vec::new(), rows: Vec::new() }).exit.code(), 4);
        assert_eq!(Failure::from(LeaseError::Held(Vec::new())).exit.code(), 4);
        assert_eq!(Failure::from(LeaseError::Interrupted).exit.code(), 130);
        assert_eq!(Failure::from(ApplyError::PlanErrored).exit.code(), 1);
        let other = ApplyError::ProviderMismatch {
            instance: "sqlite.eu".to_owned(),
            plan: "sqlite 1.0.0".to_owned(),
            here: "sqlite 1.1.0".to_owned(),
        };
        let failure = Failure::from(other);
        assert_eq!(failure.exit.code(), 4);
        let message = failure.message.unwrap_or_default();
        assert!(message.contains("sqlite 1.0.0") && message.contains("sqlite 1.1.0"), "{message}");
    }
}
