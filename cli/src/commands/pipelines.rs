//! `terrace run`, `runs`, `logs`, `cancel` and `schedules`: data pipelines of the working directory, without plan and state.

mod cancelling;
mod history;
mod logs;
mod running;
mod schedules;
mod screen;
mod shown;

pub(super) use cancelling::cancel;
pub(super) use history::runs;
pub(super) use logs::logs;
pub(super) use running::run;
pub(super) use schedules::schedules;

use super::Context;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::wiring;
use std::path::Path;
use terrace_provider_pipelines::run::{Record, Runner};
use terrace_provider_pipelines::settings::runner;

/// The runner of the project that the working directory is in.
fn runner_here(context: &Context<'_>) -> Result<Runner, Failure> {
    runner_of(context, &context.settings(Some(Path::new(".")))?)
}

/// The runner of a project.
pub(super) fn runner_of(context: &Context<'_>, settings: &Settings) -> Result<Runner, Failure> {
    let environment = settings.environment(None, context.ui)?;
    let instance = wiring::instance(settings, &environment, "pipelines", context.ui)?;
    Ok(runner(&instance)?)
}

/// The run of that id, or the last one of the pipeline of that id.
fn find(runner: &Runner, word: &str) -> Result<Record, Failure> {
    let unreadable = |error: std::io::Error| Failure::new(format!("the records of runs cannot be read: {error}"));
    if let Some(record) = runner.store.run(word).map_err(unreadable)? {
        return Ok(record);
    }
    let root =
        Path::new(".").canonicalize().map_err(|error| Failure::new(format!("the working directory: {error}")))?;
    let folder = runner.folder_name(&root);
    let pipeline = if word.starts_with("./") { word.to_owned() } else { format!("./{word}") };
    let last = runner.store.last(&folder, &pipeline).map_err(unreadable)?;
    last.ok_or_else(|| {
        Failure::new(format!("there is no run `{word}`, and no pipeline of this folder that was run is called so"))
            .hint("`terrace run` runs pipelines; ids of runs are in what it prints with `--json`")
    })
}
