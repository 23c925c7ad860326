//! Who may call what: callers show a token, a token has scopes, each path asks for one.

mod door;
mod oidc;
mod pages;

use crate::answer::{NO_TOKEN, Refusal};
use crate::heads::readable;
use crate::judging::take_turns;
use crate::outage::Seldom;
use crate::serve::Shared;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::{self, Next};
use axum::response::Response;
pub use door::Door;
use oidc::Issuer;
pub use oidc::Oidc;
pub(crate) use pages::is_to_this_machine;
use serde_json::json;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use terrace_engine::digest::sha256;
use tokio::time::timeout;

/// What a caller may do. Each may also do what stands before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Look at what is recorded.
    Read,
    /// Ask what would be done: that reads what is there by the providers' accounts.
    Plan,
    /// Change what is there.
    Apply,
    /// Change what is recorded, and what others do.
    Admin,
}

impl Scope {
    /// All of them, by name.
    pub const WORDS: [(&'static str, Self); 4] =
        [("read", Self::Read), ("plan", Self::Plan), ("apply", Self::Apply), ("admin", Self::Admin)];

    /// Its name.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, scope)| *scope == self).map_or("", |(word, _)| word)
    }
}

/// Who is let in.
#[derive(Debug, Clone, Default)]
pub enum Auth {
    /// Everybody on this machine, for nobody said otherwise.
    #[default]
    ThisMachine,
    /// Everybody who can reach the server.
    Anybody,
    /// Who shows one of these tokens (RFC 6750).
    Tokens(Vec<Token>),
    /// Who shows a token that this issuer signed.
    Oidc(Oidc),
}

/// A token that is let in. The token itself is known to its owner alone.
#[derive(Debug, Clone)]
pub struct Token {
    /// Whose it is, for people: operations name it.
    pub name: String,
    /// The SHA-256 of the token, in lower-case hexadecimal digits.
    pub sha256: String,
    /// The largest of its scopes.
    pub scope: Scope,
    /// The characters that it has to have: a shorter one is refused, for its digest says nothing of its length.
    pub minimum_length: usize,
}

impl Token {
    /// The fewest characters that can hold 128 bits, at eight bits each.
    pub const MINIMUM_LENGTH: usize = 16;
    /// The characters of 128 random bits in base64url.
    const ADVISED_LENGTH: usize = 22;
}

/// Who calls.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller {
    name: Option<String>,
    /// By which it knows its call again (`Idempotency-Key`).
    key: Option<String>,
    /// The scope of its token; `None` where callers show no token and may do everything.
    scope: Option<Scope>,
}

impl Caller {
    /// The server itself, by its schedule.
    pub(crate) fn schedule() -> Self {
        Self { name: Some("schedule".to_owned()), ..Self::default() }
    }

    /// True when it knows its call again.
    pub(crate) fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// Checks the caller's scope where the content of a call needs a larger one than its path.
    ///
    /// # Errors
    /// When the scope of the token is smaller.
    pub(crate) fn check(&self, needed: Scope) -> Result<(), Refusal> {
        match self.scope {
            Some(has) if has < needed => {
                Err(Refusal::Forbidden { name: self.named("nobody"), has: self.scope, asked: needed })
            }
            _ => Ok(()),
        }
    }

    /// Who calls, for people: the owner of the token, else what is known of all who call like that.
    pub(crate) fn named(&self, otherwise: &str) -> String {
        self.name.clone().unwrap_or_else(|| otherwise.to_owned())
    }

    /// The owner of the token, where callers show one.
    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The key by which this caller knows a request again, whatever that is about.
    pub(crate) fn key(&self) -> Option<String> {
        self.key.as_ref().map(|key| json!([self.name, key]).to_string())
    }

    /// The same caller with one request of several that its call becomes.
    pub(crate) fn with_one_of(&self, part: &str) -> Self {
        Self { key: self.key.as_ref().map(|key| json!([key, part]).to_string()), ..self.clone() }
    }
}

/// Why a call under another name is refused.
pub(crate) const OTHER_NAME: &str = "it is sent to a name that is not this machine's own";

/// Who is let in, while the server runs.
pub(crate) enum Admission {
    ThisMachine,
    Anybody,
    Tokens(Vec<Token>),
    Oidc(Box<Issuer>),
}

impl Admission {
    /// Who is let in by these settings.
    ///
    /// # Errors
    /// When keys could not be fetched from anywhere.
    pub(crate) fn new(auth: Auth) -> Result<Self, String> {
        Ok(match auth {
            Auth::ThisMachine => Self::ThisMachine,
            Auth::Anybody => Self::Anybody,
            Auth::Tokens(tokens) => Self::Tokens(tokens),
            Auth::Oidc(oidc) => Self::Oidc(Box::new(Issuer::new(oidc)?)),
        })
    }

    /// Refuses calls that may be made for somebody who does not know of them.
    ///
    /// # Errors
    /// With what tells so.
    fn check_site(&self, request: &Request) -> Result<(), Refusal> {
        match self {
            Self::ThisMachine | Self::Anybody if pages::is_of_another_site(request) => {
                Err(Refusal::Foreign("a page of another site sends it"))
            }
            Self::ThisMachine if !pages::is_to_this_machine(request) => Err(Refusal::Foreign(OTHER_NAME)),
            Self::ThisMachine | Self::Anybody | Self::Tokens(_) | Self::Oidc(_) => Ok(()),
        }
    }

    /// Who calls with these headers.
    ///
    /// # Errors
    /// When they are not let in, or may not do this.
    pub(crate) async fn admit(&self, headers: &HeaderMap, asked: Scope) -> Result<Caller, Refusal> {
        let (name, has) = match self {
            Self::ThisMachine | Self::Anybody => return Ok(Caller::default()),
            Self::Tokens(tokens) => {
                // Digests are compared: how long that takes tells nothing of the token.
                let shown = shown(headers)?;
                let digest = sha256(shown);
                let known = tokens.iter().find(|token| token.sha256 == digest);
                let known = known.ok_or(Refusal::Unknown(NO_TOKEN.into()))?;
                check_length(known, shown.len())?;
                (known.name.clone(), Some(known.scope))
            }
            Self::Oidc(issuer) => issuer.admit(shown(headers)?).await?,
        };
        match has >= Some(asked) {
            true => Ok(Caller { name: Some(name), key: None, scope: has }),
            false => Err(Refusal::Forbidden { name, has, asked }),
        }
    }
}

/// How often the log warns of short tokens.
const WARN_EVERY: Duration = Duration::from_secs(3600);

/// Refuses a token below the minimum, and warns of other short ones.
fn check_length(token: &Token, length: usize) -> Result<(), Refusal> {
    static SHORT: LazyLock<Seldom> = LazyLock::new(|| Seldom::new(WARN_EVERY));
    let (name, minimum) = (&token.name, token.minimum_length);
    if length < minimum {
        tracing::warn!(
            name,
            length,
            minimum,
            "a token is too short and was refused: replace it by `openssl rand -hex 32`"
        );
        return Err(Refusal::Unknown(format!("the token has fewer than {minimum} characters").into()));
    }
    if length < Token::ADVISED_LENGTH && SHORT.count().is_some() {
        tracing::warn!(name, length, "a token is short: replace it by one of 128 random bits, `openssl rand -hex 32`");
    }
    Ok(())
}

/// The token that a caller shows (RFC 6750).
fn shown(headers: &HeaderMap) -> Result<&str, Refusal> {
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let shown = shown.and_then(|shown| shown.trim().split_once(' '));
    let (_, token) =
        shown.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).ok_or(Refusal::Unknown(NO_TOKEN.into()))?;
    Ok(token.trim())
}

/// By which a call is to be known again.
fn key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    match key.to_str().ok().filter(|key| !key.is_empty()) {
        Some(key) => Ok(Some(key.to_owned())),
        None => Err(Refusal::whole("`Idempotency-Key` is empty or not ASCII", "send a new UUID for each call")),
    }
}

/// How a call is answered that is refused.
type Refuse = fn(Refusal) -> Response;

/// These routes for callers of that scope; others are answered as is told.
pub(crate) fn guarded(
    shared: &Arc<Shared>,
    scope: Scope,
    routes: Router<Arc<Shared>>,
    refuse: Refuse,
) -> Router<Arc<Shared>> {
    let in_turn = routes.route_layer(middleware::from_fn_with_state(Arc::clone(shared), take_turns));
    in_turn.route_layer(middleware::from_fn_with_state((Arc::clone(shared), scope, refuse), guard))
}

async fn guard(
    State((shared, scope, refuse)): State<(Arc<Shared>, Scope, Refuse)>,
    mut request: Request,
    next: Next,
) -> Response {
    let checked = readable(&request, shared.settings.body_limit);
    if let Err(refusal) = checked.and_then(|()| shared.admission.check_site(&request)) {
        return refuse(refusal);
    }
    let admitted = shared.admission.admit(request.headers(), scope).await;
    match admitted.and_then(|caller| Ok(Caller { key: key(request.headers())?, ..caller })) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            let limit = shared.settings.timeout;
            let late = |_| format!("it took longer than {} s: try again later", limit.as_secs_f64());
            timeout(limit, next.run(request))
                .await
                .map_err(late)
                .unwrap_or_else(|why| refuse(Refusal::Unavailable(why)))
        }
        Err(refusal) => refuse(refusal),
    }
}
