//! Limits before a call: slots and tokens of its type, then those of its instance. A caller may take tokens earlier.
//!
//! A call that waits for a token holds no slot of the instance. A call that waits for a slot has taken no token yet, so
//! the rate limits the starts of calls. Waiting is in order.

use super::limits::{Limits, Rate};
use crate::ProviderError;
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// The gates of an instance.
pub(super) struct Gates {
    instance: Gate,
    types: BTreeMap<String, Gate>,
}

/// The permission to run a call; a drop frees its slots.
pub(super) struct Permit {
    _of_type: Option<OwnedSemaphorePermit>,
    _of_instance: OwnedSemaphorePermit,
}

impl Gates {
    pub(super) fn new(limits: &Limits) -> Self {
        let of_type = |(name, limits): (&String, &super::TypeLimits)| {
            (name.clone(), Gate::new(limits.concurrency.unwrap_or(Semaphore::MAX_PERMITS), limits.rate))
        };
        Self { instance: Gate::new(limits.concurrency, limits.rate), types: limits.types.iter().map(of_type).collect() }
    }

    /// True if calls of a type take tokens.
    pub(super) fn has_rate(&self, ty: &str) -> bool {
        self.instance.bucket.is_some() || self.types.get(ty).is_some_and(|gate| gate.bucket.is_some())
    }

    /// Waits for the tokens of one call of a type, and takes them.
    async fn take_tokens<F: FnOnce(Rate, Option<&str>)>(&self, ty: &str, waits: &mut WaitReporter<F>) {
        // As in `enter`: the turn of its type lasts until it has all tokens.
        let _of_type = match self.types.get(ty).and_then(|gate| gate.bucket.as_ref()) {
            Some(bucket) => Some(bucket.wait(Some(ty), waits).await),
            None => None,
        };
        if let Some(bucket) = &self.instance.bucket {
            drop(bucket.wait(None, waits).await);
        }
    }

    /// Waits until a call that has its tokens may begin.
    pub(super) async fn enter_with_tokens(&self, ty: &str) -> Result<Permit, ProviderError> {
        let of_type = match self.types.get(ty) {
            Some(gate) => Some(gate.slot().await?),
            None => None,
        };
        Ok(Permit { _of_type: of_type, _of_instance: self.instance.slot().await? })
    }

    /// The slots of a call that has its tokens, if they are free now.
    pub(super) fn slot_now(&self, ty: &str) -> Option<Permit> {
        let of_type = match self.types.get(ty) {
            Some(gate) => Some(gate.slot_now()?),
            None => None,
        };
        Some(Permit { _of_type: of_type, _of_instance: self.instance.slot_now()? })
    }

    /// Waits until a call of a type may begin.
    pub(super) async fn enter(&self, ty: &str) -> Result<Permit, ProviderError> {
        self.enter_reporting(ty, &mut WaitReporter::<fn(Rate, Option<&str>)>(None)).await
    }

    /// Waits until this number of calls of a type may begin, one after the other in the same slots.
    pub(super) async fn admit<F: FnOnce(Rate, Option<&str>)>(
        &self,
        ty: &str,
        calls: usize,
        waits: &mut WaitReporter<F>,
    ) -> Result<Permit, ProviderError> {
        for _ in 1..calls {
            self.take_tokens(ty, waits).await;
        }
        self.enter_reporting(ty, waits).await
    }

    async fn enter_reporting<F: FnOnce(Rate, Option<&str>)>(
        &self,
        ty: &str,
        waits: &mut WaitReporter<F>,
    ) -> Result<Permit, ProviderError> {
        let of_type = match self.types.get(ty) {
            Some(gate) => Some(gate.enter(Some(ty), waits).await?),
            None => None,
        };
        let of_instance = self.instance.enter(None, waits).await?;
        // The next call's turn begins only now: it must take its type's token when it begins, not earlier.
        Ok(Permit { _of_type: of_type.map(|entered| entered.slot), _of_instance: of_instance.slot })
    }
}

/// Reports the first wait for a token: the rate, and the type unless the rate is the instance's.
pub(super) struct WaitReporter<F>(Option<F>);

impl<F: FnOnce(Rate, Option<&str>)> WaitReporter<F> {
    pub(super) fn new(report: F) -> Self {
        Self(Some(report))
    }

    fn notify(&mut self, rate: Rate, ty: Option<&str>) {
        if let Some(report) = self.0.take() {
            report(rate, ty);
        }
    }
}

struct Gate {
    slots: Arc<Semaphore>,
    bucket: Option<Bucket>,
}

struct Entered<'a> {
    slot: OwnedSemaphorePermit,
    _turn: Option<MutexGuard<'a, ()>>,
}

struct Bucket {
    rate: Rate,
    tokens: RateLimiter<NotKeyed, InMemoryState, Since, NoOpMiddleware<Duration>>,
    clock: Since,
    /// Held by the call that takes the next token.
    turn: Mutex<()>,
    /// True if that call waits for a token, not for a slot.
    is_empty: AtomicBool,
}

/// The time since an instance was opened, by the clock of the runtime, which tests can stop.
#[derive(Debug, Clone, Copy)]
struct Since(Instant);

impl Clock for Since {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

impl Gate {
    fn new(concurrency: usize, rate: Option<Rate>) -> Self {
        let slots = Arc::new(Semaphore::new(concurrency.clamp(1, Semaphore::MAX_PERMITS)));
        Self { slots, bucket: rate.and_then(Bucket::new) }
    }

    async fn enter<F: FnOnce(Rate, Option<&str>)>(
        &self,
        ty: Option<&str>,
        waits: &mut WaitReporter<F>,
    ) -> Result<Entered<'_>, ProviderError> {
        let Some(bucket) = &self.bucket else {
            return Ok(Entered { slot: self.slot().await?, _turn: None });
        };
        let turn = bucket.turn(ty, waits).await;
        loop {
            let slot = self.slot().await?;
            let Some(pause) = bucket.take() else {
                return Ok(Entered { slot, _turn: Some(turn) });
            };
            drop(slot);
            waits.notify(bucket.rate, ty);
            tokio::time::sleep(pause).await;
        }
    }

    async fn slot(&self) -> Result<OwnedSemaphorePermit, ProviderError> {
        Arc::clone(&self.slots).acquire_owned().await.map_err(|_| ProviderError::bug("the session was closed"))
    }

    fn slot_now(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.slots).try_acquire_owned().ok()
    }
}

impl Bucket {
    fn new(rate: Rate) -> Option<Self> {
        let quota = Quota::with_period(rate.period())?.allow_burst(rate.burst());
        let clock = Since(Instant::now());
        let tokens = RateLimiter::direct_with_clock(quota, clock);
        Some(Self { rate, tokens, clock, turn: Mutex::new(()), is_empty: AtomicBool::new(false) })
    }

    /// Waits in turn for a token, and takes it. The turn ends when the result is dropped.
    async fn wait<F: FnOnce(Rate, Option<&str>)>(
        &self,
        ty: Option<&str>,
        waits: &mut WaitReporter<F>,
    ) -> MutexGuard<'_, ()> {
        let turn = self.turn(ty, waits).await;
        while let Some(pause) = self.take() {
            waits.notify(self.rate, ty);
            tokio::time::sleep(pause).await;
        }
        turn
    }

    async fn turn<F: FnOnce(Rate, Option<&str>)>(
        &self,
        ty: Option<&str>,
        waits: &mut WaitReporter<F>,
    ) -> MutexGuard<'_, ()> {
        match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(_) => {
                if self.is_empty.load(Ordering::Relaxed) {
                    waits.notify(self.rate, ty);
                }
                self.turn.lock().await
            }
        }
    }

    /// Takes a token; without one, returns the time until the next.
    fn take(&self) -> Option<Duration> {
        let missing = self.tokens.check().err();
        self.is_empty.store(missing.is_some(), Ordering::Relaxed);
        // The runtime's timers have a resolution of milliseconds.
        Some(missing?.wait_time_from(self.clock.now()).max(Duration::from_millis(1)))
    }
}
