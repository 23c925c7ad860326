//! Bodies of calls and answers that report their waits to the clock of the connection.

use super::accept::Peer;
use super::clock::{Clock, Lag, Wait};
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::Version;
use axum::middleware::Next;
use axum::response::Response;
use http_body::{Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// The bytes of an answer that HTTP/2 gets at once: it buffers everything, even if its caller reads slowly.
const PART: usize = 16 << 10;

/// Follows a call from its head to the end of its answer. The caller may delay the body by `timeout` in total.
pub(super) async fn track_call(
    State(timeout): State<Duration>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let Some(clock) = peer.clock() else { return next.run(request).await };
    let call = Arc::new(Call { clock: Arc::clone(clock), number: clock.begin() });
    let is_multiplexed = request.version() == Version::HTTP_2;
    let request = match request.body().is_end_stream() {
        true => request,
        false => request.map(|body| {
            let call = Arc::clone(&call);
            Body::new(Incoming { inner: body, call, lag: Lag::default(), timeout, timer: None })
        }),
    };
    let response = next.run(request).await;
    if is_multiplexed {
        call.wait(Wait::Reader);
    }
    response.map(|body| Body::new(Outgoing { inner: body, call, rest: None, is_multiplexed }))
}

/// A call in flight.
#[derive(Debug)]
struct Call {
    clock: Arc<Clock>,
    number: u64,
}

impl Call {
    fn wait(&self, what: Wait) {
        self.clock.wait(self.number, what, Instant::now());
    }

    fn progress(&self, bytes: usize) {
        self.clock.progress(self.number, Instant::now(), bytes);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.clock.end(self.number, Instant::now());
    }
}

/// The body of a call. It fails if the caller is too slow.
struct Incoming {
    inner: Body,
    call: Arc<Call>,
    lag: Lag,
    timeout: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl HttpBody for Incoming {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Self { inner, call, lag, timeout, timer } = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(inner).poll_frame(cx) {
            let bytes = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map_or(0, Bytes::len);
            lag.progress(Instant::now(), bytes);
            call.progress(bytes);
            return Poll::Ready(frame);
        }
        let now = Instant::now();
        lag.begin(now);
        call.wait(Wait::Body);
        let deadline = lag.deadline(*timeout).unwrap_or(now);
        let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        ready!(timer.as_mut().poll(cx));
        crate::metrics::closed("body");
        Poll::Ready(Some(Err(axum::Error::new(io::Error::from(io::ErrorKind::TimedOut)))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The body of an answer. Over HTTP/2 a call waits for its caller from one part to the next; over HTTP/1 the stream of
/// the connection notices a slow caller.
struct Outgoing {
    inner: Body,
    call: Arc<Call>,
    /// The unsent rest of a frame.
    rest: Option<Bytes>,
    is_multiplexed: bool,
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Self { inner, call, rest, is_multiplexed } = self.get_mut();
        if !*is_multiplexed {
            return Pin::new(inner).poll_frame(cx);
        }
        // A poll for more means that the caller has read the part before.
        call.progress(PART);
        let mut data = match rest.take() {
            Some(rest) => rest,
            None => match ready!(Pin::new(inner).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                end => return Poll::Ready(end),
            },
        };
        let part = data.split_to(data.len().min(PART));
        *rest = Some(data).filter(|rest| !rest.is_empty());
        call.wait(Wait::Reader);
        Poll::Ready(Some(Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, rest) = (self.inner.size_hint(), self.rest.as_ref().map_or(0, |rest| rest.len() as u64));
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}
