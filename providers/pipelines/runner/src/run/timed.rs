//! Jobs that a cluster starts at the times of a schedule. A job has the inputs of the time at which it is built: another
//! apply of the schedule brings later ones to the cluster.

use super::job::{self, BuiltJob, CODE, JobInputs};
use super::log::Masks;
use super::outputs::temporary_name;
use super::record::{Record, State};
use super::runner::{GRACE, Runner};
use crate::environment::Environment;
use crate::execution_options::ExecutionOption;
use crate::executor::kubernetes::KubernetesExecutor;
use crate::executor::{ClusterPlace, Executor, Job, Place, StepOutcome, TimedJob};
use crate::files::{self, write};
use crate::fingerprint::{Fingerprint, Key, packages};
use crate::hash::hash_of;
use crate::private;
use crate::run::attempts::RetryOn;
use crate::schedule::Schedule;
use crate::spec::model::Pipeline;
use crate::spec::{Specs, output_folders};
use jiff::Timestamp;
use serde_json::json;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// Version of the job that a pod reads: another version is another input.
const VERSION: u32 = 2;
/// Digits of the digest in the id of a placeholder.
const DIGITS: usize = 12;

/// Why a cluster cannot start a pipeline by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotTimed {
    /// The reason.
    pub message: String,
    /// The remedy.
    pub hint: Option<String>,
    /// True if its pods need a database that they reach.
    pub lacks_database: bool,
}

impl NotTimed {
    pub(super) fn new(message: impl Into<String>, hint: &str) -> Self {
        Self { message: message.into(), hint: Some(hint.to_owned()), lacks_database: false }
    }

    pub(super) fn plain(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, lacks_database: false }
    }
}

impl Runner {
    /// Checks that a cluster can start a pipeline while no terrace runs: its results must have a place there.
    ///
    /// # Errors
    /// When they have none.
    pub fn check_timed(&self, specs: &Specs, pipeline: &Pipeline) -> Result<(), NotTimed> {
        self.executor_of(pipeline).map_err(|lines| {
            let hint = lines.get(1).map(|hint| hint.trim_start_matches("hint: ").to_owned());
            NotTimed { hint, ..NotTimed::plain(lines.into_iter().next().unwrap_or_default()) }
        })?;
        let options = self.execution_of(pipeline);
        if options.get(ExecutionOption::Claim).is_none()
            && let Some(folder) = output_folders(&specs.root, pipeline).into_iter().next()
        {
            return Err(self.writes_here(pipeline, &folder));
        }
        let fingerprint = self.fingerprint(specs, pipeline).map_err(|error| NotTimed::plain(error.to_string()))?;
        let databases = self.databases_of(&specs.root, pipeline, &fingerprint, &self.variables_of(pipeline));
        match databases.first() {
            None => Ok(()),
            Some(file) => {
                let message = format!(
                    "`{}` writes into `{}`, an SQLite file that pods cannot reach",
                    pipeline.id,
                    file.display()
                );
                let hint = "create a `pipelines_database` in the cluster, and name it in `database` of the schedule; or set \
                            DPP_DB_ENGINE to the address of another server";
                Err(NotTimed { lacks_database: true, ..NotTimed::new(message, hint) })
            }
        }
    }

    /// Why a cluster cannot start a pipeline that writes into a folder of this machine.
    fn writes_here(&self, pipeline: &Pipeline, folder: &Path) -> NotTimed {
        let within = folder.strip_prefix(&self.project).unwrap_or(folder);
        let within = if within == Path::new("") { Path::new(".") } else { within };
        let message = format!(
            "`{}` writes into `{}` of this machine, which the cluster cannot reach when its schedule starts it",
            pipeline.id,
            within.display()
        );
        let hint = "keep its results in the cluster: set `claim` in the provider `pipelines` or in the spec";
        NotTimed::new(message, hint)
    }

    /// Digest of the inputs of a pipeline's job in a cluster, the same on each machine. It depends neither on secrets, which
    /// have no digest, nor on the results of other pipelines: a run reads the newest ones.
    #[must_use]
    pub fn timed_inputs(&self, pipeline: &Pipeline, fingerprint: &Fingerprint) -> String {
        let Fingerprint { spec, code, data, claim, .. } = fingerprint;
        let retries = (self.retries.max, self.retries.on == RetryOn::All);
        let release = env!("CARGO_PKG_VERSION");
        let all = json!([VERSION, release, spec, code, data, claim, self.execution_of(pipeline), retries]);
        hash_of(&all.to_string())
    }

    /// Differences of the present inputs, secrets included, from those that an apply on this machine brought to the cluster;
    /// empty without a record of them.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub fn timed_reasons(&self, schedule: &Schedule, inputs: &str, now: &Fingerprint) -> io::Result<Vec<String>> {
        let Some(before) = self.timed_record(schedule, inputs)? else { return Ok(Vec::new()) };
        let dependencies = before.fingerprint.dependencies.clone();
        Ok(before.reasons_against(&Fingerprint { dependencies, ..now.clone() }))
    }

    /// Builds the job of a schedule, and stores the record that its runs have in common.
    ///
    /// # Errors
    /// When the cluster cannot start the pipeline, or a file cannot be read or written.
    pub fn timed_job(&self, specs: &Specs, pipeline: &Pipeline, schedule: &Schedule) -> Result<TimedJob, NotTimed> {
        self.check_timed(specs, pipeline)?;
        let executor = self.executor_of(pipeline).map_err(|lines| NotTimed::plain(lines.join("; ")))?;
        let runner = Self { executor, ..self.clone() };
        let key = private::folder(runner.store.folder()).and_then(|()| Key::ensure(runner.store.folder()));
        let salt = key.map_err(not_built)?.seal("names of Secrets").into();
        let fingerprint = runner.fingerprint(specs, pipeline).map_err(not_built)?;
        let inputs = runner.timed_inputs(pipeline, &fingerprint);
        let place = runner.schedules().cron_job_folder(&schedule.name).join(&inputs);
        private::folder(&place).map_err(not_built)?;
        let reason = format!("its schedule `{}` ({} {})", schedule.name, schedule.cron, schedule.time_zone);
        let run = unattended_run("cron", &schedule.name);
        let mut record = runner.unattended_record(specs, pipeline, &run, (fingerprint, reason));
        record.overrides = schedule.overrides.clone();
        runner.check_results_before(specs, pipeline, &record)?;
        let job = runner.unattended_job(specs, pipeline, &place, &mut record)?;
        let within = |path: &Path| path.strip_prefix(&runner.project).unwrap_or(path).to_path_buf();
        write(&place.join(RECORD), &record.with_paths(within)).map_err(not_built)?;
        Ok(TimedJob {
            schedule: schedule.clone(),
            job,
            options: runner.execution_of(pipeline),
            inputs,
            salt,
            retries: runner.retries.max,
            retries_failed_steps: runner.retries.on == RetryOn::All,
        })
    }

    /// The record of runs that a cluster starts by itself.
    pub(super) fn unattended_record(
        &self,
        specs: &Specs,
        pipeline: &Pipeline,
        run: &str,
        (fingerprint, reason): (Fingerprint, String),
    ) -> Record {
        let folder = self.folder_name(&specs.root);
        Record {
            state: State::Running,
            started_at: Timestamp::UNIX_EPOCH,
            steps: pipeline.steps.iter().map(|step| (step.name.clone(), StepOutcome::default())).collect(),
            has_begun: true,
            release: self.recipe(&specs.root, pipeline).api.release().to_owned(),
            home: self.store.folder_identity(),
            image: self.image_of(pipeline),
            ..Record::new(run, (&folder, &pipeline.id), vec![reason], fingerprint)
        }
    }

    /// Builds a job that a cluster starts by itself. Writes the code of steps into the folder `place`, and the destinations of
    /// data packages into the record.
    ///
    /// # Errors
    /// When a step has no program, a destination is on this machine, or a file cannot be written.
    pub(super) fn unattended_job(
        &self,
        specs: &Specs,
        pipeline: &Pipeline,
        place: &Path,
        record: &mut Record,
    ) -> Result<Job, NotTimed> {
        let recipe = self.recipe(&specs.root, pipeline);
        let variables = self.variables_elsewhere(self.variables_of(pipeline), pipeline, &record.fingerprint);
        let masks = Masks::of(&variables).with_parameters(pipeline.steps.iter().map(|step| &step.parameters));
        let environments = self.executor.environments().unwrap_or(Path::new("/"));
        let built = job::build(JobInputs {
            run: &record.run,
            run_folder: place,
            root: &specs.root,
            pipeline,
            environment: &Environment::elsewhere(environments, &recipe),
            fingerprint: &record.fingerprint,
            variables,
            dependencies: self.dependency_packages(&record.folder, pipeline),
            is_here: false,
            uses_cache: false,
            uses_claim: record.fingerprint.claim.is_some(),
            timeout: None,
            grace: GRACE,
        });
        let BuiltJob { mut job, outputs, .. } = built.map_err(|(_, message)| NotTimed::plain(message))?;
        if let (Some(output), None) = (outputs.first(), &record.fingerprint.claim) {
            return Err(self.writes_here(pipeline, &output.place));
        }
        record.outputs = outputs;
        let elsewhere = self.elsewhere(specs, pipeline, &recipe, record, &masks);
        job.elsewhere = elsewhere.map_err(NotTimed::plain)?;
        job.elsewhere.inputs.push(place.join(CODE));
        job.elsewhere.is_timed = true;
        if let Some(claim) = &mut job.elsewhere.claim {
            // Which run was the last good one is not known before the start.
            claim.former.iter_mut().for_each(BTreeSet::clear);
            claim.partials = record.outputs.iter().map(|output| output.partial.clone()).collect();
            claim.abandoned = Some(format!("{}-", temporary_name(&record.run)));
            let folder =
                self.execution_of(pipeline).claim().map(|(_, folder)| PathBuf::from(folder)).unwrap_or_default();
            claim.lock = Some(folder.join(lock_name(&record.folder, &pipeline.id)));
        }
        Ok(job)
    }

    /// Checks that the results of pipelines before this one are in its reach.
    fn check_results_before(&self, specs: &Specs, pipeline: &Pipeline, record: &Record) -> Result<(), NotTimed> {
        let on_the_claim = self.results_elsewhere(specs, record, pipeline).map_err(NotTimed::plain)?;
        let is_missing =
            |package: &PathBuf| !package.is_file() && !on_the_claim.iter().any(|place| package.starts_with(place));
        match packages(&specs.root, pipeline).into_iter().find(is_missing) {
            None => Ok(()),
            Some(missing) => Err(NotTimed::new(
                format!("`{}` depends on the data package `{}`, which does not exist", pipeline.id, missing.display()),
                "run the pipeline that writes it once: `terrace pipelines run`",
            )),
        }
    }

    /// The record that the runs of a schedule with these inputs have in common; nothing if it is not in this project.
    pub(super) fn timed_record(&self, schedule: &Schedule, inputs: &str) -> io::Result<Option<Record>> {
        let place = self.schedules().cron_job_folder(&schedule.name).join(files::encoded(inputs));
        let record: Option<Record> = files::read(&place.join(RECORD))?;
        Ok(record.map(|record| record.with_paths(|path| self.project.join(path))))
    }
}

/// Id of a placeholder for runs that a cluster starts by itself: each start is another run.
pub(super) fn unattended_run(prefix: &str, name: &str) -> String {
    let digest = hash_of(name);
    format!("{prefix}-{}", digest.get(..DIGITS).unwrap_or_default())
}

/// Name of the lock that runs of a pipeline on a claim take. It is hidden, so that no copy and no site has it.
fn lock_name(folder: &str, pipeline: &str) -> String {
    let digest = hash_of(&json!([folder, pipeline]).to_string());
    format!(".lock-{}", digest.get(..DIGITS).unwrap_or_default())
}

/// The reason of a job that cannot be built.
pub(super) fn not_built(error: io::Error) -> NotTimed {
    NotTimed::plain(format!("the job cannot be built: {error}"))
}

/// File with the record that the runs of a schedule have in common.
const RECORD: &str = "run.json";

/// The executor at a recorded place of a cluster, independent of the settings of this process. It starts no runs.
///
/// # Errors
/// When the place is not valid.
pub fn executor_at(place: &ClusterPlace) -> Result<impl Executor + use<>, String> {
    KubernetesExecutor::at(place)
}

/// The cluster of an executor; nothing for this machine.
///
/// # Errors
/// When its settings lead to no cluster.
pub async fn cluster_of(executor: &dyn Executor) -> Result<Option<ClusterPlace>, String> {
    Ok(match executor.place().await? {
        Some(Place::Kubernetes(place)) => Some(place),
        _ => None,
    })
}
