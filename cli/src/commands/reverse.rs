//! `terrace reverse`: reads remote objects as values for a component of a catalog.

use super::plan::write_private;
use crate::args::ReverseArguments;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::report::report;
use crate::settings::{self, Settings};
use crate::wiring::{EnvironmentContext, is_missing, library, store};
use crate::{input, stacks};
use std::io::Write;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;
use terrace_engine::address::StackId;
use terrace_engine::blueprint::{Blueprint, Library};
use terrace_engine::diagnostic::{Diagnostic, has_errors};
use terrace_engine::repository::{template_of, write_back};
use terrace_engine::reverse::{ReverseInput, ReverseProvisioner, choose, params};
use terrace_engine::source::{SourceId, Sources};
use terrace_engine::yaml::{self, Budget};
use terrace_provider::names::listed;
use terrace_provider::value::OtherFormat;
use terrace_provider::{Map, Value};
use terrace_state::Access;

/// Runs the reverse part of a blueprint; prints or writes the values by dotted paths.
///
/// # Errors
/// When no blueprint matches, or a parameter does not fit.
pub(super) async fn run(context: &Context<'_>, arguments: &ReverseArguments) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let Target { env_context, library, sources, name } = target(context, &settings, &arguments.component).await?;
    let (blueprint, reverse) =
        choose(&library, &name, &env_context.templates).map_err(|(problem, hint)| Failure::new(problem).hint(hint))?;
    let input =
        ReverseInput { params: parse_params(&arguments.params)?, catalog_info: catalog_info(arguments, context)? };
    params(reverse, input.params.clone()).map_err(|errors| {
        Failure::new(errors.join("\n")).hint("pass the parameters of the blueprint with `--param NAME=VALUE`")
    })?;
    let provisioner = ReverseProvisioner {
        registry: &env_context.engine.registry,
        functions: &env_context.engine.functions,
        environment: &env_context.engine.environment,
    };
    let updates = provisioner.updates(reverse, input).await.map_err(|diagnostics| {
        report(context.ui, &sources, &diagnostics);
        Failure::reported(Exit::Error)
    })?;
    if let Some(folder) = arguments.write.as_ref().filter(|path| path.is_dir()) {
        let environment = &env_context.engine.environment.name;
        let is_answered = |template: &str| {
            library.for_template(template, &env_context.templates).is_some_and(|other| other.name == blueprint.name)
        };
        return write_into(context, folder, environment, &updates, (&blueprint.name.value, &is_answered));
    }
    let updates = Value::Map(updates).to_json();
    let text = match arguments.format.is_json() {
        true => format!("{updates:#}\n"),
        false => serde_saphyr::to_string(&OtherFormat(&updates)).map_err(|error| Failure::new(error.to_string()))?,
    };
    match &arguments.write {
        None => context.ui.print(&text)?,
        Some(path) if input::is_edited(path) => {
            return Err(Failure::new(format!("`--write {}` would replace a file that people edit", path.display()))
                .hint("name its folder to change the values within, or a new file"));
        }
        Some(path) => write_private(path, &text)
            .map_err(|error| Failure::new(format!("`{}` cannot be written: {error}", path.display())))?,
    }
    Ok(Exit::Done)
}

/// Writes the updates into the files of a repository. Their comments and order stay.
///
/// # Errors
/// When the folder has no entity or several, the component has another blueprint, or a value cannot be written. Then no
/// file changes.
fn write_into(
    context: &Context<'_>,
    folder: &Path,
    environment: &str,
    updates: &Map,
    (blueprint, is_answered): (&str, &dyn Fn(&str) -> bool),
) -> Result<Exit, Failure> {
    let mut sources = Sources::default();
    let failed = |sources: &Sources, found: &[Diagnostic]| {
        report(context.ui, sources, found);
        Failure::reported(Exit::Error)
    };
    let files = input::entity_files(folder, environment, &mut sources).map_err(|it| failed(&sources, &[*it]))?;
    let (template, span) = template_of(&sources, &files, environment).map_err(|found| failed(&sources, &found))?;
    if !template.as_deref().is_some_and(is_answered) {
        let message = match template {
            Some(template) => format!("the template `{template}` does not use the blueprint `{blueprint}`"),
            None => format!("this entity is not a component of the blueprint `{blueprint}`"),
        };
        let hint = "name the folder of the component whose blueprint runs";
        return Err(failed(&sources, &[Diagnostic::error("not_writable", message).at(span).hint(hint)]));
    }
    let updates: Vec<(String, serde_json::Value)> =
        updates.iter().map(|(path, value)| (path.clone(), value.to_json())).collect();
    let written = write_back(&sources, &files, environment, &updates).map_err(|found| failed(&sources, &found))?;
    if written.is_empty() {
        context.ui.print_note("the files have these values already");
    }
    let mut ready = Vec::new();
    for file in &written {
        let Some(source) = sources.get(file.source) else { continue };
        let failed = |error| Failure::new(format!("`{}` cannot be written: {error}", source.name));
        ready.push((&source.name, prepare(Path::new(&source.name), &file.text).map_err(failed)?));
    }
    for (name, (path, file)) in ready {
        file.persist(path).map_err(|error| Failure::new(format!("`{name}` cannot be written: {}", error.error)))?;
        context.ui.print_note(&format!("changed `{name}`"));
    }
    Ok(Exit::Done)
}

/// Writes the new content of a file next to it, with its permissions. Renaming it over the file then cannot lack space.
fn prepare(path: &Path, text: &str) -> std::io::Result<(PathBuf, NamedTempFile)> {
    // The file, not a link to it.
    let path = path.canonicalize()?;
    let mut file = NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(path.metadata()?.permissions())?;
    file.as_file().sync_all()?;
    Ok((path, file))
}

/// The blueprint to run, and its environment.
struct Target {
    env_context: EnvironmentContext,
    library: Library,
    sources: Sources,
    /// The name of the template or blueprint.
    name: String,
}

/// Finds the blueprint of a word: a template or blueprint by its own name, else that of a component in the state.
async fn target(context: &Context<'_>, settings: &Settings, word: &str) -> Result<Target, Failure> {
    let has_state = !is_missing(&settings.state);
    let named = match (&settings.stack, has_state) {
        (Some(_), true) => Some(stacks::current(settings, store(settings, Access::ReadOnly).await?.as_ref()).await?),
        _ => None,
    };
    let (env_context, library, sources) = open_environment(context, settings, named.as_ref())?;
    let is_known = library.get(word).is_some() || library.for_template(word, &env_context.templates).is_some();
    // A URN is never the key of a component: errors are about the template.
    if is_known || word.contains(':') || !has_state {
        return Ok(Target { env_context, library, sources, name: word.to_owned() });
    }
    let store = store(settings, Access::ReadOnly).await?;
    let stack = match (named, store.stacks().await?.is_empty()) {
        (Some(stack), _) => stack,
        (None, true) => return Ok(Target { env_context, library, sources, name: word.to_owned() }),
        (None, false) => stacks::current(settings, store.as_ref()).await?,
    };
    let component = store.components(&stack).await?.into_iter().find(|component| component.key == word);
    let Some(blueprint) = component.and_then(|component| component.blueprint) else {
        let reversible = library.iter().filter(|blueprint| blueprint.reverse.is_some());
        let reversible: Vec<&str> = reversible.map(|blueprint: &Blueprint| blueprint.name.value.as_str()).collect();
        return Err(Failure::new(format!("`{word}` is neither a component in the state of {stack} nor a blueprint"))
            .hint(format!("choose one of: {}", listed(&reversible))));
    };
    let name = name_of(&blueprint);
    if stack.environment == env_context.engine.environment.name {
        return Ok(Target { env_context, library, sources, name });
    }
    let (env_context, library, sources) = open_environment(context, settings, Some(&stack))?;
    Ok(Target { env_context, library, sources, name })
}

/// Opens the environment of a stack, or the default one, with its blueprints.
fn open_environment(
    context: &Context<'_>,
    settings: &Settings,
    stack: Option<&StackId>,
) -> Result<(EnvironmentContext, Library, Sources), Failure> {
    let environment = stack.map(|stack| settings::EnvironmentRef::word(&stack.environment));
    let env_context =
        EnvironmentContext::new(settings, settings.environment(environment, context.ui)?, false, context.ui)?;
    let mut sources = Sources::default();
    let (library, diagnostics) =
        library(&env_context.engine.registry, env_context.configuration(), &settings.project_folder, &mut sources)?;
    report(context.ui, &sources, &diagnostics);
    match has_errors(&diagnostics) {
        true => Err(Failure::reported(Exit::Error)),
        false => Ok((env_context, library, sources)),
    }
}

/// The name of a blueprint that the state stores with its version.
fn name_of(recorded: &str) -> String {
    recorded.split(' ').next().unwrap_or(recorded).to_owned()
}

/// The values of `--param`.
fn parse_params(params: &[String]) -> Result<Value, Failure> {
    let mut values = Map::default();
    for param in params {
        let Some((name, text)) = param.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(
                Failure::new(format!("`--param {param}` has no name or no `=`")).hint("write `--param NAME=VALUE`")
            );
        };
        values.insert(name.to_owned(), value(name, text)?);
    }
    Ok(Value::Map(values))
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
