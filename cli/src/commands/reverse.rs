//! `terrace reverse`: what is there, as values for a catalog's component.

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

/// Asks the blueprint of a component what is there; prints or writes the values by dotted paths.
///
/// # Errors
/// When nobody can answer, or what is asked does not fit.
pub(super) async fn run(context: &Context<'_>, arguments: &ReverseArguments) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let Asked { world, library, sources, about } = asked(context, &settings, &arguments.component).await?;
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
        false => serde_saphyr::to_string(&OtherFormat(&updates)).map_err(|error| Failure::new(error.to_string()))?,
    };
    match &arguments.write {
        None => context.ui.print(&text)?,
        Some(path) => write_private(path, &text)
            .map_err(|error| Failure::new(format!("`{}` cannot be written: {error}", path.display())))?,
    }
    Ok(Exit::Done)
}

/// Who is asked, and where.
struct Asked {
    world: World,
    library: Library,
    sources: Sources,
    /// The template or the blueprint that answers.
    about: String,
}

/// Finds out who answers for a word: a template or a blueprint by its own name, else that of a recorded component, where that
/// is recorded.
async fn asked(context: &Context<'_>, settings: &Settings, word: &str) -> Result<Asked, Failure> {
    let has_state = !is_missing(&settings.state);
    let named = match (&settings.stack, has_state) {
        (Some(_), true) => Some(stacks::current(settings, store(settings, Access::ReadOnly).await?.as_ref()).await?),
        _ => None,
    };
    let (world, library, sources) = opened(context, settings, named.as_ref())?;
    let is_known = library.get(word).is_some() || library.of_template(word, &world.templates).is_some();
    // A template's URN is no key of a component: what is wrong with it is told as such.
    if is_known || word.contains(':') || !has_state {
        return Ok(Asked { world, library, sources, about: word.to_owned() });
    }
    let store = store(settings, Access::ReadOnly).await?;
    let stack = match (named, store.stacks().await?.is_empty()) {
        (Some(stack), _) => stack,
        (None, true) => return Ok(Asked { world, library, sources, about: word.to_owned() }),
        (None, false) => stacks::current(settings, store.as_ref()).await?,
    };
    let component = store.components(&stack).await?.into_iter().find(|component| component.key == word);
    let Some(blueprint) = component.and_then(|component| component.blueprint) else {
        let able = library.iter().filter(|blueprint| blueprint.reverse.is_some());
        let able: Vec<&str> = able.map(|blueprint: &Blueprint| blueprint.name.value.as_str()).collect();
        return Err(Failure::new(format!(
            "no component `{word}` is recorded of {stack}, and no blueprint is called so"
        ))
        .hint(format!("these can be asked: {}", able.join(", "))));
    };
    let about = name_of(&blueprint);
    if stack.environment == world.environment.name {
        return Ok(Asked { world, library, sources, about });
    }
    let (world, library, sources) = opened(context, settings, Some(&stack))?;
    Ok(Asked { world, library, sources, about })
}

/// The environment of a stack, or the one that is meant without any, and its blueprints.
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
