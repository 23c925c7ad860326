//! Parsing and checking of descriptors within limits, so that callers cannot exhaust memory or processors together.
//!
//! The server processes a small text at once, within low limits. A large text, and a small one that exceeds these
//! limits, needs one of few permits; a thread with low priority processes it.

mod large_bodies;
mod limits;

pub use limits::ProcessingSettings;
pub(crate) use limits::{ProcessingLimits, WorkPermit};

use crate::answer::Refusal;
use crate::auth::Caller;
use crate::priority::lower_priority;
use crate::shared::Shared;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use large_bodies::TimedBody;
use limits::SMALL_SIZE;
use std::sync::Arc;
use std::time::Duration;
use terrace_engine::limits::Limits;
use tokio::runtime::Handle;
use tokio::task::block_in_place;

/// How long a call waits for a permit.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(20);

/// Processes a text of this size. The work runs a second time if it exceeds the low limits, so it must not change
/// anything.
///
/// # Errors
/// When no permit for a large text is free in time.
pub(crate) async fn process<T, W, F>(shared: &Arc<Shared>, bytes: usize, work: W) -> Result<T, Refusal>
where
    T: Send + 'static,
    W: Fn(Arc<Shared>, Limits) -> F + Send + 'static,
    F: Future<Output = T>,
{
    if bytes <= SMALL_SIZE {
        let limits = shared.processing.call_limits(false);
        let processing = work(Arc::clone(shared), limits.clone());
        let result = block_in_place(|| Handle::current().block_on(processing));
        if !shared.processing.exceeds_small_limits(&limits) {
            return Ok(result);
        }
    }
    process_large(shared, work).await
}

/// Does work within the limits of a large descriptor, on a thread with low priority.
///
/// # Errors
/// When other calls hold all permits for too long.
pub(crate) async fn process_large<T, W, F>(shared: &Arc<Shared>, work: W) -> Result<T, Refusal>
where
    T: Send + 'static,
    W: FnOnce(Arc<Shared>, Limits) -> F + Send + 'static,
    F: Future<Output = T>,
{
    let permit = tokio::time::timeout(PERMIT_TIMEOUT, Arc::clone(&shared.processing.large).acquire_owned()).await;
    let Ok(Ok(permit)) = permit else {
        return Err(Refusal::Unavailable("other large descriptors are being processed".to_owned()));
    };
    let (runtime, shared) = (Handle::current(), Arc::clone(shared));
    let (done, result) = tokio::sync::oneshot::channel();
    let task = move || {
        let _permit = permit;
        lower_priority();
        let limits = shared.processing.call_limits(true);
        // The caller may be gone.
        let _ = done.send(runtime.block_on(work(Arc::clone(&shared), limits)));
    };
    let begun = std::thread::Builder::new().name("judge".to_owned()).spawn(task);
    begun.map_err(|error| Refusal::Unavailable(format!("cannot start a thread for a descriptor: {error}")))?;
    result.await.map_err(|_| Refusal::Internal("processing a descriptor was interrupted".to_owned()))
}

/// Does work on a body of this size; for a large body, other calls continue on other threads.
pub(crate) fn block_if_large<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    if bytes <= SMALL_SIZE { work() } else { block_in_place(work) }
}

/// Makes a call with a large body wait for a permit. Its body waits in the connection, and then has half of the time of
/// a call to arrive.
pub(crate) async fn limit_large_bodies(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let is_small = match length {
        Some(length) => length <= SMALL_SIZE,
        None => !request.headers().contains_key(header::TRANSFER_ENCODING) && request.method().is_safe(),
    };
    if is_small {
        return next.run(request).await;
    }
    let caller = request.extensions().get::<Caller>().cloned();
    let permit = shared.processing.bodies.acquire(caller.as_ref().and_then(Caller::name)).await;
    let Some(_permit) = permit else { return Refusal::QueueFull.into_response() };
    let limit = shared.settings.timeout / 2;
    next.run(request.map(|body| Body::new(TimedBody::new(body, limit)))).await
}
