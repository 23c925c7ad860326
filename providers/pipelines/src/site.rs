//! Static sites: what pipelines wrote for people, under what lies ready for it, shown as one.
//!
//! A site is rendered as a whole into a folder of its own, `versions/ID`, and the link `current` leads there from one moment
//! to the next. The last version but one stays, for whoever is just reading it. What a site is stands in `site.json` in the
//! project's records: files with their digests, which is also all that a server of it hands out.
//!
//! `render` makes and removes versions; here is where sites are recorded.

mod render;

use crate::settings::RECORDS;
use crate::storage::source::{Filter, SourceFile, Tree};
use crate::storage::{StorageError, content_type};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use terrace_provider::sandbox::ProtectedFiles;

/// Where `terrace serve` shows sites unless it is told otherwise.
pub const DEFAULT_URL: &str = "http://127.0.0.1:8093/sites/";
/// Where sites are recorded, in the folder of records.
const SITES: &str = "sites";
/// What is recorded of one.
const RECORD: &str = "site.json";
/// The form that this terrace reads and writes.
const FORMAT: u32 = 1;
/// What pages are made of is no page.
const TEMPLATES: &str = "templates/**";
/// The link to the version that is shown.
const CURRENT: &str = "current";
/// Where versions are.
const VERSIONS: &str = "versions";

/// The sites of a project.
#[derive(Debug, Clone)]
pub struct Shelf {
    project: PathBuf,
    url: String,
    /// Files that no site shows.
    protected: ProtectedFiles,
}

/// What is asked of a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Its name, which is a part of its address.
    pub name: String,
    /// The folder of what was written, relative to the project folder.
    pub content_dir: String,
    /// The folder of what lies ready; its files go before.
    pub overlay_dir: String,
    /// The page for what is not there.
    pub error_document: String,
    /// What readers and those between may keep, as a header.
    pub cache_control: String,
    /// The folder that it is rendered to, instead of being shown by `terrace serve`.
    pub render_to: Option<String>,
}

impl Plan {
    /// A site of that name, of what lies where it usually does.
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

/// A site as it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Site {
    format: u32,
    /// The call that made it.
    pub mark: String,
    /// What was asked.
    pub plan: Plan,
    /// The folder of the version that is shown.
    pub version: String,
    /// Its pages and whatever belongs to them, by their paths.
    pub files: BTreeMap<String, Page>,
}

/// One file of a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// In bytes.
    pub size: u64,
    /// Of its content, in hexadecimal digits.
    pub sha256: String,
}

/// A site for a server to hand out.
#[derive(Debug, Clone)]
pub struct Published {
    /// The folder of the version.
    pub folder: PathBuf,
    /// What it has; nothing else is handed out.
    pub site: Site,
}

impl Site {
    /// A digest of all paths and contents.
    #[must_use]
    pub fn hash(&self) -> String {
        let files = self.files.iter().map(|(key, page)| (key.as_str(), page.size, page.sha256.as_str()));
        crate::storage::manifest::digest(files)
    }

    /// The sum of all sizes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.values().map(|page| page.size).fold(0, u64::saturating_add)
    }

    /// The content type of one of its files.
    #[must_use]
    pub fn content_type(path: &str) -> String {
        content_type(path)
    }
}

impl Shelf {
    /// The sites of the project in this folder, shown below that address.
    #[must_use]
    pub fn new(project: PathBuf, url: &str) -> Self {
        Self { project, url: format!("{}/", url.trim_end_matches('/')), protected: ProtectedFiles::default() }
    }

    /// The same shelf; a site that would show one of these files is refused.
    #[must_use]
    pub fn refusing(self, protected: ProtectedFiles) -> Self {
        Self { protected, ..self }
    }

    /// The address of a site.
    #[must_use]
    pub fn url(&self, plan: &Plan) -> String {
        match &plan.render_to {
            Some(_) => format!("{}/", self.root(plan).join(CURRENT).display()),
            None => format!("{}{}/", self.url, plan.name),
        }
    }

    /// What a site is to have: what was written, under what lies ready; `None` while nothing was written.
    ///
    /// # Errors
    /// When it cannot be read, or cannot be shown.
    pub(crate) fn tree(&self, plan: &Plan) -> Result<Option<Tree>, StorageError> {
        check(plan)?;
        let filter = Filter::new(&[], &[TEMPLATES.to_owned()])?.refusing(self.protected.clone());
        let (content, overlay) =
            (self.folder("contentDir", &plan.content_dir)?, self.folder("overlayDir", &plan.overlay_dir)?);
        if plan.render_to.is_some() {
            let root = self.root(plan);
            for (name, folder) in [("contentDir", &content), ("overlayDir", &overlay)] {
                if root.starts_with(folder) || folder.starts_with(&root) {
                    let message =
                        format!("`renderTo` and `{name}` lie in each other: the site would be a part of itself");
                    return Err(StorageError::invalid("renderTo", message));
                }
            }
        }
        if !content.is_dir() {
            return Ok(None);
        }
        let mut files: BTreeMap<String, SourceFile> = BTreeMap::new();
        for folder in [&content, &overlay].into_iter().filter(|folder| folder.is_dir()) {
            let tree = Tree::of_folder(folder, &self.project, &filter)?;
            files.extend(tree.files.into_iter().map(|file| (file.key.clone(), file)));
        }
        Ok(Some(Tree { files: files.into_values().collect() }))
    }

    /// What people open of a site, relative to the project: its first page, else the folder that was written.
    pub(crate) fn door(&self, plan: &Plan, tree: &Tree) -> String {
        let page = tree.files.iter().find(|file| file.key == "index.html");
        let page = page.map(|page| page.path.strip_prefix(&self.project).unwrap_or(&page.path));
        page.map_or_else(|| plan.content_dir.trim_end_matches('/').to_owned(), |page| page.display().to_string())
    }

    /// A site as it is recorded; `None` where there is none.
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
            .map_err(|error| StorageError::failed(format!("`{}` is no record of a site: {error}", path.display())))?;
        match site.format == FORMAT {
            true => Ok(Some(site)),
            false => Err(StorageError::failed(format!("`{}` is of another terrace", path.display()))),
        }
    }

    /// A site that is shown by a server, and where its record is, to look whether it is another one by now.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn published(&self, name: &str) -> Result<Option<Published>, StorageError> {
        let site = self.site(name)?.filter(|site| site.plan.render_to.is_none());
        Ok(site.map(|site| Published { folder: self.version(&site.plan, &site.version), site }))
    }

    /// Where a site is recorded.
    #[must_use]
    pub fn record(&self, name: &str) -> PathBuf {
        self.home(name).join(RECORD)
    }

    fn home(&self, name: &str) -> PathBuf {
        self.project.join(RECORDS).join(SITES).join(name)
    }

    /// The folder that has the versions.
    fn root(&self, plan: &Plan) -> PathBuf {
        match &plan.render_to {
            Some(folder) => crate::fingerprint::plain(&self.project.join(folder)),
            None => self.home(&plan.name),
        }
    }

    fn version(&self, plan: &Plan, version: &str) -> PathBuf {
        self.root(plan).join(VERSIONS).join(version)
    }

    fn folder(&self, attribute: &'static str, folder: &str) -> Result<PathBuf, StorageError> {
        let path = crate::fingerprint::plain(&self.project.join(folder));
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

/// Whether that can be the name of a site: one part of an address.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && !name.starts_with('.') && name.len() <= 100 && name.chars().all(is_of_name)
}

fn check(plan: &Plan) -> Result<(), StorageError> {
    if !is_name(&plan.name) {
        return Err(StorageError::invalid(
            "name",
            format!("`name` is `{}`, which is no part of an address", plan.name),
        )
        .hint("write letters, digits, `-`, `_` and `.`"));
    }
    if !plan.cache_control.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
        return Err(StorageError::invalid("cacheControl", "`cacheControl` has characters that no header has"));
    }
    let is_part = |part: &str| !matches!(part, "" | "." | "..");
    if !plan.error_document.is_empty() && !plan.error_document.split('/').all(is_part) {
        let message = format!("`errorDocument` is `{}`: expected the path of a page of the site", plan.error_document);
        return Err(StorageError::invalid("errorDocument", message));
    }
    Ok(())
}

/// True when a path exists or is a link, wherever that leads.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
