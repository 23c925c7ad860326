//! Ignore list of the discovery: the lines of `.dpp_spec_ignore` in the searched folder, as patterns of names and
//! paths. `*` and `?` match within a name, `**` across names, `[a-z]` one of several characters. Braces are literal, as
//! in dpp.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use std::fs;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

/// Name of the ignore list.
pub(super) const IGNORE: &str = ".dpp_spec_ignore";
/// Maximum size of the list in bytes.
const LARGEST: u64 = 1 << 20;
/// Maximum length of a line in bytes, which is that of a path.
const LONGEST: usize = 4096;

/// Patterns of ignored paths.
#[derive(Debug, Default)]
pub(super) struct Ignored {
    /// Patterns without a slash, for the name.
    names: GlobSet,
    /// Patterns for the whole path.
    paths: GlobSet,
}

/// An invalid line, or an unreadable file.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: Range<usize>,
    pub(super) message: String,
}

/// Reads the list of a folder: its text, patterns and errors. Nothing if the list does not exist.
pub(super) fn read(root: &Path) -> Option<(String, Ignored, Vec<Fault>)> {
    let unreadable = |message: String| Some((String::new(), Ignored::default(), vec![Fault { at: 0..0, message }]));
    match text_of(&root.join(IGNORE)) {
        Ok(text) => {
            let (ignored, faults) = parse(&text);
            Some((text, ignored, faults))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => unreadable(format!("the ignore list cannot be read: {error}")),
    }
}

fn text_of(path: &Path) -> io::Result<String> {
    // Opening a pipe would block.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut text = String::new();
    fs::File::open(path)?.take(LARGEST + 1).read_to_string(&mut text)?;
    match text.len() as u64 > LARGEST {
        true => Err(io::Error::other(format!("it is longer than {LARGEST} bytes"))),
        false => Ok(text),
    }
}

fn parse(text: &str) -> (Ignored, Vec<Fault>) {
    let (mut names, mut paths, mut faults) = (GlobSetBuilder::new(), GlobSetBuilder::new(), Vec::new());
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let at = start..start + line.trim_end().len();
        start += line.len();
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let pattern = line.trim_start_matches("./").trim_end_matches('/');
        let is_path = pattern.contains('/');
        match glob(pattern.trim_start_matches('/')) {
            Ok(glob) => {
                let patterns = if is_path { &mut paths } else { &mut names };
                patterns.add(glob);
            }
            Err(why) => faults.push(Fault { at, message: format!("the line is not a valid pattern: {why}") }),
        }
    }
    let mut built = |builder: GlobSetBuilder| {
        builder.build().unwrap_or_else(|error| {
            faults.push(Fault { at: 0..0, message: format!("the patterns together are too large: {error}") });
            GlobSet::empty()
        })
    };
    let ignored = Ignored { names: built(names), paths: built(paths) };
    (ignored, faults)
}

fn glob(pattern: &str) -> Result<globset::Glob, String> {
    if pattern.len() > LONGEST {
        return Err(format!("it is longer than {LONGEST} bytes"));
    }
    let pattern = pattern.replace('{', "[{]").replace('}', "[}]");
    let glob = GlobBuilder::new(&pattern).literal_separator(true).backslash_escape(false).build();
    glob.map_err(|error| error.kind().to_string())
}

impl Ignored {
    /// Returns true if a path, relative to the searched folder, is ignored.
    pub(super) fn has(&self, path: &Path) -> bool {
        path.file_name().is_some_and(|name| self.names.is_match(name)) || self.paths.is_match(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_files_and_paths() {
        let matches = |pattern: &str, path: &str| {
            let (ignored, faults) = parse(pattern);
            assert!(faults.is_empty(), "{faults:?}");
            ignored.has(Path::new(path))
        };
        assert!(matches("old", "a/old") && !matches("old", "a/older"));
        assert!(matches("a/*", "a/old") && !matches("a/*", "a/b/old"));
        assert!(matches("a/**", "a/b/old") && matches("**/b", "a/b") && matches("**/b", "b"));
        assert!(matches("v[0-9]", "v7") && !matches("v[!0-9]", "v7") && matches("/tests/", "tests"));
        assert!(matches("{a,b}", "{a,b}") && !matches("{a,b}", "a"));
    }

    #[test]
    fn long_or_costly_lines_neither_hang_nor_overflow() {
        let hard = "*a".repeat(2_000) + "b";
        let (ignored, faults) = parse(&format!("{hard}\nold\n"));
        assert!(ignored.has(Path::new("old")) && !ignored.has(Path::new(&"a".repeat(255))), "{faults:?}");
        for line in [format!("[{}]", "b".repeat(1 << 19)), "{".repeat(1 << 19), "[".to_owned()] {
            let (ignored, faults) = parse(&format!("{line}\nold\n"));
            assert_eq!((faults.len(), faults[0].at.clone()), (1, 0..line.len()));
            assert!(ignored.has(Path::new("old")));
        }
        assert!(parse(&"{".repeat(4_000)).1.len() <= 1);
    }
}
