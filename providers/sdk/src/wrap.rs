//! Wrappers of every session: limits on concurrent calls and on call rates, retries of temporary errors, trace lines,
//! and redaction of sensitive values.
//!
//! Providers implement none of this.

mod call_permit;
mod deadline;
mod depth;
mod gate;
mod limits;
mod redacting;
pub mod silence;
mod slot;

pub use call_permit::{CallPermit, LeaseCheck, Moment, with_permit};
pub use deadline::{LatestErrors, in_time, stoppable, within};
pub use limits::{Limits, Rate, TypeLimits};

use crate::plan::{PlannedChange, ProposedChange};
use crate::provider::{DryRun, Probe, READS_AT_ONCE};
use crate::{
    Attempt, Attributes, Call, DataAmount, ErrorKind, Finding, Found, Grantee, MissingRight, Observed, Planned,
    Provider, ProviderError, ProviderSchema, Recorded, ResourceType, Session, Settings, Severity,
};
use async_trait::async_trait;
use backon::{ExponentialBuilder, Retryable};
use call_permit::{current_permit, start_limit};
use depth::{Answer, recordable_error};
use futures_util::StreamExt;
use gate::{Gates, Permit};
use metrics::histogram;
use slot::Slot;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tracing::Instrument;
use tracing::field::Empty;

/// Metric of call durations in seconds, by `instance`, `type`, `call` and `result`.
pub const CALL_SECONDS: &str = "terrace_provider_call_seconds";

/// Opens an instance: a session within its limits, with redacted texts.
///
/// # Errors
/// When the provider cannot open it.
pub async fn guarded(
    provider: &dyn Provider,
    settings: &Settings,
    limits: Limits,
) -> Result<Arc<Guarded>, ProviderError> {
    // Innermost, so that trace lines hold only redacted texts.
    let session = redacting::redacting(provider, settings).await?;
    let instance = settings.instance.clone();
    let gates = Arc::new(Gates::new(&limits));
    let (admitted, slot, is_remote) = (AtomicUsize::new(0), None, provider.schema().is_remote);
    Ok(Arc::new(Guarded {
        instance,
        session,
        gates,
        limits,
        admitted,
        slot,
        is_unavailable: Arc::default(),
        is_remote,
    }))
}

/// A session within the limits of its instance.
pub struct Guarded {
    instance: String,
    session: Arc<dyn Session>,
    gates: Arc<Gates>,
    limits: Limits,
    /// Number of coming calls that already have their tokens.
    admitted: AtomicUsize,
    /// The slot that these calls use one after the other.
    slot: Option<Slot>,
    /// True if the last reading call failed with all its retries. Reading calls then get no retries until one gets an
    /// answer.
    is_unavailable: Arc<AtomicBool>,
    /// True for a remote system: plans limit its silence.
    is_remote: bool,
}

impl Guarded {
    /// Waits until a call may begin. A change waits only while enough of its timeout is left, and until the user stops.
    /// A reading call stops waiting once the user stops: the system then needs no protection.
    async fn enter(
        &self,
        ty: &str,
        change: Option<(&Call, &CallPermit)>,
        began: Instant,
    ) -> Result<Option<Permit>, ProviderError> {
        let is_admitted =
            self.admitted.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        // A call that waits for a token must not hold a slot.
        let own = self.own_slot(ty).filter(|_| is_admitted || !self.gates.has_rate(ty));
        let permit = async {
            match (own, is_admitted) {
                (Some(own), _) => Ok(own),
                (None, true) => self.gates.enter_with_tokens(ty).await,
                (None, false) => self.gates.enter(ty).await,
            }
        };
        let Some((call, call_permit)) = change else {
            let stop = deadline::stop();
            return tokio::select! {
                biased;
                permit = permit => permit.map(Some),
                () = stop.cancelled() => Ok(None),
            };
        };
        call_permit.is_in_time(call)?;
        let left = start_limit(call).saturating_sub(call_permit.since.elapsed().max(began.elapsed()));
        let permit = tokio::select! {
            biased;
            // After a suspend of the machine, a free slot and an elapsed limit may both be ready.
            () = tokio::time::sleep(left) => {
                let message = format!(
                    "the limits of `{}` left too little of its timeout of {} s",
                    self.instance,
                    call.timeout.as_secs_f64(),
                );
                return Err(ProviderError::new(ErrorKind::NotBegun, message)
                    .solution("raise `limits` of the instance, or set longer `timeouts` for the resource"));
            }
            permit = permit => permit?,
            () = call.cancel.cancelled() => {
                return Err(ProviderError::new(ErrorKind::NotBegun, "it was stopped before it began"));
            }
        };
        call_permit.check(call).await?;
        Ok(Some(permit))
    }

    /// Reads objects by one call of the provider, without retries; `None` if it reads each object alone.
    async fn read_at_once(
        &self,
        ty: &ResourceType,
        priors: &[Recorded],
    ) -> Option<Vec<Result<Option<Observed>, ProviderError>>> {
        let batch = self.session.read_batch(ty, priors)?;
        let all_failed = |error: &ProviderError| priors.iter().map(|_| Err(error.clone())).collect();
        let permit = match self.gates.enter(ty.name).await {
            Ok(permit) => permit,
            Err(error) => return Some(all_failed(&error)),
        };
        tracing::trace!(instance = %self.instance, ty = ty.name, what = "read", count = priors.len(), "call");
        let answers = match self.is_remote {
            true => silence::listening(&self.instance, async { Ok(batch.await) }).await,
            false => Ok(batch.await),
        };
        drop(permit);
        Some(match answers {
            Ok(answers) if answers.len() == priors.len() => {
                answers.into_iter().map(|answer| answer?.recordable()).collect()
            }
            Ok(answers) => {
                let fault = format!("{} answers to {} reads of `{}`", answers.len(), priors.len(), ty.name);
                all_failed(&ProviderError::bug(fault))
            }
            Err(error) => all_failed(&error),
        })
    }

    /// Runs a call and checks that its answer can be recorded.
    async fn call_recordable<T, F, Fut>(
        &self,
        what: &'static str,
        ty: &str,
        subject: &Subject<'_>,
        call: F,
    ) -> Result<T, ProviderError>
    where
        T: Answer,
        F: Fn() -> Fut + Send + Sync,
        Fut: Future<Output = Result<T, ProviderError>> + Send,
    {
        self.call(what, ty, subject, call).await.map_err(recordable_error)?.recordable()
    }

    /// Runs a call, with retries while its error is temporary and time is left. A pause between attempts holds no slot.
    async fn call<T, F, Fut>(
        &self,
        what: &'static str,
        ty: &str,
        subject: &Subject<'_>,
        call: F,
    ) -> Result<T, ProviderError>
    where
        F: Fn() -> Fut + Send + Sync,
        Fut: Future<Output = Result<T, ProviderError>> + Send,
    {
        let began = Instant::now();
        let last = Mutex::new(None);
        let (change, address) = match subject {
            Subject::Change(call) => (Some(*call), ""),
            Subject::Object(address) => (None, *address),
            Subject::Nothing => (None, ""),
        };
        // The object's address, for the log.
        let object = change.map(|call| call.address.as_str()).or(Some(address).filter(|address| !address.is_empty()));
        let call_permit = current_permit();
        let attempt = || async {
            let permit = silence::excused(self.enter(ty, change.map(|call| (call, &call_permit)), began)).await?;
            tracing::trace!(instance = %self.instance, ty, what, address = object, "call");
            let begun = Instant::now();
            let result = Empty;
            let span =
                tracing::info_span!("provider call", instance = %self.instance, ty, what, address = object, result);
            let result = call().instrument(span.clone()).await;
            let outcome = result.as_ref().err().map_or("ok", |error| error.kind.code());
            span.record("result", outcome);
            let (instance, of_type) = (self.instance.clone(), ty.to_owned());
            histogram!(CALL_SECONDS, "instance" => instance, "type" => of_type, "call" => what, "result" => outcome)
                .record(begun.elapsed().as_secs_f64());
            if let Err(error) = &result {
                let kind = error.kind.code();
                tracing::debug!(instance = %self.instance, ty, what, address = object, kind, %error, "call failed");
                *locked(&last) = Some(error.clone());
            }
            deadline::record_attempt(address, &result);
            if !result.as_ref().is_err_and(|error| error.kind.is_temporary()) {
                self.keep_slot(ty, permit);
            }
            result
        };
        let skips_retries = change.is_none() && self.is_unavailable.load(Ordering::Relaxed);
        let backoff = ExponentialBuilder::default()
            .with_min_delay(self.limits.first_pause)
            .with_max_delay(Duration::from_secs(30))
            .with_max_times(if skips_retries { 0 } else { self.limits.retries_of(ty) })
            .with_jitter();
        let attempts = attempt
            .retry(backoff)
            // Once the user stops, nothing new may begin, not even another attempt.
            .when(|error| error.kind.is_temporary() && !change.is_some_and(|call| call.cancel.is_cancelled()))
            .adjust(|error, pause| {
                let pause = match &error.kind {
                    ErrorKind::Throttled { retry_after: Some(requested) } => pause?.max(*requested),
                    _ => pause?,
                };
                // The last error is more useful than a timeout message.
                let is_over = match change {
                    Some(call) => {
                        began.elapsed().max(call_permit.since.elapsed()).saturating_add(pause) >= start_limit(call)
                    }
                    None => error.kind == ErrorKind::Transient && began.elapsed() >= READ_RETRY_TIME,
                };
                if !is_over {
                    silence::excuse_pause(pause);
                }
                (!is_over).then_some(pause)
            });
        let attempts = Box::pin(attempts.into_future());
        let result = match change {
            None if self.is_remote => {
                let outcome = silence::listening(&self.instance, attempts).await;
                outcome.map_err(|error| with_latest(error, &locked(&last)))
            }
            _ => attempts.await,
        };
        match result.as_ref().map_err(|error| &error.kind) {
            Err(ErrorKind::Transient) if change.is_none() => self.is_unavailable.store(true, Ordering::Relaxed),
            Err(ErrorKind::Transient | ErrorKind::Throttled { .. } | ErrorKind::NotBegun) => {}
            _ => self.is_unavailable.store(false, Ordering::Relaxed),
        }
        match result {
            // Earlier attempts may have reached the provider: their error takes precedence.
            Err(error) if error.kind == ErrorKind::NotBegun => {
                Err(last.into_inner().unwrap_or_else(PoisonError::into_inner).unwrap_or(error))
            }
            result => result,
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The error of an instance that the engine gave up on, with the error of its latest attempt.
fn with_latest(error: ProviderError, latest: &Option<ProviderError>) -> ProviderError {
    match latest.as_ref().filter(|latest| latest.message != error.message) {
        Some(latest) => error.problem(format!("the latest error: {}", latest.message)),
        None => error,
    }
}

/// The subject of a call.
enum Subject<'a> {
    /// A change.
    Change(&'a Call),
    /// A read of the object with this address.
    Object(&'a str),
    /// No recorded object.
    Nothing,
}

/// Time limit for the retries of a reading call whose attempts fail late. The caller waits for the answer, and a host
/// that leaves connections open rarely recovers soon. A throttled call has its own pauses.
const READ_RETRY_TIME: Duration = Duration::from_secs(15);

#[async_trait]
impl Session for Guarded {
    async fn read(&self, ty: &ResourceType, prior: &Recorded) -> Result<Option<Observed>, ProviderError> {
        self.call_recordable("read", ty.name, &Subject::Object(&prior.address), || self.session.read(ty, prior)).await
    }

    async fn read_many(&self, ty: &ResourceType, priors: &[Recorded]) -> Vec<Result<Option<Observed>, ProviderError>> {
        let Some(mut answers) = self.read_at_once(ty, priors).await else {
            let reads: Vec<_> = priors.iter().map(|prior| self.read(ty, prior)).collect();
            return futures_util::stream::iter(reads).buffered(READS_AT_ONCE).collect().await;
        };
        // A lost connection fails the batch as a whole: single reads of all its objects take much longer than a repetition.
        if answers.iter().all(|answer| answer.as_ref().is_err_and(|error| error.kind == ErrorKind::Transient))
            && let Some(repeated) = self.read_at_once(ty, priors).await
        {
            answers = repeated;
        }
        // Retries single objects that the batch answered with a temporary error.
        for (answer, prior) in answers.iter_mut().zip(priors) {
            if answer.as_ref().is_err_and(|error| error.kind.is_temporary()) {
                *answer = self.read(ty, prior).await;
            }
        }
        answers
    }

    async fn plan(&self, ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
        self.session.plan(ty, change).await?.recordable()
    }

    fn check_configured(&self, ty: &ResourceType, attributes: &Attributes) -> Result<(), ProviderError> {
        self.session.check_configured(ty, attributes)
    }

    async fn create(&self, ty: &ResourceType, call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
        let attempts = AtomicUsize::new(0);
        let create = || {
            attempts.fetch_add(1, Ordering::Relaxed);
            self.session.create(ty, call, planned)
        };
        let answer = self.call_recordable("create", ty.name, &Subject::Change(call), create).await;
        answer.map_err(|error| match error.kind {
            // An earlier attempt may have created it although its error denied that; `find` determines the outcome.
            ErrorKind::AlreadyExists { .. } if attempts.into_inner() > 1 => {
                ProviderError { kind: ErrorKind::Ambiguous, ..error }
            }
            _ => error,
        })
    }

    async fn update(
        &self,
        ty: &ResourceType,
        call: &Call,
        prior: &Recorded,
        planned: &Planned,
    ) -> Result<Observed, ProviderError> {
        self.call_recordable("update", ty.name, &Subject::Change(call), || {
            self.session.update(ty, call, prior, planned)
        })
        .await
    }

    async fn delete(&self, ty: &ResourceType, call: &Call, prior: &Recorded) -> Result<(), ProviderError> {
        self.call("delete", ty.name, &Subject::Change(call), || self.session.delete(ty, call, prior)).await
    }

    async fn find(&self, ty: &ResourceType, attempt: &Attempt) -> Result<Found, ProviderError> {
        self.call_recordable("find", ty.name, &Subject::Nothing, || self.session.find(ty, attempt)).await
    }

    async fn import(&self, ty: &ResourceType, id: &str) -> Result<Option<Observed>, ProviderError> {
        self.call_recordable("import", ty.name, &Subject::Nothing, || self.session.import(ty, id)).await
    }

    async fn upgrade(&self, ty: &ResourceType, from: u32, stored: Attributes) -> Result<Attributes, ProviderError> {
        self.session.upgrade(ty, from, stored).await?.recordable()
    }

    fn validate_remote<'a>(&'a self, ty: &'a ResourceType, planned: &'a Attributes) -> Option<DryRun<'a>> {
        let dry_run = self.session.validate_remote(ty, planned)?;
        Some(Box::pin(async move {
            let Ok(_permit) = self.gates.enter(ty.name).await else { return Vec::new() };
            if !self.is_remote {
                return dry_run.await;
            }
            let findings = silence::listening(&self.instance, async { Ok(dry_run.await) }).await;
            findings.unwrap_or_else(|error| {
                let message = format!("the dry run of `{}` has no result: {}", ty.name, error.message);
                vec![Finding { severity: Severity::Warning, path: None, message, hint: None }]
            })
        }))
    }

    async fn lookup(&self, name: &str, arguments: &Attributes) -> Result<Attributes, ProviderError> {
        self.call_recordable("lookup", name, &Subject::Nothing, || self.session.lookup(name, arguments)).await
    }

    async fn grantees(&self, ty: &ResourceType, accesses: &[Attributes]) -> Result<Vec<Grantee>, ProviderError> {
        let grantees = self
            .call_recordable("grantees", ty.name, &Subject::Nothing, || self.session.grantees(ty, accesses))
            .await?;
        // The engine revokes access by this answer: each grant must have a complete identity and a requested access.
        let is_requested = |grantee: &Grantee| {
            let access = ty.access_of(&grantee.grant.identity).filter(|access| accesses.contains(access));
            access.is_some() && ty.identity_of(&grantee.grant.identity).is_some()
        };
        match grantees.iter().find(|grantee| !is_requested(grantee)) {
            Some(unrequested) => {
                let message =
                    format!("{} returned the grantee `{}`, which was not requested", ty.name, unrequested.principal);
                Err(ProviderError::bug(message))
            }
            None => Ok(grantees),
        }
    }

    async fn unexpressed(&self, ty: &ResourceType, imported: &Observed) -> Result<Vec<String>, ProviderError> {
        self.call("unexpressed", ty.name, &Subject::Nothing, || self.session.unexpressed(ty, imported)).await
    }

    fn probe<'a>(&'a self, schema: &'a ProviderSchema) -> Option<Probe<'a>> {
        // A dropped future has sent nothing. Each attempt needs its own.
        drop(self.session.probe(schema)?);
        Some(Box::pin(self.call("probe", "", &Subject::Nothing, || async {
            match self.session.probe(schema) {
                Some(probe) => probe.await,
                None => Ok(()),
            }
        })))
    }

    async fn missing_rights(&self) -> Result<Option<Vec<MissingRight>>, ProviderError> {
        // No type: only limits of the whole instance apply.
        self.call("missing_rights", "", &Subject::Nothing, || self.session.missing_rights()).await
    }

    async fn count_data(&self, ty: &ResourceType, prior: &Recorded) -> Result<DataAmount, ProviderError> {
        let count = || silence::excused_if_known(self.session.count_data(ty, prior));
        self.call("count_data", ty.name, &Subject::Nothing, count).await
    }
}

#[cfg(test)]
mod tests;
