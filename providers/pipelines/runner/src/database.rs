//! Databases that pipelines write into: their creation, lookup, lifetime and end.
//!
//! Each database has a folder below the project's `.terrace/pipelines/databases`, with a record (`database.json`), its
//! password (`pgpass`, readable only for its owner) and its data. A PostgreSQL server is a separate process that
//! outlives the command that started it. The record has the lifetime of a database. A small process per database
//! enforces it ([`guard`]), and every command that opens the provider starts a missing one.
//!
//! [`kubernetes`] has the databases whose servers run in a cluster: the cluster stores all about them. [`ProjectDatabases`]
//! finds a database by its name, wherever it is.
//!
//! Reading order: [`record`] (the record of a database), `database_spec` (its desired state), `databases` (all
//! records), [`clock`] (its deadline), `lock` (mutual exclusion), `programs` and `account` (the PostgreSQL programs,
//! and the user that runs them), `server` (the server process), this file (the operations), [`guard`], [`cluster`]
//! (databases of clusters), [`browse`] (tables, for people), `remote` (databases of pages in pods), `dump`, [`texts`] (texts for people).

mod account;
pub mod browse;
pub mod clock;
pub mod cluster;
mod create;
mod database_spec;
mod databases;
mod dump;
mod error;
pub mod guard;
pub mod kubernetes;
mod lock;
mod programs;
mod project;
pub mod record;
mod remote;
mod server;
mod status;
pub mod texts;

pub use clock::Extension;
pub use database_spec::{DatabaseSpec, time_to_live};
pub use databases::{Databases, GuardProgram};
pub use error::{DatabaseError, DatabaseErrorKind};
pub use project::ProjectDatabases;
pub use record::{Access, DataClaim, Engine, InCluster, Record, Status};
pub use remote::RemoteDatabase;

use crate::executor::Executor;
use crate::executor::local::LocalExecutor;
use clock::{Deadline, Moment};
use databases::GRACE;
use error::operation_error;
use lock::FileLock;
use std::fs;
use std::path::Path;
use tokio_util::sync::CancellationToken;

impl Databases {
    /// Makes sure that a database runs: starts a stopped one, recreates an expired one.
    ///
    /// # Errors
    /// When it does not exist, or cannot be started.
    pub async fn ensure(&self, name: &str, cancel: &CancellationToken) -> Result<(Record, Access), DatabaseError> {
        let record = self.existing(name)?;
        let record = match self.status(&record) {
            Status::Running | Status::Changed => record,
            Status::Stopped => self.start(name, cancel).await?,
            Status::Expired | Status::Creating => {
                match self.create(&DatabaseSpec::from_record(&record), cancel).await {
                    // Another process was first.
                    Err(error) if error.kind == DatabaseErrorKind::AlreadyExists => self.start(name, cancel).await?,
                    result => result?,
                }
            }
        };
        self.guard_one(&record).await;
        let access = self.access(&record)?;
        Ok((record, access))
    }

    /// Starts a database that a user or a restart of the machine stopped.
    ///
    /// # Errors
    /// When it does not exist or has expired, or its server does not start.
    pub async fn start(&self, name: &str, cancel: &CancellationToken) -> Result<Record, DatabaseError> {
        let _lock = self.lock(name).await?;
        let mut record = self.existing(name)?;
        match self.status(&record) {
            Status::Running | Status::Changed => return Ok(record),
            Status::Expired | Status::Creating => return Err(error::expired(&record)),
            Status::Stopped => {}
        }
        self.start_server(&mut record, cancel).await?;
        record.is_stopped = false;
        self.write(&record)?;
        self.guard_one(&record).await;
        Ok(record)
    }

    /// Starts the server of a record, if it has one.
    async fn start_server(&self, record: &mut Record, cancel: &CancellationToken) -> Result<(), DatabaseError> {
        if record.engine == Engine::Postgres {
            let programs = programs::for_data(self.programs.as_deref(), &record.data)?;
            server::start(&programs, &self.folder_of(&record.name), record, cancel).await?;
        }
        Ok(())
    }

    /// Stops the server of a database; its data and its deadline stay.
    ///
    /// # Errors
    /// When it does not exist, or its server does not end.
    pub async fn stop(&self, name: &str) -> Result<Record, DatabaseError> {
        let _lock = self.lock(name).await?;
        let mut record = self.existing(name)?;
        if self.status(&record) == Status::Expired {
            return Err(error::expired(&record));
        }
        record.is_stopped = true;
        self.write(&record)?;
        self.end_server(&record).await?;
        Ok(record)
    }

    /// Extends the lifetime of a database.
    ///
    /// # Errors
    /// When it does not exist, has no deadline, or has expired.
    pub async fn extend(&self, name: &str, by: Extension) -> Result<Record, DatabaseError> {
        let _lock = self.lock(name).await?;
        let mut record = self.existing(name)?;
        let now = Moment::now();
        if self.status(&record) == Status::Expired {
            return Err(error::expired(&record));
        }
        let Some(deadline) = &record.deadline else { return Err(error::no_deadline(name)) };
        record.deadline = Some(Deadline::after(by.of(deadline.left(&now)), &now));
        self.write(&record)?;
        self.guard_one(&record).await;
        Ok(record)
    }

    /// Changes attributes of a database in place: its lifetime from now on, its port, its page.
    ///
    /// # Errors
    /// When it does not exist, or its server does not start again.
    pub async fn change(&self, spec: &DatabaseSpec, cancel: &CancellationToken) -> Result<Record, DatabaseError> {
        let lock = self.lock(&spec.name).await?;
        let mut record = self.existing(&spec.name)?;
        if matches!(self.status(&record), Status::Expired | Status::Creating) {
            drop(lock);
            return self.create(spec, cancel).await;
        }
        spec.check(record.engine)?;
        if record.ttl != spec.ttl {
            record.ttl.clone_from(&spec.ttl);
            record.deadline = spec.deadline(&Moment::now())?;
        }
        record.has_page = spec.has_page;
        record.mark.clone_from(&spec.mark);
        if let Some(port) = spec.port.filter(|port| Some(*port) != record.port) {
            self.end_server(&record).await?;
            record.port = Some(port);
        }
        record.is_port_fixed = spec.port.is_some();
        record.is_stopped = false;
        self.write(&record)?;
        if self.status(&record) != Status::Running {
            self.start_server(&mut record, cancel).await?;
            self.write(&record)?;
        }
        self.guard_one(&record).await;
        Ok(record)
    }

    /// Removes a database with its data. A missing database is not an error.
    ///
    /// # Errors
    /// When its server does not end, or a file cannot be removed.
    pub async fn remove(&self, name: &str) -> Result<(), DatabaseError> {
        record::check_name(name)?;
        if !self.folder_of(name).exists() {
            return Ok(());
        }
        let lock = self.lock(name).await?;
        let Some(record) = self.get(name)? else { return Ok(()) };
        self.end_server(&record).await?;
        self.forget(&record, lock)
    }

    /// Ends an expired database. A declared database keeps a record of that; a database that was created for a run
    /// leaves nothing. Returns true if it has expired.
    ///
    /// # Errors
    /// When its server does not end, or a file cannot be removed.
    pub async fn reap(&self, name: &str) -> Result<bool, DatabaseError> {
        if !self.get(name)?.is_some_and(|record| record.is_due(&Moment::now())) {
            return Ok(false);
        }
        let lock = self.lock(name).await?;
        // Another process may have extended it meanwhile.
        let Some(mut record) = self.get(name)?.filter(|record| record.is_due(&Moment::now())) else { return Ok(false) };
        self.end_server(&record).await?;
        if record.is_fresh {
            self.forget(&record, lock)?;
            return Ok(true);
        }
        self.remove_data(&record)?;
        record.is_expired = true;
        record.port = record.port.filter(|_| record.is_port_fixed);
        self.write(&record)?;
        Ok(true)
    }

    /// Ends the server of a database, and all other processes that run for it.
    async fn end_server(&self, record: &Record) -> Result<(), DatabaseError> {
        if record.engine == Engine::Postgres {
            server::stop(&record.data).await?;
        }
        LocalExecutor
            .end_leftover_processes(&record.process_mark(), GRACE)
            .await
            .map_err(|error| operation_error("end the processes of", &record.name, &error))?;
        Ok(())
    }

    fn remove_data(&self, record: &Record) -> Result<(), DatabaseError> {
        let folder = self.folder_of(&record.name);
        let broken = |error: std::io::Error| operation_error("remove the data of", &record.name, &error);
        for entry in fs::read_dir(&folder).map_err(broken)?.flatten() {
            if entry.file_name() != record::NAME {
                remove_path(&entry.path()).map_err(broken)?;
            }
        }
        // As root, the data may be elsewhere: in a folder that has the database's id as name.
        match record.data.parent() {
            Some(parent) if parent.file_name() == Some(record.id.as_ref()) => remove_path(parent).map_err(broken),
            _ => Ok(()),
        }
    }

    /// Removes all files of a database except its lock, which the caller still holds.
    fn remove_files(&self, record: &Record) -> Result<(), DatabaseError> {
        self.remove_data(record)?;
        let removed = remove_path(&self.folder_of(&record.name));
        // The guard may need a moment to notice. Without its lock file, a new database can have a new guard at once.
        let removed = removed.and(remove_path(&self.guard_lock(&record.name)));
        removed.map_err(|error| operation_error("remove the folder of", &record.name, &error))
    }

    /// Removes all files and the lock, when the caller is done with the database. A process that waits for a removed
    /// lock takes a new one: see `lock`.
    fn forget(&self, record: &Record, lock: FileLock) -> Result<(), DatabaseError> {
        self.remove_files(record)?;
        let removed = remove_path(&self.lock_path(&record.name));
        drop(lock);
        removed.map_err(|error| operation_error("remove the lock of", &record.name, &error))
    }
}

fn remove_path(path: &Path) -> std::io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        _ => fs::remove_file(path),
    };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
