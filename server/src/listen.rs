//! Listeners for calls, unencrypted or with TLS, within limits of connections.
//!
//! Read in this order: `limits`, `accept` and `registry` (which connections are admitted), `clock` (how long a caller
//! keeps the server waiting), `connection` and `bodies` (which report to the clock, and close).

mod accept;
mod bodies;
mod clock;
mod connection;
mod limits;
mod registry;

use crate::serve_error::ServeError;
use crate::tls::{self, Certificate};
use accept::Listener;
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum_server::tls_rustls::RustlsAcceptor;
use axum_server::{Handle, Server};
use hyper_util::rt::TokioTimer;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use accept::Peer;
pub use limits::ConnectionLimits;

/// Longest time for a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Accepts calls until the handle stops.
///
/// # Errors
/// When the server cannot accept connections, or cannot use the certificate.
pub(crate) async fn listen(
    listener: TcpListener,
    certificate: Option<Certificate>,
    limits: &ConnectionLimits,
    handle: &Handle<Peer>,
    routes: Router,
) -> Result<(), ServeError> {
    // The runtime requires it.
    listener.set_nonblocking(true)?;
    configure_socket(&listener, limits)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let listener = Listener::new(listener, Arc::new(limits.clone()), certificate.is_some());
    let routes = routes.layer(from_fn_with_state(limits.body_timeout, bodies::track_call));
    let service = routes.into_make_service_with_connect_info::<Peer>();
    let server = Server::from_listener(listener).handle(handle.clone());
    match certificate {
        None => {
            let mut server = server;
            configure(&mut server, limits);
            server.serve(service).await?;
        }
        Some(certificate) => {
            let (config, reloader) = tls::watch(certificate)?;
            let handshake = HANDSHAKE.min(limits.head_timeout);
            let mut server = server.acceptor(RustlsAcceptor::new(config).handshake_timeout(handshake));
            configure(&mut server, limits);
            let served = server.serve(service).await;
            reloader.abort();
            served?;
        }
    }
    Ok(())
}

/// Bytes of answers that the system buffers for a connection. With a larger buffer a slow caller looks like a silent
/// one.
const SEND_BUFFER: usize = 256 << 10;
/// How long the other machine may be silent. The server notices a caller that vanished within this time.
const SILENCE: Duration = Duration::from_secs(60);

/// Sets the options of a listener, which its connections inherit.
fn configure_socket(listener: &TcpListener, limits: &ConnectionLimits) -> std::io::Result<()> {
    let socket = socket2::SockRef::from(listener);
    socket.set_send_buffer_size(SEND_BUFFER)?;
    let silence = SILENCE.max(limits.write_timeout);
    socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(silence).with_interval(silence / 4))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(silence))?;
    Ok(())
}

/// The clock of a connection closes it if its caller is late. HTTP/2 also sends pings.
fn configure<A>(server: &mut Server<Peer, A>, limits: &ConnectionLimits) {
    server.http_builder().http1().header_read_timeout(None);
    server.http_builder().http2().timer(TokioTimer::new()).keep_alive_interval(limits.head_timeout);
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::time::{Instant, timeout};

    const HEAD: Duration = Duration::from_secs(30);

    /// How long a connection lives after its caller has sent this text and nothing else. Time advances if nothing else
    /// happens.
    async fn lifetime(sent: &str) -> Duration {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let handle = Handle::new();
        let serving = {
            let handle = handle.clone();
            tokio::spawn(async move {
                let limits = ConnectionLimits::of_descriptors(1024);
                listen(listener, None, &limits, &handle, Router::new()).await
            })
        };
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(sent.as_bytes()).await.unwrap();
        let begun = Instant::now();
        let mut answer = Vec::new();
        timeout(4 * HEAD, connection.read_to_end(&mut answer)).await.expect("the connection is kept").unwrap();
        handle.shutdown();
        serving.await.unwrap().unwrap();
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn incomplete_head_of_a_call_closes_the_connection() {
        for sent in ["", "P", "PRI * HTTP/2.0\r\n", "GET / HT", "GET / HTTP/1.1\r\nhost: a\r\n"] {
            let lifetime = lifetime(sent).await;
            assert!((HEAD..HEAD + Duration::from_secs(1)).contains(&lifetime), "{sent:?}: {lifetime:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn idle_connection_between_calls_is_closed() {
        let lifetime = lifetime("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!((HEAD..HEAD + Duration::from_secs(1)).contains(&lifetime), "{lifetime:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn http2_stream_is_closed_if_its_caller_reads_no_more() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().route("/", axum::routing::get(|| async { vec![0_u8; 1 << 20] }));
        let limits = ConnectionLimits::of_descriptors(1024);
        let serving = tokio::spawn(async move { listen(listener, None, &limits, &Handle::new(), routes).await });
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut calls, connection) = h2::client::handshake(stream).await.unwrap();
        // The client answers pings meanwhile.
        let ended = tokio::spawn(connection);
        std::future::poll_fn(|cx| calls.poll_ready(cx)).await.unwrap();
        let request = axum::http::Request::get("http://here/").body(()).unwrap();
        let (response, _) = calls.send_request(request, true).unwrap();
        let mut body = response.await.unwrap().into_body();
        let begun = Instant::now();
        assert!(body.data().await.unwrap().is_ok());
        // The client never opens its window again.
        assert!(timeout(10 * HEAD, ended).await.expect("the connection is kept").unwrap().is_err());
        assert!(begun.elapsed() < 3 * HEAD, "{:?}", begun.elapsed());
        serving.abort();
    }
}
