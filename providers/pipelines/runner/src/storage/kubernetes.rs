//! Copies of files that are on a claim of a Kubernetes cluster. A Job mounts the claim and does the work ([`super::pod`]);
//! terrace follows it, and removes it.
//!
//! The name of the Job follows from the destination: after a kill of terrace, the next copy finds the Job, and waits for its
//! end. Then it compares again, because the files may have changed since.

use super::pod::{COMMAND, CopyEvent, CopyLine, PodCopy, TEMPORARY, mounts};
use super::{Storage, StorageError, StorageErrorKind, SyncEvent, SyncRequest, Synced};
use crate::execution_options::{ExecutionOption, ExecutionOptions, NEEDS_IMAGE, claim_parts};
use crate::executor::kubernetes::claim_state::reading_problem;
use crate::executor::kubernetes::deletion::delete_job;
use crate::executor::kubernetes::manifest::{
    CONTAINER, MANAGED, REST, ROLE, TERRACE, container_security, limits, owner, pod_security,
};
use crate::executor::kubernetes::retry::{Budget, silent};
use crate::executor::kubernetes::secret_size::LARGEST;
use crate::executor::kubernetes::status::{JobFailure, PodEnd, Status, pending, status};
use crate::executor::kubernetes::{CLAIM_RIGHT, CLAIMS, CREATION, ENDING, EVENTS, JOBS, PODS, RIGHTS, SECRETS};
use crate::executor::pod::TERMINATED;
use crate::hash::hash_of;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use terrace_provider::{Finding, ProviderError, Settings, Severity};
use terrace_provider_kubernetes::client::{Client, ClientError, ClientErrorKind, Right};
use tokio_util::sync::CancellationToken;

/// Interval between looks at objects.
const POLL: Duration = Duration::from_millis(500);
/// Time for the start of a pod without a known reason.
const START: Duration = Duration::from_secs(600);
/// Time for a problem that a node tries again, such as an image that cannot be pulled.
const SHORT: Duration = Duration::from_secs(120);
/// Time limit of a Job: a terabyte takes long.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// Seconds that a pod has to end: a part of a file is sent to its end.
const GRACE: u32 = 60;
/// Lines of the log in a message.
const LINES: usize = 5;

/// Copies from claims of a namespace.
pub struct ClusterCopies {
    client: Client,
    /// Image, CPU, memory and disk of pods.
    options: ExecutionOptions,
}

/// Report of a pod that has copied.
#[derive(Debug)]
struct Copied {
    sent: usize,
    bytes: u64,
    changes: Vec<String>,
}

/// Receiver of progress.
type Reporter<'a> = dyn Fn(SyncEvent<'_>) + Send + Sync + 'a;

fn refused(error: &ClientError) -> StorageError {
    let kind = match error.is_transient() {
        true => StorageErrorKind::Temporary,
        false => StorageErrorKind::Failed,
    };
    let failed = StorageError::new(kind, format!("the copy in the cluster: {error}"));
    error.hint().into_iter().fold(failed, StorageError::hint)
}

fn text<'a>(object: &'a Json, at: &str) -> &'a str {
    object.pointer(at).and_then(Json::as_str).unwrap_or_default()
}

fn not_found_here(destination: &str) -> StorageError {
    let message = format!("this machine finds no copy at `{destination}`, where the cluster wrote one");
    StorageError::failed(message)
        .hint("use a destination that this machine and the pods of the cluster reach under the same address")
}

/// Name of the Job of a destination.
fn job_name(request: &SyncRequest) -> String {
    let digest = hash_of(&format!("{}\n{}", request.destination.trim_end_matches('/'), request.name));
    format!("terrace-sync-{}", digest.chars().take(16).collect::<String>())
}

impl ClusterCopies {
    /// Copies in a namespace, with the settings `kubeconfig`, `context` or `inCluster`. Connects at the first call.
    ///
    /// # Errors
    /// When settings are invalid.
    pub fn open(settings: &Settings, namespace: &str, options: ExecutionOptions) -> Result<Self, ProviderError> {
        Ok(Self { client: Client::open(settings, namespace)?, options })
    }

    /// Checks that pods can copy to a destination, without network calls.
    ///
    /// # Errors
    /// When they cannot.
    pub fn check(&self, storage: &Storage, destination: &str, claim: &str) -> Result<(), StorageError> {
        if self.options.get(ExecutionOption::Image).is_none() {
            return Err(StorageError::invalid(
                "source",
                format!("the source is on the claim `{claim}`, and {}", NEEDS_IMAGE.0),
            )
            .hint(NEEDS_IMAGE.1));
        }
        if !storage.place(destination)?.is_local() {
            return Ok(());
        }
        let message = format!(
            "`{destination}` is a folder of this machine, and the source is on the claim `{claim}` of a cluster"
        );
        Err(StorageError::invalid("destination", message)
            .hint("write `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX` or an address that accepts `PUT`"))
    }

    fn metadata(name: &str) -> Json {
        json!({"name": name, "labels": {MANAGED.0: MANAGED.1, ROLE: "sync"}})
    }

    /// The Job. It is created suspended: its Secret needs its uid, and its pod needs the Secret.
    fn job(&self, name: &str, claim: &str) -> Json {
        let mut options = self.options.clone();
        options.set(ExecutionOption::Claim, claim);
        let (claim, _) = claim_parts(claim);
        let command: Vec<&str> = [TERRACE].into_iter().chain(COMMAND).collect();
        let limits = limits(&options);
        json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": Self::metadata(name),
            "spec": {
                "suspend": true,
                "backoffLimit": 0,
                // Failures of nodes do not count, and neither does a deleted pod: another pod copies again.
                "podFailurePolicy": {"rules": [
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                    {"action": "Ignore", "onExitCodes": {
                        "containerName": CONTAINER, "operator": "In", "values": TERMINATED,
                    }},
                ]},
                "activeDeadlineSeconds": LONGEST.as_secs(),
                "ttlSecondsAfterFinished": REST.as_secs(),
                "template": {
                    "metadata": {"labels": {MANAGED.0: MANAGED.1, ROLE: "sync"}},
                    "spec": {
                        "restartPolicy": "Never",
                        "automountServiceAccountToken": false,
                        "enableServiceLinks": false,
                        "terminationGracePeriodSeconds": GRACE,
                        "securityContext": pod_security(&options),
                        "containers": [{
                            "name": CONTAINER,
                            "image": options.get(ExecutionOption::Image),
                            "imagePullPolicy": "IfNotPresent",
                            "command": command,
                            "workingDir": TEMPORARY,
                            "resources": {"requests": limits, "limits": limits},
                            "securityContext": container_security(),
                            "volumeMounts": mounts(),
                        }],
                        "volumes": [
                            {"name": "sync", "secret": {"secretName": name, "defaultMode": 0o440}},
                            {"name": "temporary", "emptyDir": {}},
                            {"name": "results", "persistentVolumeClaim": {"claimName": claim}},
                        ],
                    },
                },
            },
        })
    }

    fn secret(name: &str, values: &[(&str, Vec<u8>)], owner: &Json) -> Json {
        let data: Map<String, Json> =
            values.iter().map(|(key, value)| ((*key).to_owned(), STANDARD.encode(value).into())).collect();
        let mut metadata = Self::metadata(name);
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.insert("ownerReferences".to_owned(), json!([owner]));
        }
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "immutable": true, "data": data})
    }

    async fn run_job(
        &self,
        storage: &Storage,
        claim: &str,
        request: &SyncRequest,
        report: &Reporter<'_>,
        cancel: &CancellationToken,
    ) -> Result<Copied, StorageError> {
        self.check(storage, &request.destination, claim)?;
        let name = job_name(request);
        let copy = PodCopy::of(storage, claim_parts(claim).1, request)?;
        let values = copy.secret(storage.access.authorities.as_deref())?;
        if values.iter().map(|(_, value)| value.len()).sum::<usize>() > LARGEST {
            return Err(StorageError::failed("the request and the certificate authorities are too large for a Secret"));
        }
        let copied = async {
            self.end_former(&name, cancel).await?;
            self.start(&name, claim, &values, cancel).await?;
            self.follow(&name, report, cancel).await
        };
        let copied = copied.await;
        let removed = self.remove(&name).await;
        match (copied, removed) {
            (Ok(copied), Ok(())) => Ok(copied),
            // The next copy removes it.
            (Ok(copied), Err(why)) => {
                tracing::warn!(job = name, %why, "the Job of a copy is not removed");
                Ok(copied)
            }
            (Err(error), Ok(())) => Err(error),
            (Err(error), Err(why)) => {
                let message = format!("{}; its Job `{name}` may still run: {why}", error.message());
                let hint = error.advice().map(str::to_owned);
                Err(hint.into_iter().fold(StorageError::new(error.kind, message), StorageError::hint))
            }
        }
    }

    /// Copies folders of a claim, waits for the end, and reads the manifest at the destination. Folders have the paths in the
    /// claim that they have in the project. Returns the changes at the destination, too.
    ///
    /// # Errors
    /// When a file could not be sent, the Job does not run, or this machine does not find the copy: the next call repeats it.
    pub async fn copy(
        &self,
        storage: &Storage,
        claim: &str,
        request: &SyncRequest,
        report: &Reporter<'_>,
        cancel: &CancellationToken,
    ) -> Result<(Synced, Vec<String>), StorageError> {
        let Copied { sent, bytes, changes } = self.run_job(storage, claim, request, report, cancel).await?;
        let manifest = storage.manifest(&request.destination, &request.name).await?;
        let manifest = manifest.ok_or_else(|| not_found_here(&request.destination))?;
        let keys: Vec<&str> = manifest.current().map(|(key, _)| key).collect();
        let public_url = request.public_url.as_deref();
        let addresses = storage.addresses(&request.destination, &request.name, public_url, keys.iter().copied())?;
        Ok((Synced { sent, bytes, addresses, manifest }, changes))
    }

    async fn remove(&self, name: &str) -> Result<(), StorageError> {
        let wait = ENDING.saturating_add(Duration::from_secs(u64::from(GRACE)));
        let removed = delete_job(&self.client, name, &Budget::of(wait), wait, silent).await;
        removed.map_err(StorageError::failed)
    }

    /// Waits for the Job of an interrupted copy, and removes it.
    async fn end_former(&self, name: &str, cancel: &CancellationToken) -> Result<(), StorageError> {
        let budget = Budget::of(CREATION).until(cancel);
        let found = budget.persist(silent, || self.client.get(JOBS, name)).await.map_err(|error| refused(&error))?;
        let Some(found) = found else { return Ok(()) };
        let label = |label: &str| found.pointer("/metadata/labels")?.get(label)?.as_str();
        if label(ROLE) != Some("sync") || label(MANAGED.0) != Some(MANAGED.1) {
            let message = format!("the Job `{name}` exists, and is not that of a copy");
            return Err(StorageError::failed(message).hint("have its owner remove it"));
        }
        let is_started = found.pointer("/spec/suspend") != Some(&Json::Bool(true))
            && found.pointer("/metadata/deletionTimestamp").is_none();
        if is_started {
            match self.follow(name, &|_| {}, cancel).await {
                // This copy begins again where it ended.
                Err(error) if error.kind == StorageErrorKind::Stopped => return Err(error),
                _ => {}
            }
        }
        self.remove(name).await
    }

    async fn start(
        &self,
        name: &str,
        claim: &str,
        values: &[(&str, Vec<u8>)],
        cancel: &CancellationToken,
    ) -> Result<(), StorageError> {
        let budget = Budget::of(CREATION).until(cancel);
        let job = self.job(name, claim);
        let created = budget.persist(silent, || async {
            match self.client.create(JOBS, &job).await {
                // An earlier request was answered too late.
                Err(error) if error.kind == ClientErrorKind::Exists => {
                    let found = self.client.get(JOBS, name).await?;
                    let is_new = |found: &Json| {
                        found.pointer("/spec/suspend") == Some(&Json::Bool(true))
                            && found.pointer("/metadata/deletionTimestamp").is_none()
                    };
                    found.filter(is_new).ok_or(error)
                }
                created => created,
            }
        });
        let created = created.await.map_err(|error| refused(&error))?;
        let secret = Self::secret(name, values, &owner(name, text(&created, "/metadata/uid")));
        let put = budget.persist(silent, || async {
            match self.client.create(SECRETS, &secret).await {
                Err(error) if error.kind == ClientErrorKind::Exists => Ok(Json::Null),
                created => created,
            }
        });
        put.await.map_err(|error| refused(&error))?;
        let resumed = json!({"spec": {"suspend": false}});
        let started = budget.persist(silent, || self.client.patch(JOBS, name, &resumed)).await;
        started.map(drop).map_err(|error| refused(&error))
    }

    /// Follows a Job to its end.
    async fn follow(
        &self,
        name: &str,
        report: &Reporter<'_>,
        cancel: &CancellationToken,
    ) -> Result<Copied, StorageError> {
        let mut following = Following { seen: BTreeSet::new(), pod: String::new(), printed: 0, last: Vec::new() };
        let stopped = || StorageError::new(StorageErrorKind::Stopped, "the copy in the cluster was cancelled");
        let running = async {
            let (mut waits, mut fails) = (None::<Instant>, None::<Instant>);
            loop {
                let found = self.look(name, &following.seen).await?;
                match found {
                    Some(Status::Pod(pod)) => {
                        (waits, fails) = (None, None);
                        if let Some(end) = self.read_log(&pod.name, &mut following, report).await {
                            return end;
                        }
                        match pod.end {
                            Some(PodEnd::Lost(_)) => drop(following.seen.insert(pod.name)),
                            Some(end) => return Err(following.ended(&end)),
                            None => {}
                        }
                    }
                    Some(Status::Waiting(why)) => {
                        fails = None;
                        if waits.get_or_insert_with(Instant::now).elapsed() >= START {
                            let why = why.unwrap_or_else(|| "its pod does not start".to_owned());
                            return Err(StorageError::failed(format!("the copy in the cluster: {why}")));
                        }
                    }
                    Some(Status::Failing { why, .. }) if fails.get_or_insert_with(Instant::now).elapsed() >= SHORT => {
                        return Err(StorageError::failed(format!("the copy in the cluster: {why}")));
                    }
                    Some(Status::Stuck(why)) => {
                        return Err(StorageError::failed(format!("the copy in the cluster: {why}")));
                    }
                    Some(Status::Failed(JobFailure::DeadlineExceeded)) => {
                        let message =
                            format!("the copy in the cluster took longer than {} hours", LONGEST.as_secs() / 3600);
                        return Err(StorageError::failed(message));
                    }
                    Some(Status::Failed(JobFailure::Other(why))) => {
                        return Err(StorageError::failed(format!("the copy in the cluster: {why}")));
                    }
                    Some(Status::Failing { .. }) | None => {}
                }
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::select! {
            copied = running => copied,
            () = cancel.cancelled() => Err(stopped()),
        }
    }

    /// The status of a Job; nothing while the cluster does not answer.
    async fn look(&self, name: &str, seen: &BTreeSet<String>) -> Result<Option<Status>, StorageError> {
        let answered = async {
            let job = self.client.get(JOBS, name).await?;
            let pods = self.client.list(PODS, &[("labelSelector", format!("job-name={name}"))]).await?;
            let subject = match pending(&pods, seen) {
                Some(pod) => format!("involvedObject.kind=Pod,involvedObject.name={pod}"),
                None => format!("involvedObject.kind=Job,involvedObject.name={name}"),
            };
            let events = self.client.list(EVENTS, &[("fieldSelector", subject)]).await?;
            Ok::<_, ClientError>((job, pods, events))
        };
        match answered.await {
            Ok((Some(job), pods, events)) => Ok(Some(status(&job, &pods, &events, seen))),
            Ok((None, ..)) => Err(StorageError::failed(format!("the Job `{name}` was removed while it copied"))),
            Err(error) if error.is_transient() => Ok(None),
            Err(error) => Err(refused(&error)),
        }
    }

    /// Reads the log of a pod to its present end. Returns the end of the copy. Each connection begins at the first line.
    async fn read_log(
        &self,
        pod: &str,
        following: &mut Following,
        report: &Reporter<'_>,
    ) -> Option<Result<Copied, StorageError>> {
        if following.pod != pod {
            *following = Following { pod: pod.to_owned(), printed: 0, last: Vec::new(), seen: following.seen.clone() };
        }
        let mut log = self.client.log(pod, CONTAINER, None).await.ok()?;
        while let Ok(Some(line)) = log.line().await {
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
                CopyEvent::Copied { sent, bytes, changes } => return Some(Ok(Copied { sent, bytes, changes })),
                CopyEvent::Failed { kind, message, hint } => {
                    let failed = StorageError::new(kind.kind(), message);
                    return Some(Err(hint.into_iter().fold(failed, StorageError::hint)));
                }
            }
        }
        None
    }

    /// Problems of the cluster with a copy from a claim, for a plan that another identity may apply later.
    pub async fn findings(&self, claim: &str) -> Vec<Finding> {
        let finding = |severity, message: String, hint| vec![Finding { severity, path: None, message, hint }];
        let failed = |error: ClientError| match error.is_transient() {
            true => finding(Severity::Warning, format!("the cluster is not checked: {error}"), error.hint()),
            false => finding(Severity::Error, error.to_string(), error.hint()),
        };
        // A copy executes nothing in a pod.
        let rights = RIGHTS.into_iter().filter(|right| right.resource != "pods/exec").chain([CLAIM_RIGHT]);
        match self.client.missing_rights(&rights.collect::<Vec<Right>>()).await {
            Err(error) => return failed(error),
            Ok(missing) if !missing.is_empty() => {
                let namespace = self.client.namespace();
                let message = format!("the identity lacks rights in the namespace `{namespace}` that copies need");
                let hint = format!("have an administrator run `{}`", missing.join("; "));
                return finding(Severity::Warning, message, Some(hint));
            }
            Ok(_) => {}
        }
        let (name, _) = claim_parts(claim);
        let found = match self.client.get(CLAIMS, name).await {
            Err(error) => return failed(error),
            Ok(found) => found,
        };
        if let Some((message, hint)) = reading_problem(found.as_ref(), name, self.client.namespace()) {
            // The plan may create the claim.
            return finding(Severity::Warning, message, Some(hint));
        }
        match self.client.check_new(JOBS, &self.job("terrace-sync-check", claim)).await {
            Err(error) => failed(error),
            Ok(()) => Vec::new(),
        }
    }
}

impl std::fmt::Debug for ClusterCopies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterCopies").field("namespace", &self.client.namespace()).finish_non_exhaustive()
    }
}

/// Progress of a reader.
struct Following {
    /// Pods whose end is known.
    seen: BTreeSet<String>,
    /// The pod whose log was read last.
    pod: String,
    /// Number of its last line that was read.
    printed: u64,
    /// Lines without an event.
    last: Vec<String>,
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
                    .hint("build the image again with `deploy/pipelines-image`")
            }
            PodEnd::Exited(code) => StorageError::failed(format!(
                "the copy in the cluster ended with code {code} and no report{}{lines}",
                if lines.is_empty() { "" } else { ": " }
            )),
            PodEnd::Lost(why) => StorageError::failed(format!("the copy in the cluster: {why}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pod::MOUNTED;
    use super::*;
    use terrace_provider::{Attributes, Sandbox};

    #[test]
    fn manifests_of_a_copy() {
        let mut options = ExecutionOptions::default();
        options.set(ExecutionOption::Image, "registry.example.com/pipelines@sha256:00");
        options.set(ExecutionOption::Memory, "256Mi");
        let values: Attributes = [("server".to_owned(), "http://127.0.0.1:1".into())].into_iter().collect();
        let settings = Settings {
            instance: "pipelines".to_owned(),
            environment: String::new(),
            project_folder: "/".into(),
            sandbox: Sandbox::default(),
            values,
        };
        let copies = ClusterCopies::open(&settings, "shop", options).unwrap();
        let job = copies.job("terrace-sync-0", "results/shop");
        let secret =
            ClusterCopies::secret("terrace-sync-0", &[(MOUNTED.1, b"{}".to_vec())], &owner("terrace-sync-0", "u"));
        insta::assert_snapshot!(serde_json::to_string_pretty(&[job, secret]).unwrap());
    }
}
