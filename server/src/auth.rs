//! Authentication and authorisation: a caller sends a token, a token has scopes and limits, each route has an action.
//!
//! `limits` decides, handlers ask `Caller`, and `guard` wraps every route.

mod authenticator;
mod limits;
mod oidc;
mod pages;

use crate::answer::{NO_TOKEN, Refusal};
use crate::audit::{Head, UNKNOWN};
use crate::outage_log::LogThrottle;
use crate::precheck::{check_body_length, check_path};
use crate::processing::limit_large_bodies;
use crate::serve::Shared;
pub use authenticator::{Admitted, Authenticator, RefusedCall};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use jiff::Timestamp;
pub use limits::{Action, Grant, Limits, Names, Pattern, Quota};
pub(crate) use limits::{Principal, Resource};
use oidc::Issuer;
pub use oidc::Oidc;
pub(crate) use pages::is_for_this_machine;
use serde_json::json;
use std::collections::BTreeSet;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;
use terrace_engine::address::StackId;
use terrace_engine::digest::sha256;
use terrace_engine::store::{AuditEntry, AuditOutcome};
use tokio::time::timeout;
use tracing::Instrument;
use uuid::Uuid;

/// Rights of a caller. Each scope includes the earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Read the state.
    Read,
    /// Plan. The planner reads remote objects with the accounts of the providers.
    Plan,
    /// Change remote objects.
    Apply,
    /// Change the state, and the operations of other callers.
    Admin,
}

impl Scope {
    /// All scopes, by word.
    pub const WORDS: [(&'static str, Self); 4] =
        [("read", Self::Read), ("plan", Self::Plan), ("apply", Self::Apply), ("admin", Self::Admin)];

    /// The word of the scope.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, scope)| *scope == self).map_or("", |(word, _)| word)
    }
}

/// Which callers are admitted.
#[derive(Debug, Clone, Default)]
pub enum Auth {
    /// Every caller on this machine: the default without configuration.
    #[default]
    ThisMachine,
    /// Every caller that can reach the server.
    AnyCaller,
    /// Callers with one of these tokens (RFC 6750).
    Tokens(Vec<Token>),
    /// Callers with a token that this issuer signed.
    Oidc(Oidc),
}

/// A token of the configuration. Only its owner knows the token itself.
#[derive(Debug, Clone)]
pub struct Token {
    /// The name of the owner, which operations record.
    pub name: String,
    /// The SHA-256 of the token, in lower-case hexadecimal digits.
    pub sha256: String,
    /// Its scopes and limits.
    pub grant: Grant,
    /// The fewest characters. The server refuses shorter tokens; a digest does not reveal the length.
    pub minimum_length: usize,
}

impl Token {
    /// The fewest characters that can hold 128 bits, at eight bits each.
    pub const MINIMUM_LENGTH: usize = 16;
    /// The characters of 128 random bits in base64url.
    const ADVISED_LENGTH: usize = 22;
}

/// The word of the scope to consent to the loss of data. Only `admin` includes it.
pub const DATA_LOSS: &str = "data-loss";

/// The caller of a call. Handlers ask it whether the call may go on, and which objects its answer may show.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    principal: Arc<Principal>,
    /// The idempotency key of the call (`Idempotency-Key`).
    key: Option<String>,
    /// True once a handler has checked the stacks or environments of the call.
    is_checked: Arc<AtomicBool>,
    /// True if the limits hid an object that the call named, or refused the call.
    is_refused: Arc<AtomicBool>,
    facts: Arc<Mutex<Facts>>,
}

/// Facts for the audit log that only a handler knows.
#[derive(Debug, Default)]
struct Facts {
    stacks: BTreeSet<String>,
    consents: bool,
    operation: Option<Uuid>,
}

impl Caller {
    fn new(principal: Arc<Principal>, key: Option<String>) -> Self {
        let unset = Arc::<AtomicBool>::default;
        Self { principal, key, is_checked: unset(), is_refused: unset(), facts: Arc::default() }
    }

    /// The server itself, for scheduled work.
    pub(crate) fn schedule() -> Self {
        Self::new(Arc::new(Principal::unlimited(Some("schedule".to_owned()))), None)
    }

    /// Checks that the caller may do the action with all of these resources.
    ///
    /// # Errors
    /// When a scope is missing, or a resource is outside the limits. The answer contains only names from the call.
    pub(crate) fn check(&self, action: Action, consents: bool, resources: &[Resource<'_>]) -> Result<(), Refusal> {
        self.is_checked.store(true, Ordering::Relaxed);
        let stacks = resources.iter().filter_map(|resource| match resource {
            Resource::Stack(stack) => Some(stack.to_string()),
            _ => None,
        });
        self.note(|facts| {
            facts.stacks.extend(stacks);
            facts.consents |= consents;
        });
        let principal = &self.principal;
        if principal.may(action, consents, resources) {
            return Ok(());
        }
        self.is_refused.store(true, Ordering::Relaxed);
        let name = self.name_or("anonymous");
        let (has, needed) = (principal.scope(), action.scope());
        Err(match () {
            () if has < Some(needed) => Refusal::Forbidden { name, has, needed },
            () if principal.may(action, false, resources) => Refusal::NoConsent { name },
            () => Refusal::Limited { name },
        })
    }

    /// Notes the operation that the call starts or cancels.
    pub(crate) fn note_operation(&self, operation: Uuid) {
        self.note(|facts| facts.operation = Some(operation));
    }

    /// Forgets the operation of a refused call.
    pub(crate) fn forget_operation(&self) {
        self.note(|facts| facts.operation = None);
    }

    fn facts(&self) -> Facts {
        let mut facts = Facts::default();
        self.note(|noted| facts = std::mem::take(noted));
        facts
    }

    /// Whether the caller's token has expired.
    pub(crate) fn is_expired(&self, now: Timestamp) -> bool {
        self.principal.is_expired(now)
    }

    fn note(&self, note: impl FnOnce(&mut Facts)) {
        note(&mut self.facts.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Whether the caller may do the action with a stack, for lists that leave out the other stacks.
    pub(crate) fn may(&self, action: Action, stack: &StackId) -> bool {
        self.mark_checked(self.principal.may(action, false, &[Resource::Stack(stack)]))
    }

    /// Whether the caller sees a stack and everything in it.
    pub(crate) fn sees(&self, stack: &StackId) -> bool {
        self.may(Action::Read, stack)
    }

    /// Whether the caller sees all of these stacks. An object of several stacks would reveal each of them.
    pub(crate) fn sees_all(&self, stacks: &[StackId]) -> bool {
        self.mark_checked(self.principal.sees_all(stacks))
    }

    /// Whether the caller sees an environment.
    pub(crate) fn sees_environment(&self, name: &str) -> bool {
        self.mark_checked(self.principal.may(Action::Read, false, &[Resource::Environment(name)]))
    }

    /// The items of a list that the caller sees.
    pub(crate) fn visible<T>(&self, items: impl IntoIterator<Item = T>, sees: impl Fn(&Self, &T) -> bool) -> Vec<T> {
        self.mark_checked(true);
        items.into_iter().filter(|item| sees(self, item)).collect()
    }

    /// The object that the call names, unless the limits hide it. The server answers for a hidden object as for an
    /// unknown one.
    pub(crate) fn filter_visible<T>(&self, found: Option<T>, sees: impl FnOnce(&Self, &T) -> bool) -> Option<T> {
        self.mark_checked(true);
        let exists = found.is_some();
        let visible = found.filter(|found| sees(self, found));
        if exists && visible.is_none() {
            self.is_refused.store(true, Ordering::Relaxed);
        }
        visible
    }

    /// The caller's share of the queue for a call.
    pub(crate) fn quota(&self, action: Action, stack: &StackId) -> Option<Quota> {
        self.principal.quota(action, stack)
    }

    fn mark_checked(&self, is_visible: bool) -> bool {
        self.is_checked.store(true, Ordering::Relaxed);
        is_visible
    }

    /// True if the call has an idempotency key.
    pub(crate) fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// Checks the caller's scope if the content of a call needs a larger one than its action. The grant that allows the
    /// action on the stack must have this scope.
    ///
    /// # Errors
    /// When the scope of the token is too small, or the stack is outside its limits.
    pub(crate) fn check_scope(&self, needed: Scope, action: Action, stack: &StackId) -> Result<(), Refusal> {
        let resources = [Resource::Stack(stack)];
        self.check(action, false, &resources)?;
        if self.principal.may_with(needed, action, false, &resources) {
            return Ok(());
        }
        self.is_refused.store(true, Ordering::Relaxed);
        let (name, has) = (self.name_or("anonymous"), self.principal.scope());
        Err(match has < Some(needed) {
            true => Refusal::Forbidden { name, has, needed },
            // Another grant has the scope, for other stacks.
            false => Refusal::Limited { name },
        })
    }

    /// The name of the caller: the owner of the token, else the given word.
    pub(crate) fn name_or(&self, otherwise: &str) -> String {
        self.principal.name.clone().unwrap_or_else(|| otherwise.to_owned())
    }

    /// The owner of the token, if the server requires tokens.
    pub(crate) fn name(&self) -> Option<&str> {
        self.principal.name.as_deref()
    }

    /// The idempotency key with its owner: two callers may use the same key.
    pub(crate) fn key(&self) -> Option<String> {
        self.key.as_ref().map(|key| json!([self.principal.name, key]).to_string())
    }

    /// The same caller for one of the several requests that a call starts.
    pub(crate) fn with_key_part(&self, part: &str) -> Self {
        Self { key: self.key.as_ref().map(|key| json!([key, part]).to_string()), ..self.clone() }
    }
}

/// The reason why a call under a foreign host name is refused.
pub(crate) const FOREIGN_HOST: &str = "it is addressed to a host name other than this machine's own";

/// Which callers are admitted, with the parts that only a running server needs.
pub(crate) enum Admission {
    ThisMachine,
    AnyCaller,
    /// Callers with one of these tokens.
    Tokens(Vec<KnownToken>),
    Oidc(Box<Issuer>),
}

/// A token of the configuration, and its principal.
pub(crate) struct KnownToken {
    sha256: String,
    minimum_length: usize,
    principal: Arc<Principal>,
}

impl From<Token> for KnownToken {
    fn from(Token { name, sha256, grant, minimum_length }: Token) -> Self {
        Self { sha256, minimum_length, principal: Arc::new(Principal::new(name, vec![grant])) }
    }
}

impl Admission {
    /// Builds the admission from the settings.
    ///
    /// # Errors
    /// When the HTTP client for the issuer's keys cannot be built.
    pub(crate) fn new(auth: Auth) -> Result<Self, String> {
        Ok(match auth {
            Auth::ThisMachine => Self::ThisMachine,
            Auth::AnyCaller => Self::AnyCaller,
            Auth::Tokens(tokens) => Self::Tokens(tokens.into_iter().map(KnownToken::from).collect()),
            Auth::Oidc(oidc) => Self::Oidc(Box::new(Issuer::new(oidc)?)),
        })
    }

    /// Whether answers without authentication may name stacks and environments to a caller with these headers. If any
    /// token has limits, only callers with an unlimited token may read all names.
    pub(crate) async fn shows_names(&self, headers: &HeaderMap) -> bool {
        let hides = match self {
            Self::ThisMachine | Self::AnyCaller => false,
            Self::Tokens(tokens) => tokens.iter().any(|token| !token.principal.sees_everything()),
            Self::Oidc(issuer) => issuer.hides(),
        };
        !hides || self.admit(headers).await.is_ok_and(|principal| principal.sees_everything())
    }

    /// Refuses calls that a page of another site may have sent.
    ///
    /// # Errors
    /// With the evidence.
    fn check_site(&self, request: &Request) -> Result<(), Refusal> {
        match self {
            Self::ThisMachine | Self::AnyCaller if pages::is_cross_site(request) => {
                Err(Refusal::ForeignOrigin("a page of another site sends it"))
            }
            Self::ThisMachine if !pages::is_for_this_machine(request) => Err(Refusal::ForeignOrigin(FOREIGN_HOST)),
            Self::ThisMachine | Self::AnyCaller | Self::Tokens(_) | Self::Oidc(_) => Ok(()),
        }
    }

    /// Checks that a caller with these headers may still read an operation of these stacks.
    ///
    /// # Errors
    /// When its token is no longer known, or does not allow that.
    pub(crate) async fn check_reader(&self, headers: &HeaderMap, stacks: &[StackId]) -> Result<(), Refusal> {
        let principal = self.admit(headers).await?;
        let may_read = principal.may(Action::Read, false, &[Resource::Any]) && principal.sees_all(stacks);
        match may_read {
            true => Ok(()),
            false => Err(Refusal::Limited { name: principal.name.clone().unwrap_or_else(|| "anonymous".to_owned()) }),
        }
    }

    /// The principal of a call with these headers.
    ///
    /// # Errors
    /// When its token is missing or unknown.
    async fn admit(&self, headers: &HeaderMap) -> Result<Arc<Principal>, Refusal> {
        match self {
            Self::ThisMachine | Self::AnyCaller => Ok(Arc::new(Principal::unlimited(None))),
            Self::Tokens(tokens) => {
                // The comparison uses digests: its duration reveals nothing about the token.
                let token = bearer_token(headers)?;
                let digest = sha256(token);
                let known = tokens.iter().find(|token| token.sha256 == digest);
                let known = known.ok_or(Refusal::Unknown(NO_TOKEN.into()))?;
                check_length(known, token.len())?;
                Ok(Arc::clone(&known.principal))
            }
            Self::Oidc(issuer) => issuer.admit(bearer_token(headers)?).await.map(Arc::new),
        }
    }
}

/// How often the log warns of short tokens.
const WARN_EVERY: Duration = Duration::from_secs(3600);

/// Refuses a token below the minimum length, and warns of other short tokens.
fn check_length(token: &KnownToken, length: usize) -> Result<(), Refusal> {
    static SHORT: LazyLock<LogThrottle> = LazyLock::new(|| LogThrottle::new(WARN_EVERY));
    let (name, minimum) = (token.principal.name.as_deref().unwrap_or_default(), token.minimum_length);
    if length < minimum {
        tracing::warn!(
            name,
            length,
            minimum,
            "refused a token that is too short: replace it with `openssl rand -hex 32`"
        );
        return Err(Refusal::Unknown(format!("the token has fewer than {minimum} characters").into()));
    }
    if length < Token::ADVISED_LENGTH && SHORT.count().is_some() {
        tracing::warn!(name, length, "a token is short: replace it with 128 random bits, `openssl rand -hex 32`");
    }
    Ok(())
}

/// The token in the headers (RFC 6750).
fn bearer_token(headers: &HeaderMap) -> Result<&str, Refusal> {
    let credentials = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let credentials = credentials.and_then(|credentials| credentials.trim().split_once(' '));
    let (_, token) = credentials
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .ok_or(Refusal::Unknown(NO_TOKEN.into()))?;
    Ok(token.trim())
}

/// The idempotency key in the headers.
fn key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    match key.to_str().ok().filter(|key| !key.is_empty()) {
        Some(key) => Ok(Some(key.to_owned())),
        None => Err(Refusal::whole("`Idempotency-Key` is empty or not ASCII", "send a new UUID for each call")),
    }
}

/// Makes the answer of a refused call.
type Refuse = fn(Refusal) -> Response;

/// Guards routes: only callers that may do the action reach them; `refuse` answers other calls.
pub(crate) fn guarded(
    shared: &Arc<Shared>,
    action: Action,
    routes: Router<Arc<Shared>>,
    refuse: Refuse,
) -> Router<Arc<Shared>> {
    let limited = routes.route_layer(middleware::from_fn_with_state(Arc::clone(shared), limit_large_bodies));
    limited.route_layer(middleware::from_fn_with_state((Arc::clone(shared), action, refuse), guard))
}

async fn guard(
    State((shared, action, refuse)): State<(Arc<Shared>, Action, Refuse)>,
    request: Request,
    next: Next,
) -> Response {
    if !action.is_change() {
        return handle(shared, action, refuse, request, next).await;
    }
    // If the caller disconnects, the change still gets its entry in the audit log.
    let handling = handle(Arc::clone(&shared), action, refuse, request, next).in_current_span();
    shared.changing_calls.spawn(handling).await.unwrap_or_else(|error| match error.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        Err(error) => refuse(Refusal::Internal(error.to_string())),
    })
}

/// Answers a call if its caller may make it, and writes the audit entry.
async fn handle(shared: Arc<Shared>, action: Action, refuse: Refuse, mut request: Request, next: Next) -> Response {
    let head = Head::of(&request);
    let admitted = match check_path(&request).and_then(|()| shared.admission.check_site(&request)) {
        Ok(()) => admitted(&shared, action, request.headers()).await,
        Err(refusal) => Err((None, refusal)),
    };
    let caller = match admitted {
        Ok(caller) => caller,
        Err((caller, refusal)) => {
            let response = refuse(refusal);
            audit(&shared, &head, action, caller.as_ref(), Answer { status: response.status(), is_late: false }).await;
            return response;
        }
    };
    request.extensions_mut().insert(caller.clone());
    let limit = shared.settings.timeout;
    let answered = timeout(limit, next.run(request)).await;
    let is_late = answered.is_err();
    let late = |_| format!("it took longer than {} s: try again later", limit.as_secs_f64());
    let response = match answered.map_err(late) {
        // A route that checks no limits is a bug, even for callers without limits.
        Ok(response) if response.status().is_success() && !caller.is_checked.load(Ordering::Relaxed) => {
            refuse(Refusal::Internal(format!("a route of the action `{}` checks no limits", action.word())))
        }
        Ok(response) => response,
        Err(why) => refuse(Refusal::Unavailable(why)),
    };
    audit(&shared, &head, action, Some(&caller), Answer { status: response.status(), is_late }).await;
    response
}

/// The status of an answer.
struct Answer {
    status: StatusCode,
    /// The call timed out, and the store continues with its change.
    is_late: bool,
}

/// Records a call that changes something, consents to the loss of data, or is refused.
async fn audit(
    shared: &Shared,
    head: &Head,
    action: Action,
    caller: Option<&Caller>,
    Answer { status, is_late }: Answer,
) {
    let Facts { stacks, consents, operation } = caller.map(Caller::facts).unwrap_or_default();
    let is_hidden = caller.is_some_and(|caller| caller.is_refused.load(Ordering::Relaxed));
    let is_refused = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS)
        || is_hidden && !status.is_success();
    let outcome = match () {
        () if is_refused => AuditOutcome::Refused,
        () if !action.is_change() && !consents => return,
        () if is_late && operation.is_some() => AuditOutcome::Accepted,
        () if !status.is_success() => AuditOutcome::Failed,
        () if status == StatusCode::ACCEPTED => AuditOutcome::Accepted,
        () => AuditOutcome::Done,
    };
    let actor = caller.map_or_else(|| UNKNOWN.to_owned(), |caller| caller.name_or("anonymous"));
    let scope = caller.and_then(|caller| caller.principal.scope()).map(|scope| scope.word().to_owned());
    let entry = AuditEntry {
        scope,
        stacks: stacks.into_iter().collect(),
        consents_to_data_loss: consents,
        operation,
        ..head.entry(&actor, action.word(), outcome, status)
    };
    shared.audit.record(entry).await;
}

/// The caller of a call, checked as far as the head of the call allows.
///
/// # Errors
/// When the call is refused, with the caller if it is known.
async fn admitted(shared: &Shared, action: Action, headers: &HeaderMap) -> Result<Caller, (Option<Caller>, Refusal)> {
    let principal = shared.admission.admit(headers).await.map_err(|refusal| (None, refusal))?;
    let head = Caller::new(Arc::clone(&principal), None);
    if let Err(refusal) = head.check(action, false, &[Resource::Any]) {
        return Err((Some(head), refusal));
    }
    // Only a known caller learns the limit, and the audit log names it.
    let checked = check_body_length(headers, shared.settings.body_limit).and_then(|()| key(headers));
    match checked {
        Ok(key) => Ok(Caller::new(principal, key)),
        Err(refusal) => Err((Some(head), refusal)),
    }
}
