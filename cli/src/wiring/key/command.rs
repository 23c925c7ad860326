//! The state key that a command prints: it may take its time, for somebody may have to touch a token, but not for ever.

use super::UNUSABLE;
use crate::files::{self, because, size};
use crate::ui::Ui;
use std::io::{self, ErrorKind, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};
use terrace_engine::diagnostic::Diagnostic;

/// How often is looked whether a program that printed all has ended.
const LOOK: Duration = Duration::from_millis(10);

/// How long a command is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Until it is said what is waited for.
    quiet: Duration,
    /// Until it is stopped.
    whole: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { quiet: Duration::from_secs(2), whole: Duration::from_secs(120) }
    }
}

/// What a command prints. Its errors go where ours go: it may have to say why it needs a touch on a token. It has nothing
/// to read: what asks has to ask on the terminal itself.
pub(super) fn run(words: &[String], patience: Patience, ui: &Ui) -> Result<String, Box<Diagnostic>> {
    let shown = words.join(" ");
    let failed = |why: &str, hint: &str| {
        Box::new(Diagnostic::error(UNUSABLE, format!("the state key cannot be had: `{shown}` {why}")).hint(hint))
    };
    let Some((program, arguments)) = words.split_first() else {
        return Err(failed("names no program", "write `keyCommand: [program, argument]`"));
    };
    let started = Instant::now();
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(&format!("cannot be run: {}", no_program(&error)), RUN))?;
    let printed = printed(&mut child);
    let printed = match printed.recv_timeout(patience.quiet) {
        Err(RecvTimeoutError::Timeout) => {
            ui.say(&format!("waiting for `{shown}`, which `keyCommand` of terrace.yaml names (Ctrl-C leaves)"));
            printed.recv_timeout(patience.whole.saturating_sub(patience.quiet))
        }
        other => other,
    };
    let ended = match printed {
        Ok(Ok(bytes)) if bytes.len() as u64 > files::KEY => {
            stop(&mut child);
            return Err(failed(&format!("printed more than {}", size(files::KEY)), PRINT));
        }
        Ok(Ok(bytes)) => until(&mut child, started + patience.whole).map(|ended| (ended, bytes)),
        Ok(Err(error)) => Err(error),
        Err(_) => Ok((None, Vec::new())),
    };
    match ended {
        Err(error) => {
            stop(&mut child);
            Err(failed(&format!("cannot be waited for: {error}"), RUN))
        }
        Ok((None, _)) => {
            stop(&mut child);
            let why = format!("did not end within {} s and was stopped", patience.whole.as_secs());
            Err(failed(&why, "a `keyCommand` has nothing to read: have it print the key without a question"))
        }
        Ok((Some(status), _)) if !status.success() => {
            Err(failed(&format!("ended with {status}"), "what it says itself is told above; run it by hand"))
        }
        Ok((Some(_), bytes)) => String::from_utf8(bytes).map_err(|_| failed("printed no text", PRINT)),
    }
}

const RUN: &str = "`keyCommand` is a program and its arguments, `[program, argument]`, and is run without a shell";
const PRINT: &str = "a `keyCommand` prints the key, which is the base64 of 32 bytes, and nothing else";

/// Why a program cannot be run.
fn no_program(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such program".to_owned(),
        ErrorKind::PermissionDenied => "it is no program, or there is no permission to run it".to_owned(),
        _ => because(error),
    }
}

/// What a program prints, up to what is too long for a key; read beside, for a read has no end of its own.
fn printed(child: &mut Child) -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel();
    let stdout = child.stdout.take();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = match stdout {
            Some(stdout) => stdout.take(files::KEY + 1).read_to_end(&mut bytes),
            None => Ok(0),
        };
        // Nobody is left to hear of it when it took too long.
        let _ = sender.send(read.map(|_| bytes));
    });
    receiver
}

/// How a program ended; nothing when it did not.
fn until(child: &mut Child, end: Instant) -> io::Result<Option<ExitStatus>> {
    loop {
        match child.try_wait()? {
            Some(status) => return Ok(Some(status)),
            None if Instant::now() >= end => return Ok(None),
            None => std::thread::sleep(LOOK),
        }
    }
}

/// Stops a program. That it ended meanwhile changes nothing.
fn stop(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(words: &[&str]) -> Result<String, String> {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let patience = Patience { quiet: Duration::ZERO, whole: Duration::from_secs(60) };
        run(&words, patience, &Ui::plain()).map_err(|diagnostic| diagnostic.message)
    }

    #[test]
    fn a_program_has_nothing_to_read_and_its_output_is_the_key() {
        assert_eq!(told(&["sh", "-c", "cat; printf key"]), Ok("key".to_owned()));
    }

    #[test]
    fn a_program_that_does_not_end_is_stopped_when_its_time_is_over() {
        for script in ["kill -STOP $$", "exec >&-; kill -STOP $$"] {
            let words = ["sh", "-c", script].map(str::to_owned);
            let patience = Patience { quiet: Duration::ZERO, whole: Duration::from_millis(50) };
            let diagnostic = run(&words, patience, &Ui::plain()).unwrap_err();
            assert!(diagnostic.message.ends_with("did not end within 0 s and was stopped"), "{}", diagnostic.message);
            assert!(diagnostic.hint.unwrap().contains("nothing to read"));
        }
    }

    #[test]
    fn a_program_that_prints_without_end_is_stopped() {
        let message = told(&["cat", "/dev/zero"]).unwrap_err();
        assert_eq!(message, "the state key cannot be had: `cat /dev/zero` printed more than 64 KiB");
    }

    #[test]
    fn a_program_that_fails_or_is_not_there_is_named() {
        assert!(told(&["sh", "-c", "exit 3"]).unwrap_err().ends_with("ended with exit status: 3"));
        assert!(told(&["no-such-program"]).unwrap_err().ends_with("cannot be run: there is no such program"));
        assert!(told(&["/"]).unwrap_err().contains("it is no program"));
        assert!(told(&["printf", "\\377"]).unwrap_err().ends_with("printed no text"));
    }
}
