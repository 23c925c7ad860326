//! The part of [`super::kubernetes`] that runs in a pod: it receives a job and its files by mounts, runs the job with
//! the local executor, prints events, and keeps the written files until terrace has copied them.

use super::archive::{self, Manifest, Snapshot};
use super::claim::{Claim, ClaimLock, MOUNT, Turn};
use super::events::{Event, Numbered};
use super::local::LocalExecutor;
use super::{End, Executor, Failed, Job, JobObserver, Outcome, StepOutcome, timeout_message};
use crate::environment::{EnvironmentError, EnvironmentObserver, Environments, Recipe};
use crate::run::log::Masks;
use crate::run::outputs::{Output, temporary_name};
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Words of the subcommand that runs a job in a pod.
pub const COMMAND: [&str; 3] = ["pipelines", "pod", "run"];
/// Words of the subcommand that writes the results of a run to standard output.
pub const RESULTS: [&str; 3] = ["pipelines", "pod", "results"];

/// Words of the subcommand that opens a shell in the pod of a run.
pub const SHELL: [&str; 3] = ["pipelines", "pod", "shell"];

/// Folder into which the Secret with the job is mounted, and its file.
pub(super) const JOB: (&str, &str) = ("/terrace/job", "job.json");
/// Folder into which the Secret with the files is mounted, and its file.
pub(super) const FILES: (&str, &str) = ("/terrace/files", "files.tar.gz");
/// Folder into which the id of a Job of a schedule is mounted, and its file.
pub(super) const RUN_ID: (&str, &str) = ("/terrace/run", "id");
/// Folder into which a chart mounts variables of the steps, each as a file.
const VARIABLES: &str = "/terrace/variables";
/// Folder of environments of the pod.
pub(super) const ENVIRONMENTS: &str = "/environments";
/// Folder of environments of the image.
const IMAGE: &str = "/opt/terrace/environments";
/// Folder for temporary files, which the commands of a pod share.
pub(super) const TEMPORARY: &str = "/tmp";
/// Time for which a pod keeps the results of its run. After a kill, terrace has to start again in that time. A longer time would
/// hold memory and disk of the node for abandoned runs. After it, the results are lost, and the pipeline runs again.
pub(super) const KEEP: Duration = Duration::from_secs(3600);
/// Largest outcome in bytes, as JSON. A reader cuts lines above 4 MiB, and could not parse the report of the end.
const LARGEST_OUTCOME: usize = 1 << 20;
/// Interval between checks whether the run before this one has ended.
const POLL: Duration = Duration::from_secs(1);
/// Exit codes of a pod that was asked to end: that of terrace, and that of a program that the signal TERM ended.
pub(crate) const TERMINATED: [i64; 2] = [130, 143];

/// How the work of a pod ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodExit {
    /// The run succeeded.
    Succeeded,
    /// A step failed, or the run timed out.
    Failed,
    /// The machine is the cause of a failure.
    Broken,
    /// The pod was asked to end: another pod runs the job again.
    Terminated,
}

/// Paths in a pod.
#[derive(Debug, Clone)]
pub struct PodPaths {
    /// The job, as JSON.
    pub job: PathBuf,
    /// Archive of the files.
    pub files: PathBuf,
    /// Id of the Job, if a schedule started it.
    pub run_id: PathBuf,
    /// Folder with variables of the steps, each as a file; it may be missing.
    pub variables: PathBuf,
    /// Folder of environments that the image has.
    pub image_environments: PathBuf,
    /// Folder of environments as the job names them.
    pub environments: PathBuf,
    /// Folder for temporary files.
    pub temporary: PathBuf,
    /// Folder into which the claim for results is mounted.
    pub claim: PathBuf,
}

impl Default for PodPaths {
    fn default() -> Self {
        Self {
            job: Path::new(JOB.0).join(JOB.1),
            files: Path::new(FILES.0).join(FILES.1),
            run_id: Path::new(RUN_ID.0).join(RUN_ID.1),
            variables: VARIABLES.into(),
            image_environments: IMAGE.into(),
            environments: ENVIRONMENTS.into(),
            temporary: TEMPORARY.into(),
            claim: MOUNT.into(),
        }
    }
}

impl PodPaths {
    /// List of the files that a run wrote.
    fn written(&self) -> PathBuf {
        self.temporary.join("terrace-written.json")
    }
}

/// Prints events.
struct Printer<W> {
    out: Mutex<(u64, W)>,
    masks: Masks,
}

impl<W: Write + Send> Printer<W> {
    fn print(&self, event: Event) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.0 += 1;
        let numbered = Numbered { n: out.0, at: Timestamp::now(), event };
        let mut line = serde_json::to_vec(&numbered).unwrap_or_default();
        line.push(b'\n');
        // Without a reader the run goes on.
        let _ = out.1.write_all(&line).and_then(|()| out.1.flush());
    }
}

impl<W: Write + Send> JobObserver for Printer<W> {
    fn line(&self, step: usize, _at: Timestamp, line: &str) {
        self.print(Event::Line { step, line: self.masks.text(line) });
    }

    fn progress(&self, step: usize, rows: u64, bytes: u64) {
        self.print(Event::Progress { step, rows, bytes });
    }

    fn ended(&self, step: usize, outcome: &StepOutcome) {
        self.print(Event::Ended { step, outcome: outcome.clone() });
    }
}

impl<W: Write + Send> EnvironmentObserver for Printer<W> {
    fn progress(&self, done: usize, of: usize, message: &str) {
        self.print(Event::Preparing { done, of, message: self.masks.text(message) });
    }
}

/// Keeps the memory and the open files of this process from other processes of its user. Otherwise a step could write
/// events, which only this process may print.
///
/// # Errors
/// When the system refuses.
pub fn protect() -> io::Result<()> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Runs the job of this pod, prints its events, and keeps its results until they are copied and the pod is deleted.
///
/// # Errors
/// When the job cannot be read, or its files cannot be read or written.
pub async fn run(paths: &PodPaths, out: impl Write + Send, cancel: &CancellationToken) -> io::Result<PodExit> {
    run_and_keep(paths, out, cancel, KEEP).await
}

async fn run_and_keep(
    paths: &PodPaths,
    out: impl Write + Send,
    cancel: &CancellationToken,
    keep: Duration,
) -> io::Result<PodExit> {
    let job = read_job(paths)?;
    let masks = Masks::new(job.elsewhere.secrets.clone());
    let printer = Printer { out: Mutex::new((0, out)), masks };
    let claim = job.elsewhere.claim.clone();
    let turn = match &claim {
        Some(claim) => wait_for_turn(claim, &paths.claim, &printer, cancel).await,
        None => Ok(Some(None)),
    };
    let (lock, linked) = match (turn, claim.clone()) {
        (Ok(None), _) => return Ok(PodExit::Terminated),
        (Ok(Some(lock)), Some(claim)) => {
            let mount = paths.claim.clone();
            (lock, blocking(move || claim.prepare(&mount)).await)
        }
        (Ok(Some(lock)), None) => (lock, Ok(())),
        (Err(error), _) => (None, Err(error)),
    };
    let before = {
        let (paths, job) = (paths.clone(), job.clone());
        blocking(move || prepare_folders(&paths, &job)).await?
    };
    let outcome = match linked {
        Ok(()) => execute(paths, &job, &printer, cancel).await,
        Err(error) => {
            let name = claim.as_ref().map_or("", |claim| claim.name.as_str());
            let message = format!("the claim `{name}` cannot be written: {error}");
            let group = rustix::process::getegid().as_raw();
            let hint = format!(
                "hint: have an administrator make its folders writable for the group {group}, or use a volume that honors `fsGroup`"
            );
            not_started(&job, End::Failed, message, vec![hint])
        }
    };
    let mut outcome = shortened(without_secrets(outcome, &printer.masks));
    let is_asked_to_end = cancel.is_cancelled();
    let (mut written, mut results) = (Vec::new(), Manifest::default());
    if outcome.end == End::Succeeded {
        let folders = job.elsewhere.folders.clone();
        match blocking(move || results_since(&before, &folders)).await? {
            // No terrace waits for them.
            Ok((_, lost)) if job.elsewhere.is_timed => report_lost(&job, &lost, &printer),
            Ok(found) => (written, results) = found,
            Err(message) => {
                outcome.end = End::Failed;
                outcome.failure = Some(Failed::new(message));
            }
        }
    }
    if let Some(claim) = claim {
        outcome = blocking(move || Ok(conclude(&claim, outcome))).await?;
    }
    crate::files::write(&paths.written(), &written)?;
    let (end, keeps_results) = (outcome.end, results.files > 0);
    printer.print(Event::End { outcome, results });
    drop(lock);
    if keeps_results {
        tokio::select! {
            () = tokio::time::sleep(keep) => {}
            () = cancel.cancelled() => return Ok(PodExit::Terminated),
        }
    }
    Ok(match end {
        _ if is_asked_to_end => PodExit::Terminated,
        End::Succeeded => PodExit::Succeeded,
        End::Failed | End::TimedOut => PodExit::Failed,
        End::Broken | End::Cancelled | End::Unknown => PodExit::Broken,
    })
}

/// Waits for the end of another run of the same schedule. Returns the lock of the claim, or nothing if this pod has to end.
///
/// # Errors
/// When the claim cannot be written.
async fn wait_for_turn<W: Write + Send>(
    claim: &Claim,
    mount: &Path,
    printer: &Printer<W>,
    cancel: &CancellationToken,
) -> io::Result<Option<ClaimLock>> {
    let mut is_reported = false;
    loop {
        let (own, mount) = (claim.clone(), mount.to_owned());
        match blocking(move || own.turn(&mount)).await? {
            Turn::Later if is_reported => {}
            Turn::Later => {
                printer.line(0, Timestamp::now(), "waiting for the end of another run");
                is_reported = true;
            }
            Turn::Now(lock) => return Ok(Some(lock)),
            Turn::Unlocked(error) => {
                let name = &claim.name;
                printer.line(
                    0,
                    Timestamp::now(),
                    &format!("this run waits for no other: the claim `{name}` has no locks: {error}"),
                );
                return Ok(Some(None));
            }
        }
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            () = cancel.cancelled() => return Ok(None),
        }
    }
}

/// The working folder and the variables of the steps in this pod.
///
/// # Errors
/// When the job cannot be read.
pub fn step_environment(paths: &PodPaths) -> io::Result<(PathBuf, BTreeMap<String, String>)> {
    read_job(paths).map(|job| (job.folder, job.environment))
}

/// Reads the job of this pod, with the variables of its Secret.
fn read_job(paths: &PodPaths) -> io::Result<Job> {
    let mut job = read_own_job(paths)?;
    let variables = read_variables(&paths.variables)?;
    // All their values are secrets, as they are from a Secret.
    let masks = Masks::of(&variables).into_texts();
    job.elsewhere.secrets.extend(masks);
    job.elsewhere.secrets.extend(
        variables.values().flat_map(|value| [value.as_str()].into_iter().chain(value.lines())).map(str::to_owned),
    );
    job.environment.extend(variables);
    Ok(job)
}

/// Reads variables from the files of a folder; none if it does not exist. The files of a Secret are links, beside hidden folders.
fn read_variables(folder: &Path) -> io::Result<BTreeMap<String, String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        entries => entries.map_err(|error| crate::paths::with_path(folder, &error))?,
    };
    let mut variables = BTreeMap::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.starts_with('.') && path.is_file() {
            let value = fs::read_to_string(&path).map_err(|error| crate::paths::with_path(&path, &error))?;
            variables.insert(name, value);
        }
    }
    Ok(variables)
}

/// Reads the job of this pod. If a schedule started it, each time is another run: the job gets an id and temporary places of
/// its own.
fn read_own_job(paths: &PodPaths) -> io::Result<Job> {
    let read = |path: &Path| fs::read_to_string(path).map_err(|error| crate::paths::with_path(path, &error));
    let parse = |text: &str| {
        serde_json::from_str::<Job>(text).map_err(|error| {
            io::Error::other(format!("`{}` is not a job of this release: {error}", paths.job.display()))
        })
    };
    let text = read(&paths.job)?;
    let job = parse(&text)?;
    if !job.elsewhere.is_timed {
        return Ok(job);
    }
    let run = format!("{}-{}", job.run, read(&paths.run_id)?.trim());
    let mut own = parse(&text.replace(&temporary_name(&job.run), &temporary_name(&run)))?;
    if let (Some(own), Some(common)) = (&mut own.elsewhere.claim, job.elsewhere.claim) {
        own.abandoned = common.abandoned;
    }
    Ok(Job { run, ..own })
}

/// Reports files that are lost with the pod.
fn report_lost<W: Write + Send>(job: &Job, lost: &Manifest, printer: &Printer<W>) {
    if lost.files > 0 {
        let line = format!(
            "files outside of data packages are not kept, because a schedule started this run: {} files",
            lost.files
        );
        printer.line(job.steps.len().saturating_sub(1), Timestamp::now(), &line);
    }
}

/// Moves the data packages of a run into place on its claim, if the run succeeded, and else removes them.
fn conclude(claim: &Claim, outcome: Outcome) -> Outcome {
    let failed = |outcome: Outcome, message: String| {
        let failure = Some(Failed::new(message));
        Outcome { end: End::Failed, failure, ..outcome }
    };
    let name = &claim.name;
    let outcome = match outcome.end {
        End::Succeeded => match claim.written() {
            Ok(written) => match too_long(&written) {
                Some(message) => failed(outcome, message),
                None => {
                    // A part may be in place: the pipeline is dirty then, and its next run replaces all.
                    return match claim.publish(&written) {
                        Ok(()) => Outcome { in_place: written, ..outcome },
                        Err(error) => failed(
                            outcome,
                            format!("its data cannot be moved into place on the claim `{name}`: {error}"),
                        ),
                    };
                }
            },
            Err(error) => failed(outcome, format!("its data on the claim `{name}` cannot be read: {error}")),
        },
        _ => outcome,
    };
    if let Err(error) = claim.discard() {
        tracing::warn!(claim = name, %error, "temporary files of a run cannot be removed");
    }
    outcome
}

/// Message for data packages with too many files for a report; nothing for others.
fn too_long(written: &[Output]) -> Option<String> {
    let bytes = serde_json::to_vec(written).map_or(0, |text| text.len());
    let files: usize = written.iter().map(|output| output.files.len()).sum();
    (bytes > LARGEST_OUTCOME).then(|| {
        format!(
            "it wrote {files} files, and the list of their names is too long: {} KiB, and at most {} KiB are recorded; let \
             steps write fewer files",
            bytes.div_ceil(1024),
            LARGEST_OUTCOME / 1024
        )
    })
}

/// An outcome that fits into an event. The log of the run has all lines of a failure. No other place has the statistics, so
/// a run with too large ones fails.
fn shortened(mut outcome: Outcome) -> Outcome {
    let bytes = serde_json::to_vec(&outcome).map_or(0, |text| text.len());
    if bytes <= LARGEST_OUTCOME {
        return outcome;
    }
    outcome.stats = Map::new();
    match &mut outcome.failure {
        Some(failure) => {
            // A character takes at most six bytes in JSON.
            let mut room = LARGEST_OUTCOME / 8;
            let is_short = |line: &&String| {
                room = room.saturating_sub(line.len());
                room > 0
            };
            let lines: Vec<String> = failure.log.iter().rev().take_while(is_short).cloned().collect();
            failure.log = lines.into_iter().rev().collect();
        }
        none => {
            let (kib, most) = (bytes.div_ceil(1024), LARGEST_OUTCOME / 1024);
            let message = format!("its statistics are too large: {kib} KiB, and at most {most} KiB are recorded");
            *none = Some(Failed::new(message));
            outcome.end = End::Failed;
        }
    }
    outcome
}

/// Does work with many or large files outside of the async threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// The files that a run wrote, and their manifest; or the message for too many or too large files, which are not read.
fn results_since(before: &Snapshot, folders: &[PathBuf]) -> io::Result<Result<(Vec<PathBuf>, Manifest), String>> {
    let written = Snapshot::of(folders)?.since(before);
    let bytes = written.iter().map(|(_, bytes)| bytes).sum();
    if let Some(message) = (Manifest { files: written.len(), bytes, ..Manifest::default() }).too_large() {
        return Ok(Err(message));
    }
    let written: Vec<PathBuf> = written.into_iter().map(|(path, _)| path).collect();
    let results = Manifest::of(&written)?;
    Ok(Ok((written, results)))
}

/// Creates the environment of a job, and runs its steps. The time limit covers both, and earlier pods of the job.
async fn execute<W: Write + Send>(
    paths: &PodPaths,
    job: &Job,
    printer: &Printer<W>,
    cancel: &CancellationToken,
) -> Outcome {
    let remaining = || {
        let deadline = job.elsewhere.deadline?;
        Some(Duration::try_from(deadline.duration_since(Timestamp::now())).unwrap_or_default())
    };
    let stop = cancel.child_token();
    let prepared = {
        let prepared = prepare_environment(paths, job, printer, &stop);
        tokio::pin!(prepared);
        tokio::select! {
            prepared = &mut prepared => prepared,
            () = elapsed(remaining()) => {
                stop.cancel();
                prepared.await
            }
        }
    };
    let left = remaining();
    match prepared {
        _ if left.is_some_and(|left| left.is_zero()) && !cancel.is_cancelled() => {
            let message = timeout_message(job.timeout.unwrap_or_default());
            not_started(job, End::TimedOut, message, Vec::new())
        }
        Ok(()) => {
            let mut outcome =
                LocalExecutor.execute(&Job { timeout: left.or(job.timeout), ..job.clone() }, printer, cancel).await;
            if let (End::TimedOut, Some(timeout), Some(failure)) = (outcome.end, job.timeout, outcome.failure.as_mut())
            {
                failure.message = timeout_message(timeout);
            }
            outcome
        }
        Err(error) => environment_failure(job, error),
    }
}

/// Waits for a time; without one, for ever.
async fn elapsed(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

/// Outcome of a job whose steps were not started.
fn not_started(job: &Job, end: End, message: String, log: Vec<String>) -> Outcome {
    Outcome {
        end,
        stats: Map::new(),
        rows: 0,
        steps: vec![StepOutcome::default(); job.steps.len()],
        failure: Some(Failed { log, ..Failed::new(message) }),
        in_place: Vec::new(),
    }
}

/// Writes the files of a job, and returns all files of its folders.
fn prepare_folders(paths: &PodPaths, job: &Job) -> io::Result<Snapshot> {
    let archive = fs::read(&paths.files).map_err(|error| crate::paths::with_path(&paths.files, &error))?;
    archive::unpack_compressed(&archive, &job.elsewhere.folders)?;
    fs::create_dir_all(&job.folder).map_err(|error| crate::paths::with_path(&job.folder, &error))?;
    Snapshot::of(&job.elsewhere.folders)
}

/// Finds or creates the environment of a job, and links it to the paths in the job.
async fn prepare_environment(
    paths: &PodPaths,
    job: &Job,
    observer: &dyn EnvironmentObserver,
    cancel: &CancellationToken,
) -> Result<(), EnvironmentError> {
    let Some(recipe) = &job.elsewhere.recipe else { return Ok(()) };
    let environment = match Environments::new(paths.image_environments.clone()).existing(recipe) {
        Some(environment) => environment,
        None => Environments::new(paths.environments.join("created")).ensure(recipe, observer, cancel).await?,
    };
    environment.link(&paths.environments, recipe).map_err(|source| EnvironmentError::Io {
        message: format!("`{}` cannot be written", paths.environments.display()),
        source,
    })
}

/// Outcome of a job whose environment cannot be created.
fn environment_failure(job: &Job, error: EnvironmentError) -> Outcome {
    let end = match &error {
        EnvironmentError::Cancelled => End::Cancelled,
        error if error.is_transient() => End::Broken,
        _ => End::Failed,
    };
    let message = error.to_string();
    let mut log = if let EnvironmentError::Failed { output, .. } = error { output } else { Vec::new() };
    if end != End::Cancelled {
        log.push("hint: use an image that has the packages, or make the package index reachable for pods".to_owned());
    }
    not_started(job, end, message, log)
}

/// Statistics that the runner adds.
const OWN_STATS: &str = ".dpp";

fn without_secrets(outcome: Outcome, masks: &Masks) -> Outcome {
    // The path of the data package, which no log prints, may contain a text that is masked elsewhere.
    let own = outcome.stats.get(OWN_STATS).cloned();
    let mut stats = match masks.value(Value::Object(outcome.stats)) {
        Value::Object(stats) => stats,
        _ => Map::new(),
    };
    stats.extend(own.map(|own| (OWN_STATS.to_owned(), own)));
    let failure = outcome.failure.map(|failure| Failed {
        message: masks.text(&failure.message),
        log: failure.log.iter().map(|line| masks.text(line)).collect(),
        ..failure
    });
    Outcome { stats, failure, ..outcome }
}

/// Writes the files of an ended run as an archive.
///
/// # Errors
/// When no run has ended here, or a file cannot be read or written.
pub fn write_results(paths: &PodPaths, out: impl Write) -> io::Result<()> {
    let written: Option<Vec<PathBuf>> = crate::files::read(&paths.written())?;
    let written = written.ok_or_else(|| io::Error::other("no run has ended in this pod"))?;
    archive::write(written, out)
}

/// Creates the environments of an image, for pipelines of both generations of dpp, with and without the driver of
/// PostgreSQL.
///
/// # Errors
/// When one cannot be created.
pub async fn create_image_environments(folder: &Path) -> Result<(), EnvironmentError> {
    use crate::spec::processor::Api;
    struct Silent;
    impl EnvironmentObserver for Silent {
        fn progress(&self, _done: usize, _of: usize, _message: &str) {}
    }
    let environments = Environments::new(folder.to_owned());
    for api in [Api::One, Api::Two] {
        for packages in [Vec::new(), vec![crate::run::POSTGRES_DRIVER.to_owned()]] {
            environments.ensure(&Recipe::new(api, None, packages), &Silent, &CancellationToken::new()).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Elsewhere, Program};
    use super::*;
    use std::collections::BTreeMap;

    fn job(folder: &Path, script: &str) -> Job {
        let text = |text: &str| text.to_owned();
        Job {
            // The end of a run ends all processes with its name, so each test uses another name.
            run: folder.display().to_string(),
            folder: folder.join("work"),
            environment: BTreeMap::from([(text("PATH"), text("/usr/bin:/bin"))]),
            steps: vec![Program {
                name: text("one"),
                program: "/bin/sh".into(),
                arguments: vec![text("-c"), text(script)],
            }],
            dependencies: BTreeMap::new(),
            timeout: None,
            grace: Duration::from_secs(1),
            elsewhere: Elsewhere {
                folders: vec![folder.join("work")],
                secrets: vec![text("hunter2")],
                ..Elsewhere::default()
            },
        }
    }

    fn pod(folder: &Path, job: &Job) -> PodPaths {
        let paths = PodPaths {
            job: folder.join("job.json"),
            files: folder.join("files.tar.gz"),
            run_id: folder.join("id"),
            variables: folder.join("variables"),
            image_environments: folder.join("image"),
            environments: folder.join("environments"),
            temporary: folder.join("tmp"),
            claim: folder.join("claim"),
        };
        fs::create_dir_all(folder.join("work")).unwrap();
        fs::create_dir_all(&paths.temporary).unwrap();
        fs::write(folder.join("work/in.csv"), "1\n").unwrap();
        fs::write(&paths.files, archive::pack(&[folder.join("work")], &[]).unwrap().archive.unwrap()).unwrap();
        fs::remove_dir_all(folder.join("work")).unwrap();
        fs::write(&paths.job, serde_json::to_vec(job).unwrap()).unwrap();
        paths
    }

    fn events(out: &[u8]) -> Vec<Event> {
        let parsed: Vec<Numbered> =
            String::from_utf8_lossy(out).lines().map(|line| Numbered::parse(line).unwrap()).collect();
        assert!(parsed.iter().zip(1..).all(|(event, n)| event.n == n), "{parsed:?}");
        parsed.into_iter().map(|event| event.event).collect()
    }

    const SUCCEED: &str = r#"cat in.csv >&2; echo pass hunter2 >&2; echo 1 > out.csv; echo '{}' > datapackage.json
printf '{}\n{}\n\n{"a": 1}\n\n{"secret": "hunter2"}\n'"#;

    #[tokio::test]
    async fn steps_see_variables_of_a_secret_and_logs_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let script = "echo $PLAIN $WORD; echo \"got $WORD and $URL\" >&2; cat >/dev/null; exit 3";
        let paths = pod(folder.path(), &job(folder.path(), script));
        // As the kubelet mounts a Secret: links, beside a hidden folder.
        let hidden = paths.variables.join("..2026");
        fs::create_dir_all(&hidden).unwrap();
        for (name, value) in [("WORD", "sesame\n"), ("URL", "postgresql://ada:open-up@db/x")] {
            fs::write(hidden.join(name), value).unwrap();
            std::os::unix::fs::symlink(hidden.join(name), paths.variables.join(name)).unwrap();
        }
        let mut out = Vec::new();
        let exit = run(&paths, &mut out, &CancellationToken::new()).await.unwrap();
        assert_eq!(exit, PodExit::Failed);
        let text = String::from_utf8_lossy(&out);
        assert!(text.contains("got ***") && text.contains(" and ***"), "{text}");
        assert!(!text.contains("sesame") && !text.contains("open-up"), "{text}");
        let (_, environment) = step_environment(&paths).unwrap();
        assert_eq!(environment["WORD"], "sesame\n");
    }

    #[tokio::test]
    async fn run_keeps_its_files_until_its_pod_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let job = job(folder.path(), SUCCEED);
        let paths = pod(folder.path(), &job);
        let (mut out, cancel) = (Vec::new(), CancellationToken::new());
        let running = run(&paths, &mut out, &cancel);
        let taking = async {
            while !paths.written().exists() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let mut results = Vec::new();
            write_results(&paths, &mut results).unwrap();
            cancel.cancel();
            results
        };
        let (code, archive) = tokio::join!(running, taking);
        assert_eq!(code.unwrap(), PodExit::Terminated);
        let events = events(&out);
        assert_eq!(events.first(), Some(&Event::Line { step: 0, line: "1".to_owned() }));
        assert!(events.contains(&Event::Line { step: 0, line: "pass ***".to_owned() }), "{events:?}");
        let Some(Event::End { outcome, results }) = events.last() else { panic!("{events:?}") };
        assert_eq!((outcome.end, outcome.rows, results.files, results.bytes), (End::Succeeded, 1, 2, 5));
        assert_eq!(outcome.stats.get("secret"), Some(&Value::from("***")));
        fs::remove_dir_all(folder.path().join("work")).unwrap();
        archive::unpack_results(archive.as_slice(), &job.elsewhere.folders, results, &|| true).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("work/out.csv")).unwrap(), "1\n");
    }

    #[tokio::test]
    async fn claim_keeps_the_data_of_a_good_run_only() {
        let folder = tempfile::tempdir().unwrap();
        let check = async |script: &str, exit: PodExit, text: &str| {
            let mut job = job(folder.path(), script);
            let output = Output::within(folder.path().join("work/data"), "r1");
            job.elsewhere.claim = Some(Claim {
                name: "results".to_owned(),
                links: vec![(output.place.clone(), "shop/data".into())],
                former: vec![Default::default()],
                partials: vec![output.partial.clone()],
                outputs: vec![output],
                ..Claim::default()
            });
            let paths = pod(folder.path(), &job);
            let mut out = Vec::new();
            let ended = run_and_keep(&paths, &mut out, &CancellationToken::new(), Duration::from_millis(1)).await;
            assert_eq!(ended.unwrap(), exit);
            let kept = paths.claim.join("shop/data");
            assert_eq!(fs::read_to_string(kept.join("a.csv")).unwrap_or_default(), text);
            assert!(!kept.join(".terrace-r1").exists());
            let Some(Event::End { outcome, results }) = events(&out).pop() else { panic!() };
            fs::remove_dir_all(folder.path().join("work")).unwrap();
            (outcome, results)
        };
        let write = |text: &str, end: &str| {
            format!("mkdir -p data/.terrace-r1; echo {text} > data/.terrace-r1/a.csv; echo x > log.txt; {end}")
        };
        let (outcome, results) =
            check(&write("1", r#"printf '{}\n{}\n\n\n{"a": 1}\n'"#), PodExit::Succeeded, "1\n").await;
        assert_eq!(outcome.in_place[0].files, [("a.csv".into(), 2)].into(), "{outcome:?}");
        assert_eq!((results.files, results.bytes), (1, 2), "other files are copied as without a claim");
        let (outcome, _) = check(&write("2", "exit 5"), PodExit::Failed, "1\n").await;
        assert_eq!((outcome.end, outcome.in_place.len()), (End::Failed, 0));
    }

    #[tokio::test]
    async fn each_time_of_a_schedule_is_another_run() {
        let folder = tempfile::tempdir().unwrap();
        let script = "mkdir -p data/.terrace-cron-1; echo 1 > data/.terrace-cron-1/a.csv; echo x > log.txt\n\
                      printf '{}\\n{}\\n\\n\\n{\"a\": 1}\\n'";
        let mut job = job(folder.path(), script);
        job.run = "cron-1".to_owned();
        let output = Output::within(folder.path().join("work/data"), &job.run);
        job.elsewhere.is_timed = true;
        job.elsewhere.claim = Some(Claim {
            name: "results".to_owned(),
            links: vec![(output.place.clone(), "data".into())],
            former: vec![Default::default()],
            partials: vec![output.partial.clone()],
            outputs: vec![output],
            abandoned: Some(".terrace-cron-1-".to_owned()),
            lock: Some("locks/1".into()),
        });
        let paths = pod(folder.path(), &job);
        fs::write(&paths.run_id, "uid-7").unwrap();
        let own = read_job(&paths).unwrap();
        assert_eq!(own.run, "cron-1-uid-7");
        assert!(own.steps[0].arguments[1].contains("data/.terrace-cron-1-uid-7/a.csv"), "{:?}", own.steps);
        let abandoned = paths.claim.join("data/.terrace-cron-1-uid-6");
        fs::create_dir_all(&abandoned).unwrap();
        let mut out = Vec::new();
        // It waits for no terrace.
        assert_eq!(run(&paths, &mut out, &CancellationToken::new()).await.unwrap(), PodExit::Succeeded);
        let events = events(&out);
        let Some(Event::End { outcome, results }) = events.last() else { panic!("{events:?}") };
        assert_eq!((outcome.in_place[0].files.len(), results.files), (1, 0), "{outcome:?}");
        let is_lost = |event: &Event| matches!(event, Event::Line { line, .. } if line.contains("are not kept"));
        assert!(events.iter().any(is_lost), "{events:?}");
        assert_eq!(fs::read_to_string(paths.claim.join("data/a.csv")).unwrap(), "1\n");
        assert!(!abandoned.exists());
    }

    /// Output of a pod that waits for another run, and what happens then.
    struct WhileItWaits<F: FnMut()>(Vec<u8>, F);

    impl<F: FnMut()> Write for WhileItWaits<F> {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            if String::from_utf8_lossy(text).contains("waiting for the end of another run") {
                self.1();
            }
            self.0.write(text)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn runs_of_a_schedule_wait_for_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let mut job = job(folder.path(), r#"printf '{}\n{}\n\n\n{"a": 1}\n'"#);
        let claim = Claim { name: "results".to_owned(), lock: Some("shop/.lock-1".into()), ..Claim::default() };
        job.elsewhere.is_timed = true;
        job.elsewhere.claim = Some(claim.clone());
        let paths = pod(folder.path(), &job);
        fs::write(&paths.run_id, "uid-7").unwrap();
        let turn = || match claim.turn(&paths.claim).unwrap() {
            Turn::Now(lock) => lock,
            Turn::Later | Turn::Unlocked(_) => None,
        };
        // The pod has to end while it waits.
        let (other, cancel) = (turn().unwrap(), CancellationToken::new());
        let mut out = WhileItWaits(Vec::new(), || cancel.cancel());
        assert_eq!(run(&paths, &mut out, &cancel).await.unwrap(), PodExit::Terminated);
        assert_eq!(events(&out.0).len(), 1, "no step has started");
        let mut other = Some(other);
        let mut out = WhileItWaits(Vec::new(), || other = None);
        assert_eq!(run(&paths, &mut out, &CancellationToken::new()).await.unwrap(), PodExit::Succeeded);
        assert!(matches!(events(&out.0).last(), Some(Event::End { outcome, .. }) if outcome.end == End::Succeeded));
        assert!(turn().is_some(), "the next run need not wait");
    }

    #[tokio::test]
    async fn lock_that_cannot_be_opened_fails_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let mut job = job(folder.path(), SUCCEED);
        let lock = Some("shop/.lock-1".into());
        job.elsewhere.claim = Some(Claim { name: "results".to_owned(), lock, ..Claim::default() });
        let paths = pod(folder.path(), &job);
        fs::create_dir_all(paths.claim.join("shop/.lock-1")).unwrap();
        let mut out = Vec::new();
        assert_eq!(run(&paths, &mut out, &CancellationToken::new()).await.unwrap(), PodExit::Failed);
        let Some(Event::End { outcome, .. }) = events(&out).pop() else { panic!() };
        let failure = outcome.failure.unwrap();
        assert!(failure.message.starts_with("the claim `results` cannot be written: `"), "{failure:?}");
        assert!(failure.message.contains("shop/.lock-1"), "{failure:?}");
    }

    #[tokio::test]
    async fn claim_that_cannot_be_written_fails_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let mut job = job(folder.path(), SUCCEED);
        let links = vec![(folder.path().join("work/data"), "data".into())];
        job.elsewhere.claim = Some(Claim { name: "results".to_owned(), links, ..Claim::default() });
        let paths = pod(folder.path(), &job);
        fs::write(&paths.claim, "a file").unwrap();
        let mut out = Vec::new();
        assert_eq!(run(&paths, &mut out, &CancellationToken::new()).await.unwrap(), PodExit::Failed);
        let Some(Event::End { outcome, .. }) = events(&out).pop() else { panic!() };
        let failure = outcome.failure.unwrap();
        assert!(failure.message.starts_with("the claim `results` cannot be written"), "{failure:?}");
        assert!(failure.log[0].contains("fsGroup"), "{failure:?}");
    }

    #[test]
    fn names_of_the_written_files_fit_into_an_event() {
        let output = |files: usize| Output {
            files: (0..files).map(|number| (format!("part-{number:06}.csv").into(), 1)).collect(),
            ..Output::default()
        };
        assert_eq!(too_long(&[output(10_000)]), None);
        assert!(too_long(&[output(100_000)]).unwrap().contains("it wrote 100000 files"));
    }

    #[tokio::test]
    async fn too_large_results_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        // A hole: it takes no space, but hours to read.
        let script = SUCCEED.replace("echo 1 > out.csv", "truncate -s 15T out.csv");
        let paths = pod(folder.path(), &job(folder.path(), &script));
        let mut out = Vec::new();
        assert_eq!(run(&paths, &mut out, &CancellationToken::new()).await.unwrap(), PodExit::Failed);
        let Some(Event::End { outcome, results }) = events(&out).pop() else { panic!() };
        assert_eq!((outcome.end, results.files), (End::Failed, 0));
        let message = outcome.failure.unwrap().message;
        assert!(message.contains("GiB of files, and at most 100 are copied"), "{message}");
    }

    #[test]
    fn outcome_fits_into_an_event() {
        let size = |outcome: &Outcome| serde_json::to_vec(outcome).unwrap().len();
        let outcome = |end, stats: usize, failure: Option<Failed>| Outcome {
            end,
            stats: Map::from_iter([("large".to_owned(), Value::from("x".repeat(stats)))]),
            rows: 3,
            steps: Vec::new(),
            failure,
            in_place: Vec::new(),
        };
        let small = outcome(End::Succeeded, 1000, None);
        assert_eq!(shortened(small.clone()), small);
        let refused = shortened(outcome(End::Succeeded, LARGEST_OUTCOME, None));
        assert_eq!((refused.end, refused.rows, size(&refused) < 1000), (End::Failed, 3, true));
        assert!(refused.failure.unwrap().message.contains("its statistics are too large: 1025 KiB"));
        let log = [vec!["\u{1}".repeat(60_000); 1000], vec!["the last line".to_owned()]].concat();
        let failed = Failed { step: Some(0), log, ..Failed::new("no") };
        let failed = shortened(outcome(End::Broken, 9, Some(failed)));
        assert_eq!((failed.end, size(&failed) <= LARGEST_OUTCOME), (End::Broken, true));
        let log = failed.failure.unwrap().log;
        assert_eq!((log.len(), log.last().unwrap().as_str()), (3, "the last line"));
    }

    #[tokio::test]
    async fn pod_does_not_wait_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let paths = pod(folder.path(), &job(folder.path(), SUCCEED));
        let ended = run_and_keep(&paths, Vec::new(), &CancellationToken::new(), Duration::from_millis(1)).await;
        assert_eq!(ended.unwrap(), PodExit::Succeeded);
    }

    #[tokio::test]
    async fn time_limit_covers_earlier_pods_of_the_job() {
        let folder = tempfile::tempdir().unwrap();
        let check = async |seconds: i64, script: &str| {
            let mut job = job(folder.path(), script);
            job.timeout = Some(Duration::from_secs(3600));
            job.elsewhere.deadline = Some(Timestamp::now() + jiff::SignedDuration::from_secs(seconds));
            let mut out = Vec::new();
            let paths = pod(folder.path(), &job);
            assert_eq!(run(&paths, &mut out, &CancellationToken::new()).await.unwrap(), PodExit::Failed);
            let Some(Event::End { outcome, .. }) = events(&out).pop() else { panic!() };
            assert_eq!(outcome.end, End::TimedOut);
            assert_eq!(outcome.failure.unwrap().message, "it took longer than its limit of 3600 s");
        };
        check(1, "exec sleep 600").await;
        check(-5, "touch started; exec sleep 600").await;
        assert!(!folder.path().join("work/started").exists());
    }

    #[test]
    fn protected_process_is_closed_to_its_steps() {
        use rustix::process::{DumpableBehavior, dumpable_behavior};
        // The protection covers a whole process, and other tests start steps in this one.
        const IN_CHILD: &str = "TERRACE_TEST_PROTECT";
        if std::env::var_os(IN_CHILD).is_none() {
            let name = "executor::pod::tests::protected_process_is_closed_to_its_steps";
            let mut child = std::process::Command::new(std::env::current_exe().unwrap());
            let output = child.args(["--exact", name]).env(IN_CHILD, "1").output().unwrap();
            assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
            return;
        }
        protect().unwrap();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }

    #[tokio::test]
    async fn failed_run_keeps_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let paths = pod(folder.path(), &job(folder.path(), "echo 1 > out.csv; echo ERROR no >&2; exit 5"));
        let mut out = Vec::new();
        assert_eq!(run(&paths, &mut out, &CancellationToken::new()).await.unwrap(), PodExit::Failed);
        let events = events(&out);
        let Some(Event::End { outcome, results }) = events.last() else { panic!("{events:?}") };
        assert_eq!(results.files, 0);
        assert_eq!(outcome.failure.as_ref().unwrap().log, ["ERROR no"]);
        assert_eq!(outcome.steps.first().unwrap().exit_code, Some(5));
    }

    #[tokio::test]
    async fn terminated_pod_has_its_own_exit_code() {
        let folder = tempfile::tempdir().unwrap();
        let paths = pod(folder.path(), &job(folder.path(), "exec sleep 600"));
        let (mut out, cancel) = (Vec::new(), CancellationToken::new());
        cancel.cancel();
        assert_eq!(run(&paths, &mut out, &cancel).await.unwrap(), PodExit::Terminated);
        let events = events(&out);
        let Some(Event::End { outcome, .. }) = events.last() else { panic!("{events:?}") };
        assert_eq!(outcome.end, End::Cancelled);
    }
}
