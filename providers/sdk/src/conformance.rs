//! A test suite of the behaviours that every resource type of every provider must have.
//!
//! A provider's tests pass one or more [`Fixture`]s per type: configurations, and ways to change the object outside
//! terrace. The suite plays the engine's part (plan, call, record). It picks the behaviours by the declarations of the
//! type and the fixture, and knows nothing of the technology.
//!
//! Read in this order: [`Fixture`] (input), [`Suite`] (how to run it), [`Report`] (result); then `lifecycle`,
//! `planning`, `recovery` and `spellings`, which hold the behaviours. Use [`Instance`] and [`variants`] of a
//! configuration for a provider's own tests.

mod behaviour;
mod bench;
mod contract;
mod fixture;
mod hostile;
mod instance;
mod lifecycle;
mod planning;
mod readme;
mod recovery;
mod report;
mod spellings;

pub use fixture::{Fixture, Hook};
pub use hostile::variants;
pub use instance::{Instance, Reports, attributes, recorded};
pub use readme::check_readme;
pub use report::{Report, Verdict};

use crate::{Attributes, Provider, ProviderError, Settings};
use bench::Bench;
use report::Entry;
use serde_json::Value as Json;
use std::path::Path;

/// Settings of an instance for a suite: no values, and a (temporary) project folder of the caller.
#[must_use]
pub fn settings(project_folder: &Path) -> Settings {
    Settings {
        instance: "conformance".to_owned(),
        environment: "conformance".to_owned(),
        project_folder: project_folder.to_path_buf(),
        sandbox: Default::default(),
        values: Attributes::default(),
    }
}

/// The usual settings of a provider's tests with further values, where null removes a value.
///
/// # Errors
/// When the values are not JSON objects.
pub fn settings_with(usual: &Json, more: &Json) -> Result<Settings, ProviderError> {
    let mut settings = Settings { values: attributes(usual)?, ..settings(Path::new(".")) };
    settings.values.extend(attributes(more)?);
    settings.values.retain(|_, value| !value.is_null());
    Ok(settings)
}

/// A provider, its fixtures and the behaviours to check.
pub struct Suite<'a> {
    provider: &'a dyn Provider,
    settings: Settings,
    fixtures: Vec<Fixture>,
}

impl<'a> Suite<'a> {
    /// A suite for one instance of a provider.
    #[must_use]
    pub fn new(provider: &'a dyn Provider, settings: Settings) -> Self {
        Self { provider, settings, fixtures: Vec::new() }
    }

    /// Adds a fixture.
    #[must_use]
    pub fn fixture(mut self, fixture: Fixture) -> Self {
        self.fixtures.push(fixture);
        self
    }

    /// Checks every behaviour with every fixture, one after the other, and removes the created objects.
    pub async fn run(&self) -> Report {
        let schema = self.provider.schema();
        let mut report = Report::default();
        for ty in &schema.resources {
            report.push(Entry::new(ty.name, "schema", "the schema is sound", contract::check_type(schema, ty)));
            if !self.fixtures.iter().any(|fixture| fixture.type_name == ty.name) {
                let problem = Err("no fixture was handed over for this type".to_owned());
                report.push(Entry::new(ty.name, "schema", "every type has a fixture", problem));
            }
        }
        let session = match self.provider.connect(&self.settings).await {
            Ok(session) => session,
            Err(error) => {
                report.push(Entry::new(schema.name, "settings", "the instance opens", Err(error.to_string())));
                return report;
            }
        };
        for fixture in &self.fixtures {
            let Some(ty) = schema.resource(fixture.type_name) else {
                let problem = Err("the schema has no such type".to_owned());
                report.push(Entry::new(fixture.type_name, fixture.label, "the type exists", problem));
                continue;
            };
            let behaviours = [lifecycle::BEHAVIOURS, planning::BEHAVIOURS, recovery::BEHAVIOURS, spellings::BEHAVIOURS];
            for behaviour in behaviours.concat() {
                let bench = Bench::new(session.clone(), ty, fixture, behaviour.name);
                let checked = (behaviour.check)(&bench).await;
                let cleaned = bench.clean_up().await;
                let checked = checked.and_then(|verdict| cleaned.map(|()| verdict));
                report.push(Entry::new(ty.name, fixture.label, behaviour.name, checked));
            }
        }
        report
    }
}

#[cfg(test)]
mod tests;
