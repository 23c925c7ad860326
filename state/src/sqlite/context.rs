//! Context of all work on connections.

use super::lease_clock::LeaseClock;
use crate::clock::Clock;
use crate::process::Process;
use crate::rules::Term;
use jiff::Timestamp;
use std::sync::Arc;

/// The clock of the store, and knowledge about processes.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) clock: Arc<dyn Clock>,
    /// This process.
    pub(super) process: Option<Process>,
    lease_clock: Arc<LeaseClock>,
}

impl Context {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, process: Process::current(), lease_clock: Arc::default() }
    }

    /// True only if a process has certainly ended.
    pub(super) fn is_gone(&self, process: Option<&Process>) -> bool {
        process.is_some_and(|process| process.is_gone(self.process.as_ref()))
    }

    /// The term of the lease or claim with that name. If its process certainly runs, it may still renew an expired one: a
    /// jump of the clock takes no leases away. A clock that a test moves does not count.
    pub(super) fn term<'a>(
        &'a self,
        process: Option<&'a Process>,
        name: &'a str,
        expires: Timestamp,
    ) -> Term<impl FnOnce() -> bool + use<'a>> {
        let may_be_renewed = move || {
            self.clock.is_system_clock()
                && process.is_some_and(|process| process.runs(self.process.as_ref()))
                && self.lease_clock.may_be_renewed(name, expires)
        };
        Term { expires, is_gone: self.is_gone(process), may_be_renewed }
    }
}
