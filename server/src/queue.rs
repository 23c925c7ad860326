//! Queue of requests: requests wait in the store, and workers claim them and renew their claims while they work.

use crate::access::Expected;
use crate::answer::Refusal;
use crate::approved::Approved;
use crate::auth::{Action, Caller, Quota, Resource};
use crate::claim_heartbeat::{ClaimHeartbeat, TERM};
use crate::drifting;
use crate::environments::Environments;
use crate::judging::{Turn, judge, on_body};
use crate::logbook::Logbook;
use crate::metrics;
use crate::request_context::{AboutWhat, RequestOptions};
use crate::run;
use crate::serve::Shared;
use crate::traced::{self, Followed};
use crate::witboost::{ProvisioningRequest, ReverseProvisioningRequest};
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use terrace_engine::access::Access;
use terrace_engine::address::StackId;
use terrace_engine::digest::sha256;
use terrace_engine::seal::{Place, Seal};
use terrace_engine::source::Sources;
use terrace_engine::store::{
    AuditEntry, AuditOutcome, Enqueued, NewOperation, NewRequest, OperationStatus, RequestClaim, RequestEnd,
    RequestQuota,
};
use terrace_engine::yaml::{self, Budget};
use terrace_provider::value::wire::{Sealing, Spot, WireError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

/// The kind of a validation.
pub(crate) const VALIDATE: &str = "validate";

/// How often a worker checks for requests of other processes.
const POLL: Duration = Duration::from_secs(2);

/// A request in the queue.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Request {
    /// Provision a descriptor.
    Provision(ProvisioningRequest),
    /// Unprovision a descriptor.
    Unprovision(ProvisioningRequest),
    /// Validate a descriptor and plan it.
    Validate(ProvisioningRequest),
    /// Give these principals access, and no others.
    Access {
        /// The component.
        request: ProvisioningRequest,
        /// The principals that get access.
        #[serde(flatten)]
        access: Access,
        /// The access list that the caller expects. If the current one differs, the request fails.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected: Option<Expected>,
        /// The expected list as the call named it (`If-Match`).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        named: Option<String>,
    },
    /// Plan a descriptor.
    Plan {
        /// The descriptor.
        request: ProvisioningRequest,
        /// Whether to plan its removal.
        destroy: bool,
        /// Options beside the descriptor.
        #[serde(default)]
        beside: RequestOptions,
    },
    /// Apply a plan.
    Apply {
        /// The descriptor.
        request: ProvisioningRequest,
        /// Whether the plan removes the descriptor's objects.
        destroy: bool,
        /// The approved plan.
        #[serde(flatten)]
        approved: Approved,
        /// Options beside the descriptor.
        #[serde(default)]
        beside: RequestOptions,
        /// The operation that made the plan.
        #[serde(default)]
        plan: Option<Uuid>,
    },
    /// Scan for drift.
    Drift {
        /// The stack.
        stack: String,
        /// The other stacks of the same call with an idempotency key, if this is the first one.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        beside: Vec<String>,
    },
    /// Look up values for a catalog.
    Reverse(ReverseProvisioningRequest),
}

impl Request {
    /// The stored form. With a state key it is sealed, because a descriptor may hold secrets.
    fn to_body(&self, followed: Followed, operation: Uuid, seal: &Seal) -> Result<String, Refusal> {
        let text = serde_json::to_string(&Kept { asked: self, followed })
            .map_err(|error| Refusal::Broken(error.to_string()))?;
        match seal.has_key() {
            false => Ok(text),
            true => sealed(text.as_bytes(), operation, seal).map_err(|error| Refusal::Broken(error.to_string())),
        }
    }

    /// Reads what [`Request::to_body`] wrote.
    ///
    /// # Errors
    /// When it was sealed with another key, or written by an incompatible server.
    pub(crate) fn of_body(body: &str, operation: Uuid, seal: &Seal) -> Result<Self, Refusal> {
        Ok(read(body, operation, seal)?.asked)
    }

    /// Whether the request changes nothing: after an interruption nothing is left half-done.
    pub(crate) const fn only_looks(&self) -> bool {
        match self {
            Self::Provision(_) | Self::Unprovision(_) | Self::Access { .. } | Self::Apply { .. } => false,
            Self::Validate(_) | Self::Plan { .. } | Self::Drift { .. } | Self::Reverse(_) => true,
        }
    }

    /// The request with the descriptor, if there is one.
    const fn described(&self) -> Option<&ProvisioningRequest> {
        match self {
            Self::Provision(request) | Self::Unprovision(request) | Self::Validate(request) => Some(request),
            Self::Access { request, .. } | Self::Plan { request, .. } | Self::Apply { request, .. } => Some(request),
            Self::Drift { .. } | Self::Reverse(_) => None,
        }
    }

    /// The kind of the operation.
    const fn word(&self) -> &'static str {
        match self {
            Self::Provision(_) => "provision",
            Self::Unprovision(_) => "unprovision",
            Self::Validate(_) => VALIDATE,
            Self::Access { .. } => "updateacl",
            Self::Plan { .. } => "plan",
            Self::Apply { .. } => "apply",
            Self::Drift { .. } => drifting::KIND,
            Self::Reverse(_) => "reverse-provisioning",
        }
    }

    /// The action that the caller needs.
    const fn action(&self) -> Action {
        match self {
            Self::Provision(_) => Action::Provision,
            Self::Unprovision(_) => Action::Unprovision,
            Self::Validate(_) => Action::Validate,
            Self::Access { .. } => Action::UpdateAcl,
            Self::Plan { .. } => Action::Plan,
            Self::Apply { .. } => Action::Apply,
            Self::Drift { .. } => Action::Drift,
            Self::Reverse(_) => Action::Reverse,
        }
    }

    /// Whether its caller consents to the loss of data.
    const fn consents(&self) -> bool {
        match self {
            Self::Provision(request) | Self::Unprovision(request) => request.remove_data,
            Self::Plan { request, beside, .. } | Self::Apply { request, beside, .. } => {
                request.remove_data || !beside.allow_data_loss.is_empty()
            }
            Self::Validate(_) | Self::Access { .. } | Self::Drift { .. } | Self::Reverse(_) => false,
        }
    }

    /// Digests of the request's meaning. Descriptors with the same meaning have the same digest in any
    /// notation. With a state key the digest is keyed: sealed content of the body cannot be found by trying values.
    pub(crate) fn digests(&self, seal: Option<&Seal>) -> Digests {
        let canonical_text = self.canonical_text();
        let unkeyed = sha256(&canonical_text);
        match seal.and_then(|seal| Some((seal, seal.change_detector(canonical_text.as_bytes())?))) {
            None => Digests { digest: unkeyed, older: Vec::new() },
            Some((seal, digest)) => {
                let mut older = seal.older_change_detectors(canonical_text.as_bytes());
                // The request may have been queued before there was a key.
                older.push(unkeyed);
                Digests { digest, older }
            }
        }
    }

    /// Everything that distinguishes one request from another.
    fn canonical_text(&self) -> String {
        let asked = match self {
            Self::Provision(request) | Self::Unprovision(request) | Self::Validate(request) => {
                format!("{} {}", request.remove_data, meant(&request.descriptor))
            }
            Self::Access { request, access, named, .. } => {
                format!("{access:?} {named:?} {}", meant(&request.descriptor))
            }
            Self::Plan { request, destroy, beside } => {
                format!("{destroy} {} {} {}", request.remove_data, beside.meant(), meant(&request.descriptor))
            }
            Self::Apply { request, destroy, approved: Approved { digest, .. }, beside, .. } => {
                format!("{digest} {destroy} {} {} {}", request.remove_data, beside.meant(), meant(&request.descriptor))
            }
            Self::Drift { stack, beside } if beside.is_empty() => stack.clone(),
            Self::Drift { stack, beside } => json!([stack, beside]).to_string(),
            Self::Reverse(question) => {
                let ReverseProvisioningRequest { use_case_template_id, environment, params, catalog_info } = question;
                json!([use_case_template_id, environment, params, catalog_info]).to_string()
            }
        };
        format!("{} {asked}", self.word())
    }
}

/// The digests of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Digests {
    /// The digest under the current key.
    pub(crate) digest: String,
    /// The digests under older known keys.
    older: Vec<String>,
}

impl Digests {
    /// True if a request with that digest means the same.
    fn has(&self, digest: &str) -> bool {
        self.digest == digest || self.older.iter().any(|older| older == digest)
    }
}

/// A request as it is stored.
#[derive(Serialize, Deserialize)]
struct Kept<A> {
    #[serde(flatten)]
    asked: A,
    /// Empty for requests that an older server queued.
    #[serde(default)]
    followed: Followed,
}

/// Reads a stored request. With a state key an unsealed request is refused: a writer to the database could forge it.
fn read(body: &str, operation: Uuid, seal: &Seal) -> Result<Kept<Request>, Refusal> {
    let broken = |error: &dyn std::fmt::Display| Refusal::Broken(format!("cannot read a request: {error}"));
    let is_sealed = body.starts_with(SEALED);
    if !is_sealed && seal.at(Place::Request { operation }).check_unsealed().is_err() {
        return Err(broken(&"it is not sealed although there is a state key; `terrace state rekey` seals it"));
    }
    let text = opened(body, operation, seal).map_err(|error| broken(&error))?;
    serde_json::from_slice(&text).map_err(|error| broken(&error))
}

/// The prefix of a sealed body.
const SEALED: &str = "sealed:";

/// Seals the body of a request.
pub(crate) fn sealed(text: &[u8], operation: Uuid, seal: &Seal) -> Result<String, WireError> {
    Ok(format!("{SEALED}{}", seal.at(Place::Request { operation }).seal(&Spot::Root, text)?))
}

/// Opens the body of a stored request, sealed or not.
pub(crate) fn opened<'b>(body: &'b str, operation: Uuid, seal: &Seal) -> Result<Cow<'b, [u8]>, WireError> {
    let placed = seal.at(Place::Request { operation });
    match body.strip_prefix(SEALED) {
        Some(sealed) => placed.open(&Spot::Root, sealed).map(Cow::Owned),
        None if placed.requires_bound() => Err(placed.unbound()),
        None => Ok(Cow::Borrowed(body.as_bytes())),
    }
}

/// The most values of a descriptor that is compared by meaning; a larger one is compared as text.
const MOST_COMPARED: usize = 500_000;

/// The meaning of a descriptor, independent of its notation.
fn meant(text: &str) -> String {
    let id = Sources::default().add("descriptor", text);
    match yaml::parse(id, text, &Budget { nodes: MOST_COMPARED, ..Budget::default() }) {
        Ok(node) => {
            let mut value = node.to_value();
            value.sort_keys();
            value.to_json_text()
        }
        Err(_) => text.to_owned(),
    }
}

/// A request whose descriptor was checked.
pub(crate) struct Judged {
    pub(crate) asked: Arc<Request>,
    pub(crate) place: AboutWhat,
    digests: Digests,
}

/// Checks the descriptor of a request. `read` returns the subject of the request, or its errors.
///
/// # Errors
/// As `read`, and when too many large descriptors are in work.
pub(crate) async fn judged<R>(shared: &Arc<Shared>, asked: Request, read: R) -> Result<Judged, Refusal>
where
    R: AsyncFn(&Shared, &Environments, &ProvisioningRequest) -> Result<AboutWhat, Refusal> + Send + Sync + 'static,
{
    let (asked, read) = (Arc::new(asked), Arc::new(read));
    let bytes = asked.described().map_or(0, ProvisioningRequest::bytes);
    let work = {
        let asked = Arc::clone(&asked);
        move |shared: Arc<Shared>, limits| {
            let (asked, read) = (Arc::clone(&asked), Arc::clone(&read));
            async move {
                let worlds = shared.worlds.within(limits);
                let Some(request) = asked.described() else {
                    return Err(Refusal::Broken("a request without a descriptor cannot be checked".to_owned()));
                };
                let place = read(&shared, &worlds, request).await?;
                Ok((place, asked.digests(Some(worlds.seal()))))
            }
        }
    };
    let (place, digests) = judge(shared, bytes, work).await??;
    Ok(Judged { asked, place, digests })
}

/// Checks a request as [`judged`] does, and queues it; returns its token.
///
/// # Errors
/// As [`judged`], and when the queue refuses it.
pub(crate) async fn ask<R>(shared: &Arc<Shared>, caller: &Caller, asked: Request, read: R) -> Result<Uuid, Refusal>
where
    R: AsyncFn(&Shared, &Environments, &ProvisioningRequest) -> Result<AboutWhat, Refusal> + Send + Sync + 'static,
{
    let judged = judged(shared, asked, read).await?;
    shared.ask_judged(caller, judged).await
}

impl Shared {
    /// Queues a request without a descriptor; returns its token.
    pub(crate) async fn ask(&self, caller: &Caller, asked: &Request, place: AboutWhat) -> Result<Uuid, Refusal> {
        let (digests, followed) =
            (asked.digests(Some(self.worlds.seal())), Followed::here(&place.stack, &place.component));
        self.enqueue(caller, asked, digests, vec![place.stack], place.component, followed).await
    }

    /// Queues a checked request; returns its token.
    pub(crate) async fn ask_judged(&self, caller: &Caller, judged: Judged) -> Result<Uuid, Refusal> {
        let Judged { asked, place, digests } = judged;
        caller.check_scope(place.needed, asked.action(), &place.stack)?;
        let followed = Followed::here(&place.stack, &place.component);
        self.enqueue(caller, &asked, digests, vec![place.stack], place.component, followed).await
    }

    /// Queues a checked request for a plan. It waits in a queue stack of its environment, not behind requests for its
    /// own stack.
    pub(crate) async fn ask_for_plan(&self, caller: &Caller, judged: Judged, queue: StackId) -> Result<Uuid, Refusal> {
        let Judged { asked, place, digests } = judged;
        caller.check_scope(place.needed, asked.action(), &place.stack)?;
        let (component, followed) = (digests.digest.clone(), Followed::here(&place.stack, ""));
        self.enqueue(caller, &asked, digests, vec![queue, place.stack], component, followed).await
    }

    /// Queues a request that does not wait for others of its stack. An equal request that waits already stands for it.
    pub(crate) async fn ask_beside(
        &self,
        caller: &Caller,
        asked: &Request,
        stacks: Vec<StackId>,
    ) -> Result<Uuid, Refusal> {
        let digests = asked.digests(Some(self.worlds.seal()));
        let component = digests.digest.clone();
        // The queue stack comes before the stack that the request is about.
        let followed = stacks.last().map(|stack| Followed::here(stack, "")).unwrap_or_default();
        self.enqueue(caller, asked, digests, stacks, component, followed).await
    }

    /// The operation of an earlier call with the same idempotency key and the same meaning.
    ///
    /// # Errors
    /// When another call used the key.
    pub(crate) async fn asked_before(&self, caller: &Caller, asked: &Request) -> Result<Option<Uuid>, Refusal> {
        let Some(key) = caller.key() else { return Ok(None) };
        match self.store.asked_with(&key).await? {
            Some((token, digest)) if asked.digests(Some(self.worlds.seal())).has(&digest) => Ok(Some(token)),
            Some(_) => Err(Refusal::KeyTaken),
            None => Ok(None),
        }
    }

    async fn enqueue(
        &self,
        caller: &Caller,
        asked: &Request,
        Digests { digest, older: older_digests }: Digests,
        stacks: Vec<StackId>,
        component: String,
        followed: Followed,
    ) -> Result<Uuid, Refusal> {
        // A queue stack may come first.
        let (action, about) = (asked.action(), stacks.last());
        let about: Vec<Resource<'_>> = about.into_iter().map(Resource::Stack).collect();
        caller.check(action, asked.consents(), &about)?;
        let share = |quota: Quota| RequestQuota {
            caller: caller.named("anonymous"),
            waiting: quota.waiting.unwrap_or(self.settings.most_waiting_of_caller),
            running: quota.running,
        };
        let own = stacks.last().and_then(|stack| caller.quota(action, stack));
        let quota = own.map(share);
        let (id, idempotency) = (Uuid::now_v7(), caller.key());
        let operation = NewOperation { id, kind: asked.word().to_owned(), stacks, actor: caller.named("anonymous") };
        let bytes = asked.described().map_or(0, ProvisioningRequest::bytes);
        let body = on_body(bytes, || asked.to_body(followed, id, self.worlds.seal()))?.into();
        // A call may queue many scans at once; changes do not wait for them.
        let can_wait = matches!(asked, Request::Drift { .. });
        let request = NewRequest { operation, component, digest, older_digests, body, idempotency, can_wait, quota };
        // From here on, a call that times out may have been queued.
        caller.became(id);
        let queued = self.store.enqueue(&request, self.settings.most_waiting).await?;
        if matches!(queued, Enqueued::OverQuota | Enqueued::KeyTaken | Enqueued::Full) {
            caller.became_nothing();
        }
        match queued {
            Enqueued::Queued { behind } => {
                self.wake.notify_one();
                if let Some(earlier) = behind {
                    let message = format!("waits for operation {earlier} on the same component");
                    let log = Logbook { store: Arc::clone(&self.store), operation: id };
                    log.line("INFO", "queue", &message).await;
                }
                Ok(id)
            }
            Enqueued::Same(token) => {
                caller.became(token);
                Ok(token)
            }
            Enqueued::OverQuota => Err(Refusal::OverQuota {
                name: caller.named("anonymous"),
                most: request.quota.map_or(0, |quota| quota.waiting),
                limit: match own.and_then(|quota| quota.waiting) {
                    Some(_) => "limits.queue.waiting",
                    None => "server.queue.perCaller",
                },
            }),
            Enqueued::KeyTaken => Err(Refusal::KeyTaken),
            Enqueued::Full => Err(Refusal::Busy),
        }
    }
}

/// Claims and runs requests until the server stops.
pub(crate) async fn work(shared: Arc<Shared>) {
    while !shared.stop.is_cancelled() {
        let claimed = shared.store.claim(&shared.claimant, TERM).await;
        shared.last_answer.note(&claimed);
        if claimed.is_ok() && shared.claiming.ends() {
            tracing::info!("claiming requests again");
        }
        match claimed {
            Ok(Some(claim)) => {
                if claim.others_wait {
                    shared.wake.notify_one();
                }
                work_on(&shared, &claim).await;
            }
            Ok(None) => rest(&shared).await,
            Err(error) => {
                if shared.claiming.begins() {
                    tracing::warn!(%error, "cannot claim requests: retrying");
                }
                rest(&shared).await;
            }
        }
    }
}

/// Wakes a worker when another process queues a request.
pub(crate) async fn listen(shared: Arc<Shared>) {
    let mut is_logged = false;
    loop {
        let began = Instant::now();
        if let Err(error) = shared.store.listen(&|| shared.wake.notify_one()).await {
            // After a working connection it is a new outage.
            is_logged &= began.elapsed() < TERM;
            if !is_logged {
                tracing::warn!(%error, "cannot listen for requests of other processes: polling the store");
            }
            is_logged = true;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Waits until there may be a request. One of the idle workers polls the store for all; when it finds a request,
/// another worker polls.
async fn rest(shared: &Shared) {
    let pause = async {
        let _looks = shared.looking.lock().await;
        tokio::time::sleep(POLL).await;
    };
    tokio::select! {
        () = shared.wake.notified() => {}
        () = pause => {}
        () = shared.stop.cancelled() => {}
    }
}

/// After this many dead servers, a request fails.
pub(crate) const MOST_DEATHS: usize = 3;
/// From this many dead servers on, a server runs only one such request at a time, so that it does not take others with
/// it.
const SUSPICIOUS: usize = 2;
/// Waiting time of such a request while another request runs.
const SHORT_PAUSE: Duration = Duration::from_secs(2);

/// Runs a request, unless too many servers died of it. It waits while another suspicious request runs, and while large
/// requests hold all permits.
async fn work_on(shared: &Arc<Shared>, claim: &RequestClaim) {
    let deaths = claim.deaths.len();
    if deaths >= MOST_DEATHS {
        return give_up(shared, claim).await;
    }
    let alone = (deaths >= SUSPICIOUS).then(|| shared.suspect.try_lock());
    let turn = shared.judging.for_work(claim.operation, claim.body.expose().len());
    match (alone.transpose(), turn) {
        (Ok(_alone), Some(turn)) => keep_while_working(shared, claim, &turn).await,
        _ => put_off(shared, claim, SHORT_PAUSE).await,
    }
}

/// Releases a claim.
async fn put_off(shared: &Shared, claim: &RequestClaim, pause: Duration) {
    if let Err(error) = shared.store.give_back(claim, pause).await {
        tracing::debug!(operation = %claim.operation, %error, "cannot release a claim: it will expire");
    }
}

/// Ends a request that several servers died of, and logs the reason.
async fn give_up(shared: &Arc<Shared>, claim: &RequestClaim) {
    let began = Instant::now();
    let end = run::deadly(claim);
    let log = Logbook { store: Arc::clone(&shared.store), operation: claim.operation };
    log.lines("queue", [("ERROR", end.summary.as_str()), ("ERROR", run::AFTER_DEATHS)].into_iter()).await;
    match shared.store.finish(claim, &end).await {
        Ok(()) => {
            audit(shared, claim, &end).await;
            metrics::ended(&claim.kind, end.status, began);
        }
        Err(error) => {
            tracing::warn!(operation = %claim.operation, %error, "cannot record the end of a request");
        }
    }
}

/// Runs a request to its end. If the process lost the claim and got it back, the earlier run ends first: the store
/// cannot keep two workers of one process apart.
async fn keep_while_working(shared: &Arc<Shared>, claim: &RequestClaim, turn: &Turn) {
    let (cancel, began) = (CancellationToken::new(), Instant::now());
    let keeper = ClaimHeartbeat::of(shared, claim, &cancel);
    let mine = shared.at_work.of(claim.operation);
    let _alone = mine.lock().await;
    let (asked, followed) = match read(claim.body.expose(), claim.operation, shared.worlds.seal()) {
        Ok(Kept { asked, followed }) => (Ok(asked), followed),
        Err(refusal) => (Err(refusal), Followed::default()),
    };
    let span = followed.span(claim.operation, &claim.kind);
    let worlds = shared.worlds.within(turn.limits.clone());
    let stops = run::Stops { asked: &cancel, lost: keeper.lost() };
    let working = AssertUnwindSafe(run::carry_out(shared, &worlds, claim, asked, stops)).catch_unwind();
    let end = working.instrument(span.clone()).await.unwrap_or_else(|_| Some(run::broke_off(claim.operation)));
    if shared.judging.is_to_grow(claim.operation, turn) {
        return put_off(shared, claim, Duration::ZERO).await;
    }
    // A lost claim says nothing about the request itself.
    let Some(end) = end.filter(|end| end.status == OperationStatus::Completed || !keeper.is_lost()) else {
        tracing::info!(operation = %claim.operation, "leaving a request to its next worker");
        return;
    };
    if end.status == OperationStatus::Interrupted {
        Logbook { store: Arc::clone(&shared.store), operation: claim.operation }.stopped(&end).await;
    }
    match shared.store.finish(claim, &end).await {
        Ok(()) => {
            audit(shared, claim, &end).await;
            traced::ended(&span, &end, began.elapsed());
            metrics::ended(&claim.kind, end.status, began);
            shared.unworkable.forget(claim.operation);
            shared.looked.forget(claim.operation);
            shared.judging.forget(claim.operation);
        }
        Err(error) => {
            tracing::warn!(operation = %claim.operation, %error, "cannot record the end of a request");
        }
    }
}

/// The kinds of requests that change remote objects.
const CHANGES: [&str; 4] = ["provision", "unprovision", "updateacl", "apply"];

/// Writes the end of a change into the audit log.
async fn audit(shared: &Shared, claim: &RequestClaim, end: &RequestEnd) {
    if !CHANGES.contains(&claim.kind.as_str()) {
        return;
    }
    let outcome = if end.status == OperationStatus::Completed { AuditOutcome::Done } else { AuditOutcome::Failed };
    let entry = AuditEntry::new(claim.actor.as_str(), claim.kind.as_str(), outcome);
    shared.audit.change(AuditEntry { operation: Some(claim.operation), ..entry }).await;
}

#[cfg(test)]
mod tests {
    use super::{Expected, Request};
    use terrace_engine::access::{Access, Fields};
    use terrace_engine::seal::Seal;

    #[test]
    fn access_request_of_an_older_server_is_readable() {
        let body = r#"{"kind": "access", "request": {"descriptor": "x"}, "principals": ["user:ada"],
            "expected": {"principals": null}}"#;
        let Ok(Request::Access { access, expected, .. }) =
            Request::of_body(body, uuid::Uuid::nil(), &Seal::without_key(false))
        else {
            panic!("the body is not an access request")
        };
        assert_eq!(access, Access::new(vec!["user:ada".to_owned()], Fields::default()));
        assert_eq!(expected, Some(Expected::of(None)));
    }

    #[test]
    fn digest_depends_on_the_state_key() {
        let asked = Request::Drift { stack: "finance.cashflow.0@local".to_owned(), beside: Vec::new() };
        let key = |first: &str| Seal::with_key(&format!("{first}{}=", "A".repeat(42)), &[]).unwrap();
        let (one, other) = (key("A"), key("B"));
        let digest = |seal: Option<&Seal>| asked.digests(seal).digest;
        assert_eq!(digest(Some(&one)), digest(Some(&one)));
        assert_ne!(digest(Some(&one)), digest(Some(&other)));
        assert_ne!(digest(Some(&one)), digest(None));
    }

    #[test]
    fn digests_cover_older_keys_while_they_are_known() {
        let asked = Request::Drift { stack: "finance.cashflow.0@local".to_owned(), beside: Vec::new() };
        let (first, second) = (format!("A{}=", "A".repeat(42)), format!("B{}=", "A".repeat(42)));
        let before = Seal::with_key(&first, &[]).unwrap();
        let (both, alone) = (Seal::with_key(&second, &[&first]).unwrap(), Seal::with_key(&second, &[]).unwrap());
        let before = asked.digests(Some(&before)).digest;
        assert!(asked.digests(Some(&both)).older.contains(&before));
        assert!(!asked.digests(Some(&alone)).older.contains(&before));
        assert!(asked.digests(Some(&alone)).older.contains(&asked.digests(None).digest));
        assert!(asked.digests(None).older.is_empty());
    }
}
