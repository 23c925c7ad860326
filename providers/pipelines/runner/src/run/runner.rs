//! The runner of a project, and the requests that it accepts.

use super::attempts::Retries;
use super::overrides::Overrides;
use super::store::{LockError, Store};
use crate::environment::{EnvironmentError, Environments};
use crate::execution_options::{ExecutionOption, ExecutionOptions, ExecutorKind, WrongOption};
use crate::executor::Executor;
use crate::executor::local::LocalExecutor;
use crate::spec::model::Pipeline;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Time that processes have to end after the request.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// Runner of a project's pipelines.
#[derive(Clone)]
pub struct Runner {
    /// Records.
    pub store: Store,
    /// Python environments.
    pub environments: Environments,
    /// Executor of jobs whose pipeline names none.
    pub executor: Arc<dyn Executor>,
    /// Executor of pipelines that name `kubernetes`, or the message of the settings that lead to no cluster.
    pub cluster: Result<Arc<dyn Executor>, String>,
    /// Options of pipelines that set none.
    pub execution: ExecutionOptions,
    /// Why the image of the project's `Dockerfile` cannot be used.
    pub image_problem: Option<WrongOption>,
    /// The image of these options has code of the pipelines, so a new image changes their results.
    pub image_has_code: bool,
    /// Interpreter in the settings.
    pub python: Option<String>,
    /// Project folder, without symbolic links.
    pub project: PathBuf,
    /// Variables of this process without terrace's. Steps see them without credentials.
    pub variables: BTreeMap<String, String>,
    /// Names of credentials that all steps see.
    pub visible_credentials: Vec<String>,
    /// Database for the steps.
    pub target: Target,
    /// Name of this database, if terrace created it.
    pub database: Option<String>,
    /// Maximum number of parallel runs.
    pub max_parallel: usize,
    /// Retry policy.
    pub retries: Retries,
}

impl Runner {
    /// The options of a pipeline, completed by those of the settings.
    #[must_use]
    pub fn execution_of(&self, pipeline: &Pipeline) -> ExecutionOptions {
        pipeline.execution.or(&self.execution)
    }

    /// Image whose programs run a pipeline, with its digest; nothing for programs of this machine.
    pub(super) fn image_of(&self, pipeline: &Pipeline) -> Option<String> {
        let options = self.runs_elsewhere(pipeline).then(|| self.execution_of(pipeline))?;
        options.get(ExecutionOption::Image).map(str::to_owned)
    }

    /// Returns true if a pipeline runs on other machines.
    #[must_use]
    pub fn runs_elsewhere(&self, pipeline: &Pipeline) -> bool {
        match pipeline.execution.executor() {
            Some(kind) => kind == ExecutorKind::Kubernetes,
            None => self.executor.environments().is_some(),
        }
    }

    /// Claim that keeps the data packages of a pipeline, with a folder; nothing for this machine.
    #[must_use]
    pub fn claim_of<'a>(&'a self, pipeline: &'a Pipeline) -> Option<&'a str> {
        let claim = ExecutionOption::Claim;
        let claim = pipeline.execution.get(claim).or_else(|| self.execution.get(claim));
        claim.filter(|_| self.runs_elsewhere(pipeline))
    }

    /// Checks that options of a pipeline elsewhere have an image.
    ///
    /// # Errors
    /// When no image is set, or that of the project's `Dockerfile` cannot be used.
    pub fn check_image(&self, options: &ExecutionOptions) -> Result<(), WrongOption> {
        options.check_image().map_err(|(_, missing)| self.image_problem.clone().unwrap_or(missing))
    }

    /// Checks options of a run's pods.
    ///
    /// # Errors
    /// The first option that is wrong; any option if the pipeline runs on this machine, which has no pods.
    pub fn check_run_options(
        &self,
        pipeline: &Pipeline,
        options: &ExecutionOptions,
    ) -> Result<(), (ExecutionOption, WrongOption)> {
        options.check()?;
        match ExecutionOption::ALL.into_iter().find(|option| options.get(*option).is_some()) {
            Some(option) if !self.runs_elsewhere(pipeline) => {
                let message = format!(
                    "`{}` is an option of pods, and `{}` runs on the machine of its project",
                    option.name(),
                    pipeline.id
                );
                let hint = format!("leave `{}` out, or write `executor: kubernetes` into its spec", option.name());
                Err((option, WrongOption { message, hint: Some(hint) }))
            }
            _ => Ok(()),
        }
    }

    /// The executor of a pipeline.
    ///
    /// # Errors
    /// When the settings lead to no cluster, or the pods have no image; in lines for people.
    pub fn executor_of(&self, pipeline: &Pipeline) -> Result<Arc<dyn Executor>, Vec<String>> {
        let is_default_elsewhere = self.executor.environments().is_some();
        // Settings with a default elsewhere have an image, unless it is that of a `Dockerfile`.
        let may_lack_image = !is_default_elsewhere || self.image_problem.is_some();
        if may_lack_image
            && self.runs_elsewhere(pipeline)
            && let Err(wrong) = self.check_image(&self.execution_of(pipeline))
        {
            let hint = wrong.hint.map(|hint| format!("hint: {hint}"));
            return Err([wrong.message].into_iter().chain(hint).collect());
        }
        match pipeline.execution.executor() {
            None => Ok(Arc::clone(&self.executor)),
            Some(ExecutorKind::Local) if is_default_elsewhere => Ok(Arc::new(LocalExecutor)),
            Some(ExecutorKind::Kubernetes) if !is_default_elsewhere => {
                self.cluster.clone().map_err(|message| vec![message])
            }
            Some(_) => Ok(Arc::clone(&self.executor)),
        }
    }
}

/// Default database of the steps; a spec may name another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Target {
    /// The value of the variable ([`ENGINE`](crate::fingerprint::ENGINE)), or else a file of the project.
    #[default]
    Variable,
    /// The database with this id, which changes when the database is recreated, even if the address stays the same.
    Database(String),
    /// A database that does not exist yet.
    Unknown,
}

/// Options of a run.
#[derive(Debug, Clone, Default)]
pub struct RunRequest {
    /// Reuse results that steps cached, while they are valid.
    pub uses_cache: bool,
    /// Maximum time of the run.
    pub timeout: Option<Duration>,
    /// Time to wait for another run of the pipeline.
    pub lock_timeout: Duration,
    /// Number of retries, if it differs from the runner's.
    pub retries: Option<u32>,
    /// Call that requests it.
    pub mark: Option<String>,
    /// Reasons; if empty, they are derived from the inputs.
    pub reasons: Vec<String>,
    /// Planned inputs (`specHash`, `codeHash`, `dataHash`); the run is refused if one of them differs when it starts.
    pub planned: BTreeMap<&'static str, String>,
    /// Id of the run; a new one if not given. A schedule's run whose result the request takes has it as its mark.
    pub run: Option<String>,
    /// Values in place of those of the spec, which the pipeline has.
    pub overrides: Overrides,
}

/// Reason why a run has no result.
#[derive(Debug)]
pub enum NotRun {
    /// Another run of it is in progress.
    InProgress {
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
    /// A worker or another machine could not run it.
    WorkerFailed {
        /// Its message, in lines.
        message: Vec<String>,
    },
    /// It began, and its end is unknown.
    UnknownEnd {
        /// Its message, in lines.
        message: Vec<String>,
    },
}

impl NotRun {
    /// The reason of an earlier run that could not be settled.
    pub(super) fn of_settlement(error: io::Error) -> Self {
        match error.kind() {
            // The place of the run is the reason, and not a file.
            io::ErrorKind::HostUnreachable | io::ErrorKind::TimedOut => {
                Self::WorkerFailed { message: error.to_string().lines().map(str::to_owned).collect() }
            }
            _ => Self::Io(error),
        }
    }
}

impl From<io::Error> for NotRun {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<LockError> for NotRun {
    fn from(error: LockError) -> Self {
        match error {
            LockError::InProgress { run } => Self::InProgress { run },
            LockError::Cancelled => Self::Cancelled,
            LockError::Io(error) => Self::Io(error),
        }
    }
}
