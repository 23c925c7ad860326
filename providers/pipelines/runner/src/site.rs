//! Static sites of pipeline results, combined with static files that take precedence.
//!
//! A site is rendered as a whole into a new folder `versions/ID`, and the link `current` then switches atomically. The
//! previous version stays for present readers. `site.json` in the project's records lists the files with their digests;
//! a server serves only these.
//!
//! `render` creates and removes versions; this file has the records of sites. [`kubernetes`] shows a site in a cluster, and
//! [`pod`] is the part of it that runs there.

pub mod kubernetes;
pub mod pod;
mod render;

use crate::hash::hash_of_listing;
use crate::paths::{RECORDS, plain};
use crate::storage::source::{Filter, SourceFile, Tree};
use crate::storage::{StorageError, content_type};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use terrace_provider::sandbox::ProtectedFiles;

/// Default address of sites under `terrace serve`.
pub const DEFAULT_URL: &str = "http://127.0.0.1:8093/sites/";
/// Folder of the records of sites, in the folder of records.
const SITES: &str = "sites";
/// Name of a site's record.
const RECORD: &str = "site.json";
/// Format of records that this version reads and writes.
const FORMAT: u32 = 1;
/// Folder with templates of pages, which are not part of a site, and its files.
const TEMPLATE_FOLDER: &str = "templates";
const TEMPLATES: &str = "templates/**";
/// Name of the link to the present version.
const CURRENT: &str = "current";
/// Name of the folder of versions.
const VERSIONS: &str = "versions";

/// The sites of a project.
#[derive(Debug, Clone)]
pub struct SiteStore {
    project: PathBuf,
    url: String,
    /// Files that no site may show.
    protected: ProtectedFiles,
}

/// Configuration of a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Its name, which is part of the address.
    pub name: String,
    /// Folder of the outputs, relative to the project folder.
    pub content_dir: String,
    /// Folder of static files, which take precedence.
    pub overlay_dir: String,
    /// Page for addresses without a file.
    pub error_document: String,
    /// Value of the header `Cache-Control`.
    pub cache_control: String,
    /// Folder to render to; without it, `terrace serve` shows the site.
    pub render_to: Option<String>,
}

impl Plan {
    /// Site of that name with default folders.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            content_dir: "data".to_owned(),
            overlay_dir: "public".to_owned(),
            error_document: "404.html".to_owned(),
            cache_control: "no-cache".to_owned(),
            render_to: None,
        }
    }
}

/// Record of a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Site {
    format: u32,
    /// Call that created it.
    pub mark: String,
    /// Its configuration.
    pub plan: Plan,
    /// Folder of the present version.
    pub version: String,
    /// Its files, by path.
    pub files: BTreeMap<String, Page>,
}

/// A file of a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of its content, in hexadecimal digits.
    pub sha256: String,
}

/// A site for a server.
#[derive(Debug, Clone)]
pub struct Published {
    /// Folder of the version.
    pub folder: PathBuf,
    /// Its record; only these files are served.
    pub site: Site,
}

impl Site {
    /// Digest of all paths and contents.
    #[must_use]
    pub fn hash(&self) -> String {
        let files = self.files.iter().map(|(key, page)| (key.as_str(), page.size, page.sha256.as_str()));
        hash_of_listing(files)
    }

    /// Sum of all sizes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.values().map(|page| page.size).fold(0, u64::saturating_add)
    }

    /// Content type of a file.
    #[must_use]
    pub fn content_type(path: &str) -> String {
        content_type(path)
    }
}

impl SiteStore {
    /// Sites of the project in this folder, shown below that address.
    #[must_use]
    pub fn new(project: PathBuf, url: &str) -> Self {
        Self { project, url: format!("{}/", url.trim_end_matches('/')), protected: ProtectedFiles::default() }
    }

    /// Sets files that no site may show: a site with one of them is refused.
    #[must_use]
    pub fn with_protected(self, protected: ProtectedFiles) -> Self {
        Self { protected, ..self }
    }

    /// Address of a site.
    #[must_use]
    pub fn url(&self, plan: &Plan) -> String {
        match &plan.render_to {
            Some(_) => format!("{}/", self.root(plan).join(CURRENT).display()),
            None => format!("{}{}/", self.url, plan.name),
        }
    }

    /// Files of a site: outputs, with static files that take precedence; `None` if the outputs do not exist yet.
    ///
    /// # Errors
    /// When they cannot be read, or may not be shown.
    pub fn tree(&self, plan: &Plan) -> Result<Option<Tree>, StorageError> {
        check(plan)?;
        let (content, overlay) = self.folders(plan)?;
        if plan.render_to.is_some() {
            let root = self.root(plan);
            for (name, folder) in [("contentDir", &content), ("overlayDir", &overlay)] {
                if root.starts_with(folder) || folder.starts_with(&root) {
                    let message =
                        format!("`renderTo` and `{name}` contain each other: the site would be part of itself");
                    return Err(StorageError::invalid("renderTo", message));
                }
            }
        }
        if !content.is_dir() {
            return Ok(None);
        }
        self.files_in(&[content, overlay]).map(Some)
    }

    /// The static files of a site whose outputs are elsewhere, and the path of these outputs in the project.
    ///
    /// # Errors
    /// When they cannot be read, or may not be shown.
    pub fn overlay(&self, plan: &Plan) -> Result<(Tree, PathBuf), StorageError> {
        check(plan)?;
        let (content, overlay) = self.folders(plan)?;
        let within = content.strip_prefix(&self.project).unwrap_or(&content).to_owned();
        Ok((self.files_in(&[overlay])?, within))
    }

    fn folders(&self, plan: &Plan) -> Result<(PathBuf, PathBuf), StorageError> {
        Ok((self.folder("contentDir", &plan.content_dir)?, self.folder("overlayDir", &plan.overlay_dir)?))
    }

    /// The files of folders; later folders take precedence.
    fn files_in(&self, folders: &[PathBuf]) -> Result<Tree, StorageError> {
        let filter = Filter::new(&[], &[TEMPLATES.to_owned()])?.refusing(self.protected.clone());
        let mut files: BTreeMap<String, SourceFile> = BTreeMap::new();
        for folder in folders.iter().filter(|folder| folder.is_dir()) {
            let tree = Tree::of_folder(folder, &self.project, &filter)?;
            files.extend(tree.files.into_iter().map(|file| (file.key.clone(), file)));
        }
        Ok(Tree { files: files.into_values().collect() })
    }

    /// Entry of a site, relative to the project: its first page, or else the folder of outputs.
    pub fn entry_point(&self, plan: &Plan, tree: &Tree) -> String {
        let page = tree.files.iter().find(|file| file.key == "index.html");
        let page = page.map(|page| page.path.strip_prefix(&self.project).unwrap_or(&page.path));
        page.map_or_else(|| plan.content_dir.trim_end_matches('/').to_owned(), |page| page.display().to_string())
    }

    /// Record of a site; `None` if it does not exist.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn site(&self, name: &str) -> Result<Option<Site>, StorageError> {
        if !is_name(name) {
            return Ok(None);
        }
        let path = self.record(name);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StorageError::io("read", &path, &error)),
        };
        let site: Site = serde_json::from_slice(&bytes)
            .map_err(|error| StorageError::failed(format!("`{}` is not a site record: {error}", path.display())))?;
        match site.format == FORMAT {
            true => Ok(Some(site)),
            false => Err(StorageError::failed(format!("`{}` comes from another version of terrace", path.display()))),
        }
    }

    /// A site that a server shows.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn published(&self, name: &str) -> Result<Option<Published>, StorageError> {
        let site = self.site(name)?.filter(|site| site.plan.render_to.is_none());
        Ok(site.map(|site| Published { folder: self.version(&site.plan, &site.version), site }))
    }

    /// Path of a site's record, for servers that check it for changes.
    #[must_use]
    pub fn record(&self, name: &str) -> PathBuf {
        self.home(name).join(RECORD)
    }

    fn home(&self, name: &str) -> PathBuf {
        self.project.join(RECORDS).join(SITES).join(name)
    }

    /// Folder that contains the versions.
    fn root(&self, plan: &Plan) -> PathBuf {
        match &plan.render_to {
            Some(folder) => plain(&self.project.join(folder)),
            None => self.home(&plan.name),
        }
    }

    fn version(&self, plan: &Plan, version: &str) -> PathBuf {
        self.root(plan).join(VERSIONS).join(version)
    }

    fn folder(&self, attribute: &'static str, folder: &str) -> Result<PathBuf, StorageError> {
        let path = plain(&self.project.join(folder));
        let real = path.canonicalize().unwrap_or_else(|_| path.clone());
        match real.starts_with(&self.project) && real != self.project {
            true => Ok(path),
            false => Err(StorageError::invalid(
                attribute,
                format!("`{attribute}` is `{folder}`: expected a folder below the project folder"),
            )),
        }
    }
}

/// Returns true for a valid name of a site: one part of an address.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && !name.starts_with('.') && name.len() <= 100 && name.chars().all(is_of_name)
}

fn check(plan: &Plan) -> Result<(), StorageError> {
    if !is_name(&plan.name) {
        return Err(StorageError::invalid(
            "name",
            format!("`name` is `{}`, which cannot be part of an address", plan.name),
        )
        .hint("use letters, digits, `-`, `_` and `.`"));
    }
    if !plan.cache_control.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
        return Err(StorageError::invalid("cacheControl", "`cacheControl` has characters that headers do not allow"));
    }
    let is_part = |part: &str| !matches!(part, "" | "." | "..");
    if !plan.error_document.is_empty() && !plan.error_document.split('/').all(is_part) {
        let message = format!("`errorDocument` is `{}`: expected the path of a page of the site", plan.error_document);
        return Err(StorageError::invalid("errorDocument", message));
    }
    Ok(())
}

/// Returns true if a path exists, or is a link to anywhere.
fn path_exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
