//! Audit log of the store in memory.

use super::{State, refused};
use crate::AUDIT_BATCH;
use jiff::Timestamp;
use terrace_engine::store::{Anchor, AuditEntry, AuditLink, AuditPage, GENESIS, StoreError};

impl State {
    pub(super) fn audit(&mut self, entries: &[AuditEntry], now: Timestamp) -> Result<(), StoreError> {
        for entry in entries {
            let head = self.audit_head().unwrap_or_else(|| Anchor { number: 0, hash: GENESIS.to_owned() });
            let link = AuditLink::after(head.number, &head.hash, now, entry)
                .map_err(|error| refused(format!("cannot write an entry of the audit log: {error}")))?;
            self.audit.insert(link.number, link);
        }
        Ok(())
    }

    pub(super) fn audit_page(&self, after: u64, limit: usize) -> AuditPage {
        let links = self.audit.range(after.saturating_add(1)..).take(limit).map(|(_, link)| link.clone()).collect();
        AuditPage { links, head: self.audit_head() }
    }

    /// Prunes the first entries up to a number, as far as they are older than a moment.
    pub(super) fn prune_audit(&mut self, until: u64, moment: Timestamp, now: Timestamp) -> Result<u64, StoreError> {
        let is_old = |link: &&AuditLink| link.number <= until && link.at < moment;
        let first = self.audit.iter().map(|(_, link)| link).take(AUDIT_BATCH);
        let old: Vec<AuditLink> = first.take_while(is_old).cloned().collect();
        let Some(last) = old.last() else { return Ok(0) };
        for link in &old {
            self.audit.remove(&link.number);
        }
        let anchor = AuditEntry::pruned(last.number, last.hash.clone());
        // The end of the chain may be among the removed entries.
        let head = self.audit_head().unwrap_or(Anchor { number: last.number, hash: last.hash.clone() });
        let link = AuditLink::after(head.number, &head.hash, now, &anchor)
            .map_err(|error| refused(format!("cannot write an entry of the audit log: {error}")))?;
        self.audit.insert(link.number, link);
        Ok(old.len() as u64)
    }

    pub(super) fn audit_head(&self) -> Option<Anchor> {
        let (_, last) = self.audit.iter().next_back()?;
        Some(Anchor { number: last.number, hash: last.hash.clone() })
    }
}
