//! `terrace blueprints new`: writes a first blueprint, its schema and a test that passes.

mod draft;

use super::{test, unknown};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::settings::Settings;
use crate::wiring::{EnvironmentContext, blueprints, library};
use draft::Draft;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use terrace_engine::diagnostic::closest;
use terrace_engine::source::Sources;

/// Folder of new blueprints in a project without one.
const FOLDER: &str = "blueprints";

/// Writes a blueprint, its schema and its test into the project's first folder of blueprints.
///
/// # Errors
/// When the blueprint exists, the model of `--from` does not exist, or a file cannot be written.
pub(super) fn run(
    context: &Context<'_>,
    settings: &Settings,
    env_context: &EnvironmentContext,
    name: &str,
    from: Option<&str>,
) -> Result<Exit, Failure> {
    check_name(name)?;
    let mut sources = Sources::default();
    let (library, _) =
        library(&env_context.engine.registry, env_context.configuration(), &settings.project_folder, &mut sources)?;
    if let Some(other) = library.get(name) {
        return Err(Failure::new(format!("the blueprint `{name}` exists already: {}", other.origin.file))
            .hint("choose another name, or edit the existing blueprint"));
    }
    let draft = match from {
        None => Draft::plain(name),
        Some(from) => match (env_context.engine.registry.resource_type(from), library.get(from)) {
            (Some((_, ty)), _) => Draft::of_type(name, ty),
            (None, Some(blueprint)) => Draft::of_blueprint(name, blueprint, &sources),
            (None, None) => return Err(unknown_model(from, env_context, || unknown(from, &library))),
        },
    };
    let known = blueprints::folders(env_context.configuration(), &settings.project_folder);
    let folder = known.first().copied().unwrap_or(FOLDER);
    let path = |file: String| (format!("{folder}/{file}"), settings.project_folder.join(folder).join(file));
    let test = path(format!("{name}.test.yaml"));
    let mut files = vec![(path(format!("{name}.yaml")), draft.blueprint), (test.clone(), draft.test)];
    files.extend(draft.schema.map(|schema| (path(format!("specific/{name}.json")), schema)));
    if let Some(((shown, _), _)) = files.iter().find(|((_, path), _)| path.exists()) {
        return Err(Failure::new(format!("the file `{shown}` exists already")).hint("choose another name"));
    }
    for ((shown, path), text) in &files {
        write_new(shown, path, text)?;
        context.ui.print(&format!("wrote {shown}\n"))?;
    }
    let has_errors = test::accept(context, settings, env_context, &test.1)?;
    if has_errors {
        context.ui.print_note(&format!("\nthe sample component fails its checks: correct it in `{}`", test.0));
    }
    context.ui.print_note("\nnext: edit them, then `terrace blueprints check` and `terrace blueprints test`");
    Ok(Exit::Done)
}

fn check_name(name: &str) -> Result<(), Failure> {
    let is_fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(is_fine) {
        return Ok(());
    }
    Err(Failure::new(format!("`{name}` is not a valid name of a blueprint"))
        .hint("use small letters, digits and dashes, and begin with a letter: `order-table`"))
}

fn unknown_model(from: &str, env_context: &EnvironmentContext, blueprint: impl FnOnce() -> Failure) -> Failure {
    let types = env_context.engine.registry.schemas().flat_map(|schema| &schema.resources).map(|ty| ty.name);
    let failure = blueprint();
    let message = format!("there is neither a resource type nor a blueprint `{from}`");
    match closest(from, types) {
        Some(best) => Failure::new(message).hint(format!("did you mean `{best}`?")),
        None => {
            Failure { message: Some(message), ..failure }.hint("`terrace providers schema NAME` shows resource types")
        }
    }
}

fn write_new(shown: &str, path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(format!("`{shown}` cannot be written: {error}"));
    let folder: PathBuf = path.parent().map(Path::to_owned).unwrap_or_default();
    std::fs::create_dir_all(folder).map_err(failed)?;
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => file.write_all(text.as_bytes()).map_err(failed),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Err(Failure::new(format!("the file `{shown}` exists already")).hint("choose another name"))
        }
        Err(error) => Err(failed(error)),
    }
}
