//! Parses the settings of an instance.

mod azure;

pub(crate) use azure::{Azure, AzureCredential, VARIABLES, Variables};

use secrecy::SecretString;
use std::path::PathBuf;
use std::time::Duration;
use terrace_provider::http::{Base, check_credentials, is_plain_http_allowed};
use terrace_provider::{Attributes, Path, ProviderError, Settings, Value};

/// The parsed settings of an instance.
#[derive(Debug)]
pub(crate) struct Config {
    /// Default workspace of resources, and the first host that the instance may send credentials to.
    pub(crate) host: Option<Base>,
    /// Other allowed hosts: host names, or `*.` with a domain.
    pub(crate) hosts: Vec<String>,
    /// The account of the workspaces.
    pub(crate) account: Option<Account>,
    /// The instance's credentials, if any.
    pub(crate) credentials: Option<Credentials>,
    /// Defaults for Git credentials.
    pub(crate) git: Git,
    /// The authorities to trust instead of the machine's.
    pub(crate) ca_file: Option<PathBuf>,
    /// True if credentials may be sent to other machines over `http://`.
    pub(crate) allow_plain_http: bool,
    /// Timeout of a request.
    pub(crate) timeout: Duration,
}

/// The instance's credentials.
#[derive(Debug, Clone)]
pub(crate) enum Credentials {
    /// A personal access token.
    Token(SecretString),
    /// A service principal: application id and OAuth secret.
    Client(String, SecretString),
    /// A service principal of Azure.
    Azure(Box<Azure>),
}

/// An account of Databricks.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) host: Base,
    pub(crate) id: String,
}

/// Default identity for the checkout of repositories.
#[derive(Debug, Default)]
pub(crate) struct Git {
    pub(crate) username: Option<String>,
    pub(crate) token: Option<SecretString>,
}

impl Config {
    /// Parses settings.
    ///
    /// # Errors
    /// If a value is invalid, or values contradict each other.
    pub(crate) fn read(settings: &Settings, variables: &Variables) -> Result<Self, ProviderError> {
        let values = &settings.values;
        let credentials = credentials(settings, variables)?;
        let host = plain(values, "host").map(|text| {
            Base::parse(&text).map_err(|why| {
                invalid("host", format!("`host` is not a URL of a host: {why}"))
                    .solution("write such as `adb-1234567890123456.7.azuredatabricks.net` or `https://dbc-1234.cloud.databricks.com`")
            })
        });
        let timeout = match values.get("timeout").map(Value::exposed) {
            Some(Value::Int(seconds)) => u64::try_from(*seconds).ok().filter(|seconds| *seconds > 0),
            _ => Some(60),
        };
        let git = values.get("git").and_then(Value::as_map);
        let of_git = |name: &str| git.and_then(|git| plain(git, name));
        let hosts = values.get("hosts").and_then(Value::as_list).unwrap_or_default();
        let (host, account) = (host.transpose()?, account(values, credentials.as_ref())?);
        let allow_plain_http = is_plain_http_allowed(values);
        if credentials.is_some() {
            let account = account.as_ref().map(|account| ("accountHost", &account.host));
            for (name, base) in host.iter().map(|base| ("host", base)).chain(account) {
                check_credentials(base.shown(), allow_plain_http, Path::attribute(name))?;
            }
        }
        Ok(Self {
            allow_plain_http,
            host,
            hosts: hosts.iter().filter_map(Value::as_str).map(str::to_lowercase).collect(),
            account,
            credentials,
            git: Git { username: of_git("username"), token: of_git("token").map(Into::into) },
            ca_file: plain(values, "caFile").map(|path| settings.project_folder.join(path)),
            timeout: timeout.map(Duration::from_secs).ok_or_else(|| invalid("timeout", "`timeout` is out of range"))?,
        })
    }
}

impl Config {
    /// The instance's service principal of Azure, if any.
    pub(crate) fn azure(&self) -> Option<&Azure> {
        match &self.credentials {
            Some(Credentials::Azure(azure)) => Some(azure),
            _ => None,
        }
    }
}

fn plain(values: &Attributes, name: &str) -> Option<String> {
    values.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn invalid(name: &str, message: impl Into<String>) -> ProviderError {
    ProviderError::invalid(Some(Path::attribute(name)), message)
}

/// Reads the credentials. Databricks tokens and secrets win over Azure credentials from variables, which are often set
/// for other programs.
fn credentials(settings: &Settings, variables: &Variables) -> Result<Option<Credentials>, ProviderError> {
    let values = &settings.values;
    let (token, id, secret) = (plain(values, "token"), plain(values, "clientId"), plain(values, "clientSecret"));
    let of_azure = values.get("azure").and_then(Value::as_map);
    let is_azure = of_azure.is_some_and(|azure| plain(azure, "clientId").is_some());
    let both = |first: &str, second: &str| {
        Err(invalid(second, format!("`{first}` and `{second}` exclude each other")).solution("remove one of them"))
    };
    match (token, id, secret) {
        (Some(_), Some(_), Some(_)) => both("token", "clientId"),
        (Some(_), ..) if is_azure => both("token", "azure"),
        (None, Some(_), Some(_)) if is_azure => both("clientId", "azure"),
        (Some(token), _, _) => Ok(Some(Credentials::Token(token.into()))),
        (None, Some(id), Some(secret)) => Ok(Some(Credentials::Client(id, secret.into()))),
        (None, Some(_), None) => Err(invalid("clientSecret", "a service principal needs `clientSecret`")),
        (None, None, Some(_)) => Err(invalid("clientId", "a service principal needs `clientId`")),
        (None, None, None) => Ok(Azure::read(settings, variables)?.map(|azure| Credentials::Azure(Box::new(azure)))),
    }
}

/// The account, if its id is configured.
fn account(values: &Attributes, credentials: Option<&Credentials>) -> Result<Option<Account>, ProviderError> {
    let Some(id) = plain(values, "accountId") else { return Ok(None) };
    let default = match credentials {
        Some(Credentials::Azure(azure)) => azure.accounts,
        _ => "https://accounts.cloud.databricks.com",
    };
    let host = plain(values, "accountHost").unwrap_or_else(|| default.to_owned());
    let host = Base::parse(&host)
        .map_err(|why| invalid("accountHost", format!("`accountHost` is not a URL of a host: {why}")))?;
    Ok(Some(Account { host, id }))
}
