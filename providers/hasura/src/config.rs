//! Settings of an instance. For the instance `hasura`, `HASURA_*` and `ROLE_MAPPER_*` variables supply missing
//! settings, as for an existing service.

use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use terrace_provider::http::{Base, check_credentials, is_plain_http_allowed};
use terrace_provider::{Attributes, Path, ProviderError, Settings, Value};

/// Environment variables by name; some are secrets.
pub(crate) type Variables = BTreeMap<String, SecretString>;

/// The only instance that uses variables.
const INSTANCE: &str = "hasura";

/// True for the variables that the provider reads.
pub(crate) fn is_known(name: &str) -> bool {
    ["HASURA_", "ROLE_MAPPER_", "SNOWFLAKE_"].iter().any(|prefix| name.starts_with(prefix))
}

/// Connection settings of Hasura and its role mapper.
#[derive(Debug)]
pub(crate) struct Config {
    /// The URL of Hasura: `https://hasura.example.com`.
    pub(crate) base: Base,
    /// The admin secret.
    pub(crate) secret: Option<SecretString>,
    /// The time limit of a request.
    pub(crate) timeout: Duration,
    /// The certificate authorities, instead of those of this machine.
    pub(crate) ca_file: Option<PathBuf>,
    /// Credentials may be sent to other machines over `http://`.
    pub(crate) allow_plain_http: bool,
    /// The role mapper.
    pub(crate) mapper: Option<MapperConfig>,
}

/// Connection settings of the role mapper.
#[derive(Debug)]
pub(crate) struct MapperConfig {
    pub(crate) base: Base,
    pub(crate) token: Option<SecretString>,
    pub(crate) timeout: Duration,
}

/// Defaults of Snowflake sources.
#[derive(Debug, Clone, Default)]
pub(crate) struct SnowflakeDefaults(BTreeMap<&'static str, SecretString>);

impl SnowflakeDefaults {
    /// The default of a connection part: `host`, `user`, `password`, `role`, `warehouse`.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|text| text.expose_secret())
    }

    /// The defaults from variables, for the instance `hasura`.
    pub(crate) fn of(settings: &Settings, variables: &Variables) -> Self {
        if settings.instance != INSTANCE {
            return Self::default();
        }
        let names = [
            ("host", "SNOWFLAKE_HOST"),
            ("user", "SNOWFLAKE_USER"),
            ("password", "SNOWFLAKE_PASSWORD"),
            ("role", "SNOWFLAKE_ROLE"),
            ("warehouse", "SNOWFLAKE_WAREHOUSE"),
        ];
        Self(names.iter().filter_map(|(name, variable)| Some((*name, variables.get(*variable)?.clone()))).collect())
    }
}

/// The settings with variables as defaults.
struct ResolvedSettings<'a> {
    values: &'a Attributes,
    mapper: Option<&'a Attributes>,
    variables: Option<&'a Variables>,
}

impl ResolvedSettings<'_> {
    fn text(&self, within: Option<&Attributes>, name: &str, variable: &str) -> Option<String> {
        let configured =
            within.and_then(|settings| settings.get(name)).and_then(Value::as_str).filter(|text| !text.is_empty());
        let variable = || self.variables?.get(variable).map(|text| text.expose_secret().to_owned());
        configured.map(str::to_owned).or_else(variable)
    }

    fn seconds(
        &self,
        within: Option<&Attributes>,
        at: Path,
        variable: &str,
        default_seconds: u64,
    ) -> Result<Duration, ProviderError> {
        let configured = match within.and_then(|settings| settings.get("timeout")).map(Value::exposed) {
            Some(Value::Int(seconds)) => Some(seconds.to_string()),
            _ => self.variables.and_then(|all| all.get(variable)).map(|text| text.expose_secret().to_owned()),
        };
        let Some(text) = configured else { return Ok(Duration::from_secs(default_seconds)) };
        let seconds = text.trim().parse::<u64>().ok().filter(|seconds| *seconds > 0);
        seconds.map(Duration::from_secs).ok_or_else(|| {
            ProviderError::invalid(Some(at), "the timeout is not a valid time")
                .solution(format!("write a number of seconds greater than 0, there or in {variable}"))
        })
    }
}

impl Config {
    /// Reads the settings. `None` if there is no URL of Hasura.
    ///
    /// # Errors
    /// When a value is invalid.
    pub(crate) fn read(settings: &Settings, variables: &Variables) -> Result<Option<Self>, ProviderError> {
        let mapper = settings.values.get("roleMapper").and_then(Value::as_map);
        let uses_variables = settings.instance == INSTANCE;
        let resolved =
            ResolvedSettings { values: &settings.values, mapper, variables: uses_variables.then_some(variables) };
        let Some(url) = resolved.text(Some(resolved.values), "url", "HASURA_URL") else { return Ok(None) };
        let at = Path::attribute("url");
        let base = Base::parse(&url).map_err(|why| {
            ProviderError::invalid(Some(at), format!("`url` is not valid: {why}"))
                .solution("write a URL such as `https://hasura.example.com`, without `/v1/metadata`")
        })?;
        let timeout = resolved.seconds(Some(resolved.values), Path::attribute("timeout"), "HASURA_TIMEOUT", 60)?;
        let secret = resolved.text(Some(resolved.values), "adminSecret", "HASURA_ADMIN_SECRET").map(SecretString::from);
        let allow_plain_http = is_plain_http_allowed(&settings.values);
        if secret.is_some() {
            check_credentials(base.shown(), allow_plain_http, Path::attribute("url"))?;
        }
        let ca_file =
            resolved.values.get("caFile").and_then(Value::as_str).map(|path| settings.project_folder.join(path));
        Ok(Some(Self {
            base,
            secret,
            timeout,
            ca_file,
            allow_plain_http,
            mapper: read_mapper(&resolved, allow_plain_http)?,
        }))
    }
}

fn read_mapper(resolved: &ResolvedSettings<'_>, allow_plain_http: bool) -> Result<Option<MapperConfig>, ProviderError> {
    let Some(url) = resolved.text(resolved.mapper, "url", "ROLE_MAPPER_URL") else { return Ok(None) };
    let at = |name: &str| Path::attribute("roleMapper").key(name);
    let base = Base::parse(&url).map_err(|why| {
        ProviderError::invalid(Some(at("url")), format!("the role mapper's `url` is not valid: {why}"))
            .solution("write a URL such as `https://role-mapper.example.com`, without `/v1`")
    })?;
    let timeout = resolved.seconds(resolved.mapper, at("timeout"), "ROLE_MAPPER_TIMEOUT", 30)?;
    let token = resolved.text(resolved.mapper, "token", "ROLE_MAPPER_TOKEN").map(SecretString::from);
    if token.is_some() {
        check_credentials(base.shown(), allow_plain_http, at("url"))?;
    }
    Ok(Some(MapperConfig { base, token, timeout }))
}

/// The error of calls to an instance without a URL.
pub(crate) fn unconfigured(instance: &str) -> ProviderError {
    let message = format!("no `url` is set for the Hasura of the instance `{instance}`");
    let variables = match instance == INSTANCE {
        true => ", or set HASURA_URL and HASURA_ADMIN_SECRET",
        false => "",
    };
    ProviderError::unconfigured(message)
        .solution(format!("write `url` and `adminSecret` under `providers.{instance}` of the environment{variables}"))
}

/// The error of calls to a role mapper without a URL.
pub(crate) fn without_mapper(instance: &str) -> ProviderError {
    let message = format!("no `url` is set for the role mapper of the instance `{instance}`");
    let variables = if instance == INSTANCE { ", or set ROLE_MAPPER_URL" } else { "" };
    ProviderError::unconfigured(message)
        .solution(format!("write `roleMapper: {{url: …}}` under `providers.{instance}` of the environment{variables}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(instance: &str, values: &[(&str, Value)]) -> Settings {
        Settings {
            instance: instance.to_owned(),
            environment: "local".to_owned(),
            project_folder: PathBuf::from("/p"),
            sandbox: Default::default(),
            sources: Default::default(),
            values: values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        }
    }

    fn variables() -> Variables {
        let variables = [
            ("HASURA_URL", "https://h.example.com"),
            ("HASURA_ADMIN_SECRET", "s"),
            ("HASURA_TIMEOUT", "7"),
            ("ROLE_MAPPER_URL", "https://m.example.com"),
            ("SNOWFLAKE_USER", "u"),
        ];
        variables.map(|(name, value)| (name.to_owned(), value.into())).into()
    }

    #[test]
    fn variables_apply_only_to_the_instance_hasura() {
        let config = Config::read(&settings("hasura", &[]), &variables()).unwrap().unwrap();
        assert_eq!(config.base.shown(), "https://h.example.com");
        assert_eq!(config.timeout, Duration::from_secs(7));
        assert_eq!(config.mapper.unwrap().base.shown(), "https://m.example.com");
        assert!(Config::read(&settings("hasura.eu", &[]), &variables()).unwrap().is_none());
        assert_eq!(SnowflakeDefaults::of(&settings("hasura", &[]), &variables()).get("user"), Some("u"));
        assert_eq!(SnowflakeDefaults::of(&settings("hasura.eu", &[]), &variables()).get("user"), None);
    }

    #[test]
    fn secrets_are_sent_without_encryption_only_if_settings_allow_it() {
        let url = ("url", Value::from("http://h.example.com"));
        let read = |more: &[(&str, Value)]| {
            let values: Vec<_> = std::iter::once(url.clone()).chain(more.iter().cloned()).collect();
            Config::read(&settings("hasura.eu", &values), &Variables::new()).map(drop)
        };
        assert!(read(&[]).is_ok(), "without a secret");
        let secret = ("adminSecret", Value::from("s"));
        let error = read(std::slice::from_ref(&secret)).unwrap_err();
        assert!(error.message.starts_with("`url` is `http://` to another machine"), "{error:?}");
        assert!(read(&[secret, ("allowPlainHttp", Value::from(true))]).is_ok());
        let mapper = [("url", "http://m.example.com"), ("token", "t")];
        let mapper = mapper.map(|(name, value)| (name.to_owned(), Value::from(value))).into_iter().collect();
        let error = read(&[("roleMapper", mapper)]).unwrap_err();
        assert!(error.message.contains("roleMapper") && error.message.contains("another machine"), "{error:?}");
    }

    #[test]
    fn settings_take_precedence_over_variables_and_are_checked() {
        let written = settings("hasura", &[("url", "https://w.example.com".into()), ("timeout", Value::Int(3))]);
        let config = Config::read(&written, &variables()).unwrap().unwrap();
        assert_eq!((config.base.shown(), config.timeout.as_secs()), ("https://w.example.com", 3));
        let wrong = settings("hasura", &[("timeout", Value::Int(0))]);
        assert!(Config::read(&wrong, &variables()).unwrap_err().message.contains("not a valid time"));
    }
}
