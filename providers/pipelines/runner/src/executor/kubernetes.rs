//! Runs jobs in a Kubernetes cluster: one Job per attempt of a run. Its pod runs [`super::pod`], which executes the job
//! as on one machine; its log is the stream of events, and its files are copied back.
//!
//! The cluster decides nothing about a run, and terrace schedules nothing: the Job restarts a pod that was lost with its
//! node, and the runner of the project retries and records. Names follow from the run, so that a repeated request
//! creates nothing twice, and the next process finds the Job of an interrupted one.
//!
//! Reading order: this file (start and end), [`install`] (the namespace), [`manifest`], [`status`] (states in the cluster), [`follow`],
//! [`timed`] and [`cron_job`] (schedules).

pub mod chart;
mod check_parts;
pub(crate) mod claim_state;
mod cron_job;
mod crontab;
pub(crate) mod deletion;
pub(crate) mod fields;
mod follow;
pub mod install;
pub(crate) mod manifest;
mod notes;
pub mod object_name;
mod pods;
mod progress;
pub(crate) mod retry;
pub(crate) mod secret_size;
pub(crate) mod server_problem;
mod start_clock;
pub(crate) mod status;
mod timed;

use super::archive::{self, Packed};
use super::pod::ENVIRONMENTS;
use super::{
    ClusterPlace, ClusterPods, End, Executor, Failed, Interrupted, Job, JobObserver, Outcome, Place, StepOutcome,
    TimedRuns,
};
use crate::check_result::CheckResult;
use crate::cluster_check::rights::{CLAIM, RUNS};
use crate::cluster_check::{finding_of, in_words, open, rights_problem};
use crate::execution_options::{ExecutionOption, ExecutionOptions, NEEDS_IMAGE};
use async_trait::async_trait;
use deletion::delete_job;
use follow::Following;
use jiff::Timestamp;
use manifest::{HOME, RUN};
use notes::Notes;
use progress::Progress;
use retry::{Budget, silent};
use secret_size::{LARGEST, NAMED, in_bytes};
use serde_json::{Map, Value as Json, json};
use status::has_ended;
use std::io;
use std::path::Path;
use std::time::Duration;
use terrace_provider::{Attributes, ErrorKind, Finding, ProviderError, Sandbox, Settings, Severity, Value};
use terrace_provider_kubernetes::client::{Client, ClientError, ClientErrorKind, Propagation, Resource, Right};
use tokio_util::sync::CancellationToken;

pub(crate) const JOBS: Resource = Resource { api_version: "batch/v1", plural: "jobs" };
pub(crate) const PODS: Resource = Resource { api_version: "v1", plural: "pods" };
pub(crate) const SECRETS: Resource = Resource { api_version: "v1", plural: "secrets" };
pub(crate) const EVENTS: Resource = Resource { api_version: "v1", plural: "events" };
pub(crate) const CLAIMS: Resource = Resource { api_version: "v1", plural: "persistentvolumeclaims" };

/// Bytes of a job that are not known before its creation.
const UNKNOWN_BYTES: usize = 64;
/// Time for the creation of a run's objects while the cluster does not answer.
pub(crate) const CREATION: Duration = Duration::from_secs(120);
/// Time for other requests while the cluster does not answer, if the record of the run can stay open.
const CLEANUP: Duration = Duration::from_secs(30);
/// Time for reviews of rights while the cluster does not answer. A wrong address should be reported soon.
const REVIEW: Duration = Duration::from_secs(10);
/// Time that the cluster has to end pods and remove Jobs, in addition to the grace of the processes.
pub(crate) const ENDING: Duration = Duration::from_secs(60);
/// Time for the last lines of a log after the end of its pod.
const LAST_LINES: Duration = Duration::from_secs(5);

/// Runs jobs in a namespace of a cluster.
pub struct KubernetesExecutor {
    client: Client,
    /// Options of pods whose pipeline sets none; nothing for an executor that only follows and ends runs.
    options: Option<ExecutionOptions>,
    /// URL of the API server of a recorded place.
    recorded: Option<String>,
    creation: Duration,
    ending: Duration,
}

/// Why a run was not started.
struct NotStarted {
    error: ClientError,
    /// The cluster may have started it.
    may_run: bool,
}

impl KubernetesExecutor {
    /// An executor with the settings `kubeconfig`, `context` or `inCluster`, and the options of pods whose pipeline sets none;
    /// connects at the first run.
    ///
    /// # Errors
    /// When settings are invalid.
    pub fn open(settings: &Settings, namespace: &str, options: ExecutionOptions) -> Result<Self, ProviderError> {
        let client = open(settings, namespace)?;
        Ok(Self { client, options: Some(options), recorded: None, creation: CREATION, ending: ENDING })
    }

    /// Sets the time for the creation of a run's objects while the cluster does not answer. Default: 2 minutes.
    #[must_use]
    pub fn with_creation_time(self, creation: Duration) -> Self {
        Self { creation, ..self }
    }

    /// Sets the time that the cluster has to end pods and remove Jobs, in addition to the grace of the processes. Default:
    /// 1 minute.
    #[must_use]
    pub fn with_ending_time(self, ending: Duration) -> Self {
        Self { ending, ..self }
    }

    /// An executor that follows and ends runs at a recorded place, and starts none.
    ///
    /// # Errors
    /// When the way to the place is not valid.
    pub(crate) fn at(place: &ClusterPlace) -> Result<Self, String> {
        let mut values = Attributes::default();
        let mut set = |name: &str, value: Value| drop(values.insert(name.to_owned(), value));
        match (&place.kubeconfig, place.in_cluster) {
            (_, true) => set("inCluster", Value::Bool(true)),
            (Some(files), _) => set("kubeconfig", files.as_str().into()),
            (None, _) => set("server", place.cluster.as_str().into()),
        }
        if let Some(context) = &place.context {
            set("context", context.as_str().into());
        }
        let settings = Settings {
            instance: "pipelines".to_owned(),
            environment: String::new(),
            project_folder: "/".into(),
            sandbox: Sandbox::default(),
            sources: Default::default(),
            values,
        };
        let client = open(&settings, &place.namespace).map_err(|error| error.message)?;
        Ok(Self { client, options: None, recorded: Some(place.cluster.clone()), creation: CREATION, ending: ENDING })
    }

    /// Checks that the way to a recorded place still leads there: another cluster does not know its runs.
    async fn check_recorded(&self) -> io::Result<()> {
        let Some(recorded) = &self.recorded else { return Ok(()) };
        // No setting of this process leads there, so a hint to correct one would be wrong.
        let not_reached = |error: ClientError| io::Error::new(io::ErrorKind::HostUnreachable, error.error.message);
        let origin = self.client.origin().await.map_err(not_reached)?;
        if origin.server == *recorded {
            return Ok(());
        }
        let message = format!("the way to it leads to the cluster `{}` now", origin.server);
        Err(io::Error::new(io::ErrorKind::HostUnreachable, message))
    }

    /// Creates the objects of a run and starts it. Repeats requests whose outcome is unknown.
    async fn start(
        &self,
        job: &Job,
        (name, options): (&str, &ExecutionOptions),
        (mut description, archive): (Json, &[u8]),
        notes: &Notes<'_>,
        cancel: &CancellationToken,
    ) -> Result<(), NotStarted> {
        let budget = Budget::of(self.creation).until(cancel);
        let report = |error: &ClientError| notes.note(&format!("the run cannot be created yet: {error}"));
        let before = |error| NotStarted { error, may_run: false };
        let manifest = manifest::job(job, name, options);
        let created = budget.persist(report, || async {
            match self.client.create(JOBS, &manifest).await {
                Err(error) if error.kind == ClientErrorKind::Exists => {
                    // An earlier request was answered too late.
                    let found = self.client.get(JOBS, name).await?.ok_or(error)?;
                    let is_new = found.pointer("/spec/suspend") == Some(&Json::Bool(true))
                        && found.pointer("/metadata/deletionTimestamp").is_none();
                    if is_new { Ok(found) } else { Err(another(name)) }
                }
                created => created,
            }
        });
        let created = created.await.map_err(before)?;
        let text = |at: &str| created.pointer(at).and_then(Json::as_str).unwrap_or_default();
        if let (Some(timeout), Some(deadline)) = (job.timeout, description.pointer_mut("/elsewhere/deadline")) {
            // By the clock of the cluster, which counts seconds.
            let created: Timestamp = text("/metadata/creationTimestamp").parse().unwrap_or_else(|_| Timestamp::now());
            let timeout = timeout.saturating_add(Duration::from_secs(1));
            *deadline = created.saturating_add(timeout).ok().map(|at| at.to_string()).into();
        }
        let description = description.to_string();
        let owner = manifest::owner(name, text("/metadata/uid"));
        for secret in manifest::secrets(job, name, description.as_bytes(), archive, &owner) {
            let created = budget.persist(report, || async {
                match self.client.create(SECRETS, &secret).await {
                    Err(error) if error.kind == ClientErrorKind::Exists => Ok(Json::Null),
                    created => created,
                }
            });
            created.await.map_err(before)?;
        }
        let unsuspended = json!({"spec": {"suspend": false}});
        let started = budget.persist(report, || self.client.patch(JOBS, name, &unsuspended)).await;
        started.map(drop).map_err(|error| NotStarted { may_run: error.is_transient(), error })
    }

    /// Outcome of a run that was not started. Deletes its objects, and waits until they are gone.
    async fn not_started(
        &self,
        failure: NotStarted,
        (name, grace): (&str, Duration),
        steps: Vec<StepOutcome>,
    ) -> Outcome {
        let NotStarted { error, may_run } = failure;
        let wait = grace.saturating_add(self.ending);
        let budget = Budget::of(self.creation.min(CLEANUP).saturating_add(if may_run { wait } else { Duration::ZERO }));
        match delete_job(&self.client, name, &budget, wait, silent).await {
            Ok(()) => ended_early(end_of(&error), steps, in_words(&error)),
            Err(why) if may_run => {
                let message =
                    format!("its Job `{name}` may have started: {}; it may still run: {why}", in_words(&error));
                ended_early(End::Unknown, steps, message)
            }
            Err(why) => {
                tracing::warn!(job = name, %why, "a suspended Job cannot be deleted; the next run deletes it");
                ended_early(end_of(&error), steps, in_words(&error))
            }
        }
    }

    /// Follows a started run to its end; on a cancellation, deletes its Job.
    async fn follow_to_end(&self, following: &mut Following<'_>) -> Outcome {
        let (name, grace, cancel) = (following.name.clone(), following.grace, following.cancel.clone());
        let notes = following.notes.clone();
        let cancelled = {
            let running = following.run();
            tokio::pin!(running);
            tokio::select! {
                outcome = &mut running => return outcome,
                () = cancel.cancelled() => {}
            }
            let cancelling = self.delete_cancelled(&name, grace, &notes);
            tokio::pin!(cancelling);
            let mut is_followed = false;
            let cancelled = loop {
                tokio::select! {
                    outcome = &mut running, if !is_followed => {
                        if outcome.end == End::Succeeded {
                            return outcome;
                        }
                        is_followed = true;
                    }
                    cancelled = &mut cancelling => break cancelled,
                }
            };
            // The last lines of its log and its report may arrive after the Job is gone.
            if !is_followed && cancelled.is_ok() {
                let last = tokio::time::timeout(LAST_LINES, &mut running).await;
                if let Ok(outcome) = last
                    && outcome.end == End::Succeeded
                {
                    return outcome;
                }
            }
            cancelled
        };
        self.cancelled(cancelled, &name, following.steps.clone())
    }

    /// Outcome of a cancelled run.
    fn cancelled(&self, cancelled: Result<(), String>, name: &str, steps: Vec<StepOutcome>) -> Outcome {
        match cancelled {
            Ok(()) => ended_early(End::Cancelled, steps, "it was cancelled".to_owned()),
            Err(why) => {
                let message = format!("it is to be cancelled, but its Job `{name}` may still run: {why}");
                ended_early(End::Unknown, steps, message)
            }
        }
    }

    /// Deletes the Job of a cancelled run, and waits until it is gone. The record of a run must not end while its Job may run:
    /// an outage of the cluster takes as long as it takes.
    ///
    /// # Errors
    /// When the cluster refuses the deletion, or the pod takes too long to end.
    async fn delete_cancelled(&self, name: &str, grace: Duration, notes: &Notes<'_>) -> Result<(), String> {
        let report = |error: &ClientError| {
            notes.warn(&format!("cancelling: terrace tries again until the cluster answers: {error}"));
        };
        delete_job(&self.client, name, &Budget::unlimited(), grace.saturating_add(self.ending), report).await
    }

    /// Deletes the Jobs of a run, and waits until they are gone. Returns their number.
    async fn delete_jobs(&self, run: &str, grace: Duration) -> io::Result<usize> {
        let wait = grace.saturating_add(self.ending);
        let budget = Budget::of(CLEANUP.saturating_add(wait));
        let selector = ("labelSelector", format!("{RUN}={run}"));
        let jobs = budget.persist(silent, || self.client.list(JOBS, std::slice::from_ref(&selector)));
        let jobs = jobs.await.map_err(|error| not_reached(&error))?;
        let names = jobs.iter().filter_map(|job| job.pointer("/metadata/name")?.as_str());
        for name in names {
            delete_job(&self.client, name, &budget, wait, silent).await.map_err(|why| {
                let message = format!("its Job `{name}` may still run: {why}");
                io::Error::new(io::ErrorKind::HostUnreachable, message)
            })?;
        }
        Ok(jobs.len())
    }

    /// The missing namespace, or the missing rights of runs with these options; nothing without a problem.
    async fn rights_problem(&self, options: &ExecutionOptions) -> Result<Option<Finding>, ClientError> {
        let budget = Budget::of(REVIEW.min(self.creation));
        let rights = rights(options);
        budget.persist(silent, || rights_problem(&self.client, &rights, "runs")).await
    }

    /// Why the claim of these options cannot hold results, and the remedy; nothing without a problem or a claim.
    async fn claim_problem(&self, options: &ExecutionOptions) -> Result<Option<(String, String)>, ClientError> {
        let Some((name, _)) = options.claim() else { return Ok(None) };
        let budget = Budget::of(REVIEW.min(self.creation));
        let found = budget.persist(silent, || self.client.get(CLAIMS, name)).await?;
        Ok(claim_state::problem(found.as_ref(), name, self.client.namespace()))
    }

    /// The place of runs.
    async fn cluster_place(&self) -> Result<ClusterPlace, ClientError> {
        let origin = self.client.origin().await?;
        Ok(ClusterPlace {
            cluster: origin.server,
            namespace: self.client.namespace().to_owned(),
            kubeconfig: origin.kubeconfig,
            context: origin.context,
            in_cluster: origin.is_in_cluster,
        })
    }

    /// Checks the cluster; an error ends the checks.
    async fn check_cluster(&self, results: &mut Vec<CheckResult>) -> Result<(), ClientError> {
        results.push(CheckResult::passed(format!("pipelines run in {}", self.cluster_place().await?)));
        let options = self.options.clone().unwrap_or_default();
        if let Some(problem) = self.rights_problem(&options).await? {
            results.push(CheckResult::failed(problem.message, problem.hint.unwrap_or_default()));
            return Ok(());
        }
        let count = rights(&options).len();
        results.push(CheckResult::passed(format!("the identity has the {count} rights that runs need")));
        if let Some((name, _)) = options.claim() {
            results.push(match self.claim_problem(&options).await? {
                Some((message, remedy)) => CheckResult::failed(message, remedy),
                None => CheckResult::passed(format!("the claim `{name}` can hold results")),
            });
        }
        results.extend(check_parts::check(&self.client).await?);
        let Some(options) = &self.options else { return Ok(()) };
        self.client.check_new(JOBS, &manifest::example(options)).await?;
        let namespace = self.client.namespace();
        results.push(CheckResult::passed(format!("the namespace `{namespace}` accepts the Jobs of runs")));
        let Some(image) = options.get(ExecutionOption::Image) else { return Ok(()) };
        results.push(CheckResult::passed(match self.client.nodes_with_image(image).await? {
            Some((0, _)) => format!("no node lists the image `{image}`: the first run pulls it"),
            Some((some, all)) => format!("{some} of {all} nodes have the image `{image}`"),
            None => format!("the identity may not list nodes: whether they have the image `{image}` is unknown"),
        }));
        Ok(())
    }
}

/// The rights that runs with these options need.
fn rights(options: &ExecutionOptions) -> Vec<Right> {
    RUNS.into_iter().chain(options.claim().map(|_| CLAIM)).collect()
}

/// Returns true for a Job that has started and stays.
fn is_started(job: &Json) -> bool {
    job.pointer("/spec/suspend") != Some(&Json::Bool(true)) && job.pointer("/metadata/deletionTimestamp").is_none()
}

/// The error of a place that is not reached.
fn not_reached(error: &ClientError) -> io::Error {
    io::Error::new(io::ErrorKind::HostUnreachable, in_words(error))
}

/// The error of a Job whose name is taken by a Job that has started or is being deleted.
fn another(name: &str) -> ClientError {
    let message = format!("the Job `{name}` of an earlier attempt is not gone yet");
    ClientError { kind: ClientErrorKind::Unreachable, error: ProviderError::new(ErrorKind::Transient, message) }
}

/// Outcome of a run that ended before its own report.
fn ended_early(end: End, steps: Vec<StepOutcome>, message: String) -> Outcome {
    let rows = steps.last().map_or(0, |step| step.rows);
    let failure = Some(Failed::new(message));
    Outcome { end, stats: Map::new(), rows, steps, failure, in_place: Vec::new() }
}

/// Copies a field of an object's metadata into a manifest: the server then changes this object only, or this version of it.
fn copy_metadata(object: &Json, field: &str, manifest: &mut Json) {
    let metadata = manifest.pointer_mut("/metadata").and_then(Json::as_object_mut);
    if let (Some(metadata), Some(value)) = (metadata, object.pointer("/metadata").and_then(|from| from.get(field))) {
        metadata.insert(field.to_owned(), value.clone());
    }
}

/// A refusal by a quota may end by itself, and so does an outage.
fn end_of(error: &ClientError) -> End {
    let is_passing = error.is_transient() || error.kind == ClientErrorKind::QuotaExceeded;
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
        "its files are too large for a Secret: {size}, {limit}; the largest are {}; let steps read large data from an \
         address, a database or the image: `terrace pipelines image` builds the `Dockerfile`, which can copy a hidden \
         folder, and no run takes hidden files along",
        largest.join(", ")
    ))
}

#[async_trait]
impl Executor for KubernetesExecutor {
    async fn execute(&self, job: &Job, observer: &dyn JobObserver, cancel: &CancellationToken) -> Outcome {
        let steps = vec![StepOutcome::default(); job.steps.len()];
        let failed = |message| ended_early(End::Failed, steps.clone(), message);
        let elsewhere = &job.elsewhere;
        let Some(options) = &self.options else {
            return failed("the executor of a recorded place starts no runs".to_owned());
        };
        if let Some(file) = elsewhere.databases.first() {
            return failed(format!(
                "it writes into `{}`, an SQLite file of this machine that pods cannot reach; create a `pipelines_database` in the \
                 cluster, and name it in `database` of the `pipelines_run` or of the settings; or set DPP_DB_ENGINE to the address \
                 of another server",
                file.display(),
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
        let description = match serde_json::to_value(job) {
            Ok(description) => description,
            Err(error) => return failed(format!("a path of the job is not text: {error}")),
        };
        if let Some(message) = too_large(&packed, description.to_string().len().saturating_add(UNKNOWN_BYTES)) {
            return failed(message);
        }
        let options = elsewhere.options.or(options);
        if options.get(ExecutionOption::Image).is_none() {
            return failed(format!("{}; {}", NEEDS_IMAGE.0, NEEDS_IMAGE.1));
        }
        let name = manifest::name(&job.run, elsewhere.attempt);
        let (archive, notes) = (packed.archive.unwrap_or_default(), Notes::new(observer));
        let started = self.start(job, (&name, &options), (description, &archive), &notes, cancel).await;
        if let Err(failure) = started {
            if cancel.is_cancelled() {
                let cancelled = self.delete_cancelled(&name, job.grace, &notes).await;
                return self.cancelled(cancelled, &name, steps);
            }
            return self.not_started(failure, (&name, job.grace), steps).await;
        }
        let mut following = Following {
            client: &self.client,
            name,
            folders: elsewhere.folders.clone(),
            steps,
            grace: job.grace,
            ending: self.ending,
            timeout: job.timeout,
            memory: options.get(ExecutionOption::Memory).map(str::to_owned),
            observer,
            notes,
            progress: Progress::default(),
            cancel: cancel.clone(),
        };
        self.follow_to_end(&mut following).await
    }

    async fn end_leftover_processes(&self, run: &str, grace: Duration) -> io::Result<usize> {
        self.check_recorded().await?;
        self.delete_jobs(run, grace).await
    }

    fn environments(&self) -> Option<&Path> {
        Some(Path::new(ENVIRONMENTS))
    }

    async fn check(&self, options: &ExecutionOptions) -> Result<(), Vec<String>> {
        let in_lines = |error: ClientError| {
            let hint = error.hint().map(|hint| format!("hint: {hint}"));
            [error.to_string()].into_iter().chain(hint).collect::<Vec<_>>()
        };
        if let Some(problem) = self.rights_problem(options).await.map_err(in_lines)? {
            let hint = problem.hint.map(|hint| format!("hint: {hint}"));
            return Err([problem.message].into_iter().chain(hint).collect());
        }
        match self.claim_problem(options).await.map_err(in_lines)? {
            Some((message, hint)) => Err(vec![message, format!("hint: {hint}")]),
            None => Ok(()),
        }
    }

    async fn findings(&self, options: &ExecutionOptions) -> Vec<Finding> {
        let failed = |error: ClientError| vec![finding_of(&error)];
        match self.rights_problem(options).await {
            Err(error) => return failed(error),
            Ok(Some(problem)) => return vec![problem],
            Ok(None) => {}
        }
        match self.claim_problem(options).await {
            Err(error) => return failed(error),
            // The plan may create the claim.
            Ok(Some((message, hint))) => {
                return vec![Finding { severity: Severity::Warning, path: None, message, hint: Some(hint) }];
            }
            Ok(None) => {}
        }
        self.client.check_new(JOBS, &manifest::example(options)).await.map_or_else(failed, |()| Vec::new())
    }

    async fn diagnose(&self) -> Option<Vec<CheckResult>> {
        let mut results = Vec::new();
        if let Err(error) = self.check_cluster(&mut results).await {
            let remedy = error.hint().unwrap_or_else(|| "correct the settings of the executor `kubernetes`".to_owned());
            results.push(CheckResult::failed(error.to_string(), remedy));
        }
        Some(results)
    }

    fn pods(&self) -> Option<&dyn ClusterPods> {
        Some(self)
    }

    fn timed(&self) -> Option<&dyn TimedRuns> {
        Some(self)
    }

    async fn place(&self) -> Result<Option<Place>, String> {
        let place = self.cluster_place().await;
        place.map(|place| Some(Place::Kubernetes(place))).map_err(|error| in_words(&error))
    }

    async fn resume(
        &self,
        run: &Interrupted,
        observer: &dyn JobObserver,
        cancel: &CancellationToken,
    ) -> io::Result<Option<Outcome>> {
        self.check_recorded().await?;
        let name = run.object.clone().unwrap_or_else(|| manifest::name(&run.run, run.attempt));
        let found = Budget::of(CLEANUP).persist(silent, || self.client.get(JOBS, &name)).await;
        let found = found.map_err(|error| not_reached(&error))?;
        let Some(job) = found.filter(is_started) else { return Ok(None) };
        let memory = job.pointer("/spec/template/spec/containers/0/resources/limits/memory").and_then(Json::as_str);
        let (notes, progress) = (Notes::new(observer), Progress::default());
        let mut following = Following {
            client: &self.client,
            name,
            folders: run.folders.clone(),
            steps: vec![StepOutcome::default(); run.steps],
            grace: run.grace,
            ending: self.ending,
            timeout: None,
            memory: memory.map(str::to_owned),
            observer,
            notes: notes.clone(),
            progress: progress.clone(),
            cancel: cancel.clone(),
        };
        let outcome = tokio::select! {
            outcome = self.follow_to_end(&mut following) => outcome,
            limit = progress.stalled(run.limit) => {
                let why = match notes.last() {
                    why if why.is_empty() => why,
                    why => format!(": {why}"),
                };
                let message = format!("it has not ended within {} s{why}", limit.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
        };
        match outcome.failure {
            Some(failure) if outcome.end == End::Unknown => {
                Err(io::Error::new(io::ErrorKind::HostUnreachable, failure.message))
            }
            failure => Ok(Some(Outcome { failure, ..outcome })),
        }
    }

    async fn goes_on(&self, run: &str, attempt: usize, object: Option<&str>) -> io::Result<bool> {
        self.check_recorded().await?;
        let name = object.map_or_else(|| manifest::name(run, attempt), str::to_owned);
        let found = self.client.get(JOBS, &name).await.map_err(|error| not_reached(&error))?;
        Ok(found.is_some_and(|job| is_started(&job) && !has_ended(&job)))
    }

    async fn release(&self, run: &str, attempt: usize) {
        let name = manifest::name(run, attempt);
        // A Job that is being deleted gets no other pod: after a restart of the API server, the controller may still believe that
        // a deleted one exists.
        let delete = || self.client.delete(JOBS, &name, Propagation::Foreground);
        if let Err(error) = Budget::of(CLEANUP).persist(silent, delete).await {
            tracing::warn!(job = name, %error, "the Job of an ended run cannot be deleted; the next run deletes it");
        }
    }

    async fn remove_ended(&self, home: &str, has_ended: &(dyn for<'r> Fn(&'r str) -> bool + Send + Sync)) {
        let selectors = [("labelSelector", format!("{HOME}={}", manifest::label(home)))];
        let jobs = match self.client.list(JOBS, &selectors).await {
            Ok(jobs) => jobs,
            Err(error) => return tracing::warn!(%error, "the Jobs of ended runs cannot be listed"),
        };
        for job in &jobs {
            let text = |at: &str| job.pointer(at).and_then(Json::as_str);
            let labels = job.pointer("/metadata/labels");
            let run = labels.and_then(|labels| labels.get(RUN)).and_then(Json::as_str);
            let (Some(name), Some(run)) = (text("/metadata/name"), run) else { continue };
            if text("/metadata/deletionTimestamp").is_some() || !has_ended(run) {
                continue;
            }
            if let Err(error) = self.client.delete(JOBS, name, Propagation::Foreground).await {
                tracing::warn!(job = name, %error, "the Job of an ended run cannot be deleted");
            }
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
        assert!(message.starts_with("its files are too large for a Secret: 3.0 MiB compressed, at most 1.0 MiB fit"));
        assert!(message.contains("`/p/a.csv` with 5.0 MiB, `/p/b.csv` with 2.0 KiB, `/p/c` with 1 B;"), "{message}");
        assert!(
            message.contains("from an address, a database or the image: `terrace pipelines image` builds"),
            "{message}"
        );
        assert!(too_large(&packed(None), 0).unwrap().contains("Secret: 5.0 MiB, at most"));
        assert!(too_large(&packed(Some(1)), LARGEST + 1).unwrap().contains("parameters are too large"));
    }
}
