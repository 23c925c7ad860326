//! Schedules of pipelines that run in a cluster: CronJobs start them, while no terrace runs.

use super::super::attributes::{Name, blocking, io_error};
use super::super::database::provider_error;
use super::super::folder::Folder;
use super::super::planned_databases::PlannedDatabases;
use super::super::run::{mark, plan_target};
use super::{at, observed, parse, text};
use crate::cluster_settings::invalid;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use terrace_pipelines::database::cluster::active_cluster;
use terrace_pipelines::database::{DatabaseError, DatabaseErrorKind, ProjectDatabases, Record};
use terrace_pipelines::execution_options::ExecutionOptions;
use terrace_pipelines::executor::kubernetes::object_name;
use terrace_pipelines::executor::{ClusterPlace, Executor, TimedJob, TimedRuns, TimedState};
use terrace_pipelines::fingerprint::Fingerprint;
use terrace_pipelines::queue::cluster::Cluster;
use terrace_pipelines::run::timed::{NotTimed, cluster_of, executor_at};
use terrace_pipelines::run::{Runner, Target};
use terrace_pipelines::schedule::{CatchUp, CronJob, Overlap, Schedule};
use terrace_pipelines::spec::params;
use terrace_provider::{
    Attempt, Attributes, ErrorKind, Finding, Observed, PlannedChange, Private, ProposedChange, ProviderError, Severity,
    Value,
};
use tokio_util::sync::CancellationToken;

/// Attributes that a schedule without a CronJob does not have.
pub(super) const ABSENT: [&str; 2] = ["cronJob", "inputs"];
/// Attributes that change the inputs, and may be unknown in a plan.
const OPEN: [&str; 5] = ["params", "image", "cpu", "memory", "disk"];
/// Beginning of the name of a CronJob.
const PREFIX: &str = "terrace-";
/// Digest of inputs that another manager changed.
const CHANGED: &str = "changed in the cluster";

/// The CronJobs of a project.
pub(super) struct CronJobs {
    runner: Runner,
    databases: ProjectDatabases,
    /// Databases of the same plan.
    planned: PlannedDatabases,
}

/// A pipeline that runs in a cluster.
pub(super) struct InCluster {
    executor: Arc<dyn Executor>,
    options: ExecutionOptions,
    /// Its present inputs, and their digest.
    fingerprint: Fingerprint,
    inputs: String,
    /// A runner that writes into its database.
    runner: Runner,
}

impl InCluster {
    fn timed(&self) -> Result<&dyn TimedRuns, ProviderError> {
        self.executor.timed().ok_or_else(|| ProviderError::bug("an executor of a cluster without schedules"))
    }
}

/// Name of the CronJob of a schedule.
fn object_of(schedule: &Schedule) -> String {
    format!("{PREFIX}{}", schedule.name)
}

/// The name of a CronJob in attributes.
fn shown(timed: &dyn TimedRuns, object: &str) -> Value {
    format!("{}/{object}", timed.place_name()).into()
}

/// The error of a pipeline that a cluster cannot start by itself.
fn not_timed(why: NotTimed) -> ProviderError {
    let error = ProviderError::invalid(at("pipeline"), why.message);
    why.hint.into_iter().fold(error, ProviderError::solution)
}

/// Refuses a database that pods do not reach.
fn check_reachable(record: &Record) -> Result<(), ProviderError> {
    if record.cluster.is_some() {
        return Ok(());
    }
    let message = format!("the database `{}` is on this machine, which pods do not reach", record.name);
    Err(ProviderError::invalid(at("database"), message)
        .solution("name a `pipelines_database` with `executor: kubernetes`"))
}

/// The path `name` of a pipeline corresponds to `pipeline` here.
fn at_pipeline(mut error: ProviderError) -> ProviderError {
    if let ErrorKind::InvalidInput { path } = &mut error.kind
        && *path == at("name")
    {
        *path = at("pipeline");
    }
    error
}

/// The error of a pipeline without a database in the cluster names that of the active cluster.
fn not_timed_here(why: NotTimed, runner: &Runner, folder: &str) -> ProviderError {
    let active = active_cluster(runner.store.folder()).ok().flatten();
    // Pods do not reach databases of a cluster on this machine.
    let active = active.filter(|active| why.lacks_database && !active.is_here());
    let database = active.and_then(|active| active.database_of(&runner.recorded_folder(folder)));
    database.into_iter().fold(not_timed(why), |error, database| {
        error.solution(format!(
            "or write `database: {database}` into the schedule: it is a database of the active cluster"
        ))
    })
}

/// An error in lines for people.
fn in_lines(lines: Vec<String>) -> ProviderError {
    let mut lines = lines.into_iter();
    let error = ProviderError::new(ErrorKind::Failed, lines.next().unwrap_or_default());
    lines.fold(error, |error, line| error.solution(line.trim_start_matches("hint: ")))
}

/// Refuses attributes without an equivalent in a CronJob.
fn check(schedule: &Schedule, timed: &dyn TimedRuns, options: &ExecutionOptions) -> Result<(), ProviderError> {
    let refuse = |name: &str, message: String, hint: &str| {
        Err(ProviderError::invalid(at(name), message).solution(hint.to_owned()))
    };
    if let Err((message, hint)) = object_name::check("CronJob", PREFIX, &schedule.name) {
        return refuse("name", message, &hint);
    }
    if schedule.overlap == Overlap::Allow && options.claim().is_none() {
        let message =
            "`overlap` is `allow`, and runs in a cluster wait for each other on a claim, which the pipeline lacks"
                .to_owned();
        return refuse(
            "overlap",
            message,
            "set `claim` in the provider `pipelines` or in the spec, or use `forbid` or `replace`",
        );
    }
    if schedule.catch_up == CatchUp::All {
        let message = "`catchUp` is `all`, and a CronJob starts one run for all missed times".to_owned();
        return refuse("catchUp", message, "use `last` or `none`");
    }
    if schedule.jitter_seconds > 0 {
        let message = format!("`jitterSeconds` is {}, and a CronJob starts on time", schedule.jitter_seconds);
        return refuse("jitterSeconds", message, "remove it, and spread the minutes of `cron`");
    }
    match timed.crontab(&schedule.cron) {
        Ok(_) => Ok(()),
        Err((message, hint)) => refuse("cron", format!("`cron`: {message}"), &hint),
    }
}

impl CronJobs {
    pub(super) const fn new(runner: Runner, databases: ProjectDatabases, planned: PlannedDatabases) -> Self {
        Self { runner, databases, planned }
    }

    /// The runner for a plan, whose steps write into this database, which may not exist yet.
    pub(super) async fn plan_database(&self, database: Option<&Value>) -> Result<Runner, ProviderError> {
        let mut runner = self.runner.clone();
        let Some(database) = database.filter(|database| !database.is_null()) else { return Ok(runner) };
        let record = match database.as_str() {
            Some(name) => self.databases.get(name).await.map_err(provider_error)?,
            None => None,
        };
        if let Some(record) = &record {
            check_reachable(record)?;
        }
        plan_target(&mut runner, record);
        Ok(runner)
    }

    /// The runner for an apply: it starts the database of a schedule.
    pub(super) async fn start_database(
        &self,
        schedule: &Schedule,
        cancel: &CancellationToken,
    ) -> Result<Runner, ProviderError> {
        let mut runner = self.runner.clone();
        if let Some(name) = &schedule.database {
            // A failed start has no effect on the schedule, so that the step is not in doubt.
            let unstarted = |error: DatabaseError| match provider_error(self.with_own_hint(error, name)) {
                error if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Failed) => {
                    ProviderError { kind: ErrorKind::InvalidInput { path: at("database") }, ..error }
                }
                error => error,
            };
            let (record, access) = self.databases.ensure(name, cancel).await.map_err(unstarted)?;
            check_reachable(&record)?;
            runner.write_into(&record, &access);
        }
        Ok(runner)
    }

    /// The pipeline of a schedule if it runs in a cluster; nothing if it runs on this machine.
    pub(super) async fn target(&self, schedule: &Schedule, runner: Runner) -> Result<Option<InCluster>, ProviderError> {
        let name = Name { folder: schedule.folder.clone(), name: schedule.pipeline.clone() };
        let overrides = schedule.overrides.clone();
        let found = blocking(move || {
            let folder = Folder::read(&runner.project, &name)?;
            let pipeline = folder.pipeline(&name)?;
            params::check(pipeline, &overrides.params)
                .map_err(|wrong| ProviderError::invalid(at("params"), wrong.to_string()).solution(wrong.hint()))?;
            runner.check_run_options(pipeline, &overrides.execution).map_err(invalid)?;
            let pipeline = &*overrides.of(pipeline);
            if !runner.runs_elsewhere(pipeline) {
                return Ok(None);
            }
            runner.check_timed(&folder.specs, pipeline).map_err(|why| not_timed_here(why, &runner, &name.folder))?;
            let fingerprint = runner.fingerprint(&folder.specs, pipeline);
            let fingerprint =
                fingerprint.map_err(|error| io_error("the inputs of the pipeline cannot be read", &error))?;
            let executor = runner.executor_of(pipeline).map_err(in_lines)?;
            let (options, inputs) = (runner.execution_of(pipeline), runner.timed_inputs(pipeline, &fingerprint));
            Ok(Some(InCluster { executor, options, fingerprint, inputs, runner }))
        });
        found.await.map_err(at_pipeline)
    }

    /// The remedy for a schedule without its database.
    fn hint_for_missing(&self, database: &str) -> String {
        const LIST: &str = "or use a name that `terrace pipelines databases list` prints";
        if self.databases.cluster.is_none() {
            return "write `databaseImage: docker.io/library/postgres@sha256:DIGEST` in the settings of the provider `pipelines`"
                .to_owned();
        }
        let active = active_cluster(self.runner.store.folder()).ok().flatten();
        if let Some((kind, number)) = Cluster::in_kubernetes_with(database)
            && let Some(active) = active.filter(|active| active.kind == kind)
        {
            // A call with the kind would start workers.
            return format!(
                "create it with `terrace pipelines init --databases {}`; {LIST}",
                number.max(active.databases)
            );
        }
        format!(
            "declare a `pipelines_database` with `name: {database}` and `executor: kubernetes`, and write \
             `database: ${{{{ resources.NAME.name }}}}` with the name of that resource, so that it is created first; {LIST}"
        )
    }

    /// Replaces the hint of a missing database: that of a run would create one for the run alone.
    fn with_own_hint(&self, error: DatabaseError, database: &str) -> DatabaseError {
        match error.kind {
            DatabaseErrorKind::Missing => error.hint(self.hint_for_missing(database)),
            _ => error,
        }
    }

    /// Plans the CronJob of a schedule.
    pub(super) async fn plan(
        &self,
        schedule: &Schedule,
        found: &InCluster,
        change: &ProposedChange<'_>,
        planned: &mut PlannedChange,
    ) -> Result<(), ProviderError> {
        let timed = found.timed()?;
        check(schedule, timed, &found.options)?;
        let object = match text(change.config, "name") {
            Some(_) => shown(timed, &object_of(schedule)),
            None => Value::Unknown,
        };
        let recorded = self.recorded(&schedule.name)?;
        let place = cluster_of(&*found.executor).await.ok().flatten();
        let former = recorded.as_ref().and_then(|recorded| recorded.cron_job.as_ref()).map(|former| &former.place);
        let moved = former.zip(place.as_ref()).filter(|(former, place)| {
            change.prior.is_some() && (&former.cluster, &former.namespace) != (&place.cluster, &place.namespace)
        });
        let before = change.prior.and_then(|prior| prior.attributes.get("inputs")?.as_str());
        let mut reasons = match (before, &recorded) {
            (Some(CHANGED), _) => vec!["the CronJob was changed in the cluster".to_owned()],
            // Its former database is not in the new place.
            _ if moved.is_some() => Vec::new(),
            (Some(before), Some(recorded)) => {
                let reasons = self.runner.timed_reasons(recorded, before, &found.fingerprint);
                reasons.map_err(|error| io_error("the record of the schedule cannot be read", &error))?
            }
            _ => Vec::new(),
        };
        let is_same = before == Some(found.inputs.as_str());
        // No digest shows a changed secret.
        let is_open = |name: &str| change.config.get(name).is_some_and(Value::has_unknown);
        let is_unknown = found.runner.target == Target::Unknown || OPEN.into_iter().any(is_open);
        let inputs =
            if is_unknown || (is_same && !reasons.is_empty()) { Value::Unknown } else { found.inputs.as_str().into() };
        if before.is_some() && !is_same && reasons.is_empty() {
            reasons.push("the spec, the code, the files, the image or the options of the pipeline changed".to_owned());
        }
        planned.because.extend(reasons);
        planned.planned.insert("cronJob".to_owned(), object);
        planned.planned.insert("inputs".to_owned(), inputs);
        if let Some((former, place)) = moved {
            planned.because.insert(0, format!("the settings lead to {place}, and its CronJob is in {former}"));
            if former.cluster != place.cluster {
                planned.planned.insert("cronJob".to_owned(), Value::Unknown);
            }
        }
        let Some(place) = place else { return Ok(()) };
        let kept = change.prior.filter(|_| !change.must_replace).map(|prior| Kept::of(&prior.private));
        let (cluster, namespace) = (place.cluster.clone(), timed.place_name().to_owned());
        planned.private =
            Kept { planned: Some(KeptPlace { cluster, namespace }), ..kept.unwrap_or_default() }.private();
        Ok(())
    }

    fn recorded(&self, name: &str) -> Result<Option<Schedule>, ProviderError> {
        self.runner.schedules().get(name).map_err(|error| io_error("the schedule cannot be read", &error))
    }

    /// The schedule of a row with a CronJob; nothing for other rows. The project on this machine has no record of it.
    pub(super) async fn of_row(&self, row: &Attributes, private: &Private) -> Result<Option<Schedule>, ProviderError> {
        let Some((namespace, name)) = text(row, "cronJob").and_then(|shown| shown.split_once('/')) else {
            return Ok(None);
        };
        let Some(place) = self.present_place().await? else { return Ok(None) };
        let mut schedule = parse(row, Timestamp::now(), String::new())?;
        let kept = Kept::of(private);
        if !kept.cluster.is_empty() && kept.cluster != place.cluster {
            return Err(elsewhere(format!(
                "its CronJob `{namespace}/{name}` is in the cluster `{}`, and the settings lead to {place}",
                kept.cluster
            )));
        }
        let place = ClusterPlace { namespace: namespace.to_owned(), ..place };
        schedule.cron_job = Some(CronJob { name: name.to_owned(), place, uid: kept.uid, stored: kept.stored });
        Ok(Some(schedule))
    }

    /// The place to which the settings lead; nothing without a cluster.
    async fn present_place(&self) -> Result<Option<ClusterPlace>, ProviderError> {
        let executor = match self.runner.executor.environments() {
            Some(_) => Arc::clone(&self.runner.executor),
            None => self.runner.cluster.clone().map_err(|message| in_lines(vec![message]))?,
        };
        cluster_of(&*executor).await.map_err(|message| in_lines(vec![message]))
    }

    /// The CronJob that exists after a call without a record on this machine: that of the plan, or the former one. `absent` is a
    /// place without it.
    ///
    /// # Errors
    /// When the settings do not lead to a place that may have it.
    pub(super) async fn of_attempt(
        &self,
        attempt: &Attempt,
        absent: Option<&ClusterPlace>,
    ) -> Result<Option<(Schedule, Observed)>, ProviderError> {
        let is_absent_at = |place: &KeptPlace| {
            absent.is_some_and(|it| (&it.cluster, &it.namespace) == (&place.cluster, &place.namespace))
        };
        let kept = Kept::of(&attempt.private);
        let mut places = kept.places(attempt);
        places.retain(|place| !is_absent_at(place));
        if places.is_empty() {
            return Ok(None);
        }
        let present = self.present_place().await?;
        let mut schedule = parse(&attempt.planned, Timestamp::now(), String::new())?;
        let name = object_of(&schedule);
        let (mut uid, mut stored) = (String::new(), String::new());
        if attempt.prior.is_some() {
            (uid, stored) = (kept.uid, kept.stored);
            if let Some(lost) = attempt.lost_call.as_ref().filter(|_| !uid.is_empty()) {
                schedule.mark = mark(&lost.operation, &lost.step);
            }
        }
        let mut unread = None;
        for KeptPlace { cluster, namespace } in places {
            match &present {
                Some(place) if !namespace.is_empty() && (cluster.is_empty() || cluster == place.cluster) => {
                    let place = ClusterPlace { namespace, ..place.clone() };
                    let cron_job = CronJob { name: name.clone(), place, uid: uid.clone(), stored: stored.clone() };
                    let found = self.observe(Schedule { cron_job: Some(cron_job), ..schedule.clone() }).await?;
                    if found.is_some() {
                        return Ok(found);
                    }
                    if cluster.is_empty() && attempt.lost_call.is_some() {
                        unread = Some(format!("the cluster of its CronJob `{name}` is unknown"));
                    }
                }
                Some(place) if cluster != place.cluster => {
                    unread = Some(format!(
                        "its CronJob `{name}` may be in the cluster `{cluster}`, and the settings lead to {place}"
                    ));
                }
                _ => unread = Some(format!("the place of its CronJob `{name}` is unknown")),
            }
        }
        unread.map_or(Ok(None), |message| Err(elsewhere(message)))
    }

    /// Creates or changes the CronJob of a schedule, which replaces `before`.
    pub(super) async fn put(
        &self,
        mut schedule: Schedule,
        before: Option<Schedule>,
        found: InCluster,
        planned: &Attributes,
    ) -> Result<Observed, ProviderError> {
        let timed = found.timed()?;
        check(&schedule, timed, &found.options)?;
        // A failed check has no effect, so that the step is not in doubt.
        let unchecked =
            |lines: Vec<String>| ProviderError { kind: ErrorKind::InvalidInput { path: None }, ..in_lines(lines) };
        found.executor.check(&found.options).await.map_err(unchecked)?;
        let name = object_of(&schedule);
        let place = cluster_of(&*found.executor).await.map_err(|message| unchecked(vec![message]))?;
        let place = place.ok_or_else(|| ProviderError::bug("an executor of a cluster without a place"))?;
        let is_here = |former: &CronJob| {
            let key = |place: &ClusterPlace| (place.cluster.clone(), place.namespace.clone());
            former.name == name && key(&former.place) == key(&place)
        };
        let former = before.as_ref().and_then(|before| before.cron_job.as_ref());
        let is_own = |state: &TimedState| {
            state.mark == schedule.mark
                || former.is_some_and(is_here) && before.as_ref().is_some_and(|before| is_of(before, state))
        };
        // A CronJob of this name that the record does not lead to belongs to others.
        let found_state = timed.state(&name).await?;
        if found_state.as_ref().is_some_and(|state| !is_own(state)) {
            let shown = format!("{}/{name}", timed.place_name());
            let message = format!("the CronJob `{shown}` exists already, and no schedule of this project has it");
            let namespace = timed.place_name();
            return Err(ProviderError::new(ErrorKind::AlreadyExists { import_id: None }, message)
                .solution("choose another `name`")
                .solution(format!("delete it if nothing needs it: `kubectl delete cronjob {name} -n {namespace}`")));
        }
        let is_moved = former.is_some_and(|former| !is_here(former));
        let uid = former.filter(|former| is_here(former)).map(|former| former.uid.clone()).unwrap_or_default();
        schedule.cron_job = Some(CronJob { name: name.clone(), place, uid, stored: String::new() });
        let job = self.job(&schedule, found.runner.clone()).await?;
        let planned_inputs = text(planned, "inputs");
        if planned_inputs.is_some_and(|planned| planned != job.inputs) {
            let message = format!("`{}` changed since the plan", schedule.pipeline);
            return Err(ProviderError::new(ErrorKind::Failed, message).solution("plan again"));
        }
        // Only the former record leads to the former CronJob, so that goes first.
        if let Some(before) = before.filter(|_| is_moved) {
            self.remove(&before).await?;
        }
        // The record comes before the CronJob: one without a record would be a stranger.
        self.write(&schedule)?;
        let state = timed.put(&name, &job, found_state.as_ref().map(|state| state.uid.as_str())).await?;
        if let Some(cron_job) = &mut schedule.cron_job {
            cron_job.uid.clone_from(&state.uid);
            cron_job.stored.clone_from(&state.stored);
        }
        self.write(&schedule)?;
        Ok(attributes(&schedule, &state, timed))
    }

    async fn job(&self, schedule: &Schedule, runner: Runner) -> Result<TimedJob, ProviderError> {
        let schedule = schedule.clone();
        blocking(move || {
            let name = Name { folder: schedule.folder.clone(), name: schedule.pipeline.clone() };
            let folder = Folder::read(&runner.project, &name)?;
            let pipeline = schedule.overrides.of(folder.pipeline(&name)?);
            runner.timed_job(&folder.specs, &pipeline, &schedule).map_err(not_timed)
        })
        .await
    }

    fn write(&self, schedule: &Schedule) -> Result<(), ProviderError> {
        let put = self.runner.schedules().put(schedule);
        put.map_err(|error| io_error("the schedule cannot be written", &error))
    }

    /// Attributes of a schedule as its cluster has it; nothing if the CronJob does not exist.
    pub(super) async fn observe(&self, mut schedule: Schedule) -> Result<Option<(Schedule, Observed)>, ProviderError> {
        let Some(cron_job) = &schedule.cron_job else { return Ok(None) };
        let executor = executor_at(&cron_job.place).map_err(|message| in_lines(vec![message]))?;
        let Some(timed) = executor.timed() else { return Ok(None) };
        let state = timed.state(&cron_job.name).await?;
        let Some(state) = state.filter(|state| is_of(&schedule, state)) else { return Ok(None) };
        let observed = attributes(&schedule, &state, timed);
        schedule.mark = state.mark;
        Ok(Some((schedule, observed)))
    }

    /// Removes the CronJob of a schedule, if it has one.
    pub(super) async fn remove(&self, schedule: &Schedule) -> Result<(), ProviderError> {
        let Some(cron_job) = &schedule.cron_job else { return Ok(()) };
        // The Jobs of its runs go with it.
        self.runner.record_last_runs_of(schedule).await;
        let executor = executor_at(&cron_job.place).map_err(|message| in_lines(vec![message]))?;
        let Some(timed) = executor.timed() else { return Ok(()) };
        match timed.state(&cron_job.name).await? {
            None => timed.remove(&cron_job.name, None).await?,
            Some(state) if is_of(schedule, &state) => timed.remove(&cron_job.name, Some(&state.uid)).await?,
            Some(_) => {}
        }
        // A run in progress went with it.
        self.runner.record_last_runs_of(schedule).await;
        Ok(())
    }

    /// Warning of a database that neither exists nor belongs to the plan.
    fn missing_database(&self, schedule: &Schedule, found: &InCluster) -> Option<Finding> {
        let name = schedule.database.as_deref().filter(|name| !self.planned.has(name))?;
        let message = match self.databases.cluster.is_some() {
            true => format!("the database `{name}` neither exists nor belongs to this plan, so the apply fails"),
            false => {
                format!(
                    "the database `{name}` cannot be looked up without the setting `databaseImage`, so the apply fails"
                )
            }
        };
        (found.runner.target == Target::Unknown).then(|| Finding {
            severity: Severity::Warning,
            path: at("database"),
            message,
            hint: Some(self.hint_for_missing(name)),
        })
    }

    /// Problems of the cluster with a schedule.
    pub(super) async fn findings(&self, schedule: &Schedule) -> Vec<Finding> {
        let error = |error: ProviderError| Finding {
            severity: Severity::Error,
            path: None,
            hint: error.hint(),
            message: error.message,
        };
        let runner = match self.plan_database(schedule.database.as_deref().map(Value::from).as_ref()).await {
            Ok(runner) => runner,
            Err(failure) => return vec![error(failure)],
        };
        match self.target(schedule, runner).await {
            Ok(None) => Vec::new(),
            Ok(Some(found)) => match found.timed() {
                Ok(timed) => {
                    let missing = self.missing_database(schedule, &found);
                    let findings = timed.findings(&object_of(schedule), schedule, &found.options).await;
                    missing.into_iter().chain(findings).collect()
                }
                Err(failure) => vec![error(failure)],
            },
            Err(failure) => vec![error(failure)],
        }
    }
}

/// The error of a CronJob to which the settings do not lead.
fn elsewhere(message: String) -> ProviderError {
    ProviderError::new(ErrorKind::Failed, message)
        .solution("correct `context` of the provider `pipelines`, or work on the machine that created it")
}

/// True if a CronJob with the recorded name is that of the schedule: another owner's may have this name.
fn is_of(schedule: &Schedule, state: &TimedState) -> bool {
    let uid = schedule.cron_job.as_ref().map_or("", |cron_job| cron_job.uid.as_str());
    match (uid, schedule.mark.as_str()) {
        // A row of an older version.
        ("", "") => true,
        // The answer to the last change may be lost.
        (uid, mark) => (!uid.is_empty() && uid == state.uid) || (!mark.is_empty() && mark == state.mark),
    }
}

/// True if a row leads to another CronJob than the record of this machine: another machine has replaced it.
pub(super) fn is_replaced(schedule: &Schedule, private: &Private) -> bool {
    let kept = Kept::of(private);
    let recorded = schedule.cron_job.as_ref().map_or("", |cron_job| cron_job.uid.as_str());
    !kept.uid.is_empty() && kept.uid != recorded
}

/// Attributes of a schedule as its cluster has it.
fn attributes(schedule: &Schedule, state: &TimedState, timed: &dyn TimedRuns) -> Observed {
    let cron_job = schedule.cron_job.as_ref();
    let is_same = timed.crontab(&schedule.cron).is_ok_and(|cron| cron == state.cron);
    let now = Schedule {
        cron: if is_same { schedule.cron.clone() } else { state.cron.clone() },
        time_zone: state.time_zone.clone(),
        enabled: state.enabled,
        overlap: state.overlap,
        catch_up: state.catch_up,
        ..schedule.clone()
    };
    let mut observed = observed(&now);
    let stored = cron_job.map_or("", |cron_job| cron_job.stored.as_str());
    let is_changed = stored != state.stored;
    let inputs = if is_changed { CHANGED } else { state.inputs.as_str() };
    let name = cron_job.map_or("", |cron_job| cron_job.name.as_str());
    observed.attributes.insert("cronJob".to_owned(), shown(timed, name));
    observed.attributes.insert("inputs".to_owned(), inputs.into());
    let cluster = cron_job.map_or("", |cron_job| cron_job.place.cluster.as_str());
    let kept = Kept {
        stored: stored.to_owned(),
        cluster: cluster.to_owned(),
        namespace: timed.place_name().to_owned(),
        uid: state.uid.clone(),
        planned: None,
    };
    observed.private = kept.private();
    observed
}

/// The private bytes of a row and of a plan, for machines without a record of the schedule.
#[derive(Default, Serialize, Deserialize)]
struct Kept {
    /// Digest of the CronJob.
    stored: String,
    /// URL of its API server.
    cluster: String,
    /// Its namespace.
    #[serde(default)]
    namespace: String,
    /// Id of the CronJob.
    #[serde(default)]
    uid: String,
    /// Place to which the plan brings the CronJob.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    planned: Option<KeptPlace>,
}

/// A place of a CronJob.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct KeptPlace {
    /// URL of its API server; empty if it is unknown.
    cluster: String,
    /// Its namespace; empty if it is unknown.
    namespace: String,
}

impl Kept {
    fn of(private: &Private) -> Self {
        serde_json::from_slice(&private.0).unwrap_or_default()
    }

    fn private(&self) -> Private {
        Private(serde_json::to_vec(self).unwrap_or_default())
    }

    /// The places that may have the CronJob after a call. Before `planned`, the attributes alone had its namespace.
    fn places(&self, attempt: &Attempt) -> Vec<KeptPlace> {
        let mut former = attempt
            .prior
            .as_ref()
            .filter(|_| !self.cluster.is_empty())
            .map(|_| KeptPlace { cluster: self.cluster.clone(), namespace: self.namespace.clone() });
        let planned = self.planned.clone().or_else(|| {
            let (namespace, _) = text(&attempt.planned, "cronJob")?.split_once('/')?;
            let cluster = former.as_ref().map(|former| former.cluster.clone()).unwrap_or_default();
            Some(KeptPlace { cluster, namespace: namespace.to_owned() })
        });
        if let (Some(former), Some(planned)) = (&mut former, &planned)
            && former.namespace.is_empty()
            && former.cluster == planned.cluster
        {
            former.namespace.clone_from(&planned.namespace);
        }
        let former = former.filter(|former| planned.as_ref() != Some(former));
        planned.into_iter().chain(former).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use terrace_pipelines::execution_options::ExecutionOption;
    use terrace_pipelines::run::Overrides;

    /// A place that expresses any crontab but one.
    struct Place;

    #[async_trait::async_trait]
    impl TimedRuns for Place {
        fn place_name(&self) -> &str {
            "shop"
        }
        fn crontab(&self, cron: &str) -> Result<String, (String, String)> {
            match cron {
                "0 0 1 * 1" => Err(("no".to_owned(), "write another".to_owned())),
                cron => Ok(cron.to_owned()),
            }
        }
        async fn state(&self, _: &str) -> Result<Option<TimedState>, ProviderError> {
            Ok(None)
        }
        async fn put(&self, _: &str, _: &TimedJob, _: Option<&str>) -> Result<TimedState, ProviderError> {
            Err(ProviderError::bug("not called"))
        }
        async fn findings(&self, _: &str, _: &Schedule, _: &ExecutionOptions) -> Vec<Finding> {
            Vec::new()
        }
        async fn remove(&self, _: &str, _: Option<&str>) -> Result<(), ProviderError> {
            Ok(())
        }
        async fn started(&self, _: &str) -> Result<Vec<terrace_pipelines::executor::StartedRun>, ProviderError> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn attributes_without_an_equivalent_are_refused() {
        let schedule = Schedule {
            name: "nightly".to_owned(),
            folder: ".".to_owned(),
            pipeline: "./noise".to_owned(),
            cron: "30 2 * * *".to_owned(),
            time_zone: "UTC".to_owned(),
            enabled: true,
            overlap: Overlap::Forbid,
            catch_up: CatchUp::Last,
            jitter_seconds: 0,
            since: Timestamp::UNIX_EPOCH,
            mark: String::new(),
            database: None,
            overrides: Overrides::default(),
            cron_job: None,
        };
        let (mut on_a_claim, options) = (ExecutionOptions::default(), ExecutionOptions::default());
        on_a_claim.set(ExecutionOption::Claim, "results/shop");
        check(&schedule, &Place, &options).unwrap();
        check(&Schedule { name: "a".repeat(44), ..schedule.clone() }, &Place, &options).unwrap();
        check(&Schedule { overlap: Overlap::Allow, ..schedule.clone() }, &Place, &on_a_claim).unwrap();
        let refused = |schedule: Schedule| {
            let error = check(&schedule, &Place, &options).unwrap_err();
            let ErrorKind::InvalidInput { path: Some(path) } = &error.kind else { panic!("{error:?}") };
            (path.to_string(), error.hint().unwrap())
        };
        let of = || schedule.clone();
        for (wrong, path, hint) in [
            (Schedule { name: "a".repeat(45), ..of() }, "name", "at most 44 characters"),
            (Schedule { name: "Nightly run".to_owned(), ..of() }, "name", "small letters, digits and `-`"),
            (Schedule { name: "nightly-".to_owned(), ..of() }, "name", "end with a letter or a digit"),
            (Schedule { overlap: Overlap::Allow, ..of() }, "overlap", "set `claim`"),
            (Schedule { catch_up: CatchUp::All, ..of() }, "catchUp", "`last` or `none`"),
            (Schedule { jitter_seconds: 60, ..of() }, "jitterSeconds", "spread the minutes"),
            (Schedule { cron: "0 0 1 * 1".to_owned(), ..of() }, "cron", "write another"),
        ] {
            let (found, found_hint) = refused(wrong);
            assert_eq!(found, path);
            assert!(found_hint.contains(hint), "{found_hint}");
        }
    }
}
