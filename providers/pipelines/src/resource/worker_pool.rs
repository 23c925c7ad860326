//! `pipelines_worker_pool`: workers for queued runs. A pool exists until it is destroyed or expires.

use super::attributes::blocking;
use crate::settings::{changed_names, in_words};
use async_trait::async_trait;
use jiff::SignedDuration;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use terrace_pipelines::queue::{PodStatus, Pool, PoolSpec, Queue, QueueError};
use terrace_pipelines::run::Runner;
use terrace_pipelines::worker::{Launch, Supervisor};
use terrace_provider::plan::from_schema;
use terrace_provider::{
    Attempt, Attribute, AttributeType, Attributes, Call, ErrorKind, Found, Object, Observed, Path, Planned,
    PlannedChange, Private, ProposedChange, ProviderError, Recorded, ResourceType, Session, Value,
};
use tokio::time::Instant;

/// The type's name.
pub const NAME: &str = "pipelines_worker_pool";
/// Maximum number of workers of a pool: each is a process.
const MOST: i64 = 256;
/// Timeout for the start of workers.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Interval between checks of the workers.
const POLL: Duration = Duration::from_millis(100);
/// Interval between progress messages.
const PERIOD: Duration = Duration::from_secs(5);

/// The type.
#[must_use]
pub fn resource_type() -> ResourceType {
    let text = |name, doc| Attribute::new(name, AttributeType::String, doc);
    let worker = Object(vec![
        text("name", "Name, for `terrace pipelines ssh`.").computed(),
        text("status", "Status at the last check.").computed(),
    ]);
    let workers = AttributeType::list(AttributeType::Object(worker));
    let attributes = vec![
        text("name", "Name, for `terrace pipelines run --pool`.").required().replaces(),
        text("id", "The name, for `terrace import`.").stable(),
        Attribute::new("size", AttributeType::Int, "Number of workers; each is a process.").default_value(2_i64),
        text("ttl", "Lifetime, as in `1h`; without it, until it is destroyed."),
        Attribute::new("workers", workers, "Its workers; `terrace pipelines pods` shows their present state.")
            .computed()
            .volatile("workers change without a plan"),
        text("expiresAt", "Time at which it expires.").computed().follows(&["ttl"]),
    ];
    ResourceType {
        settle: Duration::ZERO,
        ..ResourceType::new(NAME, "Workers that wait for runs of the queue.", &["name"], Object(attributes))
    }
}

/// Configuration of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PoolConfig {
    name: String,
    size: u32,
    ttl: Option<Duration>,
}

impl PoolConfig {
    /// Parses attributes; returns nothing while one of them is unknown.
    ///
    /// # Errors
    /// When a value is not allowed.
    fn of(attributes: &Attributes) -> Result<Option<Self>, ProviderError> {
        let at = |name: &str| Some(Path::attribute(name));
        let Some(name) = attributes.get("name").and_then(Value::as_str) else { return Ok(None) };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty() || name.len() > 63 || !name.chars().all(is_plain) {
            let message = format!("`name` is `{name}`: expected 1 to 63 letters, digits, `.`, `_` and `-`");
            return Err(ProviderError::invalid(at("name"), message));
        }
        let size = match attributes.get("size") {
            Some(Value::Int(size)) if (1..=MOST).contains(size) => u32::try_from(*size).unwrap_or(1),
            Some(Value::Int(size)) => {
                let message = format!("`size` is {size}: expected 1 to {MOST}");
                return Err(ProviderError::invalid(at("size"), message));
            }
            Some(value) if value.has_unknown() => return Ok(None),
            _ => 2,
        };
        let ttl = match attributes.get("ttl") {
            Some(Value::String(text)) => Some(lifetime(text).ok_or_else(|| {
                let message = format!("`ttl` is `{text}`: expected a lifetime, as in `90m`, `1h`, `1h 30m`");
                ProviderError::invalid(at("ttl"), message)
            })?),
            Some(value) if value.has_unknown() => return Ok(None),
            _ => None,
        };
        Ok(Some(Self { name: name.to_owned(), size, ttl }))
    }

    /// Parses attributes of which all are known.
    fn from_known(attributes: &Attributes) -> Result<Self, ProviderError> {
        Self::of(attributes)?.ok_or_else(|| ProviderError::bug("a worker pool without a name"))
    }
}

/// Parses a duration of at least a second.
fn lifetime(text: &str) -> Option<Duration> {
    let ttl: SignedDuration = text.parse().ok()?;
    Duration::try_from(ttl).ok().filter(|ttl| *ttl >= Duration::from_secs(1))
}

/// The worker pools of a project.
pub(crate) struct WorkerPools {
    runner: Runner,
    /// Settings of the instance, for the workers.
    settings: String,
    launch: Arc<dyn Launch>,
}

impl WorkerPools {
    pub(crate) fn new(runner: Runner, settings: String, launch: Arc<dyn Launch>) -> Self {
        Self { runner, settings, launch }
    }

    fn folder(&self) -> PathBuf {
        self.runner.store.folder().to_owned()
    }

    /// Opens the queue if it exists.
    async fn existing(&self) -> Result<Option<Queue>, ProviderError> {
        let folder = self.folder();
        blocking(move || Queue::existing(&folder).map_err(provider_error)).await
    }

    /// Returns an open pool and its workers.
    async fn pool(&self, name: &str) -> Result<Option<(Pool, Value)>, ProviderError> {
        let Some(queue) = self.existing().await? else { return Ok(None) };
        let name = name.to_owned();
        let found = queue.call(move |queue| {
            // A closing pool accepts no runs and ends with its last worker: it counts as missing.
            let is_open = |pool: &Pool| !pool.is_expired && !pool.is_closing;
            let Some(pool) = queue.pool(&name)?.filter(is_open) else { return Ok(None) };
            let pods = queue.pods()?.into_iter().filter(|pod| pod.pool == name && pod.status != PodStatus::Expired);
            let worker = |(name, status): (String, &str)| {
                [("name".to_owned(), Value::from(name)), ("status".to_owned(), Value::from(status))]
                    .into_iter()
                    .collect()
            };
            let workers = pods.map(|pod| worker((pod.name, pod.status.word()))).collect();
            Ok(Some((pool, Value::List(workers))))
        });
        found.await.map_err(provider_error)
    }

    /// Waits until a pool has all its workers.
    async fn wait_until_started(&self, call: &Call, queue: &Queue, config: &PoolConfig) -> Result<(), ProviderError> {
        let supervisor = Supervisor::new(queue.clone(), self.runner.clone(), Arc::clone(&self.launch));
        let (started, mut last_report) = (Instant::now(), Instant::now());
        loop {
            supervisor.check_workers().await.map_err(provider_error)?;
            let name = config.name.clone();
            let pods = queue.call(Queue::pods).await.map_err(provider_error)?;
            let is_running = |status| matches!(status, PodStatus::Available | PodStatus::Assigned);
            let running = pods.iter().filter(|pod| pod.pool == name && is_running(pod.status)).count();
            if u32::try_from(running).is_ok_and(|running| running >= config.size) {
                return Ok(());
            }
            if started.elapsed() > START_TIMEOUT.min(call.timeout) || call.cancel.is_cancelled() {
                let message = format!("{} workers of the pool `{name}` were requested, {running} started", config.size);
                let log = terrace_pipelines::worker::launch::log_path(queue.folder(), &name);
                return Err(ProviderError::new(ErrorKind::Failed, message)
                    .solution(format!("read their messages in `{}`", log.display())));
            }
            if last_report.elapsed() > PERIOD {
                last_report = Instant::now();
                call.progress.message(&format!("{running} of {} workers have started", config.size));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Creates or changes a pool, and waits for its workers.
    async fn create_or_change(
        &self,
        call: &Call,
        planned: &Attributes,
        is_new: bool,
    ) -> Result<Observed, ProviderError> {
        let config = PoolConfig::from_known(planned)?;
        let (folder, settings) = (self.folder(), self.settings.clone());
        let mark = super::run::mark(&call.operation, &call.step);
        let PoolConfig { name, size, ttl } = config.clone();
        let queue = blocking(move || {
            let queue = Queue::open(&folder).map_err(provider_error)?;
            let config = PoolSpec { name: &name, size, ttl, settings: &settings, mark: Some(&mark) };
            if is_new { queue.add_pool(&config) } else { queue.change_pool(&config) }.map_err(provider_error)?;
            Ok(queue)
        });
        let queue = queue.await?;
        let start_result = self.wait_until_started(call, &queue, &config).await;
        let (pool, workers) = self
            .pool(&config.name)
            .await?
            .ok_or_else(|| provider_error(QueueError::Expired { name: config.name.clone() }))?;
        let observed = observed(&pool, workers, planned);
        start_result.map_err(|error| error.with_object(observed.clone()))?;
        Ok(observed)
    }
}

/// Maps an error of the queue to one for the engine.
fn provider_error(error: QueueError) -> ProviderError {
    let kind = match &error {
        QueueError::Exists { name } => ErrorKind::AlreadyExists { import_id: Some(name.clone()) },
        QueueError::Busy { .. } => ErrorKind::Transient,
        QueueError::NoPool { .. } | QueueError::Expired { .. } => ErrorKind::NotFound,
        _ => ErrorKind::Failed,
    };
    error.hint().into_iter().fold(ProviderError::new(kind, error.to_string()), ProviderError::solution)
}

/// The id as an attribute; sensitive if the name is.
fn id_value(name: &str, attributes: &Attributes) -> Value {
    Value::from(name).derived_from(attributes, &["name"])
}

/// Pool as attributes. `ttl` keeps the form in which it is configured.
fn observed(pool: &Pool, workers: Value, configured: &Attributes) -> Observed {
    let name = || ("name".to_owned(), Value::from(pool.name.as_str()));
    let mut attributes: Attributes = [name()].into_iter().collect();
    attributes.insert("id".to_owned(), id_value(&pool.name, configured));
    attributes.insert("size".to_owned(), Value::Int(i64::from(pool.size)));
    if let Some(ttl) = pool.ttl {
        let written = configured.get("ttl").and_then(Value::as_str).filter(|text| lifetime(text) == Some(ttl));
        let text = || format!("{:#}", SignedDuration::try_from(ttl).unwrap_or(SignedDuration::MAX));
        attributes.insert("ttl".to_owned(), written.map_or_else(text, str::to_owned).into());
        let expires = pool.expires_at.map(|at| at.to_string().into());
        attributes.extend(expires.map(|at| ("expiresAt".to_owned(), at)));
    }
    attributes.insert("workers".to_owned(), workers);
    Observed { identity: [name()].into_iter().collect(), attributes, private: Private::default() }
}

#[async_trait]
impl Session for WorkerPools {
    async fn read(&self, _ty: &ResourceType, prior: &Recorded) -> Result<Option<Observed>, ProviderError> {
        let config = PoolConfig::from_known(&prior.identity)?;
        let Some((pool, workers)) = self.pool(&config.name).await? else { return Ok(None) };
        // Replaced workers and other statuses do not count as drift.
        let workers = prior.attributes.get("workers").cloned().unwrap_or(workers);
        Ok(Some(observed(&pool, workers, &prior.attributes)))
    }

    async fn plan(&self, ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
        let mut planned = from_schema(ty, change);
        if let Some(config) = PoolConfig::of(&planned.planned)? {
            let id = id_value(&config.name, &planned.planned);
            planned.planned.insert("id".to_owned(), id);
            if let (Some(_), Some((pool, _))) = (change.prior, self.pool(&config.name).await?) {
                let names = changed_names(&pool.settings, &self.settings)?;
                if !names.is_empty() {
                    planned.because.push(format!("its workers have other settings: {}", in_words(&names)));
                    planned.planned.insert("workers".to_owned(), Value::Unknown);
                }
            }
        }
        Ok(planned)
    }

    async fn create(&self, _ty: &ResourceType, call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
        self.create_or_change(call, &planned.attributes, true).await
    }

    async fn update(
        &self,
        _ty: &ResourceType,
        call: &Call,
        _prior: &Recorded,
        planned: &Planned,
    ) -> Result<Observed, ProviderError> {
        self.create_or_change(call, &planned.attributes, false).await
    }

    async fn delete(&self, _ty: &ResourceType, call: &Call, prior: &Recorded) -> Result<(), ProviderError> {
        let PoolConfig { name, .. } = PoolConfig::from_known(&prior.identity)?;
        let Some(queue) = self.existing().await? else { return Ok(()) };
        let closed = name.clone();
        queue.call(move |queue| queue.close_pool(&closed)).await.map_err(provider_error)?;
        let supervisor = Supervisor::new(queue.clone(), self.runner.clone(), Arc::clone(&self.launch));
        let (started, mut last_report) = (Instant::now(), Instant::now());
        loop {
            supervisor.check_workers().await.map_err(provider_error)?;
            let closed = name.clone();
            // If another process recreated the pool, this one is gone too.
            if queue
                .call(move |queue| queue.pool(&closed))
                .await
                .map_err(provider_error)?
                .is_none_or(|pool| !pool.is_closing)
            {
                return Ok(());
            }
            let busy: Vec<String> = queue
                .call(Queue::pods)
                .await
                .map_err(provider_error)?
                .into_iter()
                .filter(|pod| pod.pool == name)
                .filter_map(|pod| pod.run)
                .collect();
            if started.elapsed() > call.timeout || call.cancel.is_cancelled() {
                let message = format!("workers of the pool `{name}` still run pipelines");
                let error = ProviderError::new(ErrorKind::Failed, message);
                return Err(busy.iter().fold(error, |error, run| {
                    error.solution(format!("stop it with `terrace pipelines cancel {run}`"))
                }));
            }
            if last_report.elapsed() > PERIOD && !busy.is_empty() {
                last_report = Instant::now();
                call.progress.message(&format!("waiting for runs in progress: {}", busy.join(", ")));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn find(&self, _ty: &ResourceType, attempt: &Attempt) -> Result<Found, ProviderError> {
        let PoolConfig { name, .. } = PoolConfig::from_known(&attempt.identity)?;
        let Some((pool, workers)) = self.pool(&name).await? else { return Ok(Found::Absent) };
        let observed = observed(&pool, workers, &attempt.planned);
        Ok(match &attempt.lost_call {
            Some(_) if attempt.prior.is_some() => Found::Own(observed),
            Some(lost) if pool.mark == Some(super::run::mark(&lost.operation, &lost.step)) => Found::Own(observed),
            _ => Found::Foreign(observed),
        })
    }

    async fn import(&self, _ty: &ResourceType, id: &str) -> Result<Option<Observed>, ProviderError> {
        Ok(self.pool(id).await?.map(|(pool, workers)| observed(&pool, workers, &Attributes::default())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: serde_json::Value) -> Result<Option<PoolConfig>, String> {
        let Value::Map(attributes) = Value::from(json) else { panic!("attributes are a map") };
        PoolConfig::of(&attributes).map_err(|error| error.message)
    }

    #[test]
    fn invalid_pool_attribute_names_expected_value() {
        let pool = config(serde_json::json!({"name": "etl", "size": 3, "ttl": "1h 30m"})).unwrap().unwrap();
        assert_eq!(pool, PoolConfig { name: "etl".to_owned(), size: 3, ttl: Some(Duration::from_secs(5400)) });
        for (json, message) in [
            (serde_json::json!({"name": "a b"}), "`name` is `a b`: expected 1 to 63 letters"),
            (serde_json::json!({"name": "etl", "size": 0}), "`size` is 0: expected 1 to 256"),
            (serde_json::json!({"name": "etl", "ttl": "soon"}), "`ttl` is `soon`: expected a lifetime"),
            (serde_json::json!({"name": "etl", "ttl": "-1h"}), "`ttl` is `-1h`"),
            (serde_json::json!({"name": "etl", "ttl": "999999999999999999h"}), "`ttl` is"),
        ] {
            let error = config(json).unwrap_err();
            assert!(error.starts_with(message), "{error}");
        }
        assert_eq!(config(serde_json::json!({"size": 1})), Ok(None), "while the name is unknown");
    }
}
