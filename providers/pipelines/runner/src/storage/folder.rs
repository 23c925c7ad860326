//! A local folder as a destination. Files are written to a temporary name, and then renamed.

use super::StorageError;
use super::entry::RemoteFile;
use super::journal::Journal;
use super::source::SourceFile;
use super::target::{Target, changed};
use crate::hash::hash_of_file;
use async_trait::async_trait;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;
use terrace_provider::sandbox::ProtectedFiles;
use tokio_util::sync::CancellationToken;

/// Mode of public files.
const PUBLIC_FILE: u32 = 0o644;
/// Mode of public folders.
const PUBLIC_FOLDER: u32 = 0o755;

/// All files below a folder.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    root: PathBuf,
    is_public: bool,
    /// Files that are neither read nor written.
    protected: ProtectedFiles,
}

impl Folder {
    pub(super) const fn new(root: PathBuf, is_public: bool, protected: ProtectedFiles) -> Self {
        Self { root, is_public, protected }
    }

    /// Path of a key.
    fn place(&self, key: &str) -> Result<PathBuf, StorageError> {
        let path = self.root.join(key);
        match self.protected.check(&path) {
            Ok(()) => Ok(path),
            Err(protected) => {
                let message = format!("`{}` is {}, which no descriptor may use", path.display(), protected.0);
                Err(StorageError::invalid("destination", message).hint("sync to another folder"))
            }
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let folder = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&folder)).await;
        done.map_err(|error| StorageError::failed(format!("work on the file system was lost: {error}")))?
    }

    fn file_metadata(&self, key: &str) -> Result<Option<RemoteFile>, StorageError> {
        let path = self.place(key)?;
        match path.metadata() {
            Ok(metadata) if metadata.is_file() => {
                let changed = metadata.modified().map_err(|error| StorageError::io("check", &path, &error))?;
                let since = changed.duration_since(UNIX_EPOCH).unwrap_or_default();
                Ok(Some(RemoteFile {
                    size: metadata.len(),
                    tag: format!("{}.{:09}", since.as_secs(), since.subsec_nanos()),
                }))
            }
            Ok(_) => Ok(None),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(StorageError::io("check", &path, &error)),
        }
    }

    /// Writes a file with `fill` under a temporary name, and renames it.
    fn put(
        &self,
        key: &str,
        fill: impl FnOnce(&mut File, &Path) -> Result<(), StorageError>,
    ) -> Result<String, StorageError> {
        let path = self.place(key)?;
        let folder = path.parent().unwrap_or(&self.root);
        self.make_folder(folder)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // The name is derived from the path, so that the next attempt overwrites the rest of an interrupted one.
        let partial = path.with_file_name(format!(".{name}.terrace-sync"));
        let written = File::create(&partial).map_err(|error| StorageError::io("write", &partial, &error));
        let written = written.and_then(|mut file| {
            let failed = |error: io::Error| StorageError::io("write", &path, &error);
            fill(&mut file, &path)?;
            if self.is_public {
                file.set_permissions(Permissions::from_mode(PUBLIC_FILE)).map_err(failed)?;
            }
            file.sync_data().map_err(failed)?;
            fs::rename(&partial, &path).map_err(failed)
        });
        if let Err(error) = written {
            // The first error is the relevant one.
            drop(fs::remove_file(&partial));
            return Err(error);
        }
        self.file_metadata(key)?
            .map(|remote| remote.tag)
            .ok_or_else(|| StorageError::failed(format!("`{}` was removed meanwhile", path.display())))
    }

    fn make_folder(&self, folder: &Path) -> Result<(), StorageError> {
        let missing: Vec<&Path> = folder.ancestors().take_while(|folder| !folder.is_dir()).collect();
        let failed = |error: io::Error| StorageError::io("create", folder, &error);
        fs::create_dir_all(folder).map_err(failed)?;
        if self.is_public {
            // Existing folders keep their permissions.
            for created in missing {
                fs::set_permissions(created, Permissions::from_mode(PUBLIC_FOLDER)).map_err(failed)?;
            }
        }
        Ok(())
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[async_trait]
impl Target for Folder {
    async fn metadata(&self, keys: &[String]) -> Result<BTreeMap<String, RemoteFile>, StorageError> {
        let keys = keys.to_vec();
        self.blocking(move |folder| {
            let remote = keys.into_iter().map(|key| Ok(folder.file_metadata(&key)?.map(|remote| (key, remote))));
            remote.filter_map(Result::transpose).collect()
        })
        .await
    }

    async fn text(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        let path = self.place(key)?;
        self.blocking(move |_| match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(StorageError::io("read", &path, &error)),
        })
        .await
    }

    async fn digest(&self, key: &str) -> Result<Option<String>, StorageError> {
        let path = self.place(key)?;
        self.blocking(move |_| hash_of_file(&path).map_err(|error| StorageError::io("read", &path, &error))).await
    }

    async fn send(
        &self,
        file: &SourceFile,
        _journal: &Journal,
        _cancel: &CancellationToken,
    ) -> Result<String, StorageError> {
        let file = file.clone();
        self.blocking(move |folder| {
            folder.put(&file.key, |target, place| {
                let mut source =
                    File::open(&file.path).map_err(|error| StorageError::io("read", &file.path, &error))?;
                let (mut digest, mut buffer) = (Sha256::new(), vec![0_u8; 1 << 16]);
                loop {
                    let read =
                        source.read(&mut buffer).map_err(|error| StorageError::io("read", &file.path, &error))?;
                    let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
                    digest.update(bytes);
                    target.write_all(bytes).map_err(|error| StorageError::io("write", place, &error))?;
                }
                let is_same = base16ct::lower::encode_string(&digest.finalize()) == file.sha256;
                if is_same { Ok(()) } else { Err(changed(&file)) }
            })
        })
        .await
    }

    async fn write(&self, key: &str, bytes: Vec<u8>) -> Result<(), StorageError> {
        let key = key.to_owned();
        self.blocking(move |folder| {
            let written = folder.put(&key, |target, place| {
                target.write_all(&bytes).map_err(|error| StorageError::io("write", place, &error))
            });
            written.map(|_| ())
        })
        .await
    }

    async fn remove(&self, key: &str) -> Result<(), StorageError> {
        let key = key.to_owned();
        self.blocking(move |folder| {
            let path = folder.place(&key)?;
            match fs::remove_file(&path) {
                Err(error) if !is_absent(&error) => return Err(StorageError::io("remove", &path, &error)),
                _ => {}
            }
            let above = path.ancestors().skip(1).take_while(|above| above.starts_with(&folder.root));
            for above in above {
                // An error means that the folder has other files.
                if fs::remove_dir(above).is_err() {
                    break;
                }
            }
            Ok(())
        })
        .await
    }
}
