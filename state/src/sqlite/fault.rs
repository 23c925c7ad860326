//! Faults at a chosen commit, for tests of crashes. Compiled only with the feature `fault-points`.
//!
//! `TERRACE_FAULT=HOW:NUMBER` breaks one commit of this process, counted from 1. HOW is `dies-before`, `dies-after`
//! (the process is killed), `fails-before` or `fails-after` (the disk is full).
//!
//! `TERRACE_FAULT=outages-before:PERIOD/LENGTH/LAST` fills the disk repeatedly: of each PERIOD commits the final LENGTH fail,
//! until commit LAST. With `outages-after` the first commit of each outage is written although it reports a full disk.

use super::error::Failure;
use rustix::process::{Signal, getpid, kill_process};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

enum Fault {
    Once { how: String, number: usize },
    Outages { is_first_written: bool, period: usize, length: usize, last: usize },
}

#[expect(clippy::disallowed_methods, reason = "this switch for tests is not a setting of the command line")]
static FAULT: LazyLock<Option<Fault>> = LazyLock::new(|| {
    let text = std::env::var("TERRACE_FAULT").ok()?;
    let (how, number) = text.split_once(':')?;
    let Some(moment) = how.strip_prefix("outages-") else {
        return Some(Fault::Once { how: how.to_owned(), number: number.parse().ok()? });
    };
    let mut numbers = number.split('/').map_while(|number| number.parse().ok());
    let (period, length, last) = (numbers.next()?, numbers.next()?, numbers.next()?);
    Some(Fault::Outages { is_first_written: moment == "after", period, length, last })
});

static COMMITS: AtomicUsize = AtomicUsize::new(0);

/// Counts a commit before it happens.
pub(super) fn before_commit() -> Result<(), Failure> {
    COMMITS.fetch_add(1, Ordering::SeqCst);
    strike("before")
}

/// The same commit: there is only one writer.
pub(super) fn after_commit() -> Result<(), Failure> {
    strike("after")
}

fn strike(moment: &str) -> Result<(), Failure> {
    let count = COMMITS.load(Ordering::SeqCst);
    let is_full = match FAULT.as_ref() {
        None => false,
        Some(Fault::Once { how, number }) => {
            if *number == count && *how == format!("dies-{moment}") {
                // The process is killed; a failure of the kill does not matter.
                let _ = kill_process(getpid(), Signal::KILL);
            }
            *number == count && *how == format!("fails-{moment}")
        }
        Some(Fault::Outages { last, .. }) if count > *last => false,
        Some(Fault::Outages { is_first_written, period, length, .. }) => {
            let place = count.checked_rem(*period).unwrap_or_default();
            let first = period.saturating_sub(*length);
            match (place == first, *is_first_written) {
                (true, true) => moment == "after",
                _ => moment == "before" && place >= first,
            }
        }
    };
    if is_full {
        let full = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
        return Err(rusqlite::Error::SqliteFailure(full, None).into());
    }
    Ok(())
}
