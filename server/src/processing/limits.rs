//! Limits of descriptors, and permits for large ones.

use super::large_bodies::LargeBodies;
use crate::retry_counter::RetryCounter;
use std::sync::Arc;
use std::time::{Duration, Instant};
use terrace_engine::limits::{Limits, TimeLimit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

/// The longest small text, in bytes.
pub(super) const SMALL_SIZE: usize = 64 << 10;

/// The most items of an expression in a small descriptor. Each call thread may compute one expression at a time.
const SMALL_ITEMS: usize = 100_000;

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
    pub(super) large: Arc<Semaphore>,
    pub(super) bodies: LargeBodies,
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
    pub(super) fn call_limits(&self, is_large: bool) -> Limits {
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
