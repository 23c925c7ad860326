//! Serves routes of other crates like the server's own: the same listener, TLS, shutdown, checks of every call, and
//! metrics.

use crate::common_layers::with_common_layers;
use crate::listen::{ConnectionLimits, listen};
use crate::metrics;
use crate::serve_error::ServeError;
use crate::tls::Certificate;
use axum::Router;
use axum::http::header;
use axum::response::Response;
use axum::routing::get;
use axum_server::Handle;
use std::net::TcpListener;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Settings for routes of other crates.
#[derive(Debug, Clone)]
pub struct EmbeddedRoutes {
    /// The certificate; `None` for unencrypted connections.
    pub certificate: Option<Certificate>,
    /// The longest body, in bytes.
    pub body_limit: usize,
    /// Limits of connections.
    pub connections: ConnectionLimits,
    /// Grace period for running calls at shutdown.
    pub drain: Duration,
    /// The answer to a call that panicked.
    pub on_panic: fn() -> Response,
}

/// `GET /metrics` in the text format of Prometheus: metrics of the process, collected from this call on.
///
/// # Errors
/// When another part of the process collects metrics already.
pub fn metrics_routes() -> Result<Router, ServeError> {
    let metrics = metrics::collect(None, None)?;
    let answer = move || std::future::ready(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.render()));
    Ok(Router::new().route("/metrics", get(answer)))
}

impl EmbeddedRoutes {
    /// Serves calls until `stop` is set.
    ///
    /// # Errors
    /// When the server cannot accept connections, or cannot use the certificate.
    pub async fn serve(self, listener: TcpListener, routes: Router, stop: CancellationToken) -> Result<(), ServeError> {
        let routes = with_common_layers(routes, self.body_limit, self.on_panic);
        let handle = Handle::new();
        let mut serving = std::pin::pin!(listen(listener, self.certificate, &self.connections, &handle, routes));
        // Without `stop` it ends only on an error.
        tokio::select! {
            served = &mut serving => return served,
            () = stop.cancelled() => handle.graceful_shutdown(Some(self.drain)),
        }
        serving.await
    }
}
