//! Parses the settings of an instance.

use crate::wire::{Access, Credentials, Mechanism, Tls, Unusable};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use terrace_provider::http::{check_credentials, is_plain_http_allowed};
use terrace_provider::{Attributes, Path, ProviderError, Sensitive, Settings, Value};

/// The vendor of the brokers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavor {
    /// Apache Kafka: topics have no `confluent.…` configuration.
    Apache,
    /// Confluent Platform or Cloud.
    Confluent,
}

/// Address and credentials of the schema registry.
pub(crate) struct RegistryAccess {
    pub(crate) url: String,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<Sensitive>,
    pub(crate) authorities: Option<PathBuf>,
    pub(crate) timeout: Duration,
}

/// The parsed settings of an instance.
pub(crate) struct Config {
    pub(crate) access: Access,
    /// The configured flavor; without one, the provider detects it from the brokers.
    pub(crate) flavor: Option<Flavor>,
    pub(crate) registry: Option<RegistryAccess>,
}

impl Config {
    /// Parses settings. Reads files, and makes no network calls.
    ///
    /// # Errors
    /// If settings are invalid or contradict each other.
    pub(crate) fn read(settings: &Settings) -> Result<Self, ProviderError> {
        let values = &settings.values;
        let file = |name: &str| text(values, name).map(|path| settings.project_folder.join(path));
        let (encrypted, named) = match text(values, "securityProtocol").unwrap_or("PLAINTEXT") {
            "PLAINTEXT" => (false, false),
            "SSL" => (true, false),
            "SASL_PLAINTEXT" => (false, true),
            "SASL_SSL" => (true, true),
            other => {
                let known = "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL";
                return Err(invalid("securityProtocol", format!("`{other}` is not a security protocol"), known));
            }
        };
        let authorities = file("caFile");
        let tls = match encrypted {
            false => None,
            true => Some(Arc::new(tls(values, &file, authorities.as_deref())?)),
        };
        let credentials = if named { Some(credentials(values)?) } else { None };
        let timeout = timeout(values)?;
        let flavor = match text(values, "flavor") {
            None => None,
            Some("apache") => Some(Flavor::Apache),
            Some("confluent") => Some(Flavor::Confluent),
            Some(other) => return Err(invalid("flavor", format!("`{other}` is not a flavor"), "apache or confluent")),
        };
        let registry = match values.get("schemaRegistry").and_then(Value::as_map) {
            None => None,
            Some(registry) => Some(registry_access(registry, authorities, timeout, is_plain_http_allowed(values))?),
        };
        Ok(Self { access: Access { bootstrap: bootstrap(values)?, tls, credentials, timeout }, flavor, registry })
    }
}

fn text<'a>(values: &'a Attributes, name: &str) -> Option<&'a str> {
    values.get(name).and_then(Value::as_str)
}

fn invalid(name: &str, message: String, expected: &str) -> ProviderError {
    ProviderError::invalid(Some(Path::attribute(name)), message).solution(format!("write {expected}"))
}

fn bootstrap(values: &Attributes) -> Result<Vec<String>, ProviderError> {
    let given = text(values, "bootstrapServers").unwrap_or_default();
    let servers: Vec<String> =
        given.split(',').map(str::trim).filter(|server| !server.is_empty()).map(str::to_owned).collect();
    let wrong = |server: &&String| {
        let port = server.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
        !matches!(port, Some(Ok(port)) if port > 0)
    };
    let expected = "the addresses of brokers as `host:port`, separated by commas";
    if servers.is_empty() {
        return Err(invalid("bootstrapServers", "`bootstrapServers` is empty".to_owned(), expected));
    }
    match servers.iter().find(wrong) {
        Some(server) => Err(invalid("bootstrapServers", format!("`{server}` is not a broker address"), expected)),
        None => Ok(servers),
    }
}

fn tls(
    values: &Attributes,
    file: &dyn Fn(&str) -> Option<PathBuf>,
    authorities: Option<&std::path::Path>,
) -> Result<Tls, ProviderError> {
    let own = match (file("certFile"), file("keyFile")) {
        (Some(chain), Some(key)) => Some((chain, key)),
        (None, None) => None,
        (Some(_), None) => {
            return Err(invalid("certFile", "`certFile` is set without `keyFile`".to_owned(), "both"));
        }
        (None, Some(_)) => {
            return Err(invalid("keyFile", "`keyFile` is set without `certFile`".to_owned(), "both"));
        }
    };
    Tls::new(authorities, own.as_ref().map(|(chain, key)| (chain.as_path(), key.as_path()))).map_err(
        |Unusable { setting, reason }| {
            let which = text(values, setting).map(|path| format!(" `{path}`")).unwrap_or_default();
            invalid(setting, format!("`{setting}`{which} cannot be used: {reason}"), "the path of a PEM file")
        },
    )
}

fn credentials(values: &Attributes) -> Result<Credentials, ProviderError> {
    let needed = |name: &str| {
        let message = format!("`securityProtocol` uses SASL, but `{name}` is missing");
        invalid(name, message, "it, or use another `securityProtocol`")
    };
    let requested = text(values, "saslMechanism").ok_or_else(|| needed("saslMechanism"))?;
    let known = Mechanism::ALL.map(|(name, _)| name).join(", ");
    let mechanism = Mechanism::ALL.into_iter().find(|(name, _)| *name == requested);
    let (_, mechanism) = mechanism
        .ok_or_else(|| invalid("saslMechanism", format!("`{requested}` is not a supported SASL mechanism"), &known))?;
    let username = text(values, "username").ok_or_else(|| needed("username"))?.to_owned();
    let password = text(values, "password").ok_or_else(|| needed("password"))?;
    Ok(Credentials { mechanism, username, password: Sensitive::new(Value::from(password)) })
}

fn timeout(values: &Attributes) -> Result<Duration, ProviderError> {
    let given = match values.get("timeout").map(Value::exposed) {
        Some(Value::Int(number)) => number.to_string().parse().ok(),
        Some(Value::Number(number)) => number.as_str().parse().ok(),
        _ => Some(30.0),
    };
    let fits = |seconds: &f64| *seconds > 0.0 && *seconds <= 3600.0;
    let seconds = given.filter(fits).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let expected = "a number of seconds greater than 0, and at most 3600";
    seconds.ok_or_else(|| invalid("timeout", "`timeout` is out of range".to_owned(), expected))
}

fn registry_access(
    values: &Attributes,
    authorities: Option<PathBuf>,
    timeout: Duration,
    is_plain_http_allowed: bool,
) -> Result<RegistryAccess, ProviderError> {
    let at = |name: &str| Some(Path::attribute("schemaRegistry").key(name));
    let url =
        text(values, "url").ok_or_else(|| ProviderError::invalid(at("url"), "the schema registry has no `url`"))?;
    let password = text(values, "password").map(|password| Sensitive::new(Value::from(password)));
    let username = text(values, "username").map(str::to_owned);
    if username.is_some() != password.is_some() {
        let message = "the schema registry has only one of `username` and `password`";
        return Err(ProviderError::invalid(at("username"), message));
    }
    if password.is_some() {
        check_credentials(url, is_plain_http_allowed, Path::attribute("schemaRegistry").key("url"))?;
    }
    Ok(RegistryAccess { url: url.to_owned(), username, password, authorities, timeout })
}
