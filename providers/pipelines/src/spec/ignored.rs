//! What is left out of a search: the lines of `.dpp_spec_ignore` in the folder that is searched, as patterns of names and
//! paths. `*` and `?` stand within a name, `**` across names, `[a-z]` for one of several; braces are themselves, as for
//! dpp.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use std::fs;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

/// The file that says what is left out.
pub(super) const IGNORE: &str = ".dpp_spec_ignore";
/// The most bytes of it that are read.
const LARGEST: u64 = 1 << 20;
/// The most bytes of a line: no path is longer.
const LONGEST: usize = 4096;

/// What is left out.
#[derive(Debug, Default)]
pub(super) struct Ignored {
    /// Patterns without a slash: they are about the name.
    names: GlobSet,
    /// Patterns of the whole path.
    paths: GlobSet,
}

/// A line that says nothing, or a file that cannot be read.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: Range<usize>,
    pub(super) message: String,
}

/// The list of a folder: its text, what it says, and what is wrong with it. Nothing where there is no list.
pub(super) fn read(root: &Path) -> Option<(String, Ignored, Vec<Fault>)> {
    let unreadable = |message: String| Some((String::new(), Ignored::default(), vec![Fault { at: 0..0, message }]));
    match text_of(&root.join(IGNORE)) {
        Ok(text) => {
            let (ignored, faults) = parse(&text);
            Some((text, ignored, faults))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => unreadable(format!("the list of what is left out cannot be read: {error}")),
    }
}

fn text_of(path: &Path) -> io::Result<String> {
    // Whoever opens a pipe waits for the other end.
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
            Err(why) => faults.push(Fault { at, message: format!("the line is no pattern: {why}") }),
        }
    }
    let mut built = |builder: GlobSetBuilder| {
        builder.build().unwrap_or_else(|error| {
            faults.push(Fault { at: 0..0, message: format!("the patterns together are too much: {error}") });
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
    /// True when this path, relative to the folder that is searched, is left out.
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
    fn lines_that_are_long_deep_or_hard_neither_hang_nor_overflow() {
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
