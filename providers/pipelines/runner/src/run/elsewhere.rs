//! Runs on other machines: the files and variables that a job takes along, and runs that go on after the process that
//! started them died.

use super::hooks::{HookTimeouts, Hooks};
use super::job::CODE;
use super::live_rows::LiveRows;
use super::log::{Masks, Writer};
use super::observer::RunObserver;
use super::outputs::Output;
use super::record::{Record, State};
use super::runner::{GRACE, NotRun, RunRequest, Runner};
use super::single::POLL;
use super::watcher::Watcher;
use crate::environment::Recipe;
use crate::execution_options::claim_parts;
use crate::executor::kubernetes::KubernetesExecutor;
use crate::executor::local::LocalExecutor;
use crate::executor::{Claim, Elsewhere, End, Executor, Interrupted, Place};
use crate::fingerprint::{ENGINE, Fingerprint};
use crate::spec::model::Pipeline;
use crate::spec::{Specs, output_folders};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Search path of programs on other machines.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// Variables that steps see if this process has them, in addition to those that they read.
const KEPT: [&str; 2] = ["PYTHONPATH", "TZ"];
/// Prefix of dpp's variables.
const DPP: &str = "DPP_";

/// Effect of a cancellation on a run that goes on elsewhere.
#[derive(Clone, Copy)]
pub(super) enum Cancellation<'a> {
    /// It ends the run.
    Run(&'a CancellationToken),
    /// It ends the wait for the end of the run.
    Wait(&'a CancellationToken),
}

/// An interrupted run after its settlement.
pub(super) struct Settled {
    pub(super) record: Record,
    /// It went on elsewhere, and was followed to its end.
    pub(super) is_followed: bool,
}

impl Settled {
    /// Returns true if the run answers a new request: it was followed to its end, and has the present inputs. Only a success of a
    /// schedule's run does, because the request did not start that run. Other runs have the id of the request, if it has one.
    pub(super) fn answers(&self, request: &RunRequest, now: &Fingerprint) -> bool {
        let is_same = || request.run.as_ref().is_none_or(|run| *run == self.record.run);
        let has_result = match self.record.scheduled_job {
            Some(_) => self.record.state == State::Succeeded,
            None => self.record.state != State::Lost && is_same(),
        };
        self.is_followed && has_result && self.record.reasons_against(now).is_empty()
    }
}

impl Runner {
    /// Variables of steps on another machine: those that they read, and those of the spec. Other variables of this
    /// process describe this machine.
    pub(super) fn variables_elsewhere(
        &self,
        variables: BTreeMap<String, String>,
        pipeline: &Pipeline,
        fingerprint: &Fingerprint,
    ) -> BTreeMap<String, String> {
        let is_needed = |name: &str| {
            fingerprint.variables.contains_key(name)
                || pipeline.environment.iter().any(|(named, _)| named == name)
                || self.visible_credentials.iter().any(|named| named == name)
                || KEPT.contains(&name)
                || name.starts_with(DPP) && name != ENGINE
        };
        let mut kept: BTreeMap<String, String> = variables.into_iter().filter(|(name, _)| is_needed(name)).collect();
        for (name, value) in [("HOME", "/tmp"), ("LANG", "C.UTF-8"), ("PATH", PATH)] {
            kept.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
        kept
    }

    /// Places of the specs' data packages that are on the claim of a run.
    ///
    /// # Errors
    /// When the results of a pipeline before it are out of its reach; for people.
    pub(super) fn results_elsewhere(
        &self,
        specs: &Specs,
        record: &Record,
        pipeline: &Pipeline,
    ) -> Result<Vec<PathBuf>, String> {
        let own = &record.fingerprint.claim;
        let last = |id: &str| self.store.succeeded(&record.folder, id).ok().flatten();
        for before in pipeline.all_before() {
            let claim = last(before).and_then(|last| last.fingerprint.claim);
            if let Some(claim) = claim.filter(|claim| own.as_ref() != Some(claim)) {
                return Err(format!(
                    "it reads the results of `{before}`, which are on the claim `{claim}`; run it in the cluster with the same `claim`"
                ));
            }
        }
        if own.is_none() {
            return Ok(Vec::new());
        }
        let on_it =
            specs.pipelines.iter().filter_map(|other| last(&other.id)).filter(|last| last.fingerprint.claim == *own);
        Ok(on_it.flat_map(|last| last.outputs).map(|output| output.place).collect())
    }

    /// The claim of a run with the places on it; nothing without a claim.
    fn claim(&self, specs: &Specs, pipeline: &Pipeline, record: &Record) -> Result<Option<Claim>, String> {
        let Some((name, folder)) = record.fingerprint.claim.as_deref().map(claim_parts) else { return Ok(None) };
        let mut links: Vec<(PathBuf, PathBuf)> = Vec::new();
        let outputs = record.outputs.iter().map(|output| output.place.clone());
        let places: BTreeSet<PathBuf> = outputs.chain(self.results_elsewhere(specs, record, pipeline)?).collect();
        let holds_specs = |place: &Path| {
            let mut folders = specs.pipelines.iter().map(|pipeline| specs.root.join(&pipeline.folder));
            specs.root.starts_with(place) || folders.any(|folder| folder.starts_with(place))
        };
        // A folder sorts before those inside it.
        for place in places {
            if links.iter().any(|(above, _)| place.starts_with(above)) {
                continue;
            }
            let hint =
                format!("data packages on the claim `{name}` need a folder for themselves in the project folder");
            match place.strip_prefix(&self.project) {
                Ok(within) if !holds_specs(&place) => {
                    let within = Path::new(folder).join(within);
                    links.push((place, within));
                }
                _ => return Err(format!("it writes into `{}`: {hint}; change its `out-path`", place.display())),
            }
        }
        let former =
            self.surplus(record).map_err(|error| format!("the record of its last run cannot be read: {error}"))?;
        let before = self.store.previous(record).map_err(|error| format!("its records cannot be read: {error}"))?;
        let lost = before
            .filter(|before| before.state != State::Succeeded && before.fingerprint.claim == record.fingerprint.claim);
        let partials = record.outputs.iter().cloned().chain(lost.into_iter().flat_map(|before| before.outputs));
        Ok(Some(Claim {
            name: name.to_owned(),
            links,
            outputs: record.outputs.clone(),
            former,
            partials: partials.map(|output| output.partial).collect(),
            abandoned: None,
            lock: None,
        }))
    }

    /// Parts of a job for another machine.
    ///
    /// # Errors
    /// When a claim cannot keep its results; for people.
    pub(super) fn elsewhere(
        &self,
        specs: &Specs,
        pipeline: &Pipeline,
        recipe: &Recipe,
        record: &Record,
        masks: &Masks,
    ) -> Result<Elsewhere, String> {
        let root = &specs.root;
        let claim = self.claim(specs, pipeline, record)?;
        let named = record.fingerprint.files.keys().chain(record.fingerprint.inputs.keys());
        let mut inputs: BTreeSet<PathBuf> = named.map(|name| self.project.join(name)).collect();
        inputs.insert(root.clone());
        inputs.insert(self.store.run_folder(&record.run).join(CODE));
        for before in pipeline.pipelines_before() {
            let before = self.store.succeeded(&record.folder, before).ok().flatten();
            let before = before.filter(|before| before.fingerprint.claim.is_none());
            let outputs = before.into_iter().flat_map(|before| before.outputs);
            inputs.extend(
                outputs.flat_map(|output| output.files.keys().map(|file| output.place.join(file)).collect::<Vec<_>>()),
            );
        }
        if let Some(claim) = &claim {
            inputs.retain(|input| !claim.links.iter().any(|(place, _)| input.starts_with(place)));
        }
        let folders: Vec<PathBuf> =
            specs.pipelines.iter().map(|pipeline| root.join(&pipeline.folder)).chain([root.clone()]).collect();
        // A pipeline may write next to its spec.
        let results = specs.pipelines.iter().flat_map(|pipeline| output_folders(root, pipeline));
        let results = results.filter(|place| !folders.iter().any(|folder| folder.starts_with(place)));
        let parents = inputs.iter().filter(|input| *input != root).filter_map(|input| input.parent());
        Ok(Elsewhere {
            pipeline: pipeline.id.clone(),
            home: record.home.clone(),
            deadline: None,
            attempt: record.attempts.len(),
            recipe: Some(recipe.clone()),
            options: self.execution_of(pipeline),
            folders: self.folders_elsewhere(root, &record.outputs, parents),
            results: results.collect(),
            databases: record.databases.clone(),
            // Package indexes repeat their addresses.
            secrets: masks.clone().with_texts(&recipe.requirements).into_texts(),
            inputs: inputs.into_iter().collect(),
            claim,
            is_timed: false,
            is_shell: false,
        })
    }

    /// Folders that a run needs on another machine; none contains another.
    fn folders_elsewhere<'a>(
        &'a self,
        root: &'a Path,
        outputs: &'a [Output],
        more: impl Iterator<Item = &'a Path>,
    ) -> Vec<PathBuf> {
        let parents = outputs.iter().filter_map(|output| output.place.parent());
        let all: BTreeSet<&Path> = [self.project.as_path(), root].into_iter().chain(parents).chain(more).collect();
        let mut folders: Vec<PathBuf> = Vec::new();
        // A folder sorts before those inside it.
        for folder in all {
            if !folders.iter().any(|above| folder.starts_with(above)) {
                folders.push(folder.to_owned());
            }
        }
        folders
    }

    /// Returns true for a run that goes on in a cluster without a process of this machine, as far as its record shows.
    #[must_use]
    pub fn is_in_cluster(&self, record: &Record) -> bool {
        self.store.is_in_cluster(record)
    }

    /// The executor at the place of a recorded run, independent of the settings of this process.
    ///
    /// # Errors
    /// [`io::ErrorKind::HostUnreachable`] if the place is not valid.
    pub(super) fn executor_of_record(&self, record: &Record) -> io::Result<Arc<dyn Executor>> {
        let is_here = self.executor.environments().is_none();
        match &record.place {
            None => Ok(Arc::clone(&self.executor)),
            Some(Place::Local) if is_here => Ok(Arc::clone(&self.executor)),
            Some(Place::Local) => Ok(Arc::new(LocalExecutor)),
            Some(Place::Kubernetes(place)) => {
                let executor = KubernetesExecutor::at(place).map_err(|message| {
                    self.at_place(record, io::Error::new(io::ErrorKind::HostUnreachable, message))
                })?;
                Ok(Arc::new(executor))
            }
        }
    }

    /// Names the run and its place in an error about the place.
    pub(super) fn at_place(&self, record: &Record, error: io::Error) -> io::Error {
        match (&record.place, error.kind()) {
            (Some(place @ Place::Kubernetes(_)), io::ErrorKind::HostUnreachable | io::ErrorKind::TimedOut) => {
                let folder = self.store.run_folder(&record.run);
                let hint = match error.kind() {
                    io::ErrorKind::TimedOut => format!(
                        "hint: wait for its end with `terrace pipelines run`, or end it with `terrace pipelines cancel {}`",
                        record.run
                    ),
                    _ => format!(
                        "hint: restore the access to that place; if the cluster is gone for ever, remove `{}`",
                        folder.display()
                    ),
                };
                let message = format!("run {} of {} is in {place}: {error}\n{hint}", record.run, record.pipeline);
                io::Error::new(error.kind(), message)
            }
            _ => error,
        }
    }

    /// Follows an interrupted run that goes on elsewhere, and records its outcome. Returns nothing if it does not go on. A run
    /// whose infrastructure failed is recorded as interrupted, so that its caller starts it again.
    ///
    /// # Errors
    /// When that is unknown, it goes on beyond the limit, or the outcome cannot be recorded. [`io::ErrorKind::Interrupted`] if a
    /// cancellation ended the wait.
    pub(super) async fn follow(
        &self,
        record: &Record,
        executor: &dyn Executor,
        limit: Option<Duration>,
        observer: &dyn RunObserver,
        cancel: Cancellation<'_>,
    ) -> io::Result<Option<Record>> {
        if executor.environments().is_none() {
            return Ok(None);
        }
        let attempt = record.attempts.len();
        let interrupted = Interrupted {
            run: record.run.clone(),
            attempt,
            object: record.scheduled_job.clone(),
            steps: record.steps.len(),
            folders: self.folders_elsewhere(&self.project.join(&record.folder), &record.outputs, std::iter::empty()),
            grace: GRACE,
            limit,
        };
        let run_folder = self.store.run_folder(&record.run);
        // The other machine has masked the secrets.
        let log = Writer::append(&run_folder, Masks::default())?;
        let names: Vec<String> = record.steps.iter().map(|(name, _)| name.clone()).collect();
        // The addresses of notifications are in the spec, which may have changed.
        let hooks = Hooks::new(&[], &record.pipeline, HookTimeouts::default());
        let watch = Watcher {
            pipeline: &record.pipeline,
            of: names.len(),
            first: 0,
            names: &names,
            log: &log,
            hooks: &hooks,
            observer,
            run_folder: &run_folder,
            rows: LiveRows::continued(&run_folder, names.len()),
            logged: AtomicUsize::new(0),
        };
        observer.started(&record.pipeline, &record.run);
        let (stop, leave) = match cancel {
            Cancellation::Run(cancel) => (cancel.child_token(), CancellationToken::new()),
            Cancellation::Wait(cancel) => (CancellationToken::new(), cancel.clone()),
        };
        let stop_request = async {
            while !self.store.is_stop_requested(&record.run) {
                tokio::time::sleep(POLL).await;
            }
            stop.cancel();
            std::future::pending().await
        };
        let outcome = tokio::select! {
            outcome = executor.resume(&interrupted, &watch, &stop) => {
                outcome.map_err(|error| self.at_place(record, error))?
            }
            never = stop_request => never,
            // Not later: a thread that moves outputs would go on without the lock of the pipeline.
            () = leave.cancelled() => return Err(io::ErrorKind::Interrupted.into()),
        };
        let Some(outcome) = outcome else { return Ok(None) };
        // Its Job has retried a run of a schedule.
        let is_retriable = outcome.end == End::Broken && record.scheduled_job.is_none();
        let is_retried = is_retriable && self.retries.after(attempt + 1, outcome.end).is_some();
        let recorded = self.record_outcome_blocking(record.clone(), outcome, 0, Masks::default()).await;
        let mut record = recorded.map_err(|(_, why)| match why {
            NotRun::Io(error) => error,
            other => io::Error::other(format!("{other:?}")),
        })?;
        if let (State::Publishing, Some(failure)) = (record.state, &record.failure) {
            return Err(io::Error::other(format!("run {}: {}", record.run, failure.message)));
        }
        if is_retried && record.state == State::Failed {
            record.state = State::Lost;
            let why = record.failure.as_ref().map_or("", |failure| failure.message.as_str());
            observer.warned(&record.pipeline, &format!("run {} was interrupted, and failed then: {why}", record.run));
        }
        record.finished_at.get_or_insert_with(Timestamp::now);
        self.store.write(&record)?;
        if record.scheduled_job.is_none() {
            executor.release(&record.run, attempt).await;
        }
        Ok(Some(record))
    }
}
