//! Reader of a spec's `requirements.txt` with all included files: `-r` adds packages from another file, `-c` limits
//! their versions. Source: <https://pip.pypa.io/en/stable/reference/requirements-file-format/>.

use super::processor::REQUIREMENTS;
use crate::paths::plain;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Maximum number of included files.
const MOST: usize = 100;

/// Requirements of a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Requirements {
    /// Lines of all requirements files, as one text.
    pub(crate) packages: String,
    /// Texts of the files that limit versions.
    pub(crate) constraints: Vec<String>,
}

/// An include of another file.
#[derive(Debug, PartialEq, Eq)]
enum Includes<'a> {
    Packages(&'a str),
    Constraints(&'a str),
}

/// Reads the requirements of a folder of specs; empty without a file.
pub(crate) fn read(folder: &Path) -> Requirements {
    let mut found = Requirements::default();
    let file = plain(&folder.join(REQUIREMENTS));
    found.packages = match text_of(&file) {
        Ok(text) => included(&text, &file, &mut BTreeSet::from([file.clone()]), &mut found.constraints, false),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => String::new(),
        // Same treatment as for an unreadable include.
        Err(_) => format!("-r {}", file.display()),
    };
    found
}

/// Reads a file; names of packages are the same in other encodings.
fn text_of(file: &Path) -> io::Result<String> {
    let is_other = file.exists() && !file.is_file();
    // Opening a pipe would block.
    let bytes = if is_other { Err(io::Error::other("it is not a file")) } else { fs::read(file) };
    bytes.map(|bytes| String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes)).into_owned())
}

/// Replaces includes by their files. An unreadable include stays, with its full path: pip reports the error.
fn included(
    text: &str,
    file: &Path,
    seen: &mut BTreeSet<PathBuf>,
    constraints: &mut Vec<String>,
    is_constraint: bool,
) -> String {
    let mut lines = Vec::new();
    for line in logical_lines(text) {
        let Some(includes) = includes(&line) else {
            lines.push(line);
            continue;
        };
        let (path, option, limits) = match includes {
            Includes::Packages(path) => (path, "-r", is_constraint),
            Includes::Constraints(path) => (path, "-c", true),
        };
        if path.contains("://") {
            lines.push(line);
            continue;
        }
        let other = plain(&file.parent().unwrap_or(Path::new("")).join(path));
        if seen.len() >= MOST || seen.contains(&other) {
            continue;
        }
        let Ok(text) = text_of(&other) else {
            lines.push(format!("{option} {}", other.display()));
            continue;
        };
        seen.insert(other.clone());
        let text = included(&text, &other, seen, constraints, limits);
        if limits && !is_constraint {
            constraints.push(text);
        } else {
            lines.push(text);
        }
    }
    lines.join("\n")
}

/// Joins lines that end with a backslash; comments stay.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut continues = false;
    for line in text.lines() {
        let is_comment = line.trim_start().starts_with('#');
        let (part, follows) = match line.strip_suffix('\\').filter(|_| !is_comment) {
            Some(part) => (part, true),
            None => (line, false),
        };
        match lines.last_mut().filter(|_| continues) {
            Some(last) => last.push_str(part),
            None => lines.push(part.to_owned()),
        }
        continues = follows;
    }
    lines
}

fn includes(line: &str) -> Option<Includes<'_>> {
    let line = line.trim();
    let line = line.find(" #").and_then(|at| line.get(..at)).unwrap_or(line).trim_end();
    let after = |long: &str, short: &str| {
        let rest = match line.strip_prefix(long) {
            Some(rest) => rest.strip_prefix(['=', ' ', '\t'])?,
            None => line.strip_prefix(short)?,
        };
        let path = rest.trim_start_matches(['=', ' ', '\t']).trim_matches(['"', '\'']);
        (!path.is_empty()).then_some(path)
    };
    let packages = after("--requirement", "-r").map(Includes::Packages);
    packages.or_else(|| after("--constraint", "-c").map(Includes::Constraints))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_of_includes_are_recognised() {
        for line in
            ["-r a b.txt", "-ra b.txt", "--requirement a b.txt", "--requirement=a b.txt # why", "  -r 'a b.txt'"]
        {
            assert_eq!(includes(line), Some(Includes::Packages("a b.txt")), "{line}");
        }
        for line in ["-c a.txt", "--constraint=a.txt"] {
            assert_eq!(includes(line), Some(Includes::Constraints("a.txt")), "{line}");
        }
        for line in ["requests", "# -r a.txt", "--require-hashes", "--requirements a", "-e .", "-r", ""] {
            assert_eq!(includes(line), None, "{line}");
        }
    }

    #[test]
    fn include_is_replaced_by_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert_eq!(read(folder.path()), Requirements::default());
        write(
            "requirements.txt",
            "a==1 \\\n  --hash=x\n-r more/b.txt\n-c limits.txt\n-r https://host/c.txt\n-r none.txt\n",
        );
        write("more/b.txt", "b\n-r ../requirements.txt\n-c ../limits.txt\n-r c.txt\n");
        write("more/c.txt", "c");
        write("limits.txt", "d<2\n-r more/e.txt\n");
        write("more/e.txt", "e<3");
        let none = folder.path().join("none.txt");
        let packages = format!("a==1   --hash=x\nb\nc\n-r https://host/c.txt\n-r {}", none.display());
        assert_eq!(read(folder.path()), Requirements { packages, constraints: vec!["d<2\ne<3".to_owned()] });
    }
}
