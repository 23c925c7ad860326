//! Streams of server-sent events, for callers that may read their objects until the end.

use super::problem::Problem;
use crate::answer::Refusal;
use crate::auth::Caller;
use crate::shared::Shared;
use crate::streams::OpenStream;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, KeepAliveStream, Sse};
use futures_util::stream::{self, BoxStream, StreamExt};
use jiff::Timestamp;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use terrace_engine::address::StackId;
use tokio::time::Instant;

/// How often a source is polled.
const POLL: Duration = Duration::from_millis(500);
/// How often the token of a reader is checked.
const ADMIT_EVERY: Duration = Duration::from_secs(5);

/// The answer with a stream.
pub(super) type EventStream = Sse<KeepAliveStream<BoxStream<'static, Result<Event, Infallible>>>>;

/// A source of events.
pub(super) trait EventSource: Send + 'static {
    /// The events since the last call; `None` if they cannot be read, which ends the stream.
    fn poll(&mut self) -> impl Future<Output = Option<NewEvents>> + Send;
}

/// Events since the last call of a source.
pub(super) struct NewEvents {
    pub(super) events: Vec<Event>,
    /// True after the last event.
    pub(super) has_ended: bool,
}

/// The `id` of the last event that an interrupted reader got.
pub(super) fn last_event_id(headers: &HeaderMap) -> Option<&str> {
    headers.get("last-event-id").and_then(|last| last.to_str().ok())
}

/// Streams the events of a source as long as the caller sees all of these stacks.
///
/// # Errors
/// When too many streams are open.
pub(super) fn follow(
    shared: Arc<Shared>,
    caller: Caller,
    headers: HeaderMap,
    stacks: Vec<StackId>,
    source: impl EventSource,
) -> Result<EventStream, Problem> {
    let open = shared.streams.open_for(caller.name());
    let open = open.ok_or_else(|| Refusal::Unavailable("too many streams are open: try again later".to_owned()))?;
    let reader = EventReader {
        shared,
        source,
        stacks,
        caller,
        pending: VecDeque::new(),
        has_ended: false,
        headers,
        admitted: Instant::now(),
        _open: open,
    };
    let events = stream::unfold(reader, |mut reader| async {
        let event = reader.next().await?;
        Some((Ok(event), reader))
    });
    Ok(Sse::new(events.boxed()).keep_alive(KeepAlive::default()))
}

/// A reader of a source.
struct EventReader<S> {
    shared: Arc<Shared>,
    source: S,
    /// The caller must see all of these stacks.
    stacks: Vec<StackId>,
    caller: Caller,
    pending: VecDeque<Event>,
    has_ended: bool,
    /// The headers of the call, with its token.
    headers: HeaderMap,
    /// When the caller was last admitted.
    admitted: Instant,
    _open: OpenStream,
}

impl<S: EventSource> EventReader<S> {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if !self.is_admitted().await {
                return None;
            }
            if let Some(event) = self.pending.pop_front() {
                return Some(event);
            }
            if self.has_ended {
                return None;
            }
            let NewEvents { events, has_ended } = self.source.poll().await?;
            self.pending.extend(events);
            self.has_ended = has_ended;
            if self.pending.is_empty() {
                tokio::select! {
                    () = tokio::time::sleep(POLL) => {}
                    () = self.shared.stop.cancelled() => return None,
                }
            }
        }
    }

    /// Whether the caller may still read: its token may have expired, or its issuer may have withdrawn a key.
    async fn is_admitted(&mut self) -> bool {
        if self.caller.is_expired(Timestamp::now()) {
            return false;
        }
        if self.admitted.elapsed() < ADMIT_EVERY {
            return true;
        }
        self.admitted = Instant::now();
        match self.shared.admission.check_reader(&self.headers, &self.stacks).await {
            // An issuer that does not answer has not withdrawn anything.
            Ok(_) | Err(Refusal::Unavailable(_)) => true,
            Err(_) => false,
        }
    }
}
