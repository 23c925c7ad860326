//! Read-only pages that show databases: their tables, columns and rows.
//!
//! The pages are only for this machine, and for users with the token. The token is in the fragment of an address, which
//! browsers do not send. A script of the page sends it to the server once. A cookie replaces it, which no script can
//! read and no page of another site can send. Users without scripts type the token in. Databases may contain any text:
//! templates escape it, and the pages may load and run only files of this server.
//!
//! Read in this order: this file (content), `door` (access), `pages` (presentation).

mod pages;
mod session;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use axum::middleware::{Next, from_fn};
use axum::routing::{get, post};
use secrecy::SecretString;
use serde::Serialize;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use crate::embed::EmbeddedRoutes;
use crate::listen::ConnectionLimits;
use crate::serve::ServeError;

/// The path of the pages.
pub const BASE: &str = "/databases";
/// Content security policy: pages load only files of this server, are not framed, and send nothing elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// Headers of every answer.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];
/// The longest body: a token and a target path.
const LONGEST_BODY: usize = 4096;

/// Databases whose tables can be shown. Implementations only read.
#[async_trait]
pub trait Tables: Send + Sync {
    /// The token for access. It is read when a user opens a page, and must not change.
    ///
    /// # Errors
    /// When the token cannot be read.
    fn token(&self) -> Result<SecretString, NotShown>;

    /// The databases.
    ///
    /// # Errors
    /// When they cannot be listed.
    async fn databases(&self) -> Result<Vec<Database>, NotShown>;

    /// The tables of a database.
    ///
    /// # Errors
    /// When the database does not exist, or does not answer.
    async fn tables(&self, database: &str) -> Result<Vec<Table>, NotShown>;

    /// A page of a table's rows, counted from 0.
    ///
    /// # Errors
    /// When the table does not exist, or its database does not answer.
    async fn rows(&self, database: &str, schema: &str, table: &str, page: u64) -> Result<Rows, NotShown>;
}

/// Why something cannot be shown, in words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotShown {
    /// It does not exist.
    Missing(String),
    /// It cannot be shown now.
    Unavailable(String),
}

/// A database.
#[derive(Debug, Clone, Serialize)]
pub struct Database {
    /// Its name.
    pub name: String,
    /// Its kind: `PostgreSQL`.
    pub system: String,
    /// Its status: `running`.
    pub status: String,
    /// How long it is kept, in words.
    pub kept: String,
}

/// A table or a view.
#[derive(Debug, Clone, Serialize)]
pub struct Table {
    /// The schema; may be empty.
    pub schema: String,
    /// The name.
    pub name: String,
    /// Whether it is a view.
    pub is_view: bool,
}

/// A column.
#[derive(Debug, Clone, Serialize)]
pub struct Column {
    /// The name.
    pub name: String,
    /// The type.
    pub kind: String,
}

/// Some rows.
#[derive(Debug, Clone, Serialize)]
pub struct Rows {
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows: a value for each column, `None` for null.
    pub rows: Vec<Vec<Option<String>>>,
    /// Whether more rows follow.
    pub has_more: bool,
}

/// The pages.
#[derive(Clone)]
pub struct Pages {
    /// The databases that they show.
    pub tables: Arc<dyn Tables>,
}

impl std::fmt::Debug for Pages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pages")
    }
}

impl Pages {
    /// The routes, below [`BASE`].
    pub(crate) fn routes<S: Clone + Send + Sync + 'static>(self) -> Router<S> {
        let tables = self.tables;
        let guard = Arc::clone(&tables);
        let guarded = Router::new()
            .route("/databases/", get(pages::databases))
            .route("/databases/{database}", get(pages::tables))
            .route("/databases/{database}/table", get(pages::rows))
            .route_layer(from_fn(move |request: Request, next: Next| {
                let guard = Arc::clone(&guard);
                async move { session::require_session(&*guard, request, next).await }
            }));
        let open = Router::new()
            .route(BASE, get(|| async { axum::response::Redirect::permanent("databases/") }))
            .route("/databases/-/session", post(session::start_session))
            .route("/databases/-/style.css", get(|| pages::asset("text/css; charset=utf-8", pages::STYLE)))
            .route("/databases/-/open.js", get(|| pages::asset("text/javascript; charset=utf-8", pages::SCRIPT)));
        guarded.merge(open).layer(from_fn(session::require_this_machine)).layer(from_fn(harden)).with_state(tables)
    }

    /// Serves only these pages until `stop` is set.
    ///
    /// # Errors
    /// When the server cannot accept connections.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) -> Result<(), ServeError> {
        let embedded = EmbeddedRoutes {
            certificate: None,
            connections: ConnectionLimits::default().for_side_listener(),
            body_limit: LONGEST_BODY,
            drain: Duration::from_secs(1),
            on_panic: || pages::error_page(500, "this is a bug in terrace: please report your steps"),
        };
        let routes = self.routes::<()>().fallback(|| async { pages::error_page(404, "page not found") });
        embedded.serve(listener, routes, stop).await
    }
}

/// Adds headers that prevent shown content from having effects.
async fn harden(request: Request, next: Next) -> Response<Body> {
    let mut answer = next.run(request).await;
    add_headers(answer.headers_mut());
    answer
}

fn add_headers(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
