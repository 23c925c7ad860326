//! `local_directory`: a folder in the project folder.
//!
//! The content of the folder is not managed: the folder is deleted if it is empty, or with its content for `onDelete:
//! recursive`.

use super::age::is_newer_than_call;
use super::attributes::{FOLDERS, id_of, known, text};
use super::mode;
use crate::project::{Entry, Project, ProjectPath, invalid, io_error, sync};
use async_trait::async_trait;
use cap_std::fs::{DirBuilder, DirBuilderExt, MetadataExt, Permissions, PermissionsExt};
use std::io;
use std::time::Duration;
use terrace_provider::names::NameRule;
use terrace_provider::plan::from_schema;
use terrace_provider::removed_paths::RemovedPaths;
use terrace_provider::{
    Attempt, Attribute, AttributeType, Attributes, Call, DataAmount, ErrorKind, Found, LostCall, Object, Observed,
    Planned, PlannedChange, Private, ProposedChange, ProviderError, Recorded, ResourceType, Session,
};

/// The type's name.
pub const NAME: &str = "local_directory";

const DEFAULT_MODE: &str = "0755";
const IF_EMPTY: &str = "ifEmpty";
const RECURSIVE: &str = "recursive";

/// The schema of `local_directory`.
#[must_use]
pub fn resource_type() -> ResourceType {
    ResourceType {
        holds_data: true,
        only_empty: Some(["onDelete", IF_EMPTY, RECURSIVE]),
        can_coexist: true,
        identity_space: "path",
        needs: &[FOLDERS],
        settle: Duration::ZERO,
        ..ResourceType::new(
            NAME,
            "A folder in the project folder.",
            &["path"],
            Object(vec![
                Attribute::new("path", AttributeType::String, "Path, relative to the project folder.")
                    .required()
                    .compared(NameRule::Path)
                    .replaces(),
                Attribute::new("mode", AttributeType::String, "Its permission bits, octal.")
                    .default_value(DEFAULT_MODE),
                Attribute::new("onDelete", AttributeType::String, "`ifEmpty`, or `recursive`: with its content.")
                    .default_value(IF_EMPTY),
                Attribute::new("id", AttributeType::String, "The path in its normal form; the import id.").stable(),
            ]),
        )
    }
}

/// Creates and removes folders.
pub(crate) struct Directories {
    project: Project,
    removed: RemovedPaths,
}

impl Directories {
    /// Creates the session for one project folder.
    pub(crate) fn new(project: Project, removed: RemovedPaths) -> Self {
        Self { project, removed }
    }
}

#[async_trait]
impl Session for Directories {
    async fn read(&self, _ty: &ResourceType, prior: &Recorded) -> Result<Option<Observed>, ProviderError> {
        let recorded = prior.attributes.clone();
        self.project.blocking(move |project| observe(project, &recorded)).await
    }

    async fn plan(&self, ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
        if let Some(bits) = text(change.config, "mode") {
            mode::parse(bits)?;
        }
        if let Some(other) = text(change.config, "onDelete").filter(|word| ![IF_EMPTY, RECURSIVE].contains(word)) {
            let message = format!("`onDelete` is `{other}`: expected `{IF_EMPTY}` or `{RECURSIVE}`");
            return Err(invalid("onDelete", message));
        }
        let mut plan = from_schema(ty, change);
        if let Some(path) = text(&plan.planned, "path") {
            let path = self.project.path("path", path)?;
            self.project.check_folder(&path)?;
            self.project.entry(&path)?;
            plan.planned.insert("id".to_owned(), id_of(&path, &plan.planned));
        }
        Ok(plan)
    }

    async fn create(&self, _ty: &ResourceType, _call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
        let attributes = planned.attributes.clone();
        self.project.blocking(move |project| create(project, &attributes)).await
    }

    async fn update(
        &self,
        _ty: &ResourceType,
        _call: &Call,
        _prior: &Recorded,
        planned: &Planned,
    ) -> Result<Observed, ProviderError> {
        let attributes = planned.attributes.clone();
        self.project.blocking(move |project| update(project, &attributes)).await
    }

    async fn delete(&self, _ty: &ResourceType, call: &Call, prior: &Recorded) -> Result<(), ProviderError> {
        let (recorded, removed, operation) = (prior.attributes.clone(), self.removed.clone(), call.operation.clone());
        self.project
            .blocking(move |project| {
                let path = path_of(project, &recorded)?;
                if delete(project, &path, &recorded)? {
                    removed.add(&operation, path.as_path());
                }
                Ok(())
            })
            .await
    }

    async fn find(&self, _ty: &ResourceType, attempt: &Attempt) -> Result<Found, ProviderError> {
        let attempt = attempt.clone();
        self.project.blocking(move |project| find(project, &attempt)).await
    }

    async fn import(&self, _ty: &ResourceType, id: &str) -> Result<Option<Observed>, ProviderError> {
        let recorded = [("path", id), ("onDelete", IF_EMPTY)];
        let recorded = recorded.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        self.project.blocking(move |project| observe(project, &recorded)).await
    }

    async fn count_data(&self, _ty: &ResourceType, prior: &Recorded) -> Result<DataAmount, ProviderError> {
        let recorded = prior.attributes.clone();
        self.project
            .blocking(move |project| {
                let path = path_of(project, &recorded)?;
                let Some((entry, _)) = open(project, &path)? else { return Ok(DataAmount::Empty) };
                Ok(match count_entries(&entry, &path)? {
                    0 => DataAmount::Empty,
                    count => DataAmount::Some { count: count as u64, text: entries(count) },
                })
            })
            .await
    }
}

fn path_of(project: &Project, attributes: &Attributes) -> Result<ProjectPath, ProviderError> {
    let path =
        text(attributes, "path").ok_or_else(|| ProviderError::bug("a local_directory without a known `path`"))?;
    let path = project.path("path", path)?;
    project.check_folder(&path)?;
    Ok(path)
}

/// The entry of an existing folder and its mode; `None` if nothing or a file is at the path.
fn open(project: &Project, path: &ProjectPath) -> Result<Option<(Entry, u32)>, ProviderError> {
    let Some(entry) = project.entry(path)? else { return Ok(None) };
    match entry.folder.symlink_metadata(&entry.name) {
        Ok(metadata) if metadata.is_dir() => Ok(Some((entry, metadata.mode()))),
        Ok(metadata) if metadata.is_file() => Ok(None),
        Ok(metadata) => {
            let (kind, solution) = match metadata.is_symlink() {
                true => ("a symbolic link", "name the folder that the link leads to, or use another path"),
                false => ("a device, pipe or socket", "use another path"),
            };
            let message = format!("`path` is `{}`: expected a folder, found {kind}", path.display());
            Err(invalid("path", message).solution(solution))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error("look at", path.as_path(), &error)),
    }
}

fn observe(project: &Project, recorded: &Attributes) -> Result<Option<Observed>, ProviderError> {
    let path = path_of(project, recorded)?;
    let Some((_, bits)) = open(project, &path)? else { return Ok(None) };
    let mut attributes = known(recorded);
    attributes.insert("mode".to_owned(), mode::print_as(text(recorded, "mode"), bits).into());
    Ok(Some(observed(attributes, &path)))
}

fn observed(mut attributes: Attributes, path: &ProjectPath) -> Observed {
    let id = id_of(path, &attributes);
    // The identity does not depend on how the path is written.
    let identity = [("path".to_owned(), id.clone())].into_iter().collect();
    attributes.insert("id".to_owned(), id);
    Observed { identity, attributes, private: Private::default() }
}

fn create(project: &Project, planned: &Attributes) -> Result<Observed, ProviderError> {
    let path = path_of(project, planned)?;
    let bits = mode::parse(text(planned, "mode").unwrap_or(DEFAULT_MODE))?;
    let entry = project.entry_with_parents(&path)?;
    let mut builder = DirBuilder::new();
    // Private at first; the exact mode is set below, independent of the umask.
    builder.mode(0o700);
    entry.folder.create_dir_with(&entry.name, &builder).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            let kind = ErrorKind::AlreadyExists { import_id: Some(path.display()) };
            ProviderError::new(kind, format!("there is something at `{}` already", path.display()))
        }
        _ => io_error("create the folder", path.as_path(), &error),
    })?;
    let observed = observed(known(planned), &path);
    let completed = set_mode(&entry, bits).and_then(|()| sync(&entry.folder));
    completed.map_err(|error| {
        let message = format!("the folder `{}` was created, but not completed: {error}", path.display());
        ProviderError::new(ErrorKind::Failed, message).with_object(observed.clone())
    })?;
    Ok(observed)
}

fn set_mode(entry: &Entry, bits: u32) -> io::Result<()> {
    entry.folder.set_permissions(&entry.name, Permissions::from_mode(bits))
}

fn update(project: &Project, planned: &Attributes) -> Result<Observed, ProviderError> {
    let path = path_of(project, planned)?;
    let Some((entry, found)) = open(project, &path)? else {
        return Err(ProviderError::new(ErrorKind::NotFound, format!("the folder `{}` does not exist", path.display())));
    };
    let bits = mode::parse(text(planned, "mode").unwrap_or(DEFAULT_MODE))?;
    if found & 0o7777 != bits {
        set_mode(&entry, bits).map_err(|error| io_error("set the mode of", path.as_path(), &error))?;
    }
    Ok(observed(known(planned), &path))
}

/// Removes the folder; returns whether it existed.
fn delete(project: &Project, path: &ProjectPath, recorded: &Attributes) -> Result<bool, ProviderError> {
    let Some((entry, _)) = open(project, path)? else { return Ok(false) };
    let is_recursive = text(recorded, "onDelete") == Some(RECURSIVE);
    let removed =
        if is_recursive { entry.folder.remove_dir_all(&entry.name) } else { entry.folder.remove_dir(&entry.name) };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            let count = count_entries(&entry, path)?;
            let message = format!("the folder `{}` is not empty: it contains {}", path.display(), entries(count));
            return Err(
                invalid("onDelete", message).solution("empty it, or apply `onDelete: recursive` first, then remove it")
            );
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(io_error("remove the folder", path.as_path(), &error));
        }
        _ => {}
    }
    sync(&entry.folder).map_err(|error| io_error("remove the folder", path.as_path(), &error))?;
    Ok(true)
}

fn count_entries(entry: &Entry, path: &ProjectPath) -> Result<usize, ProviderError> {
    let listed = entry
        .folder
        .read_dir(&entry.name)
        .and_then(|entries| entries.map(|entry| entry.map(|_| 1)).sum::<io::Result<usize>>());
    listed.map_err(|error| io_error("list", path.as_path(), &error))
}

fn entries(count: usize) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") }
}

fn find(project: &Project, attempt: &Attempt) -> Result<Found, ProviderError> {
    if let Some(prior) = &attempt.prior {
        let expected = if attempt.planned.is_empty() { &prior.attributes } else { &attempt.planned };
        return Ok(observe(project, expected)?.map_or(Found::Absent, Found::Own));
    }
    let expected = if attempt.planned.contains_key("path") { &attempt.planned } else { &attempt.identity };
    let path = path_of(project, expected)?;
    let Some((entry, _)) = open(project, &path)? else { return Ok(Found::Absent) };
    let Some(observed) = observe(project, expected)? else { return Ok(Found::Absent) };
    let is_ours = match &attempt.lost_call {
        Some(lost) => is_created_after(lost, &entry, &path)?,
        None => false,
    };
    Ok(if is_ours { Found::Own(observed) } else { Found::Foreign(observed) })
}

/// True if the folder was created after the lost call. A folder has no mark of its creator, so its age decides.
fn is_created_after(lost: &LostCall, entry: &Entry, path: &ProjectPath) -> Result<bool, ProviderError> {
    match entry.folder.symlink_metadata(&entry.name).and_then(|metadata| metadata.created()) {
        Ok(created) => Ok(is_newer_than_call(lost, created.into_std())),
        // Without a birth time, a folder with content does not come from an interrupted call.
        Err(_) => Ok(count_entries(entry, path)? == 0),
    }
}
