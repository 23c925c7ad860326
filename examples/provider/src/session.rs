//! Calls of an instance, translated to the store.

use crate::store::{Entry, Store};
use async_trait::async_trait;
use std::io;
use terrace_provider::plan::from_schema;
use terrace_provider::{
    Attempt, Attributes, Call, ErrorKind, Found, Observed, Path, Planned, PlannedChange, Private, ProposedChange,
    ProviderError, Recorded, ResourceType, Session, Value,
};

/// A session with one store.
#[derive(Debug)]
pub(crate) struct KvSession {
    store: Store,
}

impl KvSession {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Runs blocking work on the store in a separate thread.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, ProviderError> + Send + 'static,
    ) -> Result<T, ProviderError> {
        let store = self.store.clone();
        let done = tokio::task::spawn_blocking(move || work(&store)).await;
        done.map_err(|error| ProviderError::bug(format!("a store call panicked or was cancelled: {error}")))?
    }

    async fn observed(&self, key: String, like: Attributes) -> Result<Option<Observed>, ProviderError> {
        self.blocking(move |store| Ok(get(store, &key)?.map(|entry| observed(&key, entry, &like)))).await
    }
}

#[async_trait]
impl Session for KvSession {
    async fn read(&self, _ty: &ResourceType, prior: &Recorded) -> Result<Option<Observed>, ProviderError> {
        self.observed(key_of(&prior.attributes)?, prior.attributes.clone()).await
    }

    /// Plans from the schema, and checks the key, because a schema has no rules for texts.
    async fn plan(&self, ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
        // `create` checks a key that is unknown now.
        if let Some(key) = change.config.get("key").and_then(Value::as_str) {
            check_key(key)?;
        }
        Ok(from_schema(ty, change))
    }

    async fn create(&self, _ty: &ResourceType, call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
        let key = key_of(&planned.attributes)?;
        check_key(&key)?;
        let attributes = planned.attributes.clone();
        let entry = entry_of(&attributes, 1, mark(&call.operation, &call.step));
        self.blocking(move |store| {
            if store.add(&key, &entry).map_err(|error| failed("written", &key, &error))? {
                return Ok(observed(&key, entry, &attributes));
            }
            // Adopts nothing silently: terrace prints how to import the entry.
            let kind = ErrorKind::AlreadyExists { import_id: Some(key.clone()) };
            Err(ProviderError::new(kind, format!("the entry `{key}` exists already")))
        })
        .await
    }

    async fn update(
        &self,
        _ty: &ResourceType,
        _call: &Call,
        _prior: &Recorded,
        planned: &Planned,
    ) -> Result<Observed, ProviderError> {
        let key = key_of(&planned.attributes)?;
        let attributes = planned.attributes.clone();
        self.blocking(move |store| {
            let Some(old) = get(store, &key)? else {
                return Err(ProviderError::new(ErrorKind::NotFound, format!("the entry `{key}` no longer exists")));
            };
            let entry = entry_of(&attributes, old.revision.saturating_add(1), old.made_by);
            store.set(&key, &entry).map_err(|error| failed("written", &key, &error))?;
            Ok(observed(&key, entry, &attributes))
        })
        .await
    }

    async fn delete(&self, _ty: &ResourceType, _call: &Call, prior: &Recorded) -> Result<(), ProviderError> {
        let key = key_of(&prior.attributes)?;
        self.blocking(move |store| store.remove(&key).map_err(|error| failed("removed", &key, &error))).await
    }

    /// Finds out after a crash if a lost call took effect. Each entry records the call that created it.
    async fn find(&self, _ty: &ResourceType, attempt: &Attempt) -> Result<Found, ProviderError> {
        let Some(found) = ({
            let key = key_of(&attempt.identity)?;
            self.blocking(move |store| Ok(get(store, &key)?.map(|entry| (key, entry)))).await?
        }) else {
            return Ok(Found::Absent);
        };
        let (key, entry) = found;
        let is_own = match &attempt.lost_call {
            // An update or a delete: the state has a row of the entry.
            Some(_) if attempt.prior.is_some() => true,
            Some(lost) => entry.made_by == mark(&lost.operation, &lost.step),
            None => false,
        };
        let observed = observed(&key, entry, &attempt.identity);
        Ok(if is_own { Found::Own(observed) } else { Found::Foreign(observed) })
    }

    async fn import(&self, _ty: &ResourceType, id: &str) -> Result<Option<Observed>, ProviderError> {
        check_key(id)?;
        self.observed(id.to_owned(), Attributes::default()).await
    }
}

/// The creator of an entry: the call, as text.
fn mark(operation: &str, step: &str) -> String {
    format!("terrace {operation} {step}")
}

fn key_of(attributes: &Attributes) -> Result<String, ProviderError> {
    let key = attributes.get("key").and_then(Value::as_str);
    key.map(str::to_owned).ok_or_else(|| ProviderError::bug("a kv_entry without a known `key`"))
}

fn check_key(key: &str) -> Result<(), ProviderError> {
    if Store::is_key(key) {
        return Ok(());
    }
    Err(ProviderError::invalid(Some(Path::attribute("key")), format!("`{key}` is not a valid key"))
        .solution("use letters, digits, `.`, `_` and `-`, and do not begin with `.`"))
}

fn get(store: &Store, key: &str) -> Result<Option<Entry>, ProviderError> {
    store.get(key).map_err(|error| failed("read", key, &error))
}

fn failed(action: &str, key: &str, error: &io::Error) -> ProviderError {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
        io::ErrorKind::Interrupted | io::ErrorKind::TimedOut => ErrorKind::Transient,
        _ => ErrorKind::Failed,
    };
    ProviderError::new(kind, format!("the entry `{key}` cannot be {action}: {error}"))
}

fn entry_of(attributes: &Attributes, revision: i64, made_by: String) -> Entry {
    let labels = match attributes.get("labels") {
        Some(Value::Map(labels)) => {
            labels.iter().filter_map(|(name, label)| Some((name.clone(), label.as_str()?.to_owned()))).collect()
        }
        _ => Default::default(),
    };
    let value = attributes.get("value").and_then(Value::as_str).unwrap_or_default().to_owned();
    Entry { value, labels, revision, made_by }
}

/// Converts an entry to attributes and identity. The id is derived from the key, so it is as sensitive as the
/// configured key.
fn observed(key: &str, entry: Entry, like: &Attributes) -> Observed {
    let labels: Value = entry.labels.into_iter().map(|(name, label)| (name, Value::from(label))).collect();
    let has_labels = labels.as_map().is_some_and(|labels| !labels.is_empty());
    let mut attributes: Attributes = [
        ("key", Value::from(key)),
        ("value", Value::from(entry.value)),
        ("id", Value::from(key).derived_from(like, &["key"])),
        ("revision", Value::Int(entry.revision)),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    // Null and not left out: a removal of labels is drift.
    attributes.insert("labels".to_owned(), if has_labels { labels } else { Value::Null });
    let identity = [("key".to_owned(), Value::from(key))].into_iter().collect();
    Observed { identity, attributes, private: Private::default() }
}
