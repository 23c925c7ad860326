//! Decisions that every store makes alike.

use crate::clock::later;
use crate::columns::ReadColumns;
use crate::misuse::Misuse;
use crate::values;
use jiff::Timestamp;
use std::time::Duration;
use terrace_store::address::{Address, ComponentKey, InstanceKey, StackId};
use terrace_store::{
    Enqueued, Generation, Lease, LeaseInfo, LeaseRequest, NewRequest, OperationRow, OperationStatus, OrderKey, Read,
    Row, Selection, StackRead, StaleRead, StoreError,
};
use uuid::Uuid;

/// The most entries of the audit log that one transaction prunes.
pub(crate) const AUDIT_BATCH: usize = 10_000;

/// After this time past its back-off, a released request should have been claimed, if any worker runs.
const OVERDUE: Duration = Duration::from_secs(60);

/// The end of a lease or claim, and the state of its process.
pub(crate) struct Term<F> {
    pub(crate) expires: Timestamp,
    /// The process has certainly ended.
    pub(crate) is_gone: bool,
    /// The process certainly runs and may still renew an expired lease: the clock may have jumped.
    pub(crate) may_be_renewed: F,
}

#[cfg(feature = "postgres")]
impl Term<fn() -> bool> {
    /// The term of a process on any machine.
    pub(crate) fn until(expires: Timestamp) -> Self {
        Self { expires, is_gone: false, may_be_renewed: || false }
    }
}

impl<F: FnOnce() -> bool> Term<F> {
    /// True while a lease blocks other operations, and a claim blocks other workers.
    pub(crate) fn lasts(self, now: Timestamp) -> bool {
        !self.is_gone && (self.expires > now || (self.may_be_renewed)())
    }
}

/// True if a held lease blocks a request for it. A process runs an operation once at a time, so an earlier run of the
/// same operation in this process has ended without releasing its lease. A run in another process may still be active.
pub(crate) fn blocks(held: &LeaseInfo, is_of_this_process: bool, request: &LeaseRequest) -> bool {
    !(is_of_this_process && held.operation == request.operation)
}

/// Fails unless the lease is held as it was granted. `found` is the stored id and fence.
pub(crate) fn check_fence(lease: &Lease, found: Option<(Option<&str>, u64)>) -> Result<(), StoreError> {
    match found {
        Some((Some(id), fence)) if id == lease.id && fence == lease.fence => Ok(()),
        _ => Err(lost(lease)),
    }
}

/// Fails if the lease has expired, even without a successor. An expired lease can record outcomes, but no new step.
pub(crate) fn check_term(lease: &Lease, expires: Option<Timestamp>, now: Timestamp) -> Result<(), StoreError> {
    if expires.is_some_and(|expires| expires > now) { Ok(()) } else { Err(lost(lease)) }
}

fn lost(lease: &Lease) -> StoreError {
    StoreError::LeaseLost { stack: lease.stack.clone(), component: lease.component.clone() }
}

/// The lease that covers a row: the one on its component or, for a shared row, on the row itself.
pub(crate) fn covering_lease<'a>(leases: &'a [Lease], row: &Row) -> Option<&'a Lease> {
    let address = ComponentKey::from(row.address.to_string());
    let of_stack = || leases.iter().filter(|lease| lease.stack == row.stack);
    of_stack()
        .find(|lease| lease.component == address)
        .or_else(|| of_stack().find(|lease| lease.component == row.address.component))
}

/// The worker of a running operation, as far as the store knows.
pub(crate) struct Worker<F> {
    pub(crate) has_live_lease: bool,
    /// It has held leases. Without them, its process may just have started.
    pub(crate) has_held_leases: bool,
    /// The term of the claim on its request, if any.
    pub(crate) claim: Option<Term<F>>,
    /// A worker holds the claim. Otherwise it was released, and the term is its back-off.
    pub(crate) is_claimed: bool,
    /// Its process has certainly ended.
    pub(crate) is_gone: bool,
}

impl<F: FnOnce() -> bool> Worker<F> {
    /// True if no process works on the operation, and none will continue it.
    pub(crate) fn has_abandoned(self, status: OperationStatus, now: Timestamp) -> bool {
        let is_taken = self.claim.is_some_and(|claim| match self.is_claimed {
            true => claim.lasts(now),
            // A released request waits for its next claim.
            false => later(claim.expires, OVERDUE) > now,
        });
        let has_begun = self.has_held_leases || self.is_gone;
        status == OperationStatus::Running && !self.has_live_lease && !is_taken && has_begun
    }
}

/// The answer to a call whose idempotency key is known for the operation with that digest.
pub(crate) fn answer_to_known_key(request: &NewRequest, operation: Uuid, digest: &str) -> Enqueued {
    if request.has_same_content(digest) { Enqueued::Same(operation) } else { Enqueued::KeyTaken }
}

/// The newest open request that a new one has to wait for.
pub(crate) struct Newest {
    /// The number of its operation.
    pub(crate) number: i64,
    pub(crate) operation: Uuid,
    pub(crate) order: OrderKey,
    pub(crate) digest: String,
    /// A caller cancelled it.
    pub(crate) is_to_stop: bool,
}

impl Newest {
    /// Reads its columns: order, number, id, digest, cancellation.
    pub(crate) fn read<C: ReadColumns>(columns: &mut C) -> Result<Self, C::Error> {
        Ok(Self {
            order: columns.order()?,
            number: columns.count()?,
            operation: columns.uuid()?,
            digest: columns.text()?,
            is_to_stop: columns.flag()?,
        })
    }

    /// True if it answers a new request, which is then not queued.
    pub(crate) fn answers(&self, request: &NewRequest) -> bool {
        self.order == request.order && request.has_same_content(&self.digest) && !self.is_to_stop
    }
}

/// True if pruning removes an operation. An abandoned operation has no end, so its start counts.
pub(crate) fn is_old(operation: &OperationRow, moment: Timestamp) -> bool {
    match operation.ended_at {
        Some(ended_at) => ended_at < moment,
        None => operation.is_abandoned && operation.started_at < moment,
    }
}

/// True if the address belongs to the selection.
pub(crate) fn selects(selection: &Selection, address: &Address) -> bool {
    match selection {
        Selection::All => true,
        Selection::Components(components) => components.contains(&address.component),
        Selection::Addresses(addresses) => addresses.contains(address),
    }
}

/// The error of a write that expected another generation of a row.
pub(crate) fn stale(
    (stack, address, deposed): (&StackId, &Address, Option<&str>),
    expected: Generation,
    now: Generation,
) -> StoreError {
    let deposed = deposed.map(str::to_owned);
    let read = Read { stack: stack.clone(), address: address.clone(), deposed, generation: expected };
    StoreError::Stale(vec![StaleRead { read, now }])
}

/// True for the pseudo-stack of shared objects.
pub(crate) fn is_shared(stack: &StackId) -> bool {
    *stack == StackId::shared(&stack.environment)
}

/// All instances of a resource, as a dependency.
pub(crate) fn all_instances(address: &Address) -> Address {
    Address { key: Some(InstanceKey::All), ..address.clone() }
}

/// The bounds of the printed addresses of a resource's instances; the second one is excluded.
pub(crate) fn instance_bounds(address: &Address) -> Result<(String, String), Misuse> {
    let single = values::address(&Address { key: None, ..address.clone() })?;
    // All printed addresses of instances sort between the bracket and the next character.
    Ok((format!("{single}["), format!("{single}\\")))
}

/// The dependencies that a dependent inherits from a forgotten row. Rows of any stack may depend on a shared row, so they
/// inherit only its shared dependencies.
pub(crate) fn inherited(dependencies: Vec<Address>, of: &StackId) -> Vec<Address> {
    let is_shared = is_shared(of);
    dependencies.into_iter().filter(|address| !is_shared || address.is_shared()).collect()
}

/// The dependencies of the row `own` after `target` was replaced by others.
pub(crate) fn redirected(
    dependencies: &[Address],
    own: &Address,
    target: &Address,
    replacement: &[Address],
) -> Vec<Address> {
    let replaced = |known: &Address| if known == target { replacement.to_vec() } else { vec![known.clone()] };
    let mut redirected: Vec<Address> = dependencies.iter().flat_map(replaced).collect();
    redirected.sort();
    redirected.dedup();
    redirected.retain(|address| address != own);
    redirected
}

/// The replacement of a dependency on all instances after one moved; the dependency stays while instances are left.
pub(crate) fn after_move(block: &Address, to: &Address, is_left: bool) -> Vec<Address> {
    if is_left { vec![block.clone(), to.clone()] } else { vec![to.clone()] }
}

/// The reads of a component after objects of `from` moved to another; `None` if they stay the same.
pub(crate) fn reads_after_move(mut reads: Vec<StackRead>, from: &StackRead, to: &StackRead) -> Option<Vec<StackRead>> {
    if !reads.contains(from) || reads.contains(to) {
        return None;
    }
    reads.push(to.clone());
    reads.sort();
    Some(reads)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use terrace_store::{Body, NewOperation};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    fn addresses(texts: &[&str]) -> Vec<Address> {
        texts.iter().map(|text| address(text)).collect()
    }

    fn stack() -> StackId {
        StackId::new("demo", "local")
    }

    fn lease(component: &str) -> Lease {
        Lease { id: "id".to_owned(), stack: stack(), component: component.into(), fence: 3 }
    }

    #[test]
    fn lease_is_live_until_its_end_or_that_of_its_process() {
        let lasts = |is_gone, may_be_renewed, now| {
            Term { expires: at(10), is_gone, may_be_renewed: || may_be_renewed }.lasts(at(now))
        };
        assert!(lasts(false, false, 9) && !lasts(false, false, 10));
        assert!(lasts(false, true, 10), "the clock may have jumped");
        assert!(!lasts(true, true, 9), "its process has ended");
    }

    #[test]
    fn lease_of_an_earlier_run_in_this_process_does_not_block() {
        let operation = Uuid::from_u128(1);
        let (holder, term, components) = ("jane".to_owned(), Duration::ZERO, BTreeSet::new());
        let request = LeaseRequest { components, operation, holder: holder.clone(), term };
        let (since, expires, component) = (at(0), at(10), "api".into());
        let held = LeaseInfo { id: "id".to_owned(), stack: stack(), component, holder, operation, since, expires };
        assert!(!blocks(&held, true, &request) && blocks(&held, false, &request));
        assert!(blocks(&held, true, &LeaseRequest { operation: Uuid::from_u128(2), ..request }));
    }

    #[test]
    fn lease_is_lost_with_another_id_or_fence_or_without_a_holder() {
        let lease = lease("api");
        assert!(check_fence(&lease, Some((Some("id"), 3))).is_ok());
        for found in [Some((Some("id"), 4)), Some((Some("other"), 3)), Some((None, 3)), None] {
            assert!(matches!(check_fence(&lease, found), Err(StoreError::LeaseLost { .. })), "{found:?}");
        }
        assert!(check_term(&lease, Some(at(10)), at(9)).is_ok());
        assert!(check_term(&lease, Some(at(10)), at(10)).is_err() && check_term(&lease, None, at(0)).is_err());
    }

    #[test]
    fn shared_row_is_covered_by_its_own_lease_first() {
        let row = Row { stack: stack(), address: Address::shared("local_value", "a"), ..values::blank() };
        let leases = [lease(&row.address.component), lease(&row.address.to_string())];
        assert_eq!(covering_lease(&leases, &row), leases.get(1));
        assert_eq!(covering_lease(&leases[..1], &row), leases.first());
        assert_eq!(covering_lease(&[lease("other")], &row), None);
    }

    #[test]
    fn operation_is_abandoned_without_lease_claim_and_process() {
        let is_abandoned = |has_live_lease, has_held_leases, is_gone, claim: Option<(i64, bool)>, now| {
            let is_claimed = claim.is_some_and(|(_, is_claimed)| is_claimed);
            let claim = claim.map(|(expires, _)| Term { expires: at(expires), is_gone, may_be_renewed: || false });
            let worker = Worker { has_live_lease, has_held_leases, claim, is_claimed, is_gone };
            worker.has_abandoned(OperationStatus::Running, at(now))
        };
        assert!(is_abandoned(false, true, false, None, 0));
        assert!(!is_abandoned(true, true, false, None, 0), "it works");
        assert!(!is_abandoned(false, false, false, None, 0), "it has not taken its leases yet");
        assert!(is_abandoned(false, false, true, None, 0), "its process has ended before");
        assert!(
            !is_abandoned(false, true, false, Some((10, true)), 9)
                && is_abandoned(false, true, false, Some((10, true)), 10)
        );
        assert!(!is_abandoned(false, true, false, Some((10, false)), 69), "a worker claims it again");
        assert!(is_abandoned(false, true, false, Some((10, false)), 70), "no worker runs");
    }

    fn request(order: &str) -> NewRequest {
        let operation =
            NewOperation { id: Uuid::from_u128(1), kind: String::new(), stacks: Vec::new(), actor: String::new() };
        NewRequest {
            operation,
            order: OrderKey::of_text(order),
            digest: "one".to_owned(),
            older_digests: vec!["older".to_owned()],
            body: Body::default(),
            idempotency: None,
            can_wait: false,
            quota: None,
        }
    }

    #[test]
    fn known_key_answers_the_same_content_only() {
        let operation = Uuid::from_u128(1);
        let answer = |digest| answer_to_known_key(&request(""), operation, digest);
        assert_eq!(["one", "older"].map(answer), [Enqueued::Same(operation), Enqueued::Same(operation)]);
        assert_eq!(answer("two"), Enqueued::KeyTaken);
    }

    #[test]
    fn newest_request_answers_the_same_content_in_the_same_order_only() {
        let newest = |order, digest: &str, is_to_stop| {
            let (number, operation) = (1, Uuid::from_u128(1));
            let newest =
                Newest { number, operation, order: OrderKey::of_text(order), digest: digest.to_owned(), is_to_stop };
            newest.answers(&request("api"))
        };
        assert!(newest("api", "one", false) && newest("api", "older", false));
        assert!(!newest("", "one", false), "it changes the whole stack");
        assert!(!newest("api", "two", false) && !newest("api", "one", true));
    }

    #[test]
    fn ended_and_abandoned_operations_are_pruned() {
        let is_old = |ended_at: Option<i64>, is_abandoned| {
            let operation = OperationRow {
                id: Uuid::nil(),
                kind: String::new(),
                stacks: Vec::new(),
                actor: String::new(),
                status: OperationStatus::Running,
                is_abandoned,
                is_gone: false,
                is_requested: false,
                started_at: at(5),
                ended_at: ended_at.map(at),
                summary: String::new(),
                cancelled_by: None,
            };
            is_old(&operation, at(10))
        };
        assert!(is_old(Some(9), false) && !is_old(Some(10), false));
        assert!(is_old(None, true) && !is_old(None, false));
    }

    #[test]
    fn selection_of_components_or_addresses() {
        let one = address("api/local_value.a");
        let components = |key: &str| Selection::Components([key.into()].into());
        assert!(selects(&Selection::All, &one));
        assert!(selects(&components("api"), &one) && !selects(&components("db"), &one));
        assert!(selects(&Selection::Addresses([one.clone()].into()), &one));
        assert!(!selects(&Selection::Addresses([address("local_value.a")].into()), &one));
    }

    #[test]
    fn printed_instances_are_within_their_bounds() {
        let (first, end) = instance_bounds(&address("local_value.a[*]")).unwrap();
        let is_within = |text: &str| first.as_str() <= text && text < end.as_str();
        assert!(is_within("local_value.a[\"k\"]") && is_within("local_value.a[0]"));
        assert!(!is_within("local_value.a") && !is_within("local_value.ab[0]"));
    }

    #[test]
    fn dependents_of_a_shared_row_inherit_shared_dependencies() {
        let dependencies = || vec![Address::shared("local_value", "a"), address("local_value.own")];
        assert_eq!(inherited(dependencies(), &stack()), dependencies());
        assert_eq!(inherited(dependencies(), &StackId::shared("local")), dependencies()[..1]);
    }

    #[test]
    fn dependencies_follow_a_move_without_duplicates() {
        let [own, block, to] = ["local_value.own", "local_value.a[*]", "local_value.b"].map(address);
        let dependencies = addresses(&["local_value.a[*]", "local_value.b"]);
        let redirected = |replacement: &[Address]| redirected(&dependencies, &own, &block, replacement);
        assert_eq!(redirected(&after_move(&block, &to, true)), dependencies);
        assert_eq!(redirected(&after_move(&block, &to, false)), addresses(&["local_value.b"]));
        assert_eq!(redirected(std::slice::from_ref(&own)), addresses(&["local_value.b"]), "no row depends on itself");
        assert_eq!(all_instances(&address("local_value.a[0]")), block);
    }

    #[test]
    fn readers_follow_objects_of_a_component_once() {
        let read = |component: &str| StackRead { stack: stack(), component: component.into() };
        let (from, to) = (read("db"), read("core"));
        assert_eq!(reads_after_move(vec![from.clone()], &from, &to), Some(vec![to.clone(), from.clone()]));
        assert_eq!(reads_after_move(vec![to.clone(), from.clone()], &from, &to), None);
        assert_eq!(reads_after_move(vec![read("web")], &from, &to), None);
    }
}
