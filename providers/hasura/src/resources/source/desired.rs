//! The planned connection of a source, in Hasura's format.

use super::configuration::canonical;
use crate::attributes::{flag, is_given, json, optional_text};
use crate::config::SnowflakeDefaults;
use crate::jdbc::{Parts, is_host};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value as Json, json};
use terrace_provider::secret_half::WHOLE;
use terrace_provider::{Attributes, Map, Path, ProviderError, Value};

/// The secrets of a connection.
const SECRETS: [&str; 3] = ["password", "privateKey", "privateKeyPassphrase"];
/// The parts of a connection with defaults from variables.
const FROM_VARIABLES: [&str; 4] = ["host", "user", "role", "warehouse"];

/// A complete configuration with its secrets, and the paths of the secrets.
#[derive(Clone)]
pub(crate) struct Desired {
    pub(crate) full: Json,
    pub(crate) secrets: Vec<Vec<String>>,
}

impl Desired {
    /// The configuration from attributes; `None` while a part is unknown.
    ///
    /// # Errors
    /// When it contradicts itself, or a part is missing.
    pub(crate) fn of(attributes: &Attributes, defaults: &SnowflakeDefaults) -> Result<Option<Self>, ProviderError> {
        let parts = [&["configuration", "secretConfiguration", "connection"][..], &SECRETS].concat();
        if parts.iter().any(|name| attributes.get(*name).is_some_and(Value::has_unknown)) {
            return Ok(None);
        }
        if let Some(connection) = attributes.get("connection").and_then(Value::as_map) {
            return of_connection(connection, attributes, defaults).map(Some);
        }
        let open = json(attributes, "configuration").unwrap_or(Json::Null);
        if !open.is_object() {
            let error = ProviderError::invalid(Some(Path::attribute("configuration")), "`configuration` is not a map");
            return Err(error.solution("write it in the format of Hasura's documentation of sources"));
        }
        let Some(secret) = json(attributes, "secretConfiguration") else {
            return Ok(Some(Self { full: canonical(&open), secrets: Vec::new() }));
        };
        let (open, secret) = (canonical(&open), canonical(&secret));
        let [visible, hidden] = [&open, &secret].map(|half| Value::from(half.clone()));
        WHOLE.check(("configuration", &visible), ("secretConfiguration", &hidden))?;
        Ok(Some(Self { full: WHOLE.merged(&open, &secret), secrets: WHOLE.leaves(&secret) }))
    }

    /// The configuration from attributes without unknown values.
    pub(crate) fn known(attributes: &Attributes, defaults: &SnowflakeDefaults) -> Result<Self, ProviderError> {
        let desired = Self::of(attributes, defaults)?;
        let desired = desired.ok_or_else(|| ProviderError::bug("the connection of the source is unknown"))?;
        if desired.full.get("jdbc_url").and_then(Json::as_str).and_then(Parts::read).is_none() {
            return Ok(desired);
        }
        let is_missing = |name: &&str| {
            let parts = desired.full.get("jdbc_url").and_then(Json::as_str).and_then(Parts::read);
            parts.is_none_or(|parts| parts.get(name).is_none_or(str::is_empty))
        };
        if is_given(attributes, "connection")
            && let Some(name) = ["host", "user", "password"].iter().find(|name| is_missing(name))
            && (*name != "password" || is_missing(&"privateKey"))
        {
            let (at, variable) = match *name {
                "password" => (Path::attribute("password"), "SNOWFLAKE_PASSWORD"),
                "user" => (Path::attribute("connection").key("user"), "SNOWFLAKE_USER"),
                _ => (Path::attribute("connection").key("host"), "SNOWFLAKE_HOST"),
            };
            let message = format!("Hasura needs the {name} to connect to Snowflake");
            return Err(ProviderError::invalid(Some(at.clone()), message).solution(match *name {
                "password" => format!("write `privateKey` or `password`, or set {variable} for the instance `hasura`"),
                _ => format!("write `{at}`, or set {variable} for the instance `hasura`"),
            }));
        }
        Ok(desired)
    }
}

fn of_connection(
    connection: &Map,
    attributes: &Attributes,
    defaults: &SnowflakeDefaults,
) -> Result<Desired, ProviderError> {
    let value_of = |name: &str| optional_text(connection, name).or_else(|| defaults.get(name).map(str::to_owned));
    let host = value_of("host").unwrap_or_default();
    if !host.is_empty() && !is_host(&host) {
        let message = "the host of a connection is a name with an optional port";
        return Err(ProviderError::invalid(Some(Path::attribute("connection").key("host")), message)
            .solution("write a host such as `ab12345.eu-central-1.snowflakecomputing.com`"));
    }
    let [password, key, passphrase] = SECRETS.map(|name| optional_text(attributes, name));
    if let (Some(_), Some(_)) = (&password, &key) {
        return Err(ProviderError::invalid(
            Some(Path::attribute("privateKey")),
            "`password` and `privateKey` both define the credentials",
        )
        .solution("remove one of them: keys also work where Snowflake refuses passwords"));
    }
    if let (None, Some(_)) = (&key, &passphrase) {
        return Err(ProviderError::invalid(
            Some(Path::attribute("privateKeyPassphrase")),
            "`privateKeyPassphrase` requires `privateKey`",
        )
        .solution("write `privateKey`, or remove it"));
    }
    if key.as_ref().is_some_and(|key| !key.trim_start().starts_with("-----BEGIN")) {
        return Err(ProviderError::invalid(Some(Path::attribute("privateKey")), "`privateKey` is not a PEM key")
            .solution(
                "give the content of the file `rsa_key.p8`, including its first line (`-----BEGIN …`) and its last line",
            ));
    }
    // The agent needs the whole file in Base64.
    let key = key.map(|key| BASE64_STANDARD.encode(key));
    let password = password.or_else(|| defaults.get("password").map(str::to_owned)).filter(|_| key.is_none());
    let names = ["user", "password", "privateKey", "privateKeyPassphrase", "role", "warehouse", "database", "schema"];
    let value = |name: &'static str| {
        let value = match name {
            "password" => password.clone(),
            "privateKey" => key.clone(),
            "privateKeyPassphrase" => passphrase.clone(),
            "database" | "schema" => optional_text(connection, name),
            name => value_of(name),
        };
        value.map(|value| (name, value))
    };
    let parts = Parts { host, known: names.into_iter().filter_map(value).collect(), others: Vec::new() };
    let full = json!({"fully_qualify_all_names": flag(connection, "qualifiedNames"), "jdbc_url": parts.written()});
    Ok(Desired { full, secrets: vec![vec!["jdbc_url".to_owned()]] })
}

/// The keys of a configuration that a connection becomes.
pub(crate) fn connection_shape() -> Option<Json> {
    Some(json!({"fully_qualify_all_names": null, "jdbc_url": null}))
}

/// The connection of a configuration; `None` if it has none. Omits values that equal the default of a variable and are
/// not configured.
pub(crate) fn connection_of(full: &Json, like: Option<&Attributes>, defaults: &SnowflakeDefaults) -> Option<Map> {
    let parts = Parts::read(full.get("jdbc_url")?.as_str()?)?;
    let given = like.and_then(|like| like.get("connection")).and_then(Value::as_map);
    let mut connection = Map::default();
    for name in ["host", "user", "role", "warehouse", "database", "schema"] {
        let Some(value) = parts.get(name) else { continue };
        let is_configured = given.is_some_and(|given| given.get(name).is_some_and(|value| !value.is_null()));
        let is_default = FROM_VARIABLES.contains(&name) && defaults.get(name) == Some(value);
        if is_configured || !is_default {
            connection.insert(name.to_owned(), value.into());
        }
    }
    let is_qualified = full.get("fully_qualify_all_names").and_then(Json::as_bool).unwrap_or(false);
    connection.insert("qualifiedNames".to_owned(), is_qualified.into());
    Some(connection)
}
