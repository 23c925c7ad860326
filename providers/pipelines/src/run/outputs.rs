//! What a run writes appears when it is whole: data packages are written beside their place, and put there when all steps
//! have ended well, data first and the descriptor, which says what there is, last.

use serde_json::Value;
use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What describes a data package.
const DESCRIPTOR: &str = "datapackage.json";

/// Where a data package that belongs into a folder is written meanwhile: in the same folder, so that renaming is enough.
pub(super) fn beside(place: &Path, run: &str) -> PathBuf {
    match (place.parent(), place.file_name()) {
        (Some(parent), Some(name)) if !name.is_empty() => {
            let mut hidden = OsString::from(".");
            hidden.push(name);
            hidden.push(format!(".terrace-{run}"));
            parent.join(hidden)
        }
        _ => place.join(format!(".terrace-{run}")),
    }
}

/// Puts what was written into its place. What another run had put there of the same data package and this one has no more
/// goes; other files stay. It may be done again after it was cut off.
pub(super) fn publish(partial: &Path, place: &Path) -> io::Result<()> {
    if !partial.exists() {
        return Ok(());
    }
    if !place.exists() {
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent)?;
        }
        return fs::rename(partial, place);
    }
    let (before, now) = (resources(place), resources(partial));
    let mut files = Vec::new();
    collect(partial, Path::new(""), &mut files)?;
    files.sort_by_key(|file| file.as_os_str() == DESCRIPTOR);
    for file in &files {
        let to = place.join(file);
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::rename(partial.join(file), to)?;
    }
    // Only what the descriptor of before named, and only where a descriptor of now says otherwise.
    if files.iter().any(|file| file.as_os_str() == DESCRIPTOR) {
        for gone in before.difference(&now) {
            let _ = fs::remove_file(place.join(gone));
        }
    }
    discard(partial)
}

/// Removes what a run that did not end well wrote.
pub(super) fn discard(partial: &Path) -> io::Result<()> {
    match fs::remove_dir_all(partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes a data package: its descriptor, the files that it names, and folders that are empty then.
pub(super) fn remove(place: &Path) -> io::Result<()> {
    let gone = |result: io::Result<()>| match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    for file in resources(place).into_iter().chain([PathBuf::from(DESCRIPTOR)]) {
        gone(fs::remove_file(place.join(&file)))?;
        for folder in file.ancestors().skip(1) {
            // A folder with other files stays.
            let _ = fs::remove_dir(place.join(folder));
        }
    }
    Ok(())
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            collect(root, &path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// The files that a descriptor names; never one outside of its folder.
fn resources(folder: &Path) -> HashSet<PathBuf> {
    let read = fs::read(folder.join(DESCRIPTOR)).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
    let resources = read.as_ref().and_then(|descriptor| descriptor.get("resources")).and_then(Value::as_array);
    let paths = resources.into_iter().flatten().filter_map(|resource| resource.get("path")?.as_str());
    let is_within = |path: &PathBuf| path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    paths.map(PathBuf::from).filter(is_within).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(folder: &Path, files: &[(&str, &str)]) {
        for (path, text) in files {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    #[test]
    fn a_place_that_is_not_there_is_taken_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("data/deep");
        let partial = beside(&place, "r1");
        assert_eq!(partial, folder.path().join("data/.deep.terrace-r1"));
        package(&partial, &[("datapackage.json", "{}")]);
        publish(&partial, &place).unwrap();
        assert!(place.join("datapackage.json").exists() && !partial.exists());
        // Cut off after that, it is done again.
        publish(&partial, &place).unwrap();
    }

    #[test]
    fn other_files_stay_and_files_of_the_former_package_go() {
        let folder = tempfile::tempdir().unwrap();
        let (place, partial) = (folder.path().join("data"), folder.path().join(".data.terrace-r1"));
        let old = r#"{"resources": [{"path": "a.csv"}, {"path": "old.csv"}, {"path": "../keep.csv"}]}"#;
        package(&place, &[("datapackage.json", old), ("a.csv", "1"), ("old.csv", "1"), ("index.html", "1")]);
        package(folder.path(), &[("keep.csv", "1")]);
        let new = r#"{"resources": [{"path": "a.csv"}, {"path": "deep/b.csv"}]}"#;
        package(&partial, &[("datapackage.json", new), ("a.csv", "2"), ("deep/b.csv", "2")]);
        publish(&partial, &place).unwrap();
        assert_eq!(fs::read_to_string(place.join("a.csv")).unwrap(), "2");
        assert!(place.join("deep/b.csv").exists() && place.join("index.html").exists());
        assert!(!place.join("old.csv").exists() && folder.path().join("keep.csv").exists() && !partial.exists());
    }

    #[test]
    fn the_folder_of_the_spec_itself_is_written_within() {
        assert_eq!(beside(Path::new("/"), "r1"), Path::new("/.terrace-r1"));
    }
}
