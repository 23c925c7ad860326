//! How long a plan waits for systems that accept calls and give no answer.
//!
//! A plan has one budget of silence, which all instances share. An instance that uses it up is not asked again by that plan.
//! Answers, own limits and pauses that the other side asks for do not count: transports report answers by [`answered`].

use crate::{ErrorKind, ProviderError};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// The budget where the environment sets none.
pub const USUAL: Duration = Duration::from_secs(20);
/// The silence after which it is reported that a plan waits.
const REPORTED_AFTER: Duration = Duration::from_secs(3);
/// The part of the budget that each further instance has in any case.
const FURTHER: u32 = 10;
/// How long a process that was suspended listens for answers that arrived.
const LISTENS: Duration = Duration::from_millis(500);

/// Prints a line about an instance that a plan waits for.
pub type Reporter = Arc<dyn Fn(&str) + Send + Sync>;

/// How long a plan waits for systems that give no answer, in all, and who reports that.
#[derive(Clone)]
pub struct Patience {
    /// The time.
    pub limit: Duration,
    /// Takes a line for each instance that is waited for.
    pub reporter: Option<Reporter>,
}

impl Default for Patience {
    fn default() -> Self {
        Self { limit: USUAL, reporter: None }
    }
}

impl fmt::Debug for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patience").field("limit", &self.limit).finish_non_exhaustive()
    }
}

tokio::task_local! {
    static BUDGET: Arc<Budget>;
    static CALL: Arc<Listener>;
}

/// The silence that one plan can still stand.
struct Budget {
    patience: Patience,
    account: Mutex<Account>,
    lines: Mutex<BTreeMap<String, Arc<Line>>>,
}

/// The rest of a budget.
struct Account {
    left: Duration,
    /// Silence before that is paid for: several calls may wait at the same time.
    paid_until: Instant,
}

/// One instance, as a plan hears it.
struct Line {
    /// When it answered last.
    answered: Mutex<Option<Instant>>,
    /// The time after which it was given up.
    given_up: Mutex<Option<Duration>>,
    ended: CancellationToken,
    is_reported: AtomicBool,
}

/// One call to an instance.
struct Listener {
    line: Arc<Line>,
    /// It waits for something else than an answer.
    excuses: AtomicUsize,
    /// Since when it waits for an answer.
    since: Mutex<Instant>,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs work with one budget of silence for all its reading calls. Nested work shares the budget.
pub async fn with_patience<T>(patience: &Patience, work: impl Future<Output = T>) -> T {
    // Boxed, as below: the futures of a whole plan are too large for the stack of a thread in a debug build.
    let work = Box::pin(work);
    if BUDGET.try_with(|_| ()).is_ok() {
        return work.await;
    }
    let account = Mutex::new(Account { left: patience.limit, paid_until: Instant::now() });
    BUDGET.scope(Arc::new(Budget { patience: patience.clone(), account, lines: Mutex::default() }), work).await
}

/// Reports that the other side answered, be it a part of an answer.
pub fn answered() {
    let _ = CALL.try_with(|call| *locked(&call.line.answered) = Some(Instant::now()));
}

/// Waits for something else than an answer: a slot, a token of the instance's rate.
pub async fn excused<T>(work: impl Future<Output = T>) -> T {
    let _excuse = CALL.try_with(|call| Excuse::of(Arc::clone(call))).ok();
    work.await
}

/// Waits for slow work of the other side, such as a connector that runs there. Only an instance that answered before in this
/// plan has the time for it.
pub async fn excused_if_known<T>(work: impl Future<Output = T>) -> T {
    match CALL.try_with(|call| locked(&call.line.answered).is_some()) {
        Ok(true) => excused(work).await,
        _ => work.await,
    }
}

/// Does not count a pause that is about to begin, be it that the other side asked for it.
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
    /// Since when nothing was heard; nothing while it waits for something else.
    fn silent_since(&self) -> Option<Instant> {
        if self.excuses.load(Ordering::Relaxed) > 0 {
            return None;
        }
        Some(self.heard())
    }

    /// When it was heard of last, or began.
    fn heard(&self) -> Instant {
        let since = *locked(&self.since);
        locked(&self.line.answered).map_or(since, |answered| answered.max(since))
    }

    /// Leaves a time out of the silence.
    fn excuse(&self, time: Duration) {
        let heard = self.heard();
        *locked(&self.since) = heard.checked_add(time).unwrap_or(heard);
    }
}

impl Budget {
    fn line(&self, instance: &str) -> Arc<Line> {
        let new = || {
            Arc::new(Line {
                answered: Mutex::default(),
                given_up: Mutex::default(),
                ended: CancellationToken::new(),
                is_reported: AtomicBool::default(),
            })
        };
        Arc::clone(locked(&self.lines).entry(instance.to_owned()).or_insert_with(new))
    }

    /// How long an instance may be silent from now on.
    fn allowed(&self) -> Duration {
        locked(&self.account).left.max(self.patience.limit / FURTHER)
    }

    fn report(&self, instance: &str, line: &Line, allowed: Duration) {
        if let Some(reporter) = &self.patience.reporter
            && !line.is_reported.swap(true, Ordering::Relaxed)
        {
            let seconds = allowed.as_secs_f64().ceil();
            reporter(&format!("waiting for `{instance}`, which gives no answer: at most {seconds} s"));
        }
    }

    /// Pays for silence that began then; whether anything is left.
    fn pay(&self, since: Instant) -> bool {
        let mut account = locked(&self.account);
        let now = Instant::now();
        let silence = now.saturating_duration_since(account.paid_until.max(since));
        account.left = account.left.saturating_sub(silence);
        account.paid_until = now;
        !account.left.is_zero()
    }

    fn give_up(&self, instance: &str, line: &Line, allowed: Duration) -> ProviderError {
        *locked(&line.given_up) = Some(allowed);
        line.ended.cancel();
        self.error(instance, allowed)
    }

    /// The result of a call. A failure without any sign of life counts as silence.
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
            self.give_up(instance, &listener.line, allowed);
        }
        answer
    }

    fn error(&self, instance: &str, waited: Duration) -> ProviderError {
        let limit = self.patience.limit;
        let of = match waited < limit {
            true => format!(", which were left of the {} s of the plan", limit.as_secs_f64()),
            false => String::new(),
        };
        ProviderError::new(
            ErrorKind::Transient,
            format!("`{instance}` gives no answer within {} s{of}", waited.as_secs_f64()),
        )
        .solution("look at what keeps it busy, or raise `silenceTimeout` of the environment")
    }
}

/// Whether a call failed without proof that the other side is there.
fn is_unanswered<T>(answer: &Result<T, ProviderError>) -> bool {
    answer.as_ref().is_err_and(|error| error.kind == ErrorKind::Transient)
}

/// Runs a reading call, with its retries, as long as its instance gives signs of life.
pub(super) async fn listening<T>(
    instance: &str,
    call: impl Future<Output = Result<T, ProviderError>>,
) -> Result<T, ProviderError> {
    let Ok(budget) = BUDGET.try_with(Arc::clone) else { return call.await };
    let line = budget.line(instance);
    if let Some(waited) = *locked(&line.given_up) {
        return Err(budget.error(instance, waited));
    }
    let allowed = budget.allowed();
    let since = Mutex::new(Instant::now());
    let listener = Arc::new(Listener { line: Arc::clone(&line), excuses: AtomicUsize::new(0), since });
    let mut call = Box::pin(CALL.scope(Arc::clone(&listener), call));
    let reported_after = REPORTED_AFTER.min(allowed / 2);
    loop {
        let since = listener.silent_since().unwrap_or_else(Instant::now);
        let is_quiet = since.elapsed() >= reported_after;
        tokio::select! {
            biased;
            answer = &mut call => return budget.settled(instance, &listener, allowed, answer),
            () = line.ended.cancelled() => {
                let waited = locked(&line.given_up).unwrap_or(allowed);
                return Err(budget.error(instance, waited));
            }
            () = sleep_until(since + if is_quiet { allowed } else { reported_after }) => {}
        }
        let Some(silence) = listener.silent_since().map(|since| since.elapsed()) else { continue };
        if silence >= allowed {
            // After a pause of the whole process its timers end before it reads the answers that arrived.
            let answer = tokio::time::timeout(LISTENS, &mut call).await;
            budget.pay(since);
            return match answer {
                Ok(answer) if !is_unanswered(&answer) => answer,
                _ => Err(budget.give_up(instance, &line, allowed)),
            };
        }
        if silence >= reported_after {
            budget.report(instance, &line, allowed);
        }
    }
}

#[cfg(test)]
mod tests;
