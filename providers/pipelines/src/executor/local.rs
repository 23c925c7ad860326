//! Jobs as processes of this machine: a process a step, chained by pipes, all of one group.
//!
//! What flows from step to step goes through here, so rows are counted without asking the steps, and a stream that is cut
//! off is not taken for one that has ended: a step reads the end of its input only after the step before it ended well.
//! So the step that is blamed is the one that failed, and not one that stumbled over what was missing.

mod guard;
mod memory;
mod processes;
mod stream;

use super::{End, Executor, Failed, Job, Outcome, StepOutcome, Watch, in_words, too_long};
use async_trait::async_trait;
use futures_util::future::join_all;
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

/// So many lines of an error are kept, as in dpp.
const LINES: usize = 1000;
/// A line beyond this many bytes is cut: a step may write a whole file without a line break.
const LONGEST_LINE: u64 = 1 << 16;
/// How long pipes are read that something holds open which is not part of the run any more.
const DRAINING: Duration = Duration::from_secs(2);

/// The signal that nobody can refuse.
const KILLED: i32 = 9;

/// Runs jobs on this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalExecutor;

#[async_trait]
impl Executor for LocalExecutor {
    async fn execute(&self, job: &Job, watch: &dyn Watch, cancel: &CancellationToken) -> Outcome {
        let guard = match Guard::start((MARK, &job.run), job.grace) {
            Ok(guard) => guard,
            Err(error) => return not_started(job, None, End::Broken, format!("no process can be started: {error}")),
        };
        let before = memory::kills();
        let mut outcome = match start(job, &guard) {
            Ok(chain) => run(job, chain, &guard, watch, cancel).await,
            Err((step, end, what)) => not_started(job, Some(step), end, what),
        };
        if before < memory::kills() {
            blame_memory(&mut outcome);
        }
        guard.end().await;
        // What left the group on purpose goes, too.
        if let Err(error) = processes::end(MARK, &job.run, job.grace).await {
            tracing::warn!(run = job.run, %error, "processes that may be left cannot be listed");
        }
        outcome
    }

    async fn end_left(&self, run: &str, grace: Duration) -> io::Result<usize> {
        processes::end(MARK, run, grace).await
    }
}

/// A step that was killed while the kernel killed something for its memory, and by nobody of ours, was what it killed.
fn blame_memory(outcome: &mut Outcome) {
    let Some(failure) = outcome.failure.as_mut().filter(|_| outcome.end == End::Failed) else { return };
    let step = failure.step.and_then(|step| outcome.steps.get(step));
    if step.is_some_and(|step| step.signal == Some(KILLED)) {
        outcome.end = End::Broken;
        failure.what.push_str(": the machine has no memory left");
    }
}

fn not_started(job: &Job, step: Option<usize>, end: End, what: String) -> Outcome {
    Outcome {
        end,
        stats: Map::new(),
        rows: 0,
        steps: vec![StepOutcome::default(); job.steps.len()],
        failure: Some(Failed { step, what, said: Vec::new() }),
    }
}

/// A started step.
struct Step {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    stderr: ChildStderr,
}

/// Starts all steps; the error names the one that cannot be started, and whether that is its own fault.
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
                    (End::Failed, "its parameters are longer than a program can be given".to_owned())
                }
                io::ErrorKind::NotFound => {
                    (End::Failed, format!("`{}` or the folder of the spec is not there", step.program.display()))
                }
                io::ErrorKind::PermissionDenied => (End::Failed, error.to_string()),
                // No process, no memory, no file descriptor is left.
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

/// A step that ended, and how.
type Told = (usize, ExitStatus);

/// Runs started steps to their end.
async fn run(job: &Job, chain: Vec<Step>, guard: &Guard, watch: &dyn Watch, cancel: &CancellationToken) -> Outcome {
    let count = chain.len();
    let said: Vec<Said> = (0..count).map(|_| Said::default()).collect();
    let (told, mut hear) = mpsc::unbounded_channel();
    let mut steps: Vec<StepOutcome> = vec![StepOutcome::default(); count];
    let (mut ends, mut inputs, mut outputs, mut complaints) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (position, step) in chain.into_iter().enumerate() {
        let (end, ended) = watch::channel(None);
        ends.push(ended);
        inputs.push(step.stdin);
        outputs.push(step.stdout);
        complaints.extend(said.get(position).map(|said| listen(position, step.stderr, said, watch)));
        let told = told.clone();
        let mut child = step.child;
        tokio::spawn(async move {
            // A child that cannot be waited for is as good as killed.
            let status = child.wait().await.unwrap_or_else(|_| ExitStatus::from_raw(9));
            let _ = end.send(Some(status));
            let _ = told.send((position, status));
        });
    }
    drop(told);
    // What was read before a pipe was given up counts: somebody may hold it open who is not part of the run any more.
    let passed: Vec<stream::Passing> = (0..count).map(|_| stream::Passing::default()).collect();
    let flows = flow(job, inputs, outputs, &ends, &passed, watch);
    let ending = conduct(job, guard, cancel, &mut hear, &mut steps, watch);
    let listening = join_all(complaints);
    let (_, (mut end, mut failed), _) =
        tokio::join!(until_drained(flows, &ends), ending, until_drained(listening, &ends));
    let mut stats = Map::new();
    for ((position, step), passing) in steps.iter_mut().enumerate().zip(&passed) {
        let passed = passing.so_far();
        (step.rows, step.bytes) = (passed.rows, passed.bytes);
        if position + 1 == count && end == End::Succeeded {
            match passed.statistics() {
                Some(told) => stats = told,
                None => {
                    end = End::Failed;
                    failed = Some((Some(position), "it ended before it told what it had counted".to_owned()));
                }
            }
        }
    }
    let failure = failed.map(|(step, what)| {
        let said = step.and_then(|step| said.get(step)).map(Said::lines).unwrap_or_default();
        Failed { step, what, said }
    });
    let rows = steps.last().map_or(0, |step| step.rows);
    Outcome { end, stats, rows, steps, failure }
}

type Ended = watch::Receiver<Option<ExitStatus>>;

/// Waits for work on pipes; once all steps have ended, no longer than pipes take to be empty.
async fn until_drained<T>(work: impl Future<Output = T>, ends: &[Ended]) -> Option<T> {
    let too_long = async {
        all_ended(ends).await;
        tokio::time::sleep(DRAINING).await;
    };
    tokio::select! {
        done = work => Some(done),
        () = too_long => None,
    }
}

async fn all_ended(ends: &[Ended]) {
    for end in ends {
        // Where nobody will tell any more, it has ended.
        let _ = end.clone().wait_for(Option::is_some).await;
    }
}

/// Waits for a step to end; true when it ended well.
async fn is_well(end: Option<&Ended>) -> bool {
    let Some(end) = end else { return false };
    let mut end = end.clone();
    let status = end.wait_for(Option::is_some).await;
    status.is_ok_and(|status| status.is_some_and(|status| status.success()))
}

/// Waits for the steps to end, and ends them when one fails, somebody wants to stop, or the time is over.
async fn conduct(
    job: &Job,
    guard: &Guard,
    cancel: &CancellationToken,
    hear: &mut mpsc::UnboundedReceiver<Told>,
    steps: &mut [StepOutcome],
    watch: &dyn Watch,
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
            told = hear.recv() => {
                let Some((position, status)) = told else { return (end, failure) };
                let Some(step) = steps.get_mut(position) else { continue };
                (step.exit_code, step.signal) = (status.code(), status.signal());
                watch.ended(position, step);
                if !status.success() && end == End::Succeeded {
                    end = End::Failed;
                    failure = Some((Some(position), in_words(step)));
                    kill(job, guard);
                }
            }
            () = cancel.cancelled(), if end == End::Succeeded => {
                end = End::Cancelled;
                failure = Some((None, "it was cancelled".to_owned()));
                guard.ask_to_end();
                kill_at = Some(tokio::time::Instant::now() + job.grace);
            }
            () = &mut timeout, if end == End::Succeeded => {
                end = End::TimedOut;
                failure = Some((None, too_long(job.timeout.unwrap_or_default())));
                guard.ask_to_end();
                kill_at = Some(tokio::time::Instant::now() + job.grace);
            }
            () = killing => {
                kill_at = None;
                kill(job, guard);
            }
        }
    }
}

/// Kills the group, and whoever left it: a step that did would be waited for without end.
fn kill(job: &Job, guard: &Guard) {
    guard.kill();
    let run = job.run.clone();
    tokio::spawn(async move {
        if let Err(error) = processes::end(MARK, &run, Duration::ZERO).await {
            tracing::warn!(run, %error, "the processes of a run cannot be listed");
        }
    });
}

/// Passes on what flows from step to step.
async fn flow(
    job: &Job,
    inputs: Vec<ChildStdin>,
    outputs: Vec<ChildStdout>,
    ends: &[Ended],
    passed: &[stream::Passing],
    watch: &dyn Watch,
) {
    let mut inputs = inputs.into_iter();
    let first = inputs.next();
    let dependencies = serde_json::json!(job.dependencies);
    let begin = async {
        if let Some(mut first) = first {
            let beginning = format!("{dependencies}\n{{\"name\": \"_\", \"resources\": []}}\n");
            // A first step that ended already is told of where it ended.
            let _ = first.write_all(beginning.as_bytes()).await;
        }
    };
    let passing: Vec<_> = outputs
        .into_iter()
        .zip(passed)
        .enumerate()
        .map(|(position, (from, passing))| {
            let mut to = inputs.next();
            async move {
                // What cannot be read any more is over.
                let _ = stream::pass(position, from, to.as_mut(), passing, watch).await;
                // The end of a stream is passed on only when it is one: see the beginning of this file.
                if !is_well(ends.get(position)).await {
                    all_ended(ends).await;
                }
            }
        })
        .collect();
    tokio::join!(begin, join_all(passing));
}

/// What a step said, from the first error on.
#[derive(Debug, Default)]
struct Said(Mutex<VecDeque<String>>);

impl Said {
    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn hear(&self, line: &str) {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_empty() && !line.starts_with("ERROR") && !line.starts_with("Traceback") {
            return;
        }
        if said.len() == LINES {
            said.pop_front();
        }
        said.push_back(line.to_owned());
    }
}

/// Reads what a step says.
async fn listen(step: usize, stderr: ChildStderr, said: &Said, watch: &dyn Watch) {
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
        watch.line(step, text);
        said.hear(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn killed(end: End, signal: Option<i32>, exit_code: Option<i32>) -> Outcome {
        let step = StepOutcome { signal, exit_code, ..StepOutcome::default() };
        let failure = Some(Failed { step: Some(0), what: in_words(&step), said: Vec::new() });
        Outcome { end, stats: Map::new(), rows: 0, steps: vec![step], failure }
    }

    #[test]
    fn only_a_step_that_was_killed_can_have_run_out_of_memory() {
        let mut outcome = killed(End::Failed, Some(9), None);
        blame_memory(&mut outcome);
        assert_eq!(outcome.end, End::Broken);
        assert_eq!(outcome.failure.unwrap().what, "it was killed (signal 9): the machine has no memory left");
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
