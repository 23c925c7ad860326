//! `pipelines_database`: a database for pipelines, which lives until it is removed or expires.
//!
//! An expired database remains as `expired`, without data: a plan reports that and changes nothing. A run that writes
//! into it recreates it.

use super::attributes::object_id_of;
use async_trait::async_trait;
use secrecy::ExposeSecret;
use std::time::Duration;
use terrace_pipelines::database::record::{HOST, USER};
use terrace_pipelines::database::{DatabaseError, DatabaseErrorKind, DatabaseSpec, Databases, Engine, Record, Status};
use terrace_provider::plan::from_schema;
use terrace_provider::{
    Attempt, Attribute, AttributeType, Attributes, Call, DataAmount, ErrorKind, Found, Object, Observed, Path, Planned,
    PlannedChange, Private, ProposedChange, ProviderError, Recorded, ResourceType, Session, Value,
};

/// The type's name.
pub const NAME: &str = "pipelines_database";
/// The attribute that names a database.
const IDENTITY: [&str; 1] = ["name"];
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
            "A database that pipelines write into, on this machine.",
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
                Attribute::new(
                    "port",
                    AttributeType::Int,
                    "Port of its server on this machine; without it, a free one.",
                )
                .or_kept(),
                Attribute::new("webUi", AttributeType::Bool, "Show a page on this machine with its tables.")
                    .default_value(true),
                text("id", "The name, for `terrace import`.").stable(),
                text("host", "Host of its server: this machine.").stable(),
                text("database", "Database within the server, or path of the file.").stable(),
                text("username", "Name of the user.").stable(),
                text("password", "Generated password.").stable().sensitive(),
                text("engineUrl", "Address with driver and password, in the form of `DPP_DB_ENGINE`.")
                    .computed()
                    .follows(&["port"])
                    .sensitive(),
                text("version", "Release of PostgreSQL.").stable(),
                text("status", "`running`, `stopped` or `expired`.").computed().volatile("an update starts its server"),
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
}

/// Maps a database error to an error for the engine.
pub(super) fn provider_error(error: DatabaseError) -> ProviderError {
    let kind = match error.kind {
        DatabaseErrorKind::Missing => ErrorKind::NotFound,
        DatabaseErrorKind::AlreadyExists => ErrorKind::AlreadyExists { import_id: None },
        DatabaseErrorKind::InUse => ErrorKind::Transient,
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

impl DatabaseResources {
    pub(crate) fn new(databases: Databases) -> Self {
        Self { databases }
    }

    /// Attributes of a database, marked as derived from the values that name it.
    fn observed(&self, record: &Record, named: &Attributes) -> Result<Observed, ProviderError> {
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
        let is_present = status != Status::Expired;
        if let Some(port) = record.port.filter(|_| is_present || record.is_port_fixed) {
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
        Ok(Observed { identity, attributes, private: Private::default() })
    }

    fn get(&self, attributes: &Attributes) -> Result<Option<Record>, ProviderError> {
        // A database whose creation never finished does not count.
        let record = self.databases.get(name_of(attributes)?).map_err(provider_error)?;
        Ok(record.filter(|record| record.is_whole))
    }
}

#[async_trait]
impl Session for DatabaseResources {
    async fn read(&self, _ty: &ResourceType, prior: &Recorded) -> Result<Option<Observed>, ProviderError> {
        self.get(&prior.identity)?.map(|record| self.observed(&record, &prior.attributes)).transpose()
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
        let default_engine = (!is_set && is_new).then(|| self.databases.default_engine());
        if let Some(default_engine) = default_engine {
            config.insert("engine".to_owned(), default_engine.word().into());
        }
        let mut planned = from_schema(ty, &ProposedChange { config: &config, ..change.clone() });
        if let Some(name) = config.get("name").and_then(Value::as_str) {
            check(name, engine.or(default_engine).unwrap_or(Engine::Postgres), &config)?;
            planned.planned.insert("id".to_owned(), object_id_of(name).derived_from(&config, &IDENTITY));
        }
        plan_status(ty, change, &mut planned);
        Ok(planned)
    }

    async fn create(&self, _ty: &ResourceType, call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
        let spec = database_spec(&planned.attributes, call)?;
        call.progress.message(&format!("creating the database {}", spec.name));
        match self.databases.create(&spec, &call.cancel).await {
            Ok(record) => self.observed(&record, &planned.attributes),
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
        // A port that the provider chose stays a free choice.
        let before = self.get(&prior.identity)?;
        if before.is_some_and(|record| !record.is_port_fixed && record.port == spec.port) {
            spec.port = None;
        }
        let record = self.databases.change(&spec, &call.cancel).await.map_err(provider_error)?;
        self.observed(&record, &planned.attributes)
    }

    async fn delete(&self, _ty: &ResourceType, _call: &Call, prior: &Recorded) -> Result<(), ProviderError> {
        self.databases.remove(name_of(&prior.identity)?).await.map_err(provider_error)
    }

    async fn find(&self, _ty: &ResourceType, attempt: &Attempt) -> Result<Found, ProviderError> {
        let name = name_of(&attempt.identity)?;
        let own_mark = attempt.lost_call.as_ref().map(|lost| super::run::mark(&lost.operation, &lost.step));
        let Some(record) = self.databases.get(name).map_err(provider_error)? else { return Ok(Found::Absent) };
        if !record.is_whole {
            // The creator holds the lock; the next creation removes the rest of an interrupted one.
            let is_being_created = self.databases.is_held(name);
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
        let observed = self.observed(&record, &attempt.planned)?;
        Ok(if is_own { Found::Own(observed) } else { Found::Foreign(observed) })
    }

    async fn import(&self, _ty: &ResourceType, id: &str) -> Result<Option<Observed>, ProviderError> {
        let record = self.databases.get(id).map_err(provider_error)?.filter(|record| record.is_whole);
        record.map(|record| self.observed(&record, &Attributes::default())).transpose()
    }

    async fn count_data(&self, _ty: &ResourceType, prior: &Recorded) -> Result<DataAmount, ProviderError> {
        let Some(record) = self.get(&prior.identity)? else { return Ok(DataAmount::Empty) };
        match self.databases.status(&record) {
            Status::Expired => return Ok(DataAmount::Empty),
            Status::Running => {}
            Status::Stopped | Status::Creating => return Ok(DataAmount::Unknown),
        }
        let (rows, tables) = match self.databases.count(&record.name).await {
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
    if is_changed || status == Status::Stopped.word() {
        planned.planned.insert("status".to_owned(), Status::Running.word().into());
    }
    let never_expires = planned.planned.get("ttl").is_none_or(Value::is_null);
    if never_expires && is_changed {
        planned.planned.shift_remove("expiresAt");
    } else if is_changed && let Some(until) = prior_value("expiresAt") {
        // A changed lifetime begins now, an unchanged one continues.
        if planned.planned.get("ttl").is_some_and(|ttl| prior_value("ttl").is_some_and(|old| ttl.is_same_as(old))) {
            planned.planned.insert("expiresAt".to_owned(), until.clone());
        }
    }
}
