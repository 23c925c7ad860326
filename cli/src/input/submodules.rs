//! Submodules of Git whose folder is empty, because `git submodule update` did not run: the default of jobs.
//!
//! terrace does not run `git` to find them: it reads `.gitmodules`.

use std::io::{Error, ErrorKind};
use std::path::{Component, Path, PathBuf};
use terrace_engine::diagnostic::Diagnostic;
use terrace_engine::text::shell_word;

/// The file that lists the submodules of a repository.
const MODULES: &str = ".gitmodules";

/// A submodule without files.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    /// The root of its repository, without links.
    root: PathBuf,
    /// The path below the root.
    pub(crate) path: String,
    /// The line of `.gitmodules`, from 1.
    line: usize,
}

impl Missing {
    /// The error of a plan that may need its files.
    pub(crate) fn diagnostic(&self) -> Diagnostic {
        let Self { root, path, line } = self;
        let message =
            format!("the submodule `{path}` is not initialised ({MODULES}, line {line}): its folder is empty");
        let is_here = Path::new(".").canonicalize().is_ok_and(|here| here == *root);
        let folder = if is_here { String::new() } else { format!(" -C {}", shell_word(&root.to_string_lossy())) };
        let hint = format!(
            "run `git{folder} submodule update --init {}`: a plan without its entities removes their objects; if it has none, name the \
             folders of the entities",
            shell_word(path)
        );
        Diagnostic::error("missing_submodule", message).hint(hint)
    }
}

/// The submodules without files in a folder, and the one around it. `is_skipped` is true for the names of folders that
/// terrace does not read.
///
/// # Errors
/// With the path of a file or a folder that cannot be read.
pub(super) fn missing(folder: &Path, is_skipped: &dyn Fn(&str) -> bool) -> Result<Vec<Missing>, (PathBuf, Error)> {
    let mut found = Vec::new();
    let folder = folder.canonicalize().map_err(|error| (folder.to_owned(), error))?;
    if let Some(root) = folder.ancestors().find(|root| root.join(".git").exists()) {
        add_missing(root, &folder, is_skipped, &mut found)?;
    }
    Ok(found)
}

fn add_missing(
    root: &Path,
    folder: &Path,
    is_skipped: &dyn Fn(&str) -> bool,
    found: &mut Vec<Missing>,
) -> Result<(), (PathBuf, Error)> {
    let file = root.join(MODULES);
    let text = match std::fs::read(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err((file, error)),
    };
    for (line, path) in paths(&String::from_utf8_lossy(&text)) {
        let place = root.join(&path);
        let is_read =
            folder.starts_with(&place) || place.strip_prefix(folder).is_ok_and(|path| is_read(path, is_skipped));
        // A folder that does not exist at all was removed.
        if !is_read || !place.is_dir() {
            continue;
        }
        let mut entries = std::fs::read_dir(&place).map_err(|error| (place.clone(), error))?;
        match entries.next().is_none() {
            true => found.push(Missing { root: root.to_owned(), path, line }),
            false => add_missing(&place, folder, is_skipped, found)?,
        }
    }
    Ok(())
}

/// True if no part of a path is hidden or skipped.
fn is_read(path: &Path, is_skipped: &dyn Fn(&str) -> bool) -> bool {
    path.components().all(|part| match part {
        Component::Normal(name) => {
            let name = name.to_string_lossy();
            !name.starts_with('.') && !is_skipped(&name)
        }
        _ => false,
    })
}

/// The paths in the text of `.gitmodules`, with their lines. Paths that lead out of the repository are left out.
/// <https://git-scm.com/docs/gitmodules>
fn paths(text: &str) -> Vec<(usize, String)> {
    let path = |(number, line): (usize, &str)| {
        let value = line.trim().strip_prefix("path")?.trim_start().strip_prefix('=')?.trim();
        // Git quotes a path with special characters.
        let value = match value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(quoted) => quoted.replace("\\\"", "\"").replace("\\\\", "\\"),
            None => value.to_owned(),
        };
        let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_));
        (!value.is_empty() && Path::new(&value).components().all(is_plain)).then_some((number + 1, value))
    };
    text.lines().enumerate().filter_map(path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_submodules_have_lines() {
        let text = "[submodule \"a\"]\r\n\tpath = vendor/lib\r\n\turl = x\r\n[submodule \"b\"]\n\tpathological = x\n\tpath=\"a \\\"b\\\"\"\n\
                    \tpath = ../out\n\tpath = /etc\n\tpath =\n";
        assert_eq!(paths(text), [(2, "vendor/lib".to_owned()), (6, "a \"b\"".to_owned())]);
    }

    #[test]
    fn only_empty_folders_that_a_plan_reads_are_missing() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().canonicalize().unwrap();
        let names = ["empty", "full", "gone", ".hidden", "node_modules/a", "x/environments/dev"];
        let text: String = names.iter().map(|name| format!("[submodule \"{name}\"]\n\tpath = {name}\n")).collect();
        std::fs::write(root.join(MODULES), text).unwrap();
        for name in names.iter().filter(|name| **name != "gone") {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        std::fs::write(root.join("full/.git"), "").unwrap();
        std::fs::write(root.join("full").join(MODULES), "path = inner").unwrap();
        std::fs::create_dir(root.join("full/inner")).unwrap();
        let found = |folder: &str| -> Vec<String> {
            missing(&root.join(folder), &|name| name == "node_modules")
                .unwrap()
                .into_iter()
                .map(|missing| missing.path)
                .collect()
        };
        assert_eq!(found(""), [""; 0], "no repository of Git");
        std::fs::create_dir(root.join(".git")).unwrap();
        assert_eq!(found(""), ["empty", "inner", "x/environments/dev"]);
        assert_eq!(found("empty"), ["empty"]);
        assert_eq!(found("full"), ["inner"]);
        assert_eq!(found("node_modules"), ["node_modules/a"], "a named folder is read");
    }
}
