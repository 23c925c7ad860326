//! Time limit of a plan for systems that accept calls and give no answer.
//!
//! A plan has one budget of silence for all instances. It no longer calls an instance that has used it up. Answers, own
//! limits and requested pauses do not count. Transports report answers with [`answered`].

use crate::{ErrorKind, ProviderError};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// The default budget.
pub const DEFAULT_LIMIT: Duration = Duration::from_secs(20);
/// The silence before the plan reports that it waits.
const REPORTED_AFTER: Duration = Duration::from_secs(3);
/// Each further instance gets at least this part of the budget.
const MIN_SHARE: u32 = 10;
/// Grace period for answers that arrived while the process was suspended.
const GRACE: Duration = Duration::from_millis(500);

/// Prints a line about an instance without an answer.
pub type Reporter = Arc<dyn Fn(&str) + Send + Sync>;

/// The silence budget of a plan, and its reporter.
#[derive(Clone)]
pub struct SilenceLimit {
    /// The total time.
    pub limit: Duration,
    /// Receives a line for each instance without an answer.
    pub reporter: Option<Reporter>,
}

impl Default for SilenceLimit {
    fn default() -> Self {
        Self { limit: DEFAULT_LIMIT, reporter: None }
    }
}

impl fmt::Debug for SilenceLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SilenceLimit").field("limit", &self.limit).finish_non_exhaustive()
    }
}

tokio::task_local! {
    static BUDGET: Arc<Budget>;
    static CALL: Arc<Listener>;
}

/// The silence budget of one plan.
struct Budget {
    silence_limit: SilenceLimit,
    account: Mutex<Account>,
    instances: Mutex<BTreeMap<String, Arc<InstanceState>>>,
}

/// The rest of a budget.
struct Account {
    left: Duration,
    /// Silence before this moment is paid for: concurrent calls share it.
    paid_until: Instant,
}

/// The state of one instance within a plan.
struct InstanceState {
    /// Time of its last answer.
    answered: Mutex<Option<Instant>>,
    /// The waiting time after which the plan gave it up.
    given_up: Mutex<Option<Duration>>,
    ended: CancellationToken,
    is_reported: AtomicBool,
}

/// One call to an instance.
struct Listener {
    state: Arc<InstanceState>,
    /// Number of current waits for something other than an answer.
    excuses: AtomicUsize,
    /// Start of the wait for an answer.
    since: Mutex<Instant>,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs work with one budget of silence for all its reading calls. Nested work shares the budget.
pub async fn with_silence_limit<T>(silence_limit: &SilenceLimit, work: impl Future<Output = T>) -> T {
    // Boxed, as below: the futures of a whole plan exceed the stack of a thread in a debug build.
    let work = Box::pin(work);
    if BUDGET.try_with(|_| ()).is_ok() {
        return work.await;
    }
    let account = Mutex::new(Account { left: silence_limit.limit, paid_until: Instant::now() });
    BUDGET
        .scope(Arc::new(Budget { silence_limit: silence_limit.clone(), account, instances: Mutex::default() }), work)
        .await
}

/// Reports that the other side sent an answer or a part of it.
pub fn answered() {
    let _ = CALL.try_with(|call| *locked(&call.state.answered) = Some(Instant::now()));
}

/// Waits without use of the budget: for a slot or a token of the instance's rate.
pub async fn excused<T>(work: impl Future<Output = T>) -> T {
    let _excuse = CALL.try_with(|call| Excuse::of(Arc::clone(call))).ok();
    work.await
}

/// Waits for slow work of the other side, such as a running connector. Uses the budget unless the instance has answered
/// before in this plan.
pub async fn excused_if_known<T>(work: impl Future<Output = T>) -> T {
    match CALL.try_with(|call| locked(&call.state.answered).is_some()) {
        Ok(true) => excused(work).await,
        _ => work.await,
    }
}

/// Excludes a coming pause, such as a requested one, from the silence.
pub(crate) fn excuse_pause(pause: Duration) {
    let _ = CALL.try_with(|call| call.excuse(pause));
}

struct Excuse {
    call: Arc<Listener>,
    began: Instant,
}

impl Excuse {
    fn of(call: Arc<Listener>) -> Self {
        call.excuses.fetch_add(1, Ordering::Relaxed);
        Self { call, began: Instant::now() }
    }
}

impl Drop for Excuse {
    fn drop(&mut self) {
        if self.call.excuses.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.call.excuse(self.began.elapsed());
        }
    }
}

impl Listener {
    /// Start of the silence; `None` during an excused wait.
    fn silent_since(&self) -> Option<Instant> {
        if self.excuses.load(Ordering::Relaxed) > 0 {
            return None;
        }
        Some(self.last_sign())
    }

    /// Time of the last sign of life, or the start.
    fn last_sign(&self) -> Instant {
        let since = *locked(&self.since);
        locked(&self.state.answered).map_or(since, |answered| answered.max(since))
    }

    /// Excludes a time from the silence.
    fn excuse(&self, time: Duration) {
        let last_sign = self.last_sign();
        *locked(&self.since) = last_sign.checked_add(time).unwrap_or(last_sign);
    }
}

impl Budget {
    fn state(&self, instance: &str) -> Arc<InstanceState> {
        let new = || {
            Arc::new(InstanceState {
                answered: Mutex::default(),
                given_up: Mutex::default(),
                ended: CancellationToken::new(),
                is_reported: AtomicBool::default(),
            })
        };
        Arc::clone(locked(&self.instances).entry(instance.to_owned()).or_insert_with(new))
    }

    /// The silence that an instance may still have.
    fn allowed(&self) -> Duration {
        locked(&self.account).left.max(self.silence_limit.limit / MIN_SHARE)
    }

    fn report(&self, instance: &str, state: &InstanceState, allowed: Duration) {
        if let Some(reporter) = &self.silence_limit.reporter
            && !state.is_reported.swap(true, Ordering::Relaxed)
        {
            let seconds = allowed.as_secs_f64().ceil();
            reporter(&format!("waiting for `{instance}`, which gives no answer: at most {seconds} s"));
        }
    }

    /// Pays for silence since this moment; returns true if budget is left.
    fn pay(&self, since: Instant) -> bool {
        let mut account = locked(&self.account);
        let now = Instant::now();
        let silence = now.saturating_duration_since(account.paid_until.max(since));
        account.left = account.left.saturating_sub(silence);
        account.paid_until = now;
        !account.left.is_zero()
    }

    fn give_up(&self, instance: &str, state: &InstanceState, allowed: Duration) -> ProviderError {
        *locked(&state.given_up) = Some(allowed);
        state.ended.cancel();
        self.error(instance, allowed)
    }

    /// The result of a call. A failure without a sign of life counts as silence.
    fn settled<T>(
        &self,
        instance: &str,
        listener: &Listener,
        allowed: Duration,
        answer: Result<T, ProviderError>,
    ) -> Result<T, ProviderError> {
        if is_unanswered(&answer)
            && let Some(since) = listener.silent_since()
            && !since.elapsed().is_zero()
            && !self.pay(since)
        {
            self.give_up(instance, &listener.state, allowed);
        }
        answer
    }

    fn error(&self, instance: &str, waited: Duration) -> ProviderError {
        let limit = self.silence_limit.limit;
        let of = match waited < limit {
            true => format!(", the rest of the {} s of the plan", limit.as_secs_f64()),
            false => String::new(),
        };
        ProviderError::new(
            ErrorKind::Transient,
            format!("`{instance}` gives no answer within {} s{of}", waited.as_secs_f64()),
        )
        .solution("look at what keeps it busy, or raise `silenceTimeout` of the environment")
    }
}

/// True if a call failed without proof that the other side exists.
fn is_unanswered<T>(answer: &Result<T, ProviderError>) -> bool {
    answer.as_ref().is_err_and(|error| error.kind == ErrorKind::Transient)
}

/// Runs a reading call with its retries while its instance gives signs of life.
pub(super) async fn listening<T>(
    instance: &str,
    call: impl Future<Output = Result<T, ProviderError>>,
) -> Result<T, ProviderError> {
    let Ok(budget) = BUDGET.try_with(Arc::clone) else { return call.await };
    let state = budget.state(instance);
    if let Some(waited) = *locked(&state.given_up) {
        return Err(budget.error(instance, waited));
    }
    let allowed = budget.allowed();
    let since = Mutex::new(Instant::now());
    let listener = Arc::new(Listener { state: Arc::clone(&state), excuses: AtomicUsize::new(0), since });
    let mut call = Box::pin(CALL.scope(Arc::clone(&listener), call));
    let reported_after = REPORTED_AFTER.min(allowed / 2);
    loop {
        let since = listener.silent_since().unwrap_or_else(Instant::now);
        let is_quiet = since.elapsed() >= reported_after;
        tokio::select! {
            biased;
            answer = &mut call => return budget.settled(instance, &listener, allowed, answer),
            () = state.ended.cancelled() => {
                let waited = locked(&state.given_up).unwrap_or(allowed);
                return Err(budget.error(instance, waited));
            }
            () = sleep_until(since + if is_quiet { allowed } else { reported_after }) => {}
        }
        let Some(silence) = listener.silent_since().map(|since| since.elapsed()) else { continue };
        if silence >= allowed {
            // After a suspend, the timers of the process end before it reads the answers.
            let answer = tokio::time::timeout(GRACE, &mut call).await;
            budget.pay(since);
            return match answer {
                Ok(answer) if !is_unanswered(&answer) => answer,
                _ => Err(budget.give_up(instance, &state, allowed)),
            };
        }
        if silence >= reported_after {
            budget.report(instance, &state, allowed);
        }
    }
}

#[cfg(test)]
mod tests;
