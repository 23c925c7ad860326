//! Read-only pages that show databases: their tables, columns and rows.
//!
//! The pages are for users with the token, and only for this machine, unless their server is a pod. The token is in the fragment of an address, which
//! browsers do not send. A script of the page sends it to the server once. A cookie replaces it, which no script can
//! read and no page of another site can send. Users without scripts type the token in. Databases may contain any text:
//! templates escape it, and the pages may load and run only files of this server.
//!
//! Read in this order: `content`, `session` (access), `pages` (presentation).

mod content;
mod headers;
mod pages;
mod session;

pub use content::{BASE, Column, Database, NotShown, Rows, Table, Tables};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::Response;
use axum::middleware::{Next, from_fn};
use axum::routing::{get, post};
use headers::add_headers;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use crate::auth::Auth;
use crate::embed::EmbeddedRoutes;
use crate::listen::ConnectionLimits;
use crate::serve_error::ServeError;

/// The longest body: a token and a target path.
const LONGEST_BODY: usize = 4096;

/// The pages.
#[derive(Clone)]
pub struct Pages {
    /// The databases that they show.
    pub tables: Arc<dyn Tables>,
    /// Callers of other machines may use them, under any host name. A host name of another site has no session there.
    pub are_for_other_machines: bool,
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
        let callers = if self.are_for_other_machines { Auth::AnyCaller } else { Auth::ThisMachine };
        let check_site = move |request: Request, next: Next| session::require_site(callers.clone(), request, next);
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
        guarded.merge(open).layer(from_fn(check_site)).layer(from_fn(harden)).with_state(tables)
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
