//! Follows the Job of a copy to its end: its state, and the log of its pod. Failed requests and lost pods only delay it, within
//! limits.

use super::super::pod::{CopyEvent, CopyLine};
use super::super::{StorageError, StorageErrorKind, SyncEvent};
use super::{ClusterCopies, Copied, LONGEST, POLL, Reporter, refused, stopped, text};
use crate::execution_options::IMAGE_HINT;
use crate::executor::kubernetes::manifest::CONTAINER;
use crate::executor::kubernetes::status::{JobFailure, Pod, PodEnd, Status, pending, status};
use crate::executor::kubernetes::{EVENTS, JOBS, PODS};
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use terrace_provider_kubernetes::client::ClientError;
use tokio_util::sync::CancellationToken;

/// Lines of the log in a message.
const LINES: usize = 5;
/// Number of pods that a Job may lose: something may remove each.
const MOST_LOST: usize = 10;
/// Time without a line of the log after which the state of the pod is checked.
const SILENCE: Duration = Duration::from_secs(20);

/// Progress of a reader.
#[derive(Default)]
struct Following {
    /// Pods whose end is known.
    seen: BTreeSet<String>,
    /// The pod whose log was read last.
    pod: String,
    /// Number of its last line that was read.
    printed: u64,
    /// Lines without an event, of the last connection.
    last: Vec<String>,
    /// Begin of a wait for a pod.
    waits: Option<Instant>,
    /// Begin of a problem that the node tries again.
    fails: Option<Instant>,
    /// Begin of a time in which the cluster does not answer.
    unseen: Option<Instant>,
    /// Begin of a time in which the log cannot be read.
    unread: Option<Instant>,
    /// The Job failed at this time, and its pod has not ended.
    ends: Option<Instant>,
}

/// Returns true if a time is over, which begins with the first call.
fn is_over(since: &mut Option<Instant>, limit: Duration) -> bool {
    since.get_or_insert_with(Instant::now).elapsed() >= limit
}

fn failed(why: &str) -> StorageError {
    StorageError::failed(format!("the copy in the cluster: {why}"))
}

fn job_failed(failure: &JobFailure) -> StorageError {
    match failure {
        JobFailure::DeadlineExceeded => {
            StorageError::failed(format!("the copy in the cluster took longer than {} hours", LONGEST.as_secs() / 3600))
        }
        JobFailure::Other(why) => failed(why),
    }
}

impl ClusterCopies {
    /// Follows a Job to its end. A successor with its name counts as its removal.
    pub(super) async fn follow(
        &self,
        job: &Json,
        report: &Reporter<'_>,
        cancel: &CancellationToken,
    ) -> Result<Copied, StorageError> {
        let mut following = Following::default();
        let running = async {
            loop {
                if let Some(copied) = self.follow_once(job, &mut following, report).await? {
                    return Ok(copied);
                }
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::select! {
            copied = running => copied,
            () = cancel.cancelled() => Err(stopped()),
        }
    }

    /// Looks at a Job, and reads the log of its pod. Returns nothing before the end.
    async fn follow_once(
        &self,
        job: &Json,
        following: &mut Following,
        report: &Reporter<'_>,
    ) -> Result<Option<Copied>, StorageError> {
        let found = match self.look(job, &following.seen).await {
            Err(error) if error.is_transient() && is_over(&mut following.unseen, self.patience.outage) => {
                let message = format!("the copy in the cluster cannot be followed: {error}");
                return Err(StorageError::new(StorageErrorKind::Temporary, message));
            }
            Err(error) if error.is_transient() => return Ok(None),
            found => found.map_err(|error| refused(&error))?,
        };
        following.unseen = None;
        let Some(found) = found else {
            let name = text(job, "/metadata/name");
            return Err(StorageError::failed(format!("the Job `{name}` was removed while it copied")));
        };
        match found {
            Status::Pod(pod) => {
                (following.waits, following.fails) = (None, None);
                return self.follow_pod(pod, following, report).await;
            }
            Status::Waiting(why) => {
                following.fails = None;
                if is_over(&mut following.waits, self.patience.start) {
                    return Err(failed(&why.unwrap_or_else(|| "its pod does not start".to_owned())));
                }
            }
            Status::Failing { why, .. } => {
                if is_over(&mut following.fails, self.patience.failing) {
                    return Err(failed(&why));
                }
            }
            Status::Stuck { why, .. } => return Err(failed(&why)),
            Status::Failed(failure) => return Err(job_failed(&failure)),
        }
        Ok(None)
    }

    /// Reads the log of a pod, and decides about its end.
    async fn follow_pod(
        &self,
        pod: Pod,
        following: &mut Following,
        report: &Reporter<'_>,
    ) -> Result<Option<Copied>, StorageError> {
        let why = match self.read_log(&pod, following, report).await {
            Ok(Some(end)) => return end.map(Some),
            Ok(None) => {
                following.unread = None;
                None
            }
            Err(why) => Some(why),
        };
        match (pod.end, why) {
            (Some(PodEnd::Lost(why)), _) => {
                following.unread = None;
                following.seen.insert(pod.name);
                if following.seen.len() > MOST_LOST {
                    return Err(failed(&format!("more than {MOST_LOST} of its pods were lost, the last one: {why}")));
                }
            }
            (_, Some(why)) if is_over(&mut following.unread, self.patience.outage) => {
                return Err(failed(&format!("the log of the pod `{}` cannot be read: {why}", pod.name)));
            }
            // The log may have a report.
            (Some(_), Some(_)) => {}
            (Some(end), None) => return Err(following.ended(&end)),
            (None, _) => {
                if let Some(failure) = pod.job_failure
                    && is_over(&mut following.ends, self.patience.ending)
                {
                    let error = job_failed(&failure);
                    let lost = format!("the node `{}` may be lost: it does not end the pod `{}`", pod.node, pod.name);
                    return Err(StorageError::new(error.kind, format!("{}; {lost}", error.message())));
                }
            }
        }
        Ok(None)
    }

    /// The status of a Job; nothing if it is gone.
    async fn look(&self, job: &Json, seen: &BTreeSet<String>) -> Result<Option<Status>, ClientError> {
        let (name, uid) = (text(job, "/metadata/name"), text(job, "/metadata/uid"));
        let found = self.client.get(JOBS, name).await?;
        let Some(found) = found.filter(|found| text(found, "/metadata/uid") == uid) else { return Ok(None) };
        let pods = self.client.list(PODS, &[("labelSelector", format!("controller-uid={uid}"))]).await?;
        let subject = match pending(&pods, seen) {
            Some(pod) => format!("involvedObject.kind=Pod,involvedObject.name={pod}"),
            None => format!("involvedObject.kind=Job,involvedObject.name={name}"),
        };
        let events = self.client.list(EVENTS, &[("fieldSelector", subject)]).await?;
        Ok(Some(status(&found, &pods, &events, seen)))
    }

    /// Reads the log of a pod to its present end, from the first line on. Returns the end of the copy. The error is the reason of
    /// a read that did not reach the end.
    async fn read_log(
        &self,
        pod: &Pod,
        following: &mut Following,
        report: &Reporter<'_>,
    ) -> Result<Option<Result<Copied, StorageError>>, String> {
        if following.pod != pod.name {
            (following.pod, following.printed) = (pod.name.clone(), 0);
        }
        let mut log = self.client.log(&pod.name, CONTAINER, None).await.map_err(|error| error.to_string())?;
        following.last.clear();
        let silence = if pod.job_failure.is_some() { POLL } else { SILENCE };
        loop {
            let line = match tokio::time::timeout(silence, log.line()).await {
                Ok(Ok(Some(line))) => line,
                Ok(Ok(None)) => return Ok(None),
                // A copy may be silent for long, and the connection ends then.
                Ok(Err(_)) | Err(_) if pod.end.is_none() => return Ok(None),
                Ok(Err(error)) => return Err(error.to_string()),
                Err(_) => return Err(format!("no line arrives within {} s", silence.as_secs())),
            };
            let Ok(CopyLine { n, event }) = serde_json::from_str(&line) else {
                following.last.push(line);
                continue;
            };
            if n <= following.printed {
                continue;
            }
            following.printed = n;
            match event {
                CopyEvent::Started { public } => report(SyncEvent::Started { public }),
                CopyEvent::Copying { from, to } => report(SyncEvent::Copying { from: &from, to: &to }),
                CopyEvent::Warned { message } => report(SyncEvent::Warned { message: &message }),
                CopyEvent::Copied { sent, bytes, changes } => return Ok(Some(Ok(Copied { sent, bytes, changes }))),
                CopyEvent::Failed { kind, message, hint } => {
                    let failed = StorageError::new(kind.kind(), message);
                    return Ok(Some(Err(hint.into_iter().fold(failed, StorageError::hint))));
                }
            }
        }
    }
}

impl Following {
    /// The error of a pod that ended without a report.
    fn ended(&self, end: &PodEnd) -> StorageError {
        let lines = self.last.split_at(self.last.len().saturating_sub(LINES)).1.join("; ");
        match end {
            PodEnd::OutOfMemory => {
                StorageError::failed("the copy in the cluster needs more memory").hint("raise the setting `memory`")
            }
            _ if lines.contains("unrecognized subcommand") => {
                StorageError::failed("the image has an older terrace, which copies nothing")
                    .hint(format!("use an image with this terrace: {IMAGE_HINT}"))
            }
            PodEnd::Exited(code) => failed(&format!(
                "its pod ended with code {code} and no report{}{lines}",
                if lines.is_empty() { "" } else { ": " }
            )),
            PodEnd::NotStarted(why) => failed(&format!("the program of its pod cannot be started: {why}")),
            PodEnd::Lost(why) | PodEnd::Evicted(why) => failed(why),
        }
    }
}
