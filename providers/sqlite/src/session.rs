//! The session: dispatches calls by resource type. Each runs in one transaction on a blocking thread.

use crate::connection::{Access, File, Folders};
use crate::error::{Failure, from_sqlite};
use crate::mark::Mark;
use crate::object::{self, Observation};
use crate::table::LostUpdate;
use crate::{database, identifier, index, lookup, object_id, table, view};
use async_trait::async_trait;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::sync::{Arc, Mutex, PoisonError};
use terrace_provider::attributes::{optional_text, text};
use terrace_provider::blocking::block_briefly;
use terrace_provider::object_id as ids;
use terrace_provider::plan::from_schema;
use terrace_provider::removed_paths::RemovedPaths;
use terrace_provider::{
    Attempt, Attributes, Call, DataAmount, ErrorKind, Found, Map, Observed, Path, Planned, PlannedChange, Private,
    ProposedChange, ProviderError, Recorded, ResourceType, Session, Value,
};

/// A configured instance: a folder with database files.
pub(crate) struct SqliteSession {
    folders: Folders,
    /// SQLite lets one connection write at a time. Waiting here is cheaper and fairer than waiting for the SQLite lock.
    writing: Arc<Mutex<()>>,
    /// The database files that operations removed.
    removed: RemovedPaths,
}

/// The resource types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Database,
    Table,
    View,
    Index,
}

impl Kind {
    fn of(ty: &ResourceType) -> Result<Self, ProviderError> {
        match ty.name {
            "sqlite_database" => Ok(Self::Database),
            "sqlite_table" => Ok(Self::Table),
            "sqlite_view" => Ok(Self::View),
            "sqlite_index" => Ok(Self::Index),
            other => Err(ProviderError::bug(format!("there is no resource type `{other}`"))),
        }
    }

    /// The word in SQL and in `sqlite_schema`.
    fn word(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Table => "table",
            Self::View => "view",
            Self::Index => "index",
        }
    }

    fn observe(self, connection: &Connection, name: &str, like: &Attributes) -> rusqlite::Result<Option<Observation>> {
        match self {
            Self::Database => Ok(None),
            Self::Table => table::observe(connection, name, like),
            Self::View => view::observe(connection, name, like),
            Self::Index => index::observe(connection, name, like),
        }
    }
}

/// The object that attributes identify.
#[derive(Clone)]
struct Target {
    kind: Kind,
    file: File,
    /// Empty for a database.
    name: String,
}

impl Target {
    fn id(&self) -> String {
        match self.kind {
            Kind::Database => ids::join([self.file.path.as_str()]),
            _ => ids::join([self.file.path.as_str(), self.name.as_str()]),
        }
    }

    /// The id as an attribute; it is sensitive if one of its parts is.
    fn id_value(&self, attributes: &Attributes) -> Value {
        Value::from(self.id()).derived_from(attributes, &["path", "name"])
    }

    /// Reads the object in the spelling of `like`, with the call that created it if this is known.
    fn observe(&self, like: &Attributes) -> Result<Option<(Observed, Option<Mark>)>, ProviderError> {
        if !self.file.exists() {
            return Ok(None);
        }
        if self.kind == Kind::Database {
            database::check(&self.file)?;
            return Ok(Some((self.observed_database(like), None)));
        }
        let connection = self.file.open(Access::Read)?;
        let observation = self.kind.observe(&connection, &self.name, like).map_err(|error| self.failed(&error))?;
        Ok(observation.map(|observation| (self.observed(observation.attributes, like), observation.mark)))
    }

    fn observed_database(&self, like: &Attributes) -> Observed {
        let on_delete = optional_text(like, "onDelete").unwrap_or_else(|| "ifEmpty".to_owned());
        self.observed(Map::from_iter([("onDelete".to_owned(), on_delete.into())]), like)
    }

    fn observed(&self, rest: Attributes, like: &Attributes) -> Observed {
        let mut attributes = Map::from_iter([("path".to_owned(), self.file.path.as_str().into())]);
        let mut identity = attributes.clone();
        if self.kind != Kind::Database {
            identity.insert("name".to_owned(), self.name.as_str().into());
        }
        attributes.extend(rest);
        attributes.insert("id".to_owned(), self.id_value(like));
        Observed { identity, attributes, private: Private::default() }
    }

    /// Runs work in its own transaction and returns the resulting object.
    fn change(
        &self,
        access: Access,
        like: &Attributes,
        work: impl FnOnce(&Transaction<'_>) -> Result<(), Failure>,
    ) -> Result<Observed, ProviderError> {
        let mut connection = self.file.open(access)?;
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| self.failed(&error))?;
        work(&transaction).map_err(|failure| failure.on(&self.file.path))?;
        let observation = self.kind.observe(&transaction, &self.name, like).map_err(|error| self.failed(&error))?;
        transaction.commit().map_err(|error| self.failed(&error))?;
        let observation = observation.ok_or_else(|| {
            ProviderError::bug(format!("the {} `{}` does not exist after its creation", self.kind.word(), self.name))
        })?;
        Ok(self.observed(observation.attributes, like))
    }

    fn create(
        &self,
        planned: &Attributes,
        mark: &Mark,
        removed: &RemovedPaths,
        operation: &str,
    ) -> Result<Observed, ProviderError> {
        // A table creates a missing database; a view or an index without a database has nothing to read.
        let access = match self.kind {
            Kind::Database => {
                check_on_delete(planned)?;
                database::create(&self.file, mark, removed, operation)?;
                return Ok(self.observed_database(planned));
            }
            Kind::Table => Access::Create,
            Kind::View | Kind::Index => Access::Write,
        };
        if access == Access::Write && !self.file.exists() {
            let message = format!("there is no database `{}`", self.file.path);
            return Err(ProviderError::invalid(Some(Path::attribute("path")), message)
                .solution("set `path` to a reference to the `sqlite_database` or to the table"));
        }
        self.change(access, planned, |transaction| {
            if object::exists(transaction, &self.name)? {
                let kind = ErrorKind::AlreadyExists { import_id: Some(self.id()) };
                let message = format!("`{}` has a table, view or index `{}` already", self.file.path, self.name);
                return Err(ProviderError::new(kind, message).into());
            }
            match self.kind {
                Kind::Database => Ok(()),
                Kind::Table => table::create(transaction, planned, mark),
                Kind::View => view::create(transaction, planned, Some(mark)),
                Kind::Index => index::create(transaction, planned, mark),
            }
        })
    }

    /// `self` has the planned name.
    fn update(
        &self,
        prior: &Attributes,
        planned: &Attributes,
        report: &dyn Fn(&str),
    ) -> Result<Observed, ProviderError> {
        if !self.file.exists() {
            let message = format!("the database `{}` does not exist any more", self.file.path);
            return Err(ProviderError::new(ErrorKind::NotFound, message).solution("plan again: it will be created"));
        }
        if self.kind == Kind::Database {
            check_on_delete(planned)?;
            return Ok(self.observed_database(planned));
        }
        self.change(Access::Write, planned, |transaction| match self.kind {
            Kind::Table => table::update(transaction, prior, planned, report),
            Kind::View => view::update(transaction, planned),
            Kind::Database | Kind::Index => {
                Err(ProviderError::bug(format!("an {} cannot be updated", self.kind.word())).into())
            }
        })
    }

    fn delete(&self, prior: &Attributes) -> Result<(), ProviderError> {
        if self.kind == Kind::Database {
            return database::delete(&self.file, optional_text(prior, "onDelete").as_deref() == Some("recursive"));
        }
        if !self.file.exists() {
            return Ok(());
        }
        let failed = |error: rusqlite::Error| self.failed(&error);
        let mut connection = self.file.open(Access::Write)?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        object::drop(&transaction, self.kind.word(), &self.name).map_err(failed)?;
        transaction.commit().map_err(failed)
    }

    fn find(&self, attempt: &Attempt) -> Result<Found, ProviderError> {
        let Some((observed, mark)) = self.observe(&attempt.planned)? else { return Ok(Found::Absent) };
        if let (Some(prior), Kind::Table, true) = (&attempt.prior, self.kind, attempt.lost_call.is_some()) {
            match table::lost_update(&prior.attributes, &attempt.planned, &observed.attributes) {
                LostUpdate::Visible => {}
                LostUpdate::Unchanged => return Ok(Found::NoEffect),
                LostUpdate::Unknown => return Ok(Found::Unknown),
            }
        }
        // The lost call would have changed or deleted the recorded object.
        let is_recorded = attempt.lost_call.is_some() && attempt.prior.is_some();
        let is_own = match Mark::of_attempt(attempt) {
            Some(wanted) if self.kind == Kind::Database => database::is_made_by(&self.file, &wanted)?,
            Some(wanted) => mark == Some(wanted),
            None => is_recorded,
        };
        Ok(if is_own { Found::Own(observed) } else { Found::Foreign(observed) })
    }

    /// Describes parts that no attribute expresses.
    fn unexpressed(&self) -> Result<Vec<String>, ProviderError> {
        if self.kind == Kind::Database || !self.file.exists() {
            return Ok(Vec::new());
        }
        let connection = self.file.open(Access::Read)?;
        let found = match self.kind {
            Kind::Table => table::unexpressed(&connection, &self.name),
            Kind::Index => index::unexpressed(&connection, &self.name),
            Kind::View | Kind::Database => Ok(Vec::new()),
        };
        let triggers = found.and_then(|mut found| {
            found.extend(object::triggers(&connection, &self.name)?.iter().map(|name| format!("the trigger {name}")));
            Ok(found)
        });
        triggers.map_err(|error| self.failed(&error))
    }

    fn count_data(&self) -> Result<DataAmount, ProviderError> {
        match self.kind {
            Kind::Database => database::count_data(&self.file),
            Kind::Table if self.file.exists() => {
                let connection = self.file.open(Access::Read)?;
                let rows = table::row_count(&connection, &self.name).map_err(|error| self.failed(&error))?;
                Ok(match rows {
                    None | Some(0) => DataAmount::Empty,
                    Some(count) => DataAmount::Some { count, text: database::counted(count, "row") },
                })
            }
            Kind::Table | Kind::View | Kind::Index => Ok(DataAmount::Empty),
        }
    }

    fn failed(&self, error: &rusqlite::Error) -> ProviderError {
        from_sqlite(&self.file.path, error)
    }
}

impl SqliteSession {
    pub(crate) fn new(folders: Folders) -> Self {
        Self { folders, writing: Arc::default(), removed: RemovedPaths::default() }
    }

    fn target(&self, ty: &ResourceType, attributes: &Attributes) -> Result<Target, ProviderError> {
        let kind = Kind::of(ty)?;
        let file = block_briefly(|| self.folders.locate(&text(attributes, "path")))?;
        let name = if kind == Kind::Database { String::new() } else { text(attributes, "name") };
        if kind != Kind::Database {
            identifier::check_object(&name, &Path::attribute("name"))?;
        }
        Ok(Target { kind, file, name })
    }

    fn recorded(&self, ty: &ResourceType, prior: &Recorded) -> Result<Target, ProviderError> {
        self.target(ty, if prior.identity.is_empty() { &prior.attributes } else { &prior.identity })
    }

    async fn writing<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ProviderError> + Send + 'static,
    ) -> Result<T, ProviderError> {
        let writing = Arc::clone(&self.writing);
        off_thread(move || {
            // A panic of another call leaves nothing behind: its transaction was rolled back.
            let _turn = writing.lock().unwrap_or_else(PoisonError::into_inner);
            work()
        })
        .await
    }
}

#[async_trait]
impl Session for SqliteSession {
    async fn read(&self, ty: &ResourceType, prior: &Recorded) -> Result<Option<Observed>, ProviderError> {
        let target = self.recorded(ty, prior)?;
        let like = prior.attributes.clone();
        off_thread(move || Ok(target.observe(&like)?.map(|(observed, _)| observed))).await
    }

    async fn plan(&self, ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
        let kind = Kind::of(ty)?;
        let renamed = if kind == Kind::Table { table::renamed(change) } else { None };
        let change = &ProposedChange { prior: renamed.as_ref().or(change.prior), ..change.clone() };
        let mut planned = from_schema(ty, change);
        if ty.identity_of(&planned.planned).is_some() {
            let target = self.target(ty, &planned.planned)?;
            let id = target.id_value(&planned.planned);
            planned.planned.insert("id".to_owned(), id);
        }
        match kind {
            Kind::Database => check_on_delete(&planned.planned)?,
            Kind::Table => return table::plan(change, planned),
            Kind::View if !planned.planned.values().any(Value::has_unknown) => {
                view::View::from_attributes(&planned.planned)?;
            }
            Kind::Index if !planned.planned.values().any(Value::has_unknown) => index::check(&planned.planned)?,
            Kind::View | Kind::Index => {}
        }
        Ok(planned)
    }

    async fn create(&self, ty: &ResourceType, call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
        let target = self.target(ty, &planned.attributes)?;
        let (planned, mark) = (planned.attributes.clone(), Mark::of_call(call));
        let (removed, operation) = (self.removed.clone(), call.operation.clone());
        self.writing(move || target.create(&planned, &mark, &removed, &operation)).await
    }

    async fn update(
        &self,
        ty: &ResourceType,
        call: &Call,
        prior: &Recorded,
        planned: &Planned,
    ) -> Result<Observed, ProviderError> {
        let mut target = self.recorded(ty, prior)?;
        if target.kind == Kind::Table {
            // The update may rename the table.
            target.name = self.target(ty, &planned.attributes)?.name;
        }
        let (prior, planned) = (prior.attributes.clone(), planned.attributes.clone());
        let progress = Arc::clone(&call.progress);
        self.writing(move || target.update(&prior, &planned, &|text| progress.message(text))).await
    }

    async fn delete(&self, ty: &ResourceType, call: &Call, prior: &Recorded) -> Result<(), ProviderError> {
        let target = self.recorded(ty, prior)?;
        let prior = prior.attributes.clone();
        let (removed, operation) = (self.removed.clone(), call.operation.clone());
        self.writing(move || {
            let is_removed = target.kind == Kind::Database && target.file.exists();
            target.delete(&prior)?;
            if is_removed {
                removed.add(&operation, &target.file.location);
            }
            Ok(())
        })
        .await
    }

    async fn find(&self, ty: &ResourceType, attempt: &Attempt) -> Result<Found, ProviderError> {
        let Some(identity) = ty.identity_of(&attempt.identity).or_else(|| ty.identity_of(&attempt.planned)) else {
            return Ok(Found::Unknown);
        };
        let target = self.target(ty, &identity)?;
        // The lost update may have renamed the table.
        let renamed = match (&attempt.prior, ty.identity_of(&attempt.planned)) {
            (Some(_), Some(planned)) if target.kind == Kind::Table => Some(self.target(ty, &planned)?),
            _ => None,
        };
        let attempt = attempt.clone();
        off_thread(move || match (target.find(&attempt)?, renamed) {
            (Found::Absent, Some(renamed)) => renamed.find(&attempt),
            (found, _) => Ok(found),
        })
        .await
    }

    async fn import(&self, ty: &ResourceType, id: &str) -> Result<Option<Observed>, ProviderError> {
        let identity = if Kind::of(ty)? == Kind::Database {
            ids::decode(id).map(|path| Map::from_iter([("path".to_owned(), path.into())]))
        } else {
            object_id::split(id).map(|(path, name)| {
                Map::from_iter([("path".to_owned(), path.into()), ("name".to_owned(), name.into())])
            })
        };
        let Some(identity) = identity else {
            return Err(ProviderError::invalid(None, format!("`{id}` is not an id of a {}", ty.name)).solution(
                "write `<path>/<name>`, with `%`, and a `/` in the name, percent-encoded: `data%2Fshop.db/ORDERS`",
            ));
        };
        let target = self.target(ty, &identity)?;
        off_thread(move || Ok(target.observe(&Attributes::default())?.map(|(observed, _)| observed))).await
    }

    async fn unexpressed(&self, ty: &ResourceType, imported: &Observed) -> Result<Vec<String>, ProviderError> {
        let target = self.target(ty, &imported.identity)?;
        off_thread(move || target.unexpressed()).await
    }

    async fn lookup(&self, name: &str, arguments: &Attributes) -> Result<Attributes, ProviderError> {
        let (name, folders, arguments) = (name.to_owned(), self.folders.clone(), arguments.clone());
        off_thread(move || lookup::answer(&name, &folders, &arguments)).await
    }

    async fn count_data(&self, ty: &ResourceType, prior: &Recorded) -> Result<DataAmount, ProviderError> {
        let target = self.recorded(ty, prior)?;
        off_thread(move || target.count_data()).await
    }
}

fn check_on_delete(planned: &Attributes) -> Result<(), ProviderError> {
    match planned.get("onDelete").and_then(Value::as_str) {
        None | Some("ifEmpty" | "recursive") => Ok(()),
        Some(other) => {
            let message = format!("`onDelete` is `{other}`: expected `ifEmpty` or `recursive`");
            Err(ProviderError::invalid(Some(Path::attribute("onDelete")), message))
        }
    }
}

/// Runs blocking work on another thread.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ProviderError> + Send + 'static,
) -> Result<T, ProviderError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(ProviderError::new(ErrorKind::Ambiguous, format!("a call ended early: {error}"))))
}
