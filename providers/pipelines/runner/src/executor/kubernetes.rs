//! Runs jobs in a Kubernetes cluster: one Job per attempt of a run. Its pod runs [`super::pod`], which executes the job
//! as on one machine; its log is the stream of events, and its files are copied back.
//!
//! The cluster decides nothing about a run, and terrace schedules nothing: the Job restarts a pod that was lost with its
//! node, and the runner of the project retries and records. Names follow from the run, so that a repeated request
//! creates nothing twice, and the next process finds the Job of an interrupted one.
//!
//! Reading order: this file (start and end), [`manifest`], [`status`] (states in the cluster), [`follow`].

mod follow;
mod manifest;
mod status;

pub use manifest::ClusterOptions;

use super::archive::{self, Packed};
use super::pod::ENVIRONMENTS;
use super::{End, Executor, Failed, Interrupted, Job, JobObserver, Outcome, StepOutcome};
use async_trait::async_trait;
use follow::Following;
use manifest::RUN;
use serde_json::{Map, Value as Json, json};
use std::io;
use std::path::Path;
use std::time::Duration;
use terrace_provider::{ErrorKind, ProviderError, Settings};
use terrace_provider_kubernetes::client::{Client, ClientError, ClientErrorKind, Resource, Right};
use tokio_util::sync::CancellationToken;

const JOBS: Resource = Resource { api_version: "batch/v1", plural: "jobs" };
const PODS: Resource = Resource { api_version: "v1", plural: "pods" };
const SECRETS: Resource = Resource { api_version: "v1", plural: "secrets" };
const CONFIG_MAPS: Resource = Resource { api_version: "v1", plural: "configmaps" };
const EVENTS: Resource = Resource { api_version: "v1", plural: "events" };

/// Largest content of a ConfigMap or a Secret in bytes.
/// <https://kubernetes.io/docs/concepts/configuration/configmap/#motivation>
const LARGEST: usize = 1 << 20;
/// Number of large files that a message names.
const NAMED: usize = 3;
/// Number of attempts of a request that fails for a while, and the pause between them.
const TRIES: usize = 5;
const PAUSE: Duration = Duration::from_secs(1);
/// Interval between checks for the end of a deletion.
const POLL: Duration = Duration::from_millis(200);
/// Time for a deletion in addition to the grace of the processes.
const DELETION: Duration = Duration::from_secs(60);

/// The rights that runs need.
const RIGHTS: [Right; 12] = [
    Right { verb: "create", group: "batch", resource: "jobs" },
    Right { verb: "get", group: "batch", resource: "jobs" },
    Right { verb: "list", group: "batch", resource: "jobs" },
    Right { verb: "patch", group: "batch", resource: "jobs" },
    Right { verb: "delete", group: "batch", resource: "jobs" },
    Right { verb: "create", group: "", resource: "secrets" },
    Right { verb: "create", group: "", resource: "configmaps" },
    Right { verb: "list", group: "", resource: "pods" },
    Right { verb: "list", group: "", resource: "events" },
    Right { verb: "get", group: "", resource: "pods/log" },
    // Depending on its version, the server checks one or the other for connections.
    Right { verb: "create", group: "", resource: "pods/exec" },
    Right { verb: "get", group: "", resource: "pods/exec" },
];

/// Runs jobs in a namespace of a cluster.
pub struct KubernetesExecutor {
    client: Client,
    options: ClusterOptions,
}

impl KubernetesExecutor {
    /// An executor with the settings `kubeconfig`, `context` or `inCluster`; connects at the first run.
    ///
    /// # Errors
    /// When settings are invalid.
    pub fn open(settings: &Settings, namespace: &str, options: ClusterOptions) -> Result<Self, ProviderError> {
        Ok(Self { client: Client::open(settings, namespace)?, options })
    }

    /// Creates the objects of a run and starts it. Repeats requests whose outcome is unknown.
    async fn start(&self, job: &Job, name: &str, text: &[u8], archive: &[u8]) -> Result<(), ClientError> {
        let manifest = manifest::job(job, name, &self.options);
        let created = persist(|| async {
            match self.client.create(JOBS, &manifest).await {
                Err(error) if error.kind == ClientErrorKind::Exists => {
                    // An earlier request was answered too late.
                    self.client.get(JOBS, name).await?.ok_or(error)
                }
                created => created,
            }
        });
        let created = created.await?;
        let uid = created.pointer("/metadata/uid").and_then(Json::as_str).unwrap_or_default().to_owned();
        let complete = async {
            let objects = [
                (SECRETS, manifest::secret(job, name, text, &uid)),
                (CONFIG_MAPS, manifest::config_map(job, name, archive, &uid)),
            ];
            for (resource, object) in &objects {
                let created = persist(|| async {
                    match self.client.create(*resource, object).await {
                        Err(error) if error.kind == ClientErrorKind::Exists => Ok(Json::Null),
                        created => created,
                    }
                });
                created.await?;
            }
            let unsuspended = json!({"spec": {"suspend": false}});
            persist(|| self.client.patch(JOBS, name, &unsuspended)).await
        };
        let started = complete.await;
        if started.is_err()
            && let Err(error) = self.client.delete(JOBS, name).await
        {
            tracing::warn!(job = name, %error, "a Job that never started cannot be deleted");
        }
        started.map(drop)
    }

    /// Follows a started run to its end; on a cancellation, deletes its Job.
    async fn follow_to_end(&self, following: &mut Following<'_>) -> Outcome {
        let (name, grace, cancel) = (following.name.clone(), following.grace, following.cancel.clone());
        let (ended, message) = {
            let running = following.run();
            tokio::pin!(running);
            tokio::select! {
                outcome = &mut running => return outcome,
                () = cancel.cancelled() => {}
            }
            match persist(|| self.client.delete(JOBS, &name)).await {
                Ok(()) => {
                    let ended = tokio::time::timeout(grace.saturating_add(DELETION), &mut running).await;
                    (ended.ok(), "it was cancelled".to_owned())
                }
                Err(error) => (None, format!("it was cancelled, but its Job `{name}` may still run: {error}")),
            }
        };
        match ended.filter(|outcome| outcome.end == End::Succeeded) {
            Some(outcome) => outcome,
            None => ended_early(End::Cancelled, following.steps.clone(), message),
        }
    }

    /// Deletes the Jobs of a run, and waits until they are gone. Returns their number.
    async fn delete_jobs(&self, run: &str, grace: Duration) -> Result<usize, ClientError> {
        let selector = ("labelSelector", format!("{RUN}={run}"));
        let jobs = persist(|| self.client.list(JOBS, std::slice::from_ref(&selector))).await?;
        let names = jobs.iter().filter_map(|job| job.pointer("/metadata/name")?.as_str());
        for name in names {
            persist(|| self.client.delete(JOBS, name)).await?;
            let deadline = tokio::time::Instant::now() + grace.saturating_add(DELETION);
            while persist(|| self.client.get(JOBS, name)).await?.is_some() {
                if tokio::time::Instant::now() >= deadline {
                    let error = ProviderError::new(
                        ErrorKind::Failed,
                        format!("the Job `{name}` is not gone after its deletion"),
                    );
                    return Err(ClientError { kind: ClientErrorKind::Refused, error });
                }
                tokio::time::sleep(POLL).await;
            }
        }
        Ok(jobs.len())
    }
}

/// Repeats a request that fails because the server does not answer.
async fn persist<T, F: Future<Output = Result<T, ClientError>>>(
    mut request: impl FnMut() -> F,
) -> Result<T, ClientError> {
    let mut failed = 0;
    loop {
        match request().await {
            Err(error) if error.is_transient() && failed + 1 < TRIES => failed += 1,
            answered => return answered,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Outcome of a run that ended before its own report.
fn ended_early(end: End, steps: Vec<StepOutcome>, message: String) -> Outcome {
    let rows = steps.last().map_or(0, |step| step.rows);
    Outcome { end, stats: Map::new(), rows, steps, failure: Some(Failed { step: None, message, log: Vec::new() }) }
}

/// An error with its hint as one text.
fn in_words(error: &ClientError) -> String {
    match error.hint() {
        Some(hint) => format!("{error}; {hint}"),
        None => error.to_string(),
    }
}

/// A refusal by a quota may end by itself, and so does an outage.
fn end_of(error: &ClientError) -> End {
    let is_passing = error.is_transient() || error.to_string().contains("quota");
    if is_passing { End::Broken } else { End::Failed }
}

/// Message for files that do not fit; nothing if they do.
fn too_large(packed: &Packed, job_bytes: usize) -> Option<String> {
    let limit = format!("at most {} fit", in_bytes(LARGEST as u64));
    if job_bytes > LARGEST {
        return Some(format!("its parameters are too large for a Secret: {}, {limit}", in_bytes(job_bytes as u64)));
    }
    let size = match &packed.archive {
        Some(archive) if archive.len() <= LARGEST => return None,
        Some(archive) => format!("{} compressed", in_bytes(archive.len() as u64)),
        None => in_bytes(packed.files.iter().map(|(_, bytes)| bytes).sum()),
    };
    let largest = packed.files.iter().take(NAMED);
    let largest: Vec<String> =
        largest.map(|(path, bytes)| format!("`{}` with {}", path.display(), in_bytes(*bytes))).collect();
    Some(format!(
        "its files are too large for a ConfigMap: {size}, {limit}; the largest are {}; let steps read large data from an \
         address or a database",
        largest.join(", ")
    ))
}

/// A size for people: `1.5 MiB`.
fn in_bytes(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

#[async_trait]
impl Executor for KubernetesExecutor {
    async fn execute(&self, job: &Job, observer: &dyn JobObserver, cancel: &CancellationToken) -> Outcome {
        let steps = vec![StepOutcome::default(); job.steps.len()];
        let failed = |message| ended_early(End::Failed, steps.clone(), message);
        let elsewhere = &job.elsewhere;
        if let Some(file) = elsewhere.databases.first() {
            return failed(format!(
                "it writes into `{}`, an SQLite file of this machine that pods cannot reach; set DPP_DB_ENGINE to the \
                 address of a database server",
                file.display()
            ));
        }
        if let Some(message) = manifest::unusable_folder(elsewhere) {
            return failed(message);
        }
        let (inputs, results) = (elsewhere.inputs.clone(), elsewhere.results.clone());
        let packed = tokio::task::spawn_blocking(move || archive::pack(&inputs, &results)).await;
        let packed = match packed.map_err(io::Error::other).and_then(|packed| packed) {
            Ok(packed) => packed,
            Err(error) => return failed(format!("its files cannot be read: {error}")),
        };
        let text = match serde_json::to_vec(job) {
            Ok(text) => text,
            Err(error) => return failed(format!("a path of the job is not text: {error}")),
        };
        if let Some(message) = too_large(&packed, text.len()) {
            return failed(message);
        }
        let name = manifest::name(&job.run, elsewhere.attempt);
        let archive = packed.archive.unwrap_or_default();
        let started = tokio::select! {
            started = self.start(job, &name, &text, &archive) => started,
            () = cancel.cancelled() => {
                if let Err(error) = self.delete_jobs(&job.run, job.grace).await {
                    tracing::warn!(run = job.run, %error, "the Job of a cancelled run cannot be deleted");
                }
                return ended_early(End::Cancelled, steps, "it was cancelled".to_owned());
            }
        };
        if let Err(error) = started {
            return ended_early(end_of(&error), steps, in_words(&error));
        }
        let mut following = Following {
            client: &self.client,
            name,
            folders: elsewhere.folders.clone(),
            steps,
            grace: job.grace,
            timeout: job.timeout,
            memory: self.options.memory.clone(),
            observer,
            cancel: cancel.clone(),
        };
        self.follow_to_end(&mut following).await
    }

    async fn end_leftover_processes(&self, run: &str, grace: Duration) -> io::Result<usize> {
        self.delete_jobs(run, grace).await.map_err(|error| io::Error::other(in_words(&error)))
    }

    fn environments(&self) -> Option<&Path> {
        Some(Path::new(ENVIRONMENTS))
    }

    async fn check(&self) -> Result<(), Vec<String>> {
        let missing = self.client.missing_rights(&RIGHTS).await.map_err(|error| {
            let hint = error.hint().map(|hint| format!("hint: {hint}"));
            [error.to_string()].into_iter().chain(hint).collect::<Vec<_>>()
        })?;
        if missing.is_empty() {
            return Ok(());
        }
        let message =
            format!("the identity lacks rights in the namespace `{}` that runs need", self.client.namespace());
        let grants = missing.into_iter().map(|command| format!("hint: have an administrator run `{command}`"));
        Err([message].into_iter().chain(grants).collect())
    }

    async fn resume(
        &self,
        run: &Interrupted,
        observer: &dyn JobObserver,
        cancel: &CancellationToken,
    ) -> io::Result<Option<Outcome>> {
        let name = manifest::name(&run.run, run.attempt);
        let found = persist(|| self.client.get(JOBS, &name)).await;
        let found = found.map_err(|error| io::Error::other(in_words(&error)))?;
        let is_started = found.as_ref().is_some_and(|job| {
            job.pointer("/spec/suspend") != Some(&Json::Bool(true))
                && job.pointer("/metadata/deletionTimestamp").is_none()
        });
        if !is_started {
            return Ok(None);
        }
        let mut following = Following {
            client: &self.client,
            name,
            folders: run.folders.clone(),
            steps: vec![StepOutcome::default(); run.steps],
            grace: run.grace,
            timeout: None,
            memory: self.options.memory.clone(),
            observer,
            cancel: cancel.clone(),
        };
        Ok(Some(self.follow_to_end(&mut following).await))
    }

    async fn release(&self, run: &str, attempt: usize) {
        let name = manifest::name(run, attempt);
        if let Err(error) = follow::release(&self.client, &name).await {
            tracing::warn!(job = name, error, "the pod of an ended run cannot be released, and ends later");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_do_not_fit_are_named() {
        let packed = |archive: Option<usize>| Packed {
            archive: archive.map(|bytes| vec![0; bytes]),
            files: [("/p/a.csv", 5 << 20), ("/p/b.csv", 2048), ("/p/c", 1), ("/p/d", 0)]
                .map(|(path, bytes)| (path.into(), bytes))
                .to_vec(),
        };
        assert_eq!(too_large(&packed(Some(LARGEST)), LARGEST), None);
        let message = too_large(&packed(Some(LARGEST * 3)), 0).unwrap();
        assert!(
            message.starts_with("its files are too large for a ConfigMap: 3.0 MiB compressed, at most 1.0 MiB fit")
        );
        assert!(message.contains("`/p/a.csv` with 5.0 MiB, `/p/b.csv` with 2.0 KiB, `/p/c` with 1 B;"), "{message}");
        assert!(too_large(&packed(None), 0).unwrap().contains("ConfigMap: 5.0 MiB, at most"));
        assert!(too_large(&packed(Some(1)), LARGEST + 1).unwrap().contains("too large for a Secret"));
    }
}
