//! Places of settings in the configuration, for messages about runs.

use crate::context::Context;
use crate::failure::Failure;
use crate::wiring;
use std::path::Path;
use terrace_engine::source::Place;
use terrace_provider::Settings;
use terrace_provider_pipelines::settings;

/// The name of the provider instance.
const INSTANCE: &str = "pipelines";

/// The place of a setting of the provider `pipelines`; nothing if the configuration does not have it.
pub(super) fn place_of_setting(context: &Context<'_>, name: &str) -> Option<Place> {
    let settings = context.settings(Some(Path::new("."))).ok()?;
    let environment = settings.environment(None, context.ui).ok()?;
    let instance = environment.providers.into_iter().find(|instance| instance.name == INSTANCE)?;
    instance.places(&settings.configuration.sources)?.settings.remove(name)
}

/// Checks that the settings lead to a cluster.
///
/// # Errors
/// When they do not, which is reported at their place.
pub(super) async fn check_access(context: &Context<'_>, instance: &Settings) -> Result<(), Failure> {
    let Err(error) = settings::check_access(instance).await else { return Ok(()) };
    let settings = context.settings(Some(Path::new(".")))?;
    let environment = settings.environment(None, context.ui)?;
    Err(wiring::report_wrong_setting(&settings, &environment, INSTANCE, &error, context.ui))
}
