//! A run of a pipeline, from the wait for its lock to its record.

use super::attempts::{self, Attempt, Retries, until, wait};
use super::disk;
use super::elsewhere::{Cancellation, Settled};
use super::hooks::{HookTimeouts, Hooks};
use super::job::{self, BuiltJob, JobInputs};
use super::live_rows::LiveRows;
use super::log::{Line, Masks, Writer};
use super::observer::{NoObserver, RunObserver};
use super::publishing;
use super::record::{Record, State};
use super::runner::{GRACE, NotRun, RunRequest, Runner};
use super::store::{LockError, PipelineLock};
use super::watcher::{EnvironmentProgress, Watcher};
use crate::environment::{Environment, EnvironmentError, Recipe};
use crate::executor::{End, Failed, Outcome, StepOutcome, timeout_message};
use crate::fingerprint::{Key, packages};
use crate::spec::model::Pipeline;
use crate::spec::{Specs, params};
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Interval between checks for a request to stop.
pub(super) const POLL: Duration = Duration::from_millis(200);

impl Runner {
    /// Runs a pipeline to its end. A failure is part of the record.
    ///
    /// # Errors
    /// When it was not run at all.
    pub async fn run(
        &self,
        specs: &Specs,
        pipeline: &Pipeline,
        request: RunRequest,
        observer: &dyn RunObserver,
        cancel: &CancellationToken,
    ) -> Result<Record, NotRun> {
        // The spec may have changed since the request.
        params::check(pipeline, &request.overrides.params)
            .map_err(|wrong| NotRun::WorkerFailed { message: vec![wrong.to_string()] })?;
        let executor = self.executor_of(pipeline).map_err(|message| NotRun::WorkerFailed { message })?;
        self.check_database_place(&specs.root, pipeline).map_err(|message| NotRun::WorkerFailed { message })?;
        let runner = Self { executor, ..self.clone() };
        runner.run_by_its_executor(specs, pipeline, request, observer, cancel).await
    }

    /// Runs a pipeline by the executor of this runner.
    async fn run_by_its_executor(
        &self,
        specs: &Specs,
        pipeline: &Pipeline,
        request: RunRequest,
        observer: &dyn RunObserver,
        cancel: &CancellationToken,
    ) -> Result<Record, NotRun> {
        let folder = self.folder_name(&specs.root);
        let begun = Instant::now();
        let (pipeline_lock, waited_for) =
            self.lock_pipeline(&folder, &pipeline.id, request.lock_timeout, observer, cancel).await?;
        if cancel.is_cancelled() {
            return Err(NotRun::Cancelled);
        }
        let mut settled = self.followed_by_another_process(waited_for)?;
        let (mut ended, mut problems) = (Vec::new(), Vec::new());
        loop {
            // Runs of the cluster come first. It may start another run during the wait for its last one.
            for problem in self.record_runs_of_pipeline(&pipeline_lock, &folder, &pipeline.id).await {
                if !problems.contains(&problem) {
                    observer.warned(&pipeline.id, &problem);
                    problems.push(problem);
                }
            }
            let scheduled = || self.scheduled_run_in_progress(&folder, &pipeline.id);
            let former = match pipeline_lock.unfinished_run().filter(|run| !ended.contains(run)) {
                None => scheduled()?.filter(|run| !ended.contains(run)),
                former => former,
            };
            let Some(former) = former else { break };
            let rest = request.lock_timeout.saturating_sub(begun.elapsed());
            settled = self.settle_former(&former, rest, observer, cancel).await?.or(settled);
            ended.push(former);
        }
        Key::ensure(self.store.folder())?;
        let (recipe, fingerprint) = self.recipe_and_fingerprint(specs, pipeline).await?;
        let changes = fingerprint.differences_from(&request.planned);
        if !changes.is_empty() {
            return Err(NotRun::Changed(changes));
        }
        if let Some(mut record) = settled.filter(|settled| settled.answers(&request, &fingerprint)).map(|it| it.record)
        {
            // The supervisor of a killed worker finds the result by the id of the request.
            record.mark = request.mark.or(request.run).or(record.mark);
            self.conclude(&mut record, &pipeline_lock)?;
            return Ok(record);
        }
        self.executor.check(&self.execution_of(pipeline)).await.map_err(|message| NotRun::WorkerFailed { message })?;
        let place = self.executor.place().await.map_err(|message| NotRun::WorkerFailed { message: vec![message] })?;
        let home = self.store.folder_identity();
        if let Some(home) = &home {
            // Another run may belong to the original of a copied folder that has the same id, such as a copied disk.
            let has_ended = |run: &str| match self.store.run(run) {
                Ok(record) => record.is_some_and(|record| record.run == run && record.state.is_over()),
                Err(_) => false,
            };
            self.executor.remove_ended(home, &has_ended).await;
        }
        let reasons = match request.reasons.is_empty() {
            true => self.reasons_against(&folder, &pipeline.id, &fingerprint)?,
            false => request.reasons.clone(),
        };
        let run = request.run.clone().unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
        let record = Record {
            steps: pipeline.steps.iter().map(|step| (step.name.clone(), StepOutcome::default())).collect(),
            mark: request.mark.clone(),
            overrides: request.overrides.clone(),
            release: recipe.api.release().to_owned(),
            home,
            place,
            image: self.image_of(pipeline),
            database: self.database_of(pipeline, &fingerprint),
            ..Record::new(&run, (&folder, &pipeline.id), reasons, fingerprint)
        };
        pipeline_lock.set_current_run(Some(&run))?;
        self.store.write(&record)?;
        observer.started(&pipeline.id, &run);
        let hooks = Hooks::new(&pipeline.hooks, &pipeline.id, HookTimeouts::default());
        hooks.queue();
        // A request by file has the same effect as a signal.
        let stop = cancel.child_token();
        let running = self.run_recorded(specs, pipeline, &recipe, &request, record, (observer, &hooks), &stop);
        let stop_request = async {
            while !self.store.is_stop_requested(&run) {
                tokio::time::sleep(POLL).await;
            }
            stop.cancel();
            std::future::pending::<()>().await;
        };
        let ended = tokio::select! {
            ended = running => ended,
            () = stop_request => return Err(NotRun::Cancelled),
        };
        let (mut record, result) = match ended {
            Ok(record) => (record, None),
            Err((record, why)) => (record, Some(why)),
        };
        if let Some(message) = record.unknown_end() {
            // It stays current in the records: the next run of the pipeline finds it first.
            self.store.write(&record)?;
            return Err(NotRun::UnknownEnd { message });
        }
        let recorded = self.conclude(&mut record, &pipeline_lock);
        // Notifications must not delay the next run.
        drop(pipeline_lock);
        for warning in hooks.finish(&record).await {
            super::log::append(&self.store.run_folder(&run), &Line::warning(warning.clone()));
            observer.warned(&pipeline.id, &warning);
        }
        recorded?;
        match result {
            None => Ok(record),
            Some(why) => Err(why),
        }
    }

    /// Waits for the pipeline's lock, and reports the wait. Returns the run that it waited for, too.
    async fn lock_pipeline(
        &self,
        folder: &str,
        pipeline: &str,
        lock_timeout: Duration,
        observer: &dyn RunObserver,
        cancel: &CancellationToken,
    ) -> Result<(PipelineLock, Option<String>), LockError> {
        match self.store.lock_pipeline(folder, pipeline, Duration::ZERO, cancel).await {
            Err(LockError::InProgress { run }) if !lock_timeout.is_zero() => {
                observer.waits(pipeline, run.as_deref(), lock_timeout);
                Ok((self.store.lock_pipeline(folder, pipeline, lock_timeout, cancel).await?, run))
            }
            pipeline_lock => Ok((pipeline_lock?, None)),
        }
    }

    /// A run of a schedule in a cluster that another process, such as a reader of its log, followed to its end meanwhile.
    fn followed_by_another_process(&self, waited_for: Option<String>) -> io::Result<Option<Settled>> {
        let Some(run) = waited_for else { return Ok(None) };
        let record = self.store.exact_run(&run)?;
        let followed = record.filter(|record| record.scheduled_job.is_some() && record.state.is_over());
        Ok(followed.map(|record| Settled { record, is_followed: true }))
    }

    /// Settles the run of the pipeline before this one. A run of a schedule in a cluster is another run, as one of another process
    /// is: the wait for it has a limit, and a cancellation ends the wait only.
    async fn settle_former(
        &self,
        former: &str,
        lock_timeout: Duration,
        observer: &dyn RunObserver,
        cancel: &CancellationToken,
    ) -> Result<Option<Settled>, NotRun> {
        let record = self.store.exact_run(former)?;
        let scheduled = record.filter(|record| record.scheduled_job.is_some() && self.is_in_cluster(record));
        let Some(scheduled) = scheduled else {
            let settled = self.settle_observed(former, None, observer, Cancellation::Run(cancel)).await;
            return settled.map_err(NotRun::of_settlement);
        };
        if !lock_timeout.is_zero() {
            observer.waits(&scheduled.pipeline, Some(former), lock_timeout);
        }
        let settled = self.settle_observed(former, Some(lock_timeout), &NoObserver, Cancellation::Wait(cancel)).await;
        settled.map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted if cancel.is_cancelled() => NotRun::Cancelled,
            io::ErrorKind::TimedOut => NotRun::InProgress { run: Some(former.to_owned()) },
            _ => NotRun::of_settlement(error),
        })
    }

    /// Records the outcome of a run, and releases its lock.
    fn conclude(&self, record: &mut Record, pipeline_lock: &PipelineLock) -> io::Result<()> {
        if let (State::Publishing, Some(failure)) = (record.state, &record.failure) {
            // It stays current in the records: the next run of the pipeline finishes it first.
            self.store.write(record)?;
            return Err(io::Error::other(failure.message.clone()));
        }
        if record.finished_at.is_none() {
            record.finished_at = Some(Timestamp::now());
        }
        self.name_canceller(record);
        self.store.write(record)?;
        pipeline_lock.set_current_run(None)?;
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
        request: &RunRequest,
        mut record: Record,
        (observer, hooks): (&dyn RunObserver, &Hooks),
        stop: &CancellationToken,
    ) -> Result<Record, (Record, NotRun)> {
        let is_reachable = match self.results_elsewhere(specs, &record, pipeline) {
            Ok(on_the_claim) => {
                let is_missing = |package: &PathBuf| {
                    !package.is_file() && !on_the_claim.iter().any(|place| package.starts_with(place))
                };
                let missing = packages(&specs.root, pipeline).into_iter().find(is_missing);
                missing.map_or(Ok(()), |missing| {
                    Err(format!("it depends on the data package `{}`, which does not exist", missing.display()))
                })
            }
            Err(message) => Err(message),
        };
        if let Err(message) = is_reachable {
            record.state = State::Failed;
            record.failure = Some(Failed::new(message));
            return Ok(record);
        }
        let retries = Retries { max: request.retries.unwrap_or(self.retries.max), ..self.retries };
        let deadline = request.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let variables = self.variables_of(pipeline);
        let variables = match self.executor.environments() {
            Some(_) => self.variables_elsewhere(variables, pipeline, &record.fingerprint),
            None => variables,
        };
        let masks = Masks::of(&variables).with_parameters(pipeline.steps.iter().map(|step| &step.parameters));
        let run_folder = self.store.run_folder(&record.run);
        let log = match Writer::create(&run_folder, masks.clone()) {
            Ok(log) => log,
            Err(error) => return Err((record, error.into())),
        };
        let cancel_preparation = stop.child_token();
        let prepared = {
            let prepared = async {
                match self.executor.environments() {
                    Some(folder) => Ok(Environment::elsewhere(folder, recipe)),
                    None => {
                        self.environment(recipe, &mut record, &retries, (observer, &log), &cancel_preparation).await
                    }
                }
            };
            tokio::pin!(prepared);
            tokio::select! {
                prepared = &mut prepared => prepared,
                () = until(deadline) => {
                    cancel_preparation.cancel();
                    prepared.await
                }
            }
        };
        let environment = match prepared {
            Ok(environment) => environment,
            Err(error) => {
                let error = error.masked(&masks.clone().with_texts(&recipe.requirements));
                let (state, message) = match (&error, request.timeout.filter(|_| !stop.is_cancelled())) {
                    (EnvironmentError::Cancelled, Some(timeout)) => (State::TimedOut, timeout_message(timeout)),
                    (EnvironmentError::Cancelled, None) => (State::Cancelled, error.to_string()),
                    _ => (State::Failed, error.to_string()),
                };
                record.state = state;
                record.failure = Some(Failed::new(message));
                return if state == State::Failed { Err((record, NotRun::Environment(error))) } else { Ok(record) };
            }
        };
        let steps: Vec<String> = pipeline.steps.iter().map(|step| step.name.clone()).collect();
        let before = self.store.succeeded(&record.folder, &pipeline.id).ok().flatten();
        observer.expects(&pipeline.id, &steps, before.map(|before| before.rows).filter(|rows| *rows > 0));
        hooks.start();
        loop {
            let start = Timestamp::now();
            let prepared = job::build(JobInputs {
                run: &record.run,
                run_folder: &run_folder,
                root: &specs.root,
                pipeline,
                environment: &environment,
                fingerprint: &record.fingerprint,
                variables: variables.clone(),
                dependencies: self.dependency_packages(&record.folder, pipeline),
                is_here: self.executor.environments().is_none(),
                uses_cache: request.uses_cache && self.executor.environments().is_none(),
                uses_claim: record.fingerprint.claim.is_some(),
                timeout: deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())),
                grace: GRACE,
            });
            let BuiltJob { mut job, outputs, from_cache } = match prepared {
                Ok(prepared) => prepared,
                Err((step, message)) => {
                    record.state = State::Failed;
                    record.failure = Some(Failed { step, ..Failed::new(message) });
                    return Ok(record);
                }
            };
            (record.outputs, record.state, record.has_begun) = (outputs, State::Running, true);
            record.databases = self.databases_of(&specs.root, pipeline, &record.fingerprint, &variables);
            if let Err(error) = self.store.write(&record) {
                return Err((record, error.into()));
            }
            if self.executor.environments().is_some() {
                job.elsewhere = match self.elsewhere(specs, pipeline, recipe, &record, &masks) {
                    Ok(elsewhere) => elsewhere,
                    Err(message) => {
                        record.state = State::Failed;
                        record.failure = Some(Failed::new(message));
                        return Ok(record);
                    }
                };
            }
            if let Some(step) = from_cache {
                log.write(Timestamp::now(), 0, "", &format!("the cached result of step {step} is used"));
            }
            let names: Vec<String> = job.steps.iter().map(|step| step.name.clone()).collect();
            // The cached result replaces its step and all earlier ones.
            let first = from_cache.map_or(0, |step| step.saturating_sub(1));
            let (pipeline, of) = (pipeline.id.as_str(), pipeline.steps.len());
            let watch = Watcher {
                pipeline,
                of,
                first,
                names: &names,
                log: &log,
                hooks,
                observer,
                run_folder: &run_folder,
                rows: LiveRows::new(&run_folder, of),
                logged: AtomicUsize::new(0),
            };
            let mut outcome = self.executor.execute(&job, &watch, stop).await;
            if let (End::TimedOut, Some(timeout), Some(failure)) =
                (outcome.end, request.timeout, outcome.failure.as_mut())
            {
                // The job had only the rest of the time.
                failure.message = timeout_message(timeout);
            }
            let failed = record.attempts.len() + 1;
            let mut pause = retries.after(failed, outcome.end);
            // Two attempts must not run at the same time.
            if pause.is_some()
                && let Err(error) = self.executor.end_leftover_processes(&record.run, job.grace).await
            {
                pause = None;
                // Processes of this machine end with terrace; others may go on.
                outcome.end = if self.executor.environments().is_some() { End::Unknown } else { End::Failed };
                if let Some(failure) = outcome.failure.as_mut() {
                    failure.log.push(format!("it is not retried, because it may still run: {error}"));
                }
            }
            let Some(pause) = pause else {
                let mut recorded = self.record_outcome_blocking(record, outcome, first, masks).await;
                if let Ok(record) = &mut recorded
                    && record.state.is_over()
                {
                    record.finished_at.get_or_insert_with(Timestamp::now);
                    // Until it is recorded, only the executor knows the end. An error is reported with the next write.
                    if self.store.write(record).is_ok() {
                        self.executor.release(&record.run, record.attempts.len()).await;
                    }
                }
                return recorded;
            };
            record.discard();
            let message = outcome.failure.map(|failure| masks.text(&failure.message)).unwrap_or_default();
            let warning = attempts::retry_message(&message, failed, retries.max, pause);
            log.warn(&warning);
            observer.warned(pipeline, &warning);
            record.attempts.push(Attempt { started_at: start, finished_at: Timestamp::now(), message });
            if !wait(pause, stop).await {
                record.state = State::Cancelled;
                record.failure = Some(Failed::new("it was cancelled"));
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
        (observer, log): (&dyn RunObserver, &Writer),
        stop: &CancellationToken,
    ) -> Result<Environment, EnvironmentError> {
        let pipeline = record.pipeline.clone();
        let progress = EnvironmentProgress { pipeline: &pipeline, observer };
        let mut failed = 0;
        loop {
            let start = Timestamp::now();
            let error = match self.environments.ensure(recipe, &progress, stop).await {
                Ok(environment) => return Ok(environment),
                Err(error) => error,
            };
            failed += 1;
            let Some(pause) = retries.after_environment(failed, &error) else { return Err(error) };
            let message = error.to_string();
            let warning = attempts::retry_message(&message, failed, retries.max, pause);
            log.warn(&warning);
            observer.warned(&pipeline, &warning);
            record.attempts.push(Attempt { started_at: start, finished_at: Timestamp::now(), message });
            if !wait(pause, stop).await {
                return Err(EnvironmentError::Cancelled);
            }
        }
    }

    /// Calls [`Runner::record_outcome`] outside of the async threads: large files take long to sync.
    pub(super) async fn record_outcome_blocking(
        &self,
        record: Record,
        outcome: Outcome,
        first: usize,
        masks: Masks,
    ) -> Result<Record, (Record, NotRun)> {
        let (runner, mut finished) = (self.clone(), record.clone());
        let recording = tokio::task::spawn_blocking(move || {
            runner.record_outcome(&mut finished, outcome, first, &masks);
            finished
        });
        recording.await.map_err(|error| (record, NotRun::Io(io::Error::other(error))))
    }

    /// Records the outcome of the executor, and moves outputs into place.
    fn record_outcome(&self, record: &mut Record, outcome: Outcome, first: usize, masks: &Masks) {
        record.rows = outcome.rows;
        // A path may contain text that is masked elsewhere.
        record.datapackage = publishing::package(&outcome.stats, &record.outputs);
        record.stats = into_map(masks.value(Value::Object(outcome.stats)));
        for (recorded, step) in record.steps.iter_mut().skip(first).zip(outcome.steps) {
            recorded.1 = step;
        }
        record.failure = outcome.failure.map(|failure| Failed {
            step: failure.step.map(|step| step + first),
            log: failure.log.iter().map(|line| masks.text(line)).collect(),
            ..failure
        });
        record.state = match outcome.end {
            End::Succeeded if record.fingerprint.claim.is_some() => {
                if outcome.in_place.len() == record.outputs.len() {
                    record.outputs = outcome.in_place;
                    State::Succeeded
                } else {
                    let message = "the image has an older terrace, which stores nothing on a claim; build it again";
                    record.failure = Some(Failed::new(message));
                    State::Failed
                }
            }
            End::Succeeded => State::Publishing,
            End::Failed | End::Broken => State::Failed,
            End::Cancelled => State::Cancelled,
            End::TimedOut => State::TimedOut,
            // It may still write into its outputs.
            End::Unknown => return,
        };
        if record.state == State::Publishing {
            self.publish(record);
        } else if record.state != State::Succeeded {
            // Check the disk before the outputs are discarded, which frees space.
            if let (Some(place), Some(failure)) = (self.full_disk(record), &mut record.failure) {
                failure.message.push_str(&format!("; the disk of `{}` is full", place.display()));
            }
            record.datapackage = None;
            record.discard();
        }
        self.name_canceller(record);
    }

    /// Names the principal that cancelled a run in its record and its log, once.
    pub(super) fn name_canceller(&self, record: &mut Record) {
        if record.state != State::Cancelled || record.cancelled_by.is_some() {
            return;
        }
        record.cancelled_by = self.store.stop_requester(&record.run);
        if let Some(by) = &record.cancelled_by {
            super::log::append(&self.store.run_folder(&record.run), &Line::message(format!("cancelled by {by}")));
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
