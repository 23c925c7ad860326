//! SIGINT and SIGTERM: what runs is waited for and recorded, the second one leaves at once.

use crate::ui::Ui;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_util::sync::CancellationToken;

/// Watches for signals as long as the process lives.
#[derive(Debug, Clone)]
pub(crate) struct Signals {
    /// Set by the first signal while something is being changed.
    pub(crate) cancel: CancellationToken,
    is_changing: Arc<AtomicBool>,
}

impl Signals {
    /// Begins to watch. Called within the runtime.
    pub(crate) fn watch(ui: &Ui) -> Self {
        let signals = Self { cancel: CancellationToken::new(), is_changing: Arc::default() };
        tokio::spawn(signals.clone().run(ui.clone()));
        signals
    }

    /// From here on something may be changed: the first signal waits for what runs. Before, there is nothing to wait
    /// for, and the first signal ends the process.
    pub(crate) fn begin_changes(&self) {
        self.is_changing.store(true, Ordering::SeqCst);
    }

    /// Nothing is being changed any more, until it begins again.
    pub(crate) fn end_changes(&self) {
        self.is_changing.store(false, Ordering::SeqCst);
    }

    async fn run(self, ui: Ui) {
        let Some(mut received) = Received::new() else { return };
        received.one().await;
        if !self.is_changing.load(Ordering::SeqCst) {
            ui.tell("interrupted, nothing was changed");
            leave();
        }
        self.cancel.cancel();
        ui.tell("interrupted: nothing new is begun, what runs is waited for and recorded; once more to leave at once");
        received.one().await;
        ui.tell("left at once: `terrace recover` finds out what became of what was running");
        leave();
    }
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
}

#[cfg(unix)]
impl Received {
    fn new() -> Option<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Some(Self {
            interrupt: signal(SignalKind::interrupt()).ok()?,
            terminate: signal(SignalKind::terminate()).ok()?,
        })
    }

    async fn one(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Received;

#[cfg(not(unix))]
impl Received {
    fn new() -> Option<Self> {
        Some(Self)
    }

    async fn one(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
