//! The pipelines of a project for the API of `terrace serve`. The workers of the queue run them, so that a run goes on
//! when the server ends.

use super::cancel::stop;
use super::cluster_databases::{DatabasePod, with_runs};
use super::format::{self, reason_not_started};
use super::list::{file, is_wrong, kind, severity};
use super::objects;
use super::pods;
use super::project::record_of;
use super::queued::end;
use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Number;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use terrace_engine::store::Usage;
use terrace_pipelines::database::clock::Moment;
use terrace_pipelines::database::{
    DatabaseError, DatabaseErrorKind, Extension, ProjectDatabases, Record as DatabaseRecord, Status, time_to_live,
};
use terrace_pipelines::execution_options::{ExecutionOption, ExecutionOptions, WrongOption};
use terrace_pipelines::executor::{Place, StepOutcome};
use terrace_pipelines::queue::limit::{CallerLimits, Exceeded};
use terrace_pipelines::queue::{self, CancelOutcome, Ending, Entry, NotRunReason, Phase, Queue, QueueError};
use terrace_pipelines::queue::{QueueRequest, RequestedRun, Requester};
use terrace_pipelines::run::batch::PipelineOutcome;
use terrace_pipelines::run::log::Reader;
use terrace_pipelines::run::{Record, Runner, State};
use terrace_pipelines::spec::model::{DependsOn, Step};
use terrace_pipelines::spec::params::WrongParam;
use terrace_pipelines::spec::{self, Problem, Specs, params};
use terrace_provider::names::closest;
use terrace_provider_pipelines::resource::run;
use terrace_server::pipelines::{
    Database, NewRun, OverLimit, Pipeline, PipelineDependency, PipelineLimits, PipelineProblem, PipelineStep,
    Pipelines, PipelinesCaller, PipelinesError, PlannedObject, Pod, Run, RunAttempt, RunError, RunFilter, RunLine,
    RunLog, RunPage, RunStep, ServedPipelines, UnloggedEvent, UnloggedUse, UsedObject,
};
use uuid::Uuid;

/// How long a run waits for another run of its pipeline outside of the workers.
const LOCK_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a cancelled run of such a process may take to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);
/// Ends that are read at once for the usage log.
const ENDS: usize = 100;
/// Interval of looks for expired databases.
const EXPIRIES: Duration = Duration::from_secs(5);
/// Interval of copies of runs that CronJobs started: a copy needs calls of their clusters.
const COPIES: Duration = Duration::from_secs(30);
/// Runs that a page of a list reads at most, including those that its filter leaves out.
const MOST_READ: usize = 2_000;
/// Most bytes of a run's statistics in a list, as JSON. The operator shows statistics up to this size.
const LARGEST_STATS: usize = 16 << 10;
/// States that the queue adds to those of records.
const QUEUE_STATES: [&str; 5] = ["queued", "assigned", "clean", "held", "not_run"];
/// States of records.
const STATES: [State; 8] = [
    State::Preparing,
    State::Running,
    State::Publishing,
    State::Succeeded,
    State::Failed,
    State::Cancelled,
    State::TimedOut,
    State::Lost,
];

/// The pipelines of a project for a server. They use the settings of that environment.
pub(in crate::commands) fn served(runner: Runner, databases: ProjectDatabases, environment: &str) -> ServedPipelines {
    let project = Project::new(runner, databases);
    ServedPipelines { pipelines: Arc::new(project), environment: environment.to_owned() }
}

/// A project with pipelines.
#[derive(Clone)]
struct Project {
    runner: Runner,
    databases: ProjectDatabases,
    /// The open queue.
    queue: Arc<Mutex<Option<Queue>>>,
    /// The last look for expired databases.
    looked_at: Arc<Mutex<Option<Look>>>,
    /// The last copy of runs that CronJobs started; locked during a copy.
    copied: Arc<tokio::sync::Mutex<Copied>>,
}

/// A copy of runs that CronJobs started.
#[derive(Default)]
struct Copied {
    /// Its end.
    at: Option<Instant>,
    /// Messages about schedules whose clusters do not answer. Each is logged once.
    problems: Vec<String>,
}

/// The time of a look for expired databases, and its failure.
type Look = (Instant, Option<PipelinesError>);

fn failed(error: impl fmt::Display) -> PipelinesError {
    PipelinesError::Failed(error.to_string())
}

fn unreadable(error: io::Error) -> PipelinesError {
    PipelinesError::Failed(format!("the records of runs cannot be read: {error}"))
}

fn of_queue(error: QueueError) -> PipelinesError {
    let text = match error.hint() {
        Some(hint) => format!("{error} ({hint})"),
        None => error.to_string(),
    };
    match error {
        QueueError::KeyTaken => PipelinesError::KeyTaken,
        QueueError::OverLimit(exceeded) => PipelinesError::OverLimit(Box::new(over_limit(*exceeded))),
        QueueError::NoPool { .. } => PipelinesError::Invalid(text),
        QueueError::NoOpenPool | QueueError::NoWorkers | QueueError::Expired { .. } => PipelinesError::Conflict(text),
        error if error.is_transient() => PipelinesError::Unavailable("the queue of runs cannot be written now".into()),
        _ => PipelinesError::Failed(text),
    }
}

fn over_limit(exceeded: Exceeded) -> OverLimit {
    let message = exceeded.to_string();
    let Exceeded { limit, organisation, allowed, used, resets_at, .. } = exceeded;
    OverLimit { limit: limit.key().to_owned(), organisation, allowed, used, resets_at, message }
}

fn of_limits(limits: PipelineLimits) -> CallerLimits {
    CallerLimits {
        concurrent_runs: limits.concurrent_runs,
        run_seconds: limits.run_seconds_per_day,
        rows: limits.rows_per_day,
        stored_bytes: limits.stored_bytes,
        database_hours: limits.database_hours_per_day,
    }
}

fn requester(by: &PipelinesCaller, call: String) -> Requester {
    Requester {
        caller: by.name.clone(),
        limits: of_limits(by.limits),
        organisation: by.organisation.clone(),
        organisation_limits: of_limits(by.organisation_limits),
        key: by.key.clone(),
        call,
        after: Vec::new(),
    }
}

fn of_database(error: DatabaseError) -> PipelinesError {
    match error.kind {
        DatabaseErrorKind::Missing => PipelinesError::Missing(error.message),
        DatabaseErrorKind::InUse | DatabaseErrorKind::Invalid => PipelinesError::Conflict(error.message),
        DatabaseErrorKind::Unreachable => PipelinesError::Unavailable(error.message),
        DatabaseErrorKind::AlreadyExists | DatabaseErrorKind::Failed | DatabaseErrorKind::Cancelled => {
            PipelinesError::Failed(error.message)
        }
    }
}

impl Project {
    fn new(runner: Runner, databases: ProjectDatabases) -> Self {
        Self { runner, databases, queue: Arc::default(), looked_at: Arc::default(), copied: Arc::default() }
    }

    /// Does work that blocks, outside of the threads that answer calls.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, PipelinesError> + Send + 'static,
    ) -> Result<T, PipelinesError> {
        let project = self.clone();
        tokio::task::spawn_blocking(move || work(&project)).await.map_err(failed)?
    }

    /// The queue, if the project has one. A user may create or replace it while the server runs.
    fn queue(&self) -> Result<Option<Queue>, PipelinesError> {
        let mut open = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if open.as_ref().is_none_or(|queue| !queue.is_current()) {
            *open = Queue::existing(self.runner.store.folder()).map_err(of_queue)?;
        }
        Ok(open.clone())
    }

    fn specs(&self) -> Result<Specs, PipelinesError> {
        let specs = spec::read(&self.runner.project)
            .map_err(|error| failed(format!("the project cannot be searched for specs: {error}")))?;
        Ok(specs.with_display_root("".as_ref()))
    }

    /// Queues a run.
    fn start(&self, run: &NewRun, by: &Requester) -> Result<String, PipelinesError> {
        let no_workers = || of_queue(QueueError::NoOpenPool);
        if let Some(queue) = self.queue()?
            && let Some(earlier) = queue.earlier_run(by).map_err(of_queue)?
        {
            return Ok(earlier);
        }
        let specs = self.specs()?;
        let pipeline = find_pipeline(&specs, &run.pipeline_id)?;
        let queue = self.queue()?.ok_or_else(no_workers)?;
        for before in &by.after {
            if queue.entry(before).map_err(of_queue)?.is_none() {
                return Err(PipelinesError::Invalid(format!("`after`: the queue has no run `{before}`")));
            }
        }
        let execution = self.options_of(&specs, &pipeline, run)?;
        let cluster = queue.active_cluster().map_err(of_queue)?.filter(|cluster| cluster.workers > 0);
        let request = QueueRequest {
            pool: run.pool.clone().or_else(|| cluster.map(|cluster| cluster.kind)),
            folder: self.runner.folder_name(&specs.root),
            pipeline,
            options: queue::Options {
                only_dirty: run.dirty,
                is_forced: run.force,
                uses_cache: run.use_cache.unwrap_or(true),
                timeout: run.timeout_seconds.map(Duration::from_secs),
                lock_timeout: LOCK_TIMEOUT,
                retries: run.retries,
                params: run.params.clone(),
                execution,
            },
            root: specs.root,
            after: Vec::new(),
        };
        queue.enqueue_for(&request, by).map_err(of_queue)
    }

    /// The options of a run's pods. Checks them, and the parameters of the run.
    fn options_of(&self, specs: &Specs, id: &str, run: &NewRun) -> Result<ExecutionOptions, PipelinesError> {
        let mut options = ExecutionOptions::default();
        for (option, value) in [
            (ExecutionOption::Image, &run.image),
            (ExecutionOption::Cpu, &run.cpu),
            (ExecutionOption::Memory, &run.memory),
            (ExecutionOption::Disk, &run.disk),
        ] {
            value.iter().for_each(|value| options.set(option, value.as_str()));
        }
        if let Some(pipeline) = specs.pipeline(id) {
            let wrong = |wrong: WrongParam| PipelinesError::Invalid(format!("`params`: {wrong}"));
            params::check(pipeline, &run.params).map_err(wrong)?;
            let wrong = |(_, wrong): (ExecutionOption, WrongOption)| {
                let hint = wrong.hint.map(|hint| format!("; {hint}"));
                PipelinesError::Invalid(wrong.message + &hint.unwrap_or_default())
            };
            self.runner.check_run_options(pipeline, &options).map_err(wrong)?;
        }
        Ok(options)
    }

    /// A run by its full id.
    fn find(&self, id: &str) -> Result<Option<Run>, PipelinesError> {
        if id.parse::<Uuid>().is_err() {
            return Ok(None);
        }
        let queue = self.queue()?;
        let entry = queue.as_ref().map(|queue| queue.entry(id)).transpose().map_err(of_queue)?.flatten();
        if let (Some(entry), Some(queue)) = (entry, &queue) {
            let record = record_of(&self.runner, &entry).map_err(unreadable)?;
            let caller = queue.caller_of(id).map_err(of_queue)?;
            return Ok(Some(of_entry(&entry, record.as_ref(), caller)));
        }
        let record = self.runner.store.exact_run(id).map_err(unreadable)?;
        record.map(|record| of_record(&self.runner, &record)).transpose().map_err(unreadable)
    }

    /// Starts to copy runs that CronJobs started into the records, at intervals. A slow cluster delays no other ends.
    fn copy_started_runs(&self) {
        let Ok(mut copied) = Arc::clone(&self.copied).try_lock_owned() else { return };
        if copied.at.is_some_and(|at| at.elapsed() < COPIES) {
            return;
        }
        let runner = self.runner.clone();
        tokio::spawn(async move {
            let problems = runner.record_started_runs().await;
            for problem in problems.iter().filter(|problem| !copied.problems.contains(problem)) {
                tracing::warn!("{problem}");
            }
            *copied = Copied { at: Some(Instant::now()), problems };
        });
    }

    /// Ended runs of the queue, or else of CronJobs, that the usage log does not have.
    fn unlogged_runs(&self) -> Result<Vec<UnloggedUse>, PipelinesError> {
        let ends = self.queue()?.map(|queue| queue.unlogged_ends(ENDS)).transpose().map_err(of_queue)?;
        match ends {
            Some(ends) if !ends.is_empty() => Ok(ends.into_iter().map(end_of).collect()),
            _ => {
                let ends = self.runner.unlogged_ends(ENDS).map_err(unreadable)?;
                Ok(ends.iter().map(end_of_started).collect())
            }
        }
    }

    /// The runs that match, newest first.
    fn list(&self, filter: &RunFilter) -> Result<RunPage, PipelinesError> {
        if let Some(before) = filter.before.as_ref().filter(|id| id.parse::<Uuid>().is_err()) {
            return Err(PipelinesError::Invalid(format!(
                "`{before}` is not the id of a run: start with the first page"
            )));
        }
        let words: Vec<&str> = QUEUE_STATES.into_iter().chain(STATES.map(State::word)).collect();
        if let Some(state) = filter.state.as_deref().filter(|state| !words.contains(state)) {
            let words = words.join(", ");
            return Err(PipelinesError::Invalid(format!("`{state}` is not a state of runs: expected one of {words}")));
        }
        let queue = self.queue()?;
        let before = filter.before.as_deref();
        // Runs of other pipelines need no reads.
        let pipeline = filter.pipeline.as_deref().filter(|word| !spec::selection::is_pattern(word));
        let queued: BTreeSet<String> = match (&queue, pipeline) {
            (Some(queue), Some(id)) => queue.ids_of_before(id, before, MOST_READ + 1),
            (Some(queue), None) => queue.ids_before(before, MOST_READ + 1),
            (None, _) => Ok(Vec::new()),
        }
        .map_err(of_queue)?
        .into_iter()
        .collect();
        // Names only: records are read as far as the page needs them. Ids sort by time.
        let store = &self.runner.store;
        let recorded =
            pipeline.map_or_else(|| store.ids(), |id| store.ids_of(id)).map_err(unreadable)?.into_iter().rev();
        let recorded = recorded.filter(|id| before.is_none_or(|before| id.as_str() < before)).take(MOST_READ + 1);
        let ids: BTreeSet<String> = recorded.chain(queued.iter().cloned()).collect();
        let (mut page, mut last) = (RunPage::default(), None);
        for (read, id) in ids.into_iter().rev().enumerate() {
            if page.runs.len() >= filter.limit || read >= MOST_READ {
                page.next = last;
                break;
            }
            let is_later = match &queue {
                Some(queue) if !queued.contains(&id) => queue.is_later_record(&id).map_err(of_queue)?,
                _ => false,
            };
            // Another process may be writing or removing a record.
            let run = if is_later { None } else { self.find(&id)? };
            last = Some(id);
            let Some(run) = run else { continue };
            let is_meant = filter.pipeline.as_ref().is_none_or(|id| spec::selection::selects(id, &run.pipeline_id));
            if is_meant && filter.state.as_ref().is_none_or(|state| *state == run.state) {
                page.runs.push(listed(run)?);
            }
        }
        Ok(page)
    }

    /// Requests the end of a run. The error is the record of a run that goes on without the queue.
    fn cancel_queued(&self, id: &str, by: &str) -> Result<Result<bool, Box<Record>>, PipelinesError> {
        if let Some(queue) = self.queue()?
            && let Some(entry) = queue.entry(id).map_err(of_queue)?
        {
            let outcome = queue.cancel(id, Some(by)).map_err(of_queue)?;
            if !matches!(outcome, CancelOutcome::AlreadyEnded) {
                return Ok(Ok(true));
            }
            // Its worker could not end it.
            let record = record_of(&self.runner, &entry).map_err(unreadable)?;
            let record = record.filter(|record| !record.state.is_over());
            return Ok(record.map_or(Ok(false), |record| Err(Box::new(record))));
        }
        match self.runner.store.exact_run(id).map_err(unreadable)? {
            Some(record) if !of_record(&self.runner, &record).map_err(unreadable)?.is_over => Ok(Err(Box::new(record))),
            _ => Ok(Ok(false)),
        }
    }

    /// A part of a run's log.
    fn read_log(&self, id: &str, after: Option<&str>, limit: usize) -> Result<Option<RunLog>, PipelinesError> {
        // The run is read before its log: the lines of an ended run are complete.
        let Some(run) = self.find(id)? else { return Ok(None) };
        let is_queued = run.queued_at.is_some();
        let records = match self.queue()?.filter(|_| is_queued) {
            Some(queue) => queue.records_of(id).map_err(of_queue)?,
            None => vec![id.to_owned()],
        };
        let mut position = match after {
            None => LogPosition::default(),
            Some(text) => LogPosition::of(text).ok_or_else(|| {
                PipelinesError::Invalid(format!("`{text}` is not a position in a log: start with the first page"))
            })?,
        };
        let mut lines = Vec::new();
        while let Some(record) = records.get(position.attempt) {
            let mut reader = Reader::after(&self.runner.store.run_folder(record), position.bytes);
            let new = reader.positioned_lines(limit - lines.len()).map_err(unreadable)?;
            lines.extend(new.into_iter().map(|(bytes, line)| {
                let position = LogPosition { bytes, ..position };
                let terrace_pipelines::run::log::Line { at, step, name, line, is_warning } = line;
                (position.to_string(), RunLine { at, step, name, line, is_warning })
            }));
            position.bytes = reader.position();
            if lines.len() >= limit || position.attempt + 1 >= records.len() {
                break;
            }
            position = LogPosition { attempt: position.attempt + 1, bytes: 0 };
        }
        let is_complete = run.is_over && lines.len() < limit;
        Ok(Some(RunLog { run, lines, end: position.to_string(), is_complete }))
    }

    fn shown(&self, record: &DatabaseRecord) -> Database {
        Database {
            name: record.name.clone(),
            engine: record.engine.word().to_owned(),
            version: record.version.clone(),
            status: self.databases.status_word(record).to_owned(),
            made_at: record.made_at,
            expires_at: record.deadline.as_ref().map(|deadline| deadline.expires_at),
            seconds_left: record.deadline.as_ref().map(|deadline| deadline.left(&Moment::now()).as_secs()),
        }
    }

    /// Expired databases that the usage log does not have. Looks for them at intervals: those of a cluster need a call.
    async fn unlogged_expiries(&self) -> Result<Vec<UnloggedUse>, PipelinesError> {
        let looked_at = || self.looked_at.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *looked_at() {
            Some((at, failure)) if at.elapsed() < EXPIRIES => return failure.clone().map_or(Ok(Vec::new()), Err),
            last => *last = Some((Instant::now(), None)),
        }
        let records = match self.databases.list().await.map_err(of_database) {
            Ok(records) => records,
            Err(error) => {
                // An outage lasts until the next look.
                *looked_at() = Some((Instant::now(), Some(error.clone())));
                return Err(error);
            }
        };
        let expired: Vec<DatabaseRecord> = records.into_iter().filter(|record| record.is_expired).collect();
        if expired.is_empty() {
            return Ok(Vec::new());
        }
        self.blocking(move |project| {
            let queue = Queue::open(project.runner.store.folder()).map_err(of_queue)?;
            let ids = expired.iter().map(|record| record.id.clone()).collect();
            let unlogged = queue.unlogged_expiries(&ids).map_err(of_queue)?;
            let expired = expired.into_iter().filter(|record| unlogged.contains(&record.id));
            Ok(expired.map(expiry_of).collect())
        })
        .await
    }

    /// The workers, and the databases of the active cluster.
    async fn workers_and_databases(&self) -> Result<(Vec<queue::Pod>, Vec<DatabasePod>), PipelinesError> {
        let read = self.blocking(|project| {
            let Some(queue) = project.queue()? else { return Ok(None) };
            Ok(Some((queue.pods().map_err(of_queue)?, queue.active_cluster().map_err(of_queue)?)))
        });
        let Some((workers, cluster)) = read.await? else { return Ok((Vec::new(), Vec::new())) };
        let records = match &cluster {
            Some(cluster) => match self.databases.of_cluster(cluster).await {
                Ok((records, _)) => records,
                // The workers are known without Kubernetes.
                Err(error) if !cluster.is_here() => {
                    tracing::warn!(%error, "databases of the cluster are not listed");
                    Vec::new()
                }
                Err(error) => return Err(of_database(error)),
            },
            None => Vec::new(),
        };
        self.blocking(move |project| {
            let databases = match &cluster {
                Some(cluster) => with_runs(&project.runner, &project.databases, cluster, records, &workers),
                None => Vec::new(),
            };
            Ok((workers, databases))
        })
        .await
    }

    /// The record of an existing database. An invalid name counts as unknown.
    async fn check_exists(&self, name: &str) -> Result<DatabaseRecord, PipelinesError> {
        self.databases.existing(name).await.map_err(|error| match error.kind {
            DatabaseErrorKind::Invalid => PipelinesError::Missing(format!("there is no database `{name}`")),
            _ => of_database(error),
        })
    }
}

/// A run without the fields that would make a page of a list arbitrarily large.
fn listed(mut run: Run) -> Result<Run, PipelinesError> {
    run.errors.clear();
    if serde_json::to_vec(&run.stats).map_err(failed)?.len() > LARGEST_STATS {
        run.stats.clear();
    }
    Ok(run)
}

/// A position in the log of a run, which has a part for each attempt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct LogPosition {
    /// The attempt, counted from 0.
    attempt: usize,
    /// Bytes in the part of this attempt.
    bytes: u64,
}

impl LogPosition {
    fn of(text: &str) -> Option<Self> {
        let (attempt, bytes) = text.split_once('.')?;
        Some(Self { attempt: attempt.parse().ok()?, bytes: bytes.parse().ok()? })
    }
}

impl fmt::Display for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.attempt, self.bytes)
    }
}

/// The id of the pipeline that a caller names.
fn find_pipeline(specs: &Specs, word: &str) -> Result<String, PipelinesError> {
    let is_meant = |id: &str| id == word || id.strip_prefix("./") == Some(word);
    let problems = || {
        let of_pipeline = specs.problems.iter().filter(|problem| problem.is_error());
        let of_pipeline = of_pipeline.filter(|problem| problem.pipeline.as_deref().is_some_and(is_meant));
        of_pipeline.map(|problem| problem.in_one_line(specs).to_string()).collect::<Vec<_>>()
    };
    if let Some(id) = specs.broken().into_iter().find(|id| is_meant(id)) {
        let why = problems().join("; ");
        return Err(PipelinesError::Invalid(format!("the pipeline `{id}` cannot be run: {why}")));
    }
    if let Some(pipeline) = specs.pipelines.iter().find(|pipeline| is_meant(&pipeline.id)) {
        return Ok(pipeline.id.clone());
    }
    let meant = closest(word, specs.pipelines.iter().map(|pipeline| pipeline.id.as_str()));
    let hint = meant.map(|id| format!(" (did you mean `{id}`?)")).unwrap_or_default();
    Err(PipelinesError::Invalid(format!("there is no pipeline `{word}`{hint}")))
}

/// All pipelines of specs, in the order of their ids.
fn all_pipelines(specs: &Specs) -> Vec<Pipeline> {
    let broken: BTreeSet<&str> = specs.broken().into_iter().collect();
    let mut problems: HashMap<&str, Vec<PipelineProblem>> = HashMap::new();
    let mut wrong: BTreeSet<&str> = BTreeSet::new();
    for problem in &specs.problems {
        if let Some(id) = &problem.pipeline {
            if is_wrong(problem) {
                wrong.insert(id);
            }
            problems.entry(id).or_default().push(of_problem(problem, specs));
        }
    }
    let mut all: BTreeMap<&str, Pipeline> = BTreeMap::new();
    for (id, file) in specs.declared() {
        let pipeline = specs.pipeline(id);
        let dependencies = pipeline.into_iter().flat_map(|pipeline| &pipeline.dependencies);
        let dependencies = dependencies.map(|dependency| match &dependency.on {
            DependsOn::Pipeline(id) => PipelineDependency::Pipeline(id.clone()),
            DependsOn::DataPackage(path) => PipelineDependency::DataPackage(path.clone()),
        });
        all.entry(id).or_insert_with(|| Pipeline {
            pipeline_id: id.to_owned(),
            file: specs.path_of(file).map(|path| path.display().to_string()),
            title: pipeline.and_then(|pipeline| pipeline.title.clone()),
            steps: pipeline.into_iter().flat_map(|it| &it.steps).map(of_step).collect(),
            dependencies: dependencies.collect(),
            schedule: pipeline.and_then(|it| it.schedule.as_ref()).map(|schedule| schedule.crontab.clone()),
            params: pipeline.map(spec::Pipeline::params_with_values).unwrap_or_default(),
            runnable: pipeline.is_some() && !broken.contains(id),
            valid: !wrong.contains(id),
            problems: problems.remove(id).unwrap_or_default(),
        });
    }
    all.into_values().collect()
}

fn of_step(step: &Step) -> PipelineStep {
    PipelineStep { name: step.name.clone(), kind: kind(step).to_owned(), runner: step.runner.clone() }
}

fn of_problem(problem: &Problem, specs: &Specs) -> PipelineProblem {
    let (line, column) = specs.files.get(problem.file).map(|file| problem.position(&file.text)).unzip();
    PipelineProblem {
        severity: severity(problem).to_owned(),
        code: problem.code.to_owned(),
        message: problem.message.clone(),
        hint: problem.hint.clone(),
        file: file(specs, problem.file),
        line,
        column,
        step: problem.step.as_ref().map(|(number, _)| *number),
        text: problem.in_one_line(specs).to_string(),
    }
}

/// A run that was not queued.
///
/// # Errors
/// When the lock of the pipeline cannot be checked.
pub(super) fn of_record(runner: &Runner, record: &Record) -> io::Result<Run> {
    // The record of a crashed run says "running" until the pipeline runs or stops again. A run in a cluster needs no process here:
    // `record_started_runs` ends the records of those that are gone.
    let is_alive = record.state.is_over() || runner.is_in_cluster(record) || runner.store.is_held(record)?;
    let state = if is_alive { record.state } else { State::Lost };
    Ok(Run {
        run_id: record.run.clone(),
        pipeline_id: record.pipeline.clone(),
        folder: record.folder.clone(),
        state: state.word().to_owned(),
        reasons: record.reasons.clone(),
        params: record.overrides.params.clone(),
        requested_by: None,
        worker: None,
        database: record.database.clone(),
        queued_at: None,
        started_at: Some(record.started_at),
        finished_at: record.finished_at,
        rows: record.rows,
        stats: record.public_stats().into_iter().collect(),
        cancelled_by: record.cancelled_by.clone(),
        error: record.failure.as_ref().map(|failure| failure.message.clone()),
        not_run_reason: None,
        errors: if state.is_over() {
            errors_of(&record.pipeline, Ending::Ran(Box::new(record.clone())))
        } else {
            Vec::new()
        },
        steps: steps_of(record),
        attempts: attempts_of(record),
        is_over: state.is_over(),
    })
}

/// A run of the queue, with the record of its last attempt.
pub(super) fn of_entry(entry: &Entry, record: Option<&Record>, caller: Option<String>) -> Run {
    let record = match &entry.ending {
        Some(Ending::Ran(record)) => Some(record.as_ref()),
        Some(Ending::NotRun { why: NotRunReason::Impossible, .. }) => {
            record.filter(|record| has_own_end(record, entry))
        }
        _ => record.filter(|_| entry.phase == Phase::Assigned),
    };
    let ending = match (&entry.ending, record) {
        (Some(Ending::NotRun { .. }), Some(record)) => {
            record.state.is_over().then(|| Ending::Ran(Box::new(record.clone())))
        }
        (ending, _) => ending.clone(),
    };
    let state = match (&ending, record) {
        (Some(ending), _) => state_of(ending),
        (None, Some(record)) if !record.state.is_over() => record.state.word(),
        (None, _) => entry.phase.word(),
    };
    let error = match (&ending, record) {
        (_, Some(record)) => record.failure.as_ref().map(|failure| failure.message.clone()),
        (Some(Ending::Clean) | None, None) => None,
        (Some(_), None) => Some(format!("it {}", reason_not_started(entry))),
    };
    Run {
        run_id: entry.id.clone(),
        pipeline_id: entry.pipeline.clone(),
        folder: entry.folder.clone(),
        state: state.to_owned(),
        params: entry.options.params.clone(),
        reasons: match entry.taken_run() {
            Some(run) => vec![format!("it took the result of run {run}")],
            None => record.map(|record| record.reasons.clone()).unwrap_or_default(),
        },
        requested_by: caller,
        worker: entry.worker.clone(),
        database: record.and_then(|record| record.database.clone()),
        queued_at: Some(entry.queued_at),
        started_at: record.map(|record| record.started_at),
        // The queue notes the end a little later than the record.
        finished_at: entry
            .ended_at
            .filter(|_| ending.is_some())
            .map(|end| record.and_then(|record| record.finished_at).unwrap_or(end)),
        rows: record.map_or(0, |record| record.rows),
        stats: record.map(|record| record.public_stats().into_iter().collect()).unwrap_or_default(),
        cancelled_by: match &ending {
            Some(Ending::NotRun { by, .. }) => by.clone(),
            Some(ending) if ending.is_good() => None,
            _ => record.and_then(|record| record.cancelled_by.clone()).or_else(|| entry.cancelled_by.clone()),
        },
        error,
        not_run_reason: match &ending {
            Some(Ending::NotRun { why, .. }) => Some(not_run_word(*why).to_owned()),
            _ => None,
        },
        errors: ending
            .or_else(|| entry.ending.clone())
            .map(|ending| errors_of(&entry.pipeline, ending))
            .unwrap_or_default(),
        steps: record.map(steps_of).unwrap_or_default(),
        attempts: record.map(attempts_of).unwrap_or_default(),
        // Also for a run whose record is still open: its worker has left it, and nothing may ever close the record.
        is_over: entry.phase == Phase::Ended,
    }
}

/// True for the record of a run that its worker could not end: it goes on in its cluster, or another process ended it. A worker that
/// could not start a repeat leaves the record of a lost or cancelled attempt, which ended before the entry.
fn has_own_end(record: &Record, entry: &Entry) -> bool {
    // The queue stores milliseconds.
    let milliseconds = |at: Option<Timestamp>| at.map(Timestamp::as_millisecond);
    let (finished, ended) = (milliseconds(record.finished_at), milliseconds(entry.ended_at));
    let is_later = finished.zip(ended).is_some_and(|(finished, ended)| finished > ended);
    is_later || !matches!(record.state, State::Lost | State::Cancelled)
}

/// The errors of a run that ended without a good result.
fn errors_of(pipeline: &str, ending: Ending) -> Vec<RunError> {
    if ending.is_good() {
        return Vec::new();
    }
    let outcome = PipelineOutcome { pipeline: pipeline.to_owned(), end: end(ending) };
    let errors = format::errors(&outcome).into_iter();
    errors.map(|format::PipelineError { processor, exit_code, log }| RunError { processor, exit_code, log }).collect()
}

fn steps_of(record: &Record) -> Vec<RunStep> {
    let step = |(name, outcome): &(String, StepOutcome)| RunStep {
        name: name.clone(),
        rows: outcome.rows,
        bytes: outcome.bytes,
        exit_code: outcome.exit_code,
    };
    record.steps.iter().map(step).collect()
}

fn attempts_of(record: &Record) -> Vec<RunAttempt> {
    let attempts = record.attempts.iter().map(|attempt| RunAttempt {
        started_at: attempt.started_at,
        finished_at: attempt.finished_at,
        what: attempt.message.clone(),
    });
    attempts.collect()
}

const fn not_run_word(why: NotRunReason) -> &'static str {
    match why {
        NotRunReason::Cancelled => "cancelled",
        NotRunReason::Taken => "taken",
        NotRunReason::Impossible => "impossible",
    }
}

const fn state_of(ending: &Ending) -> &'static str {
    match ending {
        Ending::Ran(record) => record.state.word(),
        Ending::Clean => "clean",
        Ending::Held { .. } => "held",
        Ending::NotRun { why: NotRunReason::Cancelled, .. } => State::Cancelled.word(),
        Ending::NotRun { .. } => "not_run",
    }
}

/// The sum over the steps whose system reports the amount.
fn total(record: &Record, amount: impl Fn(&StepOutcome) -> Option<u64>) -> Option<u64> {
    record.steps.iter().filter_map(|(_, step)| amount(step)).reduce(u64::saturating_add)
}

/// Milliseconds as seconds, without rounding.
fn seconds(milliseconds: u64) -> Option<Number> {
    format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000).parse().ok()
}

/// The facts in the record of an ended run.
pub(super) fn use_of_record(record: &Record) -> Usage {
    let took = |from: Timestamp, to: Timestamp| u64::try_from(to.duration_since(from).as_millis()).ok();
    let step = record.failure.as_ref().and_then(|failure| record.steps.get(failure.step?));
    let place = match &record.place {
        Some(Place::Kubernetes(place)) => Some(place),
        Some(Place::Local) | None => None,
    };
    Usage {
        action: "run".to_owned(),
        cluster: place.map(|place| place.cluster.clone()),
        namespace: place.map(|place| place.namespace.clone()),
        pipeline_id: Some(record.pipeline.clone()),
        run_id: Some(record.run.clone()),
        image: record.image.clone(),
        exit_code: step.and_then(|(_, outcome)| outcome.exit_code),
        started_at: Some(record.started_at),
        finished_at: record.finished_at,
        duration_ms: record.finished_at.and_then(|end| took(record.started_at, end)),
        cpu_seconds: total(record, |step| step.cpu_ms).and_then(seconds),
        mem_peak_bytes: total(record, |step| step.memory_peak),
        rows: Some(record.rows),
        bytes: record.stats.get("bytes").and_then(serde_json::Value::as_u64),
        error: record
            .cancelled_by
            .as_ref()
            .map(|by| format!("cancelled by {by}"))
            .or_else(|| record.failure.as_ref().map(|failure| failure.message.clone())),
        ..Usage::default()
    }
}

/// The facts of an ended run, as far as they are known.
fn end_of(requested: RequestedRun) -> UnloggedUse {
    let RequestedRun { mut entry, caller, organisation } = requested;
    if entry.taken_run().is_some() {
        // The entry of that run has its facts.
        entry.ending = Some(Ending::Clean);
    }
    let run = of_entry(&entry, None, None);
    let record = match &entry.ending {
        Some(Ending::Ran(record)) => Some(record),
        _ => None,
    };
    let usage = Usage {
        action: "run".to_owned(),
        org: organisation,
        cluster: entry.pool.clone(),
        pipeline_id: Some(run.pipeline_id),
        run_id: Some(run.run_id.clone()),
        worker: run.worker,
        queued_at: run.queued_at,
        started_at: run.started_at,
        finished_at: run.finished_at,
        error: run.cancelled_by.map(|by| format!("cancelled by {by}")).or(run.error),
        ..record.map(|record| use_of_record(record)).unwrap_or_default()
    };
    let is_good = entry.ending.as_ref().is_some_and(Ending::is_good);
    UnloggedUse { event: UnloggedEvent::RunEnd(run.run_id), caller, is_good, usage }
}

/// The facts of an ended run that a CronJob started.
fn end_of_started(record: &Record) -> UnloggedUse {
    UnloggedUse {
        event: UnloggedEvent::ScheduledRunEnd(record.run.clone()),
        caller: None,
        is_good: record.state == State::Succeeded,
        usage: use_of_record(record),
    }
}

fn expiry_of(record: DatabaseRecord) -> UnloggedUse {
    let usage = Usage { action: "db.expire".to_owned(), db: Some(record.name), ..Usage::default() };
    UnloggedUse { event: UnloggedEvent::Expiry(record.id), caller: None, is_good: true, usage }
}

#[async_trait]
impl Pipelines for Project {
    async fn pipelines(&self) -> Result<Vec<Pipeline>, PipelinesError> {
        self.blocking(|project| Ok(all_pipelines(&project.specs()?))).await
    }

    async fn start(&self, run: &NewRun, by: &PipelinesCaller) -> Result<String, PipelinesError> {
        let call = serde_json::to_string(run).map_err(failed)?;
        let by = Requester { after: run.after.clone(), ..requester(by, call) };
        let run = run.clone();
        self.blocking(move |project| project.start(&run, &by)).await
    }

    async fn runs(&self, filter: &RunFilter) -> Result<RunPage, PipelinesError> {
        let filter = filter.clone();
        self.blocking(move |project| project.list(&filter)).await
    }

    async fn run(&self, id: &str) -> Result<Option<Run>, PipelinesError> {
        let id = id.to_owned();
        self.blocking(move |project| project.find(&id)).await
    }

    async fn cancel(&self, id: &str, by: &str) -> Result<bool, PipelinesError> {
        let (wanted, by) = (id.to_owned(), by.to_owned());
        let canceller = by.clone();
        let record = match self.blocking(move |project| project.cancel_queued(&wanted, &canceller)).await? {
            Ok(is_cancelled) => return Ok(is_cancelled),
            Err(record) => record,
        };
        self.runner.store.request_stop(&record.run, Some(&by)).map_err(unreadable)?;
        let runner = self.runner.clone();
        // The caller does not wait for the processes of the run.
        tokio::spawn(async move {
            if let Err(error) = stop(&runner, &record, &by, STOP_TIMEOUT).await {
                tracing::warn!(run = record.run, %error, "a run cannot be stopped");
            }
        });
        Ok(true)
    }

    async fn log(&self, id: &str, after: Option<&str>, limit: usize) -> Result<Option<RunLog>, PipelinesError> {
        let (id, after) = (id.to_owned(), after.map(str::to_owned));
        self.blocking(move |project| project.read_log(&id, after.as_deref(), limit)).await
    }

    async fn pods(&self) -> Result<Vec<Pod>, PipelinesError> {
        let (here, in_cluster) =
            tokio::join!(self.workers_and_databases(), pods::in_cluster(&self.runner, &self.runner.project));
        let (workers, databases) = here?;
        // The workers are known without Kubernetes.
        let in_cluster = in_cluster.unwrap_or_else(|failure| {
            let error = failure.message.unwrap_or_default();
            tracing::warn!(error, "pods of the cluster are not listed");
            Vec::new()
        });
        let expiry = match in_cluster.iter().any(pods::is_database) {
            true => pods::expiry(&self.databases).await,
            false => pods::Expiry::new(),
        };
        Ok(pods::all(databases, &workers, in_cluster, &expiry))
    }

    async fn databases(&self) -> Result<Vec<Database>, PipelinesError> {
        let records = self.databases.list().await.map_err(of_database)?;
        Ok(records.iter().map(|record| self.shown(record)).collect())
    }

    async fn database(&self, name: &str) -> Result<Database, PipelinesError> {
        Ok(self.shown(&self.check_exists(name).await?))
    }

    async fn extend_database(&self, name: &str, span: &str, by: &PipelinesCaller) -> Result<Database, PipelinesError> {
        let span = time_to_live(span).map_err(|why| PipelinesError::Invalid(format!("`by`: {why}")))?;
        let record = self.check_exists(name).await?;
        if record.deadline.is_some() && self.databases.status(&record) != Status::Expired {
            let (name, by) = (name.to_owned(), requester(by, String::new()));
            self.blocking(move |project| {
                let queue = Queue::open(project.runner.store.folder()).map_err(of_queue)?;
                queue.note_extension(&by, &name, span.as_secs()).map_err(of_queue)
            })
            .await?;
        }
        let record = self.databases.extend(name, Extension::By(span)).await.map_err(of_database)?;
        Ok(self.shown(&record))
    }

    async fn stop_database(&self, name: &str) -> Result<Database, PipelinesError> {
        self.check_exists(name).await?;
        let record = self.databases.stop(name).await.map_err(of_database)?;
        Ok(self.shown(&record))
    }

    async fn count_lifetimes(
        &self,
        operation: Uuid,
        planned: &[PlannedObject<'_>],
        by: &PipelinesCaller,
    ) -> Result<(), PipelinesError> {
        let lives = objects::lifetimes(planned);
        if lives.is_empty() {
            return Ok(());
        }
        let by = requester(by, String::new());
        self.blocking(move |project| {
            let queue = Queue::open(project.runner.store.folder()).map_err(of_queue)?;
            queue.note_lifetimes(&by, &operation.to_string(), &lives).map_err(of_queue)
        })
        .await
    }

    fn use_of_object(&self, object: &UsedObject<'_>) -> Option<Usage> {
        let usage = objects::usage(object.ty, object.is_new, object.attributes)?;
        if object.ty != run::NAME {
            return Some(usage);
        }
        // The attributes have a part of the facts, and a failed step has none.
        let store = &self.runner.store;
        let record = match (&usage.run_id, object.step) {
            (Some(run), _) => store.exact_run(run),
            (None, Some((operation, step))) => store.last_marked(&run::mark(&operation.to_string(), &step.to_string())),
            (None, None) => Ok(None),
        };
        Some(match record.ok().flatten() {
            // The end of a run of a CronJob has another entry.
            Some(record) if record.scheduled_job.is_some() => {
                Usage { action: usage.action, pipeline_id: usage.pipeline_id, ..Usage::default() }
            }
            Some(record) => Usage { action: usage.action, db: usage.db, ..use_of_record(&record) },
            None => usage,
        })
    }

    async fn unlogged(&self) -> Result<Vec<UnloggedUse>, PipelinesError> {
        // A cluster keeps the last Jobs only.
        self.copy_started_runs();
        let ends = self.blocking(Self::unlogged_runs).await?;
        if ends.is_empty() { self.unlogged_expiries().await } else { Ok(ends) }
    }

    async fn mark_logged(&self, event: &UnloggedEvent) -> Result<(), PipelinesError> {
        let event = event.clone();
        self.blocking(move |project| {
            let queue = || Queue::open(project.runner.store.folder());
            match &event {
                UnloggedEvent::RunEnd(run) => queue().and_then(|queue| queue.mark_logged(run)),
                UnloggedEvent::Expiry(database) => queue().and_then(|queue| queue.mark_expiry_logged(database)),
                UnloggedEvent::ScheduledRunEnd(run) => {
                    return project.runner.store.mark_end_logged(run).map_err(unreadable);
                }
            }
            .map_err(of_queue)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::io::{BufRead, Write};
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use terrace_pipelines::executor::Failed;
    use terrace_pipelines::fingerprint::Fingerprint;
    use terrace_pipelines::queue::{Assignment, PoolSpec};
    use terrace_provider::Attributes;
    use tokio_util::sync::CancellationToken;

    /// A project in this folder whose pipelines run in the cluster with this API server.
    fn project_of(folder: &std::path::Path, url: &str) -> Project {
        let kubeconfig = format!(
            "apiVersion: v1\nkind: Config\nclusters: [{{name: a, cluster: {{server: '{url}'}}}}]\n\
             users: [{{name: a, user: {{}}}}]\ncontexts: [{{name: a, context: {{cluster: a, user: a}}}}]\ncurrent-context: a\n"
        );
        std::fs::write(folder.join("kubeconfig"), kubeconfig).unwrap();
        let image = format!("r.example.com/x@sha256:{}", "0a".repeat(32));
        let values = [
            ("executor", "kubernetes"),
            ("kubeconfig", "kubeconfig"),
            ("image", image.as_str()),
            ("databaseImage", image.as_str()),
        ];
        let settings = terrace_provider::Settings {
            instance: "pipelines".to_owned(),
            environment: "local".to_owned(),
            project_folder: folder.to_owned(),
            sandbox: terrace_provider::Sandbox::default(),
            sources: Default::default(),
            values: values.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect(),
        };
        let runner = terrace_provider_pipelines::settings::runner(&settings).unwrap();
        let databases = terrace_provider_pipelines::settings::project_databases(&settings, None).unwrap();
        Project::new(runner, databases)
    }

    #[tokio::test]
    async fn outage_of_the_databases_lasts_until_the_next_look() {
        let folder = tempfile::tempdir().unwrap();
        let project = project_of(folder.path(), "http://127.0.0.1:1");
        let first = project.unlogged_expiries().await.unwrap_err();
        assert_eq!(project.unlogged_expiries().await.unwrap_err(), first);
    }

    /// An API server with a Job of a CronJob. Returns its URL, and the number of its answers.
    fn cluster_with_a_job() -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let counted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&counted);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut head = String::new();
                let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
                while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
                assert!(head.starts_with("GET /apis/batch/v1/namespaces/shop/jobs?"), "{head}");
                let job = json!({
                    "metadata": {
                        "name": "terrace-nightly-1",
                        "uid": "00000000-0000-4000-8000-000000000001",
                        "creationTimestamp": "2026-11-29T01:30:00Z",
                    },
                    "status": {"startTime": "2026-11-29T01:30:00Z"},
                });
                let body =
                    json!({"kind": "JobList", "apiVersion": "batch/v1", "metadata": {}, "items": [job]}).to_string();
                let length = body.len();
                count.fetch_add(1, Ordering::SeqCst);
                let head = format!("content-type: application/json\r\ncontent-length: {length}\r\nconnection: close");
                stream.write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}").as_bytes()).unwrap();
            }
        });
        (url, counted)
    }

    #[tokio::test]
    async fn server_copies_runs_that_cron_jobs_started() {
        let folder = tempfile::tempdir().unwrap();
        let (url, answers) = cluster_with_a_job();
        let project = project_of(folder.path(), &url);
        let schedule = json!({
            "name": "nightly", "folder": ".", "pipeline": "./load", "cron": "30 1 * * *", "timeZone": "UTC", "enabled": true,
            "overlap": "forbid", "catchUp": "last", "jitterSeconds": 0, "since": "2026-11-28T00:00:00Z",
            "cronJob": {"name": "terrace-nightly", "uid": "u", "stored": "",
                "place": {"cluster": url, "namespace": "shop", "kubeconfig": folder.path().join("kubeconfig")}},
        });
        project.runner.schedules().put(&serde_json::from_value(schedule).unwrap()).unwrap();
        let filter = RunFilter { pipeline: Some("./load".to_owned()), limit: 1, ..RunFilter::default() };
        assert_eq!(project.unlogged_runs().unwrap().len(), 0);
        project.copy_started_runs();
        // The copy has ended once its lock is free.
        drop(project.copied.lock().await);
        let run = project.runs(&filter).await.unwrap().runs.pop().unwrap();
        assert_eq!((run.state.as_str(), run.pipeline_id.as_str()), ("running", "./load"));
        assert_eq!(project.unlogged_runs().unwrap().len(), 0, "it has not ended");
        project.copy_started_runs();
        drop(project.copied.lock().await);
        assert_eq!(answers.load(Ordering::SeqCst), 1, "a copy serves some time");
    }

    #[test]
    fn run_that_its_worker_could_not_end_has_the_state_of_its_record() {
        let folder = tempfile::tempdir().unwrap();
        let project = project_of(folder.path(), "http://127.0.0.1:1");
        let queue = Queue::open(project.runner.store.folder()).unwrap();
        let request = QueueRequest {
            pool: None,
            root: folder.path().to_owned(),
            folder: ".".to_owned(),
            pipeline: "./load".to_owned(),
            options: queue::Options::default(),
            after: Vec::new(),
        };
        let id = queue.enqueue(&[request]).unwrap().remove(0);
        let why = NotRunReason::Impossible;
        let entry = Entry {
            phase: Phase::Ended,
            ended_at: Some(Timestamp::now()),
            ending: Some(Ending::NotRun { why, what: vec!["its cluster does not answer".to_owned()], by: None }),
            ..queue.entry(&id).unwrap().unwrap()
        };
        let shown = |state, finished_at| {
            let record = Record { run: id.clone(), state, finished_at, ..record(1, "./load") };
            project.runner.store.write(&record).unwrap();
            of_entry(&entry, Some(&record), None)
        };
        let open = shown(State::Running, None);
        assert_eq!((open.state.as_str(), open.not_run_reason, open.finished_at), ("running", None, None));
        assert_eq!(open.errors[0].log, ["its cluster does not answer"]);
        assert!(open.started_at.is_some());
        // The queue has ended it, but its processes go on.
        queue.cancel(&id, None).unwrap();
        assert_eq!(project.cancel_queued(&id, "ada").unwrap().unwrap_err().run, id);
        let ended = shown(State::Succeeded, Some(Timestamp::UNIX_EPOCH));
        assert_eq!((ended.state.as_str(), ended.finished_at), ("succeeded", Some(Timestamp::UNIX_EPOCH)));
        assert!(ended.errors.is_empty() && !project.cancel_queued(&id, "ada").unwrap().unwrap());
        // An interrupted attempt is not the end of the run.
        let lost = shown(State::Lost, Some(Timestamp::UNIX_EPOCH));
        assert_eq!((lost.state.as_str(), lost.not_run_reason.as_deref()), ("not_run", Some("impossible")));
        let same = shown(State::Cancelled, entry.ended_at);
        assert_eq!(same.state, "not_run");
        // A later call stopped the run, or found its Job gone.
        let later = entry.ended_at.map(|at| at + Duration::from_millis(2));
        for state in [State::Cancelled, State::Lost] {
            let run = shown(state, later);
            assert_eq!((run.state.as_str(), run.not_run_reason, run.finished_at), (state.word(), None, later));
        }
    }

    fn id(number: usize) -> String {
        format!("00000000-0000-7000-8000-{number:012}")
    }

    /// The record of a run that succeeded.
    fn record(number: usize, pipeline: &str) -> Record {
        Record {
            state: State::Succeeded,
            started_at: Timestamp::UNIX_EPOCH,
            finished_at: Some(Timestamp::UNIX_EPOCH),
            has_begun: true,
            ..Record::new(&id(number), (".", pipeline), Vec::new(), Fingerprint::default())
        }
    }

    #[test]
    fn list_leaves_out_large_statistics() {
        let folder = tempfile::tempdir().unwrap();
        let project = project_of(folder.path(), "http://127.0.0.1:1");
        // `{"text":""}` has 11 bytes.
        for (number, length) in [(1, (16 << 10) - 11), (2, (16 << 10) - 10)] {
            let stats = [("text".to_owned(), "x".repeat(length).into())].into_iter().collect();
            project.runner.store.write(&Record { stats, ..record(number, "./load") }).unwrap();
        }
        let page = project.list(&RunFilter { limit: 9, ..RunFilter::default() }).unwrap();
        let listed: Vec<(&str, usize)> = page.runs.iter().map(|run| (run.run_id.as_str(), run.stats.len())).collect();
        assert_eq!(listed, [(id(2).as_str(), 0), (id(1).as_str(), 1)]);
        assert_eq!(project.find(&id(2)).unwrap().unwrap().stats.len(), 1, "a single run has them");
    }

    #[test]
    fn run_that_took_the_result_of_a_cron_job_stands_for_both() {
        let folder = tempfile::tempdir().unwrap();
        let project = project_of(folder.path(), "http://127.0.0.1:1");
        let store = &project.runner.store;
        let queue = Queue::open(store.folder()).unwrap();
        let pool = PoolSpec { name: "etl", size: 1, ttl: None, settings: "{}", mark: None };
        queue.add_pool(&pool).unwrap();
        assert!(queue.add_worker("etl", "worker").unwrap() && queue.mark_started("worker").unwrap());
        let request = QueueRequest {
            pool: None,
            root: folder.path().to_owned(),
            folder: ".".to_owned(),
            pipeline: "./load".to_owned(),
            options: queue::Options::default(),
            after: Vec::new(),
        };
        let by = requester(&PipelinesCaller::default(), "x".to_owned());
        let run = queue.enqueue_for(&request, &by).unwrap();
        let job = Some("terrace-nightly-1".to_owned());
        let taken = Record { scheduled_job: job, rows: 3, ..record(1, "./load") };
        store.write(&taken).unwrap();
        std::fs::write(
            store.run_folder(&taken.run).join("log.jsonl"),
            "{\"at\":\"2026-11-28T06:00:00Z\",\"line\":\"3 rows\",\"step\":1,\"name\":\"noise\"}\n",
        )
        .unwrap();
        let Assignment::Run(entry, _) = queue.assign("worker").unwrap() else { panic!("it is not assigned") };
        queue.end(&entry, &Ending::Ran(Box::new(taken.clone()))).unwrap();
        let page = project.list(&RunFilter { limit: 9, ..RunFilter::default() }).unwrap();
        let listed: Vec<(&str, u64, &[String])> =
            page.runs.iter().map(|run| (run.run_id.as_str(), run.rows, run.reasons.as_slice())).collect();
        assert_eq!(listed, [(run.as_str(), 3, &[format!("it took the result of run {}", taken.run)][..])]);
        assert_eq!(project.find(&taken.run).unwrap().unwrap().run_id, taken.run, "it is known by its own id, too");
        let log = project.read_log(&run, None, 9).unwrap().unwrap();
        assert_eq!(log.lines.iter().map(|(_, line)| line.line.as_str()).collect::<Vec<_>>(), ["3 rows"]);
        assert!(log.is_complete && !project.cancel_queued(&run, "ada").unwrap().unwrap());
        let end = project.unlogged_runs().unwrap().remove(0);
        assert_eq!(
            (end.is_good, end.usage.run_id, end.usage.rows),
            (true, Some(run), None),
            "the other end has its facts"
        );
    }

    #[test]
    fn use_by_an_object_leaves_out_a_run_of_a_cron_job() {
        let folder = tempfile::tempdir().unwrap();
        let project = project_of(folder.path(), "http://127.0.0.1:1");
        for (number, job) in [(1, None), (2, Some("terrace-nightly-1".to_owned()))] {
            project.runner.store.write(&Record { scheduled_job: job, rows: 3, ..record(number, "./load") }).unwrap();
        }
        let used = |number: usize| {
            let values = [("name", "./load".into()), ("runId", id(number).into())];
            let attributes: Attributes = values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            let object = UsedObject { ty: run::NAME, is_new: true, attributes: Some(&attributes), step: None };
            let usage = project.use_of_object(&object).unwrap();
            (usage.pipeline_id.unwrap(), usage.run_id, usage.rows)
        };
        assert_eq!(used(1), ("./load".to_owned(), Some(id(1)), Some(3)));
        assert_eq!(used(2), ("./load".to_owned(), None, None), "its end has an entry");
    }

    #[test]
    fn use_by_a_failed_step_has_the_facts_of_its_run() {
        let folder = tempfile::tempdir().unwrap();
        let project = project_of(folder.path(), "http://127.0.0.1:1");
        let operation = Uuid::from_u128(7);
        let outcome = |exit_code| StepOutcome {
            rows: 0,
            bytes: 0,
            exit_code: Some(exit_code),
            signal: None,
            cpu_ms: Some(1250),
            memory_peak: Some(4096),
        };
        let place = json!({"executor": "kubernetes", "cluster": "https://k.example.com", "namespace": "shop"});
        let failed = Record {
            state: State::Failed,
            steps: vec![("one".to_owned(), outcome(0)), ("two".to_owned(), outcome(3))],
            failure: Some(Failed { step: Some(1), ..Failed::new("no") }),
            image: Some("i@sha256:0".to_owned()),
            mark: Some(run::mark(&operation.to_string(), "4")),
            place: serde_json::from_value(place).unwrap(),
            ..record(1, "./load")
        };
        project.runner.store.write(&failed).unwrap();
        let used = |step: u32| {
            let step = Some((operation, step));
            project.use_of_object(&UsedObject { ty: run::NAME, is_new: true, attributes: None, step }).unwrap()
        };
        assert_eq!(used(4), use_of_record(&failed));
        let expected = json!({
            "action": "run", "cluster": "https://k.example.com", "namespace": "shop", "pipeline_id": "./load", "run_id": id(1),
            "image": "i@sha256:0", "exit_code": 3, "started_at": "1970-01-01T00:00:00Z", "finished_at": "1970-01-01T00:00:00Z",
            "duration_ms": 0, "cpu_seconds": seconds(2500), "mem_peak_bytes": 8192, "rows": 0, "error": "no",
        });
        assert_eq!(serde_json::to_value(used(4)).unwrap(), expected);
        assert_eq!(used(5).run_id, None, "another step");
    }

    #[tokio::test]
    async fn many_runs_of_others_hide_no_run_of_a_pipeline() {
        let folder = tempfile::tempdir().unwrap();
        let project = project_of(folder.path(), "http://127.0.0.1:1");
        let store = &project.runner.store;
        let lock = store.lock_pipeline(".", "./load", Duration::ZERO, &CancellationToken::new()).await.unwrap();
        lock.set_current_run(Some(&id(1))).unwrap();
        store.write(&record(1, "./load")).unwrap();
        for number in 2..=3_001 {
            let folder = store.run_folder(&id(number));
            std::fs::create_dir_all(&folder).unwrap();
            let text = serde_json::to_vec(&record(number, "./other")).unwrap();
            std::fs::write(folder.join("run.json"), text).unwrap();
        }
        let ids = |pipeline: &str, before: Option<&String>| {
            let filter =
                RunFilter { pipeline: Some(pipeline.to_owned()), state: None, before: before.cloned(), limit: 1 };
            let page = project.list(&filter).unwrap();
            (page.runs.into_iter().map(|run| run.run_id).collect::<Vec<_>>(), page.next)
        };
        for pipeline in ["./load", "load"] {
            assert_eq!(ids(pipeline, None), (vec![id(1)], None));
        }
        assert_eq!(ids("./none", None), (Vec::new(), None));

        let request = |pipeline: &str| QueueRequest {
            pool: None,
            root: folder.path().to_owned(),
            folder: ".".to_owned(),
            pipeline: pipeline.to_owned(),
            options: queue::Options::default(),
            after: Vec::new(),
        };
        let queue = Queue::open(store.folder()).unwrap();
        let queued = queue.enqueue(&[request("./load")]).unwrap().remove(0);
        queue.enqueue(&vec![request("./other"); 3_000]).unwrap();
        assert_eq!(ids("./load", None), (vec![queued.clone()], Some(queued.clone())));
        assert_eq!(ids("./load", Some(&queued)), (vec![id(1)], None));
    }

    #[test]
    fn position_in_a_log_survives_its_text() {
        let position = LogPosition { attempt: 2, bytes: 4711 };
        assert_eq!(LogPosition::of(&position.to_string()), Some(position));
        for wrong in ["", "1", "1.", ".1", "1.-1", "-1.1", "1.1.1", "a.b"] {
            assert_eq!(LogPosition::of(wrong), None, "{wrong}");
        }
    }
}
