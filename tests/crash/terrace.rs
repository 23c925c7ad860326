//! Runs terrace, and interrupts it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Interruptions of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Disturbance {
    /// SIGKILL after this time.
    Kill(Duration),
    /// A fault of `TERRACE_FAULT` at the commit with this number.
    Commit(&'static str, usize),
}

/// The result of a run.
pub(crate) struct Ended {
    /// The exit code; `None` after a kill.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let code = self.code.map_or("killed".to_owned(), |code| format!("exit {code}"));
        write!(f, "{code}\n{}\n{}", self.stdout, self.stderr)
    }
}

/// Time limit of a run.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// Terrace in a folder.
pub(crate) struct Terrace {
    pub(crate) binary: PathBuf,
    pub(crate) folder: PathBuf,
}

impl Terrace {
    /// Runs to the end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        self.disturbed(arguments, None)
    }

    /// Runs with an interruption.
    pub(crate) fn disturbed(&self, arguments: &[&str], disturbance: Option<Disturbance>) -> Ended {
        // Output goes into files, because children that outlive a killed terrace would hold pipes open.
        let file = |name: &str| std::fs::File::create(self.folder.join(name)).expect("a file for the output");
        let mut command = Command::new(&self.binary);
        command
            .args(arguments)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .env("NO_COLOR", "1")
            .env_remove("TERRACE_FAULT");
        if let Some(Disturbance::Commit(how, number)) = disturbance {
            command.env("TERRACE_FAULT", format!("{how}:{number}"));
        }
        let mut child = command.spawn().expect("terrace can be started");
        if let Some(Disturbance::Kill(after)) = disturbance {
            wait(&mut child, after);
            // Ignores an error: the process may have ended.
            let _ = child.kill();
        }
        assert!(wait(&mut child, TIME_LIMIT), "`{}` hangs in {}", arguments.join(" "), self.folder.display());
        let status = child.wait().expect("an ended process has a status");
        let output = |name: &str| std::fs::read_to_string(self.folder.join(name)).unwrap_or_default();
        Ended { code: status.code(), stdout: output("stdout"), stderr: output("stderr") }
    }
}

/// Waits for the end of a process; false after the time limit.
fn wait(child: &mut Child, most: Duration) -> bool {
    let begin = Instant::now();
    loop {
        if child.try_wait().expect("a child can be waited for").is_some() {
            return true;
        }
        if begin.elapsed() >= most {
            return false;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
}

/// A fresh folder with the script of the world.
pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("terrace-crash-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    write(&folder, "thing.sh", crate::world::THING);
    write(&folder, "log", "");
    folder
}

/// Writes a file of a folder.
pub(crate) fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("a file of the trial");
}
