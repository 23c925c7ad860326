//! A sync: unchanged files stay, others are sent, `datapackage.json` after the files that it names, the manifest last.

use super::access::Access;
use super::entry::RemoteFile;
use super::journal::Journal;
use super::manifest::{self, Entry, Manifest};
use super::place::Place;
use super::source::{Filter, SourceFile, Tree};
use super::target::Target;
use super::{DESCRIPTOR, StorageError, StorageErrorKind};
use futures_util::{StreamExt, stream};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use tokio_util::sync::CancellationToken;

/// Number of parallel uploads: each needs memory for a part of 8 MiB.
const AT_ONCE: usize = 4;
/// Folder of journals, in the folder of records.
const JOURNALS: &str = "syncs";

/// Copies files of a project to other places.
#[derive(Debug, Clone)]
pub struct Storage {
    /// Credentials.
    pub access: Access,
    /// Project folder, without symbolic links.
    pub project: PathBuf,
    records: PathBuf,
    /// The journal of a sync lasts until the next one.
    keeps_journals: bool,
}

/// Request for a sync.
#[derive(Debug, Clone)]
pub struct SyncRequest {
    /// The place, as written by the user.
    pub destination: String,
    /// Path below the place: `weekly`, `teams/weekly`.
    pub name: String,
    /// Source folders; each is copied below its last part.
    pub folders: Vec<PathBuf>,
    /// Selection of their files.
    pub filter: Filter,
    /// Remove files that the folders no longer have.
    pub removes: bool,
    /// Make the files public.
    pub public: bool,
    /// Verify files at the destination by reading them in full.
    pub checksum: bool,
    /// Address for readers of the destination, if it differs.
    pub public_url: Option<String>,
    /// Call that requests it.
    pub mark: String,
}

/// Result of a sync.
#[derive(Debug, Clone)]
pub struct Synced {
    /// The new manifest.
    pub manifest: Manifest,
    /// Number of sent files; the others were unchanged.
    pub sent: usize,
    /// Number of sent bytes.
    pub bytes: u64,
    /// Addresses for readers: of each data package, or else of each folder.
    pub addresses: Vec<String>,
}

/// Progress of a sync; its text has the words of dppctl's document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncEvent<'a> {
    /// The sync starts.
    Started {
        /// The files are public.
        public: bool,
    },
    /// A folder or file is copied.
    Copying {
        /// The folder or file, relative to the project folder if inside.
        from: &'a str,
        /// Address for readers.
        to: &'a str,
    },
    /// Something that the user should know, although the sync goes on.
    Warned {
        /// Message.
        message: &'a str,
    },
}

impl fmt::Display for SyncEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { public: true } => f.write_str("Syncing Data Packages to Public Storage"),
            Self::Started { public: false } => f.write_str("Syncing Data Packages to Storage"),
            Self::Copying { from, to } => write!(f, "{from} > {to}"),
            Self::Warned { message } => write!(f, "warning: {message}"),
        }
    }
}

/// Receiver of progress.
pub type SyncReporter<'a> = dyn Fn(SyncEvent<'_>) + Send + Sync + 'a;

impl Storage {
    /// Storage of a project, with the folder of its records.
    #[must_use]
    pub const fn new(access: Access, project: PathBuf, records: PathBuf) -> Self {
        Self { access, project, records, keeps_journals: true }
    }

    /// Storage whose records are lost with this process, as in a pod. No sync continues an interrupted one, so it aborts its
    /// uploads when it fails, and at first those that a killed process left. Syncs to a place must follow each other.
    #[must_use]
    pub(super) fn without_journals(self) -> Self {
        Self { keeps_journals: false, ..self }
    }

    /// Parses a destination.
    ///
    /// # Errors
    /// When it is not valid.
    pub fn place(&self, destination: &str) -> Result<Place, StorageError> {
        Place::parse(destination, &self.project)
    }

    /// Checks a destination without network calls.
    ///
    /// # Errors
    /// When a setting is missing, or the request is not valid for the place.
    pub fn check(&self, destination: &str, name: &str, is_public: bool) -> Result<(), StorageError> {
        check_name(name)?;
        self.target(destination, name, is_public).map(|_| ())
    }

    /// Checks that folders and the place do not contain each other: a sync would copy its own files again.
    ///
    /// # Errors
    /// When one contains the other.
    pub fn check_disjoint(&self, destination: &str, name: &str, folders: &[PathBuf]) -> Result<(), StorageError> {
        let Place::Folder(place) = self.place(destination)? else { return Ok(()) };
        let place = place.join(name);
        let overlaps = |folder: &&PathBuf| place.starts_with(folder) || folder.starts_with(&place);
        match folders.iter().find(overlaps) {
            None => Ok(()),
            Some(folder) => {
                let message = format!("`{}` and `{}` contain each other", folder.display(), place.display());
                Err(StorageError::invalid("destination", message).hint("sync to a folder next to it"))
            }
        }
    }

    fn target(&self, destination: &str, name: &str, is_public: bool) -> Result<Box<dyn Target>, StorageError> {
        self.access.target(&self.place(destination)?, name, is_public)
    }

    /// Reads the source files; `None` while a folder does not exist.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn tree(&self, folders: Vec<PathBuf>, filter: Filter) -> Result<Option<Tree>, StorageError> {
        let (bounds, filter) = (self.project.clone(), filter.refusing(self.access.protected.clone()));
        let read = tokio::task::spawn_blocking(move || Tree::read(&folders, &bounds, &filter)).await;
        read.map_err(|error| StorageError::failed(format!("work on the file system was lost: {error}")))?
    }

    /// Manifest of a sync at a place; `None` if nothing was synced.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn manifest(&self, destination: &str, name: &str) -> Result<Option<Manifest>, StorageError> {
        let target = self.target(destination, name, false)?;
        read_manifest(target.as_ref(), destination, name).await
    }

    /// Manifest with the missing or altered files, and the digest of the present state.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn inspect(
        &self,
        destination: &str,
        name: &str,
        checksum: bool,
    ) -> Result<Option<(Manifest, Vec<String>, String)>, StorageError> {
        let target = self.target(destination, name, false)?;
        let Some(manifest) = read_manifest(target.as_ref(), destination, name).await? else { return Ok(None) };
        let keys: Vec<String> = manifest.current().map(|(key, _)| key.to_owned()).collect();
        let mut remote = target.metadata(&keys).await?;
        if checksum {
            for (key, entry) in manifest.current() {
                // If size or tag differ already, the file is not read.
                if remote.get(key).is_some_and(|remote| remote.matches(entry))
                    && target.digest(key).await?.as_ref() != Some(&entry.sha256)
                    && let Some(remote) = remote.get_mut(key)
                {
                    "another content".clone_into(&mut remote.tag);
                }
            }
        }
        let (damaged, hash) = manifest.compare(&remote);
        Ok(Some((manifest, damaged, hash)))
    }

    /// Changes that a sync of a tree would make at its place.
    ///
    /// # Errors
    /// When the destination cannot be read.
    pub async fn changes(&self, request: &SyncRequest, tree: &Tree) -> Result<Vec<String>, StorageError> {
        let found = self.inspect(&request.destination, &request.name, request.checksum).await?;
        let (former, damaged) = found.map(|(former, damaged, _)| (former, damaged)).unzip();
        let are_all_changed = former.as_ref().is_some_and(|former: &Manifest| former.public != request.public);
        Ok(tree.changes(former.as_ref(), &damaged.unwrap_or_default(), are_all_changed, request.removes))
    }

    /// Addresses for readers of files with these keys.
    ///
    /// # Errors
    /// When the destination is not valid.
    pub fn addresses<'a>(
        &self,
        destination: &str,
        name: &str,
        public_url: Option<&str>,
        keys: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<Vec<String>, StorageError> {
        let place = self.place(destination)?;
        let address = |key: String| place.address(&format!("{name}/{key}"), &self.access.endpoints, public_url);
        Ok(Manifest::entry_points(keys).into_iter().map(address).collect())
    }

    /// Address of all files below that name.
    ///
    /// # Errors
    /// When the destination is not valid.
    pub fn address(&self, destination: &str, name: &str, public_url: Option<&str>) -> Result<String, StorageError> {
        let place = self.place(destination)?;
        Ok(place.address(&format!("{name}/"), &self.access.endpoints, public_url))
    }

    ///
    /// Copies a tree to its place, and reports source and address of each folder.
    ///
    /// Files of an interrupted attempt are not sent again. `datapackage.json` is sent after all data, so that it never
    /// names a missing file.
    ///
    /// # Errors
    /// When a file could not be sent: then the manifest is unchanged, and the next attempt continues.
    pub async fn sync(
        &self,
        request: &SyncRequest,
        tree: &Tree,
        report: &SyncReporter<'_>,
        cancel: &CancellationToken,
    ) -> Result<Synced, StorageError> {
        self.announce(request, report)?;
        self.send(request, tree, report, cancel).await
    }

    /// Copies a tree, and reports warnings only.
    pub(super) async fn send(
        &self,
        request: &SyncRequest,
        tree: &Tree,
        report: &SyncReporter<'_>,
        cancel: &CancellationToken,
    ) -> Result<Synced, StorageError> {
        check_name(&request.name)?;
        self.check_disjoint(&request.destination, &request.name, &request.folders)?;
        let journal = Journal::open(&self.journal(request))?;
        let target = self.target(&request.destination, &request.name, request.public)?;
        let target = target.as_ref();
        let synced = self.send_to(target, request, tree, &journal, report, cancel).await;
        match &synced {
            Ok(_) => journal.close()?,
            Err(_) if self.keeps_journals => {}
            Err(_) => {
                for (key, upload) in journal.unfinished() {
                    // The next sync aborts it otherwise.
                    if let Err(why) = target.abandon(&key, &upload.id).await {
                        tracing::debug!(key, %why, "an upload is not aborted");
                    }
                }
            }
        }
        synced
    }

    async fn send_to(
        &self,
        target: &dyn Target,
        request: &SyncRequest,
        tree: &Tree,
        journal: &Journal,
        report: &SyncReporter<'_>,
        cancel: &CancellationToken,
    ) -> Result<Synced, StorageError> {
        let former = read_manifest(target, &request.destination, &request.name).await?;
        if !self.keeps_journals {
            let former = former.iter().flat_map(|former| former.files.keys());
            let keys = tree.files.iter().map(|file| &file.key).chain(former).map(String::as_str).collect();
            // The identity may lack the rights to list and to abort uploads.
            if let Err(why) = target.abandon_all(&keys).await {
                let message = format!("the parts of files that a killed copy sent may stay in the bucket: {why}");
                report(SyncEvent::Warned { message: &message });
            }
        }
        let is_local = self.place(&request.destination)?.is_local();
        let transfer = Transfer { request, target, journal, former: former.as_ref(), is_local, cancel };
        let keys: Vec<String> = tree.files.iter().map(|file| file.key.clone()).collect();
        let remote = target.metadata(&keys).await?;
        let (descriptors, data): (Vec<&SourceFile>, Vec<&SourceFile>) =
            tree.files.iter().partition(|file| is_descriptor(&file.key));
        let mut files = BTreeMap::new();
        let (mut sent, mut bytes) = (0, 0_u64);
        for wave in [data, descriptors] {
            for (key, entry, is_sent) in transfer.send_batch(&wave, &remote).await? {
                if is_sent {
                    sent += 1;
                    bytes = bytes.saturating_add(entry.size);
                }
                files.insert(key, entry);
            }
        }
        for (key, upload) in journal.unfinished() {
            // Uploads of files that were removed or changed since.
            target.abandon(&key, &upload.id).await?;
        }
        let gone = former.iter().flat_map(|former| &former.files).filter(|(key, _)| !files.contains_key(*key));
        let mut gone: Vec<(String, Entry)> = gone.map(|(key, entry)| (key.clone(), entry.clone())).collect();
        // Descriptors are removed before the files that they name.
        gone.sort_by_key(|(key, _)| !is_descriptor(key));
        for (key, entry) in gone {
            if request.removes {
                target.remove(&key).await?;
            } else {
                files.insert(key, Entry { left: true, ..entry });
            }
        }
        let manifest = Manifest::new(request.mark.clone(), request.public, files);
        if former.as_ref() != Some(&manifest) {
            target.write(manifest::NAME, manifest.to_bytes()?).await?;
        }
        let keys: BTreeSet<&str> = manifest.current().map(|(key, _)| key).collect();
        let addresses =
            self.addresses(&request.destination, &request.name, request.public_url.as_deref(), keys.iter().copied())?;
        Ok(Synced { manifest, sent, bytes, addresses })
    }

    /// Removes the synced files, descriptors first; or only the manifest.
    ///
    /// # Errors
    /// When a file cannot be removed: then the manifest stays.
    pub async fn remove(&self, destination: &str, name: &str, with_files: bool) -> Result<(), StorageError> {
        let target = self.target(destination, name, false)?;
        let Some(manifest) = read_manifest(target.as_ref(), destination, name).await? else { return Ok(()) };
        let keys = manifest.files.keys().filter(|_| with_files);
        let (descriptors, data): (Vec<&String>, Vec<&String>) = keys.partition(|key| is_descriptor(key));
        for key in descriptors.into_iter().chain(data) {
            target.remove(key).await?;
        }
        target.remove(manifest::NAME).await
    }

    fn journal(&self, request: &SyncRequest) -> PathBuf {
        let name = crate::hash::hash_of(&format!("{}\n{}\n{}", request.destination, request.name, request.public));
        self.records.join(JOURNALS).join(name)
    }

    /// Reports source and address of each folder.
    fn announce(&self, request: &SyncRequest, report: &SyncReporter<'_>) -> Result<(), StorageError> {
        report(SyncEvent::Started { public: request.public });
        let place = self.place(&request.destination)?;
        for folder in &request.folders {
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            let key = format!("{}/{name}/", request.name);
            let address = place.address(&key, &self.access.endpoints, request.public_url.as_deref());
            let from = folder.strip_prefix(&self.project).unwrap_or(folder).display().to_string();
            report(SyncEvent::Copying { from: &from, to: &address });
        }
        Ok(())
    }
}

/// Checks the name of a sync.
///
/// # Errors
/// When it is not valid, with the reason.
pub(crate) fn check_name(name: &str) -> Result<(), StorageError> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_part = |part: &str| !part.is_empty() && !part.starts_with('.') && part.chars().all(is_of_name);
    match name.split('/').all(is_part) {
        true => Ok(()),
        false => Err(StorageError::invalid("name", format!("`name` is `{name}`, which is not a list of names"))
            .hint("use letters, digits, `-`, `_` and `.`, with `/` between parts: `weekly` or `teams/weekly`")),
    }
}

/// Returns true for the descriptor of a data package.
fn is_descriptor(key: &str) -> bool {
    key.rsplit('/').next() == Some(DESCRIPTOR)
}

async fn read_manifest(target: &dyn Target, destination: &str, name: &str) -> Result<Option<Manifest>, StorageError> {
    let at = format!("{}/{name}/{}", destination.trim_end_matches('/'), manifest::NAME);
    target.text(manifest::NAME).await?.map(|bytes| Manifest::read(&bytes, &at)).transpose()
}

/// Context of a transfer.
struct Transfer<'a> {
    request: &'a SyncRequest,
    target: &'a dyn Target,
    journal: &'a Journal,
    former: Option<&'a Manifest>,
    is_local: bool,
    cancel: &'a CancellationToken,
}

impl Transfer<'_> {
    /// Sends independent files, a few in parallel. After a failure, files in transfer are finished.
    async fn send_batch(
        &self,
        files: &[&SourceFile],
        remote: &BTreeMap<String, RemoteFile>,
    ) -> Result<Vec<(String, Entry, bool)>, StorageError> {
        let failure = Mutex::new(None);
        let sends: Vec<_> = files.iter().map(|file| self.send_unless_failed(file, remote, &failure)).collect();
        let done: Vec<Option<_>> = stream::iter(sends).buffer_unordered(AT_ONCE).collect().await;
        match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(done.into_iter().flatten().collect()),
        }
    }

    /// Sends a file, unless another file failed before.
    async fn send_unless_failed(
        &self,
        file: &SourceFile,
        remote: &BTreeMap<String, RemoteFile>,
        failure: &Mutex<Option<StorageError>>,
    ) -> Option<(String, Entry, bool)> {
        let failure = || failure.lock().unwrap_or_else(PoisonError::into_inner);
        if failure().is_some() {
            return None;
        }
        match self.send(file, remote.get(&file.key)).await {
            Ok((entry, is_sent)) => Some((file.key.clone(), entry, is_sent)),
            Err(error) => {
                failure().get_or_insert(error);
                None
            }
        }
    }

    async fn send(&self, file: &SourceFile, remote: Option<&RemoteFile>) -> Result<(Entry, bool), StorageError> {
        if let Some(entry) = self.unchanged_entry(file, remote).await? {
            return Ok((entry, false));
        }
        if self.cancel.is_cancelled() {
            let message = "the sync was cancelled; the next sync continues it";
            return Err(StorageError::new(StorageErrorKind::Stopped, message));
        }
        let tag = self.target.send(file, self.journal, self.cancel).await?;
        let entry = Entry { size: file.size, sha256: file.sha256.clone(), tag, left: false };
        self.journal.record_sent(&file.key, &entry)?;
        Ok((entry, true))
    }

    /// Returns the entry of the file at the destination if its content is unchanged.
    async fn unchanged_entry(
        &self,
        file: &SourceFile,
        remote: Option<&RemoteFile>,
    ) -> Result<Option<Entry>, StorageError> {
        let Some(remote) = remote.filter(|remote| remote.size == file.size) else { return Ok(None) };
        // A public object is a different object.
        let former = self.former.filter(|former| former.public == self.request.public);
        let known = [self.journal.sent(&file.key), former.and_then(|former| former.files.get(&file.key))];
        let is_known = known.into_iter().flatten().any(|entry| entry.sha256 == file.sha256 && remote.matches(entry));
        let entry = Entry { size: file.size, sha256: file.sha256.clone(), tag: remote.tag.clone(), left: false };
        if is_known && !self.request.checksum {
            return Ok(Some(entry));
        }
        // A local folder is read quickly, even if the file's writer is unknown. That does not apply to public files,
        // whose mode may be wrong.
        if is_known || self.is_local && !self.request.public {
            let digest = self.target.digest(&file.key).await?;
            return Ok(digest.filter(|digest| *digest == file.sha256).map(|_| entry));
        }
        Ok(None)
    }
}

impl SyncRequest {
    /// Request with defaults, for syncs without plan and state.
    #[must_use]
    pub fn new(destination: String, name: String, folders: Vec<PathBuf>, filter: Filter) -> Self {
        Self {
            destination,
            name,
            folders,
            filter,
            removes: false,
            public: false,
            checksum: false,
            public_url: None,
            mark: String::new(),
        }
    }
}
