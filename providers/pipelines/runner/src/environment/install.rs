//! Installs packages into an environment: with `uv` if it exists, or else with pip. All versions are pinned, so nothing
//! is resolved.

use super::recipe::lock;
use super::{EnvironmentError, EnvironmentObserver, Interpreter, MARK, Recipe, io_error};
use crate::executor::local::Guard;
use crate::spec::processor::Api;
use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;

/// Last version of pip that accepts packages with outdated metadata (celery 4.4.7: `pytz>dev`).
const PIP: &str = "pip==23.3.2";
/// Number of output lines in the error of a failed program.
const LAST: usize = 12;

/// Folder of requirements files during the creation of an environment.
fn tools(folder: &Path) -> PathBuf {
    let mut tools = folder.as_os_str().to_owned();
    tools.push(".requirements");
    PathBuf::from(tools)
}

/// Removes files that are needed only during the creation.
pub(super) fn clean_up(folder: &Path) {
    // On errors they stay: the next creation rewrites them.
    let _ = fs::remove_dir_all(tools(folder));
}

/// Creates an environment in a new folder, with programs of this group and mark.
pub(super) async fn create(
    folder: &Path,
    recipe: &Recipe,
    interpreter: &Interpreter,
    group: (&Guard, &str),
    observer: &dyn EnvironmentObserver,
) -> Result<(), EnvironmentError> {
    let tools = tools(folder);
    fs::create_dir_all(&tools).map_err(|source| io_error("create the folder", &tools, source))?;
    let write = |name: &str, text: &str| {
        let path = tools.join(name);
        fs::write(&path, text).map_err(|source| io_error("write", &path, source)).map(|()| path)
    };
    let pinned = lock(recipe.api);
    let total = pinned.lines().count();
    let lock = write("lock.txt", pinned)?;
    // Constraints apply only to the requirements: dpp's packages are pinned.
    let limits = write("constraints.txt", &recipe.constraints.join("\n"))?;
    let extra = write("requirements.txt", &recipe.requirements.join("\n"))?;
    let mut bar = Bar { done: 0, total, is_complete: false, observer, group };
    let (folder_text, lock, limits, extra) = (text(folder), text(&lock), text(&limits), text(&extra));
    let further = ["-c", &lock, "-c", &limits, "-r", &extra];
    let python = text(&folder.join("bin/python"));
    let program = text(&interpreter.program);
    bar.report(&format!("Python {}", interpreter.version));
    if uv_version().await.is_some() {
        run("uv", &["venv", "--quiet", "--python", &program, &folder_text], &mut bar).await?;
        let install = ["pip", "install", "--python", &python];
        run("uv", &[&install[..], &["--no-deps", "-r", &lock]].concat(), &mut bar).await?;
        if !recipe.requirements.is_empty() {
            run("uv", &[&install[..], &further].concat(), &mut bar).await?;
        }
    } else {
        run(&program, &["-m", "venv", &folder_text], &mut bar).await?;
        let pip = ["-m", "pip", "install", "--disable-pip-version-check", "--no-input"];
        run(&python, &[&pip[..], &[PIP]].concat(), &mut bar).await?;
        run(&python, &[&pip[..], &["--no-deps", "-r", &lock]].concat(), &mut bar).await?;
        if !recipe.requirements.is_empty() {
            run(&python, &[&pip[..], &further].concat(), &mut bar).await?;
        }
    }
    if recipe.api == Api::One {
        add_shim(folder, &interpreter.version)?;
    }
    bar.is_complete = true;
    bar.report("done");
    Ok(())
}

/// Adds a module that every interpreter of the environment loads: 1.7.1 needs it on newer versions of Python.
fn add_shim(folder: &Path, version: &str) -> Result<(), EnvironmentError> {
    let packages = folder.join("lib").join(format!("python{version}")).join("site-packages");
    let files = [
        ("terrace_collections_shim.py", include_str!("../../locks/collections_shim.py")),
        ("terrace_collections_shim.pth", "import terrace_collections_shim\n"),
    ];
    files.into_iter().try_for_each(|(name, text)| {
        let path = packages.join(name);
        fs::write(&path, text).map_err(|source| io_error("write", &path, source))
    })
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Version of `uv` in PATH: `uv 0.9.2`.
pub(crate) async fn uv_version() -> Option<String> {
    let mut command = command("uv");
    command.arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.ok().filter(|output| output.status.success())?;
    let output_text = String::from_utf8_lossy(&output.stdout);
    // The rest names the commit and the machine.
    Some(output_text.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
}

/// Creates a command for the installation: it runs code of packages, which must see no credentials.
pub(super) fn command(program: &str) -> Command {
    let mut command = std::process::Command::new(program);
    crate::process_environment::strip_for_packages(&mut command);
    Command::from(command)
}

struct Bar<'a> {
    done: usize,
    total: usize,
    /// The environment is complete.
    is_complete: bool,
    observer: &'a dyn EnvironmentObserver,
    /// Guard of the programs, and their mark.
    group: (&'a Guard, &'a str),
}

impl Bar<'_> {
    fn report(&self, what: &str) {
        // Additional packages may exceed the total, so the last step is reported at the end.
        let done = if self.is_complete { self.total } else { self.done.min(self.total.saturating_sub(1)) };
        self.observer.progress(done, self.total, what);
    }

    fn read_line(&mut self, line: &str) {
        match ProgressLine::of(line) {
            Some(ProgressLine::Package(name)) => {
                self.done += 1;
                self.report(name);
            }
            Some(ProgressLine::Work(what)) => self.report(&what),
            None => {}
        }
    }
}

/// Progress in an output line of pip or uv.
#[derive(Debug, PartialEq, Eq)]
enum ProgressLine<'a> {
    /// A package: pip resolves it, or uv installed it.
    Package(&'a str),
    /// An operation that takes a while.
    Work(String),
}

impl<'a> ProgressLine<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let line = line.trim();
        let first = |text: &'a str| text.split(' ').next().unwrap_or_default();
        if let Some(package) = line.strip_prefix("Collecting ").or_else(|| line.strip_prefix("+ ")) {
            return Some(Self::Package(first(package)));
        }
        if let Some(file) = line.strip_prefix("Downloading ") {
            let name = first(file).rsplit('/').next().unwrap_or_default();
            return Some(Self::Work(format!("downloading {name}")));
        }
        if let Some(package) = line.strip_prefix("Building wheel for ") {
            return Some(Self::Work(format!("building {}", first(package))));
        }
        line.starts_with("Installing collected packages").then(|| Self::Work("installing".to_owned()))
    }
}

/// Runs a program to its end; dropping the future kills it.
async fn run(program: &str, arguments: &[&str], bar: &mut Bar<'_>) -> Result<(), EnvironmentError> {
    // Arguments contain no secrets: those are in files.
    let what = || format!("`{program} {}`", arguments.join(" "));
    let mut command = command(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    // Settings of Python in the user's shell do not apply to this environment.
    command.env_remove("PYTHONPATH").env_remove("PYTHONHOME").env_remove("VIRTUAL_ENV");
    let (guard, mark) = bar.group;
    command.process_group(guard.group()).env(MARK, mark);
    let mut child = command
        .spawn()
        .map_err(|source| EnvironmentError::Io { message: format!("{} cannot be started", what()), source })?;
    let (lines, mut output_lines) = tokio::sync::mpsc::unbounded_channel();
    read(child.stdout.take(), lines.clone());
    read(child.stderr.take(), lines);
    let mut last = VecDeque::with_capacity(LAST);
    while let Some(line) = output_lines.recv().await {
        bar.read_line(&line);
        if last.len() == LAST {
            last.pop_front();
        }
        last.push_back(line);
    }
    let ended = child.wait().await;
    let failed = |message| EnvironmentError::Failed { message, output: last.into_iter().collect() };
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(format!("{} ended with {status}", what()))),
        Err(error) => Err(failed(format!("{}: {error}", what()))),
    }
}

fn read(stream: Option<impl AsyncRead + Unpin + Send + 'static>, lines: tokio::sync::mpsc::UnboundedSender<String>) {
    let Some(stream) = stream else { return };
    tokio::spawn(async move {
        let mut stream = BufReader::new(stream).lines();
        while let Ok(Some(line)) = stream.next_line().await {
            // The receiver is gone after the program was killed.
            if lines.send(line).is_err() {
                return;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn progress_is_parsed_from_output_of_pip_and_uv() {
        let work = |what: &str| Some(ProgressLine::Work(what.to_owned()));
        for (line, expected) in [
            (
                "Collecting tabulator==1.53.5 (from -r lock.txt (line 3))",
                Some(ProgressLine::Package("tabulator==1.53.5")),
            ),
            (" + click==8.1.7", Some(ProgressLine::Package("click==8.1.7"))),
            ("  Downloading https://host/simple/lxml-5.0-cp311.whl (8.0 MB)", work("downloading lxml-5.0-cp311.whl")),
            ("  Downloading lxml-5.0-cp311.whl.metadata (3 kB)", work("downloading lxml-5.0-cp311.whl.metadata")),
            ("  Building wheel for jsonlines (setup.py): started", work("building jsonlines")),
            ("Installing collected packages: pytz, click", work("installing")),
            ("Looking in indexes: https://host/simple", None),
            ("", None),
        ] {
            assert_eq!(ProgressLine::of(line), expected, "{line}");
        }
    }

    struct Progress(Mutex<Vec<(usize, usize)>>);

    impl EnvironmentObserver for Progress {
        fn progress(&self, done: usize, of: usize, _what: &str) {
            self.0.lock().unwrap().push((done, of));
        }
    }

    #[tokio::test]
    async fn last_package_is_reported_only_when_complete() {
        let progress = Progress(Mutex::default());
        let guard = Guard::start((MARK, "of no environment"), super::super::GRACE).unwrap();
        let mut bar = Bar { done: 0, total: 2, is_complete: false, observer: &progress, group: (&guard, "") };
        for line in ["Collecting a", "Collecting b", "Collecting further", "Installing collected packages: a"] {
            bar.read_line(line);
        }
        bar.is_complete = true;
        bar.report("done");
        assert_eq!(*progress.0.lock().unwrap(), [(1, 2), (1, 2), (1, 2), (1, 2), (2, 2)]);
    }
}
