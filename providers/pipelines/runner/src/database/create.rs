//! Creation of databases.
//!
//! The order is: the record, the guard, the data, and last the mark in the record that all is complete. If a command is
//! killed on the way, the record remains, so that the rest can be found and removed.

use super::clock::Moment;
use super::database_spec::DatabaseSpec;
use super::databases::{Databases, GRACE};
use super::error::{self, DatabaseError, operation_error};
use super::record::{self, Engine, Record};
use super::{account, programs, server};
use crate::executor::Executor;
use crate::executor::local::LocalExecutor;
use jiff::Timestamp;
use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;
use tokio_util::sync::CancellationToken;

impl Databases {
    /// Default engine: PostgreSQL if it is installed, or else SQLite.
    #[must_use]
    pub fn default_engine(&self) -> Engine {
        if programs::are_installed(self.programs.as_deref()) { Engine::Postgres } else { Engine::Sqlite }
    }

    /// Creates a database. It first removes the rest of an expired or incomplete database.
    ///
    /// # Errors
    /// When it exists, cannot be created, or is cancelled; then nothing remains.
    pub async fn create(&self, spec: &DatabaseSpec, cancel: &CancellationToken) -> Result<Record, DatabaseError> {
        let engine = spec.engine.unwrap_or_else(|| self.default_engine());
        spec.check(engine)?;
        let programs = match engine {
            Engine::Postgres => Some(programs::for_new(self.programs.as_deref())?),
            Engine::Sqlite => None,
        };
        let lock = self.lock(&spec.name).await?;
        if let Some(leftover) = self.get(&spec.name)? {
            if leftover.is_whole && !leftover.is_expired && !leftover.is_due(&Moment::now()) {
                return Err(error::exists(&spec.name));
            }
            self.end_server(&leftover).await?;
            self.remove_files(&leftover)?;
        }
        let folder = self.folder_of(&spec.name);
        let id = uuid::Uuid::now_v7().to_string();
        let account = if engine == Engine::Postgres { account::choose(&self.folder)? } else { None };
        let data = match engine {
            Engine::Postgres => account::place(&folder, &id, account.as_ref()).join("data"),
            Engine::Sqlite => folder.join("database.db"),
        };
        let mut record = Record {
            id,
            name: spec.name.clone(),
            engine,
            made_at: Timestamp::now(),
            is_whole: false,
            is_stopped: false,
            is_expired: false,
            is_fresh: spec.is_fresh,
            ttl: spec.ttl.clone(),
            deadline: spec.deadline(&Moment::now())?,
            port: spec.port,
            is_port_fixed: spec.port.is_some(),
            has_page: spec.has_page,
            data,
            account,
            version: None,
            mark: spec.mark.clone(),
            cluster: None,
        };
        let created = self.create_recorded(&mut record, programs.as_ref(), cancel).await;
        if let Err(error) = created {
            // The first error is reported, not those of the cleanup.
            let _ = LocalExecutor.end_leftover_processes(&record.process_mark(), GRACE).await;
            let _ = self.forget(&record, lock);
            return Err(error);
        }
        drop(lock);
        self.guard_one(&record).await;
        Ok(record)
    }

    async fn create_recorded(
        &self,
        record: &mut Record,
        programs: Option<&programs::Programs>,
        cancel: &CancellationToken,
    ) -> Result<(), DatabaseError> {
        let folder = self.folder_of(&record.name);
        let created = crate::private::folder(&folder).and_then(|()| match &record.account {
            Some(_) if record.data.starts_with(&folder) => account::open(&folder),
            _ => Ok(()),
        });
        created.map_err(|error| operation_error("create the folder of", &record.name, &error))?;
        self.write(record)?;
        self.start_guard(record);
        match programs {
            None => {
                // Users who may read the project must not read the data of its pipelines.
                let file = File::options().create_new(true).write(true).mode(0o600).open(&record.data);
                file.map_err(|error| operation_error("create the file of", &record.name, &error))?;
            }
            Some(programs) => {
                let password = record::new_password()?;
                record::store_password(&folder, &password)
                    .map_err(|error| operation_error("store the password of", &record.name, &error))?;
                server::initialise(programs, &folder, record, &password, cancel).await?;
                let version = fs::read_to_string(record.data.join("PG_VERSION")).ok();
                record.version = version.map(|version| version.trim().to_owned());
                server::start(programs, &folder, record, cancel).await?;
            }
        }
        record.is_whole = true;
        // The lifetime begins when the database is ready.
        record.deadline = DatabaseSpec::from_record(record).deadline(&Moment::now())?;
        self.write(record)
    }
}
