//! Copies of files that are on a claim of a Kubernetes cluster. A Job mounts the claim and does the work ([`super::pod`]);
//! terrace follows it, and removes it.
//!
//! The name of the Job follows from the destination: after a kill of terrace, the next call finds the Job. A copy waits for its
//! end, and compares again, because the files may have changed since; a deletion ends it first.
//!
//! Another caller may copy to the same destination. A Job has the marks of its call and of its content, and its uid tells it from
//! a successor with its name.

mod follow;

use super::pod::{COMMAND, PodCopy, TEMPORARY, mounts};
use super::{Storage, StorageError, StorageErrorKind, SyncEvent, SyncRequest, Synced};
use crate::cluster_check::rights::{CLAIM, RUNS};
use crate::cluster_check::{finding_of, open, rights_problem};
use crate::execution_options::{ExecutionOption, ExecutionOptions, NEEDS_IMAGE, claim_parts};
use crate::executor::kubernetes::claim_state::reading_problem;
use crate::executor::kubernetes::deletion::delete_read_and_wait;
use crate::executor::kubernetes::manifest::{
    CONTAINER, MANAGED, REST, ROLE, TERRACE, container_security, limits, owner, pod_security,
};
use crate::executor::kubernetes::retry::{Budget, silent};
use crate::executor::kubernetes::secret_size::LARGEST;
use crate::executor::kubernetes::{CLAIMS, CREATION, ENDING, JOBS, SECRETS};
use crate::executor::pod::TERMINATED;
use crate::hash::hash_of;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json, json};
use std::time::{Duration, Instant};
use terrace_provider::{Finding, ProviderError, Settings, Severity};
use terrace_provider_kubernetes::client::{Client, ClientError, ClientErrorKind, Propagation, Right};
use tokio_util::sync::CancellationToken;

/// Interval between looks at objects.
const POLL: Duration = Duration::from_millis(500);
/// Time for a running caller to read the end of its Job, before another caller removes the Job.
const HANDOVER: Duration = Duration::from_secs(2);
/// Time limit of a Job: a terabyte takes long.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// Seconds that a pod has to end: files in transfer are sent to their end, and uploads in parts are aborted.
const GRACE: u32 = 60;

/// Annotation of a Job: the call that created it.
const MARK: &str = "terrace.dev/mark";
/// Annotation of a Job: digest of its source, its destination and the settings, without credentials.
const CONTENT: &str = "terrace.dev/content";

/// Copies from claims of a namespace.
pub struct ClusterCopies {
    client: Client,
    /// Image, CPU, memory and disk of pods.
    options: ExecutionOptions,
    patience: Patience,
}

/// Limits of waits.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// Time for the start of a pod without a known reason.
    start: Duration,
    /// Time for a problem that a node tries again, such as an image that cannot be pulled.
    failing: Duration,
    /// Time for a server that does not answer, or a log that cannot be read.
    outage: Duration,
    /// Time for requests that create or start a Job.
    creation: Duration,
    /// Time for the end of a pod and its Job.
    ending: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            start: Duration::from_secs(600),
            failing: Duration::from_secs(120),
            outage: Duration::from_secs(600),
            creation: CREATION,
            ending: ENDING.saturating_add(Duration::from_secs(u64::from(GRACE))),
        }
    }
}

/// The marks of a Job.
#[derive(Debug, Default)]
struct Marks {
    /// The call that creates it.
    mark: String,
    /// Digest of its content.
    content: String,
}

impl Marks {
    fn annotations(&self) -> Json {
        json!({MARK: self.mark, CONTENT: self.content})
    }

    /// Returns true for a Job with the same content, which another call may have created.
    fn has_content_of(&self, job: &Json) -> bool {
        annotation(job, CONTENT) == Some(self.content.as_str())
    }

    /// Returns true for the Job of this call.
    fn is_of(&self, job: &Json) -> bool {
        self.has_content_of(job) && annotation(job, MARK) == Some(self.mark.as_str())
    }
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

fn annotation<'a>(object: &'a Json, name: &str) -> Option<&'a str> {
    object.pointer("/metadata/annotations")?.get(name)?.as_str()
}

/// Returns true for a Job of a copy.
fn is_of_copy(job: &Json) -> bool {
    let label = |label: &str| job.pointer("/metadata/labels")?.get(label)?.as_str();
    label(ROLE) == Some("sync") && label(MANAGED.0) == Some(MANAGED.1)
}

fn is_suspended(job: &Json) -> bool {
    job.pointer("/spec/suspend") == Some(&Json::Bool(true))
}

fn is_going(job: &Json) -> bool {
    job.pointer("/metadata/deletionTimestamp").is_some()
}

fn stopped() -> StorageError {
    StorageError::new(StorageErrorKind::Stopped, "the copy in the cluster was cancelled")
}

fn not_found_here(destination: &str) -> StorageError {
    let message = format!("this machine finds no copy at `{destination}`, where the cluster wrote one");
    StorageError::failed(message)
        .hint("use a destination that this machine and the pods of the cluster reach under the same address")
}

/// Name of the Secret of a call: callers that replace each other's Job keep each other's Secret.
fn secret_name(job: &str, marks: &Marks) -> String {
    format!("{job}-{}", hash_of(&marks.mark).chars().take(8).collect::<String>())
}

/// Name of the Job of a destination.
fn job_name(destination: &str, name: &str) -> String {
    let digest = hash_of(&format!("{}\n{name}", destination.trim_end_matches('/')));
    format!("terrace-sync-{}", digest.chars().take(16).collect::<String>())
}

impl ClusterCopies {
    /// Copies in a namespace, with the settings `kubeconfig`, `context` or `inCluster`. Connects at the first call.
    ///
    /// # Errors
    /// When settings are invalid.
    pub fn open(settings: &Settings, namespace: &str, options: ExecutionOptions) -> Result<Self, ProviderError> {
        Ok(Self { client: open(settings, namespace)?, options, patience: Patience::default() })
    }

    /// Sets all limits of waits. Default: 2 minutes for requests and ends, 10 minutes for starts and outages.
    #[must_use]
    pub fn with_patience(self, limit: Duration) -> Self {
        let patience = Patience { start: limit, failing: limit, outage: limit, creation: limit, ending: limit };
        Self { patience, ..self }
    }

    /// Returns true if the settings have an image for Jobs.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        self.options.get(ExecutionOption::Image).is_some()
    }

    /// Checks that pods can copy to a destination, without network calls.
    ///
    /// # Errors
    /// When they cannot.
    pub fn check(&self, storage: &Storage, destination: &str, claim: &str) -> Result<(), StorageError> {
        if !self.is_configured() {
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
    fn job(&self, name: &str, claim: &str, marks: &Marks) -> Json {
        let mut options = self.options.clone();
        options.set(ExecutionOption::Claim, claim);
        let (claim, _) = claim_parts(claim);
        let command: Vec<&str> = [TERRACE].into_iter().chain(COMMAND).collect();
        let limits = limits(&options);
        let mut metadata = Self::metadata(name);
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.insert("annotations".to_owned(), marks.annotations());
        }
        json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": metadata,
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
                            {"name": "sync", "secret": {"secretName": secret_name(name, marks), "defaultMode": 0o440}},
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

    /// The marks of the Job of a request.
    fn marks(&self, copy: &PodCopy, claim: &str) -> Marks {
        let manifest = self.job("", claim, &Marks::default());
        Marks { mark: copy.mark.clone(), content: hash_of(&json!([copy.content(), manifest]).to_string()) }
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
        let name = job_name(&request.destination, &request.name);
        let copy = PodCopy::of(storage, claim_parts(claim).1, request)?;
        let marks = self.marks(&copy, claim);
        let values = copy.secret(storage.access.authorities.as_deref())?;
        if values.iter().map(|(_, value)| value.len()).sum::<usize>() > LARGEST {
            return Err(StorageError::failed("the request and the certificate authorities are too large for a Secret"));
        }
        self.end_former(&name, &marks, report, cancel).await?;
        let job = self.create_job(&name, claim, &marks, cancel).await?;
        let secret = Self::secret(&secret_name(&name, &marks), &values, &owner(&name, text(&job, "/metadata/uid")));
        let copied = async {
            self.start(&job, &secret, cancel).await?;
            self.follow(&job, report, cancel).await
        };
        let copied = copied.await;
        let removed = self.remove(&job).await;
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

    /// The call whose copy to this destination has a Job, in progress or ended; nothing without a Job.
    ///
    /// # Errors
    /// When the cluster does not answer, or refuses.
    pub async fn call_of_job(&self, destination: &str, name: &str) -> Result<Option<String>, StorageError> {
        let found = self.client.get(JOBS, &job_name(destination, name)).await.map_err(|error| refused(&error))?;
        Ok(found.filter(is_of_copy).map(|job| annotation(&job, MARK).unwrap_or_default().to_owned()))
    }

    /// Ends the Job of an interrupted copy to this destination, if there is one: then no pod writes there any more.
    ///
    /// # Errors
    /// When the cluster refuses, or does not end its pod in time.
    pub async fn end(&self, destination: &str, name: &str) -> Result<(), StorageError> {
        let (budget, name) = (Budget::of(self.patience.creation), job_name(destination, name));
        let found = budget.persist(silent, || self.client.get(JOBS, &name)).await.map_err(|error| refused(&error))?;
        match found.filter(is_of_copy) {
            Some(job) => self.remove(&job).await.map_err(|error| {
                StorageError::new(error.kind, format!("the Job `{name}` of an interrupted copy: {}", error.message()))
            }),
            None => Ok(()),
        }
    }

    /// Waits for the Job of an interrupted copy to the destination of a request, and removes it.
    ///
    /// # Errors
    /// When the request is invalid, the cluster refuses, or the wait is cancelled.
    pub async fn finish_former(
        &self,
        storage: &Storage,
        claim: &str,
        request: &SyncRequest,
        report: &Reporter<'_>,
        cancel: &CancellationToken,
    ) -> Result<(), StorageError> {
        let copy = PodCopy::of(storage, claim_parts(claim).1, request)?;
        let name = job_name(&request.destination, &request.name);
        self.end_former(&name, &self.marks(&copy, claim), report, cancel).await
    }

    async fn remove(&self, job: &Json) -> Result<(), StorageError> {
        let wait = self.patience.ending;
        let removed = delete_read_and_wait(&self.client, (JOBS, job), &Budget::of(wait), wait, silent).await;
        removed.map_err(StorageError::failed)
    }

    /// Waits for the Job of an interrupted copy, and removes it. Another caller may have created it, and may live.
    async fn end_former(
        &self,
        name: &str,
        marks: &Marks,
        report: &Reporter<'_>,
        cancel: &CancellationToken,
    ) -> Result<(), StorageError> {
        let (budget, begun) = (Budget::of(self.patience.creation).until(cancel), Instant::now());
        let found = loop {
            let found =
                budget.persist(silent, || self.client.get(JOBS, name)).await.map_err(|error| refused(&error))?;
            let Some(found) = found else { return Ok(()) };
            if !is_of_copy(&found) {
                let message = format!("the Job `{name}` exists, and is not that of a copy");
                return Err(StorageError::failed(message).hint("have its owner remove it"));
            }
            // Another caller starts its new Job soon.
            let is_new = is_suspended(&found) && !is_going(&found) && !marks.has_content_of(&found);
            if !is_new || begun.elapsed() >= self.patience.creation {
                break found;
            }
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                () = cancel.cancelled() => return Err(stopped()),
            }
        };
        if is_suspended(&found) || is_going(&found) {
            return self.remove(&found).await;
        }
        let is_same = marks.has_content_of(&found);
        let followed = self.follow(&found, if is_same { report } else { &|_| {} }, cancel).await;
        match followed {
            Err(error) if error.kind == StorageErrorKind::Stopped => {
                if is_same {
                    self.remove(&found).await?;
                }
                Err(error)
            }
            // This copy begins again where it ended.
            _ => {
                tokio::time::sleep(HANDOVER).await;
                self.remove(&found).await
            }
        }
    }

    /// Creates the Job of a call. Another caller may create one at the same time: only one of them succeeds.
    async fn create_job(
        &self,
        name: &str,
        claim: &str,
        marks: &Marks,
        cancel: &CancellationToken,
    ) -> Result<Json, StorageError> {
        let budget = Budget::of(self.patience.creation).until(cancel);
        let job = self.job(name, claim, marks);
        let own = async || {
            let found = self.client.get(JOBS, name).await?;
            Ok::<_, ClientError>(found.filter(|found| marks.is_of(found) && is_suspended(found) && !is_going(found)))
        };
        let created = budget.persist(silent, || async {
            match self.client.create(JOBS, &job).await {
                // An earlier request was answered too late.
                Err(error) if error.kind == ClientErrorKind::Exists => own().await?.ok_or(error),
                created => created,
            }
        });
        match created.await {
            Ok(created) => Ok(created),
            Err(error) if error.kind == ClientErrorKind::Exists => {
                Err(StorageError::failed(format!("another copy to this destination began: its Job `{name}` exists"))
                    .hint("wait until it ended, and repeat this copy"))
            }
            Err(error) => {
                // The server may have created it without an answer.
                if let Ok(Some(created)) = own().await
                    && let Err(why) = self.remove(&created).await
                {
                    tracing::warn!(job = name, %why, "the Job of a copy is not removed");
                }
                Err(refused(&error))
            }
        }
    }

    /// Starts a Job, with its Secret. No other call has a Secret with that name.
    async fn start(&self, job: &Json, secret: &Json, cancel: &CancellationToken) -> Result<(), StorageError> {
        let budget = Budget::of(self.patience.creation).until(cancel);
        let (name, uid) = (text(job, "/metadata/name"), text(job, "/metadata/uid"));
        let put = budget.persist(silent, || async {
            match self.client.create(SECRETS, secret).await {
                // The one of a former Job of this call goes after it. One of this Job, after a lost answer, can be created again.
                Err(error) if error.kind == ClientErrorKind::Exists => {
                    self.client.delete(SECRETS, text(secret, "/metadata/name"), Propagation::Background).await?;
                    self.client.create(SECRETS, secret).await
                }
                created => created,
            }
        });
        put.await.map_err(|error| refused(&error))?;
        // The server refuses a Job with another uid.
        let resumed = json!({"metadata": {"uid": uid}, "spec": {"suspend": false}});
        let started = budget.persist(silent, || self.client.patch(JOBS, name, &resumed)).await;
        started.map(drop).map_err(|error| refused(&error))
    }

    /// Problems of the cluster with a copy from a claim, for a plan that another identity may apply later.
    pub async fn findings(&self, claim: &str) -> Vec<Finding> {
        // A copy executes nothing in a pod.
        let rights = RUNS.into_iter().filter(|right| right.resource != "pods/exec").chain([CLAIM]);
        match rights_problem(&self.client, &rights.collect::<Vec<Right>>(), "copies").await {
            Err(error) => return vec![finding_of(&error)],
            Ok(Some(problem)) => return vec![problem],
            Ok(None) => {}
        }
        let (name, _) = claim_parts(claim);
        let found = match self.client.get(CLAIMS, name).await {
            Err(error) => return vec![finding_of(&error)],
            Ok(found) => found,
        };
        if let Some((message, hint)) = reading_problem(found.as_ref(), name, self.client.namespace()) {
            // The plan may create the claim.
            return vec![Finding { severity: Severity::Warning, path: None, message, hint: Some(hint) }];
        }
        match self.client.check_new(JOBS, &self.job("terrace-sync-check", claim, &Marks::default())).await {
            Err(error) => vec![finding_of(&error)],
            Ok(()) => Vec::new(),
        }
    }
}

impl std::fmt::Debug for ClusterCopies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterCopies").field("namespace", &self.client.namespace()).finish_non_exhaustive()
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
            sources: Default::default(),
            values,
        };
        let copies = ClusterCopies::open(&settings, "shop", options).unwrap();
        let marks = Marks { mark: "o/1".to_owned(), content: "ab".to_owned() };
        let job = copies.job("terrace-sync-0", "results/shop", &marks);
        let name = secret_name("terrace-sync-0", &marks);
        let secret = ClusterCopies::secret(&name, &[(MOUNTED.1, b"{}".to_vec())], &owner("terrace-sync-0", "u"));
        insta::assert_snapshot!(serde_json::to_string_pretty(&[job, secret]).unwrap());
        let other = Marks { mark: "o/2".to_owned(), ..marks };
        assert_ne!(secret_name("terrace-sync-0", &other), name, "another call cannot remove it");
    }
}
