//! Queue of requests: requests wait in the store, and workers claim them and renew their claims while they work.

use crate::answer::Refusal;
use crate::auth::{Caller, Quota, Resource};
use crate::claim_heartbeat::{ClaimHeartbeat, TERM};
use crate::environments::Environments;
use crate::metrics;
use crate::operation_log::OperationLog;
use crate::pipelines::PipelinesCaller;
use crate::processing::{WorkPermit, block_if_large, process};
use crate::request::{Digests, Request, StoredBody, read};
use crate::request_context::RequestSubject;
use crate::run::{self, MOST_DEATHS};
use crate::shared::Shared;
use crate::step_usage;
use crate::trace_context::{self, TraceContext};
use crate::witboost::ProvisioningRequest;
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use terrace_engine::address::StackId;
use terrace_engine::store::{
    AuditEntry, AuditOutcome, Enqueued, NewOperation, NewRequest, OperationStatus, OrderKey, RequestClaim, RequestEnd,
    RequestQuota, StoreError,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

/// How often a worker checks for requests of other processes.
const POLL: Duration = Duration::from_secs(2);

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
            TraceContext::current(&subject.stack, subject.order.as_str()),
        );
        self.enqueue(caller, request, digests, vec![subject.stack], subject.order, trace).await
    }

    /// Queues a checked request; returns its token.
    pub(crate) async fn enqueue_checked(&self, caller: &Caller, checked: CheckedRequest) -> Result<Uuid, Refusal> {
        let CheckedRequest { request, subject, digests } = checked;
        caller.check_scope(subject.needed, request.action(), &subject.stack)?;
        let trace = TraceContext::current(&subject.stack, subject.order.as_str());
        self.enqueue(caller, &request, digests, vec![subject.stack], subject.order, trace).await
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
        let order = OrderKey::of_text(digests.digest.as_str());
        let trace = TraceContext::current(&subject.stack, "");
        self.enqueue(caller, &request, digests, vec![queue, subject.stack], order, trace).await
    }

    /// Queues a request that does not wait for others of its stack. An equal request that waits already stands for it.
    pub(crate) async fn enqueue_unordered(
        &self,
        caller: &Caller,
        request: &Request,
        stacks: Vec<StackId>,
    ) -> Result<Uuid, Refusal> {
        let digests = request.digests(Some(self.environments.seal()));
        let order = OrderKey::of_text(digests.digest.as_str());
        // The queue stack comes before the stack that the request is about.
        let trace = stacks.last().map(|stack| TraceContext::current(stack, "")).unwrap_or_default();
        self.enqueue(caller, request, digests, stacks, order, trace).await
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
        order: OrderKey,
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
        let payer = stack.map(|stack| self.pipelines_caller(caller, action, stack)).unwrap_or_default();
        let (id, idempotency) = (Uuid::now_v7(), caller.key());
        let operation =
            NewOperation { id, kind: request.word().to_owned(), stacks, actor: caller.name_or("anonymous") };
        let bytes = request.provisioning_request().map_or(0, ProvisioningRequest::bytes);
        let body = block_if_large(bytes, || request.to_body(trace, payer, id, self.environments.seal()))?.into();
        // A call may queue many scans at once; changes do not wait for them.
        let can_wait = matches!(request, Request::Drift { .. });
        let new_request = NewRequest { operation, order, digest, older_digests, body, idempotency, can_wait, quota };
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
    let caller = read(claim.body.expose(), claim.operation, shared.environments.seal());
    let caller = caller.map(|body| body.caller).unwrap_or_default();
    match finish(shared, claim, &caller, &end).await {
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
    let (request, trace, caller) = match read(claim.body.expose(), claim.operation, shared.environments.seal()) {
        Ok(StoredBody { request, trace, caller }) => (Ok(request), trace, caller),
        Err(refusal) => (Err(refusal), TraceContext::default(), PipelinesCaller::default()),
    };
    let span = trace.span(claim.operation, &claim.kind);
    let environments = shared.environments.within(permit.limits.clone());
    let stops = run::Stops { cancel: &cancel, lost: heartbeat.lost() };
    let running =
        AssertUnwindSafe(run::execute(shared, &environments, (claim, &caller), request, stops)).catch_unwind();
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
    match finish(shared, claim, &caller, &end).await {
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

/// Records the end of a request, after its use of pipelines is in the audit log.
async fn finish(
    shared: &Shared,
    claim: &RequestClaim,
    caller: &PipelinesCaller,
    end: &RequestEnd,
) -> Result<(), StoreError> {
    if CHANGES.contains(&claim.kind.as_str()) {
        step_usage::log_steps(shared, claim, caller).await?;
    }
    shared.store.finish(claim, end).await
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
