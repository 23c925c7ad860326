//! The files of code of a pipeline: processors and flows of the project, and the modules of the project that they import.

use super::hash_of_file;
use crate::spec::model::{Pipeline, StepKind};
use crate::spec::processor::{Located, locate};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// So many files are followed; a pipeline that imports more has more of its own than any that was seen.
const MOST: usize = 2_000;

/// The hash of each file, by its path in the folder that was searched.
pub(super) fn files(root: &Path, pipeline: &Pipeline) -> io::Result<BTreeMap<String, String>> {
    let folder = root.join(&pipeline.folder);
    let mut waiting: Vec<(PathBuf, String)> = Vec::new();
    for step in &pipeline.steps {
        match (&step.kind, locate(root, pipeline, step)) {
            // The text of the spec is hashed with the step; what it imports is a file.
            (StepKind::Code(code), _) => waiting.extend(imported(code, &[&folder])),
            (_, Some(Located::File(file) | Located::Flow(Some(file)))) => waiting.push(with_text(file)),
            _ => {}
        }
    }
    let mut files = BTreeMap::new();
    while let Some((file, text)) = waiting.pop() {
        let name = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        if files.contains_key(&name) || files.len() >= MOST {
            continue;
        }
        files.insert(name, hash_of_file(&file)?.unwrap_or_default());
        // Python looks beside the program, and where PYTHONPATH says: in the spec's folder, and for plugins in the root.
        let beside = file.parent().unwrap_or(&folder).to_path_buf();
        waiting.extend(imported(&text, &[&beside, &folder, root]));
    }
    Ok(files)
}

fn with_text(file: PathBuf) -> (PathBuf, String) {
    // What is no text imports nothing.
    let text = fs::read_to_string(&file).unwrap_or_default();
    (file, text)
}

/// The files in these folders that a text imports, with their text.
fn imported(text: &str, folders: &[&Path]) -> Vec<(PathBuf, String)> {
    let modules = text.lines().flat_map(modules);
    let found = modules.flat_map(|module| {
        let path: PathBuf = module.split('.').filter(|part| !part.is_empty()).collect();
        folders.iter().find_map(|folder| {
            let places = [folder.join(&path).with_extension("py"), folder.join(&path).join("__init__.py")];
            places.into_iter().find(|place| place.is_file())
        })
    });
    found.map(with_text).collect()
}

/// The modules that a line of Python names: `import a, b.c as d`, `from a.b import c` (which may be a module, too).
fn modules(line: &str) -> Vec<String> {
    let line = line.split('#').next().unwrap_or_default().trim();
    if let Some(rest) = line.strip_prefix("from ") {
        let Some((module, names)) = rest.split_once(" import ") else { return Vec::new() };
        let module = module.trim();
        let names = names.trim_matches(['(', ')', ' ']).split(',').filter_map(|name| name.split_whitespace().next());
        return std::iter::once(module.to_owned()).chain(names.map(|name| format!("{module}.{name}"))).collect();
    }
    let Some(rest) = line.strip_prefix("import ") else { return Vec::new() };
    rest.split(',').filter_map(|name| name.split_whitespace().next()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_name_the_modules_that_they_import() {
        assert_eq!(modules("import os, common.clean as clean  # both"), ["os", "common.clean"]);
        assert_eq!(
            modules("  from template_functions import render, other as o"),
            ["template_functions", "template_functions.render", "template_functions.other"]
        );
        assert_eq!(modules("important = 1"), Vec::<String>::new());
    }
}
