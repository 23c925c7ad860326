//! Attributes that resource types share: the folder of specs, and the pipeline in it.

use terrace_pipelines::execution_options::ExecutorKind;
use terrace_provider::{Attribute, AttributeType, Attributes, Path, ProviderError, Value, object_id};

/// Attributes that identify a pipeline.
pub(super) const IDENTITY: [&str; 2] = ["folder", "name"];

/// First attributes of every type.
pub(super) fn named() -> Vec<Attribute> {
    vec![
        Attribute::new(
            "folder",
            AttributeType::String,
            "Folder of the specs, relative to the project folder; `.` is the project folder.",
        )
        .default_value(".")
        .replaces(),
        Attribute::new(
            "name",
            AttributeType::String,
            "Id of the pipeline in this folder, as in `./committees/dump-to-db`.",
        )
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
    /// Name in the attributes; nothing while it is unknown.
    pub(super) fn of(attributes: &Attributes) -> Option<Self> {
        let text = |name: &str| attributes.get(name)?.as_str().map(str::to_owned);
        Some(Self { folder: text("folder").unwrap_or_else(|| ".".to_owned()), name: text("name")? })
    }

    /// Name in attributes of which all are known.
    ///
    /// # Errors
    /// When the name is unknown: a bug of the engine.
    pub(super) fn from_known(attributes: &Attributes) -> Result<Self, ProviderError> {
        Self::of(attributes).ok_or_else(|| ProviderError::bug("a pipeline without a name"))
    }

    /// Parses an id that the user entered.
    ///
    /// # Errors
    /// When the id is not valid.
    pub(super) fn from_id(id: &str) -> Result<Self, ProviderError> {
        match object_id::split(id, 2).and_then(|parts| <[String; 2]>::try_from(parts).ok()) {
            Some([folder, name]) => Ok(Self { folder, name }),
            None => Err(ProviderError::invalid(None, format!("`{id}` is not the id of a pipeline"))
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

/// Id of an object that a single word identifies.
pub(super) fn object_id_of(name: &str) -> Value {
    object_id::join([name]).into()
}

/// List of text values.
pub(super) fn texts<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Value {
    Value::List(texts.into_iter().map(|text| text.as_ref().into()).collect())
}

/// Runs blocking work outside of the async threads.
///
/// # Errors
/// The errors of the work.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ProviderError> + Send + 'static,
) -> Result<T, ProviderError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| ProviderError::bug(format!("work on the file system was lost: {error}")))?
}

/// Maps a file error before any change: the engine may retry.
pub(super) fn io_error(what: &str, error: &std::io::Error) -> ProviderError {
    ProviderError::new(terrace_provider::ErrorKind::Transient, format!("{what}: {error}"))
}

/// The value of `executor` for a cluster.
pub(super) const IN_CLUSTER: &str = "kubernetes";

/// Returns true if attributes place a database or a site in a cluster.
pub(super) fn is_in_cluster(attributes: &Attributes) -> bool {
    attributes.get("executor").and_then(Value::as_str) == Some(IN_CLUSTER)
}

/// Parses `executor`, true for a cluster; nothing without it.
pub(super) fn parse_executor(config: &Attributes) -> Result<Option<bool>, ProviderError> {
    let Some(word) = config.get("executor").and_then(Value::as_str) else { return Ok(None) };
    let known: Vec<&str> = ExecutorKind::WORDS.iter().map(|(word, _)| *word).collect();
    match ExecutorKind::WORDS.iter().find(|(known, _)| *known == word) {
        Some((_, kind)) => Ok(Some(*kind == ExecutorKind::Kubernetes)),
        None => {
            let message = format!("`executor` is `{word}`: expected `local` or `kubernetes`");
            Err(ProviderError::invalid(Some(Path::attribute("executor")), message).did_you_mean(word, &known))
        }
    }
}
