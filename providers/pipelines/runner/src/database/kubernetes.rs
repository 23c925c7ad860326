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
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::fmt::rfc2822::DateTimeParser;
use jiff::{SignedDuration, Timestamp};
use manifest::{DATABASE, Description, ENGINE_URL, PASSWORD, PORT, has_fields, object_name, owner};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value as Json;
use std::time::Duration;
use terrace_provider::{Finding, ProviderError, Settings, Severity};
use terrace_provider_kubernetes::client::{Client, ClientError, ClientErrorKind, Propagation, Resource, Right};
use tokio_util::sync::CancellationToken;

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

/// The rights that databases need.
pub(crate) const RIGHTS: [Right; 21] = [
    Right { verb: "create", group: "apps", resource: "statefulsets" },
    Right { verb: "get", group: "apps", resource: "statefulsets" },
    Right { verb: "list", group: "apps", resource: "statefulsets" },
    Right { verb: "patch", group: "apps", resource: "statefulsets" },
    Right { verb: "delete", group: "apps", resource: "statefulsets" },
    Right { verb: "create", group: "", resource: "services" },
    Right { verb: "get", group: "", resource: "services" },
    Right { verb: "patch", group: "", resource: "services" },
    Right { verb: "create", group: "", resource: "secrets" },
    Right { verb: "get", group: "", resource: "secrets" },
    Right { verb: "patch", group: "", resource: "secrets" },
    Right { verb: "delete", group: "", resource: "secrets" },
    Right { verb: "create", group: "", resource: "persistentvolumeclaims" },
    Right { verb: "get", group: "", resource: "persistentvolumeclaims" },
    Right { verb: "patch", group: "", resource: "persistentvolumeclaims" },
    Right { verb: "delete", group: "", resource: "persistentvolumeclaims" },
    Right { verb: "list", group: "", resource: "pods" },
    Right { verb: "list", group: "", resource: "events" },
    Right { verb: "get", group: "", resource: "pods/log" },
    // Depending on its version, the server checks one or the other for connections.
    Right { verb: "create", group: "", resource: "pods/exec" },
    Right { verb: "get", group: "", resource: "pods/exec" },
];

/// The rights that the pages of databases need, too.
pub(crate) const PAGE_RIGHTS: [Right; 2] = [
    // Depending on its version, the server checks one or the other for connections.
    Right { verb: "create", group: "", resource: "pods/portforward" },
    Right { verb: "get", group: "", resource: "pods/portforward" },
];

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
        true => DatabaseErrorKind::InUse,
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
        Ok(Self { client: Client::open(settings, namespace)?, image, start_time: START })
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

    /// The time by the clock of the cluster.
    async fn now(&self) -> Result<Timestamp, DatabaseError> {
        let date = self.client.date().await.map_err(refused)?;
        let parsed = date.and_then(|date| DateTimeParser::new().parse_timestamp(&date).ok());
        // A proxy may leave the date out.
        Ok(parsed.unwrap_or_else(Timestamp::now))
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
            text(secret, "/metadata/uid") == description.secret && secret_value(secret, PASSWORD).is_some()
        });
        let service = self.client.get(SERVICES, &object).await.map_err(refused)?;
        let has_service = service.is_some_and(|service| has_fields(&service, &description.service(None)));
        let has_claim = match &description.claim {
            Some(_) => self.client.get(CLAIMS, &object).await.map_err(refused)?.is_some_and(|claim| !is_going(&claim)),
            None => true,
        };
        Ok(has_secret && has_service && has_claim)
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
                Some(Status::Expired) => self.remove(&spec.name).await?,
                Some(Status::Creating) => {}
                Some(_) => return Err(error::exists(&spec.name)),
            },
            None => {}
        }
        let has_data = self.client.get(CLAIMS, &object).await.map_err(refused)?.is_some_and(|claim| !is_going(&claim));
        let description = Description {
            name: spec.name.clone(),
            id: uuid::Uuid::now_v7().to_string(),
            mark: spec.mark.clone(),
            ttl: spec.ttl.clone(),
            is_fresh: spec.is_fresh,
            has_page: spec.has_page,
            claim: spec.claim.clone(),
            image,
            ..Description::default()
        };
        let created = self.put(description, true, None, cancel).await;
        if created.is_err() {
            // The first error is reported, not those of the cleanup: the next creation goes on with the remaining objects.
            let _ = self.client.delete(STATEFUL_SETS, &object, Propagation::Background).await;
            if spec.claim.is_some() && !has_data {
                let _ = self.client.delete(CLAIMS, &object, Propagation::Background).await;
            }
        }
        created
    }

    /// Brings all objects of a database to the cluster, and waits until its server accepts connections. A restarted
    /// lifetime begins then.
    async fn put(
        &self,
        mut wanted: Description,
        restarts_life: bool,
        password: Option<SecretString>,
        cancel: &CancellationToken,
    ) -> Result<Record, DatabaseError> {
        let object = object_name(&wanted.name);
        let life = wanted.ttl.as_deref().map(time_to_live).transpose();
        let life = life.map_err(|why| DatabaseError::new(DatabaseErrorKind::Invalid, format!("`ttl`: {why}")))?;
        if restarts_life {
            wanted.expires_at = match life {
                Some(life) => Some(after(self.now().await?, life)),
                None => None,
            };
        }
        wanted.is_expired = false;
        let owner = match self.get(&wanted.name).await? {
            Some(found) => owner(&found),
            // The other objects need its uid, and its pod needs them.
            None => {
                let first = Description { is_whole: false, is_stopped: true, ..wanted.clone() };
                owner(&self.apply(STATEFUL_SETS, &first.stateful_set(None)).await?)
            }
        };
        wanted.secret = self.put_secret(&wanted, &owner, password).await?;
        self.apply(SERVICES, &wanted.service(Some(&owner))).await?;
        if let Some(claim) = wanted.data_claim() {
            if self.client.get(CLAIMS, &object).await.map_err(refused)?.is_some_and(|found| is_going(&found)) {
                self.wait_until_gone(CLAIMS, &object).await?;
            }
            self.apply(CLAIMS, &claim).await?;
        }
        wanted.is_stopped = false;
        self.apply(STATEFUL_SETS, &wanted.stateful_set(None)).await?;
        self.wait_until_ready(&wanted.name, cancel).await?;
        if wanted.is_whole && !restarts_life {
            return self.existing(&wanted.name).await;
        }
        wanted.is_whole = true;
        if let (true, Some(life)) = (restarts_life, life) {
            wanted.expires_at = Some(after(self.now().await?, life));
        }
        self.apply(STATEFUL_SETS, &wanted.stateful_set(None)).await?;
        self.existing(&wanted.name).await
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
        if found.is_some_and(|found| !is_own(&found)) {
            // It belongs to a former StatefulSet, which takes it along.
            self.client.delete(SECRETS, &object, Propagation::Background).await.map_err(refused)?;
        }
        let host = format!("{object}.{}.svc", self.namespace());
        let password = password.expose_secret();
        let engine_url = format!("postgresql+psycopg2://{USER}:{password}@{host}:{PORT}/{USER}");
        let stored = self.apply(SECRETS, &wanted.secret(password, &engine_url, owner)).await?;
        Ok(text(&stored, "/metadata/uid").to_owned())
    }

    /// Changes a database in place, and restores its objects: its lifetime from now on, the size of its claim, its image. A
    /// Secret that is gone is restored with this password.
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
        let before = found.as_ref().and_then(Description::read);
        let (Some(found), Some(before)) = (found, before) else {
            return Err(error::missing(&spec.name, &self.names().await?));
        };
        let status = self.record_of(&found).await?.map(|record| self.status_of(&record));
        if matches!(status, Some(Status::Expired | Status::Creating)) {
            return self.create(spec, cancel).await;
        }
        let is_new_life = before.ttl != spec.ttl;
        let wanted = Description {
            mark: spec.mark.clone(),
            ttl: spec.ttl.clone(),
            has_page: spec.has_page,
            claim: spec.claim.clone(),
            image: self.required_image()?,
            ..before
        };
        self.put(wanted, is_new_life, password, cancel).await
    }

    /// Makes sure that a database runs: starts a stopped one, and creates an expired one again.
    ///
    /// # Errors
    /// When it does not exist, or does not start.
    pub async fn ensure(&self, name: &str, cancel: &CancellationToken) -> Result<(Record, Access), DatabaseError> {
        let record = self.existing(name).await?;
        let record = match self.status_of(&record) {
            Status::Running | Status::Changed => {
                self.wait_until_ready(name, cancel).await?;
                record
            }
            Status::Stopped => self.start(name, cancel).await?,
            Status::Expired | Status::Creating => {
                match self.create(&DatabaseSpec::from_record(&record), cancel).await {
                    // Another process was first.
                    Err(error) if error.kind == DatabaseErrorKind::AlreadyExists => self.start(name, cancel).await?,
                    created => created?,
                }
            }
        };
        let access = self.access(&record).await?;
        Ok((record, access))
    }

    /// Changes the description of a database that has not expired.
    async fn edit(&self, name: &str, edit: impl Fn(&mut Description)) -> Result<(), DatabaseError> {
        let mut tries = 0;
        loop {
            let found = self.get(name).await?;
            let description = found.as_ref().and_then(Description::read);
            let (Some(found), Some(mut description)) = (found, description) else {
                return Err(error::missing(name, &self.names().await?));
            };
            if let Some(record) = self.record_of(&found).await?.filter(|record| record.is_expired) {
                return Err(error::expired(&record));
            }
            edit(&mut description);
            let version = text(&found, "/metadata/resourceVersion");
            tries += 1;
            match self.client.apply(STATEFUL_SETS, &description.stateful_set(Some(version))).await {
                // The cluster writes the status into the same object.
                Err(error) if error.kind == ClientErrorKind::Conflict && tries < MOST_TRIES => {}
                applied => return applied.map(drop).map_err(refused),
            }
        }
    }

    /// Starts the server of a stopped database.
    ///
    /// # Errors
    /// When it does not exist, has expired, or does not start.
    pub async fn start(&self, name: &str, cancel: &CancellationToken) -> Result<Record, DatabaseError> {
        self.edit(name, |description| description.is_stopped = false).await?;
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
        self.edit(name, |description| description.is_stopped = true).await?;
        self.wait_until_stopped(name).await?;
        self.existing(name).await
    }

    /// Extends the lifetime of a database.
    ///
    /// # Errors
    /// When it does not exist, has no deadline, or has expired.
    pub async fn extend(&self, name: &str, by: Extension) -> Result<Record, DatabaseError> {
        let record = self.existing(name).await?;
        let (Some(deadline), false) = (&record.deadline, record.is_expired) else {
            let expired = record.is_expired;
            return Err(if expired { error::expired(&record) } else { error::no_deadline(name) });
        };
        let now = self.now().await?;
        let left = Duration::try_from(deadline.expires_at.duration_since(now)).unwrap_or_default();
        let expires_at = after(now, by.of(left));
        self.edit(name, |description| description.expires_at = Some(expires_at)).await?;
        self.existing(name).await
    }

    /// Removes a database with its data. A missing database is not an error.
    ///
    /// # Errors
    /// When the cluster refuses, or does not end the server in time.
    pub async fn remove(&self, name: &str) -> Result<(), DatabaseError> {
        let object = object_name(name);
        let is_own = |found: &Json| found.pointer("/metadata/labels").and_then(|labels| labels.get(DATABASE)).is_some();
        let found = self.client.get(STATEFUL_SETS, &object).await.map_err(refused)?;
        if found.is_some_and(|found| !is_own(&found)) {
            return Ok(());
        }
        // The claim first: after an interruption, the StatefulSet is still there to repeat it. The claim goes with its pod.
        if self.client.get(CLAIMS, &object).await.map_err(refused)?.is_some_and(|found| is_own(&found)) {
            self.client.delete(CLAIMS, &object, Propagation::Background).await.map_err(refused)?;
        }
        self.client.delete(STATEFUL_SETS, &object, Propagation::Foreground).await.map_err(refused)?;
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
        let now = self.now().await?;
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
        let object = object_name(&description.name);
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
            self.remove(&description.name).await?;
            return Ok(true);
        }
        self.client.delete(CLAIMS, &object, Propagation::Background).await.map_err(refused)?;
        self.client.delete(SECRETS, &object, Propagation::Background).await.map_err(refused)?;
        description.is_expired = true;
        self.apply(STATEFUL_SETS, &description.stateful_set(None)).await?;
        Ok(true)
    }

    /// Problems of the cluster with a database, for a plan that another identity may apply later.
    pub async fn findings(&self, spec: &DatabaseSpec) -> Vec<Finding> {
        let finding = |severity, message, hint| vec![Finding { severity, path: None, message, hint }];
        let failed = |error: ClientError| match error.is_transient() {
            true => finding(Severity::Warning, format!("the cluster is not checked: {error}"), error.hint()),
            false => finding(Severity::Error, error.to_string(), error.hint()),
        };
        match self.client.missing_rights(&RIGHTS).await {
            Err(error) => return failed(error),
            Ok(missing) if !missing.is_empty() => {
                let namespace = self.namespace();
                let message = format!("the identity lacks rights in the namespace `{namespace}` that databases need");
                return finding(
                    Severity::Warning,
                    message,
                    Some(format!("have an administrator run `{}`", missing.join("; "))),
                );
            }
            Ok(_) => {}
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
                Err(error) => findings.extend(failed(error)),
                Ok(owned) => findings.extend(owned.into_iter().map(|owned| Finding {
                    severity: Severity::Warning,
                    path: None,
                    message: format!(
                        "`{}` has changed `{}` of `{}`: an apply takes it back",
                        owned.manager,
                        owned.field,
                        object_name(&spec.name)
                    ),
                    hint: Some(format!("have `{}` leave the database alone", owned.manager)),
                })),
            }
        }
        findings
    }
}
