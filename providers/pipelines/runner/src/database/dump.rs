//! Dumps of databases: SQL by `pg_dump`, or a copy of a SQLite file.

use super::databases::Databases;
use super::error::{DatabaseError, DatabaseErrorKind, operation_error};
use super::record::{Engine, HOST, Record, Status, USER};
use super::{programs, server};
use rusqlite::{Connection, OpenFlags};
use std::fs;
use std::io;
use std::path::Path;
use std::process::Stdio;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

impl Databases {
    /// Writes the content of a database to a new file.
    ///
    /// # Errors
    /// When the file exists, the database does not run, or the file cannot be written: then no file remains.
    pub async fn dump(&self, name: &str, file: &Path, cancel: &CancellationToken) -> Result<(), DatabaseError> {
        let record = self.existing(name)?;
        check_running(&record, self.status(&record))?;
        to_new_file(name, file, async |partial| match record.engine {
            Engine::Sqlite => copy(&record, partial).await,
            Engine::Postgres => self.dump_server(&record, partial, cancel).await,
        })
        .await
    }

    async fn dump_server(&self, record: &Record, file: &Path, cancel: &CancellationToken) -> Result<(), DatabaseError> {
        let programs = programs::for_data(self.programs.as_deref(), &record.data)?;
        let broken = |error: io::Error| operation_error("write a dump of", &record.name, &error);
        // The file belongs to the user of this process, and not to the server's user.
        super::record::write_private(file, "").map_err(broken)?;
        let mut command = Command::new(programs.path("pg_dump"));
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("LC_ALL", "C");
        command.env("PGPASSFILE", server::password_file(&self.folder_of(&record.name)));
        command.args(["-h", HOST, "-U", USER, "-d", USER, "--no-password", "-p"]);
        command.arg(record.port.unwrap_or_default().to_string()).arg("-f").arg(file);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let output = tokio::select! {
            output = command.output() => output.map_err(broken)?,
            () = cancel.cancelled() => {
                return Err(DatabaseError::new(DatabaseErrorKind::Cancelled, "cancelled while writing a dump"));
            }
        };
        if output.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let error = DatabaseError::new(
            DatabaseErrorKind::Failed,
            format!("`pg_dump` of the database `{}` failed", record.name),
        );
        Err(error.facts(text.lines().map(str::to_owned)).hint("free space for the dump, then try again"))
    }
}

/// Refuses a dump of a database that does not run.
pub(super) fn check_running(record: &Record, status: Status) -> Result<(), DatabaseError> {
    match status {
        Status::Running | Status::Changed => Ok(()),
        Status::Expired => Err(super::error::expired(record)),
        Status::Stopped | Status::Creating => {
            let message = format!("the database `{}` is not running", record.name);
            Err(DatabaseError::new(DatabaseErrorKind::Invalid, message)
                .hint(format!("start it: `terrace pipelines databases start {}`", record.name)))
        }
    }
}

/// Writes a new file, which has its name when it is complete.
pub(super) async fn to_new_file(
    name: &str,
    file: &Path,
    write: impl AsyncFnOnce(&Path) -> Result<(), DatabaseError>,
) -> Result<(), DatabaseError> {
    if fs::symlink_metadata(file).is_ok() {
        return Err(DatabaseError::new(
            DatabaseErrorKind::Invalid,
            format!("the file `{}` exists already", file.display()),
        )
        .hint("name another file, or remove this file"));
    }
    let mut partial = file.as_os_str().to_owned();
    // A unique name.
    partial.push(format!(".{}.partial", uuid::Uuid::now_v7()));
    let partial = Path::new(&partial);
    let written = write(partial).await;
    let named = written
        .and_then(|()| fs::rename(partial, file).map_err(|error| operation_error("write a dump of", name, &error)));
    if named.is_err() {
        let _ = fs::remove_file(partial);
    }
    named
}

/// Copies a SQLite file while other processes write to it.
async fn copy(record: &Record, file: &Path) -> Result<(), DatabaseError> {
    let (data, file, name) = (record.data.clone(), file.to_owned(), record.name.clone());
    let copied = tokio::task::spawn_blocking(move || {
        let source = Connection::open_with_flags(&data, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        source.busy_timeout(std::time::Duration::from_secs(10))?;
        source.execute("VACUUM INTO ?1", [file.to_string_lossy()]).map(|_| ())
    });
    let copied =
        copied.await.map_err(io::Error::other).map_err(|error| operation_error("write a dump of", &name, &error))?;
    copied.map_err(|error| operation_error("write a dump of", &record.name, &io::Error::other(error)))
}
