//! How calls come in: plain, or by TLS.

mod opening;

use crate::serve::ServeError;
use crate::tls::{self, Certificate};
use axum::Router;
use axum_server::{Handle, Server};
use hyper_util::rt::TokioTimer;
use opening::Prompt;
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
            let server = axum_server::from_tcp(listener)?.handle(handle.clone());
            let mut server = server.map(|acceptor| Prompt::new(acceptor, HEAD));
            patient(&mut server);
            server.serve(service).await?;
        }
        Some(certificate) => {
            let (config, watching) = tls::watch(certificate)?;
            let server = axum_server::from_tcp_rustls(listener, config)?.handle(handle.clone());
            let mut server = server.map(|acceptor| Prompt::new(acceptor, HEAD));
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::time::{Instant, timeout};

    /// How long a connection lives on which that was said and nothing after it; time passes where nothing else happens.
    async fn kept(said: &str) -> Duration {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let handle = Handle::new();
        let serving = {
            let handle = handle.clone();
            tokio::spawn(async move { listen(listener, None, &handle, Router::new()).await })
        };
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(said.as_bytes()).await.unwrap();
        let begun = Instant::now();
        let mut answer = Vec::new();
        timeout(4 * HEAD, connection.read_to_end(&mut answer)).await.expect("the connection is kept").unwrap();
        handle.shutdown();
        serving.await.unwrap().unwrap();
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_does_not_end_the_head_of_a_call_is_left() {
        for said in ["", "P", "PRI * HTTP/2.0\r\n", "GET / HT", "GET / HTTP/1.1\r\nhost: a\r\n"] {
            let kept = kept(said).await;
            assert!((HEAD..HEAD + Duration::from_secs(1)).contains(&kept), "{said:?}: {kept:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_between_calls_is_left_as_late() {
        let kept = kept("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!((HEAD..HEAD + Duration::from_secs(1)).contains(&kept), "{kept:?}");
    }
}
