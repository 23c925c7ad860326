//! The settings of an instance, taken apart; what those of the instance `snowflake` do not say is taken from `SNOWFLAKE_*`.
//! The variables are read here and not by the settings' schema: one setting has two well-known names, and what the settings
//! say of the account or of the way to sign in goes before any other such variable.

use crate::client::Key;
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use terrace_provider::http::{check_credentials, is_plain_http_allowed};
use terrace_provider::{Attributes, Object, Path, ProviderError, Redaction, Settings, Value};

/// Variables of the process by name: some are secrets.
pub(crate) type Variables = BTreeMap<String, SecretString>;

/// The one instance that variables speak of.
const INSTANCE: &str = "snowflake";

/// The settings that a variable may give, and the variables: the well-known names of the field first.
const VARIABLES: [(&str, &[&str]); 10] = [
    ("account", &["SNOWFLAKE_ACCOUNT"]),
    ("host", &["SNOWFLAKE_HOST"]),
    ("user", &["SNOWFLAKE_USER"]),
    ("role", &["SNOWFLAKE_ROLE"]),
    ("warehouse", &["SNOWFLAKE_WAREHOUSE"]),
    ("privateKeyFile", &["SNOWFLAKE_PRIVATE_KEY_FILE", "SNOWFLAKE_PRIVATE_KEY_PATH"]),
    ("privateKeyPassphrase", &["SNOWFLAKE_PRIVATE_KEY_PASSPHRASE", "SNOWFLAKE_PRIVATE_KEY_FILE_PWD"]),
    // The SQL API takes no passwords; a programmatic access token may stand wherever one did.
    ("token", &["SNOWFLAKE_TOKEN", "SNOWFLAKE_PASSWORD"]),
    ("oauthToken", &["SNOWFLAKE_OAUTH_TOKEN"]),
    ("queryTag", &["SNOWFLAKE_QUERY_TAG"]),
];

/// The ways of proving who one is, of which there is one.
const PROOFS: [&str; 3] = ["privateKeyFile", "token", "oauthToken"];

/// How Snowflake is reached.
#[derive(Debug)]
pub(crate) struct Config {
    /// Where the SQL API is: `https://ab12345.eu-central-1.snowflakecomputing.com`.
    pub(crate) base: String,
    /// The role in whose name statements are carried out; the user's default one where it is not said.
    pub(crate) role: Option<String>,
    /// The warehouse on which queries run.
    pub(crate) warehouse: Option<String>,
    /// How it is proved who asks.
    pub(crate) proof: Proof,
    /// What query tags begin with.
    pub(crate) query_tag: String,
    /// The authorities to trust instead of the machine's.
    pub(crate) ca_file: Option<PathBuf>,
    /// How long a request may go unanswered.
    pub(crate) timeout: Duration,
    /// The secrets among the variables, which no text repeats.
    pub(crate) hidden: Redaction,
}

/// Who asks.
#[derive(Debug)]
pub(crate) enum Proof {
    /// A key whose public half the user has.
    Key(Key),
    /// A programmatic access token; whether it came as a password.
    Token(SecretString, bool),
    /// A token of OAuth.
    OAuth(SecretString),
}

/// The settings with what variables say.
struct Given<'a> {
    values: &'a Attributes,
    variables: Option<&'a Variables>,
}

impl Given<'_> {
    /// A text, and the variable that it stands in, if it does.
    fn text(&self, name: &str) -> Option<(String, Option<&str>)> {
        if let Some(text) = self.values.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()) {
            return Some((text.to_owned(), None));
        }
        // Another proof in the settings goes before any in a variable.
        let is_settled = PROOFS.contains(&name) && PROOFS.iter().any(|proof| self.values.contains_key(*proof));
        let (_, names) = VARIABLES.iter().find(|(known, _)| *known == name && !is_settled)?;
        names.iter().find_map(|variable| {
            let (name, text) = self.variables?.get_key_value(*variable)?;
            Some((text.expose_secret().to_owned(), Some(name.as_str())))
        })
    }

    /// The secrets that variables hold.
    fn hidden(&self) -> Redaction {
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
    /// Takes settings apart. `None` where nothing says which account.
    ///
    /// # Errors
    /// When a value is none that can work.
    pub(crate) fn read(settings: &Settings, variables: &Variables) -> Result<Option<Self>, ProviderError> {
        let is_spoken_of = settings.instance == INSTANCE;
        let given = Given { values: &settings.values, variables: is_spoken_of.then_some(variables) };
        let account = given.plain("account");
        let Some(base) = base(&given, account.as_deref())? else { return Ok(None) };
        let at = Path::attribute("host");
        check_credentials(&base, is_plain_http_allowed(&settings.values), at)?;
        let timeout = match settings.values.get("timeout").map(Value::exposed) {
            Some(Value::Int(seconds)) => u64::try_from(*seconds).ok().filter(|seconds| *seconds > 0),
            _ => Some(60),
        };
        let timeout =
            timeout.map(Duration::from_secs).ok_or_else(|| invalid("timeout", "`timeout` is no time to wait"))?;
        Ok(Some(Self {
            base,
            role: given.plain("role"),
            warehouse: given.plain("warehouse"),
            proof: proof(settings, &given, account.as_deref())?,
            query_tag: given.plain("queryTag").unwrap_or_else(|| "terrace".to_owned()),
            ca_file: given.plain("caFile").map(|path| settings.project_folder.join(path)),
            timeout,
            hidden: given.hidden(),
        }))
    }
}

/// The error of calls to an instance that nothing says the account of.
pub(crate) fn unconfigured(instance: &str) -> ProviderError {
    let message = format!("nothing says which account of Snowflake the instance `{instance}` is");
    let variables = match instance == INSTANCE {
        true => ", or set SNOWFLAKE_ACCOUNT, SNOWFLAKE_USER, SNOWFLAKE_ROLE and SNOWFLAKE_PASSWORD",
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

fn base(given: &Given<'_>, account: Option<&str>) -> Result<Option<String>, ProviderError> {
    // The host of a variable is that of another account than one that is written down.
    let host = given.text("host").filter(|(_, variable)| variable.is_none() || !given.values.contains_key("account"));
    if let Some((host, _)) = host {
        let wrong = || {
            invalid("host", "the host is none").solution("write such as `ab12345.eu-central-1.snowflakecomputing.com`")
        };
        // A scheme is for servers of tests; everything else is asked by TLS.
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
        let error = invalid("account", "an account is written in letters, digits, `-`, `_` and `.`");
        return Err(error
            .solution("write such as `myorg-account1` or `ab12345.eu-central-1`, without `.snowflakecomputing.com`"));
    }
    let account = account.strip_suffix(".snowflakecomputing.com").unwrap_or(account);
    // Names of hosts hold no `_`: Snowflake writes `-` for it there.
    Ok(Some(format!("https://{}.snowflakecomputing.com", account.to_lowercase().replace('_', "-"))))
}

fn proof(settings: &Settings, given: &Given<'_>, account: Option<&str>) -> Result<Proof, ProviderError> {
    let in_settings: Vec<&str> = PROOFS.into_iter().filter(|name| settings.values.contains_key(*name)).collect();
    if let [one, other, ..] = in_settings.as_slice() {
        return Err(
            invalid(other, format!("`{one}` and `{other}` both say how to sign in")).solution("leave one of them")
        );
    }
    if let Some(file) = given.plain("privateKeyFile") {
        let account = account.map(str::to_owned).or_else(|| host_account(&given.plain("host")?));
        let account = account.ok_or_else(|| invalid("account", "a private key needs `account` to be said"))?;
        let user = given.plain("user").ok_or_else(|| invalid("user", "a private key needs `user` to be said"))?;
        let pem = std::fs::read_to_string(settings.project_folder.join(&file))
            .map_err(|error| invalid("privateKeyFile", format!("the private key cannot be read: {error}")))?;
        let passphrase = given.plain("privateKeyPassphrase");
        let key = Key::read(&pem, passphrase.as_deref(), &account, &user);
        return Ok(Proof::Key(key.map_err(|why| {
            invalid("privateKeyFile", why).solution("make one as Snowflake's guide says: `openssl genrsa 2048 | openssl pkcs8 -topk8 -inform PEM -out key.p8`")
        })?));
    }
    if let Some(token) = given.plain("oauthToken") {
        return Ok(Proof::OAuth(token.into()));
    }
    if let Some((token, variable)) = given.text("token") {
        let is_password = variable == Some("SNOWFLAKE_PASSWORD");
        return Ok(Proof::Token(token.into(), is_password));
    }
    Err(ProviderError::unconfigured("nothing says how to sign in to Snowflake").solution(
        "give `privateKeyFile` (a key pair), `token` (a programmatic access token) or `oauthToken`; passwords are not taken by its SQL API",
    ))
}

/// The account that a host belongs to.
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
            values: values.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect(),
        };
        let variables = [("SNOWFLAKE_HOST", "other.example.com"), ("SNOWFLAKE_TOKEN", "secret")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.into())).into();
        Config::read(&settings, &variables).unwrap().map(|config| config.base)
    }

    #[test]
    fn the_host_of_a_variable_is_not_that_of_an_account_which_is_written_down() {
        let host = || Some("https://other.example.com".to_owned());
        let account = || Some("https://cd67890.snowflakecomputing.com".to_owned());
        assert_eq!(base_of("snowflake", &[]), host());
        assert_eq!(base_of("snowflake", &[("account", "CD67890")]), account());
        assert_eq!(base_of("snowflake.eu", &[("account", "CD67890"), ("token", "x")]), account());
        assert_eq!(base_of("snowflake.eu", &[]), None);
    }
}
