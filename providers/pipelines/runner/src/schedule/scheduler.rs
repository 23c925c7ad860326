//! Starts runs when they are due.
//!
//! [`Scheduler::check`] gets the present time as an argument, so tests need no clock; [`Scheduler::run`] calls it every
//! second. Of several servers of a project, only the holder of the lock starts runs; the next server takes over when it
//! ends.

use super::due::decide;
use super::store::{Last, Leadership, Progress, Schedules};
use super::{CatchUp, Overlap, Schedule, Times};
use crate::database::{DatabaseErrorKind, ProjectDatabases};
use crate::run::batch::{self, BatchEnd, Options};
use crate::run::{NoObserver, NotRun, Overrides};
use crate::run::{Record, Runner};
use crate::spec::{self, Specs};
use async_trait::async_trait;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Interval between checks for due runs.
const PERIOD: Duration = Duration::from_secs(1);
/// Interval between reads of the specs for their schedules.
const SPECS_INTERVAL: Duration = Duration::from_secs(30);
/// Time that a run may wait for the lock of its pipeline, if its policy allows that.
const LOCK_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
/// Time to wait for the end of a run that is replaced.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);
/// Maximum number of due times that wait behind a long run.
const MOST_WAITING: usize = super::due::MOST;
/// State of a time without a run.
const SKIPPED: &str = "skipped";

/// Receives the ends of scheduled runs.
#[async_trait]
pub trait RunLog: Send + Sync {
    /// Logs the end of a run. A killed server may have logged it already. Returns false if it cannot be logged now; a later
    /// call repeats it.
    async fn ended(&self, record: &Record) -> bool;
}

/// Starts the runs of a project.
pub struct Scheduler {
    shared: Arc<Shared>,
    leadership: Option<Leadership>,
    /// Schedules of specs, and the time of the last read.
    of_specs: Option<(Instant, Vec<Schedule>)>,
    runs: JoinSet<()>,
    /// Problems that were logged, by source.
    logged: BTreeMap<String, String>,
}

struct Shared {
    runner: Runner,
    databases: ProjectDatabases,
    schedules: Schedules,
    /// Schedules of specs apply too.
    includes_specs: bool,
    log: Option<Arc<dyn RunLog>>,
    /// No more runs start.
    ending: CancellationToken,
    /// Present runs are cancelled.
    cancel: CancellationToken,
    /// Schedules with a running task; locked while decisions are read and written.
    running: Mutex<BTreeMap<String, bool>>,
}

/// A schedule with its progress.
#[derive(Debug, Clone)]
pub struct ScheduleStatus {
    /// The schedule.
    pub schedule: Schedule,
    /// Decisions about it; nothing before the first check.
    pub progress: Option<Progress>,
    /// Start of its next run; nothing if it starts none.
    pub next: Option<Timestamp>,
}

impl ScheduleStatus {
    /// Returns true if the cluster did not have its CronJob any more when its runs were recorded last. An apply creates another.
    #[must_use]
    pub fn is_cron_job_gone(&self) -> bool {
        let gone = self.progress.as_ref().and_then(|progress| progress.gone.as_ref());
        gone.is_some() && gone == self.schedule.cron_job.as_ref().map(|cron_job| &cron_job.uid)
    }
}

impl Scheduler {
    /// Creates a scheduler for the runner's project, with the schedules of specs if `includes_specs` is set. `log` gets the
    /// ends of runs before they are recorded.
    #[must_use]
    pub fn new(
        runner: Runner,
        databases: ProjectDatabases,
        includes_specs: bool,
        log: Option<Arc<dyn RunLog>>,
    ) -> Self {
        let schedules = runner.schedules();
        let ending = CancellationToken::new();
        let cancel = CancellationToken::new();
        let running = Mutex::default();
        let shared = Shared { runner, databases, schedules, includes_specs, log, ending, cancel, running };
        Self {
            shared: Arc::new(shared),
            leadership: None,
            of_specs: None,
            runs: JoinSet::new(),
            logged: BTreeMap::new(),
        }
    }

    /// Checks every second until `stop` is cancelled. Then it waits for present runs at most for `drain`, and cancels
    /// the rest. The next server starts cancelled and waiting runs again.
    pub async fn run(mut self, stop: CancellationToken, drain: Duration) {
        loop {
            if let Err(error) = self.check(Timestamp::now()).await {
                self.warn("schedules", &format!("schedules cannot be checked now: {error}"));
            }
            tokio::select! {
                () = tokio::time::sleep(PERIOD) => {}
                () = stop.cancelled() => break,
            }
        }
        self.shared.ending.cancel();
        if tokio::time::timeout(drain, self.idle()).await.is_err() {
            tracing::warn!("runs of schedules are cancelled: they take longer than the server's grace period");
            self.shared.cancel.cancel();
            self.idle().await;
        }
    }

    /// Waits for the started runs.
    pub async fn idle(&mut self) {
        while self.runs.join_next().await.is_some() {}
    }

    /// Starts the runs that are due; returns false if another server does.
    ///
    /// # Errors
    /// When the records cannot be read or written.
    pub async fn check(&mut self, now: Timestamp) -> io::Result<bool> {
        // Without schedules, write nothing.
        if !self.shared.includes_specs && !self.shared.schedules.has_any() {
            return Ok(true);
        }
        if self.leadership.is_none() {
            let Some(leadership) = self.shared.schedules.acquire_leadership()? else { return Ok(false) };
            self.leadership = Some(leadership);
        }
        while self.runs.try_join_next().is_some() {}
        let (mut schedules, broken) = self.shared.schedules.all()?;
        for error in broken {
            self.warn("records", &format!("a schedule cannot be read: {error}"));
        }
        // A cluster starts the runs of its CronJobs.
        schedules.retain(|schedule| schedule.cron_job.is_none());
        schedules.extend(self.of_specs(now).await);
        for schedule in schedules {
            if let Err(error) = self.check_schedule(&schedule, now).await {
                self.warn(&schedule.name, &format!("the schedule `{}` cannot be recorded: {error}", schedule.name));
            }
        }
        Ok(true)
    }

    /// Schedules of specs, which are read at intervals.
    async fn of_specs(&mut self, now: Timestamp) -> Vec<Schedule> {
        if !self.shared.includes_specs {
            return Vec::new();
        }
        if let Some((read, schedules)) = &self.of_specs
            && read.elapsed() < SPECS_INTERVAL
        {
            return schedules.clone();
        }
        let project = self.shared.runner.project.clone();
        let read = tokio::task::spawn_blocking(move || spec::read(&project)).await;
        let schedules = match read.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(specs) => schedules_of(&specs, now),
            Err(error) => {
                self.warn("specs", &format!("specs cannot be read; their former schedules still apply: {error}"));
                self.of_specs.take().map(|(_, schedules)| schedules).unwrap_or_default()
            }
        };
        self.of_specs = Some((Instant::now(), schedules.clone()));
        schedules
    }

    async fn check_schedule(&mut self, schedule: &Schedule, now: Timestamp) -> io::Result<()> {
        let times = match Times::of(schedule) {
            Ok(times) => times,
            Err((what, why)) => {
                self.warn(&schedule.name, &format!("the schedule `{}` starts nothing: `{what}`: {why}", schedule.name));
                return Ok(());
            }
        };
        let shared = Arc::clone(&self.shared);
        let mut running = shared.running.lock().await;
        let stored = shared.schedules.progress(&schedule.name)?;
        let crontab = schedule.is_of_spec().then(|| schedule.cron.clone());
        // Schedules of specs have no creation time: they are unchanged while their crontab is.
        let is_as_before = crontab.is_some() && stored.as_ref().is_some_and(|stored| stored.crontab == crontab);
        let is_new = stored.as_ref().is_none_or(|stored| stored.crontab != crontab);
        let mut progress = stored.unwrap_or_else(|| Progress::since(schedule.since));
        progress.crontab = crontab;
        // Times before the last change of the schedule are not caught up.
        if schedule.since <= now && !is_as_before {
            progress.decided = progress.decided.max(schedule.since);
        }
        // A disabled schedule misses nothing.
        let decision = match schedule.enabled {
            true => decide(&times, schedule.catch_up, progress.decided, now),
            false => super::due::Decision { decided: Some(now), ..Default::default() },
        };
        if decision.is_clock_back {
            tracing::warn!(schedule = schedule.name, "the clock was in the future: schedules continue from now");
        }
        if decision.missed > 0 {
            tracing::info!(schedule = schedule.name, passed = decision.missed, "times were missed");
        }
        let is_running = running.get(&schedule.name).copied().unwrap_or_default();
        let is_dropped = !schedule.enabled && !is_running && !progress.pending.is_empty();
        if is_dropped {
            // An interrupted server left these, and they are not needed any more.
            progress.pending.clear();
        }
        let mut starts = decision.starts;
        if is_running && !starts.is_empty() {
            match schedule.overlap {
                Overlap::Forbid => {
                    for due in starts.drain(..) {
                        tracing::info!(schedule = schedule.name, %due, "skipped: the previous run is in progress");
                    }
                }
                Overlap::Replace => {
                    shared.stop_running(schedule);
                    // The newest time replaces all waiting ones.
                    progress.pending.truncate(1);
                    starts = starts.pop().into_iter().collect();
                }
                Overlap::Allow => starts.truncate(MOST_WAITING.saturating_sub(progress.pending.len())),
            }
        }
        let has_new = !starts.is_empty();
        progress.pending.extend(starts);
        // For a disabled schedule, write the progress at most once a minute.
        let is_to_write = has_new || is_new || is_dropped || schedule.enabled && decision.decided.is_some() || {
            let since = |decided: Timestamp| now.duration_since(decided).as_secs() > 60;
            decision.decided.is_some() && since(progress.decided)
        };
        if is_to_write {
            progress.decided = decision.decided.unwrap_or(progress.decided);
            shared.schedules.record_decisions(&schedule.name, &progress)?;
        }
        if !is_running && !progress.pending.is_empty() {
            running.insert(schedule.name.clone(), true);
            drop(running);
            let schedule = schedule.clone();
            self.runs.spawn(async move { shared.run_pending(&schedule).await });
        }
        Ok(())
    }

    /// Logs a problem once.
    fn warn(&mut self, what: &str, message: &str) {
        if self.logged.insert(what.to_owned(), message.to_owned()).as_deref() != Some(message) {
            tracing::warn!("{message}");
        }
    }
}

impl Shared {
    /// Runs the waiting times of a schedule, in order.
    async fn run_pending(&self, schedule: &Schedule) {
        loop {
            let next = {
                let mut running = self.running.lock().await;
                let progress = self.schedules.progress(&schedule.name).ok().flatten();
                let next = progress.and_then(|progress| progress.pending.first().copied());
                if next.is_none() || self.ending.is_cancelled() {
                    running.remove(&schedule.name);
                    return;
                }
                next
            };
            let Some(due) = next else { return };
            let Some(last) = self.run(schedule, due).await else {
                // It stays in the progress: the next check or server starts it again, or finds its end.
                tracing::info!(schedule = schedule.name, %due, "not recorded: the server ends, or its log cannot be written");
                self.running.lock().await.remove(&schedule.name);
                return;
            };
            tracing::info!(schedule = schedule.name, %due, run = last.run, state = last.state, why = last.why, "ran");
            let mut running = self.running.lock().await;
            let ended = self.schedules.progress(&schedule.name).and_then(|progress| {
                // The schedule was removed meanwhile.
                let Some(mut progress) = progress else { return Ok(()) };
                progress.pending.retain(|pending| *pending != due);
                progress.last = Some(last);
                self.schedules.record_decisions(&schedule.name, &progress)
            });
            if let Err(error) = ended {
                tracing::warn!(schedule = schedule.name, %error, "the outcome of a run cannot be recorded");
                // The next check finds the run by its mark.
                running.remove(&schedule.name);
                return;
            }
        }
    }

    /// Runs a pipeline for a due time, unless an interrupted server did so already. Returns nothing if the server ends
    /// before the run.
    async fn run(&self, schedule: &Schedule, due: Timestamp) -> Option<Last> {
        let mark = format!("schedule/{}/{due}", schedule.name);
        let skipped = |why: String| Some(Last { due, run: None, state: SKIPPED.to_owned(), why: Some(why) });
        let folder = self.runner.recorded_folder(&schedule.folder);
        match self.runner.find_marked(&folder, &schedule.pipeline, &mark, LOCK_TIMEOUT).await {
            Ok(Some(last)) => return self.ended(last, due).await,
            Ok(None) => {}
            Err(error) => return skipped(format!("the records of its runs cannot be read: {error}")),
        }
        let root = self.runner.project.join(&schedule.folder);
        let read = tokio::task::spawn_blocking(move || spec::read(&root)).await;
        let specs = match read {
            Ok(Ok(specs)) => specs.with_display_root(Path::new(&schedule.folder)),
            Ok(Err(error)) => return skipped(format!("its folder cannot be read: {error}")),
            Err(error) => return skipped(format!("its folder cannot be read: {error}")),
        };
        let position = specs.pipelines.iter().position(|pipeline| pipeline.id == schedule.pipeline);
        let is_broken = specs.broken().contains(&schedule.pipeline.as_str());
        let Some(position) = position.filter(|_| !is_broken) else {
            let problem = specs.problems.iter().find(|problem| problem.pipeline.as_deref() == Some(&schedule.pipeline));
            return skipped(match problem {
                Some(problem) => problem.in_one_line(&specs).to_string(),
                None => format!("the pipeline `{}` does not exist in `{}`", schedule.pipeline, schedule.folder),
            });
        };
        let lock_timeout = match schedule.overlap {
            Overlap::Forbid => Duration::ZERO,
            Overlap::Replace => {
                self.stop_running(schedule);
                STOP_TIMEOUT
            }
            Overlap::Allow => LOCK_TIMEOUT,
        };
        let options = Options {
            lock_timeout,
            mark: Some(mark),
            reason: format!("its schedule `{}` ({} {})", schedule.name, schedule.cron, schedule.time_zone),
            overrides: schedule.overrides.clone(),
            ..Options::default()
        };
        let folder = self.runner.folder_name(&specs.root);
        let uses_database =
            specs.pipelines.get(position).is_some_and(|pipeline| self.runner.uses_database(&specs.root, pipeline));
        let runner = match uses_database {
            true => self.databases.runner_for_active_cluster(&self.runner, &folder, &self.cancel).await,
            false => Ok(self.runner.clone()),
        };
        let runner = match runner {
            Ok(runner) => runner,
            Err(error) if error.kind == DatabaseErrorKind::Cancelled => return None,
            Err(error) => return skipped(error.message),
        };
        let done = batch::run(&runner, &specs, &[position], &options, &NoObserver, &self.cancel).await;
        let end = match done {
            Ok(done) => done.into_iter().next().map(|done| done.end),
            Err(error) => return skipped(format!("the inputs cannot be compared: {error}")),
        };
        match end {
            Some(BatchEnd::Ran(record)) if self.runner.is_interrupted(&record) => None,
            Some(BatchEnd::Ran(record)) => self.ended(*record, due).await,
            Some(BatchEnd::Held { by, .. }) => skipped(format!("it depends on `{by}`, which must succeed first")),
            Some(BatchEnd::NotRun(NotRun::InProgress { .. })) => skipped("another run of it is in progress".to_owned()),
            Some(BatchEnd::NotRun(NotRun::Cancelled)) => None,
            Some(BatchEnd::NotRun(NotRun::Environment(error))) => skipped(error.to_string()),
            Some(BatchEnd::NotRun(NotRun::Io(error))) => skipped(format!("the run cannot be recorded: {error}")),
            Some(BatchEnd::NotRun(
                NotRun::Changed(message) | NotRun::WorkerFailed { message } | NotRun::UnknownEnd { message },
            )) => skipped(message.join("; ")),
            Some(BatchEnd::Clean) | None => skipped("nothing to run".to_owned()),
        }
    }

    /// Outcome of a run that ended. Nothing if its end cannot be logged: the next check finds the run by its mark.
    async fn ended(&self, record: Record, due: Timestamp) -> Option<Last> {
        if let Some(log) = &self.log
            && !log.ended(&record).await
        {
            return None;
        }
        Some(Last { due, run: Some(record.run), state: record.state.word().to_owned(), why: None })
    }

    /// Requests a stop of the pipeline's present run.
    fn stop_running(&self, schedule: &Schedule) {
        let last =
            self.runner.store.last(&self.runner.recorded_folder(&schedule.folder), &schedule.pipeline).ok().flatten();
        if let Some(last) = last.filter(|last| !last.state.is_over()) {
            let by = format!("schedule {}", schedule.name);
            let _ = self.runner.store.request_stop(&last.run, Some(&by));
        }
    }
}

/// Schedules of specs: in UTC, and with one run for all missed times.
fn schedules_of(specs: &Specs, now: Timestamp) -> Vec<Schedule> {
    let scheduled = specs.pipelines.iter().filter_map(|pipeline| Some((pipeline, pipeline.schedule.as_ref()?)));
    scheduled
        .map(|(pipeline, schedule)| Schedule {
            name: format!("{}{}", Schedule::OF_SPEC, pipeline.id),
            folder: ".".to_owned(),
            pipeline: pipeline.id.clone(),
            cron: schedule.crontab.clone(),
            time_zone: "UTC".to_owned(),
            enabled: true,
            overlap: Overlap::Forbid,
            catch_up: CatchUp::Last,
            jitter_seconds: 0,
            since: now,
            mark: String::new(),
            database: None,
            overrides: Overrides::default(),
            cron_job: None,
        })
        .collect()
}

impl Runner {
    /// Schedules of the project.
    #[must_use]
    pub fn schedules(&self) -> Schedules {
        Schedules::new(self.store.folder())
    }

    /// Declared schedules, and with `specs` those of specs, with their next start.
    ///
    /// # Errors
    /// When the records cannot be read.
    pub fn known_schedules(&self, specs: Option<&Path>, now: Timestamp) -> io::Result<Vec<ScheduleStatus>> {
        let schedules = self.schedules();
        let (mut all, broken) = schedules.all()?;
        if let Some(error) = broken.into_iter().next() {
            return Err(error);
        }
        if let Some(root) = specs.map(PathBuf::from) {
            all.extend(schedules_of(&spec::read(&root)?, now));
        }
        all.into_iter()
            .map(|schedule| {
                let mut progress = schedules.progress(&schedule.name)?;
                if let (Some(_), Some(progress)) = (&schedule.cron_job, &mut progress) {
                    progress.last = progress.last.take().map(|last| self.with_recorded_end(last)).transpose()?;
                }
                let times = Times::of(&schedule).ok().filter(|_| schedule.enabled);
                let mut status = ScheduleStatus { next: times.and_then(|times| times.next(now)), progress, schedule };
                if status.is_cron_job_gone() {
                    status.next = None;
                }
                Ok(status)
            })
            .collect()
    }
}
