//! Versions of a site: created next to the present one, and switched atomically.

use super::{CURRENT, FORMAT, Page, Plan, RECORD, SITES, Site, SiteStore, VERSIONS, path_exists};
use crate::paths::RECORDS;
use crate::storage::StorageError;
use crate::storage::source::{Filter, SourceFile, Tree};
use sha2::{Digest, Sha256};
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use uuid::Uuid;

/// Mode of files, which are public.
const FILE: u32 = 0o644;
/// Mode of folders.
const FOLDER: u32 = 0o755;
/// Prefix of incomplete versions.
const PARTIAL: &str = ".partial-";

impl SiteStore {
    /// Creates a version of a tree and switches to it. The previous version stays, older ones are removed.
    ///
    /// # Errors
    /// When it cannot be created: then the present version stays.
    pub fn render(&self, plan: &Plan, tree: &Tree, mark: &str) -> Result<Site, StorageError> {
        // Sites of the server are in the private folder of records.
        let records = self.project.join(RECORDS);
        crate::private::folder(&records).map_err(|error| StorageError::io("create", &records, &error))?;
        let root = self.root(plan);
        let current = root.join(CURRENT);
        if path_exists(&current) && !current.is_symlink() {
            let message = format!("`{}` exists and is not the link of a site", current.display());
            return Err(StorageError::failed(message).hint("render to another folder, or remove it"));
        }
        let before = fs::read_link(&current).ok().and_then(|link| Some(link.file_name()?.to_str()?.to_owned()));
        let version = Uuid::now_v7().to_string();
        let versions = root.join(VERSIONS);
        let partial = versions.join(format!("{PARTIAL}{version}"));
        let created = fill(&partial, tree).and_then(|()| {
            let place = versions.join(&version);
            fs::rename(&partial, &place).map_err(|error| StorageError::io("move into place", &place, &error))
        });
        if let Err(error) = created {
            // The first error is the relevant one.
            drop(fs::remove_dir_all(&partial));
            return Err(error);
        }
        let next = root.join(format!(".{CURRENT}-{version}"));
        let failed = |error: io::Error| StorageError::io("link to the version", &current, &error);
        symlink(Path::new(VERSIONS).join(&version), &next).map_err(failed)?;
        fs::rename(&next, &current).map_err(failed)?;
        let files =
            tree.files.iter().map(|file| (file.key.clone(), Page { size: file.size, sha256: file.sha256.clone() }));
        let site = Site {
            format: FORMAT,
            mark: mark.to_owned(),
            plan: plan.clone(),
            version: version.clone(),
            files: files.collect(),
        };
        self.write(&site)?;
        prune(&root, |name| name == version || Some(name) == before.as_deref())?;
        Ok(site)
    }

    /// Digest of a site's present files; `None` if it is not shown.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn current_hash(&self, site: &Site) -> Result<Option<String>, StorageError> {
        let link = self.root(&site.plan).join(CURRENT);
        let Ok(leads_to) = fs::read_link(&link) else { return Ok(None) };
        let folder = self.version(&site.plan, &site.version);
        if !folder.is_dir() {
            return Ok(None);
        }
        if leads_to != Path::new(VERSIONS).join(&site.version) {
            return Ok(Some(format!("of another version, {}", leads_to.display())));
        }
        let tree = Tree::of_folder(&folder, &folder, &Filter::new(&[], &[])?)?;
        Ok(Some(tree.hash()))
    }

    /// Writes the record of a site.
    ///
    /// # Errors
    /// When it cannot be recorded.
    pub(crate) fn write(&self, site: &Site) -> Result<(), StorageError> {
        let home = self.project.join(RECORDS).join(SITES).join(&site.plan.name);
        let path = home.join(RECORD);
        let failed = |error: io::Error| StorageError::io("write", &path, &error);
        crate::private::folder(&home).map_err(failed)?;
        let bytes = serde_json::to_vec(site)
            .map_err(|error| StorageError::failed(format!("the site cannot be recorded: {error}")))?;
        let partial = home.join(format!(".{RECORD}"));
        let mut file = File::create(&partial).map_err(failed)?;
        file.write_all(&bytes).and_then(|()| file.sync_data()).map_err(failed)?;
        fs::rename(&partial, &path).map_err(failed)
    }

    /// Removes a site: its versions, its link, its record. Other files in the folder stay.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn remove(&self, site: &Site) -> Result<(), StorageError> {
        let root = self.root(&site.plan);
        let current = root.join(CURRENT);
        if current.is_symlink() {
            fs::remove_file(&current).map_err(|error| StorageError::io("remove", &current, &error))?;
        }
        prune(&root, |_| false)?;
        let record = self.record(&site.plan.name);
        match fs::remove_file(&record) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StorageError::io("remove", &record, &error));
            }
            _ => {}
        }
        for folder in [root.join(VERSIONS), root, self.home(&site.plan.name)] {
            // An error means that the folder has other files.
            drop(fs::remove_dir(folder));
        }
        Ok(())
    }
}

/// Removes versions that are not kept, and incomplete ones.
fn prune(root: &Path, is_kept: impl Fn(&str) -> bool) -> Result<(), StorageError> {
    let versions = root.join(VERSIONS);
    let entries = match fs::read_dir(&versions) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|error| StorageError::io("read", &versions, &error))?,
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_version = Uuid::parse_str(name.strip_prefix(PARTIAL).unwrap_or(&name)).is_ok();
        if is_version && !is_kept(&name) {
            let path = entry.path();
            fs::remove_dir_all(&path).map_err(|error| StorageError::io("remove", &path, &error))?;
        }
    }
    Ok(())
}

/// Copies a tree into a new folder.
fn fill(folder: &Path, tree: &Tree) -> Result<(), StorageError> {
    make(folder)?;
    for file in &tree.files {
        let to = folder.join(&file.key);
        if let Some(above) = to.parent() {
            make(above)?;
        }
        copy(file, &to)?;
    }
    Ok(())
}

fn make(folder: &Path) -> Result<(), StorageError> {
    let failed = |error: io::Error| StorageError::io("create", folder, &error);
    let missing: Vec<&Path> = folder.ancestors().take_while(|folder| !folder.is_dir()).collect();
    fs::create_dir_all(folder).map_err(failed)?;
    missing
        .into_iter()
        .try_for_each(|created| fs::set_permissions(created, Permissions::from_mode(FOLDER)).map_err(failed))
}

fn copy(file: &SourceFile, to: &Path) -> Result<(), StorageError> {
    let unreadable = |error: io::Error| StorageError::io("read", &file.path, &error);
    let failed = |error: io::Error| StorageError::io("write", to, &error);
    let mut source = File::open(&file.path).map_err(unreadable)?;
    let mut target = File::create(to).map_err(failed)?;
    let (mut digest, mut buffer) = (Sha256::new(), vec![0_u8; 1 << 16]);
    loop {
        let read = source.read(&mut buffer).map_err(unreadable)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        digest.update(bytes);
        target.write_all(bytes).map_err(failed)?;
    }
    if base16ct::lower::encode_string(&digest.finalize()) != file.sha256 {
        let message = format!("`{}` changed while it was being copied", file.path.display());
        return Err(StorageError::failed(message).hint("plan again when no process writes it"));
    }
    target.set_permissions(Permissions::from_mode(FILE)).map_err(failed)?;
    target.sync_data().map_err(failed)
}
