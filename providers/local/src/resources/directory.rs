//! `local_directory`: a folder in the project folder.
//!
//! The content of the folder is not managed: the folder is deleted if it is empty, or with its content for `onDelete:
//! recursive`.

use super::age::is_since;
use super::attributes::{FOLDERS, id_of, known, text};
use super::mode;
use crate::project::{Place, Project, ProjectPath, invalid, io_error, sync};
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
            self.project.place(&path)?;
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
                let Some((place, _)) = open(project, &path)? else { return Ok(DataAmount::Empty) };
                Ok(match count_entries(&place, &path)? {
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

/// The place of an existing folder and its mode; `None` if nothing or a file is at the path.
fn open(project: &Project, path: &ProjectPath) -> Result<Option<(Place, u32)>, ProviderError> {
    let Some(place) = project.place(path)? else { return Ok(None) };
    match place.folder.symlink_metadata(&place.name) {
        Ok(metadata) if metadata.is_dir() => Ok(Some((place, metadata.mode()))),
        Ok(metadata) if metadata.is_file() => Ok(None),
        Ok(metadata) => {
            let what = if metadata.is_symlink() { "a symbolic link" } else { "a device, pipe or socket" };
            let message = format!("`path` is `{}`: expected a folder, found {what}", path.display());
            Err(invalid("path", message).solution("remove it, or use another path"))
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
    let place = project.make_place(&path)?;
    let mut builder = DirBuilder::new();
    // Private at first; the exact mode is set below, independent of the umask.
    builder.mode(0o700);
    place.folder.create_dir_with(&place.name, &builder).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            let kind = ErrorKind::AlreadyExists { import_id: Some(path.display()) };
            ProviderError::new(kind, format!("there is something at `{}` already", path.display()))
        }
        _ => io_error("create the folder", path.as_path(), &error),
    })?;
    let observed = observed(known(planned), &path);
    let made = set_mode(&place, bits).and_then(|()| sync(&place.folder));
    made.map_err(|error| {
        let message = format!("the folder `{}` was created, but not completed: {error}", path.display());
        ProviderError::new(ErrorKind::Failed, message).with_object(observed.clone())
    })?;
    Ok(observed)
}

fn set_mode(place: &Place, bits: u32) -> io::Result<()> {
    place.folder.set_permissions(&place.name, Permissions::from_mode(bits))
}

fn update(project: &Project, planned: &Attributes) -> Result<Observed, ProviderError> {
    let path = path_of(project, planned)?;
    let Some((place, found)) = open(project, &path)? else {
        return Err(ProviderError::new(ErrorKind::NotFound, format!("the folder `{}` does not exist", path.display())));
    };
    let bits = mode::parse(text(planned, "mode").unwrap_or(DEFAULT_MODE))?;
    if found & 0o7777 != bits {
        set_mode(&place, bits).map_err(|error| io_error("set the mode of", path.as_path(), &error))?;
    }
    Ok(observed(known(planned), &path))
}

/// Removes the folder; returns whether it existed.
fn delete(project: &Project, path: &ProjectPath, recorded: &Attributes) -> Result<bool, ProviderError> {
    let Some((place, _)) = open(project, path)? else { return Ok(false) };
    let is_recursive = text(recorded, "onDelete") == Some(RECURSIVE);
    let removed =
        if is_recursive { place.folder.remove_dir_all(&place.name) } else { place.folder.remove_dir(&place.name) };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            let count = count_entries(&place, path)?;
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
    sync(&place.folder).map_err(|error| io_error("remove the folder", path.as_path(), &error))?;
    Ok(true)
}

fn count_entries(place: &Place, path: &ProjectPath) -> Result<usize, ProviderError> {
    let listed = place
        .folder
        .read_dir(&place.name)
        .and_then(|entries| entries.map(|entry| entry.map(|_| 1)).sum::<io::Result<usize>>());
    listed.map_err(|error| io_error("list", path.as_path(), &error))
}

fn entries(count: usize) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") }
}

fn find(project: &Project, attempt: &Attempt) -> Result<Found, ProviderError> {
    if let Some(prior) = &attempt.prior {
        let expected = if attempt.planned.is_empty() { &prior.attributes } else { &attempt.planned };
        return Ok(observe(project, expected)?.map_or(Found::Absent, Found::Ours));
    }
    let expected = if attempt.planned.contains_key("path") { &attempt.planned } else { &attempt.identity };
    let path = path_of(project, expected)?;
    let Some((place, _)) = open(project, &path)? else { return Ok(Found::Absent) };
    let Some(observed) = observe(project, expected)? else { return Ok(Found::Absent) };
    let is_ours = match &attempt.lost_call {
        Some(lost) => is_made_since(lost, &place, &path)?,
        None => false,
    };
    Ok(if is_ours { Found::Ours(observed) } else { Found::Strangers(observed) })
}

/// True if the folder was created after the lost call. A folder has no mark of its creator, so its age decides.
fn is_made_since(lost: &LostCall, place: &Place, path: &ProjectPath) -> Result<bool, ProviderError> {
    match place.folder.symlink_metadata(&place.name).and_then(|metadata| metadata.created()) {
        Ok(made) => Ok(is_since(lost, made.into_std())),
        // Without a birth time, a folder with content does not come from an interrupted call.
        Err(_) => Ok(count_entries(place, path)? == 0),
    }
}
