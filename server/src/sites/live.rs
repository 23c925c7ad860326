//! Present files of a folder that other programs write, such as a volume with results of pipelines.
//!
//! Each call looks at the file system. Links cannot lead out of the volume.

use super::File;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, MetadataExt};
use std::path::PathBuf;
use std::{fs, io};

/// A folder whose present files a site shows.
#[derive(Debug, Clone)]
pub struct LiveFolder {
    /// The volume that has the folder.
    pub volume: PathBuf,
    /// Path of the folder in the volume. It need not exist yet.
    pub path: PathBuf,
    /// Returns true for the path of a file that a site may show.
    pub is_shown: fn(&str) -> bool,
    /// The media type of a file, by its path.
    pub content_type: fn(&str) -> String,
}

impl LiveFolder {
    /// Opens a file by its path; nothing if the folder has none to show.
    ///
    /// # Errors
    /// When the file system fails.
    pub(super) async fn open(&self, key: &str) -> io::Result<Option<(File, fs::File)>> {
        if key.is_empty() || !(self.is_shown)(key) {
            return Ok(None);
        }
        let (volume, path, name) = (self.volume.clone(), self.path.clone(), key.to_owned());
        let opening = tokio::task::spawn_blocking(move || open(volume, path, &name));
        let opened = match opening.await.map_err(io::Error::other)? {
            Ok(opened) => opened,
            Err(error) if is_absence(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(opened.map(|(size, tag, opened)| (File { size, tag, content_type: (self.content_type)(key) }, opened)))
    }
}

fn open(volume: PathBuf, path: PathBuf, key: &str) -> io::Result<Option<(u64, String, fs::File)>> {
    let folder = Dir::open_ambient_dir(volume, ambient_authority())?.open_dir(path)?;
    // Without a look first, a pipe without a writer would block.
    if !folder.metadata(key)?.is_file() {
        return Ok(None);
    }
    let opened = folder.open(key)?;
    let metadata = opened.metadata()?;
    // A program that publishes a file renames it: the name leads to another file number and time.
    let tag = format!("{:x}-{:x}-{:x}-{:x}", metadata.len(), metadata.ino(), metadata.mtime(), metadata.mtime_nsec());
    Ok(metadata.is_file().then(|| (metadata.len(), tag, opened.into_std())))
}

/// Returns true if a folder has no file of that path, or a link leads out of the volume.
fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound, PermissionDenied};
    [NotFound, NotADirectory, PermissionDenied, InvalidFilename].contains(&error.kind())
}
