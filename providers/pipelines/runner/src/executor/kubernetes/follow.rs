//! Follows a run in the cluster to its end: waits for its pod, reads events from its log, and copies its files. Outages
//! of the API server and of connections only delay it.

use super::super::archive::{self, Manifest};
use super::super::events::{Event, Numbered};
use super::super::pod::RESULTS;
use super::super::{End, JobObserver, Outcome, StepOutcome, timeout_message};
use super::manifest::{CONTAINER, TERRACE};
use super::notes::Notes;
use super::retry::Budget;
use super::status::{Pod, PodEnd, Status, pending, status};
use super::{CLEANUP, EVENTS, JOBS, PODS, SECRETS, ended_early, in_words};
use jiff::Timestamp;
use std::collections::{BTreeSet, VecDeque};
use std::io::Read;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use terrace_provider_kubernetes::client::{Client, ClientError, Propagation};
use tokio_util::io::SyncIoBridge;
use tokio_util::sync::CancellationToken;

/// Interval between looks at a pod that does not run.
const POLL: Duration = Duration::from_millis(500);
/// Pause after a failed request.
const PAUSE: Duration = Duration::from_secs(2);
/// Time for which a pod may wait for its node or its image.
const START: Duration = Duration::from_secs(600);
/// Time for which the node may try again to start a pod: its pauses double from 10 s on.
const FAILING: Duration = Duration::from_secs(120);
/// Part of the log that is read again after a lost connection, beyond the last event: clocks differ.
const OVERLAP: Duration = Duration::from_secs(30);
/// Number of attempts to copy files.
const TRIES: usize = 5;
/// Bytes of an archive after its last file.
const END: u64 = 1 << 20;
/// Number of lines that are kept of a pod's other output.
const LINES: usize = 20;

/// A run that is followed.
pub(super) struct Following<'a> {
    pub(super) client: &'a Client,
    /// Name of the Job.
    pub(super) name: String,
    /// Folders into which its files are copied.
    pub(super) folders: Vec<PathBuf>,
    /// Outcome of each step so far.
    pub(super) steps: Vec<StepOutcome>,
    /// Time that processes have to end by themselves after a request to stop.
    pub(super) grace: Duration,
    /// Maximum time of the run.
    pub(super) timeout: Option<Duration>,
    /// Memory limit of the pod, for messages.
    pub(super) memory: Option<String>,
    pub(super) observer: &'a dyn JobObserver,
    pub(super) notes: Notes<'a>,
    /// Cancelled when the run has reported its end: only its files are missing.
    pub(super) reported: CancellationToken,
    /// Cancelled if the Job is to be deleted, so that no other pod follows.
    pub(super) cancel: CancellationToken,
}

/// Position in the log of a pod.
#[derive(Default)]
struct LogState {
    pod: String,
    /// Number of the last event.
    last: u64,
    /// Time of the last event.
    at: Option<Timestamp>,
    /// Last lines that are not events, such as a message of the container runtime.
    other: VecDeque<String>,
}

/// Report of a run about its end.
struct Report {
    outcome: Outcome,
    results: Manifest,
}

/// What became of the files of a run.
enum Taken {
    /// They are here.
    Copied,
    /// The run was asked to end, and its Job replaces the pod.
    Replaced,
    /// They are lost with their pod.
    Lost(String),
}

impl Following<'_> {
    /// Follows the run to its end.
    pub(super) async fn run(&mut self) -> Outcome {
        let mut state = LogState::default();
        let mut seen = BTreeSet::new();
        let mut waiting_since = Instant::now();
        let mut failing_since = None;
        let began = Instant::now();
        loop {
            let status = match self.look(&seen).await {
                Ok(Some(status)) => status,
                Ok(None) => return self.end(End::Cancelled, "its Job was deleted in the cluster".to_owned()),
                Err(error) if error.is_transient() => {
                    self.notes.note(&format!("the run is not visible now: {error}"));
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Err(error) => return self.delete(End::Broken, in_words(&error)).await,
            };
            match status {
                Status::Pod(pod) => {
                    (waiting_since, failing_since) = (Instant::now(), None);
                    match self.read(&pod, &mut state).await {
                        // The log may have a report: the end of the pod alone decides nothing, unless the Job replaces it.
                        Err(error) if !matches!(pod.end, Some(PodEnd::Lost(_))) => {
                            self.notes.note(&format!("the log of the pod cannot be read now: {error}"));
                            tokio::time::sleep(PAUSE).await;
                        }
                        Ok(Some(report)) => match self.take(&pod, &report).await {
                            Ok(Taken::Copied) => return report.outcome,
                            Ok(Taken::Replaced) => drop(seen.insert(pod.name.clone())),
                            Ok(Taken::Lost(why)) => {
                                return self.delete(End::Broken, format!("its files are lost: {why}")).await;
                            }
                            Err(why) => {
                                return self.delete(End::Broken, format!("its files cannot be copied: {why}")).await;
                            }
                        },
                        Err(_) | Ok(None) => match pod.end {
                            Some(end) => {
                                seen.insert(pod.name.clone());
                                if let Some(outcome) = self.pod_ended(&pod.name, end, &state) {
                                    return outcome;
                                }
                            }
                            None => tokio::time::sleep(POLL).await,
                        },
                    }
                }
                Status::Waiting(why) => {
                    if let Some(outcome) = self.timed_out_before_start(began, why.as_deref()).await {
                        return outcome;
                    }
                    let is_queued = why.as_ref().is_some_and(|why| why.contains("quota"));
                    if waiting_since.elapsed() > START && !is_queued {
                        let message = format!("no pod of it runs after {} s", START.as_secs());
                        return self.delete(End::Broken, waited(message, why)).await;
                    }
                    if let Some(why) = why {
                        self.notes.note(&format!("no pod of it runs yet: {why}"));
                    }
                    tokio::time::sleep(POLL).await;
                }
                Status::Failing(end, why) => {
                    if let Some(outcome) = self.timed_out_before_start(began, Some(&why)).await {
                        return outcome;
                    }
                    if failing_since.get_or_insert_with(Instant::now).elapsed() > FAILING {
                        return self.delete(end, format!("{why}; its node tried for {} s", FAILING.as_secs())).await;
                    }
                    self.notes.note(&format!("no pod of it runs yet: {why}"));
                    tokio::time::sleep(POLL).await;
                }
                Status::Stuck(why) => return self.delete(End::Failed, why).await,
                Status::DeadlineExceeded => {
                    let message = self.timeout.map_or("its time limit is over".to_owned(), timeout_message);
                    return self.end(End::TimedOut, message);
                }
                Status::Failed(why) => return self.end(End::Broken, why),
            }
        }
    }

    /// Ends a run whose time is over before a pod of it runs; returns nothing before that.
    async fn timed_out_before_start(&self, began: Instant, why: Option<&str>) -> Option<Outcome> {
        let timeout = self.timeout.filter(|timeout| began.elapsed() > *timeout)?;
        let mut outcome = self.delete(End::TimedOut, timeout_message(timeout)).await;
        if let (Some(failure), Some(why)) = (&mut outcome.failure, why) {
            failure.log.push(format!("no pod of it ran: {why}"));
        }
        Some(outcome)
    }

    /// State of the run; nothing if its Job is gone.
    async fn look(&self, seen: &BTreeSet<String>) -> Result<Option<Status>, ClientError> {
        let Some(job) = self.client.get(JOBS, &self.name).await? else { return Ok(None) };
        let pods = self.client.list(PODS, &[("labelSelector", format!("job-name={}", self.name))]).await?;
        let about = match pending(&pods, seen) {
            Some(pod) => Some(("Pod", pod)),
            None => pods.is_empty().then_some(("Job", self.name.as_str())),
        };
        let events = match about {
            Some((kind, name)) => {
                let selector = format!("involvedObject.kind={kind},involvedObject.name={name}");
                self.client.list(EVENTS, &[("fieldSelector", selector)]).await?
            }
            None => Vec::new(),
        };
        Ok(Some(status(&job, &pods, &events, seen)))
    }

    /// Reads the log of a pod until it reports the end of the run, or the log ends.
    async fn read(&mut self, pod: &Pod, state: &mut LogState) -> Result<Option<Report>, String> {
        if state.pod != pod.name {
            *state = LogState { pod: pod.name.clone(), ..LogState::default() };
            self.steps.fill(StepOutcome::default());
            self.observer.runs_at(&format!("it runs in the pod `{}` of the Job `{}`", pod.name, self.name));
        }
        let since = state.at.map(|at| {
            let age = Timestamp::now().duration_since(at);
            Duration::try_from(age).unwrap_or_default().saturating_add(OVERLAP)
        });
        let mut log = match self.client.log(&pod.name, CONTAINER, since).await {
            Ok(log) => log,
            Err(error) if error.is_transient() => return Err(error.to_string()),
            // The pod has no log, such as one whose container did not start.
            Err(error) => {
                tracing::debug!(pod = pod.name, %error, "the pod has no log");
                return Ok(None);
            }
        };
        while let Some(line) = log.line().await.map_err(|error| error.to_string())? {
            let Some(Numbered { n, at, event }) = Numbered::parse(&line) else {
                if state.other.len() == LINES {
                    state.other.pop_front();
                }
                state.other.push_back(line);
                continue;
            };
            if n <= state.last {
                continue;
            }
            if n > state.last + 1 {
                let missing = n - state.last - 1;
                self.observer.note(&format!("{missing} events are missing: the log of the pod was rotated"));
            }
            (state.last, state.at) = (n, Some(at));
            match event {
                Event::Preparing { done, of, message } => self.observer.preparing(done, of, &message),
                Event::Line { step, line } => self.observer.line(step, &line),
                Event::Progress { step, rows, bytes } => {
                    if let Some(counted) = self.steps.get_mut(step) {
                        (counted.rows, counted.bytes) = (rows, bytes);
                    }
                    self.observer.progress(step, rows, bytes);
                }
                Event::Ended { step, outcome } => {
                    self.observer.ended(step, &outcome);
                    if let Some(counted) = self.steps.get_mut(step) {
                        (counted.exit_code, counted.signal) = (outcome.exit_code, outcome.signal);
                    }
                }
                Event::End { outcome, results } => return Ok(Some(Report { outcome, results })),
            }
        }
        Ok(None)
    }

    /// Copies the files of an ended run.
    ///
    /// # Errors
    /// For people, when the pod has the files, but they cannot be copied.
    async fn take(&self, pod: &Pod, report: &Report) -> Result<Taken, String> {
        if report.outcome.end == End::Cancelled {
            self.note_loss(&pod.name, "it was asked to end");
            return Ok(Taken::Replaced);
        }
        self.reported.cancel();
        self.prevent_another_start().await;
        if report.results.files == 0 {
            return Ok(Taken::Copied);
        }
        if let Some(message) = report.results.too_large() {
            return Err(message);
        }
        if pod.end.is_some() {
            return Ok(Taken::Lost(format!("the pod `{}` ended before they were copied", pod.name)));
        }
        let mut last = String::new();
        for _ in 0..TRIES {
            match self.copy(&pod.name, report).await {
                Ok(()) => return Ok(Taken::Copied),
                Err(error) => last = error,
            }
            // The loss of the pod explains the failure.
            let now = self.look(&BTreeSet::new()).await;
            if !matches!(&now, Ok(Some(Status::Pod(now))) if now.name == pod.name && now.end.is_none())
                && !now.is_err_and(|error| error.is_transient())
            {
                return Ok(Taken::Lost(format!("the pod `{}` was lost before they were copied: {last}", pod.name)));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(last)
    }

    /// Deletes the Secret without which no pod starts. The Job may replace a pod that waits for its files to be copied, or
    /// is not released yet; a run that has reported its end must not start again.
    async fn prevent_another_start(&self) {
        let report = |error: &ClientError| self.notes.note(&format!("the cluster does not answer: {error}"));
        let delete = || self.client.delete(SECRETS, &self.name, Propagation::Background);
        if let Err(error) = Budget::unlimited().persist(report, delete).await {
            self.notes.note(&format!("if the pod is lost now, its Job runs it again: {error}"));
        }
    }

    async fn copy(&self, pod: &str, report: &Report) -> Result<(), String> {
        let command: Vec<&str> = [TERRACE].into_iter().chain(RESULTS).collect();
        let mut program = self.client.execute(pod, CONTAINER, &command).await.map_err(|error| error.to_string())?;
        let output = program.output().ok_or("the pod has no output")?;
        let (folders, manifest) = (self.folders.clone(), report.results.clone());
        let unpacked = tokio::task::spawn_blocking(move || {
            let mut output = SyncIoBridge::new(output);
            archive::unpack_results(&mut output, &folders, &manifest)?;
            // The archive is complete, and its program ends after its last block.
            std::io::copy(&mut output.take(END), &mut std::io::sink()).map(drop)
        });
        let unpacked = unpacked.await.map_err(|error| error.to_string())?;
        // The program knows more about a damaged archive. It does not end while it waits for a reader.
        match tokio::time::timeout(PAUSE, program.wait()).await {
            Ok(Err(why)) => Err(why),
            Err(_) if unpacked.is_ok() => Err("the program that sends them does not end".to_owned()),
            _ => unpacked.map_err(|error| error.to_string()),
        }
    }

    /// Outcome of a pod that ended without a report; nothing if another pod follows.
    fn pod_ended(&self, pod: &str, end: PodEnd, state: &LogState) -> Option<Outcome> {
        match end {
            PodEnd::Lost(why) => {
                self.note_loss(pod, &why);
                None
            }
            PodEnd::OutOfMemory => {
                let limit = self.memory.as_ref().map(|memory| format!(" of {memory}")).unwrap_or_default();
                Some(self.end(End::Broken, format!("the pod exceeded its memory limit{limit}; increase `memory`")))
            }
            PodEnd::Exited(code) => {
                let mut outcome = self.end(End::Broken, format!("the pod `{pod}` ended with exit code {code}"));
                if let Some(failure) = &mut outcome.failure {
                    failure.log = state.other.iter().cloned().collect();
                }
                Some(outcome)
            }
        }
    }

    /// Reports the loss of a pod that its Job replaces.
    fn note_loss(&self, pod: &str, why: &str) {
        if !self.cancel.is_cancelled() {
            self.observer.note(&format!("the pod `{pod}` is lost, and its Job replaces it: {why}"));
        }
    }

    /// Deletes the Job of a run that cannot go on.
    async fn delete(&self, end: End, message: String) -> Outcome {
        let report = |error: &ClientError| self.notes.note(&format!("the cluster does not answer: {error}"));
        let delete = || self.client.delete(JOBS, &self.name, Propagation::Foreground);
        match Budget::of(CLEANUP).persist(report, delete).await {
            Ok(()) => self.end(end, message),
            Err(error) => self.end(
                End::Unknown,
                format!("{message}; its Job `{}` may still run, because it cannot be deleted: {error}", self.name),
            ),
        }
    }

    fn end(&self, end: End, message: String) -> Outcome {
        ended_early(end, self.steps.clone(), message)
    }
}

fn waited(message: String, why: Option<String>) -> String {
    match why {
        Some(why) => format!("{message}: {why}"),
        None => message,
    }
}
