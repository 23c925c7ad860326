//! `terrace reverse`: reads remote objects as values for a component of a catalog.

use super::Context;
use super::plan::write_private;
use crate::args::ReverseArguments;
use crate::failure::{Exit, Failure};
use crate::input;
use crate::report::report;
use crate::settings::{self, Settings};
use crate::stacks;
use crate::wiring::{World, is_missing, library, store};
use terrace_engine::address::StackId;
use terrace_engine::blueprint::{Blueprint, Library};
use terrace_engine::diagnostic::has_errors;
use terrace_engine::reverse::{Question, Reversing, choose, params};
use terrace_engine::source::{SourceId, Sources};
use terrace_engine::yaml::{self, Budget};
use terrace_provider::value::OtherFormat;
use terrace_provider::{Map, Value};
use terrace_state::Access;

/// Runs the reverse part of a blueprint; prints or writes the values by dotted paths.
///
/// # Errors
/// When no blueprint matches, or a parameter does not fit.
pub(super) async fn run(context: &Context<'_>, arguments: &ReverseArguments) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let Target { world, library, sources, about } = target(context, &settings, &arguments.component).await?;
    let (_, reverse) =
        choose(&library, &about, &world.templates).map_err(|(problem, hint)| Failure::new(problem).hint(hint))?;
    let question = Question { params: given(&arguments.params)?, catalog_info: catalog_info(arguments, context)? };
    params(reverse, question.params.clone()).map_err(|errors| {
        Failure::new(errors.join("\n")).hint("pass the parameters of the blueprint with `--param NAME=VALUE`")
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
        false => serde_saphyr::to_string(&OtherFormat(&updates)).map_err(|error| Failure::new(error.to_string()))?,
    };
    match &arguments.write {
        None => context.ui.print(&text)?,
        Some(path) => write_private(path, &text)
            .map_err(|error| Failure::new(format!("`{}` cannot be written: {error}", path.display())))?,
    }
    Ok(Exit::Done)
}

/// The blueprint to run, and its environment.
struct Target {
    world: World,
    library: Library,
    sources: Sources,
    /// The name of the template or blueprint.
    about: String,
}

/// Finds the blueprint of a word: a template or blueprint by its own name, else that of a component in the state.
async fn target(context: &Context<'_>, settings: &Settings, word: &str) -> Result<Target, Failure> {
    let has_state = !is_missing(&settings.state);
    let named = match (&settings.stack, has_state) {
        (Some(_), true) => Some(stacks::current(settings, store(settings, Access::ReadOnly).await?.as_ref()).await?),
        _ => None,
    };
    let (world, library, sources) = opened(context, settings, named.as_ref())?;
    let is_known = library.get(word).is_some() || library.of_template(word, &world.templates).is_some();
    // A URN is never the key of a component: errors are about the template.
    if is_known || word.contains(':') || !has_state {
        return Ok(Target { world, library, sources, about: word.to_owned() });
    }
    let store = store(settings, Access::ReadOnly).await?;
    let stack = match (named, store.stacks().await?.is_empty()) {
        (Some(stack), _) => stack,
        (None, true) => return Ok(Target { world, library, sources, about: word.to_owned() }),
        (None, false) => stacks::current(settings, store.as_ref()).await?,
    };
    let component = store.components(&stack).await?.into_iter().find(|component| component.key == word);
    let Some(blueprint) = component.and_then(|component| component.blueprint) else {
        let able = library.iter().filter(|blueprint| blueprint.reverse.is_some());
        let able: Vec<&str> = able.map(|blueprint: &Blueprint| blueprint.name.value.as_str()).collect();
        return Err(Failure::new(format!("`{word}` is neither a component in the state of {stack} nor a blueprint"))
            .hint(format!("choose one of: {}", able.join(", "))));
    };
    let about = name_of(&blueprint);
    if stack.environment == world.environment.name {
        return Ok(Target { world, library, sources, about });
    }
    let (world, library, sources) = opened(context, settings, Some(&stack))?;
    Ok(Target { world, library, sources, about })
}

/// Opens the environment of a stack, or the default one, with its blueprints.
fn opened(
    context: &Context<'_>,
    settings: &Settings,
    stack: Option<&StackId>,
) -> Result<(World, Library, Sources), Failure> {
    let environment = stack.map(|stack| settings::EnvironmentRef::word(&stack.environment));
    let world = World::new(settings, settings.environment(environment, context.ui)?, false, context.ui)?;
    let mut sources = Sources::default();
    let (library, diagnostics) =
        library(&world.registry, world.configuration(), &settings.project_folder, &mut sources)?;
    report(context.ui, &sources, &diagnostics);
    match has_errors(&diagnostics) {
        true => Err(Failure::told(Exit::Error)),
        false => Ok((world, library, sources)),
    }
}

/// The name of a blueprint that the state stores with its version.
fn name_of(recorded: &str) -> String {
    recorded.split(' ').next().unwrap_or(recorded).to_owned()
}

/// The values of `--param`.
fn given(params: &[String]) -> Result<Value, Failure> {
    let mut given = Map::default();
    for param in params {
        let Some((name, text)) = param.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(
                Failure::new(format!("`--param {param}` has no name or no `=`")).hint("write `--param NAME=VALUE`")
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
        Failure::new(format!("the value of `--param {name}` is not YAML"))
            .hint("quote a text with `:`, `[` or `{` in it")
    })
}

/// The component of the catalog.
fn catalog_info(arguments: &ReverseArguments, context: &Context<'_>) -> Result<Value, Failure> {
    let Some(path) = arguments.catalog_info.as_deref() else { return Ok(Value::Map(Map::default())) };
    let entries = input::map_of(path, "--catalog-info", "the component as the catalog has it", context.ui)?;
    Ok(Value::Map(entries.into_iter().collect()))
}
