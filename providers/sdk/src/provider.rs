//! The two traits that a technology implements, and what goes in and out of their calls.

use crate::plan::{PlannedChange, ProposedChange, from_schema};
use crate::{Attributes, Call, Path, ProviderError, ProviderSchema, ResourceType, Sandbox, Value};
use async_trait::async_trait;
use futures_util::StreamExt;
use jiff::{SignedDuration, Timestamp};
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// One technology. Stateless: settings come from the environment's configuration.
#[async_trait]
pub trait Provider: Send + Sync {
    /// What is known without connecting: settings schema, resource types, lookups, embedded blueprints.
    fn schema(&self) -> &ProviderSchema;

    /// Makes one configured instance ready. Settings were checked against the schema before. It asks the remote side
    /// nothing: a validation without network connects, too, and the first call is early enough to log in.
    ///
    /// # Errors
    /// When the settings do not work together.
    async fn connect(&self, settings: &Settings) -> Result<Arc<dyn Session>, ProviderError>;
}

/// The answers of [`Session::read_batch`], once they are there.
pub type Batch<'a> = Pin<Box<dyn Future<Output = Vec<Result<Option<Observed>, ProviderError>>> + Send + 'a>>;

/// What [`Session::validate_remote`] finds, once it is known.
pub type DryRun<'a> = Pin<Box<dyn Future<Output = Vec<Finding>> + Send + 'a>>;

/// How many objects [`Session::read_many`] reads at once where there are no batches.
pub const READS_AT_ONCE: usize = 16;

/// One configured instance of a provider.
///
/// Reading calls (`read`, `find`, `import`, `unexpressed`, `lookup`, `validate_remote`, `plan`, `count_data`, `grantees`,
/// `missing_rights`) change nothing.
/// Attributes that go in are never sensitive-marked for providers that compare them: use [`Value::revealed`].
#[async_trait]
pub trait Session: Send + Sync {
    /// Reads one object as it is now; `None` when it is gone.
    async fn read(&self, ty: &ResourceType, prior: &Recorded) -> Result<Option<Observed>, ProviderError>;

    /// Reads many objects of one type by one call, where the technology can; the answers are in the order of the
    /// questions. `None` where each object is read on its own. Nothing is asked before the answer is awaited.
    fn read_batch<'a>(&'a self, _ty: &'a ResourceType, _priors: &'a [Recorded]) -> Option<Batch<'a>> {
        None
    }

    /// Reads many objects of one type; the answers are in the order of the questions. Providers implement
    /// [`Session::read_batch`] instead.
    async fn read_many(&self, ty: &ResourceType, priors: &[Recorded]) -> Vec<Result<Option<Observed>, ProviderError>> {
        if let Some(batch) = self.read_batch(ty, priors) {
            return batch.await;
        }
        let reads: Vec<_> = priors.iter().map(|prior| self.read(ty, prior)).collect();
        futures_util::stream::iter(reads).buffered(READS_AT_ONCE).collect().await
    }

    /// Decides what a proposed change would do. The default works from the schema. Of a change without a prior object it
    /// asks the remote side nothing: a validation plans, too.
    async fn plan(&self, ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
        Ok(from_schema(ty, change))
    }

    /// Creates the planned object.
    async fn create(&self, ty: &ResourceType, call: &Call, planned: &Planned) -> Result<Observed, ProviderError>;

    /// Changes the recorded object into the planned one.
    async fn update(
        &self,
        ty: &ResourceType,
        call: &Call,
        prior: &Recorded,
        planned: &Planned,
    ) -> Result<Observed, ProviderError>;

    /// Deletes the recorded object. An object that is gone already is a success.
    async fn delete(&self, ty: &ResourceType, call: &Call, prior: &Recorded) -> Result<(), ProviderError>;

    /// Looks for the object of an attempt (after a crash) or of an identity (to adopt).
    async fn find(&self, ty: &ResourceType, attempt: &Attempt) -> Result<Found, ProviderError>;

    /// Reads an object by the id that a person gives to `terrace import`.
    async fn import(&self, ty: &ResourceType, id: &str) -> Result<Option<Observed>, ProviderError>;

    /// Describes parts of an imported object that its attributes do not describe: `the column code has a collation`. An object
    /// recreated from its attributes lacks them.
    async fn unexpressed(&self, _ty: &ResourceType, _imported: &Observed) -> Result<Vec<String>, ProviderError> {
        Ok(Vec::new())
    }

    /// Brings stored attributes of an older schema version to the present one. Those of a step that was cut off may hold
    /// values that were not known yet.
    async fn upgrade(&self, ty: &ResourceType, from: u32, stored: Attributes) -> Result<Attributes, ProviderError> {
        let _ = stored;
        Err(ProviderError::bug(format!("{} cannot upgrade rows of schema version {from}", ty.name)))
    }

    /// Checks planned values against the remote side, where it has a dry run; `None` where it has not. Nothing is asked
    /// before the answer is awaited.
    fn validate_remote<'a>(&'a self, _ty: &'a ResourceType, _planned: &'a Attributes) -> Option<DryRun<'a>> {
        None
    }

    /// Answers a lookup; arguments were checked against its schema, defaults filled in. What it looks for and is not
    /// there is `NotFound`.
    async fn lookup(&self, name: &str, _arguments: &Attributes) -> Result<Attributes, ProviderError> {
        Err(ProviderError::bug(format!("there is no lookup `{name}`")))
    }

    /// Everybody who is let in as resources let somebody in whose [`ResourceType::access_of`] is one of these, whoever did
    /// that; asked of types that have a [`ResourceType::grantee`]. Whom the instance itself works as is nobody to tell of,
    /// and nobody is let in to what is not there.
    async fn grantees(&self, ty: &ResourceType, _accesses: &[Attributes]) -> Result<Vec<Grantee>, ProviderError> {
        Err(ProviderError::bug(format!("{} does not tell who is let in", ty.name)))
    }

    /// Rights on the server as a whole that types need and who works here does not have; `None` where that is not told.
    /// Rights on single objects are none of them. Nobody has to need all: what a plan needs, only its errors say for sure.
    async fn missing_rights(&self) -> Result<Option<Vec<MissingRight>>, ProviderError> {
        Ok(None)
    }

    /// How much data the recorded object holds, before a change destroys it. What cannot be counted is `Unknown`.
    async fn count_data(&self, _ty: &ResourceType, _prior: &Recorded) -> Result<DataAmount, ProviderError> {
        Ok(DataAmount::Unknown)
    }
}

/// The settings of one configured instance.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The instance's name: `sqlite`, `snowflake.eu`.
    pub instance: String,
    /// The environment that it belongs to.
    pub environment: String,
    /// The folder that relative paths resolve against, and that nothing local may leave.
    pub project_folder: PathBuf,
    /// The values, checked against [`ProviderSchema::settings`], defaults filled in.
    pub values: Attributes,
    /// The files and variables that stay out of reach for descriptors.
    pub sandbox: Sandbox,
}

/// Opaque bytes of a provider that travel with a row or a plan: secret class, never shown.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Private(pub Vec<u8>);

impl fmt::Debug for Private {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} private bytes)", self.0.len())
    }
}

/// An object as state has it.
#[derive(Debug, Clone, Default)]
pub struct Recorded {
    /// The resource's address with its stack.
    pub address: String,
    /// The attributes that name it.
    pub identity: Attributes,
    /// All attributes.
    pub attributes: Attributes,
    /// The provider's own bytes.
    pub private: Private,
}

/// An object as the provider sees it now, or has just made it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// The attributes that name it.
    pub identity: Attributes,
    /// All attributes, computed ones included. A configured attribute that cannot be read back is left out.
    pub attributes: Attributes,
    /// The provider's own bytes.
    pub private: Private,
}

/// An object to be made.
#[derive(Debug, Clone, Default)]
pub struct Planned {
    /// All attributes; unknown ones are for the provider to compute.
    pub attributes: Attributes,
    /// The bytes that planning left.
    pub private: Private,
}

/// A call that may have happened, or an identity that may exist.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The resource's address with its stack.
    pub address: String,
    /// The attributes that would name the object, as far as they are known.
    pub identity: Attributes,
    /// The planned attributes.
    pub planned: Attributes,
    /// The bytes that planning, and the call's partial reports, left.
    pub private: Private,
    /// The recorded object, when the call was an update or a delete.
    pub prior: Option<Recorded>,
    /// The operation and step whose call was lost; `None` when an identity is looked up to adopt it.
    pub lost_call: Option<LostCall>,
}

/// A call whose outcome was never recorded.
#[derive(Debug, Clone)]
pub struct LostCall {
    /// The operation.
    pub operation: String,
    /// The step.
    pub step: String,
    /// How long the call was allowed to take.
    pub timeout: Duration,
    /// How long ago the call began at the latest: when its intent was recorded, by the clock of the store.
    pub age: Duration,
}

impl LostCall {
    /// When whatever the call made was made, by a clock that may be off by `slack` and says `now`. Twice the time that
    /// it was allowed is granted: it may have waited before it began. What is older or younger is somebody else's.
    #[must_use]
    pub fn window(&self, now: Timestamp, slack: SignedDuration) -> RangeInclusive<Timestamp> {
        let signed = |duration: Duration| SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
        let began = now.checked_sub(signed(self.age).saturating_add(slack)).unwrap_or(Timestamp::MIN);
        let lasts = signed(self.timeout.saturating_mul(2)).saturating_add(slack.saturating_add(slack));
        began..=began.checked_add(lasts).unwrap_or(Timestamp::MAX)
    }
}

/// What [`Session::find`] found.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// Our attempt took effect.
    Ours(Observed),
    /// There is such an object, and it does not come from our attempt.
    Strangers(Observed),
    /// There is none, and none can appear any more unless the call still runs.
    Absent,
    /// The call is known to be over and to have come to nothing: what was there before it is there still, and nothing of
    /// it can appear any more, whatever became of the process that called.
    CameToNothing,
    /// The call still runs, in words: ask again.
    Pending(String),
    /// It cannot be told.
    Unknown,
}

/// Somebody who is let in.
#[derive(Debug, Clone, PartialEq)]
pub struct Grantee {
    /// Who, in the technology's words: `User:ada`.
    pub principal: String,
    /// What they may do, in the technology's words: `READ`.
    pub privilege: String,
    /// What lets them in, as a resource of the type that was asked for: [`Session::delete`] keeps them out.
    pub grant: Observed,
}

/// A right that whoever works in an instance does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingRight {
    /// What may not be done without it, after "may not": `create databases`.
    pub operation: String,
    /// What gives it, to be run as it is by somebody who may: `ALTER ROLE "terrace" CREATEDB`.
    pub statement: String,
}

/// How much data an object holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataAmount {
    /// None: a destructive change loses nothing.
    Empty,
    /// This much.
    Some {
        /// How many rows, entries or records: consent to the loss of this many does not cover more. Where counting ends
        /// at a bound, one more than that.
        count: u64,
        /// The same in words, with whatever else tells people how much it is: `2 tables with 3 rows`.
        text: String,
    },
    /// It cannot be counted, which counts as data.
    Unknown,
}

impl DataAmount {
    /// So many of what is called like that: `1 row`, `2 rows`.
    #[must_use]
    pub fn of(count: u64, one: &str, many: &str) -> Self {
        match count {
            0 => Self::Empty,
            1 => Self::Some { count, text: format!("1 {one}") },
            _ => Self::Some { count, text: format!("{count} {many}") },
        }
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Probably not what was meant.
    Warning,
    /// It cannot work.
    Error,
}

/// What a provider has to say about values, before anything is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The attribute.
    pub path: Option<Path>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Recorded {
    /// A text attribute.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).and_then(Value::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_lost_call_may_have_made_is_neither_older_nor_much_younger() {
        let call = LostCall {
            operation: String::new(),
            step: String::new(),
            timeout: Duration::from_secs(300),
            age: Duration::from_secs(48 * 60 * 60),
        };
        let now: Timestamp = "2026-03-03T12:00:00Z".parse().unwrap();
        let window = call.window(now, SignedDuration::from_secs(5));
        let is_in = |text: &str| window.contains(&text.parse().unwrap());
        assert!(!is_in("2026-03-01T11:59:54Z") && is_in("2026-03-01T11:59:55Z") && is_in("2026-03-01T12:05:00Z"));
        assert!(is_in("2026-03-01T12:10:05Z") && !is_in("2026-03-01T12:10:06Z") && !is_in("2026-03-03T12:00:00Z"));
        let endless = LostCall { timeout: Duration::MAX, age: Duration::MAX, ..call };
        assert_eq!(endless.window(now, SignedDuration::MAX), Timestamp::MIN..=Timestamp::MAX);
    }
}
