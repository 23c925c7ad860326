//! Queue of the store in memory.

use super::{State, refused};
use crate::OVERDUE;
use crate::clock::later;
use jiff::Timestamp;
use std::time::Duration;
use terrace_engine::address::StackId;
use terrace_engine::store::{
    Body, Claimant, Enqueued, NewRequest, OperationStatus, RequestClaim, RequestEnd, RequestQuota, RequestRow,
    ResealedRequest, StoreError, StoredRequest,
};
use uuid::Uuid;

/// A stored request.
#[derive(Clone)]
pub(super) struct Request {
    stack: StackId,
    digest: String,
    /// The idempotency keys of its callers.
    keys: Vec<String>,
    row: RequestRow,
    fence: u64,
    can_wait: bool,
    quota: Option<RequestQuota>,
    /// The expiry of the claim; for a released request, when it can be claimed again.
    expires: Option<Timestamp>,
    is_released: bool,
    /// The process of the last claim.
    claimant: Option<Claimant>,
    /// The claimants that died while they worked on it, oldest first.
    deaths: Vec<Claimant>,
}

impl Request {
    fn is_open(&self) -> bool {
        self.row.result.is_none()
    }

    fn has_caller(&self, caller: &str) -> bool {
        self.quota.as_ref().is_some_and(|quota| quota.caller == caller)
    }

    /// True if one of the two has to wait for the other.
    fn conflicts_with(&self, other: &Self) -> bool {
        let (own, others) = (&self.row.component, &other.row.component);
        self.stack == other.stack && (own == others || own.is_empty() || others.is_empty())
    }
}

impl State {
    pub(super) fn enqueue(&mut self, new: &NewRequest, most: usize, now: Timestamp) -> Result<Enqueued, StoreError> {
        let Some(stack) = new.operation.stacks.first().cloned() else {
            return Err(refused(crate::of_no_stack(new.operation.id)));
        };
        if let Some((operation, digest)) = new.idempotency.as_ref().and_then(|key| self.find_by_idempotency_key(key)) {
            return Ok(if new.has_same_content(&digest) { Enqueued::Same(operation) } else { Enqueued::KeyTaken });
        }
        let row = RequestRow { component: new.component.clone(), body: new.body.clone(), result: None };
        let request = Request {
            stack,
            digest: new.digest.clone(),
            keys: new.idempotency.iter().cloned().collect(),
            row,
            can_wait: new.can_wait,
            quota: new.quota.clone(),
            fence: 0,
            expires: None,
            is_released: false,
            claimant: None,
            deaths: Vec::new(),
        };
        let newest = self.open_requests().into_iter().rfind(|(_, earlier)| earlier.conflicts_with(&request));
        let is_to_stop =
            |id: &Uuid| self.operations.get(id).is_some_and(|operation| operation.row.cancelled_by.is_some());
        let has_same_content = |(id, earlier): &(Uuid, &Request)| {
            earlier.row.component == new.component && new.has_same_content(&earlier.digest) && !is_to_stop(id)
        };
        if let Some((operation, same)) = newest.filter(has_same_content) {
            let mut same = same.clone();
            same.keys.extend(request.keys);
            self.requests.insert(operation, same);
            return Ok(Enqueued::Same(operation));
        }
        let behind = newest.map(|(id, _)| id);
        if self.is_over_quota(new) {
            return Ok(Enqueued::OverQuota);
        }
        if self.waiting() >= most {
            return Ok(Enqueued::Full);
        }
        self.record(&new.operation, OperationStatus::Queued, now)?;
        self.requests.insert(new.operation.id, request);
        Ok(Enqueued::Queued { behind })
    }

    /// The request that was queued with that idempotency key.
    pub(super) fn find_by_idempotency_key(&self, key: &str) -> Option<(Uuid, String)> {
        let (operation, request) =
            self.requests.iter().find(|(_, request)| request.keys.iter().any(|known| known == key))?;
        Some((*operation, request.digest.clone()))
    }

    /// The number of requests that wait for their first worker.
    pub(super) fn waiting(&self) -> usize {
        let waits = |request: &&Request| request.is_open() && request.expires.is_none() && !request.can_wait;
        self.requests.iter().map(|(_, request)| request).filter(waits).count()
    }

    /// Whether a caller has its maximum of waiting requests. Low-priority requests do not count.
    fn is_over_quota(&self, new: &NewRequest) -> bool {
        let Some(quota) = new.quota.as_ref().filter(|_| !new.can_wait) else { return false };
        let waits = |request: &&Request| {
            request.is_open() && request.has_caller(&quota.caller) && request.expires.is_none() && !request.can_wait
        };
        let waiting = self.requests.iter().map(|(_, request)| request).filter(waits).count();
        waiting >= usize::try_from(quota.waiting).unwrap_or(usize::MAX)
    }

    /// Whether the caller of a request has fewer running requests than its maximum.
    fn is_within_quota(&self, request: &Request) -> bool {
        let Some((quota, most)) = request.quota.as_ref().and_then(|quota| Some((quota, quota.running?))) else {
            return true;
        };
        let is_running = |own: &&Request| {
            own.is_open() && own.has_caller(&quota.caller) && own.expires.is_some() && !own.is_released
        };
        let running = self.requests.iter().map(|(_, request)| request).filter(is_running).count();
        running < usize::try_from(most).unwrap_or(usize::MAX)
    }

    /// The open requests, oldest first.
    fn open_requests(&self) -> Vec<(Uuid, &Request)> {
        let open = self.requests.iter().filter(|(_, request)| request.is_open());
        let mut open: Vec<(Uuid, &Request)> = open.map(|(id, request)| (*id, request)).collect();
        open.sort_by_key(|(id, _)| self.operations.get(id).map(|operation| operation.number));
        open
    }

    pub(super) fn claim(&mut self, claimant: &Claimant, term: Duration, now: Timestamp) -> Option<RequestClaim> {
        self.revive(claimant.id);
        let open = self.open_requests();
        let is_over = |request: &Request| request.expires.is_some_and(|expires| expires <= now);
        let is_abandoned = |(_, request): &&(Uuid, &Request)| is_over(request) && !request.is_released;
        let is_free =
            |(_, request): &&(Uuid, &Request)| is_over(request) && request.is_released && self.is_within_quota(request);
        let is_next = |at: usize, request: &Request| {
            let mut earlier = open.iter().take(at);
            request.expires.is_none()
                && !earlier.any(|(_, earlier)| earlier.conflicts_with(request))
                && self.is_within_quota(request)
        };
        let left = open.iter().find(is_abandoned);
        let next = || {
            let next = open.iter().enumerate().filter(|(at, (_, request))| is_next(*at, request));
            next.min_by_key(|(at, (_, request))| (request.can_wait, *at)).map(|(_, next)| next)
        };
        let waiting = left.or_else(next);
        // After its back-off a released request is queued behind those that arrived meanwhile.
        let goes_first = |(_, request): &&(Uuid, &Request)| {
            waiting.is_none_or(|(id, waiting)| {
                let started_at = self.operations.get(id).map(|operation| operation.row.started_at);
                waiting.expires.is_none() && (waiting.can_wait || request.expires < started_at)
            })
        };
        let released = open.iter().filter(is_free).filter(goes_first).min_by_key(|(_, request)| request.expires);
        let (id, request) = released.or(waiting)?;
        let (id, mut request) = (*id, (*request).clone());
        let holder = request.claimant.replace(claimant.clone()).filter(|_| !request.is_released);
        request.deaths.extend(holder.filter(|holder| holder.id != claimant.id));
        request.fence += 1;
        request.expires = Some(later(now, term));
        request.is_released = false;
        let operation = self.operations.get(&id)?.row.clone();
        let last = self.steps.range((id, 0)..=(id, u32::MAX)).next_back().map(|((_, step), _)| *step);
        let claim = RequestClaim {
            operation: id,
            kind: operation.kind,
            actor: operation.actor,
            body: request.row.body.clone(),
            fence: request.fence,
            next_step: last.map_or(0, |last| last + 1),
            has_waiting_requests: open.iter().any(|(other, request)| *other != id && request.expires.is_none()),
            deaths: request.deaths.iter().map(|died| died.name.clone()).collect(),
        };
        self.requests.insert(id, request);
        Some(claim)
    }

    /// The open requests that match a condition.
    fn requests_of(&self, matches: impl Fn(&Request) -> bool) -> Vec<(Uuid, Request)> {
        let open = self.open_requests().into_iter().filter(|(_, request)| matches(request));
        open.map(|(id, request)| (id, request.clone())).collect()
    }

    /// Removes the deaths of a process that turned out to be alive.
    fn revive(&mut self, claimant: Uuid) {
        for (id, mut request) in self.requests_of(|request| request.deaths.iter().any(|died| died.id == claimant)) {
            request.deaths.retain(|died| died.id != claimant);
            self.requests.insert(id, request);
        }
    }

    /// Releases all claims of a process.
    pub(super) fn release_claims(&mut self, claimant: Uuid, now: Timestamp) {
        self.revive(claimant);
        let is_held = |request: &Request| {
            request.expires.is_some()
                && !request.is_released
                && request.claimant.as_ref().is_some_and(|holder| holder.id == claimant)
        };
        for (id, request) in self.requests_of(is_held) {
            self.requests.insert(id, Request { expires: Some(now), is_released: true, ..request });
        }
    }

    /// The claimed request, if the claim is valid.
    fn claimed(&self, claim: &RequestClaim) -> Result<Request, StoreError> {
        let request = self.requests.get(&claim.operation);
        let request = request.filter(|request| request.fence == claim.fence && request.is_open());
        request.cloned().ok_or(StoreError::ClaimLost(claim.operation))
    }

    pub(super) fn renew_claim(
        &mut self,
        claim: &RequestClaim,
        term: Duration,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let request = self.claimed(claim)?;
        if !request.is_released {
            self.requests.insert(claim.operation, Request { expires: Some(later(now, term)), ..request });
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, claim: &RequestClaim, end: &RequestEnd, now: Timestamp) -> Result<(), StoreError> {
        let request = self.claimed(claim)?;
        self.end_request(claim.operation, request, end, now)
    }

    pub(super) fn release_claim(
        &mut self,
        claim: &RequestClaim,
        after: Duration,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let expires = Some(later(now, after));
        let request = Request { expires, is_released: true, ..self.claimed(claim)? };
        self.requests.insert(claim.operation, request);
        Ok(())
    }

    /// Ends a request that no worker has claimed and that has not started; false for any other. A cancelled request
    /// need not wait for its turn.
    pub(super) fn cancel_unstarted(&mut self, operation: Uuid, now: Timestamp) -> Result<bool, StoreError> {
        let has_begun = self.steps.range((operation, 0)..=(operation, u32::MAX)).next().is_some();
        let is_free = |request: &&Request| request.expires.is_none() || request.is_released;
        let waiting = self.requests.get(&operation).filter(is_free).filter(|it| it.is_open() && !has_begun);
        let Some(request) = waiting.cloned() else { return Ok(false) };
        self.end_request(operation, request, &RequestEnd::cancelled(), now)?;
        Ok(true)
    }

    fn end_request(
        &mut self,
        operation: Uuid,
        mut request: Request,
        end: &RequestEnd,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        request.row.result = Some(end.result.clone());
        request.expires = None;
        if !end.keeps_body {
            request.row.body = Body::default();
        }
        self.requests.insert(operation, request);
        self.end(operation, end.status, &end.summary, now)
    }

    /// True while a worker has claimed the request, or it was released recently.
    pub(super) fn is_claimed(&self, operation: Uuid, now: Timestamp) -> bool {
        let open = self.requests.get(&operation).filter(|request| request.is_open());
        let until = |request: &Request| match request.is_released {
            true => request.expires.map(|expires| later(expires, OVERDUE)),
            false => request.expires,
        };
        open.and_then(until).is_some_and(|until| until > now)
    }

    /// True for the operation of an open request.
    pub(super) fn is_open_request(&self, operation: Uuid) -> bool {
        self.requests.get(&operation).is_some_and(Request::is_open)
    }

    pub(super) fn stored_requests(&self) -> Vec<StoredRequest> {
        let with_body = self.requests.iter().filter(|(_, request)| !request.row.body.is_empty());
        let mut stored: Vec<StoredRequest> = with_body
            .map(|(operation, request)| StoredRequest {
                operation: *operation,
                component: request.row.component.clone(),
                digest: request.digest.clone(),
                body: request.row.body.clone(),
                is_open: request.is_open(),
            })
            .collect();
        stored.sort_by_key(|request| self.operations.get(&request.operation).map(|operation| operation.number));
        stored
    }

    pub(super) fn reseal_request(&mut self, resealed: &ResealedRequest) {
        let known = self.requests.get(&resealed.operation);
        let known = known.filter(|request| request.digest == resealed.stored_digest && !request.row.body.is_empty());
        if let Some(mut request) = known.cloned() {
            request.row.component.clone_from(&resealed.component);
            request.row.body.clone_from(&resealed.body);
            request.digest.clone_from(&resealed.digest);
            self.requests.insert(resealed.operation, request);
        }
    }

    pub(super) fn request(&self, operation: Uuid) -> Option<RequestRow> {
        self.requests.get(&operation).map(|request| request.row.clone())
    }
}
