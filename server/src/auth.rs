//! Authentication and authorisation: a caller sends a token, a token has scopes and limits, each route has an action.
//!
//! `limits` decides, handlers ask `Caller`, and `guard` wraps every route.

mod admission;
mod authenticator;
mod caller;
mod github;
mod limits;
mod oidc;
mod pages;
mod scope;
mod settings;
mod sign_in;
mod verdicts;

pub(crate) use admission::{Admission, FOREIGN_HOST};
pub use authenticator::{Admitted, Authenticator, RefusedCall};
pub(crate) use caller::Caller;
pub use github::{GitHub, Member};
pub(crate) use limits::Resource;
pub use limits::{Action, Grant, Limits, Names, Pattern, Quota};
pub use oidc::Oidc;
pub(crate) use pages::is_for_this_machine;
pub use scope::{DATA_LOSS, Scope};
pub use settings::{Auth, Token};
pub use sign_in::{SignInOffer, SignInToken};

use crate::answer::Refusal;
use crate::audit::{Head, UNKNOWN};
use crate::metrics;
use crate::precheck::{check_body_length, check_path};
use crate::processing::limit_large_bodies;
use crate::shared::Shared;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::Response;
use caller::Facts;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use terrace_engine::store::{AuditEntry, AuditOutcome, Usage};
use tokio::time::timeout;
use tracing::Instrument;

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

/// Records a call that changes something, consents to the loss of data, uses pipelines, or is refused.
async fn audit(
    shared: &Shared,
    head: &Head,
    action: Action,
    caller: Option<&Caller>,
    Answer { status, is_late }: Answer,
) {
    let Facts { stacks, consents, operation, usage } = caller.map(Caller::facts).unwrap_or_default();
    let is_hidden = caller.is_some_and(|caller| caller.is_refused.load(Ordering::Relaxed));
    let is_refused = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS)
        || is_hidden && !status.is_success();
    let outcome = match () {
        () if is_refused => AuditOutcome::Refused,
        () if !action.is_change() && !consents && head.usage().is_none() => return,
        () if is_late && operation.is_some() => AuditOutcome::Accepted,
        () if !status.is_success() => AuditOutcome::Failed,
        () if status == StatusCode::ACCEPTED => AuditOutcome::Accepted,
        () => AuditOutcome::Done,
    };
    let actor = caller.map_or_else(|| UNKNOWN.to_owned(), |caller| caller.name_or("anonymous"));
    let scope = caller.and_then(|caller| caller.principal.scope()).map(|scope| scope.word().to_owned());
    let provider = caller.and_then(|caller| caller.principal.provider.clone());
    let organisation = caller.and_then(|caller| caller.principal.organisation.clone());
    let usage = head.usage().map(|of_call| Usage {
        action: of_call.action,
        client_version: of_call.client_version,
        auth_provider: provider,
        org: organisation,
        ..usage.bounded()
    });
    if let Some(usage) = &usage {
        metrics::count_pipelines_action(&usage.action, outcome);
    }
    let entry = AuditEntry {
        scope,
        stacks: stacks.into_iter().collect(),
        consents_to_data_loss: consents,
        operation,
        usage,
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
