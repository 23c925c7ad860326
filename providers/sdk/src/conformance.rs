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

use crate::{Attributes, Provider, ProviderError, ResourceType, Session, Settings};
use bench::Bench;
use futures_util::stream::{self, StreamExt};
use indexmap::IndexMap;
use report::Entry;
use serde_json::Value as Json;
use std::path::Path;
use std::sync::Arc;

/// Settings of an instance for a suite: no values, and a (temporary) project folder of the caller.
#[must_use]
pub fn settings(project_folder: &Path) -> Settings {
    Settings {
        instance: "conformance".to_owned(),
        environment: "conformance".to_owned(),
        project_folder: project_folder.to_path_buf(),
        sandbox: Default::default(),
        sources: Default::default(),
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
    types_at_once: usize,
}

impl<'a> Suite<'a> {
    /// A suite for one instance of a provider.
    #[must_use]
    pub fn new(provider: &'a dyn Provider, settings: Settings) -> Self {
        Self { provider, settings, fixtures: Vec::new(), types_at_once: 1 }
    }

    /// Adds a fixture.
    #[must_use]
    pub fn fixture(mut self, fixture: Fixture) -> Self {
        self.fixtures.push(fixture);
        self
    }

    /// Checks all types at once: faster for servers that let callers wait. Fixtures of different types must not use
    /// the same objects.
    #[must_use]
    pub fn all_types_at_once(self) -> Self {
        Self { types_at_once: usize::MAX, ..self }
    }

    /// Checks every behaviour with every fixture, and removes the created objects. The fixtures of a type follow one
    /// another, and so do the types, unless [`Suite::all_types_at_once`] is set.
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
        let mut by_type: IndexMap<&str, Vec<&Fixture>> = IndexMap::new();
        for fixture in &self.fixtures {
            by_type.entry(fixture.type_name).or_default().push(fixture);
        }
        let mut checks = Vec::with_capacity(by_type.len());
        for (name, fixtures) in by_type {
            match schema.resource(name) {
                Some(ty) => checks.push(check(&session, ty, fixtures)),
                None => {
                    let problem = Err("the schema has no such type".to_owned());
                    report.push(Entry::new(name, "schema", "the type exists", problem));
                }
            }
        }
        let mut checked = stream::iter(checks).buffered(self.types_at_once);
        while let Some(entries) = checked.next().await {
            entries.into_iter().for_each(|entry| report.push(entry));
        }
        drop(checked);
        report
    }
}

/// Checks every behaviour with the fixtures of a type, one after the other, and removes the created objects.
async fn check(session: &Arc<dyn Session>, ty: &ResourceType, fixtures: Vec<&Fixture>) -> Vec<Entry> {
    let behaviours =
        [lifecycle::BEHAVIOURS, planning::BEHAVIOURS, recovery::BEHAVIOURS, spellings::BEHAVIOURS].concat();
    let mut entries = Vec::with_capacity(fixtures.len() * behaviours.len());
    for fixture in fixtures {
        for behaviour in &behaviours {
            let bench = Bench::new(Arc::clone(session), ty, fixture, behaviour.name);
            let checked = (behaviour.check)(&bench).await;
            let cleaned = bench.clean_up().await;
            let checked = checked.and_then(|verdict| cleaned.map(|()| verdict));
            entries.push(Entry::new(ty.name, fixture.label, behaviour.name, checked));
        }
    }
    entries
}

#[cfg(test)]
mod tests;
