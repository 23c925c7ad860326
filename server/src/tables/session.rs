//! Access to the pages: by users who sent the token once, and from this machine unless the settings admit others.

use super::content::{BASE, Tables};
use super::pages;
use crate::auth::{Auth, Authenticator, Scope};
use axum::body::Bytes;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use std::sync::Arc;
use terrace_engine::digest::sha256;

/// The name of the session cookie, before a part for the project: cookies do not distinguish ports.
const COOKIE: &str = "terrace-databases-";
/// The lifetime of a session, in seconds.
const LIFE: i64 = 12 * 3600;
/// The digits of that part.
const DIGITS: usize = 12;

/// Hashes for comparison, so that the duration of a comparison reveals nothing about the token.
struct SessionCookie {
    token: String,
    name: String,
    session: String,
}

impl SessionCookie {
    fn new(token: &SecretString) -> Self {
        let token = sha256(token.expose_secret());
        let name = token.get(..DIGITS).unwrap_or_default();
        // The cookie does not contain the token, and the token cannot be derived from it.
        Self {
            name: format!("{COOKIE}{}", sha256(name).get(..DIGITS).unwrap_or_default()),
            session: sha256(format!("session {token}")),
            token,
        }
    }

    /// The value of a cookie that is valid until `end`: the time, and a hash that only the server can compute.
    fn session_until(&self, end: i64) -> String {
        format!("{end}.{}", sha256(format!("{} {end}", self.session)))
    }

    fn is_known(&self, headers: &HeaderMap, now: i64) -> bool {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let mut own = pairs.filter(|(name, _)| *name == self.name).map(|(_, value)| value);
        own.any(|value| {
            let end = value.split_once('.').and_then(|(end, _)| end.parse::<i64>().ok());
            end.is_some_and(|end| (now..=now + LIFE).contains(&end) && sha256(value) == sha256(self.session_until(end)))
        })
    }
}

fn now() -> i64 {
    Timestamp::now().as_second()
}

/// Lets users with a session pass; others get a page to start one.
pub(super) async fn require_session(tables: &dyn Tables, request: Request, next: Next) -> Response {
    match tables.token() {
        Ok(token) if SessionCookie::new(&token).is_known(request.headers(), now()) => next.run(request).await,
        Ok(_) => {
            let to = request.uri().path_and_query().map_or(BASE, |to| to.as_str()).to_owned();
            pages::token_page(&to, false)
        }
        Err(why) => why.into_response(),
    }
}

/// The form of the first page.
#[derive(Deserialize)]
pub(super) struct TokenForm {
    token: String,
    #[serde(default)]
    to: String,
}

/// Starts a session for a user with the token.
pub(super) async fn start_session(State(tables): State<Arc<dyn Tables>>, body: Bytes) -> Response {
    let Some(form) = read(&body) else { return pages::token_page(BASE, true) };
    let to = if is_page(&form.to) { form.to.as_str() } else { "/databases/" };
    let session_cookie = match tables.token() {
        Ok(token) => SessionCookie::new(&token),
        Err(why) => return why.into_response(),
    };
    if sha256(form.token.trim()) != session_cookie.token {
        return pages::token_page(to, true);
    }
    let session = session_cookie.session_until(now() + LIFE);
    let cookie = format!("{}={session}; Path={BASE}; Max-Age={LIFE}; HttpOnly; SameSite=Strict", session_cookie.name);
    ([(header::SET_COOKIE, cookie)], Redirect::to(to)).into_response()
}

/// Reads a form, which has the syntax of a query.
fn read(body: &Bytes) -> Option<TokenForm> {
    let text = std::str::from_utf8(body).ok()?;
    let uri: Uri = format!("/?{text}").parse().ok()?;
    Query::<TokenForm>::try_from_uri(&uri).ok().map(|Query(form)| form)
}

/// Whether a path leads to one of these pages, and nowhere else.
fn is_page(to: &str) -> bool {
    to.starts_with("/databases/") && to.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
}

/// Refuses calls from pages of other sites, and for this machine also calls under a foreign host name.
pub(super) async fn require_site(callers: Auth, request: Request, next: Next) -> Response {
    let refused = |status: StatusCode, why: &str| pages::error_page(status.as_u16(), why);
    let authenticator = match Authenticator::new(callers, "server.bind") {
        Ok(authenticator) => authenticator,
        Err(why) => return refused(StatusCode::INTERNAL_SERVER_ERROR, &why),
    };
    match authenticator.admit(request, Scope::Read).await {
        Ok(admitted) => next.run(admitted.request).await,
        Err(refused_call) => refused(refused_call.status, &refused_call.why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_cookie_of_a_session_is_accepted() {
        let session_cookie = SessionCookie::new(&"the token".to_owned().into());
        let with = |cookie: String| [(header::COOKIE, cookie.parse().unwrap())].into_iter().collect::<HeaderMap>();
        let (now, session) = (1_000_000, session_cookie.session_until(1_000_000 + LIFE));
        assert!(session_cookie.is_known(&with(format!("a=b; {}={session}", session_cookie.name)), now));
        assert!(session_cookie.is_known(&with(format!("{}={session}", session_cookie.name)), now + LIFE));
        assert!(
            !session_cookie.is_known(&with(format!("{}={session}", session_cookie.name)), now + LIFE + 1),
            "the session has expired"
        );
        let later = session.replace("1043200.", "1043201.");
        assert!(
            later != session && !session_cookie.is_known(&with(format!("{}={later}", session_cookie.name)), now + 1),
            "the cookie was changed"
        );
        let other = SessionCookie::new(&"another".to_owned().into());
        for cookie in [
            String::new(),
            format!("{}=", session_cookie.name),
            format!("{}=the token", session_cookie.name),
            format!("{}={}", session_cookie.name, session_cookie.token),
            format!("{}={}", session_cookie.name, session_cookie.session),
            format!("{}={}", other.name, other.session_until(now)),
            format!("{}={}", session_cookie.name, other.session_until(now)),
            format!("x{}={session}", session_cookie.name),
            format!("{}={}", session_cookie.name, session_cookie.session_until(now + LIFE + 1)),
        ] {
            assert!(!session_cookie.is_known(&with(cookie.clone()), now), "{cookie}");
        }
    }

    #[test]
    fn session_redirects_only_to_these_pages() {
        for to in ["/databases/", "/databases/x/table?table=a%20b&page=2"] {
            assert!(is_page(to), "{to}");
        }
        for to in [
            "",
            "/",
            "//evil.example",
            "https://evil.example/databases/",
            "/databases/\\..",
            "/databases/\n",
            "databases/",
        ] {
            assert!(!is_page(to), "{to}");
        }
    }

    #[test]
    fn only_complete_forms_are_read() {
        let form = read(&Bytes::from_static(b"token=a%2Bb&to=%2Fdatabases%2Fx")).unwrap();
        assert_eq!((form.token.as_str(), form.to.as_str()), ("a+b", "/databases/x"));
        for body in [&b""[..], b"to=x", b"\xff", b"{\"token\": 1}"] {
            assert!(read(&Bytes::copy_from_slice(body)).is_none(), "{body:?}");
        }
    }
}
