//! Follows a run in the cluster to its end: waits for its pod, reads events from its log, and copies its files. Outages
//! of the API server and of connections only delay it.

use super::super::archive::{self, Manifest, UnpackError};
use super::super::events::{Event, Numbered};
use super::super::pod::RESULTS;
use super::super::throttle::ProgressThrottle;
use super::super::{DELETED_JOB, End, JobObserver, Outcome, StepOutcome, UNREAD_END, timeout_message};
use super::deletion::delete_job;
use super::manifest::{CONTAINER, REST, TERRACE};
use super::notes::Notes;
use super::progress::{Noting, Progress};
use super::retry::Budget;
use super::start_clock::{FAILING, Passed, START, StartClock};
use super::status::{IMAGE, JobFailure, Pod, PodEnd, Status, has_ended, pending, status};
use super::{CLEANUP, EVENTS, JOBS, PODS, SECRETS, ended_early, in_words};
use crate::execution_options::ExecutionOption;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value as Json;
use std::collections::{BTreeSet, VecDeque};
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;
use terrace_provider_kubernetes::client::{Client, ClientError, Log, Propagation};
use tokio::time::Instant;
use tokio_util::io::SyncIoBridge;
use tokio_util::sync::CancellationToken;

/// Interval between looks at a pod that does not run.
const POLL: Duration = Duration::from_millis(500);
/// Pause after a failed request.
const PAUSE: Duration = Duration::from_secs(2);
/// Part of the log that is read again after a lost connection, before the last event: the clock of a node may be set back.
const OVERLAP: SignedDuration = SignedDuration::from_secs(30);
/// Time without a line of the log after which the state of the pod is checked. The client gives up a silent connection after
/// 30 s.
const SILENCE: Duration = Duration::from_secs(20);
/// Usual time of a start: no reason of a wait is shown meanwhile.
const USUAL_START: Duration = Duration::from_secs(5);
/// Time for the status of a pod after the report of its end.
const SETTLING: Duration = Duration::from_secs(5);
/// Number of pods that an attempt may lose: something may remove each.
const MOST_LOST: usize = 10;
/// Number of attempts to copy files.
const TRIES: usize = 5;
/// Bytes of an archive after its last file.
const END: u64 = 1 << 20;
/// Remedy for an image that cannot be pulled.
const UNAVAILABLE_IMAGE: &str = "look for it with `skopeo inspect docker://IMAGE`: correct `image`, give the nodes access to its \
     registry, or give the service account `default` its Secret in `imagePullSecrets`";
/// Remedy for an image without terrace.
const OTHER_IMAGE: &str = "; build the image with `deploy/pipelines-image` or `terrace pipelines image`";
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
    /// Time that the cluster has to end a pod and to remove a Job, in addition to the grace.
    pub(super) ending: Duration,
    /// Maximum time of the run.
    pub(super) timeout: Option<Duration>,
    /// Memory limit of the pod, for messages.
    pub(super) memory: Option<String>,
    pub(super) observer: &'a dyn JobObserver,
    pub(super) notes: Notes<'a>,
    /// Progress after the report of the end.
    pub(super) progress: Progress,
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
    /// The log of a run that is read again has the reports of hours at once.
    throttle: ProgressThrottle,
}

/// Report of a run about its end.
struct Report {
    outcome: Outcome,
    results: Manifest,
}

/// The last look at a Job.
struct Look {
    at: Timestamp,
    /// The Job had ended: the cluster removes it after a while.
    has_ended: bool,
}

impl Look {
    /// Outcome of a run whose Job is gone now, after this look: a Job that has ended leaves by itself.
    fn explain(&self, now: Timestamp) -> (End, &'static str) {
        let rest = SignedDuration::try_from(REST).unwrap_or(SignedDuration::MAX);
        match self.has_ended || now.duration_since(self.at) >= rest {
            true => (End::Broken, UNREAD_END),
            false => (End::Cancelled, DELETED_JOB),
        }
    }
}

/// Why files were not copied.
enum CopyError {
    /// Another attempt may succeed.
    Passing(String),
    /// Another attempt would fail, too.
    Permanent(String),
}

/// A run without a running pod.
struct Idle {
    since: Instant,
    /// The causes that the user has seen.
    shown: BTreeSet<String>,
}

impl Idle {
    fn new() -> Self {
        Self { since: Instant::now(), shown: BTreeSet::new() }
    }
}

/// Outcome of the copy of a run's files.
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
        let (mut clock, mut idle, mut ending_since) = (StartClock::new(), Idle::new(), None);
        let (began, mut is_visible) = (Instant::now(), true);
        let mut last = Look { at: Timestamp::now(), has_ended: false };
        loop {
            let status = match self.look(&seen).await {
                Ok(Some((status, has_ended))) => {
                    is_visible = true;
                    last = Look { at: Timestamp::now(), has_ended };
                    status
                }
                Ok(None) => {
                    let (end, message) = last.explain(Timestamp::now());
                    return self.end(end, message.to_owned());
                }
                Err(error) if error.is_transient() => {
                    let message = format!("the run is not visible now: {error}");
                    match std::mem::replace(&mut is_visible, false) {
                        true => self.notes.warn(&message),
                        false => self.notes.note(&message),
                    }
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                // It may run well, although it cannot be seen.
                Err(error) => {
                    let message = format!("its Job `{}` may still run: {}", self.name, in_words(&error));
                    return self.end(End::Unknown, message);
                }
            };
            match status {
                Status::Pod(pod) => {
                    clock.restart();
                    idle = Idle::new();
                    match self.read(&pod, &mut state).await {
                        // The log may have a report: the end of the pod alone decides nothing, unless the Job replaces it.
                        Err(error) if !matches!(pod.end, Some(PodEnd::Lost(_) | PodEnd::Evicted(_))) => {
                            self.notes.note(&format!("the log of the pod cannot be read now: {error}"));
                            if let Some(outcome) = self.given_up(&pod, &mut ending_since) {
                                return outcome;
                            }
                            tokio::time::sleep(PAUSE).await;
                        }
                        Ok(Some(report)) => match self.take(&pod, &report).await {
                            Ok(Taken::Copied) => return report.outcome,
                            Ok(Taken::Replaced) => {
                                if let Some(why) = self.evicted(&pod).await {
                                    return self.delete(End::Broken, why).await;
                                }
                                if let Some(outcome) = self.lost(&mut seen, &pod, "it was asked to end").await {
                                    return outcome;
                                }
                            }
                            Ok(Taken::Lost(why)) => {
                                return self.delete(End::Broken, format!("its files are lost: {why}")).await;
                            }
                            Err(CopyError::Passing(why)) => {
                                return self.delete(End::Broken, format!("its files cannot be copied: {why}")).await;
                            }
                            Err(CopyError::Permanent(why)) => {
                                return self.delete(End::Failed, format!("its files cannot be copied: {why}")).await;
                            }
                        },
                        Err(_) | Ok(None) => match &pod.end {
                            Some(PodEnd::Lost(why)) => {
                                if let Some(outcome) = self.lost(&mut seen, &pod, why).await {
                                    return outcome;
                                }
                            }
                            Some(PodEnd::OutOfMemory) => return self.out_of_memory(),
                            Some(PodEnd::Evicted(why)) => return self.delete(End::Broken, why.clone()).await,
                            Some(PodEnd::NotStarted(why)) => {
                                let message = format!("the program of the pod `{}` cannot be started: {why}", pod.name);
                                let is_missing =
                                    why.contains("executable file not found") || why.contains("no such file");
                                let remedy = if is_missing { OTHER_IMAGE } else { "" };
                                return self.end(End::Broken, format!("{message}{remedy}"));
                            }
                            Some(PodEnd::Exited(code)) => return self.exited(&pod.name, *code, &state),
                            None => {
                                if let Some(outcome) = self.given_up(&pod, &mut ending_since) {
                                    return outcome;
                                }
                                tokio::time::sleep(POLL).await;
                            }
                        },
                    }
                }
                Status::Waiting(why) => {
                    if let Some(outcome) = self.timed_out_before_start(began, why.as_deref()).await {
                        return outcome;
                    }
                    // No name has a space.
                    if why.as_ref().is_some_and(|why| why.contains("exceeded quota")) {
                        clock.restart();
                    }
                    if clock.waits().is_some() {
                        return self.delete(End::Broken, waited(why)).await;
                    }
                    if let Some(why) = why {
                        // Numbers of nodes and pods follow, which change with other runs.
                        let cause = why.split(':').next().unwrap_or_default();
                        self.report_wait(&mut idle, cause, &why);
                    }
                    tokio::time::sleep(POLL).await;
                }
                Status::Failing { end, cause, why } => {
                    if let Some(outcome) = self.timed_out_before_start(began, Some(&why)).await {
                        return outcome;
                    }
                    match clock.fails(&cause) {
                        None => {}
                        Some(Passed::Start) => return blaming(self.delete(end, waited(Some(why))).await, &cause),
                        Some(Passed::Failing) => {
                            let message = format!("{why}; its node tried for {} s", FAILING.as_secs());
                            return blaming(self.delete(end, message).await, &cause);
                        }
                    }
                    self.report_wait(&mut idle, &cause, &why);
                    tokio::time::sleep(POLL).await;
                }
                Status::Stuck { cause, why } => return blaming(self.delete(End::Failed, why).await, &cause),
                Status::Failed(failure) => return self.job_failed(&failure),
            }
        }
    }

    /// Reports why no pod runs after the usual time of a start: to the user once for a cause, else in the log.
    fn report_wait(&self, idle: &mut Idle, cause: &str, why: &str) {
        if idle.since.elapsed() < USUAL_START {
            return;
        }
        let message = format!("no pod of it runs yet: {why}");
        match idle.shown.insert(cause.to_owned()) {
            true => self.notes.warn(&message),
            false => self.notes.note(&message),
        }
    }

    /// Outcome of a run whose Job failed.
    fn job_failed(&self, failure: &JobFailure) -> Outcome {
        match failure {
            JobFailure::DeadlineExceeded => {
                let message = self.timeout.map_or("its time limit is over".to_owned(), timeout_message);
                self.end(End::TimedOut, message)
            }
            JobFailure::Other(why) => self.end(End::Broken, why.clone()),
        }
    }

    /// Ends a run whose Job failed, but whose node does not end the pod in the time that it has; returns nothing before
    /// that. `since` is the time of the first call for a failed Job.
    fn given_up(&self, pod: &Pod, since: &mut Option<Instant>) -> Option<Outcome> {
        let failure = pod.job_failure.as_ref().filter(|_| pod.end.is_none())?;
        let allowed = self.grace.saturating_add(self.ending);
        if since.get_or_insert_with(Instant::now).elapsed() < allowed {
            return None;
        }
        let mut outcome = self.job_failed(failure);
        if let Some(failure) = &mut outcome.failure {
            failure.log.push(format!(
                "the node `{}` has not ended the pod `{}` within {} s: it may be lost",
                pod.node,
                pod.name,
                allowed.as_secs()
            ));
        }
        Some(outcome)
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

    /// State of the run, and whether its Job has ended; nothing if its Job is gone.
    async fn look(&self, seen: &BTreeSet<String>) -> Result<Option<(Status, bool)>, ClientError> {
        let Some(job) = self.client.get(JOBS, &self.name).await? else { return Ok(None) };
        let pods = self.client.list(PODS, &[("labelSelector", format!("job-name={}", self.name))]).await?;
        let about = match pending(&pods, seen) {
            Some(pod) => Some(("Pod", pod)),
            None => pods.is_empty().then_some(("Job", self.name.as_str())),
        };
        let events = match about {
            Some((kind, name)) => {
                let selector = format!("involvedObject.kind={kind},involvedObject.name={name}");
                // They only explain a wait.
                self.client.list(EVENTS, &[("fieldSelector", selector)]).await.unwrap_or_else(|error| {
                    tracing::debug!(%error, "events cannot be read");
                    Vec::new()
                })
            }
            None => Vec::new(),
        };
        Ok(Some((status(&job, &pods, &events, seen), has_ended(&job))))
    }

    /// Reads the log of a pod until it reports the end of the run, the log ends, or the pod is silent for a while.
    async fn read(&mut self, pod: &Pod, state: &mut LogState) -> Result<Option<Report>, String> {
        let read = self.read_events(pod, state).await;
        state.throttle.flush(self.observer);
        read
    }

    async fn read_events(&mut self, pod: &Pod, state: &mut LogState) -> Result<Option<Report>, String> {
        if state.pod != pod.name {
            *state = LogState { pod: pod.name.clone(), ..LogState::default() };
            self.steps.fill(StepOutcome::default());
            self.observer.runs_at(&format!("it runs in the pod `{}` of the Job `{}`", pod.name, self.name));
        }
        // A failed Job ends its pod soon.
        let silence = if pod.job_failure.is_some() { POLL } else { SILENCE };
        let mut since = state.at.and_then(|at| at.checked_sub(OVERLAP).ok());
        let mut log = self.open_log(pod, since).await?;
        while let Some(open) = &mut log {
            let line = match state.throttle.wait(self.observer, tokio::time::timeout(silence, open.line())).await {
                Ok(line) => line.map_err(|error| error.to_string())?,
                Err(_) => return Ok(None),
            };
            let Some(line) = line else {
                if pod.end.is_none() || since.is_none() {
                    return Ok(None);
                }
                // The part from that time on has no report.
                since = None;
                log = self.open_log(pod, None).await?;
                continue;
            };
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
            if n > state.last.saturating_add(1) && since.is_some() {
                // The clock of the node was set back.
                since = None;
                log = self.open_log(pod, None).await?;
                continue;
            }
            if n > state.last.saturating_add(1) {
                let missing = n - state.last - 1;
                self.observer.note(&format!("{missing} events are missing: the log of the pod was rotated"));
            }
            (state.last, state.at) = (n, Some(at));
            match event {
                Event::Preparing { done, of, message } => self.observer.preparing(done, of, &message),
                Event::Line { step, line } => self.observer.line(step, at, &line),
                Event::Progress { step, rows, bytes } => {
                    if let Some(counted) = self.steps.get_mut(step) {
                        (counted.rows, counted.bytes) = (rows, bytes);
                    }
                    state.throttle.note(self.observer, step, rows, bytes);
                }
                Event::Ended { step, outcome } => {
                    state.throttle.flush(self.observer);
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

    /// Opens the log of a pod, from a time by the clock of its node or from its start. Returns nothing if the pod has no log,
    /// such as one whose container did not start.
    async fn open_log(&self, pod: &Pod, since: Option<Timestamp>) -> Result<Option<Log>, String> {
        match self.client.log(&pod.name, CONTAINER, since.map(|since| since.to_string()).as_deref()).await {
            Ok(log) => Ok(Some(log)),
            Err(error) if error.is_transient() => Err(error.to_string()),
            Err(error) => {
                tracing::debug!(pod = pod.name, %error, "the pod has no log");
                Ok(None)
            }
        }
    }

    /// Copies the files of an ended run.
    ///
    /// # Errors
    /// When the pod has the files, but they cannot be copied.
    async fn take(&self, pod: &Pod, report: &Report) -> Result<Taken, CopyError> {
        if report.outcome.end == End::Cancelled {
            return Ok(Taken::Replaced);
        }
        self.progress.note();
        self.prevent_another_start().await;
        if report.results.files == 0 {
            return Ok(Taken::Copied);
        }
        if let Some(message) = report.results.too_large() {
            return Err(CopyError::Permanent(message));
        }
        if pod.end.is_some() {
            return Ok(Taken::Lost(format!("the pod `{}` ended before they were copied", pod.name)));
        }
        let mut last = String::new();
        for _ in 0..TRIES {
            match self.copy(&pod.name, report).await {
                Ok(()) => return Ok(Taken::Copied),
                Err(CopyError::Passing(error)) => last = error,
                Err(permanent) => return Err(permanent),
            }
            // The loss of the pod explains the failure.
            let now = self.look(&BTreeSet::new()).await;
            if !matches!(&now, Ok(Some((Status::Pod(now), _))) if now.name == pod.name && now.end.is_none())
                && !now.is_err_and(|error| error.is_transient())
            {
                return Ok(Taken::Lost(format!("the pod `{}` was lost before they were copied: {last}", pod.name)));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(CopyError::Passing(last))
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

    async fn copy(&self, pod: &str, report: &Report) -> Result<(), CopyError> {
        let passing = CopyError::Passing;
        let command: Vec<&str> = [TERRACE].into_iter().chain(RESULTS).collect();
        let program = self.client.execute(pod, CONTAINER, &command).await;
        let mut program = program.map_err(|error| passing(error.to_string()))?;
        let output = program.output().ok_or_else(|| passing("the pod has no output".to_owned()))?;
        let (folders, manifest) = (self.folders.clone(), report.results.clone());
        let progress = self.progress.clone();
        // The thread outlives this future: then another process may copy the files.
        let stop = CancellationToken::new();
        let _stop_at_the_end = stop.clone().drop_guard();
        let unpacked = tokio::task::spawn_blocking(move || {
            let mut output = Noting { inner: SyncIoBridge::new(output), progress };
            archive::unpack_results(&mut output, &folders, &manifest, &|| !stop.is_cancelled())?;
            // The archive is complete, and its program ends after its last block.
            let rest = std::io::copy(&mut output.take(END), &mut std::io::sink());
            rest.map(drop).map_err(UnpackError::Damaged)
        });
        let unpacked = unpacked.await.map_err(|error| passing(error.to_string()))?;
        if let Err(error @ UnpackError::Refused(_)) = unpacked {
            return Err(CopyError::Permanent(error.to_string()));
        }
        // The program knows more about a damaged archive. It does not end while it waits for a reader.
        match tokio::time::timeout(PAUSE, program.wait()).await {
            Ok(Err(why)) => Err(passing(why)),
            Err(_) if unpacked.is_ok() => Err(passing("the program that sends them does not end".to_owned())),
            _ => unpacked.map_err(|error| passing(error.to_string())),
        }
    }

    fn out_of_memory(&self) -> Outcome {
        let limit = self.memory.as_ref().map(|memory| format!(" of {memory}")).unwrap_or_default();
        self.end(End::Broken, format!("the pod exceeded its memory limit{limit}; increase `memory`"))
    }

    /// Outcome of a pod that ended without a report.
    fn exited(&self, pod: &str, code: i64, state: &LogState) -> Outcome {
        let mut outcome = self.end(End::Broken, format!("the pod `{pod}` ended with exit code {code}"));
        if let Some(failure) = &mut outcome.failure {
            failure.log = state.other.iter().cloned().collect();
        }
        outcome
    }

    /// Why a pod that was asked to end is not to be replaced; nothing for other pods. Its status follows its report.
    async fn evicted(&self, pod: &Pod) -> Option<String> {
        let begun = Instant::now();
        while !self.cancel.is_cancelled() && begun.elapsed() < SETTLING {
            if let Ok(found) = self.client.get(PODS, &pod.name).await {
                match status(&Json::Null, &[found?], &[], &BTreeSet::new()) {
                    Status::Pod(Pod { end: Some(PodEnd::Evicted(why)), .. }) => return Some(why),
                    Status::Pod(Pod { end: Some(_), .. }) => return None,
                    _ => {}
                }
            }
            tokio::time::sleep(POLL).await;
        }
        None
    }

    /// Notes the loss of a pod that its Job replaces. Ends a run that lost too many.
    async fn lost(&self, seen: &mut BTreeSet<String>, pod: &Pod, why: &str) -> Option<Outcome> {
        seen.insert(pod.name.clone());
        if self.cancel.is_cancelled() || pod.job_failure.is_some() {
            return None;
        }
        if seen.len() >= MOST_LOST {
            let message = format!("it lost {} pods; the last one, `{}`: {why}", seen.len(), pod.name);
            return Some(self.delete(End::Broken, message).await);
        }
        self.observer.warned(&format!("the pod `{}` is lost, and its Job replaces it: {why}", pod.name));
        None
    }

    /// Deletes the Job of a run that cannot go on, and waits until it is gone.
    async fn delete(&self, end: End, message: String) -> Outcome {
        let report = |error: &ClientError| self.notes.note(&format!("the cluster does not answer: {error}"));
        let wait = self.grace.saturating_add(self.ending);
        let budget = Budget::of(CLEANUP.saturating_add(wait));
        match delete_job(self.client, &self.name, &budget, wait, report).await {
            Ok(()) => self.end(end, message),
            Err(why) => {
                let job = &self.name;
                self.end(End::Unknown, format!("{message}; its Job `{job}` may still run: {why}"))
            }
        }
    }

    fn end(&self, end: End, message: String) -> Outcome {
        ended_early(end, self.steps.clone(), message)
    }
}

/// The outcome with the option that is to blame for this cause, and the remedy.
fn blaming(mut outcome: Outcome, cause: &str) -> Outcome {
    if let (Some(failure), IMAGE) = (&mut outcome.failure, cause) {
        failure.option = Some(ExecutionOption::Image);
        failure.message.push_str("; ");
        failure.message.push_str(UNAVAILABLE_IMAGE);
    }
    outcome
}

/// Message for a run whose pod did not start in time.
fn waited(why: Option<String>) -> String {
    let message = format!("no pod of it runs after {} s", START.as_secs());
    match why {
        Some(why) => format!("{message}: {why}"),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_that_ended_before_it_vanished_was_not_cancelled() {
        let now = Timestamp::now();
        let explain = |has_ended, seconds| {
            let at = now.checked_sub(SignedDuration::from_secs(seconds)).unwrap();
            Look { at, has_ended }.explain(now).0
        };
        assert_eq!(explain(false, 600), End::Cancelled);
        assert_eq!(explain(true, 1), End::Broken);
        assert_eq!(explain(false, 3600), End::Broken, "it ended and its time was over, unseen");
    }
}
