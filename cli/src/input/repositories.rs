//! Repositories: folders with a `catalog-info.yaml`, from which terrace builds the descriptor.
//!
//! An entity that terrace does not read is absent from the descriptor, and the plan removes its objects. So only a path
//! that does not exist is absent: any other error of the file system fails, and so does an entity in a folder that
//! terrace skips.

use super::submodules::{self, Missing};
use super::{EMPTY, Text, check_name, text_of};
use crate::files::{describe_io_error, permission_hint};
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use terrace_engine::diagnostic::{Diagnostic, closest};
use terrace_engine::digest::sha256;
use terrace_engine::repository::EntityFiles;
use terrace_engine::source::{SourceId, Sources};

/// The file of an entity.
pub(super) const CATALOG: &str = "catalog-info.yaml";
/// The values of a skeleton.
const PARAMETERS: &str = "parameters.yaml";
/// The folder with a folder for each environment.
const ENVIRONMENTS: &str = "environments";
/// The values of an environment.
const CONFIGURATION: &str = "configurations.yaml";
/// Maximum depth of an entity below the folder of its repository.
const DEEPEST: usize = 16;
/// Folders without entities of their own: values, copies of releases, templates of entities, other programs' files.
const SKIPPED: [&str; 6] = [ENVIRONMENTS, RELEASES, "skeleton", "edit-skeleton", "node_modules", "target"];
/// The folder with a folder for each release of an entity.
const RELEASES: &str = "releases";
/// Folders of templates, each with a file in the same place.
const TEMPLATES: [(&str, &str); 2] = [("skeleton", "template.yaml"), ("edit-skeleton", "edit-template.yaml")];

type Found<T> = Result<T, Box<Diagnostic>>;

/// A repository, or a folder of it.
#[derive(Debug)]
pub(super) struct Repository {
    /// The path as the user names it.
    pub(super) path: PathBuf,
    /// The folders of its entities.
    folders: Vec<PathBuf>,
    /// Warnings of folders that terrace skips.
    warnings: Vec<Diagnostic>,
}

impl Repository {
    /// The repository of a folder that holds an entity, or of its `catalog-info.yaml`.
    ///
    /// # Errors
    /// When a folder or a file cannot be read, or an entity is in a folder that terrace skips.
    pub(super) fn at(path: &Path) -> Found<Option<Self>> {
        if path.file_name().is_some_and(|name| name == CATALOG) && path.is_file() {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            return Ok(Some(Self { path: path.to_owned(), folders: vec![folder.to_owned()], warnings: Vec::new() }));
        }
        if path.is_dir() && is_file(&path.join(CATALOG))? { Self::below(path) } else { Ok(None) }
    }

    /// The repository in a folder, with the entities in folders below it.
    ///
    /// # Errors
    /// When a folder or a file cannot be read, or an entity is in a folder that terrace skips.
    pub(super) fn below(path: &Path) -> Found<Option<Self>> {
        let mut search = Search::default();
        search.folder(path, 0)?;
        if search.folders.is_empty() && search.skipped.is_empty() {
            return Ok(None);
        }
        let warnings = search.check_skipped()?;
        if !search.folders.is_empty() {
            check_submodules(path)?;
        }
        Ok((!search.folders.is_empty()).then(|| Self { path: path.to_owned(), folders: search.folders, warnings }))
    }

    /// The files of its entities.
    pub(super) fn catalogs(&self) -> Vec<PathBuf> {
        self.folders.iter().map(|folder| folder.join(CATALOG)).collect()
    }

    /// Reads the files of all entities.
    ///
    /// # Errors
    /// When a file cannot be read.
    fn read(
        &self,
        environment: &str,
        is_requested: bool,
        loaded: &mut Loaded,
        sources: &mut Sources,
    ) -> Result<(), Box<Diagnostic>> {
        let mut digests = Vec::new();
        for folder in &self.folders {
            let identity = folder.canonicalize().unwrap_or_else(|_| folder.clone());
            if !loaded.folders.insert(identity) {
                continue;
            }
            let mut load = |path: PathBuf| -> Result<Option<SourceId>, Box<Diagnostic>> {
                if !is_file(&path)? {
                    return Ok(None);
                }
                self.check_within(folder, &path)?;
                check_name(&path)?;
                let Text { name, text } = match text_of(&path) {
                    Ok(text) => text,
                    // A file without values.
                    Err(diagnostic) if diagnostic.code == EMPTY && !path.ends_with(CATALOG) => return Ok(None),
                    Err(diagnostic) => return Err(diagnostic),
                };
                digests.push(format!("{name} {}", sha256(&text)));
                loaded.files.push(path);
                Ok(Some(sources.add(name.strip_prefix("./").unwrap_or(&name), text)))
            };
            let path = folder.join(CATALOG);
            let Some(catalog) = load(path.clone())? else {
                return Err(unreadable(&path, &ErrorKind::NotFound.into()));
            };
            let environments = folder.join(ENVIRONMENTS);
            check_file_names(folder, &[PARAMETERS])?;
            check_file_names(&environments.join(environment), &[CONFIGURATION])?;
            check_environments(folder)?;
            let configuration = load(environments.join(environment).join(CONFIGURATION))?;
            if configuration.is_none() && !is_absent(&environments)? {
                check_submodules(&environments)?;
            }
            loaded.entities.push(EntityFiles {
                catalog,
                parameters: load(folder.join(PARAMETERS))?,
                configuration,
                environments: names_of(&environments)?,
                is_requested,
            });
        }
        if is_requested {
            loaded.digests.insert(self.path.display().to_string(), sha256(digests.join("\n")));
        }
        Ok(())
    }

    /// Refuses a link out of the repository: its text could show secrets of this machine in a plan.
    fn check_within(&self, folder: &Path, path: &Path) -> Result<(), Box<Diagnostic>> {
        let is_own = path.parent() == Some(folder) && (self.path == folder || self.path == folder.join(CATALOG));
        // Not a link: in a repository with thousands of entities, the resolution of each path takes seconds.
        if is_own && path.symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
            return Ok(());
        }
        let root = if self.path.is_file() { self.path.parent() } else { Some(self.path.as_path()) };
        let root = root.filter(|root| !root.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let is_within = root.canonicalize().and_then(|root| Ok(path.canonicalize()?.starts_with(root)));
        if matches!(is_within, Ok(true)) {
            return Ok(());
        }
        let message = format!("`{}` is a link to a file outside the repository", path.display());
        Err(Box::new(Diagnostic::error("unreadable", message).hint("replace the link by the file")))
    }

    /// The names of the environments with a folder, for hints.
    pub(super) fn environments(&self) -> Vec<String> {
        let names: BTreeSet<String> = self.environment_folders().map(|(name, _)| name).collect();
        names.into_iter().collect()
    }

    /// The folders with values of environments, each with the name of its environment.
    pub(super) fn environment_folders(&self) -> impl Iterator<Item = (String, PathBuf)> {
        let folders = self.folders.iter().map(|folder| folder.join(ENVIRONMENTS));
        folders.flat_map(|folder| {
            let names = names_of(&folder).unwrap_or_default();
            names.into_iter().map(move |name| (name.clone(), folder.join(name)))
        })
    }
}

/// The files of repositories.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// The entities.
    pub(super) entities: Vec<EntityFiles>,
    /// The paths of the files.
    pub(super) files: Vec<PathBuf>,
    /// A digest of the files by the path of each requested repository.
    pub(super) digests: BTreeMap<String, String>,
    folders: BTreeSet<PathBuf>,
}

/// Reads the requested repositories and those that complete data products. Errors are added to the diagnostics.
pub(super) fn load(
    requested: &[Repository],
    others: &[PathBuf],
    environment: &str,
    sources: &mut Sources,
    diagnostics: &mut Vec<Diagnostic>,
) -> Loaded {
    let mut loaded = Loaded::default();
    for repository in requested {
        diagnostics.extend(repository.warnings.iter().cloned());
        let read = repository.read(environment, true, &mut loaded, sources);
        diagnostics.extend(read.err().map(|diagnostic| *diagnostic));
    }
    for path in others {
        let found = match Repository::at(path) {
            Ok(None) if path.is_dir() => Repository::below(path),
            found => found,
        };
        let found = match found {
            Ok(found) => found,
            Err(diagnostic) => {
                diagnostics.push(*diagnostic);
                continue;
            }
        };
        let Some(repository) = found else {
            if path.is_dir()
                && let Err(diagnostic) = check_submodules(path)
            {
                diagnostics.push(*diagnostic);
                continue;
            }
            let message = format!("`{}` is not a repository: it has no catalog-info.yaml", path.display());
            let hint = "check the path in `repositories:` of terrace.yaml, or that of `--repo`";
            diagnostics.push(Diagnostic::error("missing_file", message).hint(hint));
            continue;
        };
        diagnostics.extend(repository.warnings.iter().cloned());
        let read = repository.read(environment, false, &mut loaded, sources);
        diagnostics.extend(read.err().map(|diagnostic| *diagnostic));
    }
    loaded
}

/// Refuses a folder with a submodule that is not initialised: it may have entities.
///
/// # Errors
/// When there is one, or a file or a folder cannot be read.
pub(super) fn check_submodules(folder: &Path) -> Found<()> {
    match missing_submodules(folder)?.first() {
        Some(missing) => Err(Box::new(missing.diagnostic())),
        None => Ok(()),
    }
}

/// The submodules in a folder that are not initialised, and the one around it.
///
/// # Errors
/// When a file or a folder cannot be read.
pub(crate) fn missing_submodules(folder: &Path) -> Found<Vec<Missing>> {
    // A submodule may also have the values of environments.
    let is_skipped = |name: &str| name != ENVIRONMENTS && SKIPPED.contains(&name);
    submodules::missing(folder, &is_skipped).map_err(|(path, error)| unreadable(&path, &error))
}

/// A search for entities.
#[derive(Debug, Default)]
struct Search {
    /// Folders with entities, in the order of their names.
    folders: Vec<PathBuf>,
    /// Folders with entities that terrace skips.
    skipped: Vec<Skipped>,
    /// The targets of links to folders that are searched already: links can form circles.
    targets: BTreeSet<PathBuf>,
    /// True in a folder that terrace skips.
    is_skipped: bool,
}

/// A folder that terrace skips, with an entity.
#[derive(Debug)]
struct Skipped {
    /// The folder.
    folder: PathBuf,
    /// The folder of the first entity in it.
    entity: PathBuf,
    is_link: bool,
}

impl Search {
    fn folder(&mut self, folder: &Path, depth: usize) -> Found<()> {
        if is_file(&folder.join(CATALOG))? {
            self.folders.push(folder.to_owned());
        }
        if !self.is_skipped {
            check_file_names(folder, &[CATALOG])?;
        }
        let inner = folders_in(folder)?;
        if depth == DEEPEST {
            return match inner.first().filter(|_| !self.is_skipped) {
                Some(inner) => Err(too_deep(&inner.path)),
                None => Ok(()),
            };
        }
        for Inner { path, name, is_link } in inner {
            if !is_link && !SKIPPED.contains(&name.as_str()) {
                self.folder(&path, depth + 1)?;
                continue;
            }
            if is_link {
                let target = path.canonicalize().map_err(|error| unreadable(&path, &error))?;
                if !self.targets.insert(target) {
                    continue;
                }
            }
            let mut inner = Self { targets: std::mem::take(&mut self.targets), is_skipped: true, ..Self::default() };
            inner.folder(&path, depth + 1)?;
            self.targets = inner.targets;
            let entities = inner.folders.into_iter().map(|entity| Skipped { folder: path.clone(), entity, is_link });
            self.skipped.extend(entities.chain(inner.skipped));
        }
        Ok(())
    }

    /// Fails for an entity in a folder that terrace skips, unless it surely is a copy or a template. Returns a warning
    /// for each such folder.
    fn check_skipped(&self) -> Found<Vec<Diagnostic>> {
        let read: BTreeSet<PathBuf> = self.folders.iter().filter_map(|folder| folder.canonicalize().ok()).collect();
        let mut warned = BTreeMap::new();
        for skipped in &self.skipped {
            // A link to an entity of the same repository hides nothing.
            if skipped.entity.canonicalize().is_ok_and(|entity| read.contains(&entity)) {
                continue;
            }
            let entity = skipped.entity.join(CATALOG);
            if let Some(reason) = skipped.reason() {
                let message =
                    format!("terrace does not read `{}`: `{}` {reason}", entity.display(), skipped.folder.display());
                let hint = format!("to plan it, name the file itself: `{}`", entity.display());
                let warning = Diagnostic::warning("skipped_entity", message).hint(hint);
                warned.entry(&skipped.folder).or_insert(warning);
                continue;
            }
            let what =
                if skipped.is_link { "a link, which terrace does not follow" } else { "a folder that terrace skips" };
            let message = format!("`{}` is in `{}`, {what}", entity.display(), skipped.folder.display());
            let hint = "move the entity to another folder, or plan the `catalog-info.yaml` of each entity by its path";
            return Err(Box::new(Diagnostic::error("skipped_entity", message).hint(hint)));
        }
        Ok(warned.into_values().collect())
    }
}

impl Skipped {
    /// The reason why the entity surely belongs to no data product.
    fn reason(&self) -> Option<&'static str> {
        let (name, parent) = (self.folder.file_name()?.to_str()?, self.folder.parent()?);
        let is_template = |(folder, file): &(&str, &str)| *folder == name && parent.join(file).is_file();
        if !self.is_link && TEMPLATES.iter().any(is_template) {
            return Some("is the template of an entity");
        }
        let release = self.entity.strip_prefix(&self.folder).ok()?.iter().next()?.to_str()?;
        let is_version = release.trim_start_matches('v').starts_with(|char: char| char.is_ascii_digit());
        let is_copy = !self.is_link && name == RELEASES && is_version && parent.join(CATALOG).is_file();
        is_copy.then_some("has copies of releases")
    }
}

/// The error of a folder below [`DEEPEST`].
fn too_deep(path: &Path) -> Box<Diagnostic> {
    let message = format!("`{}` is more than {DEEPEST} folders deep: terrace does not search it", path.display());
    Box::new(Diagnostic::error("skipped_entity", message).hint("plan the folders of the entities instead"))
}

/// True for an existing file that people edit, by its name: no output may replace it.
pub(crate) fn is_edited(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    [CATALOG, PARAMETERS, CONFIGURATION, "terrace.yaml"].contains(&name) && path.exists()
}

/// Refuses a file with another spelling of a known name, such as `catalog-info.yml`: terrace would
/// plan without it. A name with a typing error counts too, if the file with the right name is missing.
fn check_file_names(folder: &Path, wanted: &[&str]) -> Found<()> {
    if is_absent(folder)? {
        return Ok(());
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| unreadable(folder, &error))? {
        names.push(entry.map_err(|error| unreadable(folder, &error))?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    for wanted in wanted {
        let is_missing = names.iter().all(|name| name != wanted);
        let is_meant = |name: &&String| {
            let is_near = is_missing && closest(name, [*wanted]).is_some();
            name != wanted && (is_near || spelling(name) == spelling(wanted))
        };
        if let Some(name) = names.iter().find(is_meant) {
            let path = folder.join(name);
            let message = format!("terrace does not read `{}`: the name must be `{wanted}`", path.display());
            return Err(Box::new(Diagnostic::error("wrong_file_name", message).hint("rename the file, or remove it")));
        }
    }
    Ok(())
}

/// The same text for all spellings of a file name.
fn spelling(name: &str) -> String {
    let name = name.to_lowercase().replace(['_', ' '], "-");
    name.strip_suffix(".yml").map_or(name.clone(), |stem| format!("{stem}.yaml"))
}

/// Refuses a folder that is meant as the folder of environments, but has another name.
fn check_environments(folder: &Path) -> Found<()> {
    if !is_absent(&folder.join(ENVIRONMENTS))? {
        return Ok(());
    }
    for Inner { path, name, .. } in folders_in(folder)? {
        let is_meant = closest(&name, [ENVIRONMENTS]).is_some();
        if is_meant && folders_in(&path)?.iter().any(|inner| inner.path.join(CONFIGURATION).is_file()) {
            let message = format!("terrace does not read `{}`: the name must be `{ENVIRONMENTS}`", path.display());
            return Err(Box::new(Diagnostic::error("wrong_file_name", message).hint("rename the folder")));
        }
    }
    Ok(())
}

/// A folder in a folder.
struct Inner {
    path: PathBuf,
    name: String,
    is_link: bool,
}

/// The folders in a folder and the links to folders, without hidden ones, in the order of their names.
fn folders_in(folder: &Path) -> Found<Vec<Inner>> {
    let entries = std::fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?;
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| unreadable(folder, &error))?;
        let path = entry.path();
        let ty = entry.file_type().map_err(|error| unreadable(&path, &error))?;
        let is_folder = ty.is_dir() || ty.is_symlink() && is_linked_folder(&path)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_folder && !name.starts_with('.') {
            found.push(Inner { path, name, is_link: ty.is_symlink() });
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

/// True for a link to a folder. A link that leads nowhere has no entity.
fn is_linked_folder(path: &Path) -> Found<bool> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(metadata.is_dir()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(unreadable(path, &error)),
    }
}

/// The names of the environments with a folder. None without the folder of environments.
fn names_of(environments: &Path) -> Found<Vec<String>> {
    if is_absent(environments)? {
        return Ok(Vec::new());
    }
    Ok(folders_in(environments)?.into_iter().map(|inner| inner.name).collect())
}

/// True for a file, false if there is nothing at its path.
fn is_file(path: &Path) -> Found<bool> {
    if is_absent(path)? {
        return Ok(false);
    }
    let metadata = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if metadata.is_file() {
        return Ok(true);
    }
    Err(Box::new(
        Diagnostic::error("unreadable", format!("`{}` is not a file", path.display()))
            .hint("replace it by a file, or remove it"),
    ))
}

/// True if there is nothing at a path, not even a link.
fn is_absent(path: &Path) -> Found<bool> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => Ok(false),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(unreadable(path, &error)),
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Box<Diagnostic> {
    let visible = path.ancestors().find(|part| part.symlink_metadata().is_ok());
    // Nothing below a closed folder is visible.
    let path = visible.filter(|_| error.kind() == ErrorKind::PermissionDenied).unwrap_or(path);
    let message = format!("`{}` cannot be read: {}", path.display(), describe_io_error(error));
    let remedy =
        permission_hint(path, false).unwrap_or_else(|| "make it readable for the user of this process".to_owned());
    let hint =
        format!("{remedy}: terrace does not plan without it, because a plan without an entity removes its objects");
    Box::new(Diagnostic::error("unreadable", message).hint(hint))
}
