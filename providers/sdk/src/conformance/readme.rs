//! A check that a provider's README has the current generated tables.

use std::path::Path;

/// Compares the README of a crate with its text after an update of its tables. `UPDATE_README=1` writes the new text.
///
/// # Errors
/// If the README lacks a mark, or its tables are out of date.
pub fn check_readme(folder: &str, update: impl Fn(&str) -> Option<String>) -> std::io::Result<()> {
    let path = Path::new(folder).join("README.md");
    let readme = std::fs::read_to_string(&path)?;
    match update(&readme) {
        None => Err(std::io::Error::other("the README lacks a mark of a table")),
        Some(written) if written == readme => Ok(()),
        Some(written) if std::env::var_os("UPDATE_README").is_some() => std::fs::write(&path, written),
        Some(_) => Err(std::io::Error::other("the README is not up to date: run the test with UPDATE_README=1")),
    }
}
