//! Serves routes of other crates like the server's own: the same listener, TLS, shutdown, rules for every call, and
//! metrics.

use crate::listen::{ConnectionLimits, listen};
use crate::metrics;
use crate::routes::around;
use crate::serve::ServeError;
use crate::tls::Certificate;
use axum::Router;
use axum::http::header;
use axum::response::Response;
use axum::routing::get;
use axum_server::Handle;
use std::net::TcpListener;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How routes are served.
#[derive(Debug, Clone)]
pub struct EmbeddedRoutes {
    /// The certificate that calls are taken with; without one they are not encrypted.
    pub certificate: Option<Certificate>,
    /// The longest body, in bytes.
    pub body_limit: usize,
    /// Limits of connections.
    pub connections: ConnectionLimits,
    /// How long calls that are being answered are waited for in the end.
    pub drain: Duration,
    /// How a call is answered that a mistake in the program ended.
    pub broken: fn() -> Response,
}

/// `GET /metrics`, in the text format of Prometheus: figures of the process, which are collected from here on.
///
/// # Errors
/// When something else collects them already.
pub fn figures() -> Result<Router, ServeError> {
    let figures = metrics::collect(None, None)?;
    let told = move || std::future::ready(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], figures.render()));
    Ok(Router::new().route("/metrics", get(told)))
}

impl EmbeddedRoutes {
    /// Answers calls until `stop` is set.
    ///
    /// # Errors
    /// When connections cannot be taken, or the certificate cannot be used.
    pub async fn serve(self, listener: TcpListener, routes: Router, stop: CancellationToken) -> Result<(), ServeError> {
        let routes = around(routes, self.body_limit, self.broken);
        let handle = Handle::new();
        let mut serving = std::pin::pin!(listen(listener, self.certificate, &self.connections, &handle, routes));
        // Without being told to it ends only when it cannot go on.
        tokio::select! {
            served = &mut serving => return served,
            () = stop.cancelled() => handle.graceful_shutdown(Some(self.drain)),
        }
        serving.await
    }
}
