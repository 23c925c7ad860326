//! Faults at a chosen commit, for suites that prove what a crash leaves behind. Compiled in by the feature
//! `fault-points` only.
//!
//! `TERRACE_FAULT=HOW:NUMBER`: what goes wrong with the commit of that number of this process, counted from 1. HOW is
//! `dies-before`, `dies-after` (the process is killed), `fails-before` or `fails-after` (the disk is full).

use super::error::Failure;
use rustix::process::{Signal, getpid, kill_process};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

struct Fault {
    how: String,
    number: usize,
}

#[expect(clippy::disallowed_methods, reason = "no setting of the command line leads here")]
static FAULT: LazyLock<Option<Fault>> = LazyLock::new(|| {
    let text = std::env::var("TERRACE_FAULT").ok()?;
    let (how, number) = text.split_once(':')?;
    Some(Fault { how: how.to_owned(), number: number.parse().ok()? })
});

static COMMITS: AtomicUsize = AtomicUsize::new(0);

/// Counts a commit that is about to happen.
pub(super) fn before_commit() -> Result<(), Failure> {
    COMMITS.fetch_add(1, Ordering::SeqCst);
    strike("before")
}

/// After the same commit: there is one writer only.
pub(super) fn after_commit() -> Result<(), Failure> {
    strike("after")
}

fn strike(moment: &str) -> Result<(), Failure> {
    let Some(fault) = FAULT.as_ref().filter(|fault| fault.number == COMMITS.load(Ordering::SeqCst)) else {
        return Ok(());
    };
    if fault.how == format!("dies-{moment}") {
        // Nothing is left to say when that fails.
        let _ = kill_process(getpid(), Signal::KILL);
    }
    if fault.how == format!("fails-{moment}") {
        let full = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
        return Err(rusqlite::Error::SqliteFailure(full, None).into());
    }
    Ok(())
}
