//! A run of a pipeline, from the wait for its turn to its record.

use super::attempts::{self, Attempt, Retries, until, wait};
use super::batch::Done;
use super::disk;
use super::due::Target;
use super::hooks::{Hooks, Patience};
use super::job::{self, Made, Making};
use super::log::{Masks, Writer};
use super::publishing;
use super::record::{Record, State};
use super::store::{NoTurn, Store, Turn};
pub(super) use super::watcher::{Preparing, Watcher};
use crate::environment::{Environment, EnvironmentError, Environments, Recipe};
use crate::executor::{End, Executor, Failed, Outcome, StepOutcome, too_long};
use crate::fingerprint::{Key, packages};
use crate::spec::Specs;
use crate::spec::model::Pipeline;
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Time that processes have to end after the request.
pub(super) const GRACE: Duration = Duration::from_secs(5);
/// Interval between checks for a request to stop.
const POLL: Duration = Duration::from_millis(200);

/// Runner of a project's pipelines.
#[derive(Clone)]
pub struct Runner {
    /// Records.
    pub store: Store,
    /// Python environments.
    pub environments: Environments,
    /// Executor of jobs.
    pub executor: Arc<dyn Executor>,
    /// Interpreter in the settings.
    pub python: Option<String>,
    /// Project folder, without symbolic links.
    pub project: PathBuf,
    /// Variables of this process without terrace's. Steps see them without credentials.
    pub variables: BTreeMap<String, String>,
    /// Names of credentials that all steps see.
    pub passed: Vec<String>,
    /// Database for the steps.
    pub target: Target,
    /// Maximum number of parallel runs.
    pub most: usize,
    /// Retry policy.
    pub retries: Retries,
}

/// Options of a run.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Reuse results that steps cached, while they are valid.
    pub uses_cache: bool,
    /// Maximum time of the run.
    pub timeout: Option<Duration>,
    /// Time to wait for another run of the pipeline.
    pub patience: Duration,
    /// Number of retries, if it differs from the runner's.
    pub retries: Option<u32>,
    /// Call that requests it.
    pub mark: Option<String>,
    /// Reasons; if empty, they are derived from the inputs.
    pub reasons: Vec<String>,
    /// Planned inputs (`specHash`, `codeHash`, `dataHash`); the run is refused if one of them differs when it starts.
    pub planned: BTreeMap<&'static str, String>,
    /// Id of the run; a new one if not given.
    pub run: Option<String>,
}

/// Reason why a pipeline was not run.
#[derive(Debug)]
pub enum NotRun {
    /// Another run of it is in progress.
    Taken {
        /// The other run, if known.
        run: Option<String>,
    },
    /// It was cancelled before its start.
    Cancelled,
    /// Its inputs differ from the plan; the texts name them.
    Changed(Vec<String>),
    /// Its environment cannot be created.
    Environment(EnvironmentError),
    /// A file cannot be created or read.
    Io(io::Error),
    /// A worker could not run it.
    Elsewhere {
        /// Message of the worker, in lines.
        what: Vec<String>,
    },
}

/// Observer of a run.
pub trait Watching: Send + Sync {
    /// Its environment is being created: `done` of `of` packages are installed.
    fn preparing(&self, pipeline: &str, done: usize, of: usize, what: &str);
    /// The run starts, with this id.
    fn started(&self, pipeline: &str, run: &str);
    /// A step printed a line of its log.
    fn line(&self, pipeline: &str, step: usize, name: &str, line: &str);
    /// Output of a step, counted from 0, of `of` steps.
    fn progress(&self, pipeline: &str, step: usize, of: usize, rows: u64, bytes: u64);
    /// Its steps, and the rows after its last step in the last successful run.
    fn expects(&self, _pipeline: &str, _steps: &[String], _rows: Option<u64>) {}
    /// Warning that does not stop the run.
    fn warned(&self, _pipeline: &str, _what: &str) {}
    /// Another run of it, with this id if known, is in progress; this one waits at most so long.
    fn waits(&self, _pipeline: &str, _run: Option<&str>, _most: Duration) {}
    /// A pipeline of a batch has ended.
    fn ended(&self, _done: &Done) {}
}

/// Observer that ignores all events.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Watching for Unwatched {
    fn preparing(&self, _pipeline: &str, _done: usize, _of: usize, _what: &str) {}
    fn started(&self, _pipeline: &str, _run: &str) {}
    fn line(&self, _pipeline: &str, _step: usize, _name: &str, _line: &str) {}
    fn progress(&self, _pipeline: &str, _step: usize, _of: usize, _rows: u64, _bytes: u64) {}
}

impl Runner {
    /// Runs a pipeline to its end. A failure is part of the record.
    ///
    /// # Errors
    /// When it was not run at all.
    pub async fn run(
        &self,
        specs: &Specs,
        pipeline: &Pipeline,
        asked: Asked,
        watching: &dyn Watching,
        cancel: &CancellationToken,
    ) -> Result<Record, NotRun> {
        let folder = self.folder_name(&specs.root);
        let turn = self.turn(&folder, &pipeline.id, asked.patience, watching, cancel).await?;
        if cancel.is_cancelled() {
            return Err(NotRun::Cancelled);
        }
        if let Some(left) = turn.left() {
            self.settle(&left).await?;
        }
        Key::ensure(self.store.folder())?;
        let (recipe, fingerprint) = self.needs(specs, pipeline).await?;
        let others = fingerprint.others_than(&asked.planned);
        if !others.is_empty() {
            return Err(NotRun::Changed(others));
        }
        let reasons = match asked.reasons.is_empty() {
            true => self.reasons_against(&folder, &pipeline.id, &fingerprint)?,
            false => asked.reasons.clone(),
        };
        let run = asked.run.clone().unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
        let record = Record {
            run: run.clone(),
            pipeline: pipeline.id.clone(),
            folder,
            state: State::Preparing,
            reasons,
            started_at: Timestamp::now(),
            finished_at: None,
            rows: 0,
            stats: Map::new(),
            steps: pipeline.steps.iter().map(|step| (step.name.clone(), StepOutcome::default())).collect(),
            failure: None,
            fingerprint,
            outputs: Vec::new(),
            databases: Vec::new(),
            has_begun: false,
            datapackage: None,
            mark: asked.mark.clone(),
            release: recipe.api.release().to_owned(),
            attempts: Vec::new(),
            home: self.store.home(),
        };
        turn.hold(Some(&run))?;
        self.store.write(&record)?;
        watching.started(&pipeline.id, &run);
        let hooks = Hooks::new(&pipeline.hooks, &pipeline.id, Patience::default());
        hooks.queue();
        // A request by file has the same effect as a signal.
        let stop = cancel.child_token();
        let running = self.run_recorded(specs, pipeline, &recipe, &asked, record, (watching, &hooks), &stop);
        let asking = async {
            while !self.store.is_asked_to_stop(&run) {
                tokio::time::sleep(POLL).await;
            }
            stop.cancel();
            std::future::pending::<()>().await;
        };
        let ended = tokio::select! {
            ended = running => ended,
            () = asking => return Err(NotRun::Cancelled),
        };
        let (mut record, result) = match ended {
            Ok(record) => (record, None),
            Err((record, why)) => (record, Some(why)),
        };
        let recorded = self.conclude(&mut record, &turn);
        // Notifications must not delay the next run.
        drop(turn);
        for warning in hooks.finish(&record).await {
            super::log::append(&self.store.run_folder(&run), &warning);
            watching.warned(&pipeline.id, &warning);
        }
        recorded?;
        match result {
            None => Ok(record),
            Some(why) => Err(why),
        }
    }

    /// Waits for the pipeline's turn, and reports the wait.
    async fn turn(
        &self,
        folder: &str,
        pipeline: &str,
        patience: Duration,
        watching: &dyn Watching,
        cancel: &CancellationToken,
    ) -> Result<Turn, NoTurn> {
        match self.store.turn(folder, pipeline, Duration::ZERO, cancel).await {
            Err(NoTurn::Taken { run }) if !patience.is_zero() => {
                watching.waits(pipeline, run.as_deref(), patience);
                self.store.turn(folder, pipeline, patience, cancel).await
            }
            turn => turn,
        }
    }

    /// Records the outcome of a run, and ends its turn.
    fn conclude(&self, record: &mut Record, turn: &Turn) -> io::Result<()> {
        if let (State::Publishing, Some(failure)) = (record.state, &record.failure) {
            // It stays current in the records: the next run of the pipeline finishes it first.
            self.store.write(record)?;
            return Err(io::Error::other(failure.what.clone()));
        }
        if record.finished_at.is_none() {
            record.finished_at = Some(Timestamp::now());
        }
        self.store.write(record)?;
        turn.hold(None)?;
        if let Err(error) = self.store.prune(&record.folder, &record.pipeline) {
            tracing::warn!(pipeline = record.pipeline, %error, "old runs cannot be removed");
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "second half of `run`")]
    async fn run_recorded(
        &self,
        specs: &Specs,
        pipeline: &Pipeline,
        recipe: &Recipe,
        asked: &Asked,
        mut record: Record,
        (watching, hooks): (&dyn Watching, &Hooks),
        stop: &CancellationToken,
    ) -> Result<Record, (Record, NotRun)> {
        if let Some(missing) = packages(&specs.root, pipeline).into_iter().find(|package| !package.is_file()) {
            let what = format!("it depends on the data package `{}`, which does not exist", missing.display());
            record.state = State::Failed;
            record.failure = Some(Failed { step: None, what, said: Vec::new() });
            return Ok(record);
        }
        let retries = Retries { most: asked.retries.unwrap_or(self.retries.most), ..self.retries };
        let ends = asked.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let variables = self.variables_of(pipeline);
        let masks = Masks::of(&variables).and_of(pipeline.steps.iter().map(|step| &step.parameters));
        let making = stop.child_token();
        let made = {
            let made = self.environment(recipe, &mut record, &retries, watching, &making);
            tokio::pin!(made);
            tokio::select! {
                made = &mut made => made,
                () = until(ends) => {
                    making.cancel();
                    made.await
                }
            }
        };
        let environment = match made {
            Ok(environment) => environment,
            Err(error) => {
                let error = error.masked(&masks.clone().and_in(&recipe.requirements));
                let (state, what) = match (&error, asked.timeout.filter(|_| !stop.is_cancelled())) {
                    (EnvironmentError::Cancelled, Some(timeout)) => (State::TimedOut, too_long(timeout)),
                    (EnvironmentError::Cancelled, None) => (State::Cancelled, error.to_string()),
                    _ => (State::Failed, error.to_string()),
                };
                record.state = state;
                record.failure = Some(Failed { step: None, what, said: Vec::new() });
                return if state == State::Failed { Err((record, NotRun::Environment(error))) } else { Ok(record) };
            }
        };
        let run_folder = self.store.run_folder(&record.run);
        let log = match Writer::create(&run_folder, masks.clone()) {
            Ok(log) => log,
            Err(error) => return Err((record, error.into())),
        };
        let steps: Vec<String> = pipeline.steps.iter().map(|step| step.name.clone()).collect();
        let before = self.store.succeeded(&record.folder, &pipeline.id).ok().flatten();
        watching.expects(&pipeline.id, &steps, before.map(|before| before.rows).filter(|rows| *rows > 0));
        hooks.start();
        loop {
            let begun = Timestamp::now();
            let made = job::make(Making {
                run: &record.run,
                run_folder: &run_folder,
                root: &specs.root,
                pipeline,
                environment: &environment,
                fingerprint: &record.fingerprint,
                variables: variables.clone(),
                dependencies: self.packages_before(&record.folder, pipeline),
                uses_cache: asked.uses_cache,
                timeout: ends.map(|ends| ends.saturating_duration_since(Instant::now())),
                grace: GRACE,
            });
            let Made { job, outputs, from_cache } = match made {
                Ok(made) => made,
                Err((step, what)) => {
                    record.state = State::Failed;
                    record.failure = Some(Failed { step, what, said: Vec::new() });
                    return Ok(record);
                }
            };
            (record.outputs, record.state, record.has_begun) = (outputs, State::Running, true);
            record.databases = self.databases_of(&specs.root, pipeline, &record.fingerprint, &variables);
            if let Err(error) = self.store.write(&record) {
                return Err((record, error.into()));
            }
            if let Some(step) = from_cache {
                log.write(0, "", &format!("the cached result of step {step} is used"));
            }
            let names: Vec<String> = job.steps.iter().map(|step| step.name.clone()).collect();
            // The cached result replaces its step and all earlier ones.
            let first = from_cache.map_or(0, |step| step.saturating_sub(1));
            let (pipeline, of) = (pipeline.id.as_str(), pipeline.steps.len());
            let watch = Watcher { pipeline, of, first, names: &names, log: &log, hooks, watching };
            let mut outcome = self.executor.execute(&job, &watch, stop).await;
            if let (End::TimedOut, Some(timeout), Some(failure)) =
                (outcome.end, asked.timeout, outcome.failure.as_mut())
            {
                // The job had only the rest of the time.
                failure.what = too_long(timeout);
            }
            let failed = record.attempts.len() + 1;
            let Some(pause) = retries.after(failed, &outcome) else {
                return self.taken(record, outcome, first, masks).await;
            };
            record.discard();
            let what = outcome.failure.map(|failure| masks.text(&failure.what)).unwrap_or_default();
            let warning = attempts::in_words(&what, failed, retries.most, pause);
            log.write(0, "", &warning);
            watching.warned(pipeline, &warning);
            record.attempts.push(Attempt { started_at: begun, finished_at: Timestamp::now(), what });
            if !wait(pause, stop).await {
                record.state = State::Cancelled;
                record.failure = Some(Failed { step: None, what: "it was cancelled".to_owned(), said: Vec::new() });
                return Ok(record);
            }
        }
    }

    /// Returns the environment of a run; retries temporary errors.
    async fn environment(
        &self,
        recipe: &Recipe,
        record: &mut Record,
        retries: &Retries,
        watching: &dyn Watching,
        stop: &CancellationToken,
    ) -> Result<Environment, EnvironmentError> {
        let pipeline = record.pipeline.clone();
        let making = Preparing { pipeline: &pipeline, watching };
        let mut failed = 0;
        loop {
            let begun = Timestamp::now();
            let error = match self.environments.ensure(recipe, &making, stop).await {
                Ok(environment) => return Ok(environment),
                Err(error) => error,
            };
            failed += 1;
            let Some(pause) = retries.after_environment(failed, &error) else { return Err(error) };
            let what = error.to_string();
            watching.warned(&pipeline, &attempts::in_words(&what, failed, retries.most, pause));
            record.attempts.push(Attempt { started_at: begun, finished_at: Timestamp::now(), what });
            if !wait(pause, stop).await {
                return Err(EnvironmentError::Cancelled);
            }
        }
    }

    /// Calls [`Runner::take`] outside of the async threads: large files take long to sync.
    async fn taken(
        &self,
        record: Record,
        outcome: Outcome,
        first: usize,
        masks: Masks,
    ) -> Result<Record, (Record, NotRun)> {
        let (runner, mut taken) = (self.clone(), record.clone());
        let taking = tokio::task::spawn_blocking(move || {
            runner.take(&mut taken, outcome, first, &masks);
            taken
        });
        taking.await.map_err(|error| (record, NotRun::Io(io::Error::other(error))))
    }

    /// Records the outcome of the executor, and moves outputs into place.
    fn take(&self, record: &mut Record, outcome: Outcome, first: usize, masks: &Masks) {
        record.rows = outcome.rows;
        // A path may contain text that is masked elsewhere.
        record.datapackage = publishing::package(&outcome.stats, &record.outputs);
        record.stats = into_map(masks.value(Value::Object(outcome.stats)));
        for (kept, step) in record.steps.iter_mut().skip(first).zip(outcome.steps) {
            kept.1 = step;
        }
        record.failure = outcome.failure.map(|failure| Failed {
            step: failure.step.map(|step| step + first),
            what: failure.what,
            said: failure.said.iter().map(|line| masks.text(line)).collect(),
        });
        record.state = match outcome.end {
            End::Succeeded => State::Publishing,
            End::Failed | End::Broken => State::Failed,
            End::Cancelled => State::Cancelled,
            End::TimedOut => State::TimedOut,
        };
        if record.state == State::Publishing {
            self.publish(record);
        } else {
            // Check the disk before the outputs are discarded, which frees space.
            if let (Some(place), Some(failure)) = (self.full_disk(record), &mut record.failure) {
                failure.what.push_str(&format!("; the disk of `{}` is full", place.display()));
            }
            record.datapackage = None;
            record.discard();
        }
    }

    /// Returns the full disk that made a run fail.
    fn full_disk(&self, record: &Record) -> Option<PathBuf> {
        let project = &self.project;
        if record.state == State::Failed { disk::full(record, &[project, self.store.folder()]) } else { None }
    }
}

fn into_map(value: Value) -> Map<String, Value> {
    if let Value::Object(map) = value { map } else { Map::new() }
}

impl From<io::Error> for NotRun {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<NoTurn> for NotRun {
    fn from(error: NoTurn) -> Self {
        match error {
            NoTurn::Taken { run } => Self::Taken { run },
            NoTurn::Cancelled => Self::Cancelled,
            NoTurn::Io(error) => Self::Io(error),
        }
    }
}
