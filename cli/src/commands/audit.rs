//! `terrace audit`: exports the audit log, checks it, and removes old entries.

mod usage;

use crate::args::{AuditCommand, Since, TimeRange, UsageFormat};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::signals::Signals;
use crate::wiring::{store, store_for_changes};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use terrace_engine::store::{Anchor, AuditLink, AuditLog, BrokenChain, ServerStore, Verifier};
use terrace_state::Access;

/// Entries per read.
const PAGE: usize = 1_000;
/// Entries younger than this are removed only with the user's consent.
const CONFIRM_BELOW: Duration = Duration::from_secs(30 * 24 * 3600);

/// Exports or prunes the audit log.
///
/// # Errors
/// When the state cannot be read or written, or an entry was changed or removed.
pub(super) async fn run(context: &Context<'_>, command: AuditCommand, signals: &Signals) -> Result<Exit, Failure> {
    match command {
        AuditCommand::Export(arguments) => {
            let log = Log::open(context, arguments.range).await?;
            log.print(context, arguments.verify, |link| link.line().map(Some)).await
        }
        AuditCommand::Usage(arguments) => {
            let log = Log::open(context, arguments.range).await?;
            if arguments.format == UsageFormat::Csv {
                context.ui.print(&usage::header())?;
            }
            log.print(context, arguments.verify, |link| usage::line(link, arguments.format)).await
        }
        AuditCommand::Verify => {
            let log = Log::open(context, TimeRange::default()).await?;
            log.print(context, true, |_| Ok(None)).await
        }
        AuditCommand::Prune { keep, auto_approve } => prune(context, signals, keep, auto_approve).await,
    }
}

/// The audit log of a project, and the entries of it to print.
struct Log {
    store: Arc<dyn ServerStore>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl Log {
    async fn open(context: &Context<'_>, range: TimeRange) -> Result<Self, Failure> {
        let settings = context.settings(None)?;
        let store = store(&settings, Access::ReadOnly).await?;
        let now = store.now().await?;
        let time = |given: Option<Since>| match given? {
            Since::At(at) => Some(at),
            Since::Ago(age) => now.checked_sub(age).ok(),
        };
        Ok(Self { since: time(range.since), until: time(range.until), store })
    }

    /// Prints a line for each entry that has one.
    async fn print(
        &self,
        context: &Context<'_>,
        verifies: bool,
        line: impl Fn(&AuditLink) -> serde_json::Result<Option<String>>,
    ) -> Result<Exit, Failure> {
        let is_meant = |link: &&AuditLink| {
            self.since.is_none_or(|since| link.at >= since) && self.until.is_none_or(|until| link.at < until)
        };
        let print = |links: &[AuditLink]| {
            let mut lines = String::new();
            for link in links.iter().filter(is_meant) {
                let line = line(link).map_err(|error| {
                    Failure::new(format!("entry {} of the audit log cannot be read: {error}", link.number))
                        .hint("`terrace audit verify` reports where the log was changed")
                })?;
                lines.extend(line.into_iter().flat_map(|line| [line, "\n".to_owned()]));
            }
            if lines.is_empty() { Ok(()) } else { context.ui.print(&lines) }
        };
        let mut reading = ChainReader { log: self.store.as_ref(), page: PAGE, printed: 0 };
        if !verifies {
            reading.read_all(print).await?;
            return Ok(Exit::Done);
        }
        let end = reading.verify(print).await?;
        let last = end.as_ref().map_or(0, |head| head.number);
        let end = end.map(|head| format!(" with the hash {}", head.hash)).unwrap_or_default();
        context.ui.print_message(&format!("the audit log is complete: its last entry is {last}{end}"));
        Ok(Exit::Done)
    }
}

/// How often a read starts over when entries are pruned meanwhile.
const MAX_READS: usize = 5;

/// Reads the audit log page by page, and prints each entry once.
struct ChainReader<'s> {
    log: &'s dyn AuditLog,
    /// Entries of a page.
    page: usize,
    /// The number of the last entry that was printed.
    printed: u64,
}

/// Reasons why a chain was not verified.
enum Unverified {
    Failed(Failure),
    /// The chain is broken. `first` is the number of the first entry read.
    Broken {
        first: u64,
        broken: BrokenChain,
    },
}

impl From<Failure> for Unverified {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl ChainReader<'_> {
    /// Prints all entries as they are.
    async fn read_all(&mut self, print: impl Fn(&[AuditLink]) -> Result<(), Failure>) -> Result<(), Failure> {
        let mut after = 0;
        loop {
            let page = self.log.audit_page(after, self.page).await?;
            print(&page.links)?;
            match page.links.last() {
                Some(last) if page.links.len() == self.page => after = last.number,
                _ => return Ok(()),
            }
        }
    }

    /// Prints the entries, checks their chain and returns its end. Starts over if the chain is pruned meanwhile.
    async fn verify(&mut self, print: impl Fn(&[AuditLink]) -> Result<(), Failure>) -> Result<Option<Anchor>, Failure> {
        for _ in 0..MAX_READS {
            let (first, broken) = match self.verify_once(&print).await {
                Ok(end) => return Ok(end),
                Err(Unverified::Failed(failure)) => return Err(failure),
                Err(Unverified::Broken { first, broken }) => (first, broken),
            };
            // Only pruning removes the first entries.
            let beginning = self.log.audit_page(0, 1).await?.links.first().map(|link| link.number);
            if beginning.is_none_or(|beginning| beginning <= first) {
                return Err(Failure::new(broken.to_string()).hint(COMPARE_HINT));
            }
        }
        Err(Failure::new(format!("the audit log was pruned while it was read, {MAX_READS} times"))
            .hint("try again once it is pruned"))
    }

    async fn verify_once(
        &mut self,
        print: &impl Fn(&[AuditLink]) -> Result<(), Failure>,
    ) -> Result<Option<Anchor>, Unverified> {
        let (mut verifier, mut after, mut first) = (Verifier::default(), 0, None);
        loop {
            let page = self.log.audit_page(after, self.page).await.map_err(Failure::from)?;
            let first = *first.get_or_insert(page.links.first().map_or(0, |link| link.number));
            let broken = page.links.iter().find_map(|link| verifier.take(link).err());
            let is_new = |link: &&AuditLink| {
                link.number > self.printed && broken.as_ref().is_none_or(|broken| link.number < broken.number)
            };
            let new: Vec<AuditLink> = page.links.iter().filter(is_new).cloned().collect();
            print(&new)?;
            self.printed = new.last().map_or(self.printed, |link| link.number);
            let broken = match (broken, page.links.last()) {
                (Some(broken), _) => broken,
                (None, Some(last)) if page.links.len() == self.page => {
                    after = last.number;
                    continue;
                }
                (None, _) => match verifier.finish(page.head.as_ref()) {
                    Ok(_) => return Ok(page.head),
                    Err(broken) => broken,
                },
            };
            return Err(Unverified::Broken { first, broken });
        }
    }
}

const COMPARE_HINT: &str = "compare the entries with the lines that the server logged (`server.audit.log`)";

async fn prune(context: &Context<'_>, signals: &Signals, keep: Duration, auto_approve: bool) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    if keep < CONFIRM_BELOW && !auto_approve {
        let question = "Do you really want to remove entries that are that young?\n  They are the only record of who changed what.";
        context.ui.confirm(question, "keep more with `--keep 400d`, or pass `--auto-approve`")?;
    }
    let store = store_for_changes(&settings).await?;
    signals.begin_changes();
    let removed = store.prune_audit(keep).await?;
    context.ui.print(&format!("entries removed: {removed}\n"))?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use std::cell::RefCell;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use terrace_engine::store::{AuditEntry, AuditOutcome, AuditPage, StoreError};
    use terrace_state::{ManualClock, in_memory};

    /// A log that loses its oldest entries between pages.
    struct Pruned {
        log: Arc<dyn ServerStore>,
        clock: Arc<ManualClock>,
        pages: AtomicUsize,
        /// Numbers of pages after which entries are pruned.
        at: &'static [usize],
    }

    #[async_trait]
    impl AuditLog for Pruned {
        async fn audit(&self, entries: Vec<AuditEntry>) -> Result<u64, StoreError> {
            self.log.audit(entries).await
        }

        async fn audit_page(&self, after: u64, limit: usize) -> Result<AuditPage, StoreError> {
            let page = self.log.audit_page(after, limit).await;
            if self.at.contains(&self.pages.fetch_add(1, Ordering::Relaxed)) {
                self.clock.advance(Duration::from_secs(1));
                self.log.prune_audit(Duration::ZERO).await?;
            }
            page
        }

        async fn prune_audit(&self, keep: Duration) -> Result<u64, StoreError> {
            self.log.prune_audit(keep).await
        }
    }

    async fn verified(at: &'static [usize]) -> (Result<u64, String>, Vec<u64>) {
        let clock = Arc::new(ManualClock::at(Timestamp::UNIX_EPOCH));
        let store = in_memory(Arc::<ManualClock>::clone(&clock)).unwrap();
        let log = Pruned { log: store, clock, pages: AtomicUsize::new(0), at };
        for _ in 0..9 {
            log.audit(vec![AuditEntry::new("ada", "apply", AuditOutcome::Done)]).await.unwrap();
        }
        let printed = RefCell::new(Vec::new());
        let print = |links: &[AuditLink]| {
            printed.borrow_mut().extend(links.iter().map(|link| link.number));
            Ok(())
        };
        let end = ChainReader { log: &log, page: 3, printed: 0 }.verify(print).await;
        (
            end.map(|end| end.map_or(0, |end| end.number)).map_err(|failure| failure.message.unwrap_or_default()),
            printed.into_inner(),
        )
    }

    #[tokio::test]
    async fn verification_survives_a_prune_while_it_reads() {
        assert_eq!(verified(&[]).await, (Ok(9), (1..=9).collect()));
        // Only the entry of the prune remains.
        assert_eq!(verified(&[0]).await, (Ok(10), vec![1, 2, 3, 10]));
        assert_eq!(verified(&[1]).await, (Ok(10), vec![1, 2, 3, 4, 5, 6, 10]));
    }
}
