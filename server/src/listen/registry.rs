//! Open connections of a listener by address: admission and eviction.

use super::clock::Clock;
use super::limits::ConnectionLimits;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A connection that waits for its caller that long may lose its place.
const MIN_WAIT: Duration = Duration::from_millis(200);

/// Why a connection is not admitted, with the word for metrics and logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// The listener has its maximum of connections.
    Listener,
    /// The address has its maximum of connections.
    Address,
}

impl Full {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Listener => "max",
            Self::Address => "max_per_address",
        }
    }
}

#[derive(Debug, Default)]
struct Open {
    count: usize,
    next: u64,
    by_address: HashMap<IpAddr, HashMap<u64, Arc<Clock>>>,
}

impl Open {
    fn remove(&mut self, address: IpAddr, number: u64) {
        let Some(of_address) = self.by_address.get_mut(&address) else { return };
        if of_address.remove(&number).is_some() {
            self.count -= 1;
        }
        if of_address.is_empty() {
            self.by_address.remove(&address);
        }
    }

    /// Evicts the connection of an address that waits longest for its caller.
    fn evict(&mut self, address: IpAddr, now: Instant) -> bool {
        let of_address = self.by_address.get(&address).into_iter().flatten();
        let waiting = of_address.filter_map(|(number, clock)| Some((clock.waits_since()?, *number)));
        let longest = waiting.min().filter(|(since, _)| now.saturating_duration_since(*since) >= MIN_WAIT);
        let Some((_, number)) = longest else { return false };
        if let Some(clock) = self.by_address.get(&address).and_then(|of_address| of_address.get(&number)) {
            clock.evict();
        }
        self.remove(address, number);
        true
    }

    /// The address with the most connections.
    fn largest(&self) -> Option<IpAddr> {
        self.by_address.iter().max_by_key(|(_, of_address)| of_address.len()).map(|(address, _)| *address)
    }
}

/// The open connections of a listener.
#[derive(Debug)]
pub(super) struct Registry {
    max: usize,
    max_per_address: usize,
    open: Mutex<Open>,
}

impl Registry {
    pub(super) fn new(limits: &ConnectionLimits) -> Self {
        Self { max: limits.max, max_per_address: limits.max_per_address, open: Mutex::default() }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Admits a connection. If all slots are taken, the registry closes the connection that waits longest for its
    /// caller: one of the same address, else one of the address with the most connections.
    ///
    /// # Errors
    /// When all slots belong to callers that the server is serving.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr, now: Instant) -> Result<Slot, Full> {
        let address = network(address);
        let mut open = self.open();
        let of_address = open.by_address.get(&address).map_or(0, HashMap::len);
        if of_address >= self.max_per_address && !open.evict(address, now) {
            return Err(Full::Address);
        }
        if open.count >= self.max && !open.largest().is_some_and(|largest| open.evict(largest, now)) {
            return Err(Full::Listener);
        }
        open.next += 1;
        let (number, clock) = (open.next, Arc::new(Clock::start(now)));
        open.by_address.entry(address).or_default().insert(number, Arc::clone(&clock));
        open.count += 1;
        Ok(Slot { registry: Arc::clone(self), address, number, clock })
    }

    /// Closes a connection that waits for its caller, to free a descriptor.
    pub(super) fn evict_longest_waiting(&self, now: Instant) {
        let mut open = self.open();
        if let Some(largest) = open.largest() {
            open.evict(largest, now);
        }
    }

    /// Open connections.
    pub(super) fn count(&self) -> usize {
        self.open().count
    }
}

/// The address by which callers are counted: one caller may own a whole /64 network of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address @ IpAddr::V4(_) => address,
    }
}

/// The place of a connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    registry: Arc<Registry>,
    address: IpAddr,
    number: u64,
    pub(super) clock: Arc<Clock>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.registry.open();
        open.remove(self.address, self.number);
        let count = open.count;
        drop(open);
        crate::metrics::connections(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(max: usize, max_per_address: usize) -> Arc<Registry> {
        let limits = ConnectionLimits { max, max_per_address, ..ConnectionLimits::of_descriptors(1024) };
        Arc::new(Registry::new(&limits))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn served_callers_keep_their_places() {
        let (registry, now) = (registry(3, 2), Instant::now());
        let later = now + MIN_WAIT;
        let admit = |from, at| registry.admit(address(from), at);
        let slots = [admit("10.0.0.1", now).unwrap(), admit("10.0.0.1", now).unwrap(), admit("10.0.0.2", now).unwrap()];
        for slot in &slots {
            slot.clock.begin();
        }
        assert_eq!(admit("::ffff:10.0.0.1", later).unwrap_err(), Full::Address);
        assert_eq!(admit("10.0.0.3", later).unwrap_err(), Full::Listener);
        drop(slots);
        assert_eq!(registry.count(), 0);
        assert!(registry.open().by_address.is_empty());
    }

    #[test]
    fn caller_that_keeps_the_server_waiting_loses_its_place() {
        let (registry, now) = (registry(2, 2), Instant::now());
        let first = registry.admit(address("2001:db8::1"), now).unwrap();
        let second = registry.admit(address("2001:db8::2"), now + MIN_WAIT).unwrap();
        assert_eq!(registry.admit(address("2001:db8::3"), now).unwrap_err(), Full::Address, "it had no time yet");
        let third = registry.admit(address("10.0.0.1"), now + MIN_WAIT).unwrap();
        let limits = ConnectionLimits::of_descriptors(1024);
        let is_closed = |slot: &Slot| slot.clock.deadline(&limits, now).is_some_and(|(at, _)| at <= now);
        assert_eq!([&first, &second, &third].map(is_closed), [true, false, false]);
        drop((first, third));
        assert_eq!(registry.count(), 1);
    }
}
