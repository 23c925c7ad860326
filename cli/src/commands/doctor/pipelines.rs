//! Checks of the prerequisites of data pipelines, if the project has any.

use super::Finding;
use crate::commands::Context;
use crate::settings::{EnvironmentRef, Settings};
use crate::wiring;
use terrace_provider_pipelines::doctor::{has_pipelines, look};
use terrace_provider_pipelines::settings::runner;

/// Checks the prerequisites in an environment.
pub(super) async fn look_at(context: &Context<'_>, settings: &Settings, name: &str, findings: &mut Vec<Finding>) {
    if !has_pipelines(&settings.project_folder) {
        return;
    }
    // The checks of providers reported errors of the environment.
    let Ok(environment) = settings.environment(Some(EnvironmentRef::word(name)), context.ui) else { return };
    let Ok(instance) = wiring::instance(settings, &environment, "pipelines", context.ui) else { return };
    let Ok(runner) = runner(&instance) else { return };
    let what = format!("pipelines of {name}");
    findings.extend(look(&runner).await.into_iter().map(|found| match found.mend {
        Some(mend) => Finding::warn(what.as_str(), found.message, mend),
        None => Finding::ok(what.as_str(), found.message),
    }));
}
