//! The audit log of changes and refused calls. Every entry has the hash of the entry before it, so that [`Verifier`] finds
//! an entry that was changed or removed later.

use super::{StoreError, Usage};
use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use std::time::Duration;
use terrace_language::digest::sha256;
use uuid::Uuid;

/// The hash before the first entry.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// The action of an entry that replaces pruned entries.
pub const PRUNED: &str = "audit prune";

/// The audit log of a store.
#[async_trait]
pub trait AuditLog: Send + Sync {
    /// Appends entries to the chain, in order, in one durable transaction. An entry [of an event](AuditEntry::of_event)
    /// that the chain has already is skipped. Returns the number of appended entries.
    async fn audit(&self, entries: Vec<AuditEntry>) -> Result<u64, StoreError>;

    /// Returns the entries after a number, oldest first, at most `limit`, with the end of the chain at the same moment.
    async fn audit_page(&self, after: u64, limit: usize) -> Result<AuditPage, StoreError>;

    /// Removes the entries that are older than `keep` by the store's clock, in transactions of bounded size. Each
    /// transaction appends an entry with the number and the hash of the last removed entry. Returns the number of
    /// removed entries.
    async fn prune_audit(&self, keep: Duration) -> Result<u64, StoreError>;
}

/// The outcome of an audited call or command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditOutcome {
    /// The change is queued; the operation records its end.
    Accepted,
    /// The change succeeded.
    Done,
    /// The caller lacks the permission.
    Refused,
    /// The call is invalid, or the change failed.
    Failed,
}

impl AuditOutcome {
    /// The word of the outcome.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// An entry of the audit log. Its fields contain no secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditEntry {
    /// The id of the entry, which stays the same if the entry is written again.
    #[serde(skip)]
    pub id: Uuid,
    /// The caller or user: the name of a token, or `jane@host (pid 4711)`.
    pub actor: String,
    /// The action, such as `provision`, `apply` or `state rm`.
    pub action: String,
    /// The outcome.
    pub outcome: AuditOutcome,
    /// The largest scope of the caller's token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The affected stacks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stacks: Vec<String>,
    /// Another target: a route, a lease, an address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// The call allows data loss.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub consents_to_data_loss: bool,
    /// The operation of the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<Uuid>,
    /// The status of the response, or the exit code of a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The `X-Request-Id` of the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The network address of the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// Number of similar refused calls without their own entry.
    #[serde(skip_serializing_if = "is_zero")]
    pub suppressed: u64,
    /// The last pruned entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anchor: Option<Anchor>,
    /// The use of data pipelines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// The last pruned entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl AuditEntry {
    /// An entry without details.
    #[must_use]
    pub fn new(actor: impl Into<String>, action: impl Into<String>, outcome: AuditOutcome) -> Self {
        Self {
            id: Uuid::now_v7(),
            actor: actor.into(),
            action: action.into(),
            outcome,
            scope: None,
            stacks: Vec::new(),
            target: String::new(),
            consents_to_data_loss: false,
            operation: None,
            status: None,
            request_id: None,
            peer: None,
            suppressed: 0,
            anchor: None,
            usage: None,
        }
    }

    /// The same entry for an event that several processes may report, with an id that follows from the name of the
    /// event (UUID version 8, RFC 9562).
    #[must_use]
    pub fn of_event(self, name: &str) -> Self {
        let digest = sha256(name);
        let half = digest.get(..32).and_then(|half| u128::from_str_radix(half, 16).ok()).unwrap_or_default();
        Self { id: uuid::Builder::from_custom_bytes(half.to_be_bytes()).into_uuid(), ..self }
    }

    /// True if another process may have written the same entry.
    #[must_use]
    pub const fn is_of_event(&self) -> bool {
        self.id.get_version_num() == 8
    }

    /// The entry that replaces all pruned entries.
    #[must_use]
    pub fn pruned(number: u64, hash: impl Into<String>) -> Self {
        let anchor = Some(Anchor { number, hash: hash.into() });
        Self { anchor, ..Self::new("terrace", PRUNED, AuditOutcome::Done) }
    }
}

/// A stored entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditLink {
    /// The number, from 1, without gaps.
    pub number: u64,
    /// The id of the entry.
    pub id: Uuid,
    /// When it was written, by the store's clock.
    pub at: Timestamp,
    /// The entry as canonical JSON: sorted keys, no blanks. It contains `number`, `at` and the previous hash as `previous`.
    pub entry: String,
    /// SHA-256 of that text.
    pub hash: String,
}

impl AuditLink {
    /// Builds the link after the one with that number and hash.
    ///
    /// # Errors
    /// When the entry cannot be serialised as JSON.
    pub fn after(number: u64, previous: &str, at: Timestamp, entry: &AuditEntry) -> serde_json::Result<Self> {
        let mut fields = match serde_json::to_value(entry)? {
            Json::Object(fields) => fields,
            _ => Map::new(),
        };
        // Cut to the precision that every database stores.
        let at = Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at);
        let number = number + 1;
        fields.insert("number".to_owned(), number.into());
        fields.insert("at".to_owned(), at.to_string().into());
        fields.insert("previous".to_owned(), previous.into());
        let entry_text = canonical(fields)?;
        Ok(Self { number, id: entry.id, at, hash: sha256(&entry_text), entry: entry_text })
    }

    /// The entry with its hash, as a line of an export.
    ///
    /// # Errors
    /// When the entry is not a JSON object.
    pub fn line(&self) -> serde_json::Result<String> {
        let mut fields: Map<String, Json> = serde_json::from_str(&self.entry)?;
        fields.insert("hash".to_owned(), self.hash.as_str().into());
        serde_json::to_string(&fields)
    }
}

/// JSON with sorted keys.
fn canonical(fields: Map<String, Json>) -> serde_json::Result<String> {
    let mut value = Json::Object(fields);
    value.sort_all_objects();
    serde_json::to_string(&value)
}

/// A part of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditPage {
    /// The entries, oldest first.
    pub links: Vec<AuditLink>,
    /// The number and the hash of the last written entry; `None` for an empty log.
    pub head: Option<Anchor>,
}

/// Verifies a chain, starting at its first entry.
#[derive(Debug, Default)]
pub struct Verifier {
    last: Option<Anchor>,
    /// The entry before the first, if it was pruned.
    start: Option<Anchor>,
    is_anchored: bool,
}

/// The first broken place of a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the audit log is broken at entry {number}: {reason}")]
pub struct BrokenChain {
    /// The number of the entry.
    pub number: u64,
    /// The kind of damage.
    pub reason: &'static str,
}

impl Verifier {
    /// Checks the next entry.
    ///
    /// # Errors
    /// When the entry was changed, or does not follow the entry before.
    pub fn take(&mut self, link: &AuditLink) -> Result<(), BrokenChain> {
        #[derive(Deserialize)]
        struct Fields {
            number: u64,
            at: Timestamp,
            previous: String,
            anchor: Option<Anchor>,
        }
        let broken = |reason| BrokenChain { number: link.number, reason };
        if sha256(&link.entry) != link.hash {
            return Err(broken("its text was changed"));
        }
        let fields: Fields = serde_json::from_str(&link.entry).map_err(|_| broken("it is not an entry"))?;
        if fields.number != link.number {
            return Err(broken("its number was changed"));
        }
        if fields.at != link.at {
            return Err(broken("its time was changed"));
        }
        let before = Anchor { number: link.number.saturating_sub(1), hash: fields.previous };
        match &self.last {
            Some(last) if last.number != before.number => {
                return Err(BrokenChain { number: last.number + 1, reason: "it is missing" });
            }
            Some(last) if last.hash != before.hash => {
                return Err(broken("the entry before it was changed"));
            }
            None if before.number == 0 && before.hash != GENESIS => return Err(broken("it is not the first one")),
            None if before.number > 0 => self.start = Some(before),
            Some(_) | None => {}
        }
        self.is_anchored |= fields.anchor.is_some() && fields.anchor == self.start;
        self.last = Some(Anchor { number: link.number, hash: link.hash.clone() });
        Ok(())
    }

    /// Checks the end of the chain.
    ///
    /// # Errors
    /// When entries are missing at the beginning or at the end.
    pub fn finish(self, head: Option<&Anchor>) -> Result<u64, BrokenChain> {
        if let (Some(start), false) = (&self.start, self.is_anchored) {
            return Err(BrokenChain {
                number: start.number,
                reason: "it is missing, and no entry records its pruning",
            });
        }
        let (last, head) = (self.last.as_ref(), head);
        match (last, head) {
            (last, head) if last == head => Ok(last.map_or(0, |last| last.number)),
            (Some(last), Some(head)) if head.number == last.number => {
                Err(BrokenChain { number: last.number, reason: "its hash was changed" })
            }
            (last, _) => Err(BrokenChain {
                number: last.map_or(1, |last| last.number + 1),
                reason: "entries at the end are missing",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(count: u64) -> Vec<AuditLink> {
        let mut links: Vec<AuditLink> = Vec::new();
        for number in 0..count {
            let previous = links.last().map_or(GENESIS, |link| &link.hash).to_owned();
            let entry = AuditEntry::new(format!("caller {number}"), "apply", AuditOutcome::Accepted);
            links.push(AuditLink::after(number, &previous, Timestamp::UNIX_EPOCH, &entry).unwrap());
        }
        links
    }

    fn verified(links: &[AuditLink], head: &AuditLink) -> Result<u64, BrokenChain> {
        let mut verifier = Verifier::default();
        links.iter().try_for_each(|link| verifier.take(link))?;
        verifier.finish(Some(&Anchor { number: head.number, hash: head.hash.clone() }))
    }

    #[test]
    fn chain_is_whole_until_an_entry_is_changed_removed_or_moved() {
        let links = chain(5);
        let head = &links[4];
        assert_eq!(verified(&links, head), Ok(5));
        assert_eq!(Verifier::default().finish(None), Ok(0));
        let number = |links: &[AuditLink]| verified(links, head).unwrap_err().number;
        for at in 0..5 {
            let mut changed = links.clone();
            changed[at].entry = changed[at].entry.replace("caller", "nobody");
            assert_eq!(number(&changed), at as u64 + 1, "changed");
            changed[at].hash = sha256(&changed[at].entry);
            assert_eq!(number(&changed), (at as u64 + 2).min(5), "changed, with a hash that fits");
            let mut removed = links.clone();
            removed.remove(at);
            assert_eq!(number(&removed), at as u64 + 1, "removed");
        }
        let mut moved = links.clone();
        moved.swap(1, 2);
        assert_eq!(number(&moved), 2);
        assert_eq!(number(&[]), 1);
    }

    #[test]
    fn pruned_chain_is_whole_if_an_entry_anchors_it() {
        let links = chain(5);
        let entry = AuditEntry::pruned(3, links[2].hash.clone());
        let anchor = AuditLink::after(5, &links[4].hash, Timestamp::UNIX_EPOCH, &entry).unwrap();
        let left = [links[3].clone(), links[4].clone(), anchor.clone()];
        assert_eq!(verified(&left, &anchor), Ok(6));
        assert_eq!(verified(&left[1..], &anchor).unwrap_err().number, 4);
        assert_eq!(verified(&links[3..], &links[4]).unwrap_err().number, 3);
    }

    #[test]
    fn id_follows_from_the_event() {
        let of = |name: &str| AuditEntry::new("ci", "run", AuditOutcome::Done).of_event(name);
        assert_eq!(of("run 1").id, of("run 1").id);
        assert_ne!(of("run 1").id, of("run 2").id);
        assert!(of("run 1").is_of_event() && !AuditEntry::new("ci", "run", AuditOutcome::Done).is_of_event());
    }

    #[test]
    fn line_of_an_export_has_all_that_a_check_needs() {
        let link = &chain(1)[0];
        let mut fields: Map<String, Json> = serde_json::from_str(&link.line().unwrap()).unwrap();
        let hash = fields.remove("hash").unwrap();
        assert_eq!(hash, sha256(canonical(fields).unwrap()));
    }
}
