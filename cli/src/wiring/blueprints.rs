//! The blueprints of an environment: those of providers, and those of the project's folders.

use crate::configuration::{EMBEDDED, Environment};
use crate::failure::Failure;
use crate::files;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use terrace_engine::blueprint::{Blueprint, Library, Origin, read};
use terrace_engine::diagnostic::{Diagnostic, did_you_mean, has_errors};
use terrace_engine::registry::Registry;
use terrace_engine::source::{SourceId, Sources};
use terrace_engine::yaml::Budget;
use terrace_provider::names::listed;
use terrace_provider::{EmbeddedFile, ProviderSchema};

/// The project's folder of blueprints when none is configured.
pub(super) const DEFAULT_FOLDER: &str = "blueprints";

/// A file of a project.
#[derive(Debug, Clone)]
pub(crate) struct ProjectFile {
    /// The name for people.
    pub(crate) name: String,
    /// The path.
    pub(crate) path: PathBuf,
}

/// Suffixes of test files of blueprints.
const TEST_ENDINGS: [&str; 2] = [".test.yaml", ".test.yml"];

/// Reads all blueprints of an environment, and resolves overrides and extensions.
///
/// # Errors
/// When a configured folder cannot be read.
pub(crate) fn library(
    registry: &Registry,
    environment: &Environment,
    project_folder: &Path,
    sources: &mut Sources,
) -> Result<(Library, Vec<Diagnostic>), Failure> {
    let (blueprints, mut diagnostics) = all(registry, environment, project_folder, sources)?;
    let (library, found) = Library::new(blueprints, environment.overlay_name());
    diagnostics.extend(found);
    Ok((library, diagnostics))
}

/// Reads all blueprints of an environment as written, with all overlays.
///
/// # Errors
/// When a configured folder cannot be read.
pub(crate) fn all(
    registry: &Registry,
    environment: &Environment,
    project_folder: &Path,
    sources: &mut Sources,
) -> Result<(Vec<Blueprint>, Vec<Diagnostic>), Failure> {
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
    Ok((blueprints, diagnostics))
}

/// Checks an environment's settings of blueprints: missing folders, an unknown overlay.
///
/// # Errors
/// When an existing folder cannot be read.
pub(crate) fn check(
    registry: &Registry,
    environment: &Environment,
    project_folder: &Path,
) -> Result<Vec<Diagnostic>, Failure> {
    let mut diagnostics = Vec::new();
    for folder in environment.blueprints.iter().flatten() {
        let path = project_folder.join(&folder.value);
        if !path.is_dir() {
            let message = match path.exists() {
                true => format!("`{}` is a file, not a folder of blueprints", folder.value),
                false => format!("there is no folder of blueprints `{}`", folder.value),
            };
            let known = folders_within(project_folder);
            let hint = did_you_mean(folder.value.trim_end_matches('/'), known.iter().map(String::as_str));
            diagnostics.push(
                Diagnostic::error("missing_folder", message)
                    .at(folder.span)
                    .hint(match path.exists() {
                        true => "write the folder that has the file",
                        false => "create the folder next to terrace.yaml, or remove it from the list",
                    })
                    .maybe_hint(hint),
            );
        }
    }
    if environment.blueprints.is_none() && project_folder.join(DEFAULT_FOLDER).is_file() {
        let message = format!("`{DEFAULT_FOLDER}` is a file: terrace reads blueprints from a folder of this name");
        let hint = "rename the file";
        diagnostics.push(Diagnostic::warning("missing_folder", message).hint(hint));
    }
    // The default overlay is known without reading blueprints.
    let Some(overlay) = environment.overlay.as_ref().filter(|overlay| overlay.value != EMBEDDED) else {
        return Ok(diagnostics);
    };
    if has_errors(&diagnostics) {
        return Ok(diagnostics);
    }
    let (blueprints, _) = all(registry, environment, project_folder, &mut Sources::default())?;
    let known: BTreeSet<&str> =
        blueprints.iter().filter_map(|blueprint| blueprint.overlay.as_deref()).chain([EMBEDDED]).collect();
    if !known.contains(overlay.value.as_str()) {
        let listed = listed(&known.iter().collect::<Vec<_>>());
        diagnostics.push(
            Diagnostic::error("unknown_overlay", format!("no blueprint has the overlay `{}`", overlay.value))
                .at(overlay.span)
                .hint(format!("choose one of: {listed}"))
                .maybe_hint(did_you_mean(&overlay.value, known)),
        );
    }
    Ok(diagnostics)
}

/// The names of the folders in a folder.
fn folders_within(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.path().is_dir()).filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Reads the blueprints of files and folders, independent of an environment.
///
/// # Errors
/// When a file or folder cannot be read.
pub(crate) fn checked(paths: &[PathBuf], sources: &mut Sources) -> Result<(Vec<Blueprint>, Vec<Diagnostic>), Failure> {
    of_files(paths, |_| true, sources)
}

/// Like [`checked`], without files of other kinds: a project's own folder has descriptors too.
///
/// # Errors
/// When a file or folder cannot be read.
pub(crate) fn from_folders(
    folders: &[PathBuf],
    sources: &mut Sources,
) -> Result<(Vec<Blueprint>, Vec<Diagnostic>), Failure> {
    of_files(folders, |file| !is_something_else(file), sources)
}

/// True for readable YAML of no kind or another kind. An unreadable file may be a blueprint.
fn is_something_else(file: &ProjectFile) -> bool {
    let Ok(text) = files::text(&file.path, files::HANDWRITTEN) else { return false };
    let id = Sources::default().add(file.name.as_str(), text.as_str());
    let parsed = terrace_engine::yaml::parse(id, &text, &Budget::default());
    parsed.is_ok_and(|node| node.get("kind").and_then(|kind| kind.as_text()) != Some("Blueprint"))
}

fn of_files(
    paths: &[PathBuf],
    is_wanted: impl Fn(&ProjectFile) -> bool,
    sources: &mut Sources,
) -> Result<(Vec<Blueprint>, Vec<Diagnostic>), Failure> {
    let (mut blueprints, mut diagnostics) = (Vec::new(), Vec::new());
    let mut seen = BTreeSet::new();
    for path in paths {
        let name = path.display().to_string();
        let files = match path.is_dir() {
            true => files_of(path, &name, is_blueprint)?,
            false => vec![ProjectFile { name, path: path.clone() }],
        };
        // A file may be named twice, or by itself and by its folder: it is one blueprint.
        let mut is_new =
            |file: &ProjectFile| seen.insert(file.path.canonicalize().unwrap_or_else(|_| file.path.clone()));
        for file in files.into_iter().filter(|file| is_wanted(file)).filter(&mut is_new) {
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
    let id = sources.add_built_in(name.as_str(), file.text);
    let folder = Path::new(file.path).parent().unwrap_or(Path::new(""));
    let read_neighbor = |path: &str| {
        let wanted = folder.join(path);
        let found = schema.blueprints.iter().find(|other| Path::new(other.path) == wanted);
        found.map(|other| other.text.to_owned())
    };
    let (blueprint, found) =
        read(id, sources, Origin { file: name, is_built_in: true }, &read_neighbor, &Budget::default());
    diagnostics.extend(found);
    blueprint
}

fn of_project(
    file: &ProjectFile,
    sources: &mut Sources,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<Option<Blueprint>, Failure> {
    let text = files::text(&file.path, files::HANDWRITTEN)
        .map_err(|error| Failure::new(format!("the blueprint `{}` cannot be read: {error}", file.name)))?;
    let id = sources.add(file.name.as_str(), text);
    let folder = file.path.parent().unwrap_or(Path::new("")).to_owned();
    let read_neighbor = |path: &str| files::text(&folder.join(path), files::HANDWRITTEN).ok();
    let origin = Origin { file: file.name.clone(), is_built_in: false };
    let (blueprint, found) = read(id, sources, origin, &read_neighbor, &Budget::default());
    diagnostics.extend(found);
    Ok(blueprint)
}

/// The blueprint tests of a project.
///
/// # Errors
/// When a configured folder cannot be read.
pub(crate) fn project_tests(environment: &Environment, project_folder: &Path) -> Result<Vec<ProjectFile>, Failure> {
    let mut files = Vec::new();
    for folder in folders(environment, project_folder) {
        files.extend(files_of(&project_folder.join(folder), folder, is_test)?);
    }
    Ok(files)
}

/// The blueprints with a name, in all overlays: those of the project, otherwise the built-in one. With their
/// diagnostics.
///
/// # Errors
/// When a configured folder cannot be read, or no blueprint has the name.
pub(crate) fn of_name(
    name: &str,
    registry: &Registry,
    environment: &Environment,
    project_folder: &Path,
    sources: &mut Sources,
) -> Result<(Vec<Blueprint>, Vec<Diagnostic>), Failure> {
    let (blueprints, mut diagnostics) = all(registry, environment, project_folder, sources)?;
    let is_own = |blueprint: &Blueprint| !blueprint.origin.is_built_in;
    let mut found: Vec<Blueprint> = blueprints.iter().filter(|it| it.name.value == name).cloned().collect();
    if found.iter().any(is_own) {
        found.retain(is_own);
    }
    if found.is_empty() {
        return Err(unknown_name(name, blueprints.iter().map(|it| it.name.value.as_str())));
    }
    let texts: BTreeSet<SourceId> = found.iter().map(|blueprint| blueprint.span.source).collect();
    diagnostics.retain(|it| it.source().is_some_and(|source| texts.contains(&source)));
    Ok((found, diagnostics))
}

/// The name of a blueprint that an argument holds instead of a path.
pub(crate) fn as_name(word: &Path) -> Option<&str> {
    word.to_str().filter(|_| word.extension().is_none() && !word.exists())
}

fn unknown_name<'b>(name: &str, known: impl Iterator<Item = &'b str>) -> Failure {
    let failure = Failure::new(format!("there is no file and no blueprint `{name}`"));
    did_you_mean(name, known).into_iter().fold(failure, Failure::hint)
}

/// The tests next to the blueprints with a name, in all overlays.
///
/// # Errors
/// When the project has no such blueprint, or no test of it.
pub(crate) fn tests_of_name(
    name: &str,
    registry: &Registry,
    environment: &Environment,
    project_folder: &Path,
) -> Result<Vec<ProjectFile>, Failure> {
    let (blueprints, _) = all(registry, environment, project_folder, &mut Sources::default())?;
    let (built_in, own): (Vec<Blueprint>, Vec<Blueprint>) =
        blueprints.into_iter().partition(|blueprint| blueprint.origin.is_built_in);
    let is_meant = |blueprint: &&Blueprint| blueprint.name.value == name;
    let found: Vec<&str> = own.iter().filter(is_meant).map(|it| without_ending(&it.origin.file)).collect();
    let mut tests = project_tests(environment, project_folder)?;
    tests.retain(|test| found.contains(&without_ending(&test.name)));
    if !tests.is_empty() {
        return Ok(tests);
    }
    if let Some(first) = found.first() {
        return Err(without_test(name, Path::new(&format!("{first}.test.yaml"))));
    }
    if built_in.iter().any(|blueprint| blueprint.name.value == name) {
        return Err(Failure::new(format!("the blueprint `{name}` is built in, and has no test here"))
            .hint("override or extend it with a blueprint of the project, and test that one"));
    }
    Err(unknown_name(name, own.iter().map(|it| it.name.value.as_str())))
}

/// The tests of files and folders: a blueprint stands for the test next to it.
///
/// # Errors
/// When a folder cannot be read, or a blueprint has no test.
pub(crate) fn tests(paths: &[PathBuf]) -> Result<Vec<ProjectFile>, Failure> {
    let mut found = Vec::new();
    for path in paths {
        let name = path.display().to_string();
        if path.is_dir() {
            found.extend(files_of(path, &name, is_test)?);
        } else if is_test(path) || !is_blueprint(path) {
            found.push(ProjectFile { name, path: path.clone() });
        } else if !path.exists() {
            return Err(Failure::new(format!("there is no file `{name}`")));
        } else {
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            let candidates = TEST_ENDINGS.map(|ending| path.with_file_name(format!("{stem}{ending}")));
            let [default_path, _] = &candidates;
            let test = candidates.iter().find(|test| test.is_file()).cloned();
            let test = test.ok_or_else(|| without_test(&name, default_path))?;
            found.push(ProjectFile { name: test.display().to_string(), path: test });
        }
    }
    Ok(found)
}

fn without_test(blueprint: &str, default_path: &Path) -> Failure {
    Failure::new(format!("the blueprint `{blueprint}` has no test file next to it"))
        .hint(format!("write `{}`", default_path.display()))
}

/// The name of a blueprint's or test's file without its suffix.
fn without_ending(name: &str) -> &str {
    let endings = TEST_ENDINGS.into_iter().chain([".yaml", ".yml"]);
    endings.into_iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name)
}

/// The folders of a project's blueprints, as configured.
pub(crate) fn folders<'e>(environment: &'e Environment, project_folder: &Path) -> Vec<&'e str> {
    match &environment.blueprints {
        Some(folders) => folders.iter().map(|folder| folder.value.as_str()).collect(),
        None if project_folder.join(DEFAULT_FOLDER).is_dir() => vec![DEFAULT_FOLDER],
        None => Vec::new(),
    }
}

/// The blueprint files of a project, sorted within each folder.
fn project_files(environment: &Environment, project_folder: &Path) -> Result<Vec<ProjectFile>, Failure> {
    let mut files = Vec::new();
    for folder in folders(environment, project_folder) {
        files.extend(files_of(&project_folder.join(folder), folder, is_blueprint)?);
    }
    Ok(files)
}

fn files_of(path: &Path, name: &str, is_meant: fn(&Path) -> bool) -> Result<Vec<ProjectFile>, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(format!("the folder of blueprints `{name}` cannot be read: {}", files::describe_io_error(&error)))
            .hint("correct `blueprints:` of the environment in terrace.yaml, or create the folder")
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let Some(file) = path.file_name().and_then(|file| file.to_str()) else { continue };
        if path.is_file() && is_meant(&path) {
            files.push(ProjectFile { name: format!("{}/{file}", name.trim_end_matches('/')), path });
        }
    }
    files.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(files)
}

/// Recognises blueprints by the suffix: JSON Schemas and tests are in the same folder.
fn is_blueprint(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") && !is_test(path)
}

fn is_test(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    TEST_ENDINGS.iter().any(|ending| name.ends_with(ending))
}
