//! `terrace doctor`: checks the prerequisites of all other commands, with a remedy for each problem.
//!
//! It continues after a failed check as far as possible, and changes nothing.

mod environment;
pub(crate) mod finding;
mod pipelines;
mod server;
mod state;

use crate::args::DoctorArguments;
use crate::configuration::{Encryption, FILE_NAME, find};
use crate::context::{Context, runtime};
use crate::failure::{Exit, Failure};
use crate::files::{OtherAccess, access_of_others, make_private};
use crate::presentation::narrowed;
use crate::settings::Settings;
use crate::ui::Ui;
use crate::wiring::key::find as find_key;
use crate::wiring::{key_files, log_files};
use finding::{Finding, Status};
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};

/// Runs all checks.
///
/// # Errors
/// When a finding would make commands fail.
pub(super) fn run(context: &Context<'_>, arguments: &DoctorArguments) -> Result<Exit, Failure> {
    let mut findings = vec![version(context)];
    match configuration(context, &mut findings) {
        Some((settings, is_right)) => check(context, &settings, is_right, &mut findings)?,
        None => findings.push(Finding::warn(
            "the rest",
            "state, key, providers and blueprints were not checked",
            "correct the configuration, then run `terrace doctor` again",
        )),
    }
    let is_failed = findings.iter().any(|finding| finding.status == Status::Fail);
    if arguments.format.is_json() {
        let checks: Vec<Json> = findings.iter().map(Finding::to_json).collect();
        context.ui.print_json(&json!({
            "healthy": !is_failed, "checks": checks, "diagnostics": context.ui.remembered(),
        }))?;
    } else {
        let lines: String = findings.iter().map(Finding::line).collect();
        context.ui.print(&narrowed(context.ui, &lines))?;
    }
    if is_failed { Err(Failure::reported(Exit::Error)) } else { Ok(Exit::Done) }
}

fn version(context: &Context<'_>) -> Finding {
    let providers: Vec<String> =
        context.providers.schemas().map(|schema| format!("{} {}", schema.name, schema.version)).collect();
    let (os, machine) = (std::env::consts::OS, std::env::consts::ARCH);
    let message = format!("{} on {os} {machine}, with the providers {}", crate::version::VERSION, providers.join(", "));
    Finding::ok("terrace", message)
}

/// The settings, if the configuration is valid.
fn configuration(context: &Context<'_>, findings: &mut Vec<Finding>) -> Option<(Settings, bool)> {
    let (global, variables, providers) = (context.global, context.variables, context.providers);
    let settings = match Settings::resolve_as_far(global, variables, providers, None, context.ui) {
        Ok((settings, true)) => settings,
        Ok((settings, false)) => {
            findings.push(Finding::of_failure("configuration", &Failure::reported(Exit::Error)));
            return Some((settings, false));
        }
        Err(failure) => {
            findings.push(Finding::of_failure("configuration", &failure));
            return None;
        }
    };
    let file = context.global.config.clone().or_else(|| find(&settings.project_folder));
    findings.push(Finding::ok(
        "configuration",
        match file {
            Some(file) => {
                format!("{}, with {}", file.display(), settings.configuration.environment_names().join(", "))
            }
            None => format!("there is no {FILE_NAME}: the built-in environment `local` needs none"),
        },
    ));
    Some((settings, true))
}

fn check(
    context: &Context<'_>,
    settings: &Settings,
    is_right: bool,
    findings: &mut Vec<Finding>,
) -> Result<(), Failure> {
    let runtime = runtime(context.variables)?;
    runtime.block_on(async {
        if is_right {
            findings.extend(state::check(settings, context.ui).await);
            let needs_key = findings.iter().any(|finding| finding.subject == state::SEALED_VALUES);
            findings.push(key_of("state key", settings, None, needs_key, context.ui));
            findings.extend(own_keys(settings, context.ui));
            server::check(settings, context.ui, findings).await;
            findings.extend(server::of_pipelines(context).await);
            let files = files(settings, findings);
            findings.extend(files);
        } else {
            // Without these values the configuration may name another state.
            findings.push(Finding::warn(
                "state and state key",
                "not checked: their part of the configuration may be missing",
                "correct the configuration, then run `terrace doctor` again",
            ));
        }
        let requested = settings.environment.as_deref();
        let names = settings.configuration.environment_names();
        for name in requested.map_or(names, |name| vec![name]) {
            environment::check(context, settings, name, findings).await;
            pipelines::check(context, settings, name, findings).await;
        }
    });
    runtime.shutdown_background();
    Ok(())
}

/// Secret files that other users of this machine can read or change: keys and logs. Skips keys that earlier findings
/// refused for that reason.
fn files(settings: &Settings, earlier: &[Finding]) -> Vec<Finding> {
    let is_found = |path: &Path| {
        let shown = format!("`{}`", path.display());
        earlier.iter().any(|finding| finding.status == Status::Fail && finding.message.contains(&shown))
    };
    let keys = key_files(settings).into_iter().map(|path| ("key file", path));
    let named = keys.chain(log_files(settings).map(|path| ("log", path)));
    let finding = |(subject, path): (&str, PathBuf)| {
        let message = |may: &str| format!("`{}` can be {may} by other users of this machine", path.display());
        match access_of_others(&path) {
            OtherAccess::None => None,
            OtherAccess::Write if is_found(&path) => None,
            OtherAccess::Read => Some(Finding::warn(subject, message("read"), make_private(&path))),
            OtherAccess::Write => Some(Finding::fail(subject, message("changed"), make_private(&path))),
        }
    };
    named.filter_map(finding).collect()
}

/// Checks the state keys of single environments.
fn own_keys(settings: &Settings, ui: &Ui) -> Vec<Finding> {
    let names = settings.configuration.environment_names().into_iter();
    let found = names.filter_map(|name| {
        // The check of the environment reports its errors.
        let own = settings.configuration.environment(name, &settings.variables).0?.encryption?;
        Some(key_of(&format!("state key of `{name}`"), settings, Some(&own), false, ui))
    });
    found.collect()
}

/// The finding about a state key. `needs_key` is true if the state has values that another key sealed.
fn key_of(subject: &str, settings: &Settings, own: Option<&Encryption>, needs_key: bool, ui: &Ui) -> Finding {
    match find_key(settings, own, false, ui) {
        Err(wrong) => {
            let place = wrong.place(&settings.configuration.sources).map(|place| format!("{place}: "));
            let message = format!("{}{}", place.unwrap_or_default(), wrong.message);
            Finding::fail(subject, message, wrong.hint.as_deref().unwrap_or("use another key"))
        }
        Ok(seal) if seal.has_key() => Finding::ok(subject, "present"),
        Ok(_) if needs_key => Finding::fail(
            subject,
            "missing: the state has sealed values",
            "set the variable `TERRACE_STATE_KEY` to the key that sealed them, or name its file in `encryption.keyFile` of \
             terrace.yaml",
        ),
        Ok(_) => Finding::warn(
            subject,
            "missing: terrace refuses plans that would store a sensitive value",
            "create one with `terrace init --state-key`, and put it in `TERRACE_STATE_KEY` or in `encryption:` of terrace.yaml",
        ),
    }
}
