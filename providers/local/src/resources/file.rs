//! `local_file`: a file in the project folder.
//!
//! The content comes from the descriptor (`content`, `contentBase64`) or from another file (`source`). If the content
//! is known, the plan contains its digest. So a changed source and a changed file both appear as a difference, and a
//! source that changes between plan and apply is refused.

mod content;
mod failure;
mod plan;
mod write;

use super::age::is_newer_than_call;
use super::attributes::{FOLDERS, boolean, given, id_of, is_marked, known, marked, text};
use super::mode;
use crate::project::{Project, ProjectPath, invalid};
use async_trait::async_trait;
use content::Summary;
use content::{Content, Stored};
use failure::file_error;
use std::time::Duration;
use terrace_provider::names::NameRule;
use terrace_provider::removed_paths::RemovedPaths;
use terrace_provider::{
    Attempt, Attribute, AttributeType, Attributes, Batch, Call, ErrorKind, Found, Lookup, LostCall, Object, Observed,
    Planned, PlannedChange, Private, ProposedChange, ProviderError, Recorded, ResourceType, Session, Value,
};
use write::{EmptiedFolders, Existing};

/// The type's name.
pub const NAME: &str = "local_file";

/// The attributes that set the content.
const CONTENT: &[&str] = &["content", "contentBase64", "source"];

/// The attributes that reveal the content, as plain text or as a digest.
const REVEALING: [&str; 4] = ["content", "contentBase64", "sha256", "size"];

/// The mode of a file without sensitive content.
const PUBLIC_MODE: &str = "0644";
/// The mode of a file with sensitive content: only the owner can read it.
const PRIVATE_MODE: &str = "0600";

/// The schema of `local_file`.
#[must_use]
pub fn resource_type() -> ResourceType {
    ResourceType {
        can_coexist: true,
        identity_space: "path",
        needs: &[FOLDERS],
        settle: Duration::ZERO,
        ..ResourceType::new(
            NAME,
            "A file in the project folder, written atomically.",
            &["path"],
            Object(vec![
                Attribute::new("path", AttributeType::String, "Path, relative to the project folder.")
                    .required()
                    .compared(NameRule::Path)
                    .replaces(),
                Attribute::new(
                    "content",
                    AttributeType::String,
                    "Content as text. Use one of `content`, `contentBase64` and `source`.",
                ),
                Attribute::new("contentBase64", AttributeType::String, "Content as base64."),
                Attribute::new("source", AttributeType::String, "File in the project folder to copy."),
                Attribute::new(
                    "mode",
                    AttributeType::String,
                    "Permission bits, octal. Default for sensitive content: `0600`.",
                )
                .default_value(PUBLIC_MODE)
                .or_computed()
                .follows(&["sensitive", "content", "contentBase64", "source"]),
                Attribute::new("sensitive", AttributeType::Bool, "Redacts the content, its digest and its size.")
                    .default_value(false),
                Attribute::new("makeParents", AttributeType::Bool, "Creates missing parent folders.")
                    .default_value(true),
                Attribute::new("sha256", AttributeType::String, "SHA-256 of the content, hexadecimal.")
                    .computed()
                    .follows(CONTENT),
                Attribute::new("size", AttributeType::Int, "Size in bytes.").computed().follows(CONTENT),
                Attribute::new("id", AttributeType::String, "The path in its normal form; the import id.").stable(),
            ]),
        )
    }
}

/// The schema of the lookup `local_file`.
#[must_use]
pub fn lookup() -> Lookup {
    Lookup {
        name: NAME,
        doc: "An existing file in the project folder.",
        arguments: Object(vec![
            Attribute::new("path", AttributeType::String, "Path, relative to the project folder.").required(),
            Attribute::new("sensitive", AttributeType::Bool, "Redacts the content, its digest and its size.")
                .default_value(false),
        ]),
        result: Object(vec![
            Attribute::new("path", AttributeType::String, "Path, relative to the project folder."),
            Attribute::new("content", AttributeType::String, "Content, if it is text of at most 16 MiB."),
            Attribute::new("contentBase64", AttributeType::String, "Content, if it is not text."),
            Attribute::new("mode", AttributeType::String, "Its permission bits, octal."),
            Attribute::new("sha256", AttributeType::String, "SHA-256 of the content, hexadecimal."),
            Attribute::new("size", AttributeType::Int, "Size in bytes."),
        ]),
        objects: &[NAME],
    }
}

/// Writes and reads files.
pub(crate) struct Files {
    project: Project,
    removed: RemovedPaths,
}

impl Files {
    /// Creates the session for one project folder.
    pub(crate) fn new(project: Project, removed: RemovedPaths) -> Self {
        Self { project, removed }
    }

    /// The folders that the operation of this call emptied.
    fn emptied(&self, call: &Call) -> EmptiedFolders {
        EmptiedFolders { removed: self.removed.clone(), operation: call.operation.clone() }
    }
}

#[async_trait]
impl Session for Files {
    async fn read(&self, _ty: &ResourceType, prior: &Recorded) -> Result<Option<Observed>, ProviderError> {
        let recorded = prior.attributes.clone();
        self.project.blocking(move |project| observe(project, &recorded)).await
    }

    fn read_batch<'a>(&'a self, _ty: &'a ResourceType, priors: &'a [Recorded]) -> Option<Batch<'a>> {
        Some(Box::pin(async move {
            let recorded: Vec<Attributes> = priors.iter().map(|prior| prior.attributes.clone()).collect();
            let reads = self
                .project
                .blocking(move |project| Ok(recorded.iter().map(|one| observe(project, one)).collect::<Vec<_>>()));
            reads.await.unwrap_or_else(|error| priors.iter().map(|_| Err(error.clone())).collect())
        }))
    }

    async fn plan(&self, ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
        let planned = plan::plan(ty, change)?;
        let is_default = given(change.config, "mode").is_none();
        let mode = is_default.then(|| plan::Prior::of(change.prior));
        // A source may be long or slow to read.
        match given(change.config, "source") {
            Some(_) => self.project.blocking(move |project| plan::complete(project, planned, mode)).await,
            None => self.project.in_place(move |project| plan::complete(project, planned, mode)).await,
        }
    }

    async fn create(&self, _ty: &ResourceType, call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
        let (attributes, emptied) = (planned.attributes.clone(), self.emptied(call));
        self.project.blocking(move |project| put(project, &attributes, Existing::Refused, &emptied)).await
    }

    async fn update(
        &self,
        _ty: &ResourceType,
        call: &Call,
        _prior: &Recorded,
        planned: &Planned,
    ) -> Result<Observed, ProviderError> {
        let (attributes, emptied) = (planned.attributes.clone(), self.emptied(call));
        self.project.blocking(move |project| put(project, &attributes, Existing::Replaced, &emptied)).await
    }

    /// Deletes the file even if it was changed outside terrace.
    async fn delete(&self, _ty: &ResourceType, call: &Call, prior: &Recorded) -> Result<(), ProviderError> {
        let (recorded, removed, operation) = (prior.attributes.clone(), self.removed.clone(), call.operation.clone());
        self.project
            .blocking(move |project| {
                let path = path_of(project, &recorded)?;
                if write::remove(project, &path)? {
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

    async fn lookup(&self, _name: &str, arguments: &Attributes) -> Result<Attributes, ProviderError> {
        let arguments = arguments.clone();
        self.project.blocking(move |project| look_up(project, &arguments)).await
    }

    async fn import(&self, _ty: &ResourceType, id: &str) -> Result<Option<Observed>, ProviderError> {
        let id = id.to_owned();
        self.project.blocking(move |project| import(project, &id)).await
    }
}

/// The path of the file.
fn path_of(project: &Project, attributes: &Attributes) -> Result<ProjectPath, ProviderError> {
    let path = text(attributes, "path").ok_or_else(|| ProviderError::bug("a local_file without a known `path`"))?;
    project.path("path", path)
}

/// Writes the planned file.
fn put(
    project: &Project,
    planned: &Attributes,
    existing: Existing,
    emptied: &EmptiedFolders,
) -> Result<Observed, ProviderError> {
    let path = path_of(project, planned)?;
    let content = Content::of(project, planned)?;
    let wanted_digest = text(planned, "sha256");
    let mode = text(planned, "mode").unwrap_or(default_mode(planned));
    let bits = mode::parse(mode)?;
    let entry = if boolean(planned, "makeParents").unwrap_or(true) {
        project.entry_with_parents(&path)?
    } else {
        project.entry(&path)?.ok_or_else(|| {
            invalid("path", format!("`path` is `{}`: its folder does not exist", path.display()))
                .solution("set `makeParents: true`, or create the folder with a `local_directory`")
        })?
    };
    let written = write::write(&entry, &path, &content, wanted_digest, bits, existing, emptied).map_err(|error| {
        match error.kind {
            // The missing file is the source, not the object of the call.
            ErrorKind::NotFound => invalid("source", error.message),
            _ => error,
        }
    })?;
    Ok(describe(planned, &path, &written, mode))
}

/// The default mode of a file.
fn default_mode(attributes: &Attributes) -> &'static str {
    if is_sensitive(attributes) { PRIVATE_MODE } else { PUBLIC_MODE }
}

/// The planned file after it was written.
fn describe(planned: &Attributes, path: &ProjectPath, written: &Summary, mode: &str) -> Observed {
    let mut attributes = known(planned);
    attributes.insert("mode".to_owned(), mode.into());
    let is_sensitive = is_sensitive(planned);
    attributes.insert("sha256".to_owned(), marked(written.sha256.as_str().into(), is_sensitive));
    attributes.insert("size".to_owned(), marked(written.size.into(), is_sensitive));
    observed(attributes, path)
}

fn observed(mut attributes: Attributes, path: &ProjectPath) -> Observed {
    let id = id_of(path, &attributes);
    // The identity does not depend on how the path is written.
    let identity = [("path".to_owned(), id.clone())].into_iter().collect();
    attributes.insert("id".to_owned(), id);
    Observed { identity, attributes, private: Private::default() }
}

/// True if the content of the file must not be shown.
fn is_sensitive(attributes: &Attributes) -> bool {
    boolean(attributes, "sensitive") == Some(true) || REVEALING.iter().any(|name| is_marked(attributes, name))
}

/// Reads the file in its recorded form; `None` if it does not exist.
fn observe(project: &Project, recorded: &Attributes) -> Result<Option<Observed>, ProviderError> {
    let path = path_of(project, recorded)?;
    let Some(entry) = project.entry(&path)? else { return Ok(None) };
    // A folder in its place means that the file was deleted.
    if entry.folder.symlink_metadata(&entry.name).is_ok_and(|metadata| metadata.is_dir()) {
        return Ok(None);
    }
    let Some(stored) = Stored::read(&entry, &path, recorded)? else { return Ok(None) };
    let is_sensitive = is_sensitive(recorded);
    let mut attributes = known(recorded);
    if let Some((name, value)) = stored.content {
        attributes.insert(name.to_owned(), marked(value, is_sensitive));
    }
    attributes.insert("mode".to_owned(), mode::print_as(text(recorded, "mode"), stored.mode).into());
    attributes.insert("sha256".to_owned(), marked(stored.sha256.into(), is_sensitive));
    attributes.insert("size".to_owned(), marked(stored.size.into(), is_sensitive));
    Ok(Some(observed(attributes, &path)))
}

fn find(project: &Project, attempt: &Attempt) -> Result<Found, ProviderError> {
    if let Some(prior) = &attempt.prior {
        // An object with a prior state is the recorded object, regardless of the call. Its content is read from the file.
        let expected = if attempt.planned.is_empty() { &prior.attributes } else { &attempt.planned };
        return Ok(observe(project, expected)?.map_or(Found::Absent, Found::Own));
    }
    let expected = if attempt.planned.contains_key("path") { &attempt.planned } else { &attempt.identity };
    let Some(observed) = observe(project, expected)? else { return Ok(Found::Absent) };
    let is_ours = match &attempt.lost_call {
        // An old file with the same bytes is not from this call: the call failed because of it or never ran.
        Some(lost) => {
            is_modified_after(lost, project, expected)? && is_planned_file(project, &observed.attributes, expected)?
        }
        None => false,
    };
    Ok(if is_ours { Found::Own(observed) } else { Found::Foreign(observed) })
}

/// True if the file was written after the lost call.
fn is_modified_after(lost: &LostCall, project: &Project, planned: &Attributes) -> Result<bool, ProviderError> {
    let path = path_of(project, planned)?;
    let Some(entry) = project.entry(&path)? else { return Ok(false) };
    let written = entry.folder.symlink_metadata(&entry.name).and_then(|metadata| metadata.modified());
    let written = written.map_err(|error| file_error("look at", &path, &error))?;
    Ok(is_newer_than_call(lost, written.into_std()))
}

/// True if the file is exactly the planned one.
fn is_planned_file(project: &Project, found: &Attributes, planned: &Attributes) -> Result<bool, ProviderError> {
    let wanted = match text(planned, "sha256") {
        Some(digest) => digest.to_owned(),
        None => match Content::of(project, planned)?.digest() {
            Ok(written) => written.sha256,
            // Without the source nothing is proven; the outcome stays unknown.
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        },
    };
    let is_same = |name| text(found, name) == text(planned, name);
    Ok(text(found, "sha256") == Some(wanted.as_str()) && is_same("mode"))
}

fn import(project: &Project, id: &str) -> Result<Option<Observed>, ProviderError> {
    let path = project.path("path", id)?;
    let mut expected = Attributes::default();
    for (name, value) in [("path", id.into()), ("sensitive", Value::Bool(false)), ("makeParents", Value::Bool(true))] {
        expected.insert(name.to_owned(), value);
    }
    let Some(entry) = project.entry(&path)? else { return Ok(None) };
    let Some(form) = content::importable_form(&entry, &path)? else { return observe(project, &expected) };
    // An empty value of the form requests the content in that form.
    expected.insert(form.to_owned(), "".into());
    observe(project, &expected)
}

fn look_up(project: &Project, arguments: &Attributes) -> Result<Attributes, ProviderError> {
    let path = text(arguments, "path").unwrap_or_default();
    let found = import(project, path)?
        .ok_or_else(|| ProviderError::new(ErrorKind::NotFound, format!("`path` is `{path}`: there is no such file")))?;
    let is_sensitive = boolean(arguments, "sensitive") == Some(true);
    let is_hidden = |name: &str| is_sensitive && REVEALING.contains(&name);
    let entry = |(name, value): (String, Value)| (name.clone(), marked(value, is_hidden(&name)));
    Ok(found.attributes.into_iter().map(entry).collect())
}
