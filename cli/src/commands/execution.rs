//! How a command executes operations.

use crate::settings::Settings;
use crate::signals::Signals;
use terrace_engine::engine::Execution;

/// Executes as the user of the settings, until a signal stops the command.
pub(super) fn execution(settings: &Settings, signals: &Signals, parallelism: usize) -> Execution {
    Execution {
        actor: settings.actor.clone(),
        parallelism,
        lock_timeout: settings.lock_timeout,
        cancel: signals.cancel.clone(),
        stopped_by: signals.stopped_by.clone(),
    }
}
