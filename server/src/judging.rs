//! Judging of descriptors within limits, so that callers cannot exhaust memory or processors together.
//!
//! The server judges a small text at once, within low limits. A large text, and a small one that exceeds these limits, needs a
//! permit, of which there are few; a thread that gives way to other calls judges it.

mod large_bodies;

use crate::answer::Refusal;
use crate::auth::Caller;
use crate::retry_counter::RetryCounter;
use crate::serve::{Shared, let_calls_go_first};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use large_bodies::{InTime, LargeBodies};
use std::sync::Arc;
use std::time::{Duration, Instant};
use terrace_engine::limits::{Limits, TimeLimit};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::block_in_place;
use uuid::Uuid;

/// A text of at most so many bytes is small.
const SMALL: usize = 64 << 10;

/// An expression of a small descriptor makes at most so many items; each call thread may compute one at a time.
const SMALL_ITEMS: usize = 100_000;

/// How long a call waits for a permit.
const PATIENCE: Duration = Duration::from_secs(20);

/// Limits of judging.
#[derive(Debug, Clone)]
pub struct JudgingSettings {
    /// The limits of a large descriptor.
    pub limits: Limits,
    /// The most resources of a stack that is planned without a permit.
    pub small_resources: usize,
    /// How many large descriptors are judged, planned or applied at once.
    pub large_at_once: usize,
    /// How many large bodies are held at once.
    pub bodies_at_once: usize,
    /// How long a call may judge.
    pub time: Duration,
}

/// The permits, and who needs one.
pub(crate) struct Judging {
    settings: JudgingSettings,
    large: Arc<Semaphore>,
    bodies: LargeBodies,
    /// Requests of a small text that turned out to be large.
    grown: RetryCounter,
}

impl Judging {
    pub(crate) fn new(settings: JudgingSettings) -> Self {
        let large = Arc::new(Semaphore::new(settings.large_at_once.max(1)));
        let bodies = LargeBodies::new(settings.bodies_at_once);
        Self { settings, large, bodies, grown: RetryCounter::default() }
    }

    /// The limits of a small or a large descriptor, without one of time.
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

    /// The same for a call, whose time begins now.
    fn of_call(&self, is_large: bool) -> Limits {
        let (length, begun) = (self.settings.time, Instant::now());
        self.limits(is_large).within(TimeLimit { length, is_over: Arc::new(move || begun.elapsed() > length) })
    }

    /// Whether work within the limits of a small descriptor needs those of a large one.
    pub(crate) fn has_grown(&self, limits: &Limits) -> bool {
        let most = &self.settings.limits;
        limits.is_exceeded() && (limits.resources < most.resources || limits.items < most.items)
    }

    /// What a worker may use for a request with a body of so many bytes; nothing while other large requests have the permits.
    pub(crate) fn for_work(&self, operation: Uuid, bytes: usize) -> Option<Turn> {
        if bytes <= SMALL && !self.grown.has(operation) {
            return Some(Turn { limits: self.limits(false), is_large: false, _permit: None });
        }
        let permit = Arc::clone(&self.large).try_acquire_owned().ok()?;
        Some(Turn { limits: self.limits(true), is_large: true, _permit: Some(permit) })
    }

    /// Whether a request has to be worked on again, as a large one.
    pub(crate) fn is_to_grow(&self, operation: Uuid, turn: &Turn) -> bool {
        let has_grown = !turn.is_large && self.has_grown(&turn.limits);
        if has_grown {
            self.grown.once_more(operation);
        }
        has_grown
    }

    /// Forgets a request that has ended.
    pub(crate) fn forget(&self, operation: Uuid) {
        self.grown.forget(operation);
    }
}

/// The right to work on a request within limits.
pub(crate) struct Turn {
    pub(crate) limits: Limits,
    is_large: bool,
    _permit: Option<OwnedSemaphorePermit>,
}

/// Does work that judges a text of so many bytes. It runs a second time where the first one needs the limits of a large
/// descriptor, so it must not change anything.
///
/// # Errors
/// When there is no permit for a large one in time.
pub(crate) async fn judge<T, W, F>(shared: &Arc<Shared>, bytes: usize, work: W) -> Result<T, Refusal>
where
    T: Send + 'static,
    W: Fn(Arc<Shared>, Limits) -> F + Send + 'static,
    F: Future<Output = T>,
{
    if bytes <= SMALL {
        let limits = shared.judging.of_call(false);
        let judging = work(Arc::clone(shared), limits.clone());
        let judged = block_in_place(|| Handle::current().block_on(judging));
        if !shared.judging.has_grown(&limits) {
            return Ok(judged);
        }
    }
    aside(shared, work).await
}

/// Does work within the limits of a large descriptor, on a thread that gives way to other calls.
///
/// # Errors
/// When others hold all permits for too long.
pub(crate) async fn aside<T, W, F>(shared: &Arc<Shared>, work: W) -> Result<T, Refusal>
where
    T: Send + 'static,
    W: FnOnce(Arc<Shared>, Limits) -> F + Send + 'static,
    F: Future<Output = T>,
{
    let permit = tokio::time::timeout(PATIENCE, Arc::clone(&shared.judging.large).acquire_owned()).await;
    let Ok(Ok(permit)) = permit else {
        return Err(Refusal::Unavailable("other large descriptors are being judged".to_owned()));
    };
    let (runtime, shared) = (Handle::current(), Arc::clone(shared));
    let (done, judged) = tokio::sync::oneshot::channel();
    let judging = move || {
        let _permit = permit;
        let_calls_go_first();
        let limits = shared.judging.of_call(true);
        // The caller may be gone.
        let _ = done.send(runtime.block_on(work(Arc::clone(&shared), limits)));
    };
    let begun = std::thread::Builder::new().name("judge".to_owned()).spawn(judging);
    begun.map_err(|error| Refusal::Unavailable(format!("there is no thread to judge a descriptor: {error}")))?;
    judged.await.map_err(|_| Refusal::Broken("judging a descriptor broke off".to_owned()))
}

/// Does work on a body of so many bytes; other calls go on meanwhile where it takes long.
pub(crate) fn on_body<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    if bytes <= SMALL { work() } else { block_in_place(work) }
}

/// Has a call with a large body wait until few enough others hold one. Its body waits in the connection, and then has half of
/// the time of a call to come.
pub(crate) async fn take_turns(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let is_small = match length {
        Some(length) => length <= SMALL,
        None => !request.headers().contains_key(header::TRANSFER_ENCODING) && request.method().is_safe(),
    };
    if is_small {
        return next.run(request).await;
    }
    let caller = request.extensions().get::<Caller>().cloned();
    let permit = shared.judging.bodies.acquire(caller.as_ref().and_then(Caller::name)).await;
    let Some(_permit) = permit else { return Refusal::Busy.into_response() };
    let limit = shared.settings.timeout / 2;
    next.run(request.map(|body| Body::new(InTime::new(body, limit)))).await
}
