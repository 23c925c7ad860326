//! Sources and destinations in terms of the API.

use crate::airbyte::{Airbyte, text as of};
use crate::attributes::{given, optional_text, text};
use crate::configuration::{self, PLAIN, SECRET};
use crate::kind::Kind;
use crate::private::PrivateData;
use serde_json::{Value as Json, json};
use terrace_provider::http::Purpose;
use terrace_provider::{Attributes, ErrorKind, Path, ProviderError, Value};

/// Refuses an invalid configuration, as far as its values are known.
pub(crate) fn check(kind: Kind, config: &Attributes) -> Result<(), ProviderError> {
    configuration::check(config, kind.connector())?;
    let is_set = |name: &str| config.get(name).is_some_and(|value| !value.is_null());
    match (is_set("connector"), is_set("definitionId")) {
        (true, false) | (false, true) => Ok(()),
        (true, true) => Err(ProviderError::invalid(
            Some(Path::attribute("connector")),
            "`connector` and `definitionId` exclude each other",
        )
        .solution("remove one of them")),
        (false, false) => {
            Err(ProviderError::invalid(None, format!("the {} needs a `connector` or a `definitionId`", kind.word()))
                .solution("add `connector`, such as `connector: file`, or the `definitionId` of a custom connector"))
        }
    }
}

/// Converts a source or destination into attributes, limited to the configured keys.
pub(crate) fn attributes_of(kind: Kind, read: &Json, like: Option<&Attributes>) -> Attributes {
    let remote = read.get(PLAIN).cloned().unwrap_or_default();
    // If the server does not return the connector, keep the recorded one.
    let part = |name: &str, own: &str| match of(read, own) {
        nothing if nothing.is_empty() => like.and_then(|like| like.get(name)).cloned().unwrap_or_default(),
        text => text.into(),
    };
    let entries = [
        ("definitionId", part("definitionId", "definitionId")),
        ("connector", part("connector", kind.connector())),
        (PLAIN, configuration::observed(&remote, like.and_then(|like| like.get(PLAIN)), kind.connector())),
    ];
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Creates a source or destination.
///
/// # Errors
/// If Airbyte refuses the request, or the outcome is unknown.
pub(crate) async fn create(
    airbyte: &Airbyte<'_>,
    kind: Kind,
    planned: &Attributes,
    purpose: &Purpose,
) -> Result<Json, ProviderError> {
    let mut configuration = configuration::whole(planned);
    let mut body = json!({"name": text(planned, "name"), "workspaceId": text(planned, "workspaceId")});
    match given(planned, "definitionId").and_then(Value::as_str) {
        Some(definition) => body_insert(&mut body, "definitionId", definition.into()),
        None => body_insert(&mut configuration, kind.connector(), text(planned, "connector").into()),
    }
    body_insert(&mut body, PLAIN, configuration);
    airbyte.create(kind, body, purpose).await
}

/// Updates a source or destination: merges if no key is removed, else replaces the whole configuration.
///
/// # Errors
/// If Airbyte refuses the request, or the outcome is unknown.
pub(crate) async fn update(
    airbyte: &Airbyte<'_>,
    kind: Kind,
    present: Json,
    (prior, planned): (&Attributes, &Attributes),
    private_data: &PrivateData,
    purpose: &Purpose,
) -> Result<Json, ProviderError> {
    let id = of(&present, kind.id());
    let name = text(planned, "name");
    let read = present.get(PLAIN).cloned().unwrap_or_default();
    let gone = configuration::gone(prior, &private_data.secrets_gone, planned);
    if !gone.is_empty() {
        let whole = configuration::replacement(&read, &gone, planned, kind.connector())?;
        return airbyte.put(kind, &id, json!({"name": name, PLAIN: whole}), purpose).await;
    }
    let mut body = json!({});
    if of(&present, "name") != name {
        body_insert(&mut body, "name", name.into());
    }
    let remote = configuration::observed(&read, planned.get(PLAIN), kind.connector());
    // An unreadable value seems to equal the plan: compare with the recorded value, too.
    let was_sent = |wanted: &Value| prior.get(PLAIN).is_some_and(|before| before.is_same_as(wanted));
    let is_recreated = private_data.id.as_ref().is_some_and(|ours| *ours != id);
    let is_same =
        !is_recreated && planned.get(PLAIN).is_none_or(|wanted| wanted.is_same_as(&remote) && was_sent(wanted));
    let sends_secrets = private_data.sends_secrets && given(planned, SECRET).is_some();
    match (is_same, sends_secrets) {
        (true, false) => {}
        // A merge replaces whole lists, so secrets inside of lists must be sent along.
        _ => body_insert(&mut body, PLAIN, configuration::whole(planned)),
    }
    match body.as_object().is_some_and(serde_json::Map::is_empty) {
        true => Ok(present),
        false => airbyte.patch(kind, &id, body, purpose).await,
    }
}

/// Refuses to delete a source or destination that connections still use.
///
/// # Errors
/// If connections use it. The message names them.
pub(crate) async fn check_unused(
    airbyte: &Airbyte<'_>,
    kind: Kind,
    workspace: &str,
    id: &str,
    name: &str,
) -> Result<(), ProviderError> {
    let connections = airbyte.all(Kind::Connection, workspace).await?;
    let users = connections.iter().filter(|it| it.get(kind.id()).and_then(Json::as_str) == Some(id));
    let users: Vec<String> =
        users.map(|it| format!("`{}` ({})", of(it, "name"), of(it, Kind::Connection.id()))).collect();
    if users.is_empty() {
        return Ok(());
    }
    let word = kind.word();
    let message = format!("the {word} `{name}` is still used by other connections: {}", users.join(", "));
    Err(ProviderError::new(ErrorKind::InvalidInput { path: None }, message).solution(format!(
        "delete these connections, or assign another {word} to them; or run `terrace state rm` to forget this {word} and keep it"
    )))
}

/// The connector of a plan, for messages.
pub(crate) fn connector(planned: &Attributes) -> String {
    optional_text(planned, "connector").or_else(|| optional_text(planned, "definitionId")).unwrap_or_default()
}

fn body_insert(body: &mut Json, name: &str, value: Json) {
    if let Json::Object(entries) = body {
        entries.insert(name.to_owned(), value);
    }
}
