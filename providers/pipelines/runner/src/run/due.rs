//! Requirements and fingerprints of pipelines, and the decision whether a pipeline must run.

use super::record::Record;
use super::runner::{Runner, Target};
use crate::database::record::HOST;
use crate::database::{Access, Record as Database};
use crate::environment::Recipe;
use crate::execution_options::ExecutionOption;
use crate::fingerprint::{self, ENGINE, Fingerprint, FingerprintInputs, Key, address_target, names_in_spec};
use crate::paths::plain;
use crate::spec::Specs;
use crate::spec::model::Pipeline;
use crate::spec::processor::api;
use crate::spec::requirements;
use secrecy::ExposeSecret;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use terrace_provider::sandbox::variables::is_credential;

/// PostgreSQL driver for the pinned SQLAlchemy of both releases.
pub const POSTGRES_DRIVER: &str = "psycopg2-binary==2.9.11";
/// End of the host names of Services.
const SERVICE: &str = ".svc";
/// Variable with the search path of Python.
const MODULES: &str = "PYTHONPATH";

impl Runner {
    /// Name of a specs folder in records: relative to the project if it is inside.
    #[must_use]
    pub fn folder_name(&self, root: &Path) -> String {
        match root.strip_prefix(&self.project) {
            Ok(path) if path.as_os_str().is_empty() => ".".to_owned(),
            Ok(path) => path.display().to_string(),
            Err(_) => root.display().to_string(),
        }
    }

    /// Name in records of a folder that a user wrote: `./sub/`, `sub` and a link to it have the same name.
    #[must_use]
    pub fn recorded_folder(&self, written: &str) -> String {
        let place = self.project.join(written);
        self.folder_name(&place.canonicalize().unwrap_or_else(|_| plain(&place)))
    }

    /// Sets the default database of the steps; a spec may name another.
    pub fn write_into(&mut self, database: &Database, access: &Access) {
        self.target = Target::Database(database.id.clone());
        self.database = Some(database.name.clone());
        self.variables.insert(ENGINE.to_owned(), access.engine_url.expose_secret().to_owned());
    }

    /// Name of the database that the steps of a pipeline read from their environment.
    pub(super) fn database_of(&self, pipeline: &Pipeline, fingerprint: &Fingerprint) -> Option<String> {
        let is_read = fingerprint.variables.contains_key(ENGINE) && !has_own_database(pipeline);
        self.database.clone().filter(|_| is_read)
    }

    /// Environment variables of a pipeline's steps, including those of its spec.
    pub(super) fn variables_of(&self, pipeline: &Pipeline) -> BTreeMap<String, String> {
        let named = names_in_spec(pipeline);
        let mut variables = self.without_credentials(|name| named.contains(name));
        variables.extend(pipeline.environment.iter().cloned());
        let engine = match variables.get(ENGINE).filter(|engine| !engine.is_empty()) {
            Some(engine) => with_driver(engine),
            // Pipelines of a project share a file if they have no other database.
            None => format!("sqlite:///{}", self.project.join(".terrace/pipelines/database.db").display()),
        };
        variables.insert(ENGINE.to_owned(), engine);
        variables
    }

    /// Variables of this process without the credentials of providers, except those that the settings pass to all steps
    /// or a spec names.
    pub(super) fn without_credentials(&self, is_named: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
        let is_visible =
            |name: &str| !is_credential(name) || is_named(name) || self.visible_credentials.iter().any(|it| it == name);
        let visible = self.variables.iter().filter(|(name, _)| is_visible(name));
        visible.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// Recipe of a pipeline's environment.
    #[must_use]
    pub fn recipe(&self, root: &Path, pipeline: &Pipeline) -> Recipe {
        let mut recipe = self.declared_recipe(root, pipeline);
        if self.needs_driver(root, pipeline) {
            recipe.requirements.push(POSTGRES_DRIVER.to_owned());
        }
        recipe
    }

    /// Recipe without the driver, which depends on the target.
    fn declared_recipe(&self, root: &Path, pipeline: &Pipeline) -> Recipe {
        let listed = requirements::read(&root.join(&pipeline.folder));
        let mut packages = vec![listed.packages];
        packages.extend(pipeline.requirements.iter().cloned());
        // The setting names an interpreter of this machine.
        let python = self.python.clone().filter(|_| !self.runs_elsewhere(pipeline));
        Recipe::new(api(root, pipeline), python, packages).with_constraints(listed.constraints)
    }

    /// Returns true if a step writes into PostgreSQL.
    fn needs_driver(&self, root: &Path, pipeline: &Pipeline) -> bool {
        let needs = |address: &str| address.starts_with("postgresql+psycopg2:");
        let engines = pipeline.steps.iter().filter_map(|step| step.parameters.get("engine")?.as_str());
        if engines.into_iter().any(needs) {
            return true;
        }
        let variables = self.variables_of(pipeline);
        if !variables.values().any(|value| needs(value)) {
            return false;
        }
        let modules = self.modules(root, pipeline);
        // If the code cannot be read, an unneeded driver does no harm.
        let Ok(names) = fingerprint::variables_of(self.fingerprint_inputs(root, pipeline, &modules)) else {
            return true;
        };
        names.iter().filter_map(|name| variables.get(name)).any(|value| needs(value))
    }

    /// Returns true if a step reads the database of the run, or code cannot be read. A pipeline whose spec names a
    /// database does not need it.
    #[must_use]
    pub fn uses_database(&self, root: &Path, pipeline: &Pipeline) -> bool {
        let modules = self.modules(root, pipeline);
        let names = fingerprint::variables_of(self.fingerprint_inputs(root, pipeline, &modules));
        !has_own_database(pipeline) && names.map_or(true, |names| names.contains(ENGINE))
    }

    /// Refuses a database of terrace that the place of a pipeline does not reach, in lines for people.
    pub(super) fn check_database_place(&self, root: &Path, pipeline: &Pipeline) -> Result<(), Vec<String>> {
        let Target::Database(_) = &self.target else { return Ok(()) };
        let address = self.variables.get(ENGINE).map(|address| address_target(address)).unwrap_or_default();
        let host = address.split_once("://").map_or("", |(_, rest)| rest.split([':', '/']).next().unwrap_or_default());
        let (message, hint) = match self.runs_elsewhere(pipeline) {
            true if host == HOST => (
                format!(
                    "`{}` runs in a cluster, and its database on this machine, which pods do not reach",
                    pipeline.id
                ),
                "use a `pipelines_database` with `executor: kubernetes`",
            ),
            false if host.ends_with(SERVICE) => (
                format!("`{}` runs on this machine, and its database `{host}` is in a cluster", pipeline.id),
                "write `executor: kubernetes` in its spec or in the settings, or use a database on this machine",
            ),
            _ => return Ok(()),
        };
        match self.uses_database(root, pipeline) {
            true => Err(vec![message, format!("hint: {hint}")]),
            false => Ok(()),
        }
    }

    fn fingerprint_inputs<'a>(
        &'a self,
        root: &'a Path,
        pipeline: &'a Pipeline,
        modules: &'a [PathBuf],
    ) -> FingerprintInputs<'a> {
        let usual = self.execution.get(ExecutionOption::Image);
        let image = match self.image_has_code {
            true => pipeline.execution.get(ExecutionOption::Image).or(usual),
            false => pipeline.execution.get(ExecutionOption::Image).filter(|image| Some(*image) != usual),
        };
        let image = image.filter(|_| self.runs_elsewhere(pipeline));
        let claim = self.claim_of(pipeline);
        FingerprintInputs { project: &self.project, root, pipeline, modules, image, claim }
    }

    /// Additional folders inside the project in which Python searches for modules.
    fn modules(&self, root: &Path, pipeline: &Pipeline) -> Vec<PathBuf> {
        let folder = root.join(&pipeline.folder);
        let variables = self.variables_of(pipeline);
        let search_path = variables
            .get(MODULES)
            .map(|search_path| std::env::split_paths(search_path).collect::<Vec<_>>())
            .unwrap_or_default();
        let places = search_path.iter().filter(|place| !place.as_os_str().is_empty());
        let places = places.map(|place| plain(&folder.join(place)));
        places.filter(|place| place.starts_with(&self.project) || place.starts_with(root)).collect()
    }

    /// Value of a variable, as far as it affects the result: for an address, only its target.
    fn relevant_value(&self, pipeline: &Pipeline, name: &str) -> Option<String> {
        let spec = pipeline.environment.iter().rev().find(|(spec, _)| spec == name).map(|(_, value)| value);
        match (&self.target, spec) {
            (Target::Database(id), None) if name == ENGINE => Some(format!("database {id}")),
            (Target::Unknown, None) if name == ENGINE => Some("not known yet".to_owned()),
            _ => spec
                .or_else(|| self.variables.get(name))
                .filter(|value| !value.is_empty())
                .map(|value| address_target(value)),
        }
    }

    /// Computes the present fingerprint of a pipeline.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn fingerprint(&self, specs: &Specs, pipeline: &Pipeline) -> io::Result<Fingerprint> {
        let folder = self.folder_name(&specs.root);
        let last_result = |id: &str| self.store.succeeded(&folder, id).ok().flatten().map(|record| record.dataset());
        let modules = self.modules(&specs.root, pipeline);
        let scope = self.fingerprint_inputs(&specs.root, pipeline, &modules);
        let recipe = self.declared_recipe(&specs.root, pipeline);
        let key = Key::existing(self.store.folder())?;
        Fingerprint::of(scope, &recipe, key.as_ref(), last_result, |name| self.relevant_value(pipeline, name))
    }

    /// Reasons to run a pipeline; empty if its last result is still valid.
    ///
    /// # Errors
    /// When a file or record cannot be read.
    pub fn reasons(&self, specs: &Specs, pipeline: &Pipeline) -> io::Result<Vec<String>> {
        self.reasons_against(&self.folder_name(&specs.root), &pipeline.id, &self.fingerprint(specs, pipeline)?)
    }

    /// Reasons to run a pipeline with this present fingerprint.
    pub(super) fn reasons_against(&self, folder: &str, pipeline: &str, now: &Fingerprint) -> io::Result<Vec<String>> {
        Ok(match self.store.succeeded(folder, pipeline)? {
            None => vec![self.never_succeeded(folder, pipeline)?],
            Some(record) => {
                let last_failure = self.store.last_failure(folder, pipeline)?;
                let mut reasons: Vec<String> = last_failure.map(|how| format!("its {how}")).into_iter().collect();
                reasons.extend(record.reasons_against(now));
                reasons.extend(self.store.lost_output(&record)?);
                reasons
            }
        })
    }

    fn never_succeeded(&self, folder: &str, pipeline: &str) -> io::Result<String> {
        Ok(match self.store.last_resolved(folder, pipeline)? {
            None => "it was never run".to_owned(),
            Some(last) => format!("it never succeeded: run {} {}", last.run, last.state.predicate()),
        })
    }
}

impl Record {
    /// Reasons why the result of this run is outdated; empty if it is still valid.
    #[must_use]
    pub fn reasons_against(&self, now: &Fingerprint) -> Vec<String> {
        now.reasons(&self.fingerprint)
    }

    /// Reasons that do not depend on other pipelines.
    #[must_use]
    pub fn own_reasons_against(&self, now: &Fingerprint) -> Vec<String> {
        now.own_reasons(&self.fingerprint)
    }
}

/// Adds the installed driver to an address, since SQLAlchemy's default for `postgresql:` differs between releases.
fn with_driver(engine: &str) -> String {
    let rest = engine.strip_prefix("postgresql://").or_else(|| engine.strip_prefix("postgres://"));
    rest.map_or_else(|| engine.to_owned(), |rest| format!("postgresql+psycopg2://{rest}"))
}

/// Returns true if the spec names a database.
fn has_own_database(pipeline: &Pipeline) -> bool {
    pipeline.environment.iter().any(|(name, value)| name == ENGINE && !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::attempts::Retries;
    use super::super::store::Store;
    use super::*;
    use crate::environment::Environments;
    use crate::execution_options::ExecutionOptions;
    use crate::executor::local::LocalExecutor;
    use std::sync::Arc;

    #[test]
    fn address_of_postgres_gets_driver() {
        assert_eq!(with_driver("postgresql://u:p@h/d"), "postgresql+psycopg2://u:p@h/d");
        assert_eq!(with_driver("postgres://h/d"), "postgresql+psycopg2://h/d");
        assert_eq!(with_driver("postgresql+psycopg://h/d"), "postgresql+psycopg://h/d");
        assert_eq!(with_driver("sqlite:////d.db"), "sqlite:////d.db");
    }

    #[test]
    fn steps_see_only_named_credentials() {
        let folder = tempfile::tempdir().unwrap();
        let all = ["AWS_SECRET_ACCESS_KEY", "OTHER", "PGPASSWORD", "SNOWFLAKE_TOKEN"];
        let runner = Runner {
            store: Store::new(folder.path().join("records")),
            environments: Environments::new(folder.path().join("environments")),
            executor: Arc::new(LocalExecutor),
            cluster: Err(String::new()),
            execution: ExecutionOptions::default(),
            image_problem: None,
            image_has_code: false,
            python: None,
            project: folder.path().to_owned(),
            variables: all.into_iter().map(|name| (name.to_owned(), "x".to_owned())).collect(),
            visible_credentials: vec!["PGPASSWORD".to_owned()],
            target: Target::default(),
            database: None,
            max_parallel: 1,
            retries: Retries::default(),
        };
        let visible: Vec<String> = runner.without_credentials(|name| name == "SNOWFLAKE_TOKEN").into_keys().collect();
        assert_eq!(visible, ["OTHER", "PGPASSWORD", "SNOWFLAKE_TOKEN"]);
    }
}
