//! `terrace blueprints`: those that components can have in an environment.

use super::Context;
use crate::args::BlueprintsCommand;
use crate::failure::{Exit, Failure};
use crate::report::report;
use crate::wiring::{World, checked, library};
use serde_json::json;
use terrace_engine::blueprint::check::check;
use terrace_engine::blueprint::{Blueprint, Library};
use terrace_engine::diagnostic::{closest, has_errors};
use terrace_engine::source::Sources;

/// Lists, shows and checks blueprints.
///
/// # Errors
/// When a blueprint is wrong, or there is none of that name.
pub(super) fn run(context: &Context<'_>, command: BlueprintsCommand) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let world = World::of_settings(&settings, context.ui)?;
    let mut sources = Sources::default();
    let (library, mut diagnostics) =
        library(&world.registry, world.configuration(), &settings.project_folder, &mut sources)?;
    match command {
        BlueprintsCommand::List(format) => {
            report(context.ui, &sources, &diagnostics);
            if format.is_json() {
                context.ui.print_json(&library.iter().map(to_json).collect())?;
            } else {
                context.ui.print(&library.iter().map(line).collect::<String>())?;
            }
        }
        BlueprintsCommand::Show { name } => {
            let blueprint = library.get(&name).ok_or_else(|| unknown(&name, &library))?;
            let source = sources.get(blueprint.span.source);
            context.ui.print(source.map_or("", |source| &*source.text))?;
            return Ok(Exit::Done);
        }
        BlueprintsCommand::Check { files } => {
            let (blueprints, found) = checked(&files, &mut sources)?;
            if !files.is_empty() {
                diagnostics = found;
            }
            let named: Vec<Blueprint> = if files.is_empty() { library.iter().cloned().collect() } else { blueprints };
            let checked = named.iter().flat_map(|blueprint| check(blueprint, &world.registry, &world.functions));
            diagnostics.extend(checked);
            report(context.ui, &sources, &diagnostics);
            if !has_errors(&diagnostics) {
                context.ui.print(&format!("{} blueprints checked\n", named.len()))?;
            }
        }
    }
    if has_errors(&diagnostics) { Err(Failure::told(Exit::Error)) } else { Ok(Exit::Done) }
}

fn unknown(name: &str, library: &Library) -> Failure {
    let failure = Failure::new(format!("there is no blueprint `{name}` in this environment"));
    match closest(name, library.iter().map(|blueprint| blueprint.name.value.as_str())) {
        Some(best) => failure.hint(format!("did you mean `{best}`?")),
        None => failure.hint("`terrace blueprints list` names them"),
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
