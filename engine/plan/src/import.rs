//! Import of existing objects: find the object of an id, check that no row has it, record it and print its declaration.

use crate::deadline;
use crate::failure::PlanFailure;
use terrace_language::address::{Address, InstanceKey, StackId};
use terrace_language::descriptor::stack::API_VERSION;
use terrace_provider::value::OtherFormat;
use terrace_provider::value::wire::WireError;
use terrace_provider::{
    Attributes, ErrorKind, Observed, ProposedChange, ProviderError, ProviderSchema, ResourceType, Session,
};
use terrace_store::diff::are_same;
use terrace_store::record::{self, Memory, NewRow, open_identity};
use terrace_store::seal::Seal;
use terrace_store::{Row, RowStatus, Rows, Selection};
use uuid::Uuid;

/// The code of an import whose provider fails to find the object.
pub(crate) const CANNOT_IMPORT: &str = "cannot_import";

/// An error of importing an object.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ImportError {
    /// No object has this id.
    #[error("there is no `{ty}` with the id `{id}`")]
    NotFound {
        /// The resource type.
        ty: &'static str,
        /// The id.
        id: String,
    },
    /// The state already records the object as another resource.
    #[error("`{id}` is {stack}:{address} already")]
    Recorded {
        /// The id.
        id: String,
        /// The stack of that resource.
        stack: StackId,
        /// That resource.
        address: Address,
    },
    /// The provider failed to find the object.
    #[error("`{id}` cannot be looked up: {error}")]
    Provider {
        /// The id.
        id: String,
        /// Why.
        error: ProviderError,
    },
}

impl ImportError {
    /// The stable code for tools.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "import_nothing",
            Self::Recorded { .. } => "import_recorded",
            Self::Provider { .. } => CANNOT_IMPORT,
        }
    }

    /// The remedy.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound { .. } => Some("check the id; to create the object, remove the import".to_owned()),
            Self::Recorded { stack, address, .. } => Some(format!(
                "an object has one resource: `moved` gives it another address within its stack, `terrace state rm \
                 '{stack}:{address}'` drops it"
            )),
            Self::Provider { error, .. } => error.hint(),
        }
    }
}

/// Reads the object of an id from the provider.
///
/// # Errors
/// When there is no such object, or the provider fails.
pub async fn look_up(session: &dyn Session, ty: &ResourceType, id: &str) -> Result<Observed, ImportError> {
    match deadline::call_reading(ty.timeouts.read, session.import(ty, id)).await {
        Ok(Some(observed)) => Ok(observed),
        Ok(None) => Err(ImportError::NotFound { ty: ty.name, id: id.to_owned() }),
        Err(error) if error.kind == ErrorKind::NotFound => {
            Err(ImportError::NotFound { ty: ty.name, id: id.to_owned() })
        }
        Err(error) => Err(ImportError::Provider { id: id.to_owned(), error }),
    }
}

/// Returns remarks on the configuration of an imported object: parts that its attributes do not describe, and the error
/// if its provider would refuse the configuration.
///
/// # Errors
/// When the provider fails.
pub async fn remarks(
    session: &dyn Session,
    ty: &ResourceType,
    (id, address): (&str, &Address),
    imported: &Observed,
) -> Result<Vec<String>, ImportError> {
    let failed = |error| ImportError::Provider { id: id.to_owned(), error };
    let unexpressed =
        deadline::call_reading(ty.timeouts.read, session.unexpressed(ty, imported)).await.map_err(failed)?;
    let mut remarks: Vec<String> = unexpressed.into_iter().map(|part| format!("not described: {part}")).collect();
    let is_configured = |name: &str| ty.attributes.get(name).is_some_and(|attribute| attribute.configurable);
    let known = imported.attributes.iter().filter(|(name, value)| is_configured(name) && !value.is_null());
    let config = known.map(|(name, value)| (name.clone(), value.clone())).collect();
    let address = address.to_string();
    let proposed = ProposedChange {
        address: &address,
        prior: None,
        config: &config,
        must_replace: false,
        changed_write_only: &[],
    };
    if let Err(error) = deadline::call_reading(ty.timeouts.read, session.plan(ty, &proposed)).await {
        remarks.push(format!("terrace does not accept its configuration: {error}"));
    }
    Ok(remarks)
}

/// Returns the resource that records an object of a provider instance, in any stack of the environment. It reads every
/// stack; imports are rare.
///
/// # Errors
/// When the store cannot be read or a row cannot be opened.
pub async fn find_recorded_resource(
    store: &dyn Rows,
    seal: &Seal,
    (environment, instance): (&str, &str),
    ty: &ResourceType,
    observed: &Observed,
) -> Result<Option<(StackId, Address)>, PlanFailure> {
    seal.bind_to(store).await?;
    if observed.identity.is_empty() {
        return Ok(None);
    }
    for stack in store.stacks().await?.into_iter().filter(|stack| stack.environment == environment) {
        for row in store.rows(&stack, &Selection::All).await?.into_iter().filter(|row| row.address.ty == ty.name) {
            let identity = open_identity(&row, seal)
                .map_err(|error| PlanFailure::Sealed { address: format!("{stack}:{}", row.address), error })?;
            if are_same(&identity, &observed.identity) && row.provider == instance {
                return Ok(Some((stack, row.address)));
            }
        }
    }
    Ok(None)
}

/// Builds the row of an imported object.
///
/// # Errors
/// When a sensitive value cannot be sealed.
pub fn row(
    (stack, address): (&StackId, &Address),
    (schema, ty): (&ProviderSchema, &ResourceType),
    instance: &str,
    observed: &Observed,
    operation: Uuid,
    seal: &Seal,
) -> Result<Row, WireError> {
    record::seal(
        &NewRow {
            stack: stack.clone(),
            address,
            status: RowStatus::Ready,
            provider: instance,
            provider_version: schema.version,
            schema_version: ty.schema_version,
            identity: &observed.identity,
            attributes: &record::first_stored(ty, observed),
            private: &observed.private,
            dependencies: &[],
            memory: &Memory::default(),
            operation,
        },
        seal,
    )
}

/// Returns the declaration of an object as YAML: all configurable attributes that differ from their defaults. Sensitive
/// values are left out, with a comment. With an id, the import is included; with a stack, the result is a whole
/// descriptor.
///
/// # Errors
/// When the values cannot be serialised as YAML.
pub fn configuration(
    ty: &ResourceType,
    address: &Address,
    attributes: &Attributes,
    id: Option<&str>,
    stack: Option<&StackId>,
) -> Result<String, String> {
    let mut config = serde_json::Map::new();
    let mut secrets = Vec::new();
    for attribute in ty.attributes.0.iter().filter(|attribute| attribute.configurable) {
        let Some(value) = attributes.get(attribute.name).filter(|value| !value.is_null()) else {
            secrets.extend((attribute.write_only && attribute.required).then_some(attribute.name));
            continue;
        };
        if value.has_sensitive() {
            secrets.push(attribute.name);
        } else if attribute.default.as_ref() != Some(value) {
            config.insert(attribute.name.to_owned(), escaped(value.to_json()));
        }
    }
    let mut resource = serde_json::Map::new();
    resource.insert("type".to_owned(), address.ty.as_str().into());
    resource.insert("name".to_owned(), address.name.as_str().into());
    if let Some(InstanceKey::Text(key)) = &address.key {
        resource.insert("forEach".to_owned(), serde_json::json!([key]));
    } else if let Some(InstanceKey::Index(index)) = &address.key {
        resource.insert("forEach".to_owned(), serde_json::json!([index]));
    }
    resource.insert("config".to_owned(), config.into());
    let resources = serde_json::json!([resource]);
    let mut document = serde_json::Map::new();
    if let Some(stack) = stack {
        document.insert("apiVersion".to_owned(), API_VERSION.into());
        document.insert("kind".to_owned(), "Stack".into());
        document.insert("metadata".to_owned(), serde_json::json!({ "name": stack.name }));
    }
    match address.component.is_stack() {
        true => document.insert("resources".to_owned(), resources),
        false => {
            let component = serde_json::json!({ address.component.as_str(): { "resources": resources } });
            document.insert("components".to_owned(), component)
        }
    };
    if let Some(id) = id {
        let import = serde_json::json!([{ "to": address.to_string(), "id": escaped(id.into()) }]);
        document.insert("imports".to_owned(), import);
    }
    let mut text = serde_saphyr::to_string(&OtherFormat(&document.into())).map_err(|error| error.to_string())?;
    for name in secrets {
        text.push_str(&format!(
            "# `{name}` is sensitive and not shown: set it with a variable that has `sensitive: true`\n"
        ));
    }
    Ok(text)
}

/// Escapes texts so that they are not read as expressions.
fn escaped(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value as Json;
    match value {
        Json::String(text) => Json::String(text.replace("${{", "$${{")),
        Json::Array(items) => items.into_iter().map(escaped).collect(),
        Json::Object(entries) => entries.into_iter().map(|(key, value)| (key, escaped(value))).collect(),
        other => other,
    }
}
