//! Settings of an instance. For the instance `snowflake`, `SNOWFLAKE_*` variables supply missing settings. This module
//! reads the variables instead of the schema of settings: a setting may have two variables, and a configured account or
//! credential overrides related variables.

use crate::client::Key;
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use terrace_provider::http::{check_credentials, is_plain_http_allowed};
use terrace_provider::{Attributes, Object, Path, ProviderError, Redaction, Settings, Value};

/// Environment variables by name; some are secrets.
pub(crate) type Variables = BTreeMap<String, SecretString>;

/// The only instance that uses variables.
const INSTANCE: &str = "snowflake";

/// Settings with their variables; the vendor's usual names come first.
const VARIABLES: [(&str, &[&str]); 10] = [
    ("account", &["SNOWFLAKE_ACCOUNT"]),
    ("host", &["SNOWFLAKE_HOST"]),
    ("user", &["SNOWFLAKE_USER"]),
    ("role", &["SNOWFLAKE_ROLE"]),
    ("warehouse", &["SNOWFLAKE_WAREHOUSE"]),
    ("privateKeyFile", &["SNOWFLAKE_PRIVATE_KEY_FILE", "SNOWFLAKE_PRIVATE_KEY_PATH"]),
    ("privateKeyPassphrase", &["SNOWFLAKE_PRIVATE_KEY_PASSPHRASE", "SNOWFLAKE_PRIVATE_KEY_FILE_PWD"]),
    // The SQL API does not accept passwords; a password variable may hold a programmatic access token.
    ("token", &["SNOWFLAKE_TOKEN", "SNOWFLAKE_PASSWORD"]),
    ("oauthToken", &["SNOWFLAKE_OAUTH_TOKEN"]),
    ("queryTag", &["SNOWFLAKE_QUERY_TAG"]),
];

/// The kinds of credentials; an instance has one.
const CREDENTIAL_SETTINGS: [&str; 3] = ["privateKeyFile", "token", "oauthToken"];

/// Connection settings of Snowflake.
#[derive(Debug)]
pub(crate) struct Config {
    /// The URL of the SQL API: `https://ab12345.eu-central-1.snowflakecomputing.com`.
    pub(crate) base: String,
    /// The role of statements; by default the user's default role.
    pub(crate) role: Option<String>,
    /// The warehouse for queries.
    pub(crate) warehouse: Option<String>,
    /// The credentials.
    pub(crate) credentials: Credentials,
    /// The prefix of query tags.
    pub(crate) query_tag: String,
    /// The certificate authorities, instead of those of this machine.
    pub(crate) ca_file: Option<PathBuf>,
    /// The time limit of a request.
    pub(crate) timeout: Duration,
    /// The secrets among the variables, which texts redact.
    pub(crate) redaction: Redaction,
}

/// Credentials.
#[derive(Debug)]
pub(crate) enum Credentials {
    /// A private key whose public half belongs to the user.
    Key(Key),
    /// A programmatic access token; true if it comes from a password variable.
    Token(SecretString, bool),
    /// An OAuth token.
    OAuth(SecretString),
}

/// The settings with variables as defaults.
struct ResolvedSettings<'a> {
    values: &'a Attributes,
    variables: Option<&'a Variables>,
}

impl ResolvedSettings<'_> {
    /// A text, with its variable if it comes from one.
    fn text(&self, name: &str) -> Option<(String, Option<&str>)> {
        if let Some(text) = self.values.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()) {
            return Some((text.to_owned(), None));
        }
        // Configured credentials take precedence over those in variables.
        let is_settled = CREDENTIAL_SETTINGS.contains(&name)
            && CREDENTIAL_SETTINGS.iter().any(|credentials| self.values.contains_key(*credentials));
        let (_, names) = VARIABLES.iter().find(|(known, _)| *known == name && !is_settled)?;
        names.iter().find_map(|variable| {
            let (name, text) = self.variables?.get_key_value(*variable)?;
            Some((text.expose_secret().to_owned(), Some(name.as_str())))
        })
    }

    /// The redaction of secrets in variables.
    fn redaction(&self) -> Redaction {
        let secrets = ["privateKeyPassphrase", "token", "oauthToken"];
        let names = VARIABLES.iter().filter(|(setting, _)| secrets.contains(setting)).flat_map(|(_, names)| *names);
        let values = names.filter_map(|name| Some((*name, self.variables?.get(*name)?.expose_secret())));
        let values = values.map(|(name, text)| (name.to_owned(), Value::sensitive(Value::from(text))));
        Redaction::of(&Object::default(), [&values.collect::<Attributes>()])
    }

    fn plain(&self, name: &str) -> Option<String> {
        self.text(name).map(|(text, _)| text)
    }
}

impl Config {
    /// Reads the settings. `None` if there is no account.
    ///
    /// # Errors
    /// When a value is invalid.
    pub(crate) fn read(settings: &Settings, variables: &Variables) -> Result<Option<Self>, ProviderError> {
        let uses_variables = settings.instance == INSTANCE;
        let resolved = ResolvedSettings { values: &settings.values, variables: uses_variables.then_some(variables) };
        let account = resolved.plain("account");
        let Some(base) = base(&resolved, account.as_deref())? else { return Ok(None) };
        let at = Path::attribute("host");
        check_credentials(&base, is_plain_http_allowed(&settings.values), at)?;
        let timeout = match settings.values.get("timeout").map(Value::exposed) {
            Some(Value::Int(seconds)) => u64::try_from(*seconds).ok().filter(|seconds| *seconds > 0),
            _ => Some(60),
        };
        let timeout =
            timeout.map(Duration::from_secs).ok_or_else(|| invalid("timeout", "`timeout` is not a valid time"))?;
        Ok(Some(Self {
            base,
            role: resolved.plain("role"),
            warehouse: resolved.plain("warehouse"),
            credentials: credentials(settings, &resolved, account.as_deref())?,
            query_tag: resolved.plain("queryTag").unwrap_or_else(|| "terrace".to_owned()),
            ca_file: resolved.plain("caFile").map(|path| settings.project_folder.join(path)),
            timeout,
            redaction: resolved.redaction(),
        }))
    }
}

/// The error of calls to an instance without an account.
pub(crate) fn unconfigured(instance: &str) -> ProviderError {
    let message = format!("no Snowflake account is set for the instance `{instance}`");
    let variables = match instance == INSTANCE {
        true => ", or set SNOWFLAKE_ACCOUNT, SNOWFLAKE_USER, SNOWFLAKE_ROLE and SNOWFLAKE_TOKEN",
        false => "",
    };
    ProviderError::unconfigured(message).solution(format!(
        "write `account`, `user`, `role` and `privateKeyFile` (or `token`) under `providers.{instance}` of the \
         environment{variables}"
    ))
}

fn invalid(name: &str, message: impl Into<String>) -> ProviderError {
    ProviderError::invalid(Some(Path::attribute(name)), message)
}

fn base(resolved: &ResolvedSettings<'_>, account: Option<&str>) -> Result<Option<String>, ProviderError> {
    // A configured account takes precedence over the host of a variable.
    let host =
        resolved.text("host").filter(|(_, variable)| variable.is_none() || !resolved.values.contains_key("account"));
    if let Some((host, _)) = host {
        let wrong = || {
            invalid("host", "the host is not valid")
                .solution("write a host such as `ab12345.eu-central-1.snowflakecomputing.com`")
        };
        // A scheme is for test servers; all others use TLS.
        let base = if host.contains("://") { host } else { format!("https://{host}") };
        let url = reqwest::Url::parse(&base).map_err(|_| wrong())?;
        let is_right = matches!(url.scheme(), "https" | "http")
            && url.host_str().is_some()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none();
        return if is_right { Ok(Some(base.trim_end_matches('/').to_owned())) } else { Err(wrong()) };
    }
    let Some(account) = account else { return Ok(None) };
    let is_right = account.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if !is_right {
        let error = invalid("account", "an account has only letters, digits, `-`, `_` and `.`");
        return Err(error.solution(
            "write an account such as `myorg-account1` or `ab12345.eu-central-1`, without `.snowflakecomputing.com`",
        ));
    }
    let account = account.strip_suffix(".snowflakecomputing.com").unwrap_or(account);
    // Host names cannot contain `_`: Snowflake uses `-` instead.
    Ok(Some(format!("https://{}.snowflakecomputing.com", account.to_lowercase().replace('_', "-"))))
}

fn credentials(
    settings: &Settings,
    resolved: &ResolvedSettings<'_>,
    account: Option<&str>,
) -> Result<Credentials, ProviderError> {
    let in_settings: Vec<&str> =
        CREDENTIAL_SETTINGS.into_iter().filter(|name| settings.values.contains_key(*name)).collect();
    if let [one, other, ..] = in_settings.as_slice() {
        return Err(
            invalid(other, format!("`{one}` and `{other}` both define the credentials")).solution("remove one of them")
        );
    }
    if let Some(file) = resolved.plain("privateKeyFile") {
        let account = account.map(str::to_owned).or_else(|| host_account(&resolved.plain("host")?));
        let account = account.ok_or_else(|| invalid("account", "a private key requires `account`"))?;
        let user = resolved.plain("user").ok_or_else(|| invalid("user", "a private key requires `user`"))?;
        let pem = std::fs::read_to_string(settings.project_folder.join(&file))
            .map_err(|error| invalid("privateKeyFile", format!("the private key cannot be read: {error}")))?;
        let passphrase = resolved.plain("privateKeyPassphrase");
        let key = Key::read(&pem, passphrase.as_deref(), &account, &user);
        return Ok(Credentials::Key(key.map_err(|why| {
            invalid("privateKeyFile", why)
                .solution("create one with `openssl genrsa 2048 | openssl pkcs8 -topk8 -inform PEM -out key.p8`")
        })?));
    }
    if let Some(token) = resolved.plain("oauthToken") {
        return Ok(Credentials::OAuth(token.into()));
    }
    if let Some((token, variable)) = resolved.text("token") {
        let is_password = variable == Some("SNOWFLAKE_PASSWORD");
        return Ok(Credentials::Token(token.into(), is_password));
    }
    Err(ProviderError::unconfigured("the instance has no credentials for Snowflake").solution(
        "give `privateKeyFile` (a key pair), `token` (a programmatic access token) or `oauthToken`; the SQL API does not accept passwords",
    ))
}

/// The account of a host.
fn host_account(host: &str) -> Option<String> {
    let name = host.split("://").last()?.strip_suffix(".snowflakecomputing.com")?;
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base_of(instance: &str, values: &[(&str, &str)]) -> Option<String> {
        let settings = Settings {
            instance: instance.to_owned(),
            environment: "local".to_owned(),
            project_folder: PathBuf::from("/p"),
            sandbox: Default::default(),
            sources: Default::default(),
            values: values.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect(),
        };
        let variables = [("SNOWFLAKE_HOST", "other.example.com"), ("SNOWFLAKE_TOKEN", "secret")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.into())).into();
        Config::read(&settings, &variables).unwrap().map(|config| config.base)
    }

    #[test]
    fn configured_account_overrides_the_host_variable() {
        let host = || Some("https://other.example.com".to_owned());
        let account = || Some("https://cd67890.snowflakecomputing.com".to_owned());
        assert_eq!(base_of("snowflake", &[]), host());
        assert_eq!(base_of("snowflake", &[("account", "CD67890")]), account());
        assert_eq!(base_of("snowflake.eu", &[("account", "CD67890"), ("token", "x")]), account());
        assert_eq!(base_of("snowflake.eu", &[]), None);
    }
}
