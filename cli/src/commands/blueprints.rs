//! `terrace blueprints`: blueprints of an environment.

mod new;
mod test;

use crate::args::BlueprintsCommand;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::report::{remembered, report};
use crate::settings::Settings;
use crate::ui::counted;
use crate::wiring::{EnvironmentContext, blueprints, library};
use serde_json::json;
use std::path::PathBuf;
use terrace_engine::blueprint::check::check;
use terrace_engine::blueprint::{Blueprint, Library};
use terrace_engine::diagnostic::{Diagnostic, closest, has_errors};
use terrace_engine::source::Sources;

/// Lists, shows, checks, tests and writes blueprints.
///
/// # Errors
/// When a blueprint is invalid or unknown.
pub(super) fn run(context: &Context<'_>, command: BlueprintsCommand) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let env_context = EnvironmentContext::new(&settings, settings.only_environment(context.ui)?, false, context.ui)?;
    let mut sources = Sources::default();
    match command {
        BlueprintsCommand::Check { files, format } => {
            return check_all(context, &settings, &env_context, &files, format.is_json());
        }
        BlueprintsCommand::New { name, from } => {
            return new::run(context, &settings, &env_context, &name, from.as_deref());
        }
        BlueprintsCommand::Test { files, accept } => {
            return test::run(context, &settings, &env_context, &files, accept);
        }
        BlueprintsCommand::List(_) | BlueprintsCommand::Show { .. } => {}
    }
    let (library, diagnostics) =
        library(&env_context.engine.registry, env_context.configuration(), &settings.project_folder, &mut sources)?;
    match command {
        BlueprintsCommand::Show { name } => {
            let blueprint = library.get(&name).ok_or_else(|| unknown(&name, &library))?;
            let source = sources.get(blueprint.span.source);
            context.ui.print(source.map_or("", |source| &*source.text))?;
            return Ok(Exit::Done);
        }
        BlueprintsCommand::List(format) if format.is_json() => {
            report(context.ui, &sources, &diagnostics);
            context.ui.print_json(&library.iter().map(to_json).collect())?;
        }
        _ => {
            report(context.ui, &sources, &diagnostics);
            let lines = library.iter().map(line).collect::<String>();
            context.ui.print_list(&lines, "there are no blueprints in this environment")?;
        }
    }
    if has_errors(&diagnostics) { Err(Failure::reported(Exit::Error)) } else { Ok(Exit::Done) }
}

/// Checks the blueprints of an environment, or those of some files or names.
fn check_all(
    context: &Context<'_>,
    settings: &Settings,
    env_context: &EnvironmentContext,
    files: &[PathBuf],
    is_json: bool,
) -> Result<Exit, Failure> {
    let mut sources = Sources::default();
    let (named, mut diagnostics) = match files {
        [] => {
            let (library, found) = library(
                &env_context.engine.registry,
                env_context.configuration(),
                &settings.project_folder,
                &mut sources,
            )?;
            (library.iter().cloned().collect(), found)
        }
        files => with_extended(settings, env_context, files, &mut sources)?,
    };
    diagnostics.extend(
        named
            .iter()
            .flat_map(|blueprint| check(blueprint, &env_context.engine.registry, &env_context.engine.functions)),
    );
    report(context.ui, &sources, &diagnostics);
    let is_valid = !has_errors(&diagnostics);
    if is_json {
        let names: Vec<&str> = named.iter().map(|blueprint| blueprint.name.value.as_str()).collect();
        let diagnostics = remembered(context.ui);
        context.ui.print_json(&json!({ "valid": is_valid, "blueprints": names, "diagnostics": diagnostics }))?;
    }
    if !is_valid {
        return Err(Failure::reported(Exit::Error));
    }
    if is_json {
        return Ok(Exit::Done);
    }
    context.ui.print(&format!("{} checked\n", counted(named.len(), "blueprint")))?;
    Ok(Exit::Done)
}

/// The blueprints of some files or names, each completed by the blueprint that it extends: one of these files or of
/// the environment.
fn with_extended(
    settings: &Settings,
    env_context: &EnvironmentContext,
    words: &[PathBuf],
    sources: &mut Sources,
) -> Result<(Vec<Blueprint>, Vec<Diagnostic>), Failure> {
    let (names, files): (Vec<_>, Vec<_>) = words.iter().cloned().partition(|word| blueprints::as_name(word).is_some());
    let (mut all, mut diagnostics) = blueprints::checked(&files, sources)?;
    for name in names.iter().filter_map(|name| blueprints::as_name(name)) {
        let (registry, environment) = (&env_context.engine.registry, env_context.configuration());
        let (found, of_found) = blueprints::of_name(name, registry, environment, &settings.project_folder, sources)?;
        let is_new =
            |one: &Blueprint| all.iter().all(|it| (&it.name.value, &it.overlay) != (&one.name.value, &one.overlay));
        let found: Vec<Blueprint> = found.into_iter().filter(is_new).collect();
        if !found.is_empty() {
            diagnostics.extend(of_found);
            all.extend(found);
        }
    }
    let named = all.len();
    diagnostics.extend(Library::duplicates(&all));
    if all.iter().any(|blueprint| blueprint.extends.is_some()) {
        // Reports no errors of blueprints that the user did not name.
        let (environment_blueprints, _) = blueprints::all(
            &env_context.engine.registry,
            env_context.configuration(),
            &settings.project_folder,
            sources,
        )?;
        all.extend(environment_blueprints);
    }
    let mut completed = Vec::new();
    for blueprint in all.iter().take(named) {
        let (blueprint, found) = Library::completed(blueprint, &all);
        completed.extend(blueprint);
        diagnostics.extend(found);
    }
    Ok((completed, diagnostics))
}

fn unknown(name: &str, library: &Library) -> Failure {
    let failure = Failure::new(format!("there is no blueprint `{name}` in this environment"));
    match closest(name, library.iter().map(|blueprint| blueprint.name.value.as_str())) {
        Some(best) => failure.hint(format!("did you mean `{best}`?")),
        None => failure
            .hint("`terrace blueprints list` lists those of the providers and of the project's folder `blueprints/`"),
    }
}

fn line(blueprint: &Blueprint) -> String {
    let description = blueprint.description.as_deref().unwrap_or_default();
    format!("{} {}  {}  {description}\n", blueprint.name.value, blueprint.version, blueprint.origin.file)
}

fn to_json(blueprint: &Blueprint) -> serde_json::Value {
    json!({
        "name": blueprint.name.value, "version": blueprint.version, "description": blueprint.description,
        "overlay": blueprint.overlay, "file": blueprint.origin.file, "built_in": blueprint.origin.is_built_in,
    })
}
