//! Shells with the folder and the variables of steps: on this machine, and in the pods of a cluster.

use crate::failure::{Exit, Failure};
use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use terrace_pipelines::executor::Attached;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// Starts a bash whose startup file is [`STARTUP`].
const START_BASH: &str = r#"exec "$0" --rcfile <(printf '%s\nPATH=%q PS1=%q\n' "$1" "$2" "$3") -i"#;
/// Sources the user's startup file first. It may put other programs before those of the environment, as version
/// managers of Python do; the following assignments override this.
const STARTUP: &str = "if [ -f ~/.bashrc ]; then . ~/.bashrc; fi";
/// Bytes that are read at once.
const PART: usize = 8 << 10;
/// Parts of the input that wait for the connection.
const WAITING: usize = 16;

/// Replaces this process by a shell: for these words as a command, or an interactive one without words. Returns only the
/// failure to start it.
pub(super) fn become_shell(
    shell: &str,
    (folder, variables): (&Path, &BTreeMap<String, String>),
    prompt: &str,
    words: &[String],
) -> Failure {
    let mut command = Command::new(shell);
    command.env_clear().envs(variables).env("PS1", prompt).current_dir(folder);
    if !words.is_empty() {
        // Joins the words to one line for the shell, as ssh does.
        command.arg("-c").arg(words.join(" "));
    } else if io::stdin().is_terminal() && Path::new(shell).file_name().is_some_and(|name| name == "bash") {
        let path = variables.get("PATH").map_or("", String::as_str);
        command.args(["-c", START_BASH, shell, STARTUP, path, prompt]);
    }
    let error = command.exec();
    Failure::new(format!("the shell `{shell}` cannot be started in `{}`: {error}", folder.display()))
        .hint("set the variable SHELL to the path of a shell")
}

/// Connects the input and the output of this process with a shell in a pod, until it ends. Returns its exit code.
///
/// # Errors
/// When the connection ends first, or this terminal cannot be set.
pub(super) async fn connect(mut attached: Attached, has_terminal: bool) -> Result<Exit, Failure> {
    let failed = |error: io::Error| Failure::new(format!("the terminal: {error}"));
    // Keys go to the shell as they are pressed.
    let _raw = if has_terminal { Some(RawTerminal::enter().map_err(failed)?) } else { None };
    let mut resizer = attached.resizer().filter(|_| has_terminal);
    let mut resized = signal(SignalKind::window_change()).map_err(failed)?;
    let (mut output, mut errors) = (attached.output(), attached.errors());
    // On its own: the shell may wait for its output to be read before it reads on.
    let typing = attached.input().map(|input| tokio::spawn(pass_on(read_input(), input)));
    let (mut printed, mut reported) = (vec![0; PART], vec![0; PART]);
    let resize = |resizer: &mut Option<_>| {
        if let (Some(resizer), Ok(size)) = (resizer, rustix::termios::tcgetwinsize(io::stdout())) {
            let resizer: &mut dyn FnMut(u16, u16) = resizer;
            resizer(size.ws_col, size.ws_row);
        }
    };
    resize(&mut resizer);
    while output.is_some() || errors.is_some() {
        tokio::select! {
            count = read(&mut output, &mut printed) => match printed.get(..count).filter(|it| !it.is_empty()) {
                Some(part) => write(io::stdout(), part)?,
                None => output = None,
            },
            count = read(&mut errors, &mut reported) => match reported.get(..count).filter(|it| !it.is_empty()) {
                Some(part) => write(io::stderr(), part)?,
                None => errors = None,
            },
            _ = resized.recv() => resize(&mut resizer),
        }
    }
    if let Some(typing) = typing {
        typing.abort();
    }
    attached.exit_code().await.map(Exit::Program).map_err(Failure::new)
}

/// Passes the input on until it ends, or the shell does not read any more.
async fn pass_on(mut typed: mpsc::Receiver<Vec<u8>>, mut input: impl AsyncWrite + Unpin) {
    while let Some(part) = typed.recv().await {
        if input.write_all(&part).await.is_err() {
            return;
        }
    }
    // The shell reads the end of its input.
    let _ = input.shutdown().await;
}

/// Reads from a stream; 0 bytes at its end. Waits for ever without a stream.
async fn read(stream: &mut Option<impl AsyncRead + Unpin>, part: &mut [u8]) -> usize {
    match stream {
        Some(stream) => stream.read(part).await.unwrap_or_default(),
        None => std::future::pending().await,
    }
}

fn write(mut to: impl Write, part: &[u8]) -> Result<(), Failure> {
    let written = to.write_all(part).and_then(|()| to.flush());
    written.map_err(|error| Failure::new(format!("the output of the shell cannot be written: {error}")))
}

/// The input of this process in parts. A read cannot be cancelled, but a thread does not keep the process alive.
fn read_input() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(WAITING);
    thread::spawn(move || {
        let mut part = vec![0; PART];
        while let Ok(count @ 1..) = io::Read::read(&mut io::stdin(), &mut part) {
            let Some(read) = part.get(..count) else { break };
            if sender.blocking_send(read.to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}

/// A terminal that passes keys unchanged; as before when this is dropped.
struct RawTerminal(rustix::termios::Termios);

impl RawTerminal {
    fn enter() -> io::Result<Self> {
        let before = rustix::termios::tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        rustix::termios::tcsetattr(io::stdin(), rustix::termios::OptionalActions::Now, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        let _ = rustix::termios::tcsetattr(io::stdin(), rustix::termios::OptionalActions::Now, &self.0);
    }
}
