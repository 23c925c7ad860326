//! Environment of a pipeline's steps, for a person who explores it: on this machine, and in a pod.

use super::job;
use super::log::Masks;
use super::runner::{GRACE, Runner};
use crate::environment::Environment;
use crate::executor::{Elsewhere, Executor, Job, Program};
use crate::fingerprint::Key;
use crate::private;
use crate::spec::Specs;
use crate::spec::model::Pipeline;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Time after which a pod ends, if no process of this machine is left to end it.
const LONGEST: Duration = Duration::from_secs(8 * 3600);

/// A pod that waits for a shell.
pub struct ShellPod {
    /// The executor that creates it.
    pub executor: Arc<dyn Executor>,
    /// Its work, which lasts until it is cancelled. The first line of its log, once the folder is ready, is the id of the run:
    /// no mask hides it.
    pub job: Job,
}

impl Runner {
    /// Working folder and environment variables of a pipeline's steps, including passwords. `dpp` is in PATH.
    #[must_use]
    pub fn step_environment(
        &self,
        root: &Path,
        pipeline: &Pipeline,
        environment: &Environment,
    ) -> (PathBuf, BTreeMap<String, String>) {
        let folder = root.join(&pipeline.folder);
        let variables = job::variables(environment, self.variables_of(pipeline), root, &folder);
        (folder, variables)
    }

    /// A pod with the files, the packages and the variables of a pipeline that runs in a cluster. It belongs to no run.
    ///
    /// # Errors
    /// When the settings lead to no cluster, or a file cannot be read; in lines for people.
    pub fn shell_pod(&self, specs: &Specs, pipeline: &Pipeline) -> Result<ShellPod, String> {
        let executor = self.executor_of(pipeline).map_err(|lines| lines.join("\n"))?;
        self.check_database_place(&specs.root, pipeline).map_err(|lines| lines.join("\n"))?;
        let runner = Self { executor: Arc::clone(&executor), ..self.clone() };
        let unreadable = |error: io::Error| format!("the files of `{}` cannot be read: {error}", pipeline.id);
        private::folder(runner.store.folder()).and_then(|()| Key::ensure(runner.store.folder())).map_err(unreadable)?;
        let recipe = runner.recipe(&specs.root, pipeline);
        let fingerprint = runner.fingerprint(specs, pipeline).map_err(unreadable)?;
        let id = uuid::Uuid::now_v7().to_string();
        let record = runner.unattended_record(specs, pipeline, &id, (fingerprint, "a shell".to_owned()));
        let variables = runner.variables_elsewhere(runner.variables_of(pipeline), pipeline, &record.fingerprint);
        let masks = Masks::of(&variables).with_parameters(pipeline.steps.iter().map(|step| &step.parameters));
        let environments = executor.environments().unwrap_or(Path::new("/"));
        let environment = Environment::elsewhere(environments, &recipe);
        let mut elsewhere = runner.elsewhere(specs, pipeline, &recipe, &record, &masks)?;
        if let Some(claim) = &mut elsewhere.claim {
            // A run in progress has temporary files there.
            claim.partials.clear();
        }
        let job = Job {
            run: id.clone(),
            environment: job::variables(&environment, variables, &specs.root, &specs.root),
            // `dpp` finds specs from the folder that they were found from.
            folder: specs.root.clone(),
            steps: vec![Program {
                name: "shell".to_owned(),
                program: "/bin/sh".into(),
                arguments: vec!["-c".to_owned(), format!("echo {id} >&2; exec sleep {}", LONGEST.as_secs())],
            }],
            dependencies: BTreeMap::new(),
            timeout: Some(LONGEST),
            grace: GRACE,
            // The next run of the project removes the Jobs of its ended runs.
            elsewhere: Elsewhere { home: None, is_shell: true, ..elsewhere },
        };
        Ok(ShellPod { executor, job })
    }
}
