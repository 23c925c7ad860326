//! Starts workers: this program, detached. A worker inherits the lock that shows that it is alive as its standard
//! input, so the lock is held all the time.

use super::MARK;
use jiff::Timestamp;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Words of the subcommand; its arguments are the folder of the queue and the name of the worker.
pub const COMMAND: [&str; 2] = ["pipelines", "worker"];
/// Variables of terrace that a worker gets: they configure logs.
const LOGGING: [&str; 2] = ["TERRACE_LOG", "TERRACE_LOG_FILE"];
/// Size in bytes above which a log is truncated at the next start.
const LARGEST_LOG: u64 = 1 << 20;
/// Number of bytes at the end of a log that are searched for an error.
const END_OF_LOG: u64 = 1 << 16;
/// Words in front of the name of a worker in the line that each start writes into the log.
const START_LINE: &str = "starting worker ";
/// Number of starts at the end of a log that are searched for an error. A pool is failing after as many failed starts; the latest
/// worker may still be starting.
const SEARCHED_STARTS: usize = 3;

/// Parameters of a worker's start.
#[derive(Debug)]
pub struct Start {
    /// The folder of the queue.
    pub folder: PathBuf,
    /// Its pool.
    pub pool: String,
    /// Its name.
    pub worker: String,
    /// Lock that shows that it is alive, which the worker inherits.
    pub lock: File,
}

/// Launcher of workers.
pub trait Launch: Send + Sync {
    /// Starts a worker, which outlives the caller.
    ///
    /// # Errors
    /// When it cannot be started.
    fn launch(&self, start: Start) -> io::Result<()>;
}

/// Launches the current program.
#[derive(Debug, Clone, Copy, Default)]
pub struct CurrentProgram;

impl Launch for CurrentProgram {
    fn launch(&self, start: Start) -> io::Result<()> {
        let log = log(&start.folder, &start.pool, &start.worker)?;
        let mut command = std::process::Command::new(program()?);
        command.arg0("terrace").args(COMMAND).arg(&start.folder).arg(&start.worker);
        // The worker reads its settings from the queue. Keys and passwords of the state are not for pipelines.
        crate::process_environment::remove_own_variables(&mut command, &LOGGING);
        command.env(MARK, &start.worker).current_dir("/");
        command.stdin(Stdio::from(start.lock)).stdout(Stdio::from(log.try_clone()?)).stderr(Stdio::from(log));
        let mut child = tokio::process::Command::from(command).spawn()?;
        // Reaps the process if it ends before this one.
        tokio::spawn(async move {
            let _ = child.wait().await;
        });
        Ok(())
    }
}

/// Path of this program, even if its file was replaced.
fn program() -> io::Result<PathBuf> {
    let own = Path::new("/proc/self/exe");
    if own.exists() { Ok(own.to_owned()) } else { std::env::current_exe() }
}

/// Log of the workers of a pool.
#[must_use]
pub fn log_path(folder: &Path, pool: &str) -> PathBuf {
    // Names of pools cannot contain path separators.
    folder.join(crate::queue::lock::FOLDER).join(format!("{pool}.log"))
}

/// The last error in the log of a pool's workers: the reason why they end at their start. Nothing if the latest ones left none:
/// errors of former workers have other causes.
#[must_use]
pub fn last_error(folder: &Path, pool: &str) -> Option<String> {
    let mut log = File::open(log_path(folder, pool)).ok()?;
    let length = log.metadata().ok()?.len();
    log.seek(SeekFrom::Start(length.saturating_sub(END_OF_LOG))).ok()?;
    let mut end = Vec::new();
    log.take(END_OF_LOG).read_to_end(&mut end).ok()?;
    let end = String::from_utf8_lossy(&end);
    let mut starts = 0;
    for line in end.lines().rev() {
        if let Some(error) = line.strip_prefix("error: ") {
            return Some(error.to_owned());
        }
        starts += usize::from(line.starts_with(START_LINE));
        if starts == SEARCHED_STARTS {
            break;
        }
    }
    None
}

/// Opens the log of the workers of a pool, and writes the line of a start into it.
fn log(folder: &Path, pool: &str, worker: &str) -> io::Result<File> {
    let path = log_path(folder, pool);
    let is_large = path.metadata().is_ok_and(|metadata| metadata.len() > LARGEST_LOG);
    let mut log = crate::private::file().append(!is_large).write(true).truncate(is_large).open(path)?;
    log.write_all(format!("{START_LINE}{worker} at {:.0}\n", Timestamp::now()).as_bytes())?;
    Ok(log)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_error_is_of_the_latest_starts() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(crate::queue::lock::FOLDER)).unwrap();
        let start = |worker: &str, message: &str| {
            log(folder.path(), "etl", worker).unwrap().write_all(message.as_bytes()).unwrap();
        };
        let error = || last_error(folder.path(), "etl");
        assert_eq!(error(), None, "the log is missing");
        start("worker-1", "error: an old one\n");
        start("worker-2", "error: `memory` is `2 GB`\n\nhint: write `2Gi`\n");
        assert_eq!(error().as_deref(), Some("`memory` is `2 GB`"));
        start("worker-3", "");
        start("worker-4", "killed\n");
        assert_eq!(error().as_deref(), Some("`memory` is `2 GB`"), "of the first of the latest starts");
        start("worker-5", "");
        assert_eq!(error(), None, "the error is of a former worker");
        start("worker-6", "error: another\n");
        assert_eq!(error().as_deref(), Some("another"));
        let text = std::fs::read_to_string(log_path(folder.path(), "etl")).unwrap();
        assert!(text.starts_with("starting worker worker-1 at 2"), "{text}");
    }
}
