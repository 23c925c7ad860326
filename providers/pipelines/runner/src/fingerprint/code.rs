//! Files of a pipeline's code: processors and flows of the project, and their imports from the project.

use super::imports::{self, Import, Imports};
use super::inputs::{FingerprintInputs, Names};
use crate::hash::hash_of_bytes;
use crate::paths::{plain, with_path};
use crate::spec::model::StepKind;
use crate::spec::processor::{Located, locate};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Maximum number of files; known pipelines import far fewer of their own.
const MOST: usize = 2_000;
/// File that makes a folder a package.
const PACKAGE: &str = "__init__.py";

/// The code of a pipeline.
#[derive(Debug, Default)]
pub(super) struct Code {
    /// Hash of each file, by name.
    pub(super) files: BTreeMap<String, String>,
    /// The code contains the word.
    pub(super) has_word: bool,
}

/// A file of code that is not read yet.
struct PendingFile {
    file: PathBuf,
    /// Search path of Python; the first entry is the folder of the program.
    search: Vec<PathBuf>,
}

/// Reads the code of a pipeline. Modules may be next to a program or the spec, in more folders, or in the searched
/// folder. Also reports whether the code, including that in the spec, contains a word.
pub(super) fn of(scope: FingerprintInputs<'_>, word: &str) -> io::Result<Code> {
    let FingerprintInputs { project, root, pipeline, modules, .. } = scope;
    let (folder, names) = (plain(&root.join(&pipeline.folder)), Names(project));
    let search = |program: Option<&Path>| -> Vec<PathBuf> {
        let everywhere = [folder.as_path()].into_iter().chain(modules.iter().map(PathBuf::as_path)).chain([root]);
        program.into_iter().chain(everywhere).map(Path::to_path_buf).collect()
    };
    let mut code = Code::default();
    let mut pending = Vec::new();
    for step in &pipeline.steps {
        match (&step.kind, locate(root, pipeline, step)) {
            // The hash of the step covers its code; only imports are files.
            (StepKind::Code(text), _) => {
                code.has_word |= text.contains(word);
                follow(&imports::of(text), None, &search(None), &mut pending);
            }
            (_, Some(Located::File(file))) => {
                let file = plain(&file);
                pending.push(PendingFile { search: search(file.parent()), file });
            }
            (_, Some(Located::Flow(Some(file)))) => {
                pending.push(PendingFile { search: search(None), file: plain(&file) })
            }
            _ => {}
        }
    }
    // The files of an import depend on the program that imports it.
    let mut seen = BTreeSet::new();
    while let Some(PendingFile { file, search }) = pending.pop() {
        if seen.len() >= MOST || !seen.insert((file.clone(), search.first().cloned())) {
            continue;
        }
        let Some(bytes) = read(&file)? else { continue };
        code.files.insert(names.of(&file), hash_of_bytes(&bytes));
        // Binary files import nothing; in other encodings the keywords of Python are the same.
        let text = String::from_utf8_lossy(&bytes);
        code.has_word |= text.contains(word);
        follow(&imports::of(&text), Some(&file), &search, &mut pending);
    }
    Ok(code)
}

/// Reads a file; returns nothing if it was removed meanwhile.
fn read(file: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(with_path(file, &error)),
    }
}

/// Adds imported files of the project.
fn follow(imports: &Imports, importer: Option<&Path>, search: &[PathBuf], pending: &mut Vec<PendingFile>) {
    let mut files = Vec::new();
    for import in &imports.modules {
        match (import.ups.checked_sub(1), importer.and_then(Path::parent)) {
            (None, _) => resolve(import, search, &mut files),
            // Relative import within its own package.
            (Some(ups), Some(own)) => {
                let package = own.ancestors().nth(ups).unwrap_or(own).to_path_buf();
                files.extend(Some(package.join(PACKAGE)).filter(|file| file.is_file()));
                resolve(import, &[package], &mut files);
            }
            (Some(_), None) => {}
        }
    }
    if imports.is_open {
        // Any file next to it may be imported.
        search.first().into_iter().for_each(|folder| all_below(folder, &mut files));
    }
    let search = || search.to_vec();
    pending.extend(files.into_iter().map(|file| PendingFile { file, search: search() }));
}

/// Resolves an import to files: the packages on its path, the module, and submodules by name.
fn resolve(import: &Import, search: &[PathBuf], files: &mut Vec<PathBuf>) {
    let Some(folders) = import.module.iter().try_fold(search.to_vec(), |folders, part| enter(&folders, part, files))
    else {
        return;
    };
    for name in &import.names {
        enter(&folders, name, files);
    }
    if import.is_all && !import.module.is_empty() {
        // `__all__` may name modules.
        files.extend(
            folders.iter().flat_map(|folder| entries(folder)).map(|(path, _)| path).filter(|path| is_python(path)),
        );
    }
}

/// Finds a module in the first folder that has it, as Python does: a package, or else a file, or else folders without
/// an `__init__.py`. Returns the folders of its submodules; nothing if it has none.
fn enter(folders: &[PathBuf], name: &str, files: &mut Vec<PathBuf>) -> Option<Vec<PathBuf>> {
    let mut without = Vec::new();
    for folder in folders {
        let within = folder.join(name);
        let package = within.join(PACKAGE);
        if package.is_file() {
            files.push(package);
            return Some(vec![within]);
        }
        let module = folder.join(format!("{name}.py"));
        if module.is_file() {
            files.push(module);
            return None;
        }
        if within.is_dir() {
            without.push(within);
        }
    }
    (!without.is_empty()).then_some(without)
}

/// Adds all Python files in a folder and below, without hidden files, links and Python environments.
fn all_below(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut pending = vec![folder.to_path_buf()];
    while let Some(folder) = pending.pop().filter(|_| files.len() < MOST) {
        for (path, kind) in entries(&folder) {
            let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            match kind.is_dir() {
                _ if is_hidden || kind.is_symlink() => {}
                true if path.join("pyvenv.cfg").exists() => {}
                true => pending.push(path),
                false => files.extend(Some(path).filter(|path| is_python(path))),
            }
        }
    }
}

/// Entries of a folder, in a fixed order.
fn entries(folder: &Path) -> Vec<(PathBuf, fs::FileType)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut entries: Vec<_> = entries.filter_map(|entry| Some((entry.path(), entry.file_type().ok()?))).collect();
    entries.sort_by(|(first, _), (second, _)| first.cmp(second));
    entries
}

fn is_python(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "py") && path.is_file()
}
