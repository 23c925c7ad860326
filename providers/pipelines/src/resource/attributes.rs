//! What both types have in common: the folder whose specs are read, and a pipeline of it.

use terrace_provider::{Attribute, AttributeType, Attributes, ProviderError, Value, object_id};

/// The attributes that name a pipeline.
pub(super) const IDENTITY: [&str; 2] = ["folder", "name"];

/// The attributes that every type begins with.
pub(super) fn named() -> Vec<Attribute> {
    vec![
        Attribute::new(
            "folder",
            AttributeType::String,
            "The folder whose specs are read, relative to the project folder; `.` is that itself.",
        )
        .default_value(".")
        .replaces(),
        Attribute::new("name", AttributeType::String, "The id of the pipeline in it, as in `./committees/dump-to-db`.")
            .required()
            .replaces(),
        Attribute::new("id", AttributeType::String, "Folder and name, for `terrace import`.").stable(),
    ]
}

/// A pipeline by its folder and id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) folder: String,
    pub(super) name: String,
}

impl Name {
    /// The name that attributes say; nothing while it is not known.
    pub(super) fn of(attributes: &Attributes) -> Option<Self> {
        let text = |name: &str| attributes.get(name)?.as_str().map(str::to_owned);
        Some(Self { folder: text("folder").unwrap_or_else(|| ".".to_owned()), name: text("name")? })
    }

    /// The same, of attributes that are known.
    ///
    /// # Errors
    /// When they are not: then the engine is at fault.
    pub(super) fn known(attributes: &Attributes) -> Result<Self, ProviderError> {
        Self::of(attributes).ok_or_else(|| ProviderError::bug("a pipeline without a name"))
    }

    /// The name of an id that a person gave.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn of_id(id: &str) -> Result<Self, ProviderError> {
        match object_id::split(id, 2).and_then(|parts| <[String; 2]>::try_from(parts).ok()) {
            Some([folder, name]) => Ok(Self { folder, name }),
            None => Err(ProviderError::invalid(None, format!("`{id}` names no pipeline"))
                .solution("write folder and name, percent-encoded, as in `./.%2Fdump-to-db`")),
        }
    }

    pub(super) fn id(&self) -> String {
        object_id::join([&self.folder, &self.name])
    }

    pub(super) fn identity(&self) -> Attributes {
        let [folder, name] = IDENTITY;
        [(folder.to_owned(), self.folder.as_str().into()), (name.to_owned(), self.name.as_str().into())]
            .into_iter()
            .collect()
    }
}

/// The id of what a single word names.
pub(super) fn object_id_of(name: &str) -> Value {
    object_id::join([name]).into()
}

/// A list of texts.
pub(super) fn texts<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Value {
    Value::List(texts.into_iter().map(|text| text.as_ref().into()).collect())
}

/// Work that blocks, where it blocks nobody.
///
/// # Errors
/// Those of the work.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ProviderError> + Send + 'static,
) -> Result<T, ProviderError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| ProviderError::bug(format!("work on the file system was lost: {error}")))?
}

/// What an error of a file says before anything was changed.
pub(super) fn io_error(what: &str, error: &std::io::Error) -> ProviderError {
    ProviderError::new(terrace_provider::ErrorKind::Transient, format!("{what}: {error}"))
}
