//! The state key from the output of a command. The command may take a while, for example for a touch on a token, but
//! has a time limit.

use super::UNUSABLE;
use crate::files::{self, describe_io_error, size};
use crate::ui::Ui;
use std::io::{self, ErrorKind, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use terrace_engine::diagnostic::Diagnostic;
use terrace_provider::sandbox::variables::confine;

/// Interval of checks for the end of a program.
const POLL: Duration = Duration::from_millis(10);
/// Wait for the output of a program after its end.
const GRACE: Duration = Duration::from_millis(500);

/// Time limits of a command.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimeLimits {
    /// Time until a note about the wait.
    before_note: Duration,
    /// Time until the command is stopped.
    total: Duration,
}

impl Default for TimeLimits {
    fn default() -> Self {
        Self { before_note: Duration::from_secs(2), total: Duration::from_secs(120) }
    }
}

/// The output of a key command. The command gets the usual variables and those of the configuration. Its errors go to
/// standard error: it may ask for a touch on a token. Its standard input is empty: a prompt needs the terminal.
pub(super) fn run(
    words: &[String],
    variables: &[String],
    limits: TimeLimits,
    ui: &Ui,
) -> Result<String, Box<Diagnostic>> {
    // Shows only the program: arguments may contain values of the environment.
    let shown = words.first().map(String::as_str).unwrap_or_default();
    let failed = |why: &str, hint: &str| {
        Box::new(Diagnostic::error(UNUSABLE, format!("the state key is not available: `{shown}` {why}")).hint(hint))
    };
    let Some((program, arguments)) = words.split_first() else {
        return Err(failed("names no program", "write `keyCommand: [program, argument]`"));
    };
    let mut command = Command::new(program);
    confine(&mut command, variables);
    let mut child = command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(&format!("cannot be run: {}", no_program(&error)), RUN))?;
    let print_note =
        || ui.print_note(&format!("waiting for `{shown}`, the `keyCommand` of terrace.yaml (Ctrl-C leaves)"));
    let ending = ProgramOutput::of(&mut child).wait(&mut child, limits, print_note);
    if !matches!(ending, Ok(Ending::Ended(..))) {
        stop(&mut child);
    }
    match ending {
        Err(error) => Err(failed(&format!("cannot be waited for: {error}"), RUN)),
        Ok(Ending::Late) => {
            let why = format!("did not end within {} s and was stopped", limits.total.as_secs());
            Err(failed(&why, "let `keyCommand` print the key without a question: it has nothing to read"))
        }
        Ok(Ending::TooMuch) => Err(failed(&format!("printed more than {}", size(files::KEY)), PRINT)),
        Ok(Ending::Ended(status, _)) if !status.success() => {
            Err(failed(&format!("ended with {status}"), "see its own message above, or run it by hand"))
        }
        Ok(Ending::Ended(_, bytes)) => String::from_utf8(bytes).map_err(|_| failed("printed no text", PRINT)),
    }
}

const RUN: &str = "set `keyCommand` to a program and its arguments, `[program, argument]`: it runs without a shell";
const PRINT: &str = "let `keyCommand` print only the key, the base64 of 32 bytes";

/// The reason why a program cannot run.
fn no_program(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such program".to_owned(),
        ErrorKind::PermissionDenied => "it is not a program, or there is no permission to run it".to_owned(),
        _ => describe_io_error(error),
    }
}

/// Output of a program, up to the limit of a key. A thread reads it, because a read has no time limit.
struct ProgramOutput {
    bytes: Arc<Mutex<Vec<u8>>>,
    end: mpsc::Receiver<io::Result<()>>,
}

/// Outcome of a program.
enum Ending {
    /// It ended with this output.
    Ended(ExitStatus, Vec<u8>),
    /// It printed more than the limit.
    TooMuch,
    /// It did not end in time.
    Late,
}

impl ProgramOutput {
    fn of(child: &mut Child) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let (sender, end) = mpsc::channel();
        let (stdout, read) = (child.stdout.take(), Arc::clone(&bytes));
        std::thread::spawn(move || {
            let result = stdout.map_or(Ok(()), |stdout| read_into(&read, stdout));
            // Ignores an error: the receiver is gone after a timeout.
            let _ = sender.send(result);
        });
        Self { bytes, end }
    }

    /// Waits until a program ends or prints too much.
    fn wait(&self, child: &mut Child, limits: TimeLimits, print_note: impl FnOnce()) -> io::Result<Ending> {
        let (started, mut print_note) = (Instant::now(), Some(print_note));
        let mut is_all_read = false;
        while started.elapsed() < limits.total {
            is_all_read = is_all_read || self.is_all_read(POLL)?;
            let ended = child.try_wait()?;
            if ended.is_some() && !is_all_read {
                // Child processes may keep the output open: the program's own output is complete after a short wait.
                self.is_all_read(GRACE)?;
            }
            let bytes = self.bytes_so_far();
            match ended {
                _ if bytes.len() as u64 > files::KEY => return Ok(Ending::TooMuch),
                Some(status) => return Ok(Ending::Ended(status, bytes)),
                None => {}
            }
            if is_all_read {
                std::thread::sleep(POLL);
            }
            if started.elapsed() >= limits.before_note {
                print_note.take().into_iter().for_each(|print_note| print_note());
            }
        }
        Ok(Ending::Late)
    }

    fn is_all_read(&self, wait: Duration) -> io::Result<bool> {
        match self.end.recv_timeout(wait) {
            Ok(result) => result.map(|()| true),
            Err(RecvTimeoutError::Timeout) => Ok(false),
            Err(RecvTimeoutError::Disconnected) => Ok(true),
        }
    }

    fn bytes_so_far(&self) -> Vec<u8> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn read_into(bytes: &Mutex<Vec<u8>>, mut from: impl Read) -> io::Result<()> {
    let mut buffer = [0; 1024];
    loop {
        let count = from.read(&mut buffer)?;
        let mut bytes = bytes.lock().unwrap_or_else(PoisonError::into_inner);
        bytes.extend_from_slice(buffer.get(..count).unwrap_or_default());
        if count == 0 || bytes.len() as u64 > files::KEY {
            return Ok(());
        }
    }
}

/// Stops a program, which may have ended meanwhile.
fn stop(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(words: &[&str]) -> Result<String, String> {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let limits = TimeLimits { before_note: Duration::ZERO, total: Duration::from_secs(60) };
        run(&words, &["CARGO_PKG_NAME".to_owned()], limits, &Ui::plain()).map_err(|diagnostic| diagnostic.message)
    }

    #[test]
    fn output_of_a_program_without_input_is_the_key() {
        assert_eq!(key_of(&["sh", "-c", "cat; printf key"]), Ok("key".to_owned()));
    }

    #[test]
    fn program_is_stopped_after_its_time_limit() {
        for script in ["kill -STOP $$", "exec >&-; kill -STOP $$"] {
            let words = ["sh", "-c", script].map(str::to_owned);
            let limits = TimeLimits { before_note: Duration::ZERO, total: Duration::from_millis(50) };
            let diagnostic = run(&words, &[], limits, &Ui::plain()).unwrap_err();
            assert!(diagnostic.message.ends_with("did not end within 0 s and was stopped"), "{}", diagnostic.message);
            assert!(diagnostic.hint.unwrap().contains("nothing to read"));
        }
    }

    #[test]
    fn child_processes_do_not_delay_the_key() {
        assert_eq!(key_of(&["sh", "-c", "sleep 20 & echo $! >&2; echo key"]), Ok("key\n".to_owned()));
    }

    #[test]
    fn program_gets_usual_and_named_variables_only() {
        let script = "printf '%s/%s' \"$CARGO_PKG_NAME\" \"$CARGO_MANIFEST_DIR\"";
        assert_eq!(key_of(&["sh", "-c", script]), Ok("terrace/".to_owned()));
    }

    #[test]
    fn arguments_are_not_shown() {
        let message = key_of(&["sh", "-c", "exit 3 # hunter2"]).unwrap_err();
        assert_eq!(message, "the state key is not available: `sh` ended with exit status: 3");
    }

    #[test]
    fn program_with_endless_output_is_stopped() {
        let message = key_of(&["cat", "/dev/zero"]).unwrap_err();
        assert_eq!(message, "the state key is not available: `cat` printed more than 64 KiB");
    }

    #[test]
    fn failed_or_missing_program_is_named() {
        assert!(key_of(&["sh", "-c", "exit 3"]).unwrap_err().ends_with("ended with exit status: 3"));
        assert!(key_of(&["no-such-program"]).unwrap_err().ends_with("cannot be run: there is no such program"));
        assert!(key_of(&["/"]).unwrap_err().contains("it is not a program"));
        assert!(key_of(&["printf", "\\377"]).unwrap_err().ends_with("printed no text"));
    }
}
