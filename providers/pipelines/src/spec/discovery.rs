//! Which files are specs: as dpp's `find_specs` walks, but in an order that does not depend on the file system.
//!
//! What begins with a dot is left out, and what a line of `.dpp_spec_ignore` in the folder that is searched names; links
//! are not followed.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The name of a file of pipelines.
pub(super) const PIPELINES: &str = "pipeline-spec.yaml";
/// How the name of a file ends that a plugin makes pipelines of.
pub(super) const SOURCE_SUFFIX: &str = ".source-spec.yaml";
/// The file that says what is left out.
const IGNORE: &str = ".dpp_spec_ignore";
/// How deep folders are searched: a folder that is mounted in itself ends somewhere.
const DEPTH: usize = 64;

/// A file that was found.
pub(super) struct Found {
    /// Relative to the folder that was searched.
    pub(super) path: PathBuf,
    /// Its text, or why there is none.
    pub(super) text: Result<String, String>,
}

/// Finds the specs at and below a folder, those of a folder before those of its subfolders.
pub(super) fn find(root: &Path) -> io::Result<Vec<Found>> {
    let ignored = match fs::read_to_string(root.join(IGNORE)) {
        Ok(text) => text.lines().map(str::trim).filter(|it| !it.is_empty()).map(Pattern::new).collect(),
        Err(_) => Vec::new(),
    };
    let mut found = Vec::new();
    walk(root, Path::new(""), &ignored, &mut found, 0)?;
    Ok(found)
}

fn walk(root: &Path, folder: &Path, ignored: &[Pattern], found: &mut Vec<Found>, depth: usize) -> io::Result<()> {
    let entries = match fs::read_dir(root.join(folder)) {
        Ok(entries) => entries,
        // A folder within that nobody may look into is none of ours; the one that was named is.
        Err(error) => return if depth == 0 { Err(error) } else { Ok(()) },
    };
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = folder.join(entry.file_name());
        if name.starts_with('.') || kind.is_symlink() || ignored.iter().any(|pattern| pattern.matches(&path)) {
            continue;
        }
        if kind.is_dir() && depth < DEPTH {
            folders.push(path);
        } else if kind.is_file() && super::is_spec_name(&name) {
            files.push(path);
        }
    }
    files.sort();
    folders.sort();
    for path in files {
        let text = text_of(&root.join(&path));
        found.push(Found { path, text });
    }
    folders.iter().try_for_each(|path| walk(root, path, ignored, found, depth + 1))
}

fn text_of(path: &Path) -> Result<String, String> {
    let limit = super::yaml::LONGEST as u64 + 1;
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    read.map_err(|error| format!("the file cannot be read: {error}"))?;
    String::from_utf8(bytes).map_err(|_| "the file is not UTF-8".to_owned())
}

/// One line of the list of what is left out.
#[derive(Debug)]
struct Pattern {
    text: String,
    /// It says the whole path, and not only a name.
    is_path: bool,
}

impl Pattern {
    fn new(line: &str) -> Self {
        let text = line.trim_start_matches("./").trim_end_matches('/');
        let is_path = text.contains('/');
        Self { text: text.trim_start_matches('/').to_owned(), is_path }
    }

    fn matches(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let whole = path.to_string_lossy();
        let text = if self.is_path { &whole } else { &name };
        glob(self.text.as_bytes(), text.as_bytes())
    }
}

/// `*` and `?` within a name, `**` across names, `[a-z]` for one of several.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], _) => text.is_empty(),
        ([b'*', b'*', rest @ ..], _) => {
            let rest = rest.strip_prefix(b"/").unwrap_or(rest);
            (0..=text.len()).any(|at| text.get(at..).is_some_and(|text| glob(rest, text)))
        }
        ([b'*', rest @ ..], _) => {
            let name = text.iter().position(|byte| *byte == b'/').unwrap_or(text.len());
            (0..=name).any(|at| text.get(at..).is_some_and(|text| glob(rest, text)))
        }
        ([b'[', set @ ..], [byte, text @ ..]) => {
            let Some(end) = set.iter().position(|byte| *byte == b']').filter(|end| *end > 0) else { return false };
            let (members, rest) = set.split_at(end);
            let is_inverse = matches!(members.first(), Some(b'!' | b'^'));
            let members = if is_inverse { members.get(1..).unwrap_or_default() } else { members };
            is_in(members, *byte) != is_inverse && glob(rest.get(1..).unwrap_or_default(), text)
        }
        ([b'?', rest @ ..], [byte, text @ ..]) => *byte != b'/' && glob(rest, text),
        ([wanted, rest @ ..], [byte, text @ ..]) => wanted == byte && glob(rest, text),
        _ => false,
    }
}

fn is_in(members: &[u8], byte: u8) -> bool {
    match members {
        [from, b'-', to, rest @ ..] => (*from..=*to).contains(&byte) || is_in(rest, byte),
        [member, rest @ ..] => *member == byte || is_in(rest, byte),
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_files_and_paths() {
        let matches = |pattern: &str, path: &str| Pattern::new(pattern).matches(Path::new(path));
        assert!(matches("old", "a/old") && !matches("old", "a/older"));
        assert!(matches("a/*", "a/old") && !matches("a/*", "a/b/old"));
        assert!(matches("a/**", "a/b/old") && matches("**/b", "a/b") && matches("**/b", "b"));
        assert!(matches("v[0-9]", "v7") && !matches("v[!0-9]", "v7") && matches("/tests/", "tests"));
    }

    #[test]
    fn hidden_folders_ignored_ones_and_links_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["b", "a/c", ".venv/x", "old/deep", "linked"] {
            fs::create_dir_all(folder.path().join(path)).unwrap();
            fs::write(folder.path().join(path).join(PIPELINES), "{}").unwrap();
        }
        fs::write(folder.path().join("b/knesset.source-spec.yaml"), "{}").unwrap();
        fs::write(folder.path().join(IGNORE), "old\n").unwrap();
        fs::remove_dir_all(folder.path().join("linked")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("b"), folder.path().join("linked")).unwrap();
        let found: Vec<_> = find(folder.path()).unwrap().into_iter().map(|it| it.path.display().to_string()).collect();
        assert_eq!(found, ["a/c/pipeline-spec.yaml", "b/knesset.source-spec.yaml", "b/pipeline-spec.yaml"]);
    }
}
