//! Pages to look at the tables of databases: which there are, their columns, their rows. They change nothing.
//!
//! They are for this machine alone, and for whoever has the token. It comes in the fragment of an address, which browsers
//! send nowhere; a script of the page gives it to the server once, and a cookie takes its place that no script can read and no
//! page of another site can send. Whoever has no scripts types it in. What databases hold is anybody's text: it goes
//! into pages through templates that escape it, and the pages may load and run nothing but what is served beside them.
//!
//! Read in this order: this file (what is shown, and by whom), `door` (who may look), `pages` (what they see).

mod door;
mod pages;

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

/// Where the pages are.
pub const BASE: &str = "/databases";
/// What a page may load: only what is served beside it. Nothing frames it, nothing is sent elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// What holds for every answer.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];
/// The longest body: a token, and where to go.
const LONGEST_BODY: usize = 4096;

/// Databases whose tables can be looked at. Who implements it only reads.
#[async_trait]
pub trait Tables: Send + Sync {
    /// The token: who has it may look. It is asked for when somebody wants to look, and always the same.
    ///
    /// # Errors
    /// When it cannot be read.
    fn token(&self) -> Result<SecretString, NotShown>;

    /// The databases.
    ///
    /// # Errors
    /// When they cannot be listed.
    async fn databases(&self) -> Result<Vec<Database>, NotShown>;

    /// The tables of a database.
    ///
    /// # Errors
    /// When there is no such database, or it does not answer.
    async fn tables(&self, database: &str) -> Result<Vec<Table>, NotShown>;

    /// A page of a table's rows, counted from 0.
    ///
    /// # Errors
    /// When there is no such table, or its database does not answer.
    async fn rows(&self, database: &str, schema: &str, table: &str, page: u64) -> Result<Rows, NotShown>;
}

/// Why something is not shown, in words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotShown {
    /// There is no such thing.
    Missing(String),
    /// It cannot be looked at now.
    Broken(String),
}

/// A database.
#[derive(Debug, Clone, Serialize)]
pub struct Database {
    /// Its name.
    pub name: String,
    /// What it is: `PostgreSQL`.
    pub system: String,
    /// How it is: `running`.
    pub status: String,
    /// How long it is kept, in words.
    pub kept: String,
}

/// A table or a view.
#[derive(Debug, Clone, Serialize)]
pub struct Table {
    /// The schema, or nothing.
    pub schema: String,
    /// The name.
    pub name: String,
    /// It is a view.
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
    /// The rows: a value for each column, nothing where it is null.
    pub rows: Vec<Vec<Option<String>>>,
    /// There are more behind them.
    pub has_more: bool,
}

/// Pages.
#[derive(Clone)]
pub struct Pages {
    /// What they show.
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
        let behind = Router::new()
            .route("/databases/", get(pages::databases))
            .route("/databases/{database}", get(pages::tables))
            .route("/databases/{database}/table", get(pages::rows))
            .route_layer(from_fn(move |request: Request, next: Next| {
                let guard = Arc::clone(&guard);
                async move { door::guard(&*guard, request, next).await }
            }));
        let open = Router::new()
            .route(BASE, get(|| async { axum::response::Redirect::permanent("databases/") }))
            .route("/databases/-/session", post(door::open))
            .route("/databases/-/style.css", get(|| pages::asset("text/css; charset=utf-8", pages::STYLE)))
            .route("/databases/-/open.js", get(|| pages::asset("text/javascript; charset=utf-8", pages::SCRIPT)));
        behind.merge(open).layer(from_fn(door::here)).layer(from_fn(harden)).with_state(tables)
    }

    /// Serves these pages alone until `stop` is set.
    ///
    /// # Errors
    /// When connections cannot be taken.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) -> Result<(), ServeError> {
        let beside = EmbeddedRoutes {
            certificate: None,
            connections: ConnectionLimits::default().for_side_listener(),
            body_limit: LONGEST_BODY,
            drain: Duration::from_secs(1),
            broken: || pages::wrong(500, "this is a bug of terrace: please report what you did"),
        };
        let routes = self.routes::<()>().fallback(|| async { pages::wrong(404, "there is no such page") });
        beside.serve(listener, routes, stop).await
    }
}

/// Adds the headers that keep what a page shows from doing anything.
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
