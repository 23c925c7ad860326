//! Databases whose servers run in a Kubernetes cluster. The cluster stores all about them, so every machine with access to
//! the namespace finds the same databases. It restarts servers and moves them to other nodes; terrace only creates, changes
//! and removes their objects.
//!
//! The StatefulSet comes first and goes last. It counts as a database when its server has accepted connections: a creation
//! that was interrupted goes on with the next one.
//!
//! Reading order: [`manifest`] (the objects), [`state`] (the record and the problems of a server), this file (the operations),
//! `start` (waits for servers), `browse` and `dump` (their content).

mod browse;
mod dump;
mod manifest;
mod start;
mod state;

use super::clock::Extension;
use super::database_spec::{DatabaseSpec, time_to_live};
use super::error::{self, DatabaseError, DatabaseErrorKind};
use super::record::{Access, Record, Status, USER, new_password};
use crate::cluster_check::rights::DATABASES;
use crate::cluster_check::{finding_of, open, rights_problem};
use crate::executor::kubernetes::fields::has_fields;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::fmt::rfc2822::DateTimeParser;
use jiff::{SignedDuration, Timestamp};
use manifest::{Description, ENGINE_URL, PASSWORD, PORT, object_name, owner};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value as Json, json};
use std::time::{Duration, Instant};
use terrace_provider::{Finding, ProviderError, Settings, Severity};
use terrace_provider_kubernetes::client::{Client, ClientError, ClientErrorKind, Propagation, Resource};
use tokio_util::sync::CancellationToken;

pub use manifest::pod_name;
pub use start::START;

const STATEFUL_SETS: Resource = Resource { api_version: "apps/v1", plural: "statefulsets" };
const SERVICES: Resource = Resource { api_version: "v1", plural: "services" };
const SECRETS: Resource = Resource { api_version: "v1", plural: "secrets" };
const CLAIMS: Resource = Resource { api_version: "v1", plural: "persistentvolumeclaims" };
const PODS: Resource = Resource { api_version: "v1", plural: "pods" };
const EVENTS: Resource = Resource { api_version: "v1", plural: "events" };

/// Time that the cluster has to end a server and remove its objects.
const ENDING: Duration = Duration::from_secs(120);
/// Interval between looks at objects.
const POLL: Duration = Duration::from_millis(300);
/// Number of tries to change an object that others change at the same time.
const MOST_TRIES: u32 = 10;
/// Size of a claim without a configured one.
pub const DEFAULT_SIZE: &str = "1Gi";

/// The databases of a namespace.
pub struct ClusterDatabases {
    client: Client,
    /// Image of new servers, with its digest.
    image: Option<String>,
    start_time: Duration,
}

/// The error of a request.
fn refused(error: ClientError) -> DatabaseError {
    let kind = match error.is_transient() {
        true => DatabaseErrorKind::Unreachable,
        false => DatabaseErrorKind::Failed,
    };
    let hint = error.hint();
    let failed = DatabaseError::new(kind, error.error.message).facts(error.error.problems);
    hint.into_iter().fold(failed, DatabaseError::hint)
}

fn invalid(message: impl Into<String>, hint: impl Into<String>) -> DatabaseError {
    DatabaseError::new(DatabaseErrorKind::Invalid, message).hint(hint)
}

/// Checks a name for objects of a cluster.
///
/// # Errors
/// When objects cannot have the name.
pub fn check_name(name: &str) -> Result<(), DatabaseError> {
    manifest::check_name(name).map_err(|(message, hint)| invalid(message, hint))
}

/// Adds a span to a time of the cluster, in whole seconds.
fn after(now: Timestamp, span: Duration) -> Timestamp {
    let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    now.checked_add(span).unwrap_or(Timestamp::MAX).round(jiff::Unit::Second).unwrap_or(now)
}

fn is_going(object: &Json) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some()
}

fn uid(object: &Json) -> &str {
    text(object, "/metadata/uid")
}

fn created_at(object: &Json) -> Timestamp {
    text(object, "/metadata/creationTimestamp").parse().unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Returns true if a call with this mark created a StatefulSet.
fn has_mark(stateful_set: &Json, mark: Option<&str>) -> bool {
    mark.is_some() && Description::read(stateful_set).is_some_and(|found| found.mark.as_deref() == mark)
}

fn in_creation(name: &str) -> DatabaseError {
    let message = format!("another caller creates the database `{name}`");
    DatabaseError::new(DatabaseErrorKind::InUse, message).hint("repeat it when that creation has ended")
}

/// A change of a StatefulSet.
enum Change {
    /// All its fields.
    Whole(Description),
    /// These annotations: its pod stays.
    Annotations(Json),
    /// The number of its pods.
    Replicas(u32),
}

fn text<'a>(object: &'a Json, at: &str) -> &'a str {
    object.pointer(at).and_then(Json::as_str).unwrap_or_default()
}

/// A value of a Secret.
fn secret_value(secret: &Json, key: &str) -> Option<SecretString> {
    let bytes = STANDARD.decode(secret.get("data")?.get(key)?.as_str()?).ok()?;
    Some(SecretString::from(String::from_utf8(bytes).ok()?))
}

impl ClusterDatabases {
    /// Databases of a namespace, with the settings `kubeconfig`, `context` or `inCluster`. Connects at the first call.
    ///
    /// # Errors
    /// When settings are invalid.
    pub fn open(settings: &Settings, namespace: &str, image: Option<String>) -> Result<Self, ProviderError> {
        Ok(Self { client: open(settings, namespace)?, image, start_time: START })
    }

    /// Sets the time for the start of a server. Default: [`START`].
    #[must_use]
    pub fn with_start_time(self, start_time: Duration) -> Self {
        Self { start_time, ..self }
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.client.namespace()
    }

    /// Image of new servers.
    #[must_use]
    pub fn image(&self) -> Option<&str> {
        self.image.as_deref()
    }

    fn required_image(&self) -> Result<String, DatabaseError> {
        self.image.clone().ok_or_else(|| {
            invalid(
                "databases in a cluster need the setting `databaseImage`",
                "write `databaseImage: docker.io/library/postgres@sha256:DIGEST`",
            )
        })
    }

    /// The time by the clock of the cluster; nothing if a proxy leaves it out.
    async fn cluster_time(&self) -> Result<Option<Timestamp>, DatabaseError> {
        let date = self.client.date().await.map_err(refused)?;
        Ok(date.and_then(|date| DateTimeParser::new().parse_timestamp(&date).ok()))
    }

    /// The time by the clock of the cluster, else that of this machine.
    async fn now(&self) -> Result<Timestamp, DatabaseError> {
        Ok(self.cluster_time().await?.unwrap_or_else(Timestamp::now))
    }

    /// The end of a lifetime that begins now.
    async fn deadline(&self, ttl: Option<&str>) -> Result<Option<Timestamp>, DatabaseError> {
        let Some(ttl) = ttl else { return Ok(None) };
        let life = time_to_live(ttl)
            .map_err(|why| DatabaseError::new(DatabaseErrorKind::Invalid, format!("`ttl` is `{ttl}`: {why}")))?;
        Ok(Some(after(self.now().await?, life)))
    }

    async fn get(&self, name: &str) -> Result<Option<Json>, DatabaseError> {
        check_name(name)?;
        let found = self.client.get(STATEFUL_SETS, &object_name(name)).await.map_err(refused)?;
        Ok(found.filter(|found| !is_going(found)))
    }

    async fn record_of(&self, stateful_set: &Json) -> Result<Option<Record>, DatabaseError> {
        Ok(state::record(stateful_set, self.namespace(), self.now().await?))
    }

    /// Finds a database, with the state of all its objects.
    ///
    /// # Errors
    /// When the cluster does not answer, or refuses.
    pub async fn find(&self, name: &str) -> Result<Option<Record>, DatabaseError> {
        // A name of this machine is not one of the cluster.
        if manifest::check_name(name).is_err() {
            return Ok(None);
        }
        let Some(found) = self.get(name).await? else { return Ok(None) };
        let (Some(mut record), Some(description)) = (self.record_of(&found).await?, Description::read(&found)) else {
            return Ok(None);
        };
        let is_present = matches!(self.status_of(&record), Status::Running | Status::Stopped);
        if is_present
            && !self.has_parts(&description).await?
            && let Some(cluster) = &mut record.cluster
        {
            cluster.status = Status::Changed;
        }
        Ok(Some(record))
    }

    fn status_of(&self, record: &Record) -> Status {
        record.cluster.as_ref().map_or(Status::Creating, |cluster| cluster.status)
    }

    /// Returns true if the Service, the Secret and the claim of a database exist as terrace creates them.
    async fn has_parts(&self, description: &Description) -> Result<bool, DatabaseError> {
        let object = object_name(&description.name);
        let secret = self.client.get(SECRETS, &object).await.map_err(refused)?;
        let has_secret = secret.as_ref().is_some_and(|secret| {
            text(secret, "/metadata/uid") == description.secret
                && [PASSWORD, ENGINE_URL].iter().all(|key| secret_value(secret, key).is_some())
        });
        let service = self.client.get(SERVICES, &object).await.map_err(refused)?;
        let has_service = service.is_some_and(|service| has_fields(&service, &description.service(None)));
        let has_claim = match &description.claim {
            Some(_) => self.client.get(CLAIMS, &object).await.map_err(refused)?.is_some_and(|claim| !is_going(&claim)),
            None => true,
        };
        Ok(has_secret && has_service && has_claim)
    }

    /// Returns true if the claim of a database existed before its creation, and so may have data of a former one.
    ///
    /// # Errors
    /// When the cluster does not answer, or refuses.
    pub async fn has_former_claim(&self, record: &Record) -> Result<bool, DatabaseError> {
        let claim = self.own(CLAIMS, &record.name).await?;
        Ok(claim.is_some_and(|claim| created_at(&claim) < record.made_at))
    }

    /// Finds an existing database.
    ///
    /// # Errors
    /// When it does not exist.
    pub async fn existing(&self, name: &str) -> Result<Record, DatabaseError> {
        match self.find(name).await? {
            Some(record) => Ok(record),
            None => Err(error::missing(name, &self.names().await?)),
        }
    }

    /// All databases of the namespace, by name. Their Services, Secrets and claims are not checked.
    ///
    /// # Errors
    /// When the cluster does not answer, or refuses.
    pub async fn list(&self) -> Result<Vec<Record>, DatabaseError> {
        let selector = ("labelSelector", manifest::ALL.to_owned());
        let found = self.client.list(STATEFUL_SETS, &[selector]).await.map_err(refused)?;
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.now().await?;
        let present = found.iter().filter(|found| !is_going(found));
        let mut records: Vec<Record> =
            present.filter_map(|found| state::record(found, self.namespace(), now)).collect();
        records.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(records)
    }

    async fn names(&self) -> Result<Vec<String>, DatabaseError> {
        Ok(self.list().await?.into_iter().map(|record| record.name).collect())
    }

    /// Address and password of a database, for pods of its cluster.
    ///
    /// # Errors
    /// When its Secret does not exist.
    pub async fn access(&self, record: &Record) -> Result<Access, DatabaseError> {
        let object = object_name(&record.name);
        let secret = self.client.get(SECRETS, &object).await.map_err(refused)?;
        let secret = secret.as_ref();
        let value = |key| secret.and_then(|secret| secret_value(secret, key));
        match (value(PASSWORD), value(ENGINE_URL)) {
            (Some(password), Some(engine_url)) => Ok(Access { port: Some(PORT), password: Some(password), engine_url }),
            _ => Err(DatabaseError::new(
                DatabaseErrorKind::Failed,
                format!("the Secret `{object}` of the database `{}` is gone or incomplete", record.name),
            )
            .hint("restore it with `terrace apply`")),
        }
    }

    /// Creates a database, and waits until its server accepts connections. Removes the rest of an expired one, and goes on
    /// with an interrupted creation.
    ///
    /// # Errors
    /// When it exists, or does not start; then nothing of it remains.
    pub async fn create(&self, spec: &DatabaseSpec, cancel: &CancellationToken) -> Result<Record, DatabaseError> {
        check_name(&spec.name)?;
        let image = self.required_image()?;
        let object = object_name(&spec.name);
        match self.client.get(STATEFUL_SETS, &object).await.map_err(refused)? {
            Some(found) if is_going(&found) => self.wait_until_gone(STATEFUL_SETS, &object).await?,
            Some(found) => match self.record_of(&found).await?.map(|record| self.status_of(&record)) {
                None => {
                    return Err(DatabaseError::new(
                        DatabaseErrorKind::Failed,
                        format!("the StatefulSet `{object}` exists, and is not that of a database"),
                    )
                    .hint("give the database another name"));
                }
                Some(Status::Expired) => self.remove_read(&spec.name, Some(&found)).await?,
                Some(Status::Creating) => self.end_unfinished(spec, &found).await?,
                // The answer to its creation was lost.
                Some(_) if has_mark(&found, spec.mark.as_deref()) => return self.existing(&spec.name).await,
                Some(_) => return Err(error::exists(&spec.name)),
            },
            None => {}
        }
        let has_data = self.client.get(CLAIMS, &object).await.map_err(refused)?.is_some_and(|claim| !is_going(&claim));
        let description = Description {
            name: spec.name.clone(),
            id: uuid::Uuid::now_v7().to_string(),
            mark: spec.mark.clone(),
            owner: spec.owner.clone(),
            ttl: spec.ttl.clone(),
            is_fresh: spec.is_fresh,
            has_page: spec.has_page,
            claim: spec.claim.clone(),
            image,
            expires_at: self.deadline(spec.ttl.as_deref()).await?,
            ..Description::default()
        };
        self.check_owners(&spec.name).await?;
        let first = self.create_first(&description).await?;
        let failed = match self.put(description, &first, true, None, cancel).await {
            Ok(created) => return Ok(created),
            Err(failed) => failed,
        };
        match self.clean_up(&spec.name, &first, !has_data).await {
            // The pod is gone, so a hint that shows it leads nowhere.
            Ok(()) => {
                let pod = pod_name(&spec.name);
                Err(DatabaseError { hint: failed.hint.filter(|hint| !hint.contains(&pod)), ..failed })
            }
            // After a cancellation, the caller would expect that nothing remains.
            Err(reason) => {
                let remaining = format!("its objects remain: {}", reason.message);
                Err(DatabaseError { kind: DatabaseErrorKind::Failed, ..failed }.facts([remaining]))
            }
        }
    }

    /// Removes the StatefulSet of an interrupted creation. Its claim stays, with the data that it may have had before.
    ///
    /// # Errors
    /// When another caller may still create the database.
    async fn end_unfinished(&self, spec: &DatabaseSpec, found: &Json) -> Result<(), DatabaseError> {
        if !has_mark(found, spec.mark.as_deref()) && after(created_at(found), START) > self.now().await? {
            return Err(in_creation(&spec.name));
        }
        self.client.delete_read(STATEFUL_SETS, found, Propagation::Foreground).await.map_err(refused)?;
        self.wait_until_gone(STATEFUL_SETS, &object_name(&spec.name)).await
    }

    /// Creates the StatefulSet without a pod: the other objects need its uid, and the pod needs them. Only one of several
    /// callers succeeds.
    async fn create_first(&self, description: &Description) -> Result<Json, DatabaseError> {
        let first = Description { is_whole: false, is_stopped: true, ..description.clone() };
        match self.client.create(STATEFUL_SETS, &first.stateful_set(None)).await {
            Err(error) if error.kind == ClientErrorKind::Exists => {
                let found = self.get(&description.name).await?;
                // The answer to the first request was lost, and the client repeated it.
                let is_own = |found: &Json| Description::read(found).is_some_and(|it| it.id == description.id);
                found.filter(is_own).ok_or_else(|| in_creation(&description.name))
            }
            created => created.map_err(refused),
        }
    }

    /// Removes the objects of a failed creation, unless another caller has created the database again.
    async fn clean_up(&self, name: &str, first: &Json, with_claim: bool) -> Result<(), DatabaseError> {
        // Read before the StatefulSet: it is not the claim of a successor.
        let claim = self.own(CLAIMS, name).await?.filter(|_| with_claim);
        let object = object_name(name);
        let found = self.client.get(STATEFUL_SETS, &object).await.map_err(refused)?;
        if found.is_some_and(|found| uid(&found) != uid(first)) {
            return Ok(());
        }
        self.client.delete_read(STATEFUL_SETS, first, Propagation::Background).await.map_err(refused)?;
        match claim {
            Some(claim) => self.client.delete_read(CLAIMS, &claim, Propagation::Background).await.map_err(refused),
            None => Ok(()),
        }
    }

    /// An object of a database; nothing if it does not exist, or has another owner.
    async fn own(&self, resource: Resource, name: &str) -> Result<Option<Json>, DatabaseError> {
        let found = self.client.get(resource, &object_name(name)).await.map_err(refused)?;
        Ok(found.filter(|found| manifest::is_of(found, name)))
    }

    /// Refuses objects of other owners in the place of those of a database.
    async fn check_owners(&self, name: &str) -> Result<(), DatabaseError> {
        let object = object_name(name);
        for (resource, kind) in [(SECRETS, "Secret"), (SERVICES, "Service"), (CLAIMS, "claim")] {
            let found = self.client.get(resource, &object).await.map_err(refused)?;
            if found.is_some_and(|found| !manifest::is_of(&found, name)) {
                let message = format!("the {kind} `{object}` exists, and is not that of the database `{name}`");
                return Err(DatabaseError::new(DatabaseErrorKind::Failed, message)
                    .hint("give the database another name, or have the owner of that object remove it"));
            }
        }
        Ok(())
    }

    /// Brings all objects of a database with this StatefulSet to the cluster, and waits until its server accepts
    /// connections. A restarted lifetime begins then.
    async fn put(
        &self,
        mut wanted: Description,
        stateful_set: &Json,
        restarts_life: bool,
        password: Option<SecretString>,
        cancel: &CancellationToken,
    ) -> Result<Record, DatabaseError> {
        let (name, object) = (wanted.name.clone(), object_name(&wanted.name));
        let (owner, uid) = (owner(stateful_set), Some(uid(stateful_set)));
        let deadline = self.deadline(wanted.ttl.as_deref()).await?;
        wanted.secret = self.put_secret(&wanted, &owner, password).await?;
        self.apply(SERVICES, &wanted.service(Some(&owner))).await?;
        if let Some(claim) = wanted.data_claim() {
            if self.client.get(CLAIMS, &object).await.map_err(refused)?.is_some_and(|found| is_going(&found)) {
                self.wait_until_gone(CLAIMS, &object).await?;
            }
            self.apply(CLAIMS, &claim).await?;
        }
        wanted.is_stopped = false;
        self.edit(&name, uid, |found, _| {
            let expires_at = if restarts_life { deadline } else { found.expires_at };
            if found.is_expired {
                let message = format!("the database `{name}` has expired during its change");
                return Err(DatabaseError::new(DatabaseErrorKind::Failed, message).hint("plan again"));
            }
            Ok(Change::Whole(Description { expires_at, ..wanted.clone() }))
        })
        .await?;
        self.wait_until_ready(&name, cancel).await?;
        if restarts_life {
            let deadline = self.deadline(wanted.ttl.as_deref()).await?;
            self.edit(&name, uid, |_, _| Ok(Change::Annotations(manifest::completed(deadline)))).await?;
        }
        self.existing(&name).await
    }

    async fn apply(&self, resource: Resource, manifest: &Json) -> Result<Json, DatabaseError> {
        self.client.apply(resource, manifest).await.map_err(refused)
    }

    /// Makes sure that the Secret exists, and returns its uid. It keeps its password; a new Secret gets this one, or another.
    async fn put_secret(
        &self,
        wanted: &Description,
        owner: &Json,
        password: Option<SecretString>,
    ) -> Result<String, DatabaseError> {
        let object = object_name(&wanted.name);
        let found = self.client.get(SECRETS, &object).await.map_err(refused)?;
        let is_own = |found: &Json| {
            !is_going(found) && found.pointer("/metadata/ownerReferences/0/uid") == owner.pointer("/uid")
        };
        let password =
            match found.as_ref().filter(|found| is_own(found)).and_then(|found| secret_value(found, PASSWORD)) {
                Some(password) => password,
                None => password.map_or_else(new_password, Ok)?,
            };
        if let Some(former) = found.filter(|found| !is_own(found)) {
            // It belongs to a former StatefulSet, which takes it along.
            self.client.delete_read(SECRETS, &former, Propagation::Background).await.map_err(refused)?;
        }
        let host = format!("{object}.{}.svc", self.namespace());
        let password = password.expose_secret();
        let engine_url = format!("postgresql+psycopg2://{USER}:{password}@{host}:{PORT}/{USER}");
        let stored = self.apply(SECRETS, &wanted.secret(password, &engine_url, owner)).await?;
        Ok(text(&stored, "/metadata/uid").to_owned())
    }

    /// Changes a database in place, unless it has another owner than that of `spec`, and restores its objects: its lifetime from
    /// now on, the size of its claim, its image. A Secret that is gone is restored with this password. Completes an interrupted
    /// creation: its caller has ended, because an owner has one caller at a time.
    ///
    /// # Errors
    /// When it does not exist, or its server does not start again.
    pub async fn change(
        &self,
        spec: &DatabaseSpec,
        password: Option<SecretString>,
        cancel: &CancellationToken,
    ) -> Result<Record, DatabaseError> {
        let found = self.get(&spec.name).await?;
        let before =
            found.as_ref().and_then(Description::read).filter(|before| before.is_owned_by(spec.owner.as_deref()));
        let (Some(found), Some(before)) = (found, before) else {
            return Err(error::missing(&spec.name, &self.names().await?));
        };
        let status = self.record_of(&found).await?.map(|record| self.status_of(&record));
        let is_unfinished = status == Some(Status::Creating);
        if status == Some(Status::Expired) || (is_unfinished && spec.owner.is_none()) {
            return self.create(spec, cancel).await;
        }
        let is_new_life = is_unfinished || before.ttl != spec.ttl;
        let wanted = Description {
            mark: spec.mark.clone(),
            ttl: spec.ttl.clone(),
            has_page: spec.has_page,
            claim: spec.claim.clone(),
            image: self.required_image()?,
            ..before
        };
        self.check_owners(&spec.name).await?;
        self.put(wanted, &found, is_new_life, password, cancel).await
    }

    /// Makes sure that a database runs: starts a stopped one, and creates an expired one again. Waits for a creation by
    /// another caller.
    ///
    /// # Errors
    /// When it does not exist, or does not start.
    pub async fn ensure(&self, name: &str, cancel: &CancellationToken) -> Result<(Record, Access), DatabaseError> {
        let begun = Instant::now();
        let record = loop {
            let record = self.existing(name).await?;
            // The same mark would make this caller the owner of the creation by another.
            let spec = DatabaseSpec { mark: record.next_mark(), ..DatabaseSpec::from_record(&record) };
            match self.status_of(&record) {
                Status::Running | Status::Changed => {
                    self.wait_until_ready(name, cancel).await?;
                    break record;
                }
                Status::Stopped => break self.start(name, cancel).await?,
                Status::Expired | Status::Creating => match self.create(&spec, cancel).await {
                    // Another process was first.
                    Err(error) if error.kind == DatabaseErrorKind::AlreadyExists => {}
                    Err(error) if error.kind.is_temporary() && begun.elapsed() < START => {}
                    created => break created?,
                },
            }
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                () = cancel.cancelled() => {
                    let message = format!("cancelled while another caller creates the database `{name}`");
                    return Err(DatabaseError::new(DatabaseErrorKind::Cancelled, message));
                }
            }
        };
        let access = self.access(&record).await?;
        Ok((record, access))
    }

    /// Changes a StatefulSet, again if others change it at the same time. With a uid, another StatefulSet is refused; without
    /// it, an expired database.
    async fn edit(
        &self,
        name: &str,
        expected: Option<&str>,
        change: impl Fn(&Description, Timestamp) -> Result<Change, DatabaseError>,
    ) -> Result<(), DatabaseError> {
        let mut tries = 0;
        loop {
            let found = self.get(name).await?;
            let description = found.as_ref().and_then(Description::read);
            let (Some(found), Some(description)) = (found, description) else {
                return Err(error::missing(name, &self.names().await?));
            };
            if expected.is_some_and(|expected| expected != uid(&found)) {
                return Err(error::exists(name));
            }
            let now = self.now().await?;
            let expired = state::record(&found, self.namespace(), now).filter(|record| record.is_expired);
            if let (Some(expired), None) = (expired, expected) {
                return Err(error::expired(&expired));
            }
            let version = text(&found, "/metadata/resourceVersion");
            tries += 1;
            let written = match change(&description, now)? {
                Change::Whole(wanted) => self.client.apply(STATEFUL_SETS, &wanted.stateful_set(Some(version))).await,
                Change::Annotations(annotations) => {
                    let patch = json!({"metadata": {"resourceVersion": version, "annotations": annotations}});
                    self.client.patch(STATEFUL_SETS, &object_name(name), &patch).await
                }
                Change::Replicas(replicas) => {
                    let patch = json!({"metadata": {"resourceVersion": version}, "spec": {"replicas": replicas}});
                    self.client.patch(STATEFUL_SETS, &object_name(name), &patch).await
                }
            };
            match written {
                // The cluster writes the status into the same object.
                Err(error) if error.kind == ClientErrorKind::Conflict && tries < MOST_TRIES => {}
                written => return written.map(drop).map_err(refused),
            }
        }
    }

    /// Starts the server of a stopped database.
    ///
    /// # Errors
    /// When it does not exist, has expired, or does not start.
    pub async fn start(&self, name: &str, cancel: &CancellationToken) -> Result<Record, DatabaseError> {
        self.edit(name, None, |_, _| Ok(Change::Replicas(1))).await?;
        self.wait_until_ready(name, cancel).await?;
        self.existing(name).await
    }

    /// Stops the server of a database whose data is on a claim.
    ///
    /// # Errors
    /// When it does not exist, has no claim, or its server does not end.
    pub async fn stop(&self, name: &str) -> Result<Record, DatabaseError> {
        let record = self.existing(name).await?;
        if record.is_expired {
            return Err(error::expired(&record));
        }
        if record.cluster.as_ref().is_some_and(|cluster| cluster.claim.is_none()) {
            return Err(invalid(
                format!("the data of `{name}` is on no claim, and would be lost with its pod"),
                "declare it with `persistent: true`, or remove it",
            ));
        }
        self.edit(name, None, |_, _| Ok(Change::Replicas(0))).await?;
        self.wait_until_stopped(name).await?;
        self.existing(name).await
    }

    /// Extends the lifetime of a database.
    ///
    /// # Errors
    /// When it does not exist, has no deadline, or has expired.
    pub async fn extend(&self, name: &str, by: Extension) -> Result<Record, DatabaseError> {
        self.existing(name).await?;
        // From the present deadline: another caller may extend it at the same time.
        self.edit(name, None, |found, now| {
            let expires_at = found.expires_at.ok_or_else(|| error::no_deadline(name))?;
            let left = Duration::try_from(expires_at.duration_since(now)).unwrap_or_default();
            Ok(Change::Annotations(manifest::expiring(after(now, by.of(left)))))
        })
        .await?;
        self.existing(name).await
    }

    /// Removes a database with its data. A missing database is not an error.
    ///
    /// # Errors
    /// When the cluster refuses, or does not end the server in time.
    pub async fn remove(&self, name: &str) -> Result<(), DatabaseError> {
        self.remove_read(name, None).await
    }

    /// Removes a database with its data, unless it has another owner than this one. A missing database is not an error.
    ///
    /// # Errors
    /// As [`ClusterDatabases::remove`].
    pub async fn remove_owned(&self, name: &str, owner: Option<&str>) -> Result<(), DatabaseError> {
        match self.own(STATEFUL_SETS, name).await?.as_ref() {
            Some(found) if Description::read(found).is_some_and(|it| !it.is_owned_by(owner)) => Ok(()),
            found => self.remove_read(name, found).await,
        }
    }

    /// Removes a database, or this one alone if it was read before.
    async fn remove_read(&self, name: &str, expected: Option<&Json>) -> Result<(), DatabaseError> {
        // Read before the StatefulSet: it is not the claim of a successor.
        let claim = self.own(CLAIMS, name).await?;
        let found = self.client.get(STATEFUL_SETS, &object_name(name)).await.map_err(refused)?;
        let is_other = |found: &Json| expected.is_some_and(|expected| uid(expected) != uid(found));
        match found {
            Some(found) if is_other(&found) || !manifest::is_of(&found, name) => Ok(()),
            found => self.delete_objects(name, found.as_ref(), claim.as_ref()).await,
        }
    }

    /// Deletes these objects of a database with their dependents, and waits for their end.
    async fn delete_objects(
        &self,
        name: &str,
        stateful_set: Option<&Json>,
        claim: Option<&Json>,
    ) -> Result<(), DatabaseError> {
        let object = object_name(name);
        // The claim first: after an interruption, the StatefulSet is still there to repeat it. The claim goes with its pod.
        if let Some(claim) = claim {
            self.client.delete_read(CLAIMS, claim, Propagation::Background).await.map_err(refused)?;
        }
        if let Some(stateful_set) = stateful_set {
            self.client.delete_read(STATEFUL_SETS, stateful_set, Propagation::Foreground).await.map_err(refused)?;
        }
        self.wait_until_gone(STATEFUL_SETS, &object).await?;
        self.wait_until_gone(CLAIMS, &object).await
    }

    /// Ends the databases of the namespace whose lifetime is over, and deletes their data. A declared database remains as
    /// `expired`; a database that was created for a run leaves nothing. Returns their names.
    ///
    /// # Errors
    /// When the cluster does not answer, or refuses.
    pub async fn end_expired(&self) -> Result<Vec<String>, DatabaseError> {
        let selector = ("labelSelector", manifest::ALL.to_owned());
        let all = self.client.list(STATEFUL_SETS, &[selector]).await.map_err(refused)?;
        let described = |found: &Json| Description::read(found).filter(|it| it.expires_at.is_some() && !it.is_expired);
        if all.iter().all(|found| described(found).is_none()) {
            return Ok(Vec::new());
        }
        // A wrong clock of this machine would end databases too early.
        let Some(now) = self.cluster_time().await? else { return Ok(Vec::new()) };
        let mut ended = Vec::new();
        for found in all.iter().filter(|found| !is_going(found)) {
            let Some(description) = described(found).filter(|description| state::is_due(description, now)) else {
                continue;
            };
            if self.end(found, description.clone()).await? {
                ended.push(description.name);
            }
        }
        Ok(ended)
    }

    /// Ends an expired database. Returns false if another process changed it since it was read.
    async fn end(&self, found: &Json, mut description: Description) -> Result<bool, DatabaseError> {
        let name = description.name.clone();
        // Read before the first write, which only succeeds for this database: it is not that of a successor.
        let claim = self.own(CLAIMS, &name).await?;
        // The StatefulSet identifies its Secret, so that no right to read Secrets is needed.
        let secret = json!({"metadata": {"name": object_name(&name), "uid": description.secret}});
        description.is_stopped = true;
        // An extension since then wins.
        let version = text(found, "/metadata/resourceVersion");
        match self.client.apply(STATEFUL_SETS, &description.stateful_set(Some(version))).await {
            Err(error) if [ClientErrorKind::Conflict, ClientErrorKind::NotFound].contains(&error.kind) => {
                return Ok(false);
            }
            applied => drop(applied.map_err(refused)?),
        }
        if description.is_fresh {
            self.delete_objects(&name, Some(found), claim.as_ref()).await?;
            return Ok(true);
        }
        for (resource, object) in [(CLAIMS, claim), (SECRETS, Some(secret))] {
            let Some(object) = object else { continue };
            self.client.delete_read(resource, &object, Propagation::Background).await.map_err(refused)?;
        }
        let ended = self.edit(&name, Some(uid(found)), |_, _| Ok(Change::Annotations(manifest::expired()))).await;
        match ended {
            // Another caller removed it, or created a successor.
            Err(error) if [DatabaseErrorKind::Missing, DatabaseErrorKind::AlreadyExists].contains(&error.kind) => {
                Ok(false)
            }
            ended => ended.map(|()| true),
        }
    }

    /// Problems of the cluster with a database, for a plan that another identity may apply later.
    pub async fn findings(&self, spec: &DatabaseSpec) -> Vec<Finding> {
        let finding = |severity, message, hint| vec![Finding { severity, path: None, message, hint }];
        match rights_problem(&self.client, &DATABASES, "databases").await {
            Err(error) => return vec![finding_of(&error)],
            Ok(Some(problem)) => return vec![problem],
            Ok(None) => {}
        }
        if spec.claim.is_some() {
            let going = match self.own(CLAIMS, &spec.name).await {
                Ok(claim) => claim.is_some_and(|claim| is_going(&claim)),
                Err(_) => false,
            };
            let is_used = going && matches!(self.get(&spec.name).await, Ok(Some(_)));
            if is_used {
                let (name, object) = (&spec.name, object_name(&spec.name));
                return finding(
                    Severity::Error,
                    format!(
                        "the claim `{object}` is being deleted, and goes with its data when the server of `{name}` ends"
                    ),
                    Some(format!(
                        "save the data with `terrace pipelines databases dump {name} FILE`, remove the database from the \
                         descriptor, apply, and declare it again"
                    )),
                );
            }
        }
        // Without an image, the server cannot check the pod.
        let Some(image) = self.image.clone() else { return Vec::new() };
        let example =
            Description { name: spec.name.clone(), image, claim: spec.claim.clone(), ..Description::default() };
        let mut findings = Vec::new();
        let objects = [(STATEFUL_SETS, Some(example.stateful_set(None))), (CLAIMS, example.data_claim())];
        for (resource, object) in objects {
            let Some(object) = object else { continue };
            match self.client.check_apply(resource, &object).await {
                Err(error) => findings.push(finding_of(&error)),
                // Extensions and stops by terrace own fields, too.
                Ok(owned) => {
                    findings.extend(owned.into_iter().filter(|it| it.manager != "terrace").map(|owned| Finding {
                        severity: Severity::Warning,
                        path: None,
                        message: format!(
                            "`{}` has changed `{}` of `{}`: an apply takes it back",
                            owned.manager,
                            owned.field,
                            object_name(&spec.name)
                        ),
                        hint: Some(format!("have `{}` leave the database alone", owned.manager)),
                    }))
                }
            }
        }
        findings
    }
}
