//! The behaviours that every resource type of every provider shows, as one suite.
//!
//! A provider's tests hand over one or more [`Fixture`]s per type: configurations, and ways to reach the object behind
//! the provider's back. The suite plays the engine's part (plan, call, record) and picks the behaviours by what the type
//! and the fixture declare. It knows nothing of the technology.
//!
//! Read in this order: [`Fixture`] (what to hand over), [`Suite`] (how to run it), [`Report`] (what comes back); then
//! `lifecycle`, `planning`, `recovery` and `spellings`, which hold the behaviours. An [`Instance`], and [`variants`] of a configuration, are
//! for what a provider's tests try beside the suite.

mod bench;
mod contract;
mod fixture;
mod hostile;
mod instance;
mod lifecycle;
mod planning;
mod recovery;
mod report;
mod spellings;

pub use fixture::{Fixture, Hook};
pub use hostile::variants;
pub use instance::{Instance, Reports, recorded};
pub use report::{Report, Verdict};

use crate::{Attributes, Provider, Settings};
use bench::Bench;
use futures_util::future::BoxFuture;
use report::Entry;
use std::path::Path;

/// What a behaviour found: a verdict, or the sentence that says what is wrong.
type Checked = Result<Verdict, String>;

/// One behaviour: its name, a fact about a provider that is right, and its check.
struct Behaviour {
    name: &'static str,
    check: for<'a> fn(&'a Bench<'a>) -> BoxFuture<'a, Checked>,
}

/// The settings of an instance for a suite: no values, and a project folder of the caller's (a temporary one).
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

/// The behaviours, and what they are tried on.
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

    /// Tries every behaviour on every fixture, one after the other, and removes what it made.
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

impl Clone for Behaviour {
    fn clone(&self) -> Self {
        *self
    }
}

impl Copy for Behaviour {}

#[cfg(test)]
mod tests;
