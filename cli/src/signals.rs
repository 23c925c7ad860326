//! Handling of SIGINT, SIGTERM and SIGHUP (a closed terminal). The first signal waits for running steps and records
//! them; the second one ends the process at once. A server reloads its settings at SIGHUP instead.

use crate::ui::Ui;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The signal of Ctrl-C.
const INTERRUPT: &str = "SIGINT (Ctrl-C)";
/// The signal of supervisors.
const TERMINATE: &str = "SIGTERM";
/// The signal of a closed terminal.
const HANGUP: &str = "SIGHUP";

/// Time for a waiting command to end; a computing command gets no more.
const EXIT_DELAY: Duration = Duration::from_millis(50);

/// Two SIGTERMs within this time count as one: `timeout` sends one to the process and one to its group.
const SAME_SIGNAL: Duration = Duration::from_secs(1);

/// Watches for signals until the process ends.
#[derive(Debug, Clone)]
pub(crate) struct Signals {
    /// Cancelled by the first signal during changes.
    pub(crate) cancel: CancellationToken,
    /// That signal, for people.
    pub(crate) stopped_by: Arc<OnceLock<&'static str>>,
    /// Cancelled by the first signal while nothing changes: waiting commands end, and with them programs that they
    /// started to read.
    pub(crate) exiting: CancellationToken,
    is_changing: Arc<AtomicBool>,
    /// The work of the command, if the first signal cancels it. Steps run to their end.
    cancelled: Arc<OnceLock<Cancelled>>,
    /// Notified of SIGHUP, if [`Signals::on_hangup`] was called.
    hangup: Arc<OnceLock<Arc<Notify>>>,
}

/// Work that the first signal cancels.
#[derive(Debug, Clone, Copy)]
enum Cancelled {
    Runs,
    Shell,
}

impl Signals {
    /// Starts to watch. Must be called in the runtime.
    pub(crate) fn watch(ui: &Ui) -> Self {
        let signals = Self {
            cancel: CancellationToken::new(),
            stopped_by: Arc::default(),
            exiting: CancellationToken::new(),
            is_changing: Arc::default(),
            cancelled: Arc::default(),
            hangup: Arc::default(),
        };
        tokio::spawn(signals.clone().run(ui.clone()));
        signals
    }

    /// From now on the first signal waits for running steps. Before, nothing needs a wait, and the first signal ends
    /// the process.
    pub(crate) fn begin_changes(&self) {
        self.is_changing.store(true, Ordering::SeqCst);
    }

    /// As [`Signals::begin_changes`], for runs of pipelines: the first signal cancels them.
    pub(crate) fn begin_runs(&self) {
        self.cancelled.get_or_init(|| Cancelled::Runs);
        self.begin_changes();
    }

    /// As [`Signals::begin_changes`], for a pod with a shell: the first signal removes it.
    pub(crate) fn begin_shell(&self) {
        self.cancelled.get_or_init(|| Cancelled::Shell);
        self.begin_changes();
    }

    /// From now on SIGHUP only notifies, even if the process was started to survive its terminal.
    pub(crate) fn on_hangup(&self) -> Arc<Notify> {
        let hangup = self.hangup.get_or_init(Arc::default);
        notify_hangups(Arc::clone(hangup));
        Arc::clone(hangup)
    }

    /// The command changes nothing until the next [`Signals::begin_changes`].
    pub(crate) fn end_changes(&self) {
        self.is_changing.store(false, Ordering::SeqCst);
    }

    /// The next signal to stop.
    async fn next(&self, received: &mut Received) -> &'static str {
        loop {
            match (received.one().await, self.hangup.get()) {
                (HANGUP, Some(_)) => {}
                (signal, _) => return signal,
            }
        }
    }

    async fn run(self, ui: Ui) {
        let Some(mut received) = Received::new() else { return };
        let signal = self.next(&mut received).await;
        if !self.is_changing.load(Ordering::SeqCst) {
            ui.print_message(&format!("{}, nothing was changed", reason(signal)));
            self.exiting.cancel();
            tokio::time::sleep(EXIT_DELAY).await;
            exit_now();
        }
        self.stopped_by.get_or_init(|| signal);
        self.cancel.cancel();
        let (what, left) = match self.cancelled.get() {
            Some(Cancelled::Runs) => {
                ("cancelling the runs of this command", "`terrace pipelines runs` shows how the runs end")
            }
            Some(Cancelled::Shell) => ("removing the pod of the shell", "`terrace pipelines pods` lists the pod"),
            None => (
                "waiting for running steps to end and recording them, starting no others",
                "resolve the running steps with `terrace recover`",
            ),
        };
        ui.print_message(&format!("{}: {what}; repeat to leave at once", reason(signal)));
        let begun = Instant::now();
        while self.next(&mut received).await == TERMINATE && signal == TERMINATE && begun.elapsed() < SAME_SIGNAL {}
        ui.print_message(&format!("left at once: {left}"));
        exit_now();
    }
}

/// The reason of the stop in words. Only Ctrl-C comes from a user, the other signals from supervisors.
fn reason(signal: &str) -> String {
    if signal == INTERRUPT { "interrupted".to_owned() } else { format!("stopped by {signal}") }
}

/// Ends the process: the journal has the running steps.
#[expect(clippy::exit, reason = "tasks in the middle of a provider's call cannot be made to return")]
fn exit_now() -> ! {
    std::process::exit(i32::from(crate::failure::Exit::Interrupted.code()))
}

#[cfg(unix)]
struct Received {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    /// `None` if the process was started to survive its terminal, as by `nohup`.
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

    /// The name of the next signal.
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

/// Notifies of each SIGHUP from now on.
#[cfg(unix)]
fn notify_hangups(hangup: Arc<Notify>) {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::hangup()) {
        Ok(mut hangups) => {
            tokio::spawn(async move {
                while hangups.recv().await.is_some() {
                    hangup.notify_one();
                }
            });
        }
        Err(error) => tracing::warn!(%error, "settings are not reloaded at SIGHUP"),
    }
}

#[cfg(not(unix))]
fn notify_hangups(_: Arc<Notify>) {}

/// True if this process was started with SIGHUP ignored, as far as the system reports it.
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
    fn ignored_hangups_stay_ignored() {
        assert!(ignores_hangup("Name:\tterrace\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000000\n"));
        assert!(!ignores_hangup("SigIgn:\t0000000000001000\n"));
        assert!(!ignores_hangup(""));
    }
}
