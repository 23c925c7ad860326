//! Repositories: folders with a `catalog-info.yaml`, from which terrace builds the descriptor.

use super::{EMPTY, Text, text_of};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use terrace_engine::diagnostic::Diagnostic;
use terrace_engine::digest::sha256;
use terrace_engine::repository::EntityFiles;
use terrace_engine::source::{SourceId, Sources};

/// The file of an entity.
const CATALOG: &str = "catalog-info.yaml";
/// The values of a skeleton.
const PARAMETERS: &str = "parameters.yaml";
/// The folder with a folder for each environment.
const ENVIRONMENTS: &str = "environments";
/// The values of an environment.
const CONFIGURATION: &str = "configurations.yaml";
/// Maximum depth of an entity below the folder of its repository.
const DEEPEST: usize = 4;
/// Folders without entities of their own: values, copies of releases, templates of entities, other programs' files.
const SKIPPED: [&str; 6] = [ENVIRONMENTS, "releases", "skeleton", "edit-skeleton", "node_modules", "target"];

/// A repository, or a folder of it.
#[derive(Debug)]
pub(super) struct Repository {
    /// The path as the user names it.
    pub(super) path: PathBuf,
    /// The folders of its entities.
    folders: Vec<PathBuf>,
}

impl Repository {
    /// The repository of a folder that holds an entity, or of its `catalog-info.yaml`.
    pub(super) fn at(path: &Path) -> Option<Self> {
        let is_catalog = path.file_name().is_some_and(|name| name == CATALOG) && path.is_file();
        let folder = match (is_catalog, path.parent()) {
            (true, Some(folder)) if !folder.as_os_str().is_empty() => folder,
            (true, _) => Path::new("."),
            (false, _) if path.join(CATALOG).is_file() => path,
            (false, _) => return None,
        };
        if is_catalog {
            return Some(Self { path: path.to_owned(), folders: vec![folder.to_owned()] });
        }
        Self::below(path)
    }

    /// The repository in a folder, with the entities in folders below it.
    pub(super) fn below(path: &Path) -> Option<Self> {
        let mut folders = Vec::new();
        collect(path, 0, &mut folders);
        (!folders.is_empty()).then(|| Self { path: path.to_owned(), folders })
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
                if !path.is_file() {
                    return Ok(None);
                }
                self.check_within(&path)?;
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
            let Some(catalog) = load(folder.join(CATALOG))? else { continue };
            let environments = folder.join(ENVIRONMENTS);
            loaded.entities.push(EntityFiles {
                catalog,
                parameters: load(folder.join(PARAMETERS))?,
                configuration: load(environments.join(environment).join(CONFIGURATION))?,
                environments: folders_in(&environments),
                is_requested,
            });
        }
        if is_requested {
            loaded.digests.insert(self.path.display().to_string(), sha256(digests.join("\n")));
        }
        Ok(())
    }

    /// Refuses a link out of the repository: its text could show secrets of this machine in a plan.
    fn check_within(&self, path: &Path) -> Result<(), Box<Diagnostic>> {
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
        let mut names: Vec<String> =
            self.folders.iter().flat_map(|folder| folders_in(&folder.join(ENVIRONMENTS))).collect();
        names.sort();
        names.dedup();
        names
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
        let read = repository.read(environment, true, &mut loaded, sources);
        diagnostics.extend(read.err().map(|diagnostic| *diagnostic));
    }
    for path in others {
        let Some(repository) = Repository::at(path).or_else(|| Repository::below(path)) else {
            let message = format!("`{}` is not a repository: it has no catalog-info.yaml", path.display());
            let hint = "check the path of `--repo`, or `repositories:` of terrace.yaml";
            diagnostics.push(Diagnostic::error("missing_file", message).hint(hint));
            continue;
        };
        let read = repository.read(environment, false, &mut loaded, sources);
        diagnostics.extend(read.err().map(|diagnostic| *diagnostic));
    }
    loaded
}

/// Collects the folders with entities, in the order of their names.
fn collect(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    if folder.join(CATALOG).is_file() {
        found.push(folder.to_owned());
    }
    if depth < DEEPEST {
        for name in folders_in(folder).iter().filter(|name| !SKIPPED.contains(&name.as_str())) {
            collect(&folder.join(name), depth + 1, found);
        }
    }
}

/// The names of the folders in a folder, without hidden ones and links.
fn folders_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let is_folder = |entry: &std::fs::DirEntry| entry.file_type().is_ok_and(|ty| ty.is_dir());
    let names = entries.filter(is_folder).filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names
}
