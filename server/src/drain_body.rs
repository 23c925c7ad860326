//! Drains bodies that a call left unread, as a refused call does, while the server sends the answer.
//!
//! Otherwise the server resets the connection or the stream, and callers that still send lose the answer. Python's
//! client and curl 7.88 over HTTP/2 read the answer only after they have sent everything.

use axum::body::{Body, BodyDataStream, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use futures_util::{Stream, StreamExt};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;

/// How long a body is drained.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The most bytes of a body that are drained: several times the limit of a body, so that callers can read the 413, and
/// few enough that a caller without a token cannot keep a connection busy.
const BYTES: usize = 64 << 20;

/// Drains the rest of a call's body.
pub(crate) async fn drain(request: Request, next: Next) -> Response {
    // A caller that waits for `100 Continue` has not sent its body yet.
    if request.body().is_end_stream() || request.headers().contains_key(header::EXPECT) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let (returned, mut rest) = oneshot::channel();
    let borrowed = BorrowedBody { body: Some(body.into_data_stream()), returned: Some(returned) };
    let response = next.run(Request::from_parts(parts, Body::from_stream(borrowed))).await;
    if let Ok(rest) = rest.try_recv() {
        tokio::spawn(tokio::time::timeout(TIMEOUT, discard(rest)));
    }
    response
}

async fn discard(mut rest: BodyDataStream) {
    let mut left = BYTES;
    while let Some(Ok(part)) = rest.next().await {
        match left.checked_sub(part.len()) {
            Some(after) => left = after,
            None => return,
        }
    }
}

/// A body that returns to its owner if it is dropped before its end.
struct BorrowedBody {
    body: Option<BodyDataStream>,
    returned: Option<oneshot::Sender<BodyDataStream>>,
}

impl Stream for BorrowedBody {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let next = body.poll_next_unpin(cx);
        if matches!(next, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        next
    }
}

impl Drop for BorrowedBody {
    fn drop(&mut self) {
        if let (Some(body), Some(returned)) = (self.body.take(), self.returned.take()) {
            // The call itself may be over already.
            let _ = returned.send(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::http::StatusCode;
    use axum::middleware::from_fn;
    use axum::routing::post;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use hyper_util::server::conn::auto;
    use hyper_util::service::TowerToHyperService;
    use std::future::poll_fn;

    /// An answer to a caller that sends its body later, and the body's stream.
    async fn answered(routes: Router) -> (StatusCode, h2::SendStream<Bytes>, h2::PingPong) {
        let (near, far) = tokio::io::duplex(1 << 16);
        let service = TowerToHyperService::new(routes);
        tokio::spawn(async move {
            let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(far), service).await;
        });
        let (mut calls, mut connection) = h2::client::handshake(near).await.unwrap();
        let pings = connection.ping_pong().unwrap();
        tokio::spawn(connection);
        poll_fn(|cx| calls.poll_ready(cx)).await.unwrap();
        let request = axum::http::Request::post("http://here/").body(()).unwrap();
        let (response, body) = calls.send_request(request, false).unwrap();
        (response.await.unwrap().status(), body, pings)
    }

    #[tokio::test]
    async fn refused_caller_can_send_the_rest_of_its_body() {
        let refused = post(|| async { StatusCode::FORBIDDEN });
        let (status, mut body, mut pings) = answered(Router::new().route("/", refused).layer(from_fn(drain))).await;
        assert_eq!(status, 403);
        body.send_data(Bytes::from_static(b"and more"), true).unwrap();
        // Once this answer arrives, everything before it has arrived.
        pings.ping(h2::Ping::opaque()).await.unwrap();
        let reset = poll_fn(|cx| Poll::Ready(body.poll_reset(cx))).await;
        assert!(!matches!(reset, Poll::Ready(Ok(_))), "{reset:?}");
    }

    #[tokio::test]
    async fn body_is_drained_up_to_its_limit() {
        let drained = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = std::sync::Arc::clone(&drained);
        let part = Bytes::from(vec![0; 1 << 20]);
        let endless = futures_util::stream::repeat(part).map(move |part| {
            counted.fetch_add(part.len(), std::sync::atomic::Ordering::Relaxed);
            Ok::<_, std::convert::Infallible>(part)
        });
        discard(Body::from_stream(endless).into_data_stream()).await;
        assert_eq!(drained.load(std::sync::atomic::Ordering::Relaxed), BYTES + (1 << 20));
    }

    #[tokio::test]
    async fn read_body_is_complete() {
        let echo = Router::new().route("/", post(|body: String| async { body })).layer(from_fn(drain));
        let request = axum::http::Request::post("/").body(Body::from("all of it")).unwrap();
        let answer = tower::ServiceExt::oneshot(echo, request).await.unwrap();
        let body = axum::body::to_bytes(answer.into_body(), 100).await.unwrap();
        assert_eq!(body, "all of it");
    }
}
