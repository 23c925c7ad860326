//! Queue of requests: requests wait in the store, and workers claim them and renew their claims while they work.

use crate::access::Expected;
use crate::answer::Refusal;
use crate::approved::Approved;
use crate::auth::{Action, Caller, Quota, Resource};
use crate::claim_heartbeat::{ClaimHeartbeat, TERM};
use crate::drift_scan;
use crate::environments::Environments;
use crate::metrics;
use crate::operation_log::OperationLog;
use crate::processing::{WorkPermit, block_if_large, process};
use crate::request_context::{RequestOptions, RequestSubject};
use crate::run;
use crate::serve::Shared;
use crate::trace_context::{self, TraceContext};
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
        #[serde(default, rename = "beside")]
        options: RequestOptions,
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
        #[serde(default, rename = "beside")]
        options: RequestOptions,
        /// The operation that made the plan.
        #[serde(default)]
        plan: Option<Uuid>,
    },
    /// Scan for drift.
    Drift {
        /// The stack.
        stack: String,
        /// The other stacks of the same call with an idempotency key, if this is the first one.
        #[serde(default, rename = "beside", skip_serializing_if = "Vec::is_empty")]
        other_stacks: Vec<String>,
    },
    /// Look up values for a catalog.
    Reverse(ReverseProvisioningRequest),
}

impl Request {
    /// The stored form. With a state key it is sealed, because a descriptor may hold secrets.
    fn to_body(&self, trace: TraceContext, operation: Uuid, seal: &Seal) -> Result<String, Refusal> {
        let text = serde_json::to_string(&StoredBody { request: self, trace })
            .map_err(|error| Refusal::Internal(error.to_string()))?;
        match seal.has_key() {
            false => Ok(text),
            true => seal_body(text.as_bytes(), operation, seal).map_err(|error| Refusal::Internal(error.to_string())),
        }
    }

    /// Reads what [`Request::to_body`] wrote.
    ///
    /// # Errors
    /// When it was sealed with another key, or written by an incompatible server.
    pub(crate) fn of_body(body: &str, operation: Uuid, seal: &Seal) -> Result<Self, Refusal> {
        Ok(read(body, operation, seal)?.request)
    }

    /// Whether the request changes nothing: after an interruption nothing is left half-done.
    pub(crate) const fn is_read_only(&self) -> bool {
        match self {
            Self::Provision(_) | Self::Unprovision(_) | Self::Access { .. } | Self::Apply { .. } => false,
            Self::Validate(_) | Self::Plan { .. } | Self::Drift { .. } | Self::Reverse(_) => true,
        }
    }

    /// The request with the descriptor, if there is one.
    const fn provisioning_request(&self) -> Option<&ProvisioningRequest> {
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
            Self::Drift { .. } => drift_scan::KIND,
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
            Self::Plan { request, options, .. } | Self::Apply { request, options, .. } => {
                request.remove_data || !options.allow_data_loss.is_empty()
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
        let content = match self {
            Self::Provision(request) | Self::Unprovision(request) | Self::Validate(request) => {
                format!("{} {}", request.remove_data, canonical_descriptor(&request.descriptor))
            }
            Self::Access { request, access, named, .. } => {
                format!("{access:?} {named:?} {}", canonical_descriptor(&request.descriptor))
            }
            Self::Plan { request, destroy, options } => {
                format!(
                    "{destroy} {} {} {}",
                    request.remove_data,
                    options.canonical_text(),
                    canonical_descriptor(&request.descriptor)
                )
            }
            Self::Apply { request, destroy, approved: Approved { digest, .. }, options, .. } => {
                format!(
                    "{digest} {destroy} {} {} {}",
                    request.remove_data,
                    options.canonical_text(),
                    canonical_descriptor(&request.descriptor)
                )
            }
            Self::Drift { stack, other_stacks } if other_stacks.is_empty() => stack.clone(),
            Self::Drift { stack, other_stacks } => json!([stack, other_stacks]).to_string(),
            Self::Reverse(question) => {
                let ReverseProvisioningRequest { use_case_template_id, environment, params, catalog_info } = question;
                json!([use_case_template_id, environment, params, catalog_info]).to_string()
            }
        };
        format!("{} {content}", self.word())
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
struct StoredBody<R> {
    #[serde(flatten)]
    request: R,
    /// Empty for requests that an older server queued.
    #[serde(default, rename = "followed")]
    trace: TraceContext,
}

/// Reads a stored request. With a state key an unsealed request is refused: a writer to the database could forge it.
fn read(body: &str, operation: Uuid, seal: &Seal) -> Result<StoredBody<Request>, Refusal> {
    let unreadable = |error: &dyn std::fmt::Display| Refusal::Internal(format!("cannot read a request: {error}"));
    let is_sealed = body.starts_with(SEALED);
    if !is_sealed && seal.at(Place::Request { operation }).check_unsealed().is_err() {
        return Err(unreadable(&"it is not sealed although there is a state key; `terrace state rekey` seals it"));
    }
    let text = open_body(body, operation, seal).map_err(|error| unreadable(&error))?;
    serde_json::from_slice(&text).map_err(|error| unreadable(&error))
}

/// The prefix of a sealed body.
const SEALED: &str = "sealed:";

/// Seals the body of a request.
pub(crate) fn seal_body(text: &[u8], operation: Uuid, seal: &Seal) -> Result<String, WireError> {
    Ok(format!("{SEALED}{}", seal.at(Place::Request { operation }).seal(&Spot::Root, text)?))
}

/// Opens the body of a stored request, sealed or not.
pub(crate) fn open_body<'b>(body: &'b str, operation: Uuid, seal: &Seal) -> Result<Cow<'b, [u8]>, WireError> {
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
fn canonical_descriptor(text: &str) -> String {
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
pub(crate) struct CheckedRequest {
    pub(crate) request: Arc<Request>,
    pub(crate) subject: RequestSubject,
    digests: Digests,
}

/// Checks the descriptor of a request. `read` returns the subject of the request, or its errors.
///
/// # Errors
/// As `read`, and when too many large descriptors are in work.
pub(crate) async fn check_request<R>(shared: &Arc<Shared>, request: Request, read: R) -> Result<CheckedRequest, Refusal>
where
    R: AsyncFn(&Shared, &Environments, &ProvisioningRequest) -> Result<RequestSubject, Refusal> + Send + Sync + 'static,
{
    let (request, read) = (Arc::new(request), Arc::new(read));
    let bytes = request.provisioning_request().map_or(0, ProvisioningRequest::bytes);
    let work = {
        let request = Arc::clone(&request);
        move |shared: Arc<Shared>, limits| {
            let (request, read) = (Arc::clone(&request), Arc::clone(&read));
            async move {
                let environments = shared.environments.within(limits);
                let Some(provisioning) = request.provisioning_request() else {
                    return Err(Refusal::Internal("a request without a descriptor cannot be checked".to_owned()));
                };
                let subject = read(&shared, &environments, provisioning).await?;
                Ok((subject, request.digests(Some(environments.seal()))))
            }
        }
    };
    let (subject, digests) = process(shared, bytes, work).await??;
    Ok(CheckedRequest { request, subject, digests })
}

/// Checks a request as [`check_request`] does, and queues it; returns its token.
///
/// # Errors
/// As [`check_request`], and when the queue refuses it.
pub(crate) async fn check_and_enqueue<R>(
    shared: &Arc<Shared>,
    caller: &Caller,
    request: Request,
    read: R,
) -> Result<Uuid, Refusal>
where
    R: AsyncFn(&Shared, &Environments, &ProvisioningRequest) -> Result<RequestSubject, Refusal> + Send + Sync + 'static,
{
    let checked = check_request(shared, request, read).await?;
    shared.enqueue_checked(caller, checked).await
}

impl Shared {
    /// Queues a request without a descriptor; returns its token.
    pub(crate) async fn enqueue_request(
        &self,
        caller: &Caller,
        request: &Request,
        subject: RequestSubject,
    ) -> Result<Uuid, Refusal> {
        let (digests, trace) = (
            request.digests(Some(self.environments.seal())),
            TraceContext::current(&subject.stack, &subject.component),
        );
        self.enqueue(caller, request, digests, vec![subject.stack], subject.component, trace).await
    }

    /// Queues a checked request; returns its token.
    pub(crate) async fn enqueue_checked(&self, caller: &Caller, checked: CheckedRequest) -> Result<Uuid, Refusal> {
        let CheckedRequest { request, subject, digests } = checked;
        caller.check_scope(subject.needed, request.action(), &subject.stack)?;
        let trace = TraceContext::current(&subject.stack, &subject.component);
        self.enqueue(caller, &request, digests, vec![subject.stack], subject.component, trace).await
    }

    /// Queues a checked request for a plan. It waits in a queue stack of its environment, not behind requests for its
    /// own stack.
    pub(crate) async fn enqueue_plan(
        &self,
        caller: &Caller,
        checked: CheckedRequest,
        queue: StackId,
    ) -> Result<Uuid, Refusal> {
        let CheckedRequest { request, subject, digests } = checked;
        caller.check_scope(subject.needed, request.action(), &subject.stack)?;
        let (component, trace) = (digests.digest.clone(), TraceContext::current(&subject.stack, ""));
        self.enqueue(caller, &request, digests, vec![queue, subject.stack], component, trace).await
    }

    /// Queues a request that does not wait for others of its stack. An equal request that waits already stands for it.
    pub(crate) async fn enqueue_unordered(
        &self,
        caller: &Caller,
        request: &Request,
        stacks: Vec<StackId>,
    ) -> Result<Uuid, Refusal> {
        let digests = request.digests(Some(self.environments.seal()));
        let component = digests.digest.clone();
        // The queue stack comes before the stack that the request is about.
        let trace = stacks.last().map(|stack| TraceContext::current(stack, "")).unwrap_or_default();
        self.enqueue(caller, request, digests, stacks, component, trace).await
    }

    /// The operation of an earlier call with the same idempotency key and the same meaning.
    ///
    /// # Errors
    /// When another call used the key.
    pub(crate) async fn find_earlier_request(
        &self,
        caller: &Caller,
        request: &Request,
    ) -> Result<Option<Uuid>, Refusal> {
        let Some(key) = caller.key() else { return Ok(None) };
        match self.store.find_by_idempotency_key(&key).await? {
            Some((token, digest)) if request.digests(Some(self.environments.seal())).has(&digest) => Ok(Some(token)),
            Some(_) => Err(Refusal::KeyTaken),
            None => Ok(None),
        }
    }

    async fn enqueue(
        &self,
        caller: &Caller,
        request: &Request,
        Digests { digest, older: older_digests }: Digests,
        stacks: Vec<StackId>,
        component: String,
        trace: TraceContext,
    ) -> Result<Uuid, Refusal> {
        // A queue stack may come first.
        let (action, stack) = (request.action(), stacks.last());
        let target: Vec<Resource<'_>> = stack.into_iter().map(Resource::Stack).collect();
        caller.check(action, request.consents(), &target)?;
        let share = |quota: Quota| RequestQuota {
            caller: caller.name_or("anonymous"),
            waiting: quota.waiting.unwrap_or(self.settings.most_waiting_of_caller),
            running: quota.running,
        };
        let own = stacks.last().and_then(|stack| caller.quota(action, stack));
        let quota = own.map(share);
        let (id, idempotency) = (Uuid::now_v7(), caller.key());
        let operation =
            NewOperation { id, kind: request.word().to_owned(), stacks, actor: caller.name_or("anonymous") };
        let bytes = request.provisioning_request().map_or(0, ProvisioningRequest::bytes);
        let body = block_if_large(bytes, || request.to_body(trace, id, self.environments.seal()))?.into();
        // A call may queue many scans at once; changes do not wait for them.
        let can_wait = matches!(request, Request::Drift { .. });
        let new_request =
            NewRequest { operation, component, digest, older_digests, body, idempotency, can_wait, quota };
        // From here on, a call that times out may have been queued.
        caller.note_operation(id);
        let queued = self.store.enqueue(&new_request, self.settings.most_waiting).await?;
        if matches!(queued, Enqueued::OverQuota | Enqueued::KeyTaken | Enqueued::Full) {
            caller.forget_operation();
        }
        match queued {
            Enqueued::Queued { behind } => {
                self.wake.notify_one();
                if let Some(earlier) = behind {
                    let message = format!("waits for operation {earlier} on the same component");
                    let log = OperationLog { store: Arc::clone(&self.store), operation: id };
                    log.line("INFO", "queue", &message).await;
                }
                Ok(id)
            }
            Enqueued::Same(token) => {
                caller.note_operation(token);
                Ok(token)
            }
            Enqueued::OverQuota => Err(Refusal::OverQuota {
                name: caller.name_or("anonymous"),
                most: new_request.quota.map_or(0, |quota| quota.waiting),
                limit: match own.and_then(|quota| quota.waiting) {
                    Some(_) => "limits.queue.waiting",
                    None => "server.queue.perCaller",
                },
            }),
            Enqueued::KeyTaken => Err(Refusal::KeyTaken),
            Enqueued::Full => Err(Refusal::QueueFull),
        }
    }
}

/// Claims and runs requests until the server stops.
pub(crate) async fn run_worker(shared: Arc<Shared>) {
    while !shared.stop.is_cancelled() {
        let claimed = shared.store.claim(&shared.claimant, TERM).await;
        shared.last_answer.note(&claimed);
        if claimed.is_ok() && shared.claiming.ends() {
            tracing::info!("claiming requests again");
        }
        match claimed {
            Ok(Some(claim)) => {
                if claim.has_waiting_requests {
                    shared.wake.notify_one();
                }
                handle_claim(&shared, &claim).await;
            }
            Ok(None) => wait_for_work(&shared).await,
            Err(error) => {
                if shared.claiming.begins() {
                    tracing::warn!(%error, "cannot claim requests: retrying");
                }
                wait_for_work(&shared).await;
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
async fn wait_for_work(shared: &Shared) {
    let pause = async {
        let _polling = shared.polling.lock().await;
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
async fn handle_claim(shared: &Arc<Shared>, claim: &RequestClaim) {
    let deaths = claim.deaths.len();
    if deaths >= MOST_DEATHS {
        return give_up(shared, claim).await;
    }
    let exclusive = (deaths >= SUSPICIOUS).then(|| shared.suspect.try_lock());
    let permit = shared.processing.permit_for_work(claim.operation, claim.body.expose().len());
    match (exclusive.transpose(), permit) {
        (Ok(_exclusive), Some(permit)) => run_claimed(shared, claim, &permit).await,
        _ => release(shared, claim, SHORT_PAUSE).await,
    }
}

/// Releases a claim.
async fn release(shared: &Shared, claim: &RequestClaim, pause: Duration) {
    if let Err(error) = shared.store.release_claim(claim, pause).await {
        tracing::debug!(operation = %claim.operation, %error, "cannot release a claim: it will expire");
    }
}

/// Ends a request that several servers died of, and logs the reason.
async fn give_up(shared: &Arc<Shared>, claim: &RequestClaim) {
    let began = Instant::now();
    let end = run::ended_by_deaths(claim);
    let log = OperationLog { store: Arc::clone(&shared.store), operation: claim.operation };
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
async fn run_claimed(shared: &Arc<Shared>, claim: &RequestClaim, permit: &WorkPermit) {
    let (cancel, began) = (CancellationToken::new(), Instant::now());
    let heartbeat = ClaimHeartbeat::of(shared, claim, &cancel);
    let lock = shared.operation_locks.of(claim.operation);
    let _guard = lock.lock().await;
    let (request, trace) = match read(claim.body.expose(), claim.operation, shared.environments.seal()) {
        Ok(StoredBody { request, trace }) => (Ok(request), trace),
        Err(refusal) => (Err(refusal), TraceContext::default()),
    };
    let span = trace.span(claim.operation, &claim.kind);
    let environments = shared.environments.within(permit.limits.clone());
    let stops = run::Stops { cancel: &cancel, lost: heartbeat.lost() };
    let running = AssertUnwindSafe(run::execute(shared, &environments, claim, request, stops)).catch_unwind();
    let end = running.instrument(span.clone()).await.unwrap_or_else(|_| Some(run::ended_by_panic(claim.operation)));
    if shared.processing.needs_large_limits(claim.operation, permit) {
        return release(shared, claim, Duration::ZERO).await;
    }
    // A lost claim says nothing about the request itself.
    let Some(end) = end.filter(|end| end.status == OperationStatus::Completed || !heartbeat.is_lost()) else {
        tracing::info!(operation = %claim.operation, "leaving a request to its next worker");
        return;
    };
    if end.status == OperationStatus::Interrupted {
        OperationLog { store: Arc::clone(&shared.store), operation: claim.operation }.stopped(&end).await;
    }
    match shared.store.finish(claim, &end).await {
        Ok(()) => {
            audit(shared, claim, &end).await;
            trace_context::ended(&span, &end, began.elapsed());
            metrics::ended(&claim.kind, end.status, began);
            shared.failed_attempts.forget(claim.operation);
            shared.recovery_checks.forget(claim.operation);
            shared.processing.forget(claim.operation);
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
        let request = Request::Drift { stack: "finance.cashflow.0@local".to_owned(), other_stacks: Vec::new() };
        let key = |first: &str| Seal::with_key(&format!("{first}{}=", "A".repeat(42)), &[]).unwrap();
        let (one, other) = (key("A"), key("B"));
        let digest = |seal: Option<&Seal>| request.digests(seal).digest;
        assert_eq!(digest(Some(&one)), digest(Some(&one)));
        assert_ne!(digest(Some(&one)), digest(Some(&other)));
        assert_ne!(digest(Some(&one)), digest(None));
    }

    #[test]
    fn digests_cover_older_keys_while_they_are_known() {
        let request = Request::Drift { stack: "finance.cashflow.0@local".to_owned(), other_stacks: Vec::new() };
        let (first, second) = (format!("A{}=", "A".repeat(42)), format!("B{}=", "A".repeat(42)));
        let before = Seal::with_key(&first, &[]).unwrap();
        let (both, alone) = (Seal::with_key(&second, &[&first]).unwrap(), Seal::with_key(&second, &[]).unwrap());
        let before = request.digests(Some(&before)).digest;
        assert!(request.digests(Some(&both)).older.contains(&before));
        assert!(!request.digests(Some(&alone)).older.contains(&before));
        assert!(request.digests(Some(&alone)).older.contains(&request.digests(None).digest));
        assert!(request.digests(None).older.is_empty());
    }
}
