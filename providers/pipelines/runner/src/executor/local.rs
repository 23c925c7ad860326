//! Runs jobs as processes of this machine: one process per step, connected by pipes, in one process group.
//!
//! The streams between steps pass through this process, which counts rows without help from the steps. A step receives
//! the end of its input only after the previous step ended well, so an interrupted stream never looks complete. So
//! the error names the failed step, and not a later step without input.

mod guard;
mod memory;
mod processes;
mod resource_use;
mod stream;

use super::{End, Executor, Failed, Job, JobObserver, Outcome, Place, StepOutcome, describe_end, timeout_message};
use async_trait::async_trait;
use futures_util::future::join_all;
use jiff::Timestamp;
use resource_use::ResourceUse;
use serde_json::Map;
use std::collections::VecDeque;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

pub(crate) use guard::Guard;
pub(crate) use processes::MARK;
pub(crate) use processes::end as end_marked;

/// Maximum number of lines kept of an error, as in dpp.
const LINES: usize = 1000;
/// Maximum length of a line in bytes: a step may write a whole file without a line break.
const LONGEST_LINE: u64 = 1 << 16;
/// Time to read pipes that a process outside of the run still holds open.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Remedy for a step that writes nothing.
const WRITES_NOTHING: &str = "hint: a step has to write a data package, as by `spew` of `datapackage_pipelines.wrapper`; for a \
     function `flow` write `flow: NAME` in place of `run: NAME`, and mark new resources with \
     `update_resource(None, **{'dpp:streaming': True})`";
/// Number of the signal KILL.
const KILLED: i32 = 9;

/// Runs jobs on this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalExecutor;

#[async_trait]
impl Executor for LocalExecutor {
    async fn execute(&self, job: &Job, observer: &dyn JobObserver, cancel: &CancellationToken) -> Outcome {
        let guard = match Guard::start((MARK, &job.run), job.grace) {
            Ok(guard) => guard,
            Err(error) => return not_started(job, None, End::Broken, format!("no process can be started: {error}")),
        };
        let before = memory::kills();
        let mut outcome = match start(job, &guard) {
            Ok(chain) => run(job, chain, &guard, observer, cancel).await,
            Err((step, end, message)) => not_started(job, Some(step), end, message),
        };
        if before < memory::kills() {
            blame_memory(&mut outcome);
        }
        guard.end().await;
        // End processes that left the group on purpose.
        if let Err(error) = processes::end(MARK, &job.run, job.grace).await {
            tracing::warn!(run = job.run, %error, "remaining processes cannot be listed");
        }
        outcome
    }

    async fn place(&self) -> Result<Option<Place>, String> {
        Ok(Some(Place::Local))
    }

    async fn end_leftover_processes(&self, run: &str, grace: Duration) -> io::Result<usize> {
        processes::end(MARK, run, grace).await
    }
}

/// Attributes a killed step to the kernel's out-of-memory killer, if that killed a process during the run and terrace
/// did not.
fn blame_memory(outcome: &mut Outcome) {
    let Some(failure) = outcome.failure.as_mut().filter(|_| outcome.end == End::Failed) else { return };
    let step = failure.step.and_then(|step| outcome.steps.get(step));
    if step.is_some_and(|step| step.signal == Some(KILLED)) {
        outcome.end = End::Broken;
        failure.message.push_str(": the machine is out of memory");
    }
}

/// Attributes a failure to the step before it, if that step wrote no data package. `empty` has the steps that ended well without
/// one.
fn blame_empty_step(mut failure: Failed, empty: &[bool]) -> Failed {
    let is_empty = |step: &usize| empty.get(*step).copied().unwrap_or_default();
    let Some(failed) = failure.step else { return failure };
    if let Some(before) = failed.checked_sub(1).filter(is_empty) {
        failure.message =
            format!("it ended without a data package; step {} needs one: {}", failed + 1, failure.message);
        failure.step = Some(before);
    } else if is_empty(&failed) {
        failure.message = "it ended without a data package".to_owned();
    } else {
        return failure;
    }
    failure.log.push(WRITES_NOTHING.to_owned());
    failure
}

fn not_started(job: &Job, step: Option<usize>, end: End, message: String) -> Outcome {
    Outcome {
        end,
        stats: Map::new(),
        rows: 0,
        steps: vec![StepOutcome::default(); job.steps.len()],
        failure: Some(Failed { step, ..Failed::new(message) }),
        in_place: Vec::new(),
    }
}

/// A started step.
struct Step {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    stderr: ChildStderr,
}

/// Starts all steps; an error names the step that cannot be started, and whether the step itself is the cause.
fn start(job: &Job, guard: &Guard) -> Result<Vec<Step>, (usize, End, String)> {
    let mut chain = Vec::with_capacity(job.steps.len());
    for (position, step) in job.steps.iter().enumerate() {
        let mut command = Command::new(&step.program);
        command.args(&step.arguments).current_dir(&job.folder).env_clear().envs(&job.environment);
        command.env(MARK, &job.run);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(guard.group()).kill_on_drop(true);
        let child = command.spawn().map_err(|error| {
            let (end, why) = match error.kind() {
                io::ErrorKind::ArgumentListTooLong => {
                    (End::Failed, "its parameters are too long for a program".to_owned())
                }
                io::ErrorKind::NotFound => {
                    (End::Failed, format!("`{}` or the folder of the spec does not exist", step.program.display()))
                }
                io::ErrorKind::PermissionDenied => (End::Failed, error.to_string()),
                // No process, memory or file descriptor is available.
                _ => (End::Broken, error.to_string()),
            };
            (position, end, format!("it cannot be started: {why}"))
        });
        let mut child = child?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err((position, End::Broken, "it was started without pipes".to_owned()));
        };
        chain.push(Step { child, stdin, stdout, stderr });
    }
    Ok(chain)
}

/// A step that ended, with its status and its use of resources.
type EndedStep = (usize, ExitStatus, ResourceUse);

/// Runs started steps to their end.
async fn run(
    job: &Job,
    chain: Vec<Step>,
    guard: &Guard,
    observer: &dyn JobObserver,
    cancel: &CancellationToken,
) -> Outcome {
    let count = chain.len();
    let logs: Vec<ErrorLog> = (0..count).map(|_| ErrorLog::default()).collect();
    let (report_end, mut ended_steps) = mpsc::unbounded_channel();
    let mut steps: Vec<StepOutcome> = vec![StepOutcome::default(); count];
    let (mut ends, mut inputs, mut outputs, mut log_readers) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (position, step) in chain.into_iter().enumerate() {
        let (end, ended) = watch::channel(None);
        ends.push(ended);
        inputs.push(step.stdin);
        outputs.push(step.stdout);
        log_readers.extend(logs.get(position).map(|log| read_log(position, step.stderr, log, observer)));
        let report_end = report_end.clone();
        let mut child = step.child;
        tokio::spawn(async move {
            let (status, used) = resource_use::wait(&mut child).await;
            // If a child cannot be waited for, count it as killed.
            let status = status.unwrap_or_else(|_| ExitStatus::from_raw(9));
            let _ = end.send(Some(status));
            let _ = report_end.send((position, status, used));
        });
    }
    drop(report_end);
    // Counts the data read before a pipe was abandoned, because a process outside the run may hold the pipe open.
    let counts: Vec<stream::SharedCounts> = (0..count).map(|_| stream::SharedCounts::default()).collect();
    let flows = forward_streams(job, inputs, outputs, &ends, &counts, observer);
    let ending = wait_for_steps(job, guard, cancel, &mut ended_steps, &mut steps, observer);
    let listening = join_all(log_readers);
    let (_, (mut end, mut failed), _) =
        tokio::join!(until_drained(flows, &ends), ending, until_drained(listening, &ends));
    let mut stats = Map::new();
    let mut empty = vec![false; count];
    for ((position, step), passing) in steps.iter_mut().enumerate().zip(&counts) {
        let counts = passing.snapshot();
        (step.rows, step.bytes) = (counts.rows, counts.bytes);
        if let Some(empty) = empty.get_mut(position) {
            *empty = step.exit_code == Some(0) && !counts.has_package;
        }
        if position + 1 == count && end == End::Succeeded {
            match counts.statistics() {
                Some(statistics) => stats = statistics,
                None => {
                    end = End::Failed;
                    failed = Some((Some(position), "it ended without statistics".to_owned()));
                }
            }
        }
    }
    let failure = failed.map(|(step, message)| {
        let log = step.and_then(|step| logs.get(step)).map(ErrorLog::lines).unwrap_or_default();
        blame_empty_step(Failed { step, log, ..Failed::new(message) }, &empty)
    });
    let rows = steps.last().map_or(0, |step| step.rows);
    Outcome { end, stats, rows, steps, failure, in_place: Vec::new() }
}

type Ended = watch::Receiver<Option<ExitStatus>>;

/// Waits for work on pipes; after all steps have ended, at most [`DRAIN_TIMEOUT`].
async fn until_drained<T>(work: impl Future<Output = T>, ends: &[Ended]) -> Option<T> {
    let too_long = async {
        all_ended(ends).await;
        tokio::time::sleep(DRAIN_TIMEOUT).await;
    };
    tokio::select! {
        done = work => Some(done),
        () = too_long => None,
    }
}

async fn all_ended(ends: &[Ended]) {
    for end in ends {
        // A closed channel means that the step has ended.
        let _ = end.clone().wait_for(Option::is_some).await;
    }
}

/// Waits for a step to end; returns true if it succeeded.
async fn has_succeeded(end: Option<&Ended>) -> bool {
    let Some(end) = end else { return false };
    let mut end = end.clone();
    let status = end.wait_for(Option::is_some).await;
    status.is_ok_and(|status| status.is_some_and(|status| status.success()))
}

/// Waits for the steps to end. Stops all of them when one fails, the run is cancelled, or it times out.
async fn wait_for_steps(
    job: &Job,
    guard: &Guard,
    cancel: &CancellationToken,
    ended_steps: &mut mpsc::UnboundedReceiver<EndedStep>,
    steps: &mut [StepOutcome],
    observer: &dyn JobObserver,
) -> (End, Option<(Option<usize>, String)>) {
    let timeout = async {
        match job.timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(timeout);
    let (mut end, mut failure) = (End::Succeeded, None);
    let mut kill_at = None;
    loop {
        let at = kill_at;
        let killing = async move {
            match at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = ended_steps.recv() => {
                let Some((position, status, used)) = ended else { return (end, failure) };
                let Some(step) = steps.get_mut(position) else { continue };
                (step.exit_code, step.signal) = (status.code(), status.signal());
                (step.cpu_ms, step.memory_peak) = (used.cpu_ms, used.memory_peak);
                observer.ended(position, step);
                if !status.success() && end == End::Succeeded {
                    end = End::Failed;
                    failure = Some((Some(position), describe_end(step)));
                    kill(job, guard);
                }
            }
            () = cancel.cancelled(), if end == End::Succeeded => {
                end = End::Cancelled;
                failure = Some((None, "it was cancelled".to_owned()));
                guard.terminate();
                kill_at = Some(tokio::time::Instant::now() + job.grace);
            }
            () = &mut timeout, if end == End::Succeeded => {
                end = End::TimedOut;
                failure = Some((None, timeout_message(job.timeout.unwrap_or_default())));
                guard.terminate();
                kill_at = Some(tokio::time::Instant::now() + job.grace);
            }
            () = killing => {
                kill_at = None;
                kill(job, guard);
            }
        }
    }
}

/// Kills the group and processes that left it: the engine would wait for such a step for ever.
fn kill(job: &Job, guard: &Guard) {
    guard.kill();
    let run = job.run.clone();
    tokio::spawn(async move {
        if let Err(error) = processes::end(MARK, &run, Duration::ZERO).await {
            tracing::warn!(run, %error, "the processes of a run cannot be listed");
        }
    });
}

/// Forwards the streams between the steps.
async fn forward_streams(
    job: &Job,
    inputs: Vec<ChildStdin>,
    outputs: Vec<ChildStdout>,
    ends: &[Ended],
    counts: &[stream::SharedCounts],
    observer: &dyn JobObserver,
) {
    let mut inputs = inputs.into_iter();
    let first = inputs.next();
    let dependencies = serde_json::json!(job.dependencies);
    let begin = async {
        if let Some(mut first) = first {
            let beginning = format!("{dependencies}\n{{\"name\": \"_\", \"resources\": []}}\n");
            // If the first step has ended already, its status is handled elsewhere.
            let _ = first.write_all(beginning.as_bytes()).await;
        }
    };
    let passing: Vec<_> = outputs
        .into_iter()
        .zip(counts)
        .enumerate()
        .map(|(position, (from, passing))| {
            let mut to = inputs.next();
            async move {
                // A read error counts as the end.
                let _ = stream::forward(position, from, to.as_mut(), passing, observer).await;
                // The end of a stream is forwarded only if it is complete: see the module's documentation.
                if !has_succeeded(ends.get(position)).await {
                    all_ended(ends).await;
                }
            }
        })
        .collect();
    tokio::join!(begin, join_all(passing));
}

/// Log of a step, from the first error on.
#[derive(Debug, Default)]
struct ErrorLog(Mutex<VecDeque<String>>);

impl ErrorLog {
    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn add(&self, line: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.is_empty() && !line.starts_with("ERROR") && !line.starts_with("Traceback") {
            return;
        }
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back(line.to_owned());
    }
}

/// Reads the log of a step.
async fn read_log(step: usize, stderr: ChildStderr, log: &ErrorLog, observer: &dyn JobObserver) {
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut reader).take(LONGEST_LINE).read_until(b'\n', &mut line).await;
        if !matches!(read, Ok(read) if read > 0) {
            return;
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if text.is_empty() {
            continue;
        }
        observer.line(step, Timestamp::now(), text);
        log.add(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn killed(end: End, signal: Option<i32>, exit_code: Option<i32>) -> Outcome {
        let step = StepOutcome { signal, exit_code, ..StepOutcome::default() };
        let failure = Some(Failed { step: Some(0), ..Failed::new(describe_end(&step)) });
        Outcome { end, stats: Map::new(), rows: 0, steps: vec![step], failure, in_place: Vec::new() }
    }

    #[test]
    fn memory_is_blamed_only_for_killed_step() {
        let mut outcome = killed(End::Failed, Some(9), None);
        blame_memory(&mut outcome);
        assert_eq!(outcome.end, End::Broken);
        assert_eq!(outcome.failure.unwrap().message, "it was killed (signal 9): the machine is out of memory");
        for mut other in [
            killed(End::Failed, None, Some(1)),
            killed(End::Failed, Some(15), None),
            killed(End::Cancelled, Some(9), None),
        ] {
            let before = other.clone();
            blame_memory(&mut other);
            assert_eq!(other, before);
        }
    }
}
