//! Pipelines for a chart: a tool that installs charts brings them to a cluster, and terrace has no access to it. The job is that
//! of a schedule, with two differences: its values of secrets are in a Secret of the cluster, and it depends on no records and
//! variables of this machine, so that each machine builds the same.

use super::job::CODE;
use super::log::Masks;
use super::runner::Runner;
use super::store::Store;
use super::timed::{NotTimed, not_built, unattended_run};
use crate::execution_options::ExecutionOption;
use crate::executor::Job;
use crate::executor::kubernetes::chart::{ChartPipeline, PackedJob, pack};
use crate::files;
use crate::fingerprint::{ENGINE, is_secret, packages};
use crate::private;
use crate::run::attempts::RetryOn;
use crate::spec::model::Pipeline;
use crate::spec::{Specs, output_folders};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Folder of the code in steps, in the folder of records.
const FOLDER: &str = "charts";
/// Beginning of a parameter that takes its value from a variable.
const BY_VARIABLE: &str = "env://";
/// Address of a database that only the cluster knows. It decides which driver the steps get.
const ENGINE_THERE: &str = "postgresql+psycopg2://";
/// Beginning of the addresses of files that pods do not reach.
const FILE: &str = "sqlite:";
/// Parameter of steps with the address of another database.
const ENGINE_PARAMETER: &str = "engine";
/// Minimum length of a secret that files are searched for: a shorter text is in many files by accident.
const SHORTEST: usize = 8;

impl Runner {
    /// Builds the job of a pipeline for a chart. With a database, the chart creates one for it. It sends nothing to the cluster.
    ///
    /// # Errors
    /// When a cluster cannot start the pipeline, a secret would get into the values, or a file cannot be read or written.
    pub fn chart_pipeline(
        &self,
        specs: &Specs,
        pipeline: &Pipeline,
        has_database: bool,
    ) -> Result<ChartPipeline, NotTimed> {
        let mut pipeline = pipeline.clone();
        // The settings may run it on this machine in other cases.
        pipeline.execution.set(ExecutionOption::Executor, "kubernetes");
        let runner = self.for_chart(&pipeline, has_database)?;
        check_spec(&pipeline)?;
        runner.check_timed(specs, &pipeline)?;
        let fingerprint = runner.fingerprint(specs, &pipeline).map_err(not_built)?;
        let inputs = runner.timed_inputs(&pipeline, &fingerprint);
        let place = runner.store.folder().join(files::encoded(&pipeline.id));
        let code = place.join(CODE);
        if code.exists() {
            // A step may have lost its code since the last call.
            std::fs::remove_dir_all(&code).map_err(not_built)?;
        }
        private::folder(&place).map_err(not_built)?;
        let name = format!("{} {}", runner.folder_name(&specs.root), pipeline.id);
        let run = unattended_run("chart", &name);
        let mut record = runner.unattended_record(specs, &pipeline, &run, (fingerprint, String::new()));
        let mut job = runner.unattended_job(specs, &pipeline, &place, &mut record)?;
        runner.link_results(specs, &pipeline, &mut job)?;
        let recipe = runner.recipe(&specs.root, &pipeline);
        if !Masks::default().with_texts(&recipe.requirements).into_texts().is_empty() {
            let message = format!("an address in the requirements of `{}` has a password", pipeline.id);
            return Err(NotTimed::new(message, "let pip read it from a file of the image: `PIP_CONFIG_FILE`"));
        }
        let variables = runner.variables_of_cluster(&pipeline, record.fingerprint.variables.keys());
        job.environment.retain(|name, _| !variables.contains(name));
        let PackedJob { archive, files } = pack(&job).map_err(NotTimed::plain)?;
        self.check_public_files(&files)?;
        let is_listed = |name: &String| !(has_database && name == ENGINE);
        Ok(ChartPipeline {
            job,
            files: archive,
            inputs,
            options: runner.execution_of(&pipeline),
            variables: variables.into_iter().filter(is_listed).collect(),
            retries: runner.retries.max,
            retries_failed_steps: runner.retries.on == RetryOn::All,
        })
    }

    /// A runner without records and variables of this machine, whose pipelines run in a cluster.
    fn for_chart(&self, pipeline: &Pipeline, has_database: bool) -> Result<Self, NotTimed> {
        if let Err((_, wrong)) = self.execution_of(pipeline).check_image() {
            return Err(NotTimed { hint: wrong.hint, ..NotTimed::plain(wrong.message) });
        }
        let mut runner = self.clone();
        runner.executor = self.cluster.clone().map_err(NotTimed::plain)?;
        runner.store = Store::new(self.store.folder().join(FOLDER));
        let named = pipeline.steps.iter().filter_map(|step| step.parameters.get(ENGINE_PARAMETER)?.as_str());
        let named = named.filter_map(|engine| engine.strip_prefix(BY_VARIABLE)).chain([ENGINE]);
        runner.variables = named.map(|name| (name.to_owned(), ENGINE_THERE.to_owned())).collect();
        let own = self.variables.get(ENGINE).filter(|engine| !has_database && engine.starts_with(FILE));
        runner.variables.extend(own.map(|file| (ENGINE.to_owned(), file.clone())));
        Ok(runner)
    }

    /// Refuses files for values of a chart that contain a secret of the variables here: values are not kept secret.
    ///
    /// # Errors
    /// When a file contains one, or cannot be read.
    pub fn check_public_files(&self, files: &[PathBuf]) -> Result<(), NotTimed> {
        let secrets: Vec<(&String, String)> = self
            .variables
            .iter()
            .flat_map(|(name, value)| Masks::of([(name, value)]).into_texts().into_iter().map(move |text| (name, text)))
            .filter(|(_, text)| text.len() >= SHORTEST)
            .collect();
        if secrets.is_empty() {
            return Ok(());
        }
        for file in files {
            let content = std::fs::read(file).map_err(|error| not_built(crate::paths::with_path(file, &error)))?;
            let contains = |text: &str| content.windows(text.len()).any(|part| part == text.as_bytes());
            if let Some((name, _)) = secrets.iter().find(|(_, text)| contains(text)) {
                let shown = file.strip_prefix(&self.project).unwrap_or(file).display();
                let message = format!("the file `{shown}` contains the value of the variable `{name}`, a secret");
                let hint = "remove it from the file: the values contain all files of the folder";
                return Err(NotTimed::new(message, hint));
            }
        }
        Ok(())
    }

    /// Variables whose values a Secret of the cluster has: those that steps read or the settings pass, unless the spec has them.
    fn variables_of_cluster<'a>(
        &'a self,
        pipeline: &Pipeline,
        read: impl Iterator<Item = &'a String>,
    ) -> BTreeSet<String> {
        let is_in_spec = |name: &&String| pipeline.environment.iter().any(|(named, _)| named == *name);
        read.chain(&self.visible_credentials).filter(|name| !is_in_spec(name)).cloned().collect()
    }

    /// Links the results of pipelines before this one to the claim, as far as specs name them.
    fn link_results(&self, specs: &Specs, pipeline: &Pipeline, job: &mut Job) -> Result<(), NotTimed> {
        let mut found: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
        let options = self.execution_of(pipeline);
        for id in pipeline.all_before() {
            let places = specs.pipeline(id).map(|before| output_folders(&specs.root, before)).unwrap_or_default();
            let Some((_, folder)) = options.claim() else {
                let message = format!("`{}` reads the results of `{id}`, which pods do not find", pipeline.id);
                let hint = "set the same `claim` for both, in the provider `pipelines` or in the specs";
                return Err(NotTimed::new(message, hint));
            };
            if let (Some(place), true) = (places.last(), pipeline.pipelines_before().any(|before| before == id)) {
                let package = place.join("datapackage.json").display().to_string();
                job.dependencies.insert(id.to_owned(), package);
            }
            for place in places {
                let within = place.strip_prefix(&self.project).map(|within| Path::new(folder).join(within));
                found.extend(within.map(|within| (place.clone(), within)));
            }
        }
        let is_there = |place: &Path| found.keys().any(|link| place.starts_with(link));
        let own = job.elsewhere.claim.iter().flat_map(|claim| &claim.outputs).map(|output| &output.place);
        let own: Vec<&PathBuf> = own.collect();
        for package in packages(&specs.root, pipeline) {
            if !package.is_file() && !is_there(&package) && !own.iter().any(|place| package.starts_with(place)) {
                let message = format!(
                    "`{}` depends on the data package `{}`, which does not exist",
                    pipeline.id,
                    package.display()
                );
                return Err(NotTimed::plain(message));
            }
        }
        job.elsewhere.inputs.retain(|input| !is_there(input));
        if let Some(claim) = &mut job.elsewhere.claim {
            found.extend(claim.links.drain(..));
            // A folder sorts before those inside it.
            for (place, within) in found {
                if !claim.links.iter().any(|(above, _)| place.starts_with(above)) {
                    claim.links.push((place, within));
                }
            }
        }
        Ok(())
    }
}

/// Refuses secrets in a spec: the values contain its steps and its variables.
fn check_spec(pipeline: &Pipeline) -> Result<(), NotTimed> {
    let hint = "read it from a variable, as in `env://NAME`";
    for step in &pipeline.steps {
        let secrets = Masks::default().with_parameters([&step.parameters]).into_texts();
        if secrets.iter().any(|secret| !secret.starts_with(BY_VARIABLE)) {
            let message =
                format!("step {} (`{}`) of `{}` has a secret in its parameters", step.number, step.name, pipeline.id);
            return Err(NotTimed::new(message, hint));
        }
    }
    for (name, value) in &pipeline.environment {
        if is_secret(name) || !Masks::of([(name, value)]).into_texts().is_empty() {
            let message = format!("the spec of `{}` has the secret `{name}` in `environment`", pipeline.id);
            return Err(NotTimed::new(message, "remove it there, and add it to the Secret of the variables"));
        }
    }
    Ok(())
}
