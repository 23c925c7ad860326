//! SIGINT, SIGTERM and SIGHUP (a terminal that was closed): what runs is waited for and recorded, the second one leaves at once.
//! A server reads its settings again instead when it gets SIGHUP.

use crate::ui::Ui;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// What Ctrl-C sends.
const INTERRUPT: &str = "SIGINT (Ctrl-C)";
/// What supervisors send.
const TERMINATE: &str = "SIGTERM";
/// What the end of a terminal sends.
const HANGUP: &str = "SIGHUP";

/// How long the command has to let go of what it was waiting for; one that computes is not waited for.
const LETTING_GO: Duration = Duration::from_millis(50);

/// How soon after one another two SIGTERMs are one: `timeout` sends one to the process and one to its group.
const SAME: Duration = Duration::from_secs(1);

/// Watches for signals as long as the process lives.
#[derive(Debug, Clone)]
pub(crate) struct Signals {
    /// Set by the first signal while something is being changed.
    pub(crate) cancel: CancellationToken,
    /// The signal that did, for people.
    pub(crate) stopped_by: Arc<OnceLock<&'static str>>,
    /// Set by the first signal while nothing is being changed: whoever waits for something lets go of it, so that the
    /// programs that only look end, too.
    pub(crate) leaving: CancellationToken,
    is_changing: Arc<AtomicBool>,
    /// Told of SIGHUP instead, by those who ask for it.
    again: Arc<OnceLock<Arc<Notify>>>,
}

impl Signals {
    /// Begins to watch. Called within the runtime.
    pub(crate) fn watch(ui: &Ui) -> Self {
        let signals = Self {
            cancel: CancellationToken::new(),
            stopped_by: Arc::default(),
            leaving: CancellationToken::new(),
            is_changing: Arc::default(),
            again: Arc::default(),
        };
        tokio::spawn(signals.clone().run(ui.clone()));
        signals
    }

    /// From here on something may be changed: the first signal waits for what runs. Before, there is nothing to wait
    /// for, and the first signal ends the process.
    pub(crate) fn begin_changes(&self) {
        self.is_changing.store(true, Ordering::SeqCst);
    }

    /// From here on SIGHUP asks for nothing but this, also where the process was started to outlive its terminal.
    pub(crate) fn on_hangup(&self) -> Arc<Notify> {
        let again = self.again.get_or_init(Arc::default);
        tell_hangups(Arc::clone(again));
        Arc::clone(again)
    }

    /// Nothing is being changed any more, until it begins again.
    pub(crate) fn end_changes(&self) {
        self.is_changing.store(false, Ordering::SeqCst);
    }

    /// The next signal that asks to stop.
    async fn next(&self, received: &mut Received) -> &'static str {
        loop {
            match (received.one().await, self.again.get()) {
                (HANGUP, Some(_)) => {}
                (signal, _) => return signal,
            }
        }
    }

    async fn run(self, ui: Ui) {
        let Some(mut received) = Received::new() else { return };
        let signal = self.next(&mut received).await;
        if !self.is_changing.load(Ordering::SeqCst) {
            ui.tell(&format!("{}, nothing was changed", told(signal)));
            self.leaving.cancel();
            tokio::time::sleep(LETTING_GO).await;
            leave();
        }
        self.stopped_by.get_or_init(|| signal);
        self.cancel.cancel();
        let what = "nothing new is begun, what runs is waited for and recorded; once more to leave at once";
        ui.tell(&format!("{}: {what}", told(signal)));
        let begun = Instant::now();
        while self.next(&mut received).await == TERMINATE && signal == TERMINATE && begun.elapsed() < SAME {}
        ui.tell("left at once: `terrace recover` finds out what became of what was running");
        leave();
    }
}

/// How it is said that a signal ends what runs: nobody pressed a key for those that supervisors send.
fn told(signal: &str) -> String {
    if signal == INTERRUPT { "interrupted".to_owned() } else { format!("stopped by {signal}") }
}

/// Ends the process: the journal covers what was running.
#[expect(clippy::exit, reason = "tasks in the middle of a provider's call cannot be made to return")]
fn leave() -> ! {
    std::process::exit(i32::from(crate::failure::Exit::Interrupted.code()))
}

#[cfg(unix)]
struct Received {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    /// Nothing where the process was started to outlive its terminal, as `nohup` does.
    hangup: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Received {
    fn new() -> Option<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Some(Self {
            interrupt: signal(SignalKind::interrupt()).ok()?,
            terminate: signal(SignalKind::terminate()).ok()?,
            hangup: if is_hangup_ignored() { None } else { Some(signal(SignalKind::hangup()).ok()?) },
        })
    }

    /// The name of the next one.
    async fn one(&mut self) -> &'static str {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => INTERRUPT,
            _ = self.terminate.recv() => TERMINATE,
            _ = hangup => HANGUP,
        }
    }
}

/// Tells of each SIGHUP from now on.
#[cfg(unix)]
fn tell_hangups(again: Arc<Notify>) {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::hangup()) {
        Ok(mut hangups) => {
            tokio::spawn(async move {
                while hangups.recv().await.is_some() {
                    again.notify_one();
                }
            });
        }
        Err(error) => tracing::warn!(%error, "settings are not read again at SIGHUP"),
    }
}

#[cfg(not(unix))]
fn tell_hangups(_: Arc<Notify>) {}

/// True when this process was started with SIGHUP ignored; where the system does not tell, it is not.
#[cfg(unix)]
fn is_hangup_ignored() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores_hangup(&status))
}

/// Reads the mask of ignored signals; its lowest bit is signal 1, SIGHUP.
#[cfg(unix)]
fn ignores_hangup(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[cfg(not(unix))]
struct Received;

#[cfg(not(unix))]
impl Received {
    fn new() -> Option<Self> {
        Some(Self)
    }

    async fn one(&mut self) -> &'static str {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        INTERRUPT
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_ignores_hangups_goes_on_doing_so() {
        assert!(ignores_hangup("Name:\tterrace\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000000\n"));
        assert!(!ignores_hangup("SigIgn:\t0000000000001000\n"));
        assert!(!ignores_hangup(""));
    }
}
