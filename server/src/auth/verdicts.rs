//! Verdicts about opaque tokens, which only their issuer can give. They are kept for a short time, with one check at a time
//! for each token, and few checks of unknown tokens.

use super::limits::Principal;
use jiff::Timestamp;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use terrace_engine::digest::sha256;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// The most tokens with a verdict. Beyond it, the tokens that were never admitted are forgotten first.
const MOST: usize = 10_000;
/// The longest use of a refusal.
const REFUSAL: Duration = Duration::from_secs(30);
/// The most unknown tokens that are checked at the same time.
const CONCURRENT: usize = 10;
/// The most failed checks of unknown tokens within [`WINDOW`], beside the concurrent ones. Issuers limit the number of
/// checks: invented tokens must not use them up.
const MOST_FAILED: usize = 20;
const WINDOW: Duration = Duration::from_secs(60);

/// The verdict about a token.
#[derive(Debug, Clone)]
pub(super) enum Verdict {
    /// The token is valid.
    Admitted(Arc<Principal>),
    /// The token is not valid, with the reason for the caller.
    Refused(&'static str),
    /// The issuer cannot be asked for this time.
    Unavailable(Duration),
}

/// Verdicts by SHA-256 of the token.
pub(super) struct Verdicts {
    /// How long an admission is used: a revoked token works for that long.
    keep: Duration,
    slots: Mutex<HashMap<String, Arc<Slot>>>,
    running: Semaphore,
    window: Mutex<Window>,
}

/// A token.
#[derive(Default)]
struct Slot {
    /// True if the token was valid, and was not refused since.
    is_known: AtomicBool,
    /// The last verdict; locked during a check.
    kept: tokio::sync::Mutex<Option<Kept>>,
}

struct Kept {
    at: Instant,
    verdict: Verdict,
}

/// Failed checks of unknown tokens: those without an admission.
struct Window {
    begun: Instant,
    failed: usize,
}

/// The check of an unknown token.
struct Check<'a> {
    verdicts: &'a Verdicts,
    is_admitted: bool,
    _permit: SemaphorePermit<'a>,
}

impl Drop for Check<'_> {
    /// Counts the check. One whose caller went away may have made its call.
    fn drop(&mut self) {
        if !self.is_admitted {
            self.verdicts.window().failed += 1;
        }
    }
}

impl Verdicts {
    pub(super) fn new(keep: Duration) -> Self {
        let window = Mutex::new(Window { begun: Instant::now(), failed: 0 });
        Self { keep, slots: Mutex::default(), running: Semaphore::new(CONCURRENT), window }
    }

    /// The verdict about a token: a recent one, or that of a check. Concurrent callers with a token share its check.
    pub(super) async fn of(&self, token: &str, check: impl Future<Output = Verdict>) -> Verdict {
        let slot = self.slot(sha256(token));
        let mut kept = slot.kept.lock().await;
        if let Some(verdict) = kept.as_ref().filter(|kept| self.is_recent(kept)).map(|kept| kept.verdict.clone()) {
            return verdict;
        }
        let verdict = if slot.is_known.load(Ordering::Relaxed) {
            check.await
        } else {
            let Some(mut begun) = self.begin().await else { return Verdict::Unavailable(WINDOW) };
            let verdict = check.await;
            begun.is_admitted = matches!(verdict, Verdict::Admitted(_));
            verdict
        };
        match verdict {
            Verdict::Admitted(_) => slot.is_known.store(true, Ordering::Relaxed),
            Verdict::Refused(_) => slot.is_known.store(false, Ordering::Relaxed),
            Verdict::Unavailable(_) => {}
        }
        *kept = Some(Kept { at: Instant::now(), verdict: verdict.clone() });
        verdict
    }

    fn is_recent(&self, kept: &Kept) -> bool {
        let longest = match &kept.verdict {
            Verdict::Admitted(principal) if principal.is_expired(Timestamp::now()) => return false,
            Verdict::Admitted(_) => self.keep,
            Verdict::Refused(_) => REFUSAL.min(self.keep),
            Verdict::Unavailable(pause) => *pause,
        };
        kept.at.elapsed() < longest
    }

    fn slot(&self, digest: String) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MOST && !slots.contains_key(&digest) {
            slots.retain(|_, slot| slot.is_known.load(Ordering::Relaxed));
            if slots.len() >= MOST {
                slots.clear();
            }
        }
        Arc::clone(slots.entry(digest).or_default())
    }

    /// Begins the check of an unknown token, after others have ended; nothing if too many of them failed.
    async fn begin(&self) -> Option<Check<'_>> {
        if self.window().failed >= MOST_FAILED {
            return None;
        }
        let permit = self.running.acquire().await.ok()?;
        let may_begin = self.window().failed < MOST_FAILED;
        may_begin.then(|| Check { verdicts: self, is_admitted: false, _permit: permit })
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.begun.elapsed() >= WINDOW {
            *window = Window { begun: Instant::now(), failed: 0 };
        }
        window
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;
    use std::sync::atomic::AtomicUsize;

    const KEEP: Duration = Duration::from_secs(300);

    fn admitted(until: Option<Timestamp>) -> Verdict {
        Verdict::Admitted(Arc::new(Principal::new("ada".to_owned(), Vec::new()).until(until)))
    }

    /// Verdicts, and the number of checks.
    struct Counted {
        verdicts: Verdicts,
        checks: AtomicUsize,
    }

    impl Counted {
        fn new() -> Self {
            Self { verdicts: Verdicts::new(KEEP), checks: AtomicUsize::new(0) }
        }

        /// The word of a verdict, with this answer of the issuer.
        async fn of(&self, token: &str, answer: Verdict) -> &'static str {
            let check = async {
                self.checks.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_secs(1)).await;
                answer
            };
            match self.verdicts.of(token, check).await {
                Verdict::Admitted(_) => "admitted",
                Verdict::Refused(_) => "refused",
                Verdict::Unavailable(_) => "unavailable",
            }
        }

        fn checks(&self) -> usize {
            self.checks.swap(0, Ordering::Relaxed)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn revoked_token_is_admitted_until_its_verdict_is_old() {
        let counted = Counted::new();
        assert_eq!(counted.of("a", admitted(None)).await, "admitted");
        tokio::time::advance(KEEP - Duration::from_secs(1)).await;
        assert_eq!(counted.of("a", Verdict::Refused("revoked")).await, "admitted");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(counted.of("a", Verdict::Refused("revoked")).await, "refused");
        // A refusal is short: the token may be newer than the answer.
        tokio::time::advance(REFUSAL).await;
        assert_eq!(counted.of("a", admitted(None)).await, "admitted");
        assert_eq!(counted.checks(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn expired_token_is_checked_again() {
        let counted = Counted::new();
        assert_eq!(counted.of("a", admitted(Some(Timestamp::UNIX_EPOCH))).await, "admitted");
        assert_eq!(counted.of("a", Verdict::Refused("expired")).await, "refused");
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_callers_share_one_check() {
        let counted = Counted::new();
        for (answer, word) in [(admitted(None), "admitted"), (Verdict::Unavailable(WINDOW), "unavailable")] {
            let begun = Instant::now();
            let words = join_all((0..20).map(|_| counted.of(word, answer.clone()))).await;
            assert!(words.iter().all(|it| *it == word), "{words:?}");
            assert_eq!((counted.checks(), begun.elapsed().as_secs()), (1, 1));
        }
        // A caller that goes away during the check leaves it to the next one.
        let check = counted.verdicts.of("b", std::future::pending());
        assert!(tokio::time::timeout(Duration::from_secs(1), check).await.is_err());
        assert_eq!(counted.of("b", admitted(None)).await, "admitted");
    }

    #[tokio::test(start_paused = true)]
    async fn outage_never_admits() {
        let counted = Counted::new();
        assert_eq!(counted.of("a", admitted(None)).await, "admitted");
        tokio::time::advance(KEEP).await;
        let away = Verdict::Unavailable(Duration::from_secs(5));
        assert_eq!(counted.of("a", away.clone()).await, "unavailable");
        assert_eq!(counted.of("a", admitted(None)).await, "unavailable", "the pause");
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(counted.of("a", admitted(None)).await, "admitted");
    }

    #[tokio::test(start_paused = true)]
    async fn invented_tokens_use_up_neither_checks_nor_memory() {
        let counted = Counted::new();
        assert_eq!(counted.of("known", admitted(None)).await, "admitted");
        counted.checks();
        let names: Vec<String> = (0..2 * MOST).map(|number| number.to_string()).collect();
        join_all(names.iter().map(|name| counted.of(name, Verdict::Refused("invented")))).await;
        let checks = counted.checks();
        assert!((MOST_FAILED..MOST_FAILED + CONCURRENT).contains(&checks), "{checks}");
        assert!(counted.verdicts.slots.lock().unwrap().len() <= MOST);
        // A valid token is checked again nevertheless, an unknown one later. An issuer that does not answer may count its calls, too.
        tokio::time::advance(KEEP - Duration::from_secs(10)).await;
        for name in names.iter().take(MOST_FAILED) {
            let no_answer = Verdict::Unavailable(Duration::from_secs(5));
            assert_eq!(counted.of(&format!("later {name}"), no_answer).await, "unavailable");
        }
        assert_eq!(counted.of("new", admitted(None)).await, "unavailable");
        assert_eq!(counted.of("known", admitted(None)).await, "admitted");
        assert_eq!(counted.checks(), MOST_FAILED + 1);
        tokio::time::advance(WINDOW).await;
        assert_eq!(counted.of("new", admitted(None)).await, "admitted");
    }

    #[tokio::test(start_paused = true)]
    async fn checks_whose_callers_went_away_count() {
        let counted = Counted::new();
        for name in 0..MOST_FAILED {
            let name = name.to_string();
            let check = counted.verdicts.of(&name, std::future::pending());
            assert!(tokio::time::timeout(Duration::from_secs(1), check).await.is_err());
        }
        assert_eq!(counted.of("new", admitted(None)).await, "unavailable");
    }

    #[tokio::test(start_paused = true)]
    async fn many_valid_tokens_of_a_new_server_are_admitted() {
        let counted = Counted::new();
        let names: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        let words = join_all(names.iter().map(|name| counted.of(name, admitted(None)))).await;
        assert!(words.iter().all(|it| *it == "admitted"), "{words:?}");
        assert_eq!(counted.checks(), 100);
    }
}
