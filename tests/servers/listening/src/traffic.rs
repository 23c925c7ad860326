//! The calls to a stand-in and their counters.

use crate::faults::Faults;
use crate::lock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

/// Counts and records the calls to a stand-in, and applies faults. `C` is a recorded call; `F` and `V` are the
/// parameters of [`Faults`].
#[derive(Debug)]
pub struct Traffic<C, F, V> {
    faults: Mutex<Faults<F, V>>,
    received: Mutex<Vec<C>>,
    count: AtomicUsize,
    concurrent: AtomicUsize,
    max_concurrent: AtomicUsize,
}

impl<C, F, V: Default> Default for Traffic<C, F, V> {
    fn default() -> Self {
        Self {
            faults: Mutex::default(),
            received: Mutex::default(),
            count: AtomicUsize::default(),
            concurrent: AtomicUsize::default(),
            max_concurrent: AtomicUsize::default(),
        }
    }
}

impl<C, F, V> Traffic<C, F, V> {
    /// The faults from now on.
    pub fn faults(&self) -> MutexGuard<'_, Faults<F, V>> {
        lock(&self.faults)
    }

    /// The recorded calls, oldest first.
    pub fn received(&self) -> MutexGuard<'_, Vec<C>> {
        lock(&self.received)
    }

    /// The calls since the last use of this method.
    #[must_use]
    pub fn take_calls(&self) -> Vec<C> {
        std::mem::take(&mut *self.received())
    }

    /// Resets the counters.
    pub fn reset_count(&self) {
        self.count.store(0, Ordering::SeqCst);
        self.max_concurrent.store(0, Ordering::SeqCst);
    }

    /// The number of calls since the reset.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// The maximum number of concurrent calls.
    #[must_use]
    pub fn max_concurrent(&self) -> usize {
        self.max_concurrent.load(Ordering::SeqCst)
    }

    /// Counts a concurrent call until the guard is dropped.
    pub fn enter(&self) -> ConcurrencyGuard<'_> {
        let now = self.concurrent.fetch_add(1, Ordering::SeqCst) + 1;
        self.max_concurrent.fetch_max(now, Ordering::SeqCst);
        ConcurrencyGuard(&self.concurrent)
    }

    /// Counts a call; returns its number, from 1.
    pub fn next_number(&self) -> usize {
        self.count.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Takes the fault of a call, then waits the duration of every call.
    pub async fn fault(&self, take: impl FnOnce(&mut Faults<F, V>) -> Option<F>) -> Option<F> {
        let (fault, takes) = {
            let mut faults = self.faults();
            (take(&mut faults), faults.takes)
        };
        if let Some(takes) = takes {
            tokio::time::sleep(takes).await;
        }
        fault
    }
}

/// A call in progress.
#[derive(Debug)]
#[must_use]
pub struct ConcurrencyGuard<'a>(&'a AtomicUsize);

impl Drop for ConcurrencyGuard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
