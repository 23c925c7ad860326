//! How a worker is started: this program itself, detached. The lock that says that it lives is its standard input, so there
//! is no moment at which it is neither dead nor alive.

use super::MARK;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// What the program is called with: then the folder of the queue and the name of the worker.
pub const COMMAND: &str = "pipelines-worker";
/// The variables of terrace itself that it gets: they say what is logged, and where.
const LOGGING: [&str; 2] = ["TERRACE_LOG", "TERRACE_LOG_FILE"];
/// A log that is larger is begun anew.
const LARGEST_LOG: u64 = 1 << 20;

/// A worker that is to be started.
#[derive(Debug)]
pub struct Start {
    /// The folder of the queue.
    pub folder: PathBuf,
    /// The pool that it is for.
    pub pool: String,
    /// Its name.
    pub worker: String,
    /// The lock that says that it lives, which goes over to it.
    pub lock: File,
}

/// Starts workers.
pub trait Launch: Send + Sync {
    /// Starts one, which goes on when the caller ends.
    ///
    /// # Errors
    /// When it cannot be started.
    fn launch(&self, start: Start) -> io::Result<()>;
}

/// Starts this very program.
#[derive(Debug, Clone, Copy, Default)]
pub struct Itself;

impl Launch for Itself {
    fn launch(&self, start: Start) -> io::Result<()> {
        let log = log(&start.folder, &start.pool)?;
        let mut command = std::process::Command::new(program()?);
        command.arg0("terrace").arg(COMMAND).arg(&start.folder).arg(&start.worker);
        // What it needs to know is in the queue; a key, or a password of the state, is not for those who run pipelines.
        crate::settings::without_own(&mut command, &LOGGING);
        command.env(MARK, &start.worker).current_dir("/");
        command.stdin(Stdio::from(start.lock)).stdout(Stdio::from(log.try_clone()?)).stderr(Stdio::from(log));
        let mut child = tokio::process::Command::from(command).spawn()?;
        // Waited for as long as this process lives, so that it does not stay about when it has ended.
        tokio::spawn(async move {
            let _ = child.wait().await;
        });
        Ok(())
    }
}

/// This program: also when its file was replaced meanwhile.
fn program() -> io::Result<PathBuf> {
    let own = Path::new("/proc/self/exe");
    if own.exists() { Ok(own.to_owned()) } else { std::env::current_exe() }
}

/// The file that workers of a pool write what they have to say into.
#[must_use]
pub fn log_path(folder: &Path, pool: &str) -> PathBuf {
    // A name of a pool has nothing that leads elsewhere.
    folder.join(crate::queue::lock::FOLDER).join(format!("{pool}.log"))
}

fn log(folder: &Path, pool: &str) -> io::Result<File> {
    let path = log_path(folder, pool);
    let is_large = path.metadata().is_ok_and(|metadata| metadata.len() > LARGEST_LOG);
    crate::private::file().append(!is_large).write(true).truncate(is_large).open(path)
}
