//! Requests: queued once, run by one worker at a time, ended once.

use super::fixture::{Fixture, claimant, demo, intent, row};
use crate::clock::Clock;
use std::time::Duration;
use terrace_store::address::StackId;
use terrace_store::{
    Cancelled, Enqueued, NewOperation, NewRequest, OperationStatus, OrderKey, Record, RequestClaim, RequestEnd,
    RequestQuota, ResealedRequest, StoreError, Write,
};
use uuid::Uuid;

const TERM: Duration = Duration::from_secs(30);
const MANY: usize = 1_000;

fn request_for(component: &str, digest: &str) -> NewRequest {
    let stacks = vec![demo()];
    let operation = NewOperation { id: Uuid::now_v7(), kind: "provision".to_owned(), stacks, actor: "jane".to_owned() };
    NewRequest {
        operation,
        order: OrderKey::of_text(component),
        digest: digest.to_owned(),
        older_digests: Vec::new(),
        body: format!("{{\"{digest}\":1}}").into(),
        idempotency: None,
        can_wait: false,
        quota: None,
    }
}

impl Fixture {
    pub(super) async fn enqueue(&self, component: &str, digest: &str) -> Uuid {
        let request = request_for(component, digest);
        assert!(is_queued(self.store.enqueue(&request, MANY).await.unwrap()));
        request.operation.id
    }

    pub(super) async fn claim(&self) -> Option<RequestClaim> {
        self.claim_as("jane@host").await
    }

    /// Claims as the process with that name.
    async fn claim_as(&self, name: &str) -> Option<RequestClaim> {
        self.store.claim(&claimant(name), TERM).await.unwrap()
    }

    /// Claims as the process with that name, after every claim has expired.
    async fn claim_expired(&self, name: &str) -> RequestClaim {
        self.clock.advance(TERM);
        self.claim_as(name).await.unwrap()
    }

    async fn claimed(&self) -> Option<Uuid> {
        self.claim().await.map(|claim| claim.operation)
    }

    async fn status(&self, operation: Uuid) -> OperationStatus {
        self.store.operation(operation).await.unwrap().unwrap().0.status
    }
}

fn completed() -> RequestEnd {
    let (status, summary) = (OperationStatus::Completed, "1 added".to_owned());
    RequestEnd { status, summary, result: r#"{"info":{}}"#.to_owned(), keeps_body: false }
}

fn is_queued(enqueued: Enqueued) -> bool {
    matches!(enqueued, Enqueued::Queued { .. })
}

fn is_lost<T>(result: &Result<T, StoreError>, operation: Uuid) -> bool {
    matches!(result, Err(StoreError::ClaimLost(lost)) if *lost == operation)
}

/// A request waits, is claimed with its body, runs, and ends with its result.
pub async fn request_is_queued_claimed_and_finished(fixture: Fixture) {
    let now = fixture.store.now().await.unwrap();
    assert_eq!(now, fixture.clock.now(), "all times are from the store's clock");
    let operation = fixture.enqueue("api", "a").await;
    assert_eq!(fixture.status(operation).await, OperationStatus::Queued);
    let claim = fixture.claim().await.unwrap();
    assert_eq!((claim.operation, claim.kind.as_str(), claim.actor.as_str()), (operation, "provision", "jane"));
    assert_eq!((claim.body.expose(), claim.fence, claim.next_step), (r#"{"a":1}"#, 1, 0));
    assert!(fixture.claim().await.is_none(), "a worker has it");
    fixture.store.begin(&request_for("api", "a").operation).await.unwrap();
    let new = NewOperation { id: operation, kind: "apply".to_owned(), stacks: vec![demo()], actor: "jane".to_owned() };
    fixture.store.begin(&new).await.unwrap();
    assert_eq!(fixture.status(operation).await, OperationStatus::Running);
    let leases = fixture.granted(operation, &["api"]).await;
    let end = Record::End { operation, status: OperationStatus::Completed, summary: String::new() };
    fixture.store.commit(&leases, vec![end]).await.unwrap();
    assert_eq!(fixture.store.request(operation).await.unwrap().unwrap().result, None);
    fixture.store.finish(&claim, &RequestEnd { keeps_body: true, ..completed() }).await.unwrap();
    let (operation_row, _) = fixture.store.operation(operation).await.unwrap().unwrap();
    assert_eq!(operation_row.status, OperationStatus::Completed);
    assert_eq!((operation_row.kind.as_str(), operation_row.summary.as_str()), ("provision", "1 added"));
    assert!(operation_row.ended_at.is_some());
    let request = fixture.store.request(operation).await.unwrap().unwrap();
    assert_eq!((request.order.as_str(), request.body.expose()), ("api", r#"{"a":1}"#));
    assert_eq!(request.result.as_deref(), Some(r#"{"info":{}}"#));
    assert!(fixture.claim().await.is_none(), "it has ended");
    assert!(is_lost(&fixture.store.finish(&claim, &completed()).await, operation), "a request ends once");
    assert!(fixture.store.request(Uuid::now_v7()).await.unwrap().is_none());
    // The body is deleted if it is not needed.
    let forgotten = fixture.enqueue("api", "b").await;
    let claim = fixture.claim().await.unwrap();
    fixture.store.finish(&claim, &completed()).await.unwrap();
    assert_eq!(fixture.store.request(forgotten).await.unwrap().unwrap().body.expose(), "");
}

/// Until the newest request of its component has ended.
pub async fn equal_request_is_queued_once(fixture: Fixture) {
    let first = fixture.enqueue("api", "a").await;
    let again = |digest: &str| request_for("api", digest);
    assert_eq!(fixture.store.enqueue(&again("a"), MANY).await.unwrap(), Enqueued::Same(first));
    let claim = fixture.claim().await.unwrap();
    assert_eq!(fixture.store.enqueue(&again("a"), MANY).await.unwrap(), Enqueued::Same(first), "it runs");
    assert!(
        is_queued(fixture.store.enqueue(&request_for("db", "a"), MANY).await.unwrap()),
        "it is for another component"
    );
    let second = fixture.enqueue("api", "b").await;
    // An intermediate request will be undone by the next one.
    let third = fixture.enqueue("api", "a").await;
    assert_eq!(fixture.store.enqueue(&again("a"), MANY).await.unwrap(), Enqueued::Same(third));
    assert!(first < second && second < third);
    fixture.store.finish(&claim, &completed()).await.unwrap();
    assert_eq!(fixture.store.enqueue(&again("a"), MANY).await.unwrap(), Enqueued::Same(third));
    // A cancelled request does not stand for later ones.
    let of_another = fixture.claim().await.unwrap();
    let claim = fixture.claim().await.unwrap();
    assert!(of_another.operation < second);
    fixture.store.finish(&claim, &completed()).await.unwrap();
    assert_eq!((claim.operation, fixture.claimed().await), (second, Some(third)));
    assert_eq!(fixture.store.request_cancel(third, "jane").await.unwrap(), Some(Cancelled::Notified));
    let fourth = fixture.enqueue("api", "a").await;
    assert!(fourth > third);
    assert_eq!(fixture.store.enqueue(&again("a"), MANY).await.unwrap(), Enqueued::Same(fourth));
}

/// The intermediate request may be for more, or for less.
pub async fn request_is_queued_again_after_one_for_the_stack(fixture: Fixture) {
    for (wide, narrow) in [("", "api"), ("db", "")] {
        let first = fixture.enqueue(wide, "make").await;
        let between = fixture.enqueue(narrow, "remove").await;
        let again = fixture.enqueue(wide, "make").await;
        assert!(first < between && between < again);
        assert_eq!(fixture.store.enqueue(&request_for(wide, "make"), MANY).await.unwrap(), Enqueued::Same(again));
        for expected in [first, between, again] {
            let claim = fixture.claim().await.unwrap();
            assert_eq!(claim.operation, expected);
            fixture.store.finish(&claim, &completed()).await.unwrap();
        }
    }
}

/// The caller learns which request has to end before, even one for the whole stack.
pub async fn queued_request_names_its_predecessor(fixture: Fixture) {
    let queued = async |component: &str, digest: &str| {
        let request = request_for(component, digest);
        let enqueued = fixture.store.enqueue(&request, MANY).await.unwrap();
        assert!(is_queued(enqueued));
        let behind = if let Enqueued::Queued { behind } = enqueued { behind } else { None };
        (request.operation.id, behind)
    };
    let (first, behind) = queued("api", "a").await;
    assert_eq!(behind, None);
    let claim = fixture.claim().await.unwrap();
    assert_eq!(queued("db", "b").await.1, None, "it is for another component");
    let (second, behind) = queued("api", "c").await;
    assert_eq!(behind, Some(first), "it runs");
    let (whole, behind) = queued("", "d").await;
    assert_eq!(behind, Some(second));
    assert_eq!(queued("web", "e").await.1, Some(whole));
    let (last, behind) = queued("api", "f").await;
    assert_eq!(behind, Some(whole));
    fixture.store.finish(&claim, &completed()).await.unwrap();
    assert_eq!(queued("api", "g").await.1, Some(last));
    let elsewhere = NewOperation { stacks: vec![StackId::new("other", "local")], ..request_for("api", "a").operation };
    let elsewhere = NewRequest { operation: elsewhere, ..request_for("api", "a") };
    assert_eq!(fixture.store.enqueue(&elsewhere, MANY).await.unwrap(), Enqueued::Queued { behind: None });
}

/// Requests for other components run meanwhile; one for the whole stack concerns all its components.
pub async fn requests_of_a_component_run_in_order(fixture: Fixture) {
    let first = fixture.enqueue("api", "a").await;
    let second = fixture.enqueue("api", "b").await;
    let other = fixture.enqueue("db", "c").await;
    let whole = fixture.enqueue("", "d").await;
    let after = fixture.enqueue("web", "e").await;
    let elsewhere = NewRequest {
        operation: NewOperation { stacks: vec![StackId::new("other", "local")], ..request_for("api", "f").operation },
        ..request_for("api", "f")
    };
    fixture.store.enqueue(&elsewhere, MANY).await.unwrap();
    let claims = [fixture.claim().await.unwrap(), fixture.claim().await.unwrap(), fixture.claim().await.unwrap()];
    let claimed: Vec<Uuid> = claims.iter().map(|claim| claim.operation).collect();
    assert_eq!(claimed, [first, other, elsewhere.operation.id]);
    assert!(claims.iter().all(|claim| claim.has_waiting_requests), "others wait, whether they can run yet or not");
    assert_eq!(fixture.claimed().await, None, "{second} waits for {first}, {whole} for all, {after} for {whole}");
    for claim in claims {
        fixture.store.finish(&claim, &completed()).await.unwrap();
    }
    for (expected, has_waiting_requests) in [(second, true), (whole, true), (after, false)] {
        let claim = fixture.claim().await.unwrap();
        assert_eq!((claim.operation, claim.has_waiting_requests), (expected, has_waiting_requests));
        fixture.store.finish(&claim, &completed()).await.unwrap();
    }
}

/// A low-priority request does not count, and runs when no other one waits.
pub async fn low_priority_request_runs_last(fixture: Fixture) {
    let waits = NewRequest { can_wait: true, ..request_for("api", "a") };
    assert!(is_queued(fixture.store.enqueue(&waits, 1).await.unwrap()));
    assert_eq!(fixture.store.waiting().await.unwrap(), 0);
    let request = request_for("db", "a");
    assert!(is_queued(fixture.store.enqueue(&request, 1).await.unwrap()), "there is room for it");
    let order = [fixture.claim().await.unwrap().operation, fixture.claim().await.unwrap().operation];
    assert_eq!(order, [request.operation.id, waits.operation.id]);
}

/// With a higher fence; the former worker cannot end it any more, and step numbers continue.
pub async fn expired_claim_is_claimed_again(fixture: Fixture) {
    let operation = fixture.enqueue("api", "a").await;
    let first = fixture.claim().await.unwrap();
    let new = NewOperation { id: operation, kind: "apply".to_owned(), stacks: vec![demo()], actor: "jane".to_owned() };
    fixture.store.begin(&new).await.unwrap();
    let opened = Record::Intent(Box::new(intent(operation, 4, row("local_value.a"))));
    fixture.store.commit(&[], vec![opened]).await.unwrap();
    fixture.clock.advance(TERM / 2);
    fixture.store.renew_claim(&first, TERM).await.unwrap();
    fixture.clock.advance(TERM - Duration::from_secs(1));
    assert!(fixture.claim().await.is_none());
    fixture.clock.advance(Duration::from_secs(1));
    let second = fixture.claim().await.unwrap();
    assert_eq!((second.operation, second.fence, second.next_step), (operation, 2, 5));
    assert!(is_lost(&fixture.store.renew_claim(&first, TERM).await, operation));
    assert!(is_lost(&fixture.store.finish(&first, &completed()).await, operation));
    fixture.store.begin(&new).await.unwrap();
    fixture.store.finish(&second, &completed()).await.unwrap();
}

/// Each dead process is named once, even if another process has the claim now.
pub async fn expired_claim_counts_as_death_of_its_claimant(fixture: Fixture) {
    let operation = fixture.enqueue("api", "a").await;
    assert!(fixture.claim_as("one").await.unwrap().deaths.is_empty());
    for (name, deaths) in [("two", &["one"][..]), ("three", &["one", "two"]), ("four", &["one", "two", "three"])] {
        let claim = fixture.claim_expired(name).await;
        assert_eq!(claim.operation, operation);
        assert_eq!(claim.deaths, deaths);
    }
    // A renewed claim adds no death, nor does a claim that the same process takes again.
    fixture.clock.advance(TERM / 2);
    let again = fixture.claim_as("four").await;
    assert!(again.is_none(), "the claim has not expired");
    assert_eq!(fixture.claim_expired("four").await.deaths, ["one", "two", "three"]);
}

/// A release ends the claim of a living process.
pub async fn released_claim_counts_no_death(fixture: Fixture) {
    let operation = fixture.enqueue("api", "a").await;
    for name in ["one", "two", "three", "four"] {
        let claim = fixture.claim_as(name).await.unwrap();
        assert_eq!((claim.operation, claim.deaths.len()), (operation, 0));
        fixture.store.release_claim(&claim, Duration::from_secs(5)).await.unwrap();
        fixture.clock.advance(TERM * 2);
    }
}

/// Another process may claim them at once; the claims of other processes stay.
pub async fn claims_released_at_shutdown_count_no_death(fixture: Fixture) {
    let (first, second) = (fixture.enqueue("api", "a").await, fixture.enqueue("db", "a").await);
    let theirs = fixture.enqueue("web", "a").await;
    let one = fixture.claim_as("one").await.unwrap();
    fixture.claim_as("one").await.unwrap();
    let other = fixture.claim_as("other").await.unwrap();
    assert_eq!(other.operation, theirs);
    fixture.store.release_claims(&claimant("one")).await.unwrap();
    fixture.store.release_claims(&claimant("one")).await.unwrap();
    let mut claimed = Vec::new();
    for _ in 0..2 {
        let claim = fixture.claim_as("two").await.unwrap();
        assert!(claim.deaths.is_empty());
        claimed.push(claim.operation);
    }
    claimed.sort_unstable();
    assert_eq!(claimed, [first, second]);
    assert!(fixture.claim_as("two").await.is_none());
    assert!(is_lost(&fixture.store.finish(&one, &completed()).await, first));
    fixture.store.finish(&other, &completed()).await.unwrap();
}

/// Its claim expired while it could not reach the store.
pub async fn claimant_back_after_an_outage_is_no_death(fixture: Fixture) {
    fixture.enqueue("api", "a").await;
    fixture.claim_as("one").await.unwrap();
    assert_eq!(fixture.claim_expired("two").await.deaths, ["one"]);
    assert!(fixture.claim_as("one").await.is_none(), "`two` has the only request");
    assert_eq!(fixture.claim_expired("three").await.deaths, ["two"]);
    fixture.store.release_claims(&claimant("two")).await.unwrap();
    assert!(fixture.claim_expired("three").await.deaths.is_empty());
}

/// Deaths during a request do not count for later requests.
pub async fn deaths_of_a_finished_request_are_forgotten(fixture: Fixture) {
    let first = fixture.enqueue("api", "a").await;
    fixture.claim_as("one").await.unwrap();
    let claim = fixture.claim_expired("two").await;
    fixture.store.finish(&claim, &completed()).await.unwrap();
    assert_eq!(fixture.status(first).await, OperationStatus::Completed);
    fixture.enqueue("api", "b").await;
    assert!(fixture.claim_as("two").await.unwrap().deaths.is_empty());
    fixture.clock.advance(Duration::from_secs(3600));
    assert_eq!(fixture.store.prune(Duration::from_secs(60)).await.unwrap().operations, 1);
}

/// Running requests do not count.
pub async fn full_queue_refuses_requests(fixture: Fixture) {
    for component in ["a", "b"] {
        assert!(is_queued(fixture.store.enqueue(&request_for(component, "x"), 2).await.unwrap()));
    }
    let third = request_for("c", "x");
    assert_eq!(fixture.store.waiting().await.unwrap(), 2);
    assert_eq!(fixture.store.enqueue(&third, 2).await.unwrap(), Enqueued::Full);
    assert!(
        fixture.store.operation(third.operation.id).await.unwrap().is_none(),
        "the refused request is not recorded"
    );
    assert!(matches!(fixture.store.enqueue(&request_for("b", "x"), 2).await.unwrap(), Enqueued::Same(_)));
    let claim = fixture.claim().await.unwrap();
    assert_eq!(fixture.store.waiting().await.unwrap(), 1);
    let new = NewOperation { id: claim.operation, kind: String::new(), stacks: vec![demo()], actor: String::new() };
    fixture.store.begin(&new).await.unwrap();
    assert!(is_queued(fixture.store.enqueue(&third, 2).await.unwrap()));
}

/// Even after the request has ended.
pub async fn known_idempotency_key_returns_its_first_request(fixture: Fixture) {
    let keyed = |component: &str, digest: &str, key: &str| NewRequest {
        idempotency: Some(key.to_owned()),
        ..request_for(component, digest)
    };
    let first = keyed("a", "x", "k");
    assert!(is_queued(fixture.store.enqueue(&first, MANY).await.unwrap()));
    let claim = fixture.claim().await.unwrap();
    fixture.store.finish(&claim, &completed()).await.unwrap();
    let enqueued = fixture.store.enqueue(&keyed("a", "x", "k"), MANY).await.unwrap();
    assert_eq!(enqueued, Enqueued::Same(first.operation.id));
    let other = keyed("b", "y", "k");
    assert_eq!(fixture.store.enqueue(&other, MANY).await.unwrap(), Enqueued::KeyTaken);
    assert!(
        fixture.store.operation(other.operation.id).await.unwrap().is_none(),
        "the refused request is not recorded"
    );
    let known = fixture.store.find_by_idempotency_key("k").await.unwrap();
    assert_eq!(known, Some((first.operation.id, first.digest)));
    assert_eq!(fixture.store.find_by_idempotency_key("l").await.unwrap(), None);
    assert!(is_queued(fixture.store.enqueue(&keyed("a", "x", "l"), MANY).await.unwrap()));
}

/// Also the keys of callers that got the request of another caller.
pub async fn all_keys_of_an_equal_request_stay_known(fixture: Fixture) {
    let keyed = |digest: &str, key: &str| NewRequest { idempotency: Some(key.to_owned()), ..request_for("a", digest) };
    let first = fixture.enqueue("a", "x").await;
    for key in ["k", "l", "k"] {
        assert_eq!(fixture.store.enqueue(&keyed("x", key), MANY).await.unwrap(), Enqueued::Same(first));
    }
    let claim = fixture.claim().await.unwrap();
    fixture.store.finish(&claim, &completed()).await.unwrap();
    fixture.enqueue("a", "y").await;
    for key in ["k", "l"] {
        assert_eq!(fixture.store.enqueue(&keyed("x", key), MANY).await.unwrap(), Enqueued::Same(first));
        assert_eq!(fixture.store.enqueue(&keyed("y", key), MANY).await.unwrap(), Enqueued::KeyTaken);
    }
    fixture.clock.advance(Duration::from_secs(3600));
    assert_eq!(fixture.store.prune(Duration::from_secs(60)).await.unwrap().operations, 1);
    assert!(
        is_queued(fixture.store.enqueue(&keyed("x", "k"), MANY).await.unwrap()),
        "the key is pruned with its request"
    );
}

/// Open requests, and ended ones that are still needed. An equal request is found only by the new digest.
pub async fn open_requests_are_resealed(fixture: Fixture) {
    let keyed = |component: &str, digest: &str, key: &str| NewRequest {
        idempotency: Some(key.to_owned()),
        ..request_for(component, digest)
    };
    let forgotten = fixture.enqueue("a", "x").await;
    fixture.store.finish(&fixture.claim().await.unwrap(), &completed()).await.unwrap();
    let needed = fixture.enqueue("b", "x").await;
    let needed_later = RequestEnd { keeps_body: true, ..completed() };
    fixture.store.finish(&fixture.claim().await.unwrap(), &needed_later).await.unwrap();
    let waiting = keyed("c", "x", "k");
    assert!(is_queued(fixture.store.enqueue(&waiting, MANY).await.unwrap()));
    let waiting = waiting.operation.id;
    let stored = fixture.store.stored_requests().await.unwrap();
    let ids: Vec<_> = stored.iter().map(|it| (it.operation, it.is_open)).collect();
    assert_eq!(ids, [(needed, false), (waiting, true)]);
    let texts: Vec<_> = stored.iter().map(|it| [it.order.as_str(), &it.digest, it.body.expose()]).collect();
    assert_eq!(texts, [["b", "x", r#"{"x":1}"#], ["c", "x", r#"{"x":1}"#]]);

    let reseal = |operation, stored_digest: &str, body: &str| Write::ResealRequest {
        request: Box::new(ResealedRequest {
            operation,
            stored_digest: stored_digest.to_owned(),
            order: OrderKey::of_text("d"),
            digest: "y".to_owned(),
            body: body.to_owned().into(),
        }),
    };
    let rekey = request_for("", "");
    fixture.store.begin(&rekey.operation).await.unwrap();
    let writes = [
        reseal(forgotten, "x", "anew"),
        reseal(needed, "x", "anew"),
        reseal(waiting, "x", "anew"),
        reseal(waiting, "x", "of another digest"),
        reseal(Uuid::now_v7(), "x", "of nothing"),
    ];
    let records = writes.map(|write| Record::Write { operation: rekey.operation.id, write });
    fixture.store.commit(&[], records.to_vec()).await.unwrap();
    let mut bodies = Vec::new();
    for operation in [forgotten, needed, waiting] {
        bodies.push(fixture.store.request(operation).await.unwrap().unwrap().body.expose().to_owned());
    }
    assert_eq!(bodies, ["", "anew", "anew"]);
    let outcome = fixture.store.enqueue(&keyed("d", "y", "k"), MANY).await.unwrap();
    assert_eq!(outcome, Enqueued::Same(waiting), "by its idempotency key");
    assert_eq!(fixture.store.enqueue(&request_for("d", "y"), MANY).await.unwrap(), Enqueued::Same(waiting));
    assert_eq!(fixture.store.enqueue(&keyed("c", "x", "k"), MANY).await.unwrap(), Enqueued::KeyTaken);
    let claim = fixture.claim().await.unwrap();
    assert_eq!((claim.operation, claim.body.expose()), (waiting, "anew"));
}

/// While the caller knows the older digest.
pub async fn request_is_found_by_a_digest_under_an_older_key(fixture: Fixture) {
    let with_older_digests = |digest: &str, older: &[&str], key: Option<&str>| NewRequest {
        older_digests: older.iter().map(|&digest| digest.to_owned()).collect(),
        idempotency: key.map(str::to_owned),
        ..request_for("a", digest)
    };
    let first = with_older_digests("x", &[], Some("k"));
    assert!(is_queued(fixture.store.enqueue(&first, MANY).await.unwrap()));
    let first = first.operation.id;
    for key in [None, Some("k"), Some("l")] {
        let outcome = fixture.store.enqueue(&with_older_digests("y", &["w", "x"], key), MANY).await.unwrap();
        assert_eq!(outcome, Enqueued::Same(first), "{key:?}");
    }
    fixture.store.finish(&fixture.claim().await.unwrap(), &completed()).await.unwrap();
    for key in ["k", "l"] {
        let same = fixture.store.enqueue(&with_older_digests("y", &["w", "x"], Some(key)), MANY).await.unwrap();
        assert_eq!(same, Enqueued::Same(first));
        let other = fixture.store.enqueue(&with_older_digests("y", &["w"], Some(key)), MANY).await.unwrap();
        assert_eq!(other, Enqueued::KeyTaken);
    }
}

/// Waiting and running requests stay, however old they are.
pub async fn ended_requests_are_pruned(fixture: Fixture) {
    let ended = fixture.enqueue("api", "a").await;
    let waiting = fixture.enqueue("api", "b").await;
    let claim = fixture.claim().await.unwrap();
    fixture.store.finish(&claim, &completed()).await.unwrap();
    fixture.clock.advance(Duration::from_secs(3600));
    assert_eq!(fixture.store.prune(Duration::from_secs(60)).await.unwrap().operations, 1);
    assert!(fixture.store.request(ended).await.unwrap().is_none());
    assert_eq!(fixture.claimed().await, Some(waiting));
}

/// A request that no worker has claimed ends with its cancellation: neither it nor others have to wait.
pub async fn cancelled_queued_request_ends_at_once(fixture: Fixture) {
    let first = fixture.enqueue("api", "a").await;
    let claim = fixture.claim().await.unwrap();
    let (second, third) = (fixture.enqueue("api", "b").await, fixture.enqueue("api", "c").await);
    assert_eq!(fixture.store.request_cancel(second, "jane").await.unwrap(), Some(Cancelled::Ended));
    let (operation, _) = fixture.store.operation(second).await.unwrap().unwrap();
    assert_eq!((operation.status, operation.cancelled_by.as_deref()), (OperationStatus::Interrupted, Some("jane")));
    assert_eq!(operation.summary, "stopped before it began");
    assert!(operation.ended_at.is_some());
    let request = fixture.store.request(second).await.unwrap().unwrap();
    assert_eq!((request.body.expose(), request.result.as_deref()), ("", Some("{}")));
    assert_eq!(fixture.store.request_cancel(second, "jane").await.unwrap(), None, "it has ended");
    assert_eq!(fixture.store.waiting().await.unwrap(), 1);
    fixture.store.finish(&claim, &completed()).await.unwrap();
    assert_eq!((claim.operation, fixture.claimed().await), (first, Some(third)));
}

/// A dead worker may have started something: the next worker checks that.
pub async fn cancelled_request_of_a_dead_worker_is_claimed_again(fixture: Fixture) {
    let operation = fixture.enqueue("api", "a").await;
    assert_eq!(fixture.claimed().await, Some(operation));
    fixture.clock.advance(TERM * 2);
    assert_eq!(fixture.store.request_cancel(operation, "jane").await.unwrap(), Some(Cancelled::Notified));
    assert_eq!(fixture.claimed().await, Some(operation));
    assert!(fixture.store.is_cancel_requested(operation).await.unwrap());
}

/// Requests that arrived meanwhile run first, except those for the same component.
pub async fn released_request_is_claimed_after_its_back_off(fixture: Fixture) {
    let (first, behind) = (fixture.enqueue("api", "a").await, fixture.enqueue("api", "b").await);
    let claim = fixture.claim().await.unwrap();
    let pause = Duration::from_secs(5);
    fixture.store.release_claim(&claim, pause).await.unwrap();
    // A late renewal of the released claim does not extend the back-off.
    fixture.store.renew_claim(&claim, TERM).await.unwrap();
    assert_eq!(fixture.claimed().await, None, "not yet, and requests for the same component wait for it");
    fixture.clock.advance(pause);
    let other = fixture.enqueue("db", "a").await;
    assert_eq!(fixture.claimed().await, Some(other), "no worker had it yet");
    let again = fixture.claim().await.unwrap();
    assert_eq!((again.operation, again.fence), (first, 2));
    assert!(is_lost(&fixture.store.release_claim(&claim, pause).await, first), "another worker has it");
    fixture.store.finish(&again, &completed()).await.unwrap();
    assert_eq!(fixture.claimed().await, Some(behind));
}

/// It is queued as if it had arrived at the end of its back-off, however many requests arrive later.
pub async fn released_request_is_not_overtaken_by_later_ones(fixture: Fixture) {
    let released = fixture.enqueue("api", "a").await;
    let pause = Duration::from_secs(5);
    let claim = fixture.claim().await.unwrap();
    fixture.store.release_claim(&claim, pause).await.unwrap();
    let before = fixture.enqueue("db", "a").await;
    let waits = NewRequest { can_wait: true, ..request_for("cache", "a") };
    assert!(is_queued(fixture.store.enqueue(&waits, MANY).await.unwrap()));
    fixture.clock.advance(pause + Duration::from_secs(1));
    let later = fixture.enqueue("web", "a").await;
    let behind = fixture.enqueue("api", "b").await;
    for expected in [before, released, later, behind] {
        let claim = fixture.claim().await.unwrap();
        assert_eq!(claim.operation, expected);
        fixture.store.finish(&claim, &completed()).await.unwrap();
    }
    assert_eq!(fixture.claimed().await, Some(waits.operation.id));
}

/// Low-priority requests run last, even if they arrived earlier.
pub async fn released_request_runs_before_low_priority_ones(fixture: Fixture) {
    let released = fixture.enqueue("api", "a").await;
    let waits = NewRequest { can_wait: true, ..request_for("db", "a") };
    assert!(is_queued(fixture.store.enqueue(&waits, MANY).await.unwrap()));
    let pause = Duration::from_secs(5);
    let claim = fixture.claim().await.unwrap();
    fixture.store.release_claim(&claim, pause).await.unwrap();
    fixture.clock.advance(pause);
    assert_eq!(fixture.claimed().await, Some(released));
    assert_eq!(fixture.claimed().await, Some(waits.operation.id));
}

/// No worker has it, and no step has started.
pub async fn cancelled_released_request_ends_if_it_has_no_steps(fixture: Fixture) {
    let (unbegun, begun) = (fixture.enqueue("api", "a").await, fixture.enqueue("db", "a").await);
    let (one, other) = (fixture.claim().await.unwrap(), fixture.claim().await.unwrap());
    let new = NewOperation { id: begun, kind: "apply".to_owned(), stacks: vec![demo()], actor: "jane".to_owned() };
    fixture.store.begin(&new).await.unwrap();
    let step = Record::Intent(Box::new(intent(begun, 0, row("local_value.a"))));
    fixture.store.commit(&[], vec![step]).await.unwrap();
    for claim in [&one, &other] {
        fixture.store.release_claim(claim, Duration::from_secs(5)).await.unwrap();
    }
    assert_eq!(fixture.store.request_cancel(unbegun, "jane").await.unwrap(), Some(Cancelled::Ended));
    assert_eq!(fixture.status(unbegun).await, OperationStatus::Interrupted);
    assert_eq!(fixture.store.request_cancel(begun, "jane").await.unwrap(), Some(Cancelled::Notified));
    fixture.clock.advance(Duration::from_secs(5));
    assert_eq!(fixture.claimed().await, Some(begun), "its next worker resolves the open step");
}

/// Its operation has released its leases; the request has not ended.
pub async fn request_is_cancelled_between_two_attempts(fixture: Fixture) {
    let operation = fixture.enqueue("api", "a").await;
    let claim = fixture.claim().await.unwrap();
    let new = NewOperation { id: operation, kind: "apply".to_owned(), stacks: vec![demo()], actor: "jane".to_owned() };
    fixture.store.begin(&new).await.unwrap();
    let leases = fixture.granted(operation, &["api"]).await;
    fixture.store.release(&leases).await.unwrap();
    assert_eq!(fixture.store.request_cancel(operation, "jane").await.unwrap(), Some(Cancelled::Notified));
    assert!(fixture.store.is_cancel_requested(operation).await.unwrap());
    fixture.store.finish(&claim, &completed()).await.unwrap();
    assert_eq!(fixture.store.request_cancel(operation, "jane").await.unwrap(), None, "the request has ended");
}

fn request_of(caller: &str, component: &str, waiting: u32, running: Option<u32>) -> NewRequest {
    let quota = Some(RequestQuota { caller: caller.to_owned(), waiting, running });
    NewRequest { quota, ..request_for(component, component) }
}

/// A caller with its maximum of waiting requests is refused. Other callers are not, nor is an equal request.
pub async fn caller_has_a_maximum_of_waiting_requests(fixture: Fixture) {
    let ask = async |caller: &str, component: &str| {
        fixture.store.enqueue(&request_of(caller, component, 2, None), MANY).await.unwrap()
    };
    assert!(is_queued(ask("ada", "a").await));
    assert!(is_queued(ask("ada", "b").await));
    assert_eq!(ask("ada", "c").await, Enqueued::OverQuota);
    assert!(matches!(ask("ada", "b").await, Enqueued::Same(_)));
    assert!(is_queued(ask("bob", "c").await));
    assert!(is_queued(fixture.store.enqueue(&request_for("d", "d"), MANY).await.unwrap()), "it has no quota");
    let waits = NewRequest { can_wait: true, ..request_of("ada", "e", 2, None) };
    assert!(is_queued(fixture.store.enqueue(&waits, MANY).await.unwrap()), "it has low priority");
    // A running request does not wait.
    let claim = fixture.claim().await.unwrap();
    assert!(is_queued(ask("ada", "f").await));
    assert_eq!(ask("ada", "g").await, Enqueued::OverQuota);
    fixture.store.finish(&claim, &completed()).await.unwrap();
    assert_eq!(ask("ada", "g").await, Enqueued::OverQuota);
}

/// Requests of a caller wait while it has its maximum of running requests; those of other callers run first.
pub async fn caller_has_a_maximum_of_running_requests(fixture: Fixture) {
    let mut ids = Vec::new();
    for (caller, component) in [("ada", "a"), ("ada", "b"), ("ada", "c"), ("bob", "d")] {
        let request = request_of(caller, component, 9, Some(2));
        assert!(is_queued(fixture.store.enqueue(&request, MANY).await.unwrap()));
        ids.push(request.operation.id);
    }
    let first = fixture.claim().await.unwrap();
    assert_eq!(first.operation, ids[0]);
    assert_eq!(fixture.claimed().await, Some(ids[1]));
    assert_eq!(fixture.claimed().await, Some(ids[3]), "it is from another caller");
    assert_eq!(fixture.claimed().await, None, "two of the caller are running");
    fixture.store.finish(&first, &completed()).await.unwrap();
    let third = fixture.claim().await.unwrap();
    assert_eq!(third.operation, ids[2]);
    // A released request does not run.
    fixture.store.release_claim(&third, Duration::ZERO).await.unwrap();
    assert_eq!(fixture.claimed().await, Some(ids[2]));
}
