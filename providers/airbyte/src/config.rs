//! Parses the settings of an instance.

use crate::defaults::Defaults;
use crate::problem::AIRBYTE;
use secrecy::SecretString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use terrace_provider::http::{
    Api, Auth, Base, Client, Options, TokenRequest, check_credentials, is_plain_http_allowed,
};
use terrace_provider::{Path, ProviderError, Settings, Value};

/// Path of the public API on the host of a self-managed Airbyte.
const PUBLIC: &str = "/api/public/v1";
/// Path of the Config API.
const CONFIG: &str = "/api/v1";

/// The parsed settings of an instance.
#[derive(Debug)]
pub(crate) struct Config {
    /// The public API.
    pub(crate) api: Api,
    /// The Config API, if enabled.
    pub(crate) config_api: Option<Api>,
    /// The instance's workspace.
    pub(crate) workspace: Option<String>,
    /// Base URL of the web pages: `https://airbyte.example.com`.
    pub(crate) pages: String,
}

impl Config {
    /// Parses settings; `None` without the URL of Airbyte.
    ///
    /// # Errors
    /// If a value is invalid.
    pub(crate) fn read(settings: &Settings, defaults: &Defaults) -> Result<Option<Self>, ProviderError> {
        let text = |name: &str| {
            let value = settings.values.get(name).and_then(Value::as_str);
            value.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let Some(url) = text("url").or_else(|| defaults.url().map(str::to_owned)) else { return Ok(None) };
        let (public, config) = bases(&url).map_err(|why| {
            invalid("url", format!("`url` is not the URL of an Airbyte server: {why}"))
                .solution("write a URL such as `https://airbyte.example.com`, or `https://api.airbyte.com/v1`")
        })?;
        let is_exposed_allowed = is_plain_http_allowed(&settings.values);
        if ["token", "clientId", "username"].iter().any(|name| text(name).is_some()) {
            check_credentials(public.shown(), is_exposed_allowed, Path::attribute("url"))?;
        }
        let seconds = match settings.values.get("timeout").map(Value::exposed) {
            Some(Value::Int(seconds)) => u64::try_from(*seconds).ok().filter(|seconds| *seconds > 0),
            _ => Some(60),
        };
        let seconds = seconds.ok_or_else(|| invalid("timeout", "`timeout` is out of range"))?;
        let options = Options {
            ca_file: text("caFile").map(|path: String| -> PathBuf { settings.project_folder.join(path) }),
            timeout: Duration::from_secs(seconds),
            allow_plain_http: is_exposed_allowed,
            ..Options::default()
        };
        let client = Client::new(options)?;
        let is_used =
            |name: &&str| !(*name == "username" && text(name).is_some_and(|user| defaults.denies_user(&user)));
        let auth = auth(&|name: &str| Some(name).filter(is_used).and_then(text), &client, &public)?;
        let may_config = settings.values.get("api").and_then(|api| api.get("config")).and_then(Value::as_bool);
        let config_api = (may_config == Some(true)).then(|| client.api(config, auth.clone(), AIRBYTE, Vec::new()));
        let api = client.api(public, auth, AIRBYTE, Vec::new());
        Ok(Some(Self { api, config_api, workspace: text("workspaceId"), pages: pages(&url) }))
    }
}

/// The error of calls to an instance without the URL of Airbyte.
pub(crate) fn unconfigured(instance: &str) -> ProviderError {
    ProviderError::unconfigured(format!("the instance `{instance}` has no `url` of Airbyte")).solution(
        format!("add `url`, `workspaceId` and `clientId` with `clientSecret` (or `token`) under `providers.{instance}` of the environment, or set AIRBYTE_URL and AIRBYTE_WORKSPACE_ID"),
    )
}

fn invalid(name: &str, message: impl Into<String>) -> ProviderError {
    ProviderError::invalid(Some(Path::attribute(name)), message)
}

/// Returns the bases of the public API and the Config API; the URL may be the host or either API.
fn bases(url: &str) -> Result<(Base, Base), String> {
    let trimmed = url.trim().trim_end_matches('/');
    for own in [PUBLIC, CONFIG] {
        if let Some(host) = trimmed.strip_suffix(own) {
            let base = Base::parse(host)?;
            return Ok((base.below(PUBLIC), base.below(CONFIG)));
        }
    }
    let base = Base::parse(trimmed)?;
    // Airbyte Cloud has a separate host for the API.
    match trimmed.ends_with("/v1") {
        true => Ok((base.clone(), base)),
        false => Ok((base.below(PUBLIC), base.below(CONFIG))),
    }
}

/// Base URL of the web pages: the host itself; Airbyte Cloud has a separate host.
fn pages(url: &str) -> String {
    let trimmed = url.trim().trim_end_matches('/');
    let host = [PUBLIC, CONFIG].iter().find_map(|own| trimmed.strip_suffix(own)).unwrap_or(trimmed);
    match host {
        "https://api.airbyte.com/v1" => "https://cloud.airbyte.com".to_owned(),
        host if host.contains("://") => host.to_owned(),
        host => format!("https://{host}"),
    }
}

fn auth(text: &impl Fn(&str) -> Option<String>, client: &Client, public: &Base) -> Result<Auth, ProviderError> {
    let (token, id, user) = (text("token"), text("clientId"), text("username"));
    let given = [("token", token.is_some()), ("clientId", id.is_some()), ("username", user.is_some())];
    let given: Vec<&str> = given.iter().filter(|(_, is_given)| *is_given).map(|(name, _)| *name).collect();
    if let [one, other, ..] = given.as_slice() {
        return Err(invalid(other, format!("`{one}` and `{other}` exclude each other")).solution("remove one of them"));
    }
    let secret = |name: &str, with: &str| {
        let value = text(name).map(SecretString::from);
        value.ok_or_else(|| invalid(name, format!("`{with}` needs `{name}`")))
    };
    if let Some(token) = token {
        return Ok(Auth::Bearer(token.into()));
    }
    if let Some(id) = id {
        // <https://reference.airbyte.com/reference/createaccesstoken>: the hyphen is Airbyte's.
        let request = TokenRequest::new(client, public, "/applications/token")
            .map_err(|failure| ProviderError::bug(failure.in_words()))?
            .field("client_id", id.into())
            .field("client_secret", secret("clientSecret", "clientId")?)
            .field("grant-type", "client_credentials".into())
            .as_json();
        return Ok(Auth::Tokens(Arc::new(request)));
    }
    if let Some(user) = user {
        return Ok(Auth::Basic(user, secret("password", "username")?));
    }
    // A self-managed Airbyte may need no authentication.
    Ok(Auth::None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_of_host_or_api_gives_both_bases() {
        let shown = |url: &str| bases(url).map(|(public, config)| format!("{} {}", public.shown(), config.shown()));
        let both = Ok("https://h:8000/api/public/v1 https://h:8000/api/v1".to_owned());
        for url in ["https://h:8000", "h:8000/", "https://h:8000/api/v1", "https://h:8000/api/public/v1/"] {
            assert_eq!(shown(url), both, "{url}");
        }
        assert_eq!(
            shown("https://api.airbyte.com/v1").as_deref(),
            Ok("https://api.airbyte.com/v1 https://api.airbyte.com/v1")
        );
        assert!(shown("ftp://h").is_err());
    }
}
