//! The part of a site that runs in a pod: it receives the record and the files of the site by a mount.

use super::{Page, TEMPLATE_FOLDER};
use crate::executor::MOUNT;
use crate::storage::content_type;
use crate::storage::source::is_hidden;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Words of the subcommand that serves a site in a pod.
pub const COMMAND: [&str; 3] = ["pipelines", "pod", "site"];
/// Port of the server.
pub const PORT: u16 = 8080;
/// Folder into which the Secret with the site is mounted, and its files: the record and the archive.
pub(super) const MOUNTED: (&str, &str, &str) = ("/terrace/site", "site.json", "files.tar.gz");
/// Folder for the files of the archive.
pub(super) const TEMPORARY: &str = "/tmp";
/// Folder of the files in it.
const FILES: &str = "site";

/// Record of a site in a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSite {
    /// The page for unknown paths.
    pub error_document: String,
    /// Value of the header `Cache-Control`.
    pub cache_control: String,
    /// Files of the archive, by path.
    pub files: BTreeMap<String, Page>,
    /// Folder in the claim with the outputs of pipelines; nothing if they are in the archive.
    pub claim_folder: Option<PathBuf>,
}

/// Paths in a pod.
#[derive(Debug, Clone)]
pub struct PodSitePaths {
    /// Folder with the record and the archive.
    pub mounted: PathBuf,
    /// Folder for the files.
    pub temporary: PathBuf,
    /// Folder into which the claim is mounted.
    pub claim: PathBuf,
}

impl Default for PodSitePaths {
    fn default() -> Self {
        Self { mounted: MOUNTED.0.into(), temporary: TEMPORARY.into(), claim: MOUNT.into() }
    }
}

impl PodSite {
    /// Reads the record of the site, and unpacks its files. Returns their folder, too.
    ///
    /// # Errors
    /// When files of the pod cannot be read or written.
    pub fn open(paths: &PodSitePaths) -> io::Result<(Self, PathBuf)> {
        let site = serde_json::from_slice(&fs::read(paths.mounted.join(MOUNTED.1))?).map_err(io::Error::other)?;
        let folder = paths.temporary.join(FILES);
        // A container that was restarted finds the files of the one before.
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir_all(&folder)?,
        }
        let archive = File::open(paths.mounted.join(MOUNTED.2))?;
        tar::Archive::new(flate2::read::GzDecoder::new(archive)).unpack(&folder)?;
        Ok((site, folder))
    }

    /// Returns true for the path of a file on a claim that a site shows: no hidden file, and no template.
    #[must_use]
    pub fn is_shown(path: &str) -> bool {
        !path.split('/').any(is_hidden) && !Path::new(path).starts_with(TEMPLATE_FOLDER)
    }

    /// Content type of a file.
    #[must_use]
    pub fn content_type(path: &str) -> String {
        content_type(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_files_and_templates_are_not_shown() {
        for path in ["index.html", "a/templates/x", ".well-known/y", "a.b/c"] {
            assert!(PodSite::is_shown(path), "{path}");
        }
        for path in [".env", "a/.terrace-run-1/x", "templates/page.jinja", ".git/config", "templates"] {
            assert!(!PodSite::is_shown(path), "{path}");
        }
    }
}
