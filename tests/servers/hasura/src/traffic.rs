//! The requests to both servers, and their faults.

use crate::faults::{Fault, Faults};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// A received request.
#[derive(Debug, Clone)]
pub struct ReceivedCall {
    /// Its number, from 1.
    pub number: usize,
    /// A short form: the commands (`bulk[snowflake_track_table]`), or method and path (`PUT /v1/roles`).
    pub line: String,
    /// The raw body.
    pub body: String,
    /// Whether the request could change anything.
    pub is_write: bool,
    /// The time of the request.
    pub at: Instant,
    /// The HTTP status of the response; 0 without a response.
    pub status: u16,
}

/// Counts and records requests, and applies faults.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) faults: Mutex<Faults>,
    received: Mutex<Vec<ReceivedCall>>,
    count: AtomicUsize,
    at_once: AtomicUsize,
    most: AtomicUsize,
}

impl Traffic {
    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn received(&self) -> MutexGuard<'_, Vec<ReceivedCall>> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn reset(&self) {
        self.count.store(0, Ordering::SeqCst);
        self.most.store(0, Ordering::SeqCst);
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    pub(crate) fn max_concurrent(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    /// Starts a request: waits its duration and returns its fault.
    pub(crate) async fn begin(
        &self,
        line: &str,
        body: &str,
        is_write: bool,
    ) -> (ReceivedCall, Option<Fault>, ConcurrencyGuard<'_>) {
        let at_once = ConcurrencyGuard::new(self);
        let number = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        let received = ReceivedCall {
            number,
            line: line.to_owned(),
            body: body.to_owned(),
            is_write,
            at: Instant::now(),
            status: 0,
        };
        let (fault, takes) = {
            let mut faults = self.faults();
            (faults.take(number, line), faults.takes)
        };
        if let Some(takes) = takes {
            tokio::time::sleep(takes).await;
        }
        (received, fault, at_once)
    }

    pub(crate) fn end(&self, received: ReceivedCall, status: u16) {
        self.received().push(ReceivedCall { status, ..received });
    }
}

/// Counts concurrent requests.
pub(crate) struct ConcurrencyGuard<'a>(&'a Traffic);

impl<'a> ConcurrencyGuard<'a> {
    fn new(traffic: &'a Traffic) -> Self {
        let now = traffic.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        traffic.most.fetch_max(now, Ordering::SeqCst);
        Self(traffic)
    }
}

impl Drop for ConcurrencyGuard<'_> {
    fn drop(&mut self) {
        self.0.at_once.fetch_sub(1, Ordering::SeqCst);
    }
}
