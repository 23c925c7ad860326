//! How calls come in: plain, or by TLS.

use crate::serve::ServeError;
use crate::tls::{self, Certificate};
use axum::Router;
use axum_server::{Handle, Server};
use hyper_util::rt::TokioTimer;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

/// How long a caller may take for the head of a call.
const HEAD: Duration = Duration::from_secs(30);

/// Takes calls until the handle is told to stop.
///
/// # Errors
/// When connections cannot be taken, or the certificate cannot be used.
pub(crate) async fn listen(
    listener: TcpListener,
    certificate: Option<Certificate>,
    handle: &Handle<SocketAddr>,
    routes: Router,
) -> Result<(), ServeError> {
    // The runtime takes no others.
    listener.set_nonblocking(true)?;
    let service = routes.into_make_service();
    match certificate {
        None => {
            let mut server = axum_server::from_tcp(listener)?.handle(handle.clone());
            patient(&mut server);
            server.serve(service).await?;
        }
        Some(certificate) => {
            let (config, watching) = tls::watch(certificate)?;
            let mut server = axum_server::from_tcp_rustls(listener, config)?.handle(handle.clone());
            patient(&mut server);
            let served = server.serve(service).await;
            watching.abort();
            served?;
        }
    }
    Ok(())
}

/// Who opens a connection and says nothing does not keep it.
fn patient<A, Acceptor>(server: &mut Server<A, Acceptor>)
where
    A: axum_server::Address,
{
    server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
    server.http_builder().http2().timer(TokioTimer::new()).keep_alive_interval(HEAD);
}
