//! Dumps of databases in a cluster: `pg_dump` of the server's own release, in its pod.

use super::super::dump::{check_running, to_new_file};
use super::super::error::{DatabaseError, DatabaseErrorKind, operation_error};
use super::super::record::{USER, write_private};
use super::manifest::{CONTAINER, pod_name};
use super::{ClusterDatabases, refused};
use std::io;
use std::path::Path;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

impl ClusterDatabases {
    /// Writes the content of a database to a new file.
    ///
    /// # Errors
    /// When the file exists, the database does not run, `pg_dump` fails, or the file cannot be written: then no file remains.
    pub async fn dump(&self, name: &str, file: &Path, cancel: &CancellationToken) -> Result<(), DatabaseError> {
        let record = self.existing(name).await?;
        check_running(&record, self.status_of(&record))?;
        to_new_file(name, file, async |partial| self.dump_server(name, partial, cancel).await).await
    }

    async fn dump_server(&self, name: &str, file: &Path, cancel: &CancellationToken) -> Result<(), DatabaseError> {
        let broken = |error: io::Error| operation_error("write a dump of", name, &error);
        // The container has the password in its environment.
        let command = ["pg_dump", "--no-password", "-d", USER];
        let mut program = self.client.execute(&pod_name(name), CONTAINER, &command).await.map_err(refused)?;
        let mut output = program.output().ok_or_else(|| broken(io::Error::other("the program has no output")))?;
        write_private(file, "").map_err(broken)?;
        let mut written = File::options().write(true).open(file).await.map_err(broken)?;
        let copying = async {
            tokio::io::copy(&mut output, &mut written).await?;
            written.flush().await?;
            written.sync_all().await?;
            io::Result::Ok(program.wait().await)
        };
        let outcome = tokio::select! {
            outcome = copying => outcome.map_err(broken)?,
            () = cancel.cancelled() => {
                return Err(DatabaseError::new(DatabaseErrorKind::Cancelled, "cancelled while writing a dump"));
            }
        };
        outcome.map_err(|why| {
            let message = format!("`pg_dump` of the database `{name}` failed");
            DatabaseError::new(DatabaseErrorKind::Failed, message).facts([why]).hint(format!(
                "see `kubectl logs {} -n {}`, then try again",
                pod_name(name),
                self.namespace()
            ))
        })
    }
}
