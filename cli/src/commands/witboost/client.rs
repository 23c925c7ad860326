//! Calls of Witboost's platform, with bounded waits and errors for people.
//!
//! Access tokens: <https://docs.witboost.com/docs/apis/witboost/authentication>. Registration:
//! <https://docs.witboost.com/api/control-plane/>. The validation has no published description: its path and its fields
//! are those of the vendor's own client (<https://github.com/agile-lab-dev/witboost-ai-toolkit>).

use super::registrations::Registration;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::ui::Ui;
use crate::variables;
use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::time::Duration;
use terrace_provider::http::{
    self, ALLOW_PLAIN_HTTP, Api, Auth, Base, Options, ParsedError, Reply, Request, Token, TokenSource, Vendor, Within,
};

/// The variable with the URL, if the configuration has none.
const URL: &str = "WITBOOST_URL";
/// The variable with the token, if the configuration has none.
const TOKEN: &str = "WITBOOST_TOKEN";
/// The beginning of an access token. Any other token is a JWT, which needs no exchange.
const ACCESS_TOKEN: &str = "wbat-";
/// The requested lifetime of a JWT.
const LIFETIME: Duration = Duration::from_secs(15 * 60);
/// The limit of an attempt without an answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The limit of a call with its retries and the pauses that the platform requests.
const LONGEST_CALL: Duration = Duration::from_secs(120);
/// The limit of an attempt to validate: the platform answers once all adapters have answered.
const VALIDATION_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// The limit of a validation with its retries and pauses.
const LONGEST_VALIDATION: Duration = Duration::from_secs(15 * 60);
/// Retries of a call. The platform answers 500 to lasting mistakes, too.
const RETRIES: u32 = 3;
/// The code of a failure because the address has no exchange of access tokens.
const NO_EXCHANGE: &str = "no_exchange";
/// The longest text of an answer in a message, in characters.
const LONGEST_TEXT: usize = 1_000;

const VENDOR: Vendor = Vendor {
    name: "Witboost",
    parse_error: |_| ParsedError::default(),
    had_no_effect: |_| false,
    reach: "",
    sign_in: "",
};

/// The platform with the rights of a token.
pub(super) struct Client {
    api: Api,
    /// `None` for a JWT.
    access_token: Option<Arc<AccessToken>>,
}

/// The result of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Registered {
    /// The platform took it.
    Taken,
    /// The platform has an adapter with this id, and keeps it.
    Exists,
}

/// A failed call.
#[derive(Debug)]
pub(super) struct CallError {
    /// The status of the answer.
    pub(super) status: Option<u16>,
    /// True if the platform does not accept the token, or its rights.
    pub(super) is_refused: bool,
    /// The message and its remedies, without secrets.
    pub(super) failure: Failure,
}

/// The purpose of a call, for errors.
#[derive(Debug, Clone, Copy)]
struct Purpose {
    /// After "cannot": `register the adapter`.
    action: &'static str,
    /// The remedy for status 404.
    missing: &'static str,
}

const REGISTER: Purpose = Purpose {
    action: "register an adapter",
    missing: "check `witboost.url`: it is the address of Witboost in the browser",
};
const VALIDATE: Purpose = Purpose {
    action: "validate the descriptor",
    missing: "Witboost validates data products of its catalog only: register the product's `catalog-info.yaml` there first",
};

impl Client {
    /// The platform of the configuration.
    ///
    /// # Errors
    /// When the configuration cannot be evaluated, which is reported, or lacks the URL or the token.
    pub(super) fn new(settings: &Settings, ui: &Ui) -> Result<Self, Failure> {
        let configured = settings.witboost(ui)?;
        let url = configured.url.as_deref().or_else(|| settings.variables.get(URL));
        let url = url.ok_or_else(|| {
            Failure::new("no address of Witboost is configured")
                .hint(format!("set `witboost: {{url: https://…}}` in terrace.yaml, or the variable {URL}"))
        })?;
        let base = Base::parse(url).map_err(|why| Failure::new(format!("the address of Witboost is {why}")))?;
        if http::is_exposed(base.shown()) && !configured.is_plain_http_allowed {
            return Err(Failure::new(format!("the token would be sent to `{}` without encryption", base.host())).hint(
                format!(
                    "write `https://`, or set `{ALLOW_PLAIN_HTTP}: true` below `witboost` in a network that you trust"
                ),
            ));
        }
        let token = configured.token.clone().or_else(|| settings.variables.get(TOKEN).map(SecretString::from));
        let token = token.ok_or_else(|| {
            Failure::new("no token for Witboost is configured").hint(format!(
                "set the variable {TOKEN} to the access token of a service account (`{ACCESS_TOKEN}…`), or \
                 `witboost.token` in terrace.yaml"
            ))
        })?;
        let token = well_formed(&token)?;
        let options = Options {
            ca_file: configured.ca_file.clone(),
            allow_plain_http: configured.is_plain_http_allowed,
            timeout: TIMEOUT,
            retries: RETRIES,
            retries_after_loss: RETRIES,
            ..Options::default()
        };
        let client = http::Client::new(options).map_err(Failure::from)?;
        if !token.expose_secret().starts_with(ACCESS_TOKEN) {
            let api = client.api(base, Auth::Bearer(token), VENDOR, Vec::new());
            return Ok(Self { api, access_token: None });
        }
        let exchange = client.api(base.clone(), Auth::None, VENDOR, vec![token.clone()]);
        let access_token = Arc::new(AccessToken { api: exchange, token });
        let source: Arc<dyn TokenSource> = Arc::<AccessToken>::clone(&access_token);
        let api = client.api(base, Auth::Tokens(source), VENDOR, Vec::new());
        Ok(Self { api, access_token: Some(access_token) })
    }

    /// The address of the platform; it contains no secret.
    pub(super) fn url(&self) -> &str {
        self.api.base().shown()
    }

    /// A text without the secrets of the calls.
    pub(super) fn redacted(&self, text: &str) -> String {
        self.api.redacted(text)
    }

    /// Exchanges the access token, to show that the platform answers and accepts it. Returns false for a JWT, which only
    /// other calls check.
    ///
    /// # Errors
    /// When the platform refuses it or does not answer.
    pub(super) async fn check_access(&self) -> Result<bool, CallError> {
        let Some(access_token) = &self.access_token else { return Ok(false) };
        let purpose = Purpose { action: "exchange the access token", missing: REGISTER.missing };
        access_token.token().await.map(|_| true).map_err(|failure| self.error(&failure, purpose))
    }

    /// Registers an adapter.
    ///
    /// # Errors
    /// When the platform refuses it or does not answer.
    pub(super) async fn register(&self, registration: &Registration) -> Result<Registered, CallError> {
        let Registration { id, name, description, version, url, environment } = registration;
        let body = json!({
            "id": id, "name": name, "description": description, "version": version, "url": url, "environment": environment,
        });
        // A repeated registration has no further effect, so any failure is retried, as for a read.
        let request = Request::post("/api/builder/register", &[]).json(body).reads();
        match self.api.send(&request, &Within::time(LONGEST_CALL)).await {
            // A proxy in front of the platform: nothing is registered.
            Ok(reply) if reply.body.trim_ascii_start().starts_with(b"<") => {
                let why = "it answers with a web page instead of JSON".to_owned();
                Err(self.error(&http::Failure::NotSent(why), REGISTER))
            }
            Ok(_) => Ok(Registered::Taken),
            Err(failure) if failure.status() == Some(409) => Ok(Registered::Exists),
            Err(failure) => Err(self.error(&failure, REGISTER)),
        }
    }

    /// Validates a descriptor. `product` is the name in the catalog: `finance.cash.0`.
    ///
    /// # Errors
    /// When the platform refuses it or does not answer.
    pub(super) async fn validate(&self, product: &str, body: Json) -> Result<Json, CallError> {
        // A repeated validation adds only an entry to the history.
        let request = Request::post("/api/builder/dataproducts/{product}/validate", &[product]).json(body).reads();
        let request = request.timeout(VALIDATION_TIMEOUT);
        let sent = self.api.send(&request, &Within::time(LONGEST_VALIDATION)).await;
        sent.and_then(|reply| reply.json()).map_err(|failure| self.error(&failure, VALIDATE))
    }

    fn error(&self, failure: &http::Failure, Purpose { action, missing }: Purpose) -> CallError {
        let host = self.api.base().host();
        let (message, hints) = match failure {
            http::Failure::NotSent(why) => (
                format!("Witboost cannot be reached at `{host}`: {why}"),
                vec!["check `witboost.url`, and the network of this machine".to_owned()],
            ),
            http::Failure::Lost(why) => {
                (format!("Witboost does not answer the request to {action}: {why}"), vec!["try again later".to_owned()])
            }
            http::Failure::Unauthorized { code: Some(code), message } if code == NO_EXCHANGE => (
                format!("Witboost cannot be reached at `{host}`: {message}"),
                vec!["check `witboost.url`: it is the address of Witboost in the browser".to_owned()],
            ),
            http::Failure::Unauthorized { message, .. } => {
                (format!("Witboost does not accept the access token: {message}"), vec![NEW_TOKEN.to_owned()])
            }
            http::Failure::Answered(reply) => refusal(reply, action, missing),
            other => {
                let message = format!("Witboost cannot be asked to {action}: {}", other.in_words());
                (message, vec!["try again later".to_owned()])
            }
        };
        let failure_of_command = Failure::new(self.redacted(&message));
        let hints = hints.iter().filter(|hint| !hint.is_empty()).map(|hint| self.redacted(hint));
        let status = failure.status();
        let is_refused =
            matches!(failure, http::Failure::Unauthorized { code: None, .. }) || matches!(status, Some(401 | 403));
        CallError { status, is_refused, failure: hints.fold(failure_of_command, Failure::hint) }
    }
}

/// The token without white space around it, such as the line break at the end of a file.
///
/// # Errors
/// When no header can carry it. The message does not repeat it.
fn well_formed(token: &SecretString) -> Result<SecretString, Failure> {
    variables::token(token.expose_secret()).ok_or_else(|| {
        Failure::new("the token for Witboost is not a token: it is empty, or has other characters than visible ASCII")
            .hint(format!(
                "copy the whole access token (`{ACCESS_TOKEN}…`) into {TOKEN}, on one line and without quotes"
            ))
    })
}

const NEW_TOKEN: &str =
    "create a token of a service account in Witboost (Administration, IAM), and put it into WITBOOST_TOKEN";

/// The message and the remedies for a failure answer.
fn refusal(reply: &Reply, action: &str, missing: &str) -> (String, Vec<String>) {
    let Content { message, solutions } = content(&reply.json_or_null());
    let because = if message.is_empty() { String::new() } else { format!(": {message}") };
    let (message, hint) = match reply.status {
        401 => (format!("Witboost does not accept the token{because}"), NEW_TOKEN),
        403 => (
            format!("the token may not {action}{because}"),
            "give the service account a role with this permission in Witboost (Administration, IAM)",
        ),
        404 => (format!("Witboost finds nothing to {action}{because}"), missing),
        409 => (format!("Witboost reports a conflict and cannot {action}{because}"), "try again later"),
        429 => {
            let wait = reply.retry_after.map(|pause| format!(" for {} s", pause.as_secs())).unwrap_or_default();
            (
                format!("Witboost limits the rate of calls{wait}, and terrace could not {action}{because}"),
                "try again later",
            )
        }
        500..=599 => (
            format!("Witboost failed to {action} (status {}){because}", reply.status),
            "look into the logs of Witboost",
        ),
        status => (format!("Witboost refuses to {action} (status {status}){because}"), ""),
    };
    let hints = if solutions.is_empty() { vec![hint.to_owned()] } else { solutions };
    (message, hints)
}

/// The texts of a failure answer.
#[derive(Debug, Default, PartialEq, Eq)]
struct Content {
    message: String,
    solutions: Vec<String>,
}

/// Reads a failure answer: `{error: {message}}`, `{message}`, `{errors}`, `{problems, solutions}`, or text.
fn content(body: &Json) -> Content {
    let text = |json: &Json| json.as_str().map(str::to_owned);
    let of = |json: &Json| text(json).or_else(|| json.get("message").or_else(|| json.get("error")).and_then(text));
    let list = |name: &str| -> Vec<String> {
        body.get(name)
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
            .filter_map(of)
            .map(|text| shortened(&text))
            .collect()
    };
    let first = ["userMessage", "message", "error"].into_iter().find_map(|name| body.get(name).and_then(of));
    let first = first.or_else(|| text(body)).into_iter().map(|text| shortened(&text));
    let mut all: Vec<String> = first.chain(list("problems")).chain(list("errors")).collect();
    all.dedup();
    Content { message: all.join("; "), solutions: list("solutions") }
}

/// A text of an answer in one line, up to the limit.
pub(super) fn shortened(text: &str) -> String {
    let one_line: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match one_line.chars().count() > LONGEST_TEXT {
        true => one_line.chars().take(LONGEST_TEXT - 1).chain(['…']).collect(),
        false => one_line,
    }
}

/// The failure of an exchange that says nothing about the token. A repeated call would fail alike.
fn no_exchange(message: String) -> http::Failure {
    http::Failure::Unauthorized { code: Some(NO_EXCHANGE.to_owned()), message }
}

/// True if a failure answer to the exchange of a token does not come from the platform, whose answers are JSON.
fn is_foreign(reply: &Reply) -> bool {
    // A limit may be that of the platform or of a gateway.
    let is_limited = matches!(reply.status, 408 | 425 | 429);
    matches!(reply.status, 300..=399 | 404 | 405 | 407) || (reply.status < 500 && !is_limited && reply.json().is_err())
}

/// An access token, which is exchanged for JWTs.
struct AccessToken {
    /// The interface without credentials: the body of the exchange has them.
    api: Api,
    token: SecretString,
}

#[async_trait]
impl TokenSource for AccessToken {
    async fn token(&self) -> Result<Token, http::Failure> {
        let seconds = LIFETIME.as_secs();
        let body = json!({"access_token": self.token.expose_secret(), "duration_seconds": seconds});
        let request = Request::post("/api/auth/access-tokens/jwt", &[]).json(body).reads();
        let reply = match self.api.send(&request, &Within::time(LONGEST_CALL)).await {
            Ok(reply) => reply,
            // Another server, or a proxy: the token may be right.
            Err(http::Failure::Answered(reply)) if is_foreign(&reply) => {
                return Err(no_exchange(format!("it has no exchange of access tokens (status {})", reply.status)));
            }
            // The platform answers 500 to a wrong token. A gateway or a limit says nothing about it.
            Err(http::Failure::Answered(reply)) if !matches!(reply.status, 408 | 425 | 429 | 502..=504) => {
                let Content { message, .. } = content(&reply.json_or_null());
                let because = if message.is_empty() { String::new() } else { format!(": {message}") };
                let message = format!("it exchanges no token (status {}){because}", reply.status);
                return Err(http::Failure::Unauthorized { code: None, message });
            }
            // The exchange was retried already, with the pauses that the platform requests.
            Err(failure @ http::Failure::Answered(_)) => {
                return Err(http::Failure::Refused(format!("it exchanges no token: {}", failure.in_words())));
            }
            Err(failure) => {
                return Err(http::Failure::NotSent(format!("it exchanges no token: {}", failure.in_words())));
            }
        };
        let json = reply.json_or_null();
        match json.get("jwt").and_then(Json::as_str).filter(|jwt| !jwt.is_empty()) {
            Some(jwt) => Ok(Token { token: jwt.into(), lifetime: Some(LIFETIME), headers: Vec::new() }),
            None => Err(no_exchange("the answer to the exchange of the token has no `jwt`".to_owned())),
        }
    }

    fn secrets(&self) -> Vec<SecretString> {
        vec![self.token.clone()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_a_failure_answer_are_found_in_every_form() {
        for (body, message, solutions) in [
            (json!({"message": "no"}), "no", &[] as &[&str]),
            (json!({"error": {"message": "no", "name": "x"}}), "no", &[]),
            (json!({"error": "no"}), "no", &[]),
            (json!("no"), "no", &[]),
            (json!({"errors": [{"message": "a"}, {"error": "b"}, "c", {"x": 1}]}), "a; b; c", &[]),
            (json!({"userMessage": "no", "problems": ["no", "b"], "solutions": ["do"]}), "no; b", &["do"]),
            (json!({"message": "a\u{1b}[31mb"}), "a [31mb", &[]),
            (json!(null), "", &[]),
            (json!({"message": 1, "errors": "x", "solutions": {}}), "", &[]),
        ] {
            let expected =
                Content { message: message.to_owned(), solutions: solutions.iter().map(|s| (*s).to_owned()).collect() };
            assert_eq!(content(&body), expected, "{body}");
        }
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        let long = "é".repeat(LONGEST_TEXT + 1);
        let cut = shortened(&long);
        assert!(cut.ends_with('…') && cut.chars().count() == LONGEST_TEXT, "{cut}");
    }
}
