//! The blueprints of an environment: the providers' own, and those of the project's folders.

use crate::configuration::Environment;
use crate::failure::Failure;
use std::path::{Path, PathBuf};
use terrace_engine::blueprint::{Blueprint, Library, Origin, read};
use terrace_engine::diagnostic::Diagnostic;
use terrace_engine::registry::Registry;
use terrace_engine::source::Sources;
use terrace_engine::yaml::Budget;
use terrace_provider::{EmbeddedFile, ProviderSchema};

/// The project's folder of blueprints when none is configured.
const DEFAULT_FOLDER: &str = "blueprints";

/// A file of a project.
#[derive(Debug, Clone)]
struct ProjectFile {
    /// How people know it.
    name: String,
    /// Where it is.
    path: PathBuf,
}

/// Reads all blueprints of an environment.
///
/// # Errors
/// When a configured folder cannot be read.
pub(crate) fn library(
    registry: &Registry,
    environment: &Environment,
    project_folder: &Path,
    sources: &mut Sources,
) -> Result<(Library, Vec<Diagnostic>), Failure> {
    let mut diagnostics = Vec::new();
    let mut blueprints: Vec<Blueprint> = Vec::new();
    for schema in registry.schemas() {
        for file in schema.blueprints.iter().filter(|file| is_blueprint(Path::new(file.path))) {
            blueprints.extend(built_in(schema, file, sources, &mut diagnostics));
        }
    }
    for file in project_files(environment, project_folder)? {
        blueprints.extend(of_project(&file, sources, &mut diagnostics)?);
    }
    let (library, found) = Library::new(blueprints, environment.overlay.as_deref());
    diagnostics.extend(found);
    Ok((library, diagnostics))
}

/// Reads the blueprints of files and folders, apart from any environment.
///
/// # Errors
/// When a file or folder cannot be read.
pub(crate) fn checked(paths: &[PathBuf], sources: &mut Sources) -> Result<(Vec<Blueprint>, Vec<Diagnostic>), Failure> {
    let (mut blueprints, mut diagnostics) = (Vec::new(), Vec::new());
    for path in paths {
        let name = path.display().to_string();
        let files = if path.is_dir() { files_of(path, &name)? } else { vec![ProjectFile { name, path: path.clone() }] };
        for file in files {
            blueprints.extend(of_project(&file, sources, &mut diagnostics)?);
        }
    }
    Ok((blueprints, diagnostics))
}

fn built_in(
    schema: &ProviderSchema,
    file: &EmbeddedFile,
    sources: &mut Sources,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Blueprint> {
    let name = format!("{}:{}", schema.name, file.path);
    let id = sources.add(name.as_str(), file.text);
    let folder = Path::new(file.path).parent().unwrap_or(Path::new(""));
    let beside = |path: &str| {
        let wanted = folder.join(path);
        let found = schema.blueprints.iter().find(|other| Path::new(other.path) == wanted);
        found.map(|other| other.text.to_owned())
    };
    let (blueprint, found) = read(id, sources, Origin { file: name, is_built_in: true }, &beside, &Budget::default());
    diagnostics.extend(found);
    blueprint
}

fn of_project(
    file: &ProjectFile,
    sources: &mut Sources,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<Option<Blueprint>, Failure> {
    let text = std::fs::read_to_string(&file.path)
        .map_err(|error| Failure::new(format!("the blueprint `{}` cannot be read: {error}", file.name)))?;
    let id = sources.add(file.name.as_str(), text);
    let folder = file.path.parent().unwrap_or(Path::new("")).to_owned();
    let beside = |path: &str| std::fs::read_to_string(folder.join(path)).ok();
    let origin = Origin { file: file.name.clone(), is_built_in: false };
    let (blueprint, found) = read(id, sources, origin, &beside, &Budget::default());
    diagnostics.extend(found);
    Ok(blueprint)
}

/// The blueprint files of a project, sorted within each folder.
fn project_files(environment: &Environment, project_folder: &Path) -> Result<Vec<ProjectFile>, Failure> {
    let folders: Vec<&str> = match &environment.blueprints {
        Some(folders) => folders.iter().map(String::as_str).collect(),
        None if project_folder.join(DEFAULT_FOLDER).is_dir() => vec![DEFAULT_FOLDER],
        None => Vec::new(),
    };
    let mut files = Vec::new();
    for folder in folders {
        files.extend(files_of(&project_folder.join(folder), folder)?);
    }
    Ok(files)
}

fn files_of(path: &Path, name: &str) -> Result<Vec<ProjectFile>, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(format!("the folder of blueprints `{name}` cannot be read: {error}"))
            .hint("mend `blueprints:` of the environment in terrace.yaml, or make the folder")
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let Some(file) = path.file_name().and_then(|file| file.to_str()) else { continue };
        if path.is_file() && is_blueprint(&path) {
            files.push(ProjectFile { name: format!("{}/{file}", name.trim_end_matches('/')), path });
        }
    }
    files.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(files)
}

/// JSON Schemas lie beside blueprints, so the ending tells them apart.
fn is_blueprint(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}
