//! What a database holds, in a file: by `pg_dump` as SQL, of SQLite as another database.

use super::error::{DatabaseError, Why, cannot};
use super::record::{Engine, HOST, Record, USER};
use super::{Databases, Status, programs, server};
use rusqlite::{Connection, OpenFlags};
use std::fs;
use std::io;
use std::path::Path;
use std::process::Stdio;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

impl Databases {
    /// Writes what a database holds into a file, which must not be there.
    ///
    /// # Errors
    /// When the file is there, the database does not run, or it cannot be written: then there is no file.
    pub async fn dump(&self, name: &str, file: &Path, cancel: &CancellationToken) -> Result<(), DatabaseError> {
        let record = self.known(name)?;
        match self.status(&record) {
            Status::Running => {}
            Status::Expired => return Err(super::error::expired(&record)),
            Status::Stopped | Status::Making => {
                return Err(DatabaseError::new(Why::Wrong, format!("the database `{name}` does not run"))
                    .hint(format!("start it: `terrace databases start {name}`")));
            }
        }
        if fs::symlink_metadata(file).is_ok() {
            return Err(DatabaseError::new(Why::Wrong, format!("`{}` is there already", file.display()))
                .hint("name another file, or remove this one"));
        }
        let mut partial = file.as_os_str().to_owned();
        // Nobody else has a file of that name.
        partial.push(format!(".{}.partial", uuid::Uuid::now_v7()));
        let partial = Path::new(&partial);
        let written = match record.engine {
            Engine::Sqlite => copy(&record, partial).await,
            Engine::Postgres => self.dump_server(&record, partial, cancel).await,
        };
        let named =
            written.and_then(|()| fs::rename(partial, file).map_err(|error| cannot("write a dump of", name, &error)));
        if named.is_err() {
            let _ = fs::remove_file(partial);
        }
        named
    }

    async fn dump_server(&self, record: &Record, file: &Path, cancel: &CancellationToken) -> Result<(), DatabaseError> {
        let programs = programs::for_data(self.programs.as_deref(), &record.data)?;
        let broken = |error: io::Error| cannot("write a dump of", &record.name, &error);
        // It is root's, or whose ever this is, and not the server's user's: the file goes where this one may write.
        super::record::write_private(file, "").map_err(broken)?;
        let mut command = Command::new(programs.path("pg_dump"));
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("LC_ALL", "C");
        command.env("PGPASSFILE", server::password_file(&self.folder_of(&record.name)));
        command.args(["-h", HOST, "-U", USER, "-d", USER, "--no-password", "-p"]);
        command.arg(record.port.unwrap_or_default().to_string()).arg("-f").arg(file);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let said = tokio::select! {
            said = command.output() => said.map_err(broken)?,
            () = cancel.cancelled() => return Err(DatabaseError::new(Why::Cancelled, "stopped while a dump was written")),
        };
        if said.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        let error = DatabaseError::new(Why::Failed, format!("`pg_dump` of the database `{}` failed", record.name));
        Err(error.facts(text.lines().map(str::to_owned)).hint("make room where the dump is written, and try again"))
    }
}

/// Copies a file of SQLite while others write to it.
async fn copy(record: &Record, file: &Path) -> Result<(), DatabaseError> {
    let (data, file, name) = (record.data.clone(), file.to_owned(), record.name.clone());
    let copied = tokio::task::spawn_blocking(move || {
        let source = Connection::open_with_flags(&data, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        source.busy_timeout(std::time::Duration::from_secs(10))?;
        source.execute("VACUUM INTO ?1", [file.to_string_lossy()]).map(|_| ())
    });
    let copied = copied.await.map_err(io::Error::other).map_err(|error| cannot("write a dump of", &name, &error))?;
    copied.map_err(|error| cannot("write a dump of", &record.name, &io::Error::other(error)))
}
