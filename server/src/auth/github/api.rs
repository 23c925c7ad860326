//! Calls of GitHub's REST API: whose token it is, and the organisations and teams of its owner.

use super::member::Account;
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::{Value as Json, json};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use terrace_provider::http::{
    Api, Auth, Base, Client, Failure, HeaderName, HeaderValue, Options, ParsedError, Reply, Request, Vendor, Within,
};
use tokio::time::Instant;

/// Time limit of all calls about a token.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer, in bytes: a page of teams has some hundred kilobytes.
const LARGEST_ANSWER: usize = 4 << 20;
/// The size of a page: GitHub's maximum.
const PAGE: usize = 100;
/// The most pages of organisations or teams.
const MOST_PAGES: usize = 50;
/// The pause after a failure: callers that waited for a silent GitHub do not wait again.
const PAUSE: Duration = Duration::from_secs(5);
/// The pause after a refusal of all calls without a time, as GitHub asks for.
const REFUSAL_PAUSE: Duration = Duration::from_secs(60);
/// The longest pause: GitHub counts calls by the hour.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// A token that GitHub never issues, for a check of the client.
const NO_TOKEN: &str = "gho_000000000000000000000000000000000000";

const VENDOR: Vendor = Vendor {
    name: "GitHub",
    parse_error: |_| ParsedError::default(),
    had_no_effect: |_| false,
    reach: "",
    sign_in: "",
};

/// Why GitHub names no account.
#[derive(Debug)]
pub(super) enum Fault {
    /// The token is not valid for this server, in words for the caller.
    Token(&'static str),
    /// GitHub gives no answer about tokens for this time, with the reason for the log.
    Unavailable(String, Duration),
}

/// A valid token.
pub(super) struct CheckedToken {
    /// The login of its owner.
    pub(super) login: String,
    /// Its end.
    pub(super) expires: Option<Timestamp>,
}

/// The REST API, as an application calls it.
pub(super) struct GitHubApi {
    client: Client,
    base: Base,
    client_id: String,
    /// Calls as the application.
    own: Api,
    time: Duration,
    state: Mutex<State>,
}

/// Facts about the calls so far.
#[derive(Default)]
struct State {
    /// The last answer that accepted the client.
    accepted: Option<Instant>,
    /// GitHub wants no calls of the application until then, with the reason.
    paused: Option<(Instant, String)>,
}

impl GitHubApi {
    /// The interface at a site, for an application. `time` is the limit of all calls about a token.
    ///
    /// # Errors
    /// When the address is invalid, or TLS is not available.
    pub(super) fn new(site: &str, client_id: &str, secret: &SecretString, time: Duration) -> Result<Self, String> {
        let base = Base::parse(&address(site))?;
        let options = Options {
            timeout: time,
            max_bytes: LARGEST_ANSWER,
            retries: 0,
            retries_after_loss: 1,
            ..Options::default()
        };
        let client = Client::new(options).map_err(|error| error.message)?;
        let own = client.api(base.clone(), Auth::Basic(client_id.to_owned(), secret.clone()), VENDOR, Vec::new());
        Ok(Self { client, base, client_id: client_id.to_owned(), own, time, state: Mutex::default() })
    }

    /// Checks that GitHub knows the application and its secret.
    ///
    /// # Errors
    /// When it does not, or gives no answer.
    pub(super) async fn check_client(&self) -> Result<(), String> {
        match self.token(NO_TOKEN, &Within::time(self.time)).await {
            Ok(_) | Err(Fault::Token(_)) => Ok(()),
            Err(Fault::Unavailable(why, _)) => Err(why),
        }
    }

    /// The time since GitHub accepted the application last.
    pub(super) fn since_accepted(&self) -> Option<Duration> {
        self.with_state(|state| state.accepted.map(|at| at.elapsed()))
    }

    /// The time limit of the calls about a token.
    pub(super) fn within(&self) -> Within {
        Within::time(self.time)
    }

    /// Checks a token. GitHub knows it only if it was issued to this application, so a token that its owner gave to another
    /// application cannot be used here.
    /// <https://docs.github.com/en/rest/apps/oauth-applications#check-a-token>
    pub(super) async fn token(&self, token: &str, within: &Within) -> Result<CheckedToken, Fault> {
        if let Some((left, why)) = self.pause() {
            return Err(Fault::Unavailable(why, left));
        }
        let request = Request::post("/applications/{client_id}/token", &[&self.client_id]).reads();
        let reply = match self.own.send(&headers(request.json(json!({"access_token": token}))), within).await {
            Ok(reply) => reply,
            Err(Failure::Answered(reply)) => return Err(self.refusal(&reply)),
            Err(failure) => {
                let why = format!("`{}` gives no answer: {}", self.base.host(), failure.in_words());
                return Err(Fault::Unavailable(why, PAUSE));
            }
        };
        let checked = checked_token(&reply.json_or_null()).ok_or_else(|| unreadable("a token", &reply))?;
        self.note_accepted();
        Ok(checked)
    }

    /// The account of a token, with its organisations, and its teams if they are wanted. The token needs the scope
    /// `read:org`.
    pub(super) async fn account(
        &self,
        login: String,
        token: &SecretString,
        with_teams: bool,
        within: &Within,
    ) -> Result<Account, Fault> {
        let api = self.client.api(self.base.clone(), Auth::Bearer(token.clone()), VENDOR, Vec::new());
        // <https://docs.github.com/en/rest/orgs/members#list-organization-memberships-for-the-authenticated-user>
        let memberships =
            list(&api, Request::get("/user/memberships/orgs", &[]).query("state", "active"), within).await?;
        let teams = match with_teams {
            // <https://docs.github.com/en/rest/teams/teams#list-teams-for-the-authenticated-user>
            true => list(&api, Request::get("/user/teams", &[]), within).await?,
            false => Vec::new(),
        };
        let text = |json: &Json, path: &str| json.pointer(path).and_then(Json::as_str).map(str::to_owned);
        let active = memberships.iter().filter(|membership| text(membership, "/state").as_deref() == Some("active"));
        Ok(Account {
            login,
            organisations: active.filter_map(|membership| text(membership, "/organization/login")).collect(),
            teams: teams.iter().filter_map(|team| text(team, "/organization/login").zip(text(team, "/slug"))).collect(),
        })
    }

    /// The fault for an answer to the check of a token.
    fn refusal(&self, reply: &Reply) -> Fault {
        match reply.status {
            // Another program than GitHub may answer 404, too.
            404 if has_message(reply) => {
                self.note_accepted();
                Fault::Token("the token does not belong to the application of this server at GitHub, or it was revoked")
            }
            401 => {
                self.with_state(|state| state.accepted = None);
                let why = "GitHub does not accept `clientId` and `clientSecret` of `server.auth`";
                self.paused(why.to_owned(), REFUSAL_PAUSE)
            }
            // A proxy in front of GitHub may refuse a single call.
            status @ (403 | 429) if status == 429 || reply.retry_after.is_some() || has_message(reply) => self
                .paused(format!("GitHub refuses or limits the calls of the application ({status})"), pause_of(reply)),
            status => {
                Fault::Unavailable(format!("`{}` answers {status} to the check of a token", self.base.host()), PAUSE)
            }
        }
    }

    /// A fault of all calls of the application. Further calls while GitHub refuses them could make it ban the application.
    fn paused(&self, why: String, pause: Duration) -> Fault {
        self.with_state(|state| state.paused = Some((Instant::now() + pause, why.clone())));
        Fault::Unavailable(why, pause)
    }

    fn pause(&self) -> Option<(Duration, String)> {
        self.with_state(|state| {
            let (until, why) = state.paused.as_ref()?;
            let left = until.saturating_duration_since(Instant::now());
            (!left.is_zero()).then(|| (left, why.clone()))
        })
    }

    fn note_accepted(&self) {
        self.with_state(|state| *state = State { accepted: Some(Instant::now()), paused: None });
    }

    fn with_state<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The address of the REST API of a site: <https://docs.github.com/en/rest/using-the-rest-api/getting-started-with-the-rest-api>,
/// <https://docs.github.com/en/enterprise-server/rest/using-the-rest-api/getting-started-with-the-rest-api>, and
/// <https://docs.github.com/en/enterprise-cloud@latest/admin/data-residency/network-details-for-ghecom>.
fn address(site: &str) -> String {
    match site.strip_prefix("https://") {
        Some(host) if host == "github.com" || host.ends_with(".ghe.com") => format!("https://api.{host}"),
        _ => format!("{site}/api/v3"),
    }
}

/// All items of a list. GitHub names a next page in `Link`:
/// <https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api>
async fn list(api: &Api, request: Request, within: &Within) -> Result<Vec<Json>, Fault> {
    let mut items = Vec::new();
    for page in 1..=MOST_PAGES {
        let request = headers(request.clone().query("per_page", PAGE).query("page", page));
        let reply = match api.send(&request, within).await {
            Ok(reply) => reply,
            Err(Failure::Answered(reply)) => return Err(refusal_of_list(&reply)),
            Err(failure) => return Err(Fault::Unavailable(failure.in_words(), PAUSE)),
        };
        let Json::Array(found) = reply.json_or_null() else {
            return Err(unreadable("organisations and teams", &reply));
        };
        items.extend(found);
        if !reply.header("link").is_some_and(|links| links.contains("rel=\"next\"")) {
            return Ok(items);
        }
    }
    Err(Fault::Unavailable(format!("a list of GitHub has more than {MOST_PAGES} pages"), PAUSE))
}

/// The fault for an answer to a list of the caller.
fn refusal_of_list(reply: &Reply) -> Fault {
    match reply.status {
        401 => Fault::Token("GitHub does not accept the token any more"),
        429 => Fault::Unavailable("GitHub limits the rate of calls of a caller".to_owned(), pause_of(reply)),
        403 if is_limited(reply) => {
            Fault::Unavailable("GitHub limits the rate of calls of a caller".to_owned(), pause_of(reply))
        }
        403 if has_message(reply) => Fault::Token(
            "the token does not show the organisations of its owner: it needs the scope \
             `read:org`, or the app the permission to read members",
        ),
        status => Fault::Unavailable(format!("GitHub answers {status} to a list of organisations or teams"), PAUSE),
    }
}

/// Whether an answer is due to a limit of calls:
/// <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit>
fn is_limited(reply: &Reply) -> bool {
    let message = reply.json_or_null().get("message").and_then(Json::as_str).map(str::to_ascii_lowercase);
    reply.retry_after.is_some() || message.is_some_and(|message| message.contains("rate limit"))
}

/// The pause that a limit of calls requires.
fn pause_of(reply: &Reply) -> Duration {
    reply.retry_after.unwrap_or(REFUSAL_PAUSE).clamp(PAUSE, LONGEST_PAUSE)
}

/// Whether an answer has the form of GitHub's errors.
fn has_message(reply: &Reply) -> bool {
    reply.json_or_null().get("message").is_some_and(Json::is_string)
}

fn unreadable(what: &str, reply: &Reply) -> Fault {
    Fault::Unavailable(format!("the answer of GitHub ({}) about {what} cannot be read", reply.status), PAUSE)
}

/// The owner and the end of a token.
fn checked_token(answer: &Json) -> Option<CheckedToken> {
    let login = answer.pointer("/user/login")?.as_str().filter(|login| !login.is_empty())?.to_owned();
    let expires = match answer.get("expires_at") {
        None | Some(Json::Null) => None,
        // A token with an unreadable end must not count as endless.
        Some(end) => Some(end.as_str()?.parse().ok()?),
    };
    Some(CheckedToken { login, expires })
}

fn headers(request: Request) -> Request {
    request
        .header(HeaderName::from_static("accept"), HeaderValue::from_static("application/vnd.github+json"))
        .header(HeaderName::from_static("x-github-api-version"), HeaderValue::from_static("2022-11-28"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// An interface at a server that gives one answer, or none, and counts the calls.
    async fn api(answer: Option<&'static str>) -> (GitHubApi, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let counted = Arc::<AtomicUsize>::default();
        let counting = Arc::clone(&counted);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let counted = Arc::clone(&counting);
                tokio::spawn(async move {
                    while stream.read(&mut [0; 4096]).await.is_ok_and(|length| length > 0) {
                        counted.fetch_add(1, Ordering::Relaxed);
                        if let Some(answer) = answer {
                            let _ = stream.write_all(answer.as_bytes()).await;
                        }
                    }
                });
            }
        });
        let time = if answer.is_some() { TIMEOUT } else { Duration::from_millis(50) };
        (GitHubApi::new(&url, "app", &"secret".into(), time).unwrap(), counted)
    }

    async fn fault(answer: Option<&'static str>) -> Fault {
        let (api, _) = api(answer).await;
        api.token("gho_a", &api.within()).await.err().unwrap()
    }

    #[test]
    fn address_follows_the_site() {
        assert_eq!(address("https://github.com"), "https://api.github.com");
        assert_eq!(address("https://acme.ghe.com"), "https://api.acme.ghe.com");
        assert_eq!(address("https://github.example.com"), "https://github.example.com/api/v3");
    }

    #[test]
    fn answer_without_owner_or_with_unreadable_end_is_refused() {
        let of = |answer: Json| checked_token(&answer).map(|checked| (checked.login, checked.expires.is_some()));
        assert_eq!(of(json!({"user": {"login": "ada"}, "expires_at": null})), Some(("ada".to_owned(), false)));
        let end = json!({"user": {"login": "ada"}, "expires_at": "2030-01-01T00:00:00Z"});
        assert_eq!(of(end), Some(("ada".to_owned(), true)));
        for wrong in [
            json!({}),
            json!({"user": null}),
            json!({"user": {"login": ""}}),
            json!({"user": {"login": "ada"}, "expires_at": "soon"}),
            json!({"user": {"login": "ada"}, "expires_at": 5}),
        ] {
            assert_eq!(of(wrong.clone()), None, "{wrong}");
        }
    }

    #[tokio::test]
    async fn only_answers_of_github_refuse_a_token() {
        let of_github = "HTTP/1.1 404 Not Found\r\ncontent-length: 23\r\n\r\n{\"message\":\"Not Found\"}";
        assert!(matches!(fault(Some(of_github)).await, Fault::Token(_)));
        for other in [
            "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno",
            "HTTP/1.1 301 Moved\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
            "HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n",
            "no HTTP\r\n\r\n",
        ] {
            assert!(matches!(fault(Some(other)).await, Fault::Unavailable(_, PAUSE)), "{other}");
        }
        // A server without an answer.
        assert!(matches!(fault(None).await, Fault::Unavailable(_, PAUSE)));
    }

    #[tokio::test]
    async fn refused_application_makes_no_further_calls() {
        let limited = "HTTP/1.1 403 No\r\nretry-after: 90\r\ncontent-length: 0\r\n\r\n";
        let unknown = "HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n";
        for (answer, pause, words) in [(limited, 90, "refuses or limits the calls"), (unknown, 60, "does not accept")] {
            let (api, calls) = api(Some(answer)).await;
            for _ in 0..2 {
                let within = api.within();
                let Err(Fault::Unavailable(why, left)) = api.token("gho_a", &within).await else { panic!("a fault") };
                assert!(why.contains(words) && left.as_secs().abs_diff(pause) <= 30, "{why} {left:?}");
            }
            assert!(api.pause().is_some() && api.check_client().await.is_err());
            assert_eq!(calls.load(Ordering::Relaxed), 1);
        }
    }
}
