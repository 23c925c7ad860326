//! Copies of a checkout: the files of a commit, or of an untrusted request, in a temporary folder.

use crate::settings::Settings;
use std::path::{Component, Path, PathBuf};

/// A copy of the files of a checkout.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Copied<'a> {
    /// The folder from which the configuration counts its paths, unless these begin at the checkout.
    pub(crate) from: &'a Path,
    /// The folder with the files.
    pub(crate) files: &'a Path,
    /// The root of the checkout.
    pub(crate) checkout: &'a Path,
}

impl Copied<'_> {
    /// Changes the paths of `repositories:`. A path in the checkout becomes that of the copy, if it exists there. Any other path leads
    /// to the checkout of another repository.
    pub(crate) fn relocate(&self, settings: &mut Settings) {
        let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let (folder, checkout) = (whole(&settings.project_folder), whole(self.checkout));
        let below = folder.strip_prefix(whole(self.from)).or_else(|_| folder.strip_prefix(&checkout));
        let Ok(below) = below.map(Path::to_owned) else { return };
        for path in settings.configuration.repositories.iter_mut().filter(|path| path.is_relative()) {
            *path = self.place(&checkout, &below.join(&*path));
        }
    }

    fn place(&self, checkout: &Path, path: &Path) -> PathBuf {
        let path = normal(path);
        let copied = self.files.join(&path);
        match path.starts_with("..") || !copied.exists() {
            true => normal(&checkout.join(path)),
            false => copied.canonicalize().unwrap_or(copied),
        }
    }

    /// A message without the temporary folder: readers know the paths of the repository only.
    pub(crate) fn readable(&self, message: &str) -> String {
        [self.from, self.files].iter().filter(|folder| folder.is_absolute()).fold(
            message.to_owned(),
            |message, folder| {
                let canonical = folder.canonicalize().unwrap_or_default();
                let names = [canonical.display().to_string(), folder.display().to_string()];
                names
                    .iter()
                    .filter(|name| !name.is_empty())
                    .fold(message, |message, name| message.replace(&format!("{name}/"), "").replace(name.as_str(), "."))
            },
        )
    }
}

/// A path without `.`, and with `..` only at its beginning.
fn normal(path: &Path) -> PathBuf {
    let mut parts: Vec<Component<'_>> = Vec::new();
    for part in path.components() {
        match (part, parts.last()) {
            (Component::CurDir, _) => {}
            (Component::ParentDir, Some(Component::Normal(_))) => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalised_without_the_file_system() {
        for (path, expected) in
            [("a/../../b", "../b"), ("./a/./b/..", "a"), (".", ""), ("/x/../y", "/y"), ("../../a", "../../a")]
        {
            assert_eq!(normal(Path::new(path)), Path::new(expected), "{path}");
        }
    }

    #[test]
    fn repositories_outside_of_the_copy_are_those_of_the_checkout() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().canonicalize().unwrap();
        for folder in ["copy/raw", "work/raw", "work/.orders", "orders"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        let (copy, work) = (root.join("copy"), root.join("work"));
        let copied = Copied { from: &copy, files: &copy, checkout: &work };
        let place =
            |path: &str| copied.place(&work, Path::new(path)).strip_prefix(&root).unwrap().display().to_string();
        assert_eq!(["raw", ".", ".orders", "../orders"].map(place), ["copy/raw", "copy", "work/.orders", "orders"]);
        let message = format!("`{}/raw/x.yaml:3`, {}", copy.display(), copy.display());
        assert_eq!(copied.readable(&message), "`raw/x.yaml:3`, .");
    }
}
