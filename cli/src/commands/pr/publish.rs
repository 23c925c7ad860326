//! Results for readers: the comment, the check, the summary of the job, files, and the log.

use crate::failure::Failure;
use crate::ui::Ui;
use crate::variables::Variables;
use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use terrace_engine::text::visible;
use terrace_forge::record::Writer;
use terrace_forge::{Check, Forge, ForgeError, Job, JobError, comment};

/// The size limit of a step's summary, in bytes: <https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands#adding-a-job-summary>.
const LARGEST_SUMMARY: usize = 1 << 20;

/// Publishes results. Without a permission, results go to the summary of the job and its log.
pub(super) struct Publisher<'a> {
    pub(super) job: &'a Job,
    ui: &'a Ui,
    notes: Mutex<Notes>,
    /// True if the forge lacks a result, for want of a token or a permission.
    is_denied: AtomicBool,
}

/// The messages about a job.
#[derive(Default)]
struct Notes {
    /// Those that no summary has yet.
    waiting: Vec<String>,
    /// Those of the log. Several calls of a forge may fail for the same reason.
    logged: BTreeSet<String>,
}

impl<'a> Publisher<'a> {
    pub(super) fn new(job: &'a Job, ui: &'a Ui) -> Self {
        let is_denied = AtomicBool::new(job.forge.is_none());
        let publisher = Self { job, ui, notes: Mutex::default(), is_denied };
        if job.forge.is_none() {
            let variable = match job.vendor {
                terrace_forge::Vendor::GitHub => "GITHUB_TOKEN",
                terrace_forge::Vendor::GitLab => "GITLAB_TOKEN",
            };
            publisher.note(&format!("{variable} is not set, so terrace writes no comment and no check"));
        }
        publisher
    }

    /// The job as the writer of records.
    pub(super) fn writer<'b>(&'b self, name: &'b str) -> Writer<'b> {
        Writer { repository: &self.job.repository, name }
    }

    /// The forge, if there is a token.
    pub(super) fn forge(&self) -> Option<&dyn Forge> {
        self.job.forge.as_deref()
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a message to the log and the summary, unless the log has it.
    pub(super) fn note(&self, text: &str) {
        let mut notes = self.notes();
        if notes.logged.insert(text.to_owned()) {
            self.ui.print_message(&format!("note: {}", inert(text)));
            notes.waiting.push(text.to_owned());
        }
    }

    /// Reports a failure that does not end the command, in the log and the summary.
    pub(super) fn fail(&self, failure: &Failure) {
        let text = report(self.ui, failure);
        if !text.is_empty() {
            self.notes().waiting.push(text);
        }
    }

    /// Turns a denied call into a note: the summary and the log have the result.
    ///
    /// # Errors
    /// With any other failure of a call.
    pub(super) fn tolerate(&self, result: Result<(), ForgeError>) -> Result<(), Failure> {
        match result {
            Ok(()) => Ok(()),
            Err(error) if error.is_denied() => {
                self.is_denied.store(true, Ordering::Relaxed);
                let hints: String = error.hints.iter().map(|hint| format!("; {hint}")).collect();
                self.note(&format!("{error}{hints}"));
                Ok(())
            }
            Err(error) => Err(failure(error)),
        }
    }

    /// Creates or updates the comment of a request.
    ///
    /// # Errors
    /// When the forge fails. A denied call is noted.
    pub(super) async fn comment(&self, request: u64, marker: &str, text: &str) -> Result<(), Failure> {
        let Some(forge) = self.forge() else { return Ok(()) };
        self.tolerate(comment::upsert(forge, request, marker, text).await.map(drop))
    }

    /// Reports a check.
    ///
    /// # Errors
    /// When the forge fails. A denied call is noted.
    pub(super) async fn check(&self, check: &Check) -> Result<(), Failure> {
        let Some(forge) = self.forge() else { return Ok(()) };
        self.tolerate(forge.set_check(check).await)
    }

    /// Writes the notes that no summary has yet.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn finish(&self) -> Result<(), Failure> {
        let is_complete = self.notes().waiting.is_empty();
        if is_complete { Ok(()) } else { self.summary("") }
    }

    /// Writes the summary of the job: a text, and the notes since the last summary. If the forge lacks a result, the log has
    /// the text, too: it already has the notes.
    ///
    /// # Errors
    /// When the file or standard output cannot be written.
    pub(super) fn summary(&self, text: &str) -> Result<(), Failure> {
        if self.is_denied.load(Ordering::Relaxed) {
            self.ui.print(&lines_of_log(text))?;
        }
        let Some(path) = &self.job.summary else { return Ok(()) };
        let notes = std::mem::take(&mut self.notes().waiting);
        let notes: String =
            notes.iter().map(|note| format!("> {}\n\n", terrace_engine::render::markdown::prose(note, 1000))).collect();
        let mut summary = format!("{text}\n{notes}");
        if summary.len() > LARGEST_SUMMARY {
            summary = format!("The result is too large for a summary.\n\n{notes}");
        }
        let written = OpenOptions::new().append(true).create(true).open(path);
        written
            .and_then(|mut file| file.write_all(summary.as_bytes()))
            .map_err(|error| Failure::new(format!("the summary `{}` cannot be written: {error}", path.display())))
    }
}

/// A text for the log, in which no part is a command of a runner. Both streams of a job end in one log, in any order, so
/// that [`QuietLog`] alone is not enough.
pub(super) fn inert(text: &str) -> String {
    visible(&text.replace(['\n', '\r'], " ")).replace("::", ": :").replace("##[", "## [")
}

/// A Markdown text for the log: its lines without the hidden ones, which are for terrace.
fn lines_of_log(text: &str) -> String {
    text.lines().filter(|line| !line.starts_with("<!--")).map(|line| format!("{}\n", inert(line))).collect()
}

/// Prints a failure without commands of a runner, and returns its message with the remedies: both may name branches. The
/// text is empty if everything was reported before.
pub(super) fn report(ui: &Ui, failure: &Failure) -> String {
    let message = failure.message.as_deref().map(inert);
    let hints: Vec<String> = failure.hints.iter().map(|hint| inert(hint)).collect();
    let text = message.iter().chain(&hints).map(String::as_str).collect::<Vec<_>>().join("; ");
    ui.fail(&Failure { exit: failure.exit, message, hints });
    text
}

/// The failure of a command for a failed call.
pub(super) fn failure(error: ForgeError) -> Failure {
    error.hints.into_iter().filter(|hint| !hint.is_empty()).fold(Failure::new(error.message), Failure::hint)
}

/// The job of this process.
///
/// # Errors
/// When it runs in no job.
pub(super) fn job(variables: &Variables) -> Result<Job, Failure> {
    Job::detect(&|name| variables.get(name).map(str::to_owned))
        .map_err(|JobError { message, hint }| Failure::new(message).hint(hint))
}

/// A part of the log in which the runner of GitHub Actions executes no commands, such as `::set-output::`. Texts of a
/// request appear in the log. <https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands#stopping-and-starting-workflow-commands>
pub(super) struct QuietLog<'a> {
    ui: &'a Ui,
    token: Option<String>,
}

impl<'a> QuietLog<'a> {
    /// Begins the part.
    ///
    /// # Errors
    /// When the system has no random numbers, or standard output cannot be written.
    pub(super) fn begin(ui: &'a Ui, variables: &Variables) -> Result<Self, Failure> {
        if variables.get("GITHUB_ACTIONS") != Some("true") {
            return Ok(Self { ui, token: None });
        }
        let mut bytes = [0_u8; 16];
        getrandom::fill(&mut bytes)
            .map_err(|error| Failure::new(format!("the system has no random numbers: {error}")))?;
        let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        ui.print(&format!("::stop-commands::{token}\n"))?;
        Ok(Self { ui, token: Some(token) })
    }
}

impl Drop for QuietLog<'_> {
    fn drop(&mut self) {
        if let Some(token) = &self.token {
            // Ignores an error: standard output is closed.
            let _ = self.ui.print(&format!("::{token}::\n"));
        }
    }
}

/// Refuses a folder behind a link: files in it would be outside of the checkout.
fn check_output_folder(folder: &Path) -> Result<(), Failure> {
    let parts: Vec<&Path> = folder.ancestors().filter(|part| !part.as_os_str().is_empty()).collect();
    // The caller names the folders above an absolute path, not the request.
    let checked = if folder.is_absolute() { parts.get(..1) } else { parts.get(..) };
    for part in checked.unwrap_or_default() {
        let is_other = std::fs::symlink_metadata(part).is_ok_and(|metadata| !metadata.is_dir());
        if is_other || part.ends_with("..") {
            return Err(Failure::new(format!(
                "`--out {}`: `{}` is a link or a file",
                folder.display(),
                part.display()
            ))
            .hint("name a folder that the repository does not have"));
        }
    }
    Ok(())
}

/// The folder of results. Nothing in it leads elsewhere: a request may have brought links into the checkout.
#[derive(Debug)]
pub(super) struct Output {
    folder: PathBuf,
}

impl Output {
    /// Creates the folder.
    ///
    /// # Errors
    /// When the path has a link, or cannot be created.
    pub(super) fn create(folder: &Path) -> Result<Self, Failure> {
        check_output_folder(folder)?;
        std::fs::create_dir_all(folder)
            .map_err(|error| Failure::new(format!("the folder `{}` cannot be created: {error}", folder.display())))?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Writes a file that only this user can read. It replaces a file or link of the same name.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
            file.write_all(text.as_bytes())?;
            file.persist(self.folder.join(name)).map(drop).map_err(|error| error.error)
        };
        write().map_err(|error: std::io::Error| {
            Failure::new(format!("`{}` cannot be written: {error}", self.folder.join(name).display()))
        })
    }
}
