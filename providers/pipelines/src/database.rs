//! Databases that pipelines write into, on this machine: made, found again, kept for a while, ended.
//!
//! Each has a folder below the project's `.terrace/pipelines/databases`, with a record (`database.json`), its password
//! (`pgpass`, which only its owner can read) and its data. A server of PostgreSQL is a process of its own that outlives the
//! command that started it. How long a database is kept is in its record; a small process per database enforces it ([`guard`]),
//! and every command that opens the provider sees to it that there is one.
//!
//! Read in this order: [`record`] (what is known of a database), [`clock`] (until when it is kept), `lock` (one at a time),
//! `programs` and `account` (which PostgreSQL, and as whom), `server` (its process), this file (what can be done), [`guard`],
//! [`of_cluster`] (those of clusters), [`look`] (tables, for people), `dump`, [`words`] (what is told of a database).

mod account;
pub mod clock;
mod dump;
mod error;
pub mod guard;
mod lock;
pub mod look;
mod making;
pub mod of_cluster;
mod programs;
pub mod record;
mod server;
mod status;
pub mod words;

pub use error::{DatabaseError, Why};
pub use guard::GuardProgram;
pub use making::{Wanted, time_to_live};
pub use record::{Access, Engine, Record};
pub use status::Status;

use crate::executor::Executor;
use crate::executor::local::LocalExecutor;
use clock::{Deadline, Moment};
use error::{cannot, missing};
use lock::Held;
use secrecy::SecretString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long processes have to end after they were asked to.
const GRACE: Duration = Duration::from_secs(5);

/// The databases of a project.
#[derive(Debug, Clone)]
pub struct Databases {
    /// The folder of all of them, without symbolic links.
    folder: PathBuf,
    /// The folder of PostgreSQL's programs that the settings name.
    programs: Option<PathBuf>,
    /// What keeps databases; without it only commands look whether one has expired.
    guard: Option<GuardProgram>,
    /// How long to wait for others who work on a database.
    patience: Duration,
}

impl Databases {
    /// The databases in this folder, which need not be there yet.
    #[must_use]
    pub fn new(folder: PathBuf, programs: Option<PathBuf>, guard: Option<GuardProgram>) -> Self {
        Self { folder, programs, guard, patience: Duration::from_secs(60) }
    }

    /// The same with another patience.
    #[must_use]
    pub const fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The folder of all of them.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of a database.
    #[must_use]
    pub fn folder_of(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What is recorded of a database.
    ///
    /// # Errors
    /// When the name is none, or the record cannot be read.
    pub fn get(&self, name: &str) -> Result<Option<Record>, DatabaseError> {
        record::check_name(name)?;
        let Some(mut record) = record::read(&self.folder_of(name))? else { return Ok(None) };
        if record.engine == Engine::Postgres
            && let Some(port) = server::running(&record.data).and_then(|server| server.port)
        {
            // Who started it may have been killed before that was written down.
            record.port = Some(port);
        }
        Ok(Some(record))
    }

    /// What is recorded of a database that has to be there.
    ///
    /// # Errors
    /// When it is not.
    pub fn known(&self, name: &str) -> Result<Record, DatabaseError> {
        self.get(name)?.ok_or_else(|| missing(name, &self.names()))
    }

    /// All databases, by name.
    ///
    /// # Errors
    /// When a record cannot be read.
    pub fn list(&self) -> Result<Vec<Record>, DatabaseError> {
        self.names().iter().filter_map(|name| self.get(name).transpose()).collect()
    }

    /// The names of all databases, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let names =
            entries.filter(|entry| entry.path().is_dir()).filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter(|name| record::check_name(name).is_ok()).collect();
        names.sort();
        names
    }

    /// The right to work on a database.
    async fn hold(&self, name: &str) -> Result<Held, DatabaseError> {
        lock::hold(&self.lock_of(name), name, self.patience).await
    }

    fn lock_of(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.lock"))
    }

    fn write(&self, record: &Record) -> Result<(), DatabaseError> {
        record::write(&self.folder_of(&record.name), record)
    }

    /// How to reach a database that runs.
    ///
    /// # Errors
    /// When it does not run, or its password cannot be read.
    pub fn access(&self, record: &Record) -> Result<Access, DatabaseError> {
        record::access(&self.folder_of(&record.name), record)
    }

    /// What opens the pages of these databases.
    ///
    /// # Errors
    /// When it cannot be read or made.
    pub fn token(&self) -> Result<SecretString, DatabaseError> {
        record::token(&self.folder).map_err(|error| {
            DatabaseError::new(Why::Failed, format!("the token of the pages of databases cannot be read: {error}"))
        })
    }

    /// Has a database run: it is started where it was stopped, and made anew where it has expired.
    ///
    /// # Errors
    /// When there is no such database, or it cannot be started.
    pub async fn ensure(&self, name: &str, cancel: &CancellationToken) -> Result<(Record, Access), DatabaseError> {
        let record = self.known(name)?;
        let record = match self.status(&record) {
            Status::Running => record,
            Status::Stopped => self.start(name, cancel).await?,
            Status::Expired | Status::Making => match self.make(&Wanted::again(&record), cancel).await {
                // Somebody else who needs it was first.
                Err(error) if error.why == Why::There => self.start(name, cancel).await?,
                made => made?,
            },
        };
        self.guard_one(&record).await;
        let access = self.access(&record)?;
        Ok((record, access))
    }

    /// Starts a database that was stopped, by somebody or by the machine's end.
    ///
    /// # Errors
    /// When there is none, it has expired, or its server does not start.
    pub async fn start(&self, name: &str, cancel: &CancellationToken) -> Result<Record, DatabaseError> {
        let _held = self.hold(name).await?;
        let mut record = self.known(name)?;
        match self.status(&record) {
            Status::Running => return Ok(record),
            Status::Expired | Status::Making => return Err(error::expired(&record)),
            Status::Stopped => {}
        }
        self.bring_up(&mut record, cancel).await?;
        record.is_stopped = false;
        self.write(&record)?;
        self.guard_one(&record).await;
        Ok(record)
    }

    /// Starts the server of a record, if it has one.
    async fn bring_up(&self, record: &mut Record, cancel: &CancellationToken) -> Result<(), DatabaseError> {
        if record.engine == Engine::Postgres {
            let programs = programs::for_data(self.programs.as_deref(), &record.data)?;
            server::start(&programs, &self.folder_of(&record.name), record, cancel).await?;
        }
        Ok(())
    }

    /// Stops the server of a database; its data stays for as long as it would have.
    ///
    /// # Errors
    /// When there is no such database, or its server does not end.
    pub async fn stop(&self, name: &str) -> Result<Record, DatabaseError> {
        let _held = self.hold(name).await?;
        let mut record = self.known(name)?;
        if self.status(&record) == Status::Expired {
            return Err(error::expired(&record));
        }
        record.is_stopped = true;
        self.write(&record)?;
        self.end_server(&record).await?;
        Ok(record)
    }

    /// Has a database kept for longer, or for that long from now on.
    ///
    /// # Errors
    /// When there is none, it is kept for ever, or it has expired.
    pub async fn extend(&self, name: &str, by: Extension) -> Result<Record, DatabaseError> {
        let _held = self.hold(name).await?;
        let mut record = self.known(name)?;
        let now = Moment::now();
        if self.status(&record) == Status::Expired {
            return Err(error::expired(&record));
        }
        let Some(deadline) = &record.deadline else {
            return Err(DatabaseError::new(Why::Wrong, format!("the database `{name}` is kept until it is removed"))
                .hint("there is nothing to extend: it has no time to live"));
        };
        let span = match by {
            Extension::By(more) => deadline.left(&now).saturating_add(more),
            Extension::To(span) => span,
            Extension::AtLeast(span) => deadline.left(&now).max(span),
        };
        record.deadline = Some(Deadline::after(span, &now));
        self.write(&record)?;
        self.guard_one(&record).await;
        Ok(record)
    }

    /// Changes what can be changed of a database in place: how long it is kept (from now on), its port, its page.
    ///
    /// # Errors
    /// When there is none, or its server does not start again.
    pub async fn change(&self, wanted: &Wanted, cancel: &CancellationToken) -> Result<Record, DatabaseError> {
        let held = self.hold(&wanted.name).await?;
        let mut record = self.known(&wanted.name)?;
        if matches!(self.status(&record), Status::Expired | Status::Making) {
            drop(held);
            return self.make(wanted, cancel).await;
        }
        wanted.check(record.engine)?;
        if record.ttl != wanted.ttl {
            record.ttl.clone_from(&wanted.ttl);
            record.deadline = wanted.deadline(&Moment::now())?;
        }
        record.has_page = wanted.has_page;
        record.mark.clone_from(&wanted.mark);
        if let Some(port) = wanted.port.filter(|port| Some(*port) != record.port) {
            self.end_server(&record).await?;
            record.port = Some(port);
        }
        record.is_port_fixed = wanted.port.is_some();
        record.is_stopped = false;
        self.write(&record)?;
        if self.status(&record) != Status::Running {
            self.bring_up(&mut record, cancel).await?;
            self.write(&record)?;
        }
        self.guard_one(&record).await;
        Ok(record)
    }

    /// Removes a database with all that it holds. One that is gone is gone.
    ///
    /// # Errors
    /// When its server does not end, or a file cannot be removed.
    pub async fn remove(&self, name: &str) -> Result<(), DatabaseError> {
        record::check_name(name)?;
        if !self.folder_of(name).exists() {
            return Ok(());
        }
        let held = self.hold(name).await?;
        let Some(record) = self.get(name)? else { return Ok(()) };
        self.end_server(&record).await?;
        self.forget(&record, held)
    }

    /// Ends a database whose time is over. What was declared leaves a record that says so; what was made for a run leaves
    /// nothing. Answers whether its time is over.
    ///
    /// # Errors
    /// When its server does not end, or a file cannot be removed.
    pub async fn reap(&self, name: &str) -> Result<bool, DatabaseError> {
        if !self.get(name)?.is_some_and(|record| record.is_due(&Moment::now())) {
            return Ok(false);
        }
        let held = self.hold(name).await?;
        // Somebody may have had it kept for longer meanwhile.
        let Some(mut record) = self.get(name)?.filter(|record| record.is_due(&Moment::now())) else { return Ok(false) };
        self.end_server(&record).await?;
        if record.is_fresh {
            self.forget(&record, held)?;
            return Ok(true);
        }
        self.remove_data(&record)?;
        record.is_expired = true;
        record.port = record.port.filter(|_| record.is_port_fixed);
        self.write(&record)?;
        Ok(true)
    }

    /// Ends the server of a database, and whatever else runs for it.
    async fn end_server(&self, record: &Record) -> Result<(), DatabaseError> {
        if record.engine == Engine::Postgres {
            server::stop(&record.data).await?;
        }
        LocalExecutor
            .end_left(&record.process_mark(), GRACE)
            .await
            .map_err(|error| cannot("end what is left of", &record.name, &error))?;
        Ok(())
    }

    fn remove_data(&self, record: &Record) -> Result<(), DatabaseError> {
        let folder = self.folder_of(&record.name);
        let broken = |error: std::io::Error| cannot("remove the data of", &record.name, &error);
        for entry in fs::read_dir(&folder).map_err(broken)?.flatten() {
            if entry.file_name() != record::NAME {
                remove_path(&entry.path()).map_err(broken)?;
            }
        }
        // Where root runs it, the data may lie elsewhere: below a folder that is named after this very database.
        match record.data.parent() {
            Some(parent) if parent.file_name() == Some(record.id.as_ref()) => remove_path(parent).map_err(broken),
            _ => Ok(()),
        }
    }

    /// Removes all that there is of a database. The lock stays: who works on it goes on to hold it.
    fn remove_files(&self, record: &Record) -> Result<(), DatabaseError> {
        self.remove_data(record)?;
        let removed = remove_path(&self.folder_of(&record.name));
        // What kept it may take a moment to see that it is gone, and keeps nobody from being kept by another one.
        let removed = removed.and(remove_path(&self.guard_lock(&record.name)));
        removed.map_err(|error| cannot("remove the folder of", &record.name, &error))
    }

    /// The same with the lock, by who does nothing more with the database. Whoever waits for a lock that is gone takes
    /// another one: see `lock`.
    fn forget(&self, record: &Record, held: Held) -> Result<(), DatabaseError> {
        self.remove_files(record)?;
        let removed = remove_path(&self.lock_of(&record.name));
        drop(held);
        removed.map_err(|error| cannot("remove the lock of", &record.name, &error))
    }
}

/// How much longer a database is kept.
#[derive(Debug, Clone, Copy)]
pub enum Extension {
    /// So much longer than it would have been.
    By(Duration),
    /// For so long from now on.
    To(Duration),
    /// For so long from now on, unless it is kept for longer anyway.
    AtLeast(Duration),
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
