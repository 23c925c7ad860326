//! Parsing and checking of descriptors within limits, so that callers cannot exhaust memory or processors together.
//!
//! The server processes a small text at once, within low limits. A large text, and a small one that exceeds these
//! limits, needs one of few permits; a thread with low priority processes it.

mod large_bodies;

use crate::answer::Refusal;
use crate::auth::Caller;
use crate::retry_counter::RetryCounter;
use crate::serve::{Shared, lower_priority};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use large_bodies::{LargeBodies, TimedBody};
use std::sync::Arc;
use std::time::{Duration, Instant};
use terrace_engine::limits::{Limits, TimeLimit};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::block_in_place;
use uuid::Uuid;

/// The longest small text, in bytes.
const SMALL_SIZE: usize = 64 << 10;

/// The most items of an expression in a small descriptor. Each call thread may compute one expression at a time.
const SMALL_ITEMS: usize = 100_000;

/// How long a call waits for a permit.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(20);

/// Settings of the limits.
#[derive(Debug, Clone)]
pub struct ProcessingSettings {
    /// The limits of a large descriptor.
    pub limits: Limits,
    /// The most resources of a stack that is planned without a permit.
    pub small_resources: usize,
    /// How many large descriptors are parsed, planned or applied at once.
    pub large_at_once: usize,
    /// How many large bodies the server holds at once.
    pub bodies_at_once: usize,
    /// How long a call may process its descriptor.
    pub time: Duration,
}

/// The permits, and the requests that need one.
pub(crate) struct ProcessingLimits {
    settings: ProcessingSettings,
    large: Arc<Semaphore>,
    bodies: LargeBodies,
    /// Requests with a small text that exceeded the low limits.
    outgrown: RetryCounter,
}

impl ProcessingLimits {
    pub(crate) fn new(settings: ProcessingSettings) -> Self {
        let large = Arc::new(Semaphore::new(settings.large_at_once.max(1)));
        let bodies = LargeBodies::new(settings.bodies_at_once);
        Self { settings, large, bodies, outgrown: RetryCounter::default() }
    }

    /// The limits of a small or a large descriptor, without a time limit.
    pub(crate) fn limits(&self, is_large: bool) -> Limits {
        let Limits { values, items, resources, raise, .. } = self.settings.limits;
        let (items, resources) = match is_large {
            true => (items, resources),
            false => (items.min(SMALL_ITEMS), resources.min(self.settings.small_resources)),
        };
        let mut limits = Limits::new(values, resources, raise);
        limits.items = items;
        limits
    }

    /// The same limits for a call, whose time starts now.
    fn call_limits(&self, is_large: bool) -> Limits {
        let (length, begun) = (self.settings.time, Instant::now());
        self.limits(is_large).within(TimeLimit { length, is_over: Arc::new(move || begun.elapsed() > length) })
    }

    /// Whether work within the limits of a small descriptor needs those of a large one.
    pub(crate) fn exceeds_small_limits(&self, limits: &Limits) -> bool {
        let most = &self.settings.limits;
        limits.is_exceeded() && (limits.resources < most.resources || limits.items < most.items)
    }

    /// The limits for a worker's request with a body of this size; `None` while other large requests hold all permits.
    pub(crate) fn permit_for_work(&self, operation: Uuid, bytes: usize) -> Option<WorkPermit> {
        if bytes <= SMALL_SIZE && !self.outgrown.has(operation) {
            return Some(WorkPermit { limits: self.limits(false), is_large: false, _permit: None });
        }
        let permit = Arc::clone(&self.large).try_acquire_owned().ok()?;
        Some(WorkPermit { limits: self.limits(true), is_large: true, _permit: Some(permit) })
    }

    /// Whether a request has to run again, as a large one.
    pub(crate) fn needs_large_limits(&self, operation: Uuid, permit: &WorkPermit) -> bool {
        let exceeds_small_limits = !permit.is_large && self.exceeds_small_limits(&permit.limits);
        if exceeds_small_limits {
            self.outgrown.increment(operation);
        }
        exceeds_small_limits
    }

    /// Forgets a request that has ended.
    pub(crate) fn forget(&self, operation: Uuid) {
        self.outgrown.forget(operation);
    }
}

/// The right to work on a request within limits.
pub(crate) struct WorkPermit {
    pub(crate) limits: Limits,
    is_large: bool,
    _permit: Option<OwnedSemaphorePermit>,
}

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
