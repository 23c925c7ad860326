//! The role mapper of Hasura: which root fields of GraphQL a role has, who has the role, and, as Hasura's authentication
//! webhook, which role a request gets.
//!
//! Its REST is that of the service before it, which provisioners know, with the reads and the removal that it lacks.
//!
//! Read in this order: `rest` (roles and who has them), `webhook` (the verdict), `query` (what a request asks for), `who` and
//! `groups` (who asks). Roles are kept by [`terrace_state::roles`]; how calls come in is [`terrace_server::embed`]'s.
//! `audited` writes changes and refused calls into the audit log.
#![forbid(unsafe_code)]
// A test may cut a text anywhere: it fails where it slips.
#![cfg_attr(not(test), warn(clippy::string_slice, clippy::unreachable))]

mod answer;
mod audited;
mod groups;
mod query;
mod rest;
mod webhook;
mod who;

pub use groups::GraphSettings;
pub use query::{Allowed, Wrong, root_fields};

use answer::{Refusal, Store, broken_off, errors};
use audited::Call;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use terrace_server::audit::{Audit, Head, UNKNOWN};
use terrace_server::auth::{Admitted, Auth, Door, Scope, TurnedAway};
use terrace_server::embed::{EmbeddedRoutes, figures};
use terrace_server::jwt::Trust;
use terrace_server::tls::Certificate;
use terrace_server::{ConnectionLimits, ServeError};
use terrace_state::roles::RoleStore;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use who::Reader;

/// The longest body: a query comes with its variables.
const BODY_LIMIT: usize = 4 << 20;
/// Bodies that are longer than that are few at once: Hasura passes on what whoever calls it sends, whoever that is.
const LARGE: u64 = 64 << 10;
/// So many.
const LARGE_AT_ONCE: usize = 16;
/// How long one call may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long calls that are being answered are waited for in the end.
const DRAIN: Duration = Duration::from_secs(10);

/// How the role mapper works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who may write and read roles. Whoever reaches it may ask the webhook, and prove there who they are.
    pub auth: Auth,
    /// Whose tokens the webhook takes.
    pub trust: Trust,
    /// The headers that may have the token, in the order in which they are looked for.
    pub header_names: Vec<String>,
    /// The claim with the name of the user: `unique_name`.
    pub user_claim: String,
    /// The claim with the groups of the user, where there is one.
    pub groups_claim: Option<String>,
    /// How Microsoft Graph is asked for the groups of the user, where it is.
    pub graph: Option<GraphSettings>,
    /// What may be asked for besides fields of data.
    pub allowed: Allowed,
    /// The certificate that calls are taken with; without one they are not encrypted.
    pub certificate: Option<Certificate>,
}

/// What calls share.
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) reader: Reader,
    pub(crate) allowed: Allowed,
    pub(crate) audit: Arc<Audit>,
    /// Changes that are made, also those of callers that are gone.
    pub(crate) changes: TaskTracker,
    door: Door,
    /// One for each large body.
    large: Semaphore,
}

/// A role mapper, not yet running.
pub struct RoleMapper {
    shared: Arc<Shared>,
    certificate: Option<Certificate>,
}

impl RoleMapper {
    /// Creates a role mapper over a store, which also gets its audit log. It needs a Tokio runtime.
    ///
    /// # Errors
    /// When nothing can be fetched with these settings, in words.
    pub fn new(store: Store, settings: Settings) -> Result<Self, String> {
        let Settings { auth, trust, header_names, user_claim, groups_claim, graph, allowed, certificate } = settings;
        let reader = Reader::new(header_names, trust, user_claim, groups_claim, graph)?;
        let door = Door::new(auth, "ROLE_MAPPER_TOKEN")?;
        Ok(Self {
            shared: Arc::new(Shared {
                audit: Audit::start(Arc::<dyn RoleStore>::clone(&store)),
                changes: TaskTracker::new(),
                store,
                reader,
                allowed,
                door,
                large: Semaphore::new(LARGE_AT_ONCE),
            }),
            certificate,
        })
    }

    /// All its routes. `more` are further ones that need a token.
    pub fn routes(&self, more: Router) -> Router {
        let guarded = rest::routes()
            .with_state(Arc::clone(&self.shared))
            .merge(more)
            .route_layer(from_fn_with_state(Arc::clone(&self.shared), guard));
        let few = from_fn_with_state(Arc::clone(&self.shared), few_large);
        Router::new()
            .route("/v1/authenticate", post(webhook::authenticate).layer(few).get(webhook::without_query))
            .route("/v1/health", get(|| async { Json("Alive") }))
            .route("/v1/ready", get(rest::is_ready))
            .with_state(Arc::clone(&self.shared))
            .merge(guarded)
            .fallback(|| async { errors(StatusCode::NOT_FOUND, "there is nothing at this path") })
            .method_not_allowed_fallback(|| async {
                errors(StatusCode::METHOD_NOT_ALLOWED, "this path does not take that method")
            })
            .layer(from_fn(in_time))
    }

    /// Answers calls until `stop` is set.
    ///
    /// # Errors
    /// When connections cannot be taken, or the certificate cannot be used.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) -> Result<(), ServeError> {
        let routes = self.routes(figures()?);
        // Nobody is let in without the keys of the issuer, and whoever starts it wants to know that now.
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            if let Err(error) = shared.reader.check().await {
                tracing::warn!(error, "the keys of the issuer cannot be had: nobody gets a role until they can");
            }
        });
        let beside = EmbeddedRoutes {
            certificate: self.certificate,
            connections: ConnectionLimits::default(),
            body_limit: BODY_LIMIT,
            drain: DRAIN,
            broken: broken_off,
        };
        let shared = Arc::clone(&self.shared);
        let served = beside.serve(listener, routes, stop).await;
        shared.changes.close();
        if timeout(DRAIN, shared.changes.wait()).await.is_err() {
            tracing::warn!("the store takes long: changes of roles go on without an entry in the audit log");
        }
        shared.audit.end().await;
        served
    }
}

/// Lets in who shows a token, where one is needed. Records calls that are refused, and changes that fail.
async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let (head, action, is_change) = (Head::of(&request), audited::action(&request), !request.method().is_safe());
    match shared.door.admit(request, Scope::Admin).await {
        Ok(Admitted { mut request, name }) => {
            let call = Call::of(head, action, name.unwrap_or_else(|| "anonymous".to_owned()));
            request.extensions_mut().insert(call.clone());
            let response = next.run(request).await;
            if is_change && !response.status().is_success() {
                call.failed(&shared.audit, response.status()).await;
            }
            response
        }
        Err(TurnedAway { status, why, name }) => {
            if is_change || status.is_client_error() {
                let call = Call::of(head, action, name.unwrap_or_else(|| UNKNOWN.to_owned()));
                call.failed(&shared.audit, status).await;
            }
            errors(status, &why)
        }
    }
}

/// Has a call with a large body, or one of no said length, wait for its turn. Small ones never wait.
async fn few_large(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse().ok());
    let turn = match length {
        Some(0..=LARGE) => None,
        // It is never closed.
        _ => shared.large.acquire().await.ok(),
    };
    let response = next.run(request).await;
    drop(turn);
    response
}

/// Ends a call that takes too long, also one whose body does not come.
async fn in_time(request: Request, next: Next) -> Response {
    let answered = timeout(TIMEOUT, next.run(request)).await;
    answered.unwrap_or_else(|_| Refusal::Unavailable("it took too long: try again later").into_response())
}
