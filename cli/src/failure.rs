//! How a command ends: an exit code, and for a failure what is told of it.
//!
//! The codes are those of every command: 0 done, 1 error, 2 changes found, 3 applied with failures, 4 refused, 130
//! interrupted.

use terrace_engine::apply::ApplyError;
use terrace_engine::apply::lease::LeaseError;
use terrace_engine::plan::compute::PlanFailure;
use terrace_engine::plan::file::FileError;
use terrace_engine::store::StoreError;
use terrace_provider::ProviderError;
use terrace_provider::value::wire::WireError;

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did what it was to do.
    Done,
    /// Something is wrong with the input, a provider or the state.
    Error,
    /// Changes or drift were found, and that was the question.
    Changes,
    /// Some steps failed, or a shared object stays that all owners let go of; what could be done is done and recorded.
    PartlyApplied,
    /// A lease is held, a plan is stale or spent, data would be lost.
    Refused,
    /// A person stopped it.
    Interrupted,
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
        }
    }
}

/// A command could not do what it was to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// How the process ends.
    pub exit: Exit,
    /// What is told; nothing when all was told before.
    pub message: Option<String>,
    /// What a person can do about it.
    pub hints: Vec<String>,
}

impl Failure {
    /// An error.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { exit: Exit::Error, message: Some(message.into()), hints: Vec::new() }
    }

    /// Something that is refused.
    #[must_use]
    pub fn refused(message: impl Into<String>) -> Self {
        Self { exit: Exit::Refused, ..Self::new(message) }
    }

    /// All was told before: only the exit code is left.
    #[must_use]
    pub const fn told(exit: Exit) -> Self {
        Self { exit, message: None, hints: Vec::new() }
    }

    /// Adds what a person can do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Stale(_) | StoreError::OtherOutputs(_) => {
                Self::refused(error.to_string()).hint("plan again, and look at what the new plan says")
            }
            StoreError::PlanSpent => Self::refused(error.to_string()).hint("a plan is applied once: plan again"),
            StoreError::LeaseLost { .. } => Self::new(error.to_string())
                .hint("what was done is recorded; `terrace recover` looks into what was cut off"),
            StoreError::NewerFormat { .. } => Self::new(error.to_string()).hint("use a newer terrace"),
            StoreError::NotAStore { .. } => {
                Self::new(error.to_string()).hint("name the state with `--state`; what is there is left alone")
            }
            StoreError::Occupied { .. }
            | StoreError::ClaimLost(_)
            | StoreError::KeptElsewhere { .. }
            | StoreError::Unavailable { .. } => Self::new(error.to_string()),
        }
    }
}

impl From<LeaseError> for Failure {
    fn from(error: LeaseError) -> Self {
        match error {
            LeaseError::Held(ref held) => {
                let lease = held.first().map_or("LEASE", |lease| lease.id.as_str());
                Self::refused(error.to_string()).hint(format!(
                    "wait longer with `--lock-timeout`, or, when its holder is gone, `terrace unlock {lease}`"
                ))
            }
            LeaseError::Store(error) => error.into(),
            LeaseError::Interrupted => Self { exit: Exit::Interrupted, ..Self::new(error.to_string()) },
        }
    }
}

impl From<ApplyError> for Failure {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::OtherState { .. } => Self::refused(error.to_string())
                .hint("name the state that the plan was made for with `--state`, or plan again"),
            ApplyError::DataLoss { .. } => {
                Self::refused(error.to_string()).hint("consent with `--allow-data-loss=ADDRESS` when planning")
            }
            ApplyError::OtherProvider { .. } => Self::refused(error.to_string())
                .hint("plan again with this terrace, or apply it with the one that planned"),
            ApplyError::OtherSettings(_) | ApplyError::NoInstance(_) => Self::refused(error.to_string()).hint(
                "plan again, or apply it with the configuration (`providers:` in terrace.yaml) that it was made with",
            ),
            ApplyError::OwnedAnew { .. } => Self::refused(error.to_string()).hint("plan again: it will stay"),
            ApplyError::OtherOutputs { .. } | ApplyError::OtherAccess { .. } => {
                Self::refused(error.to_string()).hint("plan again, and look at what the new plan says")
            }
            ApplyError::NotRecovered { .. } => {
                Self::refused(error.to_string()).hint("run `terrace recover`, then plan again")
            }
            ApplyError::Moved(_) => Self::new(error.to_string()).hint(KEY_HINT),
            ApplyError::Errored | ApplyError::Loop => Self::new(error.to_string()),
            ApplyError::Lease(error) => error.into(),
            ApplyError::Store(error @ StoreError::Unavailable { .. }) => {
                Self::from(error).hint("once the state can be reached, do it again, a saved plan by planning again: what was begun is looked into first")
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
            FileError::OtherFormat { .. } => Self::refused(error.to_string()).hint("plan again with this terrace"),
            FileError::Unauthenticated => Self::refused(error.to_string())
                .hint("pass `--plan-digest DIGEST`: `terrace plan --out` prints the digest, and the Markdown comment ends with it")
                .hint("or make a key with `terrace init --state-key`, configure it where plans are made and applied, and plan again"),
            FileError::NoCode => Self::refused(error.to_string()).hint("plan again where the state key is configured"),
            FileError::Forged => Self::refused(error.to_string())
                .hint("find out who changed the file; plan again, and apply the new plan"),
            FileError::UnknownKey { .. } => Self::refused(error.to_string()).hint(KEY_HINT),
            FileError::OtherDigest { .. } => {
                Self::refused(error.to_string()).hint("look at this plan with `terrace show`, and pass its digest")
            }
        }
    }
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        Self::new(error.to_string()).hint(hint_of(&error))
    }
}

/// What to do about a value that cannot be stored or opened.
pub(crate) fn hint_of(error: &WireError) -> &'static str {
    match error {
        WireError::NoKey => NO_KEY_HINT,
        WireError::CannotOpen(_) => KEY_HINT,
        WireError::InClear(_) => {
            "if the value is yours, `terrace state rekey --plaintext-secrets` seals it; else restore the state from a backup"
        }
        WireError::Unbound(_) => {
            "take `requireBound` out of terrace.yaml, run `terrace state rekey`, which binds all values, and put it back"
        }
        WireError::Damaged(_) => {
            "what is stored there is not what terrace writes: `terrace doctor` looks at the whole state"
        }
    }
}

impl From<ProviderError> for Failure {
    fn from(error: ProviderError) -> Self {
        let told = error.to_string();
        // A problem that the error ends with is told once.
        let is_told = error
            .problems
            .as_slice()
            .first()
            .is_some_and(|only| error.problems.len() == 1 && told.ends_with(only.as_str()));
        let problems = error.problems.into_iter().filter(|_| !is_told);
        let message = std::iter::once(told).chain(problems).collect::<Vec<_>>().join("\n");
        error.solutions.into_iter().fold(Self::new(message), Self::hint)
    }
}

const NO_KEY_HINT: &str = "make a key with `terrace init --state-key`; `plan`, `apply` and `destroy` write it in the clear with `--plaintext-secrets`";

const KEY_HINT: &str = "sensitive values are sealed with the state key: give it in `TERRACE_STATE_KEY`, or in \
                        `encryption:` of terrace.yaml; older keys stand in `encryption.previous`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_ends_with_4() {
        assert_eq!(Failure::from(StoreError::PlanSpent).exit.code(), 4);
        assert_eq!(Failure::from(StoreError::Stale(Vec::new())).exit.code(), 4);
        assert_eq!(Failure::from(ApplyError::OtherOutputs { outputs: Vec::new(), rows: Vec::new() }).exit.code(), 4);
        assert_eq!(Failure::from(LeaseError::Held(Vec::new())).exit.code(), 4);
        assert_eq!(Failure::from(LeaseError::Interrupted).exit.code(), 130);
        assert_eq!(Failure::from(ApplyError::Errored).exit.code(), 1);
        let other = ApplyError::OtherProvider {
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
