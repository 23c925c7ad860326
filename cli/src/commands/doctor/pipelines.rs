//! Checks of the prerequisites of data pipelines, if the project has any.

use super::finding::Finding;
use crate::context::Context;
use crate::settings::{EnvironmentRef, Settings};
use crate::wiring;
use terrace_pipelines::doctor::{self, has_pipelines};
use terrace_provider_pipelines::settings::{default_database, runner};

/// Checks the prerequisites in an environment.
pub(super) async fn check(context: &Context<'_>, settings: &Settings, name: &str, findings: &mut Vec<Finding>) {
    if !has_pipelines(&settings.project_folder) {
        return;
    }
    // The checks of providers reported errors of the environment.
    let Ok(environment) = settings.environment(Some(EnvironmentRef::word(name)), context.ui) else { return };
    let Ok(instance) = wiring::instance(settings, &environment, "pipelines", context.ui) else { return };
    let Ok(runner) = runner(&instance) else { return };
    let subject = format!("pipelines of {name}");
    let mut results = doctor::check(&runner).await;
    results.push(doctor::check_database(&runner, default_database(&instance).as_deref()));
    findings.extend(results.into_iter().map(|found| match found.remedy {
        Some(remedy) => Finding::warn(subject.as_str(), found.message, remedy),
        None => Finding::ok(subject.as_str(), found.message),
    }));
}
