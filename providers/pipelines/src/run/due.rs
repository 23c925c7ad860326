//! What a pipeline needs, what its result depends on, and whether it has to be run.

use super::record::Record;
use super::single::Runner;
use crate::database::{Access, Record as Database};
use crate::environment::Recipe;
pub(crate) use crate::fingerprint::ENGINE;
use crate::fingerprint::{self, Fingerprint, Key, Looked, names_said, place_of};
use crate::spec::Specs;
use crate::spec::model::Pipeline;
use crate::spec::processor::api;
use crate::spec::requirements;
use secrecy::ExposeSecret;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use terrace_provider::sandbox::variables::is_credential;

/// The driver of PostgreSQL that the pinned SQLAlchemy of both releases takes.
pub const POSTGRES_DRIVER: &str = "psycopg2-binary==2.9.11";
/// The variable that says where Python looks for modules.
const MODULES: &str = "PYTHONPATH";

/// The database that steps write into, where their spec says no other one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Target {
    /// What the variable says ([`ENGINE`]), else a file of the project.
    #[default]
    Variable,
    /// The database of this id: another one than before where it was made anew, whatever its address is now.
    Database(String),
    /// One that is not there yet.
    Unknown,
}

impl Runner {
    /// How records call the folder whose specs were read: relative to the project where it lies in it.
    #[must_use]
    pub fn folder_name(&self, root: &Path) -> String {
        match root.strip_prefix(&self.project) {
            Ok(path) if path.as_os_str().is_empty() => ".".to_owned(),
            Ok(path) => path.display().to_string(),
            Err(_) => root.display().to_string(),
        }
    }

    /// How records call a folder of the project that somebody wrote: `./sub/`, `sub` and a link to it are one.
    #[must_use]
    pub fn recorded_folder(&self, written: &str) -> String {
        let place = self.project.join(written);
        self.folder_name(&place.canonicalize().unwrap_or_else(|_| crate::fingerprint::plain(&place)))
    }

    /// Has steps write into this database, unless their spec says another one.
    pub fn write_into(&mut self, database: &Database, access: &Access) {
        self.target = Target::Database(database.id.clone());
        self.variables.insert(ENGINE.to_owned(), access.engine_url.expose_secret().to_owned());
    }

    /// The variables that a pipeline's steps see, with what the spec says of them.
    pub(super) fn variables_of(&self, pipeline: &Pipeline) -> BTreeMap<String, String> {
        let named = names_said(pipeline);
        let mut variables = self.without_credentials(|name| named.contains(name));
        variables.extend(pipeline.environment.iter().cloned());
        let engine = match variables.get(ENGINE).filter(|engine| !engine.is_empty()) {
            Some(engine) => with_driver(engine),
            // Without a database of their own, the pipelines of a project share a file.
            None => format!("sqlite:///{}", self.project.join(".terrace/pipelines/database.db").display()),
        };
        variables.insert(ENGINE.to_owned(), engine);
        variables
    }

    /// The variables of this process without the credentials of providers, but with those that the settings pass to
    /// all steps, and those that a spec names.
    pub(super) fn without_credentials(&self, is_named: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
        let is_seen = |name: &str| !is_credential(name) || is_named(name) || self.passed.iter().any(|it| it == name);
        let seen = self.variables.iter().filter(|(name, _)| is_seen(name));
        seen.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// The environment that a pipeline needs.
    #[must_use]
    pub fn recipe(&self, root: &Path, pipeline: &Pipeline) -> Recipe {
        let mut recipe = self.said_recipe(root, pipeline);
        if self.needs_driver(root, pipeline) {
            recipe.requirements.push(POSTGRES_DRIVER.to_owned());
        }
        recipe
    }

    /// The same as far as the spec says it: which driver it has depends on where it writes.
    fn said_recipe(&self, root: &Path, pipeline: &Pipeline) -> Recipe {
        let said = requirements::read(&root.join(&pipeline.folder));
        let mut packages = vec![said.packages];
        packages.extend(pipeline.requirements.iter().cloned());
        Recipe::new(api(root, pipeline), self.python.clone(), packages).with_constraints(said.constraints)
    }

    /// True where a step writes into PostgreSQL.
    fn needs_driver(&self, root: &Path, pipeline: &Pipeline) -> bool {
        let needs = |address: &str| address.starts_with("postgresql+psycopg2:");
        let said = pipeline.steps.iter().filter_map(|step| step.parameters.get("engine")?.as_str());
        if said.into_iter().any(needs) {
            return true;
        }
        let variables = self.variables_of(pipeline);
        if !variables.values().any(|value| needs(value)) {
            return false;
        }
        let modules = self.modules(root, pipeline);
        // Where its code cannot be read, a driver too many does no harm.
        let Ok(names) = fingerprint::variables_of(self.looked(root, pipeline, &modules)) else { return true };
        names.iter().filter_map(|name| variables.get(name)).any(|value| needs(value))
    }

    /// True where a step of the pipeline looks at the database that runs are given, or code of it cannot be read. One whose
    /// spec names a database has its own.
    #[must_use]
    pub fn uses_database(&self, root: &Path, pipeline: &Pipeline) -> bool {
        let modules = self.modules(root, pipeline);
        let names = fingerprint::variables_of(self.looked(root, pipeline, &modules));
        let is_said = pipeline.environment.iter().any(|(name, value)| name == ENGINE && !value.is_empty());
        !is_said && names.map_or(true, |names| names.contains(ENGINE))
    }

    fn looked<'a>(&'a self, root: &'a Path, pipeline: &'a Pipeline, modules: &'a [PathBuf]) -> Looked<'a> {
        Looked { project: &self.project, root, pipeline, modules }
    }

    /// Where Python looks for modules of the project beside the places that it has anyway.
    fn modules(&self, root: &Path, pipeline: &Pipeline) -> Vec<PathBuf> {
        let folder = root.join(&pipeline.folder);
        let variables = self.variables_of(pipeline);
        let said =
            variables.get(MODULES).map(|said| std::env::split_paths(said).collect::<Vec<_>>()).unwrap_or_default();
        let places = said.iter().filter(|place| !place.as_os_str().is_empty());
        let places = places.map(|place| fingerprint::plain(&folder.join(place)));
        places.filter(|place| place.starts_with(&self.project) || place.starts_with(root)).collect()
    }

    /// What a variable says, as far as the result of a pipeline depends on it: of an address, where it leads.
    fn told(&self, pipeline: &Pipeline, name: &str) -> Option<String> {
        let said = pipeline.environment.iter().rev().find(|(said, _)| said == name).map(|(_, value)| value);
        match (&self.target, said) {
            (Target::Database(id), None) if name == ENGINE => Some(format!("database {id}")),
            (Target::Unknown, None) if name == ENGINE => Some("not known yet".to_owned()),
            _ => {
                said.or_else(|| self.variables.get(name)).filter(|value| !value.is_empty()).map(|value| place_of(value))
            }
        }
    }

    /// What the result of a pipeline would depend on now.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn fingerprint(&self, specs: &Specs, pipeline: &Pipeline) -> io::Result<Fingerprint> {
        let folder = self.folder_name(&specs.root);
        let made = |id: &str| self.store.succeeded(&folder, id).ok().flatten().map(|record| record.dataset());
        let modules = self.modules(&specs.root, pipeline);
        let looked = self.looked(&specs.root, pipeline, &modules);
        let recipe = self.said_recipe(&specs.root, pipeline);
        let key = Key::existing(self.store.folder())?;
        Fingerprint::of(looked, &recipe, key.as_ref(), made, |name| self.told(pipeline, name))
    }

    /// Why a pipeline has to be run; empty where what it made is still good.
    ///
    /// # Errors
    /// When a file or record cannot be read.
    pub fn reasons(&self, specs: &Specs, pipeline: &Pipeline) -> io::Result<Vec<String>> {
        self.reasons_against(&self.folder_name(&specs.root), &pipeline.id, &self.fingerprint(specs, pipeline)?)
    }

    /// The same, of a pipeline whose result would depend on this now.
    pub(super) fn reasons_against(&self, folder: &str, pipeline: &str, now: &Fingerprint) -> io::Result<Vec<String>> {
        Ok(match self.store.succeeded(folder, pipeline)? {
            None => vec![self.never_succeeded(folder, pipeline)?],
            Some(record) => {
                let unwell = self.store.unwell(folder, pipeline)?;
                let mut reasons: Vec<String> = unwell.map(|how| format!("its {how}")).into_iter().collect();
                reasons.extend(record.reasons_against(now));
                reasons.extend(self.store.lost(&record)?);
                reasons
            }
        })
    }

    fn never_succeeded(&self, folder: &str, pipeline: &str) -> io::Result<String> {
        Ok(match self.store.last_as_it_stands(folder, pipeline)? {
            None => "it was never run".to_owned(),
            Some(last) => format!("it never succeeded: run {} {}", last.run, last.state.in_words()),
        })
    }
}

impl Record {
    /// Why what this run made is not good any more; empty where it is.
    #[must_use]
    pub fn reasons_against(&self, now: &Fingerprint) -> Vec<String> {
        now.reasons(&self.fingerprint)
    }

    /// The reasons that no other pipeline can give or take away by running first.
    #[must_use]
    pub fn own_reasons_against(&self, now: &Fingerprint) -> Vec<String> {
        now.own_reasons(&self.fingerprint)
    }
}

/// SQLAlchemy takes `postgresql:` for another driver with each release: the one that is installed is said.
fn with_driver(engine: &str) -> String {
    let rest = engine.strip_prefix("postgresql://").or_else(|| engine.strip_prefix("postgres://"));
    rest.map_or_else(|| engine.to_owned(), |rest| format!("postgresql+psycopg2://{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_postgres_says_its_driver() {
        assert_eq!(with_driver("postgresql://u:p@h/d"), "postgresql+psycopg2://u:p@h/d");
        assert_eq!(with_driver("postgres://h/d"), "postgresql+psycopg2://h/d");
        assert_eq!(with_driver("postgresql+psycopg://h/d"), "postgresql+psycopg://h/d");
        assert_eq!(with_driver("sqlite:////d.db"), "sqlite:////d.db");
    }

    #[test]
    fn steps_see_credentials_only_where_they_are_named() {
        use terrace_provider::{Attributes, Sandbox, Settings, Value};
        let folder = tempfile::tempdir().unwrap();
        let values = [("variables", Value::List(vec!["PGPASSWORD".into()])), ("cacheDir", "caches".into())];
        let mut runner = crate::settings::runner(&Settings {
            instance: "pipelines".to_owned(),
            environment: "local".to_owned(),
            project_folder: folder.path().to_owned(),
            sandbox: Sandbox::default(),
            values: values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Attributes>(),
        })
        .unwrap();
        let all = ["AWS_SECRET_ACCESS_KEY", "OTHER", "PGPASSWORD", "SNOWFLAKE_TOKEN"];
        runner.variables = all.into_iter().map(|name| (name.to_owned(), "x".to_owned())).collect();
        let seen: Vec<String> = runner.without_credentials(|name| name == "SNOWFLAKE_TOKEN").into_keys().collect();
        assert_eq!(seen, ["OTHER", "PGPASSWORD", "SNOWFLAKE_TOKEN"]);
    }
}
