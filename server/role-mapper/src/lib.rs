//! Role mapper for Hasura. It stores which GraphQL root fields a role has and which users and groups have the role. As
//! Hasura's authentication webhook it returns the role of a request.
//!
//! Its REST API is that of the previous service, which provisioners know, with additional reads and the removal of
//! roles.
//!
//! Read in this order: `rest` (roles and their members), `webhook` (role of a request), `query` (root fields of a
//! request), `caller` and `groups` (caller). [`terrace_state::roles`] stores the roles, and [`terrace_server::embed`]
//! accepts connections. `audited` writes changes and refused calls into the audit log.
#![forbid(unsafe_code)]
// Tests may slice strings: a wrong index fails the test.
#![cfg_attr(not(test), warn(clippy::string_slice, clippy::unreachable))]

mod answer;
mod audited;
mod caller;
mod groups;
mod query;
mod rest;
mod shared;
mod webhook;

pub use groups::GraphSettings;
pub use query::{Allowed, QueryError, root_fields};

use answer::{BODY_LIMIT, Refusal, Store, errors, panic_response};
use audited::Call;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use caller::Reader;
use shared::Shared;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use terrace_server::audit::{Audit, Head, UNKNOWN};
use terrace_server::auth::{Admitted, Auth, Authenticator, RefusedCall, Scope};
use terrace_server::embed::{EmbeddedRoutes, metrics_routes};
use terrace_server::jwt::Trust;
use terrace_server::tls::Certificate;
use terrace_server::{ConnectionLimits, ServeError};
use terrace_state::roles::RoleStore;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Bodies longer than this need a permit: Hasura forwards the requests of any caller.
const LARGE: u64 = 64 << 10;
/// The number of these permits.
const LARGE_AT_ONCE: usize = 16;
/// Timeout of a call.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Grace period for running calls at shutdown.
const DRAIN: Duration = Duration::from_secs(10);

/// Settings of the role mapper.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which callers may read and write roles. The webhook accepts all callers, and checks the token of each request.
    pub auth: Auth,
    /// Issuers and audiences of the tokens that the webhook accepts.
    pub trust: Trust,
    /// The headers that may contain the token, in the order of precedence.
    pub header_names: Vec<String>,
    /// The claim with the name of the user: `unique_name`.
    pub user_claim: String,
    /// The claim with the groups of the user, if any.
    pub groups_claim: Option<String>,
    /// Settings of Microsoft Graph, if it is a source of groups.
    pub graph: Option<GraphSettings>,
    /// What requests may use besides queries for data.
    pub allowed: Allowed,
    /// The certificate; `None` for unencrypted connections.
    pub certificate: Option<Certificate>,
}

/// A role mapper that is not running yet.
pub struct RoleMapper {
    shared: Arc<Shared>,
    certificate: Option<Certificate>,
}

impl RoleMapper {
    /// Creates a role mapper over a store, which also stores its audit log. It needs a Tokio runtime.
    ///
    /// # Errors
    /// When an HTTP client cannot be built with these settings, with the reason.
    pub fn new(store: Store, settings: Settings) -> Result<Self, String> {
        let Settings { auth, trust, header_names, user_claim, groups_claim, graph, allowed, certificate } = settings;
        let reader = Reader::new(header_names, trust, user_claim, groups_claim, graph)?;
        let authenticator = Authenticator::new(auth, "ROLE_MAPPER_TOKEN")?;
        Ok(Self {
            shared: Arc::new(Shared {
                audit: Audit::start(Arc::<dyn RoleStore>::clone(&store)),
                changes: TaskTracker::new(),
                store,
                reader,
                allowed,
                authenticator,
                large: Semaphore::new(LARGE_AT_ONCE),
            }),
            certificate,
        })
    }

    /// All its routes. `more` has further routes that need a token.
    pub fn routes(&self, more: Router) -> Router {
        let guarded = rest::routes()
            .with_state(Arc::clone(&self.shared))
            .merge(more)
            .route_layer(from_fn_with_state(Arc::clone(&self.shared), guard));
        let limit = from_fn_with_state(Arc::clone(&self.shared), limit_large_bodies);
        Router::new()
            .route("/v1/authenticate", post(webhook::authenticate).layer(limit).get(webhook::refuse_get))
            .route("/v1/health", get(|| async { Json("Alive") }))
            .route("/v1/ready", get(rest::is_ready))
            .with_state(Arc::clone(&self.shared))
            .merge(guarded)
            .fallback(|| async { errors(StatusCode::NOT_FOUND, "this path does not exist") })
            .method_not_allowed_fallback(|| async {
                errors(StatusCode::METHOD_NOT_ALLOWED, "this path does not support that method")
            })
            .layer(from_fn(with_timeout))
    }

    /// Serves calls until `stop` is set.
    ///
    /// # Errors
    /// When the server cannot accept connections, or cannot use the certificate.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) -> Result<(), ServeError> {
        let routes = self.routes(metrics_routes()?);
        // No caller gets a role without the keys of the issuer: an operator should learn about missing keys at the
        // start.
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            if let Err(error) = shared.reader.check().await {
                tracing::warn!(error, "the keys of the issuer are not available: no caller gets a role until they are");
            }
        });
        let embedded = EmbeddedRoutes {
            certificate: self.certificate,
            connections: ConnectionLimits::default(),
            body_limit: BODY_LIMIT,
            drain: DRAIN,
            on_panic: panic_response,
        };
        let shared = Arc::clone(&self.shared);
        let served = embedded.serve(listener, routes, stop).await;
        shared.changes.close();
        if timeout(DRAIN, shared.changes.wait()).await.is_err() {
            tracing::warn!("the store takes long: changes of roles continue without an entry in the audit log");
        }
        shared.audit.end().await;
        served
    }
}

/// Admits callers with a token, if one is required. Records refused calls, and changes that fail.
async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let (head, action, is_change) = (Head::of(&request), audited::action(&request), !request.method().is_safe());
    match shared.authenticator.admit(request, Scope::Admin).await {
        Ok(Admitted { mut request, name }) => {
            let call = Call::of(head, action, name.unwrap_or_else(|| "anonymous".to_owned()));
            request.extensions_mut().insert(call.clone());
            let response = next.run(request).await;
            if is_change && !response.status().is_success() {
                call.failed(&shared.audit, response.status()).await;
            }
            response
        }
        Err(RefusedCall { status, why, name }) => {
            if is_change || status.is_client_error() {
                let call = Call::of(head, action, name.unwrap_or_else(|| UNKNOWN.to_owned()));
                call.failed(&shared.audit, status).await;
            }
            errors(status, &why)
        }
    }
}

/// Makes a call with a large body, or without a length, wait for a permit. Small bodies need none.
async fn limit_large_bodies(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse().ok());
    let permit = match length {
        Some(0..=LARGE) => None,
        // The semaphore is never closed.
        _ => shared.large.acquire().await.ok(),
    };
    let response = next.run(request).await;
    drop(permit);
    response
}

/// Ends a call that takes too long, also one whose body does not arrive.
async fn with_timeout(request: Request, next: Next) -> Response {
    let answered = timeout(TIMEOUT, next.run(request)).await;
    answered.unwrap_or_else(|_| Refusal::Unavailable("the call took too long: try again later").into_response())
}
