//! `pipelines_database`: a database for pipelines, which lives until it is removed or expires.
//!
//! An expired database remains as `expired`, without data: a plan reports that and changes nothing. A run that writes
//! into it recreates it.

use super::attributes::{IN_CLUSTER, is_in_cluster, object_id_of, parse_executor};
use super::planned_databases::PlannedDatabases;
use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use terrace_pipelines::database::kubernetes::{ClusterDatabases, DEFAULT_SIZE, check_name};
use terrace_pipelines::database::record::{HOST, USER};
use terrace_pipelines::database::{
    DataClaim, DatabaseError, DatabaseErrorKind, DatabaseSpec, Databases, Engine, InCluster, Record, Status,
};
use terrace_provider::plan::from_schema;
use terrace_provider::{
    Attempt, Attribute, AttributeType, Attributes, Call, DataAmount, DataLoss, DryRun, ErrorKind, Found, Object,
    Observed, Path, Planned, PlannedChange, Private, ProposedChange, ProviderError, Recorded, ResourceType, Session,
    Value,
};

/// The type's name.
pub const NAME: &str = "pipelines_database";
/// The attribute that names a database.
const IDENTITY: [&str; 1] = ["name"];
/// Port of servers in a cluster.
const PORT: u16 = 5432;
/// Attributes of databases in a cluster only.
const OF_CLUSTER: [&str; 4] = ["persistent", "size", "storageClass", "image"];
/// Attributes that the provider computes; they differ for each database.
const COMPUTED: [&str; 10] =
    ["port", "host", "database", "username", "password", "engineUrl", "version", "status", "expiresAt", "webUiUrl"];
/// Attributes that stay the same while the database runs, unless the second attribute changes.
const STABLE_WHILE_RUNNING: [(&str, &str); 3] = [("port", "port"), ("engineUrl", "port"), ("webUiUrl", "webUi")];

/// The type.
#[must_use]
pub fn resource_type() -> ResourceType {
    let text = |name, doc| Attribute::new(name, AttributeType::String, doc);
    ResourceType {
        settle: Duration::ZERO,
        holds_data: true,
        ..ResourceType::new(
            NAME,
            "A database that pipelines write into, on this machine or in a cluster.",
            &IDENTITY,
            Object(vec![
                text("name", "Name: small letters, digits, `-` and `_`.").required().replaces(),
                text("engine", "`postgres` or `sqlite`; without it `postgres` where PostgreSQL is installed.")
                    .or_kept()
                    .replaces(),
                text(
                    "ttl",
                    "Lifetime, such as `1h30m`, since its creation or the last change of `ttl`; without it, until it is removed.",
                ),
                text(
                    "executor",
                    "Where its server runs: `local`, on this machine, or `kubernetes`; without it, that of the provider.",
                )
                .or_kept()
                .replaces(),
                Attribute::new(
                    "persistent",
                    AttributeType::Bool,
                    "Keep its data in a PersistentVolumeClaim of the cluster; without it, if `ttl` is not set. Otherwise the data ends with its pod.",
                )
                .or_kept()
                .replaces(),
                text("size", "Size of the claim, such as `10Gi`; without it, `1Gi`.").or_kept(),
                text("storageClass", "Storage class of the claim; without it, that of the cluster.").replaces(),
                Attribute::new(
                    "port",
                    AttributeType::Int,
                    "Port of its server on this machine; without it, a free one.",
                )
                .or_kept(),
                Attribute::new("webUi", AttributeType::Bool, "Show a page on this machine with its tables.")
                    .default_value(true),
                text("id", "The name, for `terrace import`.").stable(),
                text("host", "Host of its server: this machine, or its Service in the cluster.").stable(),
                text("database", "Database within the server, or path of the file.").stable(),
                text("username", "Name of the user.").stable(),
                text("password", "Generated password.").stable().sensitive(),
                text("engineUrl", "Address with driver and password, in the form of `DPP_DB_ENGINE`.")
                    .computed()
                    .follows(&["port"])
                    .sensitive(),
                text("version", "Release of PostgreSQL.").stable(),
                text("image", "Image of its server in the cluster: the setting `databaseImage`.")
                    .computed()
                    .volatile("the setting may name another image"),
                text(
                    "status",
                    "`running`, `stopped`, `expired`; in the cluster also `creating` after an interrupted creation, or `changed`.",
                )
                    .computed()
                    .volatile("an update starts its server and restores its objects"),
                text("expiresAt", "Time at which it ends and its data is removed.").computed().follows(&["ttl"]),
                text("webUiUrl", "Address of its page; `terrace pipelines databases show` prints it with its token.")
                    .computed()
                    .follows(&["webUi"]),
            ]),
        )
    }
}

/// The databases of a project, as resources.
pub(crate) struct DatabaseResources {
    databases: Databases,
    cluster: Result<Arc<ClusterDatabases>, ProviderError>,
    /// New databases are in the cluster by default.
    prefers_cluster: bool,
    planned: PlannedDatabases,
}

/// Maps a database error to an error for the engine.
pub(super) fn provider_error(error: DatabaseError) -> ProviderError {
    let kind = match error.kind {
        DatabaseErrorKind::Missing => ErrorKind::NotFound,
        DatabaseErrorKind::AlreadyExists => ErrorKind::AlreadyExists { import_id: None },
        DatabaseErrorKind::InUse | DatabaseErrorKind::Unreachable => ErrorKind::Transient,
        DatabaseErrorKind::Invalid => ErrorKind::InvalidInput { path: None },
        DatabaseErrorKind::Failed => ErrorKind::Failed,
        DatabaseErrorKind::Cancelled => ErrorKind::Cancelled,
    };
    let mapped = error.facts.into_iter().fold(ProviderError::new(kind, error.message), ProviderError::problem);
    error.hint.into_iter().fold(mapped, ProviderError::solution)
}

/// Name in the attributes.
fn name_of(attributes: &Attributes) -> Result<&str, ProviderError> {
    let name = attributes.get("name").and_then(Value::as_str);
    name.ok_or_else(|| ProviderError::bug("a database without a name"))
}

/// The private bytes of a row of a database in a cluster.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// Mark of its first creation.
    owner: String,
}

/// The owner of the database of a row; nothing for a row of an older version and a database on this machine.
fn recorded_owner(row: &Private) -> Option<String> {
    serde_json::from_slice(&row.0).ok().map(|kept: Kept| kept.owner)
}

/// Returns true for a database in a cluster that the row's own call created.
fn is_created_by(record: &Record, row: &Private) -> bool {
    let own = record.cluster.as_ref().and_then(|cluster| cluster.owner.as_deref());
    own.is_some() && recorded_owner(row).as_deref() == own
}

/// Returns false for a database of the same name that another project created.
fn is_of(record: &Record, row: &Private) -> bool {
    let own = record.cluster.as_ref().and_then(|cluster| cluster.owner.as_deref());
    recorded_owner(row).as_deref().zip(own).is_none_or(|(row, own)| row == own)
}

/// Database that the attributes describe.
fn database_spec(attributes: &Attributes, call: &Call) -> Result<DatabaseSpec, ProviderError> {
    let text = |name: &str| attributes.get(name).and_then(Value::as_str).map(str::to_owned);
    let (engine, port) = parse(attributes)?;
    Ok(DatabaseSpec {
        name: name_of(attributes)?.to_owned(),
        engine,
        ttl: text("ttl"),
        port,
        has_page: attributes.get("webUi").and_then(Value::as_bool).unwrap_or(true),
        is_fresh: false,
        mark: Some(super::run::mark(&call.operation, &call.step)),
        owner: None,
        claim: claim(attributes),
    })
}

/// Parses engine and port where they are set; errors name the attribute.
fn parse(attributes: &Attributes) -> Result<(Option<Engine>, Option<u16>), ProviderError> {
    let at = |name: &str| Some(Path::attribute(name));
    let engine = match attributes.get("engine").and_then(Value::as_str) {
        None => None,
        Some(word) => Some(Engine::from_word(word).ok_or_else(|| {
            ProviderError::invalid(at("engine"), format!("`engine` is `{word}`: expected `postgres` or `sqlite`"))
        })?),
    };
    let port = match attributes.get("port").and_then(Value::as_int) {
        None => None,
        Some(port) => Some(
            u16::try_from(port)
                .ok()
                .filter(|port| *port > 0)
                .ok_or_else(|| ProviderError::invalid(at("port"), format!("`port` is {port}: expected 1 to 65535")))?,
        ),
    };
    Ok((engine, port))
}

/// Checks name and port; errors name the attribute.
fn check(name: &str, engine: Engine, config: &Attributes) -> Result<(), ProviderError> {
    let at = |name: &str, error| {
        let kind = ErrorKind::InvalidInput { path: Some(Path::attribute(name)) };
        ProviderError { kind, ..provider_error(error) }
    };
    let named = DatabaseSpec { name: name.to_owned(), ..DatabaseSpec::default() };
    named.check(Engine::Postgres).map_err(|error| at("name", error))?;
    let port = config.get("port").and_then(Value::as_int).and_then(|port| u16::try_from(port).ok());
    DatabaseSpec { port, ..named }.check(engine).map_err(|error| at("port", error))
}

/// The claim that attributes describe; nothing on this machine, or without one.
fn claim(attributes: &Attributes) -> Option<DataClaim> {
    let text = |name: &str| attributes.get(name).and_then(Value::as_str).map(str::to_owned);
    let is_persistent = is_in_cluster(attributes) && attributes.get("persistent") == Some(&Value::Bool(true));
    is_persistent.then(|| DataClaim {
        size: text("size").unwrap_or_else(|| DEFAULT_SIZE.to_owned()),
        storage_class: text("storageClass"),
    })
}

/// Refuses attributes that a database in a cluster, or one on this machine, cannot have.
fn check_place(config: &Attributes, engine: Option<Engine>, in_cluster: bool) -> Result<(), ProviderError> {
    let is_set = |name: &str| config.get(name).is_some_and(|value| !value.is_null());
    let refuse = |name: &str, message: &str, hint: &str| {
        Err(ProviderError::invalid(Some(Path::attribute(name)), message.to_owned()).solution(hint.to_owned()))
    };
    if !in_cluster {
        return match ["persistent", "size", "storageClass"].into_iter().find(|name| is_set(name)) {
            Some(name) => refuse(
                name,
                &format!("`{name}` belongs to databases in a cluster, and this one is on this machine"),
                &format!("remove `{name}`, or write `executor: kubernetes`"),
            ),
            None => Ok(()),
        };
    }
    if engine == Some(Engine::Sqlite) {
        let message = "`engine` is `sqlite`, a file of this machine that pods cannot reach";
        return refuse("engine", message, "write `engine: postgres`, or `executor: local`");
    }
    if is_set("port") {
        let message = "`port` belongs to databases on this machine: in a cluster each has its own address";
        return refuse("port", message, "remove `port`");
    }
    let is_temporary = config.get("persistent") == Some(&Value::Bool(false));
    if let (true, Some(name)) = (is_temporary, ["size", "storageClass"].into_iter().find(|name| is_set(name))) {
        return refuse(
            name,
            &format!("`{name}` belongs to a claim, and `persistent` is `false`"),
            &format!("remove `{name}`, or write `persistent: true`"),
        );
    }
    match config.get("size").and_then(Value::as_str).filter(|size| !is_size(size)) {
        Some(size) => refuse("size", &format!("`size` is `{size}`: expected a size of a volume"), "write `10Gi`"),
        None => Ok(()),
    }
}

/// Returns true for a size of a volume: `10Gi`.
fn is_size(text: &str) -> bool {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.get(digits.len()..).unwrap_or_default();
    digits.parse::<u64>().is_ok_and(|number| number > 0) && ["Mi", "Gi", "Ti", "Pi", "M", "G", "T", "P"].contains(&unit)
}

impl DatabaseResources {
    pub(crate) const fn new(
        databases: Databases,
        cluster: Result<Arc<ClusterDatabases>, ProviderError>,
        prefers_cluster: bool,
        planned: PlannedDatabases,
    ) -> Self {
        Self { databases, cluster, prefers_cluster, planned }
    }

    fn cluster(&self) -> Result<&ClusterDatabases, ProviderError> {
        self.cluster.as_deref().map_err(Clone::clone)
    }

    /// Attributes of a database in a cluster.
    async fn cluster_attributes(
        &self,
        record: &Record,
        cluster: &InCluster,
    ) -> Result<Vec<(&'static str, Value)>, ProviderError> {
        let mut attributes = vec![
            ("executor", IN_CLUSTER.into()),
            ("persistent", cluster.claim.is_some().into()),
            ("image", cluster.image.as_str().into()),
        ];
        if let Some(claim) = &cluster.claim {
            attributes.push(("size", claim.size.as_str().into()));
            attributes.extend(claim.storage_class.as_deref().map(|class| ("storageClass", class.into())));
        }
        if cluster.status == Status::Expired {
            return Ok(attributes);
        }
        attributes.extend([
            ("host", cluster.host.as_str().into()),
            ("database", USER.into()),
            ("username", USER.into()),
            ("port", i64::from(record.port.unwrap_or_default()).into()),
        ]);
        match self.cluster()?.access(record).await {
            Ok(access) => {
                let password = access.password.as_ref().map(|password| password.expose_secret().into());
                attributes.extend(password.map(|password| ("password", Value::sensitive(password))));
                attributes.push(("engineUrl", Value::sensitive(access.engine_url.expose_secret().into())));
            }
            // An update creates the Secret again.
            Err(_) if [Status::Changed, Status::Creating].contains(&cluster.status) => {}
            Err(error) => return Err(provider_error(error)),
        }
        Ok(attributes)
    }

    /// Attributes of a database, marked as derived from the values that name it.
    async fn observed(&self, record: &Record, named: &Attributes) -> Result<Observed, ProviderError> {
        let status = self.databases.status(record);
        let mut attributes = Attributes::default();
        let mut put = |name: &str, value: Value| attributes.insert(name.to_owned(), value);
        put("name", record.name.as_str().into());
        put("engine", record.engine.word().into());
        if let Some(ttl) = &record.ttl {
            put("ttl", ttl.as_str().into());
        }
        put("webUi", record.has_page.into());
        put("id", object_id_of(&record.name).derived_from(named, &IDENTITY));
        put("status", status.word().into());
        if let Some(deadline) = &record.deadline {
            put("expiresAt", deadline.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into());
        }
        if let Some(executor) = named.get("executor").filter(|executor| !executor.is_null()) {
            put("executor", executor.clone());
        }
        let is_present = status != Status::Expired && record.cluster.is_none();
        if let Some(cluster) = &record.cluster {
            for (name, value) in self.cluster_attributes(record, cluster).await? {
                put(name, value);
            }
        } else if let Some(port) = record.port.filter(|_| is_present || record.is_port_fixed) {
            put("port", i64::from(port).into());
        }
        if is_present {
            let access = self.databases.access(record).map_err(provider_error)?;
            match record.engine {
                Engine::Postgres => {
                    put("host", HOST.into());
                    put("database", USER.into());
                    put("username", USER.into());
                }
                Engine::Sqlite => {
                    put("database", Value::from(record.data.display().to_string()).derived_from(named, &IDENTITY));
                }
            }
            if let Some(password) = &access.password {
                put("password", Value::sensitive(password.expose_secret().into()));
            }
            put("engineUrl", Value::sensitive(access.engine_url.expose_secret().into()));
            if let Some(version) = &record.version {
                put("version", version.as_str().into());
            }
            if let Some(port) = self.databases.page_port(&record.name).filter(|_| record.has_page) {
                let page = format!("http://{HOST}:{port}/databases/{}", record.name);
                put("webUiUrl", Value::from(page).derived_from(named, &IDENTITY));
            }
        }
        let identity = [("name".to_owned(), record.name.as_str().into())].into_iter().collect();
        let owner = record.cluster.as_ref().and_then(|cluster| cluster.owner.clone());
        let private = owner.map(|owner| Private(serde_json::to_vec(&Kept { owner }).unwrap_or_default()));
        Ok(Observed { identity, attributes, private: private.unwrap_or_default() })
    }

    async fn find_record(&self, name: &str, in_cluster: bool) -> Result<Option<Record>, ProviderError> {
        match in_cluster {
            true => self.cluster()?.find(name).await.map_err(provider_error),
            false => self.databases.get(name).map_err(provider_error),
        }
    }

    async fn get(&self, prior: &Recorded) -> Result<Option<Record>, ProviderError> {
        let record = self.find_record(name_of(&prior.identity)?, is_in_cluster(&prior.attributes)).await?;
        // An update completes the own creation in a cluster; another creation does not count.
        let counts = |record: &Record| record.is_whole || is_created_by(record, &prior.private);
        Ok(record.filter(|record| counts(record) && is_of(record, &prior.private)))
    }
}

#[async_trait]
impl Session for DatabaseResources {
    async fn read(&self, _ty: &ResourceType, prior: &Recorded) -> Result<Option<Observed>, ProviderError> {
        match self.get(prior).await? {
            Some(record) => self.observed(&record, &prior.attributes).await.map(Some),
            None => Ok(None),
        }
    }

    async fn plan(&self, ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
        let (engine, _) = parse(change.config)?;
        if let Some(ttl) = change.config.get("ttl").and_then(Value::as_str) {
            terrace_pipelines::database::time_to_live(ttl).map_err(|why| {
                ProviderError::invalid(Some(Path::attribute("ttl")), format!("`ttl` is `{ttl}`: {why}"))
            })?;
        }
        let mut config = change.config.clone();
        let is_set = config.get("engine").is_some_and(|engine| !engine.is_null());
        let is_new = change.prior.is_none() || change.must_replace;
        let configured = parse_executor(&config)?;
        let prior_place = change.prior.filter(|_| !is_new).map(|prior| is_in_cluster(&prior.attributes));
        let in_cluster = configured.or(prior_place).unwrap_or(self.prefers_cluster);
        check_place(&config, engine, in_cluster)?;
        if in_cluster {
            Self::complete(&mut config, change.prior.filter(|_| !is_new));
        }
        let default_engine = (!is_set && is_new).then(|| match in_cluster {
            true => Engine::Postgres,
            false => self.databases.default_engine(),
        });
        if let Some(default_engine) = default_engine {
            config.insert("engine".to_owned(), default_engine.word().into());
        }
        let mut planned = from_schema(ty, &ProposedChange { config: &config, ..change.clone() });
        match in_cluster {
            true => self.plan_in_cluster(change, &config, &mut planned)?,
            false => plan_here(change, configured, &mut planned),
        }
        if let Some(name) = config.get("name").and_then(Value::as_str) {
            check(name, engine.or(default_engine).unwrap_or(Engine::Postgres), &config)?;
            planned.planned.insert("id".to_owned(), object_id_of(name).derived_from(&config, &IDENTITY));
        }
        plan_status(ty, change, &mut planned);
        if in_cluster {
            self.check_image(change, &planned)?;
            config.get("name").and_then(Value::as_str).inspect(|name| self.planned.add(name));
        }
        Ok(planned)
    }

    async fn create(&self, _ty: &ResourceType, call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
        let mut spec = database_spec(&planned.attributes, call)?;
        spec.owner.clone_from(&spec.mark);
        call.progress.message(&format!("creating the database {}", spec.name));
        let created = match is_in_cluster(&planned.attributes) {
            true => self.cluster()?.create(&spec, &call.cancel).await,
            false => self.databases.create(&spec, &call.cancel).await,
        };
        match created {
            Ok(record) => self.observed(&record, &planned.attributes).await,
            Err(error) if error.kind == DatabaseErrorKind::AlreadyExists => {
                let kind = ErrorKind::AlreadyExists { import_id: Some(spec.name) };
                Err(ProviderError { kind, ..provider_error(error) })
            }
            Err(error) => Err(provider_error(error)),
        }
    }

    async fn update(
        &self,
        _ty: &ResourceType,
        call: &Call,
        prior: &Recorded,
        planned: &Planned,
    ) -> Result<Observed, ProviderError> {
        let mut spec = database_spec(&planned.attributes, call)?;
        if is_in_cluster(&planned.attributes) {
            let password = prior.attributes.get("password").and_then(|password| password.exposed().as_str());
            let password = password.map(SecretString::from);
            spec.owner = recorded_owner(&prior.private);
            let record = self.cluster()?.change(&spec, password, &call.cancel).await.map_err(provider_error)?;
            return self.observed(&record, &planned.attributes).await;
        }
        // A port that the provider chose stays a free choice.
        let before = self.get(prior).await?;
        if before.is_some_and(|record| !record.is_port_fixed && record.port == spec.port) {
            spec.port = None;
        }
        let record = self.databases.change(&spec, &call.cancel).await.map_err(provider_error)?;
        self.observed(&record, &planned.attributes).await
    }

    async fn delete(&self, _ty: &ResourceType, _call: &Call, prior: &Recorded) -> Result<(), ProviderError> {
        let name = name_of(&prior.identity)?;
        let removed = match is_in_cluster(&prior.attributes) {
            true => self.cluster()?.remove_owned(name, recorded_owner(&prior.private).as_deref()).await,
            false => self.databases.remove(name).await,
        };
        removed.map_err(provider_error)
    }

    async fn find(&self, _ty: &ResourceType, attempt: &Attempt) -> Result<Found, ProviderError> {
        let name = name_of(&attempt.identity)?;
        let own_mark = attempt.lost_call.as_ref().map(|lost| super::run::mark(&lost.operation, &lost.step));
        let in_cluster = is_in_cluster(&attempt.planned);
        let is_other = |record: &Record| attempt.prior.is_some() && !is_of(record, &attempt.private);
        let found = self.find_record(name, in_cluster).await?.filter(|record| !is_other(record));
        let Some(record) = found else { return Ok(Found::Absent) };
        if !record.is_whole {
            let is_own = record.mark == own_mark || is_created_by(&record, &attempt.private);
            if in_cluster && own_mark.is_some() && is_own {
                return self.observed(&record, &attempt.planned).await.map(Found::Own);
            }
            // The creator on this machine holds the lock; the next creation removes the rest of an interrupted one.
            let is_being_created = !in_cluster && self.databases.is_held(name);
            return Ok(if is_being_created {
                Found::Pending(format!("the database {name} is being created"))
            } else {
                Found::Absent
            });
        }
        let is_own = own_mark.is_some() && (attempt.prior.is_some() || record.mark == own_mark);
        if !is_own && self.databases.status(&record) == Status::Expired {
            // An expired database has no data to protect.
            return Ok(Found::Absent);
        }
        let observed = self.observed(&record, &attempt.planned).await?;
        Ok(if is_own { Found::Own(observed) } else { Found::Foreign(observed) })
    }

    async fn import(&self, _ty: &ResourceType, id: &str) -> Result<Option<Observed>, ProviderError> {
        let mut record = self.databases.get(id).map_err(provider_error)?;
        if record.is_none() && self.cluster().is_ok_and(|cluster| cluster.image().is_some()) {
            record = self.cluster()?.find(id).await.map_err(provider_error)?;
        }
        match record.filter(|record| record.is_whole) {
            Some(record) => self.observed(&record, &Attributes::default()).await.map(Some),
            None => Ok(None),
        }
    }

    fn validate_remote<'a>(&'a self, _ty: &'a ResourceType, planned: &'a Attributes) -> Option<DryRun<'a>> {
        let name = planned.get("name").and_then(Value::as_str).filter(|_| is_in_cluster(planned))?;
        let spec = DatabaseSpec { name: name.to_owned(), claim: claim(planned), ..DatabaseSpec::default() };
        let cluster = self.cluster().ok()?;
        Some(Box::pin(async move { cluster.findings(&spec).await }))
    }

    async fn count_data(&self, _ty: &ResourceType, prior: &Recorded) -> Result<DataAmount, ProviderError> {
        let Some(record) = self.get(prior).await? else { return Ok(DataAmount::Empty) };
        match self.databases.status(&record) {
            Status::Expired => return Ok(DataAmount::Empty),
            Status::Stopped => return Ok(DataAmount::Unknown),
            // No server was started, but its claim may be that of a former database.
            Status::Creating if record.is_stopped => {
                return Ok(match self.cluster()?.has_former_claim(&record).await {
                    Ok(false) => DataAmount::Empty,
                    _ => DataAmount::Unknown,
                });
            }
            Status::Running | Status::Changed | Status::Creating => {}
        }
        let counted = match &record.cluster {
            Some(_) => self.cluster()?.count(&record.name).await,
            None => self.databases.count(&record.name).await,
        };
        let (rows, tables) = match counted {
            Ok(counted) => counted,
            Err(_) => return Ok(DataAmount::Unknown),
        };
        // Tables without rows count as data too: a user created them.
        Ok(match (tables, rows) {
            (0, _) => DataAmount::Empty,
            (1, rows) => DataAmount::Some { count: rows.max(1), text: format!("1 table with {rows} rows") },
            (tables, rows) => {
                DataAmount::Some { count: rows.max(1), text: format!("{tables} tables with {rows} rows") }
            }
        })
    }
}

/// Plans a database on this machine: it has no attributes of the cluster.
fn plan_here(change: &ProposedChange<'_>, configured: Option<bool>, planned: &mut PlannedChange) {
    let names = OF_CLUSTER.iter().chain(configured.is_none().then_some(&"executor"));
    for name in names {
        planned.planned.shift_remove(*name);
    }
    // A row of this machine need not name it.
    if change.prior.is_some_and(|prior| !is_in_cluster(&prior.attributes)) {
        planned.replace_paths.retain(|path| *path != Path::attribute("executor"));
    }
}

impl DatabaseResources {
    /// Completes the configuration of a database in a cluster by the defaults of values that the row does not have.
    fn complete(config: &mut Attributes, prior: Option<&Recorded>) {
        let prior = prior.filter(|prior| is_in_cluster(&prior.attributes));
        let is_temporary = config.get("ttl").is_some_and(|ttl| !ttl.is_null());
        let configured = config.get("persistent").filter(|value| !value.is_null()).cloned();
        let before = prior.and_then(|prior| prior.attributes.get("persistent")).cloned();
        let persistent = configured.or(before).unwrap_or_else(|| (!is_temporary).into());
        let mut set = |name: &str, value: Value| {
            let is_in = |values: &Attributes| values.get(name).is_some_and(|value| !value.is_null());
            if !is_in(config) && !prior.is_some_and(|prior| is_in(&prior.attributes)) {
                config.insert(name.to_owned(), value);
            }
        };
        set("executor", IN_CLUSTER.into());
        set("port", i64::from(PORT).into());
        if persistent == Value::Bool(true) {
            set("size", DEFAULT_SIZE.into());
        }
        set("persistent", persistent);
    }

    /// Plans the attributes of a database in a cluster.
    fn plan_in_cluster(
        &self,
        change: &ProposedChange<'_>,
        config: &Attributes,
        planned: &mut PlannedChange,
    ) -> Result<(), ProviderError> {
        let cluster = self.cluster()?;
        if let Some(name) = config.get("name").and_then(Value::as_str) {
            check_name(name).map_err(|error| {
                let kind = ErrorKind::InvalidInput { path: Some(Path::attribute("name")) };
                ProviderError { kind, ..provider_error(error) }
            })?;
        }
        planned.planned.shift_remove("webUiUrl");
        if planned.planned.get("persistent") == Some(&Value::Bool(false)) {
            planned.planned.shift_remove("size");
        }
        match cluster.image() {
            Some(image) => drop(planned.planned.insert("image".to_owned(), image.into())),
            None => {
                if let Some(image) = change.prior.and_then(|prior| prior.attributes.get("image")) {
                    planned.planned.insert("image".to_owned(), image.clone());
                }
            }
        }
        let prior_value = |name: &str| change.prior.and_then(|prior| prior.attributes.get(name));
        let status = prior_value("status").and_then(Value::as_str);
        // A server whose creation was interrupted has no data.
        let has_data = change.prior.is_some() && status != Some(Status::Creating.word());
        let restarts = has_data && planned.planned.get("image") != prior_value("image");
        let is_changed = status == Some(Status::Changed.word());
        let cause = match (restarts, is_changed) {
            (true, _) => Some("another image restarts the server"),
            (false, true) => Some("the repair of its objects may restart the server"),
            (false, false) => None,
        };
        if let (Some(cause), Some(Value::Bool(false))) = (cause, prior_value("persistent"))
            && planned.replace_paths.is_empty()
        {
            let reason = format!("{cause}, and its data ends with its pod");
            planned.data_loss = Some(DataLoss { reasons: vec![reason] });
        }
        Ok(())
    }

    /// Refuses a plan that needs the image of servers without the setting.
    fn check_image(&self, change: &ProposedChange<'_>, planned: &PlannedChange) -> Result<(), ProviderError> {
        let is_same = change.prior.is_some_and(|prior| planned.planned == prior.attributes);
        if self.cluster()?.image().is_some() || (is_same && !change.must_replace && planned.replace_paths.is_empty()) {
            return Ok(());
        }
        let message = "databases in a cluster need the setting `databaseImage`";
        Err(ProviderError::invalid(Some(Path::attribute("executor")), message).solution(
            "write `databaseImage: docker.io/library/postgres@sha256:DIGEST` in the settings of the provider \
             `pipelines`, or `executor: local` here",
        ))
    }
}

/// Plans the effect of a change on the status. A stopped database starts; a running one stays the same. An expired one
/// stays expired unless one of its attributes changes: then it is recreated.
fn plan_status(ty: &ResourceType, change: &ProposedChange<'_>, planned: &mut PlannedChange) {
    let Some(prior) = change.prior else { return };
    if change.must_replace || !planned.replace_paths.is_empty() {
        return;
    }
    let prior_value = |name: &str| prior.attributes.get(name).filter(|value| !value.is_null());
    let is_configured = |name: &str| change.config.get(name).is_some_and(|value| !value.is_null());
    let is_changed = planned.planned.get("status").is_none_or(Value::has_unknown);
    let status = prior.text("status").unwrap_or_default();
    let unknown = |name: &str| match ty.attributes.get(name).is_some_and(|attribute| attribute.sensitive) {
        true => Value::sensitive(Value::Unknown),
        false => Value::Unknown,
    };
    if status == Status::Expired.word() {
        for name in COMPUTED.into_iter().filter(|name| is_changed && !is_configured(name)) {
            planned.planned.insert(name.to_owned(), unknown(name));
        }
        return;
    }
    if status == Status::Stopped.word() {
        // Another port may be free when its server starts again.
        for (name, _) in
            STABLE_WHILE_RUNNING.iter().filter(|(name, _)| !is_configured(name) && prior_value(name).is_some())
        {
            planned.planned.insert((*name).to_owned(), unknown(name));
        }
    } else if is_changed {
        for (name, source) in STABLE_WHILE_RUNNING {
            let is_same = match (planned.planned.get(source), prior_value(source)) {
                (Some(new), Some(old)) => new.is_same_as(old) || (new.is_unknown() && !is_configured(source)),
                (new, old) => old.is_none() && new.is_none_or(|new| new.is_unknown() && !is_configured(source)),
            };
            if is_same && !is_configured(name) {
                match prior_value(name) {
                    Some(value) => planned.planned.insert(name.to_owned(), value.clone()),
                    None => planned.planned.shift_remove(name),
                };
            }
        }
    }
    let is_unfinished = status == Status::Creating.word();
    let repaired = match status == Status::Changed.word() {
        true => Some("its objects in the cluster were changed or removed"),
        false => is_unfinished.then_some("its creation was interrupted"),
    };
    if let Some(reason) = repaired {
        planned.because.push(reason.to_owned());
        for name in ["password", "engineUrl"].into_iter().filter(|name| prior_value(name).is_none()) {
            planned.planned.insert(name.to_owned(), unknown(name));
        }
    }
    if is_changed || is_unfinished || [Status::Stopped, Status::Changed].map(Status::word).contains(&status) {
        planned.planned.insert("status".to_owned(), Status::Running.word().into());
    }
    let never_expires = planned.planned.get("ttl").is_none_or(Value::is_null);
    if never_expires && is_changed {
        planned.planned.shift_remove("expiresAt");
    } else if is_unfinished && !never_expires {
        // The lifetime begins at the end of the creation.
        planned.planned.insert("expiresAt".to_owned(), Value::Unknown);
    } else if is_changed && let Some(until) = prior_value("expiresAt") {
        // A changed lifetime begins now, an unchanged one continues.
        if planned.planned.get("ttl").is_some_and(|ttl| prior_value("ttl").is_some_and(|old| ttl.is_same_as(old))) {
            planned.planned.insert("expiresAt".to_owned(), until.clone());
        }
    }
}
