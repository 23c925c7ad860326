//! The two traits of a provider, and the types of their arguments and results.

use crate::plan::{PlannedChange, ProposedChange, from_schema};
use crate::{
    Attributes, Call, Finding, Observed, Planned, Private, ProviderError, ProviderSchema, Recorded, ResourceType,
    Sandbox,
};
use async_trait::async_trait;
use futures_util::StreamExt;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// One technology. Stateless: settings come from the environment's configuration.
#[async_trait]
pub trait Provider: Send + Sync {
    /// The static description: settings schema, resource types, lookups, embedded blueprints.
    fn schema(&self) -> &ProviderSchema;

    /// Opens one configured instance. The engine has checked the settings against the schema. This call must not access
    /// the network: validation without network connects, too. The first call is early enough to log in.
    ///
    /// # Errors
    /// When the settings contradict each other.
    async fn connect(&self, settings: &Settings) -> Result<Arc<dyn Session>, ProviderError>;
}

/// The future answers of [`Session::read_batch`].
pub type Batch<'a> = Pin<Box<dyn Future<Output = Vec<Result<Option<Observed>, ProviderError>>> + Send + 'a>>;

/// The future findings of [`Session::validate_remote`].
pub type DryRun<'a> = Pin<Box<dyn Future<Output = Vec<Finding>> + Send + 'a>>;

/// The future answer of [`Session::probe`].
pub type Probe<'a> = Pin<Box<dyn Future<Output = Result<(), ProviderError>> + Send + 'a>>;

/// A probe that looks for an object by its import id. The object need not exist: any answer shows that the system works
/// and accepts the caller. `None` if the schema has no such type.
#[must_use]
pub fn probe_by_import<'a>(
    session: &'a dyn Session,
    schema: &'a ProviderSchema,
    ty: &'static str,
    id: &'static str,
) -> Option<Probe<'a>> {
    let ty = schema.resource(ty)?;
    Some(Box::pin(async move { session.import(ty, id).await.map(drop) }))
}

/// Number of objects that [`Session::read_many`] reads at once if the type has no batches.
pub const READS_AT_ONCE: usize = 16;

/// One configured instance of a provider.
///
/// Reading calls (`read`, `find`, `import`, `unexpressed`, `lookup`, `validate_remote`, `plan`, `count_data`, `grantees`,
/// `probe`, `missing_rights`) change nothing.
/// Providers that compare attributes need them without sensitive marks: use [`Value::revealed`](crate::Value::revealed).
#[async_trait]
pub trait Session: Send + Sync {
    /// Reads one object in its present form; `None` if it does not exist.
    async fn read(&self, ty: &ResourceType, prior: &Recorded) -> Result<Option<Observed>, ProviderError>;

    /// Reads many objects of one type by one call, if the technology supports it. The answers have the order of
    /// `priors`. `None` means that each object is read alone. Nothing is sent before the future is awaited.
    fn read_batch<'a>(&'a self, _ty: &'a ResourceType, _priors: &'a [Recorded]) -> Option<Batch<'a>> {
        None
    }

    /// Reads many objects of one type; the answers have the order of `priors`. Providers implement
    /// [`Session::read_batch`] instead.
    async fn read_many(&self, ty: &ResourceType, priors: &[Recorded]) -> Vec<Result<Option<Observed>, ProviderError>> {
        if let Some(batch) = self.read_batch(ty, priors) {
            return batch.await;
        }
        let reads: Vec<_> = priors.iter().map(|prior| self.read(ty, prior)).collect();
        futures_util::stream::iter(reads).buffered(READS_AT_ONCE).collect().await
    }

    /// Plans a proposed change. The default plans from the schema. For a change without a prior object, this call must
    /// not access the network: validation plans, too.
    async fn plan(&self, ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
        Ok(from_schema(ty, change))
    }

    /// Checks that the instance has the settings that calls for this object need: the address and the credentials of its
    /// system. Refuses with [`ProviderError::unconfigured`]. Must not access the network.
    ///
    /// # Errors
    /// When a setting is missing.
    fn check_configured(&self, _ty: &ResourceType, _attributes: &Attributes) -> Result<(), ProviderError> {
        Ok(())
    }

    /// Creates the planned object.
    async fn create(&self, ty: &ResourceType, call: &Call, planned: &Planned) -> Result<Observed, ProviderError>;

    /// Changes the recorded object to match the plan.
    async fn update(
        &self,
        ty: &ResourceType,
        call: &Call,
        prior: &Recorded,
        planned: &Planned,
    ) -> Result<Observed, ProviderError>;

    /// Deletes the recorded object. Succeeds if the object does not exist.
    async fn delete(&self, ty: &ResourceType, call: &Call, prior: &Recorded) -> Result<(), ProviderError>;

    /// Searches for the object of an attempt (after a crash) or of an identity (to adopt).
    async fn find(&self, ty: &ResourceType, attempt: &Attempt) -> Result<Found, ProviderError>;

    /// Reads an object by the id that the user passes to `terrace import`.
    async fn import(&self, ty: &ResourceType, id: &str) -> Result<Option<Observed>, ProviderError>;

    /// Describes parts of an imported object that its attributes do not describe: `the column code has a collation`. An object
    /// recreated from its attributes lacks them.
    async fn unexpressed(&self, _ty: &ResourceType, _imported: &Observed) -> Result<Vec<String>, ProviderError> {
        Ok(Vec::new())
    }

    /// Upgrades stored attributes of an older schema version. Attributes of an interrupted step may hold unknown
    /// values.
    async fn upgrade(&self, ty: &ResourceType, from: u32, stored: Attributes) -> Result<Attributes, ProviderError> {
        let _ = stored;
        Err(ProviderError::bug(format!("{} cannot upgrade rows of schema version {from}", ty.name)))
    }

    /// Checks planned values against the remote system, if it supports a dry run; otherwise `None`. Nothing is sent
    /// before the future is awaited.
    fn validate_remote<'a>(&'a self, _ty: &'a ResourceType, _planned: &'a Attributes) -> Option<DryRun<'a>> {
        None
    }

    /// Answers a lookup. The engine has checked the arguments and filled in defaults. `NotFound` if the object does not
    /// exist.
    async fn lookup(&self, name: &str, _arguments: &Attributes) -> Result<Attributes, ProviderError> {
        Err(ProviderError::bug(format!("there is no lookup `{name}`")))
    }

    /// All principals with access through an object whose [`ResourceType::access_of`] is in the list, including
    /// external grants. Only for types with a [`ResourceType::grantee`]. The result omits the identity of the instance
    /// itself. It is empty for an object that does not exist.
    async fn grantees(&self, ty: &ResourceType, _accesses: &[Attributes]) -> Result<Vec<Grantee>, ProviderError> {
        Err(ProviderError::bug(format!("{} cannot list grantees", ty.name)))
    }

    /// Calls the system to show that it answers and accepts the caller, for `terrace doctor`. `None` if opening the
    /// session shows that already. Nothing is sent before the future is awaited.
    ///
    /// # Errors
    /// The future fails if the system does not answer or refuses the caller.
    fn probe<'a>(&'a self, _schema: &'a ProviderSchema) -> Option<Probe<'a>> {
        None
    }

    /// Missing server-wide rights that types need; `None` if the provider cannot tell. Rights on single objects are not
    /// included. A plan may need only some of them: only its errors show which.
    async fn missing_rights(&self) -> Result<Option<Vec<MissingRight>>, ProviderError> {
        Ok(None)
    }

    /// Amount of data in the recorded object, before a change destroys it. `Unknown` if it cannot be counted.
    async fn count_data(&self, _ty: &ResourceType, _prior: &Recorded) -> Result<DataAmount, ProviderError> {
        Ok(DataAmount::Unknown)
    }
}

/// The settings of one configured instance.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The instance's name: `sqlite`, `snowflake.eu`.
    pub instance: String,
    /// The environment of the instance.
    pub environment: String,
    /// The folder that relative paths start from. Local files must not leave it.
    pub project_folder: PathBuf,
    /// The values, checked against [`ProviderSchema::settings`], defaults filled in.
    pub values: Attributes,
    /// The files and variables that descriptors must not reach.
    pub sandbox: Sandbox,
    /// The place in the configuration or the variable that has a value, in words for messages, by the name of the setting:
    /// ``` `host` at terrace.yaml:5:9 ```. Values that were stored or computed have none.
    pub sources: BTreeMap<String, String>,
}

/// A call that may have taken effect, or an identity that may exist.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The resource's address with its stack.
    pub address: String,
    /// The known identity attributes of the object.
    pub identity: Attributes,
    /// The planned attributes.
    pub planned: Attributes,
    /// The private bytes of the plan and of the call's partial reports.
    pub private: Private,
    /// The recorded object, if the call was an update or a delete.
    pub prior: Option<Recorded>,
    /// The call whose outcome is unknown; `None` if an identity is looked up to adopt it.
    pub lost_call: Option<LostCall>,
}

/// A call without a recorded outcome.
#[derive(Debug, Clone)]
pub struct LostCall {
    /// The operation.
    pub operation: String,
    /// The step.
    pub step: String,
    /// The time limit of the call.
    pub timeout: Duration,
    /// Time since the intent of the call was recorded, by the clock of the store. The call began later.
    pub age: Duration,
}

impl LostCall {
    /// The interval in which the call may have created an object, by a remote clock that shows `now` and may be off by
    /// `slack`. It covers twice the time limit: the call may have waited before it began. Older and newer objects have
    /// another origin.
    #[must_use]
    pub fn window(&self, now: Timestamp, slack: SignedDuration) -> RangeInclusive<Timestamp> {
        let signed = |duration: Duration| SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
        let began = now.checked_sub(signed(self.age).saturating_add(slack)).unwrap_or(Timestamp::MIN);
        let lasts = signed(self.timeout.saturating_mul(2)).saturating_add(slack.saturating_add(slack));
        began..=began.checked_add(lasts).unwrap_or(Timestamp::MAX)
    }
}

/// Result of [`Session::find`].
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// The attempt created or changed this object.
    Own(Observed),
    /// An object with this identity exists and does not come from the attempt.
    Foreign(Observed),
    /// The object does not exist, and cannot appear unless the call still runs.
    Absent,
    /// The call ended without effect. The previous object is unchanged, and nothing can appear later, even if the
    /// calling process still runs.
    NoEffect,
    /// The call still runs, with a description: ask again.
    Pending(String),
    /// The provider cannot determine the outcome.
    Unknown,
}

/// A principal with access to an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Grantee {
    /// The principal, in the technology's terms: `User:ada`.
    pub principal: String,
    /// The privilege, in the technology's terms: `READ`.
    pub privilege: String,
    /// The grant, as a resource of the requested type: [`Session::delete`] revokes it.
    pub grant: Observed,
}

/// A right that the identity of an instance lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingRight {
    /// The operation that needs it, after "may not": `create databases`.
    pub operation: String,
    /// The statement that grants it, for an administrator: `ALTER ROLE "terrace" CREATEDB`.
    pub statement: String,
}

/// Amount of data in an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataAmount {
    /// No data: a destructive change loses nothing.
    Empty,
    /// Some data.
    Some {
        /// Number of rows, entries or records. Consent to lose this number covers no more. If counting stops at a
        /// limit, the limit plus one.
        count: u64,
        /// The amount in words, perhaps with details: `2 tables with 3 rows`.
        text: String,
    },
    /// The amount cannot be counted; treated as data.
    Unknown,
}

impl DataAmount {
    /// An amount with its noun: `1 row`, `2 rows`.
    #[must_use]
    pub fn of(count: u64, one: &str, many: &str) -> Self {
        match count {
            0 => Self::Empty,
            1 => Self::Some { count, text: format!("1 {one}") },
            _ => Self::Some { count, text: format!("{count} {many}") },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn window_of_a_lost_call_excludes_older_and_much_newer_objects() {
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
