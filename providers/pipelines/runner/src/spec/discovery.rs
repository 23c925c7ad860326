//! Discovery of specs: the same walk as dpp's `find_specs`, but in an order that does not depend on the file system.
//!
//! Names that begin with a dot and [`Ignored`] paths are skipped; links are not followed.

use super::ignored::Ignored;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Name of a file of pipelines.
pub(super) const PIPELINES: &str = "pipeline-spec.yaml";
/// Suffix of a file from which a plugin generates pipelines.
pub(super) const SOURCE_SUFFIX: &str = ".source-spec.yaml";
/// Maximum depth of folders, for a folder that is mounted inside itself.
const DEPTH: usize = 64;

/// Returns true for names of files that dpp reads as specs.
#[must_use]
pub fn is_spec_name(name: &str) -> bool {
    name == PIPELINES || name.ends_with(SOURCE_SUFFIX)
}

/// A file that was found.
pub(super) struct FoundFile {
    /// Relative to the searched folder.
    pub(super) path: PathBuf,
    /// Its text, or the error.
    pub(super) text: Result<String, ReadError>,
}

/// Error of an unreadable file.
pub(super) struct ReadError {
    pub(super) message: String,
    pub(super) hint: Option<String>,
    /// Readable part of its text, and the position of the error.
    pub(super) readable_part: String,
    pub(super) at: usize,
}

/// Finds the specs in a folder and below; a folder's own specs come first.
pub(super) fn find(root: &Path, ignored: &Ignored) -> io::Result<Files> {
    let mut found = Files::default();
    walk(root, Path::new(""), ignored, &mut found, 0)?;
    Ok(found)
}

/// The files of a folder.
#[derive(Default)]
pub(super) struct Files {
    pub(super) specs: Vec<FoundFile>,
    /// Files that would be specs with the suffix `.yaml`.
    pub(super) misnamed: Vec<PathBuf>,
}

/// Returns true for the name of a spec with the suffix `.yml`.
fn is_misnamed(name: &str) -> bool {
    name.strip_suffix(".yml").is_some_and(|stem| super::is_spec_name(&format!("{stem}.yaml")))
}

fn walk(root: &Path, folder: &Path, ignored: &Ignored, found: &mut Files, depth: usize) -> io::Result<()> {
    let entries = match fs::read_dir(root.join(folder)) {
        Ok(entries) => entries,
        // Unreadable subfolders are skipped, but the searched folder itself must be readable.
        Err(error) => return if depth == 0 { Err(error) } else { Ok(()) },
    };
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = folder.join(entry.file_name());
        if name.starts_with('.') || kind.is_symlink() || ignored.has(&path) {
            continue;
        }
        if kind.is_dir() && depth < DEPTH {
            folders.push(path);
        } else if kind.is_file() && super::is_spec_name(&name) {
            files.push(path);
        } else if kind.is_file() && is_misnamed(&name) {
            found.misnamed.push(path);
        }
    }
    files.sort();
    folders.sort();
    for path in files {
        let text = text_of(&root.join(&path));
        found.specs.push(FoundFile { path, text });
    }
    folders.iter().try_for_each(|path| walk(root, path, ignored, found, depth + 1))
}

fn text_of(path: &Path) -> Result<String, ReadError> {
    let limit = super::yaml::LONGEST as u64 + 1;
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    if let Err(error) = read {
        let message = format!("the file cannot be read: {error}");
        return Err(ReadError { message, hint: None, readable_part: String::new(), at: 0 });
    }
    String::from_utf8(bytes).map_err(|error| ReadError {
        message: "the file is not UTF-8".to_owned(),
        hint: Some("save the file as UTF-8, as by `iconv -f ISO-8859-1 -t UTF-8`".to_owned()),
        at: error.utf8_error().valid_up_to(),
        readable_part: String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_and_ignored_folders_and_links_are_skipped() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["b", "a/c", ".venv/x", "old/deep", "linked"] {
            fs::create_dir_all(folder.path().join(path)).unwrap();
            fs::write(folder.path().join(path).join(PIPELINES), "{}").unwrap();
        }
        fs::write(folder.path().join("b/knesset.source-spec.yaml"), "{}").unwrap();
        fs::write(folder.path().join(super::super::ignored::IGNORE), "old\n").unwrap();
        let (_, ignored, _) = super::super::ignored::read(folder.path()).unwrap();
        fs::remove_dir_all(folder.path().join("linked")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("b"), folder.path().join("linked")).unwrap();
        let found: Vec<_> =
            find(folder.path(), &ignored).unwrap().specs.into_iter().map(|it| it.path.display().to_string()).collect();
        assert_eq!(found, ["a/c/pipeline-spec.yaml", "b/knesset.source-spec.yaml", "b/pipeline-spec.yaml"]);
    }

    #[test]
    fn spec_that_ends_in_yml_is_misnamed() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["pipeline-spec.yml", "x.source-spec.yml", "other.yml", "pipeline-spec.yaml"] {
            fs::write(folder.path().join(name), "{}").unwrap();
        }
        let Files { specs, mut misnamed } = find(folder.path(), &Ignored::default()).unwrap();
        misnamed.sort();
        assert_eq!((specs.len(), misnamed), (1, ["pipeline-spec.yml", "x.source-spec.yml"].map(PathBuf::from).into()));
    }
}
