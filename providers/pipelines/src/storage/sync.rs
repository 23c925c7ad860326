//! One sync: what is there and right stays, the rest is sent, `datapackage.json` after all that it names, the manifest last.

use super::access::Access;
use super::journal::Journal;
use super::manifest::{self, Entry, Manifest};
use super::place::Place;
use super::source::{Filter, SourceFile, Tree};
use super::target::{Seen, Target};
use super::{DESCRIPTOR, StorageError, Trouble};
use futures_util::{StreamExt, stream};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use terrace_provider::{ProviderError, Settings};
use tokio_util::sync::CancellationToken;

/// How many files are sent at once: so many parts of 8 MiB are in memory.
const AT_ONCE: usize = 4;
/// Where syncs that are under way are recorded, in the folder of records.
const JOURNALS: &str = "syncs";

/// Brings files of a project to other places.
#[derive(Debug, Clone)]
pub struct Storage {
    /// In whose name.
    pub access: Access,
    /// The project folder, without symbolic links.
    pub project: PathBuf,
    records: PathBuf,
}

/// What is to be where.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The place, as a person wrote it.
    pub destination: String,
    /// What everything is put below, there: `weekly`, `teams/weekly`.
    pub name: String,
    /// The folders, each put below its last part.
    pub folders: Vec<PathBuf>,
    /// Which of their files.
    pub filter: Filter,
    /// What the folders have no more is removed.
    pub removes: bool,
    /// Everybody may read it.
    pub public: bool,
    /// What is there is read in full to see whether it is right.
    pub checksum: bool,
    /// The address by which others read the destination, where that is another one.
    pub public_url: Option<String>,
    /// The call that asks for it.
    pub mark: String,
}

/// What became of a sync.
#[derive(Debug, Clone)]
pub struct Synced {
    /// What is there now.
    pub manifest: Manifest,
    /// So many files were sent; others were there and right.
    pub sent: usize,
    /// So many bytes were sent.
    pub bytes: u64,
    /// The addresses by which it is read: of each data package, else of each folder.
    pub addresses: Vec<String>,
}

/// What is told of a sync to people, as it goes; as text in the words of the document that dppctl was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told<'a> {
    /// It begins.
    Begun {
        /// Everybody may read what is brought there.
        public: bool,
    },
    /// Something is brought somewhere.
    Goes {
        /// The folder or file, relative to the project folder where it lies in it.
        from: &'a str,
        /// The address by which it is read.
        to: &'a str,
    },
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begun { public: true } => f.write_str("Syncing Data Packages to Public Storage"),
            Self::Begun { public: false } => f.write_str("Syncing Data Packages to Storage"),
            Self::Goes { from, to } => write!(f, "{from} > {to}"),
        }
    }
}

/// Who is told.
pub type Tell<'a> = dyn Fn(Told<'_>) + Send + Sync + 'a;

impl Storage {
    /// What the settings say; nobody is asked.
    ///
    /// # Errors
    /// When one of them cannot work.
    pub fn of(settings: &Settings, records: PathBuf) -> Result<Self, ProviderError> {
        let project = settings.project_folder.canonicalize().unwrap_or_else(|_| settings.project_folder.clone());
        let access = Access::of(settings).map_err(StorageError::while_looking)?;
        Ok(Self { access, project, records })
    }

    /// Reads a place that a person wrote.
    ///
    /// # Errors
    /// When it is none.
    pub fn place(&self, destination: &str) -> Result<Place, StorageError> {
        Place::parse(destination, &self.project)
    }

    /// Whether it could be written to, as far as that can be told without asking anybody.
    ///
    /// # Errors
    /// When a setting is missing, or the place cannot be what is asked for.
    pub fn check(&self, destination: &str, name: &str, is_public: bool) -> Result<(), StorageError> {
        check_name(name)?;
        self.target(destination, name, is_public).map(|_| ())
    }

    /// Whether folders lie apart from the place: a sync would bring what it brought again and again.
    ///
    /// # Errors
    /// When one of them lies in the other.
    pub fn check_apart(&self, destination: &str, name: &str, folders: &[PathBuf]) -> Result<(), StorageError> {
        let Place::Folder(place) = self.place(destination)? else { return Ok(()) };
        let place = place.join(name);
        let lies_within = |folder: &&PathBuf| place.starts_with(folder) || folder.starts_with(&place);
        match folders.iter().find(lies_within) {
            None => Ok(()),
            Some(folder) => {
                let message = format!("`{}` and `{}` lie in each other", folder.display(), place.display());
                Err(StorageError::invalid("destination", message).hint("sync to a folder beside it"))
            }
        }
    }

    fn target(&self, destination: &str, name: &str, is_public: bool) -> Result<Box<dyn Target>, StorageError> {
        self.access.target(&self.place(destination)?, name, is_public)
    }

    /// The files that are asked for; `None` while a folder is not there.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn tree(&self, folders: Vec<PathBuf>, filter: Filter) -> Result<Option<Tree>, StorageError> {
        let (bounds, filter) = (self.project.clone(), filter.refusing(self.access.protected.clone()));
        let read = tokio::task::spawn_blocking(move || Tree::read(&folders, &bounds, &filter)).await;
        read.map_err(|error| StorageError::failed(format!("work on the file system was lost: {error}")))?
    }

    /// What was synced to a place under that name; `None` where nothing was.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn manifest(&self, destination: &str, name: &str) -> Result<Option<Manifest>, StorageError> {
        let target = self.target(destination, name, false)?;
        former(target.as_ref(), destination, name).await
    }

    /// The same, with what of it is no more as it was brought there, and the digest of what is there.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn look(
        &self,
        destination: &str,
        name: &str,
        checksum: bool,
    ) -> Result<Option<(Manifest, Vec<String>, String)>, StorageError> {
        let target = self.target(destination, name, false)?;
        let Some(manifest) = former(target.as_ref(), destination, name).await? else { return Ok(None) };
        let keys: Vec<String> = manifest.current().map(|(key, _)| key.to_owned()).collect();
        let mut seen = target.look(&keys).await?;
        if checksum {
            for (key, entry) in manifest.current() {
                // Where size and tag are another's, that is enough.
                if seen.get(key).is_some_and(|seen| seen.is_of(entry))
                    && target.digest(key).await?.as_ref() != Some(&entry.sha256)
                    && let Some(seen) = seen.get_mut(key)
                {
                    "another content".clone_into(&mut seen.tag);
                }
            }
        }
        let (damaged, hash) = manifest.compared(&seen);
        Ok(Some((manifest, damaged, hash)))
    }

    /// The addresses by which what has these keys is read.
    ///
    /// # Errors
    /// When the destination is no place.
    pub fn addresses<'a>(
        &self,
        destination: &str,
        name: &str,
        public_url: Option<&str>,
        keys: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<Vec<String>, StorageError> {
        let place = self.place(destination)?;
        let address = |key: String| place.address(&format!("{name}/{key}"), &self.access.endpoints, public_url);
        Ok(Manifest::doors(keys).into_iter().map(address).collect())
    }

    /// The address of everything under that name.
    ///
    /// # Errors
    /// When the destination is no place.
    pub fn address(&self, destination: &str, name: &str, public_url: Option<&str>) -> Result<String, StorageError> {
        let place = self.place(destination)?;
        Ok(place.address(&format!("{name}/"), &self.access.endpoints, public_url))
    }

    /// Brings everything of a tree to its place, and tells which folder goes where.
    ///
    /// What an attempt that was cut off sent is not sent again. `datapackage.json` is sent when all data is there, so that
    /// at no time one names what is not.
    ///
    /// # Errors
    /// When something could not be sent: then the manifest is that of before, and the next attempt goes on from here.
    pub async fn sync(
        &self,
        asked: &Asked,
        tree: &Tree,
        tell: &Tell<'_>,
        cancel: &CancellationToken,
    ) -> Result<Synced, StorageError> {
        self.announce(asked, tell)?;
        self.send(asked, tree, cancel).await
    }

    /// The same, and tells nothing.
    pub(super) async fn send(
        &self,
        asked: &Asked,
        tree: &Tree,
        cancel: &CancellationToken,
    ) -> Result<Synced, StorageError> {
        check_name(&asked.name)?;
        self.check_apart(&asked.destination, &asked.name, &asked.folders)?;
        let journal = Journal::open(&self.journal(asked))?;
        let target = self.target(&asked.destination, &asked.name, asked.public)?;
        let target = target.as_ref();
        let former = former(target, &asked.destination, &asked.name).await?;
        let is_near = self.place(&asked.destination)?.is_near();
        let sending = Sending { asked, target, journal: &journal, former: former.as_ref(), is_near, cancel };
        let keys: Vec<String> = tree.files.iter().map(|file| file.key.clone()).collect();
        let seen = target.look(&keys).await?;
        let (descriptors, data): (Vec<&SourceFile>, Vec<&SourceFile>) =
            tree.files.iter().partition(|file| is_descriptor(&file.key));
        let mut files = BTreeMap::new();
        let (mut sent, mut bytes) = (0, 0_u64);
        for wave in [data, descriptors] {
            for (key, entry, is_sent) in sending.wave(&wave, &seen).await? {
                if is_sent {
                    sent += 1;
                    bytes = bytes.saturating_add(entry.size);
                }
                files.insert(key, entry);
            }
        }
        for (key, upload) in journal.unfinished() {
            // Of files that are no more, or are others.
            target.abandon(&key, &upload).await?;
        }
        let gone = former.iter().flat_map(|former| &former.files).filter(|(key, _)| !files.contains_key(*key));
        let mut gone: Vec<(String, Entry)> = gone.map(|(key, entry)| (key.clone(), entry.clone())).collect();
        // What names data goes before it.
        gone.sort_by_key(|(key, _)| !is_descriptor(key));
        for (key, entry) in gone {
            if asked.removes {
                target.remove(&key).await?;
            } else {
                files.insert(key, Entry { left: true, ..entry });
            }
        }
        let manifest = Manifest::new(asked.mark.clone(), asked.public, files);
        if former.as_ref() != Some(&manifest) {
            target.write(manifest::NAME, manifest.to_bytes()?).await?;
        }
        journal.close()?;
        let keys: BTreeSet<&str> = manifest.current().map(|(key, _)| key).collect();
        let addresses =
            self.addresses(&asked.destination, &asked.name, asked.public_url.as_deref(), keys.iter().copied())?;
        Ok(Synced { manifest, sent, bytes, addresses })
    }

    /// Removes what was synced, data packages before what they name; or only what is recorded of it.
    ///
    /// # Errors
    /// When something cannot be removed: what is left of it is still recorded.
    pub async fn remove(&self, destination: &str, name: &str, with_files: bool) -> Result<(), StorageError> {
        let target = self.target(destination, name, false)?;
        let Some(manifest) = former(target.as_ref(), destination, name).await? else { return Ok(()) };
        let keys = manifest.files.keys().filter(|_| with_files);
        let (descriptors, data): (Vec<&String>, Vec<&String>) = keys.partition(|key| is_descriptor(key));
        for key in descriptors.into_iter().chain(data) {
            target.remove(key).await?;
        }
        target.remove(manifest::NAME).await
    }

    fn journal(&self, asked: &Asked) -> PathBuf {
        let name = crate::fingerprint::hash_of(&format!("{}\n{}\n{}", asked.destination, asked.name, asked.public));
        self.records.join(JOURNALS).join(name)
    }

    /// Tells which folder goes where.
    fn announce(&self, asked: &Asked, tell: &Tell<'_>) -> Result<(), StorageError> {
        tell(Told::Begun { public: asked.public });
        let place = self.place(&asked.destination)?;
        for folder in &asked.folders {
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            let key = format!("{}/{name}/", asked.name);
            let address = place.address(&key, &self.access.endpoints, asked.public_url.as_deref());
            let from = folder.strip_prefix(&self.project).unwrap_or(folder).display().to_string();
            tell(Told::Goes { from: &from, to: &address });
        }
        Ok(())
    }
}

/// Whether everything of a sync can be put below that name.
///
/// # Errors
/// When it cannot, with the reason.
pub(crate) fn check_name(name: &str) -> Result<(), StorageError> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_part = |part: &str| !part.is_empty() && !part.starts_with('.') && part.chars().all(is_of_name);
    match name.split('/').all(is_part) {
        true => Ok(()),
        false => Err(StorageError::invalid("name", format!("`name` is `{name}`, which is no path of names"))
            .hint("write letters, digits, `-`, `_` and `.`, with `/` between parts: `weekly` or `teams/weekly`")),
    }
}

/// True for what describes a data package.
fn is_descriptor(key: &str) -> bool {
    key.rsplit('/').next() == Some(DESCRIPTOR)
}

async fn former(target: &dyn Target, destination: &str, name: &str) -> Result<Option<Manifest>, StorageError> {
    let at = format!("{}/{name}/{}", destination.trim_end_matches('/'), manifest::NAME);
    target.text(manifest::NAME).await?.map(|bytes| Manifest::read(&bytes, &at)).transpose()
}

/// What sending needs to know.
struct Sending<'a> {
    asked: &'a Asked,
    target: &'a dyn Target,
    journal: &'a Journal,
    former: Option<&'a Manifest>,
    is_near: bool,
    cancel: &'a CancellationToken,
}

impl Sending<'_> {
    /// Sends files that do not need each other, a few at once. When one fails, those that are being sent are let end.
    async fn wave(
        &self,
        files: &[&SourceFile],
        seen: &BTreeMap<String, Seen>,
    ) -> Result<Vec<(String, Entry, bool)>, StorageError> {
        let failure = Mutex::new(None);
        let sends: Vec<_> = files.iter().map(|file| self.unless_failed(file, seen, &failure)).collect();
        let done: Vec<Option<_>> = stream::iter(sends).buffer_unordered(AT_ONCE).collect().await;
        match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(done.into_iter().flatten().collect()),
        }
    }

    /// Sends a file, unless another one failed before it was begun.
    async fn unless_failed(
        &self,
        file: &SourceFile,
        seen: &BTreeMap<String, Seen>,
        failure: &Mutex<Option<StorageError>>,
    ) -> Option<(String, Entry, bool)> {
        let failure = || failure.lock().unwrap_or_else(PoisonError::into_inner);
        if failure().is_some() {
            return None;
        }
        match self.one(file, seen.get(&file.key)).await {
            Ok((entry, is_sent)) => Some((file.key.clone(), entry, is_sent)),
            Err(error) => {
                failure().get_or_insert(error);
                None
            }
        }
    }

    async fn one(&self, file: &SourceFile, seen: Option<&Seen>) -> Result<(Entry, bool), StorageError> {
        if let Some(entry) = self.right(file, seen).await? {
            return Ok((entry, false));
        }
        if self.cancel.is_cancelled() {
            let message = "the sync was stopped; the next one goes on with what is not sent";
            return Err(StorageError::new(Trouble::Stopped, message));
        }
        let tag = self.target.send(file, self.journal, self.cancel).await?;
        let entry = Entry { size: file.size, sha256: file.sha256.clone(), tag, left: false };
        self.journal.has_sent(&file.key, &entry)?;
        Ok((entry, true))
    }

    /// What is known of the file at the destination, where that is the file.
    async fn right(&self, file: &SourceFile, seen: Option<&Seen>) -> Result<Option<Entry>, StorageError> {
        let Some(seen) = seen.filter(|seen| seen.size == file.size) else { return Ok(None) };
        // What others may read is another object.
        let former = self.former.filter(|former| former.public == self.asked.public);
        let known = [self.journal.sent(&file.key), former.and_then(|former| former.files.get(&file.key))];
        let is_known = known.into_iter().flatten().any(|entry| entry.sha256 == file.sha256 && seen.is_of(entry));
        let entry = Entry { size: file.size, sha256: file.sha256.clone(), tag: seen.tag.clone(), left: false };
        if is_known && !self.asked.checksum {
            return Ok(Some(entry));
        }
        // A folder is read quickly, also where it is not known who wrote the file; but not so that everybody may read it.
        if is_known || self.is_near && !self.asked.public {
            let digest = self.target.digest(&file.key).await?;
            return Ok(digest.filter(|digest| *digest == file.sha256).map(|_| entry));
        }
        Ok(None)
    }
}

impl Asked {
    /// A folder of this machine under the project folder, for who syncs without plan and state.
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
