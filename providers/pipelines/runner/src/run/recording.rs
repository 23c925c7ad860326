//! Records of runs that no process of this machine follows: those that CronJobs started, and those whose caller was killed. While
//! no terrace runs, the Jobs and the logs of their pods are the only trace of these runs; each command that shows runs copies it
//! into the records of the project, once.

use super::elsewhere::Cancellation;
use super::observer::NoObserver;
use super::outputs::Output;
use super::record::{Record, State};
use super::runner::Runner;
use super::store::{LockError, PipelineLock};
use super::timed::executor_at;
use crate::executor::{ClusterPlace, DELETED_JOB, Executor, Failed, HISTORY, Place, StartedRun, UNREAD_END};
use crate::fingerprint::Fingerprint;
use crate::schedule::store::{Last, Progress};
use crate::schedule::{CronJob, Schedule};
use jiff::Timestamp;
use std::io;
use std::time::Duration;
use terrace_provider::ErrorKind;
use tokio_util::sync::CancellationToken;

/// Longest wait for the log of a run that has ended.
const LOG: Duration = Duration::from_secs(30);

/// True if a cluster does not answer.
fn is_unreachable(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::HostUnreachable
}

/// A schedule with its CronJob and its cluster.
struct Scheduled<'a> {
    schedule: &'a Schedule,
    cron_job: &'a CronJob,
    /// Name of the specs' folder in records.
    folder: String,
    executor: &'a dyn Executor,
}

impl Runner {
    /// Records the runs that CronJobs of this project started, those that have ended since, and the ends of runs whose Jobs are
    /// gone. Returns messages about clusters that do not answer.
    pub async fn record_started_runs(&self) -> Vec<String> {
        let (mut problems, mut unreachable) = self.record_runs_where(None, |_| true).await;
        for run in self.store.unfinished_runs().unwrap_or_default() {
            if let Err(error) = self.end_gone_run(&run, &mut unreachable).await {
                problems.push(format!("the state of run {run} is not known now: {error}"));
            }
        }
        problems
    }

    /// Ends the record of a run that no process follows, if it does not go on in its cluster. A later command that follows it
    /// to its end records that. Leaves out runs at unreachable places, and adds to these: each costs the time of a request.
    async fn end_gone_run(&self, run: &str, unreachable: &mut Vec<Option<Place>>) -> io::Result<()> {
        let Some(record) = self.store.exact_run(run)?.filter(|record| self.is_in_cluster(record)) else {
            return Ok(());
        };
        if unreachable.contains(&record.place) {
            return Ok(());
        }
        let schedule = record.schedule().map_or(Ok(None), |name| self.schedules().get(name))?;
        let is_recorded = schedule.is_some_and(|schedule| schedule.cron_job.is_some());
        if is_recorded || self.store.is_held(&record)? {
            return Ok(());
        }
        let executor = self.executor_of_record(&record)?;
        let goes_on = executor.goes_on(run, record.attempts.len(), record.scheduled_job.as_deref()).await;
        if goes_on.as_ref().is_err_and(is_unreachable) {
            unreachable.push(record.place.clone());
        }
        if goes_on.map_err(|error| self.at_place(&record, error))? {
            return Ok(());
        }
        self.follow_cluster_run(&record, Some(LOG), &CancellationToken::new()).await
    }

    /// Records the runs of these schedules; the caller may have the lock of their pipeline. Returns messages, and the clusters
    /// that do not answer: one request to each costs the time of its limit, and further ones would cost it again.
    async fn record_runs_where(
        &self,
        lock: Option<&PipelineLock>,
        is_wanted: impl Fn(&Schedule) -> bool,
    ) -> (Vec<String>, Vec<Option<Place>>) {
        let schedules = self.schedules().all().map(|(all, _)| all).unwrap_or_default();
        let mut unrecorded: Vec<(&ClusterPlace, Vec<&str>, io::Error)> = Vec::new();
        for schedule in schedules.iter().filter(|schedule| is_wanted(schedule)) {
            let Some(place) = schedule.cron_job.as_ref().map(|cron_job| &cron_job.place) else { continue };
            let known = unrecorded.iter_mut().find(|(other, _, error)| *other == place && is_unreachable(error));
            if let Some((_, names, _)) = known {
                names.push(&schedule.name);
            } else if let Err(error) = self.record_runs(schedule, lock).await {
                unrecorded.push((place, vec![&schedule.name], error));
            }
        }
        let unreachable = unrecorded.iter().filter(|(_, _, error)| is_unreachable(error));
        let unreachable = unreachable.map(|(place, _, _)| Some(Place::Kubernetes((*place).clone()))).collect();
        let message = |(_, names, error): &(&ClusterPlace, Vec<&str>, io::Error)| match names.as_slice() {
            [name] => format!("runs of the schedule `{name}` are not recorded now: {error}"),
            names => format!("runs of the schedules `{}` are not recorded now: {error}", names.join("`, `")),
        };
        (unrecorded.iter().map(message).collect(), unreachable)
    }

    /// Records the runs of a schedule whose CronJob, and thus its Jobs, will be removed. Logs an error.
    pub async fn record_last_runs_of(&self, schedule: &Schedule) {
        if let Err(error) = self.record_runs_of(schedule).await {
            tracing::warn!(schedule = schedule.name, %error, "its last runs are not recorded");
        }
    }

    /// Records the runs of the schedules of a pipeline whose lock the caller has. Returns messages as
    /// [`Runner::record_started_runs`].
    pub(super) async fn record_runs_of_pipeline(
        &self,
        lock: &PipelineLock,
        folder: &str,
        pipeline: &str,
    ) -> Vec<String> {
        let is_of_pipeline = |schedule: &Schedule| {
            let scheduled = self.recorded_folder(&schedule.folder);
            self.store.is_same_pipeline((&scheduled, &schedule.pipeline), (folder, pipeline))
        };
        self.record_runs_where(Some(lock), is_of_pipeline).await.0
    }

    /// Records the runs of a schedule.
    ///
    /// # Errors
    /// When its cluster does not answer, or a record cannot be read or written.
    pub async fn record_runs_of(&self, schedule: &Schedule) -> io::Result<()> {
        self.record_runs(schedule, None).await
    }

    /// Records the runs of a schedule; the caller may have the lock of its pipeline.
    async fn record_runs(&self, schedule: &Schedule, held: Option<&PipelineLock>) -> io::Result<()> {
        let Some(cron_job) = &schedule.cron_job else { return Ok(()) };
        let executor = executor_at(&cron_job.place).map_err(io::Error::other)?;
        let Some(timed) = executor.timed() else { return Ok(()) };
        let folder = self.recorded_folder(&schedule.folder);
        let scheduled = Scheduled { schedule, cron_job, folder, executor: &executor };
        let own;
        let lock = match held {
            Some(held) => held,
            None => {
                let cancel = CancellationToken::new();
                let (folder, pipeline) = (&scheduled.folder, &schedule.pipeline);
                match self.store.lock_pipeline(folder, pipeline, Duration::ZERO, &cancel).await {
                    Ok(lock) => own = lock,
                    // Another process follows or records the runs.
                    Err(LockError::InProgress { .. } | LockError::Cancelled) => return Ok(()),
                    Err(LockError::Io(error)) => return Err(error),
                }
                &own
            }
        };
        // Before the lock, another process may record a Job that a list lacks.
        let started = timed.started(&cron_job.name).await.map_err(|error| match error.kind {
            ErrorKind::Transient => io::Error::new(io::ErrorKind::HostUnreachable, error.message),
            _ => io::Error::other(error.message),
        })?;
        let stored = self.schedules().progress(&schedule.name)?;
        let mut progress = stored.unwrap_or_else(|| Progress::since(schedule.since));
        self.record_removed(lock, &scheduled, &started)?;
        for run in &started {
            if progress.recorded.contains(&run.run) {
                continue;
            }
            let record = self.record_started(&scheduled, lock, run).await?;
            progress.decided = progress.decided.max(run.due);
            progress.last = Some(Last { due: run.due, run: Some(run.run.clone()), state: String::new(), why: None });
            if record.state.is_over() {
                progress.recorded.push(run.run.clone());
            }
        }
        if lock.unfinished_run().is_none() && started.iter().any(|run| run.ended_at.is_none()) {
            lock.set_current_run(self.scheduled_run_in_progress(&scheduled.folder, &schedule.pipeline)?.as_deref())?;
        }
        progress.last = progress.last.map(|last| self.with_recorded_end(last)).transpose()?;
        // An identity may list Jobs and not read CronJobs.
        if let Ok(state) = timed.state(&cron_job.name).await {
            // Another machine with the same state may have recreated it.
            let is_gone = !cron_job.uid.is_empty() && state.is_none();
            progress.gone = is_gone.then(|| cron_job.uid.clone());
        }
        progress.recorded.retain(|run| started.iter().any(|started| started.run == *run));
        self.schedules().record_decisions(&schedule.name, &progress)?;
        self.store.prune(&scheduled.folder, &schedule.pipeline)
    }

    /// The last outcome of a CronJob's schedule with the present state of its run, which another process may have ended.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub(crate) fn with_recorded_end(&self, last: Last) -> io::Result<Last> {
        let record = last.run.as_ref().map_or(Ok(None), |run| self.store.exact_run(run))?;
        Ok(record.map_or(last.clone(), |record| Last {
            state: record.state.word().to_owned(),
            why: record.failure.map(|failure| failure.message),
            ..last
        }))
    }

    /// Copies the log of a run in progress that no process of this machine needs, within the limit, or until its end, which is
    /// recorded. Without a limit, waits while another process follows it. A reader that leaves ends its waits, but not the record
    /// of the end.
    ///
    /// # Errors
    /// When its cluster does not answer, or a record cannot be written.
    pub async fn follow_cluster_run(
        &self,
        record: &Record,
        limit: Option<Duration>,
        leave: &CancellationToken,
    ) -> io::Result<()> {
        // Without a limit, another process that copies it may end before the run.
        let wait = if limit.is_none() { Duration::MAX } else { Duration::ZERO };
        let lock = self.store.lock_pipeline(&record.folder, &record.pipeline, wait, leave).await;
        let lock = match lock {
            Ok(lock) => lock,
            // Another process copies it.
            Err(LockError::InProgress { .. } | LockError::Cancelled) => return Ok(()),
            Err(LockError::Io(error)) => return Err(error),
        };
        match self.settle_observed(&record.run, limit, &NoObserver, Cancellation::Wait(leave)).await {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted && leave.is_cancelled() => Ok(()),
            Err(error) => Err(error),
            Ok(_) if lock.unfinished_run().as_ref() == Some(&record.run) => lock.set_current_run(None),
            Ok(_) => Ok(()),
        }
    }

    /// The oldest run in progress of a pipeline that a schedule in a cluster started.
    ///
    /// # Errors
    /// When a record cannot be read.
    pub(super) fn scheduled_run_in_progress(&self, folder: &str, pipeline: &str) -> io::Result<Option<String>> {
        let unfinished = self.unfinished_runs_of(folder, pipeline)?;
        Ok(unfinished.into_iter().rfind(|record| record.scheduled_job.is_some()).map(|record| record.run))
    }

    /// The unfinished runs of a pipeline, newest first.
    ///
    /// # Errors
    /// When a record cannot be read.
    pub fn unfinished_runs_of(&self, folder: &str, pipeline: &str) -> io::Result<Vec<Record>> {
        let mut unfinished = Vec::new();
        for run in self.store.runs_of(folder, pipeline)?.iter().rev() {
            match self.store.exact_run(run) {
                // A damaged record says nothing about its run, and must not block others.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
                record => unfinished.extend(record?.filter(|record| !record.state.is_over())),
            }
        }
        Ok(unfinished)
    }

    /// Records the present state of a run.
    async fn record_started(
        &self,
        scheduled: &Scheduled<'_>,
        lock: &PipelineLock,
        run: &StartedRun,
    ) -> io::Result<Record> {
        let existing = self.store.run(&run.run)?;
        let is_new = existing.is_none();
        let mut record = match existing {
            Some(record) if record.state.is_over() => return Ok(record),
            Some(record) => record,
            None => self.new_record(scheduled, run)?,
        };
        if is_new {
            let current = lock.unfinished_run().map_or(Ok(None), |current| self.store.exact_run(&current))?;
            // A process may have been killed after it recorded the end of its run.
            let is_free = current.is_none_or(|current| current.state.is_over());
            // Another run of the pipeline, such as a manual one, waits for the end of this one.
            match run.ended_at.is_none() && is_free {
                true => lock.set_current_run(Some(&run.run))?,
                false => lock.add_run(&run.run)?,
            }
            // Last, so that the run is new after a crash.
            self.store.write(&record)?;
        }
        if run.ended_at.is_none() {
            return Ok(record);
        }
        record.finished_at = run.ended_at;
        let cancel = CancellationToken::new();
        match self.follow(&record, scheduled.executor, Some(LOG), &NoObserver, Cancellation::Run(&cancel)).await? {
            Some(followed) => record = followed,
            None => {
                record.end_without_job();
                self.store.write(&record)?;
            }
        }
        if lock.unfinished_run().as_ref() == Some(&run.run) {
            lock.set_current_run(None)?;
        }
        Ok(record)
    }

    /// Ends the records of the schedule's runs whose Jobs are gone.
    fn record_removed(&self, lock: &PipelineLock, scheduled: &Scheduled<'_>, started: &[StartedRun]) -> io::Result<()> {
        let Scheduled { schedule, folder, .. } = scheduled;
        for run in self.store.runs_of(folder, &schedule.pipeline)? {
            let Some(mut record) = self.store.exact_run(&run)? else { continue };
            let is_known = |job: &String| started.iter().any(|started| started.object == *job);
            // Another schedule may have started a run of the same pipeline.
            let is_own = record.schedule() == Some(&schedule.name);
            if !is_own || record.state.is_over() || record.scheduled_job.as_ref().is_none_or(is_known) {
                continue;
            }
            record.end_without_job();
            let later = started.iter().filter(|started| started.run > run && started.ended_at.is_some()).count();
            if later >= HISTORY {
                // The cluster removes only Jobs that have ended, and keeps the last ones.
                record.state = State::Failed;
                record.failure = Some(Failed::new(UNREAD_END));
            }
            self.store.write(&record)?;
            if lock.unfinished_run().as_ref() == Some(&run) {
                lock.set_current_run(None)?;
            }
        }
        Ok(())
    }

    /// Record of a run that was not seen before.
    fn new_record(&self, scheduled: &Scheduled<'_>, run: &StartedRun) -> io::Result<Record> {
        let Scheduled { schedule, cron_job, folder, .. } = scheduled;
        let common = self.timed_record(schedule, &run.inputs)?.unwrap_or_else(|| {
            let reason = format!("its schedule `{}`", schedule.name);
            // Without the inputs, the next plan finds the pipeline dirty.
            let record = Record::new("", (folder, &schedule.pipeline), vec![reason], Fingerprint::default());
            Record { state: State::Running, has_begun: true, ..record }
        });
        let uid = &run.uid;
        let temporary = format!("{}-{uid}", common.run);
        let outputs = common.outputs.iter().map(|output| Output::within(output.place.clone(), &temporary));
        Ok(Record {
            outputs: outputs.collect(),
            run: run.run.clone(),
            started_at: run.started_at,
            mark: Some(format!("schedule/{}/{}", schedule.name, run.due)),
            home: self.store.folder_identity(),
            place: Some(Place::Kubernetes(cron_job.place.clone())),
            scheduled_job: Some(run.object.clone()),
            ..common
        })
    }
}

impl Record {
    /// The schedule that started the run in a cluster.
    fn schedule(&self) -> Option<&str> {
        let (schedule, _) = self.mark.as_deref()?.strip_prefix("schedule/")?.split_once('/')?;
        self.scheduled_job.as_ref().map(|_| schedule)
    }

    /// Ends the record of a run whose Job is gone.
    pub(super) fn end_without_job(&mut self) {
        self.discard();
        self.state = State::Cancelled;
        self.failure = Some(Failed::new(DELETED_JOB));
        self.finished_at.get_or_insert_with(Timestamp::now);
    }
}
