//! A running command.

use crate::Ran;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Time limit of a condition.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(240);

/// Pauses between two checks of a condition. Longer waits are checked less often: a hundred calls in a second would take more
/// of a server's time than its work.
pub(crate) fn pause(begin: Instant) {
    std::thread::sleep((begin.elapsed() / 20).clamp(Duration::from_millis(10), Duration::from_millis(250)));
}

/// Waits until a condition holds.
///
/// # Panics
/// When it does not hold within the time limit.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < TIME_LIMIT, "the condition did not hold within {TIME_LIMIT:?}: {what}");
        pause(begin);
    }
}

/// A running command. Killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout_reader: Option<JoinHandle<String>>,
    stderr_reader: Option<JoinHandle<()>>,
    stderr: Arc<Mutex<String>>,
    folder: PathBuf,
    /// The command line.
    words: String,
}

impl Running {
    pub(crate) fn start(mut command: Command, folder: &Path) -> Self {
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("terrace can be started");
        let mut stdout = child.stdout.take().expect("standard output is piped");
        let stderr = child.stderr.take().expect("standard error is piped");
        let stderr_text = Arc::new(Mutex::new(String::new()));
        let shared = Arc::clone(&stderr_text);
        let read_errors = move || {
            let mut lines = BufReader::new(stderr);
            let mut line = Vec::new();
            while lines.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                shared.lock().expect("no reader panics").push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        };
        let read_output = move || {
            let mut bytes = Vec::new();
            stdout.read_to_end(&mut bytes).expect("standard output can be read");
            String::from_utf8_lossy(&bytes).into_owned()
        };
        Self {
            child,
            stdout_reader: Some(std::thread::spawn(read_output)),
            stderr_reader: Some(std::thread::spawn(read_errors)),
            stderr: stderr_text,
            folder: folder.to_owned(),
            words: words.join(" "),
        }
    }

    /// Waits until standard error contains a text.
    ///
    /// # Panics
    /// When it does not within the time limit.
    #[track_caller]
    pub fn wait_for_stderr(&self, text: &str) {
        until(&format!("`{text}` is on standard error"), || self.stderr().contains(text));
    }

    /// Standard error so far.
    ///
    /// # Panics
    /// Never: its reader does not panic.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.lock().expect("no reader panics").clone()
    }

    /// True if the command has ended.
    ///
    /// # Panics
    /// When the system does not report it.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("the process can be asked for").is_some()
    }

    /// Sends SIGINT, as Ctrl-C does.
    ///
    /// # Panics
    /// When the process does not exist.
    pub fn interrupt(&self) {
        self.send(Signal::INT);
    }

    /// Sends SIGTERM.
    ///
    /// # Panics
    /// When the process does not exist.
    pub fn terminate(&self) {
        self.send(Signal::TERM);
    }

    /// Sends SIGHUP, as a closed terminal does.
    ///
    /// # Panics
    /// When the process does not exist.
    pub fn hang_up(&self) {
        self.send(Signal::HUP);
    }

    /// Sends SIGKILL, which ends the process at once.
    ///
    /// # Panics
    /// When the process does not exist.
    pub fn kill(&self) {
        self.send(Signal::KILL);
    }

    /// Sends SIGSTOP, which suspends the process.
    ///
    /// # Panics
    /// When the process does not exist.
    pub fn suspend(&self) {
        self.send(Signal::STOP);
    }

    /// Sends SIGCONT, which resumes the process.
    ///
    /// # Panics
    /// When the process does not exist.
    pub fn resume(&self) {
        self.send(Signal::CONT);
    }

    fn send(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the process takes signals");
    }

    /// Waits for the end of the command.
    ///
    /// # Panics
    /// When it does not end within the time limit.
    #[track_caller]
    #[must_use]
    pub fn finish(mut self) -> Ran {
        let begin = Instant::now();
        while !self.has_ended() {
            let (words, said) = (&self.words, self.stderr());
            assert!(begin.elapsed() < TIME_LIMIT, "`{words}` did not end within {TIME_LIMIT:?}, and said: {said}");
            pause(begin);
        }
        let status = self.child.wait().expect("the process can be waited for");
        // Children that outlive a killed terrace hold its pipes: their output is not read.
        let stdout = match status.code() {
            Some(_) => self.stdout_reader.take().and_then(|reader| reader.join().ok()).unwrap_or_default(),
            None => String::new(),
        };
        if let (Some(_), Some(reader)) = (status.code(), self.stderr_reader.take()) {
            reader.join().expect("standard error can be read");
        }
        Ran::new(status.code(), stdout, self.stderr(), &self.folder)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Ignores an error: the process may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
