//! `terrace reverse`: what is there, as values for a catalog's component.

use super::Context;
use super::plan::write_private;
use crate::args::ReverseArguments;
use crate::failure::{Exit, Failure};
use crate::input;
use crate::report::report;
use crate::settings::Settings;
use crate::stacks;
use crate::wiring::{World, is_missing, library, store};
use terrace_engine::blueprint::{Blueprint, Library};
use terrace_engine::diagnostic::has_errors;
use terrace_engine::reverse::{Question, Reversing, choose, params};
use terrace_engine::source::{SourceId, Sources};
use terrace_engine::yaml::{self, Budget};
use terrace_provider::{Map, Value};
use terrace_state::Access;

/// Asks the blueprint of a component what is there; prints or writes the values by dotted paths.
///
/// # Errors
/// When nobody can answer, or what is asked does not fit.
pub(super) async fn run(context: &Context<'_>, arguments: &ReverseArguments) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let world = World::of_settings(&settings, context.ui)?;
    let mut sources = Sources::default();
    let (library, diagnostics) =
        library(&world.registry, world.configuration(), &settings.project_folder, &mut sources)?;
    report(context.ui, &sources, &diagnostics);
    if has_errors(&diagnostics) {
        return Err(Failure::told(Exit::Error));
    }
    let about = template(&arguments.component, &library, &world, &settings).await?;
    let (_, reverse) =
        choose(&library, &about, &world.templates).map_err(|(problem, hint)| Failure::new(problem).hint(hint))?;
    let question = Question { params: given(&arguments.params)?, catalog_info: catalog_info(arguments, context)? };
    params(reverse, question.params.clone()).map_err(|errors| {
        Failure::new(errors.join("\n")).hint("give what the blueprint asks for with `--param NAME=VALUE`")
    })?;
    let reversing =
        Reversing { registry: &world.registry, functions: &world.functions, environment: &world.environment };
    let updates = reversing.updates(reverse, question).await.map_err(|diagnostics| {
        report(context.ui, &sources, &diagnostics);
        Failure::told(Exit::Error)
    })?;
    let updates = Value::Map(updates).to_json();
    let text = match arguments.format.is_json() {
        true => format!("{updates:#}\n"),
        false => serde_saphyr::to_string(&updates).map_err(|error| Failure::new(error.to_string()))?,
    };
    match &arguments.write {
        None => context.ui.print(&text)?,
        Some(path) => write_private(path, &text)
            .map_err(|error| Failure::new(format!("`{}` cannot be written: {error}", path.display())))?,
    }
    Ok(Exit::Done)
}

/// The template or blueprint that answers for a word: its own, or that of a recorded component.
async fn template(word: &str, library: &Library, world: &World, settings: &Settings) -> Result<String, Failure> {
    let is_known = library.get(word).is_some() || library.of_template(word, &world.templates).is_some();
    // A template's URN is no key of a component: what is wrong with it is told as such.
    if is_known || word.contains(':') || is_missing(&settings.state) {
        return Ok(word.to_owned());
    }
    let store = store(settings, Access::ReadOnly).await?;
    let stack = match (&settings.stack, store.stacks().await?.is_empty()) {
        (None, true) => return Ok(word.to_owned()),
        _ => stacks::current(settings, store.as_ref()).await?,
    };
    let component = store.components(&stack).await?.into_iter().find(|component| component.key == word);
    let blueprint = component.and_then(|component| component.blueprint);
    blueprint.map(|blueprint| name_of(&blueprint)).ok_or_else(|| {
        let able = library.iter().filter(|blueprint| blueprint.reverse.is_some());
        let able: Vec<&str> = able.map(|blueprint: &Blueprint| blueprint.name.value.as_str()).collect();
        Failure::new(format!("no component `{word}` is recorded of {stack}, and no blueprint is called so"))
            .hint(format!("these can be asked: {}", able.join(", ")))
    })
}

/// The name of a blueprint that is recorded with its version.
fn name_of(recorded: &str) -> String {
    recorded.split(' ').next().unwrap_or(recorded).to_owned()
}

/// The values of `--param`.
fn given(params: &[String]) -> Result<Value, Failure> {
    let mut given = Map::default();
    for param in params {
        let Some((name, text)) = param.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(
                Failure::new(format!("`--param {param}` is no name with a value")).hint("write `--param NAME=VALUE`")
            );
        };
        given.insert(name.to_owned(), value(name, text)?);
    }
    Ok(Value::Map(given))
}

fn value(name: &str, text: &str) -> Result<Value, Failure> {
    if text.is_empty() {
        return Ok(Value::from(""));
    }
    let node = yaml::parse(SourceId::default(), text, &Budget::default());
    node.map(|node| node.to_value()).map_err(|_| {
        Failure::new(format!("the value of `--param {name}` is no YAML"))
            .hint("write it in quotes where it is a text with `:`, `[` or `{` in it")
    })
}

/// The catalog's component.
fn catalog_info(arguments: &ReverseArguments, context: &Context<'_>) -> Result<Value, Failure> {
    let Some(path) = arguments.catalog_info.as_deref() else { return Ok(Value::Map(Map::default())) };
    let entries = input::map_of(path, "--catalog-info", "the component as the catalog has it", context.ui)?;
    Ok(Value::Map(entries.into_iter().collect()))
}
